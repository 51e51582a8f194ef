/* Every refusal of ruleset_check: one good ruleset, one thing made wrong in it at a time. */
#include "tests/unit/proxy/fault/harness.h"

#include <errno.h>

static struct ruleset good;

static int make_good(void **state)
{
    (void)state;
    good = (struct ruleset){.version = 1, .seed = 2};
    add_node(&good, "n1");
    add_node(&good, "n2");
    add_node(&good, "n3");
    good.nodes[0].address_count = 2;
    put(good.nodes[0].addresses[0], "127.0.1.1");
    put(good.nodes[0].addresses[1], "::1");
    good.nodes[1].address_count = 1;
    put(good.nodes[1].addresses[0], "127.0.1.2");
    good.nodes[2].kind = RULESET_NODE_CLIENT;
    add_route(&good, "r1", "", "n2");
    add_route(&good, "route with spaces, \xc3\xa9", "n3", "");
    struct ruleset_fault faults[] = {latency("l1", "*->n2", MS), latency("l2", "r1", MS),
                                     loss("x", 5), rate("r", 1000, 0, 0)};
    faults[1].direction = RULESET_DOWNSTREAM;
    for (size_t i = 0; i < COUNT_OF(faults); i++)
        ruleset_add_fault(&good, &faults[i]);
    for (int i = 0; i < 2; i++) {
        struct ruleset_partition partition = {0};
        put(partition.name, i ? "second" : "first");
        ruleset_partition_add_link(&partition, "n1", "n2");
        ruleset_partition_add_link(&partition, "n2", "n1");
        ruleset_partition_add_link(&partition, "n3", "n1");
        ruleset_add_partition(&good, &partition);
        ruleset_partition_free(&partition);
    }
    struct ruleset_clock clocks[] = {{.node = "n1", .offset_ns = 1},
                                     {.node = "n2", .drift_ppb = 1}};
    ruleset_set_clock(&good, &clocks[0]);
    ruleset_set_clock(&good, &clocks[1]);
    return 0;
}

static int free_good(void **state)
{
    (void)state;
    ruleset_free(&good);
    return 0;
}

/* One of these changes is made to a copy of the good ruleset. */
typedef void (*spoil_function)(struct ruleset *ruleset);

#define SPOIL(name, statement)                                                                     \
    static void spoil_##name(struct ruleset *r)                                                    \
    {                                                                                              \
        statement;                                                                                 \
    }

SPOIL(node_empty, put(r->nodes[1].name, ""))
SPOIL(node_star, put(r->nodes[2].name, "*"))
SPOIL(node_space, put(r->nodes[1].name, "n 2"))
SPOIL(node_utf8, put(r->nodes[1].name, "n\xc3\xa9"))
SPOIL(node_endless, memset(r->nodes[1].name, 'a', RULESET_NAME_MAX))
SPOIL(node_twice, put(r->nodes[2].name, "n1"))
SPOIL(node_dash, put(r->nodes[1].name, "-n2"))
SPOIL(node_dots, put(r->nodes[1].name, ".."))
SPOIL(route_dash, put(r->routes[0].name, "-r"))
SPOIL(fault_dash, put(r->faults[0].name, "--force"))
SPOIL(partition_dash, put(r->partitions[1].name, "-"))
SPOIL(node_kind, r->nodes[2].kind = (enum ruleset_node_kind)7)
SPOIL(node_addresses, r->nodes[2].address_count = 5)
SPOIL(node_address_empty, r->nodes[2].address_count = 1)
SPOIL(node_address_twice, put(r->nodes[1].addresses[0], "::1"))
SPOIL(node_address_endless, memset(r->nodes[0].addresses[1], 'a', RULESET_ADDRESS_MAX))
SPOIL(route_empty, put(r->routes[0].name, ""))
SPOIL(route_control, put(r->routes[0].name, "r\n1"))
SPOIL(route_bad_utf8, put(r->routes[1].name, "r\xc3"))
SPOIL(route_overlong, put(r->routes[1].name, "r\xc0\xaf"))
SPOIL(route_surrogate, put(r->routes[1].name, "r\xed\xa0\x80"))
SPOIL(route_beyond, put(r->routes[1].name, "r\xf4\x90\x80\x80"))
SPOIL(route_c1, put(r->routes[1].name, "r\xc2\x85"))
SPOIL(route_lone, put(r->routes[1].name, "r\x80"))
SPOIL(route_not_continued, put(r->routes[1].name, "r\xe2\x28\xa1"))
SPOIL(route_endless, memset(r->routes[1].name, 'a', RULESET_NAME_MAX))
SPOIL(route_twice, put(r->routes[1].name, "r1"))
SPOIL(route_protocol, r->routes[1].protocol = (enum ruleset_protocol)2)
SPOIL(route_listen, put(r->routes[1].listen, ""))
SPOIL(route_listen_endless, memset(r->routes[1].listen, 'a', RULESET_ADDRESS_MAX))
SPOIL(route_upstream, put(r->routes[1].upstream, ""))
SPOIL(route_from, put(r->routes[1].from, "n9"))
SPOIL(route_from_star, put(r->routes[1].from, "*"))
SPOIL(route_from_endless, memset(r->routes[1].from, 'n', RULESET_NAME_MAX))
SPOIL(route_to, put(r->routes[0].to, "r1"))
SPOIL(fault_empty, put(r->faults[0].name, ""))
SPOIL(fault_twice, put(r->faults[2].name, "l1"))
SPOIL(fault_type, r->faults[2].type = RULESET_FAULT_TYPES)
SPOIL(fault_type_wild, r->faults[2].type = (enum ruleset_fault_type)99)
SPOIL(fault_link, put(r->faults[0].link.to, "n9"))
SPOIL(fault_link_from, put(r->faults[2].link.from, "N1"))
SPOIL(fault_link_half, put(r->faults[2].link.from, ""))
SPOIL(fault_link_self, put(r->faults[2].link.from, "n2"))
SPOIL(fault_nowhere, r->faults[2].link = (struct ruleset_link){0})
SPOIL(fault_link_direction, r->faults[2].direction = RULESET_UPSTREAM)
SPOIL(fault_direction, r->faults[1].direction = (enum ruleset_direction)3)
SPOIL(fault_route, put(r->faults[1].route, "r2"))
SPOIL(fault_route_endless, memset(r->faults[1].route, 'r', RULESET_NAME_MAX))
SPOIL(fault_both, put(r->faults[0].route, "r1"))
SPOIL(fault_both_ways, r->faults[1].both_ways = true)
SPOIL(fault_set_by, put(r->faults[1].set_by, "\x1b[2J"))
SPOIL(fault_delay, r->faults[0].latency.delay_ns = RULESET_DELAY_NS_MAX + 1)
SPOIL(fault_jitter, r->faults[0].latency.jitter_ns = UINT64_MAX)
SPOIL(fault_distribution, r->faults[0].latency.distribution = RULESET_DISTRIBUTIONS)
SPOIL(fault_probability, r->faults[2].loss.probability_ppb = 1000000001)
SPOIL(fault_rate, r->faults[3].rate.bytes_per_s = RULESET_RATE_MAX + 1)
SPOIL(fault_burst, r->faults[3].rate.burst_bytes = RULESET_BURST_MAX + 1)
SPOIL(fault_queue, r->faults[3].rate.queue_bytes = RULESET_QUEUE_MAX + 1)
SPOIL(partition_empty, put(r->partitions[1].name, ""))
SPOIL(partition_twice, put(r->partitions[1].name, "first"))
SPOIL(partition_set_by, put(r->partitions[1].set_by, "\x7f"))
SPOIL(partition_no_links, r->partitions[1].link_count = 0)
SPOIL(partition_unknown, put(r->partitions[0].ends[2], "n9")) /* 2: n3, of links[2] only */
SPOIL(partition_star, put(r->partitions[0].ends[2], "*"))
SPOIL(partition_self, r->partitions[1].links[1].to = r->partitions[1].links[1].from)
SPOIL(partition_same_names, put(r->partitions[1].ends[2], "n1"))
SPOIL(partition_link_twice, r->partitions[1].links[2] = r->partitions[1].links[0])
SPOIL(clock_node, put(r->clocks[1].node, "n9"))
SPOIL(clock_twice, put(r->clocks[1].node, "n1"))
SPOIL(clock_future, r->clocks[0].offset_ns = RULESET_OFFSET_NS_MAX + 1)
SPOIL(clock_past, r->clocks[0].offset_ns = INT64_MIN)
SPOIL(clock_fast, r->clocks[1].drift_ppb = 1000000001)
SPOIL(clock_slow, r->clocks[1].drift_ppb = -1000000001)

static const struct {
    spoil_function spoil;
    int code;
    const char *place;
} cases[] = {
    {spoil_node_empty, -EINVAL, "nodes[1].name"},
    {spoil_node_star, -EINVAL, "nodes[2].name"},
    {spoil_node_space, -EINVAL, "nodes[1].name"},
    {spoil_node_utf8, -EINVAL, "nodes[1].name"},
    {spoil_node_endless, -EINVAL, "nodes[1].name"},
    {spoil_node_twice, -EEXIST, "nodes[2].name"},
    {spoil_node_dash, -EINVAL, "nodes[1].name"},
    {spoil_node_dots, -EINVAL, "nodes[1].name"},
    {spoil_route_dash, -EINVAL, "routes[0].name"},
    {spoil_fault_dash, -EINVAL, "faults[0].name"},
    {spoil_partition_dash, -EINVAL, "partitions[1].name"},
    {spoil_node_kind, -EINVAL, "nodes[2].kind"},
    {spoil_node_addresses, -E2BIG, "nodes[2].addresses"},
    {spoil_node_address_empty, -EINVAL, "nodes[2].addresses[0]"},
    {spoil_node_address_twice, -EEXIST, "nodes[1].addresses[0]"},
    {spoil_node_address_endless, -EINVAL, "nodes[0].addresses[1]"},
    {spoil_route_empty, -EINVAL, "routes[0].name"},
    {spoil_route_control, -EINVAL, "routes[0].name"},
    {spoil_route_bad_utf8, -EINVAL, "routes[1].name"},
    {spoil_route_overlong, -EINVAL, "routes[1].name"},
    {spoil_route_surrogate, -EINVAL, "routes[1].name"},
    {spoil_route_beyond, -EINVAL, "routes[1].name"},
    {spoil_route_c1, -EINVAL, "routes[1].name"},
    {spoil_route_lone, -EINVAL, "routes[1].name"},
    {spoil_route_not_continued, -EINVAL, "routes[1].name"},
    {spoil_route_endless, -EINVAL, "routes[1].name"},
    {spoil_route_twice, -EEXIST, "routes[1].name"},
    {spoil_route_protocol, -EINVAL, "routes[1].protocol"},
    {spoil_route_listen, -EINVAL, "routes[1].listen"},
    {spoil_route_listen_endless, -EINVAL, "routes[1].listen"},
    {spoil_route_upstream, -EINVAL, "routes[1].upstream"},
    {spoil_route_from, -EINVAL, "routes[1].from"},
    {spoil_route_from_star, -EINVAL, "routes[1].from"},
    {spoil_route_from_endless, -EINVAL, "routes[1].from"},
    {spoil_route_to, -EINVAL, "routes[0].to"},
    {spoil_fault_empty, -EINVAL, "faults[0].name"},
    {spoil_fault_twice, -EEXIST, "faults[2].name"},
    {spoil_fault_type, -EINVAL, "faults[2].type"},
    {spoil_fault_type_wild, -EINVAL, "faults[2].type"},
    {spoil_fault_link, -EINVAL, "faults[0].link"},
    {spoil_fault_link_from, -EINVAL, "faults[2].link"},
    {spoil_fault_link_half, -EINVAL, "faults[2].link"},
    {spoil_fault_link_self, -EINVAL, "faults[2].link"},
    {spoil_fault_nowhere, -EINVAL, "faults[2].link"},
    {spoil_fault_link_direction, -EINVAL, "faults[2].direction"},
    {spoil_fault_direction, -EINVAL, "faults[1].direction"},
    {spoil_fault_route, -EINVAL, "faults[1].route"},
    {spoil_fault_route_endless, -EINVAL, "faults[1].route"},
    {spoil_fault_both, -EINVAL, "faults[0].link"},
    {spoil_fault_both_ways, -EINVAL, "faults[1].link"},
    {spoil_fault_set_by, -EINVAL, "faults[1].set_by"},
    {spoil_fault_delay, -EINVAL, "faults[0].delay_ns"},
    {spoil_fault_jitter, -EINVAL, "faults[0].jitter_ns"},
    {spoil_fault_distribution, -EINVAL, "faults[0].distribution"},
    {spoil_fault_probability, -EINVAL, "faults[2].probability"},
    {spoil_fault_rate, -EINVAL, "faults[3].bytes_per_s"},
    {spoil_fault_burst, -EINVAL, "faults[3].burst_bytes"},
    {spoil_fault_queue, -EINVAL, "faults[3].queue_bytes"},
    {spoil_partition_empty, -EINVAL, "partitions[1].name"},
    {spoil_partition_twice, -EEXIST, "partitions[1].name"},
    {spoil_partition_set_by, -EINVAL, "partitions[1].set_by"},
    {spoil_partition_no_links, -EINVAL, "partitions[1].links"},
    {spoil_partition_unknown, -EINVAL, "partitions[0].links[2]"},
    {spoil_partition_star, -EINVAL, "partitions[0].links[2]"},
    {spoil_partition_self, -EINVAL, "partitions[1].links[1]"},
    {spoil_partition_same_names, -EINVAL, "partitions[1].links[2]"},
    {spoil_partition_link_twice, -EEXIST, "partitions[1].links[2]"},
    {spoil_clock_node, -EINVAL, "clocks[1].node"},
    {spoil_clock_twice, -EEXIST, "clocks[1].node"},
    {spoil_clock_future, -EINVAL, "clocks[0].offset_ns"},
    {spoil_clock_past, -EINVAL, "clocks[0].offset_ns"},
    {spoil_clock_fast, -EINVAL, "clocks[1].drift_ppb"},
    {spoil_clock_slow, -EINVAL, "clocks[1].drift_ppb"},
};

static void the_good_one_passes(void **state)
{
    (void)state;
    struct error error = {0};
    int code = ruleset_check(&good, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(code, 0);
    assert_int_equal(ruleset_check(&good, NULL), 0);
}

static void each_thing_wrong_is_named_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ruleset copy;
        struct error error = {0};
        ruleset_copy(&copy, &good);
        cases[i].spoil(&copy);
        int code = ruleset_check(&copy, &error);
        assert_string_equal(error.place, cases[i].place);
        assert_int_equal(code, cases[i].code);
        assert_int_equal(error.code, cases[i].code);
        assert_true(strlen(error.message) > 10);
        assert_int_equal(ruleset_check(&copy, NULL), code);
        ruleset_free(&copy);
    }
}

/* A name that is wrong by a letter is told with those that are right, but not with all of 128. */
static void an_unknown_node_is_told_with_the_known(void **state)
{
    (void)state;
    struct ruleset ruleset = {0};
    struct error error = {0};
    char name[RULESET_NAME_MAX];
    assert_int_equal(ruleset_no_such_node(&ruleset, "x", -ENOENT, "here", &error), -ENOENT);
    assert_string_equal(error.message, "there is no node 'x' (there are no nodes)");
    assert_string_equal(error.place, "here");
    add_node(&ruleset, "app");
    add_node(&ruleset, "db");
    ruleset_no_such_node(&ruleset, "ap", -EINVAL, "", &error);
    assert_string_equal(error.message, "there is no node 'ap' (nodes: app, db)");
    for (int i = 2; i < RULESET_NODES_MAX; i++) {
        snprintf(name, sizeof(name), "%063d", i);
        add_node(&ruleset, name);
    }
    ruleset_no_such_node(&ruleset, name, -EINVAL, "", &error);
    assert_non_null(strstr(error.message, " more)"));
    ruleset_free(&ruleset);
}

static void bounds_themselves_are_allowed(void **state)
{
    (void)state;
    struct ruleset copy;
    struct error error = {0};
    ruleset_copy(&copy, &good);
    memset(copy.nodes[2].name, 'a', RULESET_NAME_MAX - 1);
    put(copy.routes[1].from, "n1");
    copy.partitions[0].link_count = copy.partitions[1].link_count = 2;
    copy.faults[0].latency.delay_ns = copy.faults[0].latency.jitter_ns = RULESET_DELAY_NS_MAX;
    copy.faults[0].latency.distribution = RULESET_PARETONORMAL;
    copy.faults[2].loss.probability_ppb = RULESET_PROBABILITY_MAX;
    copy.faults[3].rate.bytes_per_s = RULESET_RATE_MAX;
    copy.faults[3].rate.burst_bytes = RULESET_BURST_MAX;
    copy.faults[3].rate.queue_bytes = RULESET_QUEUE_MAX;
    copy.clocks[0].offset_ns = RULESET_OFFSET_NS_MAX;
    copy.clocks[0].drift_ppb = -RULESET_DRIFT_PPB_MAX;
    copy.clocks[1].offset_ns = -RULESET_OFFSET_NS_MAX;
    copy.clocks[1].drift_ppb = RULESET_DRIFT_PPB_MAX;
    assert_int_equal(ruleset_check(&copy, &error), 0);
    put(copy.faults[3].link.from, "*");
    put(copy.faults[3].link.to, "*");
    copy.faults[3].both_ways = true;
    copy.faults[3].rate.bytes_per_s = 0;
    assert_int_equal(ruleset_check(&copy, &error), 0);
    put(copy.routes[1].name, "\xf0\x9f\x94\x8c\xe2\x82\xac");
    assert_int_equal(ruleset_check(&copy, &error), 0);
    ruleset_free(&copy);
}

/* As many of everything as is allowed, with room for one more. */
static struct ruleset full_ruleset(void)
{
    struct ruleset ruleset = {0};
    char name[RULESET_NAME_MAX];
    for (int i = 0; i < RULESET_NODES_MAX; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        add_node(&ruleset, name);
    }
    ruleset.routes = calloc(RULESET_ROUTES_MAX + 1, sizeof(*ruleset.routes));
    ruleset.faults = calloc(RULESET_FAULTS_MAX + 1, sizeof(*ruleset.faults));
    ruleset.partitions = calloc(RULESET_PARTITIONS_MAX + 1, sizeof(*ruleset.partitions));
    assert_true(ruleset.routes && ruleset.faults && ruleset.partitions);
    for (int i = 0; i < RULESET_ROUTES_MAX; i++) {
        struct ruleset_route *route = &ruleset.routes[ruleset.route_count++];
        *route = good.routes[1];
        route->from[0] = '\0';
        snprintf(route->name, sizeof(route->name), "r%d", i);
    }
    for (int i = 0; i < RULESET_FAULTS_MAX; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        ruleset.faults[ruleset.fault_count++] = latency(name, "r7", MS);
    }
    for (int i = 0; i < RULESET_PARTITIONS_MAX; i++) {
        struct ruleset_partition *partition = &ruleset.partitions[ruleset.partition_count++];
        snprintf(partition->name, sizeof(partition->name), "p%d", i);
        ruleset_partition_add_link(partition, "n1", "n2");
    }
    return ruleset;
}

static void expect_too_many(const struct ruleset *ruleset, const char *place)
{
    struct error error = {0};
    assert_int_equal(ruleset_check(ruleset, &error), -E2BIG);
    assert_string_equal(error.place, place);
}

static void the_limits_hold(void **state)
{
    (void)state;
    struct ruleset ruleset = full_ruleset();
    struct error error = {0};
    assert_int_equal(ruleset_check(&ruleset, &error), 0);
    ruleset.route_count++;
    expect_too_many(&ruleset, "routes");
    ruleset.route_count--;
    ruleset.fault_count++;
    expect_too_many(&ruleset, "faults");
    ruleset.fault_count--;
    ruleset.partition_count++;
    expect_too_many(&ruleset, "partitions");
    ruleset.partition_count--;
    add_node(&ruleset, "one");
    expect_too_many(&ruleset, "nodes");
    ruleset.node_count--;
    assert_int_equal(ruleset_check(&ruleset, &error), 0);
    ruleset_free(&ruleset);
}

static void links_are_limited_over_all_partitions(void **state)
{
    (void)state;
    struct ruleset ruleset = full_ruleset();
    struct error error = {0};
    const char *names[2][RULESET_NODES_MAX / 2];
    for (size_t i = 0; i < RULESET_NODES_MAX; i++)
        names[i % 2][i / 2] = ruleset.nodes[i].name;
    const struct ruleset_group groups[] = {{names[0], RULESET_NODES_MAX / 2},
                                           {names[1], RULESET_NODES_MAX / 2}};
    enum { SPLIT_LINKS = RULESET_NODES_MAX * RULESET_NODES_MAX / 2 };
    size_t splits = 0;
    while (splits * SPLIT_LINKS + RULESET_PARTITIONS_MAX - splits <= RULESET_LINKS_MAX) {
        struct ruleset_partition *partition = &ruleset.partitions[splits++];
        assert_int_equal(ruleset_check(&ruleset, &error), 0);
        ruleset_partition_free(partition);
        assert_int_equal(ruleset_partition_split(&ruleset, groups, 2, partition, &error), 0);
        assert_int_equal(partition->link_count, SPLIT_LINKS);
    }
    assert_true(splits > 1);
    expect_too_many(&ruleset, "partitions");
    ruleset_free(&ruleset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_good_one_passes),
        cmocka_unit_test(each_thing_wrong_is_named_with_its_place),
        cmocka_unit_test(an_unknown_node_is_told_with_the_known),
        cmocka_unit_test(bounds_themselves_are_allowed),
        cmocka_unit_test(the_limits_hold),
        cmocka_unit_test(links_are_limited_over_all_partitions),
    };
    return cmocka_run_group_tests_name("proxy/fault/ruleset_check", tests, make_good, free_good);
}
