/* Theory of operation
 *
 *   FREE -> HELD -> DIALLING -> OPEN -> FREE
 *             \________\_________\-> CLOSING -> FREE
 *
 * HELD is passed at once unless the link is cut or an accept_delay fault says so; at its end reject
 * faults judge (admission.c). In HELD and DIALLING nothing is read from the client: its bytes, and
 * its FIN, wait in the kernel. A failed dial ends the client. OPEN ends when both directions have
 * delivered their FIN, or when a reset has reached the other side, which may be later than its
 * arrival: until then the connection has one socket (the other end's fd is -1) and the flow towards
 * the lost socket discards. A fault ends a connection by way of CLOSING (close.c), which may take
 * until the heal of its link, or STREAM_LINGER_NS.
 *
 * Watching: a socket is watched level-triggered for what the flows want. One that is not read for
 * now is watched edge-triggered, because errors and hang-ups are always reported and would spin; on
 * a cut link with EPOLLIN too, for the count of held bytes. A socket that is read is left to recv
 * to tell of a reset, so that the bytes before it are relayed first. */
#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "proxy/io/socket.h"
#include "proxy/stream/internal.h"

static void count_up(_Atomic uint64_t *counter, uint64_t amount)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

static struct stream_end *other_end(struct stream_end *end)
{
    return end->in->sink;
}

void stream_connection_update(struct stream_connection *connection)
{
    if (connection->state == STREAM_DIALLING && connection->ends[STREAM_SERVER].watch.loop)
        loop_watch_modify(&connection->ends[STREAM_SERVER].watch, EPOLLOUT);
    for (int i = 0; i < STREAM_ENDS; i++) {
        struct stream_end *end = &connection->ends[i];
        if (!end->watch.loop || (i == STREAM_SERVER && connection->state == STREAM_DIALLING))
            continue;
        if (end->in->ended && end->out->fin_sent) {
            loop_watch_remove(&end->watch); /* nothing more can come or go */
            continue;
        }
        uint32_t events = stream_flow_wants_write(end->out) ? EPOLLOUT : 0u;
        if (stream_flow_wants_read(end->in))
            events |= EPOLLIN;
        else
            events |= (uint32_t)EPOLLET | (end->in->cut && !end->in->ended ? EPOLLIN : 0u);
        loop_watch_modify(&end->watch, events);
    }
}

void stream_end_close(struct stream_end *end, bool reset)
{
    if (end->fd < 0)
        return;
    stream_end_count_dropped(end);
    loop_watch_remove(&end->watch);
    stream_end_unfilter(end);
    if (reset)
        socket_close_reset(end->fd);
    else
        close(end->fd);
    end->fd = -1;
}

void stream_connection_end(struct stream_connection *connection, bool reset)
{
    struct stream_plane *plane = connection->plane;
    assert(connection->state != STREAM_FREE);
    enum fault_cause cause =
        connection->state == STREAM_CLOSING ? FAULT_CAUSE_DISCARD : FAULT_CAUSES;
    loop_timer_cancel(&connection->timer);
    resolver_cancel(&connection->waiter);
    fault_counter_add(&connection->flows[STREAM_UP].route->ended, 1);
    for (int i = 0; i < STREAM_FLOWS; i++)
        stream_flow_discard(&connection->flows[i], cause);
    for (int i = 0; i < STREAM_ENDS; i++)
        stream_end_close(&connection->ends[i], reset);
    connection->state = STREAM_FREE;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        plane->live = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    connection->next = plane->free;
    plane->free = connection;
    count_up(&plane->open_count, (uint64_t)-1);
    descriptors_give(plane->descriptors, STREAM_ENDS);
    if (plane->accept_paused)
        stream_plane_resume_accept(plane);
}

bool stream_end_reset(struct stream_end *end)
{
    struct stream_connection *connection = end->connection;
    stream_end_close(end, false);
    if (connection->state == STREAM_CLOSING) {
        stream_flow_discard(end->out, FAULT_CAUSE_DISCARD);
        end->in->ended = true;
        return stream_connection_settle(connection);
    }
    if (connection->state != STREAM_OPEN || other_end(end)->fd < 0) {
        stream_connection_end(connection, true);
        return false;
    }
    stream_flow_discard(end->out, FAULT_CAUSES);
    stream_flow_push_end(end->in, STREAM_RESET);
    return stream_flow_pump(end->in);
}

bool stream_end_broken(struct stream_end *end)
{
    struct stream_flow *in = end->in;
    int first = end->broken ? STREAM_BROKEN_READS : 0;
    end->broken = true; /* nothing is read for it any more: two that are broken end at that */
    for (int reads = first; reads < STREAM_BROKEN_READS && end->fd >= 0; reads++) {
        if (end->connection->state != STREAM_OPEN || !stream_flow_wants_read(in) ||
            socket_pending_bytes(end->fd) == 0)
            break;
        if (!stream_flow_read(in))
            return false;
    }
    return end->fd < 0 || stream_end_reset(end);
}

static void end_on_event(struct loop_watch *watch, uint32_t events)
{
    struct stream_end *end = loop_container(watch, struct stream_end, watch);
    struct stream_connection *connection = end->connection;
    if (connection->state == STREAM_DIALLING && end == &connection->ends[STREAM_SERVER]) {
        stream_connection_dialled(connection);
        return;
    }
    if ((events & EPOLLERR) && !stream_flow_wants_read(end->in) && socket_take_error(end->fd) < 0) {
        if (stream_end_reset(end))
            stream_connection_update(connection);
        return;
    }
    if (events & EPOLLOUT) {
        end->out->blocked = false;
        if (!stream_flow_pump(end->out))
            return;
    }
    if (end->fd >= 0 && end->in->cut)
        stream_flow_count_held(end->in);
    else if (end->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) &&
             !stream_flow_read(end->in))
        return;
    stream_connection_update(connection);
}

int stream_end_watch(struct stream_end *end, uint32_t events)
{
    socket_set_nodelay(end->fd);
    return loop_watch_add(end->connection->plane->loop, &end->watch, end->fd, events, end_on_event);
}

static void connection_on_timer(struct loop_timer *timer)
{
    struct stream_connection *connection = loop_container(timer, struct stream_connection, timer);
    if (connection->state == STREAM_CLOSING)
        stream_connection_stop_lingering(connection);
    else
        stream_connection_dial(connection);
}

/* Who is dialling: the route says so, or the peer's address. */
static uint16_t connection_from(struct stream_connection *connection)
{
    const struct route_table *table = connection->plane->table;
    const struct route_spec *spec = connection->listener->spec;
    if (!spec->from_peer)
        return spec->from;
    if (connection->sources_serial != table->sources_serial) {
        connection->sources_serial = table->sources_serial;
        connection->node = route_find_source(table, &connection->peer);
    }
    return connection->node;
}

static void connection_apply_flows(struct stream_connection *connection, uint16_t from)
{
    uint16_t to = connection->listener->spec->to;
    stream_flow_apply(&connection->flows[STREAM_UP], from, to);
    stream_flow_apply(&connection->flows[STREAM_DOWN], to, from);
}

/* A flow that is cut by this is still watched as before: its next event finds it cut. */
void stream_connection_apply(struct stream_connection *connection)
{
    connection_apply_flows(connection, connection_from(connection));
    if (connection->waiter.resolver) /* the text that it asks for goes with the table before */
        connection->waiter.name = connection->listener->spec->upstream_name;
    if (connection->state == STREAM_DIALLING)
        stream_connection_put_off(connection);
}

static void connection_init(struct stream_connection *connection, struct stream_listener *listener,
                            const struct address *peer)
{
    struct stream_plane *plane = listener->plane;
    struct stream_end *client = &connection->ends[STREAM_CLIENT];
    struct stream_end *server = &connection->ends[STREAM_SERVER];
    *connection = (struct stream_connection){.plane = plane,
                                             .listener = listener,
                                             .state = STREAM_HELD,
                                             .peer = *peer,
                                             .begun_ns = loop_now_ns(plane->loop),
                                             .begun_version = fault_plan_version(plane->plan),
                                             .timer = {.fn = connection_on_timer}};
    connection->serial = listener->serial;
    connection->sources_serial = plane->table->sources_serial;
    connection->node =
        listener->spec->from_peer ? route_find_source(plane->table, peer) : listener->spec->from;
    uint16_t row = connection->node < ROUTE_NODE_SLOTS ? connection->node : ROUTE_NODE_SLOTS - 1;
    connection->flow_key =
        listener->spec->ordinals
            ? atomic_fetch_add_explicit(&listener->spec->ordinals[row], 1, memory_order_relaxed)
            : listener->ordinals[row]++;
    *client = *server = (struct stream_end){.fd = -1, .connection = connection};
    client->inherited = plane->filters != NULL;
    client->tcp = peer->storage.ss_family != AF_UNIX;
    stream_flow_init(&connection->flows[STREAM_UP], connection, STREAM_UP, client, server);
    stream_flow_init(&connection->flows[STREAM_DOWN], connection, STREAM_DOWN, server, client);
}

void stream_connection_begin(struct stream_listener *listener, int fd, const struct address *peer)
{
    struct stream_plane *plane = listener->plane;
    struct stream_connection *connection = plane->free;
    assert(connection != NULL && connection->state == STREAM_FREE);
    plane->free = connection->next;
    connection_init(connection, listener, peer);
    connection->next = plane->live;
    if (plane->live)
        plane->live->previous = connection;
    plane->live = connection;
    count_up(&plane->open_count, 1);
    count_up(&plane->total_count, 1);
    connection_apply_flows(connection, connection->node);
    fault_counter_add(&connection->flows[STREAM_UP].counters->connections, 1);
    fault_counter_add(&connection->flows[STREAM_UP].route->connections, 1);
    connection->ends[STREAM_CLIENT].fd = fd;
    stream_end_filter(&connection->ends[STREAM_CLIENT]);
    if (stream_end_watch(&connection->ends[STREAM_CLIENT], EPOLLET)) {
        stream_connection_end(connection, true);
        return;
    }
    stream_connection_dial(connection);
    if (connection->state == STREAM_HELD)
        stream_connection_update(connection);
}
