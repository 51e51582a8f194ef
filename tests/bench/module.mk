$(eval $(call module,tests/bench/lib,proxy/base proxy/wire,))

# $(call benchmark,NAME,MODULES,EXTRA PACKAGES): tests/bench/NAME.c is one load generator, build/bench/NAME.
define benchmark
BENCHMARKS += $(BUILD)/bench/$(1)
OBJECTS += $(BUILD)/obj/tests/bench/$(1).o
$(BUILD)/obj/tests/bench/$(1).o: PKG_CFLAGS = $$(call pkg_cflags,$$(call all_pkgs,$(2)) $(3))
$(BUILD)/bench/$(1): MODULE = $(2) tests/bench/lib
$(BUILD)/bench/$(1): EXTRA_PKGS = $(3)
$(BUILD)/bench/$(1): $(BUILD)/obj/tests/bench/$(1).o $$$$(call all_archives,$(2) tests/bench/lib)
	$$(call say,LINK,$$@)$$(call link)
endef

$(eval $(call benchmark,throughput,))
$(eval $(call benchmark,roundtrip,))
$(eval $(call benchmark,connections,))
$(eval $(call benchmark,idle,))
$(eval $(call benchmark,datagrams,))
$(eval $(call benchmark,delay,))
$(eval $(call benchmark,sleep,))
$(eval $(call benchmark,split,proxy/wire))
$(eval $(call benchmark,packets,,))
$(eval $(call benchmark,loss,,))
$(eval $(call benchmark,cable,,libnl-3.0 libnl-route-3.0))
