$(eval $(call tests,integration,,proxy/base proxy/io proxy/wire proxy/clock,))

# Fails calls of a program that it is loaded into (test_torture). No sanitizer in it; and where the
# program has one, allocations are the sanitizer's.
FAILING_LIBRARY := $(BUILD)/lib/libsever-failing.so
FAILING_OBJECT := $(BUILD)/obj/tests/integration/preload/failing.o
OBJECTS += $(FAILING_OBJECT)
$(FAILING_OBJECT): tests/integration/preload/failing.c $(STAMP)
	$(call say,CC,$<)mkdir -p $(@D) && $(CC) $(CPPFLAGS) -std=c11 $(WARNINGS) -O2 -g -fPIC \
	    $(if $(filter asan tsan,$(CONFIG)),,-DFAILING_ALLOCATIONS) -MMD -MP -c $< -o $@
$(FAILING_LIBRARY): $(FAILING_OBJECT)
	$(call say,LINK,$@)mkdir -p $(@D) && $(CC) -shared -Wl,-z,defs $^ -ldl -o $@
$(BUILD)/tests/integration/test_torture: | $(FAILING_LIBRARY)

.PHONY: torture
torture: $(PROGRAMS) $(BUILD)/tests/integration/test_torture ## fail each allocation and system call of severd in turn (long)
	@SEVER_TORTURE=all $(RUN_ENV) $(BUILD)/tests/integration/test_torture
