/* What GET /metrics tells of links: each value under its name, with its labels. */
#include "tests/unit/proxy/api/fixture.h"

static void links_are_told_by_name_and_label(void **state)
{
    static const char request[] =
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    (void)state;
    int fd = fixture_connect(fixture);
    fixture_send(fd, request, sizeof(request) - 1);
    fixture_receive(fd, &text);
    close(fd);
    assert_has("HTTP/1.1 200 OK\r\n");
    assert_has("\nsever_link_dropped_total{from=\"n1\",to=\"n2\",cause=\"cut\"} 7\n");
    assert_has("\nsever_link_dropped_total{from=\"n1\",to=\"n2\",cause=\"reject\"} 8\n");
    assert_has("\n# TYPE sever_link_untold_total counter\n");
    assert_has("\nsever_link_untold_total{from=\"n1\",to=\"n2\",answer=\"reset\"} 9\n");
    assert_has("\nsever_link_untold_total{from=\"n1\",to=\"n2\",answer=\"unreachable\"} 10\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(links_are_told_by_name_and_label, fixture_set_up,
                                        fixture_tear_down),
    };
    return cmocka_run_group_tests_name("proxy/api/metrics", tests, NULL, NULL);
}
