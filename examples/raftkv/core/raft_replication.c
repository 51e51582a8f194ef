/* Log replication and commitment.
 *
 * Theory of operation
 *
 * A leader keeps next and match index per follower (paper, figure 2). After an election next is a
 * guess: the follower is *probed*, one AppendEntries at a time, each refusal moving next back to
 * the follower's conflict hint (paper 5.3, end). Once one matches, entries are pipelined: next
 * moves on when they are sent, at most RAFT_WINDOW_ENTRIES beyond match. A lost message shows at
 * the next heartbeat, whose previous index the follower doesn't have; it refuses, and probing
 * starts again.
 *
 * Messages are made in raft_replicate, once per batch of steps, when there is something to say: new
 * entries, a higher commit index, a read round to confirm, or the heartbeat is due.
 *
 * Commitment: the highest index that a quorum has, only if it is of the current term (paper 5.4.2,
 * figure 8). The leader counts itself for its whole log: its actions say that entries are durable
 * before anything that follows from them leaves the node. */
#include <assert.h>

#include "examples/raftkv/core/raft_state.h"

enum { APPENDS_PER_TURN = 8 };

void raft_start_leading(struct raft *raft, uint64_t now_ns, struct raft_actions *actions)
{
    assert(raft->role == RAFT_LEADER);
    for (uint8_t i = 0; i < raft->config.node_count; i++) {
        struct raft_peer *peer = &raft->peers[i];
        peer->next_index = raft->log.count + 1;
        peer->match_index = 0;
        peer->probing = true;
        peer->probe_sent = false;
        peer->sent_commit = 0;
        peer->sent_round = 0;
        peer->acked_round = 0;
        peer->acked_ns = now_ns;
    }
    raft->round = 0;
    raft->heartbeat_due_ns = now_ns;
    struct raft_entry entry = {.term = raft->term, .type = RAFT_ENTRY_NOOP};
    raft_log_append(&raft->log, &entry);
    raft->term_start_index = raft->log.count;
    raft_persist_entries(actions, raft->log.count);
}

void raft_append_command(struct raft *raft, struct raft_payload *payload,
                         struct raft_actions *actions)
{
    assert(raft->role == RAFT_LEADER);
    struct raft_entry entry = {.term = raft->term, .type = RAFT_ENTRY_COMMAND, .payload = payload};
    raft_log_append(&raft->log, &entry);
    raft_persist_entries(actions, raft->log.count);
}

/* The value that at least a quorum of nodes reaches: the quorum-th largest. own: this node's. */
static uint64_t quorum_value(const struct raft *raft, uint64_t own,
                             uint64_t (*value)(const struct raft_peer *peer))
{
    uint64_t sorted[RAFT_NODES_MAX];
    unsigned count = 0;
    for (uint8_t i = 0; i < raft->config.node_count; i++) {
        uint64_t v = i == raft->config.self ? own : value(&raft->peers[i]);
        unsigned place = count++;
        for (; place > 0 && sorted[place - 1] < v; place--)
            sorted[place] = sorted[place - 1];
        sorted[place] = v;
    }
    return sorted[raft_quorum(raft) - 1];
}

static uint64_t match_of(const struct raft_peer *peer)
{
    return peer->match_index;
}

static uint64_t acked_ns_of(const struct raft_peer *peer)
{
    return peer->acked_ns;
}

uint64_t raft_quorum_due_ns(const struct raft *raft)
{
    uint64_t oldest = quorum_value(raft, UINT64_MAX, acked_ns_of);
    return oldest == UINT64_MAX ? UINT64_MAX : oldest + raft->config.election_timeout_ns;
}

static void advance_commit(struct raft *raft)
{
    uint64_t index = quorum_value(raft, raft->log.count, match_of);
    if (index <= raft->commit_index)
        return;
    if (raft_log_term(&raft->log, index) == raft->term ||
        raft_has_bug(raft, RAFT_BUG_COMMIT_OLD_TERM))
        raft->commit_index = index;
}

/* One AppendEntries to node `to`, with as many entries as one message may take. */
static void send_append(struct raft *raft, uint8_t to, bool with_entries,
                        struct raft_actions *actions)
{
    struct raft_peer *peer = &raft->peers[to];
    struct raft_message *message = raft_add_message(raft, actions, RAFT_MESSAGE_APPEND, to);
    message->index = peer->next_index - 1;
    message->log_term = raft_log_term(&raft->log, message->index);
    message->commit = raft->commit_index;
    message->round = raft->round;
    size_t bytes = 0, capacity = 0;
    uint64_t index = peer->next_index;
    while (with_entries && index <= raft->log.count &&
           message->entry_count < RAFT_APPEND_ENTRIES_MAX && bytes < RAFT_APPEND_BYTES_MAX) {
        struct raft_entry *entry = &raft->log.entries[index++ - 1];
        message->entries = raft_grow(message->entries, &capacity, message->entry_count + 1,
                                     sizeof(*message->entries));
        message->entries[message->entry_count++] = *entry;
        raft_payload_hold(entry->payload);
        bytes += entry->payload ? entry->payload->length : 0;
    }
    if (peer->probing)
        peer->probe_sent = true;
    else
        peer->next_index = index;
    peer->sent_commit = raft->commit_index;
    peer->sent_round = raft->round;
}

static bool may_send_entries(const struct raft *raft, const struct raft_peer *peer)
{
    if (peer->next_index > raft->log.count)
        return false;
    if (peer->probing)
        return !peer->probe_sent;
    return peer->next_index <= peer->match_index + RAFT_WINDOW_ENTRIES;
}

void raft_replicate(struct raft *raft, uint64_t now_ns, struct raft_actions *actions)
{
    assert(raft->role == RAFT_LEADER);
    advance_commit(raft);
    raft_reads_advance(raft, actions);
    raft_reads_start_round(raft);
    bool heartbeat = now_ns >= raft->heartbeat_due_ns;
    if (heartbeat)
        raft->heartbeat_due_ns = now_ns + raft->config.heartbeat_ns;
    for (uint8_t i = 0; i < raft->config.node_count; i++) {
        struct raft_peer *peer = &raft->peers[i];
        if (i == raft->config.self)
            continue;
        if (heartbeat)
            peer->probe_sent = false;
        unsigned sent = 0;
        while (sent < APPENDS_PER_TURN && may_send_entries(raft, peer)) {
            send_append(raft, i, true, actions);
            sent++;
        }
        bool news = raft->round > peer->sent_round ||
                    (raft->commit_index > peer->sent_commit && !peer->probing);
        if (sent == 0 && (heartbeat || news))
            send_append(raft, i, false, actions);
    }
    raft_reads_advance(raft, actions); /* a cluster of one needs no answer */
}

/* Where the follower's log may begin to differ: the first entry of the conflicting term, or the
 * end.
 */
static uint64_t find_conflict(const struct raft *raft, uint64_t previous)
{
    if (previous > raft->log.count)
        return raft->log.count + 1;
    uint64_t term = raft_log_term(&raft->log, previous);
    uint64_t index = previous;
    while (index > raft->commit_index + 1 && raft_log_term(&raft->log, index - 1) == term)
        index--;
    return index;
}

static void truncate_log(struct raft *raft, uint64_t first, struct raft_actions *actions)
{
    if (first <= raft->commit_index) { /* only a defect gets here */
        raft->commit_index = first - 1;
        if (actions->overwritten_first == 0 || first < actions->overwritten_first)
            actions->overwritten_first = first;
    }
    raft_log_truncate(&raft->log, first);
    raft_persist_entries(actions, first);
}

/* Paper, figure 2, AppendEntries steps 3 and 4: an entry that is there stays (an old message must
 * not cut a longer log); from the first one that differs on, the leader's replace ours. */
static void store_entries(struct raft *raft, const struct raft_message *message,
                          struct raft_actions *actions)
{
    if (raft_has_bug(raft, RAFT_BUG_TRUNCATE_ALWAYS) && message->index < raft->log.count)
        truncate_log(raft, message->index + 1, actions);
    for (uint32_t i = 0; i < message->entry_count; i++) {
        const struct raft_entry *entry = &message->entries[i];
        uint64_t index = message->index + 1 + i;
        if (index <= raft->log.count) {
            if (raft_log_term(&raft->log, index) == entry->term ||
                raft_has_bug(raft, RAFT_BUG_NO_TRUNCATE))
                continue;
            truncate_log(raft, index, actions);
        }
        raft_log_append(&raft->log, entry);
        raft_persist_entries(actions, index);
    }
}

void raft_receive_append(struct raft *raft, const struct raft_message *message, uint64_t now_ns,
                         struct raft_actions *actions)
{
    bool current = message->term == raft->term;
    bool matches = false;
    uint64_t last_new = message->index + message->entry_count;
    if (current) {
        raft_become_follower(raft, message->term, message->from, RAFT_CAUSE_LEADER_FOUND, now_ns,
                             actions);
        matches = message->index <= raft->log.count &&
                  (raft_log_term(&raft->log, message->index) == message->log_term ||
                   raft_has_bug(raft, RAFT_BUG_NO_PREV_TERM_CHECK));
    }
    if (matches) {
        store_entries(raft, message, actions);
        uint64_t checked =
            raft_has_bug(raft, RAFT_BUG_COMMIT_BEYOND_MATCH) ? raft->log.count : last_new;
        uint64_t commit = message->commit < checked ? message->commit : checked;
        if (commit > raft->commit_index)
            raft->commit_index = commit;
    }
    struct raft_message *reply =
        raft_add_message(raft, actions, RAFT_MESSAGE_APPEND_REPLY, message->from);
    reply->success = matches;
    reply->index = matches ? last_new : message->index;
    reply->round = current ? message->round : 0;
    if (current && !matches)
        reply->conflict = find_conflict(raft, message->index);
}

void raft_receive_append_reply(struct raft *raft, const struct raft_message *message,
                               uint64_t now_ns, struct raft_actions *actions)
{
    (void)actions;
    bool current = message->term == raft->term || raft_has_bug(raft, RAFT_BUG_STALE_REPLY);
    if (raft->role != RAFT_LEADER || !current)
        return;
    struct raft_peer *peer = &raft->peers[message->from];
    peer->acked_ns = now_ns;
    if (message->round > peer->acked_round && message->round <= raft->round)
        peer->acked_round = message->round;
    if (!message->success) {
        bool stale = message->index <= peer->match_index || message->index > raft->log.count ||
                     (peer->probing && message->index != peer->next_index - 1);
        if (stale || message->conflict == 0)
            return;
        uint64_t next = message->conflict < message->index ? message->conflict : message->index;
        peer->next_index = next > peer->match_index ? next : peer->match_index + 1;
        peer->probing = true;
        peer->probe_sent = false;
        return;
    }
    uint64_t match = message->index;
    if (raft_has_bug(raft, RAFT_BUG_MATCH_OPTIMISTIC))
        match = peer->probing ? raft->log.count : peer->next_index - 1;
    if (match > raft->log.count)
        return; /* not an answer to anything this leader sent */
    if (match > peer->match_index)
        peer->match_index = match;
    if (peer->next_index <= peer->match_index)
        peer->next_index = peer->match_index + 1;
    peer->probing = false;
}
