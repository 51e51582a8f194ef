$(eval $(call tests,platform,,proxy/base proxy/io,))
