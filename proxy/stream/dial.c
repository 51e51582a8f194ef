/* Dialling the upstream of a connection.
 *
 * Theory of operation. While a connection is HELD its link is cut, or its accept delay is not over.
 * Then, as DIALLING, it first waits for the address of an upstream that is given by name (its
 * server's end has no socket yet), looked up anew for each connection; then for the connect. A name
 * with several addresses is tried in their order, each with a look-up of its own, so that nothing
 * needs to be remembered but how many have failed. The last failure resets the client, or closes it
 * where the route says so: a reset may fail the client's connect already, which those who take a
 * connect for the sign that the route is there can't have. An upstream that has answered, and reset
 * the connection before that was seen, has not failed: its reset crosses like any other.
 *
 * A cut that comes meanwhile puts the dial off, unless the upstream has answered already: a look-up
 * that is answered, a SYN that is sent again or another address would cross it, and so would the
 * news that there is no upstream. The connection is HELD again, and dialled anew at the heal.
 *
 * The socket has its filter before its SYN goes out, so that the answer is lost like all else. */
#include <assert.h>
#include <errno.h>

#include "proxy/io/socket.h"
#include "proxy/stream/internal.h"

static void dial_address(struct stream_connection *connection, const struct address *address);

static void give_up(struct stream_connection *connection)
{
    fault_counter_add(&connection->flows[STREAM_UP].counters->refused, 1);
    stream_connection_end(connection, !connection->listener->spec->close_unreached);
}

static void on_resolved(struct resolver_waiter *waiter, const struct address *addresses,
                        size_t count, int code)
{
    struct stream_connection *connection = loop_container(waiter, struct stream_connection, waiter);
    (void)code;
    if (connection->addresses_failed >= count) {
        give_up(connection);
        return;
    }
    struct address address = addresses[connection->addresses_failed];
    address_set_port(&address, connection->listener->spec->upstream_port);
    connection->addresses_left = count - connection->addresses_failed > 1;
    dial_address(connection, &address);
}

static void resolve(struct stream_connection *connection)
{
    struct resolver *resolver = connection->plane->resolver;
    if (!resolver) {
        give_up(connection);
        return;
    }
    resolver_wait(resolver, &connection->waiter, connection->listener->spec->upstream_name,
                  on_resolved);
}

/* One address has failed. */
static void try_next(struct stream_connection *connection)
{
    stream_end_close(&connection->ends[STREAM_SERVER], false);
    if (!connection->addresses_left) {
        give_up(connection);
        return;
    }
    connection->addresses_left = false;
    connection->addresses_failed++;
    resolve(connection);
    if (connection->waiter.resolver)
        stream_connection_update(connection);
}

/* -errno. Pipes that nobody needs are closed for it. */
static int open_socket(struct stream_plane *plane, int family)
{
    int fd = socket_open_stream(family, NULL);
    while ((fd == -EMFILE || fd == -ENFILE) && stream_conduits_give_back(plane))
        fd = socket_open_stream(family, NULL);
    return fd;
}

static void dial_address(struct stream_connection *connection, const struct address *address)
{
    struct stream_end *server = &connection->ends[STREAM_SERVER];
    int fd = open_socket(connection->plane, address->storage.ss_family);
    if (fd < 0) {
        give_up(connection);
        return;
    }
    server->fd = fd;
    server->tcp = address->storage.ss_family != AF_UNIX;
    server->filtered_ppb = 0;
    server->probing = server->probing_prepared = false;
    server->filtered_cut = false;
    stream_end_announce(server);
    stream_end_filter(server);
    if (socket_start_connect(fd, address) || stream_end_watch(server, EPOLLOUT))
        try_next(connection);
    else
        stream_connection_update(connection);
}

static bool is_cut(const struct stream_connection *connection)
{
    return connection->flows[STREAM_UP].cut || connection->flows[STREAM_DOWN].cut;
}

bool stream_connection_put_off(struct stream_connection *connection)
{
    struct stream_end *server = &connection->ends[STREAM_SERVER];
    assert(connection->state == STREAM_DIALLING);
    if (!is_cut(connection) || (server->fd >= 0 && socket_is_connected(server->fd)))
        return false;
    resolver_cancel(&connection->waiter);
    stream_end_close(server, false);
    connection->addresses_failed = 0;
    connection->addresses_left = false;
    connection->state = STREAM_HELD;
    return true;
}

void stream_connection_dial(struct stream_connection *connection)
{
    struct loop *loop = connection->plane->loop;
    const struct route_spec *spec = connection->listener->spec;
    if (connection->state != STREAM_HELD || is_cut(connection))
        return;
    if (!connection->admitted && !stream_connection_admit(connection)) {
        stream_connection_end(connection, true);
        return;
    }
    if (loop_now_ns(loop) < connection->dial_ns) {
        loop_timer_set(loop, &connection->timer, connection->dial_ns);
        return;
    }
    loop_timer_cancel(&connection->timer);
    connection->state = STREAM_DIALLING;
    if (spec->upstream.length > 0)
        dial_address(connection, &spec->upstream);
    else
        resolve(connection);
}

void stream_connection_dialled(struct stream_connection *connection)
{
    struct stream_end *server = &connection->ends[STREAM_SERVER];
    assert(connection->state == STREAM_DIALLING);
    int error = socket_take_error(server->fd);
    if (error < 0 && error != -ECONNRESET) {
        if (!stream_connection_put_off(connection))
            try_next(connection);
        return;
    }
    connection->state = STREAM_OPEN;
    if (error == 0 || stream_end_broken(server)) /* it has answered, and reset it since */
        stream_connection_update(connection);
}
