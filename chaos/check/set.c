/* Theory of operation. The elements that were read are sorted once; each addition is then looked
 * up. What is left over, seen from the elements' side, nobody can have added: the sum of what was
 * found tells how many, as no element is added twice. An element that was read twice is unexpected,
 * too.
 */
#include <stdlib.h>
#include <string.h>

#include "chaos/check/judge.h"
#include "proxy/base/text.h"

static int compare_values(const void *left, const void *right)
{
    const int64_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static void note(struct check_set *result, size_t operation)
{
    if (result->evidence_count < sizeof(result->evidence) / sizeof(result->evidence[0]))
        result->evidence[result->evidence_count++] = operation;
}

/* Returns whether the element is there by right. */
static bool look_at(const struct history_operation *operation, size_t index, bool there,
                    struct check_set *result)
{
    switch (operation->outcome) {
    case HISTORY_OK:
        result->acknowledged++;
        result->lost += !there;
        if (!there)
            note(result, index);
        return there;
    case HISTORY_UNKNOWN:
        result->unknown++;
        result->recovered += there;
        return there;
    default:
        result->refused++;
        if (there)
            note(result, index);
        return false;
    }
}

void check_set(const struct history *history, struct check_set *result)
{
    const struct history_final *final = &history->final;
    size_t expected = 0;
    *result = (struct check_set){.read = final->read};
    if (!final->read)
        return;
    int64_t *values = memory_allocate_zeroed(final->count + 1, sizeof(*values));
    if (final->count) {
        memcpy(values, final->values, final->count * sizeof(*values));
        qsort(values, final->count, sizeof(*values), compare_values);
    }
    for (size_t i = 0; i < history->count; i++) {
        const struct history_operation *operation = &history->operations[i];
        if (operation->function != HISTORY_ADD)
            continue;
        bool there = final->count && bsearch(&operation->value, values, final->count,
                                             sizeof(*values), compare_values) != NULL;
        expected += look_at(operation, i, there, result);
    }
    result->unexpected = final->count - expected;
    free(values);
}

void judge_lost(struct judge *judge)
{
    const struct experiment_expectation *expectation = judge->expectation;
    struct check_set set;
    check_set(judge->history, &set);
    for (size_t i = 0; i < set.evidence_count; i++)
        judge_add_evidence(judge, set.evidence[i]);
    if (!set.read) {
        judge_conclude(judge, CHECK_UNKNOWN, "not tested: the elements were not read at the end");
        return;
    }
    bool holds =
        expectation->at_most ? set.lost <= expectation->count : set.lost >= expectation->count;
    if (set.unexpected > 0)
        judge_conclude(judge, CHECK_FAIL,
                       "%zu elements on %s were refused, or never added; %zu of %zu acknowledged "
                       "were lost",
                       set.unexpected, judge->history->final.node, set.lost, set.acknowledged);
    else if (holds && !judge->faults)
        judge_conclude(judge, CHECK_UNKNOWN, "not tested: no fault was ever in force");
    else if (holds && set.acknowledged == 0)
        judge_conclude(judge, CHECK_UNKNOWN, "not tested: nothing was acknowledged");
    else
        judge_conclude(judge, holds ? CHECK_PASS : CHECK_FAIL,
                       "%zu of %zu acknowledged were lost (%.3g %%), read on %s; %zu unknown, %zu "
                       "of them there",
                       set.lost, set.acknowledged,
                       set.acknowledged ? 100.0 * (double)set.lost / (double)set.acknowledged : 0.0,
                       judge->history->final.node, set.unknown, set.recovered);
}

/* ---- writes wait ------------------------------------------------------------------------------
 */

struct stretch { /* of time with some link cut */
    uint64_t begin_ns, end_ns;
};

struct waits {
    size_t begun;  /* writes begun while something was cut */
    size_t early;  /* acknowledged late enough after the cut, and before the heal */
    size_t waited; /* begun before the heal, perhaps before the cut, and acknowledged after it */
};

static void look_at_stretch(struct judge *judge, const struct stretch *stretch, struct waits *waits)
{
    uint64_t from_ns = stretch->begin_ns + judge->expectation->within_ns;
    for (size_t i = 0; i < judge->history->count; i++) {
        const struct history_operation *operation = &judge->history->operations[i];
        if (operation->function == HISTORY_READ || operation->invoke_ns >= stretch->end_ns)
            continue;
        waits->begun += operation->invoke_ns >= stretch->begin_ns;
        if (operation->outcome != HISTORY_OK || operation->return_ns <= from_ns)
            continue;
        if (operation->return_ns < stretch->end_ns) {
            waits->early++;
            judge_add_evidence(judge, i);
        } else {
            waits->waited++;
        }
    }
}

void judge_writes_wait(struct judge *judge)
{
    const struct check_timeline *timeline = judge->timeline;
    struct waits waits = {0};
    size_t stretches = 0;
    for (size_t i = 0; i < timeline->count;) {
        if (!timeline->periods[i].partitioned) {
            i++;
            continue;
        }
        struct stretch stretch = {.begin_ns = timeline->periods[i].begin_ns};
        for (; i < timeline->count && timeline->periods[i].partitioned; i++)
            stretch.end_ns = timeline->periods[i].end_ns;
        look_at_stretch(judge, &stretch, &waits);
        stretches++;
    }
    double allowed = judge_seconds(judge->expectation->within_ns);
    if (stretches == 0)
        judge_conclude(judge, CHECK_UNKNOWN, "not tested: no link was ever cut");
    else if (waits.early > 0)
        judge_conclude(judge, CHECK_FAIL,
                       "%zu writes were acknowledged later than %.3g s after the cut, before the "
                       "heal",
                       waits.early, allowed);
    else if (waits.waited == 0)
        judge_conclude(judge, CHECK_UNKNOWN,
                       "not tested: of %zu writes begun during the cut none was acknowledged after "
                       "the heal",
                       waits.begun);
    else
        judge_conclude(
            judge, CHECK_PASS,
            "none was acknowledged from %.3g s after the cut to the heal; %zu waited for "
            "that",
            allowed, waits.waited);
}
