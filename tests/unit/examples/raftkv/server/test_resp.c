#include "tests/lib/test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/raftkv/server/resp.h"
#include "proxy/base/text.h"

static struct resp_command command;

/* From memory of exactly this size, so that a sanitizer sees every byte too far. */
static int parse(const char *text, size_t length, size_t *used, const char **problem)
{
    uint8_t *copy = memory_allocate(length ? length : 1);
    memcpy(copy, text, length);
    int code = resp_parse(copy, length, &command, used, problem);
    for (size_t i = 0; code == 1 && i < command.count; i++) /* into text, which outlives this */
        command.arguments[i].bytes = (const uint8_t *)text + (command.arguments[i].bytes - copy);
    free(copy);
    return code;
}

static void expect(const char *text, size_t count, const char *const *words)
{
    size_t used = 0;
    const char *problem = NULL;
    for (size_t length = 0; length < strlen(text); length++)
        assert_int_equal(parse(text, length, &used, &problem), 0); /* every prefix: more needed */
    assert_int_equal(parse(text, strlen(text), &used, &problem), 1);
    assert_int_equal(used, strlen(text));
    assert_int_equal(command.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(command.arguments[i].length, strlen(words[i]));
        assert_memory_equal(command.arguments[i].bytes, words[i], strlen(words[i]));
    }
}

static void commands_are_parsed(void **state)
{
    (void)state;
    const char *get[] = {"GET", "key"};
    const char *set[] = {"SET", "a b", "line\r\nline"};
    const char *empty[] = {"ECHO", ""};
    expect("*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", 2, get);
    expect("*3\r\n$3\r\nSET\r\n$3\r\na b\r\n$10\r\nline\r\nline\r\n", 3, set);
    expect("*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", 2, empty);
    expect("*0\r\n", 0, NULL);
    expect("*-1\r\n", 0, NULL);
}

static void inline_commands_are_parsed(void **state)
{
    (void)state;
    const char *get[] = {"GET", "key"};
    expect("GET key\r\n", 2, get);
    expect("  GET \t key \n", 2, get);
    expect("\r\n", 0, NULL);
    expect("   \n", 0, NULL);
}

static void a_pipeline_is_taken_one_by_one(void **state)
{
    (void)state;
    const char *text = "*1\r\n$4\r\nPING\r\nGET x\r\n*1\r\n$4\r\nQUIT\r\n";
    size_t at = 0, used = 0, commands = 0;
    const char *problem = NULL;
    while (parse(text + at, strlen(text) - at, &used, &problem) == 1) {
        at += used;
        commands++;
    }
    assert_int_equal(commands, 3);
    assert_int_equal(at, strlen(text));
}

static void nonsense_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "*x\r\n",
        "*\r\n",
        "*1025\r\n",
        "*99999999999999999999999\r\n",
        "*1\r\n:5\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$1048577\r\n",
        "*1\r\n$3x\r\nGET\r\n",
        "*1\r\n$3\r\nGETxx",
        "*1\r\n$184467440737095516160\r\n",
        "*11111111111111111111111111111111111111111",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t used = 0;
        const char *problem = NULL;
        assert_int_equal(parse(cases[i], strlen(cases[i]), &used, &problem), -EINVAL);
        assert_non_null(problem);
    }
}

static void sizes_are_bounded(void **state)
{
    (void)state;
    size_t used = 0;
    const char *problem = NULL;
    char *line = memory_allocate(RESP_INLINE_MAX + 2);
    memset(line, 'x', RESP_INLINE_MAX + 2);
    assert_int_equal(parse(line, RESP_INLINE_MAX, &used, &problem), 0);
    assert_int_equal(parse(line, RESP_INLINE_MAX + 1, &used, &problem), -EINVAL);
    free(line);
    struct text big = {0};
    text_append(&big, "*5\r\n");
    for (int i = 0; i < 5; i++) {
        text_append(&big, "$%d\r\n", RESP_BULK_MAX);
        for (int k = 0; k < RESP_BULK_MAX / 1024; k++)
            text_append(&big, "%1024s", "");
        text_append(&big, "\r\n");
        int code = parse(text_get(&big), big.length, &used, &problem);
        assert_int_equal(code, i < 3 ? 0 : -EINVAL); /* four megabytes are too much */
    }
    text_free(&big);
    struct text words = {0};
    for (int i = 0; i < RESP_ARGUMENTS_MAX; i++)
        text_append(&words, "a ");
    text_append(&words, "\n");
    assert_int_equal(parse(text_get(&words), words.length, &used, &problem), 1);
    assert_int_equal(command.count, RESP_ARGUMENTS_MAX);
    text_clear(&words);
    for (int i = 0; i <= RESP_ARGUMENTS_MAX; i++)
        text_append(&words, "a ");
    text_append(&words, "\n");
    assert_int_equal(parse(text_get(&words), words.length, &used, &problem), -EINVAL);
    text_free(&words);
}

static void replies_are_written(void **state)
{
    (void)state;
    struct bytes out = {0};
    resp_write_simple(&out, "OK");
    resp_write_integer(&out, -7);
    resp_write_bulk(&out, "a\0b", 3);
    resp_write_null(&out);
    resp_write_array(&out, 2);
    resp_write_error(&out, "ERR bad\r\nname %d", 5);
    static const char wanted[] = "+OK\r\n:-7\r\n$3\r\na\0b\r\n$-1\r\n*2\r\n-ERR bad  name 5\r\n";
    assert_int_equal(bytes_length(&out), sizeof(wanted) - 1);
    assert_memory_equal(bytes_get(&out), wanted, sizeof(wanted) - 1);
    bytes_free(&out);
}

static void bytes_are_a_queue(void **state)
{
    (void)state;
    struct bytes queue = {0};
    uint64_t in = 0, out = 0;
    for (int round = 0; round < 2000; round++) {
        for (int i = 0; i < round % 13; i++)
            bytes_append_number(&queue, in++, 8);
        for (int i = 0; i < round % 11 && bytes_length(&queue); i++) {
            assert_int_equal(bytes_read_number(bytes_get(&queue), 8), out++);
            bytes_consume(&queue, 8);
        }
        assert_int_equal(bytes_length(&queue), (in - out) * 8);
    }
    bytes_free(&queue);
    assert_null(bytes_get(&queue));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_parsed),
        cmocka_unit_test(inline_commands_are_parsed),
        cmocka_unit_test(a_pipeline_is_taken_one_by_one),
        cmocka_unit_test(nonsense_is_refused_with_a_reason),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(replies_are_written),
        cmocka_unit_test(bytes_are_a_queue),
    };
    return cmocka_run_group_tests_name("examples/raftkv/server/resp", tests, NULL, NULL);
}
