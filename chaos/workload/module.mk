$(eval $(call module,chaos/workload,proxy/base chaos/experiment chaos/history,jansson libcurl libpq))
$(eval $(call tests,unit,chaos/workload,chaos/workload,))
