#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/clock/clock_page.h"
#include "proxy/daemon/backend.h"
#include "proxy/io/socket.h"

#define PATIENCE_NS (20 * NS_PER_S)

struct rig {
    struct backend *backend;
    struct api_backend api;
    struct ruleset next; /* the test's copy, to change and hand over */
    char directory[64];
    int upstream;
    char upstream_text[ADDRESS_TEXT_MAX];
};

static struct rig rig;

static int open_rig(void **state)
{
    (void)state;
    struct address any, bound;
    struct ruleset empty = {.seed = 7};
    struct error error = {0};
    rig = (struct rig){0};
    snprintf(rig.directory, sizeof(rig.directory), "/tmp/sever-test-XXXXXX");
    assert_non_null(mkdtemp(rig.directory));
    struct backend_options options = {
        .workers = 2, .pool_bytes = 16 << 20, .directory = rig.directory, .clock_library = ""};
    if (backend_create(&options, &empty, &rig.backend, &error))
        fail_msg("%s", error.message);
    rig.api = backend_api(rig.backend);
    ruleset_copy(&rig.next, rig.api.current(rig.backend));
    assert_int_equal(address_parse("127.0.0.1:0", &any, NULL), 0);
    rig.upstream = socket_listen(&any, false, &bound, NULL);
    assert_true(rig.upstream >= 0);
    address_format(&bound, rig.upstream_text);
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    backend_destroy(rig.backend);
    ruleset_free(&rig.next);
    close(rig.upstream);
    assert_int_equal(rmdir(rig.directory), 0); /* no page is left */
    return 0;
}

static int change(struct error *error)
{
    int result = rig.api.change(rig.backend, &rig.next, "tester", error);
    if (!result) {
        ruleset_free(&rig.next);
        ruleset_copy(&rig.next, rig.api.current(rig.backend));
    }
    return result;
}

static void must_change(void)
{
    struct error error = {0};
    if (change(&error))
        fail_msg("%s: %s", error.place, error.message);
}

static void add_node(const char *name)
{
    struct ruleset_node node = {0};
    snprintf(node.name, sizeof(node.name), "%s", name);
    ruleset_add_node(&rig.next, &node);
}

static struct ruleset_route *add_route(const char *name, const char *listen)
{
    struct ruleset_route route = {.enabled = true, .from = "n1", .to = "n2"};
    snprintf(route.name, sizeof(route.name), "%s", name);
    snprintf(route.listen, sizeof(route.listen), "%s", listen);
    snprintf(route.upstream, sizeof(route.upstream), "%s", rig.upstream_text);
    return ruleset_add_route(&rig.next, &route);
}

static void add_partition(const char *name, const char *from, const char *to)
{
    struct ruleset_partition partition = {0};
    snprintf(partition.name, sizeof(partition.name), "%s", name);
    ruleset_partition_add_link(&partition, from, to);
    ruleset_add_partition(&rig.next, &partition);
    ruleset_partition_free(&partition);
}

static void add_latency(const char *name, const char *from, const char *to)
{
    struct ruleset_fault fault = {.type = RULESET_LATENCY, .latency = {.delay_ns = 1}};
    snprintf(fault.name, sizeof(fault.name), "%s", name);
    snprintf(fault.link.from, sizeof(fault.link.from), "%s", from);
    snprintf(fault.link.to, sizeof(fault.link.to), "%s", to);
    ruleset_add_fault(&rig.next, &fault);
}

static void start_with_route(void)
{
    add_node("n1");
    add_node("n2");
    add_route("r", "127.0.0.1:0");
    must_change();
}

static bool listening(const char *route, struct address *address)
{
    char text[ADDRESS_TEXT_MAX];
    if (!rig.api.route_listening(rig.backend, route, text)[0])
        return false;
    assert_int_equal(address_parse(text, address, NULL), 0);
    return true;
}

static void open_pair(const char *route, int *client, int *server)
{
    struct address address;
    uint64_t deadline_ns = monotonic_now_ns() + PATIENCE_NS;
    assert_true(listening(route, &address));
    *client = socket_connect(&address, NULL, NULL);
    assert_true(*client >= 0);
    while ((*server = socket_accept(rig.upstream, NULL)) < 0)
        assert_true(monotonic_now_ns() < deadline_ns);
}

static ssize_t await_read(int fd, char *byte)
{
    uint64_t deadline_ns = monotonic_now_ns() + PATIENCE_NS;
    ssize_t got;
    while ((got = recv(fd, byte, 1, MSG_DONTWAIT)) < 0 && errno == EAGAIN)
        assert_true(monotonic_now_ns() < deadline_ns);
    return got;
}

static void echo(int client, int server)
{
    char byte = 0;
    assert_int_equal(send(client, "x", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(await_read(server, &byte), 1);
    assert_int_equal(byte, 'x');
}

static void versions_go_up_by_one(void **state)
{
    (void)state;
    assert_int_equal(rig.api.current(rig.backend)->version, 1);
    assert_int_equal(rig.api.current(rig.backend)->seed, 7);
    start_with_route();
    assert_int_equal(rig.api.current(rig.backend)->version, 2);
    must_change();
    assert_int_equal(rig.api.current(rig.backend)->version, 3);
}

static void who_and_when_are_kept(void **state)
{
    (void)state;
    start_with_route();
    int64_t before = wall_now_ns();
    add_partition("p", "n1", "n2");
    add_latency("l", "n1", "n2");
    must_change();
    int64_t set_at_ns = rig.next.partitions[0].set_at_ns;
    assert_string_equal(rig.next.partitions[0].set_by, "tester");
    assert_string_equal(rig.next.faults[0].set_by, "tester");
    assert_true(set_at_ns >= before && set_at_ns <= wall_now_ns());
    /* what stays keeps its own, even when the caller wrote nonsense there; what changes does not */
    rig.next.partitions[0].set_at_ns = 1;
    snprintf(rig.next.partitions[0].set_by, 8, "forged");
    rig.next.faults[0].latency.delay_ns = 2;
    struct error error = {0};
    assert_int_equal(rig.api.change(rig.backend, &rig.next, "other", &error), 0);
    const struct ruleset *current = rig.api.current(rig.backend);
    assert_string_equal(current->partitions[0].set_by, "tester");
    assert_int_equal(current->partitions[0].set_at_ns, set_at_ns);
    assert_string_equal(current->faults[0].set_by, "other");
}

static void a_refused_change_changes_nothing(void **state)
{
    (void)state;
    struct error error = {0};
    char text[ADDRESS_TEXT_MAX], path[128];
    int client, server;
    start_with_route();
    open_pair("r", &client, &server);
    uint64_t version = rig.api.current(rig.backend)->version;
    add_node("n3");
    add_route("free", "127.0.0.1:0");
    add_route("taken", rig.upstream_text); /* somebody listens there */
    assert_int_equal(change(&error), -EADDRINUSE);
    assert_string_equal(error.place, "routes[2].listen");
    assert_int_equal(rig.api.current(rig.backend)->version, version);
    assert_int_equal(rig.api.current(rig.backend)->node_count, 2);
    assert_string_equal(rig.api.route_listening(rig.backend, "free", text), "");
    assert_string_equal(rig.api.clock_page(rig.backend, "n3"), "");
    snprintf(path, sizeof(path), "%s/n3.clock", rig.directory);
    assert_int_equal(access(path, F_OK), -1);
    echo(client, server); /* the connection did not notice */
    close(client);
    close(server);
}

static void bad_routes_are_refused_with_their_place(void **state)
{
    (void)state;
    struct error error = {0};
    start_with_route();
    struct ruleset_route *route = add_route("u", "unix:/tmp/sever-test-never");
    route->protocol = RULESET_UDP;
    assert_true(change(&error) < 0);
    assert_non_null(strstr(error.place, "routes[1]"));
    ruleset_remove_route(&rig.next, "u");
    route = add_route("host", "127.0.0.1:0");
    snprintf(route->upstream, sizeof(route->upstream), "no such host:1");
    assert_true(change(&error) < 0);
    assert_non_null(strstr(error.place, "routes[1].upstream"));
    ruleset_remove_route(&rig.next, "host");
    must_change();
}

static void bad_matches_are_refused_with_their_place(void **state)
{
    (void)state;
    struct error error = {0};
    start_with_route();
    add_latency("plain", "n1", "n2");
    add_latency("some", "n1", "n2");
    char *match = ruleset_find_fault(&rig.next, "some")->match;
    snprintf(match, RULESET_MATCH_MAX, "dst port domain");
    assert_int_equal(change(&error), -EINVAL);
    assert_string_equal(error.place, "faults[1].match");
    assert_non_null(strstr(error.message, "'domain'"));
    assert_int_equal(rig.api.current(rig.backend)->fault_count, 0);
    snprintf(match, RULESET_MATCH_MAX, "dst port 53 and");
    assert_int_equal(change(&error), -EINVAL);
    assert_string_equal(error.place, "faults[1].match");
    snprintf(match, RULESET_MATCH_MAX, "dst port 53");
    must_change();
    add_node("n3"); /* the program goes on */
    must_change();
    assert_true(ruleset_remove_fault(&rig.next, "some"));
    must_change();
}

/* "127.0.0.1:0" and the port that came of it are one socket: connections live on. */
static void a_route_may_be_written_with_the_port_it_got(void **state)
{
    (void)state;
    char before[ADDRESS_TEXT_MAX], after[ADDRESS_TEXT_MAX];
    int client, server;
    start_with_route();
    open_pair("r", &client, &server);
    rig.api.route_listening(rig.backend, "r", before);
    struct ruleset_route *route = ruleset_find_route(&rig.next, "r");
    snprintf(route->listen, sizeof(route->listen), "%s", before);
    must_change();
    assert_string_equal(rig.api.route_listening(rig.backend, "r", after), before);
    echo(client, server);
    close(client);
    close(server);
}

/* However an address is spelt, it says which one node dials. */
static void an_address_belongs_to_one_node(void **state)
{
    (void)state;
    static const struct {
        const char *one, *other;
        int code;
    } cases[] = {
        {"127.0.77.5", "::ffff:127.0.77.5", -EEXIST}, {"::1", "0:0:0:0:0:0:0:1", -EEXIST},
        {"fd00::ab", "fd00::00AB", -EEXIST},          {"127.0.77.5", "127.0.19717", -EINVAL},
        {"127.0.77.5", "0x7f004d05", -EINVAL},        {"127.0.77.5", "127.0.77.6", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error error = {0};
        struct ruleset_node a = {.name = "a", .address_count = 1}, b = {.name = "b"};
        snprintf(a.addresses[0], sizeof(a.addresses[0]), "%s", cases[i].one);
        snprintf(b.addresses[0], sizeof(b.addresses[0]), "127.0.78.%zu", i + 1);
        snprintf(b.addresses[1], sizeof(b.addresses[1]), "%s", cases[i].other);
        b.address_count = 2;
        ruleset_add_node(&rig.next, &a);
        ruleset_add_node(&rig.next, &b);
        assert_int_equal(change(&error), cases[i].code);
        if (cases[i].code)
            assert_string_equal(error.place, "nodes[1].addresses[1]");
        ruleset_remove_node(&rig.next, "a");
        ruleset_remove_node(&rig.next, "b");
    }
}

static void connections_live_through_other_changes(void **state)
{
    (void)state;
    int client, server;
    char byte;
    start_with_route();
    open_pair("r", &client, &server);
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof(name), "r%d", i);
        add_route(name, "127.0.0.1:0");
        add_partition(name, "n2", "n1");
        must_change();
        echo(client, server);
    }
    ruleset_find_route(&rig.next, "r")->enabled = false;
    must_change();
    struct address address;
    assert_false(listening("r", &address));
    assert_int_equal(await_read(client, &byte), -1);
    assert_int_equal(errno, ECONNRESET);
    close(client);
    close(server);
}

static void a_renamed_route_keeps_its_address(void **state)
{
    (void)state;
    struct address before, after;
    char text[ADDRESS_TEXT_MAX];
    int client, server;
    start_with_route();
    assert_true(listening("r", &before));
    ruleset_remove_route(&rig.next, "r");
    must_change();
    add_route("r", address_format(&before, text));
    must_change();
    ruleset_remove_route(&rig.next, "r");
    add_route("renamed", text); /* in one step */
    must_change();
    assert_false(listening("r", &after));
    assert_true(listening("renamed", &after));
    assert_int_equal(address_port(&after), address_port(&before));
    open_pair("renamed", &client, &server);
    echo(client, server);
    close(client);
    close(server);
}

static void a_unix_route_leaves_no_file(void **state)
{
    (void)state;
    char listen[128], path[100], text[ADDRESS_TEXT_MAX];
    int client, server;
    add_node("n1");
    add_node("n2");
    snprintf(path, sizeof(path), "%s/socket", rig.directory);
    snprintf(listen, sizeof(listen), "unix:%s", path);
    /* a file that a killed process left is in nobody's way; another kind of file is */
    struct address address;
    assert_int_equal(address_parse(listen, &address, NULL), 0);
    close(socket_listen(&address, false, NULL, NULL));
    add_route("u", listen);
    must_change();
    assert_string_equal(rig.api.route_listening(rig.backend, "u", text), listen);
    open_pair("u", &client, &server);
    echo(client, server);
    close(client);
    close(server);
    ruleset_remove_route(&rig.next, "u");
    must_change();
    assert_int_equal(access(path, F_OK), -1);
    struct error error = {0};
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    add_route("u", listen);
    assert_int_equal(change(&error), -EADDRINUSE);
    assert_int_equal(unlink(path), 0); /* it was left alone */
}

static void counters_belong_to_names(void **state)
{
    (void)state;
    struct api_link_state link;
    int client, server;
    start_with_route();
    add_latency("l", "n1", "n2");
    must_change();
    open_pair("r", &client, &server);
    for (int i = 0; i < 5; i++)
        echo(client, server);
    uint64_t deadline_ns = monotonic_now_ns() + PATIENCE_NS;
    do {
        rig.api.link_state(rig.backend, "n1", "n2", &link);
        assert_true(monotonic_now_ns() < deadline_ns);
    } while (link.bytes < 5);
    assert_int_equal(link.connections, 1);
    assert_int_equal(rig.api.fault_touched(rig.backend, "l"), 5);
    close(client);
    close(server);
    /* n2 goes, n3 may get its slot: it starts from nothing, whatever slot it gets */
    for (int i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof(name), "m%d", i);
        ruleset_remove_fault(&rig.next, "l");
        ruleset_remove_route(&rig.next, "r");
        ruleset_remove_node(&rig.next, i ? "m0" : "n2");
        must_change();
        add_node(name);
        add_latency("l", "n1", name);
        must_change();
        rig.api.link_state(rig.backend, "n1", name, &link);
        assert_int_equal(link.bytes + link.units + link.connections, 0);
        assert_int_equal(rig.api.fault_touched(rig.backend, "l"), 0);
        ruleset_remove_fault(&rig.next, "l");
        if (i) {
            ruleset_remove_node(&rig.next, name);
            add_node("m0");
        }
        must_change();
    }
    rig.api.link_state(rig.backend, "n1", "nobody", &link);
    assert_int_equal(link.bytes, 0);
    assert_int_equal(rig.api.fault_touched(rig.backend, "nothing"), 0);
}

static int64_t page_offset(const char *node)
{
    struct clock_page page;
    int fd = open(rig.api.clock_page(rig.backend, node), O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, &page, sizeof(page)), sizeof(page));
    close(fd);
    assert_int_equal(page.magic, CLOCK_PAGE_MAGIC);
    return clock_page_read(&page).offset_ns;
}

static void clocks_follow_the_ruleset(void **state)
{
    (void)state;
    start_with_route();
    struct ruleset_clock clock = {.node = "n1", .offset_ns = 2000000};
    assert_int_equal(page_offset("n1"), 0);
    ruleset_set_clock(&rig.next, &clock);
    must_change();
    assert_int_equal(page_offset("n1"), 2000000);
    assert_int_equal(page_offset("n2"), 0);
    clock.offset_ns = 0;
    ruleset_set_clock(&rig.next, &clock);
    must_change();
    assert_int_equal(page_offset("n1"), 0);
    assert_string_equal(rig.api.clock_page(rig.backend, "nobody"), "");
}

static void what_a_fault_does_is_said(void **state)
{
    (void)state;
    start_with_route();
    struct ruleset_fault loss = {.type = RULESET_LOSS, .link = {"n1", "n2"}};
    struct ruleset_fault latency = {.type = RULESET_LATENCY, .link = {"n1", "n2"}};
    assert_string_equal(rig.api.fault_applied(rig.backend, &latency), "all routes");
    assert_non_null(strstr(rig.api.fault_applied(rig.backend, &loss), "nothing"));
    snprintf(loss.route, sizeof(loss.route), "r");
    assert_non_null(strstr(rig.api.fault_applied(rig.backend, &loss), "nothing"));
    rig.next.routes[0].protocol = RULESET_UDP;
    must_change();
    assert_string_equal(rig.api.fault_applied(rig.backend, &loss), "the route");
    assert_non_null(strstr(rig.api.fault_applied(rig.backend, &latency), "all routes"));
}

static void the_status_is_filled(void **state)
{
    (void)state;
    struct api_status status;
    int client, server;
    start_with_route();
    struct ruleset_fault fault = {.name = "l", .type = RULESET_LATENCY, .link = {"n1", "n2"}};
    fault.latency.delay_ns = NS_PER_MS;
    ruleset_add_fault(&rig.next, &fault);
    must_change();
    open_pair("r", &client, &server);
    for (int i = 0; i < 20; i++)
        echo(client, server);
    rig.api.status(rig.backend, &status);
    assert_int_equal(status.workers, 2);
    assert_int_equal(status.connections_open, 1);
    assert_int_equal(status.connections_total, 1);
    assert_true(status.uptime_ns > 0);
    assert_true(status.lateness_count >= 20);
    assert_true(status.lateness_p50_ns > 0);
    assert_true(status.lateness_p50_ns <= status.lateness_p99_ns);
    assert_true(status.lateness_p99_ns <= status.lateness_p999_ns);
    assert_string_equal(status.clock_directory, rig.directory);
    close(client);
    close(server);
}

static int compare_times(const void *a, const void *b)
{
    const uint64_t *time_a = a, *time_b = b;
    return (*time_a > *time_b) - (*time_a < *time_b);
}

/* 100 nodes, 200 open connections: how long until a split is in force on all workers. */
static void a_split_of_a_hundred_nodes_is_quick(void **state)
{
    (void)state;
    enum { NODES = 100, LINKS = NODES * NODES / 2, PAIRS = 200, SPLITS = 21, MEDIAN = SPLITS / 2 };
    static char node_names[NODES][8];
    const char *names[NODES];
    int clients[PAIRS], servers[PAIRS];
    uint64_t changes[SPLITS], publishes[SPLITS];
    for (int i = 0; i < NODES; i++) {
        snprintf(node_names[i], sizeof(node_names[i]), "n%d", i);
        names[i] = node_names[i];
        add_node(names[i]);
    }
    add_route("r", "127.0.0.1:0");
    add_route("q", "127.0.0.1:0");
    must_change();
    for (int i = 0; i < PAIRS; i++)
        open_pair(i % 2 ? "r" : "q", &clients[i], &servers[i]);
    struct ruleset_group groups[2] = {{names, NODES / 2}, {names + NODES / 2, NODES / 2}};
    for (int i = 0; i < SPLITS; i++) {
        struct ruleset_partition split = {.name = "split"};
        assert_int_equal(ruleset_partition_split(&rig.next, groups, 2, &split, NULL), 0);
        ruleset_add_partition(&rig.next, &split);
        ruleset_partition_free(&split);
        struct error error = {0};
        uint64_t begin_ns = monotonic_now_ns();
        assert_int_equal(rig.api.change(rig.backend, &rig.next, "tester", &error), 0);
        changes[i] = monotonic_now_ns() - begin_ns;
        publishes[i] = backend_publish_ns(rig.backend);
        assert_true(ruleset_remove_partition(&rig.next, "split"));
        must_change();
    }
    qsort(changes, SPLITS, sizeof(changes[0]), compare_times);
    qsort(publishes, SPLITS, sizeof(publishes[0]), compare_times);
    print_message("split of %d nodes (%d links), %d connections: change %.2f ms, of which "
                  "publishing %.3f ms (medians; worst %.2f and %.3f)\n",
                  NODES, LINKS, PAIRS, (double)changes[MEDIAN] / 1e6,
                  (double)publishes[MEDIAN] / 1e6, (double)changes[SPLITS - 1] / 1e6,
                  (double)publishes[SPLITS - 1] / 1e6);
    assert_true(publishes[MEDIAN] < 100 * NS_PER_MS);
    for (int i = 0; i < PAIRS; i++) {
        close(clients[i]);
        close(servers[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_rig, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(versions_go_up_by_one),
        TEST(who_and_when_are_kept),
        TEST(a_refused_change_changes_nothing),
        TEST(bad_routes_are_refused_with_their_place),
        TEST(bad_matches_are_refused_with_their_place),
        TEST(a_route_may_be_written_with_the_port_it_got),
        TEST(an_address_belongs_to_one_node),
        TEST(connections_live_through_other_changes),
        TEST(a_renamed_route_keeps_its_address),
        TEST(a_unix_route_leaves_no_file),
        TEST(counters_belong_to_names),
        TEST(clocks_follow_the_ruleset),
        TEST(what_a_fault_does_is_said),
        TEST(the_status_is_filled),
        TEST(a_split_of_a_hundred_nodes_is_quick),
    };
    return cmocka_run_group_tests_name("proxy/daemon backend", tests, NULL, NULL);
}
