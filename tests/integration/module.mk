$(eval $(call tests,integration,,proxy/base proxy/io proxy/wire proxy/clock,))
