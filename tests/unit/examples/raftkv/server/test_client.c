/* One client that asks for much and reads little. The node under test is alone and has no Raft:
 * the test answers for it, and turns its loop. */
#include "tests/lib/test.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "examples/raftkv/server/server.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "tests/lib/files.h"

enum { VALUE = 1 << 20, PATIENCE_S = 30 };

struct fixture {
    char directory[64];
    int fd;             /* the client's end, non-blocking */
    struct bytes to_go; /* what it still has to send */
    struct bytes got;   /* what it has read and not looked at */
    struct options options;
    struct server server;
};

static int set_up(void **state)
{
    struct fixture *fixture = memory_allocate_zeroed(1, sizeof(*fixture));
    struct error error = {0};
    enum options_action action;
    snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/client-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    const char *argv[] = {"raftkv",
                          "--id",
                          "n1",
                          "--data",
                          fixture->directory,
                          "--log-level",
                          "error",
                          "--election-timeout",
                          "60s"};
    assert_int_equal(options_parse(sizeof(argv) / sizeof(argv[0]), (char **)(uintptr_t)argv,
                                   &fixture->options, &action, &error),
                     0);
    assert_int_equal(address_parse("127.0.0.1:0", &fixture->options.client_address, &error), 0);
    fixture->options.peer_address = fixture->options.client_address;
    assert_int_equal(server_open(&fixture->server, &fixture->options, &error), 0);
    struct sockaddr_in bound;
    socklen_t length = sizeof(bound);
    assert_int_equal(
        getsockname(fixture->server.client_listener.watch.fd, (struct sockaddr *)&bound, &length),
        0);
    fixture->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fixture->fd, (const struct sockaddr *)&bound, length), 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    close(fixture->fd);
    bytes_free(&fixture->to_go);
    bytes_free(&fixture->got);
    server_close(&fixture->server);
    files_remove_folder(fixture->directory);
    free(fixture);
    return 0;
}

/* ------------------------------------------------------------------------------ the client --- */

static void add_command(struct fixture *fixture, const char *words[], size_t count)
{
    bytes_append_format(&fixture->to_go, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++)
        resp_write_bulk(&fixture->to_go, words[i], strlen(words[i]));
}

/* "GET k", "PING": words without a value. */
static void add_line(struct fixture *fixture, const char *line)
{
    bytes_append_format(&fixture->to_go, "%s\r\n", line);
}

static char *make_value(size_t length)
{
    char *value = memory_allocate_zeroed(1, length + 1);
    memset(value, 'v', length);
    return value;
}

static void send_some(struct fixture *fixture)
{
    size_t length = bytes_length(&fixture->to_go);
    if (length == 0)
        return;
    ssize_t sent =
        send(fixture->fd, bytes_get(&fixture->to_go), length, MSG_NOSIGNAL | MSG_DONTWAIT);
    assert_true(sent >= 0 || errno == EAGAIN);
    if (sent > 0)
        bytes_consume(&fixture->to_go, (size_t)sent);
}

static void read_some(struct fixture *fixture)
{
    uint8_t *room = bytes_reserve(&fixture->got, 1 << 18);
    ssize_t got = recv(fixture->fd, room, 1 << 18, MSG_DONTWAIT);
    assert_true(got > 0 || (got < 0 && errno == EAGAIN));
    if (got > 0)
        bytes_commit(&fixture->got, (size_t)got);
}

/* What the next whole answer begins with, taken off; false: none is there. Its size in *length. */
static bool take_answer(struct fixture *fixture, char start[16], size_t *length)
{
    const char *bytes = (const char *)bytes_get(&fixture->got);
    size_t there = bytes_length(&fixture->got);
    const char *end = there ? memchr(bytes, '\n', there) : NULL;
    if (!end)
        return false;
    size_t whole = (size_t)(end - bytes) + 1;
    if (bytes[0] == '$')
        whole += (size_t)strtoul(bytes + 1, NULL, 10) + 2;
    if (there < whole)
        return false;
    snprintf(start, 16, "%.*s", (int)(end - bytes - 1), bytes);
    *length = whole;
    bytes_consume(&fixture->got, whole);
    return true;
}

/* ---------------------------------------------------------------------------- the server --- */

/* A turn of the loop, without Raft. */
static void turn(struct fixture *fixture)
{
    struct server *server = &fixture->server;
    send_some(fixture);
    loop_turn(server->loop, clients_flush(server) ? 0 : monotonic_now_ns() + NS_PER_MS);
    requests_settle(server);
    clients_flush(server);
}

static unsigned count_state(const struct server *server, enum request_state state)
{
    unsigned count = 0;
    for (const struct request *request = server->first_request; request; request = request->next)
        count += request->state == state;
    return count;
}

static void await_waiting(struct fixture *fixture, unsigned count)
{
    uint64_t end = monotonic_now_ns() + PATIENCE_S * NS_PER_S;
    while (count_state(&fixture->server, REQUEST_WAITING) != count) {
        assert_true(monotonic_now_ns() < end);
        turn(fixture);
    }
}

/* Reads until there is an answer. */
static size_t await_answer(struct fixture *fixture, char start[16])
{
    size_t length = 0;
    uint64_t end = monotonic_now_ns() + PATIENCE_S * NS_PER_S;
    while (!take_answer(fixture, start, &length)) {
        assert_true(monotonic_now_ns() < end);
        turn(fixture);
        read_some(fixture);
    }
    return length;
}

/* As if a leader had been asked: the steps of the core are of no interest. */
static void ask_all(struct server *server)
{
    server->status.leader = server->options->self;
    requests_submit(server, &server->actions);
    server->status.leader = RAFT_NONE;
    raft_actions_clear(&server->actions);
    assert_int_equal(server->waiting_count, 0);
}

static void grant_reads(struct server *server)
{
    ask_all(server);
    struct raft_read read = {.request = server->next_batch - 1, .granted = true};
    requests_note_read(server, &read);
}

/* The writes are answered with NOTDONE. */
static void refuse_writes(struct server *server)
{
    ask_all(server);
    while (server->first_request) {
        struct raft_proposal full = {.request = server->first_request->id,
                                     .result = RAFT_PROPOSAL_FULL};
        requests_note_proposal(server, &full);
    }
}

static void set_value(struct server *server, const char *value)
{
    struct bytes command = {0}, reply = {0};
    struct resp_argument arguments[] = {{(const uint8_t *)"k", 1},
                                        {(const uint8_t *)value, strlen(value)}};
    kv_encode(&command, KV_SET, arguments, 2);
    assert_true(kv_apply(server->kv, bytes_get(&command), bytes_length(&command), &reply));
    bytes_free(&command);
    bytes_free(&reply);
}

/* --------------------------------------------------------------------------------- tests --- */

/* A value that is set after the reads were granted is what the later ones answer: they were not
 * answered into memory before there was room. */
static void reads_are_answered_when_there_is_room(void **state)
{
    enum { READS = 64 };
    struct fixture *fixture = *state;
    struct server *server = &fixture->server;
    char *value = make_value(VALUE), start[16];
    set_value(server, value);
    for (unsigned i = 0; i < READS; i++)
        add_line(fixture, "GET k");
    await_waiting(fixture, READS);
    grant_reads(server);
    requests_settle(server);
    assert_null(server->first_request); /* no slot, no time limit */
    assert_int_equal(server->free_count, REQUESTS_MAX);
    for (unsigned i = 0; i < 1000; i++) /* the sockets' buffers fill up */
        turn(fixture);
    assert_true(server->commands_processed < READS);
    set_value(server, "new");
    unsigned old = 0;
    for (unsigned i = 0; i < READS; i++) {
        await_answer(fixture, start);
        if (old == i && strcmp(start, "$1048576") == 0)
            old++;
        else
            assert_string_equal(start, "$3");
    }
    assert_in_range(old, 1, READS - 1);
    assert_int_equal(server->commands_processed, READS);
    free(value);
}

static void a_write_waits_until_the_reads_before_it_have_left(void **state)
{
    enum { READS = 40 };
    struct fixture *fixture = *state;
    struct server *server = &fixture->server;
    char *value = make_value(VALUE), start[16];
    set_value(server, value);
    for (unsigned i = 0; i < READS; i++)
        add_line(fixture, "GET k");
    add_line(fixture, "PING");
    add_line(fixture, "SET k new");
    add_line(fixture, "PING");
    await_waiting(fixture, READS);
    grant_reads(server);
    for (unsigned i = 0; i < 1000; i++)
        turn(fixture);
    assert_null(server->first_request); /* the write has not begun */
    for (unsigned i = 0; i < READS; i++) {
        await_answer(fixture, start);
        assert_string_equal(start, "$1048576");
    }
    await_answer(fixture, start);
    assert_string_equal(start, "+PONG");
    await_waiting(fixture, 1);
    refuse_writes(server);
    await_answer(fixture, start);
    assert_memory_equal(start, "-NOTDONE", 8);
    await_answer(fixture, start);
    assert_string_equal(start, "+PONG");
    free(value);
}

static void waiting_writes_stop_the_input(void **state)
{
    enum { WRITES = 50 };
    struct fixture *fixture = *state;
    struct server *server = &fixture->server;
    char *value = make_value(VALUE), start[16];
    const char *words[] = {"SET", "k", value};
    for (unsigned i = 0; i < WRITES; i++)
        add_command(fixture, words, 3);
    unsigned answered = 0;
    while (answered < WRITES) {
        unsigned expected =
            CLIENT_BYTES_MAX / VALUE; /* the last of them is what passes the bound */
        if (expected > WRITES - answered)
            expected = WRITES - answered;
        await_waiting(fixture, expected);
        for (unsigned i = 0; i < 200; i++)
            turn(fixture);
        assert_int_equal(count_state(server, REQUEST_WAITING), expected);
        refuse_writes(server);
        for (unsigned i = 0; i < expected; i++) {
            await_answer(fixture, start);
            assert_memory_equal(start, "-NOTDONE", 8);
        }
        answered += expected;
    }
    free(value);
}

static void answers_behind_a_write_stop_the_input(void **state)
{
    enum { ECHOES = 200, LENGTH = 1 << 18 };
    struct fixture *fixture = *state;
    char *value = make_value(LENGTH), start[16];
    const char *words[] = {"ECHO", value};
    add_line(fixture, "SET k v");
    for (unsigned i = 0; i < ECHOES; i++)
        add_command(fixture, words, 2);
    for (unsigned i = 0; i < 2000; i++)
        turn(fixture);
    assert_int_equal(count_state(&fixture->server, REQUEST_WAITING), 1);
    assert_true(bytes_length(&fixture->to_go) >
                0); /* 50 MiB: 16 queued, and the sockets' buffers */
    refuse_writes(&fixture->server);
    await_answer(fixture, start);
    assert_memory_equal(start, "-NOTDONE", 8);
    for (unsigned i = 0; i < ECHOES; i++)
        assert_int_equal(await_answer(fixture, start), strlen("$262144\r\n") + LENGTH + 2);
    free(value);
}

/* Open, ready and answered requests of a client that is gone. */
static void a_client_that_goes_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = &fixture->server;
    char *value = make_value(VALUE);
    set_value(server, value);
    for (unsigned i = 0; i < 64; i++)
        add_line(fixture, i % 2 ? "GET k" : "PING");
    await_waiting(fixture, 32);
    grant_reads(server);
    turn(fixture);
    for (unsigned i = 0; i < 64; i++)
        add_line(fixture, "GET k");
    await_waiting(fixture, 64);
    shutdown(fixture->fd, SHUT_RDWR);
    close(fixture->fd);
    fixture->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint64_t end = monotonic_now_ns() + PATIENCE_S * NS_PER_S;
    while (server->client_count > 0) {
        assert_true(monotonic_now_ns() < end);
        turn(fixture);
    }
    grant_reads(server);
    requests_settle(server);
    assert_null(server->first_request);
    assert_int_equal(server->free_count, REQUESTS_MAX);
    free(value);
}

#define CLIENT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(reads_are_answered_when_there_is_room),
        CLIENT_TEST(a_write_waits_until_the_reads_before_it_have_left),
        CLIENT_TEST(waiting_writes_stop_the_input),
        CLIENT_TEST(answers_behind_a_write_stop_the_input),
        CLIENT_TEST(a_client_that_goes_leaves_nothing),
    };
    return cmocka_run_group_tests_name("examples/raftkv/client", tests, NULL, NULL);
}
