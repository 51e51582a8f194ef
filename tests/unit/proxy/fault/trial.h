/* A trial of a pipeline: random chains of all faults, random traffic, random changes, random
 * lateness, and what must hold after each step: units in (and copies made) = delivered + dropped +
 * held, each exactly once; held bytes are those units'; logical times never go back and are never
 * ahead of the clock; nothing that is due stays; streams keep their order and lose nothing but what
 * a fault discards; a connection is ended at most once.
 *
 * What is random comes from a seed, or from a fuzzer's bytes until they are used up. */
#ifndef SEVER_TESTS_FAULT_TRIAL_H
#define SEVER_TESTS_FAULT_TRIAL_H

#include "tests/unit/proxy/fault/world.h"

#include <inttypes.h>

#include "proxy/base/random.h"

enum { UNITS = 500, CAPACITY = 40 * UNITS, FAULTS = 6 };

struct trial {
    uint64_t seed;
    struct random_stream dice;
    const uint8_t *bytes; /* in place of dice; NULL: there are none */
    size_t left;
    enum fault_medium medium;
    struct world *world;
    struct harness *harness, *other; /* the flow, and one that shares rates with it */
    size_t checked;                  /* records looked at already */
    uint64_t delivered, dropped, last_at_ns;
    int64_t last_id;
    bool cleared;
    bool gone[UNITS];
    uint64_t pushed_bytes[UNITS];
};

static inline uint64_t below(struct trial *trial, uint64_t bound)
{
    if (!trial->bytes)
        return random_below(random_next(&trial->dice), bound);
    uint64_t drawn = 0;
    for (uint64_t range = bound - 1; bound > 1 && range > 0; range >>= 8) {
        drawn = drawn << 8 | (trial->left > 0 ? *trial->bytes : 0);
        trial->bytes += trial->left > 0;
        trial->left -= trial->left > 0;
    }
    return bound > 1 ? drawn % bound : 0;
}

#define holds(trial, condition)                                                                    \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("seed %" PRIu64 ": %s does not hold", (trial)->seed, #condition);             \
    } while (0)

static inline uint32_t chance(struct trial *trial)
{
    return (uint32_t)below(trial, 4) * (uint32_t)below(trial, 100000001);
}

static inline void draw_loss(struct trial *trial, struct ruleset_fault *fault)
{
    fault->loss.model = (enum ruleset_loss_model)below(trial, RULESET_LOSS_MODELS);
    fault->loss.probability_ppb = chance(trial);
    fault->loss.correlation_ppb = chance(trial);
    fault->loss.to_bad_ppb = chance(trial);
    fault->loss.to_good_ppb = chance(trial);
    fault->loss.lost_in_bad_ppb = chance(trial);
    fault->loss.p13_ppb = chance(trial);
    fault->loss.p31_ppb = chance(trial);
    fault->loss.p32_ppb = chance(trial);
    fault->loss.p23_ppb = chance(trial);
    fault->loss.p14_ppb = chance(trial);
    fault->loss.every = 1 + (uint32_t)below(trial, 50);
}

static inline void draw_latency(struct trial *trial, struct ruleset_fault *fault)
{
    fault->latency.delay_ns = below(trial, 50) * MS;
    fault->latency.jitter_ns = below(trial, 30) * MS;
    fault->latency.distribution = (enum ruleset_distribution)below(trial, RULESET_DISTRIBUTIONS);
    put(fault->latency.table, fault->latency.distribution == RULESET_TABLE ? "delays" : "");
    fault->latency.correlation_ppb = chance(trial);
    fault->latency.reorder = below(trial, 3) == 0;
}

static inline void draw_rate(struct trial *trial, struct ruleset_fault *fault)
{
    static const uint64_t rates[] = {0, 500, 20000, 1000000, 125000000, RULESET_RATE_MAX};
    fault->rate.bytes_per_s = rates[below(trial, COUNT_OF(rates))];
    fault->rate.burst_bytes = below(trial, 3) * 2000;
    fault->rate.queue_bytes = below(trial, 3) * 5000;
    fault->rate.shared = fault->route[0] && below(trial, 2);
    fault->rate.queue_packets = fault->route[0] ? 0 : (uint32_t)below(trial, 3) * 4;
}

/* The parameters of the fault, within its type. */
static inline void draw_parameters(struct trial *trial, struct ruleset_fault *fault)
{
    switch (fault->type) {
    case RULESET_LATENCY:
        draw_latency(trial, fault);
        break;
    case RULESET_LOSS:
        draw_loss(trial, fault);
        break;
    case RULESET_RATE:
        draw_rate(trial, fault);
        break;
    case RULESET_TRACE:
        put(fault->trace.table, "trace");
        fault->trace.queue_bytes = below(trial, 3) * 5000;
        fault->trace.queue_packets = (uint32_t)below(trial, 3) * 4;
        break;
    case RULESET_FLAP:
        fault->flap.up_ns = 2 + below(trial, 20 * MS);
        fault->flap.down_ns = 2 + below(trial, 20 * MS);
        fault->flap.jitter_ns = below(trial, 2); /* at most half of either */
        break;
    case RULESET_REORDER:
        fault->reorder.delay_ns = 1 + below(trial, 20) * MS;
        fault->reorder.probability_ppb = chance(trial);
        break;
    case RULESET_TRUNCATE:
        fault->truncate.probability_ppb = chance(trial);
        fault->truncate.bytes = below(trial, 100);
        break;
    case RULESET_SLICER:
        fault->slicer.average_bytes = below(trial, 3000);
        fault->slicer.variation_bytes = below(trial, 1000);
        fault->slicer.delay_ns = below(trial, 2) * below(trial, 3 * MS);
        break;
    case RULESET_LIMIT_DATA: /* rarely met, so that something goes on */
        fault->limit_data.bytes = below(trial, 6) ? RULESET_LIMIT_MAX : below(trial, 300000);
        break;
    case RULESET_TIMEOUT:
    case RULESET_RESET_PEER:
    case RULESET_SLOW_CLOSE:
    case RULESET_ACCEPT_DELAY: /* one field, in one place */
        fault->timeout.timeout_ns = below(trial, 2) * below(trial, SECOND);
        break;
    default: /* probability and perhaps correlation */
        fault->corrupt.probability_ppb = chance(trial);
        fault->corrupt.correlation_ppb =
            fault->type == RULESET_CORRUPT || fault->type == RULESET_DUPLICATE ? chance(trial) : 0;
    }
}

/* For whom. */
static inline void draw_reach(struct trial *trial, struct ruleset_fault *fault)
{
    fault->spared_ppb = (uint32_t)below(trial, 3) / 2 * (uint32_t)below(trial, 1000000001);
    fault->first_connections = below(trial, 6) ? 0 : 1;
    fault->after_ns = below(trial, 6) ? 0 : below(trial, 500 * MS);
    put(fault->match, below(trial, 8) || fault->route[0] ? "" : "large");
}

static inline struct ruleset_fault draw_fault(struct trial *trial, const char *name)
{
    struct ruleset_fault fault =
        fault_of(name, (enum ruleset_fault_type)below(trial, RULESET_FAULT_TYPES));
    bool ends = fault.type == RULESET_TIMEOUT || fault.type == RULESET_RESET_PEER;
    if (ends && below(trial, 4)) /* these stop everything */
        fault.type = RULESET_NOOP;
    if (fault.type == RULESET_RATE && below(trial, 2)) {
        fault.link = (struct ruleset_link){0};
        put(fault.route, "r");
    }
    draw_parameters(trial, &fault);
    draw_reach(trial, &fault);
    return fault;
}

static inline void set_tables(struct trial *trial)
{
    int32_t values[8];
    struct ruleset_table table = {.values = values, .count = 2 + below(trial, 6)};
    for (size_t i = 0; i < table.count; i++)
        values[i] = (int32_t)below(trial, 30000) - 15000;
    put(table.name, "delays");
    ruleset_set_table(&trial->world->ruleset, &table);
    for (size_t i = 0; i < table.count; i++)
        values[i] = (i ? values[i - 1] : 0) + (int32_t)below(trial, 9) + (i + 1 == table.count);
    put(table.name, "trace");
    ruleset_set_table(&trial->world->ruleset, &table);
}

/* Adds, removes, changes or swaps faults, and puts the new plan in force. */
static inline void change_ruleset(struct trial *trial)
{
    struct ruleset *ruleset = &trial->world->ruleset;
    char name[RULESET_NAME_MAX];
    if (below(trial, 4) == 0 || ruleset->table_count == 0)
        set_tables(trial);
    for (uint64_t changes = 1 + below(trial, 3); changes > 0; changes--) {
        snprintf(name, sizeof(name), "f%u", (unsigned)below(trial, FAULTS));
        struct ruleset_fault *found = ruleset_find_fault(ruleset, name);
        uint64_t action = below(trial, 5);
        if (!found) {
            world_add(trial->world, draw_fault(trial, name));
        } else if (action == 0) {
            ruleset_remove_fault(ruleset, name);
        } else if (action == 1) {
            struct ruleset_fault *other = &ruleset->faults[below(trial, ruleset->fault_count)];
            struct ruleset_fault swapped = *other;
            *other = *found;
            *found = swapped;
        } else if (action == 2) {
            draw_reach(trial, found);
        } else {
            draw_parameters(trial, found);
        }
    }
    world_publish(trial->world);
}

static inline void check_record(struct trial *trial, const struct record *record)
{
    const struct harness *harness = trial->harness;
    bool stream = trial->medium == FAULT_STREAM;
    if (!record->copy) {
        holds(trial, !trial->gone[record->id]); /* exactly once */
        trial->gone[record->id] = true;
    }
    holds(trial, !stream || !record->copy);
    holds(trial, record->at_ns <= trial->world->now_ns);
    if (record->cause == FAULT_CAUSES) {
        holds(trial, !stream || (int64_t)record->id > trial->last_id);
        holds(trial, record->at_ns >= trial->last_at_ns);
        trial->last_id = record->id;
        trial->last_at_ns = record->at_ns;
        trial->delivered++;
        bool whole = record->bytes == trial->pushed_bytes[record->id];
        holds(trial, whole || !stream || record->last);
        holds(trial, record->bytes <= trial->pushed_bytes[record->id]);
        return;
    }
    trial->dropped++;
    holds(trial, record->fault_slot < TOUCH_SLOTS);
    if (trial->cleared)
        return;
    holds(trial, !record->end);
    holds(trial, stream == (record->cause == FAULT_CAUSE_DISCARD));
    holds(trial, harness->touched[record->fault_slot] > 0);
}

struct sum {
    uint64_t units, bytes, next_ns;
};

static inline void add_unit(struct sum *sum, const struct fault_unit *unit)
{
    sum->units++;
    sum->bytes += unit->bytes;
    sum->next_ns = unit->due_ns < sum->next_ns ? unit->due_ns : sum->next_ns;
}

static inline void add_heap(struct sum *sum, const struct fault_unit *root)
{
    for (; root; root = root->next) {
        add_unit(sum, root);
        add_heap(sum, root->child);
    }
}

static inline void check_queues(struct trial *trial)
{
    const struct fault_pipeline *pipeline = &trial->harness->pipeline;
    struct sum all = {.next_ns = FAULT_NEVER};
    for (size_t i = 0; i < pipeline->stage_count; i++) {
        const struct fault_stage *stage = &pipeline->stages[i];
        struct sum sum = {.next_ns = stage->alarm_ns};
        for (const struct fault_unit *unit = stage->queue.head; unit; unit = unit->next) {
            add_unit(&sum, unit);
            holds(trial,
                  unit->next ? unit->due_ns <= unit->next->due_ns : unit == stage->queue.tail);
        }
        add_heap(&sum, stage->queue.root);
        holds(trial, sum.units == stage->queue.units && sum.bytes == stage->queue.bytes);
        holds(trial, sum.units == 0 ||
                         (stage->acts && !stage->idle && stage->from_ns <= trial->world->now_ns));
        all.units += sum.units;
        all.bytes += sum.bytes;
        all.next_ns = sum.next_ns < all.next_ns ? sum.next_ns : all.next_ns;
    }
    uint64_t in = trial->harness->unit_count + trial->harness->copy_count;
    holds(trial, trial->delivered + trial->dropped + all.units == in);
    holds(trial, fault_pipeline_held_bytes(pipeline) == all.bytes);
    holds(trial, fault_pipeline_next_due(pipeline) == all.next_ns);
    holds(trial, all.next_ns > trial->world->now_ns);
    holds(trial, all.units == 0 || fault_pipeline_is_needed(pipeline));
}

static inline void check(struct trial *trial)
{
    const struct harness *harness = trial->harness;
    for (; trial->checked < harness->record_count; trial->checked++)
        check_record(trial, &harness->records[trial->checked]);
    check_queues(trial);
    holds(trial, harness->end_count <= 1);
    holds(trial, harness->end_count == 0 || trial->medium == FAULT_STREAM);
    uint32_t chunk = fault_pipeline_next_chunk(&harness->pipeline, 5000);
    holds(trial, chunk >= 1 && chunk <= 5000);
}

static inline void push(struct trial *trial)
{
    struct harness *harness = trial->harness;
    bool last = harness->unit_count + 1 == UNITS || (trial->bytes && trial->left == 0);
    if (trial->medium == FAULT_STREAM && last) {
        trial->pushed_bytes[harness->unit_count] = 1;
        harness_push_end(harness, trial->world->now_ns);
        return;
    }
    uint32_t bytes = 1 + (uint32_t)below(trial, 3000);
    trial->pushed_bytes[harness->unit_count] = bytes;
    harness_push_segments(harness, bytes, 1 + (uint32_t)below(trial, 3), trial->world->now_ns);
}

static inline void step(struct trial *trial)
{
    struct world *world = trial->world;
    switch (below(trial, 12)) {
    case 0:
        change_ruleset(trial);
        break;
    case 1:
    case 2: /* late, by up to 30 ms */
        world->now_ns += below(trial, 30 * MS);
        harness_run(trial->harness, world->now_ns);
        break;
    case 3: { /* punctual */
        uint64_t next_ns = fault_pipeline_next_due(&trial->harness->pipeline);
        if (next_ns != FAULT_NEVER)
            world->now_ns = next_ns;
        harness_run(trial->harness, world->now_ns);
        break;
    }
    case 4:
        if (trial->other->unit_count < UNITS)
            harness_push(trial->other, 1 + (uint32_t)below(trial, 3000), world->now_ns);
        break;
    default: /* also without a run before it */
        world->now_ns += below(trial, 2) * below(trial, 2 * MS);
        push(trial);
    }
    check(trial);
}

/* Runs until nothing is due, then takes the faults away: all is out. */
static inline void drain(struct trial *trial)
{
    struct world *world = trial->world;
    while (fault_pipeline_next_due(&trial->harness->pipeline) != FAULT_NEVER) {
        world->now_ns = fault_pipeline_next_due(&trial->harness->pipeline);
        harness_run(trial->harness, world->now_ns);
        check(trial);
    }
    while (world->ruleset.fault_count > 0)
        ruleset_remove_fault(&world->ruleset, world->ruleset.faults[0].name);
    world_publish(world);
    check(trial);
    holds(trial, fault_pipeline_held_bytes(&trial->harness->pipeline) == 0);
}

static inline void clear(struct trial *trial)
{
    trial->cleared = true;
    fault_pipeline_clear(&trial->harness->pipeline, FAULT_CAUSE_CUT);
    for (; trial->checked < trial->harness->record_count; trial->checked++) {
        const struct record *record = &trial->harness->records[trial->checked];
        holds(trial, record->cause == FAULT_CAUSE_CUT && record->fault_slot < TOUCH_SLOTS);
        check_record(trial, record);
    }
    holds(trial, fault_pipeline_held_bytes(&trial->harness->pipeline) == 0);
}

static inline void run_trial(struct trial *trial)
{
    trial->last_id = -1;
    trial->world = world_create(trial->seed);
    trial->medium = below(trial, 2) ? FAULT_STREAM : FAULT_DATAGRAM;
    trial->world->now_ns = below(trial, 2) * below(trial, SECOND);
    if (below(trial, 2))
        change_ruleset(trial);
    trial->harness = world_begin(trial->world, trial->medium, trial->seed, CAPACITY);
    trial->other = world_begin(trial->world, trial->medium, trial->seed + 1, CAPACITY);
    while (trial->harness->unit_count < UNITS && (!trial->bytes || trial->left > 0))
        step(trial);
    if (below(trial, 2))
        drain(trial);
    else
        clear(trial);
    holds(trial, trial->delivered + trial->dropped ==
                     trial->harness->unit_count + trial->harness->copy_count);
    world_free(trial->world);
}

#endif
