$(eval $(call module,chaos/check,proxy/base chaos/history chaos/experiment,))
$(eval $(call tests,unit,chaos/check,chaos/check,))
