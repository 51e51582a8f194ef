/* ReadIndex (thesis 6.4).
 *
 * Theory of operation
 *
 * A read is linearizable when the leader was still leader after the read arrived, and its state
 * machine has applied what was committed then. So a leader (1) waits until an entry of its own term
 * is committed, before which it can't know the commit index, (2) notes the commit index, (3) starts
 * a heartbeat round numbered after the read's arrival, and (4) grants the index when a quorum has
 * answered that round or a later one. Reads that arrive in one batch share a round. A follower asks
 * its leader with a READ_INDEX message and applies up to the granted index itself.
 *
 * An ask counts in its term only, at both ends: the leader refuses one of an older term, and the
 * follower takes an answer only from the leader it has now, in the term they share. So an answer
 * that was long on its way can't be taken for that to a later ask. */

#include "examples/raftkv/core/raft_state.h"

static void answer(struct raft *raft, const struct raft_pending_read *read, bool granted,
                   struct raft_actions *actions)
{
    if (read->from == raft->config.self) {
        raft_add_read(actions, read->request, granted, read->index);
        return;
    }
    struct raft_message *reply =
        raft_add_message(raft, actions, RAFT_MESSAGE_READ_INDEX_REPLY, read->from);
    reply->request = read->request;
    reply->success = granted;
    reply->index = read->index;
}

void raft_read_begin(struct raft *raft, uint8_t from, uint64_t request,
                     struct raft_actions *actions)
{
    struct raft_pending_read read = {.from = from, .request = request};
    bool is_leader = raft->role == RAFT_LEADER;
    if (is_leader && raft_has_bug(raft, RAFT_BUG_LOCAL_READS)) {
        read.index = raft->commit_index;
        answer(raft, &read, true, actions);
    } else if (is_leader && raft->read_count < RAFT_READS_MAX) {
        raft->reads = raft_grow(raft->reads, &raft->read_capacity, raft->read_count + 1,
                                sizeof(*raft->reads));
        raft->reads[raft->read_count++] = read;
    } else if (from == raft->config.self && !is_leader && raft->leader != RAFT_NONE) {
        struct raft_message *message =
            raft_add_message(raft, actions, RAFT_MESSAGE_READ_INDEX, raft->leader);
        message->request = request;
    } else {
        answer(raft, &read, false, actions);
    }
}

void raft_receive_read_index(struct raft *raft, const struct raft_message *message,
                             struct raft_actions *actions)
{
    struct raft_pending_read read = {.from = message->from, .request = message->request};
    if (message->term == raft->term)
        raft_read_begin(raft, message->from, message->request, actions);
    else
        answer(raft, &read, false, actions);
}

void raft_receive_read_index_reply(const struct raft *raft, const struct raft_message *message,
                                   struct raft_actions *actions)
{
    if (message->term == raft->term && message->from == raft->leader)
        raft_add_read(actions, message->request, message->success, message->index);
}

/* Gives the reads that wait for it an index and the next round. */
void raft_reads_start_round(struct raft *raft)
{
    bool knows_commit = raft->commit_index >= raft->term_start_index ||
                        raft_has_bug(raft, RAFT_BUG_EARLY_READ_INDEX);
    bool started = false;
    for (size_t i = raft->read_count; knows_commit && i > 0; i--) {
        struct raft_pending_read *read = &raft->reads[i - 1];
        if (read->round)
            break; /* older ones have theirs */
        if (!started)
            raft->round++;
        started = true;
        read->index = raft->commit_index;
        read->round = raft->round;
    }
}

static bool is_confirmed(const struct raft *raft, uint64_t round)
{
    unsigned nodes = 1;
    for (uint8_t i = 0; i < raft->config.node_count; i++)
        nodes += i != raft->config.self && raft->peers[i].acked_round >= round;
    return nodes >= raft_quorum(raft);
}

void raft_reads_advance(struct raft *raft, struct raft_actions *actions)
{
    size_t done = 0;
    uint64_t confirmed = 0;
    while (done < raft->read_count) {
        const struct raft_pending_read *read = &raft->reads[done];
        if (read->round == 0)
            break;
        if (read->round != confirmed && !is_confirmed(raft, read->round))
            break;
        confirmed = read->round;
        answer(raft, read, true, actions);
        done++;
    }
    for (size_t i = done; i < raft->read_count && done > 0; i++)
        raft->reads[i - done] = raft->reads[i];
    raft->read_count -= done;
}

void raft_reads_refuse(struct raft *raft, struct raft_actions *actions)
{
    for (size_t i = 0; i < raft->read_count; i++)
        answer(raft, &raft->reads[i], false, actions);
    raft->read_count = 0;
}
