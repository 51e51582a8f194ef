/* Theory of operation
 *
 * Sessions are a fixed table with a hash by client address and route, and a list by last use: the
 * oldest is looked at when it may have expired. A session that still holds datagrams which will
 * leave (a delay longer than the expiry) is in use; one that holds what never leaves (a rate of
 * nothing) expires.
 *
 * A session of a route whose upstream is a host name has no socket until the name has been looked
 * up. A failed look-up is not the end of it: the next datagram asks again.
 *
 * A route takes no more sessions than are left for the others, and one: n crowded routes have
 * 1/(n+1) of the table each, so that a flood of senders on one of them leaves room on the rest. */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/random.h"
#include "proxy/datagram/internal.h"
#include "proxy/io/socket.h"

static void count_up(_Atomic uint64_t *counter, uint64_t amount)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

/* The bytes of an address that tell peers apart, without padding: family, port, host. */
static size_t peer_key(const struct address *peer, uint64_t key[4])
{
    key[0] = (uint64_t)peer->storage.ss_family << 16 | address_port(peer);
    if (peer->storage.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&peer->storage;
        key[1] = in->sin_addr.s_addr;
        return 2;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&peer->storage;
    memcpy(&key[1], &in6->sin6_addr, 16);
    key[3] = in6->sin6_scope_id;
    return 4;
}

static uint64_t peer_hash(const struct datagram_listener *listener, const struct address *peer)
{
    uint64_t key[4];
    size_t count = peer_key(peer, key);
    uint64_t hash = listener->spec->slot;
    for (size_t i = 0; i < count; i++)
        hash = random_key_fold(hash, key[i]);
    return hash;
}

static bool same_peer(const struct address *a, const struct address *b)
{
    uint64_t key_a[4], key_b[4];
    size_t count_a = peer_key(a, key_a), count_b = peer_key(b, key_b);
    return count_a == count_b && memcmp(key_a, key_b, count_a * sizeof(key_a[0])) == 0;
}

static struct datagram_session **bucket_of(struct datagram_plane *plane, uint64_t hash)
{
    return &plane->buckets[hash & plane->bucket_mask];
}

struct datagram_session *datagram_session_find(struct datagram_listener *listener,
                                               const struct address *peer)
{
    uint64_t hash = peer_hash(listener, peer);
    struct datagram_session *session = *bucket_of(listener->plane, hash);
    while (session && (session->hash != hash || session->listener != listener ||
                       !same_peer(&session->peer, peer)))
        session = session->next;
    return session;
}

static void age_remove(struct datagram_session *session)
{
    struct datagram_plane *plane = session->plane;
    if (session->newer)
        session->newer->older = session->older;
    else
        plane->newest = session->older;
    if (session->older)
        session->older->newer = session->newer;
    else
        plane->oldest = session->newer;
}

static void age_push(struct datagram_session *session)
{
    struct datagram_plane *plane = session->plane;
    session->newer = NULL;
    session->older = plane->newest;
    if (plane->newest)
        plane->newest->newer = session;
    else
        plane->oldest = session;
    plane->newest = session;
}

void datagram_session_touch(struct datagram_session *session)
{
    uint64_t now_ns = loop_now_ns(session->plane->loop);
    if (session->used_ns == now_ns)
        return;
    session->used_ns = now_ns;
    age_remove(session);
    age_push(session);
}

static uint16_t session_from(struct datagram_session *session)
{
    const struct route_table *table = session->plane->table;
    const struct route_spec *spec = session->listener->spec;
    if (!spec->from_peer)
        return spec->from;
    if (session->sources_serial != table->sources_serial) {
        session->sources_serial = table->sources_serial;
        session->node = route_find_source(table, &session->peer);
    }
    return session->node;
}

static void session_on_event(struct loop_watch *watch, uint32_t events);

/* The upstream socket, to this address. False when it is refused. */
static bool session_connect(struct datagram_session *session, const struct address *upstream)
{
    int fd = socket_connect_datagram(upstream, NULL);
    if (fd < 0)
        return false;
    datagram_socket_prepare(fd, NULL);
    if (loop_watch_add(session->plane->loop, &session->watch, fd, EPOLLIN, session_on_event)) {
        close(fd);
        return false;
    }
    session->upstream = *upstream;
    return true;
}

static void session_on_addresses(struct resolver_waiter *waiter, const struct address *addresses,
                                 size_t count, int code)
{
    struct datagram_session *session = loop_container(waiter, struct datagram_session, waiter);
    struct datagram_flow *flow = &session->flows[DATAGRAM_UP];
    (void)code;
    for (size_t i = 0; i < count && !session->watch.loop; i++) {
        struct address upstream = addresses[i];
        address_set_port(&upstream, session->listener->spec->upstream_port);
        session_connect(session, &upstream);
    }
    if (session->watch.loop) {
        datagram_flow_resume(flow);
        return;
    }
    fault_counter_add(&flow->counters->refused, 1);
    datagram_flow_give_up(flow, FAULT_CAUSE_QUEUE);
}

void datagram_session_resolve(struct datagram_session *session)
{
    const char *name = session->listener->spec->upstream_name;
    struct resolver *resolver = session->plane->resolver;
    if (session->waiter.resolver)
        return;
    if (resolver && name && name[0])
        resolver_wait(resolver, &session->waiter, name, session_on_addresses);
    else
        datagram_flow_give_up(&session->flows[DATAGRAM_UP], FAULT_CAUSE_QUEUE);
}

void datagram_session_apply(struct datagram_session *session)
{
    struct datagram_flow *up = &session->flows[DATAGRAM_UP], *down = &session->flows[DATAGRAM_DOWN];
    const struct fault_plan *plan = session->plane->plan;
    const struct route_spec *spec = session->listener->spec;
    struct fault_entry up_entries[FAULT_CHAIN_MAX], down_entries[FAULT_CHAIN_MAX];
    uint16_t from = session_from(session), to = spec->to;
    size_t up_count = fault_plan_chain(plan, from, to, spec->slot, RULESET_UPSTREAM, up_entries);
    size_t down_count =
        fault_plan_chain(plan, to, from, spec->slot, RULESET_DOWNSTREAM, down_entries);
    if (up_count + down_count > 0 && !up->pipeline_ready) {
        datagram_flow_start(up);
        datagram_flow_start(down);
    }
    datagram_flow_apply(up, from, to, up_entries, up_count);
    datagram_flow_apply(down, to, from, down_entries, down_count);
    if (session->waiter.resolver) { /* the name that it asks for goes with the table before */
        resolver_cancel(&session->waiter);
        datagram_session_resolve(session);
    }
}

/* One batch from the upstream; how many. */
static unsigned session_read(void *context)
{
    struct datagram_session *session = context;
    struct datagram_plane *plane = session->plane;
    uint32_t lost;
    unsigned count = datagram_receive(plane, session->watch.fd, &session->overflowed, &lost);
    if (count == 0)
        return 0;
    fault_counter_add(&session->flows[DATAGRAM_DOWN].counters->dropped[FAULT_CAUSE_QUEUE], lost);
    datagram_count_received(plane, session->route_slot, DATAGRAM_DOWN, plane->views, count);
    datagram_flow_take(&session->flows[DATAGRAM_DOWN], plane->views, count);
    return count;
}

static void session_on_event(struct loop_watch *watch, uint32_t events)
{
    struct datagram_session *session = loop_container(watch, struct datagram_session, watch);
    if ((events & EPOLLERR) && socket_take_error(watch->fd) == -ECONNREFUSED)
        fault_counter_add(&session->flows[DATAGRAM_UP].counters->refused, 1);
    if (!(events & EPOLLIN))
        return;
    session_read(session);
}

void datagram_session_drain(struct datagram_session *session, const struct datagram_change *change)
{
    if (session->watch.loop &&
        datagram_plane_heals(session->plane, change, session->listener->spec->to,
                             session_from(session)))
        datagram_plane_drain(session->watch.fd, session_read, session);
}

/* Counts sessions by the node that they come from, so that the k-th of a node is the same whatever
 * others do; with those of the other workers that have the route. */
static uint64_t next_ordinal(struct datagram_listener *listener, uint16_t node)
{
    uint16_t row = node < ROUTE_NODE_SLOTS ? node : ROUTE_NODE_SLOTS - 1;
    _Atomic uint32_t *shared = listener->spec->ordinals;
    return shared ? atomic_fetch_add_explicit(&shared[row], 1, memory_order_relaxed)
                  : listener->ordinals[row]++;
}

static void session_init(struct datagram_session *session, struct datagram_listener *listener,
                         const struct address *peer, const struct address *local)
{
    struct datagram_plane *plane = listener->plane;
    size_t index = (size_t)(session - plane->sessions);
    *session = (struct datagram_session){
        .plane = plane, .listener = listener, .peer = *peer, .local = *local};
    session->waiting_end = &session->waiting;
    session->route_slot = listener->spec->slot;
    session->serial = listener->serial;
    session->hash = peer_hash(listener, peer);
    session->begun_version = fault_plan_version(plane->plan);
    session->begun_ns = session->used_ns = loop_now_ns(plane->loop);
    session->sources_serial = plane->table->sources_serial;
    session->node =
        listener->spec->from_peer ? route_find_source(plane->table, peer) : listener->spec->from;
    session->ordinal = next_ordinal(listener, session->node);
    for (int i = 0; i < DATAGRAM_FLOWS; i++)
        datagram_flow_init(&session->flows[i], session, i == DATAGRAM_UP,
                           &plane->pipelines[2 * index + (size_t)i]);
}

static void session_free(struct datagram_session *session)
{
    struct datagram_plane *plane = session->plane;
    descriptors_give(plane->descriptors, 1);
    session->listener->session_count--;
    plane->free_count++;
    session->listener = NULL;
    session->next = plane->free;
    plane->free = session;
}

struct datagram_session *datagram_session_begin(struct datagram_listener *listener,
                                                const struct address *peer,
                                                const struct address *local)
{
    struct datagram_plane *plane = listener->plane;
    struct datagram_session *session = plane->free;
    if (!session || listener->session_count > plane->free_count ||
        !descriptors_take(plane->descriptors, 1))
        return NULL;
    plane->free = session->next;
    plane->free_count--;
    listener->session_count++;
    session_init(session, listener, peer, local);
    const struct address *upstream = &listener->spec->upstream;
    if (upstream->length > 0 && !session_connect(session, upstream)) {
        session_free(session);
        return NULL;
    }
    struct datagram_session **bucket = bucket_of(plane, session->hash);
    session->next = *bucket;
    *bucket = session;
    age_push(session);
    datagram_session_apply(session);
    fault_counter_add(&session->flows[DATAGRAM_UP].counters->connections, 1);
    fault_counter_add(&plane->counters->routes[session->route_slot].connections, 1);
    count_up(&plane->open_count, 1);
    count_up(&plane->total_count, 1);
    if (!plane->idle_timer.loop)
        loop_timer_set(plane->loop, &plane->idle_timer, session->used_ns + plane->idle_ns);
    return session;
}

void datagram_session_end(struct datagram_session *session)
{
    struct datagram_plane *plane = session->plane;
    struct datagram_session **link = bucket_of(plane, session->hash);
    assert(session->listener != NULL);
    resolver_cancel(&session->waiter);
    for (int i = 0; i < DATAGRAM_FLOWS; i++)
        datagram_flow_discard(&session->flows[i]);
    if (session->watch.loop) {
        int fd = session->watch.fd;
        loop_watch_remove(&session->watch);
        close(fd);
    }
    while (*link != session)
        link = &(*link)->next;
    *link = session->next;
    age_remove(session);
    fault_counter_add(&plane->counters->routes[session->route_slot].ended, 1);
    session_free(session);
    count_up(&plane->open_count, (uint64_t)-1);
}
