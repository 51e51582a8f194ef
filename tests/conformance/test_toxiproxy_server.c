/* severd as the program that it replaces: options, configuration file, who may ask, metrics. */
#include "tests/conformance/server.h"

#include <math.h>

static char directory[64];
static struct server server;
static struct answer answer;

static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/sever-test-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    text_free(&answer.text);
    child_kill(&server.child);
    text_free(&server.log);
    return rmdir(directory);
}

static void write_file(const char *name, const char *content, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static void ask(const char *method, const char *path, const char *headers)
{
    server_ask(&server, method, path, headers, NULL, &answer);
}

#define assert_answer(part)                                                                        \
    do {                                                                                           \
        if (!strstr(text_get(&answer.text), part))                                                 \
            fail_msg("no %s in %s", part, text_get(&answer.text));                                 \
    } while (0)

static void version_under_either_name(void **state)
{
    (void)state;
    char program[PATH_MAX], link[PATH_MAX];
    struct text output = {0};
    files_find_built("bin/severd", program, sizeof(program));
    assert_non_null(realpath(program, link));
    snprintf(program, sizeof(program), "%s", link);
    snprintf(link, sizeof(link), "%s/toxiproxy-server", directory);
    assert_int_equal(symlink(program, link), 0);
    const char *const ours[] = {program, "-version", NULL}, *const theirs[] = {link, "-version",
                                                                               NULL};
    assert_int_equal(child_run(theirs, NULL, NULL, &output), 0);
    assert_string_equal(text_get(&output), "toxiproxy-server version 2.12.0\n");
    text_clear(&output);
    assert_int_equal(child_run(ours, NULL, NULL, &output), 0);
    assert_memory_equal(text_get(&output), "severd ", 7);
    text_free(&output);
    assert_int_equal(unlink(link), 0);
}

static void a_configuration_file(void **state)
{
    (void)state;
    char path[PATH_MAX];
    write_file(
        "proxies.json",
        "[{\"name\": \"web\", \"listen\": \"localhost:0\", \"upstream\": \"localhost:80\"},\n"
        " {\"name\": \"db\", \"listen\": \"localhost:3310\", \"upstream\": \"db:3306\",\n"
        "  \"enabled\": false, \"colour\": \"red\",\n"
        "  \"toxics\": [{\"type\": \"latency\", \"attributes\": {\"latency\": 5}}]}]",
        path, sizeof(path));
    const char *const extra[] = {"-config", path, NULL};
    server_start(&server, extra, NULL);
    assert_int_equal(unlink(path), 0);
    ask("GET", "/proxies", "");
    assert_answer("{\"db\":{\"name\":\"db\",\"listen\":\"localhost:3310\",\"upstream\":\"db:3306\","
                  "\"enabled\":false,\"toxics\":[{\"attributes\":{\"latency\":5,\"jitter\":0},");
    assert_answer("\"web\":{\"name\":\"web\",\"listen\":\"127.0.0.1:");
    server_stop(&server);
}

/* What can't be served is told at the start, and ends it. */
static void a_start_that_fails(void **state)
{
    (void)state;
    int port, taken = listen_anywhere(1, &port);
    char program[PATH_MAX], path[PATH_MAX], port_text[16], busy[160], wanted[64];
    snprintf(busy, sizeof(busy),
             "[{\"name\": \"a\", \"upstream\": \"h:1\", \"enabled\": false},"
             "{\"name\": \"b\", \"listen\": \"127.0.0.1:%d\", \"upstream\": \"h:1\"}]",
             port);
    snprintf(port_text, sizeof(port_text), "%d", port);
    snprintf(wanted, sizeof(wanted), "127.0.0.1:%d: Address already in use", port);
    const struct {
        const char *option, *content, *output, *reason;
    } cases[] = {
        {"-config", busy, "proxies.json: proxy 2: ", wanted},
        {"-config", "[{\"name\": \"a\"}]", "proxies.json: ", "upstream at proxy 1"},
        {"-config", "[", "proxies.json: ", "unexpected EOF"},
        {"-config", NULL, "proxies.json: ", "No such file"},
        {"-port", NULL, "--listen: ", wanted},
    };
    files_find_built("bin/severd", program, sizeof(program));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct text output = {0};
        bool config = strcmp(cases[i].option, "-config") == 0;
        snprintf(path, sizeof(path), "%s/proxies.json", directory);
        if (cases[i].content)
            write_file("proxies.json", cases[i].content, path, sizeof(path));
        const char *const argv[] = {program, cases[i].option, config ? path : port_text,
                                    config ? "-port=0" : "-host=localhost", NULL};
        assert_int_equal(child_run(argv, NULL, NULL, &output), 1);
        if (!strstr(text_get(&output), cases[i].output) ||
            !strstr(text_get(&output), cases[i].reason))
            fail_msg("case %zu: %s", i, text_get(&output));
        text_free(&output);
        if (cases[i].content)
            assert_int_equal(unlink(path), 0);
    }
    close(taken);
}

/* Bearer, or what a client makes of http://x:TOKEN@host, which `basic` is in base64. */
static void check_token(const char *token, const char *basic)
{
    static const char *const paths[] = {"/proxies", "/version", "/metrics", "/v1/status",
                                        "/nothing"};
    char bearer[128], lower[128], wrong[128], header[256];
    snprintf(bearer, sizeof(bearer), "Authorization: Bearer %s\r\n", token);
    snprintf(lower, sizeof(lower), "authorization: bearer %s\r\n", token);
    snprintf(wrong, sizeof(wrong), "Authorization: Bearer %sx\r\n", token);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        int fine = i == 4 ? 404 : 200;
        ask("GET", paths[i], "");
        assert_int_equal(answer.status, 401);
        assert_answer("\r\nWWW-Authenticate: Basic");
        assert_answer("SEVER_TOKEN");
        ask("GET", paths[i], wrong);
        assert_int_equal(answer.status, 401);
        ask("GET", paths[i], "Authorization: Basic eDp3cm9uZw==\r\n");
        assert_int_equal(answer.status, 401);
        ask("GET", paths[i], "Authorization: Basic ***\r\n");
        assert_int_equal(answer.status, 401);
        ask("GET", paths[i], bearer);
        assert_int_equal(answer.status, fine);
        ask("GET", paths[i], lower);
        assert_int_equal(answer.status, fine);
        if (!basic)
            continue;
        snprintf(header, sizeof(header), "Authorization: Basic %s\r\n", basic);
        ask("GET", paths[i], header);
        assert_int_equal(answer.status, fine);
    }
    /* a page of another origin is refused all the same */
    snprintf(header, sizeof(header), "%sOrigin: http://evil.example\r\n", bearer);
    ask("GET", "/proxies", header);
    assert_int_equal(answer.status, 403);
}

/* What severctl says with this SEVER_TOKEN ("SEVER_TOKEN" alone: with none). */
static int run_severctl(const char *token, struct text *output)
{
    char program[PATH_MAX];
    const char *const argv[] = {program, "--url", server.url, "status", NULL};
    const char *const environment[] = {token, NULL};
    files_find_built("bin/severctl", program, sizeof(program));
    text_clear(output);
    return child_run(argv, environment, NULL, output);
}

static void severctl_carries_the_token(void **state)
{
    (void)state;
    static const char *const environment[] = {"SEVER_TOKEN=s3cret", NULL};
    struct text output = {0};
    server_start(&server, NULL, environment);
    if (run_severctl("SEVER_TOKEN=s3cret", &output) != 0)
        fail_msg("%s", text_get(&output));
    static const char *const wrong[] = {"SEVER_TOKEN", "SEVER_TOKEN=", "SEVER_TOKEN=other",
                                        "SEVER_TOKEN=s3cret\r\nX-Sever-By: me"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_not_equal(run_severctl(wrong[i], &output), 0);
        if (!strstr(text_get(&output), "set SEVER_TOKEN"))
            fail_msg("%s", text_get(&output));
    }
    text_free(&output);
    server_stop(&server);
}

static void a_token_of_ones_own(void **state)
{
    (void)state;
    char path[PATH_MAX];
    static const char *const environment[] = {"SEVER_TOKEN=s3cret", "LOG_LEVEL", NULL};
    server_start(&server, NULL, environment);
    check_token("s3cret", "eDpzM2NyZXQ="); /* x:s3cret */
    assert_null(strstr(text_get(&server.log), "s3cret"));
    server_stop(&server);
    write_file("token", "from-file\n", path, sizeof(path));
    const char *const extra[] = {"-host=0.0.0.0", "--token-file", path, NULL};
    server_start(&server, extra, environment);
    assert_int_equal(unlink(path), 0);
    check_token("from-file", "OmZyb20tZmlsZQ"); /* without padding, and without a user */
    server_stop(&server);
}

static void a_token_is_made_when_the_network_reaches_in(void **state)
{
    (void)state;
    static const char *const extra[] = {"-host=0.0.0.0", NULL};
    char token[64];
    server_start(&server, extra, NULL);
    const char *told = strstr(text_get(&server.log), "the one of this run: ");
    assert_non_null(told);
    told += strlen("the one of this run: ");
    snprintf(token, sizeof(token), "%.*s", (int)strcspn(told, " "), told);
    assert_int_equal(strlen(token), 32);
    check_token(token, NULL);
    server_stop(&server);
}

/* Sends the Host given alone. */
static int status_for_host(const char *host)
{
    char request[256], got[512] = "";
    int status = 0, fd = connect_to(server.port);
    assert_true(fd >= 0);
    int length = snprintf(request, sizeof(request),
                          "GET /version HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host);
    send_text(fd, request, (size_t)length);
    assert_true(recv(fd, got, sizeof(got) - 1, MSG_WAITALL) > 0);
    close(fd);
    assert_int_equal(sscanf(got, "HTTP/1.1 %d", &status), 1);
    return status;
}

static void whose_host_is_served(void **state)
{
    (void)state;
    static const char *const open[] = {"-host=0.0.0.0", "--no-token", NULL};
    static const char *const loopback_only[] = {"--no-token", NULL};
    server_start(&server, open, NULL);
    assert_null(strstr(text_get(&server.log), "token"));
    assert_int_equal(status_for_host("toxiproxy:8474"), 200);
    ask("GET", "/proxies", "Origin: http://evil.example\r\n");
    assert_int_equal(answer.status, 403);
    server_stop(&server);
    server_start(&server, loopback_only, NULL);
    assert_int_equal(status_for_host("toxiproxy:8474"), 403);
    assert_int_equal(status_for_host("localhost:8474"), 200);
    server_stop(&server);
}

/* The value of a metric, given with its labels up to the blank; NAN when it is not told. */
static double find_metric(const char *name)
{
    char wanted[256];
    ask("GET", "/metrics", "");
    assert_int_equal(answer.status, 200);
    snprintf(wanted, sizeof(wanted), "\n%s ", name);
    const char *line = strstr(answer.body, wanted);
    return line ? strtod(line + strlen(wanted), NULL) : NAN;
}

static double metric(const char *name)
{
    double value = find_metric(name);
    if (isnan(value))
        fail_msg("no %s in %s", name, answer.body);
    return value;
}

/* Until it is told and at least that much. */
static void await_metric(const char *name, double value)
{
    uint64_t deadline_ns = monotonic_now_ns() + SERVER_PATIENCE_S * NS_PER_S;
    while (!(find_metric(name) >= value))
        if (monotonic_now_ns() > deadline_ns)
            fail_msg("%s is %f, not %f", name, find_metric(name), value);
}

static void metrics_move_while_connections_live(void **state)
{
    (void)state;
    static const char *const extra[] = {"-proxy-metrics", "-runtime-metrics", NULL};
    char name[256];
    int upstream_port, upstream = listen_anywhere(8, &upstream_port);
    server_start(&server, extra, NULL);
    int port = server_add_proxy(&server, "web \\\"1\\\"", upstream_port);
    int client = connect_to(port), behind = accept_from(upstream);
    send_text(client, "hello", 5);
    expect_bytes(behind, "hello", 5);
    send_text(behind, "hi", 2);
    expect_bytes(client, "hi", 2);
    static const struct {
        const char *what, *direction;
        double bytes;
    } counters[] = {{"received", "upstream", 5},
                    {"sent", "upstream", 5},
                    {"received", "downstream", 2},
                    {"sent", "downstream", 2}};
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
        snprintf(name, sizeof(name),
                 "toxiproxy_proxy_%s_bytes_total{direction=\"%s\",proxy=\"web \\\"1\\\"\","
                 "listener=\"127.0.0.1:%d\",upstream=\"127.0.0.1:%d\"}",
                 counters[i].what, counters[i].direction, port, upstream_port);
        await_metric(name, counters[i].bytes);
        snprintf(name, sizeof(name),
                 "sever_route_%s_bytes_total{direction=\"%s\",route=\"web \\\"1\\\"\"}",
                 counters[i].what, counters[i].direction);
        assert_true(metric(name) == counters[i].bytes);
    }
    await_metric("sever_route_connections_open{route=\"web \\\"1\\\"\"}", 1);
    assert_true(metric("sever_connections_open") == 1);
    assert_true(metric("process_open_fds") > 3);
    assert_true(metric("process_resident_memory_bytes") > 100000);
    assert_true(metric("process_start_time_seconds") > 1e9);
    close(client);
    close(behind);
    close(upstream);
    server_stop(&server);
}

static void metrics_of_faults_and_links(void **state)
{
    (void)state;
    int upstream_port, upstream = listen_anywhere(8, &upstream_port);
    server_start(&server, NULL, NULL);
    server_tell(&server, "POST", "/v1/nodes", "{\"name\":\"n1\"}", 201);
    server_tell(&server, "POST", "/v1/nodes", "{\"name\":\"n2\"}", 201);
    char body[256];
    snprintf(body, sizeof(body),
             "{\"name\":\"n2\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:%d\","
             "\"from\":\"n1\",\"to\":\"n2\"}",
             upstream_port);
    server_ask(&server, "POST", "/v1/routes", "", body, &answer);
    assert_int_equal(answer.status, 201);
    const char *listening = strstr(answer.body, "\"listening\":\"127.0.0.1:");
    assert_non_null(listening);
    int port = (int)strtol(listening + strlen("\"listening\":\"127.0.0.1:"), NULL, 10);
    server_tell(&server, "POST", "/proxies/n2/toxics",
                "{\"type\":\"latency\",\"attributes\":{\"latency\":1}}", 200);
    int client = connect_to(port), behind = accept_from(upstream);
    send_text(behind, "hi", 2);
    expect_bytes(client, "hi", 2);
    await_metric("sever_link_bytes_total{from=\"n2\",to=\"n1\"}", 2);
    await_metric("sever_link_connections_total{from=\"n1\",to=\"n2\"}", 1);
    assert_true(
        metric("sever_fault_touched_total{fault=\"n2/latency_downstream\",type=\"latency\"}") >= 1);
    assert_true(metric("sever_link_dropped_total{from=\"n2\",to=\"n1\",cause=\"cut\"}") == 0);
    assert_true(metric("sever_ruleset_version") == 5);
    assert_true(metric("sever_timer_lateness_seconds_count") >= 1);
    assert_true(metric("sever_timer_lateness_seconds_sum") > 0);
    assert_null(strstr(answer.body, "toxiproxy_proxy_"));
    assert_null(strstr(answer.body, "process_"));
    close(client);
    close(behind);
    close(upstream);
    server_stop(&server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(version_under_either_name),   TEST(a_configuration_file),
        TEST(a_start_that_fails),          TEST(a_token_of_ones_own),
        TEST(severctl_carries_the_token),  TEST(a_token_is_made_when_the_network_reaches_in),
        TEST(whose_host_is_served),        TEST(metrics_move_while_connections_live),
        TEST(metrics_of_faults_and_links),
    };
    return cmocka_run_group_tests_name("toxiproxy server", tests, NULL, NULL);
}
