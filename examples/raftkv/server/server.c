/* The server: one turn after the other.
 *
 * Theory of operation
 *
 * In a turn of the loop, messages from peers go to the Raft core as they come, and clients'
 * commands become waiting requests. Then finish_turn
 *
 *   1. submits the waiting requests to the core, and ticks it: one batch;
 *   2. writes what the core wants durable, with one fdatasync for the whole turn (group commit);
 *   3. only then sends messages, applies committed entries, and answers clients.
 *
 * The order of 2 and 3 is what Raft's safety stands on. The fdatasync runs in the loop's thread:
 * while it waits, the next batch gathers in the sockets, and batches grow with the load. When it
 * fails, what is on the disk is unknown, and the process exits. */
#include "examples/raftkv/server/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/base/units.h"

static int load_hard_state(void *context, uint64_t term, uint8_t vote)
{
    struct server *server = context;
    raft_load_hard_state(server->raft, term, vote);
    return 0;
}

static int load_entry(void *context, uint64_t index, const struct raft_entry *entry)
{
    struct server *server = context;
    return raft_load_entry(server->raft, index, entry);
}

static int open_store(struct server *server, struct error *error)
{
    const struct options *options = server->options;
    struct store_report report;
    struct store_visitor visitor = {
        .context = server, .hard_state = load_hard_state, .entry = load_entry};
    int code = store_open(options->data_directory, options->id, server->cluster, &visitor,
                          &server->store, &report, error);
    if (code)
        return code;
    if (report.torn_at)
        log_warn("%s: torn tail of the log cut off: %" PRIu64 " bytes at offset %" PRIu64,
                 options->id, report.torn_bytes, report.torn_at);
    log_info("%s: log read: %" PRIu64 " entries in %" PRIu64 " batches", options->id,
             raft_last_index(server->raft), report.batches);
    return 0;
}

static int open_raft(struct server *server, struct error *error)
{
    const struct options *options = server->options;
    struct raft_config config = {
        .self = options->self,
        .node_count = options->node_count,
        .seed = server->seed,
        .election_timeout_ns = options->election_timeout_ns,
        .heartbeat_ns = options->heartbeat_ns,
        .bugs = options->bugs,
    };
    int code = raft_create(&server->raft, &config, monotonic_now_ns());
    if (code)
        return error_set(error, code, "the Raft core refuses this configuration");
    return 0;
}

static void create_requests(struct server *server)
{
    server->request_slots = memory_allocate_zeroed(REQUESTS_MAX, sizeof(*server->request_slots));
    server->free_slots = memory_allocate_zeroed(REQUESTS_MAX, sizeof(*server->free_slots));
    for (uint32_t i = 0; i < REQUESTS_MAX; i++)
        server->free_slots[server->free_count++] = REQUESTS_MAX - 1 - i;
    /* other names than in earlier lives of this node, whose answers may still be on their way */
    server->next_generation = server->next_batch = 1 + (server->origin >> 20);
}

static int limit_clients(struct server *server, struct error *error)
{
    long descriptors = listener_raise_limit();
    if (descriptors < 0)
        return error_set(error, (int)descriptors, "can't raise the limit of open files: %s",
                         strerror((int)-descriptors));
    long left = descriptors - DESCRIPTORS_RESERVED;
    if (left < CLIENTS_MIN)
        return error_set(error, -EMFILE, "the limit of open files is %ld: allow at least %d",
                         descriptors, DESCRIPTORS_RESERVED + CLIENTS_MIN);
    server->clients_max = left < CLIENTS_MAX ? (uint32_t)left : CLIENTS_MAX;
    return 0;
}

int server_open(struct server *server, const struct options *options, struct error *error)
{
    memset(server, 0, sizeof(*server));
    server->options = options;
    options_cluster_text(options, server->cluster);
    uint64_t random[2];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return error_set(error, -errno, "no random numbers: %s", strerror(errno));
    server->origin = random[0];
    server->seed = random[1];
    server->kv = kv_create();
    create_requests(server);
    int code = limit_clients(server, error);
    if (!code)
        code = loop_create(&server->loop, error);
    if (!code)
        code = open_raft(server, error);
    if (!code)
        code = open_store(server, error);
    if (!code)
        code = peers_open(server, error);
    if (!code)
        code = clients_listen(server, error);
    if (code) {
        server_close(server);
        return code;
    }
    server->started_ns = server->quorum_lost_ns = monotonic_now_ns();
    return 0;
}

void server_close(struct server *server)
{
    clients_close(server);
    peers_close(server);
    while (server->first_request) {
        struct request *request = server->first_request;
        server->first_request = request->next;
        request->state = REQUEST_DONE;
        request_destroy(server, request);
    }
    free(server->request_slots);
    free(server->free_slots);
    raft_actions_free(&server->actions);
    raft_destroy(server->raft);
    store_close(server->store);
    kv_destroy(server->kv);
    if (server->loop)
        loop_destroy(server->loop);
    memset(server, 0, sizeof(*server));
}

const char *server_node_name(const struct server *server, uint8_t node)
{
    return node < server->options->node_count ? server->options->nodes[node].name : "none";
}

static void fail(struct server *server, const char *what)
{
    log_error("%s: %s", server->options->id, what);
    server->stop = true;
    server->exit_code = SERVER_EXIT_FAILED;
}

/* Step 2 of a turn. False: fatal. */
static bool persist(struct server *server)
{
    const struct raft_actions *actions = &server->actions;
    struct error error = {0};
    char text[ERROR_MESSAGE_MAX];
    if (actions->hard_state)
        store_add_hard_state(server->store, actions->term, actions->vote);
    if (actions->entries_first) {
        store_add_truncation(server->store, actions->entries_first);
        uint64_t last = raft_last_index(server->raft);
        for (uint64_t index = actions->entries_first; index <= last; index++)
            store_add_entry(server->store, index, raft_get_entry(server->raft, index));
    }
    if (store_sync(server->store, &error) == 0)
        return true;
    fail(server, error_text(&error, text, sizeof(text)));
    return false;
}

static void send_messages(struct server *server)
{
    for (size_t i = 0; i < server->actions.message_count; i++) {
        const struct raft_message *message = &server->actions.messages[i];
        if (!peers_send(server, message))
            requests_note_unsent(server, message);
    }
}

static void log_transition(const struct server *server, const struct raft_transition *transition)
{
    char timeout[UNITS_TEXT_MAX];
    const char *self = server->options->id;
    uint64_t term = transition->term;
    units_format_duration(server->options->election_timeout_ns, timeout);
    if (transition->to == RAFT_LEADER)
        log_info("%s is leader in term %" PRIu64, self, term);
    else if (transition->cause == RAFT_CAUSE_NO_QUORUM)
        log_info("%s steps down in term %" PRIu64 ": no quorum for %s", self, term, timeout);
    else if (transition->from == RAFT_LEADER)
        log_info("%s steps down: it heard of term %" PRIu64, self, term);
    else if (transition->to == RAFT_PRE_CANDIDATE)
        log_info("%s hears no leader in term %" PRIu64 " and asks for votes", self, term);
    else if (transition->to == RAFT_CANDIDATE)
        log_info("%s is candidate in term %" PRIu64, self, term);
    else if (transition->leader != RAFT_NONE)
        log_info("%s follows %s in term %" PRIu64, self,
                 server_node_name(server, transition->leader), term);
    else
        log_debug("%s is follower in term %" PRIu64, self, term);
}

static void note_transitions(struct server *server)
{
    for (size_t i = 0; i < server->actions.transition_count; i++) {
        log_transition(server, &server->actions.transitions[i]);
        requests_note_transition(server, &server->actions.transitions[i]);
    }
}

/* Committed entries were replaced: with a defect switched on that is what was asked for, and the
 * state is made again from the log; otherwise it must never happen. */
static void rebuild_state(struct server *server)
{
    uint64_t first = server->actions.overwritten_first;
    log_error("%s: committed entries from index %" PRIu64 " on were overwritten: acknowledged "
              "writes are lost",
              server->options->id, first);
    if (server->options->bugs == 0) {
        fail(server, "stops, because the state of the cluster can't be trusted");
        return;
    }
    kv_clear(server->kv);
    server->applied_index = 0;
}

static void apply_committed(struct server *server)
{
    uint64_t commit = raft_commit_index(server->raft);
    while (server->applied_index < commit) {
        uint64_t index = server->applied_index + 1;
        requests_apply(server, index, raft_get_entry(server->raft, index));
    }
}

/* What the core asked for, in the order that raft.h wants. */
static void perform(struct server *server)
{
    struct raft_actions *actions = &server->actions;
    if (!persist(server))
        return;
    send_messages(server);
    for (size_t i = 0; i < actions->proposal_count; i++)
        requests_note_proposal(server, &actions->proposals[i]);
    if (actions->overwritten_first && actions->overwritten_first <= server->applied_index)
        rebuild_state(server);
    if (server->stop)
        return;
    apply_committed(server);
    for (size_t i = 0; i < actions->read_count; i++)
        requests_note_read(server, &actions->reads[i]);
    note_transitions(server);
    raft_actions_clear(actions);
}

static void note_quorum(struct server *server)
{
    uint64_t now = loop_now_ns(server->loop);
    server->status = raft_get_status(server->raft, now);
    if (server->status.quorum) {
        server->quorum_lost_ns = 0;
        server->had_quorum = server->had_quorum || server->status.leader != RAFT_NONE;
        return;
    }
    if (server->quorum_lost_ns == 0)
        server->quorum_lost_ns = now;
    uint64_t limit = 2 * server->options->election_timeout_ns;
    if (server->options->exit_on_minority && server->had_quorum &&
        now - server->quorum_lost_ns >= limit) {
        log_error("%s exits: no majority for %" PRIu64 " ms", server->options->id,
                  (now - server->quorum_lost_ns) / NS_PER_MS);
        server->stop = true;
        server->exit_code = SERVER_EXIT_MINORITY;
    }
}

/* True when there is more to do at once. */
static bool finish_turn(struct server *server)
{
    struct raft_event tick = {.type = RAFT_EVENT_TICK};
    note_quorum(server);
    requests_submit(server, &server->actions);
    raft_step(server->raft, &tick, loop_now_ns(server->loop), &server->actions);
    perform(server);
    if (server->stop)
        return false;
    note_quorum(server);
    requests_settle(server);
    bool more = clients_flush(server);
    return more || requests_can_go_on(server);
}

static uint64_t next_deadline(const struct server *server)
{
    uint64_t due = raft_next_due_ns(server->raft);
    bool watches = server->first_request || server->options->exit_on_minority;
    uint64_t soon = loop_now_ns(server->loop) + 10 * NS_PER_MS;
    return watches && soon < due ? soon : due;
}

int server_run(struct server *server)
{
    bool again = true; /* the first turn only takes the time */
    while (!server->stop) {
        int code = loop_turn(server->loop, again ? 0 : next_deadline(server));
        if (code) {
            fail(server, strerror(-code));
            break;
        }
        again = finish_turn(server);
    }
    return server->exit_code;
}
