#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/daemon/token.h"

static int choose_from_file(const char *content, char token[TOKEN_MAX], struct error *error)
{
    char path[] = "/tmp/sever-token-XXXXXX";
    bool made;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    close(fd);
    int code = token_choose(path, "other", true, token, &made, error);
    assert_int_equal(unlink(path), 0);
    assert_false(made);
    return code;
}

static void the_file_goes_before_the_environment(void **state)
{
    (void)state;
    char token[TOKEN_MAX];
    assert_int_equal(choose_from_file("abc\nsecond line\n", token, NULL), 0);
    assert_string_equal(token, "abc");
    assert_int_equal(choose_from_file("abc", token, NULL), 0);
    assert_string_equal(token, "abc");
    bool made;
    assert_int_equal(token_choose(NULL, "from-environment", false, token, &made, NULL), 0);
    assert_string_equal(token, "from-environment");
}

static void one_is_made_only_when_it_is_needed(void **state)
{
    (void)state;
    char token[TOKEN_MAX], other[TOKEN_MAX];
    bool made;
    assert_int_equal(token_choose(NULL, "", false, token, &made, NULL), 0);
    assert_string_equal(token, "");
    assert_false(made);
    assert_int_equal(token_choose(NULL, NULL, true, token, &made, NULL), 0);
    assert_int_equal(strlen(token), 32);
    assert_true(made);
    assert_int_equal(token_choose(NULL, NULL, true, other, &made, NULL), 0);
    assert_string_not_equal(token, other);
}

static void what_is_no_token_is_refused(void **state)
{
    (void)state;
    char token[TOKEN_MAX], longest[TOKEN_MAX + 1];
    struct error error = {0};
    bool made;
    memset(longest, 'x', TOKEN_MAX);
    longest[TOKEN_MAX] = '\0';
    static const char *const bad[] = {"", "\n", "two words", "tab\tbed", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(choose_from_file(bad[i], token, &error), -EINVAL);
    assert_int_equal(choose_from_file(longest, token, &error), -EINVAL);
    longest[TOKEN_MAX - 1] = '\0';
    assert_int_equal(choose_from_file(longest, token, &error), 0);
    assert_int_equal(token_choose("/nonexistent/x", NULL, true, token, &made, &error), -ENOENT);
    assert_string_equal(error.place, "/nonexistent/x");
    assert_int_equal(token_choose(NULL, "a b", true, token, &made, &error), -EINVAL);
    assert_string_equal(error.place, "SEVER_TOKEN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_goes_before_the_environment),
        cmocka_unit_test(one_is_made_only_when_it_is_needed),
        cmocka_unit_test(what_is_no_token_is_refused),
    };
    return cmocka_run_group_tests_name("proxy/daemon token", tests, NULL, NULL);
}
