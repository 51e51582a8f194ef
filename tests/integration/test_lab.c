/* Labs as a person has them: severd, severctl, real programs in nodes. What they leave behind:
 * test_lab_ends. */
#include "tests/lib/test.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include "tests/integration/lab_fixture.h"
#include "tests/integration/net.h"

/* A counter of a link, such as "units" or "cut" (of dropped). */
static int64_t count(struct fixture *fixture, const char *name, const char *counter)
{
    json_t *answer = severd_ask(&fixture->severd, "GET", "/v1/links", NULL), *link;
    int64_t value = -1;
    size_t index;
    json_array_foreach(json_object_get(answer, "links"), index, link)
    {
        if (strcmp(json_string_value(json_object_get(link, "link")), name) != 0)
            continue;
        json_t *found = json_object_get(link, counter);
        if (!found)
            found = json_object_get(json_object_get(link, "dropped"), counter);
        value = json_integer_value(found);
    }
    json_decref(answer);
    assert_true(value >= 0);
    return value;
}

static void tcp_and_icmp_cross_over_both_families(void **state)
{
    struct fixture *fixture = *state;
    static const char *const hosts[] = {"n2", "10.77.0.2", "fd77::2"};
    struct child server, client;
    must(fixture, "lab up 3");
    start_server(fixture, &server, "n2");
    for (size_t i = 0; i < 3; i++) {
        char role[64];
        snprintf(role, sizeof(role), "talk %s 2379 %d", hosts[i], PATIENCE_MS);
        start(fixture, &client, "n1", role);
        hear(&client, "connected");
        child_write(&client, "1\n200000\n");
        hear(&client, "echoed");
        hear(&client, "echoed");
        assert_int_equal(child_finish(&client, NULL), 0);
        assert_int_equal(ping(fixture, "n3", hosts[i]), 5);
    }
    net_await(count(fixture, "n1->n2", "bytes") > 600000);
    net_await(count(fixture, "n3->n2", "units") >= 15);
    assert_int_equal(count(fixture, "n3->n1", "cut"), 0);
    child_kill(&server);
}

static void a_cut_is_silence_and_a_heal_goes_on(void **state)
{
    struct fixture *fixture = *state;
    struct child server, stubborn, impatient, late;
    must(fixture, "lab up 3");
    start_server(fixture, &server, "n2");
    start(fixture, &stubborn, "n1", "talk n2 2379 60000"); /* twice the cut, if need be */
    start(fixture, &impatient, "n1", "talk 10.77.0.2 2379 20000 800");
    hear(&stubborn, "connected");
    hear(&impatient, "connected");
    must(fixture, "cut n1 n2");
    child_write(&stubborn, "1000\n");
    child_write(&impatient, "1000\n");
    start(fixture, &late, "n1", "talk n2 2379 600");
    hear(&late, "failed silence");
    child_finish(&late, NULL);
    hear(&impatient, "failed ETIMEDOUT");
    net_await(count(fixture, "n1->n2", "cut") > 3);
    assert_int_equal(ping_in_vain(fixture, "n1", "n2"), 0);
    assert_int_equal(ping(fixture, "n1", "n3"), 5);
    must(fixture, "heal");
    hear(&stubborn, "echoed");
    assert_int_equal(child_finish(&stubborn, NULL), 0);
    child_finish(&impatient, NULL);
    child_kill(&server);
}

static void a_cut_one_way_is_one(void **state)
{
    struct fixture *fixture = *state;
    must(fixture, "lab up 2");
    assert_int_equal(ping(fixture, "n1", "n2"), 5); /* neighbours are known */
    must(fixture, "cut n1->n2");
    int64_t there = count(fixture, "n1->n2", "units"), back = count(fixture, "n2->n1", "units");
    assert_int_equal(ping_in_vain(fixture, "n2", "n1"), 0); /* requests arrive, answers do not */
    net_await(count(fixture, "n2->n1", "units") >= back + 5);
    net_await(count(fixture, "n1->n2", "cut") >= 5);
    assert_int_equal(count(fixture, "n2->n1", "cut"), 0);
    assert_int_equal(count(fixture, "n1->n2", "units"), there);
}

static void loss_makes_tcp_send_again(void **state)
{
    struct fixture *fixture = *state;
    struct child server, client;
    char line[64];
    unsigned long long us, retransmits = 0;
    must(fixture, "lab up 2");
    start_server(fixture, &server, "n2");
    start(fixture, &client, "n1", "talk n2 2379 60000");
    hear(&client, "connected");
    must(fixture, "loss n1->n2 10%");
    child_write(&client, "500000\n");
    assert_true(child_read_line(&client, line, sizeof(line)));
    assert_int_equal(sscanf(line, "echoed %llu %llu", &us, &retransmits), 2);
    net_await(count(fixture, "n1->n2", "loss") > 5);
    assert_true(retransmits > 0);
    child_finish(&client, NULL);
    child_kill(&server);
}

/* Once: what is later than that is so only because of the machine, and then not always. */
static void latency_is_added_to_each_way(void **state)
{
    enum { LEAST_US = 80000, MOST_US = 400000, TRIES = 30 };
    struct fixture *fixture = *state;
    struct child server, client;
    uint64_t us = UINT64_MAX;
    must(fixture, "lab up 2");
    start_server(fixture, &server, "n2");
    must(fixture, "delay n1 n2 40ms");
    start(fixture, &client, "n1", "talk n2 2379 25000");
    assert_true(hear(&client, "connected") >= LEAST_US);
    for (int i = 0; i < TRIES && us > MOST_US; i++) {
        child_write(&client, "1\n");
        us = hear(&client, "echoed");
        assert_true(us >= LEAST_US);
    }
    assert_true(us <= MOST_US);
    child_finish(&client, NULL);
    child_kill(&server);
}

static void reject_refuses(void **state)
{
    struct fixture *fixture = *state;
    struct child server, client;
    must(fixture, "lab up 2");
    start_server(fixture, &server, "n2");
    must(fixture, "reject n1->n2");
    start(fixture, &client, "n1", "talk n2 2379 25000");
    hear(&client, "failed ECONNREFUSED");
    child_finish(&client, NULL);
    net_await(count(fixture, "n1->n2", "reject") > 0);
    child_kill(&server);
}

static void nodes_come_and_go_while_others_talk(void **state)
{
    struct fixture *fixture = *state;
    struct child server, client, gone;
    struct text output = {0};
    must(fixture, "lab up 3");
    start_server(fixture, &server, "n2");
    start(fixture, &client, "n1", "talk n2 2379 25000");
    hear(&client, "connected");
    start(fixture, &gone, "n3", "sleep");
    hear(&gone, "ready");
    for (int i = 0; i < 3; i++) {
        child_write(&client, "2000000\n");
        must(fixture, "lab add n4");
        child_write(&client, "1\n");
        assert_int_equal(ping(fixture, "n4", "n1"), 5);
        must(fixture, "lab remove n4");
        hear(&client, "echoed");
        hear(&client, "echoed");
    }
    must(fixture, "lab remove n3");
    child_finish(&gone, &output); /* what ran there has ended, and its severctl with it */
    assert_int_equal(ctl(fixture, &output, "lab exec n3 -- true"), 1);
    assert_non_null(strstr(text_get(&output), "no node 'n3'"));
    assert_int_equal(ctl(fixture, &output, "nodes remove n2"), 1);
    assert_non_null(strstr(text_get(&output), "severctl lab remove n2"));
    child_write(&client, "1\n");
    hear(&client, "echoed");
    child_finish(&client, NULL);
    child_kill(&server);
    text_free(&output);
}

static void a_port_of_the_host_reaches_a_node(void **state)
{
    struct fixture *fixture = *state;
    struct child server;
    char byte = 'x', wanted[64];
    struct text output = {0};
    must(fixture, "lab up 2");
    start_server(fixture, &server, "n1");
    assert_int_equal(ctl(fixture, &output, "lab port n1 2379"), 0);
    const char *colon = strchr(text_get(&output), ':');
    assert_non_null(colon);
    int port = (int)strtol(colon + 1, NULL, 10);
    int fd = net_start_connect(port);
    net_wait(fd, POLLOUT);
    assert_int_equal(send(fd, &byte, 1, MSG_NOSIGNAL), 1);
    net_wait(fd, POLLIN);
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    must(fixture, "cut gateway n1");
    assert_int_equal(send(fd, &byte, 1, MSG_NOSIGNAL), 1);
    assert_false(net_is_ready(fd, POLLIN, 300));
    must(fixture, "heal");
    net_wait(fd, POLLIN);
    close(fd);
    snprintf(wanted, sizeof(wanted), "lab port remove 127.0.0.1:%d", port);
    must(fixture, wanted);
    fd = net_start_connect(port);
    net_wait(fd, POLLIN); /* refused */
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    close(fd);
    child_kill(&server);
    text_free(&output);
}

static void connections_show_which_cut_holds_them(void **state)
{
    struct fixture *fixture = *state;
    struct child server, client, late;
    struct text output = {0};
    must(fixture, "lab up 2");
    start_server(fixture, &server, "n2");
    start(fixture, &client, "n1", "talk 10.77.0.2 2379 60000");
    hear(&client, "connected");
    must(fixture, "cut n1->n2");
    start(fixture, &late, "n1", "talk fd77::2 2379 60000");
    child_write(&client, "1\n");
    net_await(ctl(fixture, &output, "lab connections") == 0 &&
              strstr(text_get(&output), "syn-sent"));
    json_t *answer = severd_ask(&fixture->severd, "GET", "/v1/lab/connections", NULL), *c;
    size_t index, seen = 0;
    json_array_foreach(json_object_get(answer, "connections"), index, c)
    {
        bool near = strcmp(json_string_value(json_object_get(c, "node")), "n1") == 0;
        assert_string_equal(json_string_value(json_object_get(c, "to")), near ? "n2" : "n1");
        assert_string_equal(json_string_value(json_object_get(c, "cut")), near ? "out" : "in");
        seen++;
    }
    assert_int_equal(seen, 3);
    json_decref(answer);
    child_kill(&client);
    child_kill(&late);
    child_kill(&server);
    text_free(&output);
}

static void exec_is_as_any_command(void **state)
{
    struct fixture *fixture = *state;
    struct text output = {0};
    struct child child;
    must(fixture, "lab up 1");
    assert_int_equal(ctl(fixture, &output, "lab exec n1 -- sh -c exit\t7"), 7);
    assert_int_equal(ctl(fixture, &output, "lab exec n1 -- hostname"), 0);
    assert_string_equal(text_get(&output), "n1\n");
    assert_int_equal(ctl(fixture, &output, "lab exec n1 -- /nowhere"), 127);
    assert_int_equal(ctl(fixture, &output, "lab exec n2 -- true"), 1);
    assert_int_equal(ctl(fixture, &output, "lab exec n1"), 2);
    start(fixture, &child, "n1", "sleep");
    hear(&child, "ready");
    assert_int_equal(kill(child.pid, SIGTERM), 0); /* handed on */
    assert_int_equal(child_finish(&child, NULL), 128 + SIGTERM);
    text_free(&output);
}

static void a_clock_reaches_what_runs_in_a_node(void **state)
{
    struct fixture *fixture = *state;
    struct text output = {0};
    must(fixture, "lab up 2");
    must(fixture, "clock n1 +10h");
    int64_t now = wall_now_ns() / (int64_t)NS_PER_S;
    assert_int_equal(ctl(fixture, &output, "lab exec n1 -- date +%s"), 0);
    assert_in_range(strtol(text_get(&output), NULL, 10), now + 36000, now + 36000 + 60);
    assert_int_equal(ctl(fixture, &output, "lab exec n2 -- date +%s"), 0);
    assert_in_range(strtol(text_get(&output), NULL, 10), now, now + 60);
    text_free(&output);
}

static void two_labs_do_not_know_each_other(void **state)
{
    struct fixture *one = *state, other = {0};
    struct child server;
    other = *one;
    start_severd(&other);
    must(one, "lab up 2");
    must(&other, "lab up 2");
    start_server(&other, &server, "n2"); /* in the one nobody listens */
    must(one, "cut n1 n2");
    assert_int_equal(ping_in_vain(one, "n1", "n2"), 0);
    assert_int_equal(ping(&other, "n1", "n2"), 5);
    must(one, "lab down");
    assert_int_equal(ping(&other, "n1", "n2"), 5);
    child_kill(&server);
    severd_stop(&other.severd);
}

static void a_lab_may_do_without_ipv6(void **state)
{
    struct fixture *fixture = *state;
    struct text output = {0};
    must(fixture, "lab up 2 --subnet6 none");
    assert_int_equal(ctl(fixture, &output, "lab status --json"), 0);
    assert_non_null(strstr(text_get(&output), "\"subnet6\": null"));
    assert_int_equal(ctl(fixture, &output, "lab exec n1 -- ip -6 address show dev eth0"), 0);
    assert_null(strstr(text_get(&output), "inet6"));
    assert_int_equal(ping(fixture, "n1", "n2"), 5);
    text_free(&output);
}

/* What would tell of IPv6 is not there. (Each namespace has a /proc/sys/net/ipv6 of its own.) */
static void become_one_without_ipv6(struct severd *severd)
{
    (void)severd;
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("tmpfs", "/proc/sys", "tmpfs", 0, NULL))
        _exit(126);
}

static void become_nobody_without_ipv6(struct severd *severd)
{
    become_one_without_ipv6(severd);
    become_nobody(severd);
}

/* Where the machine has no IPv6 a lab has none, and says so; one that must have it is refused. */
static void a_machine_without_ipv6_has_labs(void **state)
{
    struct fixture *fixture = *state;
    struct text output = {0};
    if (geteuid() != 0)
        skip();
    severd_stop(&fixture->severd);
    launch(fixture, fixture->as_nobody ? become_nobody_without_ipv6 : become_one_without_ipv6);
    assert_int_equal(ctl(fixture, &output, "lab up 2 --subnet6 fd01::/64"), 1);
    assert_non_null(strstr(text_get(&output), "has no IPv6"));
    assert_int_equal(ctl(fixture, &output, "lab up 2"), 0);
    assert_non_null(strstr(text_get(&output), "IPv4 only"));
    assert_int_equal(ping(fixture, "n1", "n2"), 5);
    text_free(&output);
}

/* What the caller has open by accident is not the node's. */
static void exec_hands_on_no_other_descriptor(void **state)
{
    struct fixture *fixture = *state;
    struct text output = {0};
    must(fixture, "lab up 1");
    int leaked = fcntl(STDERR_FILENO, F_DUPFD, 77);
    assert_true(leaked >= 77);
    assert_int_equal(ctl(fixture, &output, "lab exec n1 -- ls /proc/self/fd"), 0);
    assert_string_equal(text_get(&output), "0\n1\n2\n3\n"); /* 3: of ls */
    close(leaked);
    text_free(&output);
}

static void what_is_no_node_is_said_to_be_none(void **state)
{
    struct fixture *fixture = *state;
    struct text output = {0};
    assert_int_equal(ctl(fixture, &output, "lab up n1 localhost"), 1);
    assert_non_null(strstr(text_get(&output), "means the loopback address"));
    must(fixture, "lab up 2");
    assert_int_equal(ctl(fixture, &output, "capture n1 n99 --duration 1s"), 1);
    assert_non_null(strstr(text_get(&output), "'n99' is no node of the lab"));
    assert_int_equal(ctl(fixture, &output, "capture n99 --duration 1s"), 1);
    assert_non_null(strstr(text_get(&output), "'n99' is no node of the lab"));
    text_free(&output);
}

static void without_severd_it_says_how_to_start_one(void **state)
{
    struct fixture fixture = *(struct fixture *)*state;
    struct text output = {0};
    const char *environment[] = {"SEVER_URL=unix:/nowhere/severd", NULL};
    memcpy(fixture.environment, environment, sizeof(environment));
    assert_int_equal(ctl(&fixture, &output, "lab up 3"), 3);
    assert_non_null(strstr(text_get(&output), "start one"));
    text_free(&output);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return role_main(argc, argv);
    const struct CMUnitTest tests[] = {
        LAB_TEST(tcp_and_icmp_cross_over_both_families),
        LAB_TEST(a_cut_is_silence_and_a_heal_goes_on),
        LAB_TEST(a_cut_one_way_is_one),
        LAB_TEST(loss_makes_tcp_send_again),
        LAB_TEST(latency_is_added_to_each_way),
        LAB_TEST(reject_refuses),
        LAB_TEST(nodes_come_and_go_while_others_talk),
        LAB_TEST(a_port_of_the_host_reaches_a_node),
        LAB_TEST(connections_show_which_cut_holds_them),
        LAB_TEST(exec_is_as_any_command),
        LAB_TEST(a_clock_reaches_what_runs_in_a_node),
        LAB_TEST(two_labs_do_not_know_each_other),
        LAB_TEST(a_lab_may_do_without_ipv6),
        LAB_TEST(a_machine_without_ipv6_has_labs),
        LAB_TEST(exec_hands_on_no_other_descriptor),
        LAB_TEST(what_is_no_node_is_said_to_be_none),
        LAB_TEST(without_severd_it_says_how_to_start_one),
    };
    return cmocka_run_group_tests_name("integration/lab", tests, NULL, NULL);
}
