/* /v1/ruleset and /v1/events. */
#include <errno.h>

#include "proxy/api/internal.h"
#include "proxy/base/units.h"
#include "proxy/wire/codec.h"

int api_get_ruleset(struct api_call *call, struct error *error)
{
    (void)error;
    call->answer = wire_encode_ruleset(api_current(call));
    return API_OK;
}

int api_put_ruleset(struct api_call *call, struct error *error)
{
    struct ruleset next;
    const struct ruleset *current = api_current(call);
    int code = wire_decode_ruleset(call->body, &next, error);
    if (code < 0)
        return code;
    if (next.version != 0 && next.version != current->version)
        code = error_set_at(error, -ESTALE, "version",
                            "the ruleset has moved on to version %llu: read it again",
                            (unsigned long long)current->version);
    if (json_is_null(json_object_get(call->body, "seed")) || !json_object_get(call->body, "seed"))
        next.seed = current->seed;
    if (code == 0) {
        next.version = current->version;
        code = api_apply(call, &next, error);
    }
    ruleset_free(&next);
    if (code < 0) /* a name that is twice in one document is no conflict with anything in force */
        return code == -EEXIST ? -EINVAL : code;
    return api_get_ruleset(call, error);
}

int api_get_events(struct api_call *call, struct error *error)
{
    char text[API_SEGMENT_MAX];
    bool there;
    int64_t value = 0;
    int code = api_get_query(call, "since", text, &there, error);
    if (code == 0 && there)
        code = units_parse_integer(text, 0, INT64_MAX, "since", &value, error);
    if (code < 0)
        return code;
    uint64_t since = (uint64_t)value;
    struct api *api = call->api;
    call->response = api_listeners_add(&api->listeners, call->connection, there ? &since : NULL,
                                       api_current(call)->version, call->by, api->now_ns);
    if (!call->response)
        return error_set(error, -EBUSY, "%d listeners of events are there already",
                         API_LISTENERS_MAX);
    MHD_add_response_header(call->response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    api_set_deadline(call->connection, UINT64_MAX);
    return API_OK;
}
