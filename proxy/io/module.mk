$(eval $(call module,proxy/io,proxy/base,))
$(eval $(call tests,unit,proxy/io,proxy/io,))
