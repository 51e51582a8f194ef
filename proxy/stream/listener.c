/* Listening sockets of a plane's routes.
 *
 * Accepting stops (on all listeners) when the table is full or descriptors run out, and goes on
 * when a connection ends; the kernel's backlog pushes back meanwhile. Some descriptors are left to
 * others, above all to the control API: the number of an accepted one, which is the lowest that was
 * free, tells how many there are.
 *
 * A listener whose route refuses every connection is shut down: the kernel answers for it, and the
 * port stays its own until it listens again. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/base/log.h"
#include "proxy/base/monotonic.h"
#include "proxy/io/socket.h"
#include "proxy/stream/internal.h"

#define ACCEPT_RETRY_NS (100 * NS_PER_MS)
#define ACCEPT_SAY_NS (10 * NS_PER_S)

static void listener_watch(struct stream_listener *listener);

static void set_accepting(struct stream_plane *plane, bool accepting)
{
    plane->accept_paused = !accepting;
    for (uint32_t i = 0; i < plane->listeners_end; i++) {
        struct stream_listener *listener = &plane->listeners[i];
        if (listener->watch.loop)
            loop_watch_modify(&listener->watch, accepting ? EPOLLIN : 0u);
        else if (accepting && listener->spec && !listener->refusing)
            listener_watch(listener);
    }
}

void stream_plane_resume_accept(struct stream_plane *plane)
{
    loop_timer_cancel(&plane->accept_timer);
    set_accepting(plane, true);
}

/* Clients that have gone while they were held: nothing else would find them before the heal, and
 * while there is room for all that does no harm (one that has only closed its half may still want
 * an answer). */
static void end_held_that_left(struct stream_plane *plane)
{
    struct stream_connection *next;
    for (struct stream_connection *connection = plane->live; connection; connection = next) {
        char byte;
        next = connection->next;
        int fd = connection->ends[STREAM_CLIENT].fd;
        if (connection->state == STREAM_HELD && fd >= 0 &&
            recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
            stream_connection_end(connection, false);
    }
}

void stream_plane_on_accept_timer(struct loop_timer *timer)
{
    struct stream_plane *plane = loop_container(timer, struct stream_plane, accept_timer);
    end_held_that_left(plane);
    stream_plane_resume_accept(plane);
}

/* Until a connection ends, here or elsewhere in the process. */
static void pause_accepting(struct stream_plane *plane, const char *why)
{
    uint64_t now_ns = loop_now_ns(plane->loop);
    if (plane->accept_said_ns == 0 || now_ns - plane->accept_said_ns >= ACCEPT_SAY_NS) {
        log_warn("accept: %s; trying again when a connection ends", why);
        plane->accept_said_ns = now_ns;
    }
    set_accepting(plane, false);
    loop_timer_set(plane->loop, &plane->accept_timer, now_ns + ACCEPT_RETRY_NS);
}

/* For both ends of a connection. Pipes that nobody needs are closed for them. */
static bool take_descriptors(struct stream_plane *plane)
{
    while (!descriptors_take(plane->descriptors, STREAM_ENDS))
        if (!stream_conduits_give_back(plane))
            return false;
    return true;
}

/* True: more may wait. */
static bool listener_accept(struct stream_listener *listener)
{
    struct stream_plane *plane = listener->plane;
    for (int i = 0; i < STREAM_ACCEPTS; i++) {
        struct address peer = {0};
        if (!plane->free) {
            pause_accepting(plane, "the table of connections is full");
            return false;
        }
        if (!take_descriptors(plane)) {
            pause_accepting(plane, "no descriptors are left for connections");
            return false;
        }
        int fd = socket_accept(listener->watch.fd, &peer);
        if (fd >= 0) {
            stream_connection_begin(listener, fd, &peer);
            continue;
        }
        descriptors_give(plane->descriptors, STREAM_ENDS);
        if (fd == -EAGAIN)
            return false;
        bool exhausted = fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM;
        if (exhausted && !stream_conduits_give_back(plane)) {
            pause_accepting(plane, strerror(-fd));
            return false;
        }
        /* else: there is room now; or that connection was gone before it was accepted */
    }
    return true;
}

static void listener_on_event(struct loop_watch *watch, uint32_t events)
{
    (void)events;
    listener_accept(loop_container(watch, struct stream_listener, watch));
}

static void listener_watch(struct stream_listener *listener)
{
    struct stream_plane *plane = listener->plane;
    int result = loop_watch_add(plane->loop, &listener->watch, listener->spec->fd,
                                plane->accept_paused ? 0u : EPOLLIN, listener_on_event);
    if (result) {
        log_warn("cannot watch the listener of route slot %u: %s; trying again",
                 listener->spec->slot, strerror(-result));
        loop_timer_set(plane->loop, &plane->accept_timer,
                       loop_now_ns(plane->loop) + ACCEPT_RETRY_NS);
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
    listener->loss_slot = FAULT_NO_ROUTE;
    listener->tcp = socket_is_tcp(spec->fd);
    if (spec->slot >= plane->listeners_end)
        plane->listeners_end = spec->slot + 1u;
    listener_watch(listener);
}

static void listener_refuse(struct stream_listener *listener)
{
    int result = socket_refuse(listener->spec->fd);
    if (result)
        return;                          /* then each connection is accepted and reset */
    loop_watch_remove(&listener->watch); /* it would report a hang-up in each turn */
    listener->refusing = true;
    listener->small_segments = false; /* the kernel forgets; set again by stream_plane_settle */
    fault_counter_add(&listener->plane->counters->routes[listener->spec->slot].refusing, 1);
}

static void listener_revive(struct stream_listener *listener)
{
    int result = socket_listen_again(listener->spec->fd);
    if (result) {
        log_error("route slot %u cannot listen again: %s; trying at the next change",
                  listener->spec->slot, strerror(-result));
        return;
    }
    listener->refusing = false;
    fault_counter_add(&listener->plane->counters->routes[listener->spec->slot].refusing,
                      (uint64_t)-1);
    listener_watch(listener);
}

/* Whether a reject fault meets all connections of the route for sure: one on the route itself, or
 * on the link when there is only one. What is cut refuses nothing: it answers nothing. */
static bool listener_must_refuse(const struct stream_listener *listener)
{
    const struct fault_plan *plan = listener->plane->plan;
    const struct route_spec *spec = listener->spec;
    struct fault_entry entries[FAULT_CHAIN_MAX];
    uint16_t from = spec->from_peer ? ROUTE_NO_NODE : spec->from;
    if (fault_plan_is_cut(plan, from, spec->to) || fault_plan_is_cut(plan, spec->to, from))
        return false;
    size_t count = fault_plan_chain(plan, from, spec->to, spec->slot, RULESET_UPSTREAM, entries);
    for (size_t i = 0; i < count; i++)
        if (stream_fault_refuses_all(entries[i].spec))
            return true;
    return false;
}

/* What the plan in force does to the listening socket. */
static void listener_apply(struct stream_listener *listener)
{
    bool refuse = listener_must_refuse(listener);
    if (refuse && !listener->refusing)
        listener_refuse(listener);
    else if (!refuse && listener->refusing)
        listener_revive(listener);
}

/* The socket is left as it was found: another route may take it over. */
static void listener_leave(struct stream_listener *listener)
{
    if (listener->refusing)
        listener_revive(listener);
    stream_listener_unfilter(listener);
    stream_listener_unannounce(listener);
    loop_watch_remove(&listener->watch);
    listener->spec = NULL;
}

/* Gone and changed listeners close before new ones open: the new may have the same descriptor. */
static void apply_table(struct stream_plane *plane, const struct route_table *table)
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
        if (plane->listeners[i].spec && !plane->listeners[i].seen)
            listener_leave(&plane->listeners[i]);
    for (size_t i = 0; i < table->route_count; i++)
        if (!plane->listeners[table->routes[i].slot].spec)
            listener_open(plane, &table->routes[i]);
}

/* A client that has connected waits in the kernel until it is accepted. To itself it is on the
 * proxy, under the plan in force: when a timeout goes, that is one more to close. */
static void accept_waiting(struct stream_plane *plane)
{
    for (uint32_t i = 0; i < plane->listeners_end && !plane->accept_paused; i++)
        while (plane->listeners[i].watch.loop && listener_accept(&plane->listeners[i]))
            ;
}

void stream_listeners_leave_plan(struct stream_plane *plane)
{
    if (plane->plan && fault_plan_has_type(plane->plan, RULESET_TIMEOUT))
        accept_waiting(plane);
}

void stream_listeners_apply(struct stream_plane *plane)
{
    apply_table(plane, plane->table);
    for (size_t i = 0; i < plane->table->route_count; i++)
        listener_apply(&plane->listeners[plane->table->routes[i].slot]);
}
