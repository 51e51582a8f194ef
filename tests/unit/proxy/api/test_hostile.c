/* What a client must not be able to do: be a web page, send too much, or keep others waiting. */
#include "tests/unit/proxy/api/fixture.h"

#include "proxy/base/random.h"

static void hosts(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        int status;
    } cases[] = {
        {"localhost", 200},
        {"LOCALHOST:8474", 200},
        {"127.0.0.1", 200},
        {"127.9.8.7:1", 200},
        {"[::1]:8474", 200},
        {"[::1]", 200},
        {"evil.example", 403},
        {"evil.example:8474", 403},
        {"localhost.evil.example", 403},
        {"127.0.0.1.evil", 403},
        {"10.0.0.1:8474", 403},
        {"[::2]:8474", 403},
        {"localhost:8474x", 403},
        {"[::1]x", 403},
        {"", 403},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char line[128];
        snprintf(line, sizeof(line), "Host: %s\r\n", cases[i].host);
        int status = raw("GET /v1/status", line, NULL);
        if (status != cases[i].status)
            fail_msg("Host '%s': %d", cases[i].host, status);
    }
    assert_int_equal(raw("GET /v1/status", "", NULL), 400); /* HTTP/1.1 needs one */
    assert_int_equal(fixture_raw(fixture, "GET /v1/status HTTP/1.0\r\n\r\n", &text), 403);
}

static void origins(void **state)
{
    (void)state;
    char line[256];
    static const struct {
        const char *origin;
        int status;
    } cases[] = {{"http://evil.example", 403},
                 {"null", 403},
                 {"https://%s", 403},
                 {"http://localhost:3000", 403},
                 {"http://%s", 201}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char origin[160];
        const char *mark = strstr(cases[i].origin, "%s");
        snprintf(origin, sizeof(origin), "%.*s%s",
                 mark ? (int)(mark - cases[i].origin) : (int)strlen(cases[i].origin),
                 cases[i].origin, mark ? fixture->host : "");
        snprintf(line, sizeof(line), "Host: %s\r\nOrigin: %s\r\n", fixture->host, origin);
        int status = raw("POST /v1/partitions", line, "{\"isolate\":\"n1\"}");
        if (status != cases[i].status)
            fail_msg("Origin '%s': %d", origin, status);
    }
    assert_int_equal(fixture->ruleset.partition_count, 1);
}

/* A page's image, script or no-cors fetch has no Origin; browsers say from where it is. */
static void requests_of_other_sites(void **state)
{
    (void)state;
    static const struct {
        const char *site;
        int status;
    } cases[] = {{"cross-site", 403}, {"same-site", 403}, {"same-origin", 200}, {"none", 200}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char lines[128];
        snprintf(lines, sizeof(lines), "Host: localhost\r\nSec-Fetch-Site: %s\r\n", cases[i].site);
        if (raw("GET /v1/doctor", lines, NULL) != cases[i].status)
            fail_msg("%s: %s", cases[i].site, text_get(&text));
    }
}

/* --no-token on a network: any Host is served, but a page must not have led its name here. */
static void names_that_lead_here(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        int status;
    } cases[] = {
        {"Host: toxiproxy:8474\r\n", 201},
        {"Host: toxiproxy:8474\r\nUser-Agent: curl/7\r\n", 201},
        {"Host: 10.0.0.1\r\nUser-Agent: Mozilla/5.0\r\n", 201},
        {"Host: 10.0.0.1\r\nOrigin: http://10.0.0.1\r\n", 201},
        {"Host: localhost:1\r\nOrigin: http://localhost:1\r\n", 201},
        {"Host: evil.example\r\nOrigin: http://evil.example\r\n", 403},
        {"Host: evil.example\r\nUser-Agent: Mozilla/5.0\r\n", 403},
        {"Host: 10.0.0.1\r\nOrigin: http://evil.example\r\n", 403},
    };
    fixture_stop(fixture);
    fixture = fixture_create("127.0.0.1:0");
    api_configure(fixture->api, &(struct api_options){.any_host = true});
    assert_int_equal(pthread_create(&fixture->thread, NULL, fixture_serve, fixture), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (raw("POST /v1/partitions", cases[i].lines, "{\"isolate\":\"n1\"}") != cases[i].status)
            fail_msg("%s: %s", cases[i].lines, text_get(&text));
}

static void statuses_and_headers(void **state)
{
    (void)state;
    assert_int_equal(raw("GET /v1/ruleset", "Host: localhost\r\n", NULL), 200);
    assert_non_null(strstr(text_get(&text), "\r\nETag: \"1\"\r\n"));
    assert_non_null(strstr(text_get(&text), "\r\nContent-Type: application/json\r\n"));
    assert_int_equal(raw("HEAD /v1/ruleset", "Host: localhost\r\n", NULL), 200);
    assert_null(strchr(text_get(&text), '{'));
    assert_int_equal(raw("PATCH /v1/nodes", "Host: localhost\r\n", "{}"), 405);
    assert_non_null(strstr(text_get(&text), "\r\nAllow: GET, HEAD, POST\r\n"));
    assert_non_null(strstr(text_get(&text), "\"code\":\"EOPNOTSUPP\""));
    assert_int_equal(raw("DELETE /v1/status", "Host: localhost\r\n", NULL), 405);
    assert_non_null(strstr(text_get(&text), "\r\nAllow: GET, HEAD\r\n"));
    assert_int_equal(raw("GET /v2/status", "Host: localhost\r\n", NULL), 404);
    assert_int_equal(raw("POST /v1/partitions", "Host: localhost\r\nIf-Match: \"9\"\r\n",
                         "{\"isolate\":\"n1\"}"),
                     412);
    assert_int_equal(
        raw("POST /v1/partitions", "Host: localhost\r\nIf-Match: 1\r\n", "{\"isolate\":\"n1\"}"),
        400);
    assert_int_equal(
        raw("POST /v1/partitions", "Host: localhost\r\nIf-Match: *\r\n", "{\"isolate\":\"n1\"}"),
        201);
    assert_non_null(strstr(text_get(&text), "\r\nETag: \"2\"\r\n"));
    assert_int_equal(raw("POST /v1/partitions", "Host: localhost\r\n",
                         "{\"name\":\"isolate-1\",\"isolate\":\"n1\"}"),
                     409);
    assert_int_equal(raw("POST /v1/partitions", "Host: localhost\r\n", ""), 400);
    assert_int_equal(raw("POST /v1/partitions", "Host: localhost\r\n", "{\n \"isolate\": }"), 400);
    assert_non_null(strstr(text_get(&text), "\"place\":\"line 2, column"));
    assert_int_equal(raw("DELETE /v1/partitions", "Host: localhost\r\n", NULL), 204);
    assert_non_null(strstr(text_get(&text), "\r\nETag: \"3\"\r\n"));
}

static void who_asks(void **state)
{
    (void)state;
    static const struct {
        const char *headers, *by;
    } cases[] = {
        {"X-Sever-By: me\r\nUser-Agent: severctl/1\r\n", "me"},
        {"User-Agent: severctl/0.1.0\r\n", "severctl"},
        {"User-Agent: sever/0.1.0\r\n", "sever"},
        {"User-Agent: several\r\n", "api"},
        {"", "api"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char headers[256], wanted[64];
        snprintf(headers, sizeof(headers), "Host: localhost\r\n%s", cases[i].headers);
        assert_int_equal(raw("POST /v1/partitions", headers, "{\"isolate\":\"n1\"}"), 201);
        snprintf(wanted, sizeof(wanted), "\"set_by\":\"%s\"", cases[i].by);
        assert_non_null(strstr(text_get(&text), wanted));
    }
    char headers[256];
    snprintf(headers, sizeof(headers), "Host: localhost\r\nX-Sever-By: %064d\r\n", 0);
    assert_int_equal(raw("POST /v1/partitions", headers, "{\"isolate\":\"n1\"}"), 400);
    static const char *const bad[] = {"\xff", "\x1b[2J", "a\x07", "\xc2\x9b"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(headers, sizeof(headers), "Host: localhost\r\nX-Sever-By: %s\r\n", bad[i]);
        assert_int_equal(raw("POST /v1/nodes", headers, "{\"name\":\"n9\"}"), 400);
    }
    assert_non_null(strstr(text_get(&text), "\"place\":\"X-Sever-By\""));
}

/* A key without a value is no filter, and must not be taken for none. */
static void queries_without_a_value_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line, *wanted;
    } cases[] = {
        {"DELETE /v1/faults?link", "write link=n1->n2"},
        {"DELETE /v1/faults?link=", "write link=n1->n2"},
        {"GET /v1/links?node", "write node=n1"},
        {"GET /v1/events?since", "write since=12"},
        {"GET /v1/links?node=n1&node", "twice"},
    };
    assert_int_equal(fixture_ask(fixture, "POST", "/v1/faults",
                                 "{\"type\":\"latency\",\"link\":\"n1->n2\",\"delay_ns\":1}",
                                 &text),
                     0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(raw(cases[i].line, "Host: localhost\r\n", NULL), 400);
        if (!strstr(text_get(&text), cases[i].wanted))
            fail_msg("no '%s' in %s", cases[i].wanted, text_get(&text));
    }
    assert_int_equal(fixture->ruleset.fault_count, 1);
}

static void long_names_in_a_path(void **state)
{
    (void)state;
    char line[512];
    snprintf(line, sizeof(line), "GET /v1/nodes/%0*d", RULESET_FAULT_NAME_MAX - 1, 0);
    assert_int_equal(raw(line, "Host: localhost\r\n", NULL), 404);
    for (int length = RULESET_FAULT_NAME_MAX; length < 400; length += 100) {
        snprintf(line, sizeof(line), "GET /v1/nodes/%0*d", length, 0);
        assert_int_equal(raw(line, "Host: localhost\r\n", NULL), 400);
        assert_non_null(strstr(text_get(&text), "at most 127 bytes"));
    }
}

static void a_huge_body_is_refused_and_answered(void **state)
{
    (void)state;
    int fd = fixture_connect(fixture);
    char head[256];
    char *chunk = memory_allocate_zeroed(1, 1 << 20);
    memset(chunk, ' ', 1 << 20);
    snprintf(head, sizeof(head),
             "PUT /v1/ruleset HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
             "Content-Length: %d\r\n\r\n",
             9 << 20);
    fixture_send(fd, head, strlen(head));
    for (int i = 0; i < 9; i++)
        fixture_send(fd, chunk, 1 << 20);
    fixture_receive(fd, &text);
    assert_non_null(strstr(text_get(&text), "HTTP/1.1 413"));
    assert_non_null(strstr(text_get(&text), "a body is at most 8388608 bytes"));
    close(fd);
    free(chunk);
    assert_int_equal(fixture->ruleset.version, 1);
}

/* The status of an innocent request with a body: 400 when it is read, 503 when there is no room. */
static int small_body(void)
{
    return raw("PUT /v1/ruleset", "Host: localhost\r\n", "{\"nonsense\": 1}");
}

static void all_bodies_together_are_bounded(void **state)
{
    (void)state;
    enum { FULL = API_BODIES_MAX / (8 << 20), COUNT = FULL + 1 };
    int fds[COUNT];
    uint64_t end_ns = monotonic_now_ns() + 120 * NS_PER_S;
    atomic_store(&fixture->stopped_ns, monotonic_now_ns()); /* no request is too slow */
    for (size_t i = 0; i < COUNT; i++)
        fds[i] = hand_in("PUT /v1/ruleset", "Host: localhost\r\n", 8 << 20);
    while (small_body() != 503) /* until the last has arrived */
        assert_true(monotonic_now_ns() < end_ns);
    assert_non_null(strstr(text_get(&text), "64 MiB"));
    assert_int_equal(raw("GET /v1/status", "Host: localhost\r\n", NULL), 200);
    size_t refused = 0;
    for (size_t i = 0; i < COUNT; i++) {
        fixture_send(fds[i], " ", 1);
        fixture_receive(fds[i], &text);
        refused += strstr(text_get(&text), "HTTP/1.1 503") != NULL;
        close(fds[i]);
    }
    assert_int_equal(refused, 1);
    assert_int_equal(small_body(), 400); /* and there is room again */
}

/* Nothing is kept of what will not be read: more than all room there is, and room is left. */
static void bodies_of_refused_requests_are_not_kept(void **state)
{
    (void)state;
    enum { COUNT = API_BODIES_MAX / (8 << 20) + 1 };
    static const struct {
        const char *line, *headers, *status;
    } cases[] = {
        {"PUT /v1/ruleset", "Host: evil.example\r\n", "HTTP/1.1 403"},
        {"PUT /v1/ruleset", "Host: localhost\r\nOrigin: http://evil.example\r\n", "HTTP/1.1 403"},
        {"PUT /v1/nowhere", "Host: localhost\r\n", "HTTP/1.1 404"},
        {"PUT /v1/status", "Host: localhost\r\n", "HTTP/1.1 405"},
        {"DELETE /v1/partitions", "Host: localhost\r\n", "HTTP/1.1 204"},
        {"GET /v1/status", "Host: localhost\r\n", "HTTP/1.1 200"},
    };
    int fds[COUNT];
    atomic_store(&fixture->stopped_ns, monotonic_now_ns()); /* no request is too slow */
    for (size_t i = 0; i < COUNT; i++) {
        size_t which = i % (sizeof(cases) / sizeof(cases[0]));
        fds[i] = hand_in(cases[which].line, cases[which].headers, 9 << 20);
        assert_int_equal(small_body(), 400);
    }
    for (size_t i = 0; i < COUNT; i++) {
        fixture_send(fds[i], " ", 1);
        fixture_receive(fds[i], &text);
        assert_non_null(
            strstr(text_get(&text), cases[i % (sizeof(cases) / sizeof(cases[0]))].status));
        close(fds[i]);
    }
}

static void a_truncated_body_changes_nothing(void **state)
{
    (void)state;
    const char *request =
        "POST /v1/partitions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
        "\r\n{\"isolate\":\"n1\"}";
    int fd = fixture_connect(fixture);
    fixture_send(fd, request, strlen(request));
    shutdown(fd, SHUT_WR);
    assert_int_equal(fixture_ask(fixture, "GET", "/v1/status", NULL, &text), 0);
    /* libmicrohttpd may miss a FIN that comes together with data: the deadline does not. */
    atomic_store(&fixture->skew_ns, 31 * NS_PER_S);
    fixture_receive(fd, &text);
    assert_string_equal(text_get(&text), "");
    close(fd);
    assert_int_equal(fixture_ask(fixture, "GET", "/v1/partitions", NULL, &text), 0);
    assert_string_equal(text_get(&text), "{\"partitions\":[]}");
}

static void deep_and_odd_bodies(void **state)
{
    (void)state;
    char deep[4096];
    memset(deep, '[', sizeof(deep));
    memcpy(deep, "{\"nodes\":", 9);
    deep[sizeof(deep) - 1] = '\0';
    assert_int_equal(raw("PUT /v1/ruleset", "Host: localhost\r\n", deep), 400);
    assert_non_null(strstr(text_get(&text), "nested deeper than 16 levels"));
    assert_int_equal(raw("PUT /v1/ruleset", "Host: localhost\r\n", "[]"), 400);
    assert_int_equal(raw("PUT /v1/ruleset", "Host: localhost\r\n", "{\"a\":1,\"a\":2}"), 400);
    assert_non_null(strstr(text_get(&text), "duplicate"));
    assert_int_equal(
        raw("PUT /v1/ruleset", "Host: localhost\r\n", "{\"seed\":99999999999999999999}"), 400);
}

/* A client that sends a byte now and then disturbs nobody, and is ended after 30 s. */
static void slow_clients_wait_alone(void **state)
{
    (void)state;
    int slow[8];
    const char *start = "POST /v1/partitions HTTP/1.1\r\nHost: localhost\r\nContent-Le";
    for (size_t i = 0; i < 8; i++) {
        slow[i] = fixture_connect(fixture);
        fixture_send(slow[i], start, strlen(start));
    }
    for (size_t i = 0; i < 50; i++) {
        fixture_send(slow[i % 8], "x", 1);
        assert_int_equal(fixture_ask(fixture, "GET", "/v1/status", NULL, &text), 0);
    }
    atomic_store(&fixture->skew_ns, 31 * NS_PER_S);
    for (size_t i = 0; i < 8; i++) {
        fixture_receive(slow[i], &text); /* returns when the server has closed */
        close(slow[i]);
    }
    assert_int_equal(fixture_ask(fixture, "GET", "/v1/status", NULL, &text), 0);
}

static void silent_connections_lock_nobody_out(void **state)
{
    (void)state;
    enum { COUNT = API_CONNECTIONS_MAX + 100 };
    static int silent[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        silent[i] = fixture_connect(fixture);
        if (i % 50 == 0)
            assert_int_equal(fixture_ask(fixture, "GET", "/v1/nodes", NULL, &text), 0);
    }
    assert_int_equal(raw("GET /v1/status", "Host: localhost\r\n", NULL), 200);
    assert_int_equal(fixture_ask(fixture, "GET", "/v1/nodes", NULL, &text), 0);
    for (size_t i = 0; i < COUNT; i++)
        close(silent[i]);
}

/* Bytes that are no HTTP at all. */
static void noise_is_survived(void **state)
{
    (void)state;
    static const char start[8] = {'G', 'E', 'T', ' ', '/', 'v', '1', '/'};
    struct random_stream dice = {.key = 7};
    for (size_t round = 0; round < 200; round++) {
        char noise[256];
        int fd = fixture_connect(fixture);
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = (char)random_next(&dice);
        if (round % 2 == 0)
            memcpy(noise, start, sizeof(start));
        fixture_send(fd, noise, sizeof(noise));
        if (round % 4 < 2)
            shutdown(fd, SHUT_WR);
        close(fd);
    }
    assert_int_equal(fixture_ask(fixture, "GET", "/v1/status", NULL, &text), 0);
    assert_int_equal(fixture->ruleset.version, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(hosts),
        TEST(origins),
        TEST(requests_of_other_sites),
        TEST(names_that_lead_here),
        TEST(statuses_and_headers),
        TEST(who_asks),
        TEST(queries_without_a_value_are_refused),
        TEST(long_names_in_a_path),
        TEST(a_huge_body_is_refused_and_answered),
        TEST(all_bodies_together_are_bounded),
        TEST(bodies_of_refused_requests_are_not_kept),
        TEST(a_truncated_body_changes_nothing),
        TEST(deep_and_odd_bodies),
        TEST(slow_clients_wait_alone),
        TEST(silent_connections_lock_nobody_out),
        TEST(noise_is_survived),
    };
    return cmocka_run_group_tests_name("proxy/api/hostile", tests, NULL, NULL);
}
