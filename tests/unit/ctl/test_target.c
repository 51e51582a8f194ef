#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#include "ctl/target.h"

static struct error error;

static const char *link_of(const char *a, const char *b)
{
    static struct target_link link;
    const char *const words[] = {a, b};
    error = (struct error){0};
    if (target_parse_link(words, b ? 2 : 1, &link, &error))
        return error.message;
    return link.text;
}

static void test_links_as_people_write_them(void **state)
{
    (void)state;
    assert_string_equal(link_of("n1", "n2"), "n1<->n2");
    assert_string_equal(link_of("n1->n2", NULL), "n1->n2");
    assert_string_equal(link_of("n1<->n2", NULL), "n1<->n2");
    assert_string_equal(link_of("n1->*", NULL), "n1->*");
    assert_string_equal(link_of("*", "n2"), "*<->n2");
    assert_string_equal(link_of("a-b", "c.d_e"), "a-b<->c.d_e");
}

static void test_links_that_are_refused_say_what_to_write(void **state)
{
    (void)state;
    assert_non_null(strstr(link_of("n1", NULL), "'n1' is no link: write two nodes"));
    assert_non_null(strstr(link_of("n1-", NULL), "quote it, as in 'n1->n2'"));
    assert_non_null(strstr(link_of("n1-", "n3"), "quote it"));
    assert_non_null(strstr(link_of("n1->n2", "n3"), "more than one link"));
    assert_non_null(strstr(link_of("n1", "n2->n3"), "more than one link"));
    struct target_link link;
    const char *const words[] = {"n1", "n2", "n3"};
    assert_int_equal(target_parse_link(words, 3, &link, &error), -EINVAL);
    assert_int_equal(target_parse_link(words, 0, &link, &error), -EINVAL);
    char name[RULESET_LINK_TEXT_MAX + 1];
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    assert_non_null(strstr(link_of(name, "n2"), "at most 63"));
    name[RULESET_NAME_MAX] = '\0'; /* one too long for a name, not for the buffer */
    const char *const long_words[] = {name, "n2"};
    assert_int_equal(target_parse_link(long_words, 2, &link, &error), -EINVAL);
}

static const char *groups_of(const char *const words[], size_t count)
{
    static struct text text;
    json_t *groups;
    error = (struct error){0};
    if (target_parse_groups(words, count, &groups, &error))
        return error.message;
    text_clear(&text);
    target_format_groups(groups, &text);
    json_decref(groups);
    return text_get(&text);
}

#define GROUPS(...)                                                                                \
    groups_of((const char *const[]){__VA_ARGS__},                                                  \
              sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void test_groups_in_one_word_or_several(void **state)
{
    (void)state;
    const char *expected = "n1,n2 / n3,n4,n5";
    assert_string_equal(GROUPS("n1,n2 / n3,n4,n5"), expected);
    assert_string_equal(GROUPS("n1,n2", "/", "n3,n4,n5"), expected);
    assert_string_equal(GROUPS("n1,n2/n3,n4,n5"), expected);
    assert_string_equal(GROUPS("n1", "n2", "/", "n3", "n4", "n5"), expected);
    assert_string_equal(GROUPS("n1,", "n2/", "n3,n4,", "n5"), expected);
    assert_string_equal(GROUPS("a/b/c"), "a / b / c");
}

static void test_groups_that_are_refused(void **state)
{
    (void)state;
    const char *empty = "a group has no node in it: write n1,n2 / n3,n4,n5";
    assert_string_equal(GROUPS("n1,n2"), "a split has two groups or more: write n1,n2 / n3,n4,n5");
    assert_string_equal(GROUPS("n1", "/"), empty);
    assert_string_equal(GROUPS("/n1"), empty);
    assert_string_equal(GROUPS("n1//n2"), empty);
    assert_string_equal(GROUPS(""), empty);
    assert_string_equal(GROUPS("n1 / ,"), empty);
}

static void test_the_target_of_a_fault(void **state)
{
    (void)state;
    char place[128];
    const char *const words[] = {"n1", "n2"};
    struct arguments arguments = {0};
    json_t *body = json_object();
    assert_int_equal(target_parse_fault(&arguments, words, 2, body, place, sizeof(place), &error),
                     0);
    assert_string_equal(place, "n1<->n2");
    assert_string_equal(json_string_value(json_object_get(body, "link")), "n1<->n2");
    assert_int_equal(json_object_size(body), 1);
    json_decref(body);

    body = json_object();
    arguments = (struct arguments){.route = "r", .direction = "upstream"};
    assert_int_equal(target_parse_fault(&arguments, words, 0, body, place, sizeof(place), &error),
                     0);
    assert_string_equal(place, "route r upstream");
    assert_string_equal(json_string_value(json_object_get(body, "route")), "r");
    assert_string_equal(json_string_value(json_object_get(body, "direction")), "upstream");
    json_decref(body);

    body = json_object();
    arguments = (struct arguments){.route = "r"};
    assert_int_equal(target_parse_fault(&arguments, words, 0, body, place, sizeof(place), &error),
                     0);
    assert_string_equal(place, "route r");
    assert_string_equal(json_string_value(json_object_get(body, "direction")), "both");
    assert_int_equal(target_parse_fault(&arguments, words, 2, body, place, sizeof(place), &error),
                     -EINVAL);
    assert_non_null(strstr(error.message, "not both"));
    arguments.direction = "sideways";
    assert_int_equal(target_parse_fault(&arguments, words, 0, body, place, sizeof(place), &error),
                     -EINVAL);
    arguments = (struct arguments){.direction = "upstream"};
    assert_int_equal(target_parse_fault(&arguments, words, 2, body, place, sizeof(place), &error),
                     -EINVAL);
    assert_non_null(strstr(error.message, "--direction goes with --route"));
    json_decref(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links_as_people_write_them),
        cmocka_unit_test(test_links_that_are_refused_say_what_to_write),
        cmocka_unit_test(test_groups_in_one_word_or_several),
        cmocka_unit_test(test_groups_that_are_refused),
        cmocka_unit_test(test_the_target_of_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
