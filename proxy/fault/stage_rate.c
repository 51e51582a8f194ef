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
 * into time at the new one. */
#include <assert.h>

#include "proxy/fault/stage.h"

#define NS_PER_S UINT64_C(1000000000)

enum { QUEUE_BYTES_MIN = 64 * 1024 };

/* The time to fill the bucket, rounded up. */
static uint64_t fill_time(const struct ruleset_fault *spec)
{
    static_assert(RULESET_BURST_MAX < UINT64_MAX / NS_PER_S / 2, "burst times 1e9 fits in 64 bits");
    static_assert(RULESET_RATE_MAX < UINT64_MAX / 4, "a remainder fits beside bytes times 1e9");
    uint64_t burst = spec->rate.burst_bytes, rate = spec->rate.bytes_per_s;
    return burst == 0 ? 0 : (burst * NS_PER_S + rate - 1) / rate;
}

/* What is sent in `ns`, in billionths of a byte. */
static unsigned __int128 sent_in(uint64_t ns, uint64_t bytes_per_s)
{
    return (unsigned __int128)ns * bytes_per_s;
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

static enum stage_verdict push(struct fault_stage *stage, enum fault_medium medium,
                               struct fault_unit *unit, enum fault_cause *cause)
{
    const struct ruleset_fault *spec = stage->spec;
    uint64_t rate = spec->rate.bytes_per_s;
    bool over = stage->queue.units > 0 && stage->queue.bytes + unit->bytes > queue_limit(spec);
    if (medium == FAULT_DATAGRAM && over) {
        *cause = FAULT_CAUSE_QUEUE;
        return STAGE_DROP;
    }
    if (stage->filled_ns < unit->at_ns) {
        stage->filled_ns = unit->at_ns;
        stage->remainder = 0;
    }
    uint64_t work = unit->bytes * NS_PER_S + stage->remainder;
    stage->remainder = work % rate;
    stage->filled_ns = stage_time_add(stage->filled_ns, work / rate);

    uint64_t full_ns = stage->filled_ns + (stage->remainder != 0);
    uint64_t fill_ns = fill_time(spec);
    uint64_t due_ns = full_ns > fill_ns ? full_ns - fill_ns : 0;
    /* A change of rate rounds due times up, so the tail may be ahead by a hair. */
    if (stage->queue.tail && due_ns < stage->queue.tail->due_ns)
        due_ns = stage->queue.tail->due_ns;
    unit->due_ns = due_ns;
    return unit->due_ns > unit->at_ns ? STAGE_HOLD : STAGE_PASS;
}

/* now_ns + the time at the new rate of what takes until `then_ns` at the old one, rounded up. */
static uint64_t rescale(uint64_t then_ns, uint64_t now_ns, uint64_t before, uint64_t after)
{
    if (then_ns <= now_ns)
        return now_ns;
    unsigned __int128 ns = (sent_in(then_ns - now_ns, before) + after - 1) / after;
    return stage_time_add(now_ns, ns < FAULT_NEVER ? (uint64_t)ns : FAULT_NEVER);
}

static void change(struct fault_stage *stage, const struct ruleset_fault *after, uint64_t now_ns)
{
    uint64_t old_rate = stage->spec->rate.bytes_per_s, new_rate = after->rate.bytes_per_s;
    uint64_t old_burst = stage->spec->rate.burst_bytes, new_burst = after->rate.burst_bytes;
    if (old_rate == new_rate && old_burst == new_burst)
        return;
    for (struct fault_unit *unit = stage->queue.head; unit; unit = unit->next)
        unit->due_ns = rescale(unit->due_ns, now_ns, old_rate, new_rate);

    /* Missing from a full bucket: tokens that were taken, and the bytes that wait for tokens. The
     * tokens that are there stay, as many as fit in the new bucket. */
    uint64_t ahead_ns = stage->filled_ns > now_ns ? stage->filled_ns - now_ns : 0;
    unsigned __int128 missing = sent_in(ahead_ns, old_rate);
    unsigned __int128 old_full = (unsigned __int128)old_burst * NS_PER_S;
    unsigned __int128 new_full = (unsigned __int128)new_burst * NS_PER_S;
    unsigned __int128 tokens = missing < old_full ? old_full - missing : 0;
    unsigned __int128 waiting = missing > old_full ? missing - old_full : 0;
    tokens = tokens > new_full ? new_full : tokens;
    unsigned __int128 ns = (new_full - tokens + waiting + new_rate - 1) / new_rate;
    stage->filled_ns = stage_time_add(now_ns, ns < FAULT_NEVER ? (uint64_t)ns : FAULT_NEVER);
    stage->remainder = 0;
}

const struct stage_operations stage_rate = {.push = push, .change = change};
