/* Each route of the Toxiproxy API, each of its errors and defaults: what is asked and what is
 * answered, word by word. In what is wanted, "@" stands for any text without quotes. */
#include "tests/conformance/server.h"

static struct server server;

static int set_up(void **state)
{
    (void)state;
    server_start(&server, NULL, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    server_stop(&server);
    return 0;
}

static bool matches(const char *text, const char *wanted)
{
    while (*wanted) {
        if (*wanted == '@') {
            size_t skipped = strcspn(text, "\"");
            for (size_t i = 0; i <= skipped; i++)
                if (matches(text + i, wanted + 1))
                    return true;
            return false;
        }
        if (*wanted++ != *text++)
            return false;
    }
    return *text == '\0';
}

struct step {
    const char *method, *path, *body;
    int status;
    const char *answer; /* NULL: not looked at */
};

static void run(const struct step *steps, size_t count)
{
    struct answer answer = {0};
    for (size_t i = 0; i < count; i++) {
        const struct step *step = &steps[i];
        server_ask(&server, step->method, step->path, "", step->body, &answer);
        if (answer.status != step->status || (step->answer && !matches(answer.body, step->answer)))
            fail_msg("step %zu, %s %s %s\nwanted %d %s\nanswer %s", i, step->method, step->path,
                     step->body ? step->body : "", step->status, step->answer,
                     text_get(&answer.text));
    }
    text_free(&answer.text);
}

#define RUN(steps) run(steps, sizeof(steps) / sizeof((steps)[0]))

/* "error": the message alone. */
#define REFUSED(status, message) status, "{\"error\":\"" message "\",\"status\":" #status "}\n"

static void version_and_nothing_yet(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"GET", "/version", NULL, 200, "{\"version\": \"2.12.0\"}\n"},
        {"GET", "/proxies", NULL, 200, "{}"},
        {"POST", "/reset", NULL, 204, ""},
        {"POST", "/reset", "", 204, ""},
        {"POST", "/populate", "[]", 201, "{\"proxies\":null}"},
        {"POST", "/populate", "null", 201, "{\"proxies\":null}"},
    };
    RUN(steps);
}

static void unknown_paths_and_methods(void **state)
{
    (void)state;
    static const char missing[] = "404 page not found\n";
    static const struct step steps[] = {
        {"GET", "/nothing", NULL, 404, missing},
        {"GET", "/proxies/", NULL, 404, missing},
        {"GET", "/version/", NULL, 404, missing},
        {"GET", "/proxies/a/b", NULL, 404, missing},
        {"GET", "/proxies/a/toxics/b/c", NULL, 404, missing},
        {"GET", "/proxies/%zz", NULL, 404, missing},
        {"GET", "/Proxies", NULL, 404, missing},
        {"POST", "/version", "{}", 405, ""},
        {"PUT", "/proxies", "{}", 405, ""},
        {"DELETE", "/proxies", NULL, 405, ""},
        {"GET", "/populate", NULL, 405, ""},
        {"GET", "/reset", NULL, 405, ""},
        {"PUT", "/proxies/a", "{}", 405, ""},
        {"PUT", "/proxies/a/toxics", "{}", 405, ""},
        {"PUT", "/proxies/a/toxics/b", "{}", 405, ""},
        {"HEAD", "/proxies", NULL, 405, ""},
        {"OPTIONS", "/proxies", NULL, 405, ""},
        {"GET", "//proxies", NULL, 301, ""},
        {"GET", "/a/../proxies", NULL, 301, ""},
        {"GET", "/./proxies/", NULL, 301, ""},
        {"GET", "/proxies?x=y", NULL, 200, "{}"},
    };
    RUN(steps);
    struct answer answer = {0};
    server_ask(&server, "GET", "//proxies//x/", "", NULL, &answer);
    assert_non_null(strstr(text_get(&answer.text), "\r\nLocation: /proxies/x/\r\n"));
    server_ask(&server, "PUT", "/proxies", "", "{}", &answer);
    assert_null(strstr(text_get(&answer.text), "Allow:"));
    text_free(&answer.text);
}

static void what_headers_say(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *body, *headers;
        int status;
        const char *type; /* NULL: none */
        bool id;
    } cases[] = {
        {"GET", "/proxies", NULL, "", 200, "application/json", true},
        {"GET", "/version", NULL, "", 200, "application/json;charset=utf-8", true},
        {"GET", "/metrics", NULL, "", 200, "text/plain; version=0.0.4", true},
        {"GET", "/metrics", NULL, "User-Agent: Mozilla/5.0\r\n", 200, "text/plain; version=0.0.4",
         true},
        {"POST", "/reset", NULL, "", 204, NULL, true},
        {"GET", "/proxies/x", NULL, "", 404, "text/plain; charset=utf-8", true},
        {"POST", "/proxies", "", "", 400, "text/plain; charset=utf-8", true},
        {"POST", "/populate", "x", "", 400, "application/json", true},
        {"GET", "/nothing", NULL, "", 404, "text/plain; charset=utf-8", false},
        {"PUT", "/proxies", "", "", 405, NULL, false},
        {"GET", "/proxies", NULL, "User-Agent: Mozilla/5.0 (X11)\r\n", 403,
         "text/plain; charset=utf-8", true},
        {"GET", "/nothing", NULL, "User-Agent: Mozilla/5.0\r\n", 404, "text/plain; charset=utf-8",
         false},
        {"PUT", "/proxies", NULL, "User-Agent: Mozilla/5.0\r\n", 405, NULL, false},
        {"GET", "/proxies", NULL, "User-Agent: toxiproxy-cli/2.12.0 (linux/amd64)\r\n", 200,
         "application/json", true},
        {"GET", "/proxies", NULL, "Origin: http://evil.example\r\n", 403,
         "text/plain; charset=utf-8", false},
    };
    struct answer answer = {0};
    char ids[sizeof(cases) / sizeof(cases[0])][21] = {""};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char wanted[96];
        server_ask(&server, cases[i].method, cases[i].path, cases[i].headers, cases[i].body,
                   &answer);
        const char *text = text_get(&answer.text);
        const char *id = strstr(text, "\r\nX-Toxiproxy-Request-Id: ");
        snprintf(wanted, sizeof(wanted), "\r\nContent-Type: %s\r\n",
                 cases[i].type ? cases[i].type : "");
        bool typed = strstr(text, cases[i].type ? wanted : "\r\nContent-Type:") != NULL;
        if (answer.status != cases[i].status || typed != (cases[i].type != NULL) ||
            (id != NULL) != cases[i].id)
            fail_msg("case %zu: %s", i, text);
        if (!id)
            continue;
        id += strlen("\r\nX-Toxiproxy-Request-Id: ");
        assert_int_equal(strcspn(id, "\r"), 20);
        memcpy(ids[i], id, 20);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(ids[i], ids[j]);
    }
    server_ask(&server, "GET", "/version", "User-Agent: Mozilla/5.0\r\n", NULL, &answer);
    assert_string_equal(answer.body, "User agent not allowed\n");
    server_ask(&server, "GET", "/proxies/x", "", NULL, &answer);
    assert_non_null(strstr(text_get(&answer.text), "\r\nX-Content-Type-Options: nosniff\r\n"));
    text_free(&answer.text);
}

static void creating_a_proxy(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"POST", "/proxies", "", REFUSED(400, "bad request body: EOF")},
        {"POST", "/proxies", NULL, REFUSED(400, "bad request body: EOF")},
        {"POST", "/proxies", " \n", REFUSED(400, "bad request body: EOF")},
        {"POST", "/proxies", "{\"name\":", REFUSED(400, "bad request body: unexpected EOF")},
        {"POST", "/proxies", "{\"name\":\"a", REFUSED(400, "bad request body: @")},
        {"POST", "/proxies", "nonsense", REFUSED(400, "bad request body: @")},
        {"POST", "/proxies", "[]", REFUSED(400, "bad request body: @")},
        {"POST", "/proxies", "{\"name\":5}", REFUSED(400, "bad request body: name: @")},
        {"POST", "/proxies", "{\"enabled\":\"yes\"}", REFUSED(400, "bad request body: enabled: @")},
        {"POST", "/proxies", "null", REFUSED(400, "missing required field: name")},
        {"POST", "/proxies", "{}", REFUSED(400, "missing required field: name")},
        {"POST", "/proxies", "{\"name\":null}", REFUSED(400, "missing required field: name")},
        {"POST", "/proxies", "{\"name\":\"a\"}", REFUSED(400, "missing required field: upstream")},
        {"POST", "/proxies", "{\"upstream\":\"a:1\"}",
         REFUSED(400, "missing required field: name")},
        {"POST", "/proxies", "{\"name\":\"a\",\"upstream\":\"h:1\",\"listen\":\"bogus\"}",
         REFUSED(500, "listen tcp: address bogus: missing port in address")},
        {"POST", "/proxies", "{\"name\":\"a\",\"upstream\":\"h:1\",\"listen\":\"localhost:99999\"}",
         REFUSED(500, "listen tcp: address 99999: invalid port")},
        {"POST", "/proxies", "{\"name\":\"a\",\"upstream\":\"h:1\",\"listen\":\"192.0.2.1:5\"}",
         REFUSED(500, "listen tcp 192.0.2.1:5: bind: cannot assign requested address")},
        {"GET", "/proxies", NULL, 200, "{}"},
        {"POST", "/proxies",
         "{\"name\":\"a\",\"upstream\":\"localhost:1\",\"listen\":\"localhost:0\"}", 201,
         "{\"name\":\"a\",\"listen\":\"127.0.0.1:@\",\"upstream\":\"localhost:1\",\"enabled\":true,"
         "\"toxics\":[]}"},
        {"POST", "/proxies", "{\"name\":\"a\",\"upstream\":\"h:1\"}",
         REFUSED(409, "proxy already exists")},
        {"POST", "/proxies",
         "{\"NAME\":\"b\",\"UpStream\":\"some-host:1\",\"enabled\":null,\"unknown\":{}} trailing",
         201,
         "{\"name\":\"b\",\"listen\":\"[::]:@\",\"upstream\":\"some-host:1\",\"enabled\":true,"
         "\"toxics\":[]}"},
        {"POST", "/proxies",
         "{\"name\":\"off\",\"upstream\":\"h:1\",\"listen\":\"localhost:3310\",\"enabled\":false}",
         201,
         "{\"name\":\"off\",\"listen\":\"localhost:3310\",\"upstream\":\"h:1\",\"enabled\":false,"
         "\"toxics\":[]}"},
        {"GET", "/proxies", NULL, 200,
         "{\"a\":{\"name\":\"a\",@\"@\":\"@\",\"upstream\":\"@\",\"enabled\":true,\"toxics\":[]},"
         "\"b\":{\"name\":\"b\",@\"@\":\"@\",\"upstream\":\"@\",\"enabled\":true,\"toxics\":[]},"
         "\"off\":{\"name\":\"off\",@\"@\":\"@\",\"upstream\":\"@\",\"enabled\":false,"
         "\"toxics\":[]}}"},
    };
    RUN(steps);
    int port;
    int fd = listen_anywhere(1, &port);
    char body[160], wanted[160];
    snprintf(body, sizeof(body),
             "{\"name\":\"taken\",\"upstream\":\"h:1\",\"listen\":\"localhost:%d\"}", port);
    snprintf(wanted, sizeof(wanted),
             "{\"error\":\"listen tcp 127.0.0.1:%d: bind: address already in use\",\"status\":500}"
             "\n",
             port);
    const struct step taken[] = {{"POST", "/proxies", body, 500, wanted},
                                 {"GET", "/proxies/taken", NULL, REFUSED(404, "proxy not found")}};
    RUN(taken);
    close(fd);
}

static void names(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"POST", "/proxies", "{\"name\":\"a b/\xc3\xbc%\",\"upstream\":\"h:1\"}", 201, NULL},
        {"GET", "/proxies/a%20b%2f%C3%BC%25", NULL, 200,
         "{\"name\":\"a b/\xc3\xbc%\",@\"@\":\"@\""
         ",\"upstream\":\"h:1\",\"enabled\":true,\"toxics\":[]}"},
        {"DELETE", "/proxies/a%20b%2F%c3%bc%25", NULL, 204, ""},
        {"POST", "/proxies", "{\"name\":\"-a\",\"upstream\":\"h:1\"}", REFUSED(400, "a name is @")},
        {"POST", "/proxies", "{\"name\":\"a\\u0007\",\"upstream\":\"h:1\"}",
         REFUSED(400, "a name is @")},
        {"POST", "/proxies", "{\"name\":\"\xff\",\"upstream\":\"h:1\"}", 400, NULL},
        {"POST", "/proxies",
         "{\"name\":\"0123456789012345678901234567890123456789012345678901234567890123\","
         "\"upstream\":\"h:1\"}",
         REFUSED(400, "name is at most 63 bytes, not 64")},
        {"POST", "/proxies", "{\"name\":\"up\",\"upstream\":\"no port\"}", REFUSED(400, "@")},
        {"GET", "/proxies", NULL, 200, "{}"},
    };
    RUN(steps);
}

static void reading_and_removing_a_proxy(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"GET", "/proxies/a", NULL, REFUSED(404, "proxy not found")},
        {"POST", "/proxies/a", "{}", REFUSED(404, "proxy not found")},
        {"PATCH", "/proxies/a", "{}", REFUSED(404, "proxy not found")},
        {"DELETE", "/proxies/a", NULL, REFUSED(404, "proxy not found")},
        {"POST", "/proxies", "{\"name\":\"a\",\"upstream\":\"h:1\"}", 201, NULL},
        {"POST", "/proxies/a/toxics", "{\"type\":\"latency\"}", 200, NULL},
        {"GET", "/proxies/a", NULL, 200,
         "{\"name\":\"a\",\"listen\":\"@\",\"upstream\":\"h:1\",\"enabled\":true,\"toxics\":["
         "{\"attributes\":{\"latency\":0,\"jitter\":0},\"name\":\"latency_downstream\","
         "\"type\":\"latency\",\"stream\":\"downstream\",\"toxicity\":1}]}"},
        {"DELETE", "/proxies/a", NULL, 204, ""},
        {"GET", "/proxies", NULL, 200, "{}"},
        {"POST", "/proxies", "{\"name\":\"a\",\"upstream\":\"h:1\"}", 201, NULL},
        {"GET", "/proxies/a/toxics", NULL, 200, "[]"}, /* they went with it */
    };
    RUN(steps);
}

static void updating_a_proxy(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"POST", "/proxies", "{\"name\":\"a\",\"upstream\":\"h:1\",\"listen\":\"localhost:0\"}",
         201, NULL},
        {"POST", "/proxies/a", "", REFUSED(400, "bad request body: EOF")},
        {"PATCH", "/proxies/a", "{\"enabled\":0}", REFUSED(400, "bad request body: enabled: @")},
        {"POST", "/proxies/a", "{}", 200, NULL},
        {"PATCH", "/proxies/a", "{\"upstream\":\"other:2\"}", 200,
         "{\"name\":\"a\",\"listen\":\"127.0.0.1:@\",\"upstream\":\"other:2\",\"enabled\":true,"
         "\"toxics\":[]}"},
        {"POST", "/proxies/a", "{\"name\":\"b\",\"enabled\":false}", 200,
         "{\"name\":\"a\",\"listen\":\"127.0.0.1:@\",\"upstream\":\"other:2\",\"enabled\":false,"
         "\"toxics\":[]}"},
        {"POST", "/proxies/a", "{\"listen\":\"bogus\"}",
         REFUSED(500, "listen tcp: address bogus: missing port in address")},
        {"POST", "/proxies/a", "{\"listen\":\"192.0.2.1:5\",\"enabled\":true}",
         REFUSED(500, "listen tcp 192.0.2.1:5: bind: cannot assign requested address")},
        /* nothing of a change that failed is left */
        {"GET", "/proxies/a", NULL, 200,
         "{\"name\":\"a\",\"listen\":\"127.0.0.1:@\",\"upstream\":\"other:2\",\"enabled\":false,"
         "\"toxics\":[]}"},
        {"POST", "/proxies/a", "{\"enabled\":true}", 200,
         "{\"name\":\"a\",\"listen\":\"127.0.0.1:@\",\"upstream\":\"other:2\",\"enabled\":true,"
         "\"toxics\":[]}"},
    };
    RUN(steps);
}

/* Of a proxy's answer. */
static int port_of(const struct answer *answer)
{
    const char *listen = strstr(answer->body, "\"listen\":\"");
    assert_non_null(listen);
    const char *end = strchr(listen + strlen("\"listen\":\""), '"');
    while (end[-1] != ':')
        end--;
    return (int)strtol(end, NULL, 10);
}

static void a_proxy_keeps_its_port(void **state)
{
    (void)state;
    struct answer answer = {0};
    char body[128];
    int port = server_add_proxy(&server, "a", 1);
    server_ask(&server, "PATCH", "/proxies/a", "", "{\"enabled\":false}", &answer);
    assert_int_equal(port_of(&answer), port);
    assert_int_equal(connect_to(port), -1);
    assert_int_equal(errno, ECONNREFUSED);
    server_ask(&server, "PATCH", "/proxies/a", "", "{\"enabled\":true}", &answer);
    assert_int_equal(port_of(&answer), port);
    /* the same port of all addresses, which its own socket is in the way of */
    snprintf(body, sizeof(body), "{\"listen\":\":%d\"}", port);
    server_ask(&server, "POST", "/proxies/a", "", body, &answer);
    assert_int_equal(answer.status, 200);
    assert_int_equal(port_of(&answer), port);
    int fd = connect_to(port);
    assert_true(fd >= 0); /* IPv6's any address, reached by IPv4 */
    close(fd);
    text_free(&answer.text);
}

/* A change of listen that resolves to what it was touches no connection. */
static void the_same_address_is_no_change(void **state)
{
    (void)state;
    int upstream_port, upstream = listen_anywhere(8, &upstream_port);
    int port = server_add_proxy(&server, "a", upstream_port);
    int client = connect_to(port), behind = accept_from(upstream);
    char body[128];
    snprintf(body, sizeof(body), "{\"listen\":\"localhost:%d\",\"upstream\":\"127.0.0.1:%d\"}",
             port, upstream_port);
    server_tell(&server, "POST", "/proxies/a", body, 200);
    snprintf(body, sizeof(body),
             "[{\"name\":\"a\",\"listen\":\"localhost:%d\",\"upstream\":\"127.0.0.1:%d\"}]", port,
             upstream_port);
    server_tell(&server, "POST", "/populate", body, 201);
    send_text(client, "hello", 5);
    expect_bytes(behind, "hello", 5);
    /* another upstream ends it, the port stays */
    server_tell(&server, "POST", "/proxies/a", "{\"upstream\":\"127.0.0.1:1\"}", 200);
    char byte;
    assert_true(recv(client, &byte, 1, 0) <= 0);
    int fd = connect_to(port);
    assert_true(fd >= 0);
    close(fd);
    close(client);
    close(behind);
    close(upstream);
}

/* The port of another host is somebody else's: the update fails, and nobody notices. */
static void an_update_that_fails_ends_no_connection(void **state)
{
    (void)state;
    int upstream_port, upstream = listen_anywhere(8, &upstream_port);
    int port = server_add_proxy(&server, "a", upstream_port);
    int client = connect_to(port), behind = accept_from(upstream);
    struct sockaddr_in taken = loopback(port);
    char body[128];
    int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    taken.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    assert_int_equal(bind(other, (struct sockaddr *)&taken, sizeof(taken)), 0);
    assert_int_equal(listen(other, 1), 0);
    snprintf(body, sizeof(body), "{\"listen\":\"127.0.0.2:%d\"}", port);
    server_tell(&server, "POST", "/proxies/a", body, 500);
    send_text(client, "hello", 5);
    expect_bytes(behind, "hello", 5);
    close(other);
    close(client);
    close(behind);
    close(upstream);
}

static void creating_toxics(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"GET", "/proxies/a/toxics", NULL, REFUSED(404, "proxy not found")},
        {"POST", "/proxies/a/toxics", "{}", REFUSED(404, "proxy not found")},
        {"POST", "/proxies", "{\"name\":\"a\",\"upstream\":\"h:1\"}", 201, NULL},
        {"GET", "/proxies/a/toxics", NULL, 200, "[]"},
        {"POST", "/proxies/a/toxics", "", REFUSED(400, "bad request body: EOF")},
        {"POST", "/proxies/a/toxics", "{", REFUSED(400, "bad request body: unexpected EOF")},
        {"POST", "/proxies/a/toxics", "{\"type\":\"nope\",\"stream\":\"sideways\"}",
         REFUSED(400, "stream was invalid, can be either upstream or downstream")},
        {"POST", "/proxies/a/toxics", "{\"type\":\"latency\",\"stream\":\"\"}",
         REFUSED(400, "stream was invalid, can be either upstream or downstream")},
        {"POST", "/proxies/a/toxics", "{\"type\":\"nope\"}", REFUSED(400, "invalid toxic type")},
        {"POST", "/proxies/a/toxics", "{}", REFUSED(400, "invalid toxic type")},
        {"POST", "/proxies/a/toxics", "{\"type\":\"down\"}", REFUSED(400, "invalid toxic type")},
        {"POST", "/proxies/a/toxics", "{\"type\":\"latency\",\"attributes\":{\"latency\":5.5}}",
         REFUSED(400, "bad request body: latency: @")},
        {"POST", "/proxies/a/toxics", "{\"type\":\"latency\",\"attributes\":{\"latency\":5.0}}",
         REFUSED(400, "bad request body: latency: @")},
        {"POST", "/proxies/a/toxics", "{\"type\":\"latency\",\"attributes\":{\"latency\":\"5\"}}",
         REFUSED(400, "bad request body: latency: @")},
        {"POST", "/proxies/a/toxics", "{\"type\":\"latency\",\"attributes\":[]}",
         REFUSED(400, "bad request body: attributes: @")},
        {"POST", "/proxies/a/toxics", "{\"type\":\"latency\",\"toxicity\":\"1\"}",
         REFUSED(400, "bad request body: toxicity: @")},
        {"POST", "/proxies/a/toxics",
         "{\"type\":\"latency\",\"attributes\":{\"latency\":99999999999999999999}}",
         REFUSED(400, "bad request body: @")},
        {"POST", "/proxies/a/toxics", "{\"type\":\"latency\",\"attributes\":{\"latency\":3600001}}",
         REFUSED(400, "latency is 0 to 3600000, not 3600001")},
        {"POST", "/proxies/a/toxics", "{\"type\":\"bandwidth\",\"attributes\":{\"rate\":-1}}",
         REFUSED(400, "rate is 0 to 1000000000, not -1")},
        {"GET", "/proxies/a/toxics", NULL, 200, "[]"},
        {"POST", "/proxies/a/toxics",
         "{\"Type\":\"latency\",\"attributes\":{\"Latency\":100,\"jitter\":null,\"x\":1}}", 200,
         "{\"attributes\":{\"latency\":100,\"jitter\":0},\"name\":\"latency_downstream\",\"type\":"
         "\"latency\",\"stream\":\"downstream\",\"toxicity\":1}"},
        {"POST", "/proxies/a/toxics", "{\"type\":\"latency\"}",
         REFUSED(409, "toxic already exists")},
        {"POST", "/proxies/a/toxics",
         "{\"name\":\"latency_downstream\",\"type\":\"bandwidth\",\"stream\":\"upstream\"}",
         REFUSED(409, "toxic already exists")},
        {"POST", "/proxies/a/toxics",
         "{\"type\":\"bandwidth\",\"stream\":\"UpStream\",\"toxicity\":0.2}", 200,
         "{\"attributes\":{\"rate\":0},\"name\":\"bandwidth_UpStream\",\"type\":\"bandwidth\","
         "\"stream\":\"upstream\",\"toxicity\":0.2}"},
        {"GET", "/proxies/a/toxics", NULL, 200,
         "[{\"attributes\":{\"rate\":0},\"name\":\"bandwidth_UpStream\",@\"@\":\"@\",\"stream\":"
         "\"upstream\",\"toxicity\":0.2},"
         "{\"attributes\":{\"latency\":100,\"jitter\":0},\"name\":\"latency_downstream\",@\"@\":"
         "\"@\",\"stream\":\"downstream\",\"toxicity\":1}]"},
    };
    RUN(steps);
}

/* Type, all attributes, and what is shown of them. */
static void every_type_of_toxic(void **state)
{
    (void)state;
    static const struct {
        const char *type, *given, *shown, *defaults;
    } types[] = {
        {"latency", "{\"latency\":1000,\"jitter\":100}", "{\"latency\":1000,\"jitter\":100}",
         "{\"latency\":0,\"jitter\":0}"},
        {"bandwidth", "{\"rate\":1000}", "{\"rate\":1000}", "{\"rate\":0}"},
        {"slow_close", "{\"delay\":1000}", "{\"delay\":1000}", "{\"delay\":0}"},
        {"timeout", "{\"timeout\":5000}", "{\"timeout\":5000}", "{\"timeout\":0}"},
        {"reset_peer", "{\"timeout\":1000}", "{\"timeout\":1000}", "{\"timeout\":0}"},
        {"slicer", "{\"delay\":7,\"size_variation\":1000,\"average_size\":10}",
         "{\"average_size\":10,\"size_variation\":1000,\"delay\":7}",
         "{\"average_size\":0,\"size_variation\":0,\"delay\":0}"},
        {"limit_data", "{\"bytes\":42}", "{\"bytes\":42}", "{\"bytes\":0}"},
        {"noop", "{\"ignored\":1}", "{}", "{}"},
    };
    server_add_proxy(&server, "a", 1);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        char given[256], shown[256], none[128], defaults[256], path[64];
        snprintf(given, sizeof(given),
                 "{\"name\":\"t\",\"type\":\"%s\",\"stream\":\"upstream\",\"toxicity\":0.5,"
                 "\"attributes\":%s}",
                 types[i].type, types[i].given);
        snprintf(shown, sizeof(shown),
                 "{\"attributes\":%s,\"name\":\"t\",\"type\":\"%s\",\"stream\":\"upstream\","
                 "\"toxicity\":0.5}",
                 types[i].shown, types[i].type);
        snprintf(none, sizeof(none), "{\"type\":\"%s\"}", types[i].type);
        snprintf(defaults, sizeof(defaults),
                 "{\"attributes\":%s,\"name\":\"%s_downstream\",\"type\":\"%s\",\"stream\":"
                 "\"downstream\",\"toxicity\":1}",
                 types[i].defaults, types[i].type, types[i].type);
        snprintf(path, sizeof(path), "/proxies/a/toxics/%s_downstream", types[i].type);
        const struct step steps[] = {
            {"POST", "/proxies/a/toxics", given, 200, shown},
            {"GET", "/proxies/a/toxics/t", NULL, 200, shown},
            {"PATCH", "/proxies/a/toxics/t", "{}", 200, shown},
            {"POST", "/proxies/a/toxics", none, 200, defaults},
            {"DELETE", path, NULL, 204, ""},
            {"DELETE", "/proxies/a/toxics/t", NULL, 204, ""},
            {"GET", "/proxies/a/toxics", NULL, 200, "[]"},
        };
        RUN(steps);
    }
}

static void toxicities(void **state)
{
    (void)state;
    static const struct {
        const char *given, *shown;
    } cases[] = {{"1", "1"},     {"1.0", "1"},   {"0", "0"},
                 {"0.5", "0.5"}, {"0.2", "0.2"}, {"0.33333334", "0.33333334"},
                 {"5", "1"},     {"-1", "0"},    {"1e-9", "1e-9"},
                 {"0.1", "0.1"}, {"1e300", "1"}, {"0.7", "0.7"}};
    server_add_proxy(&server, "a", 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[96], wanted[160];
        snprintf(body, sizeof(body), "{\"name\":\"t\",\"type\":\"noop\",\"toxicity\":%s}",
                 cases[i].given);
        snprintf(wanted, sizeof(wanted),
                 "{\"attributes\":{},\"name\":\"t\",\"type\":\"noop\",\"stream\":\"downstream\","
                 "\"toxicity\":%s}",
                 cases[i].shown);
        const struct step steps[] = {{"POST", "/proxies/a/toxics", body, 200, wanted},
                                     {"DELETE", "/proxies/a/toxics/t", NULL, 204, ""}};
        RUN(steps);
    }
}

static void reading_changing_and_removing_a_toxic(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"GET", "/proxies/a/toxics/t", NULL, REFUSED(404, "proxy not found")},
        {"POST", "/proxies/a/toxics/t", "{}", REFUSED(404, "proxy not found")},
        {"DELETE", "/proxies/a/toxics/t", NULL, REFUSED(404, "proxy not found")},
        {"POST", "/proxies", "{\"name\":\"a\",\"upstream\":\"h:1\"}", 201, NULL},
        {"GET", "/proxies/a/toxics/t", NULL, REFUSED(404, "toxic not found")},
        {"POST", "/proxies/a/toxics/t", "{}", REFUSED(404, "toxic not found")},
        {"PATCH", "/proxies/a/toxics/t", "{}", REFUSED(404, "toxic not found")},
        {"DELETE", "/proxies/a/toxics/t", NULL, REFUSED(404, "toxic not found")},
        {"POST", "/proxies/a/toxics",
         "{\"name\":\"t\",\"type\":\"latency\",\"attributes\":{\"latency\":1,\"jitter\":2}}", 200,
         NULL},
        {"POST", "/proxies/a/toxics/t", "", REFUSED(400, "bad request body: EOF")},
        {"POST", "/proxies/a/toxics/t", "{\"attributes\":{\"latency\":\"x\"}}",
         REFUSED(400, "bad request body: latency: @")},
        {"POST", "/proxies/a/toxics/t", "{\"attributes\":{\"latency\":-1}}",
         REFUSED(400, "latency is 0 to 3600000, not -1")},
        /* attributes are merged key by key; name, type and stream stay */
        {"POST", "/proxies/a/toxics/t",
         "{\"name\":\"u\",\"type\":\"noop\",\"stream\":\"upstream\",\"attributes\":{\"jitter\":7}}",
         200,
         "{\"attributes\":{\"latency\":1,\"jitter\":7},\"name\":\"t\",\"type\":\"latency\","
         "\"stream\":\"downstream\",\"toxicity\":1}"},
        {"PATCH", "/proxies/a/toxics/t", "{\"toxicity\":0.25}", 200,
         "{\"attributes\":{\"latency\":1,\"jitter\":7},\"name\":\"t\",\"type\":\"latency\","
         "\"stream\":\"downstream\",\"toxicity\":0.25}"},
        {"GET", "/proxies/a/toxics/t", NULL, 200,
         "{\"attributes\":{\"latency\":1,\"jitter\":7},\"name\":\"t\",\"type\":\"latency\","
         "\"stream\":\"downstream\",\"toxicity\":0.25}"},
        {"DELETE", "/proxies/a/toxics/t", NULL, 204, ""},
        {"GET", "/proxies/a/toxics", NULL, 200, "[]"},
    };
    RUN(steps);
}

static void populating(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"POST", "/populate", "", 400,
         "{\"error\":\"bad request body: EOF\",\"status\":400,\"proxies\":null}"},
        {"POST", "/populate", "{}", 400,
         "{\"error\":\"bad request body: @\",\"status\":400,\"proxies\":null}"},
        {"POST", "/populate", "[{\"name\":\"a\",\"upstream\":\"h:1\"},{\"upstream\":\"h:1\"}]", 400,
         "{\"error\":\"missing required field: name at proxy 2\",\"status\":400,\"proxies\":null}"},
        {"POST", "/populate", "[{\"name\":\"a\"}]", 400,
         "{\"error\":\"missing required field: upstream at proxy 1\",\"status\":400,\"proxies\":"
         "null}"},
        {"GET", "/proxies", NULL, 200, "{}"},
        {"POST", "/populate",
         "[{\"name\":\"b\",\"upstream\":\"h:1\",\"listen\":\"localhost:0\"},"
         "{\"name\":\"a\",\"upstream\":\"h:2\",\"listen\":\"localhost:3399\",\"enabled\":false,"
         "\"toxics\":[{}]}]",
         201,
         "{\"proxies\":[{\"name\":\"b\",\"listen\":\"127.0.0.1:@\",\"upstream\":\"h:1\","
         "\"enabled\":true,\"toxics\":[]},{\"name\":\"a\",\"listen\":\"localhost:3399\","
         "\"upstream\":\"h:2\",\"enabled\":false,\"toxics\":[]}]}"},
        {"POST", "/proxies/a/toxics", "{\"type\":\"noop\"}", 200, NULL},
        /* the same address and upstream: untouched, whatever enabled says */
        {"POST", "/populate",
         "[{\"name\":\"a\",\"upstream\":\"h:2\",\"listen\":\"127.0.0.1:3399\",\"enabled\":true}]",
         201,
         "{\"proxies\":[{\"name\":\"a\",\"listen\":\"localhost:3399\",\"upstream\":\"h:2\","
         "\"enabled\":false,\"toxics\":[{\"attributes\":{},\"name\":\"noop_downstream\",@\"@\":"
         "\"@\",\"stream\":\"downstream\",\"toxicity\":1}]}]}"},
        /* another upstream: a fresh one */
        {"POST", "/populate",
         "[{\"name\":\"a\",\"upstream\":\"h:3\",\"listen\":\"localhost:0\",\"enabled\":true}]", 201,
         "{\"proxies\":[{\"name\":\"a\",\"listen\":\"127.0.0.1:@\",\"upstream\":\"h:3\","
         "\"enabled\":true,\"toxics\":[]}]}"},
        /* a failure ends it, and what was done before stays */
        {"POST", "/populate",
         "[{\"name\":\"c\",\"upstream\":\"h:1\",\"listen\":\"localhost:0\"},"
         "{\"name\":\"d\",\"upstream\":\"h:1\",\"listen\":\"192.0.2.1:5\"},"
         "{\"name\":\"e\",\"upstream\":\"h:1\",\"listen\":\"localhost:0\"}]",
         500,
         "{\"error\":\"listen tcp 192.0.2.1:5: bind: cannot assign requested address\",\"status\":"
         "500,\"proxies\":[{\"name\":\"c\",\"listen\":\"127.0.0.1:@\",\"upstream\":\"h:1\","
         "\"enabled\":true,\"toxics\":[]}]}"},
        {"GET", "/proxies/c", NULL, 200, NULL},
        {"GET", "/proxies/d", NULL, 404, NULL},
        {"GET", "/proxies/e", NULL, 404, NULL},
    };
    RUN(steps);
}

static void resetting(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"POST", "/populate",
         "[{\"name\":\"a\",\"upstream\":\"h:1\",\"listen\":\"localhost:0\",\"enabled\":false},"
         "{\"name\":\"b\",\"upstream\":\"h:1\",\"listen\":\"localhost:0\"}]",
         201, NULL},
        {"POST", "/proxies/a/toxics", "{\"type\":\"latency\"}", 200, NULL},
        {"POST", "/proxies/b/toxics", "{\"type\":\"timeout\",\"stream\":\"upstream\"}", 200, NULL},
        {"POST", "/reset", "", 204, ""},
        {"GET", "/proxies", NULL, 200,
         "{\"a\":{\"name\":\"a\",\"listen\":\"@\",\"upstream\":\"h:1\",\"enabled\":true,"
         "\"toxics\":[]},\"b\":{\"name\":\"b\",\"listen\":\"@\",\"upstream\":\"h:1\","
         "\"enabled\":true,\"toxics\":[]}}"},
    };
    RUN(steps);
    int port;
    int taken = listen_anywhere(1, &port);
    char body[160], wanted[160];
    snprintf(body, sizeof(body),
             "{\"name\":\"c\",\"upstream\":\"h:1\",\"listen\":\"127.0.0.1:%d\",\"enabled\":false}",
             port);
    snprintf(wanted, sizeof(wanted),
             "{\"error\":\"listen tcp 127.0.0.1:%d: bind: address already in use\",\"status\":500}"
             "\n",
             port);
    const struct step refused[] = {
        {"POST", "/proxies", body, 201, NULL},
        {"POST", "/proxies/a/toxics", "{\"type\":\"noop\"}", 200, NULL},
        {"POST", "/reset", NULL, 500, wanted},
        {"GET", "/proxies/a/toxics/noop_downstream", NULL, 200, NULL}, /* all or nothing */
    };
    RUN(refused);
    close(taken);
    const struct step done[] = {{"POST", "/reset", NULL, 204, ""}};
    RUN(done);
}

/* Both APIs show one ruleset. */
static void faults_of_the_native_api(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"POST", "/v1/routes",
         "{\"name\":\"n\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:1\"}", 201, NULL},
        {"POST", "/v1/routes",
         "{\"name\":\"u\",\"protocol\":\"udp\",\"listen\":\"127.0.0.1:0\",\"upstream\":"
         "\"127.0.0.1:1\"}",
         201, NULL},
        {"GET", "/proxies", NULL, 200,
         "{\"n\":{\"name\":\"n\",\"listen\":\"127.0.0.1:@\",\"upstream\":\"127.0.0.1:1\","
         "\"enabled\":true,\"toxics\":[]}}"},
        {"GET", "/proxies/u", NULL, 404, NULL},
        {"POST", "/proxies", "{\"name\":\"u\",\"upstream\":\"h:1\"}",
         REFUSED(409, "proxy already exists")},
        {"POST", "/v1/faults",
         "{\"name\":\"slow\",\"type\":\"latency\",\"route\":\"n\",\"direction\":\"both\","
         "\"delay_ns\":5,\"distribution\":\"normal\",\"jitter_ns\":2}",
         201, NULL},
        {"GET", "/proxies/n/toxics/slow", NULL, 200,
         "{\"attributes\":{\"delay_ns\":5,\"jitter_ns\":2,\"distribution\":\"normal\","
         "\"correlation\":@,\"reorder\":false},\"name\":\"slow\",\"type\":\"latency\",\"stream\":"
         "\"both\",\"toxicity\":1}"},
        {"POST", "/proxies/n/toxics/slow", "{\"toxicity\":0.5}", REFUSED(400, "@")},
        {"POST", "/proxies/n/toxics", "{\"type\":\"latency\",\"attributes\":{\"latency\":3}}", 200,
         NULL},
        {"GET", "/v1/faults/n%2Flatency_downstream", NULL, 200, NULL},
        {"DELETE", "/proxies/n/toxics/slow", NULL, 204, ""},
        {"GET", "/v1/faults/slow", NULL, 404, NULL},
        {"PATCH", "/v1/faults/n%2flatency_downstream", "{\"delay_ns\":7000000}", 200, NULL},
        {"GET", "/proxies/n/toxics/latency_downstream", NULL, 200,
         "{\"attributes\":{\"latency\":7,\"jitter\":0},\"name\":\"latency_downstream\",@\"@\":"
         "\"@\",\"stream\":\"downstream\",\"toxicity\":1}"},
        /* the native API stays strict */
        {"POST", "/v1/faults", "{\"TYPE\":\"noop\",\"route\":\"n\"}", 400, NULL},
        {"POST", "/v1/routes", "{\"name\":\"x\",\"name\":\"y\"}", 400, NULL},
    };
    RUN(steps);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(version_and_nothing_yet),
        TEST(unknown_paths_and_methods),
        TEST(what_headers_say),
        TEST(creating_a_proxy),
        TEST(names),
        TEST(reading_and_removing_a_proxy),
        TEST(updating_a_proxy),
        TEST(a_proxy_keeps_its_port),
        TEST(the_same_address_is_no_change),
        TEST(an_update_that_fails_ends_no_connection),
        TEST(creating_toxics),
        TEST(every_type_of_toxic),
        TEST(toxicities),
        TEST(reading_changing_and_removing_a_toxic),
        TEST(populating),
        TEST(resetting),
        TEST(faults_of_the_native_api),
    };
    return cmocka_run_group_tests_name("toxiproxy routes", tests, NULL, NULL);
}
