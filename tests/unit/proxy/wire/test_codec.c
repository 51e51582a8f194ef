/* The codec: what is encoded is decoded to the same; what is refused is refused with its place. */
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/random.h"
#include "proxy/base/text.h"
#include "proxy/wire/codec.h"
#include "tests/unit/proxy/fault/random_fault.h"

static uint64_t below(struct random_stream *dice, uint64_t bound)
{
    return random_below(random_next(dice), bound);
}

static void name_of(char *name, const char *prefix, size_t i)
{
    snprintf(name, RULESET_NAME_MAX, "%s%zu", prefix, i);
}

static void random_nodes(struct random_stream *dice, struct ruleset *ruleset)
{
    size_t count = 2 + below(dice, 6);
    for (size_t i = 0; i < count; i++) {
        struct ruleset_node node = {.kind = (enum ruleset_node_kind)below(dice, 2)};
        name_of(node.name, "n", i);
        node.address_count = below(dice, RULESET_NODE_ADDRESSES_MAX + 1);
        for (size_t a = 0; a < node.address_count; a++)
            snprintf(node.addresses[a], sizeof(node.addresses[a]), "127.3.%zu.%zu", i, a + 1);
        ruleset_add_node(ruleset, &node);
    }
}

static void random_routes(struct random_stream *dice, struct ruleset *ruleset)
{
    size_t count = below(dice, 4);
    for (size_t i = 0; i < count; i++) {
        struct ruleset_route route = {.protocol = (enum ruleset_protocol)below(dice, 2),
                                      .enabled = below(dice, 2),
                                      .spread = below(dice, 2)};
        route.close_unreached = route.protocol == RULESET_TCP && below(dice, 2);
        snprintf(route.name, sizeof(route.name), "r\xc3\xb6ute %zu/\"\\", i);
        snprintf(route.listen, sizeof(route.listen), "127.3.0.1:%zu", 1000 + i);
        snprintf(route.upstream, sizeof(route.upstream), "127.3.0.2:%zu", 1000 + i);
        if (below(dice, 2))
            name_of(route.to, "n", 0);
        if (below(dice, 2))
            name_of(route.from, "n", 1);
        ruleset_add_route(ruleset, &route);
    }
}

/* On the first route when the type can act there, half of the time, else on a link. */
static void random_fault(struct random_stream *dice, struct ruleset *ruleset, size_t i)
{
    enum ruleset_fault_type type = (enum ruleset_fault_type)below(dice, RULESET_FAULT_TYPES);
    const struct ruleset_route *route = ruleset->route_count > 0 ? ruleset->routes : NULL;
    bool on_route = route && ruleset_fault_acts_on(type, route->protocol) && below(dice, 2);
    struct ruleset_fault fault = random_fault_of(dice, type, on_route && !route->spread);
    random_reach(dice, &fault);
    fault.set_at_ns = (int64_t)below(dice, INT64_MAX);
    name_of(fault.name, "f", i);
    name_of(fault.set_by, "who", i);
    if (on_route) {
        memcpy(fault.route, route->name, sizeof(fault.route));
        fault.direction = (enum ruleset_direction)below(dice, 3);
        if (type == RULESET_ACCEPT_DELAY || type == RULESET_REJECT) /* refused downstream */
            fault.direction = RULESET_UPSTREAM;
        if (type == RULESET_RATE && route->protocol == RULESET_TCP)
            fault.rate.queue_packets = 0;
        if (type == RULESET_TRACE && route->protocol == RULESET_TCP)
            fault.trace.queue_packets = 0;
    } else {
        fault.both_ways = below(dice, 2);
        name_of(fault.link.from, "n", 0);
        snprintf(fault.link.to, sizeof(fault.link.to), "%s", below(dice, 2) ? "*" : "n1");
    }
    if ((!on_route || route->protocol == RULESET_UDP) && below(dice, 2))
        snprintf(fault.match, sizeof(fault.match), "udp port %zu and not host \"x\"", i);
    ruleset_add_fault(ruleset, &fault);
}

static void random_rest(struct random_stream *dice, struct ruleset *ruleset)
{
    size_t count = below(dice, 4);
    for (size_t i = 0; i < count; i++) {
        struct ruleset_partition partition = {.set_at_ns = 7};
        name_of(partition.name, "p\xe2\x98\x83", i);
        name_of(partition.set_by, "who", i);
        ruleset_partition_add_link(&partition, "n1", "n0");
        if (below(dice, 2))
            ruleset_partition_add_link(&partition, "n0", "n1");
        ruleset_add_partition(ruleset, &partition);
        ruleset_partition_free(&partition);
    }
    count = below(dice, 3);
    for (size_t i = 0; i < count; i++) {
        struct ruleset_clock clock = {.offset_ns = (int64_t)below(dice, 2000000000) - 1000000000,
                                      .drift_ppb = (int64_t)below(dice, 1000) - 500};
        name_of(clock.node, "n", i % 2);
        ruleset_set_clock(ruleset, &clock);
    }
}

static struct ruleset random_ruleset(struct random_stream *dice)
{
    struct ruleset ruleset = {.version = below(dice, 1000), .seed = random_next(dice)};
    random_nodes(dice, &ruleset);
    random_routes(dice, &ruleset);
    random_add_tables(&ruleset);
    size_t faults = below(dice, 5);
    for (size_t i = 0; i < faults; i++)
        random_fault(dice, &ruleset, i);
    random_rest(dice, &ruleset);
    return ruleset;
}

#define assert_same(a, b, elements, count)                                                         \
    do {                                                                                           \
        assert_int_equal((a).count, (b).count);                                                    \
        if ((a).count > 0)                                                                         \
            assert_memory_equal((a).elements, (b).elements, (a).count * sizeof(*(a).elements));    \
    } while (0)

/* A union has bytes that no parameter of the type reads. */
static void assert_same_faults(const struct ruleset *a, const struct ruleset *b)
{
    assert_int_equal(a->fault_count, b->fault_count);
    for (size_t i = 0; i < a->fault_count; i++) {
        const struct ruleset_fault *one = &a->faults[i], *other = &b->faults[i];
        assert_string_equal(one->name, other->name);
        assert_string_equal(one->set_by, other->set_by);
        assert_int_equal(one->set_at_ns, other->set_at_ns);
        if (!ruleset_same_fault(one, other))
            fail_msg("a %s is not what it was", ruleset_fault_type_name(one->type));
    }
}

static void random_rulesets_survive_the_round_trip(void **state)
{
    (void)state;
    struct random_stream dice = {.key = 20261};
    for (int i = 0; i < 2000; i++) {
        struct ruleset ruleset = random_ruleset(&dice), decoded;
        struct error error = {0};
        if (ruleset_check(&ruleset, &error) < 0)
            fail_msg("round %d: %s: %s", i, error.place, error.message);
        json_t *json = wire_encode_ruleset(&ruleset);
        char *text = json_dumps(json, JSON_COMPACT);
        json_t *parsed = wire_parse_object(text, strlen(text), &error);
        assert_non_null(parsed);
        if (wire_decode_ruleset(parsed, &decoded, &error) < 0)
            fail_msg("round %d: %s: %s in %s", i, error.place, error.message, text);
        assert_int_equal(decoded.version, ruleset.version);
        assert_true(decoded.seed == ruleset.seed);
        assert_same(decoded, ruleset, nodes, node_count);
        assert_same(decoded, ruleset, routes, route_count);
        assert_same_faults(&decoded, &ruleset);
        assert_same(decoded, ruleset, clocks, clock_count);
        assert_int_equal(decoded.partition_count, ruleset.partition_count);
        for (size_t p = 0; p < ruleset.partition_count; p++) {
            assert_same(decoded.partitions[p], ruleset.partitions[p], links, link_count);
            assert_string_equal(decoded.partitions[p].set_by, ruleset.partitions[p].set_by);
        }
        assert_int_equal(decoded.table_count, ruleset.table_count);
        for (size_t t = 0; t < ruleset.table_count; t++) {
            assert_string_equal(decoded.tables[t].name, ruleset.tables[t].name);
            assert_same(decoded.tables[t], ruleset.tables[t], values, count);
        }
        json_decref(json);
        json_decref(parsed);
        free(text);
        ruleset_free(&ruleset);
        ruleset_free(&decoded);
    }
}

static const struct {
    const char *json, *place, *message;
} refusals[] = {
    {"{\"node\":[]}", "node", "allowed are version, seed, nodes, routes, partitions, faults, "},
    {"{\"version\":-1}", "version", "at least 0"},
    {"{\"version\":\"1\"}", "version", "a whole number is wanted here, not a text"},
    {"{\"version\":1.5}", "version", "whole number"},
    {"{\"seed\":\"18446744073709551616\"}", "seed", "2^64 - 1"},
    {"{\"seed\":\"\"}", "seed", "2^64 - 1"},
    {"{\"seed\":\"1x\"}", "seed", "2^64 - 1"},
    {"{\"seed\":1e300}", "seed", "whole number"},
    {"{\"nodes\":{}}", "nodes", "an array is wanted here, not an object"},
    {"{\"nodes\":[1]}", "nodes[0]", "an object is wanted here, not a number"},
    {"{\"version\":4611686018427387905}", "version", "at most 2^62"},
    {"{\"version\":9223372036854775807}", "version", "at most 2^62"},
    {"{\"nodes\":[{}]}", "nodes[0].name", "'name' is missing"},
    {"{\"nodes\":[{\"name\":1}]}", "nodes[0].name", "a text is wanted here"},
    {"{\"nodes\":[{\"name\":\"a\"},{\"name\":\"b\",\"kind\":\"x\"}]}", "nodes[1].kind",
     "member, client"},
    {"{\"nodes\":[{\"name\":\"a\",\"addresses\":[\"1\",2]}]}", "nodes[0].addresses[1]",
     "a text is wanted here, not a number"},
    {"{\"nodes\":[{\"name\":\"a\",\"addresses\":[\"1\",\"2\",\"3\",\"4\",\"5\"]}]}",
     "nodes[0].addresses", "at most 4"},
    {"{\"nodes\":[{\"name\":\"0123456789012345678901234567890123456789012345678901234567890123"
     "\"}]}",
     "nodes[0].name", "at most 63 bytes"},
    {"{\"routes\":[{\"name\":\"a\",\"listen\":\"x\"}]}", "routes[0].upstream", "missing"},
    {"{\"routes\":[{\"name\":\"a\",\"listen\":\"x\",\"upstream\":\"y\",\"enabled\":1}]}",
     "routes[0].enabled", "true or false is wanted here, not a number"},
    {"{\"routes\":[{\"name\":\"a\",\"listen\":\"x\",\"upstream\":\"y\",\"protocol\":\"sctp\"}]"
     "}",
     "routes[0].protocol", "tcp, udp"},
    {"{\"faults\":[{}]}", "faults[0].type", "'type' is missing"},
    {"{\"faults\":[{\"type\":\"slow\"}]}", "faults[0].type", "latency, loss, rate"},
    {"{\"faults\":[{\"type\":\"loss\",\"link\":\"a->b\",\"probability\":1}]}", "faults[0].name",
     "missing"},
    {"{\"faults\":[{\"name\":\"f\",\"type\":\"loss\",\"probability\":1}]}", "faults[0].link",
     "a link such as \"n1->n2\", or a route"},
    {"{\"faults\":[{\"name\":\"f\",\"type\":\"loss\",\"link\":\"a\",\"probability\":1}]}",
     "faults[0].link", "n1->n2 or n1<->n2"},
    {"{\"faults\":[{\"name\":\"f\",\"type\":\"loss\",\"link\":\"a->b\",\"route\":\"r\","
     "\"probability\":1}]}",
     "faults[0].link", "not on both"},
    {"{\"faults\":[{\"name\":\"f\",\"type\":\"loss\",\"link\":\"a->b\",\"direction\":\"both\","
     "\"probability\":1}]}",
     "faults[0].direction", "belongs to a route"},
    {"{\"faults\":[{\"name\":\"f\",\"type\":\"loss\",\"route\":\"r\",\"direction\":\"up\","
     "\"probability\":1}]}",
     "faults[0].direction", "both, upstream, downstream"},
    {"{\"faults\":[{\"name\":\"f\",\"type\":\"loss\",\"link\":\"a->b\",\"probability\":1.1}]}",
     "faults[0].probability", "0 to 1"},
    {"{\"faults\":[{\"name\":\"f\",\"type\":\"loss\",\"link\":\"a->b\",\"probability\":-0.1}]}",
     "faults[0].probability", "0 to 1"},
    {"{\"faults\":[{\"name\":\"f\",\"type\":\"loss\",\"link\":\"a->b\",\"probability\":\"1\"}]"
     "}",
     "faults[0].probability", "0 to 1"},
    {"{\"faults\":[{\"name\":\"f\",\"type\":\"loss\",\"link\":\"a->b\"}]}", "faults[0].probability",
     "missing"},
    {"{\"faults\":[{\"name\":\"f\",\"type\":\"latency\",\"link\":\"a->b\",\"delay_ns\":1,"
     "\"probability\":1}]}",
     "faults[0].probability", "match, delay_ns, jitter_ns, distribution"},
    {"{\"faults\":[{\"name\":\"f\",\"type\":\"latency\",\"link\":\"a->b\",\"delay_ns\":-1}]}",
     "faults[0].delay_ns", "at least 0"},
    {"{\"faults\":[{\"name\":\"f\",\"type\":\"latency\",\"link\":\"a->b\",\"delay_ns\":1,"
     "\"distribution\":\"flat\"}]}",
     "faults[0].distribution", "uniform, normal"},
    {"{\"faults\":[{\"name\":\"f\",\"type\":\"rate\",\"link\":\"a->b\"}]}", "faults[0].bytes_per_s",
     "missing"},
    {"{\"routes\":[{\"name\":\"a\",\"listen\":\"x\",\"upstream\":\"y\",\"spread\":\"yes\"}]}",
     "routes[0].spread", "true or false is wanted here, not a text"},
    {"{\"tables\":[{\"values\":[]}]}", "tables[0].name", "missing"},
    {"{\"tables\":[{\"name\":\"t\",\"values\":{}}]}", "tables[0].values", "an array"},
    {"{\"tables\":[{\"name\":\"t\",\"values\":[1,2.5]}]}", "tables[0].values[1]", "32 bits"},
    {"{\"tables\":[{\"name\":\"t\",\"values\":[2147483648]}]}", "tables[0].values[0]", "32 bits"},
    {"{\"tables\":[{\"name\":\"t\"},{\"name\":\"t\"}]}", "tables[1].name", "taken"},
    {"{\"tables\":[{\"name\":\"t\",\"value\":[]}]}", "tables[0].value", "allowed are name, values"},
    {"{\"partitions\":[{\"name\":\"p\"}]}", "partitions[0].links", "missing"},
    {"{\"partitions\":[{\"links\":[\"a->b\"]}]}", "partitions[0].name", "missing"},
    {"{\"partitions\":[{\"name\":\"p\",\"links\":[\"a->b\",\"c\"]}]}", "partitions[0].links[1]",
     "n1->n2"},
    {"{\"partitions\":[{\"name\":\"p\",\"links\":[\"a->b\",null]}]}", "partitions[0].links[1]",
     "not null"},
    {"{\"partitions\":[{\"name\":\"p\",\"isolate\":\"a\"}]}", "partitions[0].isolate",
     "allowed are name, links"},
    {"{\"clocks\":[{\"offset_ns\":1}]}", "clocks[0].node", "missing"},
    {"{\"clocks\":[{\"node\":\"a\",\"offset_ns\":1},{\"node\":\"a\",\"offset_ns\":2}]}",
     "clocks[1].node", "already"},
    {"{\"clocks\":[{\"node\":\"a\",\"offset_ns\":true}]}", "clocks[0].offset_ns", "whole number"},
    {"{\"clocks\":[{\"node\":\"a\",\"drift_ns\":1}]}", "clocks[0].drift_ns",
     "allowed are node, offset_ns, drift_ppb"},
};

static void refusals_name_the_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct ruleset out = {.version = 77};
        struct error error = {0};
        json_t *json = wire_parse_object(refusals[i].json, strlen(refusals[i].json), &error);
        assert_non_null(json);
        int code = wire_decode_ruleset(json, &out, &error);
        if (code != -EINVAL || strcmp(error.place, refusals[i].place) != 0 ||
            !strstr(error.message, refusals[i].message))
            fail_msg("%s: %d at '%s': %s", refusals[i].json, code, error.place, error.message);
        assert_int_equal(out.version, 77);
        assert_int_equal(wire_decode_ruleset(json, &out, NULL), -EINVAL);
        json_decref(json);
    }
}

static void malformed_json_has_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place;
    } cases[] = {
        {"", ""},
        {"{", "line 1, column 1"},
        {"[]", "line 1, column 1"},
        {"{} x", "line 1, column 4"},
        {"{\n  \"a\": 1,\n  \"a\": 2}", "line 3, column 5"},
        {"{\"a\": 99999999999999999999}", "line 1, column 26"},
        {"{\"a\": 1e999}", "line 1, column 11"},
        {"{\"a\": nul}", "line 1, column 9"},
        {"{\"a\": \"\\u0000\"}", "line 1, column 14"},
        {"{\"a\": \"\xff\"}", "line 1, column 7"},
        {"{\"a\": [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", "line 1, column 22"},
        {"{\"a\":\n[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", "line 2, column 16"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error error = {0};
        assert_null(wire_parse_object(cases[i].text, strlen(cases[i].text), &error));
        assert_int_equal(error.code, -EINVAL);
        if (strcmp(error.place, cases[i].place) != 0)
            fail_msg("%s: '%s' (%s)", cases[i].text, error.place, error.message);
    }
    /* Brackets in texts are no depth; the deepest that is allowed. */
    const char *fine = "{\"[[[[[[[[[[[[[[[[[[[[\\\"[[\": [[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}";
    json_t *json = wire_parse_object(fine, strlen(fine), NULL);
    assert_non_null(json);
    json_decref(json);
}

static void bodies_are_bounded(void **state)
{
    (void)state;
    struct error error = {0};
    char *body = memory_allocate(WIRE_BODY_MAX + 1);
    memset(body, ' ', WIRE_BODY_MAX + 1);
    body[0] = '{';
    body[1] = '}';
    json_t *json = wire_parse_object(body, WIRE_BODY_MAX, &error);
    assert_non_null(json);
    json_decref(json);
    assert_null(wire_parse_object(body, WIRE_BODY_MAX + 1, &error));
    assert_int_equal(error.code, -E2BIG);
    free(body);
}

/* An empty object is two bytes of a body and hundreds of memory. */
static void objects_are_bounded(void **state)
{
    (void)state;
    struct error error = {0};
    struct text body = {0};
    text_append(&body, "{\"a\":[\"{[\""); /* two; none in the text */
    for (int i = 2; i < WIRE_CONTAINERS_MAX; i++)
        text_append(&body, i % 2 ? ",{}" : ",[]");
    struct text more = {0};
    text_append(&more, "%s,{}]}", text_get(&body));
    text_append(&body, "]}");
    json_t *json = wire_parse_object(text_get(&body), body.length, &error);
    assert_non_null(json);
    json_decref(json);
    assert_null(wire_parse_object(text_get(&more), more.length, &error));
    assert_int_equal(error.code, -E2BIG);
    assert_false(wire_has_too_many(text_get(&body), body.length));
    assert_true(wire_has_too_many(text_get(&more), more.length));
    text_free(&body);
    text_free(&more);
}

/* No prefix and no changed byte of a document makes the decoder do anything but answer. */
static void mutations_are_answered(void **state)
{
    (void)state;
    struct random_stream dice = {.key = 99};
    struct ruleset ruleset = random_ruleset(&dice);
    json_t *json = wire_encode_ruleset(&ruleset);
    char *text = json_dumps(json, JSON_COMPACT);
    size_t length = strlen(text), decoded_count = 0;
    for (int i = 0; i < 20000; i++) {
        struct error error = {0};
        size_t at = below(&dice, length);
        char old = text[at];
        text[at] = "{}[],:\"0-e\\ntx"[below(&dice, 14)];
        json_t *parsed = wire_parse_object(text, i % 4 ? length : at, &error);
        struct ruleset out = {0};
        if (parsed && wire_decode_ruleset(parsed, &out, &error) == 0)
            decoded_count++;
        else
            assert_true(error.code < 0 && error.message[0]);
        ruleset_free(&out);
        json_decref(parsed);
        text[at] = old;
    }
    assert_true(decoded_count > 0);
    json_decref(json);
    free(text);
    ruleset_free(&ruleset);
}

static struct ruleset three_nodes(void)
{
    struct ruleset ruleset = {0};
    for (size_t i = 1; i <= 3; i++) {
        struct ruleset_node node = {0};
        name_of(node.name, "n", i);
        ruleset_add_node(&ruleset, &node);
    }
    return ruleset;
}

static int decode_partition(const char *text, struct ruleset_partition *out, struct error *error)
{
    struct ruleset ruleset = three_nodes();
    json_t *json = wire_parse_object(text, strlen(text), error);
    assert_non_null(json);
    int code = wire_decode_partition(json, &ruleset, out, error);
    json_decref(json);
    ruleset_free(&ruleset);
    return code;
}

static void partitions_come_in_three_forms(void **state)
{
    (void)state;
    static const struct {
        const char *json, *links;
    } cases[] = {
        {"{\"links\":[\"n1->n2\",\"n3<->n1\"]}", "n1->n2 n3->n1 n1->n3 "},
        {"{\"links\":[\"n2->n1\",\"n1<->n2\"]}", "n1->n2 n2->n1 "}, /* once each */
        {"{\"groups\":[[\"n1\"],[\"n2\"],[\"n3\"]]}", "n1->n2 n1->n3 n2->n1 n2->n3 n3->n1 n3->n2 "},
        {"{\"name\":\"x\",\"isolate\":\"n2\"}", "n2->n1 n1->n2 n2->n3 n3->n2 "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ruleset_partition out = {0};
        struct text links = {0};
        char link[RULESET_LINK_TEXT_MAX];
        assert_int_equal(decode_partition(cases[i].json, &out, NULL), 0);
        for (size_t l = 0; l < out.link_count; l++) {
            struct ruleset_link of = ruleset_partition_link(&out, l);
            text_append(&links, "%s ", ruleset_format_link(&of, false, link));
        }
        assert_string_equal(text_get(&links), cases[i].links);
        ruleset_partition_free(&out);
        text_free(&links);
    }
}

/* Byte by byte what the other way makes of it. */
static void a_partition_is_printed_as_it_is_encoded(void **state)
{
    (void)state;
    for (size_t links = 1; links < 4; links++) {
        struct ruleset_partition partition = {.name = "a \"p\xe2\x98\x83\"\n", .set_by = "\\me"};
        struct text printed = {0};
        json_t *mechanism = json_pack("{s:s}", "tcp", "a \"cut\"");
        partition.set_at_ns = links == 1 ? INT64_MIN : INT64_MAX;
        for (size_t i = 0; i < links; i++)
            ruleset_partition_add_link(&partition, "n1", i ? i > 1 ? "n_3" : "n-2" : "n.1");
        json_t *encoded = wire_encode_partition(&partition);
        json_object_set(encoded, "mechanism", mechanism);
        char *expected = json_dumps(encoded, WIRE_DUMP_FLAGS);
        wire_print_partition(&partition, mechanism, &printed);
        assert_string_equal(text_get(&printed), expected);
        assert_int_equal(printed.length, strlen(expected));
        free(expected);
        json_decref(encoded);
        text_free(&printed);
        ruleset_partition_free(&partition);
    }
}

static void bad_partitions(void **state)
{
    (void)state;
    static const struct {
        const char *json, *place;
    } cases[] = {
        {"{}", "links"},
        {"{\"links\":[\"n1->n2\"],\"isolate\":\"n1\"}", "links"},
        {"{\"groups\":[[\"n1\"]]}", "groups"},
        {"{\"groups\":[[\"n1\"],[]]}", "groups[1]"},
        {"{\"groups\":[[\"n1\"],\"n2\"]}", "groups[1]"},
        {"{\"groups\":[[\"n1\"],[2]]}", "groups[1][0]"},
        {"{\"groups\":[[\"n1\"],[\"n2\",\"n1\"]]}", "groups[1][1]"},
        {"{\"groups\":[[\"n1\"],[\"n9\"]]}", "groups[1][0]"},
        {"{\"isolate\":\"n9\"}", "isolate"},
        {"{\"isolate\":[\"n1\"]}", "isolate"},
        {"{\"node\":\"n1\"}", "node"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ruleset_partition out = {.link_count = 99};
        struct error error = {0};
        assert_int_equal(decode_partition(cases[i].json, &out, &error), -EINVAL);
        if (strcmp(error.place, cases[i].place) != 0)
            fail_msg("%s: '%s' %s", cases[i].json, error.place, error.message);
        assert_int_equal(out.link_count, 99);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_rulesets_survive_the_round_trip),
        cmocka_unit_test(refusals_name_the_place),
        cmocka_unit_test(malformed_json_has_line_and_column),
        cmocka_unit_test(bodies_are_bounded),
        cmocka_unit_test(objects_are_bounded),
        cmocka_unit_test(mutations_are_answered),
        cmocka_unit_test(partitions_come_in_three_forms),
        cmocka_unit_test(a_partition_is_printed_as_it_is_encoded),
        cmocka_unit_test(bad_partitions),
    };
    return cmocka_run_group_tests_name("proxy/wire/codec", tests, NULL, NULL);
}
