/* An examination takes its time, and nobody else's. */
#include "tests/unit/proxy/api/fixture.h"

static int set_up(void **state)
{
    fixture_set_up(state);
    atomic_store(&fixture->doctor_waits, true);
    return 0;
}

static int send_question(void)
{
    static const char request[] =
        "GET /v1/doctor HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    int fd = fixture_connect(fixture);
    fixture_send(fd, request, sizeof(request) - 1);
    return fd;
}

static void await_examinations(unsigned count)
{
    uint64_t deadline_ns = monotonic_now_ns() + 20 * NS_PER_S;
    while (atomic_load(&fixture->examinations) < count)
        assert_true(monotonic_now_ns() < deadline_ns);
}

static void let_go(void)
{
    atomic_store(&fixture->doctor_waits, false);
    assert_int_equal(eventfd_write(fixture->doctor_fd, 1), 0);
}

static void take_answer(int fd)
{
    fixture_receive(fd, &text);
    close(fd);
    assert_has("HTTP/1.1 200 OK\r\n");
    assert_has("Content-Type: application/json\r\n");
    assert_has("{\"checks\":[{\"name\":\"open files\",\"ok\":true,");
    assert_has("\"advice\":\"load veth\"}]}");
}

/* Who asks meanwhile shares it. */
static void others_are_answered_meanwhile(void **state)
{
    (void)state;
    int first = send_question();
    await_examinations(1);
    int second = send_question();
    assert_int_equal(ask("GET", "/v1/status", NULL), 0);
    assert_int_equal(ask("POST", "/v1/partitions", "{\"name\":\"p\",\"links\":[\"n1->n2\"]}"), 0);
    assert_int_equal(atomic_load(&fixture->examinations), 1);
    let_go();
    take_answer(first);
    take_answer(second);
    assert_in_range(atomic_load(&fixture->examinations), 1, 2); /* the second may have come late */
    assert_int_equal(ask("GET", "/v1/doctor", NULL), 0); /* another one, which sees what is now */
    assert_in_range(atomic_load(&fixture->examinations), 2, 3);
}

static void who_leaves_is_no_trouble(void **state)
{
    (void)state;
    int gone = send_question();
    await_examinations(1);
    close(gone);
    int stays = send_question();
    assert_int_equal(ask("GET", "/v1/status", NULL), 0);
    let_go();
    take_answer(stays);
    assert_int_equal(ask("GET", "/v1/status", NULL), 0);
}

static void the_end_waits_for_an_examination(void **state)
{
    (void)state;
    int asked = send_question();
    await_examinations(1);
    let_go();
    close(asked); /* the rest is the teardown's */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(others_are_answered_meanwhile),
        TEST(who_leaves_is_no_trouble),
        TEST(the_end_waits_for_an_examination),
    };
    return cmocka_run_group_tests_name("proxy/api/doctor", tests, NULL, NULL);
}
