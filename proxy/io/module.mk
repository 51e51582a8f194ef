$(eval $(call module,proxy/io,proxy/base,))
$(eval $(call tests,unit,proxy/io,proxy/io,))
$(BUILD)/tests/unit/proxy/io/test_resolver: EXTRA_LINK = -Wl,--wrap=getaddrinfo
$(BUILD)/tests/unit/proxy/io/test_loop_precise: \
    EXTRA_LINK = -Wl,--wrap=monotonic_now_ns -Wl,--wrap=epoll_wait -Wl,--wrap=epoll_pwait2 -Wl,--wrap=timerfd_settime
