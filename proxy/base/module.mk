$(eval $(call module,proxy/base,,))
$(eval $(call tests,unit,proxy/base,proxy/base,))
