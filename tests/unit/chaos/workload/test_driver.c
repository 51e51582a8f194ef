/* What is said to each system, and what its answers mean. */
#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#include "chaos/workload/driver.h"
#include "chaos/workload/workload.h"

/* ---- etcd ------------------------------------------------------------------------------------ */

static void base64_of(const char *plain, const char *coded)
{
    struct text out = {0};
    char back[32];
    size_t length;
    driver_append_base64(&out, plain, strlen(plain));
    assert_string_equal(text_get(&out), coded);
    assert_true(driver_decode_base64(coded, back, sizeof(back), &length));
    assert_int_equal(length, strlen(plain));
    assert_memory_equal(back, plain, length);
    text_free(&out);
}

static void base64_is_the_standard_one(void **state)
{
    (void)state;
    char bytes[4];
    size_t length;
    base64_of("", ""); /* RFC 4648, section 10 */
    base64_of("f", "Zg==");
    base64_of("fo", "Zm8=");
    base64_of("foo", "Zm9v");
    base64_of("foob", "Zm9vYg==");
    base64_of("fooba", "Zm9vYmE=");
    base64_of("foobar", "Zm9vYmFy");
    base64_of("\xff\xfe?>", "//4/Pg==");
    static const char *const bad[] = {"Zg=", "Zg", "Z===", "Zm9v!", "Zm=v", "Zm9vYmE="};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(driver_decode_base64(bad[i], bytes, sizeof(bytes), &length));
}

static struct history_operation operation_of(enum history_function function)
{
    struct history_operation operation = {
        .function = function, .key = "k1", .value = HISTORY_NIL, .expected = HISTORY_NIL};
    if (function != HISTORY_READ)
        operation.value = 17;
    if (function == HISTORY_CAS)
        operation.expected = 4;
    return operation;
}

static void requests_to_etcd(void **state)
{
    (void)state;
    static const struct {
        enum history_function function;
        const char *path, *body;
    } cases[] = {
        {HISTORY_READ, "/v3/kv/range", "{\"key\":\"azE=\"}"},
        {HISTORY_WRITE, "/v3/kv/put", "{\"key\":\"azE=\",\"value\":\"MTc=\"}"},
        {HISTORY_CAS, "/v3/kv/txn",
         "{\"compare\":[{\"key\":\"azE=\",\"target\":\"VALUE\",\"result\":\"EQUAL\",\"value\":"
         "\"NA==\"}],\"success\":[{\"request_put\":{\"key\":\"azE=\",\"value\":\"MTc=\"}}]}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct history_operation operation = operation_of(cases[i].function);
        struct text body = {0};
        assert_string_equal(driver_build_etcd(&operation, &body), cases[i].path);
        assert_string_equal(text_get(&body), cases[i].body);
        text_free(&body);
    }
}

static struct history_operation judge_etcd(enum history_function function, long status,
                                           const char *body)
{
    struct history_operation operation = operation_of(function);
    driver_judge_etcd(&operation, status, body, strlen(body));
    return operation;
}

static void answers_of_etcd(void **state)
{
    (void)state;
    static const char one[] = "{\"header\":{},\"kvs\":[{\"key\":\"azE=\",\"value\":\"MTc=\"}]}";
    static const char strange[] = "{\"kvs\":[{\"key\":\"azE=\",\"value\":\"Zm9v\"}]}";
    static const char error[] = "{\"error\":\"etcdserver: request timed out\",\"code\":14}";
    assert_int_equal(judge_etcd(HISTORY_READ, 200, one).value, 17);
    struct history_operation none = judge_etcd(HISTORY_READ, 200, "{\"header\":{}}");
    assert_int_equal(none.outcome, HISTORY_OK);
    assert_int_equal(none.value, HISTORY_NIL);
    assert_int_equal(judge_etcd(HISTORY_READ, 200, strange).value, WORKLOAD_STRANGE);
    assert_int_equal(judge_etcd(HISTORY_WRITE, 200, "{\"header\":{}}").outcome, HISTORY_OK);
    assert_int_equal(judge_etcd(HISTORY_CAS, 200, "{\"succeeded\":true}").outcome, HISTORY_OK);
    assert_int_equal(judge_etcd(HISTORY_CAS, 200, "{\"header\":{}}").outcome, HISTORY_MISMATCH);
    struct history_operation late = judge_etcd(HISTORY_WRITE, 503, error);
    assert_int_equal(late.outcome, HISTORY_UNKNOWN);
    assert_string_equal(late.reason, "etcdserver: request timed out");
    assert_int_equal(judge_etcd(HISTORY_READ, 503, error).outcome, HISTORY_FAIL);
    assert_int_equal(judge_etcd(HISTORY_CAS, 200, "not JSON").outcome, HISTORY_UNKNOWN);
    assert_string_equal(judge_etcd(HISTORY_CAS, 404, "").reason, "HTTP status 404");
}

static void tell_etcd(const char *body, const char *expected)
{
    struct text told = {0};
    assert_int_equal(driver_tell_etcd(body, strlen(body), &told), 0);
    assert_string_equal(text_get(&told), expected);
    text_free(&told);
}

static void members_of_etcd_tell_who_they_are(void **state)
{
    (void)state;
    struct text told = {0};
    tell_etcd("{\"header\":{\"member_id\":\"7\"},\"leader\":\"7\",\"raftTerm\":\"3\"}",
              "role:leader\r\nterm:3\r\nleader:7\r\nready:1\r\n");
    tell_etcd("{\"header\":{\"member_id\":\"8\"},\"leader\":\"7\",\"raftTerm\":\"3\"}",
              "role:follower\r\nterm:3\r\nleader:7\r\nready:1\r\n");
    tell_etcd("{\"header\":{\"member_id\":\"8\"},\"raftTerm\":\"4\"}",
              "role:follower\r\nterm:4\r\nleader:\r\nready:0\r\nwaiting:a leader\r\n");
    assert_int_equal(driver_tell_etcd("[]", 2, &told), -EPROTO);
    assert_int_equal(told.length, 0);
}

/* ---- redis ----------------------------------------------------------------------------------- */

static struct history_operation judge_add(int code, bool sent, enum resp_kind kind,
                                          const char *text, int64_t integer)
{
    struct history_operation operation = operation_of(HISTORY_ADD);
    struct resp_reply reply = {
        .kind = kind, .text = text, .length = strlen(text), .integer = integer};
    driver_judge_add(&operation, code, sent, &reply, "timed out");
    return operation;
}

static void answers_to_sadd(void **state)
{
    (void)state;
    assert_int_equal(judge_add(0, true, RESP_INTEGER, "", 1).outcome, HISTORY_OK);
    /* Nobody else adds this element: it was there from a command that was sent before. */
    assert_int_equal(judge_add(0, true, RESP_INTEGER, "", 0).outcome, HISTORY_UNKNOWN);
    static const char *const refusals[] = {"READONLY You can't write against a read only replica.",
                                           "NOREPLICAS Not enough good replicas to write.",
                                           "LOADING Redis is loading",
                                           "MASTERDOWN Link with MASTER is down"};
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct history_operation operation = judge_add(0, true, RESP_ERROR, refusals[i], 0);
        assert_int_equal(operation.outcome, HISTORY_FAIL);
        assert_string_equal(operation.reason, refusals[i]);
    }
    assert_int_equal(judge_add(0, true, RESP_ERROR, "ERR odd", 0).outcome, HISTORY_UNKNOWN);
    assert_int_equal(judge_add(-ETIMEDOUT, true, RESP_NIL, "", 0).outcome, HISTORY_UNKNOWN);
    assert_int_equal(judge_add(-ETIMEDOUT, false, RESP_NIL, "", 0).outcome, HISTORY_FAIL);
}

static void tell_redis(const char *info, const char *sentinel, bool has_sentinel,
                       const char *expected)
{
    struct text told = {0};
    driver_tell_redis(info, sentinel, has_sentinel, 3, &told);
    assert_string_equal(text_get(&told) + strlen(info), expected);
    text_free(&told);
}

static void nodes_of_redis_are_ready_when_all_is_connected(void **state)
{
    (void)state;
    static const char master[] = "role:master\r\nconnected_slaves:2\r\n";
    static const char alone[] = "role:master\r\nconnected_slaves:1\r\n";
    static const char replica[] = "role:slave\r\nmaster_link_status:up\r\n";
    static const char lost[] = "role:slave\r\nmaster_link_status:down\r\n";
    static const char all[] =
        "# Sentinel\r\nmaster0:name=m,status=ok,address=10.77.0.2:6379,slaves=2,sentinels=3\r\n";
    static const char few[] =
        "master0:name=m,status=ok,address=10.77.0.2:6379,slaves=2,sentinels=2\r\n";
    static const char down[] =
        "master0:name=m,status=odown,address=10.77.0.2:6379,slaves=2,sentinels=3\r\n";
    tell_redis(master, "", false, "ready:1\r\n");
    tell_redis(alone, "", false, "ready:0\r\nwaiting:replicas: 1 of 2 are connected\r\n");
    tell_redis(replica, "", false, "ready:1\r\n");
    tell_redis(lost, "", false, "ready:0\r\nwaiting:its link to its master\r\n");
    tell_redis(master, "", true,
               "ready:0\r\nwaiting:its sentinel, which does not answer or knows no master\r\n");
    tell_redis(master, all, true, "sentinel_master:10.77.0.2:6379\r\nready:1\r\n");
    tell_redis(replica, few, true,
               "sentinel_master:10.77.0.2:6379\r\nready:0\r\n"
               "waiting:its sentinel, which knows 2 of 2 replicas and 2 of 3 sentinels\r\n");
    tell_redis(replica, down, true,
               "sentinel_master:10.77.0.2:6379\r\nready:0\r\n"
               "waiting:its sentinel, to which the master is not well\r\n");
}

/* ---- postgres -------------------------------------------------------------------------------- */

static enum history_outcome judge_insert(bool done, bool sent, const char *sqlstate, bool fatal)
{
    struct history_operation operation = operation_of(HISTORY_ADD);
    driver_judge_insert(&operation, done, sent, sqlstate, fatal, "a message\nand more");
    assert_string_equal(operation.reason, done ? "" : "a message");
    return operation.outcome;
}

static void results_of_insert(void **state)
{
    (void)state;
    assert_int_equal(judge_insert(true, true, NULL, false), HISTORY_OK);
    assert_int_equal(judge_insert(false, true, "25006", false), HISTORY_FAIL);   /* read only */
    assert_int_equal(judge_insert(false, true, "57P01", true), HISTORY_UNKNOWN); /* shut down */
    assert_int_equal(judge_insert(false, true, NULL, false), HISTORY_UNKNOWN);
    assert_int_equal(judge_insert(false, false, NULL, false), HISTORY_FAIL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_is_the_standard_one),
        cmocka_unit_test(requests_to_etcd),
        cmocka_unit_test(answers_of_etcd),
        cmocka_unit_test(members_of_etcd_tell_who_they_are),
        cmocka_unit_test(answers_to_sadd),
        cmocka_unit_test(nodes_of_redis_are_ready_when_all_is_connected),
        cmocka_unit_test(results_of_insert),
    };
    return cmocka_run_group_tests_name("driver", tests, NULL, NULL);
}
