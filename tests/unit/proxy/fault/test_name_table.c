/* Names and their numbers, with enough of them that 32-bit hashes do collide. */
#include "tests/unit/proxy/fault/harness.h"

#include "proxy/fault/name_table.h"

enum { NAMES = 300000 }; /* about ten pairs with the same hash */

static void every_name_has_its_own_value(void **state)
{
    (void)state;
    struct name_table table;
    char(*names)[16] = calloc(NAMES, sizeof(*names));
    assert_non_null(names);
    assert_int_equal(name_table_create(&table, NAMES), 0);
    for (uint32_t i = 0; i < NAMES; i++) {
        snprintf(names[i], sizeof(names[i]), "n%u", i * 7919u);
        assert_int_equal(name_table_add(&table, names[i], i), NAME_TABLE_NONE);
    }
    for (uint32_t i = 0; i < NAMES; i++) {
        char copy[16];
        memcpy(copy, names[i], sizeof(copy));
        assert_int_equal(name_table_find(&table, copy), i);
        assert_int_equal(name_table_add(&table, copy, 5), i); /* kept as it was */
        copy[0] = 'm';
        assert_int_equal(name_table_find(&table, copy), NAME_TABLE_NONE);
    }
    name_table_destroy(&table);
    free(names);
}

static void an_empty_table_has_nothing(void **state)
{
    (void)state;
    struct name_table table = {0};
    assert_int_equal(name_table_find(&table, "n1"), NAME_TABLE_NONE);
    name_table_destroy(&table);
    assert_int_equal(name_table_create(&table, 0), 0);
    assert_int_equal(name_table_find(&table, ""), NAME_TABLE_NONE);
    assert_int_equal(name_table_add(&table, "", 3), NAME_TABLE_NONE);
    assert_int_equal(name_table_find(&table, ""), 3);
    name_table_destroy(&table);
    name_table_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_has_its_own_value),
        cmocka_unit_test(an_empty_table_has_nothing),
    };
    return cmocka_run_group_tests_name("proxy/fault/name_table", tests, NULL, NULL);
}
