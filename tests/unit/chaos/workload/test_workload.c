/* The clients against a small register server in this process. */
#include "tests/lib/test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chaos/workload/workload.h"
#include "proxy/base/monotonic.h"

enum { CONNECTIONS_MAX = 64, KEYS = 4 };
enum mode { SERVE, REFUSE, SILENT, HANG_UP };

static struct server {
    int listener, stop_fd;
    _Atomic int mode;
    pthread_t thread;
    int fds[CONNECTIONS_MAX];
    size_t count;
    char values[KEYS][24];
    struct address address;
} server;

/* Requests arrive whole: clients send one and wait. */
static void answer(int fd, const char *request)
{
    char command[8] = "", key[8] = "", first[24] = "", second[24] = "", reply[64];
    if (atomic_load(&server.mode) == REFUSE) {
        snprintf(reply, sizeof(reply), "-NOQUORUM no majority\r\n");
    } else {
        sscanf(request, "*%*d\r\n$%*d\r\n%7s\r\n$%*d\r\n%7s\r\n$%*d\r\n%23s\r\n$%*d\r\n%23s",
               command, key, first, second);
        char *value = server.values[(size_t)(key[1] - '1') % KEYS];
        if (strcmp(command, "GET") == 0 && !*value)
            snprintf(reply, sizeof(reply), "$-1\r\n");
        else if (strcmp(command, "GET") == 0)
            snprintf(reply, sizeof(reply), "$%zu\r\n%s\r\n", strlen(value), value);
        else if (strcmp(command, "SET") == 0) {
            memcpy(value, first, sizeof(first));
            snprintf(reply, sizeof(reply), "+OK\r\n");
        } else {
            bool same = strcmp(value, first) == 0;
            if (same)
                memcpy(value, second, sizeof(second));
            snprintf(reply, sizeof(reply), ":%d\r\n", same);
        }
    }
    assert_int_equal(send(fd, reply, strlen(reply), MSG_NOSIGNAL), (ssize_t)strlen(reply));
}

static bool serve_one(int fd)
{
    char request[512];
    ssize_t n = recv(fd, request, sizeof(request) - 1, 0);
    if (n <= 0 || atomic_load(&server.mode) == HANG_UP)
        return false;
    request[n] = '\0';
    if (atomic_load(&server.mode) != SILENT)
        answer(fd, request);
    return true;
}

static void *serve(void *unused)
{
    (void)unused;
    for (;;) {
        struct pollfd fds[CONNECTIONS_MAX + 2] = {{.fd = server.listener, .events = POLLIN},
                                                  {.fd = server.stop_fd, .events = POLLIN}};
        for (size_t i = 0; i < server.count; i++)
            fds[i + 2] = (struct pollfd){.fd = server.fds[i], .events = POLLIN};
        poll(fds, server.count + 2, -1);
        if (fds[1].revents)
            return NULL;
        for (size_t i = server.count; i-- > 0;) {
            if (fds[i + 2].revents && !serve_one(server.fds[i])) {
                close(server.fds[i]);
                server.fds[i] = server.fds[--server.count];
            }
        }
        if (fds[0].revents && server.count < CONNECTIONS_MAX)
            server.fds[server.count++] = accept(server.listener, NULL, NULL);
    }
}

static int start_server(void **state)
{
    (void)state;
    memset(&server, 0, sizeof(server));
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    server.stop_fd = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(address_parse("127.0.0.1:0", &server.address, NULL), 0);
    struct sockaddr *name = (struct sockaddr *)&server.address.storage;
    if (bind(server.listener, name, server.address.length) < 0 || listen(server.listener, 64) < 0)
        return -1;
    getsockname(server.listener, name, &server.address.length);
    return pthread_create(&server.thread, NULL, serve, NULL);
}

static int stop_server(void **state)
{
    (void)state;
    eventfd_write(server.stop_fd, 1);
    pthread_join(server.thread, NULL);
    for (size_t i = 0; i < server.count; i++)
        close(server.fds[i]);
    close(server.listener);
    close(server.stop_fd);
    return 0;
}

static const char nodes[1][RULESET_NAME_MAX] = {"n1"};
static struct experiment_workload parameters = {.clients = 5,
                                                .keys = 2,
                                                .rate_per_s = 500,
                                                .weight_read = 50,
                                                .weight_write = 30,
                                                .weight_cas = 20};

static struct workload_setup setup_of(void)
{
    return (struct workload_setup){.workload = &parameters,
                                   .seed = 1,
                                   .nodes = nodes,
                                   .node_count = 1,
                                   .targets = &server.address};
}

static struct workload_counts counts_of(struct workload *workload)
{
    struct workload_counts counts;
    workload_read_counts(workload, &counts);
    return counts;
}

/* Runs until `enough` operations have been counted, or 30 s are over. What answers has time to. */
static struct history run(enum mode mode, uint64_t enough)
{
    struct workload_setup setup = setup_of();
    struct workload *workload;
    struct history history = {0};
    uint64_t start_ns;
    parameters.timeout_ns = mode == SILENT ? 100 * NS_PER_MS : 20 * NS_PER_S;
    atomic_store(&server.mode, mode);
    assert_int_equal(workload_start(&setup, &workload, &start_ns, NULL), 0);
    for (;;) {
        struct workload_counts counts = counts_of(workload);
        if (counts.ok + counts.refused + counts.unknown >= enough ||
            monotonic_now_ns() - start_ns > 30 * NS_PER_S)
            break;
        monotonic_sleep_until(monotonic_now_ns() + NS_PER_MS);
    }
    workload_stop(workload, false, &history);
    assert_true(history.count >= enough);
    return history;
}

static void a_good_server_gives_a_good_history(void **state)
{
    (void)state;
    struct history history = run(SERVE, 200);
    size_t reads = 0, cas = 0;
    for (size_t i = 0; i < history.count; i++) {
        const struct history_operation *o = &history.operations[i];
        assert_true(o->outcome == HISTORY_OK || o->outcome == HISTORY_MISMATCH);
        assert_true(o->return_ns >= o->invoke_ns && o->return_ns == o->settled_ns);
        assert_true(i == 0 || o->invoke_ns >= history.operations[i - 1].invoke_ns);
        assert_int_equal(o->process, o->client);
        reads += o->function == HISTORY_READ;
        cas += o->function == HISTORY_CAS && o->outcome == HISTORY_OK;
    }
    assert_true(reads > 50 && cas > 0);
    history_free(&history);
}

static void refusals_are_failures_and_keep_the_process(void **state)
{
    (void)state;
    struct history history = run(REFUSE, 50);
    for (size_t i = 0; i < history.count; i++) {
        assert_int_equal(history.operations[i].outcome, HISTORY_FAIL);
        assert_string_equal(history.operations[i].reason, "NOQUORUM no majority");
        assert_true(history.operations[i].process < parameters.clients);
    }
    history_free(&history);
}

static void expect_unknown_writes(const struct history *history)
{
    size_t unknown = 0;
    uint32_t last[8] = {0};
    bool retired[8] = {false};
    for (size_t i = 0; i < history->count; i++) {
        const struct history_operation *o = &history->operations[i];
        if (retired[o->client])
            assert_true(o->process > last[o->client] && o->process >= parameters.clients);
        last[o->client] = o->process;
        retired[o->client] = o->outcome == HISTORY_UNKNOWN;
        if (o->function == HISTORY_READ) {
            assert_int_equal(o->outcome, HISTORY_FAIL);
            continue;
        }
        assert_int_equal(o->outcome, HISTORY_UNKNOWN);
        assert_true(o->return_ns == HISTORY_NEVER && o->settled_ns > o->invoke_ns);
        unknown++;
    }
    assert_true(unknown > 0);
}

static void no_answer_is_unknown_and_retires_the_process(void **state)
{
    (void)state;
    struct history history = run(SILENT, 20);
    expect_unknown_writes(&history);
    history_free(&history);
    history = run(HANG_UP, 20);
    expect_unknown_writes(&history);
    history_free(&history);
}

static void a_refused_connection_did_not_happen(void **state)
{
    (void)state;
    struct address saved = server.address;
    address_set_port(&server.address, 1); /* nobody listens there */
    struct history history = run(SERVE, 20);
    for (size_t i = 0; i < history.count; i++) {
        assert_int_equal(history.operations[i].outcome, HISTORY_FAIL);
        assert_non_null(strstr(history.operations[i].reason, "refused"));
    }
    history_free(&history);
    server.address = saved;
}

/* What was never begun was due while an operation was in flight. */
static void expect_waited(const struct history *history)
{
    for (size_t i = 0; i < history->missed_count; i++) {
        bool waited = false;
        assert_string_equal(history->missed[i].node, "n1");
        for (size_t k = 0; k < history->count; k++)
            waited |= history->operations[k].invoke_ns <= history->missed[i].due_ns &&
                      history->operations[k].settled_ns > history->missed[i].due_ns;
        assert_true(waited);
    }
}

/* Clients with a slot every 10 ms against a server that hangs for 100 ms each time. */
static void slots_that_went_by_are_told(void **state)
{
    (void)state;
    struct history history = run(SILENT, 40);
    uint64_t interval_ns = parameters.clients * NS_PER_S / parameters.rate_per_s;
    uint64_t begin_ns = UINT64_MAX, end_ns = 0;
    for (size_t i = 0; i < history.count; i++) {
        const struct history_operation *o = &history.operations[i];
        begin_ns = o->invoke_ns < begin_ns ? o->invoke_ns : begin_ns;
        end_ns = o->settled_ns > end_ns ? o->settled_ns : end_ns;
    }
    assert_true(history.missed_count > 2 * history.count);
    size_t due = parameters.clients * (size_t)((end_ns - begin_ns) / interval_ns + 2);
    assert_true(history.count + history.missed_count <= due);
    expect_waited(&history);
    history_free(&history);
    history = run(SERVE, 100);
    expect_waited(&history);
    history_free(&history);
}

static void abandoning_does_not_wait_for_answers(void **state)
{
    (void)state;
    struct workload_setup setup = setup_of();
    struct workload *workload;
    struct history history = {0};
    uint64_t start_ns;
    parameters.timeout_ns = 3600 * NS_PER_S;
    atomic_store(&server.mode, SILENT);
    assert_int_equal(workload_start(&setup, &workload, &start_ns, NULL), 0);
    workload_stop(workload, true, &history);
    assert_true(monotonic_now_ns() - start_ns < 30 * NS_PER_S);
    history_free(&history);
}

static void only_an_empty_cluster_will_do(void **state)
{
    (void)state;
    struct workload_setup setup = setup_of();
    struct error error = {0};
    atomic_store(&server.mode, SERVE);
    memset(server.values, 0, sizeof(server.values));
    uint64_t soon_ns = monotonic_now_ns() + 20 * NS_PER_S;
    assert_int_equal(workload_prepare(&setup, soon_ns, server.stop_fd, &error), 0);
    memcpy(server.values[1], "17", 3);
    assert_int_equal(workload_prepare(&setup, soon_ns, server.stop_fd, &error), -EEXIST);
    assert_non_null(strstr(error.message, "k2"));
    atomic_store(&server.mode, REFUSE);
    soon_ns = monotonic_now_ns() + 100 * NS_PER_MS;
    assert_int_equal(workload_prepare(&setup, soon_ns, server.stop_fd, &error), -ETIMEDOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_good_server_gives_a_good_history, start_server,
                                        stop_server),
        cmocka_unit_test_setup_teardown(refusals_are_failures_and_keep_the_process, start_server,
                                        stop_server),
        cmocka_unit_test_setup_teardown(no_answer_is_unknown_and_retires_the_process, start_server,
                                        stop_server),
        cmocka_unit_test_setup_teardown(a_refused_connection_did_not_happen, start_server,
                                        stop_server),
        cmocka_unit_test_setup_teardown(slots_that_went_by_are_told, start_server, stop_server),
        cmocka_unit_test_setup_teardown(abandoning_does_not_wait_for_answers, start_server,
                                        stop_server),
        cmocka_unit_test_setup_teardown(only_an_empty_cluster_will_do, start_server, stop_server),
    };
    return cmocka_run_group_tests_name("workload", tests, NULL, NULL);
}
