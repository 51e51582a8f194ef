/* What the files that judge expectations share. */
#ifndef SEVER_CHAOS_CHECK_JUDGE_H
#define SEVER_CHAOS_CHECK_JUDGE_H

#include "chaos/check/check.h"
#include "proxy/base/monotonic.h"

struct judge {
    const struct experiment_expectation *expectation;
    const struct history *history;
    const struct check_timeline *timeline;
    struct check_result *result;
    bool faults; /* one was in force at some time, first at begin_ns, last until end_ns */
    uint64_t begin_ns, end_ns;
};

static inline double judge_seconds(uint64_t ns)
{
    return (double)ns / (double)NS_PER_S;
}

void judge_add_evidence(struct judge *judge, size_t operation);
void judge_conclude(struct judge *judge, enum check_verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One kind of expectation each. */
void judge_steps_down(struct judge *judge);
void judge_new_leader(struct judge *judge);
void judge_terms(struct judge *judge);
void judge_lost(struct judge *judge);
void judge_writes_wait(struct judge *judge);

#endif
