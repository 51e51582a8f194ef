$(eval $(call module,proxy/api,proxy/base proxy/fault proxy/wire,libmicrohttpd))
$(eval $(call tests,unit,proxy/api,proxy/api proxy/io,))
