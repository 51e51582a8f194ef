/* Rate: a token bucket in front of a queue, as one virtual clock.
 *
 * Theory of operation. `filled_ns` is the time at which the bucket will be full if nothing more
 * comes (the theoretical arrival time of the generic cell rate algorithm, ITU-T I.371). A unit of b
 * bytes moves it to max(filled, at) + b / rate and may leave once the bucket holds b tokens again,
 * which is the time to fill `burst_bytes` before that; with no burst this is just the time at which
 * its last byte has been sent. The division's remainder is kept, so n units take exactly the time
 * of their sum, and due times are rounded up: never faster than the rate.
 *
 * When the rate changes, what is ahead of the clock is turned into bytes at the old rate and back
 * into time at the new one: the clock itself, and each unit that is held.
 *
 * At a rate of 0 nothing leaves, but the order and the amount of what waits must be known when the
 * rate is raised. So the clock is stopped: it stands at `stopped_ns` and goes on counting what is
 * ahead of it, a thousandth of a byte as a nanosecond (STOPPED_RATE). A unit that is held then is
 * never due; what would be its due time is in `order`.
 *
 * A shared rate has one clock for all its flows of a direction (states.h), and each flow a queue of
 * its own. The
 * first flow that learns of a change converts the clock, and each its own queue: stage->clock says
 * in which terms the queue is, the shared clock in which terms that is. */
#include <assert.h>

#include "proxy/fault/stage.h"

#define NS_PER_S UINT64_C(1000000000)

enum {
    QUEUE_BYTES_MIN = 64 * 1024,
    STOPPED_RATE = 1000000,
    CHUNKS_PER_S = 100, /* so that a stream flows evenly */
    STOPPED_CHUNK = 4096,
};

/* Bytes per second of a clock, stopped or not. */
static uint64_t speed(const struct fault_rate_clock *clock)
{
    return clock->bytes_per_s ? clock->bytes_per_s : STOPPED_RATE;
}

/* Where a clock is at now_ns. */
static uint64_t position(const struct fault_rate_clock *clock, uint64_t now_ns)
{
    return clock->bytes_per_s ? now_ns : clock->stopped_ns;
}

static uint64_t ahead(uint64_t then_ns, uint64_t now_ns)
{
    return then_ns > now_ns ? then_ns - now_ns : 0;
}

/* The time to fill the bucket, rounded up. */
static uint64_t fill_time(const struct fault_rate_clock *clock)
{
    static_assert(RULESET_BURST_MAX < UINT64_MAX / NS_PER_S / 2, "burst times 1e9 fits in 64 bits");
    static_assert(RULESET_RATE_MAX < UINT64_MAX / 4, "a remainder fits beside bytes times 1e9");
    return (clock->burst_bytes * NS_PER_S + speed(clock) - 1) / speed(clock);
}

/* What is sent in `ns`, in billionths of a byte, and the time for it, rounded up. */
static unsigned __int128 sent_in(uint64_t ns, uint64_t bytes_per_s)
{
    return (unsigned __int128)ns * bytes_per_s;
}

static uint64_t time_for(unsigned __int128 billionths, uint64_t bytes_per_s)
{
    unsigned __int128 ns = (billionths + bytes_per_s - 1) / bytes_per_s;
    return ns < FAULT_NEVER ? (uint64_t)ns : FAULT_NEVER;
}

/* A full bucket. */
static struct fault_rate_clock new_clock(const struct ruleset_fault *spec, uint64_t now_ns)
{
    return (struct fault_rate_clock){.bytes_per_s = spec->rate.bytes_per_s,
                                     .burst_bytes = spec->rate.burst_bytes,
                                     .stopped_ns = now_ns};
}

/* The clock by which this stage sends: its own, or the one that it shares with other flows. */
static struct fault_rate_clock *clock_of(struct fault_stage *stage,
                                         const struct fault_pipeline *pipeline,
                                         const struct ruleset_fault *spec, uint64_t now_ns)
{
    if (!spec->rate.shared || !pipeline->flow.states)
        return &stage->clock;
    struct fault_shared_rate *shared =
        &pipeline->flow.states->by_slot[stage->fault_slot].rates[stage->downstream];
    if (shared->generation != stage->generation)
        *shared = (struct fault_shared_rate){.generation = stage->generation,
                                             .clock = new_clock(spec, now_ns)};
    return &shared->clock;
}

static void begin(struct fault_stage *stage, const struct fault_pipeline *pipeline)
{
    stage->clock = new_clock(stage->spec, stage->met_ns);
    stage->clock = *clock_of(stage, pipeline, stage->spec, stage->met_ns);
}

/* Takes the bytes out of the bucket at at_ns. When they may leave. */
static uint64_t take(struct fault_rate_clock *clock, uint64_t bytes, uint64_t at_ns)
{
    if (clock->filled_ns < at_ns) {
        clock->filled_ns = at_ns;
        clock->remainder = 0;
    }
    uint64_t work = bytes * NS_PER_S + clock->remainder;
    clock->remainder = work % speed(clock);
    clock->filled_ns = stage_time_add(clock->filled_ns, work / speed(clock));
    return ahead(stage_time_add(clock->filled_ns, clock->remainder != 0), fill_time(clock));
}

static uint64_t queue_limit(const struct ruleset_fault *spec)
{
    uint64_t limit = spec->rate.queue_bytes;
    if (limit == 0) {
        limit = spec->rate.bytes_per_s;
        limit = limit < QUEUE_BYTES_MIN ? QUEUE_BYTES_MIN : limit;
        limit = limit > RULESET_QUEUE_MAX ? RULESET_QUEUE_MAX : limit;
    }
    return limit;
}

/* The same for datagrams: a limit in packets is in place of the default. */
static uint64_t datagram_limit(const struct ruleset_fault *spec)
{
    bool in_packets = spec->rate.queue_packets > 0 && spec->rate.queue_bytes == 0;
    return in_packets ? RULESET_QUEUE_MAX : queue_limit(spec);
}

/* Bytes that wait for this clock, of whatever flow, rounded up. */
static uint64_t backlog(const struct fault_rate_clock *clock, uint64_t at_ns)
{
    unsigned __int128 missing =
        sent_in(ahead(clock->filled_ns, position(clock, at_ns)), speed(clock));
    unsigned __int128 full = (unsigned __int128)clock->burst_bytes * NS_PER_S;
    unsigned __int128 bytes = missing > full ? (missing - full + NS_PER_S - 1) / NS_PER_S : 0;
    return bytes < RULESET_QUEUE_MAX * 2 ? (uint64_t)bytes : RULESET_QUEUE_MAX * 2;
}

static bool is_full(const struct fault_stage *stage, const struct fault_rate_clock *clock,
                    const struct fault_unit *unit)
{
    uint64_t waiting = clock == &stage->clock ? stage->queue.bytes : backlog(clock, unit->at_ns);
    uint32_t packets = stage->spec->rate.queue_packets;
    return (packets > 0 && stage->queue.units >= packets) ||
           (waiting > 0 && waiting + unit->bytes > datagram_limit(stage->spec));
}

/* The unit's place at the end of the queue. A conversion rounds up, so that the tail may be ahead
 * by a hair. */
static void place(struct fault_stage *stage, const struct fault_rate_clock *clock,
                  struct fault_unit *unit, uint64_t due_ns)
{
    const struct fault_unit *tail = stage->queue.tail;
    bool stopped = clock->bytes_per_s == 0;
    uint64_t last_ns = !tail ? 0 : stopped ? tail->order : tail->due_ns;
    due_ns = due_ns < last_ns ? last_ns : due_ns;
    unit->order = due_ns;
    unit->due_ns = stopped ? FAULT_NEVER : due_ns;
}

/* What the queue holds, in the terms of `to` as that is at now_ns. */
static void convert_queue(struct fault_stage *stage, const struct fault_rate_clock *to,
                          uint64_t now_ns)
{
    const struct fault_rate_clock from = stage->clock;
    stage->clock.bytes_per_s = to->bytes_per_s;
    stage->clock.burst_bytes = to->burst_bytes;
    stage->clock.stopped_ns = to->stopped_ns;
    if (from.bytes_per_s == to->bytes_per_s)
        return;
    for (struct fault_unit *unit = stage->queue.head; unit; unit = unit->next) {
        uint64_t then_ns = from.bytes_per_s ? unit->due_ns : unit->order;
        uint64_t left_ns = ahead(then_ns, position(&from, now_ns));
        left_ns = time_for(sent_in(left_ns, speed(&from)), speed(to));
        unit->order = stage_time_add(position(to, now_ns), left_ns);
        unit->due_ns = to->bytes_per_s ? unit->order : FAULT_NEVER;
    }
}

/* Missing from a full bucket are the tokens that were taken, and the bytes that wait for tokens.
 * The tokens that are there stay, as many as fit in the new bucket. */
static void convert_clock(struct fault_rate_clock *clock, const struct ruleset_fault *after,
                          uint64_t now_ns)
{
    struct fault_rate_clock from = *clock, to = new_clock(after, now_ns);
    if (from.bytes_per_s == to.bytes_per_s && from.burst_bytes == to.burst_bytes)
        return;
    if (from.bytes_per_s == 0 && to.bytes_per_s == 0) /* what is held is counted from there */
        to.stopped_ns = from.stopped_ns;
    unsigned __int128 missing =
        sent_in(ahead(from.filled_ns, position(&from, now_ns)), speed(&from));
    unsigned __int128 old_full = (unsigned __int128)from.burst_bytes * NS_PER_S;
    unsigned __int128 new_full = (unsigned __int128)to.burst_bytes * NS_PER_S;
    unsigned __int128 tokens = missing < old_full ? old_full - missing : 0;
    unsigned __int128 waiting = missing > old_full ? missing - old_full : 0;
    tokens = tokens > new_full ? new_full : tokens;
    to.filled_ns =
        stage_time_add(position(&to, now_ns), time_for(new_full - tokens + waiting, speed(&to)));
    *clock = to;
}

/* Everything that is held, anew by this clock: the flow has left another one. */
static void requeue(struct fault_stage *stage, struct fault_rate_clock *clock, uint64_t now_ns)
{
    uint64_t at_ns = position(clock, now_ns), last_ns = at_ns;
    for (struct fault_unit *unit = stage->queue.head; unit; unit = unit->next) {
        uint64_t due_ns = take(clock, unit->end ? 0 : unit->bytes, at_ns);
        last_ns = due_ns > last_ns ? due_ns : last_ns;
        unit->order = last_ns;
        unit->due_ns = clock->bytes_per_s ? last_ns : FAULT_NEVER;
    }
}

static void change(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                   const struct fault_entry *after, uint64_t now_ns)
{
    const struct ruleset_fault *spec = after->spec;
    struct fault_rate_clock *clock = clock_of(stage, pipeline, spec, now_ns);
    if (spec->rate.shared != stage->spec->rate.shared) {
        stage->clock = new_clock(spec, now_ns);
        convert_clock(clock, spec, now_ns);
        requeue(stage, clock, now_ns);
        return;
    }
    if (clock == &stage->clock) {
        struct fault_rate_clock own = *clock;
        convert_clock(&own, spec, now_ns);
        convert_queue(stage, &own, now_ns);
        stage->clock = own;
        return;
    }
    convert_clock(clock, spec, now_ns);
    convert_queue(stage, clock, now_ns);
}

static enum stage_verdict push(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                               struct fault_unit *unit, struct stage_outcome *outcome)
{
    struct fault_rate_clock *clock = clock_of(stage, pipeline, stage->spec, unit->at_ns);
    if (clock->bytes_per_s != stage->clock.bytes_per_s)
        convert_queue(stage, clock, unit->at_ns);
    if (pipeline->flow.medium == FAULT_DATAGRAM && is_full(stage, clock, unit)) {
        outcome->cause = FAULT_CAUSE_QUEUE;
        return STAGE_DROP;
    }
    uint64_t due_ns = take(clock, unit->end ? 0 : unit->bytes, position(clock, unit->at_ns));
    place(stage, clock, unit, due_ns);
    return unit->due_ns > unit->at_ns ? STAGE_HOLD : STAGE_PASS;
}

static uint64_t chunk(const struct fault_stage *stage, const struct fault_pipeline *pipeline)
{
    (void)pipeline;
    uint64_t rate = stage->spec->rate.bytes_per_s;
    return rate ? rate / CHUNKS_PER_S : STOPPED_CHUNK;
}

static uint64_t stream_queue_limit(const struct fault_stage *stage)
{
    return queue_limit(stage->spec);
}

const struct stage_operations stage_rate = {.on_streams = true,
                                            .on_datagrams = true,
                                            .push = push,
                                            .begin = begin,
                                            .change = change,
                                            .chunk = chunk,
                                            .queue_limit = stream_queue_limit};
