/* Theory of operation
 *
 * The plane's memory is fixed at creation: the table of connections, two pipelines for each (pages
 * untouched until a fault is met), a listener for every route slot. Bytes in flight live in the
 * worker's pool.
 *
 * Taking over a plan visits every live connection once: its links are looked up again, its cuts and
 * faults set; what may go then is left to the flows' timers. A connection that the visit ends is
 * taken off the live list, so the walk keeps the next one in hand; no visit ends another connection
 * than its own.
 *
 * Flows that wait for memory are on a list, which is tried again when a block comes back. */
#include <errno.h>
#include <stdlib.h>

#include "proxy/base/monotonic.h"
#include "proxy/stream/internal.h"

enum { DEFAULT_CONNECTIONS = 8192 };
#define STARVED_RETRY_NS (10 * NS_PER_MS) /* memory may come back from another plane, too */

static void starved_on_timer(struct loop_timer *timer);

int stream_plane_create(const struct stream_options *options, struct stream_plane **out,
                        struct error *error)
{
    uint32_t count = options->connections_max ? options->connections_max : DEFAULT_CONNECTIONS;
    struct stream_plane *plane = calloc(1, sizeof(*plane));
    if (!plane)
        return error_set(error, -ENOMEM, "no memory for the stream plane");
    plane->loop = options->loop;
    plane->pool = options->pool;
    plane->counters = options->counters;
    plane->descriptors = options->descriptors;
    plane->states = options->states;
    plane->resolver = options->resolver;
    plane->flow_bytes_max =
        options->flow_bytes_max ? options->flow_bytes_max : pool_limit_bytes(options->pool) / 2;
    plane->connections_max = count;
    plane->starved_timer.fn = starved_on_timer;
    plane->accept_timer.fn = stream_plane_on_accept_timer;
    stream_conduits_create(plane, options->copy_only);
    plane->connections = calloc(count, sizeof(*plane->connections));
    plane->pipelines = calloc(2 * (size_t)count, sizeof(*plane->pipelines));
    plane->listeners = calloc(ROUTE_SLOTS_MAX, sizeof(*plane->listeners));
    if (!plane->connections || !plane->pipelines || !plane->listeners) {
        stream_plane_destroy(plane);
        return error_set(error, -ENOMEM, "no memory for a table of %u connections", count);
    }
    for (uint32_t i = count; i-- > 0;) {
        plane->connections[i].next = plane->free;
        plane->free = &plane->connections[i];
    }
    if (options->filters && !(plane->filters = stream_filters_create(plane))) {
        stream_plane_destroy(plane);
        return error_set(error, -ENOMEM, "no memory for socket filters");
    }
    *out = plane;
    return 0;
}

void stream_plane_destroy(struct stream_plane *plane)
{
    if (!plane)
        return;
    plane->accept_paused = false;
    while (plane->live)
        stream_connection_end(plane->live, true);
    for (uint32_t i = 0; i < plane->listeners_end; i++)
        loop_watch_remove(&plane->listeners[i].watch);
    loop_timer_cancel(&plane->starved_timer);
    loop_timer_cancel(&plane->accept_timer);
    stream_filters_destroy(plane->filters);
    stream_conduits_destroy(plane);
    free(plane->connections);
    free(plane->pipelines);
    free(plane->listeners);
    free(plane);
}

uint64_t stream_plane_open(const struct stream_plane *plane)
{
    return atomic_load_explicit(&plane->open_count, memory_order_relaxed);
}

uint64_t stream_plane_total(const struct stream_plane *plane)
{
    return atomic_load_explicit(&plane->total_count, memory_order_relaxed);
}

/* Each starved flow is tried again; one that still finds no memory is back on the list. */
static void starved_on_timer(struct loop_timer *timer)
{
    struct stream_plane *plane = loop_container(timer, struct stream_plane, starved_timer);
    struct stream_flow *flow = plane->starved;
    plane->starved = NULL;
    while (flow) {
        struct stream_flow *next = flow->starved_next;
        flow->starved = false;
        stream_connection_update(flow->connection); /* level-triggered: it is read next turn */
        flow = next;
    }
}

void stream_plane_starve(struct stream_plane *plane, struct stream_flow *flow)
{
    flow->starved = true;
    flow->starved_next = plane->starved;
    plane->starved = flow;
    if (!plane->starved_timer.loop)
        loop_timer_set(plane->loop, &plane->starved_timer,
                       loop_now_ns(plane->loop) + STARVED_RETRY_NS);
}

void stream_plane_leave_starved(struct stream_plane *plane, struct stream_flow *flow)
{
    struct stream_flow **link = &plane->starved;
    if (!flow->starved)
        return;
    while (*link != flow)
        link = &(*link)->starved_next;
    *link = flow->starved_next;
    flow->starved = false;
}

void stream_plane_feed_starved(struct stream_plane *plane)
{
    uint64_t now_ns = loop_now_ns(plane->loop);
    if (!plane->starved_timer.loop || plane->starved_timer.due_ns > now_ns + 1)
        loop_timer_set(plane->loop, &plane->starved_timer, now_ns);
}

void stream_plane_apply(struct stream_plane *plane, const struct fault_plan *plan,
                        const struct route_table *table)
{
    struct stream_connection *next;
    stream_listeners_leave_plan(plane);
    plane->plan = plan;
    plane->table = table;
    stream_listeners_apply(plane);
    for (struct stream_connection *connection = plane->live; connection; connection = next) {
        next = connection->next;
        const struct stream_listener *listener = connection->listener;
        if (listener->spec && listener->serial == connection->serial)
            stream_connection_apply(connection);
        else
            stream_connection_end(connection, true);
    }
}
