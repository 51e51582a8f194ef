/* A node's port for peers, with peers and strangers played by the test. n1 is under test. */
#include "tests/lib/test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "examples/raftkv/server/frame.h"
#include "examples/raftkv/server/server.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/io/socket.h"
#include "tests/lib/files.h"

struct fixture {
    char directory[64];
    struct options options;
    struct server server;
};

static int set_up_with(void **state, const char *election_timeout)
{
    struct fixture *fixture = memory_allocate_zeroed(1, sizeof(*fixture));
    struct error error = {0};
    char host[32];
    enum options_action action;
    snprintf(host, sizeof(host), "127.89.%u.%u", (unsigned)getpid() / 250 % 250 + 1,
             (unsigned)getpid() % 250 + 1);
    snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/peer-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    const char *argv[] = {"raftkv",
                          "--id",
                          "n1",
                          "--data",
                          fixture->directory,
                          "--bind",
                          host,
                          "--peers",
                          "n2=127.0.0.1:1,n3=127.0.0.1:1",
                          "--election-timeout",
                          election_timeout};
    assert_int_equal(options_parse(sizeof(argv) / sizeof(argv[0]), (char **)(uintptr_t)argv,
                                   &fixture->options, &action, &error),
                     0);
    assert_int_equal(server_open(&fixture->server, &fixture->options, &error), 0);
    loop_turn(fixture->server.loop, 0); /* it takes the time */
    *state = fixture;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, "10s");
}

static int set_up_impatient(void **state)
{
    return set_up_with(state, "100ms");
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    server_close(&fixture->server);
    files_remove_folder(fixture->directory);
    free(fixture);
    return 0;
}

/* A connection to the port for peers that says nothing. */
static int dial(const struct fixture *fixture)
{
    struct error error = {0};
    int fd = socket_connect(&fixture->options.peer_address, NULL, &error);
    assert_true(fd >= 0);
    return fd;
}

static void say_hello(const struct fixture *fixture, int fd, const char *name)
{
    struct bytes hello = {0};
    frame_write_hello(&hello, name, fixture->server.cluster);
    assert_int_equal(send(fd, bytes_get(&hello), bytes_length(&hello), MSG_NOSIGNAL),
                     bytes_length(&hello));
    bytes_free(&hello);
}

/* Turns until fd has something to read: its acknowledgement, or (0) its end. */
static ssize_t await_bytes(struct fixture *fixture, int fd)
{
    uint8_t room[64];
    uint64_t end = monotonic_now_ns() + 5 * NS_PER_S;
    for (;;) {
        ssize_t got = recv(fd, room, sizeof(room), MSG_DONTWAIT);
        if (got >= 0)
            return got;
        if (errno == ECONNRESET)
            return 0;
        assert_int_equal(errno, EAGAIN);
        assert_true(monotonic_now_ns() < end);
        loop_turn(fixture->server.loop, monotonic_now_ns() + 5 * NS_PER_MS);
    }
}

static bool is_open(int fd)
{
    uint8_t byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void strangers_do_not_keep_peers_out(void **state)
{
    struct fixture *fixture = *state;
    int early = dial(fixture), strangers[2 * INCOMING_MAX];
    say_hello(fixture, early, "n2");
    assert_true(await_bytes(fixture, early) > 0);
    for (unsigned i = 0; i < 2 * INCOMING_MAX; i++)
        strangers[i] = dial(fixture);
    assert_int_equal(await_bytes(fixture, strangers[0]), 0); /* the oldest had to go */
    int late = dial(fixture);
    say_hello(fixture, late, "n3");
    assert_true(await_bytes(fixture, late) > 0);
    assert_true(is_open(early)); /* who has said hello stays */
    assert_true(is_open(late));
    assert_true(is_open(strangers[2 * INCOMING_MAX - 1]));
    for (unsigned i = 0; i < 2 * INCOMING_MAX; i++)
        close(strangers[i]);
    close(early);
    close(late);
}

static void who_says_nothing_is_closed_in_time(void **state)
{
    struct fixture *fixture = *state;
    int peer = dial(fixture);
    say_hello(fixture, peer, "n2");
    assert_true(await_bytes(fixture, peer) > 0);
    int stranger = dial(fixture);
    uint64_t dialled = monotonic_now_ns();
    assert_int_equal(await_bytes(fixture, stranger), 0);
    assert_true(monotonic_now_ns() - dialled >= 50 * NS_PER_MS); /* accepted at the turn's time */
    assert_true(is_open(peer));
    close(peer);
    close(stranger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strangers_do_not_keep_peers_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_says_nothing_is_closed_in_time, set_up_impatient,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("examples/raftkv/peer", tests, NULL, NULL);
}
