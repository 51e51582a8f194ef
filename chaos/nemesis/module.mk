$(eval $(call module,chaos/nemesis,proxy/base proxy/fault proxy/wire chaos/experiment chaos/check chaos/lab,))
$(eval $(call tests,unit,chaos/nemesis,chaos/nemesis,))
