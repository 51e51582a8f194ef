/* The experiment reader on any bytes: it refuses with a place in the file, or gives an experiment
 * that keeps its promises. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "chaos/experiment/experiment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *__lsan_default_suppressions(void);

/* libfyaml 0.7 leaks the text of a scalar of many quotes. That what it gives us is given back is
 * seen by the unit tests, which suppress nothing. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct experiment experiment;
    struct error error = {0};
    int result = experiment_parse((const char *)data, size, "f", &experiment, &error);
    if (result) {
        assert(error.message[0] && error.place[0] == 'f');
        assert(!experiment.name && !experiment.steps && !experiment.cluster.nodes);
        return 0;
    }
    assert(experiment.cluster.node_count > 0);
    assert(experiment.cluster.node_count <= EXPERIMENT_NODES_MAX);
    assert(experiment.expectation_count > 0);
    for (size_t i = 0; i < experiment.step_count; i++) {
        assert(experiment.steps[i].at_ns <= experiment.duration_ns);
        assert(i == 0 || experiment.steps[i - 1].at_ns <= experiment.steps[i].at_ns);
        assert(experiment.steps[i].text);
        assert(memchr(experiment.steps[i].name, '\0', RULESET_NAME_MAX));
    }
    experiment_free(&experiment);
    return 0;
}
