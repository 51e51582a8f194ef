$(eval $(call module,proxy/api,proxy/base proxy/wire,libmicrohttpd))
$(eval $(call tests,unit,proxy/api,proxy/api,))
