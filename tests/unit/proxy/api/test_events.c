/* GET /v1/events. Most tests run the server turn by turn in their own thread. */
#include "tests/unit/proxy/api/fixture.h"

static int set_up(void **state)
{
    (void)state;
    fixture = fixture_create("127.0.0.1:0");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_free(fixture);
    text_free(&text);
    return 0;
}

static void turn(int timeout_ms)
{
    struct pollfd polled = {.events = POLLIN};
    api_poll_fds(fixture->api, &polled.fd, 1);
    if (api_deadline_ns(fixture->api, fixture_now_ns(fixture)) > fixture_now_ns(fixture))
        poll(&polled, 1, timeout_ms);
    api_run(fixture->api, fixture_now_ns(fixture));
}

/* Adds what has come to text. False when the connection has ended. */
static bool receive_some(int fd, struct text *received)
{
    char buffer[65536];
    ssize_t got = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (got > 0)
        text_append_bytes(received, buffer, (size_t)got);
    return got > 0 || (got < 0 && errno == EAGAIN);
}

static void wait_for(int fd, const char *part)
{
    uint64_t end_ns = monotonic_now_ns() + 20 * NS_PER_S;
    while (!strstr(text_get(&text), part)) {
        if (monotonic_now_ns() > end_ns)
            fail_msg("no %s in %s", part, text_get(&text));
        turn(20);
        receive_some(fd, &text);
    }
}

static int listen_to(const char *path)
{
    char request[256];
    int fd = fixture_connect(fixture);
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    fixture_send(fd, request, strlen(request));
    text_clear(&text);
    return fd;
}

/* A change by another way than the API. */
static void change_clock(int64_t offset_ns)
{
    struct ruleset before;
    struct ruleset_clock clock = {.node = "n1", .offset_ns = offset_ns};
    ruleset_copy(&before, &fixture->ruleset);
    ruleset_set_clock(&fixture->ruleset, &clock);
    fixture->ruleset.version++;
    api_note_change(fixture->api, &before, &fixture->ruleset, "SIGHUP");
    ruleset_free(&before);
}

static void a_listener_hears_of_changes(void **state)
{
    (void)state;
    int fd = listen_to("/v1/events");
    wait_for(fd, "id: 1\nevent: ruleset\ndata: {\"version\":1,\"by\":\"api\",\"changes\":[]}\n\n");
    assert_non_null(strstr(text_get(&text), "Content-Type: text/event-stream\r\n"));
    while (api_deadline_ns(fixture->api, 0) == 0) /* until it is suspended */
        turn(0);
    change_clock(2000000);
    /* No descriptor tells that there is an event to send: the deadline does. */
    assert_int_equal(api_deadline_ns(fixture->api, 5), 5);
    wait_for(fd,
             "id: 2\nevent: ruleset\ndata: {\"version\":2,\"by\":\"SIGHUP\",\"changes\":[\"clock "
             "n1 +2ms\"]}\n\n");
    const char *request = "POST /v1/partitions HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                          "31\r\n\r\n{\"name\":\"split\",\"isolate\":\"n1\"} ";
    int other = fixture_connect(fixture);
    fixture_send(other, request, strlen(request));
    wait_for(fd, "\"version\":3,\"by\":\"api\",\"changes\":[\"partition split set\"]");
    close(other);
    close(fd);
}

static void a_failed_change_is_not_told(void **state)
{
    (void)state;
    int fd = listen_to("/v1/events");
    wait_for(fd, "\"changes\":[]");
    const char *request = "DELETE /v1/nodes/n1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    atomic_store(&fixture->fail_code, -EINVAL);
    int other = fixture_connect(fixture);
    fixture_send(other, request, strlen(request));
    struct text answer = {0};
    while (!strstr(text_get(&answer), "HTTP/1.1 400")) {
        turn(20);
        receive_some(other, &answer);
    }
    text_free(&answer);
    change_clock(1);
    wait_for(fd, "\"version\":2");
    assert_null(strstr(text_get(&text), "removed"));
    close(other);
    close(fd);
}

static void heartbeats(void **state)
{
    (void)state;
    assert_true(api_deadline_ns(fixture->api, fixture_now_ns(fixture)) == UINT64_MAX);
    int fd = listen_to("/v1/events");
    wait_for(fd, "\"changes\":[]");
    uint64_t now_ns = fixture_now_ns(fixture);
    while (api_deadline_ns(fixture->api, now_ns) <= now_ns)
        turn(20);
    uint64_t deadline_ns = api_deadline_ns(fixture->api, now_ns);
    assert_true(deadline_ns > now_ns && deadline_ns <= now_ns + 10 * NS_PER_S);
    atomic_store(&fixture->skew_ns, 10 * NS_PER_S);
    wait_for(fd, "id: 1\nevent: heartbeat\ndata: {\"version\":1}\n\n");
    /* Half an hour of silence but for heartbeats: a listener has no deadline. */
    for (int i = 0; i < 180; i++) {
        atomic_fetch_add(&fixture->skew_ns, 10 * NS_PER_S);
        turn(0);
        assert_true(receive_some(fd, &text));
    }
    change_clock(1);
    wait_for(fd, "\"version\":2");
    close(fd);
}

static void since(void **state)
{
    (void)state;
    for (int i = 1; i <= 300; i++)
        change_clock(i); /* versions 2 to 301 */
    int fd = listen_to("/v1/events?since=299");
    wait_for(fd, "\"version\":301");
    assert_null(strstr(text_get(&text), "id: 299\n"));
    assert_non_null(strstr(text_get(&text),
                           "\"version\":300,\"by\":\"SIGHUP\",\"changes\":[\"clock "
                           "n1 +299ns\"]"));
    assert_null(strstr(text_get(&text), "\"changes\":[]"));
    close(fd);
    /* The oldest that is kept; one older; the newest; one from the future. */
    fd = listen_to("/v1/events?since=45");
    wait_for(fd, "\"version\":301");
    assert_non_null(strstr(text_get(&text), "id: 46\n"));
    close(fd);
    static const char *const paths[] = {"/v1/events?since=44", "/v1/events?since=301",
                                        "/v1/events?since=9999"};
    for (size_t i = 0; i < 3; i++) {
        fd = listen_to(paths[i]);
        wait_for(fd, "\"version\":301,\"by\":\"api\",\"changes\":[]");
        close(fd);
    }
    fd = listen_to("/v1/events?since=x");
    wait_for(fd, "HTTP/1.1 400");
    close(fd);
}

/* A change that takes some kilobytes to tell. */
static void make_large(struct ruleset *large)
{
    for (int i = 0; i < RULESET_NODES_MAX; i++) {
        struct ruleset_node node = {0};
        snprintf(node.name, sizeof(node.name), "n%060d", i);
        ruleset_add_node(large, &node);
    }
}

static bool is_ended(int fd)
{
    struct pollfd polled = {.fd = fd, .events = POLLRDHUP};
    return poll(&polled, 1, 0) == 1 && (polled.revents & (POLLHUP | POLLERR));
}

static void a_listener_that_does_not_read_is_dropped(void **state)
{
    (void)state;
    struct ruleset empty = {0}, large = {0};
    char wanted[32];
    make_large(&large);
    int slow = listen_to("/v1/events");
    int good = listen_to("/v1/events");
    wait_for(good, "\"changes\":[]");
    while (!is_ended(slow) && large.version < 20000) {
        large.version++;
        api_note_change(fixture->api, &empty, &large, "test");
        /* The good one gets every event, however slow the other. */
        text_clear(&text);
        snprintf(wanted, sizeof(wanted), "\"version\":%d,", (int)large.version);
        wait_for(good, wanted);
        assert_true(large.version > API_LISTENER_EVENTS_MAX || !is_ended(slow));
    }
    assert_true(is_ended(slow));
    text_clear(&text);
    change_clock(-1);
    wait_for(good, "clock n1 -1ns");
    ruleset_free(&large);
    close(slow);
    close(good);
}

static void too_many_listeners(void **state)
{
    (void)state;
    int fds[API_LISTENERS_MAX + 1];
    for (size_t i = 0; i < API_LISTENERS_MAX; i++) {
        fds[i] = listen_to("/v1/events");
        wait_for(fds[i], "\"changes\":[]");
    }
    fds[API_LISTENERS_MAX] = listen_to("/v1/events");
    wait_for(fds[API_LISTENERS_MAX], "HTTP/1.1 503");
    /* Some go, and make room at once: no event and no heartbeat is needed for that. */
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
    for (size_t i = 0; i < 3; i++) {
        fds[i] = listen_to("/v1/events");
        wait_for(fds[i], "\"changes\":[]");
    }
    close(fds[API_LISTENERS_MAX]);
    fds[API_LISTENERS_MAX] = listen_to("/v1/events");
    wait_for(fds[API_LISTENERS_MAX], "HTTP/1.1 503");
    change_clock(1);
    for (size_t i = 0; i < API_LISTENERS_MAX; i++) {
        text_clear(&text);
        wait_for(fds[i], "clock n1");
    }
    for (size_t i = 0; i <= API_LISTENERS_MAX; i++)
        close(fds[i]);
}

/* An answer without end has no HEAD, and the connection that asked for it goes on. */
static void head_is_refused(void **state)
{
    (void)state;
    int fd = fixture_connect(fixture);
    const char *requests = "HEAD /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
                           "GET /v1/nodes/n1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    text_clear(&text);
    fixture_send(fd, requests, strlen(requests));
    wait_for(fd, "\"name\":\"n1\"");
    assert_non_null(strstr(text_get(&text), "HTTP/1.1 405"));
    assert_non_null(strstr(text_get(&text), "\r\nAllow: GET\r\n"));
    close(fd);
}

/* --- through the client --- */

struct heard {
    int events, turns;
    char last[256];
};

static bool hear(void *context, const char *event, json_t *data)
{
    struct heard *heard = context;
    if (!event) {
        heard->turns++;
        return heard->events < 2;
    }
    json_t *changes = json_object_get(data, "changes");
    if (strcmp(event, "ruleset") == 0) {
        heard->events++;
        const char *last = json_string_value(json_array_get(changes, 0));
        snprintf(heard->last, sizeof(heard->last), "%s", last ? last : "");
    }
    if (heard->events == 1) { /* now the second comes: from another client */
        struct wire_client *other = NULL;
        json_t *body = json_pack("{s:s, s:s}", "name", "p", "isolate", "n2");
        assert_int_equal(wire_client_create(fixture->url, "other", &other, NULL), 0);
        assert_int_equal(wire_client_request(other, "POST", "/v1/partitions", body, NULL, NULL), 0);
        json_decref(body);
        wire_client_destroy(other);
    }
    return true;
}

static void the_client_hears_events(void **state)
{
    (void)state;
    struct heard heard = {0};
    struct error error = {0};
    assert_int_equal(pthread_create(&fixture->thread, NULL, fixture_serve, fixture), 0);
    int code = wire_client_events(fixture->client, hear, &heard, &error);
    atomic_store(&fixture->stop, true);
    pthread_join(fixture->thread, NULL);
    assert_int_equal(code, 0);
    assert_int_equal(heard.events, 2);
    assert_true(heard.turns >= 1);
    assert_string_equal(heard.last, "partition p set");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_listener_hears_of_changes),
        TEST(a_failed_change_is_not_told),
        TEST(heartbeats),
        TEST(since),
        TEST(a_listener_that_does_not_read_is_dropped),
        TEST(too_many_listeners),
        TEST(head_is_refused),
        TEST(the_client_hears_events),
    };
    return cmocka_run_group_tests_name("proxy/api/events", tests, NULL, NULL);
}
