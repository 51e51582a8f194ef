/* The checkers: pure functions from a history (and what happened when) to a verdict with evidence.
 */
#ifndef SEVER_CHAOS_CHECK_H
#define SEVER_CHAOS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chaos/experiment/experiment.h"
#include "chaos/history/history.h"
#include "proxy/base/text.h"

enum check_verdict { CHECK_PASS, CHECK_FAIL, CHECK_UNKNOWN };
const char *check_verdict_name(enum check_verdict verdict);
/* Fail outranks unknown, unknown outranks pass. */
enum check_verdict check_worse(enum check_verdict a, enum check_verdict b);

/* ---- linearizability ------------------------------------------------------------------------
 * Wing & Gong's search with Lowe's memoisation, one register at a time (P-compositionality: a
 * history is linearizable when each key's is). Operations that share an instant overlap.
 * References: Lowe, "Testing for linearizability" (2017); Horn & Kroening, "Faster linearizability
 * checking via P-compositionality" (2015). */
struct check_linearizable_limits {
    uint64_t memory_bytes; /* of the memo; 0: 512 MiB. Above: unknown */
    uint64_t steps;        /* of the search, a stand-in for time; 0: 200 million. Above: unknown */
};

struct check_linearizable {
    enum check_verdict verdict;
    char key[HISTORY_KEY_MAX]; /* the key that failed or ran out; else "" */
    char reason[256];          /* "ran out of 512 MiB after 12345 of 20000 operations", ... */
    size_t checked;            /* operations that took part */
    /* Some key has an acknowledged change and an answered read or cas that could have seen it, so
     * that something could have been wrong. What would pass without is unknown: "not tested: ..."
     */
    bool tested;
    uint64_t steps;
    /* On fail: indexes into history->operations of the smallest piece found that can't be ordered,
     * in invocation order. Taking any one away (with what may have seen it) makes it orderable,
     * unless the steps ran out on the way: then it is a failing piece, not the smallest. */
    size_t *core;
    size_t core_count;
};

/* limits: NULL for the defaults. *result is overwritten; free it with check_linearizable_free. */
void check_linearizable(const struct history *history,
                        const struct check_linearizable_limits *limits,
                        struct check_linearizable *result);
void check_linearizable_free(struct check_linearizable *result);
/* Tells the core to people: one line per operation with a bar for its time span, then one sentence
 * why no order fits. width: columns of the terminal. origin_ns: shown as 0. Anything but a failure
 * is told in one line. Appends to *out. */
void check_linearizable_explain(const struct history *history,
                                const struct check_linearizable *result, uint64_t origin_ns,
                                unsigned width, struct text *out);

/* ---- availability, minority, recovery ---------------------------------------------------------
 * They need to know what was in force when: */
enum { CHECK_SIDE_NONE = 0, CHECK_SIDE_MAJORITY = 1, CHECK_SIDE_MINORITY = 2 };
struct check_period { /* between two changes of the ruleset or of the set of live nodes */
    uint64_t begin_ns, end_ns;
    bool faulty; /* a partition, fault or clock offset is in force, or a node is down or paused */
    bool partitioned;
    /* per node of the experiment, in order: its side when partitioned (a side is a set of live
     * nodes that can all reach each other both ways), CHECK_SIDE_NONE when not, or node is down */
    uint8_t side[EXPERIMENT_NODES_MAX];
    bool alive[EXPERIMENT_NODES_MAX];
    /* faulty for no other reason than that nodes which were started again do not answer yet */
    bool only_restarting;
    bool restarting[EXPERIMENT_NODES_MAX]; /* those nodes; they are not alive */
};
/* What a node told about itself from this moment on. */
struct check_role {
    uint64_t at_ns;
    size_t node;
    bool leads;
    uint64_t term; /* 0: it has none */
};
struct check_timeline {
    struct check_period *periods; /* contiguous, from the start of the workload to its end */
    size_t count;
    const char (*nodes)[RULESET_NAME_MAX];
    size_t node_count;
    const struct check_role *roles; /* in time order; the first ones may be before the workload */
    size_t role_count;
};

/* ---- sets --------------------------------------------------------------------------------------
 * Each element is added once. Of those read at the end, an acknowledged one that is absent is lost,
 * one that was refused or that nobody added is unexpected; an unknown one may be there or not. */
struct check_set {
    bool read; /* the elements were read at the end; else all below is 0 */
    size_t acknowledged, refused, unknown;
    size_t lost;         /* of the acknowledged */
    size_t recovered;    /* of the unknown: they are there */
    size_t unexpected;   /* elements there */
    size_t evidence[16]; /* the first that were lost, or refused and are there */
    size_t evidence_count;
};
void check_set(const struct history *history, struct check_set *result);

/* Sides of a link matrix: node i's side when cut[i * count + j] says that i->j is cut. A component
 * is a set of live nodes that reach one another both ways over open links, directly or by way of
 * others; the one with more than half of *all* nodes is the majority. Nodes that are not alive get
 * CHECK_SIDE_NONE. count: at most EXPERIMENT_NODES_MAX. */
void check_sides(const bool *cut, const bool *alive, size_t count, uint8_t *side);

struct check_result {
    enum check_verdict verdict;
    char summary[256];   /* "minority stopped 0.61 s after the split (2 s allowed)" */
    size_t evidence[16]; /* operations that show it */
    size_t evidence_count;
};
/* Judges one expectation other than linearizable. An operation belongs to the node that it asked
 * and to the period in which it was begun; ok and a cas that found another value count as answered.
 *   minority stops  counts from when a node came to be on a side without majority, whatever else
 *                   changed meanwhile; an answer that came only after the heal is no violation
 *   recovers        counts from the end of the last faulty period, a restart from its request: each
 *                   node that is alive, or coming up, at the end must serve
 *   availability    before faults: begun before the first fault; during: in a faulty period; after:
 *                   begun after the last; of majority, minority: while on such a side. What was due
 *                   and never begun (history_missed) is not answered either, but it is neither a
 *                   read nor a write yet. For "at most" an answer counts that came while phase and
 *                   side still were what is asked for
 *   leader steps down, new leader  count from when a node that led came to be on a side without
 *                   majority; for a new leader also from when it died or was paused
 *   terms rise      against the term of who led when the phase began (of several the highest; of
 *                   all nodes when nobody did)
 *   lost            see check_set; an unexpected element fails it in any case
 *   writes wait     counts from when the first link was cut to when none is
 * An expectation that nothing in the run puts to the test (no partition happened; no operation fell
 * in the phase) is CHECK_UNKNOWN, never a pass. */
void check_expectation(const struct experiment_expectation *expectation,
                       const struct history *history, const struct check_timeline *timeline,
                       struct check_result *result);

#endif
