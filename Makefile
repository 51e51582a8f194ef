# One non-recursive Makefile. Each folder with code has a module.mk that says what it is and what
# it may use; the link lines of programs and tests follow from that. `make lint` holds each include
# to the table in proxy/doc/ARCHITECTURE.md.
#
#   CONFIG=release|debug|clang|asan|tsan|coverage|fuzz   V=1 shows commands   make help

CONFIG ?= release
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' '$(1)' '$(2)';)

.DEFAULT_GOAL := all
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDEXPANSION: # archives of a module are known when every module.mk has been read

CONFIGS := release debug clang asan tsan coverage fuzz
ifeq ($(filter $(CONFIG),$(CONFIGS)),)
$(error CONFIG is '$(CONFIG)': write one of $(CONFIGS))
endif
BUILD ?= $(if $(filter release,$(CONFIG)),build,build/$(CONFIG))

ifneq ($(filter clang fuzz,$(CONFIG)),)
CC := clang
endif
ifeq ($(origin CC),default)
CC := gcc
endif
PKG_CONFIG ?= pkg-config

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
    -Wformat=2 -Wundef -Wcast-qual -Wpointer-arith -Wwrite-strings -Werror
# gcc only: fixed fields are cut on purpose, by snprintf.
ifeq ($(findstring clang,$(CC)),)
WARNINGS += -Wno-format-truncation
endif
OPT_release := -O2 -g
OPT_clang := -O2 -g
OPT_debug := -Og -g3
OPT_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
OPT_coverage := -O0 -g --coverage
OPT_fuzz := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link \
    -fno-sanitize-recover=undefined
CPPFLAGS += -I. -D_GNU_SOURCE
ALL_CFLAGS = -std=c11 $(WARNINGS) $(OPT_$(CONFIG)) -pthread -fstack-protector-strong $(CFLAGS)
ALL_LDFLAGS = $(OPT_$(CONFIG)) -pthread $(LDFLAGS)

# Objects are rebuilt when compiler or flags change.
STAMP := $(BUILD)/.flags
FLAGS_NOW := $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS)
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(FLAGS_NOW))
$(shell mkdir -p $(BUILD) && printf '%s' '$(FLAGS_NOW)' > $(STAMP))
endif

pkg_cflags = $(if $(1),$(shell $(PKG_CONFIG) --cflags $(1) 2>/dev/null))
pkg_libs = $(if $(1),$(shell $(PKG_CONFIG) --libs $(1) 2>/dev/null))
archive = $(BUILD)/lib/$(subst /,-,$(1)).a
# A module and everything it may use, dependents before what they depend on.
closure = $(1) $(foreach d,$(DEPS_$(1)),$(call closure,$(d)))
unique = $(if $(1),$(call unique,$(filter-out $(lastword $(1)),$(1))) $(lastword $(1)))
all_archives = $(foreach m,$(call unique,$(foreach d,$(1),$(call closure,$(d)))),$(call archive,$(m)))
all_pkgs = $(sort $(foreach m,$(foreach d,$(1),$(call closure,$(d))),$(PKGS_$(m))))

OBJECTS :=
MODULES :=
PROGRAMS :=
UNIT_TESTS :=
SIM_TESTS :=
CONFORMANCE_TESTS :=
INTEGRATION_TESTS :=
PLATFORM_TESTS :=
FUZZERS :=

# $(call module,DIR,MODULES IT MAY USE,PKG-CONFIG PACKAGES): one static archive per folder.
define module
MODULES += $(1)
DEPS_$(1) := $(2)
PKGS_$(1) := $(3)
OBJ_$(1) := $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out %/main.c,$(wildcard $(1)/*.c)))
OBJECTS += $$(OBJ_$(1))
$$(OBJ_$(1)) $(BUILD)/obj/$(1)/main.o: PKG_CFLAGS = $$(call pkg_cflags,$$(call all_pkgs,$(1)))
$(call archive,$(1)): $$(OBJ_$(1))
endef

# $(call program,NAME,MODULE): links MODULE/main.c with the module and all it may use.
define program
PROGRAMS += $(BUILD)/bin/$(1)
OBJECTS += $(BUILD)/obj/$(2)/main.o
$(BUILD)/bin/$(1): MODULE = $(2)
$(BUILD)/bin/$(1): $(BUILD)/obj/$(2)/main.o $$$$(call all_archives,$(2))
endef

# $(call tests,KIND,FOLDER UNDER tests/KIND OR NOTHING,MODULES,EXTRA PACKAGES): every test_*.c there is one
# program, one cmocka group, linked with only these modules (and what they may use).
define tests
$(1)_SRC_$(2) := $(wildcard tests/$(1)$(addprefix /,$(2))/test_*.c)
$(1)_BIN_$(2) := $$(patsubst tests/%.c,$(BUILD)/tests/%,$$($(1)_SRC_$(2)))
$(1)_ALL += $$($(1)_BIN_$(2))
OBJECTS += $$(patsubst %.c,$(BUILD)/obj/%.o,$$($(1)_SRC_$(2)))
$$(patsubst %.c,$(BUILD)/obj/%.o,$$($(1)_SRC_$(2))): \
    PKG_CFLAGS = $$(call pkg_cflags,cmocka $$(call all_pkgs,$(3)) $(4))
$$($(1)_BIN_$(2)): MODULE = $(3) tests/lib
$$($(1)_BIN_$(2)): EXTRA_PKGS = cmocka $(4)
$$($(1)_BIN_$(2)): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $$$$(call all_archives,$(3) tests/lib)
endef

# $(call fuzzer,NAME,MODULES,EXTRA PACKAGES): tests/fuzz/fuzz_NAME.c with libFuzzer, corpus in
# tests/fuzz/corpus/NAME.
define fuzzer
FUZZERS += $(BUILD)/fuzz/$(1)
OBJECTS += $(BUILD)/obj/tests/fuzz/fuzz_$(1).o
$(BUILD)/obj/tests/fuzz/fuzz_$(1).o: PKG_CFLAGS = $$(call pkg_cflags,$$(call all_pkgs,$(2)) $(3))
$(BUILD)/fuzz/$(1): MODULE = $(2)
$(BUILD)/fuzz/$(1): EXTRA_PKGS = $(3)
$(BUILD)/fuzz/$(1): $(BUILD)/obj/tests/fuzz/fuzz_$(1).o $$$$(call all_archives,$(2))
endef

include $(sort $(shell find proxy ctl chaos examples tests -name module.mk))
include tests/targets.mk

.PHONY: all
all: $(PROGRAMS) $(EXTRA_OUTPUTS)

$(BUILD)/obj/%.o: %.c $(STAMP)
	$(call say,CC,$<)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/lib/%.a:
	$(call say,AR,$@)mkdir -p $(@D) && rm -f $@ && ar rcsD $@ $(filter %.o,$^)

link = mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) $(EXTRA_LINK) $(1) $(filter %.o,$^) -Wl,--start-group \
    $(filter %.a,$^) -Wl,--end-group $(call pkg_libs,$(call all_pkgs,$(MODULE)) $(EXTRA_PKGS)) -lm -o $@

$(PROGRAMS):
	$(call say,LINK,$@)$(call link)
$(unit_ALL) $(sim_ALL) $(conformance_ALL) $(integration_ALL) $(platform_ALL):
	$(call say,LINK,$@)$(call link)
$(FUZZERS):
	$(call say,LINK,$@)$(call link,-fsanitize=fuzzer)

.PHONY: clean
clean: ## remove everything that was built
	rm -rf build

-include $(OBJECTS:.o=.d)
