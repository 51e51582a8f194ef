/* Bodies of the Toxiproxy API as values; what is answered to them is in tests/conformance. */
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/api/toxiproxy.h"
#include "proxy/base/text.h"
#include "proxy/wire/codec.h"

static int decode(const char *text, struct ruleset_fault *toxic, struct error *error)
{
    *error = (struct error){0};
    json_t *json = toxiproxy_parse(text, strlen(text), error);
    assert_non_null(json);
    int code = toxiproxy_decode_toxic(json, "web", toxic, error);
    json_decref(json);
    return code;
}

static void what_attributes_become(void **state)
{
    (void)state;
    struct ruleset_fault toxic;
    struct error error;
    assert_int_equal(decode("{\"type\":\"latency\",\"attributes\":{\"latency\":2,\"jitter\":1}}",
                            &toxic, &error),
                     0);
    assert_string_equal(toxic.name, "web/latency_downstream");
    assert_string_equal(toxic.route, "web");
    assert_int_equal(toxic.type, RULESET_LATENCY);
    assert_int_equal(toxic.direction, RULESET_DOWNSTREAM);
    assert_true(toxic.latency.delay_ns == 2000000 && toxic.latency.jitter_ns == 1000000);
    assert_int_equal(toxic.latency.distribution, RULESET_UNIFORM);
    assert_int_equal(toxic.spared_ppb, 0);
    assert_int_equal(decode("{\"type\":\"bandwidth\",\"stream\":\"upstream\",\"toxicity\":0.2,"
                            "\"attributes\":{\"rate\":3}}",
                            &toxic, &error),
                     0);
    assert_true(toxic.type == RULESET_RATE && toxic.rate.bytes_per_s == 3000);
    assert_int_equal(toxic.direction, RULESET_UPSTREAM);
    assert_int_equal(toxic.spared_ppb, 800000000);
    assert_int_equal(decode("{\"type\":\"slicer\",\"attributes\":{\"average_size\":4,"
                            "\"size_variation\":5,\"delay\":6}}",
                            &toxic, &error),
                     0);
    assert_true(toxic.slicer.average_bytes == 4 && toxic.slicer.variation_bytes == 5 &&
                toxic.slicer.delay_ns == 6000);
}

static void names_that_are_too_long_together(void **state)
{
    (void)state;
    struct ruleset_fault toxic;
    struct error error;
    char body[256], name[RULESET_FAULT_NAME_MAX];
    memset(name, 'n', sizeof(name) - 5);
    name[sizeof(name) - 5] = '\0'; /* 123 and "web/": one byte is left for the NUL */
    snprintf(body, sizeof(body), "{\"name\":\"%s\",\"type\":\"noop\"}", name);
    assert_int_equal(decode(body, &toxic, &error), 0);
    assert_int_equal(strlen(toxic.name), RULESET_FAULT_NAME_MAX - 1);
    snprintf(body, sizeof(body), "{\"name\":\"%sn\",\"type\":\"noop\"}", name);
    assert_int_equal(decode(body, &toxic, &error), -EINVAL);
    assert_non_null(strstr(error.message, "126 bytes together"));
}

/* A fault is a toxic only while its attributes say all of it. */
static void what_is_a_toxic(void **state)
{
    (void)state;
    struct ruleset_fault toxic;
    struct error error;
    static const char body[] = "{\"name\":\"t\",\"type\":\"latency\",\"attributes\":"
                               "{\"latency\":5}}";
    assert_int_equal(decode(body, &toxic, &error), 0);
    assert_true(toxiproxy_is_toxic(&toxic));
    assert_string_equal(toxiproxy_name_of(&toxic), "t");
    struct ruleset_fault cases[8];
    for (size_t i = 0; i < 8; i++)
        cases[i] = toxic;
    cases[0].latency.distribution = RULESET_NORMAL;
    cases[1].latency.delay_ns = 5000001;
    cases[2].direction = RULESET_BOTH;
    cases[3].first_connections = 1;
    cases[4].after_ns = 1;
    snprintf(cases[5].name, sizeof(cases[5].name), "other/t");
    snprintf(cases[6].name, sizeof(cases[6].name), "web/");
    cases[7].type = RULESET_ACCEPT_DELAY;
    for (size_t i = 0; i < 8; i++) {
        if (toxiproxy_is_toxic(&cases[i]))
            fail_msg("case %zu", i);
        assert_string_equal(toxiproxy_name_of(&cases[i]), cases[i].name);
        json_t *json = toxiproxy_encode_toxic(&cases[i]);
        const json_t *attributes = json_object_get(json, "attributes");
        assert_non_null(json_object_get(attributes, "delay_ns"));
        assert_null(json_object_get(attributes, "name"));
        json_decref(json);
    }
}

static void addresses_to_listen_on(void **state)
{
    (void)state;
    static const struct {
        const char *text, *normal; /* NULL: refused */
    } cases[] = {
        {"", "[::]:0"},
        {":80", "[::]:80"},
        {"localhost:0", "localhost:0"},
        {"127.0.0.1:80", "127.0.0.1:80"},
        {"[::1]:80", "[::1]:80"},
        {"unix:/tmp/x", "unix:/tmp/x"},
        {"host:80", NULL},
        {"bogus", NULL},
        {"localhost:", NULL},
        {"localhost:65536", NULL},
        {"localhost:-1", NULL},
        {"::1:80", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char normal[RULESET_ADDRESS_MAX];
        struct error error = {0};
        int code = toxiproxy_normalize_listen(cases[i].text, normal, &error);
        if ((code == 0) != (cases[i].normal != NULL))
            fail_msg("%s: %s", cases[i].text, error.message);
        if (code < 0) {
            assert_memory_equal(error.message, "listen tcp: ", 12);
            continue;
        }
        assert_string_equal(normal, cases[i].normal);
    }
    assert_true(toxiproxy_same_listen("localhost:80", "127.0.0.1:80"));
    assert_false(toxiproxy_same_listen("localhost:80", "127.0.0.1:81"));
    assert_false(toxiproxy_same_listen("[::]:80", "0.0.0.0:80"));
}

static void the_first_value_counts(void **state)
{
    (void)state;
    static const struct {
        const char *body, *message; /* NULL: it is read */
    } cases[] = {
        {"{} {", NULL},
        {"5 rest", NULL},
        {"null", NULL},
        {"", "bad request body: EOF"},
        {" \r\n\t", "bad request body: EOF"},
        {"{", "bad request body: unexpected EOF"},
        {"[1,", "bad request body: unexpected EOF"},
        {"}", "bad request body: line 1, column 1: "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error error = {0};
        json_t *json = toxiproxy_parse(cases[i].body, strlen(cases[i].body), &error);
        assert_int_equal(json != NULL, cases[i].message == NULL);
        json_decref(json);
        if (cases[i].message &&
            strncmp(error.message, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("%s: %s", cases[i].body, error.message);
    }
    struct error error = {0};
    assert_null(toxiproxy_parse("{}\0", 0, &error));
}

/* As many proxies as there can be routes, and no body that takes gigabytes to read. */
static void arrays_are_bounded(void **state)
{
    (void)state;
    struct toxiproxy_proxy *proxies = NULL;
    struct error error = {0};
    struct text body = {0};
    size_t count;
    for (int i = 0; i < RULESET_ROUTES_MAX; i++)
        text_append(&body, "%s{\"name\":\"a\",\"upstream\":\"h:1\"}", i ? "," : "[");
    struct text more = {0};
    text_append(&more, "%s,{\"name\":\"a\",\"upstream\":\"h:1\"}]", text_get(&body));
    text_append(&body, "]");
    json_t *json = toxiproxy_parse(text_get(&body), body.length, &error);
    assert_int_equal(toxiproxy_decode_proxies(json, &proxies, &count, &error), 0);
    assert_int_equal(count, RULESET_ROUTES_MAX);
    json_decref(json);
    free(proxies);
    json = toxiproxy_parse(text_get(&more), more.length, &error);
    assert_int_equal(toxiproxy_decode_proxies(json, &proxies, &count, &error), -EINVAL);
    assert_non_null(strstr(error.message, "at most 4096 proxies are possible, not 4097"));
    json_decref(json);
    text_clear(&more);
    for (int i = 0; i < WIRE_CONTAINERS_MAX; i++)
        text_append(&more, i ? ",{}" : "[{}");
    text_append(&more, "]");
    assert_null(toxiproxy_parse(text_get(&more), more.length, &error));
    assert_string_equal(error.message, "bad request body: more than 131072 objects and arrays");
    text_free(&body);
    text_free(&more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_attributes_become),
        cmocka_unit_test(names_that_are_too_long_together),
        cmocka_unit_test(what_is_a_toxic),
        cmocka_unit_test(addresses_to_listen_on),
        cmocka_unit_test(the_first_value_counts),
        cmocka_unit_test(arrays_are_bounded),
    };
    return cmocka_run_group_tests_name("proxy/api toxiproxy", tests, NULL, NULL);
}
