$(eval $(call module,proxy/packet,proxy/base proxy/fault proxy/io proxy/match proxy/capture,))
$(eval $(call tests,unit,proxy/packet,proxy/packet,libnl-route-3.0))
