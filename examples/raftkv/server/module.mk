$(eval $(call module,examples/raftkv/server,examples/raftkv/core examples/raftkv/store proxy/base proxy/io,))
$(eval $(call program,raftkv,examples/raftkv/server))
$(eval $(call tests,unit,examples/raftkv/server,examples/raftkv/server,))
