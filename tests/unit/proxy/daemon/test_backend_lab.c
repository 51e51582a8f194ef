/* The lab and the ruleset change together or not at all. With real namespaces: where a lab can't be
 * had (neither as root nor in a user namespace) the group is skipped, and says so. */
#include "tests/lib/test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/daemon/backend.h"
#include "proxy/lab/lab.h"

enum { PATIENCE_MS = 20000 };

static struct {
    struct backend *backend;
    struct api_backend api;
    struct ruleset next; /* the test's copy, to change and hand over */
    struct wire_lab lab;
    char directory[64];
} rig;

static const struct ruleset *current(void)
{
    return rig.api.current(rig.backend);
}

static int open_rig(void **state)
{
    struct ruleset empty = {.seed = 7};
    struct error error = {0};
    (void)state;
    memset(&rig, 0, sizeof(rig));
    snprintf(rig.directory, sizeof(rig.directory), "/tmp/sever-test-XXXXXX");
    assert_non_null(mkdtemp(rig.directory));
    struct backend_options options = {
        .workers = 2, .pool_bytes = 16 << 20, .directory = rig.directory, .clock_library = ""};
    if (backend_create(&options, &empty, &rig.backend, &error))
        fail_msg("%s", error.message);
    rig.api = backend_api(rig.backend);
    ruleset_copy(&rig.next, current());
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    backend_destroy(rig.backend);
    ruleset_free(&rig.next);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no keeper is left */
    assert_int_equal(rmdir(rig.directory), 0);
    return 0;
}

static int change(struct error *error)
{
    int result = rig.api.change(rig.backend, &rig.next, "tester", error);
    ruleset_free(&rig.next);
    ruleset_copy(&rig.next, current());
    return result;
}

static void must_change(void)
{
    struct error error = {0};
    if (change(&error))
        fail_msg("%s: %s", error.place, error.message);
}

static void expect_refused(const char *wanted)
{
    struct error error = {0};
    uint64_t version = current()->version;
    assert_int_equal(change(&error), -EINVAL);
    if (!strstr(error.message, wanted))
        fail_msg("not '%s' but '%s'", wanted, error.message);
    assert_int_equal(current()->version, version);
}

/* Steps until the next event; API_LAB_NOTHING: none came. */
static enum api_lab_event await_event(char news[API_NEWS_MAX])
{
    struct pollfd polled = {.fd = rig.api.lab.poll_fd(rig.backend), .events = POLLIN};
    enum api_lab_event event = API_LAB_STEP;
    while (event == API_LAB_STEP || event == API_LAB_NOTHING) {
        if (poll(&polled, 1, PATIENCE_MS) != 1)
            return API_LAB_NOTHING;
        event = rig.api.lab.step(rig.backend, news);
    }
    return event;
}

/* Begins the change and waits for its end. News that come meanwhile are passed over. */
static int do_change(struct api_lab_change *change, struct error *error)
{
    char news[API_NEWS_MAX];
    enum api_lab_event event;
    snprintf(change->by, sizeof(change->by), "tester");
    struct error *told = error ? error : &change->error;
    int result = rig.api.lab.begin(rig.backend, change, told);
    if (!result) {
        while ((event = await_event(news)) != API_LAB_ENDED)
            assert_int_equal(event, API_LAB_NEWS);
        *change = *rig.api.lab.ended(rig.backend);
        result = change->result;
        *told = change->error;
    }
    ruleset_free(&rig.next);
    ruleset_copy(&rig.next, current());
    return result;
}

static int try_up(const char *const *names, struct error *error)
{
    struct api_lab_change *change = calloc(1, sizeof(*change));
    struct wire_lab_wanted *wanted = &change->wanted;
    wire_lab_wanted_init(wanted);
    wanted->ring_bytes = 4 << 20;
    for (; *names; names++)
        snprintf(wanted->nodes[wanted->node_count++].name, RULESET_NAME_MAX, "%s", *names);
    int result = do_change(change, error);
    free(change);
    return result;
}

#define UP(...) up((const char *const[]){__VA_ARGS__, NULL})
static void up(const char *const *names)
{
    struct error error = {0};
    if (try_up(names, &error))
        fail_msg("%s: %s", error.place, error.message);
}

static void down(void)
{
    struct api_lab_change change = {.verb = API_LAB_DOWN};
    assert_int_equal(do_change(&change, NULL), 0);
}

static int try_join(const char *name, struct error *error)
{
    struct api_lab_change change = {.verb = API_LAB_ADD_NODE};
    snprintf(change.member.name, sizeof(change.member.name), "%s", name);
    return do_change(&change, error);
}

static void remove_node(const char *name)
{
    struct api_lab_change change = {.verb = API_LAB_REMOVE_NODE};
    snprintf(change.name, sizeof(change.name), "%s", name);
    assert_int_equal(do_change(&change, NULL), 0);
}

static int try_port(struct wire_lab_port *port, struct error *error)
{
    struct api_lab_change change = {.verb = API_LAB_ADD_PORT, .port = *port};
    int result = do_change(&change, error);
    *port = change.port;
    return result;
}

static int try_remove_port(const char *listen)
{
    struct api_lab_change change = {.verb = API_LAB_REMOVE_PORT};
    snprintf(change.port.listen, sizeof(change.port.listen), "%s", listen);
    return do_change(&change, NULL);
}

static void add_node(const char *name, const char *address)
{
    struct ruleset_node node = {.address_count = 1};
    snprintf(node.name, sizeof(node.name), "%s", name);
    snprintf(node.addresses[0], sizeof(node.addresses[0]), "%s", address);
    ruleset_add_node(&rig.next, &node);
}

static bool has_address(const char *name, const char *address)
{
    const struct ruleset_node *node = ruleset_find_node(current(), name);
    for (size_t i = 0; node && i < node->address_count; i++)
        if (strcmp(node->addresses[i], address) == 0)
            return true;
    return false;
}

static const struct wire_lab *look(void)
{
    rig.api.lab.get(rig.backend, &rig.lab);
    return &rig.lab;
}

static void nodes_of_the_lab_are_nodes_of_the_ruleset(void **state)
{
    (void)state;
    uint64_t version = current()->version;
    UP("n1", "n2");
    assert_int_equal(current()->version, version + 1); /* one step */
    assert_int_equal(current()->node_count, 2);
    assert_true(has_address("n2", "10.77.0.2") && has_address("n2", "fd77::2"));
    assert_true(look()->up && rig.lab.node_count == 2 && rig.lab.nodes[0].running);
    assert_int_equal(kill(rig.lab.nodes[0].pid, 0), 0);
    down();
    assert_int_equal(current()->node_count, 0);
    assert_false(look()->up);
}

static void a_second_lab_is_refused(void **state)
{
    struct error error = {0};
    (void)state;
    UP("n1");
    assert_int_equal(try_up((const char *const[]){"x", NULL}, &error), -EEXIST);
    assert_int_equal(look()->node_count, 1);
}

/* Another node has an address that the lab needs: nothing of the lab stays. */
static void up_is_undone_as_a_whole(void **state)
{
    struct error error = {0};
    (void)state;
    add_node("other", "10.77.0.2");
    must_change();
    uint64_t version = current()->version;
    assert_true(try_up((const char *const[]){"n1", "n2", NULL}, &error) < 0);
    assert_non_null(strstr(error.message, "address"));
    assert_int_equal(current()->version, version);
    assert_false(look()->up);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(try_up((const char *const[]){"n1", "n1", NULL}, &error), -EINVAL);
    assert_string_equal(error.place, "nodes[1]");
    assert_int_equal(try_up((const char *const[]){"no name", NULL}, &error), -EINVAL);
    assert_false(look()->up);
    UP("n1"); /* 10.77.0.1 is free */
    assert_true(try_join("n2", &error) < 0);
    assert_int_equal(look()->node_count, 1);
    assert_int_equal(current()->version, version + 1);
}

static void a_node_that_was_there_is_taken_over_and_given_back(void **state)
{
    (void)state;
    add_node("n1", "127.0.9.1");
    must_change();
    UP("n1", "n2");
    assert_true(has_address("n1", "127.0.9.1") && has_address("n1", "10.77.0.1"));
    remove_node("n1");
    assert_true(has_address("n1", "127.0.9.1") && !has_address("n1", "10.77.0.1"));
    assert_false(has_address("n1", "fd77::1"));
    down();
    assert_int_equal(current()->node_count, 1);
}

static void no_change_takes_a_node_of_the_lab(void **state)
{
    (void)state;
    UP("n1", "n2");
    ruleset_remove_node(&rig.next, "n2");
    expect_refused("severctl lab remove n2");
    ruleset_find_node(&rig.next, "n2")->address_count = 1;
    expect_refused("fd77::2");
    struct ruleset_node *node = ruleset_find_node(&rig.next, "n2");
    snprintf(node->addresses[1], RULESET_ADDRESS_MAX, "fd77:0:0::2"); /* the same */
    must_change();
    add_node("n3", "127.0.9.3");
    must_change();
}

static void what_is_on_its_links_goes_with_a_node(void **state)
{
    struct ruleset_fault fault = {.name = "slow", .latency = {.delay_ns = 1}};
    struct ruleset_fault other = {.name = "slow too", .latency = {.delay_ns = 1}};
    struct ruleset_partition one = {.name = "one"}, both = {.name = "both"};
    struct ruleset_clock clock = {.node = "n3", .offset_ns = 5};
    (void)state;
    UP("n1", "n2", "n3");
    ruleset_parse_link("n1->n3", &fault.link, &fault.both_ways, NULL);
    ruleset_parse_link("*->n2", &other.link, &other.both_ways, NULL);
    ruleset_partition_add_link(&one, "n3", "n1");
    ruleset_partition_add_link(&both, "n2", "n3");
    ruleset_partition_add_link(&both, "n2", "n1");
    ruleset_add_fault(&rig.next, &fault);
    ruleset_add_fault(&rig.next, &other);
    ruleset_add_partition(&rig.next, &one);
    ruleset_add_partition(&rig.next, &both);
    ruleset_set_clock(&rig.next, &clock);
    must_change();
    ruleset_partition_free(&one);
    ruleset_partition_free(&both);
    remove_node("n3");
    assert_null(ruleset_find_fault(current(), "slow"));
    assert_non_null(ruleset_find_fault(current(), "slow too"));
    assert_null(ruleset_find_partition(current(), "one"));
    assert_int_equal(ruleset_find_partition(current(), "both")->link_count, 1);
    assert_int_equal(current()->clock_count, 0);
    assert_null(ruleset_find_node(current(), "n3"));
}

static void a_node_that_a_route_names_stays_in_the_ruleset(void **state)
{
    struct ruleset_route route = {.name = "r",
                                  .listen = "127.0.0.1:0",
                                  .upstream = "127.0.0.1:9",
                                  .to = "n2",
                                  .enabled = true};
    (void)state;
    UP("n1", "n2");
    ruleset_add_route(&rig.next, &route);
    must_change();
    down();
    assert_null(ruleset_find_node(current(), "n1"));
    assert_int_equal(ruleset_find_node(current(), "n2")->address_count, 0);
}

static void await_news(char text[API_NEWS_MAX])
{
    assert_int_equal(await_event(text), API_LAB_NEWS);
}

static void a_node_that_is_killed_is_told_and_can_be_removed(void **state)
{
    char text[API_NEWS_MAX];
    struct error error = {0};
    (void)state;
    UP("n1", "n2");
    assert_false(rig.api.lab.waits(rig.backend));
    assert_int_equal(kill(wire_lab_find_node(look(), "n2")->pid, SIGKILL), 0);
    await_news(text);
    assert_non_null(strstr(text, "node n2 of the lab has ended"));
    assert_false(wire_lab_find_node(look(), "n2")->running);
    assert_true(wire_lab_find_node(look(), "n1")->running);
    assert_true(has_address("n2", "10.77.0.2")); /* until it is removed */
    assert_int_equal(try_join("n2", &error), -EEXIST);
    assert_non_null(strstr(error.message, "severctl lab remove"));
    assert_int_equal(try_join("n3", &error), 0);
    assert_true(has_address("n3", "10.77.0.3"));
    remove_node("n2");
    assert_int_equal(try_join("n2", &error), 0);
    assert_true(has_address("n2", "10.77.0.2")); /* as before */
    assert_int_equal(look()->node_count, 3);
}

static void a_keeper_that_is_killed_ends_every_node(void **state)
{
    char text[API_NEWS_MAX];
    struct error error = {0};
    (void)state;
    UP("n1", "n2");
    assert_int_equal(kill(look()->keeper, SIGKILL), 0);
    do
        await_news(text);
    while (!strstr(text, "keeper"));
    assert_true(look()->up);
    for (size_t i = 0; i < rig.lab.node_count; i++)
        assert_false(rig.lab.nodes[i].running);
    assert_int_equal(try_up((const char *const[]){"x", NULL}, &error), -EEXIST);
    assert_non_null(strstr(error.message, "lab down"));
    down();
    UP("n1");
}

/* Nothing else waits for it, and it is not waited for without end. */
static void a_keeper_that_is_stopped_is_given_up(void **state)
{
    struct api_lab_change change = {.verb = API_LAB_ADD_NODE, .member = {.name = "n2"}};
    char text[API_NEWS_MAX];
    struct error error = {0};
    (void)state;
    UP("n1");
    pid_t keeper = look()->keeper;
    assert_int_equal(kill(keeper, SIGSTOP), 0);
    uint64_t begin_ns = monotonic_now_ns();
    assert_int_equal(rig.api.lab.begin(rig.backend, &change, &error), 0);
    add_node("other", "127.0.9.1");
    must_change();
    assert_true(monotonic_now_ns() - begin_ns < 4 * NS_PER_S); /* it is given 5 s */
    assert_int_equal(look()->node_count, 1);
    assert_int_equal(await_event(text), API_LAB_ENDED);
    change = *rig.api.lab.ended(rig.backend);
    assert_int_equal(change.result, -ETIMEDOUT);
    assert_non_null(strstr(change.error.message, "does not answer"));
    await_news(text);
    assert_non_null(strstr(text, "keeper has ended"));
    down();
    assert_int_equal(kill(keeper, 0), -1);
    UP("n1");
}

/* As SIGTERM does, in the middle of a change. */
static void severd_ends_while_a_lab_is_made(void **state)
{
    struct api_lab_change *change = calloc(1, sizeof(*change));
    struct error error = {0};
    (void)state;
    wire_lab_wanted_init(&change->wanted);
    change->wanted.ring_bytes = 4 << 20;
    for (change->wanted.node_count = 0; change->wanted.node_count < 64; change->wanted.node_count++)
        snprintf(change->wanted.nodes[change->wanted.node_count].name, RULESET_NAME_MAX, "n%zu",
                 change->wanted.node_count + 1);
    assert_int_equal(rig.api.lab.begin(rig.backend, change, &error), 0);
    free(change);
    assert_false(look()->up); /* not yet; close_rig ends it */
}

static void the_first_port_brings_the_gateway(void **state)
{
    struct wire_lab_port port = {.listen = "127.0.0.1:0", .node = "n1", .port = 9};
    struct wire_lab_port wrong = {.listen = "127.0.0.1", .node = "n1", .port = 9};
    struct error error = {0};
    (void)state;
    UP("n1");
    assert_true(try_port(&wrong, &error) < 0);
    assert_string_equal(error.place, "listen");
    assert_int_equal(current()->node_count, 1); /* it has gone again */
    assert_int_equal(try_port(&port, &error), 0);
    assert_int_equal(ruleset_find_node(current(), "gateway")->kind, RULESET_NODE_CLIENT);
    assert_int_equal(look()->port_count, 1);
    assert_string_equal(rig.lab.ports[0].listen, port.listen);
    assert_int_equal(try_remove_port("127.0.0.1:1"), -ENOENT);
    assert_int_equal(try_remove_port(port.listen), 0);
    assert_int_equal(try_port(&port, &error), 0); /* the same address is free again */
    remove_node("n1");
    assert_int_equal(look()->port_count, 0);
}

static void ports_end_with_their_node(void **state)
{
    struct wire_lab_port ended = {.listen = "127.0.0.1:0", .node = "n1", .port = 9};
    struct wire_lab_port other = {.listen = "127.0.0.1:0", .node = "n2", .port = 9};
    char text[API_NEWS_MAX];
    struct error error = {0};
    (void)state;
    UP("n1", "n2");
    assert_int_equal(try_port(&ended, &error), 0);
    assert_int_equal(try_port(&other, &error), 0);
    assert_int_equal(kill(wire_lab_find_node(look(), "n1")->pid, SIGKILL), 0);
    await_news(text);
    assert_int_equal(look()->port_count, 1);
    assert_string_equal(rig.lab.ports[0].node, "n2");
    assert_int_equal(try_port(&ended, &error), -EINVAL); /* to a node that has ended */
    snprintf(ended.node, sizeof(ended.node), "n2");
    assert_int_equal(try_port(&ended, &error), 0); /* its address is free */
}

static void a_gateway_that_is_killed_is_told_and_made_anew(void **state)
{
    struct wire_lab_port port = {.listen = "127.0.0.1:0", .node = "n1", .port = 9};
    char text[API_NEWS_MAX];
    struct error error = {0};
    (void)state;
    UP("n1");
    assert_int_equal(try_port(&port, &error), 0);
    pid_t pid = wire_lab_find_node(look(), LAB_GATEWAY)->pid;
    assert_int_equal(kill(pid, SIGKILL), 0);
    await_news(text);
    assert_non_null(strstr(text, "node gateway of the lab has ended"));
    assert_false(wire_lab_find_node(look(), LAB_GATEWAY)->running);
    assert_int_equal(rig.lab.port_count, 0);
    assert_int_equal(try_port(&port, &error), 0);
    assert_true(wire_lab_find_node(look(), LAB_GATEWAY)->running);
    assert_int_equal(rig.lab.port_count, 1);
}

static bool can_have_labs(void)
{
    struct lab_options options = {.subnet = "10.77.0.0/24", .subnet6 = "", .mtu = 1500};
    struct lab *lab;
    struct error error = {0};
    int result = lab_create(&options, &lab, &error);
    if (result)
        printf("no lab can be had here: %s\n", error.message);
    else
        lab_destroy(lab);
    return result == 0;
}

int main(int argc, char **argv)
{
    lab_keeper_main(argc, argv);
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_rig, close_rig)
    const struct CMUnitTest tests[] = {
        TEST(nodes_of_the_lab_are_nodes_of_the_ruleset),
        TEST(a_second_lab_is_refused),
        TEST(up_is_undone_as_a_whole),
        TEST(a_node_that_was_there_is_taken_over_and_given_back),
        TEST(no_change_takes_a_node_of_the_lab),
        TEST(what_is_on_its_links_goes_with_a_node),
        TEST(a_node_that_a_route_names_stays_in_the_ruleset),
        TEST(a_node_that_is_killed_is_told_and_can_be_removed),
        TEST(a_keeper_that_is_killed_ends_every_node),
        TEST(a_keeper_that_is_stopped_is_given_up),
        TEST(severd_ends_while_a_lab_is_made),
        TEST(the_first_port_brings_the_gateway),
        TEST(ports_end_with_their_node),
        TEST(a_gateway_that_is_killed_is_told_and_made_anew),
    };
    return can_have_labs()
               ? cmocka_run_group_tests_name("proxy/daemon/backend_lab", tests, NULL, NULL)
               : 0;
}
