/* A ruleset in force over many flows, as a daemon does it, without sockets: plans, states, and
 * connections of two pipelines. */
#ifndef SEVER_TESTS_FAULT_WORLD_H
#define SEVER_TESTS_FAULT_WORLD_H

#include "tests/unit/proxy/fault/harness.h"

enum { WORLD_FLOWS = 256 };

struct world_flow {
    struct harness *harness;
    char from[RULESET_NAME_MAX], to[RULESET_NAME_MAX], route[RULESET_NAME_MAX];
    enum ruleset_direction direction;
};

struct world {
    struct ruleset ruleset; /* the test changes it, then publishes */
    struct fault_plan *plan;
    struct fault_states *states;
    uint64_t now_ns;
    struct world_flow flows[WORLD_FLOWS];
    size_t flow_count;
};

static inline void world_apply(struct world *world, struct world_flow *flow)
{
    struct fault_entry entries[FAULT_CHAIN_MAX];
    const struct fault_plan *plan = world->plan;
    size_t count = fault_plan_chain(
        plan, fault_plan_node_slot(plan, flow->from), fault_plan_node_slot(plan, flow->to),
        fault_plan_route_slot(plan, flow->route), flow->direction, entries);
    fault_pipeline_apply(&flow->harness->pipeline, entries, count, world->now_ns);
}

/* Puts the ruleset in force. */
static inline void world_publish(struct world *world)
{
    struct fault_plan *next = NULL, *old = world->plan;
    struct error error = {0};
    world->ruleset.version++;
    ruleset_check(&world->ruleset, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(fault_plan_create(&world->ruleset, old, &next, &error), 0);
    fault_states_take(world->states, next, world->now_ns);
    world->plan = next;
    for (size_t i = 0; i < world->flow_count; i++)
        world_apply(world, &world->flows[i]);
    fault_plan_destroy(old);
}

/* Nodes n1, n2, n3; routes r (n1 to n2) and s (from whoever, to n2). */
static inline struct world *world_create(uint64_t seed)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->states = calloc(1, sizeof(*world->states));
    assert_non_null(world->states);
    world->ruleset.seed = seed;
    world->now_ns = SECOND;
    add_node(&world->ruleset, "n1");
    add_node(&world->ruleset, "n2");
    add_node(&world->ruleset, "n3");
    add_route(&world->ruleset, "r", "n1", "n2");
    add_route(&world->ruleset, "s", "", "n2");
    world_publish(world);
    return world;
}

static inline void world_end_flows(struct world *world)
{
    for (size_t i = 0; i < world->flow_count; i++) {
        fault_pipeline_clear(&world->flows[i].harness->pipeline, FAULT_CAUSE_CUT);
        harness_free(world->flows[i].harness);
    }
    world->flow_count = 0;
}

static inline void world_free(struct world *world)
{
    world_end_flows(world);
    fault_plan_destroy(world->plan);
    ruleset_free(&world->ruleset);
    free(world->states);
    free(world);
}

static inline void world_add(struct world *world, struct ruleset_fault fault)
{
    ruleset_add_fault(&world->ruleset, &fault);
}

static inline struct ruleset_fault *world_fault(struct world *world, const char *name)
{
    struct ruleset_fault *fault = ruleset_find_fault(&world->ruleset, name);
    assert_non_null(fault);
    return fault;
}

static inline struct fault_flow world_tell(const struct world *world, enum fault_medium medium,
                                           uint64_t ordinal)
{
    return (struct fault_flow){.medium = medium,
                               .ordinal = ordinal,
                               .begun_ns = world->now_ns,
                               .begun_version = fault_plan_version(world->plan),
                               .states = world->states};
}

static inline struct world_flow *world_prepare(struct world *world, const struct fault_flow *told,
                                               const char *from, const char *to, const char *route,
                                               enum ruleset_direction direction, size_t units)
{
    assert_true(world->flow_count < WORLD_FLOWS);
    struct world_flow *flow = &world->flows[world->flow_count++];
    *flow =
        (struct world_flow){.harness = harness_create_flow(told, units), .direction = direction};
    put(flow->from, from);
    put(flow->to, to);
    put(flow->route, route);
    return flow;
}

/* One direction alone, on n1->n2 over r. */
static inline struct harness *world_begin(struct world *world, enum fault_medium medium,
                                          uint64_t ordinal, size_t units)
{
    struct fault_flow told = world_tell(world, medium, ordinal);
    struct world_flow *flow = world_prepare(world, &told, "n1", "n2", "r", RULESET_UPSTREAM, units);
    world_apply(world, flow);
    return flow->harness;
}

/* Both directions of a connection from `from` to n2 over a route: [0] upstream, [1] downstream. */
static inline struct world_flow *world_connect(struct world *world, const char *from,
                                               const char *route, uint64_t ordinal)
{
    struct fault_flow told = world_tell(world, FAULT_STREAM, ordinal);
    struct world_flow *up = world_prepare(world, &told, from, "n2", route, RULESET_UPSTREAM, 64);
    struct world_flow *down =
        world_prepare(world, &told, "n2", from, route, RULESET_DOWNSTREAM, 64);
    up->harness->pipeline.flow.opposite = &down->harness->pipeline;
    down->harness->pipeline.flow.opposite = &up->harness->pipeline;
    world_apply(world, up);
    world_apply(world, down);
    return up;
}

/* Whether the fault acts on this flow now. */
static inline bool world_is_hit(const struct harness *harness, const char *fault)
{
    const struct fault_pipeline *pipeline = &harness->pipeline;
    for (size_t i = 0; i < pipeline->stage_count; i++)
        if (strcmp(pipeline->stages[i].spec->name, fault) == 0)
            return !pipeline->stages[i].idle;
    return false;
}

#endif
