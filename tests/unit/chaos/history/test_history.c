/* Histories as text and back, and every line that is refused. */
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/history/history.h"
#include "proxy/base/random.h"

static int parse(const char *text, struct history *history, struct error *error)
{
    return history_parse(text, strlen(text), "h.jsonl", history, error);
}

static void reads_every_outcome(void **state)
{
    (void)state;
    static const char text[] =
        "{\"time_ns\":1,\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"key\":\"k1\",\"value\":"
        "7,"
        "\"node\":\"n1\",\"client\":5}\n"
        "{\"time_ns\":2,\"process\":1,\"type\":\"invoke\",\"f\":\"read\",\"key\":\"k1\",\"value\":"
        "null}\r\n"
        "\n"
        "{\"time_ns\":3,\"process\":0,\"type\":\"info\",\"f\":\"write\",\"key\":\"k1\",\"error\":"
        "\"timeout\"}\n"
        "{\"time_ns\":4,\"process\":1,\"type\":\"ok\",\"f\":\"read\",\"key\":\"k1\",\"value\":null}"
        "\n"
        "{\"time_ns\":5,\"process\":1,\"type\":\"invoke\",\"f\":\"cas\",\"key\":\"k2\",\"value\":["
        "null,4],"
        "\"index\":9}\n"
        "{\"time_ns\":6,\"process\":1,\"type\":\"fail\",\"f\":\"cas\",\"key\":\"k2\",\"value\":["
        "null,4]}\n"
        "{\"time_ns\":6,\"process\":1,\"type\":\"invoke\",\"f\":\"cas\",\"key\":\"k2\",\"value\":["
        "3,-4]}\n"
        "{\"time_ns\":7,\"process\":1,\"type\":\"fail\",\"f\":\"cas\",\"key\":\"k2\",\"value\":[3,-"
        "4],"
        "\"error\":\"not leader\"}\n"
        "{\"time_ns\":8,\"process\":1,\"type\":\"invoke\",\"f\":\"read\",\"key\":\"k2\"}";
    struct history history;
    struct error error = {0};
    assert_int_equal(parse(text, &history, &error), 0);
    assert_int_equal(history.count, 5);
    const struct history_operation *operations = history.operations;
    assert_int_equal(operations[0].client, 5);
    assert_int_equal(operations[0].outcome, HISTORY_UNKNOWN);
    assert_int_equal(operations[0].value, 7);
    assert_true(operations[0].return_ns == HISTORY_NEVER && operations[0].settled_ns == 3);
    assert_string_equal(operations[0].reason, "timeout");
    assert_string_equal(operations[0].node, "n1");
    assert_int_equal(operations[1].outcome, HISTORY_OK);
    assert_true(operations[1].value == HISTORY_NIL);
    assert_int_equal(operations[1].return_ns, 4);
    assert_int_equal(operations[2].outcome, HISTORY_MISMATCH);
    assert_true(operations[2].expected == HISTORY_NIL && operations[2].value == 4);
    assert_int_equal(operations[3].outcome, HISTORY_FAIL);
    assert_string_equal(operations[3].reason, "not leader");
    assert_int_equal(operations[4].outcome, HISTORY_UNKNOWN);
    assert_true(operations[4].settled_ns == HISTORY_NEVER);
    history_free(&history);
}

#define CALL                                                                                       \
    "{\"time_ns\":5,\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"key\":\"k\",\"value\":1}"  \
    "\n"

static void expect_refused(const char *written, const char *expected)
{
    struct history history;
    struct error error = {0};
    char text[1024];
    assert_int_equal(parse(written, &history, &error), -EINVAL);
    assert_string_equal(error_text(&error, text, sizeof(text)), expected);
    assert_null(history.operations);
    assert_int_equal(history.count, 0);
}

static void refuses_with_the_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"x", "h.jsonl:1: not JSON: '[' or '{' expected near 'x' (column 1)"},
        {"\n\n[]", "h.jsonl:3: not a JSON object"},
        {"{}", "h.jsonl:1: \"time_ns\" must be a whole number, 0 or more, and isn't there"},
        {"{\"time_ns\":-1}", "h.jsonl:1: \"time_ns\" must be a whole number, 0 or more"},
        {"{\"time_ns\":1.5}", "h.jsonl:1: \"time_ns\" must be a whole number, 0 or more"},
        {"{\"time_ns\":1,\"time_ns\":2}",
         "h.jsonl:1: not JSON: duplicate object key near '\"time_ns\"' (column 22)"},
        {"{\"time_ns\":1,\"process\":4294967296}",
         "h.jsonl:1: \"process\" must be a whole number, 0 or more"},
        {"{\"time_ns\":1,\"process\":1,\"type\":\"call\"}",
         "h.jsonl:1: \"type\" must be invoke, ok, fail, info or final"},
        {"{\"time_ns\":1,\"process\":1,\"type\":\"ok\"}",
         "h.jsonl:1: process 1 has no operation in flight"},
        {"{\"time_ns\":1,\"process\":1,\"type\":\"invoke\",\"f\":\"append\"}",
         "h.jsonl:1: \"f\" must be read, write, cas or add"},
        {"{\"time_ns\":1,\"process\":1,\"type\":\"invoke\",\"f\":\"read\"}",
         "h.jsonl:1: \"key\" must be a text, and isn't there"},
        {"{\"time_ns\":1,\"process\":1,\"type\":\"invoke\",\"f\":\"read\",\"key\":1}",
         "h.jsonl:1: \"key\" must be a text"},
        {"{\"time_ns\":1,\"process\":1,\"type\":\"invoke\",\"f\":\"read\",\"key\":"
         "\"123456789012345678901234567890123456789012345678\"}",
         "h.jsonl:1: \"key\" is longer than 47 bytes"},
        {"{\"time_ns\":1,\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"key\":\"k\"}",
         "h.jsonl:1: the \"value\" of a write or add must be a whole number"},
        {"{\"time_ns\":1,\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"key\":\"k\",\"value\":"
         "null}",
         "h.jsonl:1: the \"value\" of a write or add must be a whole number"},
        {"{\"time_ns\":1,\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"key\":\"k\",\"value\":"
         "-9223372036854775808}",
         "h.jsonl:1: the \"value\" of a write or add must be a whole number"},
        {"{\"time_ns\":1,\"process\":1,\"type\":\"invoke\",\"f\":\"cas\",\"key\":\"k\",\"value\":["
         "1]}",
         "h.jsonl:1: the \"value\" of a cas must be [expected, new]"},
        {CALL CALL, "h.jsonl:2: process 1 has an operation in flight already"},
        {CALL "{\"time_ns\":4,\"process\":2}", "h.jsonl:2: time runs backwards: 4 after 5"},
        {CALL
         "{\"time_ns\":5,\"process\":1,\"type\":\"ok\",\"f\":\"read\",\"key\":\"k\",\"value\":1}",
         "h.jsonl:2: process 1 called something else: \"f\" or \"key\" differs"},
        {CALL
         "{\"time_ns\":5,\"process\":1,\"type\":\"ok\",\"f\":\"write\",\"key\":\"q\",\"value\":1}",
         "h.jsonl:2: process 1 called something else: \"f\" or \"key\" differs"},
        {CALL
         "{\"time_ns\":5,\"process\":1,\"type\":\"ok\",\"f\":\"write\",\"key\":\"k\",\"value\":2}",
         "h.jsonl:2: process 1 was called with another \"value\""},
        {CALL
         "{\"time_ns\":5,\"process\":1,\"type\":\"info\",\"f\":\"write\",\"key\":\"k\"}\n" CALL,
         "h.jsonl:3: process 1 can't go on after an \"info\": its operation may still happen"},
        {CALL "{\"time_ns\":5,\"process\":1,\"type\":\"info\",\"f\":\"write\",\"key\":\"k\","
              "\"error\":1}",
         "h.jsonl:2: \"error\" must be a text"},
        {"{\"time_ns\":1,\"process\":1,\"type\":\"invoke\",\"f\":\"read\",\"key\":\"k\"}\n"
         "{\"time_ns\":1,\"process\":1,\"type\":\"ok\",\"f\":\"read\",\"key\":\"k\"}",
         "h.jsonl:2: the \"value\" of an ok read must be a whole number or null"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_refused(cases[i].text, cases[i].error);
}

static void a_final_is_a_list_and_there_is_one(void **state)
{
    (void)state;
    static const char list[] =
        "h.jsonl:1: the \"value\" of a final must be a list of whole numbers";
    expect_refused("{\"time_ns\":1,\"type\":\"final\",\"value\":3}", list);
    expect_refused("{\"time_ns\":1,\"type\":\"final\",\"value\":[3,null]}", list);
    expect_refused("{\"time_ns\":1,\"type\":\"final\",\"value\":[3]}\n"
                   "{\"time_ns\":1,\"type\":\"final\",\"value\":[3]}",
                   "h.jsonl:2: there is a \"final\" already");
}

static struct history_operation random_operation(struct random_stream *random, uint32_t process,
                                                 uint64_t begin_ns)
{
    static const char *const reasons[] = {"", "timeout", "say \"no\"\\\n", "\xc2\xb1 20 ms"};
    struct history_operation operation = {.process = process, .client = process % 7};
    operation.function = (enum history_function)(random_next(random) % 4);
    operation.outcome = (enum history_outcome)(random_next(random) % 4);
    if (operation.function != HISTORY_CAS && operation.outcome == HISTORY_MISMATCH)
        operation.outcome = HISTORY_OK;
    bool read = operation.function == HISTORY_READ;
    operation.value = (int64_t)random_next(random) | 1;
    if (read && (operation.outcome != HISTORY_OK || random_next(random) % 4 == 0))
        operation.value = HISTORY_NIL;
    if (operation.function == HISTORY_CAS)
        operation.expected =
            random_next(random) % 4 ? (int64_t)random_next(random) | 1 : HISTORY_NIL;
    if (operation.outcome != HISTORY_MISMATCH)
        snprintf(operation.reason, sizeof(operation.reason), "%s",
                 reasons[random_next(random) % 4]);
    snprintf(operation.key, sizeof(operation.key), "k\"%u", (unsigned)(random_next(random) % 3));
    snprintf(operation.node, sizeof(operation.node), "n%u", process % 3);
    operation.invoke_ns = begin_ns;
    operation.settled_ns = begin_ns + random_next(random) % 5;
    operation.return_ns =
        operation.outcome == HISTORY_UNKNOWN ? HISTORY_NEVER : operation.settled_ns;
    if (operation.outcome == HISTORY_UNKNOWN && random_next(random) % 2) {
        operation.settled_ns = HISTORY_NEVER;
        operation.reason[0] = '\0';
    }
    return operation;
}

/* Times collide often: lines of one moment must come in an order that can be read again. */
static void what_is_written_is_read_again(void **state)
{
    (void)state;
    struct random_stream random = {.key = 11};
    for (int round = 0; round < 300; round++) {
        struct history history = {0}, again;
        struct error error = {0};
        struct text text = {0}, twice = {0};
        uint32_t process = 0;
        for (int client = 0; client < 4; client++) {
            uint64_t now_ns = random_next(&random) % 3;
            process++;
            for (int i = 0; i < 10; i++) {
                struct history_operation operation = random_operation(&random, process, now_ns);
                history_add(&history, &operation);
                if (operation.outcome == HISTORY_UNKNOWN)
                    process++;
                now_ns = operation.settled_ns == HISTORY_NEVER ? now_ns + 1 : operation.settled_ns;
            }
        }
        history_sort(&history);
        int64_t *elements = memory_allocate_zeroed(3, sizeof(*elements));
        elements[1] = (int64_t)random_next(&random) | 1;
        history.final = (struct history_final){.read = round % 2 == 0,
                                               .at_ns = 1000,
                                               .node = "n\"2",
                                               .values = elements,
                                               .count = (size_t)round % 4};
        history_write(&history, &text);
        int result = history_parse(text_get(&text), text.length, "h", &again, &error);
        if (result)
            print_message("%s: %s\n%s", error.place, error.message, text_get(&text));
        assert_int_equal(result, 0);
        assert_int_equal(again.count, history.count);
        history_write(&again, &twice);
        assert_string_equal(text_get(&text), text_get(&twice));
        history_sort(&again);
        assert_int_equal(again.final.read, history.final.read);
        if (history.final.read) {
            assert_int_equal(again.final.at_ns, 1000);
            assert_string_equal(again.final.node, "n\"2");
            assert_int_equal(again.final.count, history.final.count);
            for (size_t i = 0; i < history.final.count; i++)
                assert_true(again.final.values[i] == elements[i]);
        }
        for (size_t i = 0; i < history.count; i++) {
            const struct history_operation *a = &history.operations[i], *b = &again.operations[i];
            assert_int_equal(a->process, b->process);
            assert_int_equal(a->client, b->client);
            assert_int_equal(a->function, b->function);
            assert_int_equal(a->outcome, b->outcome);
            assert_true(a->value == b->value && a->expected == b->expected);
            assert_true(a->return_ns == b->return_ns && a->settled_ns == b->settled_ns);
            assert_string_equal(a->key, b->key);
            assert_string_equal(a->node, b->node);
            assert_string_equal(a->reason, b->reason);
        }
        text_free(&text);
        text_free(&twice);
        history_free(&history);
        history_free(&again);
    }
}

/* What a server says may be any bytes. */
static void reasons_that_are_not_text(void **state)
{
    (void)state;
    struct history history = {0}, again;
    struct text text = {0};
    struct history_operation operation = {.function = HISTORY_WRITE,
                                          .outcome = HISTORY_FAIL,
                                          .key = "k",
                                          .value = 1,
                                          .reason = "\xff\x01 caf\xc3\xa9"};
    history_add(&history, &operation);
    history_write(&history, &text);
    assert_int_equal(history_parse(text_get(&text), text.length, "h", &again, NULL), 0);
    assert_string_equal(again.operations[0].reason, "?\x01 caf??");
    text_free(&text);
    history_free(&history);
    history_free(&again);
}

static void jepsen_logs(void **state)
{
    (void)state;
    static const char text[] = "INFO  jepsen.core - Running\n"
                               "INFO  jepsen.util - 4\t:invoke\t:read\tnil\n"
                               "INFO  jepsen.util - 1   :invoke :cas    [1 -2]\n"
                               "INFO  jepsen.util - 4\t:ok\t:read\tnil\n"
                               "INFO  jepsen.util - 1   :fail   :cas    [1 -2]\n"
                               "INFO  jepsen.util - 4\t:invoke\t:write\t3\r\n"
                               "INFO  jepsen.util - 4\t:info\t:write\t:timed-out\n"
                               "INFO  jepsen.util - 5\t:invoke\t:read\tnil\n"
                               "INFO  jepsen.util - 5\t:fail\t:read\t:timed-out\n"
                               "INFO  jepsen.util - 5\t:invoke\t:read\tnil\n"
                               "INFO  jepsen.util - 5\t:ok\t:read\t3";
    struct history history;
    struct error error = {0};
    assert_int_equal(history_parse_jepsen(text, strlen(text), "log", &history, &error), 0);
    assert_int_equal(history.count, 5);
    const struct history_operation *operations = history.operations;
    assert_true(operations[0].outcome == HISTORY_OK && operations[0].value == HISTORY_NIL);
    assert_true(operations[0].invoke_ns == 2 && operations[0].return_ns == 4);
    assert_true(operations[1].outcome == HISTORY_MISMATCH && operations[1].expected == 1 &&
                operations[1].value == -2);
    assert_true(operations[2].outcome == HISTORY_UNKNOWN && operations[2].settled_ns == 7 &&
                operations[2].return_ns == HISTORY_NEVER);
    assert_int_equal(operations[3].outcome, HISTORY_FAIL);
    assert_int_equal(operations[4].value, 3);
    assert_string_equal(operations[4].key, "");
    history_free(&history);
}

static void jepsen_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "log:0: no operation in it: not a Jepsen log of a register"},
        {"INFO  jepsen.util - x :invoke :read nil", "log:1: the process isn't a number"},
        {"INFO  jepsen.util - 1 :call :read nil",
         "log:1: the type isn't :invoke, :ok, :fail or :info"},
        {"INFO  jepsen.util - 1 :invoke :append 1",
         "log:1: the function isn't :read, :write or :cas"},
        {"INFO  jepsen.util - 1 :invoke :write nil",
         "log:1: the value isn't nil (read), N (write) or [A B] (cas)"},
        {"INFO  jepsen.util - 1 :invoke :cas [1 2",
         "log:1: the value isn't nil (read), N (write) or [A B] (cas)"},
        {"INFO  jepsen.util - 1 :ok :write 1", "log:1: the process has no operation in flight"},
        {"INFO  jepsen.util - 1 :invoke :read nil\nINFO  jepsen.util - 1 :invoke :read nil",
         "log:2: the process has an operation in flight"},
        {"INFO  jepsen.util - 1 :invoke :read nil\nINFO  jepsen.util - 1 :ok :write 1",
         "log:2: the process called another function"},
        {"INFO  jepsen.util - 1 :invoke :write 1\nINFO  jepsen.util - 1 :ok :write 2",
         "log:2: the process was called with another value"},
        {"INFO  jepsen.util - 1 :invoke :write 1\nINFO  jepsen.util - 1 :info :write :x\n"
         "INFO  jepsen.util - 1 :invoke :read nil",
         "log:3: the process can't go on after an :info"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct history history;
        struct error error = {0};
        char text[1024];
        assert_int_equal(
            history_parse_jepsen(cases[i].text, strlen(cases[i].text), "log", &history, &error),
            -EINVAL);
        assert_string_equal(error_text(&error, text, sizeof(text)), cases[i].error);
        assert_null(history.operations);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_outcome),
        cmocka_unit_test(refuses_with_the_line),
        cmocka_unit_test(a_final_is_a_list_and_there_is_one),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(reasons_that_are_not_text),
        cmocka_unit_test(jepsen_logs),
        cmocka_unit_test(jepsen_refusals),
    };
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
