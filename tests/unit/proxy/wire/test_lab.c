/* Labs as JSON: what is asked for is read strictly, what is answered leniently; both ways. */
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/wire/codec.h"
#include "proxy/wire/lab.h"

static struct wire_lab_wanted wanted;
static struct wire_lab lab;

static json_t *parse(const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    if (!json)
        fail_msg("the test's JSON is none: %s", text);
    return json;
}

/* "" or "place: message" */
static const char *decode_wanted(const char *text)
{
    static char answer[ERROR_MESSAGE_MAX + ERROR_PLACE_MAX];
    struct error error = {0};
    json_t *json = parse(text);
    answer[0] = '\0';
    if (wire_decode_lab_wanted(json, &wanted, &error))
        error_text(&error, answer, sizeof(answer));
    json_decref(json);
    return answer;
}

static void expect_text(json_t *json, const char *text)
{
    char *dump = json_dumps(json, JSON_COMPACT);
    assert_string_equal(dump, text);
    free(dump);
    json_decref(json);
}

static void a_lab_is_asked_for_by_names(void **state)
{
    (void)state;
    assert_string_equal(decode_wanted("{\"nodes\":[\"n1\",{\"name\":\"c1\",\"kind\":\"client\"}]}"),
                        "");
    assert_int_equal(wanted.node_count, 2);
    assert_string_equal(wanted.nodes[0].name, "n1");
    assert_int_equal(wanted.nodes[0].kind, RULESET_NODE_MEMBER);
    assert_int_equal(wanted.nodes[1].kind, RULESET_NODE_CLIENT);
    assert_string_equal(wanted.subnet, "10.77.0.0/24");
    assert_string_equal(wanted.subnet6, "fd77::/64");
    assert_int_equal(wanted.mtu, 1500);
    assert_int_equal(wanted.ring_bytes, 0);
    assert_string_equal(decode_wanted("{\"nodes\":[\"a\"],\"subnet\":\"10.1.0.0/16\",\"subnet6\":"
                                      "\"\",\"mtu\":9000,\"ring_bytes\":1e6}"),
                        "");
    assert_string_equal(wanted.subnet, "10.1.0.0/16");
    assert_string_equal(wanted.subnet6, "");
    assert_int_equal(wanted.mtu, 9000);
    assert_int_equal(wanted.ring_bytes, 1000000);
}

static void what_is_no_lab_is_refused_with_its_place(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{}", "nodes: a lab has at least one node"},
        {"{\"nodes\":[]}", "nodes: a lab has at least one node"},
        {"{\"nodes\":3}", "nodes: an array is wanted here, not a number"},
        {"{\"nodes\":[\"n1\",3]}", "nodes[1]: an object is wanted here, not a number"},
        {"{\"nodes\":[{\"kind\":\"member\"}]}", "nodes[0].name: 'name' is missing"},
        {"{\"nodes\":[{\"name\":\"n1\",\"pid\":1}]}",
         "nodes[0].pid: 'pid' is not known here; allowed are name, kind"},
        {"{\"nodes\":[\"n1\"],\"mtu\":-1}", "mtu: a number of at least 0 is wanted here, not -1"},
        {"{\"nodes\":[\"n1\"],\"mtu\":5000000000}",
         "mtu: a number of at most 4294967295 is wanted here, not 5000000000"},
        {"{\"nodes\":[\"n1\"],\"subnets\":[]}",
         "subnets: 'subnets' is not known here; allowed are nodes, subnet, subnet6, mtu, "
         "ring_bytes"},
    };
    memset(&wanted, 0x5a, sizeof(wanted));
    struct wire_lab_wanted before = wanted;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(decode_wanted(cases[i][0]), cases[i][1]);
    assert_memory_equal(&before, &wanted, sizeof(wanted));
}

static void no_more_nodes_than_fit(void **state)
{
    (void)state;
    json_t *nodes = json_array(), *json = json_pack("{s:o}", "nodes", nodes);
    struct error error = {0};
    for (int i = 0; i <= WIRE_LAB_NODES_MAX; i++)
        json_array_append_new(nodes, json_sprintf("n%d", i));
    assert_int_equal(wire_decode_lab_wanted(json, &wanted, &error), -EINVAL);
    assert_string_equal(error.message, "a lab has at most 128 nodes");
    json_array_remove(nodes, 0);
    assert_int_equal(wire_decode_lab_wanted(json, &wanted, &error), 0);
    assert_int_equal(wanted.node_count, WIRE_LAB_NODES_MAX);
    json_decref(json);
}

static void what_is_asked_for_can_be_written_too(void **state)
{
    (void)state;
    assert_string_equal(decode_wanted("{\"nodes\":[\"n1\"],\"mtu\":1280}"), "");
    expect_text(wire_encode_lab_wanted(&wanted),
                "{\"nodes\":[{\"name\":\"n1\",\"kind\":\"member\"}],\"subnet\":\"10.77.0.0/24\","
                "\"mtu\":1280,\"ring_bytes\":0}");
}

/* Not said: where there is IPv6. Null: none. A network: that, or no lab. */
static void ipv6_is_optional_wanted_or_not(void **state)
{
    (void)state;
    static const struct {
        const char *text, *subnet6, *again;
        bool optional;
    } cases[] = {
        {"", "fd77::/64", "", true},
        {",\"subnet6\":null", "", "\"subnet6\":null,", false},
        {",\"subnet6\":\"\"", "", "\"subnet6\":null,", false},
        {",\"subnet6\":\"fd77::/64\"", "fd77::/64", "\"subnet6\":\"fd77::/64\",", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[160];
        snprintf(text, sizeof(text), "{\"nodes\":[\"n1\"]%s}", cases[i].text);
        assert_string_equal(decode_wanted(text), "");
        assert_string_equal(wanted.subnet6, cases[i].subnet6);
        assert_int_equal(wanted.subnet6_optional, cases[i].optional);
        snprintf(text, sizeof(text),
                 "{\"nodes\":[{\"name\":\"n1\",\"kind\":\"member\"}],\"subnet\":"
                 "\"10.77.0.0/24\",%s\"mtu\":1500,\"ring_bytes\":0}",
                 cases[i].again);
        expect_text(wire_encode_lab_wanted(&wanted), text);
    }
}

static void a_port_has_a_node_and_a_number(void **state)
{
    (void)state;
    static const char *const wrong[] = {"{\"node\":\"n1\"}", "{\"port\":1}",
                                        "{\"node\":\"n1\",\"port\":0}",
                                        "{\"node\":\"n1\",\"port\":65536}"};
    struct wire_lab_port port;
    json_t *json = parse("{\"node\":\"n1\",\"port\":2379}");
    assert_int_equal(wire_decode_lab_port(json, &port, NULL), 0);
    json_decref(json);
    expect_text(wire_encode_lab_port(&port),
                "{\"listen\":\"127.0.0.1:0\",\"node\":\"n1\",\"port\":2379}");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        json = parse(wrong[i]);
        assert_int_equal(wire_decode_lab_port(json, &port, NULL), -EINVAL);
        json_decref(json);
    }
}

static const char answer[] =
    "{\"up\":true,\"user_namespace\":true,\"keeper\":41,\"subnet\":\"10.77.0.0/24\",\"subnet6\":"
    "\"fd77::/64\",\"mtu\":1500,\"nodes\":[{\"name\":\"n1\",\"kind\":\"client\",\"number\":1,"
    "\"pid\":42,\"mac\":\"02:5e:00:00:00:01\",\"addresses\":[\"10.77.0.1\",\"fd77::1\"],"
    "\"running\":false,\"lost\":7}],\"ports\":[{\"listen\":\"127.0.0.1:12379\",\"node\":\"n1\","
    "\"port\":2379}]}";

static void an_answer_survives_the_way_there_and_back(void **state)
{
    (void)state;
    json_t *json = parse(answer);
    assert_int_equal(wire_decode_lab(json, &lab, NULL), 0);
    json_decref(json);
    const struct wire_lab_node *node = wire_lab_find_node(&lab, "n1");
    assert_non_null(node);
    assert_null(wire_lab_find_node(&lab, "n2"));
    assert_int_equal(node->pid, 42);
    assert_false(node->running);
    expect_text(wire_encode_lab(&lab), answer);
    expect_text(wire_encode_lab_node(&lab.nodes[0]),
                "{\"name\":\"n1\",\"kind\":\"client\",\"number\":1,\"pid\":42,\"mac\":"
                "\"02:5e:00:00:00:01\",\"addresses\":[\"10.77.0.1\",\"fd77::1\"],\"running\":false,"
                "\"lost\":7}");
}

static void an_answer_may_say_more_or_less(void **state)
{
    (void)state;
    json_t *json = parse("{\"up\":false,\"moon\":\"full\"}");
    assert_int_equal(wire_decode_lab(json, &lab, NULL), 0);
    json_decref(json);
    assert_false(lab.up);
    expect_text(wire_encode_lab(&lab), "{\"up\":false}");
    json = parse("{\"up\":true,\"nodes\":[{\"name\":\"n1\",\"pid\":4,\"colour\":1}]}");
    assert_int_equal(wire_decode_lab(json, &lab, NULL), 0);
    json_decref(json);
    assert_true(lab.nodes[0].running);
}

static void an_answer_that_is_none_changes_nothing(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "{\"up\":1}",       "{\"nodes\":[{\"name\":\"n1\"}]}", "{\"nodes\":[3]}",
        "{\"ports\":[{}]}", "{\"keeper\":99999999999}",        "[]"};
    memset(&lab, 0x5a, sizeof(lab));
    struct wire_lab *before = malloc(sizeof(*before));
    *before = lab;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        json_t *json = parse(wrong[i]);
        struct error error = {0};
        assert_int_equal(wire_decode_lab(json, &lab, &error), -EINVAL);
        assert_true(error.message[0] != '\0');
        json_decref(json);
    }
    assert_memory_equal(before, &lab, sizeof(lab));
    free(before);
}

static void a_connection_tells_whom_it_is_with(void **state)
{
    (void)state;
    struct wire_lab_connection connection = {.node = "n1",
                                             .local = "10.77.0.1:41000",
                                             .remote = "10.77.0.2:2379",
                                             .to = "n2",
                                             .state = "established",
                                             .cut = WIRE_LAB_CUT_BOTH,
                                             .retransmits = 4};
    expect_text(wire_encode_lab_connection(&connection),
                "{\"node\":\"n1\",\"local\":\"10.77.0.1:41000\",\"remote\":\"10.77.0.2:2379\","
                "\"to\":\"n2\",\"state\":\"established\",\"cut\":\"both\",\"retransmits\":4}");
    connection.to[0] = '\0';
    connection.cut = WIRE_LAB_CUT_NONE;
    expect_text(wire_encode_lab_connection(&connection),
                "{\"node\":\"n1\",\"local\":\"10.77.0.1:41000\",\"remote\":\"10.77.0.2:2379\","
                "\"to\":null,\"state\":\"established\",\"cut\":\"none\",\"retransmits\":4}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lab_is_asked_for_by_names),
        cmocka_unit_test(what_is_no_lab_is_refused_with_its_place),
        cmocka_unit_test(no_more_nodes_than_fit),
        cmocka_unit_test(what_is_asked_for_can_be_written_too),
        cmocka_unit_test(ipv6_is_optional_wanted_or_not),
        cmocka_unit_test(a_port_has_a_node_and_a_number),
        cmocka_unit_test(an_answer_survives_the_way_there_and_back),
        cmocka_unit_test(an_answer_may_say_more_or_less),
        cmocka_unit_test(an_answer_that_is_none_changes_nothing),
        cmocka_unit_test(a_connection_tells_whom_it_is_with),
    };
    return cmocka_run_group_tests_name("proxy/wire/lab", tests, NULL, NULL);
}
