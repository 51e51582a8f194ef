#include "tests/lib/test.h"

#include <string.h>

#include "chaos/lab/observer.h"

static void info_becomes_a_state(void **state)
{
    (void)state;
    static const char info[] = "# Raft\r\nrole:leader\r\nterm:3\r\nleader:n2\r\nquorum:ok\r\n";
    struct observer_state seen;
    observer_parse(info, strlen(info), &seen);
    assert_string_equal(seen.role, "leader");
    assert_string_equal(seen.term, "3");
    assert_string_equal(seen.leader, "n2");
    assert_string_equal(seen.quorum, "ok");
    observer_parse("redis_version:7\r\n", 17, &seen);
    assert_string_equal(seen.role, "");
    assert_string_equal(seen.leader, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(info_becomes_a_state)};
    return cmocka_run_group_tests_name("observer", tests, NULL, NULL);
}
