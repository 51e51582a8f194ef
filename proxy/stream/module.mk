$(eval $(call module,proxy/stream,proxy/base proxy/fault proxy/io,))
$(eval $(call tests,unit,proxy/stream,proxy/stream,))
