/* A raftkv cluster behind severd, with no chaos runner between: what users wrap by hand.
 *
 *     nodes:   127.89.S.1   127.89.S.2   127.89.S.3     bind and dial from here
 *     severd:  127.89.S.101 127.89.S.102 127.89.S.103   listens here, on the client and the peer
 * port client:  127.89.S.201
 *
 * S comes from this process's id. severd or any node is killed with SIGKILL while a client writes:
 * every write that was acknowledged must be there afterwards. */
#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/address.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "tests/integration/raftkv.h"
#include "tests/lib/child.h"

enum { NODES = 3, PATIENCE_S = 20, ROUNDS = 6, WRITES_PER_ROUND = 150 };

static char folder[64], subnet[32], bin[512], ruleset_file[96], control[96];
static const char *election_timeout; /* of the nodes */
static struct child severd, nodes[NODES];

static void write_ruleset(void)
{
    struct text text = {0};
    text_append(&text, "{\"seed\": 1, \"nodes\": [");
    for (int i = 1; i <= NODES; i++)
        text_append(&text, "{\"name\": \"n%d\", \"addresses\": [\"%s.%d\"]}, ", i, subnet, i);
    text_append(&text,
                "{\"name\": \"c\", \"kind\": \"client\", \"addresses\": [\"%s.201\"]}], "
                "\"routes\": [",
                subnet);
    for (int i = 1; i <= NODES; i++)
        for (int port = 6379; port <= 16379; port += 10000)
            text_append(&text,
                        "%s{\"name\": \"n%d-%d\", \"listen\": \"%s.%d:%d\", "
                        "\"upstream\": \"%s.%d:%d\", \"to\": \"n%d\"}",
                        i == 1 && port == 6379 ? "" : ", ", i, port, subnet, 100 + i, port, subnet,
                        i, port, i);
    text_append(&text, "]}\n");
    int fd = open(ruleset_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text_get(&text), text.length), text.length);
    close(fd);
    text_free(&text);
}

/* Starts argv with its output going to folder/NAME.log, so that a full pipe stops nobody. */
static void start_logged(struct child *child, const char *name, struct text *command)
{
    struct text line = {0};
    text_append(&line, "exec %s >>%s/%s.log 2>&1", text_get(command), folder, name);
    child_start(child, (const char *const[]){"/bin/sh", "-c", text_get(&line), NULL}, NULL);
    text_free(&line);
}

static void start_severd(void)
{
    struct text command = {0};
    text_append(&command, "%s/severd --listen %s --ruleset %s --run-dir %s", bin, control,
                ruleset_file, folder);
    start_logged(&severd, "severd", &command);
    text_free(&command);
}

static void start_node(int i)
{
    struct text command = {0};
    text_append(&command,
                "%s/raftkv --id n%d --bind %s.%d -p 6379 --data %s/n%d --election-timeout %s "
                "--peers ",
                bin, i, subnet, i, folder, i, election_timeout);
    for (int j = 1; j <= NODES; j++)
        text_append(&command, "%sn%d=%s.%d:16379", j > 1 ? "," : "", j, subnet,
                    j == i ? j : 100 + j);
    start_logged(&nodes[i - 1], "node", &command);
    text_free(&command);
}

/* A connection from the client's address to the public address of node i; -1 when refused. */
static int dial(int i)
{
    struct address to, from;
    char text[ADDRESS_TEXT_MAX];
    snprintf(text, sizeof(text), "%s.%d:6379", subnet, 100 + i);
    assert_int_equal(address_parse(text, &to, NULL), 0);
    snprintf(text, sizeof(text), "%s.201", subnet);
    assert_int_equal(address_parse_host(text, &from, NULL), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from.storage, from.length), 0);
    if (connect(fd, (struct sockaddr *)&to.storage, to.length) == 0)
        return fd;
    close(fd);
    return -1;
}

/* One inline command and the first line of its answer, within a second. False: no answer. */
static bool ask(int fd, const char *command, char *line, size_t size)
{
    char request[256];
    int length = snprintf(request, sizeof(request), "%s\r\n", command);
    size_t used = 0;
    if (fd < 0 || send(fd, request, (size_t)length, MSG_NOSIGNAL) != length)
        return false;
    uint64_t end = monotonic_now_ns() + NS_PER_S;
    while (monotonic_now_ns() < end && used + 1 < size) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        if (poll(&readable, 1, 100) <= 0)
            continue;
        ssize_t got = recv(fd, line + used, 1, 0);
        if (got != 1)
            return false;
        if (line[used] == '\n') {
            line[used - 1] = '\0';
            return true;
        }
        used++;
    }
    return false;
}

static bool set_key(int *fd, int i, unsigned number)
{
    char command[64], line[256];
    snprintf(command, sizeof(command), "SET key%u value%u", number, number);
    if (*fd < 0)
        *fd = dial(i);
    bool ok = ask(*fd, command, line, sizeof(line)) && strcmp(line, "+OK") == 0;
    if (!ok && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return ok;
}

/* Until node i takes a write through severd. */
static void await_service(int i)
{
    uint64_t end = monotonic_now_ns() + PATIENCE_S * NS_PER_S;
    int fd = -1;
    while (!set_key(&fd, i, 0)) {
        if (monotonic_now_ns() > end)
            fail_msg("n%d does not serve through severd within %d s; logs in %s", i, PATIENCE_S,
                     folder);
        monotonic_sleep_until(monotonic_now_ns() + 20 * NS_PER_MS);
    }
    close(fd);
}

/* The first line of the answer to GET, of the connection *fd to node 1: asks until it has one that
 * is no error. */
static void await_header(int *fd, unsigned number, char *line, size_t size)
{
    char command[64];
    uint64_t end = monotonic_now_ns() + PATIENCE_S * NS_PER_S;
    snprintf(command, sizeof(command), "GET key%u", number);
    while (!ask(*fd, command, line, size) || line[0] == '-') {
        if (monotonic_now_ns() > end)
            fail_msg("n1 does not answer %s within %d s", command, PATIENCE_S);
        if (*fd >= 0)
            close(*fd);
        monotonic_sleep_until(monotonic_now_ns() + 20 * NS_PER_MS);
        *fd = dial(1);
    }
}

static void start_nodes(const char *timeout)
{
    election_timeout = timeout;
    for (int i = 1; i <= NODES; i++)
        start_node(i);
    for (int i = 1; i <= NODES; i++)
        await_service(i);
}

static int set_up(void **state)
{
    (void)state;
    const char *given = getenv("SEVER_BIN_DIR");
    snprintf(bin, sizeof(bin), "%s", given ? given : "build/bin");
    snprintf(subnet, sizeof(subnet), "127.89.%u", (unsigned)getpid() % 250 + 1);
    snprintf(folder, sizeof(folder), "/tmp/sever-routed-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(ruleset_file, sizeof(ruleset_file), "%s/ruleset.json", folder);
    snprintf(control, sizeof(control), "unix:%s/control.sock", folder);
    write_ruleset();
    start_severd();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++)
        child_kill(&nodes[i]);
    child_kill(&severd);
    if (getenv("SEVER_TEST_KEEP")) /* to look at the logs */
        return 0;
    return child_run((const char *const[]){"rm", "-rf", folder, NULL}, NULL, NULL, NULL);
}

/* It takes no error, so a busy machine's hiccup must not look like a leader that is gone. */
static void redis_benchmark_completes(void **state)
{
    (void)state;
    char host[64];
    start_nodes(RAFTKV_PATIENT);
    for (int i = 1; i <= NODES; i++) {
        struct text output = {0};
        snprintf(host, sizeof(host), "%s.%d", subnet, 100 + i);
        int code = child_run((const char *const[]){"redis-benchmark", "-h", host, "-t", "set,get",
                                                   "-n", "5000", "-c", "20", "-q", NULL},
                             NULL, NULL, &output);
        if (code == CHILD_NOT_FOUND)
            fail_msg("redis-benchmark is missing: install redis-tools");
        assert_int_equal(code, 0);
        const char *set = strstr(text_get(&output), "SET: "), *rate;
        for (; set && (rate = strstr(set + 1, "SET: ")); set = rate) /* the last is the result */
            continue;
        const char *get = set ? strstr(set, "GET: ") : NULL;
        for (; get && (rate = strstr(get + 1, "GET: ")); get = rate)
            continue;
        assert_non_null(get);
        print_message("n%d through severd: %.32s, %.32s\n", i, set, get);
        assert_null(strstr(text_get(&output), "Error"));
        text_free(&output);
    }
    for (int i = 0; i < NODES; i++)
        child_kill(&nodes[i]);
}

/* Writes at node `at`, kills `victim` in the middle, starts it again by `restart`. Marks what was
 * acknowledged. */
static void write_across_a_kill(int at, struct child *victim, int number, bool *acknowledged,
                                unsigned first)
{
    int fd = -1;
    for (unsigned i = 0; i < WRITES_PER_ROUND; i++) {
        if (i == WRITES_PER_ROUND / 3) {
            assert_int_equal(kill(victim->pid, SIGKILL), 0);
            child_kill(victim);
        }
        if (i == WRITES_PER_ROUND * 2 / 3) { /* a third of the writes has met the hole */
            if (number == 0)
                start_severd();
            else
                start_node(number);
            await_service(at);
        }
        acknowledged[first + i] = set_key(&fd, at, first + i);
    }
    if (fd >= 0)
        close(fd);
}

static void no_acknowledged_write_is_lost(void **state)
{
    (void)state;
    static bool acknowledged[1 + ROUNDS * WRITES_PER_ROUND];
    unsigned total = 0, first = 1;
    start_nodes("300ms");
    for (int round = 0; round < ROUNDS; round++, first += WRITES_PER_ROUND) {
        int number = round % 2 == 0 ? 0 : round / 2 + 1; /* severd, n1, severd, n2, severd, n3 */
        struct child *victim = number == 0 ? &severd : &nodes[number - 1];
        write_across_a_kill(round % NODES + 1, victim, number, acknowledged, first);
        for (int i = 1; i <= NODES; i++)
            await_service(i);
    }
    int fd = dial(1);
    for (unsigned i = 1; i < first; i++) {
        char line[64], expected[64], header[64];
        total += acknowledged[i];
        snprintf(expected, sizeof(expected), "value%u", i);
        snprintf(header, sizeof(header), "$%zu", strlen(expected));
        await_header(&fd, i, line, sizeof(line));
        bool there = strcmp(line, header) == 0;
        if (there) { /* the value's own line */
            assert_int_equal(recv(fd, line, strlen(expected) + 2, MSG_WAITALL),
                             strlen(expected) + 2);
            assert_memory_equal(line, expected, strlen(expected));
        }
        if (acknowledged[i] && !there)
            fail_msg("write %u was acknowledged and is lost", i);
    }
    close(fd);
    print_message("%u of %u writes acknowledged, none lost\n", total, first - 1);
    assert_true(total > (first - 1) / 2); /* the test must have tested something */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redis_benchmark_completes),
        cmocka_unit_test(no_acknowledged_write_is_lost),
    };
    return cmocka_run_group_tests_name("integration/routed", tests, set_up, tear_down);
}
