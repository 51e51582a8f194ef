/* Trace: what a link carries is a list of opportunities, each for 1500 bytes, as mahimahi replays
 * them (Netravali et al., USENIX ATC 2015).
 *
 * Theory of operation. Opportunities are numbered from the beginning of the trace on, over as many
 * rounds of the table as there have been. `next` is the one that the queue has come to, `left` what
 * it still carries. A unit takes what is left, and as many further ones as it needs; it leaves with
 * the last of them. When nothing waits, opportunities pass unused: then the first one that is not
 * over is looked up. */

#include "proxy/fault/stage.h"

#define NS_PER_MS UINT64_C(1000000)

enum { OPPORTUNITY_BYTES = 1500, QUEUE_BYTES = 64 * 1024 };

static uint64_t period_ns(const struct ruleset_table *table)
{
    return (uint64_t)table->values[table->count - 1] * NS_PER_MS;
}

/* When opportunity `number` is. */
static uint64_t time_of(const struct fault_stage *stage, uint64_t number)
{
    const struct ruleset_table *table = stage->table;
    unsigned __int128 ns = (unsigned __int128)(number / table->count) * period_ns(table) +
                           (uint64_t)table->values[number % table->count] * NS_PER_MS;
    return stage_time_add(stage->trace.origin_ns, ns < FAULT_NEVER ? (uint64_t)ns : FAULT_NEVER);
}

/* The first one at now_ns or later. One round ends when the next one begins: what is at that time
 * is looked up in the former. */
static uint64_t find_from(const struct fault_stage *stage, uint64_t now_ns)
{
    const struct ruleset_table *table = stage->table;
    uint64_t origin_ns = stage->trace.origin_ns, period = period_ns(table);
    uint64_t gone_ns = now_ns > origin_ns ? now_ns - origin_ns : 0;
    uint64_t rounds = gone_ns > 0 ? (gone_ns - 1) / period : 0;
    uint64_t rest_ns = gone_ns - rounds * period;
    size_t low = 0, high = table->count - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((uint64_t)table->values[middle] * NS_PER_MS < rest_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return rounds * table->count + low;
}

static void start(struct fault_stage *stage, uint64_t origin_ns)
{
    stage->trace.origin_ns = origin_ns;
    stage->trace.next = 0;
    stage->trace.left = OPPORTUNITY_BYTES;
}

static void begin(struct fault_stage *stage, const struct fault_pipeline *pipeline)
{
    (void)pipeline;
    start(stage, stage_acts_since(stage));
}

/* When the unit has been carried that comes at at_ns. */
static uint64_t carry(struct fault_stage *stage, const struct fault_unit *unit, uint64_t at_ns)
{
    uint64_t bytes = unit->end ? 0 : unit->bytes;
    if (time_of(stage, stage->trace.next) < at_ns) {
        stage->trace.next = find_from(stage, at_ns);
        stage->trace.left = OPPORTUNITY_BYTES;
    }
    if (bytes > stage->trace.left) {
        uint64_t rest = bytes - stage->trace.left;
        uint64_t more = (rest + OPPORTUNITY_BYTES - 1) / OPPORTUNITY_BYTES;
        stage->trace.next += more;
        stage->trace.left = (uint32_t)(more * OPPORTUNITY_BYTES - rest);
    } else {
        stage->trace.left -= (uint32_t)bytes;
    }
    return bytes == 0 ? at_ns : time_of(stage, stage->trace.next);
}

static uint64_t queue_limit(const struct fault_stage *stage)
{
    uint64_t limit = stage->spec->trace.queue_bytes;
    return limit ? limit : QUEUE_BYTES;
}

/* Of datagrams: a limit in packets is in place of the default. */
static bool is_full(const struct fault_stage *stage, const struct fault_unit *unit)
{
    uint32_t packets = stage->spec->trace.queue_packets;
    bool in_packets = packets > 0 && stage->spec->trace.queue_bytes == 0;
    uint64_t limit = in_packets ? RULESET_QUEUE_MAX : queue_limit(stage);
    return (packets > 0 && stage->queue.units >= packets) ||
           (stage->queue.units > 0 && stage->queue.bytes + unit->bytes > limit);
}

static enum stage_verdict push(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                               struct fault_unit *unit, struct stage_outcome *outcome)
{
    if (!stage->table)
        return STAGE_PASS;
    if (pipeline->flow.medium == FAULT_DATAGRAM && is_full(stage, unit)) {
        outcome->cause = FAULT_CAUSE_QUEUE;
        return STAGE_DROP;
    }
    unit->due_ns = carry(stage, unit, unit->at_ns);
    if (stage->queue.tail && unit->due_ns < stage->queue.tail->due_ns)
        unit->due_ns = stage->queue.tail->due_ns;
    return unit->due_ns > unit->at_ns ? STAGE_HOLD : STAGE_PASS;
}

/* Another table begins now, for what is held as well. */
static void change(struct fault_stage *stage, const struct fault_pipeline *pipeline,
                   const struct fault_entry *after, uint64_t now_ns)
{
    uint64_t last_ns = now_ns;
    (void)pipeline;
    if (after->table_edition == stage->table_edition || !after->table)
        return;
    stage->table = after->table;
    start(stage, now_ns > stage->from_ns ? now_ns : stage->from_ns);
    for (struct fault_unit *unit = stage->queue.head; unit; unit = unit->next) {
        uint64_t due_ns = carry(stage, unit, now_ns);
        last_ns = due_ns > last_ns ? due_ns : last_ns;
        unit->due_ns = last_ns;
    }
}

static uint64_t chunk(const struct fault_stage *stage, const struct fault_pipeline *pipeline)
{
    (void)stage;
    (void)pipeline;
    return OPPORTUNITY_BYTES;
}

const struct stage_operations stage_trace = {.on_streams = true,
                                             .on_datagrams = true,
                                             .push = push,
                                             .begin = begin,
                                             .change = change,
                                             .chunk = chunk,
                                             .queue_limit = queue_limit};
