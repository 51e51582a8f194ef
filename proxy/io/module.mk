$(eval $(call module,proxy/io,proxy/base,))
$(eval $(call tests,unit,proxy/io,proxy/io,))
$(BUILD)/tests/unit/proxy/io/test_resolver: EXTRA_LINK = -Wl,--wrap=getaddrinfo
