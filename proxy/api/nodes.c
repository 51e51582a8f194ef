/* /v1/nodes */
#include <errno.h>
#include <stdio.h>

#include "proxy/api/internal.h"
#include "proxy/wire/codec.h"

int api_list_nodes(struct api_call *call, struct error *error)
{
    const struct ruleset *ruleset = api_current(call);
    json_t *nodes = json_array();
    (void)error;
    for (size_t i = 0; i < ruleset->node_count; i++)
        json_array_append_new(nodes, wire_encode_node(&ruleset->nodes[i]));
    call->answer = json_pack("{s:o}", "nodes", nodes);
    return API_OK;
}

int api_get_node(struct api_call *call, struct error *error)
{
    const struct ruleset_node *node = ruleset_find_node(api_current(call), call->name);
    if (!node)
        return api_no_such(call, "node", error);
    call->answer = wire_encode_node(node);
    return API_OK;
}

int api_add_node(struct api_call *call, struct error *error)
{
    struct ruleset_node node;
    struct ruleset next;
    int code = wire_decode_node(call->body, &node, error);
    if (code < 0)
        return code;
    ruleset_copy(&next, api_current(call));
    ruleset_add_node(&next, &node);
    code = api_apply_element(call, &next, "nodes", next.node_count - 1, error);
    ruleset_free(&next);
    if (code < 0)
        return code;
    call->answer = wire_encode_node(&node);
    return API_CREATED;
}

int api_remove_node(struct api_call *call, struct error *error)
{
    struct ruleset next;
    if (!ruleset_find_node(api_current(call), call->name))
        return api_no_such(call, "node", error);
    ruleset_copy(&next, api_current(call));
    ruleset_remove_node(&next, call->name);
    int code = api_apply(call, &next, error);
    ruleset_free(&next);
    if (code == -EINVAL) {
        char place[ERROR_PLACE_MAX];
        snprintf(place, sizeof(place), "%s", error->place);
        return error_set_at(error, code, place, "node '%s' is named here: remove this first",
                            call->name);
    }
    return code < 0 ? code : API_NO_CONTENT;
}
