/* /v1/nodes */
#include <errno.h>
#include <stdio.h>
#include <string.h>

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

/* -EINVAL when something of this kind names the node. */
static int refuse_named(const char *node, const char *array, size_t index, const char *field,
                        const char *kind, const char *name, struct error *error)
{
    char place[ERROR_PLACE_MAX];
    snprintf(place, sizeof(place), "%s[%zu].%s", array, index, field);
    return error_set_at(error, -EINVAL, place, "%s '%s' names node '%s': remove that first", kind,
                        name, node);
}

static bool link_has(const struct ruleset_link *link, const char *node)
{
    return strcmp(link->from, node) == 0 || strcmp(link->to, node) == 0;
}

/* -EINVAL with the first thing that names the node, by its own name. */
static int check_unnamed(const struct ruleset *ruleset, const char *node, struct error *error)
{
    for (size_t i = 0; i < ruleset->route_count; i++) {
        const struct ruleset_route *route = &ruleset->routes[i];
        bool from = strcmp(route->from, node) == 0;
        if (from || strcmp(route->to, node) == 0)
            return refuse_named(node, "routes", i, from ? "from" : "to", "route", route->name,
                                error);
    }
    for (size_t i = 0; i < ruleset->partition_count; i++) {
        const struct ruleset_partition *partition = &ruleset->partitions[i];
        for (size_t l = 0; l < partition->link_count; l++) {
            struct ruleset_link link = ruleset_partition_link(partition, l);
            if (link_has(&link, node)) {
                char field[32];
                snprintf(field, sizeof(field), "links[%zu]", l);
                return refuse_named(node, "partitions", i, field, "partition", partition->name,
                                    error);
            }
        }
    }
    for (size_t i = 0; i < ruleset->fault_count; i++)
        if (link_has(&ruleset->faults[i].link, node))
            return refuse_named(node, "faults", i, "link", "fault", ruleset->faults[i].name, error);
    for (size_t i = 0; i < ruleset->clock_count; i++)
        if (strcmp(ruleset->clocks[i].node, node) == 0)
            return refuse_named(node, "clocks", i, "node", "clock", node, error);
    return 0;
}

int api_remove_node(struct api_call *call, struct error *error)
{
    struct ruleset next;
    if (!ruleset_find_node(api_current(call), call->name))
        return api_no_such(call, "node", error);
    if (call->api->backend.lab.has_node(call->api->backend.context, call->name))
        return error_set(error, -EINVAL,
                         "node '%s' is in the lab: severctl lab remove %s takes it out, severctl "
                         "lab down ends the lab",
                         call->name, call->name);
    int code = check_unnamed(api_current(call), call->name, error);
    if (code < 0)
        return code;
    ruleset_copy(&next, api_current(call));
    ruleset_remove_node(&next, call->name);
    code = api_apply(call, &next, error);
    ruleset_free(&next);
    return code < 0 ? code : API_NO_CONTENT;
}
