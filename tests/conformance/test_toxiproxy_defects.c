/* What the server that clients know does wrong (its own issues say so), shown right here: one test
 * each, with real connections. */
#include <pthread.h>

#include "tests/conformance/server.h"

enum { PROMPT_S = 5 }; /* an answer that nobody keeps waiting, on a busy machine */

static struct server server;
static int upstream, upstream_port;

static int set_up(void **state)
{
    (void)state;
    upstream = listen_anywhere(64, &upstream_port);
    server_start(&server, NULL, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(upstream);
    if (server.child.pid > 0)
        server_stop(&server);
    return 0;
}

/* A request that is answered with this status, and soon. */
static void tell_promptly(const char *method, const char *path, const char *body, int status)
{
    uint64_t begin_ns = monotonic_now_ns();
    server_tell(&server, method, path, body, status);
    uint64_t took_ns = monotonic_now_ns() - begin_ns;
    if (took_ns > PROMPT_S * NS_PER_S)
        fail_msg("%s %s took %llu ms", method, path, (unsigned long long)(took_ns / NS_PER_MS));
}

/* What comes next: 1 for a byte, 0 for the end, else -errno. */
static int receive_byte(int fd)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, 0);
    return got < 0 ? -errno : (int)got;
}

static void reset(int fd)
{
    struct linger linger = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
}

/* --- a seed repeats --- */

enum { DRAWS = 40 };

/* Which of the connections a toxic of toxicity 0.5 hits, in a new server, as a bit each. */
static uint64_t draw_with_seed(const char *seed)
{
    const char *const extra[] = {"-seed", seed, NULL};
    uint64_t hits = 0;
    server_start(&server, extra, NULL);
    int port = server_add_proxy(&server, "a", upstream_port);
    server_tell(&server, "POST", "/proxies/a/toxics",
                "{\"type\":\"limit_data\",\"stream\":\"upstream\",\"toxicity\":0.5}", 200);
    for (int i = 0; i < DRAWS; i++) {
        int client = connect_to(port), behind = accept_from(upstream);
        send_text(client, "x", 1);
        if (receive_byte(behind) != 1)
            hits |= UINT64_C(1) << i;
        close(client);
        close(behind);
    }
    server_stop(&server);
    return hits;
}

static void a_seed_repeats_exactly(void **state)
{
    (void)state;
    server_stop(&server);
    uint64_t first = draw_with_seed("42");
    assert_true(first != 0 && first != (UINT64_C(1) << DRAWS) - 1);
    assert_true(draw_with_seed("42") == first);
    assert_true(draw_with_seed("42") == first);
    assert_true(draw_with_seed("43") != first);
    server.child.pid = 0;
}

/* --- nobody waits for another --- */

/* Sends until nothing goes any more. */
static void fill(int fd)
{
    static const char bytes[65536];
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    while (poll(&wait, 1, 200) == 1)
        if (send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
            fail_msg("send: %s", strerror(errno));
}

static void a_reader_that_stalls_freezes_nobody(void **state)
{
    (void)state;
    int port = server_add_proxy(&server, "a", upstream_port);
    int client = connect_to(port), behind = accept_from(upstream);
    server_tell(&server, "POST", "/proxies/a/toxics",
                "{\"type\":\"latency\",\"attributes\":{\"latency\":10}}", 200);
    fill(behind);
    tell_promptly("POST", "/proxies/a/toxics",
                  "{\"type\":\"bandwidth\",\"attributes\":{\"rate\":5}}", 200);
    tell_promptly("PATCH", "/proxies/a/toxics/latency_downstream",
                  "{\"attributes\":{\"latency\":20}}", 200);
    tell_promptly("GET", "/proxies", NULL, 200);
    tell_promptly("DELETE", "/proxies/a/toxics/latency_downstream", NULL, 204);
    tell_promptly("POST", "/reset", NULL, 204);
    tell_promptly("DELETE", "/proxies/a", NULL, 204);
    close(client);
    close(behind);
}

/* A port that answers no more connection: its queue is full. The descriptors keep it so. */
struct deaf {
    int listener, port, waiting[8];
    size_t count;
};

static void deafen(struct deaf *deaf)
{
    *deaf = (struct deaf){0};
    deaf->listener = listen_anywhere(0, &deaf->port);
    struct sockaddr_in address = loopback(deaf->port);
    for (; deaf->count < 8; deaf->count++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        deaf->waiting[deaf->count] = fd;
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) && errno != EINPROGRESS)
            fail_msg("connect: %s", strerror(errno));
        if (poll(&wait, 1, 100) == 0) {
            deaf->count++;
            return;
        }
    }
    fail_msg("the queue never filled");
}

static void hear_again(struct deaf *deaf)
{
    for (size_t i = 0; i < deaf->count; i++)
        close(deaf->waiting[i]);
    close(deaf->listener);
}

/* The upstream's end of the connection that says something. Those before it were still waiting to
 * be accepted when their route got this upstream. */
static int accept_who_speaks(void)
{
    for (;;) {
        int fd = accept_from(upstream);
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, PROMPT_S * 1000) == 1)
            return fd;
        close(fd);
    }
}

static void a_dial_that_hangs_stops_nobody(void **state)
{
    (void)state;
    struct deaf deaf;
    deafen(&deaf);
    int stuck_port = server_add_proxy(&server, "stuck", deaf.port);
    int port = server_add_proxy(&server, "a", upstream_port);
    int first = connect_to(stuck_port), second = connect_to(stuck_port);
    assert_true(first >= 0 && second >= 0);
    int client = connect_to(port), behind = accept_from(upstream);
    send_text(client, "hello", 5);
    expect_bytes(behind, "hello", 5);
    /* the same proxy goes on, too: with another upstream it serves at once */
    tell_promptly("GET", "/proxies", NULL, 200);
    tell_promptly("POST", "/proxies/stuck/toxics", "{\"type\":\"latency\"}", 200);
    char body[64];
    snprintf(body, sizeof(body), "{\"upstream\":\"127.0.0.1:%d\"}", upstream_port);
    tell_promptly("PATCH", "/proxies/stuck", body, 200);
    int third = connect_to(stuck_port);
    send_text(third, "hello", 5);
    int behind_third = accept_who_speaks();
    expect_bytes(behind_third, "hello", 5);
    tell_promptly("DELETE", "/proxies/stuck", NULL, 204);
    tell_promptly("POST", "/reset", NULL, 204);
    int fds[] = {first, second, third, behind_third, client, behind};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        close(fds[i]);
    hear_again(&deaf);
}

/* --- no attribute is fatal --- */

static void no_attribute_ends_the_server(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int status;
    } toxics[] = {
        {"{\"name\":\"t\",\"type\":\"slicer\"}", 200},
        {"{\"name\":\"t\",\"type\":\"slicer\",\"attributes\":{\"size_variation\":5}}", 200},
        {"{\"name\":\"t\",\"type\":\"slicer\",\"attributes\":{\"average_size\":2,"
         "\"size_variation\":100}}",
         200},
        {"{\"name\":\"t\",\"type\":\"slicer\",\"attributes\":{\"average_size\":1073741824,"
         "\"size_variation\":1073741824}}",
         200},
        {"{\"name\":\"t\",\"type\":\"slicer\",\"attributes\":{\"average_size\":-1}}", 400},
        {"{\"name\":\"t\",\"type\":\"bandwidth\",\"attributes\":{\"rate\":-5}}", 400},
        {"{\"name\":\"t\",\"type\":\"bandwidth\",\"attributes\":{\"rate\":0}}", 200},
        {"{\"name\":\"t\",\"type\":\"bandwidth\",\"attributes\":{\"rate\":1000000000}}", 200},
        {"{\"name\":\"t\",\"type\":\"latency\",\"attributes\":{\"jitter\":3600000}}", 200},
        {"{\"name\":\"t\",\"type\":\"latency\",\"attributes\":{\"latency\":"
         "9223372036854775807}}",
         400},
        {"{\"name\":\"t\",\"type\":\"limit_data\"}", 200},
        {"{\"name\":\"t\",\"type\":\"limit_data\",\"attributes\":{\"bytes\":"
         "4611686018427387904}}",
         200},
        {"{\"name\":\"t\",\"type\":\"limit_data\",\"attributes\":{\"bytes\":-1}}", 400},
        {"{\"name\":\"t\",\"type\":\"timeout\"}", 200},
        {"{\"name\":\"t\",\"type\":\"slow_close\",\"attributes\":{\"delay\":3600000}}", 200},
        {"{\"name\":\"t\",\"type\":\"reset_peer\"}", 200},
        {"{\"name\":\"t\",\"type\":\"noop\",\"toxicity\":-1e308}", 200},
    };
    int port = server_add_proxy(&server, "a", upstream_port);
    for (size_t i = 0; i < sizeof(toxics) / sizeof(toxics[0]); i++) {
        server_tell(&server, "POST", "/proxies/a/toxics", toxics[i].body, toxics[i].status);
        int client = connect_to(port), behind = accept_from(upstream);
        send(behind, "through it", 10, MSG_NOSIGNAL);
        send(client, "and back", 8, MSG_NOSIGNAL);
        shutdown(behind, SHUT_WR);
        if (toxics[i].status == 200)
            server_tell(&server, "DELETE", "/proxies/a/toxics/t", NULL, 204);
        server_tell(&server, "GET", "/proxies/a/toxics", NULL, 200);
        close(client);
        close(behind);
    }
}

static void a_slicer_without_sizes_lets_all_pass(void **state)
{
    (void)state;
    int port = server_add_proxy(&server, "a", upstream_port);
    server_tell(&server, "POST", "/proxies/a/toxics", "{\"type\":\"slicer\"}", 200);
    int client = connect_to(port), behind = accept_from(upstream);
    send_text(behind, "whole", 5);
    expect_bytes(client, "whole", 5);
    close(client);
    close(behind);
}

/* --- the ends of a stream --- */

static void half_a_close_is_half_a_close(void **state)
{
    (void)state;
    int port = server_add_proxy(&server, "a", upstream_port);
    server_tell(&server, "POST", "/proxies/a/toxics",
                "{\"type\":\"latency\",\"attributes\":{\"latency\":5}}", 200);
    int client = connect_to(port), behind = accept_from(upstream);
    send_text(client, "question", 8);
    shutdown(client, SHUT_WR);
    expect_bytes(behind, "question", 8);
    assert_int_equal(receive_byte(behind), 0);
    send_text(behind, "answer", 6);
    expect_bytes(client, "answer", 6);
    close(behind);
    assert_int_equal(receive_byte(client), 0);
    close(client);
}

static void a_reset_is_a_reset(void **state)
{
    (void)state;
    int port = server_add_proxy(&server, "a", upstream_port);
    int client = connect_to(port), behind = accept_from(upstream);
    reset(client);
    assert_int_equal(receive_byte(behind), -ECONNRESET);
    close(behind);
    client = connect_to(port);
    behind = accept_from(upstream);
    reset(behind);
    assert_int_equal(receive_byte(client), -ECONNRESET);
    close(client);
}

/* On connections that idle, that are busy, and that are new. */
static void reset_peer_resets(void **state)
{
    (void)state;
    int port = server_add_proxy(&server, "a", upstream_port);
    int idle = connect_to(port), behind_idle = accept_from(upstream);
    int busy = connect_to(port), behind_busy = accept_from(upstream);
    send_text(behind_busy, "x", 1);
    expect_bytes(busy, "x", 1);
    fill(behind_busy);
    server_tell(&server, "POST", "/proxies/a/toxics",
                "{\"type\":\"reset_peer\",\"attributes\":{\"timeout\":50}}", 200);
    int got = receive_byte(idle);
    assert_int_equal(got, -ECONNRESET);
    while ((got = receive_byte(busy)) == 1)
        continue;
    assert_int_equal(got, -ECONNRESET);
    /* where it comes before the connect has returned, that tells it */
    int client = connect_to(port), told = client < 0 ? -errno : receive_byte(client);
    int behind = accept_from(upstream);
    assert_int_equal(told, -ECONNRESET);
    assert_int_equal(receive_byte(behind), -ECONNRESET);
    int fds[] = {idle, behind_idle, busy, behind_busy, client, behind};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        close(fds[i]);
}

/* A toxicity of 0 is one that never acts. */
static void reset_peer_spares_whom_it_does_not_hit(void **state)
{
    (void)state;
    int port = server_add_proxy(&server, "a", upstream_port);
    server_tell(&server, "POST", "/proxies/a/toxics", "{\"type\":\"reset_peer\",\"toxicity\":0}",
                200);
    int client = connect_to(port), behind = accept_from(upstream);
    send_text(behind, "hello", 5);
    expect_bytes(client, "hello", 5);
    close(behind);
    assert_int_equal(receive_byte(client), 0);
    close(client);
}

/* --- whether anybody is there --- */

/* What a connect that does not block ends with, as most clients' do: *fd, or -errno. */
static int connect_without_blocking(int port, int *fd)
{
    struct sockaddr_in address = loopback(port);
    int error;
    socklen_t length = sizeof(error);
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct pollfd wait = {.fd = *fd, .events = POLLOUT};
    if (connect(*fd, (struct sockaddr *)&address, sizeof(address)) && errno != EINPROGRESS)
        return -errno;
    assert_int_equal(poll(&wait, 1, SERVER_PATIENCE_S * 1000), 1);
    assert_int_equal(getsockopt(*fd, SOL_SOCKET, SO_ERROR, &error, &length), 0);
    return -error;
}

/* A port that refuses, and that nobody else gets meanwhile: bound, and no listener. */
static int hold_port(int *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* Clients take a connect for the sign that the proxy is up, whatever is behind it. */
static void an_upstream_that_is_down_fails_no_connect(void **state)
{
    enum { TIMES = 200 };
    (void)state;
    int down_port, down = hold_port(&down_port), fd;
    int port = server_add_proxy(&server, "a", down_port);
    for (int i = 0; i < TIMES; i++) {
        struct pollfd wait = {.events = POLLIN};
        assert_int_equal(connect_without_blocking(port, &fd), 0);
        wait.fd = fd;
        assert_int_equal(poll(&wait, 1, SERVER_PATIENCE_S * 1000), 1);
        assert_int_equal(receive_byte(fd), 0);
        close(fd);
    }
    close(down);
}

/* Who wants a connect to fail asks for it. */
static void a_connect_can_be_refused(void **state)
{
    (void)state;
    int fd, port = server_add_proxy(&server, "a", upstream_port);
    server_tell(&server, "POST", "/v1/faults",
                "{\"name\":\"f\",\"type\":\"reject\",\"probability\":1,\"route\":\"a\"}", 201);
    assert_int_equal(connect_without_blocking(port, &fd), -ECONNREFUSED);
    close(fd);
    server_tell(&server, "DELETE", "/v1/faults/f", NULL, 204);
    assert_int_equal(connect_without_blocking(port, &fd), 0);
    close(accept_from(upstream));
    close(fd);
}

/* --- a delay stays what it is --- */

enum { MESSAGES = 20000, MESSAGE_BYTES = 1024, MESSAGE_INTERVAL_NS = 50000 };
#ifdef __SANITIZE_THREAD__
enum { LATE_S = 5 }; /* it makes a busy machine's hiccups seconds */
#else
enum { LATE_S = 1 };
#endif

/* 20,000 a second; each begins with the time at which it is sent. */
static void *send_messages(void *context)
{
    const int *fd = context;
    char message[MESSAGE_BYTES] = "";
    uint64_t due_ns = monotonic_now_ns();
    for (int i = 0; i < MESSAGES; i++, due_ns += MESSAGE_INTERVAL_NS) {
        while (monotonic_now_ns() < due_ns)
            (void)monotonic_sleep_until(due_ns);
        uint64_t now_ns = monotonic_now_ns();
        memcpy(message, &now_ns, sizeof(now_ns));
        if (send(*fd, message, sizeof(message), MSG_NOSIGNAL) != sizeof(message))
            break;
    }
    return NULL;
}

/* What waits for its time is no reason to read no more: 20 MB do. Half of it may be late by more
 * than LATE_S, for the machine may be busy. */
static void a_second_stays_a_second_under_load(void **state)
{
    (void)state;
    int port = server_add_proxy(&server, "a", upstream_port), late = 0;
    server_tell(&server, "POST", "/proxies/a/toxics",
                "{\"type\":\"latency\",\"stream\":\"upstream\",\"attributes\":{\"latency\":1000}}",
                200);
    int client = connect_to(port), behind = accept_from(upstream);
    pthread_t sender;
    assert_int_equal(pthread_create(&sender, NULL, send_messages, &client), 0);
    for (int i = 0; i < MESSAGES; i++) {
        char message[MESSAGE_BYTES];
        uint64_t sent_ns;
        assert_int_equal(recv(behind, message, sizeof(message), MSG_WAITALL), sizeof(message));
        uint64_t now_ns = monotonic_now_ns();
        memcpy(&sent_ns, message, sizeof(sent_ns));
        assert_true(now_ns >= sent_ns + NS_PER_S);
        late += now_ns > sent_ns + (1 + LATE_S) * NS_PER_S;
    }
    assert_in_range(late, 0, MESSAGES / 2);
    pthread_join(sender, NULL);
    close(client);
    close(behind);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_seed_repeats_exactly),
        TEST(a_reader_that_stalls_freezes_nobody),
        TEST(a_dial_that_hangs_stops_nobody),
        TEST(no_attribute_ends_the_server),
        TEST(a_slicer_without_sizes_lets_all_pass),
        TEST(half_a_close_is_half_a_close),
        TEST(a_reset_is_a_reset),
        TEST(reset_peer_resets),
        TEST(reset_peer_spares_whom_it_does_not_hit),
        TEST(an_upstream_that_is_down_fails_no_connect),
        TEST(a_connect_can_be_refused),
        TEST(a_second_stays_a_second_under_load),
    };
    return cmocka_run_group_tests_name("toxiproxy defects", tests, NULL, NULL);
}
