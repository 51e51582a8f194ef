$(eval $(call module,proxy/datagram,proxy/base proxy/fault proxy/io proxy/match,))
$(eval $(call tests,unit,proxy/datagram,proxy/datagram,))
