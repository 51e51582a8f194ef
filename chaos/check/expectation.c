/* Theory of operation. The timeline cuts the run into periods in which nothing changes: who is
 * alive, who can talk to whom. An operation belongs to the period in which it was *begun*, at the
 * node that it asked. An operation is answered when it came back ok, or as a cas that found another
 * value: a refusal in the name of the register's content is service, too.
 *
 * An expectation is judged only by operations that put it to the test; where there are none the
 * verdict is unknown, and the summary says what was missing. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "chaos/check/judge.h"
#include "proxy/base/random.h"

enum { NO_NODE = SIZE_MAX };

static bool is_answered(const struct history_operation *operation)
{
    return operation->outcome == HISTORY_OK || operation->outcome == HISTORY_MISMATCH;
}

static size_t node_index(const struct check_timeline *timeline, const char *name)
{
    for (size_t i = 0; i < timeline->node_count; i++)
        if (strcmp(timeline->nodes[i], name) == 0)
            return i;
    return NO_NODE;
}

/* The period that a time falls in, NULL outside the run. The end belongs to the next period, the
 * last one's to itself. */
static const struct check_period *period_at(const struct check_timeline *timeline, uint64_t time_ns)
{
    size_t low = 0, high = timeline->count;
    if (high == 0 || time_ns < timeline->periods[0].begin_ns ||
        time_ns > timeline->periods[high - 1].end_ns)
        return NULL;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (timeline->periods[middle].begin_ns <= time_ns)
            low = middle;
        else
            high = middle;
    }
    return &timeline->periods[low];
}

void judge_add_evidence(struct judge *judge, size_t operation)
{
    struct check_result *result = judge->result;
    if (result->evidence_count < sizeof(result->evidence) / sizeof(result->evidence[0]))
        result->evidence[result->evidence_count++] = operation;
}

void judge_conclude(struct judge *judge, enum check_verdict verdict, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(judge->result->summary, sizeof(judge->result->summary), format, args);
    va_end(args);
    judge->result->verdict = verdict;
    if (verdict != CHECK_FAIL)
        judge->result->evidence_count = 0;
}

/* ---- minority stops ----------------------------------------------------------------------------
 */

struct minority {
    size_t splits;       /* times that a node found itself on a side without majority */
    size_t tested;       /* operations begun there later than allowed */
    size_t violations;   /* of these, the ones that succeeded before the heal */
    uint64_t stopped_ns; /* longest time from a split to the last success begun after it */
    const char *slowest; /* the node that did it */
};

/* One node's time without majority, from begin_ns to end_ns. */
static void judge_episode(struct judge *judge, size_t node, uint64_t begin_ns, uint64_t end_ns,
                          struct minority *minority)
{
    uint64_t within_ns = judge->expectation->within_ns;
    const char *name = judge->timeline->nodes[node];
    minority->splits++;
    for (size_t i = 0; i < judge->history->count; i++) {
        const struct history_operation *operation = &judge->history->operations[i];
        if (operation->invoke_ns < begin_ns || operation->invoke_ns >= end_ns ||
            strcmp(operation->node, name) != 0)
            continue;
        uint64_t since_ns = operation->invoke_ns - begin_ns;
        bool late = since_ns > within_ns;
        bool served = is_answered(operation) && operation->return_ns < end_ns;
        minority->tested += late;
        if (!served)
            continue;
        if (since_ns >= minority->stopped_ns) {
            minority->stopped_ns = since_ns;
            minority->slowest = name;
        }
        if (late) {
            minority->violations++;
            judge_add_evidence(judge, i);
        }
    }
}

/* The period after the last that the node spends without majority, from period `begin` on; begin
 * when it has one there. While it is not alive it is on no side, and it is no better off when it
 * comes back to the same: its time goes on as long as something is cut. */
static size_t end_of_episode(const struct check_timeline *timeline, size_t node, size_t begin)
{
    size_t end = begin;
    for (size_t i = begin; i < timeline->count; i++) {
        const struct check_period *period = &timeline->periods[i];
        bool away = i > begin && period->partitioned && !period->alive[node];
        if (period->side[node] == CHECK_SIDE_MINORITY)
            end = i + 1;
        else if (!away)
            break;
    }
    return end;
}

static void judge_minority(struct judge *judge)
{
    const struct check_timeline *timeline = judge->timeline;
    double allowed = judge_seconds(judge->expectation->within_ns);
    struct minority minority = {0};
    for (size_t node = 0; node < timeline->node_count; node++) {
        for (size_t i = 0; i < timeline->count;) {
            size_t end = end_of_episode(timeline, node, i);
            if (end > i)
                judge_episode(judge, node, timeline->periods[i].begin_ns,
                              timeline->periods[end - 1].end_ns, &minority);
            i = end > i ? end : i + 1;
        }
    }
    if (minority.splits == 0)
        judge_conclude(judge, CHECK_UNKNOWN,
                       "not tested: no node was ever on a side without majority");
    else if (minority.violations > 0)
        judge_conclude(
            judge, CHECK_FAIL,
            "%zu operation%s begun later than %.3g s after the split succeeded without a "
            "majority; the last at %s, %.2f s after it",
            minority.violations, minority.violations == 1 ? "" : "s", allowed, minority.slowest,
            judge_seconds(minority.stopped_ns));
    else if (minority.tested == 0)
        judge_conclude(
            judge, CHECK_UNKNOWN,
            "not tested: no operation was begun on a side without majority later than %.3g s "
            "after the split",
            allowed);
    else if (!minority.slowest)
        judge_conclude(judge, CHECK_PASS,
                       "minority stopped at once (%.3g s allowed; %zu operations tried later)",
                       allowed, minority.tested);
    else
        judge_conclude(
            judge, CHECK_PASS,
            "minority stopped %.2f s after the split (%.3g s allowed; %zu operations tried "
            "later)",
            judge_seconds(minority.stopped_ns), allowed, minority.tested);
}

/* ---- recovers ----------------------------------------------------------------------------------
 */

struct recovery {
    size_t tried;      /* operations begun at the node after the last heal */
    uint64_t first_ns; /* the first that was answered, HISTORY_NEVER: none */
};

static struct recovery find_recovery(struct judge *judge, size_t node, uint64_t healed_ns)
{
    struct recovery recovery = {.first_ns = HISTORY_NEVER};
    for (size_t i = 0; i < judge->history->count; i++) {
        const struct history_operation *operation = &judge->history->operations[i];
        if (operation->invoke_ns < healed_ns ||
            strcmp(operation->node, judge->timeline->nodes[node]) != 0)
            continue;
        recovery.tried++;
        if (is_answered(operation) && operation->return_ns < recovery.first_ns)
            recovery.first_ns = operation->return_ns;
    }
    return recovery;
}

static void add_unanswered(struct judge *judge, size_t node, uint64_t healed_ns)
{
    for (size_t i = 0; i < judge->history->count; i++)
        if (judge->history->operations[i].invoke_ns >= healed_ns &&
            !is_answered(&judge->history->operations[i]) &&
            strcmp(judge->history->operations[i].node, judge->timeline->nodes[node]) == 0)
            judge_add_evidence(judge, i);
}

static void judge_nodes(struct judge *judge, uint64_t healed_ns, uint64_t end_ns,
                        const struct check_period *last)
{
    uint64_t within_ns = judge->expectation->within_ns, slowest_ns = 0;
    const char *slowest = "", *silent = NULL, *untried = NULL;
    size_t nodes = 0;
    for (size_t node = 0; node < judge->timeline->node_count; node++) {
        if (!last->alive[node] && !last->restarting[node])
            continue;
        struct recovery recovery = find_recovery(judge, node, healed_ns);
        nodes++;
        if (recovery.tried == 0) {
            untried = judge->timeline->nodes[node];
        } else if (recovery.first_ns == HISTORY_NEVER) {
            silent = judge->timeline->nodes[node];
            add_unanswered(judge, node, healed_ns);
        } else if (recovery.first_ns - healed_ns >= slowest_ns) {
            slowest_ns = recovery.first_ns - healed_ns;
            slowest = judge->timeline->nodes[node];
        }
    }
    double allowed = judge_seconds(within_ns);
    if (silent && end_ns - healed_ns >= within_ns)
        judge_conclude(judge, CHECK_FAIL, "%s served nothing in the %.2f s after the last heal",
                       silent, judge_seconds(end_ns - healed_ns));
    else if (slowest_ns > within_ns)
        judge_conclude(judge, CHECK_FAIL,
                       "%s served again %.2f s after the last heal (%.3g s allowed)", slowest,
                       judge_seconds(slowest_ns), allowed);
    else if (silent)
        judge_conclude(
            judge, CHECK_UNKNOWN,
            "not tested: %s served nothing, but the run ended %.2f s after the last heal", silent,
            judge_seconds(end_ns - healed_ns));
    else if (untried || nodes == 0)
        judge_conclude(judge, CHECK_UNKNOWN,
                       "not tested: no operation was begun at %s after the heal",
                       untried ? untried : "any live node");
    else
        judge_conclude(judge, CHECK_PASS,
                       "all %zu live nodes served again within %.2f s, %s last (%.3g s allowed)",
                       nodes, judge_seconds(slowest_ns), slowest, allowed);
}

static void judge_recovery(struct judge *judge)
{
    const struct check_timeline *timeline = judge->timeline;
    size_t after = timeline->count; /* first period after the last faulty one */
    while (after > 0 &&
           (!timeline->periods[after - 1].faulty || timeline->periods[after - 1].only_restarting))
        after--;
    if (after == 0)
        judge_conclude(judge, CHECK_UNKNOWN, "not tested: no fault was ever in force");
    else if (after == timeline->count)
        judge_conclude(judge, CHECK_UNKNOWN,
                       "not tested: faults were in force to the end of the run");
    else
        judge_nodes(judge, timeline->periods[after].begin_ns,
                    timeline->periods[timeline->count - 1].end_ns,
                    &timeline->periods[timeline->count - 1]);
}

/* ---- availability ------------------------------------------------------------------------------
 */

static bool is_counted(const struct judge *judge, const char *name, uint64_t begun_ns)
{
    const struct experiment_expectation *expectation = judge->expectation;
    const struct check_period *period = period_at(judge->timeline, begun_ns);
    size_t node = node_index(judge->timeline, name);
    if (!period)
        return false;
    if (expectation->side == EXPERIMENT_SIDE_NODE && strcmp(name, expectation->node) != 0)
        return false;
    if (expectation->side == EXPERIMENT_SIDE_MAJORITY ||
        expectation->side == EXPERIMENT_SIDE_MINORITY) {
        uint8_t side = expectation->side == EXPERIMENT_SIDE_MAJORITY ? CHECK_SIDE_MAJORITY
                                                                     : CHECK_SIDE_MINORITY;
        if (node == NO_NODE || period->side[node] != side)
            return false;
    }
    switch (expectation->phase) {
    case EXPERIMENT_PHASE_BEFORE:
        return judge->faults && begun_ns < judge->begin_ns;
    case EXPERIMENT_PHASE_DURING:
        return period->faulty;
    case EXPERIMENT_PHASE_AFTER:
        return judge->faults && !period->faulty && begun_ns >= judge->end_ns;
    default:
        return true;
    }
}

/* "At most" is about what a side gives while it is one: an answer that came only after the heal was
 * given by the whole cluster. */
static bool is_given(const struct judge *judge, const struct history_operation *operation)
{
    if (!is_answered(operation))
        return false;
    if (!judge->expectation->at_most)
        return true;
    const struct check_period *period = period_at(judge->timeline, operation->invoke_ns);
    const struct check_period *end = judge->timeline->periods + judge->timeline->count;
    while (period && ++period < end && period->begin_ns <= operation->return_ns)
        if (!is_counted(judge, operation->node, period->begin_ns))
            return false;
    return true;
}

static bool is_part(const struct judge *judge, const struct history_operation *operation)
{
    enum experiment_part part = judge->expectation->part;
    return part == EXPERIMENT_PART_ALL ||
           (operation->function == HISTORY_READ) == (part == EXPERIMENT_PART_READS);
}

static void judge_availability(struct judge *judge)
{
    const struct experiment_expectation *expectation = judge->expectation;
    const struct history *history = judge->history;
    static const char *const names[] = {"operations", "reads", "writes"};
    uint64_t counted = 0, answered = 0, missed = 0;
    char never[96] = "";
    for (size_t i = 0; i < history->count; i++) {
        const struct history_operation *operation = &history->operations[i];
        if (!is_part(judge, operation) || !is_counted(judge, operation->node, operation->invoke_ns))
            continue;
        counted++;
        bool given = is_given(judge, operation);
        answered += given;
        if (given == expectation->at_most)
            judge_add_evidence(judge, i);
    }
    for (size_t i = 0; expectation->part == EXPERIMENT_PART_ALL && i < history->missed_count; i++)
        missed += is_counted(judge, history->missed[i].node, history->missed[i].due_ns);
    if (missed > 0)
        snprintf(never, sizeof(never),
                 " (%" PRIu64 " of them never begun: their client was still waiting)", missed);
    counted += missed;
    if (counted == 0) {
        judge_conclude(judge, CHECK_UNKNOWN,
                       "not tested: no operation was begun on that side and phase");
        return;
    }
    unsigned __int128 share = (unsigned __int128)answered * RANDOM_PPB_ONE;
    unsigned __int128 wanted = (unsigned __int128)counted * expectation->share_ppb;
    bool holds = expectation->at_most ? share <= wanted : share >= wanted;
    judge_conclude(
        judge, holds ? CHECK_PASS : CHECK_FAIL,
        "%" PRIu64 " of %" PRIu64 " %s%s were answered: %.2f %% (at %s %.4g %% expected)", answered,
        counted, names[expectation->part], never, 100.0 * (double)answered / (double)counted,
        expectation->at_most ? "most" : "least", (double)expectation->share_ppb / 1e7);
}

static void find_faults(struct judge *judge)
{
    for (size_t i = 0; i < judge->timeline->count; i++) {
        const struct check_period *period = &judge->timeline->periods[i];
        if (!period->faulty)
            continue;
        if (!judge->faults)
            judge->begin_ns = period->begin_ns;
        judge->end_ns = period->end_ns;
        judge->faults = true;
    }
}

void check_expectation(const struct experiment_expectation *expectation,
                       const struct history *history, const struct check_timeline *timeline,
                       struct check_result *result)
{
    *result = (struct check_result){.verdict = CHECK_UNKNOWN};
    struct judge judge = {
        .expectation = expectation, .history = history, .timeline = timeline, .result = result};
    find_faults(&judge);
    switch (expectation->kind) {
    case EXPECT_MINORITY_STOPS:
        judge_minority(&judge);
        break;
    case EXPECT_RECOVERS:
        judge_recovery(&judge);
        break;
    case EXPECT_AVAILABILITY:
        judge_availability(&judge);
        break;
    case EXPECT_STEPS_DOWN:
        judge_steps_down(&judge);
        break;
    case EXPECT_NEW_LEADER:
        judge_new_leader(&judge);
        break;
    case EXPECT_TERMS:
        judge_terms(&judge);
        break;
    case EXPECT_LOST:
        judge_lost(&judge);
        break;
    case EXPECT_WRITES_WAIT:
        judge_writes_wait(&judge);
        break;
    case EXPECT_LINEARIZABLE:
        judge_conclude(&judge, CHECK_UNKNOWN, "not judged here: check_linearizable does it");
        break;
    }
}
