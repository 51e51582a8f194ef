#include "tests/lib/test.h"

#include "proxy/base/answer_limit.h"
#include "proxy/base/monotonic.h"

/* A burst at once, then the rate; what nobody used is not saved beyond the burst. */
static void no_more_than_a_kernel_would(void **state)
{
    (void)state;
    struct answer_limit limit = {0};
    uint64_t now_ns = 3600 * NS_PER_S;
    unsigned allowed = 0;
    for (int i = 0; i < 1000; i++)
        allowed += answer_limit_allow(&limit, ANSWER_LIMIT_BURST, now_ns);
    assert_int_equal(allowed, ANSWER_LIMIT_BURST);
    for (int i = 0; i < 10000; i++) /* for one second */
        allowed += answer_limit_allow(&limit, ANSWER_LIMIT_BURST, now_ns += NS_PER_MS / 10);
    assert_int_equal(allowed, ANSWER_LIMIT_BURST + ANSWER_LIMIT_PER_S);
    now_ns += 3600 * NS_PER_S;
    allowed = 0;
    for (int i = 0; i < 1000; i++)
        allowed += answer_limit_allow(&limit, ANSWER_LIMIT_BURST, now_ns);
    assert_int_equal(allowed, ANSWER_LIMIT_BURST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_than_a_kernel_would),
    };
    return cmocka_run_group_tests_name("proxy/base/answer_limit", tests, NULL, NULL);
}
