$(eval $(call module,ctl,proxy/base proxy/wire proxy/fault,))
$(eval $(call program,severctl,ctl))
$(eval $(call tests,unit,ctl,ctl,))
