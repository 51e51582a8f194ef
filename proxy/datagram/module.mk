$(eval $(call module,proxy/datagram,proxy/base proxy/fault proxy/io proxy/match,))
$(eval $(call tests,unit,proxy/datagram,proxy/datagram,))
$(BUILD)/tests/unit/proxy/datagram/test_sessions: \
    EXTRA_LINK = -Wl,--wrap=getaddrinfo -Wl,--wrap=freeaddrinfo
