$(eval $(call module,proxy/clock,proxy/base,))
$(eval $(call tests,unit,proxy/clock,proxy/clock,))

# The preload library: no sanitizer whatever CONFIG says, for it is loaded into other programs;
# only what is marked as exported is visible; bound at load, so that no call runs the linker.
CLOCK_LIBRARY := $(BUILD)/lib/libsever-clock.so
CLOCK_LIBRARY_OBJECTS := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard proxy/clock/preload/*.c))
OBJECTS += $(CLOCK_LIBRARY_OBJECTS)
EXTRA_OUTPUTS += $(CLOCK_LIBRARY)

$(CLOCK_LIBRARY_OBJECTS): $(BUILD)/obj/%.o: %.c $(STAMP)
	$(call say,CC,$<)mkdir -p $(@D) && $(CC) $(CPPFLAGS) -std=c11 $(WARNINGS) -O2 -g -fPIC \
	    -fvisibility=hidden -MMD -MP -c $< -o $@
$(CLOCK_LIBRARY): $(CLOCK_LIBRARY_OBJECTS)
	$(call say,LINK,$@)mkdir -p $(@D) && $(CC) -shared -Wl,-soname,$(@F) -Wl,-z,defs -Wl,-z,now \
	    -Wl,-z,relro $^ -o $@
