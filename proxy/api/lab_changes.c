/* Theory of operation: lab_changes.h. What a step of the lab has changed in the ruleset is told as
 * of any other change; a step is small, but the ruleset may move on between two of them. A request
 * whose peer has gone is seen through all the same: nobody could tell what it has left. */
#include "proxy/api/lab_changes.h"

#include <errno.h>
#include <stdio.h>

#include "proxy/api/internal.h"
#include "proxy/fault/ruleset.h"

static const struct ruleset *current(const struct api *api)
{
    return api->backend.current(api->backend.context);
}

static struct api_lab_wait *next_of(const struct api_lab_wait *wait)
{
    return (struct api_lab_wait *)wait->wait.next; /* its first member */
}

/* What is the lab's alone; changes of nodes are told as changes of the ruleset. */
static void tell_ended(struct api *api, const struct api_lab_change *change)
{
    char text[API_NEWS_MAX] = "";
    const struct wire_lab_port *port = &change->port;
    size_t count = change->wanted.node_count;
    if (change->result)
        return;
    if (change->verb == API_LAB_UP)
        snprintf(text, sizeof(text), "lab of %zu node%s up", count, count == 1 ? "" : "s");
    else if (change->verb == API_LAB_DOWN)
        snprintf(text, sizeof(text), "lab down");
    else if (change->verb == API_LAB_ADD_PORT)
        snprintf(text, sizeof(text), "%s leads to %s port %u", port->listen, port->node,
                 port->port);
    else if (change->verb == API_LAB_REMOVE_PORT)
        snprintf(text, sizeof(text), "%s leads nowhere any more", port->listen);
    if (text[0])
        api_listeners_tell_lab(&api->listeners, current(api)->version, change->by, text);
}

/* The first one has ended. */
static void finish(struct api *api)
{
    struct api_lab_wait *first = api->lab_changes.first;
    api->lab_changes.first = next_of(first);
    tell_ended(api, &first->change);
    api_wait_end(api, &first->wait);
}

/* Something that may change the ruleset: tells of it when it has. */
struct change {
    struct ruleset before;
    char by[RULESET_NAME_MAX];
};

static void note_before(struct change *change, const struct api *api)
{
    const struct api_lab_wait *wait = api->lab_changes.first;
    ruleset_copy(&change->before, current(api));
    snprintf(change->by, sizeof(change->by), "%s", wait ? wait->change.by : "severd");
}

static void note_after(struct change *change, struct api *api)
{
    if (current(api)->version != change->before.version)
        api_note_change(api, &change->before, current(api), change->by);
    ruleset_free(&change->before);
}

/* Begins the first one, and those behind it when it ends at once. */
static void begin(struct api *api)
{
    int result = -EINVAL;
    while (result && api->lab_changes.first) {
        struct api_lab_change *wanted = &api->lab_changes.first->change;
        struct change change;
        note_before(&change, api);
        result = api->backend.lab.begin(api->backend.context, wanted, &wanted->error);
        note_after(&change, api);
        wanted->result = result;
        if (result)
            finish(api);
    }
}

bool api_lab_changes_submit(struct api *api, struct api_lab_wait *wait)
{
    struct api_lab_changes *changes = &api->lab_changes;
    bool alone = !changes->first;
    if (alone)
        changes->first = wait;
    else
        changes->last->wait.next = &wait->wait;
    changes->last = wait;
    if (alone) {
        begin(api);
        api_lab_changes_run(api);
    }
    return !api_wait_begin(&wait->wait);
}

void api_lab_changes_run(struct api *api)
{
    const struct api_lab *lab = &api->backend.lab;
    void *context = api->backend.context;
    while (lab->waits(context)) {
        struct change change;
        char news[API_NEWS_MAX];
        note_before(&change, api);
        enum api_lab_event event = lab->step(context, news);
        note_after(&change, api);
        if (event == API_LAB_NEWS) {
            api_listeners_tell_lab(&api->listeners, current(api)->version, "severd", news);
        } else if (event == API_LAB_ENDED && api->lab_changes.first) {
            api->lab_changes.first->change = *lab->ended(context);
            finish(api);
            begin(api);
        }
    }
}

void api_lab_changes_close(struct api *api)
{
    while (api->lab_changes.first) {
        struct api_lab_change *change = &api->lab_changes.first->change;
        change->result = error_set(&change->error, -EBUSY, "severd ends");
        finish(api);
    }
}
