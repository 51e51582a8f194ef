$(eval $(call module,chaos/report,proxy/base proxy/wire chaos/experiment chaos/history chaos/check chaos/lab chaos/workload chaos/nemesis,jansson))
$(eval $(call tests,unit,chaos/report,chaos/report,))
