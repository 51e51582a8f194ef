/* Theory of operation
 *
 * The plane's memory is fixed at creation: the table of connections, two pipelines for each (pages
 * untouched until a fault is met), a listener for every route slot. Bytes in flight live in the
 * worker's pool.
 *
 * Taking over a plan visits every live connection once: its links are looked up again, its cuts and
 * faults set, what may go is written. A connection that the visit ends is taken off the live list,
 * so the walk keeps the next one in hand; no visit ends another connection than its own.
 *
 * Accepting stops (on all listeners) when the table is full or descriptors run out, and goes on
 * when a connection ends; the kernel's backlog pushes back meanwhile. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/log.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/io/socket.h"
#include "proxy/stream/internal.h"

enum { DEFAULT_CONNECTIONS = 8192 };
#define DEFAULT_FLOW_BYTES (UINT64_C(16) << 20)
#define ACCEPT_RETRY_NS (100 * NS_PER_MS)
#define STARVED_RETRY_NS (10 * NS_PER_MS) /* memory may come back from another plane, too */

static void starved_on_timer(struct loop_timer *timer);
static void accept_on_timer(struct loop_timer *timer);

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
    plane->flow_bytes_max = options->flow_bytes_max ? options->flow_bytes_max : DEFAULT_FLOW_BYTES;
    plane->connections_max = count;
    plane->starved_timer.fn = starved_on_timer;
    plane->accept_timer.fn = accept_on_timer;
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

void stream_plane_feed_starved(struct stream_plane *plane)
{
    uint64_t now_ns = loop_now_ns(plane->loop);
    if (!plane->starved_timer.loop || plane->starved_timer.due_ns > now_ns + 1)
        loop_timer_set(plane->loop, &plane->starved_timer, now_ns);
}

static void set_accepting(struct stream_plane *plane, bool accepting)
{
    plane->accept_paused = !accepting;
    for (uint32_t i = 0; i < plane->listeners_end; i++)
        if (plane->listeners[i].watch.loop)
            loop_watch_modify(&plane->listeners[i].watch, accepting ? EPOLLIN : 0u);
}

void stream_plane_resume_accept(struct stream_plane *plane)
{
    loop_timer_cancel(&plane->accept_timer);
    set_accepting(plane, true);
}

static void accept_on_timer(struct loop_timer *timer)
{
    stream_plane_resume_accept(loop_container(timer, struct stream_plane, accept_timer));
}

static void listener_on_event(struct loop_watch *watch, uint32_t events)
{
    struct stream_listener *listener = loop_container(watch, struct stream_listener, watch);
    struct stream_plane *plane = listener->plane;
    (void)events;
    for (int i = 0; i < STREAM_ACCEPTS; i++) {
        struct address peer = {0};
        if (!plane->free) {
            set_accepting(plane, false);
            return;
        }
        int fd = socket_accept(watch->fd, &peer);
        if (fd >= 0) {
            stream_connection_begin(listener, fd, &peer);
        } else if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
            log_warn("accept: %s; trying again when a connection ends", strerror(-fd));
            set_accepting(plane, false);
            loop_timer_set(plane->loop, &plane->accept_timer,
                           loop_now_ns(plane->loop) + ACCEPT_RETRY_NS);
            return;
        } else if (fd == -EAGAIN) {
            return;
        } /* else: that connection was gone before it was accepted */
    }
}

static void listener_open(struct stream_plane *plane, const struct route_spec *spec)
{
    struct stream_listener *listener = &plane->listeners[spec->slot];
    memset(listener, 0, sizeof(*listener));
    listener->plane = plane;
    listener->spec = spec;
    listener->serial = spec->serial;
    listener->seen = true;
    if (spec->slot >= plane->listeners_end)
        plane->listeners_end = spec->slot + 1u;
    int result = loop_watch_add(plane->loop, &listener->watch, spec->fd,
                                plane->accept_paused ? 0u : EPOLLIN, listener_on_event);
    if (result)
        log_error("cannot watch the listener of route slot %u: %s", spec->slot, strerror(-result));
}

/* Gone and changed listeners close before new ones open: the new may have the same descriptor. */
static void apply_listeners(struct stream_plane *plane, const struct route_table *table)
{
    for (uint32_t i = 0; i < plane->listeners_end; i++)
        plane->listeners[i].seen = false;
    for (size_t i = 0; i < table->route_count; i++) {
        const struct route_spec *spec = &table->routes[i];
        struct stream_listener *listener = &plane->listeners[spec->slot];
        assert(spec->slot < ROUTE_SLOTS_MAX);
        if (listener->spec && listener->serial == spec->serial) {
            listener->seen = true;
            listener->spec = spec;
        }
    }
    for (uint32_t i = 0; i < plane->listeners_end; i++)
        if (plane->listeners[i].spec && !plane->listeners[i].seen) {
            loop_watch_remove(&plane->listeners[i].watch);
            plane->listeners[i].spec = NULL;
        }
    for (size_t i = 0; i < table->route_count; i++)
        if (!plane->listeners[table->routes[i].slot].spec)
            listener_open(plane, &table->routes[i]);
}

void stream_plane_apply(struct stream_plane *plane, const struct fault_plan *plan,
                        const struct route_table *table)
{
    struct stream_connection *next;
    plane->plan = plan;
    plane->table = table;
    apply_listeners(plane, table);
    for (struct stream_connection *connection = plane->live; connection; connection = next) {
        next = connection->next;
        const struct stream_listener *listener = connection->listener;
        if (listener->spec && listener->serial == connection->serial)
            stream_connection_apply(connection);
        else
            stream_connection_end(connection, true);
    }
}
