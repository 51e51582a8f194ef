$(eval $(call module,proxy/wire,proxy/base proxy/fault,jansson libcurl))
$(eval $(call tests,unit,proxy/wire,proxy/wire,))
