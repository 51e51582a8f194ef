/* /v1/lab
 *
 * The nodes of a lab are nodes of the ruleset, so what is done here changes the ruleset; the
 * backend does both at once. What changed is told as of any other change, and what is the lab's
 * alone (it came up, a port leads to a node, a node has ended) as an event "lab". */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/api/internal.h"
#include "proxy/base/text.h"
#include "proxy/fault/ruleset.h"
#include "proxy/wire/lab.h"

static const struct api_lab *lab_of(const struct api_call *call)
{
    return &call->api->backend.lab;
}

static void *context_of(const struct api_call *call)
{
    return call->api->backend.context;
}

/* Which failures are the request's fault; all others are severd's or the machine's, whatever errno
 * they have. missing: what -ENOENT is. */
static int code_of(int code, int missing)
{
    switch (-code) {
    case 0:
    case EINVAL:
    case EEXIST:
    case E2BIG:
    case EADDRINUSE:
    case EADDRNOTAVAIL:
    case EACCES:
        return code;
    case ENOSPC: /* no address left */
        return -EINVAL;
    case ENOENT:
        return missing;
    default:
        return -EIO;
    }
}

/* A change under way: the ruleset before it. */
struct change {
    struct api_call *call;
    struct ruleset before;
};

static void begin(struct change *change, struct api_call *call)
{
    change->call = call;
    ruleset_copy(&change->before, api_current(call));
}

/* Tells the listeners when there is something to tell. */
static void end(struct change *change)
{
    const struct ruleset *now = api_current(change->call);
    if (now->version != change->before.version)
        api_note_change(change->call->api, &change->before, now, change->call->by);
    ruleset_free(&change->before);
}

static void tell(struct api_call *call, const char *text)
{
    api_listeners_tell_lab(&call->api->listeners, api_current(call)->version, call->by, text);
}

static json_t *encode_lab(const struct api_call *call)
{
    struct wire_lab *lab = memory_allocate_zeroed(1, sizeof(*lab));
    lab_of(call)->get(context_of(call), lab);
    json_t *json = wire_encode_lab(lab);
    free(lab);
    return json;
}

int api_get_lab(struct api_call *call, struct error *error)
{
    (void)error;
    call->answer = encode_lab(call);
    return API_OK;
}

int api_put_lab(struct api_call *call, struct error *error)
{
    struct change change;
    char text[API_NEWS_MAX];
    struct wire_lab_wanted *wanted = memory_allocate_zeroed(1, sizeof(*wanted));
    int code = wire_decode_lab_wanted(call->body, wanted, error);
    if (code == 0) {
        begin(&change, call);
        code = code_of(lab_of(call)->up(context_of(call), wanted, call->by, error), -EIO);
        end(&change);
    }
    snprintf(text, sizeof(text), "lab of %zu node%s up", wanted->node_count,
             wanted->node_count == 1 ? "" : "s");
    free(wanted);
    if (code < 0)
        return code;
    tell(call, text);
    call->answer = encode_lab(call);
    return API_CREATED;
}

int api_remove_lab(struct api_call *call, struct error *error)
{
    struct change change;
    begin(&change, call);
    int code = code_of(lab_of(call)->down(context_of(call), call->by, error), -ENOENT);
    end(&change);
    if (code < 0)
        return code;
    tell(call, "lab down");
    return API_NO_CONTENT;
}

int api_add_lab_node(struct api_call *call, struct error *error)
{
    struct change change;
    struct wire_lab_member member;
    struct wire_lab_node node;
    int code = wire_decode_lab_member(call->body, &member, error);
    if (code < 0)
        return code;
    begin(&change, call);
    code = lab_of(call)->add_node(context_of(call), &member, call->by, &node, error);
    end(&change);
    if (code < 0)
        return code_of(code, -EINVAL);
    call->answer = wire_encode_lab_node(&node);
    return API_CREATED;
}

int api_remove_lab_node(struct api_call *call, struct error *error)
{
    struct change change;
    begin(&change, call);
    int code = lab_of(call)->remove_node(context_of(call), call->name, call->by, error);
    end(&change);
    return code < 0 ? code_of(code, -ENOENT) : API_NO_CONTENT;
}

int api_add_lab_port(struct api_call *call, struct error *error)
{
    struct change change;
    struct wire_lab_port port;
    char text[API_NEWS_MAX];
    int code = wire_decode_lab_port(call->body, &port, error);
    if (code < 0)
        return code;
    begin(&change, call);
    code = lab_of(call)->add_port(context_of(call), &port, call->by, error);
    end(&change);
    if (code < 0)
        return code_of(code, -EINVAL);
    snprintf(text, sizeof(text), "%s leads to %s port %u", port.listen, port.node, port.port);
    tell(call, text);
    call->answer = wire_encode_lab_port(&port);
    return API_CREATED;
}

int api_remove_lab_port(struct api_call *call, struct error *error)
{
    char text[API_NEWS_MAX];
    int code = lab_of(call)->remove_port(context_of(call), call->name, error);
    if (code < 0)
        return code_of(code, -ENOENT);
    snprintf(text, sizeof(text), "%s leads nowhere any more", call->name);
    tell(call, text);
    return API_NO_CONTENT;
}

int api_list_lab_connections(struct api_call *call, struct error *error)
{
    size_t count = 0, more = 0;
    struct wire_lab_connection *list =
        memory_allocate_zeroed(WIRE_LAB_CONNECTIONS_MAX, sizeof(*list));
    int code = lab_of(call)->connections(context_of(call), list, &count, &more, error);
    json_t *connections = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(connections, wire_encode_lab_connection(&list[i]));
    free(list);
    if (code < 0) {
        json_decref(connections);
        return code_of(code, -ENOENT);
    }
    call->answer = json_pack("{s:o, s:I}", "connections", connections, "more", (json_int_t)more);
    return API_OK;
}
