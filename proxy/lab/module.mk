$(eval $(call module,proxy/lab,proxy/base proxy/fault proxy/io proxy/stream proxy/packet,libnl-3.0 libnl-route-3.0))
$(eval $(call tests,unit,proxy/lab,proxy/lab proxy/wire,))
