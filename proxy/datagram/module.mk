$(eval $(call module,proxy/datagram,proxy/base proxy/fault proxy/io,))
$(eval $(call tests,unit,proxy/datagram,proxy/datagram,))
