$(eval $(call module,examples/raftkv/core,,))
$(eval $(call tests,unit,examples/raftkv/core,examples/raftkv/core,))
$(eval $(call tests,sim,examples/raftkv,examples/raftkv/core proxy/base,))
