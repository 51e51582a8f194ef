/* The client against a server that answers what the test says, one connection after another. */
#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/wire/client.h"

/* Answers one connection: reads a request, sends `answer`, closes. */
struct server {
    int listener;
    pthread_t thread;
    const char *answer;  /* NULL: none, the connection stays open until `release` is closed */
    struct text request; /* what came */
    int release[2];
    char url[64];
};

/* True when all of a request is there. */
static bool is_whole(const char *request)
{
    const char *end = strstr(request, "\r\n\r\n");
    const char *length = strstr(request, "Content-Length: ");
    if (!end)
        return false;
    return !length || strlen(end + 4) >= strtoul(length + 16, NULL, 10);
}

static void *serve(void *context)
{
    struct server *server = context;
    char buffer[4096];
    ssize_t got;
    int fd = accept(server->listener, NULL, NULL);
    while (!is_whole(text_get(&server->request)) && (got = recv(fd, buffer, sizeof(buffer), 0)) > 0)
        text_append_bytes(&server->request, buffer, (size_t)got);
    if (server->answer)
        send(fd, server->answer, strlen(server->answer), MSG_NOSIGNAL);
    else
        (void)!read(server->release[0], buffer, 1); /* returns at the end of the test */
    close(fd);
    return NULL;
}

static void start(struct server *server, const char *answer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    *server = (struct server){.answer = answer};
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(server->listener, 4), 0);
    getsockname(server->listener, (struct sockaddr *)&address, &length);
    snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%d", ntohs(address.sin_port));
    assert_int_equal(pipe(server->release), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void stop(struct server *server)
{
    close(server->release[1]);
    pthread_join(server->thread, NULL);
    close(server->release[0]);
    close(server->listener);
    text_free(&server->request);
}

static struct wire_client *connect_to(const char *url)
{
    struct wire_client *client = NULL;
    struct error error = {0};
    assert_int_equal(wire_client_create(url, "test", &client, &error), 0);
    return client;
}

static void urls(void **state)
{
    (void)state;
    static const char *const good[] = {WIRE_DEFAULT_URL, "http://localhost:1/", "http://[::1]:8474",
                                       "unix:/run/severd.sock"};
    static const char *const bad[] = {"",
                                      "127.0.0.1:8474",
                                      "http://127.0.0.1",
                                      "https://127.0.0.1:8474",
                                      "http://127.0.0.1:8474/v1",
                                      "http://127.0.0.1:8474/?a=b",
                                      "http://user@127.0.0.1:8474",
                                      "http://user:@127.0.0.1:8474",
                                      "http://x:a%0d%0ab@127.0.0.1:8474",
                                      "http://x:secret@127.0.0.1:8474/v1",
                                      "http://127.0.0.1:99999",
                                      "unix:relative",
                                      "ftp://127.0.0.1:1"};
    struct wire_client *client = NULL;
    struct error error = {0};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        client = connect_to(good[i]);
        assert_string_equal(wire_client_url(client), good[i]);
        wire_client_destroy(client);
    }
    client = NULL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (wire_client_create(bad[i], "test", &client, &error) != -EINVAL || client)
            fail_msg("%s was accepted", bad[i]);
        assert_non_null(strstr(error.message, "http://host:port"));
    }
    assert_int_equal(wire_client_create(good[0], "", &client, &error), -EINVAL);
    assert_int_equal(wire_client_create(good[0], "a\r\nb: c", &client, &error), -EINVAL);
    wire_client_destroy(NULL);
}

/* It is sent in place of SEVER_TOKEN, and shown to nobody. */
static void a_token_in_the_url(void **state)
{
    (void)state;
    struct server server;
    char url[80];
    start(&server, "HTTP/1.1 204 No Content\r\n\r\n");
    setenv("SEVER_TOKEN", "other", 1);
    snprintf(url, sizeof(url), "http://x:s%%40cret@%s/", server.url + 7);
    struct wire_client *client = connect_to(url);
    assert_null(strstr(wire_client_url(client), "cret"));
    assert_int_equal(wire_client_request(client, "GET", "/v1/x", NULL, NULL, NULL), 0);
    wire_client_destroy(client);
    pthread_join(server.thread, NULL);
    assert_non_null(strstr(text_get(&server.request), "\r\nAuthorization: Bearer s@cret\r\n"));
    text_clear(&server.request);
    assert_int_equal(pthread_create(&server.thread, NULL, serve, &server), 0);
    client = connect_to(server.url);
    assert_int_equal(wire_client_request(client, "GET", "/v1/x", NULL, NULL, NULL), 0);
    wire_client_destroy(client);
    unsetenv("SEVER_TOKEN");
    pthread_join(server.thread, NULL);
    assert_non_null(strstr(text_get(&server.request), "\r\nAuthorization: Bearer other\r\n"));
    close(server.release[0]);
    close(server.release[1]);
    close(server.listener);
    text_free(&server.request);
}

static void what_is_sent(void **state)
{
    (void)state;
    struct server server;
    json_t *body = json_pack("{s:i}", "a", 1), *answer = NULL;
    start(&server, "HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n{\"b\": 2}\n");
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* is not used */
    struct wire_client *client = connect_to(server.url);
    assert_int_equal(wire_client_request_matching(client, "PUT", "/v1/x", 12, body, &answer, NULL),
                     0);
    unsetenv("http_proxy");
    assert_int_equal(json_integer_value(json_object_get(answer, "b")), 2);
    stop(&server);
    json_decref(body);
    json_decref(answer);
    wire_client_destroy(client);
}

static void headers(void **state)
{
    (void)state;
    static const char *const wanted[] = {
        "PATCH /v1/x HTTP/1.1\r\n", "\r\nX-Sever-By: test\r\n", "\r\nIf-Match: \"12\"\r\n",
        "\r\nContent-Type: application/json\r\n", "\r\n\r\n{\"a\":1}"};
    struct server server;
    json_t *body = json_pack("{s:i}", "a", 1);
    json_t *answer = json_null();
    start(&server, "HTTP/1.1 204 No Content\r\n\r\n");
    struct wire_client *client = connect_to(server.url);
    assert_int_equal(
        wire_client_request_matching(client, "PATCH", "/v1/x", 12, body, &answer, NULL), 0);
    assert_null(answer);
    pthread_join(server.thread, NULL);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (!strstr(text_get(&server.request), wanted[i]))
            fail_msg("no %s in %s", wanted[i], text_get(&server.request));
    text_clear(&server.request);
    assert_int_equal(pthread_create(&server.thread, NULL, serve, &server), 0);
    assert_int_equal(wire_client_request(client, "GET", "/v1/y", NULL, NULL, NULL), 0);
    stop(&server);
    json_decref(body);
    wire_client_destroy(client);
}

static void refusals_are_mapped(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        int code;
        const char *place, *message;
    } cases[] = {
        {"400 x\r\n\r\n{\"error\":{\"message\":\"m\",\"place\":\"faults[2].link\",\"code\":\"E\"}}",
         -EINVAL, "faults[2].link", "m"},
        {"404 x\r\n\r\n{\"error\":{\"message\":\"m\",\"place\":\"\"}}", -ENOENT, "", "m"},
        {"409 x\r\n\r\n{\"error\":{\"message\":\"m\"}}", -EEXIST, "", "m"},
        {"412 x\r\n\r\n{\"error\":{\"message\":\"m\"}}", -ESTALE, "", "m"},
        {"500 x\r\n\r\n{\"error\":{\"message\":\"m\"}}", -EIO, "", "m"},
        {"403 x\r\n\r\n{\"error\":{\"message\":\"m\"}}", -EIO, "", "m"},
        {"404 x\r\n\r\nnot found", -EPROTO, "", "does not speak severd's API (status 404)"},
        {"404 x\r\n\r\n", -EPROTO, "", "does not speak"},
        {"302 x\r\nLocation: /\r\n\r\n", -EPROTO, "", "does not speak"},
        {"200 x\r\n\r\n<html>", -EPROTO, "line 1, column 1", "does not speak"},
        {"200 x\r\nContent-Length: 99\r\n\r\n{", -EPROTO, "", "in the middle"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct server server;
        struct error error = {0};
        struct text answer = {0};
        text_append(&answer, "HTTP/1.1 %s", cases[i].answer);
        start(&server, text_get(&answer));
        struct wire_client *client = connect_to(server.url);
        int code = wire_client_request(client, "GET", "/v1/status", NULL, NULL, &error);
        if (code != cases[i].code || strcmp(error.place, cases[i].place) != 0 ||
            !strstr(error.message, cases[i].message))
            fail_msg("%s: %d at '%s': %s", cases[i].answer, code, error.place, error.message);
        stop(&server);
        text_free(&answer);
        wire_client_destroy(client);
    }
}

static void nobody_there(void **state)
{
    (void)state;
    struct server server;
    struct error error = {0};
    char wanted[128];
    start(&server, "");
    struct wire_client *client = connect_to(server.url);
    assert_int_equal(wire_client_request(client, "GET", "/v1/x", NULL, NULL, &error), -EPROTO);
    stop(&server); /* nobody listens there any more */
    assert_int_equal(wire_client_request(client, "GET", "/v1/x", NULL, NULL, &error),
                     -ECONNREFUSED);
    snprintf(wanted, sizeof(wanted), "severd does not answer at %s: start it, or set SEVER_URL",
             server.url);
    assert_string_equal(error.message, wanted);
    wire_client_destroy(client);
    client = connect_to("unix:/nonexistent/severd.sock");
    assert_int_equal(wire_client_request(client, "GET", "/v1/x", NULL, NULL, &error),
                     -ECONNREFUSED);
    assert_int_equal(wire_client_request(client, "GET", "/x", NULL, NULL, &error), -EINVAL);
    assert_int_equal(wire_client_request(client, "GET", "", NULL, NULL, &error), -EINVAL);
    wire_client_destroy(client);
}

static void a_silent_server_times_out(void **state)
{
    (void)state;
    struct server server;
    struct error error = {0};
    start(&server, NULL);
    struct wire_client *client = connect_to(server.url);
    wire_client_set_timeout(client, 50 * NS_PER_MS);
    uint64_t before_ns = monotonic_now_ns();
    assert_int_equal(wire_client_request(client, "GET", "/v1/x", NULL, NULL, &error), -ETIMEDOUT);
    assert_true(monotonic_now_ns() - before_ns >= 50 * NS_PER_MS);
    assert_non_null(strstr(error.message, "within 50 ms"));
    stop(&server);
    wire_client_destroy(client);
}

static void paths_are_encoded(void **state)
{
    (void)state;
    static const struct {
        const char *segment, *path;
    } cases[] = {
        {"n1", "/v1/nodes/n1"},
        {"a/b", "/v1/nodes/a%2Fb"},
        {"50% \xe2\x86\x92", "/v1/nodes/50%25%20%E2%86%92"},
        {"..", "/v1/nodes/%2E%2E"},
        {".", "/v1/nodes/%2E"},
        {"a..b~_-", "/v1/nodes/a..b~_-"},
        {"?#&", "/v1/nodes/%3F%23%26"},
    };
    char path[64];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int slash = 0; slash < 2; slash++) {
            snprintf(path, sizeof(path), "/v1/nodes%s", slash ? "/" : "");
            wire_path_append(path, sizeof(path), cases[i].segment);
            assert_string_equal(path, cases[i].path);
        }
    snprintf(path, sizeof(path), "/v1/faults");
    wire_path_append_query(path, sizeof(path), "link", "*->n1");
    wire_path_append_query(path, sizeof(path), "b", "c");
    assert_string_equal(path, "/v1/faults?link=%2A-%3En1&b=c");
    /* What does not fit leaves nothing that could be sent. */
    char small[10] = "/v1";
    wire_path_append(small, sizeof(small), "12345");
    assert_string_equal(small, "/v1/12345");
    snprintf(small, sizeof(small), "/v1");
    wire_path_append(small, sizeof(small), "123456");
    assert_string_equal(small, "");
    snprintf(small, sizeof(small), "/v1");
    wire_path_append(small, sizeof(small), "123%");
    assert_string_equal(small, "");
}

struct heard {
    struct text text;
    int until; /* events */
    int events, turns;
};

static bool hear(void *context, const char *event, json_t *data)
{
    struct heard *heard = context;
    if (!event) {
        heard->turns++;
        return heard->turns < 2 || heard->until != 0;
    }
    char *json = json_dumps(data, JSON_COMPACT);
    text_append(&heard->text, "%s=%s;", event, json);
    free(json);
    return ++heard->events != heard->until;
}

static int listen_for(const char *answer, struct heard *heard, struct error *error)
{
    struct server server;
    start(&server, answer);
    struct wire_client *client = connect_to(server.url);
    int code = wire_client_events(client, hear, heard, error);
    stop(&server);
    wire_client_destroy(client);
    return code;
}

#define STREAM "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

static void events_are_read(void **state)
{
    (void)state;
    struct error error = {0};
    struct heard heard = {.until = 2};
    const char *two = STREAM ": comment\n\nid: 1\nevent: ruleset\ndata: {\"a\":1}\n\n"
                             "data:{\"b\":\ndata: 2}\nevent:x\n\nevent: y\ndata: {}\n\n";
    assert_int_equal(listen_for(two, &heard, &error), 0);
    assert_string_equal(text_get(&heard.text), "ruleset={\"a\":1};x={\"b\":2};");
    text_free(&heard.text);
    heard = (struct heard){.until = 99};
    assert_int_equal(listen_for(two, &heard, &error), -ECONNRESET);
    assert_int_equal(heard.events, 3);
    text_free(&heard.text);
}

static void bad_streams(void **state)
{
    (void)state;
    struct error error = {0};
    struct heard heard = {.until = 99};
    assert_int_equal(listen_for(STREAM "event: a\ndata: {\n\n", &heard, &error), -EPROTO);
    assert_int_equal(
        listen_for("HTTP/1.1 503 x\r\n\r\n{\"error\":{\"message\":\"m\"}}", &heard, &error), -EIO);
    assert_string_equal(error.message, "m");
    assert_int_equal(listen_for("", &heard, &error), -EPROTO);
    assert_int_equal(heard.events, 0);
    struct wire_client *client = connect_to("unix:/nonexistent/severd.sock");
    assert_int_equal(wire_client_events(client, hear, &heard, &error), -ECONNREFUSED);
    wire_client_destroy(client);
}

static void waiting_can_be_ended(void **state)
{
    (void)state;
    struct error error = {0};
    struct heard heard = {.until = 0};
    assert_int_equal(listen_for(NULL, &heard, &error), 0);
    assert_int_equal(heard.turns, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls),
        cmocka_unit_test(a_token_in_the_url),
        cmocka_unit_test(what_is_sent),
        cmocka_unit_test(headers),
        cmocka_unit_test(refusals_are_mapped),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(a_silent_server_times_out),
        cmocka_unit_test(paths_are_encoded),
        cmocka_unit_test(events_are_read),
        cmocka_unit_test(bad_streams),
        cmocka_unit_test(waiting_can_be_ended),
    };
    return cmocka_run_group_tests_name("proxy/wire/client", tests, NULL, NULL);
}
