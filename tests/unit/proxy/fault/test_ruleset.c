/* The ruleset as a value: building, copying, looking up, removing, splitting, and its text. */
#include "tests/unit/proxy/fault/harness.h"

#include <errno.h>

static struct ruleset five_nodes(void)
{
    struct ruleset ruleset = {0};
    static const char *const names[] = {"n1", "n2", "n3", "n4", "n5"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        add_node(&ruleset, names[i]);
    struct ruleset_node client = {.kind = RULESET_NODE_CLIENT};
    put(client.name, "c1");
    ruleset_add_node(&ruleset, &client);
    return ruleset;
}

static void an_empty_ruleset_is_valid(void **state)
{
    (void)state;
    struct ruleset ruleset = {0}, copy;
    struct error error = {0};
    assert_int_equal(ruleset_check(&ruleset, &error), 0);
    ruleset_copy(&copy, &ruleset);
    assert_null(ruleset_find_node(&copy, "n1"));
    assert_null(ruleset_find_clock(&copy, "n1"));
    assert_false(ruleset_remove_node(&copy, "n1"));
    assert_false(ruleset_remove_route(&copy, "n1"));
    assert_false(ruleset_remove_fault(&copy, "n1"));
    assert_false(ruleset_remove_partition(&copy, "n1"));
    ruleset_free(&copy);
    ruleset_free(&ruleset);
}

static void things_are_found_and_removed_by_name(void **state)
{
    (void)state;
    struct ruleset ruleset = {0};
    char name[RULESET_NAME_MAX];
    for (int i = 0; i < 9; i++) {
        snprintf(name, sizeof(name), "x%d", i);
        add_node(&ruleset, name);
        add_route(&ruleset, name, "", "");
        struct ruleset_fault fault = latency(name, "x0->x1", (uint64_t)i);
        struct ruleset_partition partition = {0};
        put(partition.name, name);
        ruleset_partition_add_link(&partition, "x0", name);
        struct ruleset_fault *added = ruleset_add_fault(&ruleset, &fault);
        assert_ptr_equal(added, &ruleset.faults[i]);
        struct ruleset_partition *put_in = ruleset_add_partition(&ruleset, &partition);
        assert_ptr_equal(put_in, &ruleset.partitions[i]);
        assert_ptr_not_equal(ruleset.partitions[i].links, partition.links);
        ruleset_partition_free(&partition);
    }
    assert_ptr_equal(ruleset_find_node(&ruleset, "x3"), &ruleset.nodes[3]);
    assert_ptr_equal(ruleset_find_route(&ruleset, "x8"), &ruleset.routes[8]);
    assert_ptr_equal(ruleset_find_fault(&ruleset, "x0"), &ruleset.faults[0]);
    assert_ptr_equal(ruleset_find_partition(&ruleset, "x5"), &ruleset.partitions[5]);
    assert_null(ruleset_find_fault(&ruleset, "x9"));
    /* the middle, the last, the first: order stays */
    static const char *const removed[] = {"x4", "x8", "x0"};
    for (size_t i = 0; i < COUNT_OF(removed); i++) {
        assert_true(ruleset_remove_node(&ruleset, removed[i]));
        assert_true(ruleset_remove_route(&ruleset, removed[i]));
        assert_true(ruleset_remove_fault(&ruleset, removed[i]));
        assert_true(ruleset_remove_partition(&ruleset, removed[i]));
        assert_false(ruleset_remove_node(&ruleset, removed[i]));
        assert_false(ruleset_remove_partition(&ruleset, removed[i]));
    }
    static const char *const left[] = {"x1", "x2", "x3", "x5", "x6", "x7"};
    assert_int_equal(ruleset.node_count, COUNT_OF(left));
    assert_int_equal(ruleset.route_count, COUNT_OF(left));
    assert_int_equal(ruleset.fault_count, COUNT_OF(left));
    assert_int_equal(ruleset.partition_count, COUNT_OF(left));
    for (size_t i = 0; i < COUNT_OF(left); i++) {
        assert_string_equal(ruleset.nodes[i].name, left[i]);
        assert_string_equal(ruleset.routes[i].name, left[i]);
        assert_string_equal(ruleset.faults[i].name, left[i]);
        assert_string_equal(ruleset.partitions[i].name, left[i]);
        assert_string_equal(ruleset_partition_link(&ruleset.partitions[i], 0).to, left[i]);
    }
    ruleset_free(&ruleset);
    assert_int_equal(ruleset.node_count, 0);
    assert_null(ruleset.nodes);
}

static void a_copy_shares_nothing(void **state)
{
    (void)state;
    struct ruleset ruleset = five_nodes(), copy;
    struct ruleset_partition partition = {.name = "split"};
    ruleset_partition_add_link(&partition, "n1", "n2");
    ruleset_add_partition(&ruleset, &partition);
    ruleset_partition_free(&partition);
    struct ruleset_clock clock = {.node = "n1", .offset_ns = 5};
    ruleset_set_clock(&ruleset, &clock);
    ruleset.version = 7;
    ruleset.seed = 8;
    ruleset_copy(&copy, &ruleset);
    ruleset_partition_add_link(&copy.partitions[0], "n2", "n1");
    put(copy.nodes[0].name, "other");
    add_node(&copy, "n6"); /* a copied array grows as well */
    add_node(&copy, "n7");
    add_node(&copy, "n8");
    clock.offset_ns = 6;
    ruleset_set_clock(&copy, &clock);
    assert_int_equal(ruleset.partitions[0].link_count, 1);
    assert_int_equal(copy.partitions[0].link_count, 2);
    assert_string_equal(ruleset.nodes[0].name, "n1");
    assert_int_equal(ruleset.node_count, 6);
    assert_int_equal(copy.node_count, 9);
    assert_string_equal(copy.nodes[8].name, "n8");
    assert_int_equal(ruleset_find_clock(&ruleset, "n1")->offset_ns, 5);
    assert_int_equal(ruleset_find_clock(&copy, "n1")->offset_ns, 6);
    assert_int_equal(copy.version, 7);
    assert_int_equal(copy.seed, 8);
    ruleset_free(&ruleset);
    assert_string_equal(ruleset_partition_link(&copy.partitions[0], 1).from, "n2");
    ruleset_free(&copy);
}

static void an_element_can_be_added_again(void **state)
{
    (void)state;
    struct ruleset ruleset = five_nodes();
    struct ruleset_partition partition = {.name = "split"};
    ruleset_partition_add_link(&partition, "n1", "n2");
    ruleset_add_partition(&ruleset, &partition);
    ruleset_partition_free(&partition);
    for (int i = 0; i < 20; i++) { /* the array moves while its own element is copied */
        ruleset_add_node(&ruleset, &ruleset.nodes[5]);
        ruleset_add_partition(&ruleset, &ruleset.partitions[0]);
    }
    assert_string_equal(ruleset.nodes[25].name, "c1");
    assert_string_equal(ruleset_partition_link(&ruleset.partitions[20], 0).to, "n2");
    ruleset_free(&ruleset);
}

static void a_clock_of_true_time_is_none(void **state)
{
    (void)state;
    struct ruleset ruleset = five_nodes();
    static const struct ruleset_clock clocks[] = {{.node = "n1", .offset_ns = 5},
                                                  {.node = "n2", .drift_ppb = -5},
                                                  {.node = "n3", .offset_ns = 1, .drift_ppb = 1}};
    for (size_t i = 0; i < COUNT_OF(clocks); i++)
        ruleset_set_clock(&ruleset, &clocks[i]);
    assert_int_equal(ruleset.clock_count, 3);
    struct ruleset_clock change = {.node = "n2", .offset_ns = 9};
    ruleset_set_clock(&ruleset, &change);
    assert_int_equal(ruleset.clock_count, 3);
    assert_int_equal(ruleset_find_clock(&ruleset, "n2")->offset_ns, 9);
    assert_int_equal(ruleset_find_clock(&ruleset, "n2")->drift_ppb, 0);
    change = (struct ruleset_clock){.node = "n1"};
    ruleset_set_clock(&ruleset, &change);
    assert_int_equal(ruleset.clock_count, 2);
    assert_null(ruleset_find_clock(&ruleset, "n1"));
    assert_int_equal(ruleset_find_clock(&ruleset, "n3")->drift_ppb, 1);
    ruleset_set_clock(&ruleset, &change); /* nothing to remove, nothing to add */
    assert_int_equal(ruleset.clock_count, 2);
    ruleset_free(&ruleset);
}

static bool has_link(const struct ruleset_partition *partition, const char *from, const char *to)
{
    for (size_t i = 0; i < partition->link_count; i++) {
        struct ruleset_link link = ruleset_partition_link(partition, i);
        if (strcmp(link.from, from) == 0 && strcmp(link.to, to) == 0)
            return true;
    }
    return false;
}

static void a_link_is_added_once(void **state)
{
    (void)state;
    struct ruleset_partition partition = {0};
    ruleset_partition_add_link(&partition, "n1", "n2");
    ruleset_partition_add_link(&partition, "n2", "n1");
    ruleset_partition_add_link(&partition, "n1", "n2");
    assert_int_equal(partition.link_count, 2);
    ruleset_partition_free(&partition);
}

/* Added many at once, and taken out with a node: no end is left that no link names. */
static void links_come_at_once_and_go_with_a_node(void **state)
{
    (void)state;
    static const struct ruleset_link more[] = {{"n3", "n1"}, {"n4", "n5"}, {"n1", "n3"}};
    struct ruleset_partition partition = {0}, copy;
    ruleset_partition_add_link(&partition, "n1", "n2");
    ruleset_partition_add_links(&partition, more, COUNT_OF(more));
    ruleset_partition_copy(&copy, &partition);
    assert_int_equal(partition.link_count, 4);
    assert_int_equal(partition.end_count, 5);
    assert_true(has_link(&partition, "n1", "n2") && has_link(&partition, "n3", "n1") &&
                has_link(&partition, "n4", "n5") && has_link(&partition, "n1", "n3"));
    ruleset_partition_remove_node(&partition, "n9");
    assert_true(ruleset_same_partition(&partition, &copy));
    ruleset_partition_remove_node(&partition, "n1");
    assert_int_equal(partition.link_count, 1);
    assert_int_equal(partition.end_count, 2);
    assert_true(has_link(&partition, "n4", "n5"));
    ruleset_partition_remove_node(&partition, "n5");
    assert_int_equal(partition.link_count + partition.end_count, 0);
    assert_int_equal(copy.link_count, 4);
    ruleset_partition_free(&partition);
    ruleset_partition_free(&copy);
    assert_null(copy.links);
    assert_int_equal(copy.link_count + copy.end_count, 0);
}

/* Where the names stand does not matter, only which links there are and in which order. */
static void partitions_are_compared_by_names(void **state)
{
    (void)state;
    static const struct ruleset_link links[] = {{"n3", "n1"}, {"n1", "n2"}};
    struct ruleset_partition one = {0}, two = {0};
    ruleset_partition_add_link(&one, "n2", "n1");
    ruleset_partition_add_links(&one, links, COUNT_OF(links));
    ruleset_partition_remove_node(&one, "n3");
    ruleset_partition_add_link(&one, "n3", "n1");
    ruleset_partition_add_link(&two, "n2", "n1");
    ruleset_partition_add_link(&two, "n1", "n2");
    assert_false(ruleset_same_partition(&one, &two));
    ruleset_partition_add_link(&two, "n3", "n1");
    assert_true(ruleset_same_partition(&one, &two));
    ruleset_partition_free(&one);
    ruleset_partition_free(&two);
}

static void a_split_separates_the_groups_both_ways(void **state)
{
    (void)state;
    struct ruleset ruleset = five_nodes();
    struct ruleset_partition partition = {.name = "split"};
    struct error error = {0};
    static const char *const a[] = {"n1", "n2"}, *const b[] = {"n3"}, *const c[] = {"c1"};
    static const struct ruleset_group groups[] = {{a, 2}, {b, 1}, {c, 1}};
    assert_int_equal(ruleset_partition_split(&ruleset, groups, 3, &partition, &error), 0);
    assert_int_equal(partition.link_count, 10);
    static const char *const group_of[][2] = {{"n1", "a"}, {"n2", "a"}, {"n3", "b"},
                                              {"c1", "c"}, {"n4", ""},  {"n5", ""}};
    for (size_t i = 0; i < COUNT_OF(group_of); i++)
        for (size_t j = 0; j < COUNT_OF(group_of); j++) {
            bool apart = group_of[i][1][0] && group_of[j][1][0] &&
                         strcmp(group_of[i][1], group_of[j][1]) != 0;
            assert_int_equal(has_link(&partition, group_of[i][0], group_of[j][0]), apart);
        }
    ruleset_add_partition(&ruleset, &partition);
    assert_int_equal(ruleset_check(&ruleset, &error), 0);
    ruleset_partition_free(&partition);
    ruleset_free(&ruleset);
}

static void bad_splits_change_nothing(void **state)
{
    (void)state;
    struct ruleset ruleset = five_nodes();
    static const char *const a[] = {"n1", "n2"}, *const b[] = {"n3", "n1"}, *const c[] = {"n9"},
                             *const d[] = {"n3", "n3"};
    static const struct {
        struct ruleset_group groups[2];
        size_t count;
        const char *place;
    } cases[] = {
        {{{a, 2}, {NULL, 0}}, 1, "groups"},    {{{a, 2}, {NULL, 0}}, 2, "groups[1]"},
        {{{a, 2}, {b, 2}}, 2, "groups[1][1]"}, {{{a, 2}, {c, 1}}, 2, "groups[1][0]"},
        {{{d, 2}, {a, 2}}, 2, "groups[0][1]"}, {{{NULL, 0}, {NULL, 0}}, 0, "groups"},
        {{{NULL, 0}, {a, 2}}, 2, "groups[0]"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ruleset_partition partition = {.name = "split"};
        struct error error = {0};
        assert_int_equal(
            ruleset_partition_split(&ruleset, cases[i].groups, cases[i].count, &partition, &error),
            -EINVAL);
        assert_string_equal(error.place, cases[i].place);
        assert_true(strlen(error.message) > 10);
        assert_null(partition.links);
        assert_int_equal(partition.link_count, 0);
    }
    ruleset_free(&ruleset);
}

static void isolation_is_from_every_other_member(void **state)
{
    (void)state;
    struct ruleset ruleset = five_nodes();
    struct ruleset_partition member = {0}, client = {0}, none = {0};
    struct error error = {0};
    assert_int_equal(ruleset_partition_isolate(&ruleset, "n3", &member, &error), 0);
    assert_int_equal(member.link_count, 8);
    assert_true(has_link(&member, "n3", "n1") && has_link(&member, "n5", "n3"));
    assert_false(has_link(&member, "n3", "n3") || has_link(&member, "n3", "c1"));
    assert_int_equal(ruleset_partition_isolate(&ruleset, "c1", &client, &error), 0);
    assert_int_equal(client.link_count, 10);
    assert_int_equal(ruleset_partition_isolate(&ruleset, "n9", &none, &error), -EINVAL);
    assert_string_equal(error.place, "isolate");
    assert_null(none.links);
    struct ruleset alone = {0};
    add_node(&alone, "n1");
    assert_int_equal(ruleset_partition_isolate(&alone, "n1", &none, &error), -EINVAL);
    ruleset_partition_free(&member);
    ruleset_partition_free(&client);
    ruleset_free(&alone);
    ruleset_free(&ruleset);
}

/* Whoever set it and when is no difference; any parameter is. */
static void things_are_compared_by_what_they_do(void **state)
{
    (void)state;
    struct ruleset_fault fault = latency("f", "n1<->n2", MS), other = fault;
    put(other.set_by, "someone");
    other.set_at_ns = 7;
    assert_true(ruleset_same_fault(&fault, &other));
    other.latency.jitter_ns++;
    assert_false(ruleset_same_fault(&fault, &other));
    other = fault;
    other.both_ways = false;
    assert_false(ruleset_same_fault(&fault, &other));
    other = fault;
    put(other.link.to, "n3");
    assert_false(ruleset_same_fault(&fault, &other));
    fault = latency("f", "r", MS);
    other = fault;
    other.direction = RULESET_UPSTREAM;
    assert_false(ruleset_same_fault(&fault, &other));
    struct ruleset_fault loss = {.type = RULESET_LOSS, .loss.probability_ppb = 5}, less = loss;
    assert_true(ruleset_same_fault(&loss, &less));
    less.loss.probability_ppb = 4;
    assert_false(ruleset_same_fault(&loss, &less));
    struct ruleset_fault rate = {.type = RULESET_RATE, .rate.queue_bytes = 7}, slower = rate;
    assert_true(ruleset_same_fault(&rate, &slower));
    slower.rate.queue_bytes = 8;
    assert_false(ruleset_same_fault(&rate, &slower));
    assert_false(ruleset_same_fault(&rate, &loss));
    struct ruleset_partition one = {.name = "p"}, two = {.name = "p", .set_at_ns = 3};
    ruleset_partition_add_link(&one, "n1", "n2");
    assert_false(ruleset_same_partition(&one, &two));
    ruleset_partition_add_link(&two, "n1", "n2");
    assert_true(ruleset_same_partition(&one, &two));
    put(two.ends[0], "n3");
    assert_false(ruleset_same_partition(&one, &two));
    ruleset_partition_free(&one);
    ruleset_partition_free(&two);
}

static void links_are_read_and_written(void **state)
{
    (void)state;
    static const struct {
        const char *text, *from, *to;
        bool both_ways;
    } cases[] = {
        {"n1->n2", "n1", "n2", false},   {"n1<->n2", "n1", "n2", true},
        {"*->n2", "*", "n2", false},     {"n1<->*", "n1", "*", true},
        {"*->*", "*", "*", false},       {"a-b->c.d", "a-b", "c.d", false},
        {"a--->b-", "a--", "b-", false}, {"a-<->b.", "a-", "b.", true},
        {"_->.a", "_", ".a", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ruleset_link link;
        bool both_ways = !cases[i].both_ways;
        char buffer[RULESET_LINK_TEXT_MAX];
        assert_int_equal(ruleset_parse_link(cases[i].text, &link, &both_ways, NULL), 0);
        assert_string_equal(link.from, cases[i].from);
        assert_string_equal(link.to, cases[i].to);
        assert_int_equal(both_ways, cases[i].both_ways);
        assert_string_equal(ruleset_format_link(&link, both_ways, buffer), cases[i].text);
    }
    char longest[3 * RULESET_NAME_MAX];
    char name[RULESET_NAME_MAX];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    snprintf(longest, sizeof(longest), "%s<->%s", name, name);
    struct ruleset_link link;
    bool both_ways;
    char buffer[RULESET_LINK_TEXT_MAX];
    assert_int_equal(ruleset_parse_link(longest, &link, &both_ways, NULL), 0);
    assert_string_equal(ruleset_format_link(&link, both_ways, buffer), longest);
}

static void bad_links_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",          "n1",
        "n1-n2",     "->",
        "n1->",      "->n2",
        ">n2",       "n1>n2",
        "n1<-n2",    "n1 -> n2",
        "n1->n2 ",   "n1->n2->n3",
        "**->n1",    "n*->n2",
        "n1->n\x01", "n1<<->n2",
        "n1->n/2",   "-a->b",
        "a->-b",     "a->..",
        "<->n1",     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx->n1"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ruleset_link link = {.from = "kept"};
        bool both_ways = true;
        struct error error = {0};
        assert_int_equal(ruleset_parse_link(cases[i], &link, &both_ways, &error), -EINVAL);
        assert_string_equal(link.from, "kept");
        assert_true(both_ways);
        assert_true(strlen(error.message) > 10);
    }
}

/* Every value of an enumeration is read back from its name; nothing else is. */
#define round_trip(enumeration, verb, count)                                                       \
    do {                                                                                           \
        struct error error = {0};                                                                  \
        enum enumeration value;                                                                    \
        for (unsigned i = 0; i < (count); i++) {                                                   \
            const char *name = ruleset_##verb##_name((enum enumeration)i);                         \
            value = (enum enumeration)((i + 1) % (count));                                         \
            assert_int_equal(ruleset_parse_##verb(name, &value, &error), 0);                       \
            assert_int_equal(value, i);                                                            \
        }                                                                                          \
        assert_int_equal(ruleset_parse_##verb("nonsense", &value, &error), -EINVAL);               \
        assert_int_equal(value, (count)-1);                                                        \
        for (unsigned i = 0; i < (count); i++)                                                     \
            assert_non_null(strstr(error.message, ruleset_##verb##_name((enum enumeration)i)));    \
        assert_non_null(strstr(error.message, "nonsense"));                                        \
        assert_int_equal(ruleset_parse_##verb("", &value, NULL), -EINVAL);                         \
        assert_string_equal(ruleset_##verb##_name((enum enumeration)(count)), "unknown");          \
    } while (0)

static void names_of_enumerations(void **state)
{
    (void)state;
    round_trip(ruleset_fault_type, fault_type, RULESET_FAULT_TYPES);
    round_trip(ruleset_distribution, distribution, RULESET_DISTRIBUTIONS);
    round_trip(ruleset_direction, direction, 3);
    round_trip(ruleset_protocol, protocol, 2);
    round_trip(ruleset_node_kind, node_kind, 2);
    assert_string_equal(ruleset_fault_type_name(RULESET_RATE), "rate");
    assert_string_equal(ruleset_distribution_name(RULESET_PARETONORMAL), "paretonormal");
    assert_string_equal(ruleset_direction_name(RULESET_DOWNSTREAM), "downstream");
    assert_string_equal(ruleset_protocol_name(RULESET_UDP), "udp");
    assert_string_equal(ruleset_node_kind_name(RULESET_NODE_CLIENT), "client");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_ruleset_is_valid),
        cmocka_unit_test(things_are_found_and_removed_by_name),
        cmocka_unit_test(a_copy_shares_nothing),
        cmocka_unit_test(an_element_can_be_added_again),
        cmocka_unit_test(a_clock_of_true_time_is_none),
        cmocka_unit_test(a_link_is_added_once),
        cmocka_unit_test(links_come_at_once_and_go_with_a_node),
        cmocka_unit_test(partitions_are_compared_by_names),
        cmocka_unit_test(a_split_separates_the_groups_both_ways),
        cmocka_unit_test(bad_splits_change_nothing),
        cmocka_unit_test(isolation_is_from_every_other_member),
        cmocka_unit_test(things_are_compared_by_what_they_do),
        cmocka_unit_test(links_are_read_and_written),
        cmocka_unit_test(bad_links_are_refused),
        cmocka_unit_test(names_of_enumerations),
    };
    return cmocka_run_group_tests_name("proxy/fault/ruleset", tests, NULL, NULL);
}
