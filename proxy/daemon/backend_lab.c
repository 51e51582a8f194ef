/* The API's side of the lab: each change is the lab's and the ruleset's at once (lab_state.h).
 *
 * Theory of operation. A change is work of the lab's thread (lab_thread.h): functions named work_
 * run there, and what they ask for, named step_, on the control thread. Both use `backend->change`,
 * never at once. What happens to the lab unasked is work too, and so waits for a change that is
 * under way. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/log.h"
#include "proxy/daemon/backend_internal.h"
#include "proxy/daemon/lab_state.h"
#include "proxy/daemon/lab_thread.h"
#include "proxy/lab/lab.h"

static void get(void *context, struct wire_lab *lab)
{
    lab_state_describe(((const struct backend *)context)->lab, lab);
}

static bool has_node(void *context, const char *name)
{
    return lab_state_has(((const struct backend *)context)->lab, name);
}

/* --- steps: on the control thread --- */

/* Puts what joins or leaves in force, or takes it back. */
static void step_change(void *context)
{
    struct backend *backend = context;
    struct api_lab_change *change = &backend->lab_change;
    struct ruleset next;
    int result = lab_state_edit(backend->lab, &backend->ruleset, &next, &change->error);
    if (!result) {
        result = backend_change(backend, &next, change->by, &change->error);
        ruleset_free(&next);
    }
    if (result)
        lab_state_abandon(backend->lab);
    else
        lab_state_commit(backend->lab);
    change->result = result;
}

static void step_down(void *context)
{
    struct backend *backend = context;
    struct api_lab_change *change = &backend->lab_change;
    change->result = lab_state_leave(backend->lab, NULL, &change->error);
    if (!change->result)
        step_change(backend);
    if (!change->result)
        captures_end(backend->captures);
}

static void step_remove(void *context)
{
    struct backend *backend = context;
    struct api_lab_change *change = &backend->lab_change;
    change->result = lab_state_leave(backend->lab, change->name, &change->error);
    if (!change->result)
        step_change(backend);
}

static void step_describe_node(void *context)
{
    struct backend *backend = context;
    struct api_lab_change *change = &backend->lab_change;
    lab_state_describe_node(backend->lab, change->member.name, &change->node);
}

/* A gateway that has ended makes room for another one. */
static void step_look_for_gateway(void *context)
{
    struct backend *backend = context;
    backend->lab_has_gateway = lab_state_is_running(backend->lab, LAB_GATEWAY);
    backend->lab_change.result = 0;
    if (backend->lab_has_gateway || !lab_state_has(backend->lab, LAB_GATEWAY))
        return;
    snprintf(backend->lab_change.name, sizeof(backend->lab_change.name), "%s", LAB_GATEWAY);
    step_remove(backend);
}

static void step_note_port(void *context)
{
    struct backend *backend = context;
    lab_state_note_port(backend->lab, &backend->lab_change.port);
}

static void step_forget_port(void *context)
{
    struct backend *backend = context;
    lab_state_forget_port(backend->lab, backend->lab_change.port.listen);
}

static void step_end(void *context)
{
    ((struct backend *)context)->lab_event = API_LAB_ENDED;
}

/* A node that has ended: its port must not be looked at any more. */
static void step_news(void *context)
{
    struct backend *backend = context;
    lab_state_end_node(backend->lab, backend->lab_ended_node, backend->lab_news,
                       sizeof(backend->lab_news));
    log_warn("%s", backend->lab_news);
    backend_republish(backend);
    lab_state_bury(backend->lab);
    backend->lab_event = API_LAB_NEWS;
}

/* --- work: on the lab's thread --- */

/* Has the step done. Returns what the change has come to. */
static int ask(struct backend *backend, lab_thread_function step)
{
    struct api_lab_change *change = &backend->lab_change;
    if (!lab_thread_ask(backend->lab_thread, step, backend))
        change->result = error_set(&change->error, -ECANCELED, "severd ends");
    return change->result;
}

static bool goes_on(void *context)
{
    return lab_thread_goes_on(((const struct backend *)context)->lab_thread);
}

static void work_watch(void *context);

/* What every work does at its end. */
static void settle(struct backend *backend)
{
    lab_state_release(backend->lab);
    lab_thread_watch(backend->lab_thread, lab_state_poll_fd(backend->lab), work_watch, backend);
}

static void work_watch(void *context)
{
    struct backend *backend = context;
    const char *name;
    while (goes_on(backend) && (name = lab_state_check_nodes(backend->lab))) {
        backend->lab_ended_node = name;
        if (lab_thread_ask(backend->lab_thread, step_news, backend))
            lab_state_release(backend->lab);
    }
    settle(backend);
}

static void work_up(struct backend *backend)
{
    struct api_lab_change *change = &backend->lab_change;
    change->result =
        lab_state_start(backend->lab, &change->wanted, goes_on, backend, &change->error);
    if (!change->result && !ask(backend, step_change))
        log_info("lab of %zu node%s up", change->wanted.node_count,
                 change->wanted.node_count == 1 ? "" : "s");
}

static void join(struct backend *backend, const struct wire_lab_member *member)
{
    struct api_lab_change *change = &backend->lab_change;
    change->result = lab_state_make(backend->lab, member, &change->error);
    if (!change->result)
        ask(backend, step_change);
    lab_state_release(backend->lab);
}

/* The gateway comes with the first port. When that can't be had it goes again. */
static void work_add_port(struct backend *backend)
{
    static const struct wire_lab_member gateway = {.name = LAB_GATEWAY,
                                                   .kind = RULESET_NODE_CLIENT};
    struct api_lab_change *change = &backend->lab_change;
    if (ask(backend, step_look_for_gateway))
        return;
    bool needed = !backend->lab_has_gateway;
    lab_state_release(backend->lab);
    if (needed)
        join(backend, &gateway);
    if (change->result)
        return;
    struct error error = {0};
    int result = lab_state_open_port(backend->lab, &change->port, &error);
    if (!result) {
        ask(backend, step_note_port);
        return;
    }
    snprintf(change->name, sizeof(change->name), "%s", LAB_GATEWAY);
    if (needed)
        ask(backend, step_remove);
    change->result = result;
    change->error = error;
}

static void work_remove_port(struct backend *backend)
{
    struct api_lab_change *change = &backend->lab_change;
    change->result = lab_state_close_port(backend->lab, change->port.listen, &change->error);
    if (!change->result)
        ask(backend, step_forget_port);
}

static void work_change(void *context)
{
    struct backend *backend = context;
    struct api_lab_change *change = &backend->lab_change;
    switch (change->verb) {
    case API_LAB_UP:
        work_up(backend);
        break;
    case API_LAB_DOWN:
        ask(backend, step_down);
        break;
    case API_LAB_ADD_NODE:
        join(backend, &change->member);
        if (!change->result)
            ask(backend, step_describe_node);
        break;
    case API_LAB_REMOVE_NODE:
        ask(backend, step_remove);
        break;
    case API_LAB_ADD_PORT:
        work_add_port(backend);
        break;
    case API_LAB_REMOVE_PORT:
        work_remove_port(backend);
        break;
    }
    settle(backend);
    if (!change->result && change->verb == API_LAB_DOWN)
        log_info("lab down");
    lab_thread_ask(backend->lab_thread, step_end, backend);
}

/* --- the API --- */

/* What can be told without asking the keeper. */
static int check(const struct backend *backend, const struct api_lab_change *change,
                 struct error *error)
{
    switch (change->verb) {
    case API_LAB_UP:
        return lab_state_may_start(backend->lab, error);
    case API_LAB_ADD_NODE:
        return lab_state_may_join(backend->lab, change->member.name, error);
    case API_LAB_ADD_PORT:
        return lab_state_may_lead(backend->lab, change->port.node, error);
    case API_LAB_REMOVE_PORT:
        return lab_state_may_close(backend->lab, change->port.listen, error);
    default: /* is told by the first step */
        return 0;
    }
}

static int begin(void *context, const struct api_lab_change *change, struct error *error)
{
    struct backend *backend = context;
    int result = check(backend, change, error);
    if (result)
        return result;
    backend->lab_change = *change;
    backend->lab_change.result = 0;
    backend->lab_change.error = (struct error){0};
    lab_thread_begin(backend->lab_thread, work_change, backend);
    return 0;
}

static int poll_fd(void *context)
{
    return lab_thread_fd(((const struct backend *)context)->lab_thread);
}

static bool waits(void *context)
{
    return lab_thread_waits(((const struct backend *)context)->lab_thread);
}

static enum api_lab_event step(void *context, char text[API_NEWS_MAX])
{
    struct backend *backend = context;
    backend->lab_event = API_LAB_STEP;
    if (!lab_thread_serve(backend->lab_thread))
        return API_LAB_NOTHING;
    snprintf(text, API_NEWS_MAX, "%s", backend->lab_news);
    return backend->lab_event;
}

static const struct api_lab_change *ended(void *context)
{
    return &((const struct backend *)context)->lab_change;
}

static int connections(void *context, struct wire_lab_connection *list, size_t *count, size_t *more,
                       struct error *error)
{
    const struct backend *backend = context;
    return lab_state_connections(backend->lab, backend->plan, list, count, more, error);
}

struct api_lab backend_lab_api(void)
{
    return (struct api_lab){
        .get = get,
        .has_node = has_node,
        .begin = begin,
        .poll_fd = poll_fd,
        .waits = waits,
        .step = step,
        .ended = ended,
        .connections = connections,
    };
}

/* --- its life --- */

int backend_lab_create(struct backend *backend, struct error *error)
{
    backend->lab = lab_state_create();
    return lab_thread_create(&backend->lab_thread, error);
}

void backend_lab_settle(struct backend *backend)
{
    if (backend->lab_thread)
        lab_thread_settle(backend->lab_thread);
}

static void work_destroy(void *context)
{
    lab_state_destroy(((const struct backend *)context)->lab);
}

void backend_lab_destroy(struct backend *backend)
{
    if (backend->lab_thread)
        lab_thread_destroy(backend->lab_thread, work_destroy, backend);
    else if (backend->lab)
        lab_state_destroy(backend->lab);
}
