/* Inside the core: the state and what its files call of each other. Not for users of the core. */
#ifndef RAFTKV_CORE_RAFT_STATE_H
#define RAFTKV_CORE_RAFT_STATE_H

#include "examples/raftkv/core/raft.h"

struct raft_log {
    struct raft_entry *entries; /* entries[i] has index i + 1 */
    uint64_t count;
    uint64_t capacity;
    uint64_t bytes; /* payload bytes held */
};

/* What a leader knows of a follower (paper, figure 2, "volatile state on leaders"), and what every
 * node knows of when a peer was heard. */
struct raft_peer {
    uint64_t next_index;
    uint64_t match_index;
    bool probing;    /* next_index is a guess: one AppendEntries at a time until it matches */
    bool probe_sent; /* cleared by a reply and by the heartbeat timer */
    uint64_t sent_commit;
    uint64_t sent_round;
    uint64_t acked_round; /* the newest heartbeat round that this follower answered */
    uint64_t acked_ns;    /* last reply to this leader in this term */
    uint64_t heard_ns;    /* last message of any kind */
    bool heard;
    unsigned votes; /* 0 or 1 in this campaign; can be more only by defect */
    bool answered;  /* this campaign */
};

/* A read that a leader has not yet confirmed. */
struct raft_pending_read {
    uint8_t from;
    uint64_t request;
    uint64_t index; /* 0 until an entry of this term is committed */
    uint64_t round; /* 0 until the round that will confirm it is known */
};

struct raft {
    struct raft_config config;
    enum raft_role role;
    uint64_t term;
    uint8_t vote;
    uint8_t leader;
    struct raft_log log;
    uint64_t commit_index;
    struct raft_peer peers[RAFT_NODES_MAX];
    uint64_t leader_heard_ns;  /* valid while leader is another node */
    uint64_t election_due_ns;  /* not for leaders */
    uint64_t heartbeat_due_ns; /* leader: next heartbeat; candidate: next repetition */
    uint64_t timeout_draws;    /* how many randomized timeouts were drawn */
    uint64_t term_start_index; /* leader: index of its no-op */
    uint64_t round;            /* leader: the newest heartbeat round */
    struct raft_pending_read *reads;
    size_t read_count, read_capacity;
};

static inline bool raft_has_bug(const struct raft *raft, enum raft_bug bug)
{
    return (raft->config.bugs & (1u << bug)) != 0;
}

/* memory.c: growing, or aborting with a message. */
void *raft_grow(void *items, size_t *capacity, size_t count, size_t item_size);

/* raft_log.c. Index 0 has term 0. */
uint64_t raft_log_term(const struct raft_log *log, uint64_t index);
void raft_log_append(struct raft_log *log, const struct raft_entry *entry); /* holds the payload */
void raft_log_truncate(struct raft_log *log, uint64_t first);
void raft_log_free(struct raft_log *log);
bool raft_log_is_full(const struct raft_log *log);

/* raft_actions.c */
struct raft_message *raft_add_message(struct raft *raft, struct raft_actions *actions,
                                      enum raft_message_type type, uint8_t to);
void raft_add_proposal(struct raft_actions *actions, const struct raft_proposal *proposal);
void raft_add_read(struct raft_actions *actions, uint64_t request, bool granted, uint64_t index);
void raft_add_transition(struct raft *raft, struct raft_actions *actions, enum raft_role from,
                         enum raft_cause cause);
void raft_persist_hard_state(const struct raft *raft, struct raft_actions *actions);
void raft_persist_entries(struct raft_actions *actions, uint64_t first);

/* raft_election.c */
void raft_become_follower(struct raft *raft, uint64_t term, uint8_t leader, enum raft_cause cause,
                          uint64_t now_ns, struct raft_actions *actions);
void raft_campaign(struct raft *raft, uint64_t now_ns, struct raft_actions *actions);
void raft_repeat_requests(struct raft *raft, uint64_t now_ns, struct raft_actions *actions);
void raft_reset_election_timer(struct raft *raft, uint64_t now_ns);
void raft_receive_pre_vote(struct raft *raft, const struct raft_message *message, uint64_t now_ns,
                           struct raft_actions *actions);
void raft_receive_vote(struct raft *raft, const struct raft_message *message, uint64_t now_ns,
                       struct raft_actions *actions);
void raft_receive_vote_reply(struct raft *raft, const struct raft_message *message, uint64_t now_ns,
                             struct raft_actions *actions);

/* raft_replication.c */
void raft_start_leading(struct raft *raft, uint64_t now_ns, struct raft_actions *actions);
void raft_append_command(struct raft *raft, struct raft_payload *payload,
                         struct raft_actions *actions);
void raft_replicate(struct raft *raft, uint64_t now_ns, struct raft_actions *actions);
void raft_receive_append(struct raft *raft, const struct raft_message *message, uint64_t now_ns,
                         struct raft_actions *actions);
void raft_receive_append_reply(struct raft *raft, const struct raft_message *message,
                               uint64_t now_ns, struct raft_actions *actions);
/* When the quorum of answers becomes too old; UINT64_MAX when this node is a quorum. */
uint64_t raft_quorum_due_ns(const struct raft *raft);

/* raft_read.c */
void raft_read_begin(struct raft *raft, uint8_t from, uint64_t request,
                     struct raft_actions *actions);
void raft_receive_read_index(struct raft *raft, const struct raft_message *message,
                             struct raft_actions *actions);
void raft_receive_read_index_reply(const struct raft *raft, const struct raft_message *message,
                                   struct raft_actions *actions);
void raft_reads_advance(struct raft *raft, struct raft_actions *actions);
void raft_reads_start_round(struct raft *raft);
void raft_reads_refuse(struct raft *raft, struct raft_actions *actions);

#endif
