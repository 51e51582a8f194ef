/* The step function: what each event does in each role.
 *
 * Theory of operation
 *
 * Every message first settles terms (paper 5.1): a newer term makes any node a follower of it, an
 * older one is answered with ours, so that its sender learns. Pre-votes are the exception: they
 * speak of a term that doesn't exist yet. RAFT_EVENT_TICK runs whichever timer is due and, on a
 * leader, makes the AppendEntries of the batch. Elections, replication and reads have their own
 * files. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "examples/raftkv/core/raft_state.h"

int raft_create(struct raft **raft, const struct raft_config *config, uint64_t now_ns)
{
    if (config->node_count == 0 || config->node_count > RAFT_NODES_MAX ||
        config->self >= config->node_count || config->heartbeat_ns == 0 ||
        config->heartbeat_ns > config->election_timeout_ns / 2)
        return -EINVAL;
    size_t capacity = 0;
    struct raft *created = raft_grow(NULL, &capacity, 1, sizeof(*created));
    memset(created, 0, sizeof(*created));
    created->config = *config;
    created->vote = RAFT_NONE;
    created->leader = RAFT_NONE;
    raft_reset_election_timer(created, now_ns);
    *raft = created;
    return 0;
}

void raft_destroy(struct raft *raft)
{
    if (!raft)
        return;
    raft_log_free(&raft->log);
    free(raft->reads);
    free(raft);
}

void raft_load_hard_state(struct raft *raft, uint64_t term, uint8_t vote)
{
    if (raft_has_bug(raft, RAFT_BUG_TERM_NOT_PERSISTED))
        return;
    raft->term = term;
    raft->vote = vote < raft->config.node_count ? vote : RAFT_NONE;
}

int raft_load_entry(struct raft *raft, uint64_t index, const struct raft_entry *entry)
{
    if (index == 0 || index > raft->log.count + 1 ||
        entry->term < raft_log_term(&raft->log, index - 1))
        return -EINVAL;
    raft_log_truncate(&raft->log, index);
    raft_log_append(&raft->log, entry);
    if (entry->term > raft->term) {
        raft->term = entry->term;
        raft->vote = RAFT_NONE;
    }
    return 0;
}

unsigned raft_quorum(const struct raft *raft)
{
    unsigned half = raft->config.node_count / 2u;
    if (raft_has_bug(raft, RAFT_BUG_HALF_QUORUM) && half > 0)
        return half;
    return half + 1;
}

uint64_t raft_commit_index(const struct raft *raft)
{
    return raft->commit_index;
}

uint64_t raft_last_index(const struct raft *raft)
{
    return raft->log.count;
}

const struct raft_entry *raft_get_entry(const struct raft *raft, uint64_t index)
{
    return index >= 1 && index <= raft->log.count ? &raft->log.entries[index - 1] : NULL;
}

const char *raft_role_name(enum raft_role role)
{
    switch (role) {
    case RAFT_LEADER:
        return "leader";
    case RAFT_FOLLOWER:
        return "follower";
    case RAFT_PRE_CANDIDATE:
    case RAFT_CANDIDATE:
        return "candidate";
    }
    return "unknown";
}

/* A candidate asks everybody every heartbeat, so silence tells; a follower that misses its leader
 * has heard nobody else and can't tell before it has asked. */
static uint8_t count_reachable(const struct raft *raft, uint64_t now_ns)
{
    uint8_t count = 1;
    uint64_t timeout = raft->config.election_timeout_ns;
    uint64_t memory = raft->leader != RAFT_NONE ? 2 * timeout : timeout;
    for (uint8_t i = 0; i < raft->config.node_count; i++) {
        const struct raft_peer *peer = &raft->peers[i];
        if (i == raft->config.self)
            continue;
        if (raft->role == RAFT_LEADER)
            count = (uint8_t)(count + (now_ns < peer->acked_ns + timeout));
        else
            count = (uint8_t)(count + (peer->heard && now_ns < peer->heard_ns + memory));
    }
    return count;
}

struct raft_status raft_get_status(const struct raft *raft, uint64_t now_ns)
{
    struct raft_status status = {
        .role = raft->role,
        .term = raft->term,
        .vote = raft->vote,
        .leader = raft->leader,
        .commit_index = raft->commit_index,
        .last_index = raft->log.count,
        .last_term = raft_log_term(&raft->log, raft->log.count),
    };
    bool follows = raft->role == RAFT_FOLLOWER && raft->leader != RAFT_NONE;
    if (follows && now_ns - raft->leader_heard_ns < raft->config.election_timeout_ns) {
        status.quorum = true;
        return status;
    }
    if (follows)
        status.leader = RAFT_NONE;
    status.reachable = count_reachable(raft, now_ns);
    status.quorum = status.reachable >= raft_quorum(raft);
    return status;
}

static void propose(struct raft *raft, const struct raft_event *event, struct raft_actions *actions)
{
    struct raft_proposal proposal = {.request = event->request};
    if (raft->role == RAFT_LEADER && raft_log_is_full(&raft->log)) {
        proposal.result = RAFT_PROPOSAL_FULL;
    } else if (raft->role == RAFT_LEADER) {
        raft_append_command(raft, event->payload, actions);
        proposal.result = RAFT_PROPOSAL_APPENDED;
        proposal.index = raft->log.count;
        proposal.term = raft->term;
    } else if (raft->leader != RAFT_NONE) {
        proposal.result = RAFT_PROPOSAL_FORWARDED;
        struct raft_message *message =
            raft_add_message(raft, actions, RAFT_MESSAGE_PROPOSE, raft->leader);
        size_t capacity = 0;
        message->request = event->request;
        message->entries = raft_grow(NULL, &capacity, 1, sizeof(*message->entries));
        message->entry_count = 1;
        message->entries[0] = (struct raft_entry){.type = RAFT_ENTRY_COMMAND,
                                                  .payload = raft_payload_hold(event->payload)};
    } else {
        proposal.result = RAFT_PROPOSAL_NO_LEADER;
    }
    raft_add_proposal(actions, &proposal);
}

static void receive_propose(struct raft *raft, const struct raft_message *message,
                            struct raft_actions *actions)
{
    if (message->entry_count != 1 || message->entries[0].type != RAFT_ENTRY_COMMAND)
        return;
    bool accepted = raft->role == RAFT_LEADER && !raft_log_is_full(&raft->log);
    if (accepted)
        raft_append_command(raft, message->entries[0].payload, actions);
    struct raft_message *reply =
        raft_add_message(raft, actions, RAFT_MESSAGE_PROPOSE_REPLY, message->from);
    reply->request = message->request;
    reply->success = accepted;
    reply->index = accepted ? raft->log.count : 0;
    reply->log_term = accepted ? raft->term : 0;
}

static void receive_propose_reply(const struct raft_message *message, struct raft_actions *actions)
{
    struct raft_proposal proposal = {
        .request = message->request,
        .result = message->success ? RAFT_PROPOSAL_APPENDED : RAFT_PROPOSAL_NO_LEADER,
        .index = message->index,
        .term = message->log_term,
    };
    raft_add_proposal(actions, &proposal);
}

/* Paper 5.1. False: the message is to be ignored. */
static bool settle_term(struct raft *raft, const struct raft_message *message, uint64_t now_ns,
                        struct raft_actions *actions)
{
    if (message->term <= raft->term)
        return true;
    bool future_term = message->type == RAFT_MESSAGE_PRE_VOTE ||
                       (message->type == RAFT_MESSAGE_PRE_VOTE_REPLY && message->success);
    if (future_term)
        return true;
    if (raft->role == RAFT_LEADER && raft_has_bug(raft, RAFT_BUG_NO_STEP_DOWN))
        return false;
    uint8_t leader = message->type == RAFT_MESSAGE_APPEND ? message->from : RAFT_NONE;
    raft_become_follower(raft, message->term, leader, RAFT_CAUSE_HIGHER_TERM, now_ns, actions);
    return true;
}

static void receive(struct raft *raft, const struct raft_message *message, uint64_t now_ns,
                    struct raft_actions *actions)
{
    if (message->from >= raft->config.node_count || message->from == raft->config.self ||
        message->to != raft->config.self)
        return;
    raft->peers[message->from].heard = true;
    raft->peers[message->from].heard_ns = now_ns;
    if (!settle_term(raft, message, now_ns, actions))
        return;
    switch (message->type) {
    case RAFT_MESSAGE_PRE_VOTE:
        raft_receive_pre_vote(raft, message, now_ns, actions);
        break;
    case RAFT_MESSAGE_VOTE:
        raft_receive_vote(raft, message, now_ns, actions);
        break;
    case RAFT_MESSAGE_PRE_VOTE_REPLY:
    case RAFT_MESSAGE_VOTE_REPLY:
        raft_receive_vote_reply(raft, message, now_ns, actions);
        break;
    case RAFT_MESSAGE_APPEND:
        raft_receive_append(raft, message, now_ns, actions);
        break;
    case RAFT_MESSAGE_APPEND_REPLY:
        raft_receive_append_reply(raft, message, now_ns, actions);
        break;
    case RAFT_MESSAGE_READ_INDEX:
        raft_receive_read_index(raft, message, actions);
        break;
    case RAFT_MESSAGE_READ_INDEX_REPLY:
        raft_receive_read_index_reply(raft, message, actions);
        break;
    case RAFT_MESSAGE_PROPOSE:
        receive_propose(raft, message, actions);
        break;
    case RAFT_MESSAGE_PROPOSE_REPLY:
        receive_propose_reply(message, actions);
        break;
    case RAFT_MESSAGE_TYPE_COUNT:
        break;
    }
}

static void tick_leader(struct raft *raft, uint64_t now_ns, struct raft_actions *actions)
{
    bool lost = now_ns >= raft_quorum_due_ns(raft);
    if (lost && !raft_has_bug(raft, RAFT_BUG_NO_CHECK_QUORUM))
        raft_become_follower(raft, raft->term, RAFT_NONE, RAFT_CAUSE_NO_QUORUM, now_ns, actions);
    else
        raft_replicate(raft, now_ns, actions);
}

static void tick(struct raft *raft, uint64_t now_ns, struct raft_actions *actions)
{
    if (raft->role != RAFT_LEADER && now_ns >= raft->election_due_ns)
        raft_campaign(raft, now_ns, actions);
    else if (raft->role == RAFT_PRE_CANDIDATE || raft->role == RAFT_CANDIDATE)
        if (now_ns >= raft->heartbeat_due_ns)
            raft_repeat_requests(raft, now_ns, actions);
    if (raft->role == RAFT_LEADER)
        tick_leader(raft, now_ns, actions);
}

void raft_step(struct raft *raft, const struct raft_event *event, uint64_t now_ns,
               struct raft_actions *actions)
{
    switch (event->type) {
    case RAFT_EVENT_TICK:
        tick(raft, now_ns, actions);
        break;
    case RAFT_EVENT_RECEIVE:
        receive(raft, event->message, now_ns, actions);
        break;
    case RAFT_EVENT_PROPOSE:
        propose(raft, event, actions);
        break;
    case RAFT_EVENT_READ:
        raft_read_begin(raft, raft->config.self, event->request, actions);
        break;
    }
    assert(raft->commit_index <= raft->log.count);
}

uint64_t raft_next_due_ns(const struct raft *raft)
{
    uint64_t due = raft->election_due_ns;
    if (raft->role == RAFT_LEADER)
        due = raft_has_bug(raft, RAFT_BUG_NO_CHECK_QUORUM) ? UINT64_MAX : raft_quorum_due_ns(raft);
    if (raft->role != RAFT_FOLLOWER && raft->heartbeat_due_ns < due)
        due = raft->heartbeat_due_ns;
    return due;
}
