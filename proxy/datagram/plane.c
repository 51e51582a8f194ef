/* Theory of operation
 *
 * A listener's datagrams are read in batches; runs of the same sender are handed to its session's
 * upstream flow as one batch. A sender without a session gets one, unless its link is cut: then the
 * datagram is dropped and the table is not used up by the unreachable.
 *
 * A cut may be over before anybody has looked at what arrived during it. So before a plan that
 * heals a link comes in force, what has come over that link, and waits in a socket, is read and
 * judged by the plan before it; no more than is there by then, however fast its senders are.
 *
 * One timer looks at the least recently used session. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/log.h"
#include "proxy/base/monotonic.h"
#include "proxy/datagram/internal.h"
#include "proxy/io/socket.h"

enum { DEFAULT_SESSIONS = 8192 };
#define DEFAULT_IDLE_NS (60 * NS_PER_S)
#define WATCH_RETRY_NS (100 * NS_PER_MS)
#define DEFAULT_FLOW_BYTES (UINT64_C(16) << 20)

static void idle_on_timer(struct loop_timer *timer);
static void watch_on_timer(struct loop_timer *timer);

static bool allocate_tables(struct datagram_plane *plane, uint32_t count)
{
    uint32_t buckets = 1;
    while (buckets < count)
        buckets *= 2;
    plane->bucket_mask = buckets - 1;
    plane->buckets = calloc(buckets, sizeof(struct datagram_session *));
    plane->sessions = calloc(count, sizeof(*plane->sessions));
    plane->pipelines = calloc(2 * (size_t)count, sizeof(*plane->pipelines));
    plane->listeners = calloc(ROUTE_SLOTS_MAX, sizeof(*plane->listeners));
    plane->buffers = calloc(DATAGRAM_BATCH, sizeof(*plane->buffers));
    return plane->buckets && plane->sessions && plane->pipelines && plane->listeners &&
           plane->buffers;
}

int datagram_plane_create(const struct datagram_options *options, struct datagram_plane **out,
                          struct error *error)
{
    uint32_t count = options->sessions_max ? options->sessions_max : DEFAULT_SESSIONS;
    struct datagram_plane *plane = calloc(1, sizeof(*plane));
    if (plane)
        plane->unreachable = (struct unreachable){-1, -1};
    if (!plane || !allocate_tables(plane, count)) {
        datagram_plane_destroy(plane);
        return error_set(error, -ENOMEM, "no memory for a table of %u sessions", count);
    }
    plane->loop = options->loop;
    plane->pool = options->pool;
    plane->counters = options->counters;
    plane->resolver = options->resolver;
    plane->descriptors = options->descriptors;
    plane->states = options->states;
    plane->idle_ns = options->idle_ns ? options->idle_ns : DEFAULT_IDLE_NS;
    plane->flow_bytes_max = options->flow_bytes_max ? options->flow_bytes_max : DEFAULT_FLOW_BYTES;
    plane->idle_timer.fn = idle_on_timer;
    plane->watch_timer.fn = watch_on_timer;
    unreachable_open(&plane->unreachable);
    datagram_receive_prepare(plane);
    plane->free_count = count;
    for (uint32_t i = count; i-- > 0;) {
        plane->sessions[i].next = plane->free;
        plane->free = &plane->sessions[i];
    }
    *out = plane;
    return 0;
}

void datagram_plane_destroy(struct datagram_plane *plane)
{
    if (!plane)
        return;
    while (plane->newest)
        datagram_session_end(plane->newest);
    for (uint32_t i = 0; i < plane->listeners_end; i++)
        loop_watch_remove(&plane->listeners[i].watch);
    loop_timer_cancel(&plane->idle_timer);
    loop_timer_cancel(&plane->watch_timer);
    unreachable_close(&plane->unreachable);
    free(plane->buckets);
    free(plane->sessions);
    free(plane->pipelines);
    free(plane->listeners);
    free(plane->buffers);
    free(plane);
}

bool datagram_can_refuse(void)
{
    struct unreachable trial;
    unreachable_open(&trial);
    bool works = unreachable_works(&trial);
    unreachable_close(&trial);
    return works;
}

uint64_t datagram_plane_open(const struct datagram_plane *plane)
{
    return atomic_load_explicit(&plane->open_count, memory_order_relaxed);
}

uint64_t datagram_plane_total(const struct datagram_plane *plane)
{
    return atomic_load_explicit(&plane->total_count, memory_order_relaxed);
}

static void idle_on_timer(struct loop_timer *timer)
{
    struct datagram_plane *plane = loop_container(timer, struct datagram_plane, idle_timer);
    uint64_t now_ns = loop_now_ns(plane->loop);
    while (plane->oldest && plane->oldest->used_ns + plane->idle_ns <= now_ns) {
        struct datagram_session *session = plane->oldest;
        if (datagram_flow_is_busy(&session->flows[DATAGRAM_UP]) ||
            datagram_flow_is_busy(&session->flows[DATAGRAM_DOWN]))
            datagram_session_touch(session);
        else
            datagram_session_end(session);
    }
    if (plane->oldest)
        loop_timer_set(plane->loop, timer, plane->oldest->used_ns + plane->idle_ns);
}

void datagram_count_received(struct datagram_plane *plane, uint16_t route_slot, int direction,
                             const struct datagram_view *views, unsigned count)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < count; i++)
        bytes += views[i].length;
    fault_counter_add(&plane->counters->routes[route_slot].received[direction], bytes);
}

/* For the datagrams from begin to end, whose sender has no session yet. NULL: they are dropped and
 * counted. */
static struct datagram_session *open_session(struct datagram_listener *listener, unsigned begin,
                                             unsigned end)
{
    struct datagram_plane *plane = listener->plane;
    const struct route_spec *spec = listener->spec;
    const struct address *peer = &plane->peers[begin];
    uint16_t from = spec->from_peer ? route_find_source(plane->table, peer) : spec->from;
    bool cut = fault_plan_is_cut(plane->plan, from, spec->to);
    struct datagram_session *session =
        cut ? NULL : datagram_session_begin(listener, peer, &plane->locals[begin]);
    if (session)
        return session;
    uint64_t datagrams = 0;
    for (unsigned i = begin; i < end; i++)
        datagrams += datagram_view_count(&plane->views[i]);
    fault_counter_add(&fault_counters_link(plane->counters, from, spec->to)
                           ->dropped[cut ? FAULT_CAUSE_CUT : FAULT_CAUSE_QUEUE],
                      datagrams);
    return NULL;
}

static bool same_address(const struct address *a, const struct address *b)
{
    return a->length == b->length && memcmp(&a->storage, &b->storage, a->length) == 0;
}

/* Hands the views from begin to end, which are of one sender and one local address, to their
 * session. */
static void listener_take(struct datagram_listener *listener, unsigned begin, unsigned end)
{
    struct datagram_plane *plane = listener->plane;
    struct datagram_session *session = datagram_session_find(listener, &plane->peers[begin]);
    if (!session)
        session = open_session(listener, begin, end);
    if (!session)
        return;
    if (!same_address(&session->local, &plane->locals[begin]))
        session->local = plane->locals[begin];
    datagram_flow_take(&session->flows[DATAGRAM_UP], plane->views + begin, end - begin);
}

/* One batch from clients; how many. */
static unsigned listener_read(void *context)
{
    struct datagram_listener *listener = context;
    struct datagram_plane *plane = listener->plane;
    const struct route_spec *spec = listener->spec;
    uint32_t lost;
    unsigned count = datagram_receive(plane, spec->fd, &listener->overflowed, &lost);
    if (lost) /* nobody knows whose they were */
        fault_counter_add(
            &fault_counters_link(plane->counters, spec->from, spec->to)->dropped[FAULT_CAUSE_QUEUE],
            lost);
    datagram_count_received(plane, listener->spec->slot, DATAGRAM_UP, plane->views, count);
    for (unsigned begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; end < count; end++)
            if (!same_address(&plane->peers[begin], &plane->peers[end]) ||
                !same_address(&plane->locals[begin], &plane->locals[end]))
                break;
        listener_take(listener, begin, end);
    }
    return count;
}

static void listener_on_event(struct loop_watch *watch, uint32_t events)
{
    (void)events;
    if (listener_read(loop_container(watch, struct datagram_listener, watch)) == 0)
        socket_take_error(watch->fd); /* an ICMP error of an answer: not to spin on it */
}

static void listener_watch(struct datagram_listener *listener)
{
    struct datagram_plane *plane = listener->plane;
    int result = loop_watch_add(plane->loop, &listener->watch, listener->spec->fd, EPOLLIN,
                                listener_on_event);
    if (result == 0)
        return;
    log_warn("cannot watch the socket of route slot %u: %s; trying again", listener->spec->slot,
             strerror(-result));
    loop_timer_set(plane->loop, &plane->watch_timer, loop_now_ns(plane->loop) + WATCH_RETRY_NS);
}

static void watch_on_timer(struct loop_timer *timer)
{
    struct datagram_plane *plane = loop_container(timer, struct datagram_plane, watch_timer);
    for (uint32_t i = 0; i < plane->listeners_end; i++)
        if (plane->listeners[i].spec && !plane->listeners[i].watch.loop)
            listener_watch(&plane->listeners[i]);
}

static void listener_open(struct datagram_plane *plane, const struct route_spec *spec)
{
    struct datagram_listener *listener = &plane->listeners[spec->slot];
    uint32_t session_count = listener->session_count; /* of the route before, until they end */
    memset(listener, 0, sizeof(*listener));
    listener->session_count = session_count;
    listener->plane = plane;
    listener->spec = spec;
    listener->serial = spec->serial;
    listener->seen = true;
    if (spec->slot >= plane->listeners_end)
        plane->listeners_end = spec->slot + 1u;
    listener->bound.length = sizeof(listener->bound.storage);
    if (getsockname(spec->fd, (struct sockaddr *)&listener->bound.storage, &listener->bound.length))
        listener->bound.length = 0;
    datagram_socket_prepare(spec->fd, &listener->bound);
    listener->overflowed = datagram_socket_overflowed(spec->fd);
    listener_watch(listener);
}

static void apply_listeners(struct datagram_plane *plane, const struct route_table *table)
{
    for (uint32_t i = 0; i < plane->listeners_end; i++)
        plane->listeners[i].seen = false;
    for (size_t i = 0; i < table->route_count; i++) {
        const struct route_spec *spec = &table->routes[i];
        struct datagram_listener *listener = &plane->listeners[spec->slot];
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

bool datagram_plane_heals(const struct datagram_plane *plane, const struct datagram_change *change,
                          uint16_t from, uint16_t to)
{
    return fault_plan_is_cut(plane->plan, from, to) &&
           (!fault_plan_is_cut(change->plan, from, to) ||
            plane->table->sources_serial != change->table->sources_serial);
}

void datagram_plane_drain(int fd, unsigned (*read)(void *context), void *context)
{
    uint32_t most = datagram_socket_waiting(fd);
    unsigned empty = 0; /* an ICMP error makes a socket look empty once */
    for (uint32_t taken = 0; taken < most && empty < 2;) {
        unsigned count = read(context);
        empty = count ? 0 : empty + 1;
        taken += count;
    }
}

static bool heals_clients(const struct datagram_listener *listener,
                          const struct datagram_change *change)
{
    const struct route_spec *spec = listener->spec;
    if (!spec->from_peer)
        return datagram_plane_heals(listener->plane, change, spec->from, spec->to);
    for (int from = 0; from < ROUTE_NODE_SLOTS; from++)
        if (datagram_plane_heals(listener->plane, change, (uint16_t)from, spec->to))
            return true;
    return false;
}

/* While the old plan is still in force: what has arrived over links that the new one heals. */
static void drain_healed(struct datagram_plane *plane, const struct datagram_change *change)
{
    if (!plane->plan || !fault_plan_has_cuts(plane->plan))
        return;
    for (uint32_t i = 0; i < plane->listeners_end; i++) {
        struct datagram_listener *listener = &plane->listeners[i];
        if (listener->spec && heals_clients(listener, change))
            datagram_plane_drain(listener->spec->fd, listener_read, listener);
    }
    for (struct datagram_session *session = plane->newest, *older; session; session = older) {
        older = session->older; /* before what is read moves it to the front */
        if (session->listener->spec && session->listener->serial == session->serial)
            datagram_session_drain(session, change);
    }
}

void datagram_plane_apply(struct datagram_plane *plane, const struct fault_plan *plan,
                          const struct match_set *matches, const struct route_table *table)
{
    drain_healed(plane, &(struct datagram_change){plan, table});
    plane->plan = plan;
    plane->matches = matches;
    plane->table = table;
    apply_listeners(plane, table);
    for (struct datagram_session *session = plane->newest, *older; session; session = older) {
        older = session->older; /* before a delivery moves it to the front */
        const struct datagram_listener *listener = session->listener;
        if (listener->spec && listener->serial == session->serial)
            datagram_session_apply(session);
        else
            datagram_session_end(session);
    }
}
