/* /v1/routes */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/api/internal.h"
#include "proxy/base/address.h"
#include "proxy/wire/codec.h"

static json_t *encode(const struct api_call *call, const struct ruleset_route *route)
{
    char text[ADDRESS_TEXT_MAX];
    const struct api_backend *backend = &call->api->backend;
    const char *listening = backend->route_listening(backend->context, route->name, text);
    json_t *json = wire_encode_route(route);
    struct api_route_state state;
    backend->route_state(backend->context, route->name, &state);
    json_object_set_new(json, "listening", listening[0] ? api_json_text(listening) : json_null());
    json_object_set_new(json, "refusing", json_boolean(state.refusing));
    return json;
}

/* Of the route named, as it now is in force. */
static int answer_with(struct api_call *call, const char *name, int status)
{
    call->answer = encode(call, ruleset_find_route(api_current(call), name));
    return status;
}

int api_list_routes(struct api_call *call, struct error *error)
{
    const struct ruleset *ruleset = api_current(call);
    json_t *routes = json_array();
    (void)error;
    for (size_t i = 0; i < ruleset->route_count; i++)
        json_array_append_new(routes, encode(call, &ruleset->routes[i]));
    call->answer = json_pack("{s:o}", "routes", routes);
    return API_OK;
}

int api_get_route(struct api_call *call, struct error *error)
{
    if (!ruleset_find_route(api_current(call), call->name))
        return api_no_such(call, "route", error);
    return answer_with(call, call->name, API_OK);
}

int api_add_route(struct api_call *call, struct error *error)
{
    struct ruleset_route route;
    struct ruleset next;
    int code = wire_decode_route(call->body, &route, error);
    if (code < 0)
        return code;
    ruleset_copy(&next, api_current(call));
    ruleset_add_route(&next, &route);
    code = api_apply_element(call, &next, "routes", next.route_count - 1, error);
    ruleset_free(&next);
    return code < 0 ? code : answer_with(call, route.name, API_CREATED);
}

int api_patch_route(struct api_call *call, struct error *error)
{
    struct ruleset next;
    if (!ruleset_find_route(api_current(call), call->name))
        return api_no_such(call, "route", error);
    ruleset_copy(&next, api_current(call));
    struct ruleset_route *route = ruleset_find_route(&next, call->name);
    int code = wire_decode_route_patch(call->body, route, error);
    if (code == 0)
        code = api_apply_element(call, &next, "routes", (size_t)(route - next.routes), error);
    ruleset_free(&next);
    return code < 0 ? code : answer_with(call, call->name, API_OK);
}

/* -EINVAL with the first fault that is on the route. */
static int check_no_fault_on(const struct ruleset *ruleset, const char *route, struct error *error)
{
    for (size_t i = 0; i < ruleset->fault_count; i++) {
        char place[ERROR_PLACE_MAX];
        if (strcmp(ruleset->faults[i].route, route) != 0)
            continue;
        snprintf(place, sizeof(place), "faults[%zu].route", i);
        return error_set_at(error, -EINVAL, place, "fault '%s' is on route '%s': remove that first",
                            ruleset->faults[i].name, route);
    }
    return 0;
}

int api_remove_route(struct api_call *call, struct error *error)
{
    struct ruleset next;
    if (!ruleset_find_route(api_current(call), call->name))
        return api_no_such(call, "route", error);
    int code = check_no_fault_on(api_current(call), call->name, error);
    if (code < 0)
        return code;
    ruleset_copy(&next, api_current(call));
    ruleset_remove_route(&next, call->name);
    code = api_apply(call, &next, error);
    ruleset_free(&next);
    return code < 0 ? code : API_NO_CONTENT;
}
