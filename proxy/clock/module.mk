$(eval $(call module,proxy/clock,proxy/base,))
$(eval $(call tests,unit,proxy/clock,proxy/clock,))
