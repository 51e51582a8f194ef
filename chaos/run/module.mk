$(eval $(call module,chaos/run,proxy/base proxy/wire chaos/experiment chaos/history chaos/check chaos/lab chaos/workload chaos/nemesis chaos/report,))
$(eval $(call tests,unit,chaos/run,chaos/run,))
$(eval $(call program,sever,chaos/run))
