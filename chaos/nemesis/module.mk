$(eval $(call module,chaos/nemesis,proxy/base proxy/wire chaos/experiment chaos/lab,))
$(eval $(call tests,unit,chaos/nemesis,chaos/nemesis,))
