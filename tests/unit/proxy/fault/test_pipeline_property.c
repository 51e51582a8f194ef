/* Random chains, random traffic, random changes, random lateness, and what must hold after each
 * step: units in = delivered + dropped + held; held bytes are those units'; order is kept; streams
 * lose nothing; logical times never go back and are never ahead of the clock; nothing that is due
 * stays. A failure prints the seed; `test_pipeline_property SEED` runs that one alone. */
#include "tests/unit/proxy/fault/harness.h"

#include <inttypes.h>

#include "proxy/base/random.h"

enum { UNITS = 600, FAULTS = 6, SEEDS = 400 };

struct world {
    uint64_t seed;
    struct random_stream dice;
    enum fault_medium medium;
    uint64_t now_ns;
    struct harness *harness;
    struct ruleset ruleset;
    struct fault_plan *plan;
    size_t checked; /* records looked at already */
    uint64_t delivered, dropped, last_at_ns;
    int64_t last_id;
    bool gone[UNITS];
};

static uint64_t below(struct world *world, uint64_t bound)
{
    return random_below(random_next(&world->dice), bound);
}

#define holds(world, condition)                                                                    \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("seed %" PRIu64 ": %s does not hold", (world)->seed, #condition);             \
    } while (0)

static struct ruleset_fault random_fault(struct world *world, const char *name)
{
    static const uint64_t rates[] = {500, 20000, 1000000, 125000000, RULESET_RATE_MAX};
    switch (below(world, 3)) {
    case 0:
        return jitter(name, below(world, 50) * MS, below(world, 30) * MS,
                      (enum ruleset_distribution)below(world, RULESET_TABLE));
    case 1:
        return loss(name, (uint32_t)below(world, 200000001));
    default:
        return rate(name, rates[below(world, COUNT_OF(rates))], below(world, 3) * 2000,
                    below(world, 3) * 5000);
    }
}

static void set_parameters(struct world *world, struct ruleset_fault *fault)
{
    for (;;) {
        struct ruleset_fault drawn = random_fault(world, fault->name);
        if (drawn.type == fault->type) {
            *fault = drawn;
            return;
        }
    }
}

/* Adds, removes, changes or swaps faults, and puts the new plan in force. */
static void change_ruleset(struct world *world)
{
    char name[RULESET_NAME_MAX];
    size_t count = world->ruleset.fault_count;
    for (uint64_t changes = 1 + below(world, 3); changes > 0; changes--) {
        snprintf(name, sizeof(name), "f%u", (unsigned)below(world, FAULTS));
        struct ruleset_fault *found = ruleset_find_fault(&world->ruleset, name);
        uint64_t action = below(world, 4);
        count = world->ruleset.fault_count;
        if (!found) {
            struct ruleset_fault fault = random_fault(world, name);
            ruleset_add_fault(&world->ruleset, &fault);
        } else if (action == 0) {
            ruleset_remove_fault(&world->ruleset, name);
        } else if (action == 1) {
            struct ruleset_fault *other = &world->ruleset.faults[below(world, count)];
            struct ruleset_fault swapped = *other;
            *other = *found;
            *found = swapped;
        } else {
            set_parameters(world, found);
        }
    }
    struct fault_plan *next = NULL;
    struct fault_entry entries[FAULT_CHAIN_MAX];
    holds(world, ruleset_check(&world->ruleset, NULL) == 0);
    holds(world, fault_plan_create(&world->ruleset, world->plan, &next, NULL) == 0);
    count =
        fault_plan_chain(next, fault_plan_node_slot(next, "n1"), fault_plan_node_slot(next, "n2"),
                         FAULT_NO_ROUTE, RULESET_BOTH, entries);
    holds(world, count == world->ruleset.fault_count);
    fault_pipeline_apply(&world->harness->pipeline, entries, count, world->now_ns);
    fault_plan_destroy(world->plan);
    world->plan = next;
}

static void check_records(struct world *world)
{
    const struct harness *harness = world->harness;
    for (; world->checked < harness->record_count; world->checked++) {
        const struct record *record = &harness->records[world->checked];
        holds(world, !world->gone[record->id]); /* exactly once */
        world->gone[record->id] = true;
        holds(world, record->at_ns <= world->now_ns);
        if (record->cause == FAULT_CAUSES) {
            holds(world, (int64_t)record->id > world->last_id);
            holds(world, record->at_ns >= world->last_at_ns);
            world->last_id = record->id;
            world->last_at_ns = record->at_ns;
            world->delivered++;
        } else {
            holds(world, world->medium == FAULT_DATAGRAM);
            holds(world, record->cause == FAULT_CAUSE_LOSS || record->cause == FAULT_CAUSE_QUEUE);
            world->dropped++;
        }
    }
}

static void check(struct world *world)
{
    check_records(world);
    const struct fault_pipeline *pipeline = &world->harness->pipeline;
    uint64_t held = 0, held_bytes = 0, queued_units = 0, queued_bytes = 0;
    for (size_t i = 0; i < world->harness->unit_count; i++)
        if (!world->gone[i]) {
            held++;
            held_bytes += world->harness->units[i].unit.bytes;
        }
    uint64_t next_ns = FAULT_NEVER;
    for (size_t i = 0; i < pipeline->stage_count; i++) {
        const struct fault_queue *queue = &pipeline->stages[i].queue;
        uint64_t bytes = 0, units = 0;
        for (const struct fault_unit *unit = queue->head; unit; unit = unit->next) {
            units++;
            bytes += unit->bytes;
            next_ns = unit->due_ns < next_ns ? unit->due_ns : next_ns;
            holds(world, unit->next || unit == queue->tail);
        }
        holds(world, units == queue->units && bytes == queue->bytes);
        queued_units += units;
        queued_bytes += bytes;
    }
    holds(world, queued_units == held && queued_bytes == held_bytes);
    holds(world, fault_pipeline_held_bytes(pipeline) == held_bytes);
    holds(world, world->delivered + world->dropped + held == world->harness->unit_count);
    holds(world, fault_pipeline_next_due(pipeline) == next_ns && next_ns > world->now_ns);
}

static void step(struct world *world)
{
    switch (below(world, 12)) {
    case 0:
        change_ruleset(world);
        break;
    case 1:
    case 2: /* late, by up to 30 ms */
        world->now_ns += below(world, 30 * MS);
        harness_run(world->harness, world->now_ns);
        break;
    case 3: { /* punctual */
        uint64_t next_ns = fault_pipeline_next_due(&world->harness->pipeline);
        if (next_ns != FAULT_NEVER)
            world->now_ns = next_ns;
        harness_run(world->harness, world->now_ns);
        break;
    }
    default: /* also without a run before it */
        world->now_ns += below(world, 2) * below(world, 2 * MS);
        harness_push_segments(world->harness, 1 + (uint32_t)below(world, 3000),
                              1 + (uint32_t)below(world, 3), world->now_ns);
    }
    check(world);
}

static void run_seed(uint64_t seed)
{
    struct world world = {.seed = seed, .dice.key = seed, .last_id = -1, .ruleset.seed = seed};
    world.medium = below(&world, 2) ? FAULT_STREAM : FAULT_DATAGRAM;
    world.now_ns = below(&world, 2) * below(&world, SECOND);
    world.harness = harness_create(world.medium, seed, UNITS);
    add_node(&world.ruleset, "n1");
    add_node(&world.ruleset, "n2");
    change_ruleset(&world);
    while (world.harness->unit_count < UNITS)
        step(&world);
    if (below(&world, 2)) {
        while (fault_pipeline_next_due(&world.harness->pipeline) != FAULT_NEVER) {
            world.now_ns = fault_pipeline_next_due(&world.harness->pipeline);
            harness_run(world.harness, world.now_ns);
            check(&world);
        }
        holds(&world, world.delivered + world.dropped == UNITS);
        holds(&world, world.medium == FAULT_DATAGRAM || world.delivered == UNITS);
    } else {
        size_t before = world.harness->record_count;
        fault_pipeline_clear(&world.harness->pipeline, FAULT_CAUSE_CUT);
        holds(&world, world.harness->record_count == UNITS);
        for (size_t i = before; i < UNITS; i++) {
            holds(&world, world.harness->records[i].cause == FAULT_CAUSE_CUT);
            holds(&world,
                  i == before || world.harness->records[i].id > world.harness->records[i - 1].id);
        }
        holds(&world, fault_pipeline_held_bytes(&world.harness->pipeline) == 0);
    }
    harness_free(world.harness);
    fault_plan_destroy(world.plan);
    ruleset_free(&world.ruleset);
}

static uint64_t only_seed;

static void invariants_hold(void **state)
{
    (void)state;
    if (only_seed) {
        run_seed(only_seed);
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_seed(seed);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(invariants_hold)};
    only_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    return cmocka_run_group_tests_name("proxy/fault/pipeline_property", tests, NULL, NULL);
}
