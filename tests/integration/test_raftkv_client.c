/* raftkv and one client that asks for much: a single node, and what it costs it. */
#include "tests/lib/test.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "tests/integration/raftkv.h"
#include "tests/lib/child.h"
#include "tests/lib/files.h"

enum {
    PATIENCE_S = 20,
    MEMORY_MAX_KIB = 200 << 10 /* of a node, whatever one client does */
};

static char program[512], directory[64], host[32];
static struct child node;

static int set_up(void **state)
{
    (void)state;
    static unsigned turn;
    unsigned id = (unsigned)getpid() + turn++;
    snprintf(host, sizeof(host), "127.89.%u.%u", id / 250 % 250, id % 250 + 1);
    snprintf(directory, sizeof(directory), "/tmp/raftkv-XXXXXX");
    assert_non_null(mkdtemp(directory));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    child_kill(&node);
    files_remove_folder(directory);
    return 0;
}

static int dial(void)
{
    uint64_t end = monotonic_now_ns() + PATIENCE_S * NS_PER_S;
    int fd;
    while ((fd = raftkv_dial(host, PATIENCE_S)) < 0) {
        assert_true(monotonic_now_ns() < end);
        monotonic_sleep_until(monotonic_now_ns() + 5 * NS_PER_MS);
    }
    return fd;
}

/* peers: NULL for a cluster of one. */
static void start_node(const char *peers)
{
    const char *argv[] = {program,
                          "--id",
                          "n1",
                          "--data",
                          directory,
                          "--bind",
                          host,
                          "--election-timeout",
                          peers ? "2s" : "300ms",
                          peers ? "--peers" : NULL,
                          peers,
                          NULL};
    /* AddressSanitizer keeps freed memory, 256 MiB of it, which is not what is measured here */
    const char *options = getenv("ASAN_OPTIONS");
    char sanitizer[512];
    snprintf(sanitizer, sizeof(sanitizer), "ASAN_OPTIONS=%s:quarantine_size_mb=16",
             options ? options : "");
    const char *environment[] = {sanitizer, NULL};
    child_start(&node, argv, environment);
    close(dial());
}

static void expect(int fd, const char *wanted)
{
    char got[64] = "";
    size_t length = strlen(wanted);
    assert_int_equal(recv(fd, got, length, MSG_WAITALL), length);
    assert_string_equal(got, wanted);
}

static void send_all(int fd, const char *bytes)
{
    assert_int_equal(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL), strlen(bytes));
}

static void write_set(struct text *text, size_t length)
{
    text_append(text, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%zu\r\n", length);
    for (size_t i = 0; i < length; i++)
        text_append_bytes(text, "v", 1);
    text_append(text, "\r\n");
}

static void await_leader(void)
{
    uint64_t end = monotonic_now_ns() + PATIENCE_S * NS_PER_S;
    bool leads = false;
    while (!leads) {
        char info[4096] = "";
        int fd = dial();
        assert_true(monotonic_now_ns() < end);
        send_all(fd, "INFO\r\nQUIT\r\n");
        for (size_t length = 0; length < sizeof(info) - 1;) {
            ssize_t got = recv(fd, info + length, sizeof(info) - 1 - length, 0);
            if (got <= 0)
                break;
            length += (size_t)got;
        }
        close(fd);
        leads = strstr(info, "role:leader");
        if (!leads)
            monotonic_sleep_until(monotonic_now_ns() + 5 * NS_PER_MS);
    }
}

static void set_big(size_t length)
{
    struct text text = {0};
    int fd = dial();
    write_set(&text, length);
    send_all(fd, text_get(&text));
    expect(fd, "+OK\r\n");
    text_free(&text);
    close(fd);
}

/* The most memory that the node has had. */
static void check_memory(void)
{
    char path[64], line[256];
    unsigned long peak = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)node.pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        if (strncmp(line, "VmHWM:", 6) == 0)
            peak = strtoul(line + 6, NULL, 10);
    fclose(file);
    print_message("the node had at most %lu KiB\n", peak);
    assert_in_range(peak, 1, MEMORY_MAX_KIB);
}

struct pipeline {
    int fd;
    unsigned count;
    const char *command; /* with its end of line */
};

/* The command, count times, and QUIT. NULL when not all could be sent. */
static void *send_pipeline(void *context)
{
    struct pipeline *pipeline = context;
    ssize_t length = (ssize_t)strlen(pipeline->command);
    bool whole = true;
    for (unsigned i = 0; i < pipeline->count && whole; i++)
        whole = send(pipeline->fd, pipeline->command, (size_t)length, MSG_NOSIGNAL | MSG_MORE) ==
                length;
    whole = whole && send(pipeline->fd, "QUIT\r\n", 6, MSG_NOSIGNAL) == 6;
    return whole ? pipeline : NULL;
}

/* How many bytes come until the node hangs up. */
static size_t read_all(int fd)
{
    static char room[1 << 20];
    size_t length = 0;
    ssize_t got;
    while ((got = recv(fd, room, sizeof(room), 0)) > 0)
        length += (size_t)got;
    assert_int_equal(got, 0);
    return length;
}

/* Sends from a thread of its own and reads everything; the bytes of the answers. */
static size_t run_pipeline(int fd, unsigned count, const char *command)
{
    pthread_t sender;
    void *sent;
    struct pipeline pipeline = {fd, count, command};
    assert_int_equal(pthread_create(&sender, NULL, send_pipeline, &pipeline), 0);
    size_t length = read_all(fd);
    shutdown(fd, SHUT_RDWR); /* releases the sender if it waits */
    assert_int_equal(pthread_join(sender, &sent), 0);
    assert_non_null(sent);
    return length;
}

/* --------------------------------------------------------------------------------- tests --- */

/* Hundreds of megabytes of answers to one connection: its output stops its input over and over. */
static void a_long_pipeline_comes_to_its_end(void **state)
{
    (void)state;
    enum { VALUE = 16500, COUNT = 20480 };
    start_node(NULL);
    await_leader();
    set_big(VALUE);
    int fd = dial();
    assert_int_equal(run_pipeline(fd, COUNT, "GET big\r\n"),
                     (size_t)COUNT * (strlen("$16500\r\n") + VALUE + 2) + strlen("+OK\r\n"));
    close(fd);
    check_memory();
}

/* A gigabyte of answers, asked for with 9 KiB. */
static void unread_answers_have_a_bound(void **state)
{
    (void)state;
    enum { VALUE = 1 << 20, COUNT = 1024 };
    char first;
    start_node(NULL);
    await_leader();
    set_big(VALUE);
    int fd = dial(), other = dial();
    struct pipeline pipeline = {fd, COUNT, "GET big\r\n"};
    assert_non_null(send_pipeline(&pipeline));
    assert_int_equal(recv(fd, &first, 1, MSG_PEEK), 1);
    send_all(other, "PING\r\n"); /* others are served */
    expect(other, "+PONG\r\n");
    check_memory();
    assert_int_equal(read_all(fd),
                     (size_t)COUNT * (strlen("$1048576\r\n") + VALUE + 2) + strlen("+OK\r\n"));
    check_memory();
    close(fd);
    close(other);
}

/* Without a leader, writes wait until their time is over, and so does what comes after them. */
static void check_waiting(unsigned count, const char *command)
{
    char peers[128];
    snprintf(peers, sizeof(peers), "n2=%s:1,n3=%s:2", host, host); /* nobody is there */
    start_node(peers);
    int fd = dial();
    send_all(fd, "SET k v\r\n");
    assert_true(run_pipeline(fd, count, command) > count);
    check_memory();
    close(fd);
}

static void waiting_writes_have_a_bound(void **state)
{
    (void)state;
    struct text command = {0};
    write_set(&command, 1 << 20);
    check_waiting(400, text_get(&command));
    text_free(&command);
}

static void answers_behind_a_write_have_a_bound(void **state)
{
    (void)state;
    check_waiting(400000, "INFO\r\n");
}

#define NODE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        NODE_TEST(a_long_pipeline_comes_to_its_end),
        NODE_TEST(unread_answers_have_a_bound),
        NODE_TEST(waiting_writes_have_a_bound),
        NODE_TEST(answers_behind_a_write_have_a_bound),
    };
    files_find_built("bin/raftkv", program, sizeof(program));
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("integration/raftkv_client", tests, NULL, NULL);
}
