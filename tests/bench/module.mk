$(eval $(call module,tests/bench/lib,proxy/base,))

# $(call benchmark,NAME,MODULES): tests/bench/NAME.c is one load generator, build/bench/NAME.
define benchmark
BENCHMARKS += $(BUILD)/bench/$(1)
OBJECTS += $(BUILD)/obj/tests/bench/$(1).o
$(BUILD)/obj/tests/bench/$(1).o: PKG_CFLAGS = $$(call pkg_cflags,$$(call all_pkgs,$(2)))
$(BUILD)/bench/$(1): MODULE = $(2) tests/bench/lib
$(BUILD)/bench/$(1): $(BUILD)/obj/tests/bench/$(1).o $$$$(call all_archives,$(2) tests/bench/lib)
	$$(call say,LINK,$$@)$$(call link)
endef

$(eval $(call benchmark,throughput,))
$(eval $(call benchmark,roundtrip,))
$(eval $(call benchmark,connections,))
$(eval $(call benchmark,idle,))
$(eval $(call benchmark,datagrams,))
$(eval $(call benchmark,delay,))
$(eval $(call benchmark,split,proxy/wire))
