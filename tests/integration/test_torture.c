/* Torture: severd is led through everything it does, and in each run one call of one function
 * fails: the first, the second, and so on until there is none left. Whatever it was: severd does
 * not crash or hang, answers each request with success or a reason, and when all is over it serves
 * again, holds no descriptor too many, and ends when told to. (When memory for control has run out,
 * it says so and aborts.)
 *
 * All of it takes long: `make torture`. By itself the test takes a few calls of each function. A
 * failure prints the call; `test_torture FUNCTION NUMBER [LAST]` repeats that one (or those). */
#include "tests/integration/torture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SLOW_NS (2 * NS_PER_S) /* worth a word */

enum { SAMPLES = 3, BYTES = 100000, DATAGRAMS = 3 };

/* The far ends of the routes; they outlive all runs but for the unix one, which is in the run's
 * directory. */
enum way { WAY_TCP, WAY_UNIX, WAYS };
struct far {
    int listeners[WAYS], udp;
    int tcp_port, udp_port;
};

static int open_loopback(int type, int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static int open_unix(const char *path, bool to_listen)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int result = to_listen ? bind(fd, (struct sockaddr *)&address, sizeof(address))
                           : connect(fd, (struct sockaddr *)&address, sizeof(address));
    if (result) {
        assert_false(to_listen);
        close(fd);
        return -1;
    }
    if (to_listen)
        assert_int_equal(listen(fd, 16), 0);
    return fd;
}

static void open_far(struct far *far, const struct torture *torture)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/far.sock", torture->directory);
    far->listeners[WAY_UNIX] = open_unix(path, true);
    far->listeners[WAY_TCP] = open_loopback(SOCK_STREAM, &far->tcp_port);
    assert_int_equal(listen(far->listeners[WAY_TCP], 16), 0);
    far->udp = open_loopback(SOCK_DGRAM, &far->udp_port);
}

static void close_far(struct far *far)
{
    close(far->listeners[WAY_UNIX]);
    close(far->listeners[WAY_TCP]);
    close(far->udp);
}

/* --- requests --- */

/* The port on which a route listens; 0 when it is not known. */
static int port_of(struct torture *torture, const char *route)
{
    char path[64];
    snprintf(path, sizeof(path), "/v1/routes/%s", route);
    json_t *answer = torture_ask(torture, "GET", path, NULL);
    const char *listening = json_string_value(json_object_get(answer, "listening"));
    const char *colon = listening ? strrchr(listening, ':') : NULL;
    int port = colon ? (int)strtol(colon + 1, NULL, 10) : 0;
    json_decref(answer);
    return port;
}

static void add_routes(struct torture *torture, const struct far *far)
{
    char upstream[128], listen_at[128];
    snprintf(upstream, sizeof(upstream), "127.0.0.1:%d", far->tcp_port);
    torture_tell(torture, "POST", "/v1/routes",
                 json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", "tcp", "listen", "127.0.0.1:0",
                           "upstream", upstream, "from", "n1", "to", "n2"));
    snprintf(upstream, sizeof(upstream), "127.0.0.1:%d", far->udp_port);
    torture_tell(torture, "POST", "/v1/routes",
                 json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "name", "udp", "protocol", "udp",
                           "listen", "127.0.0.1:0", "upstream", upstream, "from", "n1", "to",
                           "n2"));
    snprintf(listen_at, sizeof(listen_at), "unix:%s/route.sock", torture->directory);
    snprintf(upstream, sizeof(upstream), "unix:%s/far.sock", torture->directory);
    torture_tell(torture, "POST", "/v1/routes",
                 json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", "unix", "listen", listen_at,
                           "upstream", upstream, "from", "n1", "to", "n2"));
}

static void add_faults(struct torture *torture)
{
    static const char *const faults[] = {
        "{\"type\":\"latency\",\"link\":\"n1<->n2\",\"delay_ns\":500000,\"jitter_ns\":100000}",
        "{\"type\":\"rate\",\"route\":\"tcp\",\"bytes_per_s\":50000000,\"shared\":true}",
        "{\"type\":\"slicer\",\"route\":\"unix\",\"average_bytes\":2000}",
        "{\"type\":\"loss\",\"link\":\"n2->n1\",\"probability\":0.001}",
        "{\"type\":\"duplicate\",\"link\":\"n1->n2\",\"probability\":1,\"match\":\"udp\"}",
    };
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        torture_tell(torture, "POST", "/v1/faults", json_loads(faults[i], 0, NULL));
}

/* Over a connection of its own, and whatever comes; enough: no more is read than this. */
static void ask_raw(struct torture *torture, const char *method, const char *path, const char *body,
                    size_t enough)
{
    char request[512], answer[4096];
    if (!torture_is_running(torture))
        return;
    int fd = open_unix(torture->url + strlen("unix:"), false);
    if (fd < 0 && !torture_is_running(torture))
        return;
    snprintf(
        request, sizeof(request),
        "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
        method, path, strlen(body), body);
    ssize_t got = send(fd, request, strlen(request), MSG_NOSIGNAL);
    for (size_t total = 0; got > 0 && total < enough; total += (size_t)got) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (poll(&poll_fd, 1, (int)(TORTURE_PATIENCE_NS / NS_PER_MS)) <= 0)
            fail_msg("%s %s: no answer", method, path);
        got = recv(fd, answer, sizeof(answer), 0);
    }
    close(fd);
}

/* --- traffic --- */

static unsigned char pattern(size_t index)
{
    return (unsigned char)(index * 31 + index / 251);
}

static void drop_backlog(int listener)
{
    int fd;
    while ((fd = accept(listener, NULL, NULL)) >= 0)
        close(fd);
}

/* A connection in the test's hands: the near end sends the pattern, the far one reads it. */
struct relay {
    int near, far;
    size_t sent, received;
};

static void relay_send(struct relay *relay)
{
    unsigned char bytes[8192];
    size_t length = BYTES - relay->sent < sizeof(bytes) ? BYTES - relay->sent : sizeof(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = pattern(relay->sent + i);
    ssize_t done = send(relay->near, bytes, length, MSG_NOSIGNAL);
    if (done > 0)
        relay->sent += (size_t)done;
    if (relay->sent == BYTES)
        shutdown(relay->near, SHUT_WR);
}

/* False at the end. */
static bool relay_receive(struct relay *relay)
{
    unsigned char bytes[8192];
    ssize_t got = recv(relay->far, bytes, sizeof(bytes), 0);
    if (got < 0)
        return errno == EAGAIN;
    for (ssize_t i = 0; i < got; i++)
        if (bytes[i] != pattern(relay->received + (size_t)i))
            fail_msg("byte %zu is another", relay->received + (size_t)i);
    relay->received += (size_t)got;
    return got > 0;
}

/* True when the near end has seen the end of the connection, however. */
static bool relay_near_ended(const struct relay *relay)
{
    char byte;
    ssize_t got = recv(relay->near, &byte, 1, MSG_PEEK);
    return got == 0 || (got < 0 && errno != EAGAIN);
}

/* One step of waiting; false when the connection is over. */
static bool relay_step(struct relay *relay, int listener)
{
    struct pollfd polled[2] = {
        {.fd = relay->near, .events = (short)(POLLIN | (relay->sent < BYTES ? POLLOUT : 0))},
        {.fd = relay->far >= 0 ? relay->far : listener, .events = POLLIN}};
    if (poll(polled, 2, (int)(TORTURE_PATIENCE_NS / NS_PER_MS)) <= 0)
        fail_msg("a connection hangs after %zu of %zu bytes", relay->received, relay->sent);
    if (relay->far < 0 && polled[1].revents)
        relay->far = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    else if (relay->far >= 0 && polled[1].revents && !relay_receive(relay))
        return false;
    if (polled[0].revents & POLLOUT && relay->sent < BYTES)
        relay_send(relay);
    return !(polled[0].revents & (POLLIN | POLLERR | POLLHUP)) || !relay_near_ended(relay);
}

static int connect_near(struct torture *torture, enum way way)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/route.sock", torture->directory);
    if (way == WAY_UNIX)
        return open_unix(path, false);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)port_of(torture, "tcp"));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (address.sin_port && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
        fcntl(fd, F_SETFL, O_NONBLOCK);
        return fd;
    }
    close(fd);
    return -1;
}

static void note_broken(struct torture *torture, const char *what)
{
    torture->broken++;
    if (torture_is_running(torture) && !torture_has_failed(torture))
        fail_msg("%s, and nothing has failed", what);
}

/* All bytes, or an end of the connection for which there is a reason. between: what is done when
 * some have arrived; may be NULL. */
static void relay(struct torture *torture, const struct far *far, enum way way,
                  void (*between)(struct torture *torture))
{
    if (!torture_is_running(torture))
        return;
    drop_backlog(far->listeners[way]);
    struct relay relay = {.near = connect_near(torture, way), .far = -1};
    bool alive = relay.near >= 0;
    while (alive && torture->running) {
        alive = relay_step(&relay, far->listeners[way]);
        if (between && relay.received > 0) {
            between(torture);
            between = NULL;
        }
    }
    if (relay.received < BYTES)
        note_broken(torture, "a connection broke");
    if (relay.near >= 0)
        close(relay.near);
    if (relay.far >= 0)
        close(relay.far);
}

/* failing: something may still fail, and a datagram be lost by it. */
static void send_datagrams(struct torture *torture, const struct far *far, bool failing)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char buffer[64];
    int got = 0, waited_ms = 0;
    if (!torture_is_running(torture))
        return;
    while (recv(far->udp, buffer, sizeof(buffer), 0) >= 0)
        continue;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)port_of(torture, "udp"));
    for (int i = 0; i < DATAGRAMS; i++)
        sendto(fd, "datagram", 8, 0, (struct sockaddr *)&address, sizeof(address));
    while (got < DATAGRAMS) { /* lost ones don't come, so there is an end to waiting */
        struct pollfd poll_fd = {.fd = far->udp, .events = POLLIN};
        if (poll(&poll_fd, 1, 50) <= 0)
            waited_ms += 50;
        if (waited_ms >= (failing && torture_has_failed(torture) ? 200 : 20000))
            break;
        if (recv(far->udp, buffer, sizeof(buffer), 0) == 8)
            got++;
    }
    close(fd);
    if (got < DATAGRAMS)
        note_broken(torture, "a datagram was lost");
}

/* --- the script --- */

static void cut_and_heal(struct torture *torture)
{
    torture_tell(torture, "POST", "/v1/partitions", json_pack("{s:s}", "isolate", "n1"));
    torture_tell(torture, "GET", "/v1/status", NULL);
    torture_tell(torture, "DELETE", "/v1/partitions", NULL);
    if (torture->running) /* the cut stays when its removal has failed */
        torture_tell(torture, "DELETE", "/v1/partitions", NULL);
}

static void speak_toxiproxy(struct torture *torture)
{
    static const char *const asked[][3] = {
        {"POST", "/proxies",
         "{\"name\":\"p\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:1\"}"},
        {"POST", "/proxies/p/toxics", "{\"type\":\"latency\",\"attributes\":{\"latency\":5}}"},
        {"GET", "/proxies/p", ""},
        {"POST", "/reset", ""},
        {"DELETE", "/proxies/p", ""},
    };
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
        ask_raw(torture, asked[i][0], asked[i][1], asked[i][2], SIZE_MAX);
}

static void converse(struct torture *torture, const struct far *far)
{
    torture_tell(torture, "POST", "/v1/nodes", json_pack("{s:s}", "name", "n1"));
    torture_tell(torture, "POST", "/v1/nodes", json_pack("{s:s}", "name", "n2"));
    add_routes(torture, far);
    relay(torture, far, WAY_TCP, cut_and_heal);
    relay(torture, far, WAY_UNIX, NULL);
    send_datagrams(torture, far, true);
    add_faults(torture);
    relay(torture, far, WAY_TCP, NULL);
    relay(torture, far, WAY_UNIX, cut_and_heal);
    send_datagrams(torture, far, true);
    torture_tell(torture, "PUT", "/v1/clocks/n1", json_pack("{s:i}", "offset_ns", 2000000));
    torture_tell(torture, "POST", "/v1/tables",
                 json_pack("{s:s, s:[i,i]}", "name", "t", "values", 1, 2));
    torture_tell(torture, "GET", "/v1/links", NULL);
    torture_tell(torture, "GET", "/v1/faults", NULL);
    ask_raw(torture, "GET", "/metrics", "", SIZE_MAX);
    ask_raw(torture, "GET", "/v1/events", "", 1);
    speak_toxiproxy(torture);
}

static json_t *empty_ruleset(void)
{
    return json_pack("{s:i}", "seed", 7);
}

/* Nothing fails any more: it serves as if nothing had ever failed. */
static void check_health(struct torture *torture, const struct far *far)
{
    unsigned refused = torture->refused, broken = torture->broken;
    torture_tell(torture, "PUT", "/v1/ruleset", empty_ruleset());
    torture_tell(torture, "POST", "/v1/nodes", json_pack("{s:s}", "name", "n1"));
    torture_tell(torture, "POST", "/v1/nodes", json_pack("{s:s}", "name", "n2"));
    add_routes(torture, far);
    relay(torture, far, WAY_TCP, NULL);
    relay(torture, far, WAY_UNIX, NULL);
    send_datagrams(torture, far, false);
    torture_tell(torture, "PUT", "/v1/ruleset", empty_ruleset());
    if (torture->running && (torture->refused > refused || torture->broken > broken))
        fail_msg("it does not serve after the failure");
}

static uint64_t totals[FAILING_CALLS_END]; /* of each call, in a run without failures */

/* With an empty ruleset and one client. */
static size_t descriptors;

static void count_descriptors(void)
{
    static struct torture torture;
    torture_prepare(&torture, FAILING_malloc, 0);
    assert_true(torture_start(&torture));
    torture_tell(&torture, "PUT", "/v1/ruleset", empty_ruleset());
    descriptors = torture_list_descriptors(&torture, false);
    torture_stop(&torture);
    torture_clean(&torture);
}

/* One run. True when the call was there to fail. */
static bool run(enum failing_call call, uint64_t at)
{
    static struct torture torture;
    struct far far;
    torture_prepare(&torture, call, at);
    open_far(&far, &torture);
    if (torture_start(&torture)) {
        converse(&torture, &far);
        if (at == 0)
            for (int i = 0; i < FAILING_CALLS_END; i++)
                totals[i] = atomic_load(&torture.page->seen[i]);
        atomic_store(&torture.page->armed, 0);
        if (torture_is_running(&torture))
            check_health(&torture, &far);
        if (torture_is_running(&torture)) {
            torture_check_descriptors(&torture, descriptors);
            torture_stop(&torture);
        }
    }
    bool failed = torture_has_failed(&torture);
    close_far(&far);
    torture_clean(&torture);
    return failed;
}

static int only_call = -1;
static uint64_t only_at, only_last;

/* One call of this function after the other; all: until there is none left. */
static void fail_in_turn(enum failing_call call, bool all)
{
    uint64_t total = totals[call], failed = 0;
    uint64_t step = all || total <= SAMPLES ? 1 : total / SAMPLES;
    bool there = true;
    for (uint64_t at = 1; at <= total || (all && there); at += step) {
        uint64_t begin_ns = monotonic_now_ns();
        there = run(call, at);
        failed += there;
        uint64_t took_ns = monotonic_now_ns() - begin_ns;
        if (took_ns > SLOW_NS)
            print_message("%s %llu took %.1f s\n", torture_names[call], (unsigned long long)at,
                          (double)took_ns / 1e9);
    }
    print_message("%-15s %6llu calls, %llu failed in turn\n", torture_names[call],
                  (unsigned long long)total, (unsigned long long)failed);
}

static void whatever_fails_severd_goes_on_or_says_why(void **state)
{
    (void)state;
    count_descriptors();
    assert_false(run(FAILING_malloc, 0));
    if (only_call >= 0) {
        for (uint64_t at = only_at; at <= only_last; at++)
            run((enum failing_call)only_call, at);
        return;
    }
    for (int call = 0; call < FAILING_CALLS_END; call++)
        fail_in_turn((enum failing_call)call, getenv("SEVER_TORTURE") != NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(whatever_fails_severd_goes_on_or_says_why, torture_end)};
    struct rlimit no_core = {0};
    setrlimit(RLIMIT_CORE, &no_core);
    for (int i = 0; argc >= 3 && i < FAILING_CALLS_END; i++)
        if (strcmp(argv[1], torture_names[i]) == 0)
            only_call = i;
    only_at = argc >= 3 ? strtoull(argv[2], NULL, 10) : 0;
    only_last = argc >= 4 ? strtoull(argv[3], NULL, 10) : only_at;
    return cmocka_run_group_tests_name("torture", tests, NULL, NULL);
}
