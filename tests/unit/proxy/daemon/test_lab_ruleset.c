/* What a node of the lab means for a ruleset, when it comes and when it goes. */
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/daemon/lab_ruleset.h"

static struct ruleset ruleset;

static int set_up(void **state)
{
    (void)state;
    ruleset = (struct ruleset){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ruleset_free(&ruleset);
    return 0;
}

static struct lab_node node_of(const char *name, const char *address, const char *address6)
{
    struct lab_node node = {.address_count = 2};
    snprintf(node.name, sizeof(node.name), "%s", name);
    assert_int_equal(address_parse_host(address, &node.addresses[0], NULL), 0);
    assert_int_equal(address_parse_host(address6, &node.addresses[1], NULL), 0);
    return node;
}

/* addresses: as the ruleset has them, with a space in front of each. */
static void expect_node(const char *name, const char *addresses)
{
    const struct ruleset_node *node = ruleset_find_node(&ruleset, name);
    char text[1024] = "";
    assert_non_null(node);
    for (size_t i = 0; i < node->address_count; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, " %s", node->addresses[i]);
    }
    assert_string_equal(text, addresses);
}

static void add_node(const char *name, size_t addresses)
{
    struct ruleset_node node = {.address_count = addresses};
    snprintf(node.name, sizeof(node.name), "%s", name);
    for (size_t i = 0; i < addresses; i++)
        snprintf(node.addresses[i], sizeof(node.addresses[i]), "127.0.9.%zu", i + 1);
    ruleset_add_node(&ruleset, &node);
}

static void join(const struct lab_node *node, bool wanted_found)
{
    struct error error = {0};
    bool found = !wanted_found;
    assert_int_equal(lab_ruleset_join(&ruleset, node, RULESET_NODE_CLIENT, &found, &error), 0);
    assert_int_equal(found, wanted_found);
    assert_int_equal(lab_ruleset_check(&ruleset, node, &error), 0);
}

static void a_new_node_comes_and_goes(void **state)
{
    struct lab_node node = node_of("n1", "10.77.0.1", "fd77::1");
    (void)state;
    join(&node, false);
    expect_node("n1", " 10.77.0.1 fd77::1");
    assert_int_equal(ruleset_find_node(&ruleset, "n1")->kind, RULESET_NODE_CLIENT);
    lab_ruleset_leave(&ruleset, &node, false);
    assert_int_equal(ruleset.node_count, 0);
    lab_ruleset_leave(&ruleset, &node, false); /* somebody else was faster */
}

static void one_that_was_there_keeps_its_own(void **state)
{
    struct lab_node node = node_of("n1", "10.77.0.1", "fd77::1");
    (void)state;
    add_node("n1", 2);
    join(&node, true);
    expect_node("n1", " 127.0.9.1 127.0.9.2 10.77.0.1 fd77::1");
    lab_ruleset_leave(&ruleset, &node, true);
    expect_node("n1", " 127.0.9.1 127.0.9.2");
}

static void an_address_is_there_once_however_it_is_written(void **state)
{
    struct lab_node node = node_of("n1", "10.77.0.1", "fd77::1");
    (void)state;
    add_node("n1", 1);
    struct ruleset_node *old = ruleset_find_node(&ruleset, "n1");
    snprintf(old->addresses[0], sizeof(old->addresses[0]), "fd77:0:0::1");
    join(&node, true);
    expect_node("n1", " fd77:0:0::1 10.77.0.1");
}

static void there_has_to_be_room(void **state)
{
    struct lab_node node = node_of("n1", "10.77.0.1", "fd77::1");
    struct error error = {0};
    bool found;
    (void)state;
    add_node("n1", RULESET_NODE_ADDRESSES_MAX - 1);
    assert_int_equal(lab_ruleset_join(&ruleset, &node, RULESET_NODE_MEMBER, &found, &error),
                     -EINVAL);
    assert_non_null(strstr(error.message, "no room"));
}

static void what_it_loses_is_missed(void **state)
{
    struct lab_node node = node_of("n1", "10.77.0.1", "fd77::1");
    struct error error = {0};
    (void)state;
    assert_int_equal(lab_ruleset_check(&ruleset, &node, &error), -EINVAL);
    assert_non_null(strstr(error.message, "can't be left out"));
    join(&node, false);
    ruleset_find_node(&ruleset, "n1")->address_count = 1;
    assert_int_equal(lab_ruleset_check(&ruleset, &node, &error), -EINVAL);
    assert_string_equal(error.place, "nodes");
    assert_non_null(strstr(error.message, "its address fd77::1"));
}

static void add_fault(const char *name, const char *link, const char *route)
{
    struct ruleset_fault fault = {0};
    snprintf(fault.name, sizeof(fault.name), "%s", name);
    if (link)
        assert_int_equal(ruleset_parse_link(link, &fault.link, &fault.both_ways, NULL), 0);
    else
        snprintf(fault.route, sizeof(fault.route), "%s", route);
    ruleset_add_fault(&ruleset, &fault);
}

static void add_cut(const char *name, const char *from, const char *to, const char *from_too)
{
    struct ruleset_partition partition = {0};
    snprintf(partition.name, sizeof(partition.name), "%s", name);
    ruleset_partition_add_link(&partition, from, to);
    if (from_too)
        ruleset_partition_add_link(&partition, from_too, to);
    ruleset_add_partition(&ruleset, &partition);
    ruleset_partition_free(&partition);
}

static void what_means_nothing_without_it_goes_too(void **state)
{
    struct lab_node node = node_of("n1", "10.77.0.1", "fd77::1");
    struct ruleset_clock clock = {.node = "n1", .offset_ns = 5};
    (void)state;
    join(&node, false);
    add_node("n2", 1);
    add_node("n3", 1);
    ruleset_set_clock(&ruleset, &clock);
    add_fault("to it", "*->n1", NULL);
    add_fault("past it", "n2->n3", NULL);
    add_fault("of a route", NULL, "n1");
    add_cut("its own", "n1", "n2", NULL);
    add_cut("of others too", "n1", "n2", "n3");
    lab_ruleset_leave(&ruleset, &node, false);
    assert_int_equal(ruleset.clock_count, 0);
    assert_null(ruleset_find_fault(&ruleset, "to it"));
    assert_non_null(ruleset_find_fault(&ruleset, "past it"));
    assert_non_null(ruleset_find_fault(&ruleset, "of a route"));
    assert_null(ruleset_find_partition(&ruleset, "its own"));
    assert_int_equal(ruleset_find_partition(&ruleset, "of others too")->link_count, 1);
}

static void one_that_a_route_names_stays(void **state)
{
    struct lab_node node = node_of("n1", "10.77.0.1", "fd77::1");
    struct ruleset_route route = {.name = "r", .to = "n1"};
    (void)state;
    join(&node, false);
    ruleset_add_route(&ruleset, &route);
    add_fault("to it", "*->n1", NULL);
    lab_ruleset_leave(&ruleset, &node, false);
    expect_node("n1", "");
    assert_non_null(ruleset_find_fault(&ruleset, "to it"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_new_node_comes_and_goes),
        TEST(one_that_was_there_keeps_its_own),
        TEST(an_address_is_there_once_however_it_is_written),
        TEST(there_has_to_be_room),
        TEST(what_it_loses_is_missed),
        TEST(what_means_nothing_without_it_goes_too),
        TEST(one_that_a_route_names_stays),
    };
    return cmocka_run_group_tests_name("daemon/lab_ruleset", tests, NULL, NULL);
}
