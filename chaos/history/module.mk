$(eval $(call module,chaos/history,proxy/base,jansson))
$(eval $(call tests,unit,chaos/history,chaos/history,))
