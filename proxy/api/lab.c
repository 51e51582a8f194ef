/* /v1/lab
 *
 * The nodes of a lab are nodes of the ruleset, so what is done here changes the ruleset; the
 * backend does both at once. What changed is told as of any other change, and what is the lab's
 * alone (it came up, a port leads to a node, a node has ended) as an event "lab".
 *
 * A change takes its time (lab_changes.h): its handler is called once to begin it, and once more
 * when it has ended, to answer. */
#include <assert.h>
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

static struct api_lab_wait *wait_of(const struct api_call *call)
{
    return (struct api_lab_wait *)call->wait; /* its first member */
}

/* The change that this call asks for, to be filled in; NULL when it has ended already, and the call
 * is there to be answered. */
static struct api_lab_change *ask_for(struct api_call *call, enum api_lab_verb verb)
{
    if (call->wait)
        return NULL;
    struct api_lab_wait *wait = memory_allocate_zeroed(1, sizeof(*wait));
    call->wait = &wait->wait;
    wait->wait.connection = call->connection;
    wait->change.verb = verb;
    snprintf(wait->change.by, sizeof(wait->change.by), "%s", call->by);
    return &wait->change;
}

/* What has come of it: API_OK, API_LATER or a negative errno. code: of filling it in. */
static int change_lab(struct api_call *call, int code, int missing, struct error *error)
{
    struct api_lab_wait *wait = wait_of(call);
    assert(wait);
    if (code < 0)
        return code;
    if (!wait->wait.over && !api_lab_changes_submit(call->api, wait))
        return API_LATER;
    if (!wait->change.result)
        return API_OK;
    *error = wait->change.error;
    return wait->change.result == -EBUSY ? -EBUSY : code_of(wait->change.result, missing);
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
    struct api_lab_change *wanted = ask_for(call, API_LAB_UP);
    int code = wanted ? wire_decode_lab_wanted(call->body, &wanted->wanted, error) : 0;
    code = change_lab(call, code, -EIO, error);
    if (code != API_OK)
        return code;
    call->answer = encode_lab(call);
    return API_CREATED;
}

int api_remove_lab(struct api_call *call, struct error *error)
{
    ask_for(call, API_LAB_DOWN);
    int code = change_lab(call, 0, -ENOENT, error);
    return code == API_OK ? API_NO_CONTENT : code;
}

int api_add_lab_node(struct api_call *call, struct error *error)
{
    struct api_lab_change *wanted = ask_for(call, API_LAB_ADD_NODE);
    int code = wanted ? wire_decode_lab_member(call->body, &wanted->member, error) : 0;
    code = change_lab(call, code, -EINVAL, error);
    if (code != API_OK)
        return code;
    call->answer = wire_encode_lab_node(&wait_of(call)->change.node);
    return API_CREATED;
}

int api_remove_lab_node(struct api_call *call, struct error *error)
{
    struct api_lab_change *wanted = ask_for(call, API_LAB_REMOVE_NODE);
    int code = 0;
    if (wanted && strlen(call->name) >= sizeof(wanted->name))
        code = error_set(error, -ENOENT, "there is no node '%.128s' in the lab", call->name);
    else if (wanted)
        memcpy(wanted->name, call->name, strlen(call->name) + 1);
    code = change_lab(call, code, -ENOENT, error);
    return code == API_OK ? API_NO_CONTENT : code;
}

int api_add_lab_port(struct api_call *call, struct error *error)
{
    struct api_lab_change *wanted = ask_for(call, API_LAB_ADD_PORT);
    int code = wanted ? wire_decode_lab_port(call->body, &wanted->port, error) : 0;
    code = change_lab(call, code, -EINVAL, error);
    if (code != API_OK)
        return code;
    call->answer = wire_encode_lab_port(&wait_of(call)->change.port);
    return API_CREATED;
}

int api_remove_lab_port(struct api_call *call, struct error *error)
{
    struct api_lab_change *wanted = ask_for(call, API_LAB_REMOVE_PORT);
    int code = 0;
    if (wanted && strlen(call->name) >= sizeof(wanted->port.listen))
        code = error_set(error, -ENOENT, "nothing of the lab listens on '%.128s'", call->name);
    else if (wanted)
        memcpy(wanted->port.listen, call->name, strlen(call->name) + 1);
    code = change_lab(call, code, -ENOENT, error);
    return code == API_OK ? API_NO_CONTENT : code;
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
