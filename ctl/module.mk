$(eval $(call module,ctl,proxy/base proxy/wire,))
$(eval $(call program,severctl,ctl))
$(eval $(call tests,unit,ctl,ctl,))
