/* Elections.
 *
 * Theory of operation
 *
 * A follower that has not heard its leader for a randomized election timeout (1 to 2 times the
 * configured one, paper 5.2) becomes pre-candidate: it asks whether it would be elected
 * (thesis 9.6), changing nobody's term. A voter says yes when the asker's log is at least as up to
 * date as its own (paper 5.4.1) and it has itself not heard a leader within the election timeout
 * (thesis 4.2.3), so a node that was cut off can't disturb a working cluster when it comes back.
 * With a quorum of yes it becomes candidate: a new term, a vote for itself, both durable before the
 * requests go out.
 *
 * Requests are repeated every heartbeat to those that have not answered, so that a lost message
 * costs a heartbeat and not an election. Votes are a flag per node: a repeated answer counts once.
 *
 * States:  follower -> pre-candidate -> candidate -> leader, and any of them -> follower. */
#include <assert.h>

#include "examples/raftkv/core/raft_state.h"

/* SplitMix64's finalizer over (seed, node, number of the draw): repeatable, different per node. */
static uint64_t draw(struct raft *raft)
{
    uint64_t x = raft->config.seed + (raft->config.self + 1u) * UINT64_C(0xd1b54a32d192ed03) +
                 ++raft->timeout_draws * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

void raft_reset_election_timer(struct raft *raft, uint64_t now_ns)
{
    uint64_t timeout = raft->config.election_timeout_ns;
    raft->election_due_ns = now_ns + timeout + draw(raft) % timeout;
}

void raft_become_follower(struct raft *raft, uint64_t term, uint8_t leader, enum raft_cause cause,
                          uint64_t now_ns, struct raft_actions *actions)
{
    assert(term >= raft->term);
    enum raft_role before = raft->role;
    bool changed = term != raft->term || before != RAFT_FOLLOWER || leader != raft->leader;
    if (term > raft->term || raft_has_bug(raft, RAFT_BUG_VOTE_CLEARED)) {
        if (term != raft->term || raft->vote != RAFT_NONE) {
            raft->term = term;
            raft->vote = RAFT_NONE;
            raft_persist_hard_state(raft, actions);
        }
    }
    raft->role = RAFT_FOLLOWER;
    raft->leader = leader;
    if (before == RAFT_LEADER)
        raft_reads_refuse(raft, actions);
    if (before != RAFT_FOLLOWER || leader != RAFT_NONE)
        raft_reset_election_timer(raft, now_ns);
    if (leader != RAFT_NONE)
        raft->leader_heard_ns = now_ns;
    if (changed)
        raft_add_transition(raft, actions, before, cause);
}

static bool is_campaigning(const struct raft *raft)
{
    return raft->role == RAFT_PRE_CANDIDATE || raft->role == RAFT_CANDIDATE;
}

static unsigned count_votes(const struct raft *raft)
{
    unsigned votes = 1; /* its own */
    for (uint8_t i = 0; i < raft->config.node_count; i++)
        if (i != raft->config.self)
            votes += raft->peers[i].votes;
    return votes;
}

static void send_requests(struct raft *raft, uint64_t now_ns, struct raft_actions *actions)
{
    bool real = raft->role == RAFT_CANDIDATE;
    for (uint8_t i = 0; i < raft->config.node_count; i++) {
        if (i == raft->config.self || raft->peers[i].answered)
            continue;
        struct raft_message *message =
            raft_add_message(raft, actions, real ? RAFT_MESSAGE_VOTE : RAFT_MESSAGE_PRE_VOTE, i);
        message->term = real ? raft->term : raft->term + 1;
        message->index = raft->log.count;
        message->log_term = raft_log_term(&raft->log, raft->log.count);
    }
    raft->heartbeat_due_ns = now_ns + raft->config.heartbeat_ns;
}

static void start_campaign(struct raft *raft, enum raft_role role, enum raft_cause cause,
                           uint64_t now_ns, struct raft_actions *actions)
{
    enum raft_role before = raft->role;
    raft->role = role;
    raft->leader = RAFT_NONE;
    for (uint8_t i = 0; i < raft->config.node_count; i++) {
        raft->peers[i].votes = 0;
        raft->peers[i].answered = false;
    }
    if (role == RAFT_CANDIDATE) {
        raft->term++;
        raft->vote = raft->config.self;
        raft_persist_hard_state(raft, actions);
    }
    raft_reset_election_timer(raft, now_ns);
    if (before != role)
        raft_add_transition(raft, actions, before, cause);
    send_requests(raft, now_ns, actions);
}

/* Goes as far as the votes at hand allow; a single node gets all the way at once. */
static void count_and_advance(struct raft *raft, uint64_t now_ns, struct raft_actions *actions)
{
    if (raft->role == RAFT_PRE_CANDIDATE && count_votes(raft) >= raft_quorum(raft))
        start_campaign(raft, RAFT_CANDIDATE, RAFT_CAUSE_WON, now_ns, actions);
    if (raft->role == RAFT_CANDIDATE && count_votes(raft) >= raft_quorum(raft)) {
        raft->role = RAFT_LEADER;
        raft->leader = raft->config.self;
        raft_add_transition(raft, actions, RAFT_CANDIDATE, RAFT_CAUSE_WON);
        raft_start_leading(raft, now_ns, actions);
    }
}

void raft_campaign(struct raft *raft, uint64_t now_ns, struct raft_actions *actions)
{
    assert(raft->role != RAFT_LEADER);
    bool direct = raft_has_bug(raft, RAFT_BUG_NO_PRE_VOTE);
    start_campaign(raft, direct ? RAFT_CANDIDATE : RAFT_PRE_CANDIDATE, RAFT_CAUSE_TIMEOUT, now_ns,
                   actions);
    count_and_advance(raft, now_ns, actions);
}

void raft_repeat_requests(struct raft *raft, uint64_t now_ns, struct raft_actions *actions)
{
    assert(is_campaigning(raft));
    send_requests(raft, now_ns, actions);
}

/* Paper 5.4.1: the later last term wins, then the longer log. */
static bool is_up_to_date(const struct raft *raft, const struct raft_message *message)
{
    if (raft_has_bug(raft, RAFT_BUG_NO_UP_TO_DATE_CHECK))
        return true;
    uint64_t last_term = raft_log_term(&raft->log, raft->log.count);
    if (message->log_term != last_term)
        return message->log_term > last_term;
    return message->index >= raft->log.count;
}

static bool hears_leader(const struct raft *raft, uint64_t now_ns)
{
    if (raft->leader == RAFT_NONE)
        return false;
    return raft->leader == raft->config.self ||
           now_ns - raft->leader_heard_ns < raft->config.election_timeout_ns;
}

void raft_receive_pre_vote(struct raft *raft, const struct raft_message *message, uint64_t now_ns,
                           struct raft_actions *actions)
{
    bool granted =
        message->term > raft->term && !hears_leader(raft, now_ns) && is_up_to_date(raft, message);
    struct raft_message *reply =
        raft_add_message(raft, actions, RAFT_MESSAGE_PRE_VOTE_REPLY, message->from);
    reply->success = granted;
    if (granted)
        reply->term = message->term;
}

void raft_receive_vote(struct raft *raft, const struct raft_message *message, uint64_t now_ns,
                       struct raft_actions *actions)
{
    bool free_to_vote = raft->vote == RAFT_NONE || raft->vote == message->from;
    bool granted = message->term == raft->term && raft->role == RAFT_FOLLOWER && free_to_vote &&
                   is_up_to_date(raft, message);
    if (granted) {
        if (raft->vote != message->from) {
            raft->vote = message->from;
            if (!raft_has_bug(raft, RAFT_BUG_VOTE_NOT_PERSISTED))
                raft_persist_hard_state(raft, actions);
        }
        raft_reset_election_timer(raft, now_ns);
    }
    struct raft_message *reply =
        raft_add_message(raft, actions, RAFT_MESSAGE_VOTE_REPLY, message->from);
    reply->success = granted;
}

/* Both kinds of reply. */
void raft_receive_vote_reply(struct raft *raft, const struct raft_message *message, uint64_t now_ns,
                             struct raft_actions *actions)
{
    bool real = message->type == RAFT_MESSAGE_VOTE_REPLY;
    if (raft->role != (real ? RAFT_CANDIDATE : RAFT_PRE_CANDIDATE))
        return;
    struct raft_peer *peer = &raft->peers[message->from];
    uint64_t asked = real ? raft->term : raft->term + 1;
    bool current = message->term == asked || raft_has_bug(raft, RAFT_BUG_STALE_REPLY);
    if (!message->success) {
        peer->answered = peer->answered || message->term == raft->term;
        return;
    }
    if (!current)
        return;
    peer->answered = true;
    peer->votes = raft_has_bug(raft, RAFT_BUG_VOTE_COUNTED_TWICE) ? peer->votes + 1 : 1;
    count_and_advance(raft, now_ns, actions);
}
