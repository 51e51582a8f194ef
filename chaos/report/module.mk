$(eval $(call module,chaos/report,proxy/base proxy/wire chaos/experiment chaos/history chaos/check,jansson))
$(eval $(call tests,unit,chaos/report,chaos/report,))
