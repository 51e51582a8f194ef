/* GET /v1/capture, over captures in memory. The server runs turn by turn in the test's thread. */
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

static void turn(void)
{
    struct pollfd polled = {.events = POLLIN};
    api_poll_fds(fixture->api, &polled.fd, 1);
    if (api_deadline_ns(fixture->api, fixture_now_ns(fixture)) > fixture_now_ns(fixture))
        poll(&polled, 1, 20);
    api_run(fixture->api, fixture_now_ns(fixture));
}

/* Adds what has come. False when the connection has ended. */
static bool receive(int fd)
{
    char buffer[65536];
    ssize_t got = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (got > 0)
        text_append_bytes(&text, buffer, (size_t)got);
    return got > 0 || (got < 0 && errno == EAGAIN);
}

static void wait_for(int fd, const char *part)
{
    uint64_t end_ns = monotonic_now_ns() + 20 * NS_PER_S;
    while (!strstr(text_get(&text), part)) {
        if (monotonic_now_ns() > end_ns)
            fail_msg("no %s in %s", part, text_get(&text));
        turn();
        receive(fd);
    }
}

static int get(const char *path)
{
    char request[512];
    int fd = fixture_connect(fixture);
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    fixture_send(fd, request, strlen(request));
    text_clear(&text);
    return fd;
}

/* Until nothing is to do: all streams that have nothing are suspended. */
static void settle(void)
{
    while (api_deadline_ns(fixture->api, fixture_now_ns(fixture)) <= fixture_now_ns(fixture))
        turn();
}

static void give(struct capture *capture, const char *block, unsigned blocks)
{
    const uint64_t one = 1;
    capture->block = block;
    capture->blocks = blocks;
    assert_int_equal(write(fixture->wake_fd, &one, sizeof(one)), sizeof(one));
}

static void blocks_come_as_they_are_there(void **state)
{
    (void)state;
    int fd = get("/v1/capture?node=n1&filter=udp%20port%2053&snaplen=96");
    wait_for(fd, "begin;");
    assert_has("HTTP/1.1 200 OK\r\n");
    assert_has("Content-Type: application/x-pcapng\r\n");
    struct capture *capture = &fixture->captures[0];
    assert_string_equal(capture->asked, "n1 ->- udp port 53 96");
    for (int i = 0; i < 3; i++) {
        settle();
        text_clear(&text);
        give(capture, "packet;", 1);
        wait_for(fd, "packet;");
    }
    assert_int_equal(capture->read, 4);
    capture->over = true; /* the lab has ended */
    give(capture, "end;", 1);
    wait_for(fd, "end;");
    wait_for(fd, "\r\n0\r\n\r\n");
    settle();
    assert_false(capture->open);
    /* The connection that asked goes on. */
    const char *request = "GET /v1/nodes/n1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    fixture_send(fd, request, strlen(request));
    wait_for(fd, "\"name\":\"n1\"");
    close(fd);
}

static void what_is_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *query, *asked;
    } good[] = {
        {"", "- ->-  0"},
        {"?link=n1-%3En2", "- n1>n2  0"},
        {"?link=n1%3C-%3En2&filter=tcp", "- n1<>n2 tcp 0"},
        {"?filter=tcp&node=n2", "n2 ->- tcp 0"},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char path[128];
        snprintf(path, sizeof(path), "/v1/capture%s", good[i].query);
        int fd = get(path);
        wait_for(fd, "begin;");
        assert_string_equal(fixture->captures[0].asked, good[i].asked);
        close(fd);
        atomic_fetch_add(&fixture->skew_ns, 2 * NS_PER_S);
        while (fixture->captures[0].open)
            turn();
    }
}

static void what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *query, *status, *words;
    } bad[] = {
        {"?node=n9", "404", "\"place\":\"node\""},
        {"?filter=bad", "400", "\"place\":\"filter\""},
        {"?link=n1", "400", "\"place\":\"link\""},
        {"?link=n1-%3En1", "400", "different nodes"},
        {"?link=-%3En1", "400", "\"place\":\"link\""},
        {"?node=n1&link=n1-%3En2", "400", "not both"},
        {"?snaplen=x", "400", "\"place\":\"snaplen\""},
        {"?filter=a%00b", "400", "\"place\":\"filter\""},
        {"?filter=a%0Ab", "400", "\"place\":\"filter\""},
        {"?filter=tcp&filter=udp", "400", "there twice"},
        {"?nodes=n1", "400", "the query may have node, link, filter, snaplen"},
        {"?filter=", "400", "a value is wanted"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char path[128], status[16];
        snprintf(path, sizeof(path), "/v1/capture%s", bad[i].query);
        snprintf(status, sizeof(status), "HTTP/1.1 %s ", bad[i].status);
        int fd = get(path);
        wait_for(fd, "}}");
        assert_has(status);
        assert_has(bad[i].words);
        close(fd);
    }
    int fd = fixture_connect(fixture);
    const char *request = "HEAD /v1/capture HTTP/1.1\r\nHost: localhost\r\n\r\n";
    text_clear(&text);
    fixture_send(fd, request, strlen(request));
    wait_for(fd, "HTTP/1.1 405");
    close(fd);
}

/* Who is gone makes room at once for another, and within a second for the workers. */
static void there_are_only_so_many(void **state)
{
    (void)state;
    int fds[FIXTURE_CAPTURES_MAX];
    for (int i = 0; i < FIXTURE_CAPTURES_MAX; i++) {
        fds[i] = get("/v1/capture");
        wait_for(fds[i], "begin;");
    }
    int more = get("/v1/capture");
    wait_for(more, "HTTP/1.1 503");
    close(more);
    settle();
    close(fds[1]);
    fds[1] = get("/v1/capture");
    wait_for(fds[1], "begin;");
    for (int i = 0; i < FIXTURE_CAPTURES_MAX; i++)
        close(fds[i]);
    settle();
    uint64_t now_ns = fixture_now_ns(fixture);
    assert_in_range(api_deadline_ns(fixture->api, now_ns), now_ns, now_ns + NS_PER_S);
    atomic_fetch_add(&fixture->skew_ns, NS_PER_S);
    for (int i = 0; i < FIXTURE_CAPTURES_MAX; i++)
        while (fixture->captures[i].open)
            turn();
}

/* One that does not read costs nothing but its buffers, and delays nobody. */
static void a_reader_that_does_not_read(void **state)
{
    (void)state;
    int slow = get("/v1/capture?node=n1");
    wait_for(slow, "begin;");
    int good = get("/v1/capture?node=n2");
    wait_for(good, "begin;");
    settle();
    give(&fixture->captures[0], "flood;", UINT_MAX);
    uint64_t before = 0;
    for (int still = 0; still < 20; still++) { /* until its buffers are full */
        if (fixture->captures[0].read != before)
            still = 0;
        before = fixture->captures[0].read;
        turn();
    }
    assert_true(before > 1);
    settle(); /* nothing to do for it */
    give(&fixture->captures[1], "packet;", 1);
    wait_for(good, "packet;");
    assert_int_equal(fixture->captures[0].read, before);
    uint64_t wanted = before + 5; /* it reads again: more comes */
    while (fixture->captures[0].read < wanted) {
        receive(slow);
        turn();
    }
    close(slow);
    while (fixture->captures[0].open)
        turn();
    close(good);
}

/* The end of severd ends the answers as they should. */
static void the_end_is_clean(void **state)
{
    (void)state;
    int fd = get("/v1/capture"), slow = get("/v1/capture");
    wait_for(fd, "begin;");
    settle();
    give(&fixture->captures[1], "flood;", UINT_MAX);
    settle();
    uint64_t begin_ns = monotonic_now_ns();
    api_destroy(fixture->api);
    fixture->api = NULL;
    assert_true(monotonic_now_ns() - begin_ns < 5 * NS_PER_S);
    while (receive(fd))
        ;
    assert_has("end;");
    assert_has("\r\n0\r\n\r\n");
    for (int i = 0; i < FIXTURE_CAPTURES_MAX; i++)
        assert_false(fixture->captures[i].open);
    close(fd);
    close(slow);
}

/* --- through the client --- */

struct heard {
    struct text text;
    size_t wanted;
    int turns;
};

static bool hear(void *context, const char *bytes, size_t length)
{
    struct heard *heard = context;
    if (bytes)
        text_append_bytes(&heard->text, bytes, length);
    heard->turns += !bytes;
    return heard->text.length < heard->wanted || (heard->wanted == 6 && heard->turns < 2);
}

static void the_client_reads_a_stream(void **state)
{
    (void)state;
    struct heard heard = {.wanted = 6};
    struct error error = {0};
    assert_int_equal(pthread_create(&fixture->thread, NULL, fixture_serve, fixture), 0);
    assert_int_equal(wire_client_stream(fixture->client, "/v1/capture", 0, hear, &heard, &error),
                     0);
    assert_string_equal(text_get(&heard.text), "begin;");
    assert_true(heard.turns >= 2);
    heard.wanted = 1000;
    assert_int_equal(
        wire_client_stream(fixture->client, "/v1/capture?node=n9", 0, hear, &heard, &error),
        -ENOENT);
    assert_string_equal(error.place, "node");
    assert_int_equal(
        wire_client_stream(fixture->client, "/v1/capture", 100 * NS_PER_MS, hear, &heard, &error),
        -ETIMEDOUT);
    atomic_store(&fixture->stop, true);
    pthread_join(fixture->thread, NULL);
    text_free(&heard.text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(blocks_come_as_they_are_there),
        TEST(what_is_asked_for),
        TEST(what_is_refused),
        TEST(there_are_only_so_many),
        TEST(a_reader_that_does_not_read),
        TEST(the_end_is_clean),
        TEST(the_client_reads_a_stream),
    };
    return cmocka_run_group_tests_name("proxy/api/capture", tests, NULL, NULL);
}
