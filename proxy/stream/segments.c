/* How large the segments are that a loss takes.
 *
 * Theory of operation. TCP takes the size of its segments from what both ends announce in their
 * SYNs, and keeps it. On loopback that is 64 KiB, so that a bulk stream has only a handful of
 * segments under way, which is no lossy network. A connection that may meet a loss is to have
 * Ethernet's segments; they take some 30 % of what loopback carries, so no other one has them. The
 * listener of a route that a loss may meet, of whichever client and in either direction, announces
 * them, and so do the upstream sockets dialled for it.
 *
 * A connection that was there before the loss has the segments that it has. Loopback's come as one
 * packet each, and are drawn for as that: if 64 KiB were drawn for as 45 segments of Ethernet, at
 * 5 % hardly one would come through whole, TCP would wait for one timeout after the other, and the
 * stream would stand. */
#include "proxy/io/filter.h"
#include "proxy/io/socket.h"
#include "proxy/stream/internal.h"

enum { ETHERNET_SEGMENT_MAX = 16384 }; /* no frame is larger, and loopback's segments are */

static bool chain_loses(const struct stream_listener *listener, uint16_t from, uint16_t to,
                        enum ruleset_direction direction)
{
    struct fault_entry entries[FAULT_CHAIN_MAX];
    size_t count =
        fault_plan_chain(listener->plane->plan, from, to, listener->spec->slot, direction, entries);
    for (size_t i = 0; i < count; i++)
        if (entries[i].spec->type == RULESET_LOSS)
            return true;
    return false;
}

/* Now or later: some losses spare connections, or wait. */
static bool node_may_lose(const struct stream_listener *listener, uint16_t node)
{
    uint16_t to = listener->spec->to;
    return chain_loses(listener, node, to, RULESET_UPSTREAM) ||
           chain_loses(listener, to, node, RULESET_DOWNSTREAM);
}

static bool any_may_lose(const struct stream_listener *listener)
{
    const struct route_table *table = listener->plane->table;
    if (!listener->spec->from_peer)
        return node_may_lose(listener, listener->spec->from);
    bool may = node_may_lose(listener, ROUTE_NO_NODE);
    for (size_t i = 0; i < table->source_count && !may; i++)
        may = node_may_lose(listener, table->sources[i].node);
    return may;
}

static void announce(struct stream_listener *listener, bool small)
{
    if (small != listener->small_segments)
        socket_set_segment_bytes(listener->spec->fd, small ? FILTER_SEGMENT_ANNOUNCED : 0);
    listener->small_segments = small;
}

void stream_listener_announce(struct stream_listener *listener, bool losses)
{
    announce(listener, losses && any_may_lose(listener));
}

void stream_listener_unannounce(struct stream_listener *listener)
{
    announce(listener, false);
}

/* A loss that the plan in force has brought may be here before the listener's turn. */
void stream_end_announce(struct stream_end *end)
{
    struct stream_connection *connection = end->connection;
    end->small_segments = end->tcp && connection->plane->filters &&
                          (connection->listener->small_segments || end->in->loss_ppb > 0);
    if (end->small_segments)
        socket_set_segment_bytes(end->fd, FILTER_SEGMENT_ANNOUNCED);
}

uint32_t stream_end_segment_bytes(const struct stream_end *end)
{
    int bytes = end->small_segments ? 0 : socket_segment_bytes(end->fd);
    if (bytes <= 0)
        return FILTER_SEGMENT_DEFAULT;
    return bytes > ETHERNET_SEGMENT_MAX ? FILTER_SEGMENT_PACKET : (uint32_t)bytes;
}
