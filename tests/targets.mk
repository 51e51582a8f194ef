# The verbs. `make help` lists every target that has a "##" comment.

UNIT_JOBS ?= $(shell nproc)
RUN_ENV := SEVER_BIN_DIR=$(abspath $(BUILD))/bin SEVER_SOURCE_DIR=$(CURDIR)
ifeq ($(CONFIG),asan)
RUN_ENV += ASAN_OPTIONS=detect_leaks=1:verify_asan_link_order=0 UBSAN_OPTIONS=print_stacktrace=1
endif
ifeq ($(CONFIG),tsan)
# Thread sanitizer's shadow memory wants the address space where it expects it.
RUN_ENV += TEST_WRAPPER="setarch -R" TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
endif

ifneq ($(filter asan tsan,$(CONFIG)),)
# What a seed leads to is the same in every build, and the other builds play all of them: here it is
# a matter of the paths taken, up to 15 times as slowly.
RUN_ENV += SEVER_SIM_SEEDS=$${SEVER_SIM_SEEDS:-300}
endif

.PHONY: help deps deps-build deps-lint debug clang asan tsan coverage fuzz-build check check-unit \
    check-integration test valgrind demo lint fuzz soak soak-connections bench bench-labs

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' \
	    Makefile tests/targets.mk
	@echo '  CONFIG=debug|clang|asan|tsan|coverage|fuzz chooses the build; V=1 shows commands'

deps: ## install what Debian 12 lacks for everything (root), or say what is missing
	@.ci/deps build test lint
deps-build:
	@.ci/deps build
deps-lint:
	@.ci/deps build lint

demo: deps-build ## split brain with three and five servers: from nothing to the verdicts
	@$(MAKE) --no-print-directory -j$(UNIT_JOBS) all
	@examples/split-brain/demo.sh $(BUILD)

debug: ## build with -Og -g3 in build/debug
	@$(MAKE) --no-print-directory CONFIG=debug all
clang: ## build with clang in build/clang
	@$(MAKE) --no-print-directory CONFIG=clang all
asan: ## build with address and undefined-behaviour sanitizers in build/asan
	@$(MAKE) --no-print-directory CONFIG=asan all
tsan: ## build with the thread sanitizer in build/tsan
	@$(MAKE) --no-print-directory CONFIG=tsan all

# The simulation is the longest of all under a sanitizer: it begins first.
check-unit: $(sim_ALL) $(platform_ALL) $(unit_ALL)
	@$(RUN_ENV) tests/run.sh -j $(UNIT_JOBS) -t 300 -l 'unit ($(CONFIG))' $^
# One at a time where the clock is a judge. A sanitizer is slow whatever runs beside it: there, bounds
# are for what never comes, and most of the time is spent waiting. But a leader that comes too late to
# be followed, or a clock that is read too late, is nothing that a test could wait for.
INTEGRATION_JOBS ?= $(if $(filter asan tsan,$(CONFIG)),2,1)
# The thread sanitizer leaves nothing of the clusters: they are skipped, test by test.
INTEGRATION_TESTS = $(filter-out $(if $(filter tsan,$(CONFIG)),%/test_clusters),$(integration_ALL))
INTEGRATION_ALONE = $(filter %/test_clock %/test_clusters %/test_raftkv %/test_raftkv_client \
    %/test_routed,$(INTEGRATION_TESTS))
check-integration: $(PROGRAMS) $(EXTRA_OUTPUTS) $(conformance_ALL) $(integration_ALL)
	@$(RUN_ENV) tests/run.sh -j $(INTEGRATION_JOBS) -t 600 -l 'integration ($(CONFIG))' \
	    $(conformance_ALL) $(filter-out $(INTEGRATION_ALONE),$(INTEGRATION_TESTS))
	@$(RUN_ENV) tests/run.sh -j 1 -t 600 -l 'integration, alone ($(CONFIG))' $(INTEGRATION_ALONE)
check: ## unit, simulation and integration tests of this CONFIG
	@$(MAKE) --no-print-directory check-unit
	@$(MAKE) --no-print-directory check-integration

# clang: its warnings, and what its optimizer makes of each module, are in the build and the unit and
# simulation tests. The integration tests of the same sources, minutes of mostly waiting for clocks
# and kernels, would run a fourth time to find what those two do not.
CHECK_clang := check-unit
TEST_CONFIGS ?= release clang asan tsan
test: deps ## everything that must be green: lint, then the tests with gcc, clang, asan+ubsan, tsan
	@$(MAKE) --no-print-directory lint
	@for config in $(TEST_CONFIGS); do \
	    $(MAKE) --no-print-directory -j$(UNIT_JOBS) CONFIG=$$config build-all && \
	    $(MAKE) --no-print-directory CONFIG=$$config check-of-test || exit 1; \
	done
	@echo 'make test: all green ($(TEST_CONFIGS))'

.PHONY: build-all check-of-test
check-of-test: $(or $(CHECK_$(CONFIG)),check)
build-all: all $(platform_ALL) $(unit_ALL) $(sim_ALL) $(conformance_ALL) $(integration_ALL)

lint: deps-lint ## format, include table, banned calls, sizes, clang-tidy, cppcheck
	@tests/lint/run.sh

# Not under valgrind: it hides the vDSO, takes descriptors that a test of their limit counts, and can't
# run what makes namespaces: it knows no pidfd_open, and no program of its own in /proc/self/exe.
VALGRIND_LABS := %/test_lab_entry %/test_backend_lab $(addprefix %/proxy/lab/test_,ends nodes ports)
VALGRIND_TESTS = $(filter-out %/test_vdso %/test_listener $(VALGRIND_LABS),$(unit_ALL) $(sim_ALL))
valgrind: $(unit_ALL) $(sim_ALL) ## unit and simulation tests under valgrind's memcheck
	@TEST_WRAPPER='valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite' \
	    SEVER_SIM_SEEDS=20 $(RUN_ENV) tests/run.sh -j $(UNIT_JOBS) -t 900 -l valgrind $(VALGRIND_TESTS)

FUZZ_SECONDS ?= 60
fuzz: ## run every fuzzer for FUZZ_SECONDS (60) from the corpus in tests/fuzz/corpus
	@$(MAKE) --no-print-directory -j$(UNIT_JOBS) CONFIG=fuzz fuzz-build
	@tests/fuzz/run.sh build/fuzz/fuzz $(FUZZ_SECONDS)
fuzz-build: $(FUZZERS)

coverage: ## line coverage of the unit and integration tests, as a table by folder
	@$(MAKE) --no-print-directory -j$(UNIT_JOBS) CONFIG=coverage build-all
	@$(MAKE) --no-print-directory CONFIG=coverage check
	@tests/lint/coverage.sh build/coverage

SOAK_RUNS ?= 100
soak: all ## SOAK_RUNS (100) runs of three.yaml with as many seeds; all must agree
	@examples/split-brain/soak.sh $(BUILD) $(SOAK_RUNS)

SOAK_CONNECTIONS ?= 10000 4000
soak-connections: all $(BUILD)/tests/integration/test_connections ## SOAK_CONNECTIONS (10000, 4000 at once) under changing rules
	@SEVER_SOAK_CONNECTIONS='$(SOAK_CONNECTIONS)' $(RUN_ENV) $(BUILD)/tests/integration/test_connections

BENCH_MISSING := rows of peers that are missing say "not installed"
bench: all $(BENCHMARKS) ## throughput, round trips, delay error, ... of severd and its peers, side by side
	@.ci/deps bench || echo 'bench: $(BENCH_MISSING)' >&2
	@tests/bench/run.sh $(BUILD)
bench-labs: all $(BENCHMARKS) ## the same of labs: beside a veth pair and user-mode networks
	@.ci/deps bench || echo 'bench: $(BENCH_MISSING)' >&2
	@BENCH_ONLY=labs tests/bench/run.sh $(BUILD)
