$(eval $(call module,proxy/fault,proxy/base,))
$(eval $(call tests,unit,proxy/fault,proxy/fault,))
