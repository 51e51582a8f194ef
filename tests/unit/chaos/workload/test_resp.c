#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#include "chaos/workload/resp.h"

static long parse(const char *text, struct resp_reply *reply)
{
    return resp_parse_reply(text, strlen(text), reply);
}

static void replies_of_each_kind(void **state)
{
    (void)state;
    struct resp_reply reply;
    assert_int_equal(parse("+OK\r\n", &reply), 5);
    assert_int_equal(reply.kind, RESP_STATUS);
    assert_true(resp_reply_is(&reply, "OK"));
    assert_false(resp_reply_is(&reply, "O"));
    assert_int_equal(parse("-NOQUORUM no\r\n", &reply), 14);
    assert_int_equal(reply.kind, RESP_ERROR);
    assert_memory_equal(reply.text, "NOQUORUM no", reply.length);
    assert_false(resp_reply_is(&reply, "NOQUORUM no"));
    assert_int_equal(parse(":-42\r\n", &reply), 6);
    assert_int_equal(reply.kind, RESP_INTEGER);
    assert_int_equal(reply.integer, -42);
    assert_int_equal(parse("$2\r\n17\r\n", &reply), 8);
    assert_int_equal(reply.kind, RESP_BULK);
    assert_true(resp_reply_is(&reply, "17"));
    assert_int_equal(parse("$-1\r\n", &reply), 5);
    assert_int_equal(reply.kind, RESP_NIL);
    assert_int_equal(parse("$0\r\n\r\n", &reply), 6);
    assert_int_equal(reply.length, 0);
}

static void every_prefix_needs_more(void **state)
{
    (void)state;
    static const char *const whole[] = {"+OK\r\n", "-ERR x\r\n", ":12\r\n", "$3\r\na\nb\r\n",
                                        "$-1\r\n"};
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        struct resp_reply reply;
        for (size_t n = 0; n < strlen(whole[i]); n++)
            assert_int_equal(resp_parse_reply(whole[i], n, &reply), 0);
        assert_int_equal(parse(whole[i], &reply), (long)strlen(whole[i]));
    }
}

static void the_next_reply_is_left_alone(void **state)
{
    (void)state;
    struct resp_reply reply;
    assert_int_equal(parse("$1\r\n7\r\n+OK\r\n", &reply), 7);
    assert_int_equal(reply.length, 1);
}

static void malformed_replies(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "hello\r\n", "*-2\r\n", "*1\r\n*0\r\n", "*99999999\r\n", ":\r\n",
        ":1x\r\n",   "$x\r\n",  "$-2\r\n",      "$1048577\r\n",  "$1\r\n7xx",
        "+OK\n",     "\r\n",    ":--1\r\n",     "$\r\n",         ":9999999999999999999\r\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct resp_reply reply;
        assert_int_equal(parse(bad[i], &reply), -EPROTO);
    }
    struct resp_reply reply;
    assert_int_equal(resp_parse_reply("\0\r\n", 3, &reply), -EPROTO);
}

static void arrays_come_whole(void **state)
{
    (void)state;
    static const char two[] = "*2\r\n$2\r\n17\r\n:4\r\n";
    struct resp_reply reply, element;
    for (size_t length = 0; length < strlen(two); length++)
        assert_int_equal(resp_parse_reply(two, length, &reply), 0);
    assert_int_equal(parse(two, &reply), strlen(two));
    assert_int_equal(reply.kind, RESP_ARRAY);
    assert_int_equal(reply.integer, 2);
    long used = resp_parse_reply(reply.text, reply.length, &element);
    assert_true(resp_reply_is(&element, "17"));
    assert_int_equal(resp_parse_reply(reply.text + used, reply.length - (size_t)used, &element), 4);
    assert_int_equal(element.integer, 4);
    assert_int_equal(parse("*0\r\n", &reply), 4);
    assert_int_equal(reply.length, 0);
    assert_int_equal(parse("*-1\r\n", &reply), 5);
    assert_int_equal(reply.kind, RESP_NIL);
}

static void a_line_without_end_is_refused(void **state)
{
    (void)state;
    static char line[70000];
    struct resp_reply reply;
    memset(line, 'a', sizeof(line));
    line[0] = '+';
    assert_int_equal(resp_parse_reply(line, 1000, &reply), 0);
    assert_int_equal(resp_parse_reply(line, sizeof(line), &reply), -EPROTO);
}

static void commands(void **state)
{
    (void)state;
    struct text out = {0};
    const char *words[] = {"SET", "k1", ""};
    resp_append_command(&out, words, 3);
    assert_string_equal(text_get(&out), "*3\r\n$3\r\nSET\r\n$2\r\nk1\r\n$0\r\n\r\n");
    text_free(&out);
}

static void info_fields(void **state)
{
    (void)state;
    static const char info[] = "# Raft\r\nrole:leader\r\nterm:12\r\nleader_name:n9\r\nleader:n1";
    char value[8];
    size_t length = strlen(info);
    assert_true(resp_info_field(info, length, "role", value, sizeof(value)));
    assert_string_equal(value, "leader");
    assert_true(resp_info_field(info, length, "leader", value, sizeof(value)));
    assert_string_equal(value, "n1");
    assert_true(resp_info_field(info, length, "role", value, 4));
    assert_string_equal(value, "lea");
    assert_false(resp_info_field(info, length, "rol", value, sizeof(value)));
    assert_string_equal(value, "");
    assert_false(resp_info_field("", 0, "role", value, sizeof(value)));
    assert_true(resp_info_has_line(info, length, "role:leader"));
    assert_true(resp_info_has_line(info, length, "leader:n1"));
    assert_false(resp_info_has_line(info, length, "role:lead"));
    assert_false(resp_info_has_line(info, length, "ole:leader"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_of_each_kind),
        cmocka_unit_test(every_prefix_needs_more),
        cmocka_unit_test(the_next_reply_is_left_alone),
        cmocka_unit_test(malformed_replies),
        cmocka_unit_test(arrays_come_whole),
        cmocka_unit_test(a_line_without_end_is_refused),
        cmocka_unit_test(commands),
        cmocka_unit_test(info_fields),
    };
    return cmocka_run_group_tests_name("resp", tests, NULL, NULL);
}
