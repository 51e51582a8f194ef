$(eval $(call tests,integration,,proxy/base proxy/wire proxy/clock,))
