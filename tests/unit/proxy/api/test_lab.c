/* /v1/lab: paths, codes, places and events, over a lab that is only in memory. */
#include "tests/unit/proxy/api/fixture.h"

static struct fixture *fixture;
static struct text text;

static int set_up(void **state)
{
    (void)state;
    fixture = fixture_start("127.0.0.1:0");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_stop(fixture);
    text_free(&text);
    return 0;
}

static const char *expect(int code, const char *method, const char *path, const char *body)
{
    int got = fixture_ask(fixture, method, path, body, &text);
    if (got != code)
        fail_msg("%s %s: %d and not %d: %s", method, path, got, code, text_get(&text));
    return text_get(&text);
}

static void up(void)
{
    expect(0, "PUT", "/v1/lab", "{\"nodes\":[\"m1\",{\"name\":\"k1\",\"kind\":\"client\"}]}");
}

static void there_is_none_at_first(void **state)
{
    (void)state;
    assert_string_equal(expect(0, "GET", "/v1/lab", NULL), "{\"up\":false}");
    expect(-ENOENT, "DELETE", "/v1/lab", NULL);
    expect(-EINVAL, "POST", "/v1/lab/nodes", "{\"name\":\"m9\"}"); /* the path is there */
    expect(-ENOENT, "GET", "/v1/lab/connections", NULL);
}

static void put_brings_it_up_and_answers_as_get(void **state)
{
    (void)state;
    struct text made = {0};
    up();
    text_append(&made, "%s", text_get(&text));
    assert_string_equal(expect(0, "GET", "/v1/lab", NULL), text_get(&made));
    assert_non_null(strstr(text_get(&made), "\"name\":\"k1\",\"kind\":\"client\",\"number\":2"));
    assert_non_null(strstr(expect(0, "GET", "/v1/nodes", NULL), "10.77.0.1"));
    text_free(&made);
    expect(-EEXIST, "PUT", "/v1/lab", "{\"nodes\":[\"x\"]}");
    expect(0, "DELETE", "/v1/lab", NULL);
    assert_string_equal(expect(0, "GET", "/v1/lab", NULL), "{\"up\":false}");
}

static void what_is_asked_for_is_checked(void **state)
{
    (void)state;
    assert_string_equal(expect(-EINVAL, "PUT", "/v1/lab", "{}"),
                        "nodes: a lab has at least one node");
    assert_string_equal(expect(-EINVAL, "PUT", "/v1/lab", "{\"nodes\":[\"a\",{}]}"),
                        "nodes[1].name: 'name' is missing");
    assert_string_equal(expect(-ENOENT, "PUT", "/v1/labs", "{}"),
                        "there is no /v1/labs; the closest is /v1/lab");
}

/* What the machine refuses is neither the request's fault nor who asks'. */
static void a_machine_without_namespaces_is_no_forbidden_request(void **state)
{
    (void)state;
    atomic_store(&fixture->fail_code, -EPERM);
    assert_string_equal(expect(-EIO, "PUT", "/v1/lab", "{\"nodes\":[\"a\"]}"),
                        "the lab was told to fail");
    atomic_store(&fixture->fail_code, -ENOENT);
    expect(-EIO, "PUT", "/v1/lab", "{\"nodes\":[\"a\"]}");
    atomic_store(&fixture->fail_code, -ENOSPC); /* no address left */
    expect(-EINVAL, "PUT", "/v1/lab", "{\"nodes\":[\"a\"]}");
}

static void nodes_come_and_go(void **state)
{
    (void)state;
    up();
    assert_non_null(
        strstr(expect(0, "POST", "/v1/lab/nodes", "{\"name\":\"m6\"}"), "\"number\":3"));
    expect(-EEXIST, "POST", "/v1/lab/nodes", "{\"name\":\"m6\"}");
    assert_string_equal(expect(-EINVAL, "DELETE", "/v1/nodes/m6", NULL),
                        "node 'm6' is in the lab: severctl lab remove m6 takes it out, severctl "
                        "lab down ends the lab");
    expect(0, "DELETE", "/v1/lab/nodes/m6", NULL);
    expect(-ENOENT, "DELETE", "/v1/lab/nodes/m6", NULL);
}

static void ports_lead_to_nodes(void **state)
{
    (void)state;
    up();
    assert_string_equal(expect(0, "POST", "/v1/lab/ports", "{\"node\":\"m1\",\"port\":2379}"),
                        "{\"listen\":\"127.0.0.1:4242\",\"node\":\"m1\",\"port\":2379}");
    assert_non_null(strstr(expect(0, "GET", "/v1/lab", NULL), "\"port\":2379"));
    assert_non_null(strstr(expect(-EINVAL, "POST", "/v1/lab/ports", "{\"node\":\"m8\",\"port\":1}"),
                           "node: no such"));
    expect(0, "DELETE", "/v1/lab/ports/127.0.0.1:4242", NULL);
    expect(-ENOENT, "DELETE", "/v1/lab/ports/127.0.0.1%3A4242", NULL);
}

static void connections_are_told_with_what_was_left_out(void **state)
{
    (void)state;
    up();
    assert_string_equal(
        expect(0, "GET", "/v1/lab/connections", NULL),
        "{\"connections\":[{\"node\":\"n1\",\"local\":\"10.77.0.1:40000\",\"remote\":"
        "\"10.77.0.2:2379\",\"to\":\"n2\",\"state\":\"established\",\"cut\":\"out\","
        "\"retransmits\":3},{\"node\":\"n1\",\"local\":\"10.77.0.1:40001\",\"remote\":"
        "\"192.0.2.1:80\",\"to\":null,\"state\":\"syn-sent\",\"cut\":\"none\",\"retransmits\":0}],"
        "\"more\":7}");
}

static bool until(int fd, const char *part)
{
    char buffer[4096];
    ssize_t got = 1;
    while (!strstr(text_get(&text), part) && (got = recv(fd, buffer, sizeof(buffer), 0)) > 0)
        text_append_bytes(&text, buffer, (size_t)got);
    return got > 0;
}

static void a_node_that_ends_is_an_event(void **state)
{
    (void)state;
    static const char request[] = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    int fd = fixture_connect(fixture);
    fixture_send(fd, request, strlen(request));
    text_clear(&text);
    assert_true(until(fd, "\"changes\":[]"));
    struct text other = {0};
    assert_int_equal(fixture_ask(fixture, "PUT", "/v1/lab", "{\"nodes\":[\"m1\"]}", &other), 0);
    text_free(&other);
    assert_true(until(fd, "\"changes\":[\"node m1 added\"]"));
    assert_true(until(fd,
                      "event: lab\ndata: {\"version\":2,\"by\":\"test\",\"changes\":[\"lab of 1 "
                      "node up\"]}"));
    atomic_store(&fixture->has_news, true);
    assert_int_equal(eventfd_write(fixture->news_fd, 1), 0);
    assert_true(until(fd,
                      "event: lab\ndata: {\"version\":2,\"by\":\"severd\",\"changes\":[\"node n1 "
                      "of the lab has ended\"]}"));
    close(fd);
}

static void release(void)
{
    atomic_store(&fixture->lab_slow, false);
    assert_int_equal(eventfd_write(fixture->news_fd, 1), 0);
}

static int send_request(const char *request)
{
    int fd = fixture_connect(fixture);
    fixture_send(fd, request, strlen(request));
    return fd;
}

static const char add_m2[] =
    "POST /v1/lab/nodes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    "Content-Length: 13\r\n\r\n{\"name\":\"m2\"}";
static const char remove_m2[] =
    "DELETE /v1/lab/nodes/m2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/* Others are served meanwhile; a second change has its turn when the first one has ended. */
static void nobody_waits_for_a_change_but_who_asked(void **state)
{
    (void)state;
    up();
    atomic_store(&fixture->lab_slow, true);
    int first = send_request(add_m2), second = send_request(remove_m2);
    for (int i = 0; i < 3; i++)
        assert_null(strstr(expect(0, "GET", "/v1/lab", NULL), "m2"));
    expect(0, "POST", "/v1/nodes", "{\"name\":\"other\"}");
    char byte;
    assert_int_equal(recv(first, &byte, 1, MSG_DONTWAIT), -1);
    release();
    text_clear(&text);
    assert_true(until(first, "201"));
    assert_true(until(first, "\"name\":\"m2\""));
    text_clear(&text);
    assert_true(until(second, "204"));
    assert_null(strstr(expect(0, "GET", "/v1/lab", NULL), "m2"));
    close(first);
    close(second);
}

/* Who has gone is no obstacle, and what was asked for is done. */
static void a_change_is_seen_through_when_its_client_has_gone(void **state)
{
    (void)state;
    up();
    atomic_store(&fixture->lab_slow, true);
    int fd = send_request(add_m2);
    expect(0, "GET", "/v1/lab", NULL);
    close(fd);
    expect(0, "GET", "/v1/lab", NULL);
    release();
    expect(0, "DELETE", "/v1/lab/nodes/m2", NULL);
}

/* fixture_stop ends the API with both. */
static void severd_may_end_while_changes_wait(void **state)
{
    (void)state;
    up();
    atomic_store(&fixture->lab_slow, true);
    int first = send_request(add_m2), second = send_request(remove_m2);
    expect(0, "GET", "/v1/lab", NULL);
    fixture_stop(fixture);
    char bytes[1024];
    while (recv(first, bytes, sizeof(bytes), 0) > 0)
        ;
    while (recv(second, bytes, sizeof(bytes), 0) > 0)
        ;
    close(first);
    close(second);
    fixture = fixture_start("127.0.0.1:0");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(there_is_none_at_first),
        TEST(put_brings_it_up_and_answers_as_get),
        TEST(what_is_asked_for_is_checked),
        TEST(a_machine_without_namespaces_is_no_forbidden_request),
        TEST(nodes_come_and_go),
        TEST(ports_lead_to_nodes),
        TEST(connections_are_told_with_what_was_left_out),
        TEST(a_node_that_ends_is_an_event),
        TEST(nobody_waits_for_a_change_but_who_asked),
        TEST(a_change_is_seen_through_when_its_client_has_gone),
        TEST(severd_may_end_while_changes_wait),
    };
    return cmocka_run_group_tests_name("proxy/api/lab", tests, NULL, NULL);
}
