/* Connections between nodes.
 *
 * Theory of operation
 *
 * Each node dials each other node: that connection carries its messages, and acknowledgements
 * (frames received, so far) come back on it. So who talks to whom is known from the dialled route,
 * and from the source address, which is --bind. Accepted connections are the other nodes' dialled
 * ones, once they have said hello: one that has not within an election timeout is closed, and the
 * oldest such one at once when there are too many, so that strangers can't keep peers out.
 *
 *   DOWN --redial timer--> CONNECTING --writable--> UP --error, end, silence--> DOWN
 *
 * Raft copes with loss but not with old news by the minute: a connection on which frames are out
 * and none has been acknowledged for two election timeouts is closed with all that is queued, and
 * dialled again; so is, after one, a connection that does not come about. So nothing is queued
 * while there is no connection, and the queue of a slow one is bounded: beyond it the oldest whole
 * frames are dropped. Dialling backs off exponentially with jitter, from 10 ms to 200 ms, so that a
 * healed network is found at once and a dead node is not hammered. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "examples/raftkv/server/frame.h"
#include "examples/raftkv/server/server.h"
#include "proxy/base/log.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/random.h"
#include "proxy/base/text.h"
#include "proxy/io/socket.h"

enum { READ_CHUNK = 64 * 1024, REDIAL_FIRST_MS = 10, REDIAL_MAX_MS = 200 };

struct queued_frame {
    struct queued_frame *next;
    struct bytes bytes;
};

enum outgoing_state { OUTGOING_DOWN, OUTGOING_CONNECTING, OUTGOING_UP };

struct outgoing {
    struct peers *peers;
    uint8_t node;
    enum outgoing_state state;
    struct loop_watch watch;
    struct loop_timer timer; /* redial, or the check for silence */
    struct queued_frame *first, *last;
    size_t queued_bytes;
    bool started; /* part of the first frame is sent */
    struct bytes in;
    uint64_t sent, acknowledged; /* frames of this connection */
    uint64_t progress_ns;        /* when nothing was out, or an acknowledgement came */
    uint32_t redials;            /* since the last acknowledgement */
};

struct incoming {
    struct peers *peers;
    struct incoming *previous, *next;
    struct loop_watch watch;
    struct bytes in;
    uint8_t node;            /* RAFT_NONE before its hello */
    struct loop_timer hello; /* until when that has to come */
    uint64_t received;
};

struct peers {
    struct server *server;
    struct listener listener;
    struct address source; /* --bind, any port */
    struct outgoing outgoing[RAFT_NODES_MAX];
    struct incoming *first_incoming;
    uint32_t incoming_count;
    struct random_stream random;
};

static void dial(struct outgoing *outgoing);

/* ----------------------------------------------------------------------------- dialling --- */

static void free_frame(struct queued_frame *frame)
{
    bytes_free(&frame->bytes);
    free(frame);
}

static void pop_frame(struct outgoing *outgoing)
{
    struct queued_frame *frame = outgoing->first;
    outgoing->first = frame->next;
    if (!outgoing->first)
        outgoing->last = NULL;
    outgoing->queued_bytes -= bytes_length(&frame->bytes);
    free_frame(frame);
}

static uint64_t now_of(const struct outgoing *outgoing)
{
    return loop_now_ns(outgoing->peers->server->loop);
}

static void close_outgoing(struct outgoing *outgoing)
{
    if (outgoing->watch.loop) {
        int fd = outgoing->watch.fd;
        loop_watch_remove(&outgoing->watch);
        close(fd);
    }
    while (outgoing->first)
        pop_frame(outgoing);
    bytes_free(&outgoing->in);
    outgoing->started = false;
    outgoing->state = OUTGOING_DOWN;
}

/* Closes what there is and dials later. */
static void redial(struct outgoing *outgoing, const char *why)
{
    struct peers *peers = outgoing->peers;
    struct server *server = peers->server;
    if (outgoing->state == OUTGOING_UP) /* once, not at every try while a peer is silent */
        log_write(outgoing->redials ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
                  "%s: connection to %s closed: %s", server->options->id,
                  server_node_name(server, outgoing->node), why);
    close_outgoing(outgoing);
    uint64_t delay_ms = REDIAL_MAX_MS;
    if (outgoing->redials < 5)
        delay_ms = (uint64_t)REDIAL_FIRST_MS << outgoing->redials;
    if (delay_ms > REDIAL_MAX_MS)
        delay_ms = REDIAL_MAX_MS;
    outgoing->redials++;
    uint64_t delay_ns = delay_ms * NS_PER_MS;
    uint64_t jitter_ns = random_below(random_next(&peers->random), delay_ns / 2);
    loop_timer_set(server->loop, &outgoing->timer, now_of(outgoing) + delay_ns - jitter_ns);
}

/* A SYN that was lost to a cut is repeated by the kernel after a second: dialling again is sooner.
 */
static uint64_t patience_ns(const struct outgoing *outgoing)
{
    uint64_t timeout = outgoing->peers->server->options->election_timeout_ns;
    return outgoing->state == OUTGOING_CONNECTING ? timeout : 2 * timeout;
}

static void outgoing_timer(struct loop_timer *timer)
{
    struct outgoing *outgoing = loop_container(timer, struct outgoing, timer);
    if (outgoing->state == OUTGOING_DOWN) {
        dial(outgoing);
        return;
    }
    uint64_t now = now_of(outgoing);
    bool owes = outgoing->state == OUTGOING_CONNECTING || outgoing->sent > outgoing->acknowledged;
    uint64_t limit = outgoing->progress_ns + patience_ns(outgoing);
    if (owes && now >= limit) {
        redial(outgoing, "nothing acknowledged");
        return;
    }
    uint64_t next = owes ? limit : now + patience_ns(outgoing) / 4;
    loop_timer_set(outgoing->peers->server->loop, &outgoing->timer, next);
}

static void write_frames(struct outgoing *outgoing)
{
    while (outgoing->first) {
        struct bytes *bytes = &outgoing->first->bytes;
        ssize_t sent =
            send(outgoing->watch.fd, bytes_get(bytes), bytes_length(bytes), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0) {
            redial(outgoing, strerror(errno));
            return;
        }
        if ((size_t)sent < bytes_length(bytes)) {
            outgoing->started = true;
            outgoing->queued_bytes -= (size_t)sent;
            bytes_consume(bytes, (size_t)sent);
            continue;
        }
        if (outgoing->sent == outgoing->acknowledged)
            outgoing->progress_ns = now_of(outgoing);
        outgoing->sent++;
        outgoing->started = false;
        pop_frame(outgoing);
    }
    loop_watch_modify(&outgoing->watch, EPOLLIN | (outgoing->first ? EPOLLOUT : 0u));
}

static void read_acknowledgements(struct outgoing *outgoing)
{
    static struct frame frame; /* one thread */
    uint8_t *room = bytes_reserve(&outgoing->in, READ_CHUNK);
    ssize_t got = recv(outgoing->watch.fd, room, READ_CHUNK, 0);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            redial(outgoing, got ? strerror(errno) : "the other side closed it");
        return;
    }
    bytes_commit(&outgoing->in, (size_t)got);
    for (;;) {
        size_t used;
        const char *problem = "unexpected frame";
        int code = frame_read(bytes_get(&outgoing->in), bytes_length(&outgoing->in), &frame, &used,
                              &problem);
        if (code == 0)
            return;
        bool fits = code > 0 && frame.kind == FRAME_ACK && frame.received <= outgoing->sent;
        if (code > 0)
            raft_message_release(&frame.message);
        if (!fits) {
            redial(outgoing, problem);
            return;
        }
        bytes_consume(&outgoing->in, used);
        if (frame.received > outgoing->acknowledged) {
            outgoing->acknowledged = frame.received;
            outgoing->progress_ns = now_of(outgoing);
            outgoing->redials = 0;
        }
    }
}

static void queue_frame(struct outgoing *outgoing, struct queued_frame *frame)
{
    frame->next = NULL;
    if (outgoing->last)
        outgoing->last->next = frame;
    else
        outgoing->first = frame;
    outgoing->last = frame;
    outgoing->queued_bytes += bytes_length(&frame->bytes);
    while (outgoing->queued_bytes > PEER_QUEUE_MAX) {
        struct queued_frame *keep = outgoing->started ? outgoing->first : NULL;
        struct queued_frame *oldest = keep ? keep->next : outgoing->first;
        if (!oldest || oldest == frame)
            return;
        if (keep)
            keep->next = oldest->next;
        else
            outgoing->first = oldest->next;
        outgoing->queued_bytes -= bytes_length(&oldest->bytes);
        free_frame(oldest);
    }
}

static void outgoing_connected(struct outgoing *outgoing)
{
    struct server *server = outgoing->peers->server;
    outgoing->state = OUTGOING_UP;
    outgoing->progress_ns = now_of(outgoing);
    socket_set_nodelay(outgoing->watch.fd);
    log_debug("%s: connected to %s", server->options->id, server_node_name(server, outgoing->node));
    struct queued_frame *hello = memory_allocate_zeroed(1, sizeof(*hello));
    frame_write_hello(&hello->bytes, server->options->id, server->cluster);
    queue_frame(outgoing, hello);
    write_frames(outgoing);
}

static void outgoing_ready(struct loop_watch *watch, uint32_t events)
{
    struct outgoing *outgoing = loop_container(watch, struct outgoing, watch);
    if (outgoing->state == OUTGOING_CONNECTING) {
        int code = socket_take_error(watch->fd);
        if (code)
            redial(outgoing, strerror(-code));
        else
            outgoing_connected(outgoing);
        return;
    }
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        read_acknowledgements(outgoing);
    if (outgoing->state == OUTGOING_UP && (events & EPOLLOUT))
        write_frames(outgoing);
}

static void dial(struct outgoing *outgoing)
{
    struct peers *peers = outgoing->peers;
    struct server *server = peers->server;
    const struct address *address = &server->options->nodes[outgoing->node].address;
    int fd = socket_connect(address, &peers->source, NULL);
    if (fd < 0) {
        redial(outgoing, strerror(-fd));
        return;
    }
    if (loop_watch_add(server->loop, &outgoing->watch, fd, EPOLLOUT, outgoing_ready)) {
        close(fd);
        redial(outgoing, "it can't be watched");
        return;
    }
    outgoing->state = OUTGOING_CONNECTING;
    outgoing->sent = outgoing->acknowledged = 0;
    outgoing->progress_ns = now_of(outgoing);
    loop_timer_set(server->loop, &outgoing->timer, now_of(outgoing) + patience_ns(outgoing));
}

bool peers_send(struct server *server, const struct raft_message *message)
{
    struct outgoing *outgoing = &server->peers->outgoing[message->to];
    if (outgoing->state != OUTGOING_UP)
        return false;
    struct queued_frame *frame = memory_allocate_zeroed(1, sizeof(*frame));
    frame_write_message(&frame->bytes, message);
    bool idle = outgoing->first == NULL;
    queue_frame(outgoing, frame);
    if (idle)
        write_frames(outgoing);
    return true;
}

bool peers_connected(const struct server *server, uint8_t node)
{
    return server->peers->outgoing[node].state == OUTGOING_UP;
}

size_t peers_room(const struct server *server, uint8_t node)
{
    size_t queued = server->peers->outgoing[node].queued_bytes;
    return peers_connected(server, node) && queued < PEER_QUEUE_PROPOSALS
               ? PEER_QUEUE_PROPOSALS - queued
               : 0;
}

void peers_describe(const struct server *server, struct bytes *out)
{
    const char *const names[] = {"down", "connecting", "connected"};
    const char *separator = "";
    for (uint8_t i = 0; i < server->options->node_count; i++) {
        if (i == server->options->self)
            continue;
        bytes_append_format(out, "%s%s=%s", separator, server->options->nodes[i].name,
                            names[server->peers->outgoing[i].state]);
        separator = ",";
    }
}

/* ---------------------------------------------------------------------------- accepting --- */

static void close_incoming(struct incoming *incoming)
{
    struct peers *peers = incoming->peers;
    if (peers->first_incoming == incoming)
        peers->first_incoming = incoming->next;
    else
        incoming->previous->next = incoming->next;
    if (incoming->next)
        incoming->next->previous = incoming->previous;
    peers->incoming_count--;
    int fd = incoming->watch.fd;
    loop_timer_cancel(&incoming->hello);
    loop_watch_remove(&incoming->watch);
    close(fd);
    bytes_free(&incoming->in);
    free(incoming);
}

static void hello_is_late(struct loop_timer *timer)
{
    close_incoming(loop_container(timer, struct incoming, hello));
}

/* Makes room when there is none: a connection that has not said hello goes, the oldest first. Those
 * that have are at most one per node. */
static void drop_silent(struct peers *peers)
{
    struct incoming *oldest = NULL;
    for (struct incoming *each = peers->first_incoming; each; each = each->next)
        oldest = each->node == RAFT_NONE ? each : oldest;
    if (peers->incoming_count == INCOMING_MAX && oldest)
        close_incoming(oldest);
}

static bool take_hello(struct incoming *incoming, const struct frame *frame)
{
    struct server *server = incoming->peers->server;
    const char *problem = NULL;
    uint8_t node = 0;
    while (node < server->options->node_count &&
           strcmp(server->options->nodes[node].name, frame->name) != 0)
        node++;
    if (frame->kind != FRAME_HELLO)
        problem = "it didn't say hello";
    else if (frame->version != FRAME_VERSION)
        problem = "it speaks another version";
    else if (strcmp(frame->cluster, server->cluster) != 0)
        problem = "it belongs to another cluster";
    else if (node == server->options->node_count || node == server->options->self)
        problem = "its name is not that of a peer";
    if (problem) {
        log_warn("%s: connection from a node refused: %s", server->options->id, problem);
        return false;
    }
    incoming->node = node;
    loop_timer_cancel(&incoming->hello);
    for (struct incoming *other = incoming->peers->first_incoming, *next; other; other = next) {
        next = other->next;
        if (other != incoming && other->node == node)
            close_incoming(other); /* it dialled again: the old one is stale */
    }
    return true;
}

/* False: to be closed. */
static bool take_frame(struct incoming *incoming, struct frame *frame)
{
    struct server *server = incoming->peers->server;
    incoming->received++;
    if (incoming->node == RAFT_NONE)
        return take_hello(incoming, frame);
    if (frame->kind != FRAME_MESSAGE)
        return false;
    frame->message.from = incoming->node;
    frame->message.to = server->options->self;
    struct raft_event event = {.type = RAFT_EVENT_RECEIVE, .message = &frame->message};
    raft_step(server->raft, &event, loop_now_ns(server->loop), &server->actions);
    return true;
}

/* 0, or -1 when the connection is to be closed. */
static int take_frames(struct incoming *incoming)
{
    static struct frame frame; /* one thread */
    for (;;) {
        size_t used;
        const char *problem;
        int code = frame_read(bytes_get(&incoming->in), bytes_length(&incoming->in), &frame, &used,
                              &problem);
        if (code == 0)
            return 0;
        if (code < 0) {
            log_warn("%s: connection from %s closed: %s", incoming->peers->server->options->id,
                     server_node_name(incoming->peers->server, incoming->node), problem);
            return -1;
        }
        bool good = take_frame(incoming, &frame);
        raft_message_release(&frame.message);
        if (!good)
            return -1;
        bytes_consume(&incoming->in, used);
    }
}

static void acknowledge(struct incoming *incoming)
{
    struct bytes out = {0};
    frame_write_ack(&out, incoming->received);
    ssize_t sent = send(incoming->watch.fd, bytes_get(&out), bytes_length(&out), MSG_NOSIGNAL);
    bool whole = sent == (ssize_t)bytes_length(&out);
    bytes_free(&out);
    if (!whole && !(sent < 0 && errno == EAGAIN)) /* EAGAIN: the next one counts for it */
        close_incoming(incoming);
}

static void incoming_ready(struct loop_watch *watch, uint32_t events)
{
    (void)events;
    struct incoming *incoming = loop_container(watch, struct incoming, watch);
    uint64_t before = incoming->received;
    uint8_t *room = bytes_reserve(&incoming->in, READ_CHUNK);
    ssize_t got = recv(watch->fd, room, READ_CHUNK, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        close_incoming(incoming);
        return;
    }
    bytes_commit(&incoming->in, (size_t)got);
    if (take_frames(incoming))
        close_incoming(incoming);
    else if (incoming->received > before)
        acknowledge(incoming);
}

static void accept_peer(struct loop_watch *watch, uint32_t events)
{
    (void)events;
    struct listener *listener = loop_container(watch, struct listener, watch);
    struct peers *peers = loop_container(listener, struct peers, listener);
    struct server *server = peers->server;
    for (;;) {
        int fd = listener_accept(listener);
        if (fd < 0)
            return;
        drop_silent(peers);
        struct incoming *incoming = memory_allocate_zeroed(1, sizeof(*incoming));
        incoming->peers = peers;
        incoming->node = RAFT_NONE;
        incoming->hello.fn = hello_is_late;
        if (loop_watch_add(server->loop, &incoming->watch, fd, EPOLLIN, incoming_ready)) {
            free(incoming);
            close(fd);
            continue;
        }
        socket_set_nodelay(fd);
        loop_timer_set(server->loop, &incoming->hello,
                       loop_now_ns(server->loop) + server->options->election_timeout_ns);
        incoming->next = peers->first_incoming;
        if (incoming->next)
            incoming->next->previous = incoming;
        peers->first_incoming = incoming;
        peers->incoming_count++;
    }
}

int peers_open(struct server *server, struct error *error)
{
    struct peers *peers = memory_allocate_zeroed(1, sizeof(*peers));
    server->peers = peers;
    peers->server = server;
    peers->source = server->options->peer_address;
    address_set_port(&peers->source, 0);
    peers->random.key = server->seed;
    if (server->options->node_count == 1)
        return 0;
    int code = listener_open(&peers->listener, server->loop, &server->options->peer_address,
                             accept_peer, error);
    if (code)
        return code;
    for (uint8_t i = 0; i < server->options->node_count; i++) {
        struct outgoing *outgoing = &peers->outgoing[i];
        outgoing->peers = peers;
        outgoing->node = i;
        outgoing->timer.fn = outgoing_timer;
        if (i != server->options->self)
            loop_timer_set(server->loop, &outgoing->timer, 0);
    }
    return 0;
}

void peers_close(struct server *server)
{
    struct peers *peers = server->peers;
    if (!peers)
        return;
    for (unsigned i = 0; i < RAFT_NODES_MAX; i++) {
        loop_timer_cancel(&peers->outgoing[i].timer);
        close_outgoing(&peers->outgoing[i]);
    }
    while (peers->first_incoming)
        close_incoming(peers->first_incoming);
    listener_close(&peers->listener);
    free(peers);
    server->peers = NULL;
}
