$(eval $(call module,proxy/daemon,proxy/base proxy/fault proxy/io proxy/match proxy/stream proxy/datagram proxy/capture proxy/packet proxy/lab proxy/clock proxy/wire proxy/api,))
$(eval $(call program,severd,proxy/daemon))
$(eval $(call tests,unit,proxy/daemon,proxy/daemon,))
