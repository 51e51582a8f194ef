/* A pipeline: the chain of fault stages on one direction of one flow (a TCP connection, a UDP
 * session, a lab link). Pure: no clock, no socket, no allocation; time comes in as `now_ns`,
 * randomness from the key, memory from the caller.
 *
 * Theory of operation. A unit (stream chunk, datagram, packet) is pushed with its arrival time.
 * Each stage passes it on, holds it until a due time, changes it, or drops it. A held unit carries
 * its *logical* time (`at_ns`): the time at which the previous stage let it go, not the time at
 * which the loop got round to it, so that a late timer never adds up over stages or units, and
 * latency never limits bandwidth. Stages see units and departures in the order of logical time,
 * however late run is called. Units leave in order unless a stage is told to reorder.
 *
 * The caller embeds struct fault_unit in its own buffer, and gets each unit back exactly once:
 * through deliver or through drop.
 *
 * A stage is idle on a flow that its fault spares (toxicity, first_connections); units that come
 * before after_ns, that a match doesn't mean, or that are of a medium on which the fault does
 * nothing, pass it as if it weren't there, and are no part of its sequence. The end of a stream is
 * only ever delayed.
 *
 * What the stages do, for the unit that arrives at time t:
 *
 * latency  due at max(t + D, due time of the unit before it). D = max(0, delay + jitter * X), X the
 *          unit's own draw; with U uniform in (0, 1):
 *              uniform       X in [-1, 1], every nanosecond of it as likely
 *              normal        X = N(U), the standard normal quantile, within [-4, 4]
 *              pareto        X = P(U) = min(4, (4/3) * ((1 - U)^(-1/3) - 3/2))
 *              paretonormal  X = (N(U) + 3 P(U)) / 4
 *          These are netem's (iproute2 netem/normal.c, pareto.c, paretonormal.c, from NIST
 *          Net). Both heavy tails end at 4 * jitter, where netem's 16-bit tables end too: 1.1 %
 *          of pareto draws are just there, and the mean of X is -0.03, not 0. N and P are tables
 *          of 1024 intervals, linear in between; the draw is integer arithmetic.
 *          Datagrams keep their order as well, so dense traffic queues behind a late unit.
 * loss     random: a datagram that stands for k segments is lost with probability 1 - (1 - p)^k.
 *          gilbert-elliott: in the good state lost with lost_in_good, in the bad one with
 *          lost_in_bad; then the state changes with to_bad or to_good (Gilbert 1960, Elliott 1963).
 *          markov: the states of Salsano, Ludovici, Ordine (2009), netem's `loss state`; the state
 *          changes, then a datagram in state 3 or 4 is lost. Both begin in the good state, and of
 *          k segments each is a step. every: of all segments the n-th, 2n-th, and so on.
 *          Stream chunks pass untouched: losing one would be corruption. (What a plane can have the
 *          kernel lose instead, fault_pipeline_loss_ppb says.)
 * rate     A token bucket of burst_bytes that fills at the rate, then a queue: a unit leaves when
 *          its last byte has been sent, after those before it; sums are exact, nothing is lost by
 *          rounding. A datagram that would bring the queue above queue_bytes (by default
 *          1 s of the rate, at least 64 KiB, at most RULESET_QUEUE_MAX), or finds queue_packets
 *          others in it, is dropped; an empty queue takes any unit. Streams are never dropped: the
 * caller bounds them by not reading. At a rate of 0 all is held, and leaves in order once the rate
 * is raised. A shared rate is one bucket for all flows that meet the fault in the same direction;
 * then the queue is theirs together, too.
 *
 * trace    Each millisecond in the table is an opportunity for 1500 bytes; what a unit needs of
 * them is taken in turn, and it leaves with the last one; unused ones are lost (mahimahi). The
 *          trace begins when the fault meets the flow, and anew when it ends or the table is
 *          another. Datagrams that find the queue full are dropped, as by a rate.
 * flap     From when the fault was set the link is up for `up` and down for `down`, in turns; each
 *          change but the first comes up to `jitter` earlier or later, by a draw that is the same
 *          on all flows. While it is down datagrams are dropped as `cut`, and streams held.
 * corrupt  One bit, each as likely, of a chosen datagram is flipped; of a stream, of each chosen
 *          block of 1460 bytes: choice and bit depend on the place in the stream alone, not on how
 *          it is chunked. Datagrams with `repair` are marked so.
 *
 * A correlation c makes a unit (segment, block) repeat the draw of the one before it with
 * probability c: an autoregressive process of first order, DAR(1) (Jacobs, Lewis 1978). What is
 * drawn has the distribution that was asked for, whatever c is, and units that are k apart have
 * correlation c^k. netem's own formula, the mean of the two draws weighted by c, has that
 * correlation as well, but narrows the distribution: with it, 1 % of loss is far less than 1 %.
 *
 * Datagrams only:
 *
 * latency with reorder  Each datagram is due at t + D, whatever becomes of those before it.
 * duplicate  A chosen datagram is followed by a copy, at the same time.
 * reorder  A chosen one is held for `delay` while others pass.
 * truncate  A chosen one is cut to `bytes`, if it is longer; with `repair` it is marked so.
 * reject   A chosen one is dropped as `reject`. (Of streams it refuses connections: admission.h.)
 *
 * Streams only:
 *
 * slicer   Pieces of average +- variation bytes, each as likely, are marked `alone`; each leaves at
 *          least delay after the piece before it.
 * slow_close  The end is due a delay after it arrived; all else passes.
 * timeout, reset_peer  Data is dropped as `discard`, and the end held, from when the fault met the
 *          connection (it was set, or the connection began, or its after_ns was over); `timeout`
 *          later it is closed or reset, whether data came or not; 0: never, or at once. When
 *          either no longer acts on a connection, that is ended at once if its stream has a gap by
 *          then; by a timeout in any case.
 * limit_data  Bytes pass until there have been so many; the unit with the last of them is cut to
 *          fit and marked `last`, and what comes after it is dropped as `discard`. With a limit of
 *          0, or one that is lowered below what has passed, the next unit of data ends the
 *          connection. */
#ifndef SEVER_FAULT_PIPELINE_H
#define SEVER_FAULT_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/fault/plan.h"
#include "proxy/fault/states.h"

#define FAULT_NEVER UINT64_MAX

struct fault_unit {
    struct fault_unit *next, *child; /* the stage's queue; not the caller's to touch while inside */
    uint64_t at_ns;                  /* logical time: arrival, then when each stage releases it */
    uint64_t due_ns, order;          /* stage-private */
    uint32_t bytes;    /* > 0 at push; less, and possibly 0, when a stage cut it short */
    uint32_t segments; /* packets that this unit stands for (loss weighs by it); >= 1 */
    bool end;   /* set by the caller: the end of a stream; is only ever delayed, carries no bytes */
    bool alone; /* set by the slicer: to be written by itself */
    bool last;  /* set by limit_data: the stream is closed behind it */
    /* Set by a corrupt or truncate with `repair` that has changed this datagram: whoever delivers
     * packets makes the checksums right before it leaves, and the length fields of one cut short
     * (packet/repair.h). Who delivers payloads (a UDP route) has nothing to do. */
    bool repair;
};

enum fault_medium {
    FAULT_STREAM,   /* bytes must all arrive, in order: a stage may only delay */
    FAULT_DATAGRAM, /* a stage may drop */
};

enum fault_cause {
    FAULT_CAUSE_CUT,
    FAULT_CAUSE_LOSS,
    FAULT_CAUSE_QUEUE,
    FAULT_CAUSE_REJECT,
    FAULT_CAUSE_DISCARD, /* what a stream loses on purpose: timeout, reset_peer, limit_data */
    FAULT_CAUSES
};
/* "cut", "loss", "queue", "reject", "discard" */
const char *fault_cause_name(enum fault_cause cause);

/* How a fault ends a connection. */
enum fault_end { FAULT_END_CLOSE, FAULT_END_RESET };

/* Where units go. Called from push, run, apply and clear, with the unit's at_ns set; ownership
 * returns to the caller. touched: a fault affected a unit (delayed, changed or dropped it), once
 * per unit and fault, before deliver or drop, or its time has come to end the connection; may be
 * NULL. A callback must not call into the pipeline. */
struct fault_sink {
    void (*deliver)(void *context, struct fault_unit *unit);
    void (*drop)(void *context, struct fault_unit *unit, enum fault_cause cause,
                 uint16_t fault_slot);
    void (*touched)(void *context, uint16_t fault_slot);
    /* The rest may be NULL where no fault needs it: then that fault does nothing. */

    /* corrupt: flips this bit of the unit's bytes, 0 .. 8 * bytes - 1. (An empty datagram, which
     * counts as one byte here, has none to flip.) False: the bytes are out of reach. */
    bool (*flip)(void *context, struct fault_unit *unit, uint64_t bit);
    /* duplicate: a unit with the same bytes, the stage's from now on; NULL when there is no memory
     * (the caller counts that). Datagrams only. */
    struct fault_unit *(*copy)(void *context, const struct fault_unit *unit);
    /* Whether the unit is one that spec->match, which is not empty, means. Datagrams only. */
    bool (*matches)(void *context, const struct fault_unit *unit, const struct ruleset_fault *spec,
                    uint16_t fault_slot);
    /* A stream's connection is to end now, both its directions; from push, run or apply, and at
     * most once in a pipeline's life. Streams only. */
    void (*end)(void *context, enum fault_end how, uint16_t fault_slot);
    void *context;
};

struct fault_queue { /* queue.h */
    struct fault_unit *head, *tail, *root;
    uint64_t bytes, inserted;
    uint32_t units;
};

/* Which flows a fault acts on (reach.h). */
struct fault_reach {
    uint32_t toxicity_draw; /* 0 .. RANDOM_PPB_ONE - 1 */
    uint32_t number;        /* of the connection, among those that have met the fault */
};

/* One fault on one flow. Internal to proxy/fault but for type, fault_slot and idle. */
struct fault_stage {
    uint64_t key, fault_key; /* the entry's, the first with the flow's ordinal folded in */
    uint64_t sequence;       /* of the next unit: how many it has judged, whatever became of them */
    enum ruleset_fault_type type;
    uint16_t fault_slot;
    bool idle; /* this flow is spared, or not among the first: units pass untouched */
    bool acts; /* faults of this kind do, on a flow of this medium */
    uint32_t generation;
    bool downstream;                  /* the direction of the flow on its route */
    bool drawn;                       /* last_draw is there */
    const struct ruleset_fault *spec; /* owned by the plan last applied, like the table */
    const struct ruleset_table *table;
    uint64_t table_edition;
    struct fault_queue queue;
    struct fault_reach reach;
    uint64_t met_ns;      /* since when it has been on the flow, and not idle */
    uint64_t from_ns;     /* units that come before this pass untouched (after_ns) */
    uint64_t alarm_ns;    /* when the connection is to end by it; FAULT_NEVER */
    uint64_t last_due_ns; /* what keeps order */
    uint64_t last_draw;   /* what a correlated unit repeats */
    union {
        struct fault_rate_clock clock; /* rate: its own, or in which terms its queue is */
        struct {
            uint64_t origin_ns, next; /* opportunity number */
            uint32_t left;            /* bytes that it still carries */
        } trace;
        struct {
            uint64_t passed_bytes;
            bool reached;
        } limit;
        struct {
            uint64_t segments; /* so far */
            uint8_t state;     /* of the model */
        } loss;
        uint64_t flap_since_ns; /* when the fault was set */
        uint64_t position;      /* corrupt: in the stream */
        uint64_t pushed_before; /* slicer: the pipeline's pushed when it began */
    };
};

/* What a pipeline is told of its flow. */
struct fault_flow {
    enum fault_medium medium;
    uint64_t ordinal;       /* of this flow on its link and direction, so that the k-th unit of the
                               j-th flow draws the same whatever else happens */
    uint64_t begun_ns;      /* after_ns counts from here */
    uint64_t begun_version; /* of the plan under which the connection began: first_connections are
                               those that began under the plan that set the fault, or a later one */
    struct fault_states *states; /* borrowed; NULL: no fault counts connections or shares a rate,
                                    and a flap begins when it meets the flow */
    /* The pipeline of the connection's other direction, so that the two count as one connection;
     * initialised before either is first applied. NULL: there is none. */
    const struct fault_pipeline *opposite;
};

struct fault_pipeline {
    struct fault_stage stages[FAULT_CHAIN_MAX];
    size_t stage_count;
    uint64_t pushed;        /* units so far */
    uint64_t latest_ns;     /* of all times that came in: none goes back behind it */
    bool ended;             /* sink.end was called */
    struct fault_flow flow; /* its ordinal is folded into each stage's key */
    struct fault_sink sink;
};

void fault_pipeline_init(struct fault_pipeline *pipeline, const struct fault_flow *flow,
                         const struct fault_sink *sink);

/* Puts the chain of a (new) plan in force, after releasing what is due at now_ns. A stage whose
 * fault is still there (same slot and generation) keeps its queue, sequence and virtual clock. It
 * takes the new parameters for units that arrive from now on. To what they hold they apply in a
 * rate (the bytes that are left are sent at the new one), a slow_close (an end waits the new delay
 * from when it came) and a slicer (pieces wait the new delay after the one before). A stage that
 * went releases what it held, in order, into the stages after it; new ones start empty. When the
 * faults that stay changed places (a whole ruleset was put), those that moved up in the chain
 * release what they held, too. spec pointers into the previous plan are dropped, so the old plan
 * may be freed after this returns. */
void fault_pipeline_apply(struct fault_pipeline *pipeline, const struct fault_entry *entries,
                          size_t count, uint64_t now_ns);

/* False when every stage is idle and will stay so: units may pass by the pipeline. */
bool fault_pipeline_is_needed(const struct fault_pipeline *pipeline);

/* unit->bytes and ->segments set by the caller; at_ns is set to now_ns. May call the sink. now_ns
 * here may be ahead of the time of the loop's turn, which run and apply are told: a unit that was
 * read late in a turn has come late. */
void fault_pipeline_push(struct fault_pipeline *pipeline, struct fault_unit *unit, uint64_t now_ns);

/* When run wants to be called next; FAULT_NEVER when nothing is held. */
uint64_t fault_pipeline_next_due(const struct fault_pipeline *pipeline);

/* Releases what is due at now_ns. */
void fault_pipeline_run(struct fault_pipeline *pipeline, uint64_t now_ns);

/* Hands every held unit to drop with `cause` (the flow is going away), with the slot of the fault
 * that held it; nothing counts as touched by it. Stages stay. */
void fault_pipeline_clear(struct fault_pipeline *pipeline, enum fault_cause cause);

uint64_t fault_pipeline_held_bytes(const struct fault_pipeline *pipeline);

/* How many bytes a stream should push as its next chunk: at most `limit`, at least 1; about 10 ms
 * of the lowest rate in the chain, so that it flows evenly, and no more than the slicer's next
 * piece. A chunk may be shorter (there are no more bytes yet). */
uint32_t fault_pipeline_next_chunk(const struct fault_pipeline *pipeline, uint32_t limit);

/* Whether a stage may change bytes (corrupt): then the plane must have them within reach. */
bool fault_pipeline_changes_bytes(const struct fault_pipeline *pipeline);

/* Loss where the kernel loses segments for a stream, at random and without a memory (a socket
 * filter): the part of all units that a loss fault takes in the long run; the probability that one
 * of two independent losses happens; and that of all loss faults that act on this flow at now_ns
 * together, with the slot of the first (FAULT_NO_ROUTE: none), and when that will be another one,
 * because an after_ns is over (FAULT_NEVER). */
uint32_t fault_loss_mean_ppb(const struct ruleset_fault *spec);
uint32_t fault_loss_either_ppb(uint32_t a_ppb, uint32_t b_ppb);
uint32_t fault_pipeline_loss_ppb(const struct fault_pipeline *pipeline, uint64_t now_ns,
                                 uint16_t *slot, uint64_t *change_ns);

/* Whether a shaping stage holds as much as its queue may (queue_bytes, or the same default as for
 * datagrams). A stream should not push before some of it has left, so that its sender feels the
 * rate; a unit that is pushed all the same is held like any other. */
bool fault_pipeline_is_full(const struct fault_pipeline *pipeline);

#endif
