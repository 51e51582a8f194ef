/* Requests: reads and writes between a client's command and its answer.
 *
 * Theory of operation
 *
 *   write   WAITING --propose--> ASKED --applied--> DONE with the result
 *   read    WAITING --ask-----> ASKED --granted--> GRANTED --applied--> READY --room--> DONE
 *
 * What a failed answer means is what a checker of histories trusts, so it is decided by state:
 *
 *   WAITING  nothing has left: NOQUORUM, the write did not happen and never will. A request waits
 * at most an election timeout for a leader, and not at all when this node already knows that it
 * can't reach a majority. ASKED    a write may be in somebody's log: UNKNOWN, at once when this
 * leader lost its majority or this follower its leader, and at the latest after the request
 * timeout. The server never proposes it again. Only two things make it certain again: the leader's
 * word that it did not append it (or a connection that was not there), which puts it back to
 * WAITING, and another entry committed in its place, which answers NOTDONE. reads    have no
 * effect: they are asked again after a change of leader, and refused with NOQUORUM when their time
 * is over.
 *
 * Reads that arrive in one turn share one read index, asked for under a name that is used once: an
 * answer to an earlier ask of the same reads finds nothing. A request's id is the index of its slot
 * and a generation, to the same end.
 *
 * A READY read has no time limit and no slot any more: it is its client's, who may be slow. Its
 * value is looked up when the answer is next to be sent, in a state that is at least as new as the
 * read index, so that a queue of reads costs the room of their keys, not of their values. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "examples/raftkv/server/server.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/base/units.h"

static uint64_t request_timeout_ns(const struct server *server)
{
    uint64_t timeout = 3 * server->options->election_timeout_ns;
    return timeout > NS_PER_S ? timeout : NS_PER_S;
}

static struct request *find_request(const struct server *server, uint64_t id)
{
    struct request *request = server->request_slots[id % REQUESTS_MAX];
    return request && request->id == id ? request : NULL;
}

static void set_state(struct server *server, struct request *request, enum request_state state)
{
    server->waiting_count -= request->state == REQUEST_WAITING;
    server->granted_count -= request->state == REQUEST_GRANTED;
    request->state = state;
    server->waiting_count += state == REQUEST_WAITING;
    server->granted_count += state == REQUEST_GRANTED;
}

static void attach(struct server *server, struct request *request)
{
    uint32_t slot = server->free_slots[--server->free_count];
    request->id = server->next_generation++ * REQUESTS_MAX + slot;
    server->request_slots[slot] = request;
    request->previous = server->last_request;
    if (server->last_request)
        server->last_request->next = request;
    else
        server->first_request = request;
    server->last_request = request;
}

static void detach(struct server *server, struct request *request)
{
    uint32_t slot = (uint32_t)(request->id % REQUESTS_MAX);
    server->request_slots[slot] = NULL;
    server->free_slots[server->free_count++] = slot;
    if (server->first_request == request)
        server->first_request = request->next;
    else
        request->previous->next = request->next;
    if (request->next)
        request->next->previous = request->previous;
    else
        server->last_request = request->previous;
    request->previous = request->next = NULL;
}

struct request *request_create(struct server *server, struct client *client, enum request_kind kind,
                               enum kv_operation operation, const struct resp_argument *arguments,
                               size_t count)
{
    if (server->free_count == 0)
        return NULL;
    struct request *request = memory_allocate_zeroed(1, sizeof(*request));
    request->client = client;
    request->kind = kind;
    request->state = REQUEST_DONE;
    request->arrived_ns = loop_now_ns(server->loop);
    attach(server, request);
    set_state(server, request, REQUEST_WAITING);
    struct bytes body = {0};
    bytes_append_number(&body, server->origin, 8);
    bytes_append_number(&body, request->id, 8);
    kv_encode(&body, operation, arguments, count);
    request->payload = raft_payload_create(bytes_get(&body), bytes_length(&body));
    request->size = REQUEST_OVERHEAD + bytes_length(&body);
    bytes_free(&body);
    return request;
}

struct request *request_create_done(struct client *client, const struct bytes *reply)
{
    struct request *request = memory_allocate_zeroed(1, sizeof(*request));
    request->client = client;
    request->kind = REQUEST_LOCAL;
    request->state = REQUEST_DONE;
    bytes_append(&request->reply, bytes_get(reply), bytes_length(reply));
    request->size = REQUEST_OVERHEAD + bytes_length(reply);
    return request;
}

bool request_is_answered(const struct request *request)
{
    return request->state == REQUEST_READY || request->state == REQUEST_DONE;
}

void request_append_answer(struct server *server, struct request *request, struct bytes *out)
{
    assert(request_is_answered(request));
    if (request->state == REQUEST_DONE) {
        bytes_append(out, bytes_get(&request->reply), bytes_length(&request->reply));
        return;
    }
    kv_apply(server->kv, request->payload->bytes + ORIGIN_BYTES,
             request->payload->length - ORIGIN_BYTES, out);
    request->state = REQUEST_DONE;
    server->commands_processed++;
}

/* Of a request that is not, or no longer, among the unanswered ones. */
void request_destroy(struct server *server, struct request *request)
{
    (void)server;
    assert(request_is_answered(request));
    raft_payload_release(request->payload);
    bytes_free(&request->reply);
    free(request);
}

/* The reply is complete. */
static void finish(struct server *server, struct request *request)
{
    assert(bytes_length(&request->reply) > 0);
    set_state(server, request, REQUEST_DONE);
    detach(server, request);
    raft_payload_release(request->payload);
    request->payload = NULL;
    server->commands_processed++;
    if (request->client)
        client_note_answer(request->client);
    else
        request_destroy(server, request);
}

static void refuse_no_quorum(struct server *server, struct request *request)
{
    uint64_t lost = server->quorum_lost_ns;
    uint64_t for_ms = lost ? (loop_now_ns(server->loop) - lost) / NS_PER_MS : 0;
    const char *self = server->options->id;
    unsigned needed = raft_quorum(server->raft);
    if (server->status.quorum)
        resp_write_error(&request->reply, "NOQUORUM %s can't reach %s", self,
                         server->status.leader == RAFT_NONE ? "a majority (no leader yet)"
                                                            : "the leader");
    else
        resp_write_error(&request->reply,
                         "NOQUORUM %s can't reach a majority (%u of %u nodes needed, %u reachable, "
                         "for %" PRIu64 " ms)",
                         self, needed, server->options->node_count, server->status.reachable,
                         for_ms);
    finish(server, request);
}

static void answer_unknown(struct server *server, struct request *request, const char *why)
{
    resp_write_error(&request->reply, "UNKNOWN the write may or may not have happened: %s", why);
    finish(server, request);
}

/* This node has been without a majority for longer than a hiccup, or than a start takes: no use in
 * waiting. */
static bool knows_no_quorum(const struct server *server)
{
    const struct options *options = server->options;
    uint64_t patience =
        server->had_quorum ? 2 * options->heartbeat_ns : 3 * options->election_timeout_ns;
    uint64_t lost = server->quorum_lost_ns;
    return lost && loop_now_ns(server->loop) - lost >= patience;
}

static void propose(struct server *server, struct request *request, struct raft_actions *actions)
{
    struct raft_event event = {
        .type = RAFT_EVENT_PROPOSE, .payload = request->payload, .request = request->id};
    request->index = 0;
    set_state(server, request, REQUEST_ASKED);
    raft_step(server->raft, &event, loop_now_ns(server->loop), actions);
}

/* Whether somebody can be asked now, and how many bytes of writes may be proposed in this turn. */
static bool can_ask(const struct server *server, size_t *room)
{
    uint8_t leader = server->status.leader;
    bool leads = leader == server->options->self;
    *room = 0;
    if (leader == RAFT_NONE || loop_now_ns(server->loop) < server->ask_again_ns)
        return false;
    if (!leads && !peers_connected(server, leader))
        return false;
    *room = leads ? TURN_PROPOSALS_MAX : peers_room(server, leader);
    return true;
}

void requests_submit(struct server *server, struct raft_actions *actions)
{
    uint64_t now = loop_now_ns(server->loop);
    bool asks = false;
    size_t room;
    bool can = can_ask(server, &room);
    struct request *next;
    for (struct request *request = server->first_request; request && server->waiting_count;
         request = next) {
        next = request->next;
        if (request->state != REQUEST_WAITING)
            continue;
        bool late = now - request->arrived_ns >= server->options->election_timeout_ns;
        if (!can && (late || knows_no_quorum(server))) {
            refuse_no_quorum(server, request);
        } else if (can && request->kind == REQUEST_READ) {
            asks = true;
            request->batch = server->next_batch;
            set_state(server, request, REQUEST_ASKED);
        } else if (room > 0) {
            size_t length = request->payload->length;
            room -= length < room ? length : room;
            propose(server, request, actions);
        }
    }
    if (!asks)
        return;
    struct raft_event event = {.type = RAFT_EVENT_READ, .request = server->next_batch++};
    raft_step(server->raft, &event, now, actions);
}

bool requests_can_go_on(const struct server *server)
{
    size_t room;
    return server->waiting_count > 0 && can_ask(server, &room) && room > 0;
}

/* Whoever was asked does not lead: its next heartbeat, or another leader's, will tell who does. */
static void hold_back(struct server *server)
{
    server->ask_again_ns = loop_now_ns(server->loop) + server->options->heartbeat_ns;
}

void requests_note_proposal(struct server *server, const struct raft_proposal *proposal)
{
    struct request *request = find_request(server, proposal->request);
    if (!request || request->kind != REQUEST_WRITE || request->state != REQUEST_ASKED)
        return;
    switch (proposal->result) {
    case RAFT_PROPOSAL_APPENDED:
        request->index = proposal->index;
        request->term = proposal->term;
        break;
    case RAFT_PROPOSAL_FORWARDED:
        break;
    case RAFT_PROPOSAL_NO_LEADER:
        set_state(server, request, REQUEST_WAITING);
        hold_back(server);
        break;
    case RAFT_PROPOSAL_FULL:
        resp_write_error(&request->reply, "NOTDONE the log is full: this form has no snapshots");
        finish(server, request);
        break;
    }
}

void requests_note_read(struct server *server, const struct raft_read *read)
{
    if (!read->granted)
        hold_back(server);
    for (struct request *request = server->first_request; request; request = request->next) {
        if (request->state != REQUEST_ASKED || request->kind != REQUEST_READ ||
            request->batch != read->request)
            continue;
        request->index = read->index;
        set_state(server, request, read->granted ? REQUEST_GRANTED : REQUEST_WAITING);
    }
}

void requests_note_unsent(struct server *server, const struct raft_message *message)
{
    struct raft_proposal proposal = {.request = message->request,
                                     .result = RAFT_PROPOSAL_NO_LEADER};
    struct raft_read read = {.request = message->request};
    if (message->type == RAFT_MESSAGE_PROPOSE)
        requests_note_proposal(server, &proposal);
    else if (message->type == RAFT_MESSAGE_READ_INDEX)
        requests_note_read(server, &read);
}

void requests_note_transition(struct server *server, const struct raft_transition *transition)
{
    bool lost = transition->cause == RAFT_CAUSE_NO_QUORUM ||
                (transition->cause == RAFT_CAUSE_TIMEOUT && transition->from == RAFT_FOLLOWER);
    const char *why = transition->cause == RAFT_CAUSE_NO_QUORUM
                          ? "the leader lost its majority"
                          : "the leader it was handed to is not heard any more";
    server->ask_again_ns = 0;
    struct request *next;
    for (struct request *request = server->first_request; request; request = next) {
        next = request->next;
        if (request->state != REQUEST_ASKED)
            continue;
        if (request->kind == REQUEST_READ)
            set_state(server, request, REQUEST_WAITING);
        else if (lost)
            answer_unknown(server, request, why);
        else
            server->check_overwritten = true;
    }
}

void requests_apply(struct server *server, uint64_t index, const struct raft_entry *entry)
{
    server->applied_index = index;
    if (entry->type != RAFT_ENTRY_COMMAND)
        return;
    const uint8_t *bytes = entry->payload->bytes;
    size_t length = entry->payload->length;
    struct bytes ignored = {0};
    struct request *request = NULL;
    if (length >= ORIGIN_BYTES && bytes_read_number(bytes, 8) == server->origin)
        request = find_request(server, bytes_read_number(bytes + 8, 8));
    if (request && request->state != REQUEST_ASKED)
        request = NULL;
    struct bytes *reply = request ? &request->reply : &ignored;
    size_t skip = length >= ORIGIN_BYTES ? ORIGIN_BYTES : length;
    kv_apply(server->kv, bytes + skip, length - skip, reply);
    bytes_free(&ignored);
    if (request)
        finish(server, request);
}

/* Leaves the unanswered ones: the rest is between the read and its client. */
static void release_read(struct server *server, struct request *request)
{
    set_state(server, request, REQUEST_READY);
    detach(server, request);
    if (request->client)
        client_note_answer(request->client);
    else
        request_destroy(server, request);
}

/* True while a write of an older term is still open. */
static bool settle_overwritten(struct server *server)
{
    bool open = false;
    struct request *next;
    for (struct request *request = server->first_request; request; request = next) {
        next = request->next;
        if (request->kind != REQUEST_WRITE || request->state != REQUEST_ASKED)
            continue;
        if (request->index && request->index <= server->applied_index) {
            resp_write_error(&request->reply,
                             "NOTDONE another leader's entry took the place of the write");
            finish(server, request);
        } else if (request->index == 0 || request->term < server->status.term) {
            open = true;
        }
    }
    return open;
}

void requests_settle(struct server *server)
{
    uint64_t now = loop_now_ns(server->loop);
    uint64_t timeout = request_timeout_ns(server);
    struct request *next;
    for (struct request *request = server->first_request; request && server->granted_count;
         request = next) {
        next = request->next;
        if (request->state == REQUEST_GRANTED && request->index <= server->applied_index)
            release_read(server, request);
    }
    if (server->check_overwritten)
        server->check_overwritten = settle_overwritten(server);
    for (struct request *request = server->first_request;
         request && now - request->arrived_ns >= timeout; request = next) {
        next = request->next;
        if (request->kind == REQUEST_WRITE && request->state == REQUEST_ASKED)
            answer_unknown(server, request, "no answer in time");
        else
            refuse_no_quorum(server, request);
    }
}
