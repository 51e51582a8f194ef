/* Shared by the tests of proxy/fault: building rulesets in a line, and a pipeline that records. */
#ifndef SEVER_TESTS_FAULT_HARNESS_H
#define SEVER_TESTS_FAULT_HARNESS_H

#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/fault/pipeline.h"
#include "proxy/fault/plan.h"
#include "proxy/fault/ruleset.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static inline void put(char *field, const char *text)
{
    snprintf(field, RULESET_NAME_MAX, "%s", text);
}

/* All parameters zero, on n1->n2. */
static inline struct ruleset_fault fault_of(const char *name, enum ruleset_fault_type type)
{
    struct ruleset_fault fault = {.type = type, .link = {.from = "n1", .to = "n2"}};
    put(fault.name, name);
    return fault;
}

static inline void add_node(struct ruleset *ruleset, const char *name)
{
    struct ruleset_node node = {0};
    put(node.name, name);
    ruleset_add_node(ruleset, &node);
}

/* from and to may be "". */
static inline void add_route(struct ruleset *ruleset, const char *name, const char *from,
                             const char *to)
{
    struct ruleset_route route = {.enabled = true};
    put(route.name, name);
    put(route.listen, "127.0.0.1:0");
    put(route.upstream, "127.0.0.1:1");
    put(route.from, from);
    put(route.to, to);
    ruleset_add_route(ruleset, &route);
}

/* A latency of delay_ns on a link ("n1->n2") or, when that has no arrow, on a route. */
static inline struct ruleset_fault latency(const char *name, const char *target, uint64_t delay_ns)
{
    struct ruleset_fault fault = {.type = RULESET_LATENCY, .latency.delay_ns = delay_ns};
    put(fault.name, name);
    if (strchr(target, '>'))
        assert_int_equal(ruleset_parse_link(target, &fault.link, &fault.both_ways, NULL), 0);
    else
        put(fault.route, target);
    return fault;
}

static inline struct ruleset_fault jitter(const char *name, uint64_t delay_ns, uint64_t jitter_ns,
                                          enum ruleset_distribution distribution)
{
    struct ruleset_fault fault = latency(name, "n1->n2", delay_ns);
    fault.latency.jitter_ns = jitter_ns;
    fault.latency.distribution = distribution;
    return fault;
}

static inline struct ruleset_fault loss(const char *name, uint32_t probability_ppb)
{
    struct ruleset_fault fault = fault_of(name, RULESET_LOSS);
    fault.loss.probability_ppb = probability_ppb;
    return fault;
}

static inline struct ruleset_fault rate(const char *name, uint64_t bytes_per_s, uint64_t burst,
                                        uint64_t queue)
{
    struct ruleset_fault fault = fault_of(name, RULESET_RATE);
    fault.rate.bytes_per_s = bytes_per_s;
    fault.rate.burst_bytes = burst;
    fault.rate.queue_bytes = queue;
    return fault;
}

struct test_unit {
    struct fault_unit unit; /* first, so that a pointer to it is one to the whole */
    uint32_t id;
    bool copy;
};

struct record {
    uint32_t id; /* of a copy: that of the unit */
    uint64_t at_ns;
    enum fault_cause cause; /* FAULT_CAUSES: delivered */
    uint16_t fault_slot;
    uint32_t bytes;
    bool end, alone, last, copy, repair;
};

struct flip {
    uint32_t id;
    uint64_t bit;
};

enum { TOUCH_SLOTS = 64 };

/* A pipeline with entries that the test writes itself, and what came out of it. */
struct harness {
    struct fault_pipeline pipeline;
    struct test_unit *units;
    struct record *records;
    struct flip *flips;
    size_t unit_count, record_count, flip_count, copy_count, capacity;
    size_t copies_left; /* how many more the sink has memory for */
    uint64_t touched[TOUCH_SLOTS];
    size_t end_count, records_at_end;
    enum fault_end end;
    uint16_t end_slot;
};

static inline void harness_record(struct harness *harness, const struct fault_unit *unit,
                                  enum fault_cause cause, uint16_t slot)
{
    const struct test_unit *whole = (const struct test_unit *)(const void *)unit;
    assert_true(harness->record_count < harness->capacity);
    harness->records[harness->record_count++] = (struct record){.id = whole->id,
                                                                .at_ns = unit->at_ns,
                                                                .cause = cause,
                                                                .fault_slot = slot,
                                                                .bytes = unit->bytes,
                                                                .end = unit->end,
                                                                .alone = unit->alone,
                                                                .last = unit->last,
                                                                .repair = unit->repair,
                                                                .copy = whole->copy};
}

static inline void harness_deliver(void *context, struct fault_unit *unit)
{
    harness_record(context, unit, FAULT_CAUSES, UINT16_MAX);
}

static inline void harness_drop(void *context, struct fault_unit *unit, enum fault_cause cause,
                                uint16_t slot)
{
    harness_record(context, unit, cause, slot);
}

static inline void harness_touched(void *context, uint16_t slot)
{
    assert_true(slot < TOUCH_SLOTS);
    ((struct harness *)context)->touched[slot]++;
}

static inline bool harness_flip(void *context, struct fault_unit *unit, uint64_t bit)
{
    struct harness *harness = context;
    assert_true(harness->flip_count < harness->capacity && bit < UINT64_C(8) * unit->bytes);
    harness->flips[harness->flip_count++] =
        (struct flip){.id = ((const struct test_unit *)(const void *)unit)->id, .bit = bit};
    return true;
}

static inline struct fault_unit *harness_copy(void *context, const struct fault_unit *unit)
{
    struct harness *harness = context;
    if (harness->copies_left == 0 || harness->copy_count == harness->capacity)
        return NULL;
    harness->copies_left--;
    struct test_unit *copy = &harness->units[harness->capacity + harness->copy_count++];
    *copy = *(const struct test_unit *)(const void *)unit;
    copy->copy = true;
    return &copy->unit;
}

/* Of the one expression that tests have: "large" is 1000 bytes and more. */
static inline bool harness_matches(void *context, const struct fault_unit *unit,
                                   const struct ruleset_fault *spec, uint16_t slot)
{
    (void)context;
    (void)slot;
    assert_string_equal(spec->match, "large");
    return unit->bytes >= 1000;
}

static inline void harness_end(void *context, enum fault_end how, uint16_t slot)
{
    struct harness *harness = context;
    harness->end_count++;
    harness->end = how;
    harness->end_slot = slot;
    harness->records_at_end = harness->record_count;
}

/* capacity: units to push, copies, records and flips. */
static inline struct harness *harness_create_flow(const struct fault_flow *flow, size_t capacity)
{
    struct harness *harness = calloc(1, sizeof(*harness));
    assert_non_null(harness);
    harness->units = calloc(2 * capacity, sizeof(*harness->units));
    harness->records = calloc(capacity, sizeof(*harness->records));
    harness->flips = calloc(capacity, sizeof(*harness->flips));
    assert_non_null(harness->units);
    assert_non_null(harness->records);
    assert_non_null(harness->flips);
    harness->capacity = capacity;
    harness->copies_left = SIZE_MAX;
    struct fault_sink sink = {.deliver = harness_deliver,
                              .drop = harness_drop,
                              .touched = harness_touched,
                              .flip = harness_flip,
                              .copy = harness_copy,
                              .matches = harness_matches,
                              .end = harness_end,
                              .context = harness};
    fault_pipeline_init(&harness->pipeline, flow, &sink);
    return harness;
}

static inline struct harness *harness_create(enum fault_medium medium, uint64_t flow,
                                             size_t capacity)
{
    struct fault_flow told = {.medium = medium, .ordinal = flow};
    return harness_create_flow(&told, capacity);
}

static inline void harness_free(struct harness *harness)
{
    free(harness->units);
    free(harness->records);
    free(harness->flips);
    free(harness);
}

/* Faults in chain order; the slot of each is its index here, the key its name's. */
static inline void harness_apply(struct harness *harness, const struct ruleset_fault *faults,
                                 size_t count, uint64_t now_ns)
{
    struct fault_entry entries[FAULT_CHAIN_MAX];
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct fault_entry){
            .spec = &faults[i], .key = 77 + i, .slot = (uint16_t)i, .generation = 1};
    fault_pipeline_apply(&harness->pipeline, entries, count, now_ns);
}

/* Pushes the next unit; ids count from 0. */
static inline void harness_push_segments(struct harness *harness, uint32_t bytes, uint32_t segments,
                                         uint64_t now_ns)
{
    assert_true(harness->unit_count < harness->capacity);
    struct test_unit *unit = &harness->units[harness->unit_count];
    unit->id = (uint32_t)harness->unit_count++;
    unit->unit.bytes = bytes;
    unit->unit.segments = segments;
    fault_pipeline_push(&harness->pipeline, &unit->unit, now_ns);
}

static inline void harness_push(struct harness *harness, uint32_t bytes, uint64_t now_ns)
{
    harness_push_segments(harness, bytes, 1, now_ns);
}

/* The end of a stream, as one byte, as the stream plane does. */
static inline void harness_push_end(struct harness *harness, uint64_t now_ns)
{
    assert_true(harness->unit_count < harness->capacity);
    harness->units[harness->unit_count].unit.end = true;
    harness_push(harness, 1, now_ns);
}

static inline void harness_run(struct harness *harness, uint64_t now_ns)
{
    fault_pipeline_run(&harness->pipeline, now_ns);
}

/* The next record must be this unit's, delivered with this logical time. */
#define expect_delivered(harness, index, unit_id, time_ns)                                         \
    do {                                                                                           \
        assert_true((harness)->record_count > (index));                                            \
        assert_int_equal((harness)->records[index].id, (unit_id));                                 \
        assert_int_equal((harness)->records[index].cause, FAULT_CAUSES);                           \
        assert_int_equal((harness)->records[index].at_ns, (time_ns));                              \
    } while (0)

#endif
