$(eval $(call module,proxy/capture,proxy/base proxy/fault proxy/match,))
$(eval $(call tests,unit,proxy/capture,proxy/capture,))
