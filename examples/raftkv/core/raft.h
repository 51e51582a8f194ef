/* Raft as a pure core: raft_step(state, event, now) -> actions.
 *
 * The core reads no clock, opens no file or socket and draws no randomness of its own: time is an
 * argument, the seed of the election timeouts is in the configuration, and everything that has to
 * happen outside is an action. The same code runs in the server and under virtual time.
 *
 * Section numbers are those of Ongaro and Ousterhout, "In Search of an Understandable Consensus
 * Algorithm (Extended Version)", 2014 [paper], and of Ongaro's dissertation "Consensus: Bridging
 * Theory and Practice", 2014 [thesis].
 *
 * How to drive it
 *   1. raft_create, raft_load_hard_state, raft_load_entry for each stored entry.
 *   2. For each input: raft_step into the same struct raft_actions, as often as there is input.
 *   3. raft_step with RAFT_EVENT_TICK: it runs the timers and makes the AppendEntries messages that
 *      the steps before it have made necessary, so that one turn sends one batch.
 *   4. Carry the actions out *in the order of the fields of struct raft_actions*, above all: what
 * is to be persisted must be durable before anything after it is done. raft_actions_clear.
 *   5. Call again with the next input, or with RAFT_EVENT_TICK at raft_next_due_ns.
 *
 * Memory: the whole log stays in memory (this form has no snapshots). It is bounded by
 * RAFT_LOG_ENTRIES_MAX and RAFT_LOG_BYTES_MAX: at the bound the leader refuses proposals with
 * RAFT_PROPOSAL_FULL. Allocation failure aborts the process: a node that can't remember must not go
 * on. */
#ifndef RAFTKV_CORE_RAFT_H
#define RAFTKV_CORE_RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RAFT_NODES_MAX = 9,              /* nodes of a cluster, numbered 0 to count - 1 */
    RAFT_NONE = 255,                 /* no node: nobody voted for, no leader known */
    RAFT_PAYLOAD_MAX = 4 << 20,      /* bytes of one entry */
    RAFT_APPEND_ENTRIES_MAX = 512,   /* entries of one AppendEntries message ... */
    RAFT_APPEND_BYTES_MAX = 1 << 20, /* ... and bytes: a message stops after passing this */
    RAFT_WINDOW_ENTRIES = 4096,      /* entries sent to a follower and not acknowledged */
    RAFT_LOG_ENTRIES_MAX = 1 << 24,
    RAFT_READS_MAX = 65536, /* ReadIndex requests that wait on a leader */
};
#define RAFT_LOG_BYTES_MAX (UINT64_C(2) << 30)

/* ------------------------------------------------------------------ defects on request --- */

/* Classic mistakes, each switched on by name and placed where people make it. Off by default. */
enum raft_bug {
    RAFT_BUG_HALF_QUORUM,         /* n/2 is taken for a majority */
    RAFT_BUG_VOTE_NOT_PERSISTED,  /* the vote isn't durable before it is sent */
    RAFT_BUG_TERM_NOT_PERSISTED,  /* a restart forgets the current term */
    RAFT_BUG_VOTE_CLEARED,        /* votedFor cleared without a change of term */
    RAFT_BUG_VOTE_COUNTED_TWICE,  /* a second reply of the same voter counts again */
    RAFT_BUG_STALE_REPLY,         /* replies of an older term are accepted */
    RAFT_BUG_COMMIT_OLD_TERM,     /* an older term's entry commits by counting (figure 8) */
    RAFT_BUG_NO_UP_TO_DATE_CHECK, /* a candidate with an older log can win */
    RAFT_BUG_NO_PREV_TERM_CHECK,  /* AppendEntries checks the previous index, not its term */
    RAFT_BUG_NO_TRUNCATE,         /* a conflicting suffix stays */
    RAFT_BUG_TRUNCATE_ALWAYS,     /* every AppendEntries truncates, even an old one */
    RAFT_BUG_COMMIT_BEYOND_MATCH, /* commitIndex = leaderCommit, beyond what was checked */
    RAFT_BUG_MATCH_OPTIMISTIC,    /* matchIndex = what was sent, not what was acknowledged */
    RAFT_BUG_NO_STEP_DOWN,        /* a leader ignores a higher term */
    RAFT_BUG_LOCAL_READS,         /* the leader answers reads without asking */
    RAFT_BUG_EARLY_READ_INDEX,    /* ReadIndex before an entry of the current term committed */
    RAFT_BUG_NO_CHECK_QUORUM,     /* an isolated leader goes on being leader */
    RAFT_BUG_NO_PRE_VOTE,         /* a rejoining node's term knocks out a healthy leader */
    RAFT_BUG_COUNT
};

/* The name of a defect ("half-quorum"), NULL when bug is not one: walk from 0 to list them. */
const char *raft_bug_name(unsigned bug);
/* The bit of a named defect in raft_config.bugs; 0 for a name that isn't known. */
uint32_t raft_bug_by_name(const char *name);

/* ------------------------------------------------------------------------------ entries --- */

/* Immutable bytes, shared by log, messages and the simulated network. Not for several threads. */
struct raft_payload {
    uint32_t references;
    uint32_t length;
    uint8_t bytes[];
};

/* A copy of bytes with one reference, the caller's. length at most RAFT_PAYLOAD_MAX. */
struct raft_payload *raft_payload_create(const void *bytes, size_t length);
struct raft_payload *raft_payload_hold(struct raft_payload *payload); /* NULL is fine */
void raft_payload_release(struct raft_payload *payload);              /* NULL is fine */

enum raft_entry_type {
    RAFT_ENTRY_NOOP,   /* what a new leader appends first (paper 8); no payload */
    RAFT_ENTRY_COMMAND /* the state machine's */
};

struct raft_entry {
    uint64_t term;
    enum raft_entry_type type;
    struct raft_payload *payload; /* NULL for a no-op */
};

/* ----------------------------------------------------------------------------- messages --- */

enum raft_message_type {
    RAFT_MESSAGE_PRE_VOTE,       /* thesis 9.6: would you vote for me in `term`? */
    RAFT_MESSAGE_PRE_VOTE_REPLY, /* granted: term is the asked one; else the voter's own */
    RAFT_MESSAGE_VOTE,           /* paper 5.2, 5.4.1 */
    RAFT_MESSAGE_VOTE_REPLY,
    RAFT_MESSAGE_APPEND, /* paper 5.3; without entries it is the heartbeat */
    RAFT_MESSAGE_APPEND_REPLY,
    RAFT_MESSAGE_READ_INDEX, /* thesis 6.4: a follower asks for a read index */
    RAFT_MESSAGE_READ_INDEX_REPLY,
    RAFT_MESSAGE_PROPOSE, /* a follower hands a proposal to the leader: entries[0] */
    RAFT_MESSAGE_PROPOSE_REPLY,
    RAFT_MESSAGE_TYPE_COUNT
};

/* One flat shape for all; what a type doesn't name is 0. */
struct raft_message {
    enum raft_message_type type;
    uint8_t from;
    uint8_t to;
    bool success;  /* replies: granted, appended, index valid, proposed */
    uint64_t term; /* the sender's current term (pre-vote: the term it would have) */
    /* (PRE_)VOTE: last log index. APPEND: index before the entries. APPEND_REPLY: the last index
     * known to match, or the refused previous index. READ_INDEX_REPLY: the read index.
     * PROPOSE_REPLY: where it was appended. */
    uint64_t index;
    uint64_t log_term; /* (PRE_)VOTE: last log term. APPEND: term at index. PROPOSE_REPLY: term */
    uint64_t commit;   /* APPEND: the leader's commit index */
    uint64_t conflict; /* refused APPEND: first index that may differ (paper 5.3, end) */
    uint64_t round;    /* APPEND and its reply: number of the heartbeat round (thesis 6.4) */
    uint64_t request;  /* READ_INDEX, PROPOSE and replies: the asker's name for it */
    struct raft_entry *entries; /* owned by the message, payloads held */
    uint32_t entry_count;
};

/* A copy of *from in *to, entries included (payloads shared). */
void raft_message_copy(struct raft_message *to, const struct raft_message *from);
/* Frees the entries and releases their payloads; *message is zeroed. */
void raft_message_release(struct raft_message *message);

/* ------------------------------------------------------------------------------- events --- */

enum raft_event_type {
    RAFT_EVENT_TICK,    /* timers, and the end of a batch of steps */
    RAFT_EVENT_RECEIVE, /* message: borrowed. Unknown senders and other nodes' mail are ignored */
    RAFT_EVENT_PROPOSE, /* payload (borrowed, held if needed), request: comes back in proposals */
    /* request: comes back in reads. A name for this ask: an answer to it must not be mistaken for
     * that to another, so asking again in the same term takes a new one. */
    RAFT_EVENT_READ
};

struct raft_event {
    enum raft_event_type type;
    const struct raft_message *message;
    struct raft_payload *payload;
    uint64_t request;
};

/* ------------------------------------------------------------------------------ actions --- */

enum raft_proposal_result {
    RAFT_PROPOSAL_APPENDED,  /* in the leader's log at (index, term): not yet committed */
    RAFT_PROPOSAL_FORWARDED, /* a PROPOSE message to the leader is among the messages */
    RAFT_PROPOSAL_NO_LEADER, /* was not proposed: no leader known, or the asked one isn't */
    RAFT_PROPOSAL_FULL       /* was not proposed: the log is at its bound */
};

struct raft_proposal {
    uint64_t request;
    enum raft_proposal_result result;
    uint64_t index; /* APPENDED only; the proposal is dead when another term commits there */
    uint64_t term;
};

struct raft_read {
    uint64_t request;
    bool granted;   /* false: no leader, or it lost its place: ask again if you like */
    uint64_t index; /* granted: answer once the state machine has applied this index */
};

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

enum raft_cause {
    RAFT_CAUSE_TIMEOUT,      /* no leader heard for an election timeout */
    RAFT_CAUSE_WON,          /* a quorum granted */
    RAFT_CAUSE_HIGHER_TERM,  /* a message carried a newer term */
    RAFT_CAUSE_NO_QUORUM,    /* check-quorum (thesis 6.2): leader without a majority */
    RAFT_CAUSE_LEADER_FOUND, /* an AppendEntries of the current term came */
};

struct raft_transition {
    enum raft_role from, to;
    enum raft_cause cause;
    uint64_t term;  /* after the transition */
    uint8_t leader; /* after the transition, or RAFT_NONE */
};

/* What has to be done, in this order. Zero-initialise; raft_step adds; raft_actions_clear empties.
 */
struct raft_actions {
    /* 1. Make durable: the hard state, and the log from entries_first to its end, replacing
     * whatever was stored from there on. Nothing below may happen before this is on disk. */
    bool hard_state;
    uint64_t term; /* valid with hard_state */
    uint8_t vote;
    uint64_t entries_first; /* 0: no entry changed. Read them with raft_get_entry */

    /* 2. Send. Losing, delaying, repeating and reordering messages is allowed. */
    struct raft_message *messages;
    size_t message_count, message_capacity;

    /* 3. Answers to proposals (not their outcome: that is known when the index is applied). */
    struct raft_proposal *proposals;
    size_t proposal_count, proposal_capacity;

    /* 4. Only if not 0: entries from this index on were committed here and have been replaced. A
     * correct cluster never does this: stop, or rebuild the state machine from the log. */
    uint64_t overwritten_first;

    /* 5. Apply every entry up to raft_commit_index that has not been applied. */

    /* 6. Read answers. */
    struct raft_read *reads;
    size_t read_count, read_capacity;

    /* 7. For the log file and for people. */
    struct raft_transition *transitions;
    size_t transition_count, transition_capacity;
};

/* Releases messages and empties the lists, keeping their memory. */
void raft_actions_clear(struct raft_actions *actions);
/* The same and frees the memory. */
void raft_actions_free(struct raft_actions *actions);

/* -------------------------------------------------------------------------------- state --- */

struct raft;

struct raft_config {
    uint8_t self;       /* this node's number */
    uint8_t node_count; /* 1 to RAFT_NODES_MAX */
    uint64_t seed;      /* of the randomized election timeouts (paper 5.2) */
    /* A follower waits 1 to 2 times this for its leader; a leader that has not heard from a
     * quorum for this long steps down; a voter that has heard a leader within it refuses
     * pre-votes (thesis 4.2.3). */
    uint64_t election_timeout_ns;
    uint64_t heartbeat_ns; /* at most half of the election timeout */
    uint32_t bugs;         /* bits 1u << RAFT_BUG_... */
};

/* 0, or -EINVAL when the configuration makes no sense. The node starts as a follower of term 0
 * with an empty log, waiting for a leader from now_ns on. */
int raft_create(struct raft **raft, const struct raft_config *config, uint64_t now_ns);
void raft_destroy(struct raft *raft); /* NULL is fine */

/* Between raft_create and the first step: what was persisted. */
void raft_load_hard_state(struct raft *raft, uint64_t term, uint8_t vote);
/* Stores an entry at index, dropping what was loaded from there on. The payload is held. -EINVAL
 * when index leaves a gap or the term goes back: the stored log is damaged. */
int raft_load_entry(struct raft *raft, uint64_t index, const struct raft_entry *entry);

/* Adds to *actions what event makes necessary. now_ns never goes back. */
void raft_step(struct raft *raft, const struct raft_event *event, uint64_t now_ns,
               struct raft_actions *actions);

/* When RAFT_EVENT_TICK is needed next if nothing else happens. */
uint64_t raft_next_due_ns(const struct raft *raft);

struct raft_status {
    enum raft_role role;
    uint64_t term;
    uint8_t vote;
    uint8_t leader; /* RAFT_NONE when none was heard within an election timeout */
    uint64_t commit_index;
    uint64_t last_index;
    uint64_t last_term;
    /* Leader: a quorum answered within an election timeout. Follower: the leader is heard. Without
     * a leader: enough nodes were heard lately for an election to succeed. */
    bool quorum;
    uint8_t reachable; /* nodes counted for that, this one included (with a leader: 0, unknown) */
};

struct raft_status raft_get_status(const struct raft *raft, uint64_t now_ns);
uint64_t raft_commit_index(const struct raft *raft);
uint64_t raft_last_index(const struct raft *raft);
/* NULL unless 1 <= index <= raft_last_index. Valid until the next step. */
const struct raft_entry *raft_get_entry(const struct raft *raft, uint64_t index);
/* How many nodes are a majority: the one place that says so, for votes, commit and
 * check-quorum alike. */
unsigned raft_quorum(const struct raft *raft);

const char *raft_role_name(enum raft_role role); /* "leader" | "follower" | "candidate" */

#endif
