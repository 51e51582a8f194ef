/* The bodies of the native API: the first byte says which one, the rest is what a client sent. It
 * is refused with a reason and changes nothing, or it is decoded; what is decoded, and is valid, is
 * told again as JSON and understood as the same. */
#include "tests/fuzz/fuzz.h"

#include "proxy/wire/codec.h"

/* What stands already: nodes for partitions and clocks, a route and faults to patch. */
static struct ruleset before;

static void add_node(const char *name)
{
    struct ruleset_node node = {0};
    memcpy(node.name, name, strlen(name) + 1);
    ruleset_add_node(&before, &node);
}

static void add_fault(const char *name, enum ruleset_fault_type type)
{
    struct ruleset_fault fault = {.type = type, .link = {.from = "n1", .to = "n2"}};
    memcpy(fault.name, name, strlen(name) + 1);
    if (type == RULESET_REORDER)
        fault.reorder.delay_ns = 1;
    if (type == RULESET_FLAP)
        fault.flap.up_ns = fault.flap.down_ns = 1;
    ruleset_add_fault(&before, &fault);
}

static void make_before(void)
{
    static const struct ruleset_route route = {.name = "r",
                                               .listen = "127.0.0.1:0",
                                               .upstream = "127.0.0.1:1",
                                               .from = "n1",
                                               .to = "n2",
                                               .enabled = true};
    static int32_t values[] = {1, 2, 3};
    static const struct ruleset_table table = {.name = "t", .values = values, .count = 3};
    add_node("n1");
    add_node("n2");
    add_node("n3");
    ruleset_add_route(&before, &route);
    ruleset_set_table(&before, &table);
    for (int type = 0; type < RULESET_FAULT_TYPES; type++)
        if (type != RULESET_TRACE)
            add_fault(ruleset_fault_type_name((enum ruleset_fault_type)type),
                      (enum ruleset_fault_type)type);
    struct error error = {0};
    require(ruleset_check(&before, &error) == 0);
}

static bool is_valid(const struct ruleset *ruleset)
{
    struct error error = {0};
    int code = ruleset_check(ruleset, &error);
    if (code < 0)
        require_reason(code, &error);
    return code == 0;
}

/* What becomes of a ruleset with the new thing in it, which is freed. */
static void check_ruleset(struct ruleset *changed)
{
    if (is_valid(changed)) {
        struct ruleset again;
        struct error error = {0};
        json_t *told = wire_encode_ruleset(changed);
        require(wire_decode_ruleset(told, &again, &error) == 0 && is_valid(&again));
        json_t *told_again = wire_encode_ruleset(&again);
        require(json_equal(told, told_again));
        json_decref(told);
        json_decref(told_again);
        ruleset_free(&again);
    }
    ruleset_free(changed);
}

static void try_node(json_t *json, struct error *error)
{
    struct ruleset_node node, untouched;
    memset(&node, 0x5a, sizeof(node));
    memset(&untouched, 0x5a, sizeof(untouched));
    int code = wire_decode_node(json, &node, error);
    if (code < 0) {
        require_reason(code, error);
        require(same_bytes(&node, &untouched, sizeof(node)));
        return;
    }
    struct ruleset changed;
    ruleset_copy(&changed, &before);
    ruleset_add_node(&changed, &node);
    check_ruleset(&changed);
}

static void try_route(json_t *json, struct error *error)
{
    struct ruleset_route route, untouched;
    memset(&route, 0x5a, sizeof(route));
    memset(&untouched, 0x5a, sizeof(untouched));
    int code = wire_decode_route(json, &route, error);
    if (code < 0) {
        require_reason(code, error);
        require(same_bytes(&route, &untouched, sizeof(route)));
        return;
    }
    struct ruleset changed;
    ruleset_copy(&changed, &before);
    ruleset_add_route(&changed, &route);
    check_ruleset(&changed);
}

static void try_route_patch(json_t *json, struct error *error)
{
    struct ruleset changed;
    ruleset_copy(&changed, &before);
    struct ruleset_route *route = &changed.routes[0], untouched;
    memcpy(&untouched, route, sizeof(untouched));
    int code = wire_decode_route_patch(json, route, error);
    if (code < 0) {
        require_reason(code, error);
        require(same_bytes(route, &untouched, sizeof(untouched)));
    }
    require(strcmp(route->name, "r") == 0 && strcmp(route->listen, untouched.listen) == 0);
    check_ruleset(&changed);
}

static void try_fault(json_t *json, struct error *error)
{
    struct ruleset_fault fault, untouched;
    memset(&fault, 0x5a, sizeof(fault));
    memset(&untouched, 0x5a, sizeof(untouched));
    int code = wire_decode_fault(json, NULL, &fault, error);
    if (code < 0) {
        require_reason(code, error);
        require(same_bytes(&fault, &untouched, sizeof(fault)));
        return;
    }
    struct ruleset changed;
    ruleset_copy(&changed, &before);
    ruleset_add_fault(&changed, &fault);
    check_ruleset(&changed);
}

/* The same patch for a fault of every type. */
static void try_fault_patch(json_t *json, struct error *error)
{
    for (size_t i = 0; i < before.fault_count; i++) {
        const struct ruleset_fault *base = &before.faults[i];
        struct ruleset_fault patched;
        memcpy(&patched, base, sizeof(patched));
        *error = (struct error){0};
        int code = wire_decode_fault(json, base, &patched, error);
        if (code < 0) {
            require_reason(code, error);
            require(same_bytes(&patched, base, sizeof(patched)));
            continue;
        }
        require(patched.type == base->type && strcmp(patched.name, base->name) == 0);
        struct ruleset changed;
        ruleset_copy(&changed, &before);
        changed.faults[i] = patched;
        check_ruleset(&changed);
    }
}

static void try_partition(json_t *json, struct error *error)
{
    struct ruleset_partition partition = {0};
    int code = wire_decode_partition(json, &before, &partition, error);
    if (code < 0) {
        require_reason(code, error);
        require(partition.links == NULL);
        return;
    }
    struct ruleset changed;
    ruleset_copy(&changed, &before);
    ruleset_add_partition(&changed, &partition);
    check_ruleset(&changed);
    ruleset_partition_free(&partition);
}

static void try_clock(json_t *json, struct error *error)
{
    static const char *const nodes[] = {"n1", NULL};
    for (size_t i = 0; i < 2; i++) {
        struct ruleset_clock clock = {.offset_ns = 7};
        *error = (struct error){0};
        int code = wire_decode_clock(json, nodes[i], &clock, error);
        if (code < 0) {
            require_reason(code, error);
            require(clock.offset_ns == 7);
            continue;
        }
        require(!nodes[i] || strcmp(clock.node, nodes[i]) == 0);
        struct ruleset changed;
        ruleset_copy(&changed, &before);
        ruleset_set_clock(&changed, &clock);
        check_ruleset(&changed);
    }
}

static void try_table(json_t *json, struct error *error)
{
    struct ruleset_table table = {0};
    int code = wire_decode_table(json, &table, error);
    if (code < 0) {
        require_reason(code, error);
        require(table.values == NULL);
        return;
    }
    struct ruleset changed;
    ruleset_copy(&changed, &before);
    ruleset_set_table(&changed, &table);
    check_ruleset(&changed);
    free(table.values);
}

static void (*const tries[])(json_t *json, struct error *error) = {
    try_node,        try_route,     try_route_patch, try_fault,
    try_fault_patch, try_partition, try_clock,       try_table};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct error error = {0};
    if (before.node_count == 0)
        make_before();
    if (size == 0)
        return 0;
    char *body = fuzz_copy_text(bytes + 1, size - 1);
    json_t *json = wire_parse_object(body, size - 1, &error);
    if (json) {
        error = (struct error){0};
        tries[bytes[0] % (sizeof(tries) / sizeof(tries[0]))](json, &error);
    } else {
        require_reason(error.code, &error);
    }
    json_decref(json);
    free(body);
    return 0;
}
