/* Theory of operation. A register's operations say nothing about another's, so a history is
 * linearizable when each key's part is (Herlihy and Wing's locality; Horn and Kroening). Keys are
 * checked one after the other under one bound on steps; the first that fails ends the check, one
 * that runs out of its bound doesn't: a failure of a later key is worth more than "unknown".
 *
 * Nothing can be wrong with a history in which nothing was acknowledged, or nothing looked. It has
 * an order, but that is no pass: without an acknowledged change, and an answer under the same key
 * that could have shown it, the verdict is unknown. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/check/register.h"
#include "proxy/base/text.h"

#define DEFAULT_MEMORY (UINT64_C(512) << 20)
#define DEFAULT_STEPS UINT64_C(200000000)

static int compare_indexes(const void *left, const void *right, void *context)
{
    const struct history *history = context;
    size_t a = *(const size_t *)left, b = *(const size_t *)right;
    const struct history_operation *one = &history->operations[a], *two = &history->operations[b];
    int order = strcmp(one->key, two->key);
    if (order)
        return order;
    if (one->invoke_ns != two->invoke_ns)
        return one->invoke_ns < two->invoke_ns ? -1 : 1;
    return (a > b) - (a < b);
}

static void set_unknown(struct check_linearizable *result, const char *key,
                        const struct register_result *search,
                        const struct check_linearizable_limits *limits, size_t count)
{
    if (result->verdict == CHECK_UNKNOWN)
        return; /* the first is told */
    result->verdict = CHECK_UNKNOWN;
    snprintf(result->key, sizeof(result->key), "%s", key);
    if (search->out_of_memory)
        snprintf(result->reason, sizeof(result->reason),
                 "ran out of %" PRIu64 " MiB after %zu of %zu operations of key '%s'",
                 limits->memory_bytes >> 20, search->reached, count, key);
    else
        snprintf(result->reason, sizeof(result->reason),
                 "ran out of steps (%" PRIu64 ") after %zu of %zu operations of key '%s'",
                 search->steps, search->reached, count, key);
}

static void set_fail(struct check_linearizable *result, const char *key,
                     struct register_operation *operations, size_t count,
                     const struct check_linearizable_limits *limits)
{
    uint64_t steps = limits->steps;
    size_t core = register_shrink(operations, count, limits, &steps);
    result->verdict = CHECK_FAIL;
    snprintf(result->key, sizeof(result->key), "%s", key);
    snprintf(result->reason, sizeof(result->reason),
             "no order of the operations of key '%s' fits what they saw; %zu of them show it", key,
             core);
    result->core = memory_allocate_zeroed(core, sizeof(result->core[0]));
    result->core_count = core;
    for (size_t i = 0; i < core; i++)
        result->core[i] = operations[i].index;
}

/* Unknown writes make mismatches costly: each may have been the one that explains them. A history
 * that fails without its mismatches fails with them, and is told from the others in far fewer
 * steps; so they are left out at first. *count is what the verdict is about. */
static void solve(struct register_operation *operations, size_t *count,
                  const struct check_linearizable_limits *limits, uint64_t *steps,
                  struct register_result *result)
{
    struct check_linearizable_limits left = {limits->memory_bytes, *steps};
    struct register_operation *plain = memory_allocate_zeroed(*count, sizeof(*plain));
    size_t used = 0, optional = 0;
    for (size_t i = 0; i < *count; i++) {
        optional += operations[i].optional;
        if (operations[i].kind != REGISTER_MISMATCH)
            plain[used++] = operations[i];
    }
    result->verdict = CHECK_UNKNOWN;
    if (optional > 0 && used < *count) {
        left.steps = *steps / 2;
        register_solve(plain, used, &left, result);
        *steps -= result->steps < *steps ? result->steps : *steps;
        left.steps = *steps;
    }
    if (result->verdict == CHECK_FAIL) {
        memcpy(operations, plain, used * sizeof(*plain));
        *count = used;
    } else {
        register_solve(operations, *count, &left, result);
        *steps -= result->steps < *steps ? result->steps : *steps;
    }
    free(plain);
}

/* Is there an acknowledged change, and another operation that looked and ended after the change had
 * begun? operations: in invocation order. */
static bool is_tested(const struct register_operation *operations, size_t count)
{
    bool changed = false, looked = false;
    uint64_t looked_ns = 0; /* the latest end of one that looked */
    for (size_t i = 0; i < count; i++) {
        const struct register_operation *operation = &operations[i];
        bool changes = operation->kind == REGISTER_WRITE || operation->kind == REGISTER_CAS;
        bool looks = operation->kind != REGISTER_WRITE;
        if (operation->optional)
            continue;
        if ((looks && changed) || (changes && looked && looked_ns >= operation->invoke_ns))
            return true;
        changed |= changes;
        looked |= looks;
        if (looks && operation->return_ns > looked_ns)
            looked_ns = operation->return_ns;
    }
    return false;
}

static void set_untested(struct check_linearizable *result)
{
    result->verdict = CHECK_UNKNOWN;
    snprintf(result->reason, sizeof(result->reason), "not tested: %s",
             result->checked == 0
                 ? "no operation was acknowledged"
                 : "no change was acknowledged under a key that a read or cas then looked at");
}

static void check_key(const struct history *history, const size_t *indexes, size_t count,
                      const struct check_linearizable_limits *limits, uint64_t *steps,
                      struct check_linearizable *result)
{
    struct register_operation *operations = memory_allocate_zeroed(count, sizeof(*operations));
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        used +=
            register_operation_of(&history->operations[indexes[i]], indexes[i], &operations[used]);
    struct register_result search;
    uint64_t before = *steps;
    result->checked += used;
    result->tested |= is_tested(operations, used);
    solve(operations, &used, limits, steps, &search);
    result->steps += before - *steps;
    const char *key = history->operations[indexes[0]].key;
    if (search.verdict == CHECK_UNKNOWN)
        set_unknown(result, key, &search, limits, used);
    else if (search.verdict == CHECK_FAIL)
        set_fail(result, key, operations, used, limits);
    free(operations);
}

void check_linearizable(const struct history *history,
                        const struct check_linearizable_limits *limits,
                        struct check_linearizable *result)
{
    struct check_linearizable_limits bound = {
        limits && limits->memory_bytes ? limits->memory_bytes : DEFAULT_MEMORY,
        limits && limits->steps ? limits->steps : DEFAULT_STEPS};
    *result = (struct check_linearizable){.verdict = CHECK_PASS};
    size_t count = history->count;
    size_t *indexes = memory_allocate_zeroed(count, sizeof(*indexes));
    for (size_t i = 0; i < count; i++)
        indexes[i] = i;
    if (count)
        qsort_r(indexes, count, sizeof(*indexes), compare_indexes, (void *)(uintptr_t)history);
    uint64_t steps = bound.steps;
    for (size_t begin = 0; begin < count && result->verdict != CHECK_FAIL;) {
        size_t end = begin + 1;
        while (end < count && strcmp(history->operations[indexes[begin]].key,
                                     history->operations[indexes[end]].key) == 0)
            end++;
        check_key(history, indexes + begin, end - begin, &bound, &steps, result);
        begin = end;
    }
    if (result->verdict == CHECK_PASS && !result->tested)
        set_untested(result);
    free(indexes);
}

void check_linearizable_free(struct check_linearizable *result)
{
    free(result->core);
    *result = (struct check_linearizable){0};
}
