/* Theory of operation. Nodes were asked directly, all the time, who they are; the answers that
 * differ from the one before are the roles of the timeline. A node's role at a moment is the last
 * one that it told until then. A leader is lost when it comes to be on a side without majority, or
 * is not alive any more: an *episode*, which lasts until that ends. */
#include "chaos/check/judge.h"

struct episode {
    size_t node;
    uint64_t begin_ns, end_ns;
    bool minority; /* else it is dead, or paused */
};

static const struct check_role *role_at(const struct judge *judge, size_t node, uint64_t at_ns)
{
    const struct check_timeline *timeline = judge->timeline;
    const struct check_role *found = NULL;
    for (size_t i = 0; i < timeline->role_count && timeline->roles[i].at_ns <= at_ns; i++)
        if (timeline->roles[i].node == node)
            found = &timeline->roles[i];
    return found;
}

static bool leads_at(const struct judge *judge, size_t node, uint64_t at_ns)
{
    const struct check_role *role = role_at(judge, node, at_ns);
    return role && role->leads;
}

static bool is_lost(const struct check_period *period, size_t node)
{
    return period->side[node] == CHECK_SIDE_MINORITY || !period->alive[node];
}

/* The next episode from period *at on, of this node; *at is then behind it. */
static bool next_episode(const struct judge *judge, size_t node, size_t *at,
                         struct episode *episode)
{
    const struct check_timeline *timeline = judge->timeline;
    while (*at < timeline->count) {
        const struct check_period *first = &timeline->periods[*at];
        if (!is_lost(first, node)) {
            (*at)++;
            continue;
        }
        *episode = (struct episode){.node = node,
                                    .begin_ns = first->begin_ns,
                                    .minority = first->side[node] == CHECK_SIDE_MINORITY};
        for (; *at < timeline->count && is_lost(&timeline->periods[*at], node); (*at)++)
            episode->end_ns = timeline->periods[*at].end_ns;
        if (leads_at(judge, node, episode->begin_ns))
            return true;
    }
    return false;
}

/* The first time in the episode that `wanted` says so of a role; HISTORY_NEVER when there is none.
 */
static uint64_t find_role(const struct judge *judge, const struct episode *episode,
                          bool (*wanted)(const struct judge *judge, const struct episode *episode,
                                         const struct check_role *role))
{
    for (size_t i = 0; i < judge->timeline->role_count; i++) {
        const struct check_role *role = &judge->timeline->roles[i];
        if (role->at_ns > episode->begin_ns && role->at_ns < episode->end_ns &&
            wanted(judge, episode, role))
            return role->at_ns;
    }
    return HISTORY_NEVER;
}

static bool is_resignation(const struct judge *judge, const struct episode *episode,
                           const struct check_role *role)
{
    (void)judge;
    return role->node == episode->node && !role->leads;
}

static bool is_election(const struct judge *judge, const struct episode *episode,
                        const struct check_role *role)
{
    if (!role->leads || role->node == episode->node)
        return false;
    for (size_t i = 0; i < judge->timeline->count; i++) {
        const struct check_period *period = &judge->timeline->periods[i];
        if (role->at_ns >= period->begin_ns && role->at_ns < period->end_ns)
            return !is_lost(period, role->node);
    }
    return false;
}

struct slowest {
    size_t episodes;
    size_t node;
    uint64_t took_ns;   /* the longest */
    bool failed, early; /* not within the time; the episode ended before that */
};

static void look_at_episode(const struct judge *judge, const struct episode *episode,
                            uint64_t at_ns, struct slowest *slowest)
{
    uint64_t within_ns = judge->expectation->within_ns;
    bool never = at_ns == HISTORY_NEVER;
    uint64_t took_ns = (never ? episode->end_ns : at_ns) - episode->begin_ns;
    slowest->episodes++;
    slowest->early |= never && took_ns < within_ns;
    slowest->failed |= took_ns > within_ns || (never && took_ns == within_ns);
    if (took_ns >= slowest->took_ns) {
        slowest->took_ns = took_ns;
        slowest->node = episode->node;
    }
}

static struct slowest find_slowest(const struct judge *judge, bool election)
{
    struct slowest slowest = {0};
    for (size_t node = 0; node < judge->timeline->node_count; node++) {
        struct episode episode;
        for (size_t at = 0; next_episode(judge, node, &at, &episode);) {
            if (election || episode.minority)
                look_at_episode(judge, &episode,
                                find_role(judge, &episode, election ? is_election : is_resignation),
                                &slowest);
        }
    }
    return slowest;
}

static void judge_slowest(struct judge *judge, bool election)
{
    struct slowest slowest = find_slowest(judge, election);
    const char *lost = judge->timeline->nodes[slowest.node];
    double took = judge_seconds(slowest.took_ns);
    double allowed = judge_seconds(judge->expectation->within_ns);
    if (slowest.episodes == 0)
        judge_conclude(judge, CHECK_UNKNOWN, "not tested: no leader %s",
                       election ? "was ever cut off, stopped or killed"
                                : "was ever on a side without majority");
    else if (slowest.failed)
        judge_conclude(judge, CHECK_FAIL,
                       election
                           ? "no other node led within %.3g s after %s was lost (%.2f s)"
                           : "not within %.3g s: %s went on leading without a majority (%.2f s)",
                       allowed, lost, took);
    else if (slowest.early)
        judge_conclude(judge, CHECK_UNKNOWN,
                       "not tested: it was over %.2f s after %s was lost, before the %.3g s", took,
                       lost, allowed);
    else
        judge_conclude(judge, CHECK_PASS,
                       election ? "another node led %.2f s after %s was lost (%.3g s allowed)"
                                : "it stepped down after %.2f s: %s (%.3g s allowed)",
                       took, lost, allowed);
}

void judge_steps_down(struct judge *judge)
{
    judge_slowest(judge, false);
}

void judge_new_leader(struct judge *judge)
{
    judge_slowest(judge, true);
}

/* ---- terms ------------------------------------------------------------------------------------
 */

/* The highest term of those that lead at a moment; of all, when nobody does or `all`. 0: none. */
static uint64_t highest_term(const struct judge *judge, uint64_t at_ns, bool all)
{
    uint64_t leaders = 0, anybody = 0;
    for (size_t node = 0; node < judge->timeline->node_count; node++) {
        const struct check_role *role = role_at(judge, node, at_ns);
        uint64_t term = role ? role->term : 0;
        anybody = term > anybody ? term : anybody;
        if (role && role->leads && term > leaders)
            leaders = term;
    }
    return all || leaders == 0 ? anybody : leaders;
}

/* The highest that any node told from begin_ns to end_ns, what it told last before that included.
 */
static uint64_t peak_term(const struct judge *judge, uint64_t begin_ns, uint64_t end_ns)
{
    uint64_t peak = highest_term(judge, begin_ns, true);
    for (size_t i = 0; i < judge->timeline->role_count; i++) {
        const struct check_role *role = &judge->timeline->roles[i];
        if (role->at_ns > begin_ns && role->at_ns <= end_ns && role->term > peak)
            peak = role->term;
    }
    return peak;
}

void judge_terms(struct judge *judge)
{
    const struct experiment_expectation *expectation = judge->expectation;
    const struct check_timeline *timeline = judge->timeline;
    uint64_t begin_ns = timeline->count ? timeline->periods[0].begin_ns : 0;
    uint64_t end_ns = timeline->count ? timeline->periods[timeline->count - 1].end_ns : 0;
    if (expectation->phase == EXPERIMENT_PHASE_BEFORE)
        end_ns = judge->begin_ns;
    if (expectation->phase == EXPERIMENT_PHASE_DURING) {
        begin_ns = judge->begin_ns;
        end_ns = judge->end_ns;
    }
    if (expectation->phase == EXPERIMENT_PHASE_AFTER)
        begin_ns = judge->end_ns;
    uint64_t before = highest_term(judge, begin_ns, false);
    uint64_t after = peak_term(judge, begin_ns, end_ns);
    unsigned long long rise = after > before ? after - before : 0;
    if (expectation->phase != EXPERIMENT_PHASE_ALL && !judge->faults)
        judge_conclude(judge, CHECK_UNKNOWN, "not tested: no fault was ever in force");
    else if (before == 0)
        judge_conclude(judge, CHECK_UNKNOWN, "not tested: no node told its term");
    else if (begin_ns >= end_ns)
        judge_conclude(judge, CHECK_UNKNOWN, "not tested: there was no such phase");
    else
        judge_conclude(judge, rise <= expectation->count ? CHECK_PASS : CHECK_FAIL,
                       "from %llu to %llu, by %llu (%llu allowed)", (unsigned long long)before,
                       (unsigned long long)after, rise, (unsigned long long)expectation->count);
}
