/* Plans: slots and generations over changes, cuts, and which faults a flow meets with which keys.
 */
#include "tests/unit/proxy/fault/harness.h"

#include <errno.h>

#include "proxy/base/random.h"

static struct fault_plan *compile(const struct ruleset *ruleset, const struct fault_plan *previous)
{
    struct fault_plan *plan = NULL;
    struct error error = {0};
    assert_int_equal(ruleset_check(ruleset, &error), 0);
    int code = fault_plan_create(ruleset, previous, &plan, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(code, 0);
    assert_non_null(plan);
    return plan;
}

/* Compiles and lets the previous plan go, as the daemon does. */
static void recompile(const struct ruleset *ruleset, struct fault_plan **plan)
{
    struct fault_plan *next = compile(ruleset, *plan);
    fault_plan_destroy(*plan);
    *plan = next;
}

static void cut(struct ruleset *ruleset, const char *name, const char *const *links, size_t count)
{
    struct ruleset_partition partition = {0};
    put(partition.name, name);
    for (size_t i = 0; i < count; i++) {
        struct ruleset_link link;
        bool both_ways;
        assert_int_equal(ruleset_parse_link(links[i], &link, &both_ways, NULL), 0);
        ruleset_partition_add_link(&partition, link.from, link.to);
    }
    ruleset_add_partition(ruleset, &partition);
    ruleset_partition_free(&partition);
}

static void add_fault(struct ruleset *ruleset, struct ruleset_fault fault)
{
    ruleset_add_fault(ruleset, &fault);
}

static struct ruleset three_nodes(void)
{
    struct ruleset ruleset = {.version = 3, .seed = 42};
    add_node(&ruleset, "n1");
    add_node(&ruleset, "n2");
    add_node(&ruleset, "n3");
    return ruleset;
}

static void an_empty_plan_knows_nothing(void **state)
{
    (void)state;
    struct ruleset ruleset = {.version = 9, .seed = 10};
    struct fault_plan *plan = compile(&ruleset, NULL);
    struct fault_entry entries[FAULT_CHAIN_MAX];
    uint32_t generation = 5;
    assert_int_equal(fault_plan_version(plan), 9);
    assert_int_equal(fault_plan_seed(plan), 10);
    assert_int_equal(fault_plan_node_slot(plan, "n1"), FAULT_NO_NODE);
    assert_int_equal(fault_plan_route_slot(plan, "r1"), FAULT_NO_ROUTE);
    assert_int_equal(fault_plan_fault_slot(plan, "f1", &generation), UINT16_MAX);
    assert_int_equal(generation, 5);
    assert_int_equal(fault_plan_node_generation(plan, 0), 0);
    assert_int_equal(fault_plan_node_generation(plan, FAULT_NO_NODE), 0);
    assert_false(fault_plan_is_cut(plan, 0, 1));
    assert_int_equal(fault_plan_chain(plan, 0, 1, 0, RULESET_UPSTREAM, entries), 0);
    assert_int_equal(
        fault_plan_chain(plan, FAULT_NO_NODE, FAULT_NO_NODE, FAULT_NO_ROUTE, RULESET_BOTH, entries),
        0);
    fault_plan_destroy(plan);
    fault_plan_destroy(NULL);
}

static void names_keep_their_slots(void **state)
{
    (void)state;
    struct ruleset ruleset = three_nodes();
    add_route(&ruleset, "r1", "", "n1");
    add_route(&ruleset, "r2", "", "n2");
    struct fault_plan *plan = compile(&ruleset, NULL);
    uint16_t n1 = fault_plan_node_slot(plan, "n1"), n2 = fault_plan_node_slot(plan, "n2"),
             n3 = fault_plan_node_slot(plan, "n3"), r2 = fault_plan_route_slot(plan, "r2");
    assert_true(n1 != n2 && n2 != n3 && n1 != n3 && n1 < 3 && n2 < 3 && n3 < 3);
    uint32_t generation = fault_plan_node_generation(plan, n1);

    ruleset_remove_route(&ruleset, "r1");
    ruleset_remove_node(&ruleset, "n1");
    recompile(&ruleset, &plan);
    assert_int_equal(fault_plan_node_slot(plan, "n1"), FAULT_NO_NODE);
    assert_int_equal(fault_plan_node_slot(plan, "n2"), n2);
    assert_int_equal(fault_plan_node_slot(plan, "n3"), n3);
    assert_int_equal(fault_plan_route_slot(plan, "r2"), r2);

    add_node(&ruleset, "n4"); /* n1's slot is free since the plan before, and changes hands */
    recompile(&ruleset, &plan);
    assert_int_equal(fault_plan_node_slot(plan, "n4"), n1);
    assert_int_equal(fault_plan_node_generation(plan, n1), generation + 1);
    assert_int_equal(fault_plan_node_generation(plan, n2), generation);

    /* gone and come in one step: counters of n4 may still be written, so n5 gets another slot */
    ruleset_remove_node(&ruleset, "n4");
    add_node(&ruleset, "n5");
    recompile(&ruleset, &plan);
    assert_true(fault_plan_node_slot(plan, "n5") != n1);
    assert_int_equal(fault_plan_node_slot(plan, "n3"), n3);
    fault_plan_destroy(plan);
    ruleset_free(&ruleset);
}

static void the_last_slot_is_reused_at_once(void **state)
{
    (void)state;
    struct ruleset ruleset = {0};
    char name[RULESET_NAME_MAX];
    for (int i = 0; i < RULESET_NODES_MAX; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        add_node(&ruleset, name);
    }
    struct fault_plan *plan = compile(&ruleset, NULL);
    uint16_t slot = fault_plan_node_slot(plan, "n77");
    uint32_t generation = fault_plan_node_generation(plan, slot);
    ruleset_remove_node(&ruleset, "n77");
    add_node(&ruleset, "other");
    recompile(&ruleset, &plan);
    assert_int_equal(fault_plan_node_slot(plan, "other"), slot);
    assert_int_equal(fault_plan_node_generation(plan, slot), generation + 1);
    fault_plan_destroy(plan);
    ruleset_free(&ruleset);
}

static void a_fault_keeps_its_slot_while_type_and_target_stay(void **state)
{
    (void)state;
    struct ruleset ruleset = three_nodes();
    add_route(&ruleset, "r1", "", "n1");
    add_fault(&ruleset, latency("f", "n1->n2", MS));
    add_fault(&ruleset, latency("g", "n1->n2", MS));
    struct fault_plan *plan = compile(&ruleset, NULL);
    uint32_t before = 0, after = 0;
    uint16_t slot = fault_plan_fault_slot(plan, "f", &before);
    assert_int_equal(fault_plan_fault_slot(plan, "f", NULL), slot);
    ruleset.faults[0].latency.delay_ns = 5 * MS;
    ruleset.faults[0].latency.jitter_ns = MS;
    put(ruleset.faults[0].set_by, "someone else");
    struct ruleset_fault swapped = ruleset.faults[0];
    ruleset.faults[0] = ruleset.faults[1];
    ruleset.faults[1] = swapped;
    recompile(&ruleset, &plan);
    assert_int_equal(fault_plan_fault_slot(plan, "f", &after), slot);
    assert_int_equal(after, before);

    struct ruleset_fault changes[] = {latency("f", "n1->n3", MS),  latency("f", "n1<->n3", MS),
                                      latency("f", "n2<->n3", MS), latency("f", "r1", MS),
                                      latency("f", "r1", MS),      rate("f", 1000, 0, 0)};
    changes[4].direction = RULESET_UPSTREAM;
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        uint32_t old_generation = 0, new_generation = 0;
        uint16_t old_slot = fault_plan_fault_slot(plan, "f", &old_generation);
        uint16_t other = fault_plan_fault_slot(plan, "g", NULL);
        ruleset.faults[1] = changes[i];
        recompile(&ruleset, &plan);
        uint16_t new_slot = fault_plan_fault_slot(plan, "f", &new_generation);
        assert_true(new_slot != old_slot || new_generation != old_generation);
        assert_int_equal(fault_plan_fault_slot(plan, "g", NULL), other);
    }
    fault_plan_destroy(plan);
    ruleset_free(&ruleset);
}

/* Nodes come and go at random. A model keeps what must hold: a name that stays keeps slot and
 * generation, no two live names share a slot, and (slot, generation) never comes back. */
static void slots_under_random_changes(void **state)
{
    (void)state;
    enum { NAMES = 200, STEPS = 300 };
    static bool used[RULESET_NODES_MAX][4000];
    static uint16_t slots[NAMES];
    static uint32_t generations[NAMES];
    bool live[NAMES] = {false};
    struct random_stream dice = {.key = 1};
    struct ruleset ruleset = {0};
    struct fault_plan *plan = compile(&ruleset, NULL);
    for (int step = 0; step < STEPS; step++) {
        bool was[NAMES];
        char name[RULESET_NAME_MAX];
        memcpy(was, live, sizeof(was));
        for (int change = 0; change < 12; change++) {
            size_t i = random_below(random_next(&dice), NAMES);
            snprintf(name, sizeof(name), "n%zu", i);
            if (!live[i] && ruleset.node_count == RULESET_NODES_MAX)
                continue;
            if (live[i])
                assert_true(ruleset_remove_node(&ruleset, name));
            else
                add_node(&ruleset, name);
            live[i] = !live[i];
        }
        recompile(&ruleset, &plan);
        bool taken[RULESET_NODES_MAX] = {false};
        for (size_t i = 0; i < NAMES; i++) {
            snprintf(name, sizeof(name), "n%zu", i);
            uint16_t slot = fault_plan_node_slot(plan, name);
            assert_int_equal(slot != FAULT_NO_NODE, live[i]);
            if (!live[i])
                continue;
            uint32_t generation = fault_plan_node_generation(plan, slot);
            assert_true(slot < RULESET_NODES_MAX && generation < 4000 && !taken[slot]);
            taken[slot] = true;
            if (was[i]) {
                assert_int_equal(slot, slots[i]);
                assert_int_equal(generation, generations[i]);
            } else {
                assert_false(used[slot][generation]);
                used[slot][generation] = true;
            }
            slots[i] = slot;
            generations[i] = generation;
        }
    }
    assert_true(ruleset.node_count > 80); /* it did get crowded */
    fault_plan_destroy(plan);
    ruleset_free(&ruleset);
}

static bool is_cut(const struct fault_plan *plan, const char *from, const char *to)
{
    return fault_plan_is_cut(plan, fault_plan_node_slot(plan, from),
                             fault_plan_node_slot(plan, to));
}

static void a_link_is_open_only_while_no_partition_holds_it(void **state)
{
    (void)state;
    struct ruleset ruleset = three_nodes();
    cut(&ruleset, "p", (const char *const[]){"n1->n2", "n1->n3"}, 2);
    cut(&ruleset, "q", (const char *const[]){"n1->n2", "n3->n2"}, 2);
    struct fault_plan *plan = compile(&ruleset, NULL);
    assert_true(is_cut(plan, "n1", "n2") && is_cut(plan, "n1", "n3") && is_cut(plan, "n3", "n2"));
    assert_false(is_cut(plan, "n2", "n1") || is_cut(plan, "n3", "n1") || is_cut(plan, "n2", "n3"));
    assert_false(is_cut(plan, "n1", "n1"));
    uint16_t n1 = fault_plan_node_slot(plan, "n1");
    assert_false(fault_plan_is_cut(plan, n1, FAULT_NO_NODE));
    assert_false(fault_plan_is_cut(plan, FAULT_NO_NODE, n1));
    assert_false(fault_plan_is_cut(plan, FAULT_NO_NODE, FAULT_NO_NODE));
    ruleset_remove_partition(&ruleset, "p");
    recompile(&ruleset, &plan);
    assert_true(is_cut(plan, "n1", "n2") && is_cut(plan, "n3", "n2"));
    assert_false(is_cut(plan, "n1", "n3"));
    ruleset_remove_partition(&ruleset, "q");
    recompile(&ruleset, &plan);
    assert_false(is_cut(plan, "n1", "n2") || is_cut(plan, "n3", "n2"));
    fault_plan_destroy(plan);
    ruleset_free(&ruleset);
}

static void the_matrix_is_the_partitions_bit_for_bit(void **state)
{
    (void)state;
    static bool wanted[RULESET_NODES_MAX][RULESET_NODES_MAX];
    struct random_stream dice = {.key = 2};
    struct ruleset ruleset = {0};
    char name[2][RULESET_NAME_MAX];
    for (int i = 0; i < RULESET_NODES_MAX; i++) {
        snprintf(name[0], sizeof(name[0]), "n%d", i);
        add_node(&ruleset, name[0]);
    }
    for (int p = 0; p < 3; p++) {
        struct ruleset_partition partition = {0};
        snprintf(partition.name, sizeof(partition.name), "p%d", p);
        for (int i = 0; i < 500; i++) {
            size_t from = random_below(random_next(&dice), RULESET_NODES_MAX);
            size_t to = random_below(random_next(&dice), RULESET_NODES_MAX);
            if (from == to)
                continue;
            ruleset_partition_add_link(&partition, ruleset.nodes[from].name,
                                       ruleset.nodes[to].name);
            wanted[from][to] = true;
        }
        ruleset_add_partition(&ruleset, &partition);
        ruleset_partition_free(&partition);
    }
    struct fault_plan *plan = compile(&ruleset, NULL);
    for (int from = 0; from < RULESET_NODES_MAX; from++)
        for (int to = 0; to < RULESET_NODES_MAX; to++) {
            snprintf(name[0], sizeof(name[0]), "n%d", from);
            snprintf(name[1], sizeof(name[1]), "n%d", to);
            assert_int_equal(is_cut(plan, name[0], name[1]), wanted[from][to]);
        }
    fault_plan_destroy(plan);
    ruleset_free(&ruleset);
}

/* The chain of a flow, as names joined by a space. "" for no node, no route. */
static const char *chain(const struct fault_plan *plan, const char *from, const char *to,
                         const char *route, enum ruleset_direction direction)
{
    static char text[FAULT_CHAIN_MAX * RULESET_NAME_MAX];
    struct fault_entry entries[FAULT_CHAIN_MAX];
    size_t count =
        fault_plan_chain(plan, fault_plan_node_slot(plan, from), fault_plan_node_slot(plan, to),
                         fault_plan_route_slot(plan, route), direction, entries);
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        uint32_t generation = 0;
        assert_int_equal(fault_plan_fault_slot(plan, entries[i].spec->name, &generation),
                         entries[i].slot);
        assert_int_equal(generation, entries[i].generation);
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s", i ? " " : "",
                                   entries[i].spec->name);
    }
    return text;
}

static void chains_are_in_ruleset_order(void **state)
{
    (void)state;
    struct ruleset ruleset = three_nodes();
    add_route(&ruleset, "r", "", "n2");
    add_route(&ruleset, "s", "", "n2");
    static const char *const targets[][2] = {{"a", "n1->n2"},  {"b", "r"},     {"c", "*->n2"},
                                             {"d", "n1<->n2"}, {"e", "n1->*"}, {"f", "*<->*"},
                                             {"g", "n3<->*"}};
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        add_fault(&ruleset, latency(targets[i][0], targets[i][1], MS));
    struct ruleset_fault upstream = latency("u", "r", MS), downstream = latency("v", "r", MS);
    upstream.direction = RULESET_UPSTREAM;
    downstream.direction = RULESET_DOWNSTREAM;
    ruleset_add_fault(&ruleset, &upstream);
    ruleset_add_fault(&ruleset, &downstream);
    struct fault_plan *plan = compile(&ruleset, NULL);
    static const struct {
        const char *from, *to, *route;
        enum ruleset_direction direction;
        const char *chain;
    } cases[] = {
        {"n1", "n2", "", RULESET_BOTH, "a c d e f"},
        {"n2", "n1", "", RULESET_BOTH, "d f"},
        {"n1", "n2", "r", RULESET_UPSTREAM, "a b c d e f u"},
        {"n2", "n1", "r", RULESET_DOWNSTREAM, "b d f v"},
        {"n1", "n2", "s", RULESET_UPSTREAM, "a c d e f"},
        {"n3", "n2", "", RULESET_BOTH, "c f g"},
        {"n2", "n3", "", RULESET_BOTH, "f g"},
        {"n1", "n3", "", RULESET_BOTH, "e f g"},
        /* a peer that is no node is on no link, nor is a node with itself */
        {"", "n2", "r", RULESET_UPSTREAM, "b u"},
        {"n2", "", "r", RULESET_DOWNSTREAM, "b v"},
        {"", "", "s", RULESET_UPSTREAM, ""},
        {"n1", "", "", RULESET_UPSTREAM, ""},
        {"n2", "n2", "r", RULESET_UPSTREAM, "b u"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(
            chain(plan, cases[i].from, cases[i].to, cases[i].route, cases[i].direction),
            cases[i].chain);
    fault_plan_destroy(plan);
    ruleset_free(&ruleset);
}

static void a_plan_outlives_its_ruleset(void **state)
{
    (void)state;
    struct ruleset ruleset = three_nodes();
    add_route(&ruleset, "r", "n1", "n2");
    add_fault(&ruleset, latency("a", "n1->n2", 7 * MS));
    struct fault_plan *plan = compile(&ruleset, NULL);
    memset(ruleset.faults, 0xee, sizeof(*ruleset.faults));
    memset(ruleset.nodes, 0xee, 3 * sizeof(*ruleset.nodes));
    memset(ruleset.routes, 0xee, sizeof(*ruleset.routes));
    ruleset_free(&ruleset);
    struct fault_entry entries[FAULT_CHAIN_MAX];
    uint16_t n1 = fault_plan_node_slot(plan, "n1"), n2 = fault_plan_node_slot(plan, "n2");
    assert_int_equal(fault_plan_route_slot(plan, "r"), 0);
    assert_int_equal(fault_plan_chain(plan, n1, n2, 0, RULESET_UPSTREAM, entries), 1);
    assert_int_equal(entries[0].spec->latency.delay_ns, 7 * MS);
    fault_plan_destroy(plan);
}

static uint64_t key_of(const struct fault_plan *plan, const char *from, const char *to,
                       const char *route, enum ruleset_direction direction, const char *fault)
{
    struct fault_entry entries[FAULT_CHAIN_MAX];
    size_t count =
        fault_plan_chain(plan, fault_plan_node_slot(plan, from), fault_plan_node_slot(plan, to),
                         fault_plan_route_slot(plan, route), direction, entries);
    for (size_t i = 0; i < count; i++)
        if (strcmp(entries[i].spec->name, fault) == 0)
            return entries[i].key;
    fail_msg("no fault %s there", fault);
    return 0;
}

/* Each line of `flows` has a key of its own, and the same one whatever else is in the ruleset. */
static void keys_depend_on_names_alone(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *route;
        enum ruleset_direction direction;
        const char *fault;
    } flows[] = {
        {"n1", "n2", "", RULESET_BOTH, "any"},
        {"n2", "n1", "", RULESET_BOTH, "any"},
        {"n1", "n3", "", RULESET_BOTH, "any"},
        {"n1", "n2", "", RULESET_BOTH, "both"},
        {"n2", "n1", "", RULESET_BOTH, "both"},
        {"n1", "n2", "r", RULESET_UPSTREAM, "any"},
        {"n1", "n2", "s", RULESET_UPSTREAM, "any"},
        {"n1", "n2", "r", RULESET_UPSTREAM, "route"},
        {"n3", "n2", "r", RULESET_UPSTREAM, "route"},
        {"", "n2", "r", RULESET_UPSTREAM, "route"},
        {"n2", "n1", "r", RULESET_DOWNSTREAM, "route"},
        {"", "n2", "r", RULESET_DOWNSTREAM, "route"},
    };
    uint64_t keys[COUNT_OF(flows)];
    struct ruleset ruleset = three_nodes();
    add_route(&ruleset, "r", "", "n2");
    add_route(&ruleset, "s", "", "n2");
    add_fault(&ruleset, latency("any", "*->*", MS));
    add_fault(&ruleset, latency("both", "n1<->n2", MS));
    add_fault(&ruleset, latency("route", "r", MS));
    struct fault_plan *plan = compile(&ruleset, NULL);
    for (size_t i = 0; i < COUNT_OF(flows); i++)
        keys[i] = key_of(plan, flows[i].from, flows[i].to, flows[i].route, flows[i].direction,
                         flows[i].fault);
    for (size_t i = 0; i < COUNT_OF(flows); i++)
        for (size_t j = 0; j < i; j++)
            assert_true(keys[i] != keys[j]);
    fault_plan_destroy(plan);

    /* the same names in other places: all slots differ */
    struct ruleset other = {.seed = 42};
    static const char *const nodes[] = {"x", "n3", "n2", "y", "n1"};
    for (size_t i = 0; i < COUNT_OF(nodes); i++)
        add_node(&other, nodes[i]);
    add_route(&other, "first", "", "");
    add_route(&other, "s", "", "n2");
    add_route(&other, "r", "", "n2");
    add_fault(&other, latency("new", "n1->n2", MS));
    for (size_t i = 3; i-- > 0;)
        add_fault(&other, ruleset.faults[i]);
    plan = compile(&other, NULL);
    for (size_t i = 0; i < COUNT_OF(flows); i++)
        assert_true(key_of(plan, flows[i].from, flows[i].to, flows[i].route, flows[i].direction,
                           flows[i].fault) == keys[i]);
    other.seed = 43;
    recompile(&other, &plan);
    for (size_t i = 0; i < COUNT_OF(flows); i++)
        assert_true(key_of(plan, flows[i].from, flows[i].to, flows[i].route, flows[i].direction,
                           flows[i].fault) != keys[i]);
    fault_plan_destroy(plan);
    ruleset_free(&other);
    ruleset_free(&ruleset);
}

/* `count` faults on target, named with a letter and a number. */
static void add_faults(struct ruleset *ruleset, char letter, const char *target,
                       enum ruleset_direction direction, int count)
{
    for (int i = 0; i < count; i++) {
        char name[RULESET_NAME_MAX];
        snprintf(name, sizeof(name), "%c%d", letter, i);
        struct ruleset_fault fault = latency(name, target, MS);
        fault.direction = direction;
        ruleset_add_fault(ruleset, &fault);
    }
}

struct crowd {
    const char *target;
    enum ruleset_direction direction;
    int count;
};

static void chains_that_are_too_long_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to; /* of route r */
        struct crowd crowds[2];
        const char *place, *where; /* NULL: allowed */
    } cases[] = {
        {"", "n2", {{"n1->n2", RULESET_BOTH, 16}, {"n2->n1", RULESET_BOTH, 16}}, NULL, NULL},
        {"", "n2", {{"n1->n2", RULESET_BOTH, 17}, {"r", RULESET_BOTH, 0}}, "faults[16]", "n1->n2"},
        {"",
         "n2",
         {{"n1->*", RULESET_BOTH, 13}, {"*->n3", RULESET_BOTH, 4}},
         "faults[16]",
         "n1->n3"},
        {"", "n2", {{"n1->n3", RULESET_BOTH, 13}, {"*->n2", RULESET_BOTH, 4}}, NULL, NULL},
        {"", "", {{"r", RULESET_UPSTREAM, 16}, {"r", RULESET_DOWNSTREAM, 16}}, NULL, NULL},
        {"",
         "",
         {{"r", RULESET_BOTH, 10}, {"r", RULESET_DOWNSTREAM, 7}},
         "faults[16]",
         "downstream"},
        {"", "", {{"r", RULESET_BOTH, 10}, {"*->*", RULESET_BOTH, 7}}, NULL, NULL},
        {"", "n2", {{"r", RULESET_BOTH, 10}, {"n3->*", RULESET_BOTH, 7}}, "faults[16]", "n3->n2"},
        {"n1", "n2", {{"r", RULESET_BOTH, 10}, {"n3->*", RULESET_BOTH, 7}}, NULL, NULL},
        {"n1", "n2", {{"r", RULESET_UPSTREAM, 10}, {"n2->n1", RULESET_BOTH, 7}}, NULL, NULL},
        {"n1",
         "n2",
         {{"r", RULESET_DOWNSTREAM, 10}, {"n2->n1", RULESET_BOTH, 7}},
         "faults[16]",
         "n2->n1"},
        {"n3", "n2", {{"r", RULESET_UPSTREAM, 10}, {"n2->n1", RULESET_BOTH, 7}}, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ruleset ruleset = three_nodes();
        struct fault_plan *plan = NULL;
        struct error error = {0};
        add_route(&ruleset, "r", cases[i].from, cases[i].to);
        for (size_t k = 0; k < 2; k++)
            add_faults(&ruleset, (char)('a' + k), cases[i].crowds[k].target,
                       cases[i].crowds[k].direction, cases[i].crowds[k].count);
        assert_int_equal(ruleset_check(&ruleset, &error), 0);
        int code = fault_plan_create(&ruleset, NULL, &plan, &error);
        if (cases[i].place) {
            assert_int_equal(code, -E2BIG);
            assert_string_equal(error.place, cases[i].place);
            assert_non_null(strstr(error.message, cases[i].where));
            assert_null(plan);
        } else {
            assert_int_equal(code, 0);
        }
        fault_plan_destroy(plan);
        ruleset_free(&ruleset);
    }
}

static void a_ruleset_at_its_limits_compiles(void **state)
{
    (void)state;
    struct ruleset ruleset = {0};
    char name[RULESET_NAME_MAX], target[2 * RULESET_NAME_MAX];
    for (int i = 0; i < RULESET_NODES_MAX; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        add_node(&ruleset, name);
    }
    ruleset.faults = calloc(RULESET_FAULTS_MAX, sizeof(*ruleset.faults));
    assert_non_null(ruleset.faults);
    for (int i = 0; i < RULESET_FAULTS_MAX; i++) {
        int from = i % RULESET_NODES_MAX, to = (from + 1 + i / RULESET_NODES_MAX % 127) % 128;
        snprintf(name, sizeof(name), "f%d", i);
        snprintf(target, sizeof(target), "n%d<->n%d", from, to);
        ruleset.faults[ruleset.fault_count++] = latency(name, target, MS);
    }
    struct fault_plan *plan = compile(&ruleset, NULL);
    ruleset_remove_fault(&ruleset, "f5");
    struct ruleset_fault last = latency("last", "n0->n1", MS);
    ruleset_add_fault(&ruleset, &last);
    uint16_t slot = fault_plan_fault_slot(plan, "f5", NULL);
    recompile(&ruleset, &plan);
    uint32_t generation = 0;
    assert_int_equal(fault_plan_fault_slot(plan, "last", &generation), slot);
    assert_int_equal(generation, 2);
    assert_non_null(strstr(chain(plan, "n0", "n1", "", RULESET_BOTH), "last"));
    fault_plan_destroy(plan);
    ruleset_free(&ruleset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_plan_knows_nothing),
        cmocka_unit_test(names_keep_their_slots),
        cmocka_unit_test(the_last_slot_is_reused_at_once),
        cmocka_unit_test(a_fault_keeps_its_slot_while_type_and_target_stay),
        cmocka_unit_test(slots_under_random_changes),
        cmocka_unit_test(a_link_is_open_only_while_no_partition_holds_it),
        cmocka_unit_test(the_matrix_is_the_partitions_bit_for_bit),
        cmocka_unit_test(chains_are_in_ruleset_order),
        cmocka_unit_test(a_plan_outlives_its_ruleset),
        cmocka_unit_test(keys_depend_on_names_alone),
        cmocka_unit_test(chains_that_are_too_long_are_refused),
        cmocka_unit_test(a_ruleset_at_its_limits_compiles),
    };
    return cmocka_run_group_tests_name("proxy/fault/plan", tests, NULL, NULL);
}
