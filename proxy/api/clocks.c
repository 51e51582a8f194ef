/* /v1/clocks */
#include <stdio.h>

#include "proxy/api/internal.h"
#include "proxy/wire/codec.h"

/* The clock of a node, true time included. */
static json_t *encode(const struct api_call *call, const char *node)
{
    const struct api_backend *backend = &call->api->backend;
    const struct ruleset_clock *set = ruleset_find_clock(api_current(call), node);
    struct ruleset_clock clock = {0};
    snprintf(clock.node, sizeof(clock.node), "%s", node);
    json_t *json = wire_encode_clock(set ? set : &clock);
    json_object_set_new(json, "page", api_json_text(backend->clock_page(backend->context, node)));
    return json;
}

int api_list_clocks(struct api_call *call, struct error *error)
{
    const struct ruleset *ruleset = api_current(call);
    json_t *clocks = json_array();
    (void)error;
    for (size_t i = 0; i < ruleset->node_count; i++)
        json_array_append_new(clocks, encode(call, ruleset->nodes[i].name));
    call->answer = json_pack("{s:o}", "clocks", clocks);
    return API_OK;
}

static int set_clock(struct api_call *call, const struct ruleset_clock *clock, struct error *error)
{
    struct ruleset next;
    ruleset_copy(&next, api_current(call));
    ruleset_set_clock(&next, clock);
    size_t index = 0;
    while (index < next.clock_count &&
           &next.clocks[index] != ruleset_find_clock(&next, clock->node))
        index++;
    int code = api_apply_element(call, &next, "clocks", index, error);
    ruleset_free(&next);
    return code;
}

int api_put_clock(struct api_call *call, struct error *error)
{
    struct ruleset_clock clock;
    if (!ruleset_find_node(api_current(call), call->name))
        return api_no_such(call, "node", error);
    int code = wire_decode_clock(call->body, call->name, &clock, error);
    if (code == 0)
        code = set_clock(call, &clock, error);
    if (code < 0)
        return code;
    call->answer = encode(call, call->name);
    return API_OK;
}

int api_remove_clock(struct api_call *call, struct error *error)
{
    struct ruleset_clock clock = {0};
    if (!ruleset_find_node(api_current(call), call->name))
        return api_no_such(call, "node", error);
    if (!ruleset_find_clock(api_current(call), call->name))
        return API_NO_CONTENT;
    snprintf(clock.node, sizeof(clock.node), "%s", call->name);
    int code = set_clock(call, &clock, error);
    return code < 0 ? code : API_NO_CONTENT;
}
