/* Faults of every type, several in one step, and the tables that they draw from, through the
 * client. */
#include "tests/unit/proxy/api/fixture.h"

#include "proxy/wire/codec.h"
#include "tests/unit/proxy/fault/random_fault.h"

/* The fault as the body of a request; the text is the caller's. */
static char *body_of(const struct ruleset_fault *fault)
{
    json_t *json = wire_encode_fault(fault);
    char *body = json_dumps(json, WIRE_DUMP_FLAGS);
    json_decref(json);
    return body;
}

static void add_table(const char *name, const char *values)
{
    char body[256];
    snprintf(body, sizeof(body), "{\"name\":\"%s\",\"values\":%s}", name, values);
    assert_int_equal(ask("POST", "/v1/tables", body), 0);
}

/* Set, read, changed in all its parameters at once, and removed. */
static void every_type_is_set_and_changed(void **state)
{
    (void)state;
    struct random_stream dice = {.key = 31};
    add_table(random_distribution_table, "[-5,5]");
    add_table(random_trace_table, "[1,2]");
    for (int t = 0; t < RULESET_FAULT_TYPES; t++) {
        enum ruleset_fault_type type = (enum ruleset_fault_type)t;
        struct ruleset_fault before = random_fault_of(&dice, type, false),
                             after = random_fault_of(&dice, type, false);
        snprintf(before.name, sizeof(before.name), "f/%d", t);
        snprintf(before.link.from, RULESET_NAME_MAX, "n1");
        snprintf(before.link.to, RULESET_NAME_MAX, "*");
        memcpy(after.name, before.name, sizeof(after.name));
        after.link = before.link;
        random_reach(&dice, &after);
        char path[WIRE_PATH_MAX] = "/v1/faults";
        wire_path_append(path, sizeof(path), before.name);
        char *bodies[] = {body_of(&before), body_of(&after)};
        assert_int_equal(ask("POST", "/v1/faults", bodies[0]), 0);
        assert_true(ruleset_same_fault(&fixture->ruleset.faults[0], &before));
        if (ask("PATCH", path, bodies[1]) != 0)
            fail_msg("%s: %s", bodies[1], text_get(&text));
        assert_true(ruleset_same_fault(&fixture->ruleset.faults[0], &after));
        assert_int_equal(ask("GET", path, NULL), 0);
        assert_int_equal(ask("DELETE", path, NULL), 0);
        free(bodies[0]);
        free(bodies[1]);
    }
}

static void several_are_set_in_one_step(void **state)
{
    (void)state;
    uint64_t version = fixture->ruleset.version;
    assert_int_equal(ask("POST", "/v1/faults",
                         "{\"faults\":[{\"type\":\"noop\",\"link\":\"n1->n2\"},"
                         "{\"type\":\"noop\",\"link\":\"n2->n1\"},"
                         "{\"name\":\"x\",\"type\":\"timeout\",\"link\":\"n1->n2\","
                         "\"timeout_ns\":5}]}"),
                     0);
    assert_has("{\"faults\":[{\"name\":\"noop-1\"");
    assert_has("\"name\":\"noop-2\",\"type\":\"noop\",\"link\":\"n2->n1\"");
    assert_has("\"applied\":\"all routes\"");
    assert_int_equal(fixture->ruleset.fault_count, 3);
    assert_int_equal(fixture->ruleset.version, version + 1);
}

/* None of them comes into force when one is wrong; the place is where it is in the body. */
static void several_or_none(void **state)
{
    (void)state;
    static const struct {
        const char *body, *place;
        int code;
    } cases[] = {
        {"{\"faults\":[]}", "faults: ", -EINVAL},
        {"{\"faults\":{}}", "faults: ", -EINVAL},
        {"{\"faults\":[{\"type\":\"noop\",\"link\":\"n1->n2\"}],\"name\":\"x\"}",
         "faults: ", -EINVAL},
        {"{\"faults\":[5]}", "faults[0]: ", -EINVAL},
        {"{\"faults\":[{\"type\":\"noop\",\"link\":\"n1->n2\"},{\"type\":\"rate\"}]}",
         "faults[1].link: ", -EINVAL},
        {"{\"faults\":[{\"type\":\"noop\",\"link\":\"n1->n2\"},"
         "{\"type\":\"noop\",\"link\":\"n1->n9\"}]}",
         "faults[1].link: ", -EINVAL},
        {"{\"faults\":[{\"type\":\"noop\",\"link\":\"n1->n2\",\"name\":\"old\"}]}",
         "faults[0].name: ", -EEXIST},
    };
    assert_int_equal(
        ask("POST", "/v1/faults", "{\"name\":\"old\",\"type\":\"noop\",\"link\":\"n1->n2\"}"), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(ask("POST", "/v1/faults", cases[i].body), cases[i].code);
        if (strncmp(text_get(&text), cases[i].place, strlen(cases[i].place)) != 0)
            fail_msg("%s: %s", cases[i].body, text_get(&text));
        assert_int_equal(fixture->ruleset.fault_count, 1);
    }
}

/* Names that nobody gave: the lowest free number of the type, whatever else is called like that. */
static void names_are_chosen(void **state)
{
    (void)state;
    static const char *const wanted[] = {"noop-2", "noop-07", "noop-4294967297", "x-noop-1",
                                         "noop-1", "noop-3",  "noop-4",          "timeout-1"};
    assert_int_equal(ask("POST", "/v1/faults",
                         "{\"faults\":[{\"name\":\"noop-2\",\"type\":\"timeout\","
                         "\"link\":\"n1->n2\",\"timeout_ns\":5},"
                         "{\"name\":\"noop-07\",\"type\":\"noop\",\"link\":\"n1->n2\"},"
                         "{\"name\":\"noop-4294967297\",\"type\":\"noop\",\"link\":\"n1->n2\"},"
                         "{\"name\":\"x-noop-1\",\"type\":\"noop\",\"link\":\"n1->n2\"},"
                         "{\"type\":\"noop\",\"link\":\"n1->n2\"},"
                         "{\"type\":\"noop\",\"link\":\"n1->n2\"},"
                         "{\"type\":\"noop\",\"link\":\"n1->n2\"},"
                         "{\"type\":\"timeout\",\"link\":\"n1->n2\",\"timeout_ns\":5}]}"),
                     0);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        assert_string_equal(fixture->ruleset.faults[i].name, wanted[i]);
    assert_int_equal(ask("DELETE", "/v1/faults/noop-1", NULL), 0);
    assert_int_equal(ask("POST", "/v1/faults", "{\"type\":\"noop\",\"link\":\"n2->n1\"}"), 0);
    assert_has("{\"name\":\"noop-1\"");
}

static int add_unnamed(int count)
{
    struct text body = {0};
    for (int i = 0; i < count; i++)
        text_append(&body, "%s{\"type\":\"noop\",\"link\":\"n1->n2\"}", i ? "," : "{\"faults\":[");
    text_append(&body, "]}");
    int code = ask("POST", "/v1/faults", text_get(&body));
    text_free(&body);
    return code;
}

/* Time grows with their number, not with its cube: that took more than a minute. */
static void thousands_of_names_are_chosen_at_once(void **state)
{
    (void)state;
    wire_client_set_timeout(fixture->client, 30 * NS_PER_S);
    assert_int_equal(add_unnamed(RULESET_FAULTS_MAX + 1), -EINVAL);
    assert_has("faults: at most 16384 are possible, not 16385");
    assert_int_equal(add_unnamed(4096), 0);
    assert_has("\"noop-4096\"");
}

static void tables_come_and_go(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", "/v1/tables", NULL), 0);
    assert_string_equal(text_get(&text), "{\"tables\":[]}");
    add_table("lte/4", "[0,3,3]");
    assert_has("{\"name\":\"lte/4\",\"values\":[0,3,3],\"used_by\":[]}");
    assert_int_equal(
        ask("POST", "/v1/faults",
            "{\"name\":\"t\",\"type\":\"trace\",\"link\":\"n1->n2\",\"table\":\"lte/4\"}"),
        0);
    assert_int_equal(ask("GET", "/v1/tables", NULL), 0);
    assert_string_equal(
        text_get(&text),
        "{\"tables\":[{\"name\":\"lte/4\",\"value_count\":3,\"used_by\":[\"t\"]}]}");
    assert_int_equal(ask("GET", "/v1/tables/lte%2F4", NULL), 0);
    assert_has("\"values\":[0,3,3],\"used_by\":[\"t\"]}");
    assert_int_equal(ask("DELETE", "/v1/tables/lte%2F4", NULL), -EINVAL);
    assert_has("faults[0].table: fault 't' draws from it");
    assert_int_equal(ask("DELETE", "/v1/faults/t", NULL), 0);
    assert_int_equal(ask("DELETE", "/v1/tables/lte%2F4", NULL), 0);
    assert_int_equal(ask("DELETE", "/v1/tables/lte%2F4", NULL), -ENOENT);
    assert_int_equal(ask("GET", "/v1/tables/lte%2F4", NULL), -ENOENT);
    assert_int_equal(fixture->ruleset.table_count, 0);
}

static void tables_are_refused_with_their_place(void **state)
{
    (void)state;
    add_table("t", "[1]");
    assert_int_equal(ask("POST", "/v1/tables", "{\"name\":\"t\",\"values\":[2]}"), -EEXIST);
    assert_has("name: the name 't' is taken");
    assert_int_equal(ask("POST", "/v1/tables", "{\"name\":\"u\",\"values\":[]}"), -EINVAL);
    assert_has("values: a table has 1 to 65536 values");
    assert_int_equal(ask("POST", "/v1/tables", "{\"name\":\"u\",\"values\":[1,\"2\"]}"), -EINVAL);
    assert_has("values[1]: ");
    assert_int_equal(ask("POST", "/v1/tables", "{\"name\":\"-u\",\"values\":[1]}"), -EINVAL);
    assert_has("name: ");
    assert_int_equal(fixture->ruleset.table_count, 1);
    assert_int_equal(fixture->ruleset.tables[0].values[0], 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_type_is_set_and_changed),
        TEST(several_are_set_in_one_step),
        TEST(several_or_none),
        TEST(names_are_chosen),
        TEST(thousands_of_names_are_chosen_at_once),
        TEST(tables_come_and_go),
        TEST(tables_are_refused_with_their_place),
    };
    return cmocka_run_group_tests_name("proxy/api/faults", tests, NULL, NULL);
}
