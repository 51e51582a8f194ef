/* What experiment_parse must refuse: a good file in which `from` is `to`, and the error that says
 * where (line:column) and what to write instead. */
#ifndef SEVER_TESTS_EXPERIMENT_REFUSALS_H
#define SEVER_TESTS_EXPERIMENT_REFUSALS_H

#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "chaos/experiment/experiment.h"
#include "proxy/base/text.h"

struct refusal {
    const char *from, *to, *error;
};

static inline int parse(const char *text, struct experiment *experiment, struct error *error)
{
    return experiment_parse(text, strlen(text), "f.yaml", experiment, error);
}

static inline void assert_refused(const char *good, const struct refusal *refusal)
{
    struct text text = {0};
    struct experiment experiment, empty = {0};
    struct error error = {0};
    char expected[1024], got[1024];
    const char *at = strstr(good, refusal->from);
    assert_non_null(at);
    text_append_bytes(&text, good, (size_t)(at - good));
    text_append(&text, "%s%s", refusal->to, at + strlen(refusal->from));
    assert_int_equal(parse(text_get(&text), &experiment, &error), -EINVAL);
    snprintf(expected, sizeof(expected), "f.yaml:%s", refusal->error);
    assert_string_equal(error_text(&error, got, sizeof(got)), expected);
    assert_memory_equal(&experiment, &empty, sizeof(empty));
    text_free(&text);
}

#endif
