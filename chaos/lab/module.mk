$(eval $(call module,chaos/lab,proxy/base proxy/fault proxy/wire chaos/experiment chaos/workload,))
$(eval $(call tests,unit,chaos/lab,chaos/lab,))
