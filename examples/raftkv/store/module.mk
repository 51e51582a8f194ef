$(eval $(call module,examples/raftkv/store,examples/raftkv/core proxy/base,))
$(eval $(call tests,unit,examples/raftkv/store,examples/raftkv/store,))
