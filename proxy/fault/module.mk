$(eval $(call module,proxy/fault,proxy/base,))
$(eval $(call tests,unit,proxy/fault,proxy/fault,))
$(BUILD)/tests/unit/proxy/fault/test_plan_memory: \
    EXTRA_LINK = -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=free
