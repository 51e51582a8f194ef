#include "tests/lib/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/workload/workload.h"
#include "proxy/base/monotonic.h"

static const struct experiment_workload mixed = {.clients = 4,
                                                 .keys = 3,
                                                 .rate_per_s = 200,
                                                 .weight_read = 50,
                                                 .weight_write = 30,
                                                 .weight_cas = 20};

static void the_same_seed_chooses_the_same(void **state)
{
    (void)state;
    struct workload_client a, b, other;
    unsigned differ = 0;
    workload_client_init(&a, 2, 7, mixed.keys);
    workload_client_init(&b, 2, 7, mixed.keys);
    workload_client_init(&other, 2, 8, mixed.keys);
    for (int i = 0; i < 200; i++) {
        struct history_operation x = {0}, y = {0}, z = {0};
        unsigned kx, ky, kz;
        workload_choose(&a, &mixed, &x, &kx);
        workload_choose(&b, &mixed, &y, &ky);
        workload_choose(&other, &mixed, &z, &kz);
        assert_int_equal(x.function, y.function);
        assert_int_equal(x.value, y.value);
        assert_string_equal(x.key, y.key);
        differ += x.function != z.function || kx != kz;
    }
    assert_true(differ > 50);
    workload_client_free(&a);
    workload_client_free(&b);
    workload_client_free(&other);
}

static void the_mix_is_kept_and_values_are_unique(void **state)
{
    (void)state;
    enum { CLIENTS = 4, EACH = 3000 };
    static bool seen[(EACH + 1) * EXPERIMENT_CLIENTS_MAX];
    unsigned count[3] = {0}, keys[3] = {0};
    for (unsigned c = 0; c < CLIENTS; c++) {
        struct workload_client client;
        workload_client_init(&client, c, 1, mixed.keys);
        for (unsigned k = 0; k < mixed.keys; k++)
            client.last_seen[k] = 5; /* so that a cas stays one */
        for (int i = 0; i < EACH; i++) {
            struct history_operation operation = {0};
            unsigned key;
            workload_choose(&client, &mixed, &operation, &key);
            count[operation.function]++;
            keys[key]++;
            if (operation.function == HISTORY_READ)
                continue;
            assert_true(operation.value > 0);
            assert_false(seen[operation.value]);
            seen[operation.value] = true;
        }
        workload_client_free(&client);
    }
    assert_in_range(count[HISTORY_READ], 5700, 6300);
    assert_in_range(count[HISTORY_WRITE], 3350, 3850);
    assert_in_range(count[HISTORY_CAS], 2200, 2600);
    for (unsigned k = 0; k < 3; k++)
        assert_in_range(keys[k], 3700, 4300);
}

static void a_cas_expects_what_was_last_seen(void **state)
{
    (void)state;
    static const struct experiment_workload cas_only = {
        .clients = 1, .keys = 1, .rate_per_s = 1, .weight_cas = 1};
    struct workload_client client;
    struct history_operation operation = {0};
    unsigned key;
    workload_client_init(&client, 0, 1, 1);
    workload_choose(&client, &cas_only, &operation, &key);
    assert_int_equal(operation.function, HISTORY_READ); /* knows nothing yet */
    operation.outcome = HISTORY_OK;
    operation.value = 77;
    workload_learn(&client, key, &operation);
    workload_choose(&client, &cas_only, &operation, &key);
    assert_int_equal(operation.function, HISTORY_CAS);
    assert_int_equal(operation.expected, 77);
    int64_t written = operation.value;
    operation.outcome = HISTORY_FAIL; /* tells nothing */
    workload_learn(&client, key, &operation);
    assert_int_equal(client.last_seen[0], 77);
    operation.outcome = HISTORY_OK;
    workload_learn(&client, key, &operation);
    assert_int_equal(client.last_seen[0], written);
    operation.outcome = HISTORY_MISMATCH;
    workload_learn(&client, key, &operation);
    workload_choose(&client, &cas_only, &operation, &key);
    assert_int_equal(operation.function, HISTORY_READ);
    workload_client_free(&client);
}

static void slots_keep_the_rate_and_their_order(void **state)
{
    (void)state;
    uint64_t interval_ns = mixed.clients * NS_PER_S / mixed.rate_per_s;
    for (unsigned c = 0; c < mixed.clients; c++) {
        struct workload_client client = {.index = c};
        for (uint64_t slot = 0; slot < 500; slot++) {
            uint64_t due = workload_slot_due(&client, &mixed, 3, slot);
            assert_true(due >= slot * interval_ns && due < (slot + 1) * interval_ns);
        }
    }
}

static struct history_operation judge(enum history_function function, int code, bool sent,
                                      const struct resp_reply *reply, const char *message)
{
    struct history_operation operation = {.function = function, .value = 1};
    workload_judge(&operation, code, sent, reply, message);
    return operation;
}

static struct resp_reply reply_of(enum resp_kind kind, const char *text)
{
    return (struct resp_reply){.kind = kind, .text = text, .length = strlen(text)};
}

static void answers(void **state)
{
    (void)state;
    struct resp_reply ok = reply_of(RESP_STATUS, "OK"), nil = reply_of(RESP_NIL, "");
    struct resp_reply number = reply_of(RESP_BULK, "42");
    struct resp_reply one = {.kind = RESP_INTEGER, .integer = 1}, zero = {.kind = RESP_INTEGER};
    struct history_operation read = judge(HISTORY_READ, 0, true, &number, NULL);
    assert_int_equal(read.outcome, HISTORY_OK);
    assert_int_equal(read.value, 42);
    read = judge(HISTORY_READ, 0, true, &nil, NULL);
    assert_int_equal(read.outcome, HISTORY_OK);
    assert_true(read.value == HISTORY_NIL);
    assert_int_equal(judge(HISTORY_WRITE, 0, true, &ok, NULL).outcome, HISTORY_OK);
    assert_int_equal(judge(HISTORY_WRITE, 0, true, &nil, NULL).outcome, HISTORY_UNKNOWN);
    assert_int_equal(judge(HISTORY_CAS, 0, true, &one, NULL).outcome, HISTORY_OK);
    assert_int_equal(judge(HISTORY_CAS, 0, true, &zero, NULL).outcome, HISTORY_MISMATCH);
    assert_int_equal(judge(HISTORY_CAS, 0, true, &nil, NULL).outcome, HISTORY_MISMATCH);
    assert_int_equal(judge(HISTORY_CAS, 0, true, &number, NULL).outcome, HISTORY_UNKNOWN);
}

/* A read that is answered with garbage has been answered: with a value that nobody wrote. */
static void garbage_is_a_value_that_nobody_wrote(void **state)
{
    (void)state;
    static const char *const texts[] = {"4x",
                                        "",
                                        "x",
                                        "0",
                                        "007",
                                        " 5",
                                        "+5",
                                        "-5",
                                        "\n",
                                        "99999999999999999999",
                                        "-9223372036854775808"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct resp_reply reply = reply_of(RESP_BULK, texts[i]);
        struct history_operation read = judge(HISTORY_READ, 0, true, &reply, NULL);
        assert_int_equal(read.outcome, HISTORY_OK);
        assert_int_equal(read.value, WORKLOAD_STRANGE);
        assert_memory_equal(read.reason, "unexpected reply '", 18);
    }
    struct resp_reply reply = {.kind = RESP_BULK, .text = "5\0x", .length = 3};
    assert_int_equal(judge(HISTORY_READ, 0, true, &reply, NULL).value, WORKLOAD_STRANGE);
    reply = (struct resp_reply){.kind = RESP_INTEGER, .integer = 5};
    assert_int_equal(judge(HISTORY_READ, 0, true, &reply, NULL).value, WORKLOAD_STRANGE);
    assert_string_equal(judge(HISTORY_READ, 0, true, &reply, NULL).reason, "unexpected reply :5");
    char big[200];
    memset(big, 'x', sizeof(big));
    reply = (struct resp_reply){.kind = RESP_BULK, .text = big, .length = sizeof(big)};
    struct history_operation read = judge(HISTORY_READ, 0, true, &reply, NULL);
    assert_int_equal(strlen(read.reason), sizeof(read.reason) - 1);
    reply = reply_of(RESP_STATUS, "QUEUED");
    read = judge(HISTORY_READ, 0, true, &reply, NULL);
    assert_int_equal(read.outcome, HISTORY_OK);
    assert_string_equal(read.reason, "unexpected reply 'QUEUED'");
    struct history_operation write = judge(HISTORY_WRITE, 0, true, &reply, NULL);
    assert_int_equal(write.outcome, HISTORY_UNKNOWN);
    assert_int_equal(write.value, 1);

    struct workload_client client; /* and no cas expects it */
    workload_client_init(&client, 0, 1, 1);
    workload_learn(&client, 0, &read);
    assert_true(client.last_seen[0] == HISTORY_NIL);
    workload_client_free(&client);
}

static void refusals_and_losses(void **state)
{
    (void)state;
    struct resp_reply quorum = reply_of(RESP_ERROR, "NOQUORUM I am alone");
    struct resp_reply done = reply_of(RESP_ERROR, "NOTDONE too late");
    struct resp_reply other = reply_of(RESP_ERROR, "ERR what\n\x01");
    static const enum history_function changing[] = {HISTORY_WRITE, HISTORY_CAS};
    for (size_t i = 0; i < 2; i++) {
        enum history_function f = changing[i];
        assert_int_equal(judge(f, 0, true, &quorum, NULL).outcome, HISTORY_FAIL);
        assert_int_equal(judge(f, 0, true, &done, NULL).outcome, HISTORY_FAIL);
        assert_int_equal(judge(f, 0, true, &other, NULL).outcome, HISTORY_UNKNOWN);
        assert_int_equal(judge(f, -ETIMEDOUT, true, NULL, "timed out").outcome, HISTORY_UNKNOWN);
        assert_int_equal(judge(f, -ECONNREFUSED, false, NULL, "refused").outcome, HISTORY_FAIL);
    }
    assert_int_equal(judge(HISTORY_READ, 0, true, &other, NULL).outcome, HISTORY_FAIL);
    struct history_operation read = judge(HISTORY_READ, -ETIMEDOUT, true, NULL, "timed out");
    assert_int_equal(read.outcome, HISTORY_FAIL);
    assert_string_equal(read.reason, "timed out");
    assert_string_equal(judge(HISTORY_READ, 0, true, &quorum, NULL).reason, "NOQUORUM I am alone");
    assert_string_equal(judge(HISTORY_READ, 0, true, &other, NULL).reason, "ERR what??");
}

static void a_command_that_nobody_knows(void **state)
{
    (void)state;
    struct history history = {0};
    struct error error = {0};
    struct history_operation cas = {.function = HISTORY_CAS,
                                    .outcome = HISTORY_UNKNOWN,
                                    .reason = "ERR unknown command 'CAS', with args"};
    struct history_operation write = {.function = HISTORY_WRITE, .outcome = HISTORY_OK};
    assert_int_equal(workload_check_commands(&history, &error), 0);
    history_add(&history, &write);
    assert_int_equal(workload_check_commands(&history, &error), 0);
    history_add(&history, &cas);
    assert_int_equal(workload_check_commands(&history, &error), -EOPNOTSUPP);
    assert_non_null(strstr(error.message, "does not know CAS"));
    assert_non_null(strstr(error.message, "mix: {read: 60, write: 40}"));
    cas.outcome = HISTORY_MISMATCH; /* somebody does */
    cas.reason[0] = '\0';
    history_add(&history, &cas);
    assert_int_equal(workload_check_commands(&history, &error), 0);
    history_free(&history);
}

static void a_long_reason_is_cut(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'x', sizeof(text));
    text[299] = '\0';
    struct history_operation read = judge(HISTORY_READ, -EIO, true, NULL, text);
    assert_int_equal(strlen(read.reason), sizeof(read.reason) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_chooses_the_same),
        cmocka_unit_test(the_mix_is_kept_and_values_are_unique),
        cmocka_unit_test(a_cas_expects_what_was_last_seen),
        cmocka_unit_test(slots_keep_the_rate_and_their_order),
        cmocka_unit_test(answers),
        cmocka_unit_test(garbage_is_a_value_that_nobody_wrote),
        cmocka_unit_test(refusals_and_losses),
        cmocka_unit_test(a_command_that_nobody_knows),
        cmocka_unit_test(a_long_reason_is_cut),
    };
    return cmocka_run_group_tests_name("choose", tests, NULL, NULL);
}
