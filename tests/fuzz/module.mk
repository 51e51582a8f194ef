$(eval $(call fuzzer,resp,examples/raftkv/server))
$(eval $(call fuzzer,peer,examples/raftkv/server))
$(eval $(call fuzzer,experiment,chaos/experiment))
$(eval $(call fuzzer,history,chaos/history))
