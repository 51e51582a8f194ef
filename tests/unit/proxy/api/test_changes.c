#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/api/changes.h"
#include "proxy/base/text.h"

static void add_node(struct ruleset *ruleset, const char *name)
{
    struct ruleset_node node = {0};
    snprintf(node.name, sizeof(node.name), "%s", name);
    ruleset_add_node(ruleset, &node);
}

static void add_route(struct ruleset *ruleset, const char *name)
{
    struct ruleset_route route = {.enabled = true, .upstream = "127.0.0.1:1"};
    snprintf(route.name, sizeof(route.name), "%s", name);
    ruleset_add_route(ruleset, &route);
}

static void add_fault(struct ruleset *ruleset, const char *name, enum ruleset_fault_type type)
{
    struct ruleset_fault fault = {
        .type = type, .link = {"n1", "n2"}, .set_by = "me", .set_at_ns = 5};
    snprintf(fault.name, sizeof(fault.name), "%s", name);
    ruleset_add_fault(ruleset, &fault);
}

static void add_partition(struct ruleset *ruleset, const char *name)
{
    struct ruleset_partition partition = {.set_by = "me", .set_at_ns = 5};
    snprintf(partition.name, sizeof(partition.name), "%s", name);
    ruleset_partition_add_link(&partition, "n1", "n2");
    ruleset_add_partition(ruleset, &partition);
    ruleset_partition_free(&partition);
}

static void set_clock(struct ruleset *ruleset, const char *node, int64_t offset_ns, int64_t drift)
{
    struct ruleset_clock clock = {.offset_ns = offset_ns, .drift_ppb = drift};
    snprintf(clock.node, sizeof(clock.node), "%s", node);
    ruleset_set_clock(ruleset, &clock);
}

static void set_table(struct ruleset *ruleset, const char *name, int32_t value)
{
    struct ruleset_table table = {.values = &value, .count = 1};
    snprintf(table.name, sizeof(table.name), "%s", name);
    ruleset_set_table(ruleset, &table);
}

static struct ruleset full(void)
{
    struct ruleset ruleset = {.seed = 1};
    add_node(&ruleset, "n1");
    add_node(&ruleset, "n2");
    add_node(&ruleset, "n3");
    add_route(&ruleset, "r1");
    add_route(&ruleset, "r2");
    add_partition(&ruleset, "split");
    add_partition(&ruleset, "other");
    add_fault(&ruleset, "latency-1", RULESET_LATENCY);
    add_fault(&ruleset, "loss-1", RULESET_LOSS);
    add_fault(&ruleset, "rate-1", RULESET_RATE);
    set_clock(&ruleset, "n1", 2000000, 0);
    set_clock(&ruleset, "n2", 0, 50000);
    set_table(&ruleset, "lte", 5);
    return ruleset;
}

/* The description as "a; b; ". */
static void assert_changes(const struct ruleset *before, const struct ruleset *after,
                           const char *wanted)
{
    struct text text = {0};
    json_t *changes = api_describe_changes(before, after);
    for (size_t i = 0; i < json_array_size(changes); i++)
        text_append(&text, "%s; ", json_string_value(json_array_get(changes, i)));
    assert_string_equal(text_get(&text), wanted);
    json_decref(changes);
    text_free(&text);
}

static void from_nothing_and_back(void **state)
{
    (void)state;
    struct ruleset nothing = {.seed = 1}, all = full();
    assert_changes(&nothing, &all,
                   "node n1 added; node n2 added; node n3 added; route r1 added; route r2 added; "
                   "partition split set; partition other set; fault latency-1 set; fault loss-1 "
                   "set; fault rate-1 set; clock n1 +2ms; clock n2 0s drift 50ppm; table "
                   "lte added; ");
    assert_changes(&all, &nothing,
                   "node n1 removed; node n2 removed; node n3 removed; route r1 removed; route r2 "
                   "removed; partition split healed; partition other healed; fault latency-1 "
                   "removed; fault loss-1 removed; fault rate-1 removed; clock n1 back to true "
                   "time; clock n2 back to true time; table lte removed; ");
    assert_changes(&all, &all, "");
    ruleset_free(&all);
}

static void what_changed_in_place(void **state)
{
    (void)state;
    struct ruleset before = full(), after = full();
    after.seed = 2;
    after.nodes[2].kind = RULESET_NODE_CLIENT;
    after.routes[0].enabled = false;
    after.routes[1].enabled = false;
    after.routes[1].upstream[0] = 'x';
    after.routes[0].spread = true;
    set_table(&after, "lte", 6);
    after.faults[0].latency.jitter_ns = 1;
    after.faults[1].loss.probability_ppb = 1;
    after.faults[2].rate.queue_bytes = 1;
    ruleset_partition_add_link(&after.partitions[1], "n2", "n1");
    set_clock(&after, "n1", -1500000, 0);
    assert_changes(
        &before, &after,
        "seed 2; node n3 changed; route r1 disabled; route r1 changed; route r2 disabled; "
        "route r2 changed; partition other changed; fault latency-1 changed; fault loss-1 "
        "changed; fault rate-1 changed; clock n1 -1.5ms; table lte changed; ");
    ruleset_free(&before);
    ruleset_free(&after);
}

/* Who set a thing, and when, is no change of it; order of nodes is none either. */
static void what_is_no_change(void **state)
{
    (void)state;
    struct ruleset before = full(), after = full();
    after.version = 9;
    after.faults[0].set_at_ns = 99;
    after.partitions[0].set_by[0] = 'x';
    struct ruleset_node first = after.nodes[0];
    after.nodes[0] = after.nodes[2];
    after.nodes[2] = first;
    assert_changes(&before, &after, "");
    ruleset_free(&before);
    ruleset_free(&after);
}

static void long_descriptions_are_cut(void **state)
{
    (void)state;
    struct ruleset before = {0}, after = {0};
    for (int i = 0; i < API_CHANGES_MAX + 12; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        add_node(&after, name);
    }
    json_t *changes = api_describe_changes(&before, &after);
    assert_int_equal(json_array_size(changes), API_CHANGES_MAX + 1);
    assert_string_equal(json_string_value(json_array_get(changes, API_CHANGES_MAX)), "and 12 more");
    json_decref(changes);
    ruleset_free(&after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_nothing_and_back),
        cmocka_unit_test(what_changed_in_place),
        cmocka_unit_test(what_is_no_change),
        cmocka_unit_test(long_descriptions_are_cut),
    };
    return cmocka_run_group_tests_name("proxy/api/changes", tests, NULL, NULL);
}
