/* /populate: many proxies are one change; one that fails stops it where it stands. */
#include "tests/unit/proxy/api/fixture.h"

#define HOST "Host: localhost\r\n"

/* Proxies that listen nowhere. The one at `bad` has a name that is taken; SIZE_MAX: none has. */
static int populate(size_t count, size_t bad)
{
    struct text body = {0};
    for (size_t i = 0; i < count; i++) {
        char name[24];
        snprintf(name, sizeof(name), i == bad ? "taken" : "p%zu", i);
        text_append(&body,
                    "%c{\"name\":\"%s\",\"upstream\":\"127.0.0.1:1\",\"enabled\":false,"
                    "\"listen\":\"127.0.0.1:%zu\"}",
                    i ? ',' : '[', name, 1000 + i);
    }
    text_append(&body, "]");
    int status = raw("POST /populate", HOST, text_get(&body));
    text_free(&body);
    return status;
}

/* How many changes it takes does not depend on how many there are: each costs as much as the
 * ruleset is large. */
static void many_proxies_are_one_change(void **state)
{
    (void)state;
    static const size_t counts[] = {2, 30, 1000};
    for (size_t i = 0; i < 3; i++) {
        uint64_t version = fixture->ruleset.version;
        assert_int_equal(populate(counts[i], SIZE_MAX), 201);
        assert_int_equal(fixture->ruleset.version, version + 1);
        assert_int_equal(fixture->ruleset.route_count, counts[i]);
        assert_has("{\"proxies\":[{\"name\":\"p0\",\"listen\":\"127.0.0.1:1000\",\"upstream\":"
                   "\"127.0.0.1:1\",\"enabled\":false,\"toxics\":[]},{\"name\":\"p1\",");
        assert_int_equal(populate(counts[i], SIZE_MAX), 201); /* they are there already */
        assert_int_equal(fixture->ruleset.version, version + 1);
    }
}

/* Those before it are there, in their order, and none behind it. */
static void one_that_fails_stops_the_rest(void **state)
{
    (void)state;
    enum { COUNT = 64, HALVINGS = 6 };
    assert_int_equal(ask("POST", "/v1/routes",
                         "{\"name\":\"taken\",\"protocol\":\"udp\",\"listen\":\"127.0.0.1:9\","
                         "\"upstream\":\"127.0.0.1:1\",\"enabled\":false}"),
                     0);
    for (size_t bad = 0; bad < COUNT; bad++) {
        uint64_t version = fixture->ruleset.version;
        assert_int_equal(populate(COUNT, bad), 409);
        assert_has("\"error\":\"proxy already exists\"");
        assert_in_range(fixture->ruleset.version - version, 0, HALVINGS);
        assert_int_equal(fixture->ruleset.route_count, 1 + bad);
        for (size_t i = 0; i < bad; i++) {
            char name[24];
            snprintf(name, sizeof(name), "p%zu", i);
            assert_string_equal(fixture->ruleset.routes[1 + i].name, name);
        }
        fixture->ruleset.route_count = 1; /* nobody asks now */
    }
}

/* One is new, one has other values and loses its toxics, one stays as it is. */
static void each_is_created_replaced_or_left_alone(void **state)
{
    (void)state;
    assert_int_equal(populate(2, SIZE_MAX), 201);
    assert_int_equal(raw("POST /proxies/p0/toxics", HOST, "{\"type\":\"latency\"}"), 200);
    assert_int_equal(raw("POST /proxies/p1/toxics", HOST, "{\"type\":\"latency\"}"), 200);
    uint64_t version = fixture->ruleset.version;
    assert_int_equal(
        raw("POST /populate", HOST,
            "[{\"name\":\"p1\",\"listen\":\"127.0.0.1:1001\",\"upstream\":\"127.0.0.1:2\","
            "\"enabled\":false},"
            "{\"name\":\"new\",\"listen\":\"127.0.0.1:7\",\"upstream\":\"127.0.0.1:1\","
            "\"enabled\":false},"
            "{\"name\":\"p0\",\"listen\":\"127.0.0.1:1000\",\"upstream\":\"127.0.0.1:1\"}]"),
        201);
    assert_int_equal(fixture->ruleset.version, version + 1);
    assert_has("{\"proxies\":[{\"name\":\"p1\",\"listen\":\"127.0.0.1:1001\","
               "\"upstream\":\"127.0.0.1:2\",\"enabled\":false,\"toxics\":[]},{\"name\":\"new\"");
    assert_has("{\"name\":\"p0\",\"listen\":\"127.0.0.1:1000\",\"upstream\":\"127.0.0.1:1\","
               "\"enabled\":false,\"toxics\":[{");
    assert_int_equal(fixture->ruleset.fault_count, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(many_proxies_are_one_change),
        TEST(one_that_fails_stops_the_rest),
        TEST(each_is_created_replaced_or_left_alone),
    };
    return cmocka_run_group_tests_name("proxy/api/populate", tests, NULL, NULL);
}
