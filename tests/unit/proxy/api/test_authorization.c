#include "tests/lib/test.h"

#include <string.h>

#include "proxy/api/internal.h"

static void what_carries_the_token(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool authorized;
    } cases[] = {
        {"Bearer s3cret", true},
        {"bearer   s3cret", true},
        {"Basic eDpzM2NyZXQ=", true},    /* x:s3cret */
        {"BASIC OnMzY3JldA==", true},    /* :s3cret */
        {"Basic OnMzY3JldA", true},      /* without padding */
        {"Basic czNjcmV0", false},       /* s3cret, without a colon */
        {"Basic eDpzM2NyZXR4", false},   /* x:s3cretx */
        {"Basic czNjcmV0Ong=", false},   /* s3cret:x */
        {"Basic eDpzM2NyZXQA", false},   /* a NUL at the end */
        {"Basic eDpzM2NyZXQ===", false}, /* too much padding */
        {"Basic eDpz=M2NyZXQ", false},
        {"Basic !", false},
        {"Basic ", false},
        {"Basic", false},
        {"Bearer s3cre", false},
        {"Bearer s3crets3cret", false},
        {"Bearer ", false},
        {"Bearer", false},
        {"Digest s3cret", false},
        {"s3cret", false},
        {"", false},
        {NULL, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (api_is_authorized(cases[i].header, "s3cret") != cases[i].authorized)
            fail_msg("%s", cases[i].header);
}

static void a_token_with_colons_and_a_long_one(void **state)
{
    (void)state;
    char header[1024] = "Bearer ", token[API_TOKEN_MAX];
    assert_true(api_is_authorized("Basic eDphOmI=", "a:b")); /* x:a:b */
    memset(token, 'x', sizeof(token) - 1);
    token[sizeof(token) - 1] = '\0';
    strncat(header, token, sizeof(header) - 8);
    assert_true(api_is_authorized(header, token));
    memset(header + 6, 'e', 900); /* more than any credentials */
    memcpy(header, "Basic ", 6);
    header[906] = '\0';
    assert_false(api_is_authorized(header, token));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_carries_the_token),
        cmocka_unit_test(a_token_with_colons_and_a_long_one),
    };
    return cmocka_run_group_tests_name("proxy/api authorization", tests, NULL, NULL);
}
