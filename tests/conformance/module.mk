$(eval $(call tests,conformance,,proxy/base proxy/wire,))

# The public client is installed below the build folder; where that is impossible, what npm said is
# kept instead, and the test that drives it is skipped with those words.
CONFORMANCE_NODE := $(BUILD)/conformance/node
$(CONFORMANCE_NODE)/.tried: $(wildcard tests/conformance/node/*)
	$(call say,NPM,$(@D))tests/conformance/install.sh tests/conformance/node $(@D)
$(BUILD)/tests/conformance/test_node_client: | $(CONFORMANCE_NODE)/.tried

.PHONY: conformance
conformance: $(PROGRAMS) $(conformance_ALL) ## the tests that clients of Toxiproxy are served as they expect
	@$(RUN_ENV) tests/run.sh -j 1 -t 300 -l 'conformance ($(CONFIG))' $(conformance_ALL)
