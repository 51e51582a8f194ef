$(eval $(call module,chaos/lab,proxy/base proxy/wire chaos/experiment,))
$(eval $(call tests,unit,chaos/lab,chaos/lab,))
