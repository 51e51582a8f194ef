#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#include "ctl/arguments.h"

static struct arguments arguments;
static struct error error;

static int parse(const char *const words[])
{
    static char *argv[32];
    size_t count = 0;
    for (; words[count]; count++)
        argv[count] = (char *)(uintptr_t)words[count];
    argv[count] = NULL;
    error = (struct error){0};
    return arguments_parse(argv, count, &arguments, &error);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void test_words_keep_their_order_around_options(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--json", "cut", "n1", "--name", "x", "n2"), 0);
    assert_int_equal(arguments.word_count, 3);
    assert_string_equal(arguments.words[0], "cut");
    assert_string_equal(arguments.words[2], "n2");
    assert_string_equal(arguments.name, "x");
    assert_int_equal(arguments.given, OPTION_JSON | OPTION_NAME);
    assert_null(arguments.rest);
}

static void test_values_after_equals(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--url=unix:/a=b", "--queue=", "status"), 0);
    assert_string_equal(arguments.url, "unix:/a=b");
    assert_string_equal(arguments.queue, "");
    assert_int_equal(arguments.word_count, 1);
}

static void test_a_negative_offset_is_a_word(void **state)
{
    (void)state;
    assert_int_equal(PARSE("clock", "n1", "-1s", "drift", "-5ppm"), 0);
    assert_int_equal(arguments.word_count, 5);
    assert_string_equal(arguments.words[2], "-1s");
    assert_int_equal(PARSE("apply", "-"), 0);
    assert_string_equal(arguments.words[1], "-");
}

static void test_nothing_behind_the_dashes_is_read(void **state)
{
    (void)state;
    assert_int_equal(PARSE("exec", "n1", "--", "date", "--utc", "--", "x"), 0);
    assert_int_equal(arguments.word_count, 2);
    assert_string_equal(arguments.rest[0], "date");
    assert_string_equal(arguments.rest[1], "--utc");
    assert_string_equal(arguments.rest[2], "--");
    assert_string_equal(arguments.rest[3], "x");
    assert_null(arguments.rest[4]);
    assert_int_equal(PARSE("exec", "n1", "--"), 0);
    assert_non_null(arguments.rest);
    assert_null(arguments.rest[0]);
}

static void test_words_are_printable_texts(void **state)
{
    (void)state;
    assert_int_equal(PARSE("cut", "n\xff"), -EINVAL);
    assert_string_equal(error.message, "word 2 is not a text in UTF-8 without control characters");
    assert_int_equal(PARSE("cut", "--name", "\x1b[2J"), -EINVAL);
    assert_int_equal(PARSE("cut", "--name=\xc2"), -EINVAL);
    assert_int_equal(PARSE("exec", "n1", "--", "date", "+\n\xff"), 0); /* not ours */
}

static void test_addresses_repeat(void **state)
{
    (void)state;
    assert_int_equal(PARSE("nodes", "add", "n1", "--address", "127.0.1.1", "--address=::1"), 0);
    assert_int_equal(arguments.address_count, 2);
    assert_string_equal(arguments.addresses[0], "127.0.1.1");
    assert_string_equal(arguments.addresses[1], "::1");
    static const char *many[2 * ARGUMENTS_ADDRESSES_MAX + 4];
    static char *argv[2 * ARGUMENTS_ADDRESSES_MAX + 4];
    size_t count = 0;
    for (; count < 2 * ARGUMENTS_ADDRESSES_MAX + 2; count++) {
        many[count] = count % 2 ? "127.0.0.1" : "--address";
        argv[count] = (char *)(uintptr_t)many[count];
    }
    assert_int_equal(arguments_parse(argv, count, &arguments, &error), -EINVAL);
    assert_non_null(strstr(error.message, "too often"));
}

static void test_what_is_refused(void **state)
{
    (void)state;
    assert_int_equal(PARSE("status", "--jsno"), -EINVAL);
    assert_string_equal(error.message, "there is no option --jsno");
    assert_int_equal(PARSE("status", "--url"), -EINVAL);
    assert_string_equal(error.message, "--url wants a value: --url URL");
    assert_int_equal(PARSE("status", "--json=yes"), -EINVAL);
    assert_string_equal(error.message, "--json takes no value");
    assert_int_equal(PARSE("cut", "--name", "a", "--name", "b"), -EINVAL);
    assert_string_equal(error.message, "--name was given twice");
    assert_int_equal(PARSE("--ur", "x"), -EINVAL); /* no abbreviations */
    assert_int_equal(PARSE("--urlx=1"), -EINVAL);
}

static void test_help_has_a_short_form(void **state)
{
    (void)state;
    assert_int_equal(PARSE("cut", "-h"), 0);
    assert_int_equal(arguments.given, OPTION_HELP);
    assert_int_equal(PARSE("-h"), 0);
    assert_int_equal(arguments.word_count, 0);
}

static void test_options_of_other_commands(void **state)
{
    (void)state;
    assert_int_equal(PARSE("cut", "--udp", "--name", "x"), 0);
    assert_int_equal(arguments_check_options(&arguments, OPTION_NAME | OPTION_UDP, "cut", &error),
                     0);
    assert_int_equal(
        arguments_check_options(&arguments, OPTION_NAME | OPTION_COMMON, "cut", &error), -EINVAL);
    assert_string_equal(error.message, "cut takes no --udp: see severctl cut --help");
}

static void test_more_words_than_there_is_room_for(void **state)
{
    (void)state;
    static char *argv[ARGUMENTS_WORDS_MAX + 1];
    static char word[] = "n1";
    for (size_t i = 0; i <= ARGUMENTS_WORDS_MAX; i++)
        argv[i] = word;
    assert_int_equal(arguments_parse(argv, ARGUMENTS_WORDS_MAX, &arguments, &error), 0);
    assert_int_equal(arguments.word_count, ARGUMENTS_WORDS_MAX);
    assert_int_equal(arguments_parse(argv, ARGUMENTS_WORDS_MAX + 1, &arguments, &error), -EINVAL);
}

/* Property: each option of the table is read, with or without a value, and sets its own bit. */
static void test_every_option_of_the_table(void **state)
{
    (void)state;
    uint64_t seen = 0;
    for (size_t i = 0; i < option_count; i++) {
        assert_int_equal(seen & option_shapes[i].bit, 0);
        seen |= option_shapes[i].bit;
        if (option_shapes[i].value)
            assert_int_equal(PARSE(option_shapes[i].name, "value"), 0);
        else
            assert_int_equal(PARSE(option_shapes[i].name), 0);
        assert_int_equal(arguments.given, option_shapes[i].bit);
        assert_int_equal(arguments.word_count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_keep_their_order_around_options),
        cmocka_unit_test(test_values_after_equals),
        cmocka_unit_test(test_a_negative_offset_is_a_word),
        cmocka_unit_test(test_nothing_behind_the_dashes_is_read),
        cmocka_unit_test(test_words_are_printable_texts),
        cmocka_unit_test(test_addresses_repeat),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_help_has_a_short_form),
        cmocka_unit_test(test_options_of_other_commands),
        cmocka_unit_test(test_more_words_than_there_is_room_for),
        cmocka_unit_test(test_every_option_of_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
