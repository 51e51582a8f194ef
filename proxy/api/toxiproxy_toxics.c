/* /proxies/{proxy}/toxics of the Toxiproxy API. */
#include <errno.h>
#include <string.h>

#include "proxy/api/toxiproxy.h"
#include "proxy/api/toxiproxy_http.h"

/* The fault on the proxy that clients call by that name. */
static const struct ruleset_fault *find(const struct ruleset *ruleset, const char *proxy,
                                        const char *name)
{
    for (size_t i = 0; i < ruleset->fault_count; i++) {
        const struct ruleset_fault *fault = &ruleset->faults[i];
        if (strcmp(fault->route, proxy) == 0 && strcmp(toxiproxy_name_of(fault), name) == 0)
            return fault;
    }
    return NULL;
}

/* The one of the path; NULL with call->error. */
static const struct ruleset_fault *find_toxic(struct toxiproxy_call *call)
{
    if (!toxiproxy_find_proxy(call))
        return NULL;
    const struct ruleset_fault *fault = find(api_current(call->call), call->proxy, call->toxic);
    if (!fault)
        error_set(&call->error, -ENOENT, "toxic not found");
    return fault;
}

/* Of the fault of that full name, as it now is in force. */
static unsigned answer_with(struct toxiproxy_call *call, const char *name)
{
    call->answer = toxiproxy_encode_toxic(ruleset_find_fault(api_current(call->call), name));
    return MHD_HTTP_OK;
}

unsigned toxiproxy_list_toxics(struct toxiproxy_call *call)
{
    if (!toxiproxy_find_proxy(call))
        return MHD_HTTP_NOT_FOUND;
    call->answer = toxiproxy_encode_toxics(api_current(call->call), call->proxy);
    return MHD_HTTP_OK;
}

unsigned toxiproxy_get_toxic(struct toxiproxy_call *call)
{
    const struct ruleset_fault *fault = find_toxic(call);
    return fault ? answer_with(call, fault->name) : MHD_HTTP_NOT_FOUND;
}

static unsigned add(struct toxiproxy_call *call, const struct ruleset_fault *toxic)
{
    struct ruleset next;
    if (ruleset_find_fault(api_current(call->call), toxic->name) ||
        find(api_current(call->call), call->proxy, toxiproxy_name_of(toxic))) {
        error_set(&call->error, -EEXIST, "toxic already exists");
        return MHD_HTTP_CONFLICT;
    }
    ruleset_copy(&next, api_current(call->call));
    ruleset_add_fault(&next, toxic);
    int code = api_apply(call->call, &next, &call->error);
    unsigned status =
        code < 0 ? toxiproxy_refuse_change(call, &next, code) : answer_with(call, toxic->name);
    ruleset_free(&next);
    return status;
}

unsigned toxiproxy_add_toxic(struct toxiproxy_call *call)
{
    struct ruleset_fault toxic;
    if (!toxiproxy_find_proxy(call))
        return MHD_HTTP_NOT_FOUND;
    json_t *json = toxiproxy_body(call);
    int code = json ? toxiproxy_decode_toxic(json, call->proxy, &toxic, &call->error) : -EINVAL;
    json_decref(json);
    return code < 0 ? MHD_HTTP_BAD_REQUEST : add(call, &toxic);
}

/* Puts `changed` in the place of the fault of its name. */
static unsigned replace(struct toxiproxy_call *call, const struct ruleset_fault *changed)
{
    struct ruleset next;
    ruleset_copy(&next, api_current(call->call));
    struct ruleset_fault *fault = ruleset_find_fault(&next, changed->name);
    bool same = ruleset_same_fault(fault, changed);
    *fault = *changed;
    int code = same ? 0 : api_apply(call->call, &next, &call->error);
    unsigned status =
        code < 0 ? toxiproxy_refuse_change(call, &next, code) : answer_with(call, changed->name);
    ruleset_free(&next);
    return status;
}

unsigned toxiproxy_patch_toxic(struct toxiproxy_call *call)
{
    const struct ruleset_fault *fault = find_toxic(call);
    if (!fault)
        return MHD_HTTP_NOT_FOUND;
    if (!toxiproxy_is_toxic(fault)) {
        error_set(&call->error, -EINVAL,
                  "fault '%s' says more than a toxic can: change it with severctl or "
                  "/v1/faults",
                  fault->name);
        return MHD_HTTP_BAD_REQUEST;
    }
    struct ruleset_fault changed = *fault;
    json_t *json = toxiproxy_body(call);
    int code = json ? toxiproxy_update_toxic(json, &changed, &call->error) : -EINVAL;
    json_decref(json);
    return code < 0 ? MHD_HTTP_BAD_REQUEST : replace(call, &changed);
}

unsigned toxiproxy_remove_toxic(struct toxiproxy_call *call)
{
    struct ruleset next;
    const struct ruleset_fault *fault = find_toxic(call);
    if (!fault)
        return MHD_HTTP_NOT_FOUND;
    ruleset_copy(&next, api_current(call->call));
    ruleset_remove_fault(&next, fault->name);
    int code = api_apply(call->call, &next, &call->error);
    unsigned status = code < 0 ? toxiproxy_refuse_change(call, &next, code) : MHD_HTTP_NO_CONTENT;
    ruleset_free(&next);
    return status;
}
