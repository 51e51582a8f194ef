$(eval $(call module,proxy/match,proxy/base proxy/fault proxy/io,libpcap))
$(eval $(call tests,unit,proxy/match,proxy/match,))
