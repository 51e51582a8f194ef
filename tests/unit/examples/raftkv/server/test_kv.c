#include "tests/lib/test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/raftkv/server/kv.h"
#include "proxy/base/random.h"
#include "proxy/base/text.h"

/* Runs one command and compares its whole reply. */
static void expect(struct kv *kv, const char *wanted, enum kv_operation operation, size_t count,
                   const char *const *words)
{
    struct resp_argument arguments[4];
    struct bytes encoded = {0}, reply = {0};
    for (size_t i = 0; i < count; i++)
        arguments[i] = (struct resp_argument){(const uint8_t *)words[i], strlen(words[i])};
    kv_encode(&encoded, operation, arguments, count);
    assert_true(kv_apply(kv, bytes_get(&encoded), bytes_length(&encoded), &reply));
    bytes_append(&reply, "", 1);
    assert_string_equal((const char *)bytes_get(&reply), wanted);
    bytes_free(&encoded);
    bytes_free(&reply);
}

#define RUN(kv, wanted, operation, ...)                                                            \
    do {                                                                                           \
        const char *const words[] = {__VA_ARGS__};                                                 \
        expect(kv, wanted, operation, sizeof(words) / sizeof(words[0]), words);                    \
    } while (0)

static void set_get_del(void **state)
{
    (void)state;
    struct kv *kv = kv_create();
    RUN(kv, "$-1\r\n", KV_GET, "a");
    RUN(kv, "+OK\r\n", KV_SET, "a", "1");
    RUN(kv, "+OK\r\n", KV_SET, "", "");
    RUN(kv, "$1\r\n1\r\n", KV_GET, "a");
    RUN(kv, "$0\r\n\r\n", KV_GET, "");
    RUN(kv, "+OK\r\n", KV_SET, "a", "22");
    RUN(kv, "$2\r\n22\r\n", KV_GET, "a");
    assert_int_equal(kv_count(kv), 2);
    RUN(kv, ":1\r\n", KV_DEL, "a", "a", "b");
    RUN(kv, "$-1\r\n", KV_GET, "a");
    kv_clear(kv);
    assert_int_equal(kv_count(kv), 0);
    RUN(kv, "$-1\r\n", KV_GET, "");
    kv_destroy(kv);
}

static void incr_is_that_of_redis(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "01",
                                      "1.0",
                                      "x",
                                      "-0",
                                      "9223372036854775808",
                                      "99999999999999999999999999"};
    struct kv *kv = kv_create();
    RUN(kv, ":1\r\n", KV_INCR, "n");
    RUN(kv, ":2\r\n", KV_INCR, "n");
    RUN(kv, "+OK\r\n", KV_SET, "n", "-1");
    RUN(kv, ":0\r\n", KV_INCR, "n");
    RUN(kv, "+OK\r\n", KV_SET, "n", "-9223372036854775808");
    RUN(kv, ":-9223372036854775807\r\n", KV_INCR, "n");
    RUN(kv, "+OK\r\n", KV_SET, "n", "9223372036854775807");
    RUN(kv, "-ERR increment or decrement would overflow\r\n", KV_INCR, "n");
    RUN(kv, "$19\r\n9223372036854775807\r\n", KV_GET, "n");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        RUN(kv, "+OK\r\n", KV_SET, "n", bad[i]);
        RUN(kv, "-ERR value is not an integer or out of range\r\n", KV_INCR, "n");
    }
    kv_destroy(kv);
}

static void cas_compares_bytes(void **state)
{
    (void)state;
    struct kv *kv = kv_create();
    RUN(kv, ":0\r\n", KV_CAS, "k", "", "new"); /* a missing key never matches */
    assert_int_equal(kv_count(kv), 0);
    RUN(kv, "+OK\r\n", KV_SET, "k", "1");
    RUN(kv, ":0\r\n", KV_CAS, "k", "01", "2");
    RUN(kv, ":0\r\n", KV_CAS, "k", "", "2");
    RUN(kv, ":0\r\n", KV_CAS, "k", "11", "2");
    RUN(kv, ":1\r\n", KV_CAS, "k", "1", "2");
    RUN(kv, ":0\r\n", KV_CAS, "k", "1", "3");
    RUN(kv, "$1\r\n2\r\n", KV_GET, "k");
    kv_destroy(kv);
}

/* Against a plain array, through growth of the table. */
static void many_keys_behave_like_an_array(void **state)
{
    (void)state;
    enum { KEYS = 3000 };
    static int model[KEYS];
    struct kv *kv = kv_create();
    struct random_stream random = {.key = 1};
    memset(model, -1, sizeof(model));
    for (int round = 0; round < 30000; round++) {
        char key[16], value[16], wanted[40];
        int k = (int)random_below(random_next(&random), KEYS);
        snprintf(key, sizeof(key), "key%d", k);
        switch (random_below(random_next(&random), 3)) {
        case 0:
            model[k] = round;
            snprintf(value, sizeof(value), "%d", round);
            RUN(kv, "+OK\r\n", KV_SET, key, value);
            break;
        case 1:
            RUN(kv, model[k] >= 0 ? ":1\r\n" : ":0\r\n", KV_DEL, key);
            model[k] = -1;
            break;
        default:
            snprintf(value, sizeof(value), "%d", model[k]);
            snprintf(wanted, sizeof(wanted), "$%zu\r\n%s\r\n", strlen(value), value);
            RUN(kv, model[k] >= 0 ? wanted : "$-1\r\n", KV_GET, key);
        }
    }
    size_t count = 0;
    for (int k = 0; k < KEYS; k++)
        count += model[k] >= 0;
    assert_int_equal(kv_count(kv), count);
    kv_destroy(kv);
}

static void nonsense_changes_nothing(void **state)
{
    (void)state;
    struct kv *kv = kv_create();
    struct bytes encoded = {0}, reply = {0};
    struct resp_argument arguments[2] = {{(const uint8_t *)"k", 1}, {(const uint8_t *)"v", 1}};
    kv_encode(&encoded, KV_SET, arguments, 2);
    for (size_t length = 0; length < bytes_length(&encoded); length++) {
        uint8_t *copy = memory_allocate(length ? length : 1);
        if (length)
            memcpy(copy, bytes_get(&encoded), length);
        assert_false(kv_apply(kv, copy, length, &reply));
        free(copy);
    }
    bytes_append(&encoded, "x", 1); /* trailing bytes */
    assert_false(kv_apply(kv, bytes_get(&encoded), bytes_length(&encoded), &reply));
    bytes_free(&encoded);
    kv_encode(&encoded, KV_GET, arguments, 2); /* a wrong number of arguments */
    assert_false(kv_apply(kv, bytes_get(&encoded), bytes_length(&encoded), &reply));
    encoded.data[0] = KV_OPERATION_END;
    assert_false(kv_apply(kv, bytes_get(&encoded), bytes_length(&encoded), &reply));
    assert_int_equal(bytes_get(&reply)[0], '-');
    assert_int_equal(kv_count(kv), 0);
    bytes_free(&encoded);
    bytes_free(&reply);
    kv_destroy(kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_get_del),
        cmocka_unit_test(incr_is_that_of_redis),
        cmocka_unit_test(cas_compares_bytes),
        cmocka_unit_test(many_keys_behave_like_an_array),
        cmocka_unit_test(nonsense_changes_nothing),
    };
    return cmocka_run_group_tests_name("examples/raftkv/server/kv", tests, NULL, NULL);
}
