#include "tests/lib/test.h"

#include <stdatomic.h>
#include <sys/resource.h>

#include "proxy/io/descriptors.h"

static int64_t left_with_limit(rlim_t files)
{
    struct rlimit before, limit;
    struct descriptors descriptors;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = files;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    descriptors_open(&descriptors);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    return atomic_load(&descriptors.left);
}

static void a_part_is_kept(void **state)
{
    (void)state;
    assert_int_equal(left_with_limit(64), 32);
    assert_int_equal(left_with_limit(1024), 512);
    assert_int_equal(left_with_limit(2048), 1024);
    assert_int_equal(left_with_limit(4000), 2976);
}

static void all_or_none_are_taken(void **state)
{
    (void)state;
    struct descriptors descriptors;
    atomic_init(&descriptors.left, 5);
    assert_true(descriptors_take(&descriptors, 2));
    assert_true(descriptors_take(&descriptors, 2));
    assert_false(descriptors_take(&descriptors, 2));
    assert_true(descriptors_take(&descriptors, 1));
    assert_false(descriptors_take(&descriptors, 1));
    descriptors_give(&descriptors, 2);
    assert_true(descriptors_take(&descriptors, 2));
    assert_int_equal(atomic_load(&descriptors.left), 0);
    assert_true(descriptors_take(NULL, 1000000)); /* no bound */
    descriptors_give(NULL, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_part_is_kept),
                                       cmocka_unit_test(all_or_none_are_taken)};
    return cmocka_run_group_tests_name("proxy/io/descriptors", tests, NULL, NULL);
}
