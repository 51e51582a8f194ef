/* The API's side of the lab: each change is the lab's and the ruleset's at once (lab_state.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/log.h"
#include "proxy/daemon/backend_internal.h"
#include "proxy/daemon/lab_state.h"
#include "proxy/lab/lab.h"

static void get(void *context, struct wire_lab *lab)
{
    lab_state_describe(((const struct backend *)context)->lab, lab);
}

static bool has_node(void *context, const char *name)
{
    return lab_state_has(((const struct backend *)context)->lab, name);
}

/* Puts what joins or leaves in force, or takes it back. */
static int change(struct backend *backend, const char *by, struct error *error)
{
    struct ruleset next;
    int result = lab_state_edit(backend->lab, &backend->ruleset, &next, error);
    if (!result) {
        result = backend_change(backend, &next, by, error);
        ruleset_free(&next);
    }
    if (result)
        lab_state_abandon(backend->lab);
    else
        lab_state_commit(backend->lab);
    return result;
}

static int up(void *context, const struct wire_lab_wanted *wanted, const char *by,
              struct error *error)
{
    struct backend *backend = context;
    int result = lab_state_start(backend->lab, wanted, error);
    if (!result)
        result = change(backend, by, error);
    if (!result)
        log_info("lab of %zu node%s up", wanted->node_count, wanted->node_count == 1 ? "" : "s");
    return result;
}

static int down(void *context, const char *by, struct error *error)
{
    struct backend *backend = context;
    int result = lab_state_leave(backend->lab, NULL, error);
    if (!result)
        result = change(backend, by, error);
    if (!result) {
        captures_end(backend->captures);
        log_info("lab down");
    }
    return result;
}

static int join(struct backend *backend, const struct wire_lab_member *member, const char *by,
                struct error *error)
{
    int result = lab_state_join(backend->lab, member, error);
    return result ? result : change(backend, by, error);
}

static int add_node(void *context, const struct wire_lab_member *member, const char *by,
                    struct wire_lab_node *node, struct error *error)
{
    struct backend *backend = context;
    int result = join(backend, member, by, error);
    return result ? result : lab_state_describe_node(backend->lab, member->name, node);
}

static int remove_node(void *context, const char *name, const char *by, struct error *error)
{
    struct backend *backend = context;
    int result = lab_state_leave(backend->lab, name, error);
    return result ? result : change(backend, by, error);
}

/* The gateway comes with the first port. When that can't be had it goes again. */
static int add_port(void *context, struct wire_lab_port *port, const char *by, struct error *error)
{
    struct backend *backend = context;
    struct wire_lab_member gateway = {.name = LAB_GATEWAY, .kind = RULESET_NODE_CLIENT};
    bool needed =
        lab_state_has(backend->lab, port->node) && !lab_state_has(backend->lab, LAB_GATEWAY);
    int result = needed ? join(backend, &gateway, by, error) : 0;
    if (result)
        return result;
    result = lab_state_add_port(backend->lab, port, error);
    if (result && needed)
        remove_node(context, LAB_GATEWAY, by, NULL);
    return result;
}

static int remove_port(void *context, const char *listen, struct error *error)
{
    return lab_state_remove_port(((struct backend *)context)->lab, listen, error);
}

static int connections(void *context, struct wire_lab_connection *list, size_t *count, size_t *more,
                       struct error *error)
{
    const struct backend *backend = context;
    return lab_state_connections(backend->lab, backend->plan, list, count, more, error);
}

static int poll_fd(void *context)
{
    return lab_state_poll_fd(((const struct backend *)context)->lab);
}

/* A node that has ended: its port must not be looked at any more. */
static bool next_news(void *context, char text[API_NEWS_MAX])
{
    struct backend *backend = context;
    if (!lab_state_next_news(backend->lab, text, API_NEWS_MAX))
        return false;
    log_warn("%s", text);
    backend_republish(backend);
    lab_state_bury(backend->lab);
    return true;
}

struct api_lab backend_lab_api(void)
{
    return (struct api_lab){
        .get = get,
        .has_node = has_node,
        .up = up,
        .down = down,
        .add_node = add_node,
        .remove_node = remove_node,
        .add_port = add_port,
        .remove_port = remove_port,
        .connections = connections,
        .poll_fd = poll_fd,
        .next_news = next_news,
    };
}
