$(eval $(call module,chaos/workload,proxy/base chaos/experiment chaos/history,))
$(eval $(call tests,unit,chaos/workload,chaos/workload,))
