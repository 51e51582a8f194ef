$(eval $(call module,tests/lib,proxy/base,))
