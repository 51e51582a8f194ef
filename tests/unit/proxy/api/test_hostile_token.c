/* Clients of an API that wants a token, and do not have it; and what a client must not be able to
 * do on the paths of Toxiproxy, which are read leniently: send too much, or keep others waiting. */
#include "tests/unit/proxy/api/fixture.h"

#define TOKEN "s3cret"
#define WITH_TOKEN "Host: localhost\r\nAuthorization: Bearer " TOKEN "\r\n"

static int set_up(void **state)
{
    (void)state;
    fixture = fixture_create("127.0.0.1:0");
    api_configure(fixture->api, &(struct api_options){.token = TOKEN, .any_host = true});
    return pthread_create(&fixture->thread, NULL, fixture_serve, fixture);
}

static const char *const lines[] = {
    "GET /v1/status",
    "GET /v1/ruleset",
    "PUT /v1/ruleset",
    "POST /v1/partitions",
    "DELETE /v1/partitions",
    "GET /v1/events",
    "GET /v1/nowhere",
    "GET /version",
    "GET /metrics",
    "GET /proxies",
    "POST /proxies",
    "POST /populate",
    "POST /reset",
    "PATCH /proxies/p",
    "POST /proxies/p/toxics",
    "DELETE /proxies/p/toxics/t",
    "GET /nowhere",
    "OPTIONS /proxies",
};

static void every_path_wants_the_token(void **state)
{
    (void)state;
    static const char *const credentials[] = {
        "",
        "Authorization: Bearer s3cre\r\n",
        "Authorization: Bearer s3cretx\r\n",
        "Authorization: s3cret\r\n",
        "Authorization: Bearer\r\n",
        "Authorization: Basic czNjcmV0\r\n",
        "X-Authorization: Bearer s3cret\r\n",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        for (size_t c = 0; c < sizeof(credentials) / sizeof(credentials[0]); c++) {
            char headers[256];
            snprintf(headers, sizeof(headers), "Host: localhost\r\n%s", credentials[c]);
            int status = raw(lines[i], headers, lines[i][0] == 'G' ? NULL : "{}");
            if (status != 401)
                fail_msg("%s with '%s': %d", lines[i], credentials[c], status);
        }
    assert_int_equal(fixture->ruleset.version, 1);
    assert_int_equal(raw("GET /v1/status", WITH_TOKEN, NULL), 200);
    assert_int_equal(raw("GET /proxies", WITH_TOKEN, NULL), 200);
    assert_int_equal(raw("POST /reset", WITH_TOKEN, ""), 204);
}

/* A token does not make up for being another site's page. */
static void a_page_with_the_token_is_refused(void **state)
{
    (void)state;
    static const char *const pages[] = {"Origin: http://evil.example\r\n", "Origin: null\r\n",
                                        "Sec-Fetch-Site: cross-site\r\n"};
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        char headers[256];
        snprintf(headers, sizeof(headers), "%s%s", WITH_TOKEN, pages[i]);
        int native = raw("POST /v1/partitions", headers, "{\"isolate\":\"n1\"}");
        int toxiproxy = raw("POST /reset", headers, "");
        if (native != 403 || toxiproxy != 403)
            fail_msg("%s: %d and %d", pages[i], native, toxiproxy);
    }
    assert_int_equal(fixture->ruleset.version, 1);
}

/* More than all the room that there is for bodies, and there is room. */
static void bodies_without_a_token_are_not_kept(void **state)
{
    (void)state;
    enum { COUNT = API_BODIES_MAX / (8 << 20) + 1 };
    int fds[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        fds[i] =
            hand_in(i % 2 ? "POST /populate" : "PUT /v1/ruleset", "Host: localhost\r\n", 8 << 20);
        assert_int_equal(raw("PUT /v1/ruleset", WITH_TOKEN, "{\"nonsense\": 1}"), 400);
    }
    for (size_t i = 0; i < COUNT; i++) {
        fixture_send(fds[i], " ", 1);
        fixture_receive(fds[i], &text);
        assert_non_null(strstr(text_get(&text), "HTTP/1.1 401"));
        close(fds[i]);
    }
}

static void a_huge_body_is_refused_and_answered(void **state)
{
    (void)state;
    static const char *const to[] = {"POST /proxies", "POST /populate", "POST /proxies/p/toxics"};
    for (size_t i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
        int fd = hand_in(to[i], WITH_TOKEN, 9 << 20);
        fixture_send(fd, " ", 1);
        fixture_receive(fd, &text);
        if (!strstr(text_get(&text), "HTTP/1.1 413"))
            fail_msg("%s: %s", to[i], text_get(&text));
        close(fd);
    }
    assert_int_equal(fixture->ruleset.version, 1);
}

static void odd_bodies(void **state)
{
    (void)state;
    static char deep[100000];
    memset(deep, '[', sizeof(deep) - 1);
    assert_int_equal(raw("POST /populate", WITH_TOKEN, deep), 400);
    assert_int_equal(raw("POST /proxies", WITH_TOKEN, deep), 400);
    assert_int_equal(raw("POST /proxies", WITH_TOKEN, "\xff\xfe"), 400);
    assert_int_equal(raw("POST /proxies", WITH_TOKEN, "{\"name\":\"a\\u0000b\"}"), 400);
    assert_int_equal(raw("POST /proxies", WITH_TOKEN, "{\"name\":\"a\",\"upstream\":7}"), 400);
    assert_int_equal(fixture->ruleset.version, 1);
}

/* A header as large as all the memory that a connection has, and one that never ends. */
static void large_headers(void **state)
{
    (void)state;
    static char filler[1 << 20], request[sizeof(filler) + 256];
    memset(filler, 'x', sizeof(filler) - 1);
    for (size_t length = 1 << 10; length < sizeof(filler); length *= 4) {
        filler[length] = '\0';
        int fd = fixture_connect(fixture);
        snprintf(request, sizeof(request),
                 "GET /proxies HTTP/1.1\r\nConnection: close\r\n%sX-Filler: %s\r\n\r\n", WITH_TOKEN,
                 filler);
        filler[length] = 'x';
        ssize_t sent = send(fd, request, strlen(request), MSG_NOSIGNAL);
        assert_true(sent > 0 || errno == ECONNRESET || errno == EPIPE);
        fixture_receive(fd, &text);
        close(fd);
        bool fits = length <= 16384;
        const char *status = text_get(&text);
        if (fits ? !strstr(status, "HTTP/1.1 200") : strstr(status, "HTTP/1.1 200") != NULL)
            fail_msg("%zu bytes: %.40s", length, status);
        assert_int_equal(raw("GET /proxies", WITH_TOKEN, NULL), 200);
    }
}

/* Clients that send a byte now and then, in the line, the headers, the body; each is ended in time,
 * and disturbs nobody. */
static void slow_clients_wait_alone(void **state)
{
    (void)state;
    static const char *const starts[] = {
        "PO",
        "POST /proxies HTTP/1.1\r\nHost: loc",
        "POST /proxies HTTP/1.1\r\n" WITH_TOKEN "Content-Length: 100\r\n\r\n{\"name\": \"",
        "POST /populate HTTP/1.1\r\n" WITH_TOKEN "Transfer-Encoding: chunked\r\n\r\nff\r\n[{",
        "POST /reset HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n",
    };
    enum { COUNT = 300, KINDS = sizeof(starts) / sizeof(starts[0]) };
    static int slow[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        slow[i] = fixture_connect(fixture);
        send(slow[i], starts[i % KINDS], strlen(starts[i % KINDS]), MSG_NOSIGNAL);
    }
    for (size_t i = 0; i < 100; i++) {
        send(slow[COUNT - 1 - i], "x", 1, MSG_NOSIGNAL);
        assert_int_equal(raw("GET /proxies", WITH_TOKEN, NULL), 200);
        assert_int_equal(raw("GET /v1/status", WITH_TOKEN, NULL), 200);
    }
    atomic_store(&fixture->skew_ns, 31 * NS_PER_S);
    for (size_t i = 0; i < COUNT; i++) {
        fixture_receive(slow[i], &text); /* returns when the server has closed */
        close(slow[i]);
    }
    assert_int_equal(raw("GET /proxies", WITH_TOKEN, NULL), 200);
    assert_int_equal(fixture->ruleset.version, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_path_wants_the_token),
        TEST(a_page_with_the_token_is_refused),
        TEST(bodies_without_a_token_are_not_kept),
        TEST(a_huge_body_is_refused_and_answered),
        TEST(odd_bodies),
        TEST(large_headers),
        TEST(slow_clients_wait_alone),
    };
    return cmocka_run_group_tests_name("proxy/api/hostile token", tests, NULL, NULL);
}
