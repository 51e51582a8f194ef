/* The core, one node at a time: what it answers to each message in each state. Clusters under
 * virtual time are in tests/sim. */
#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#include "examples/raftkv/core/raft.h"

#define MS UINT64_C(1000000)
#define TIMEOUT (100 * MS)
#define HEARTBEAT (20 * MS)

/* One node under test, number 0, and the last actions. */
struct fixture {
    struct raft *raft;
    struct raft_actions actions;
    uint64_t now;
};

static struct fixture create(uint8_t nodes, uint32_t bugs)
{
    struct fixture fixture = {.now = 1000 * MS};
    struct raft_config config = {.node_count = nodes,
                                 .seed = 7,
                                 .election_timeout_ns = TIMEOUT,
                                 .heartbeat_ns = HEARTBEAT,
                                 .bugs = bugs};
    assert_int_equal(raft_create(&fixture.raft, &config, fixture.now), 0);
    return fixture;
}

static void destroy(struct fixture *fixture)
{
    raft_actions_free(&fixture->actions);
    raft_destroy(fixture->raft);
}

static void step(struct fixture *fixture, struct raft_event event)
{
    raft_actions_clear(&fixture->actions);
    raft_step(fixture->raft, &event, fixture->now, &fixture->actions);
}

static void tick(struct fixture *fixture)
{
    step(fixture, (struct raft_event){.type = RAFT_EVENT_TICK});
}

static void tick_at_due(struct fixture *fixture)
{
    uint64_t due = raft_next_due_ns(fixture->raft);
    fixture->now = due > fixture->now ? due : fixture->now;
    tick(fixture);
}

static void receive(struct fixture *fixture, struct raft_message message)
{
    step(fixture, (struct raft_event){.type = RAFT_EVENT_RECEIVE, .message = &message});
}

static const struct raft_message *find_message(const struct fixture *fixture,
                                               enum raft_message_type type, uint8_t to)
{
    for (size_t i = 0; i < fixture->actions.message_count; i++)
        if (fixture->actions.messages[i].type == type && fixture->actions.messages[i].to == to)
            return &fixture->actions.messages[i];
    return NULL;
}

static struct raft_status status_of(const struct fixture *fixture)
{
    return raft_get_status(fixture->raft, fixture->now);
}

static void receive_vote_reply(struct fixture *fixture, enum raft_message_type type, uint8_t from,
                               uint64_t term, bool granted)
{
    receive(fixture,
            (struct raft_message){.type = type, .from = from, .term = term, .success = granted});
}

/* Through pre-vote and vote to leadership, with the votes of a bare majority. */
static void elect(struct fixture *fixture)
{
    unsigned quorum = raft_quorum(fixture->raft);
    while (status_of(fixture).role != RAFT_PRE_CANDIDATE)
        tick_at_due(fixture);
    uint64_t term = status_of(fixture).term + 1;
    for (unsigned i = 1; i < quorum; i++)
        receive_vote_reply(fixture, RAFT_MESSAGE_PRE_VOTE_REPLY, (uint8_t)i, term, true);
    assert_int_equal(status_of(fixture).role, RAFT_CANDIDATE);
    for (unsigned i = 1; i < quorum; i++)
        receive_vote_reply(fixture, RAFT_MESSAGE_VOTE_REPLY, (uint8_t)i, term, true);
    assert_int_equal(status_of(fixture).role, RAFT_LEADER);
}

static void acknowledge(struct fixture *fixture, uint8_t from, uint64_t index, uint64_t round)
{
    receive(fixture, (struct raft_message){.type = RAFT_MESSAGE_APPEND_REPLY,
                                           .from = from,
                                           .term = status_of(fixture).term,
                                           .success = true,
                                           .index = index,
                                           .round = round});
}

static uint64_t propose(struct fixture *fixture, const char *text)
{
    struct raft_payload *payload = raft_payload_create(text, strlen(text));
    step(fixture,
         (struct raft_event){.type = RAFT_EVENT_PROPOSE, .payload = payload, .request = 77});
    raft_payload_release(payload);
    assert_int_equal(fixture->actions.proposal_count, 1);
    assert_int_equal(fixture->actions.proposals[0].request, 77);
    return fixture->actions.proposals[0].index;
}

/* An AppendEntries from node 1 whose entries have these terms. */
static void append(struct fixture *fixture, uint64_t term, uint64_t index, uint64_t log_term,
                   uint64_t commit, const uint64_t *terms, uint32_t count)
{
    struct raft_entry entries[8] = {{0}};
    for (uint32_t i = 0; i < count; i++)
        entries[i].term = terms[i];
    receive(fixture, (struct raft_message){.type = RAFT_MESSAGE_APPEND,
                                           .from = 1,
                                           .term = term,
                                           .index = index,
                                           .log_term = log_term,
                                           .commit = commit,
                                           .round = 1,
                                           .entries = entries,
                                           .entry_count = count});
}

/* -------------------------------------------------------------------- configuration, names --- */

static void bad_configurations_are_refused(void **state)
{
    (void)state;
    struct raft *raft;
    struct raft_config good = {
        .node_count = 3, .election_timeout_ns = TIMEOUT, .heartbeat_ns = HEARTBEAT};
    struct raft_config config = good;
    config.node_count = 0;
    assert_int_equal(raft_create(&raft, &config, 0), -EINVAL);
    config.node_count = RAFT_NODES_MAX + 1;
    assert_int_equal(raft_create(&raft, &config, 0), -EINVAL);
    config = good;
    config.self = 3;
    assert_int_equal(raft_create(&raft, &config, 0), -EINVAL);
    config = good;
    config.heartbeat_ns = TIMEOUT / 2 + 1;
    assert_int_equal(raft_create(&raft, &config, 0), -EINVAL);
    config.heartbeat_ns = 0;
    assert_int_equal(raft_create(&raft, &config, 0), -EINVAL);
}

static void a_quorum_is_more_than_half(void **state)
{
    (void)state;
    static const unsigned right[] = {0, 1, 2, 2, 3, 3, 4, 4, 5, 5};
    static const unsigned wrong[] = {0, 1, 1, 1, 2, 2, 3, 3, 4, 4};
    for (unsigned nodes = 1; nodes <= RAFT_NODES_MAX; nodes++) {
        struct fixture fixture = create((uint8_t)nodes, 0);
        assert_int_equal(raft_quorum(fixture.raft), right[nodes]);
        destroy(&fixture);
        fixture = create((uint8_t)nodes, raft_bug_by_name("half-quorum"));
        assert_int_equal(raft_quorum(fixture.raft), wrong[nodes]);
        destroy(&fixture);
    }
}

static void every_defect_has_its_name(void **state)
{
    (void)state;
    for (unsigned bug = 0; bug < RAFT_BUG_COUNT; bug++) {
        assert_non_null(raft_bug_name(bug));
        assert_int_equal(raft_bug_by_name(raft_bug_name(bug)), 1u << bug);
    }
    assert_null(raft_bug_name(RAFT_BUG_COUNT));
    assert_int_equal(raft_bug_by_name("no-such-bug"), 0);
    assert_int_equal(raft_bug_by_name(""), 0);
}

static void loading_checks_the_log(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    struct raft_entry old = {.term = 1}, later = {.term = 3};
    assert_int_equal(raft_load_entry(fixture.raft, 2, &old), -EINVAL);
    assert_int_equal(raft_load_entry(fixture.raft, 0, &old), -EINVAL);
    assert_int_equal(raft_load_entry(fixture.raft, 1, &later), 0);
    assert_int_equal(raft_load_entry(fixture.raft, 2, &old), -EINVAL);
    assert_int_equal(raft_load_entry(fixture.raft, 2, &later), 0);
    assert_int_equal(raft_load_entry(fixture.raft, 1, &old), 0); /* replaces both */
    assert_int_equal(raft_last_index(fixture.raft), 1);
    assert_int_equal(raft_get_entry(fixture.raft, 1)->term, 1);
    assert_null(raft_get_entry(fixture.raft, 0));
    assert_null(raft_get_entry(fixture.raft, 2));
    destroy(&fixture);
}

/* ------------------------------------------------------------------------------ elections --- */

static void timeouts_are_random_between_one_and_two(void **state)
{
    (void)state;
    uint64_t lowest = UINT64_MAX, highest = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct raft *raft;
        struct raft_config config = {.node_count = 3,
                                     .seed = seed,
                                     .election_timeout_ns = TIMEOUT,
                                     .heartbeat_ns = HEARTBEAT};
        assert_int_equal(raft_create(&raft, &config, 0), 0);
        uint64_t due = raft_next_due_ns(raft);
        lowest = due < lowest ? due : lowest;
        highest = due > highest ? due : highest;
        raft_destroy(raft);
    }
    assert_in_range(lowest, TIMEOUT, TIMEOUT * 11 / 10);
    assert_in_range(highest, TIMEOUT * 19 / 10, 2 * TIMEOUT - 1);
}

static void a_single_node_elects_itself_and_commits(void **state)
{
    (void)state;
    struct fixture fixture = create(1, 0);
    tick_at_due(&fixture);
    assert_int_equal(status_of(&fixture).role, RAFT_LEADER);
    assert_true(fixture.actions.hard_state);
    assert_int_equal(fixture.actions.term, 1);
    assert_int_equal(fixture.actions.entries_first, 1);
    assert_int_equal(raft_commit_index(fixture.raft), 1);
    assert_int_equal(propose(&fixture, "x"), 2);
    tick(&fixture);
    assert_int_equal(raft_commit_index(fixture.raft), 2);
    step(&fixture, (struct raft_event){.type = RAFT_EVENT_READ, .request = 5});
    tick(&fixture);
    assert_int_equal(fixture.actions.read_count, 1);
    assert_true(fixture.actions.reads[0].granted);
    assert_int_equal(fixture.actions.reads[0].index, 2);
    destroy(&fixture);
}

static void pre_vote_changes_no_term(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    for (int round = 0; round < 20; round++)
        tick_at_due(&fixture);
    assert_int_equal(status_of(&fixture).role, RAFT_PRE_CANDIDATE);
    assert_int_equal(status_of(&fixture).term, 0);
    assert_false(status_of(&fixture).quorum);
    destroy(&fixture);
    fixture = create(3, raft_bug_by_name("no-pre-vote"));
    for (int round = 0; round < 40; round++)
        tick_at_due(&fixture);
    assert_true(status_of(&fixture).term > 3); /* it will knock out a healthy leader */
    destroy(&fixture);
}

static void a_vote_for_itself_is_durable_before_it_asks(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    tick_at_due(&fixture);
    assert_non_null(find_message(&fixture, RAFT_MESSAGE_PRE_VOTE, 1));
    assert_int_equal(find_message(&fixture, RAFT_MESSAGE_PRE_VOTE, 2)->term, 1);
    assert_false(fixture.actions.hard_state);
    receive_vote_reply(&fixture, RAFT_MESSAGE_PRE_VOTE_REPLY, 2, 1, true);
    assert_true(fixture.actions.hard_state);
    assert_int_equal(fixture.actions.term, 1);
    assert_int_equal(fixture.actions.vote, 0);
    assert_int_equal(find_message(&fixture, RAFT_MESSAGE_VOTE, 1)->term, 1);
    /* nobody answers: asked again, those that answered apart */
    receive_vote_reply(&fixture, RAFT_MESSAGE_VOTE_REPLY, 1, 1, false);
    fixture.now += HEARTBEAT;
    tick(&fixture);
    assert_null(find_message(&fixture, RAFT_MESSAGE_VOTE, 1));
    assert_non_null(find_message(&fixture, RAFT_MESSAGE_VOTE, 2));
    destroy(&fixture);
}

static void a_vote_counts_once(void **state)
{
    (void)state;
    for (unsigned bug = 0; bug < 2; bug++) {
        struct fixture fixture = create(5, bug ? raft_bug_by_name("vote-counted-twice") : 0);
        tick_at_due(&fixture);
        receive_vote_reply(&fixture, RAFT_MESSAGE_PRE_VOTE_REPLY, 1, 1, true);
        receive_vote_reply(&fixture, RAFT_MESSAGE_PRE_VOTE_REPLY, 1, 1, true);
        assert_int_equal(status_of(&fixture).role, bug ? RAFT_CANDIDATE : RAFT_PRE_CANDIDATE);
        destroy(&fixture);
    }
}

static void old_replies_do_not_elect(void **state)
{
    (void)state;
    for (unsigned bug = 0; bug < 2; bug++) {
        struct fixture fixture = create(3, bug ? raft_bug_by_name("stale-reply") : 0);
        raft_load_hard_state(fixture.raft, 4, RAFT_NONE);
        tick_at_due(&fixture);
        receive_vote_reply(&fixture, RAFT_MESSAGE_PRE_VOTE_REPLY, 1, 5, true);
        assert_int_equal(status_of(&fixture).role, RAFT_CANDIDATE);
        receive_vote_reply(&fixture, RAFT_MESSAGE_VOTE_REPLY, 1, 4, true);
        assert_int_equal(status_of(&fixture).role, bug ? RAFT_LEADER : RAFT_CANDIDATE);
        destroy(&fixture);
    }
}

static struct raft_message vote_request(uint8_t from, uint64_t term, uint64_t index,
                                        uint64_t log_term)
{
    return (struct raft_message){.type = RAFT_MESSAGE_VOTE,
                                 .from = from,
                                 .term = term,
                                 .index = index,
                                 .log_term = log_term};
}

static void one_vote_per_term_and_it_is_durable(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    receive(&fixture, vote_request(1, 2, 0, 0));
    assert_true(find_message(&fixture, RAFT_MESSAGE_VOTE_REPLY, 1)->success);
    assert_true(fixture.actions.hard_state);
    assert_int_equal(fixture.actions.term, 2);
    assert_int_equal(fixture.actions.vote, 1);
    receive(&fixture, vote_request(2, 2, 9, 1));
    assert_false(find_message(&fixture, RAFT_MESSAGE_VOTE_REPLY, 2)->success);
    receive(&fixture, vote_request(1, 2, 0, 0)); /* asked again: the same answer */
    assert_true(find_message(&fixture, RAFT_MESSAGE_VOTE_REPLY, 1)->success);
    receive(&fixture, vote_request(2, 1, 9, 1)); /* an old term */
    assert_false(find_message(&fixture, RAFT_MESSAGE_VOTE_REPLY, 2)->success);
    assert_int_equal(find_message(&fixture, RAFT_MESSAGE_VOTE_REPLY, 2)->term, 2);
    receive(&fixture, vote_request(2, 3, 0, 0)); /* a new one */
    assert_true(find_message(&fixture, RAFT_MESSAGE_VOTE_REPLY, 2)->success);
    destroy(&fixture);
}

static void a_vote_that_is_not_persisted_shows(void **state)
{
    (void)state;
    struct fixture fixture = create(3, raft_bug_by_name("vote-not-persisted"));
    raft_load_hard_state(fixture.raft, 2, RAFT_NONE);
    receive(&fixture, vote_request(1, 2, 0, 0));
    assert_true(find_message(&fixture, RAFT_MESSAGE_VOTE_REPLY, 1)->success);
    assert_false(fixture.actions.hard_state);
    destroy(&fixture);
}

static void only_an_up_to_date_log_wins(void **state)
{
    (void)state;
    static const struct {
        uint64_t index, log_term;
        bool granted;
    } cases[] = {{1, 1, false}, {5, 1, false}, {1, 2, false}, {2, 2, true},
                 {3, 2, true},  {1, 3, true},  {0, 0, false}};
    struct raft_entry first = {.term = 1}, second = {.term = 2};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture = create(3, 0);
        raft_load_entry(fixture.raft, 1, &first);
        raft_load_entry(fixture.raft, 2, &second);
        receive(&fixture, vote_request(1, 9, cases[i].index, cases[i].log_term));
        assert_int_equal(find_message(&fixture, RAFT_MESSAGE_VOTE_REPLY, 1)->success,
                         cases[i].granted);
        destroy(&fixture);
    }
}

static void whoever_hears_a_leader_refuses_pre_votes(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    struct raft_message request = {
        .type = RAFT_MESSAGE_PRE_VOTE, .from = 2, .term = 2, .index = 9, .log_term = 1};
    append(&fixture, 1, 0, 0, 0, NULL, 0);
    receive(&fixture, request);
    assert_false(find_message(&fixture, RAFT_MESSAGE_PRE_VOTE_REPLY, 2)->success);
    fixture.now += TIMEOUT;
    receive(&fixture, request);
    assert_true(find_message(&fixture, RAFT_MESSAGE_PRE_VOTE_REPLY, 2)->success);
    assert_int_equal(status_of(&fixture).term, 1);
    request.term = 1; /* not a new term */
    receive(&fixture, request);
    assert_false(find_message(&fixture, RAFT_MESSAGE_PRE_VOTE_REPLY, 2)->success);
    destroy(&fixture);
}

/* ---------------------------------------------------------------------------- replication --- */

static void a_leader_begins_with_a_no_op(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    elect(&fixture);
    assert_int_equal(fixture.actions.entries_first, 1);
    assert_int_equal(raft_get_entry(fixture.raft, 1)->type, RAFT_ENTRY_NOOP);
    tick(&fixture);
    const struct raft_message *message = find_message(&fixture, RAFT_MESSAGE_APPEND, 2);
    assert_int_equal(message->entry_count, 1);
    assert_int_equal(message->index, 0);
    assert_int_equal(raft_commit_index(fixture.raft), 0);
    acknowledge(&fixture, 1, 1, 0);
    tick(&fixture);
    assert_int_equal(raft_commit_index(fixture.raft), 1);
    assert_int_equal(find_message(&fixture, RAFT_MESSAGE_APPEND, 1)->commit, 1); /* the news */
    destroy(&fixture);
}

static void entries_are_pipelined(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    elect(&fixture);
    tick(&fixture);
    acknowledge(&fixture, 1, 1, 0);
    for (uint64_t index = 2; index <= 5; index++) {
        assert_int_equal(propose(&fixture, "x"), index);
        tick(&fixture);
        const struct raft_message *message = find_message(&fixture, RAFT_MESSAGE_APPEND, 1);
        assert_int_equal(message->index, index - 1); /* without waiting for an answer */
        assert_int_equal(message->entry_count, 1);
        assert_null(find_message(&fixture, RAFT_MESSAGE_APPEND, 2)); /* probed, unanswered */
    }
    acknowledge(&fixture, 1, 5, 0);
    tick(&fixture);
    assert_int_equal(raft_commit_index(fixture.raft), 5);
    /* one lost: the follower refuses the next, and gets everything from its hint on */
    receive(
        &fixture,
        (struct raft_message){
            .type = RAFT_MESSAGE_APPEND_REPLY, .from = 2, .term = 1, .index = 0, .conflict = 1});
    fixture.now += HEARTBEAT;
    tick(&fixture);
    assert_int_equal(find_message(&fixture, RAFT_MESSAGE_APPEND, 2)->entry_count, 5);
    destroy(&fixture);
}

static void many_entries_go_in_bounded_messages(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    elect(&fixture);
    tick(&fixture);
    acknowledge(&fixture, 1, 1, 0);
    for (unsigned i = 0; i < RAFT_WINDOW_ENTRIES * 2; i++)
        propose(&fixture, "x");
    uint64_t sent = 0;
    for (unsigned turn = 0; turn < 8; turn++) {
        tick(&fixture);
        for (size_t m = 0; m < fixture.actions.message_count; m++) {
            assert_true(fixture.actions.messages[m].entry_count <= RAFT_APPEND_ENTRIES_MAX);
            if (fixture.actions.messages[m].to == 1)
                sent += fixture.actions.messages[m].entry_count;
        }
    }
    assert_in_range(sent, RAFT_WINDOW_ENTRIES, RAFT_WINDOW_ENTRIES + RAFT_APPEND_ENTRIES_MAX);
    destroy(&fixture);
}

static void a_follower_stores_answers_and_commits(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    const uint64_t terms[] = {1, 1, 2};
    append(&fixture, 2, 0, 0, 9, terms, 3);
    assert_int_equal(fixture.actions.entries_first, 1);
    const struct raft_message *reply = find_message(&fixture, RAFT_MESSAGE_APPEND_REPLY, 1);
    assert_true(reply->success);
    assert_int_equal(reply->index, 3);
    assert_int_equal(reply->round, 1);
    assert_int_equal(raft_commit_index(fixture.raft), 3); /* not 9 */
    assert_int_equal(status_of(&fixture).leader, 1);
    append(&fixture, 2, 0, 0, 0, terms, 2); /* an old one, late: nothing is cut */
    assert_int_equal(raft_last_index(fixture.raft), 3);
    assert_int_equal(fixture.actions.entries_first, 0);
    assert_int_equal(find_message(&fixture, RAFT_MESSAGE_APPEND_REPLY, 1)->index, 2);
    append(&fixture, 1, 3, 2, 0, terms, 1); /* an old term */
    assert_false(find_message(&fixture, RAFT_MESSAGE_APPEND_REPLY, 1)->success);
    assert_int_equal(find_message(&fixture, RAFT_MESSAGE_APPEND_REPLY, 1)->term, 2);
    destroy(&fixture);
}

static void conflicts_are_hinted_and_replaced(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    const uint64_t mine[] = {1, 2, 2, 2}, theirs[] = {3, 3};
    append(&fixture, 2, 0, 0, 1, mine, 4);
    append(&fixture, 3, 9, 3, 0, NULL, 0); /* far beyond the end */
    assert_int_equal(find_message(&fixture, RAFT_MESSAGE_APPEND_REPLY, 1)->conflict, 5);
    append(&fixture, 3, 4, 3, 0, NULL, 0); /* another term there */
    assert_false(find_message(&fixture, RAFT_MESSAGE_APPEND_REPLY, 1)->success);
    assert_int_equal(find_message(&fixture, RAFT_MESSAGE_APPEND_REPLY, 1)->conflict, 2);
    append(&fixture, 3, 1, 1, 3, theirs, 2);
    assert_int_equal(raft_last_index(fixture.raft), 3);
    assert_int_equal(raft_get_entry(fixture.raft, 2)->term, 3);
    assert_int_equal(fixture.actions.entries_first, 2);
    assert_int_equal(fixture.actions.overwritten_first, 0);
    destroy(&fixture);
}

static void replaced_commits_are_told(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    const uint64_t mine[] = {1, 1}, theirs[] = {2};
    append(&fixture, 1, 0, 0, 2, mine, 2);
    append(&fixture, 2, 1, 1, 1, theirs, 1); /* no correct leader sends this */
    assert_int_equal(fixture.actions.overwritten_first, 2);
    assert_int_equal(raft_commit_index(fixture.raft), 1);
    destroy(&fixture);
}

/* Paper, figure 8: (c) an entry of term 2 on a majority is not committed in term 4 by counting. */
static void figure_8_old_terms_commit_only_with_a_new_entry(void **state)
{
    (void)state;
    for (unsigned bug = 0; bug < 2; bug++) {
        struct fixture fixture = create(5, bug ? raft_bug_by_name("commit-old-term") : 0);
        struct raft_entry first = {.term = 1}, second = {.term = 2};
        raft_load_hard_state(fixture.raft, 3, RAFT_NONE);
        raft_load_entry(fixture.raft, 1, &first);
        raft_load_entry(fixture.raft, 2, &second);
        elect(&fixture); /* term 4, its no-op is index 3 */
        tick(&fixture);
        acknowledge(&fixture, 1, 2, 0);
        acknowledge(&fixture, 2, 2, 0);
        tick(&fixture);
        assert_int_equal(raft_commit_index(fixture.raft), bug ? 2 : 0);
        acknowledge(&fixture, 1, 3, 0);
        acknowledge(&fixture, 2, 3, 0);
        tick(&fixture);
        assert_int_equal(raft_commit_index(fixture.raft), 3); /* (e): now all of them */
        destroy(&fixture);
    }
}

static void nonsense_acknowledgements_are_ignored(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    elect(&fixture);
    tick(&fixture);
    acknowledge(&fixture, 1, 1000, 99);
    receive(&fixture, (struct raft_message){.type = RAFT_MESSAGE_APPEND_REPLY,
                                            .from = 2,
                                            .term = 1,
                                            .index = 1000,
                                            .conflict = 900});
    tick(&fixture);
    assert_int_equal(raft_commit_index(fixture.raft), 0);
    struct raft_message stranger = {.type = RAFT_MESSAGE_APPEND, .from = 3, .term = 9};
    receive(&fixture, stranger);
    stranger.from = 0;
    receive(&fixture, stranger);
    stranger.from = 1;
    stranger.to = 2;
    receive(&fixture, stranger);
    assert_int_equal(status_of(&fixture).term, 1);
    destroy(&fixture);
}

/* ---------------------------------------------------------------------------- leadership --- */

static void a_leader_without_a_quorum_steps_down(void **state)
{
    (void)state;
    for (unsigned bug = 0; bug < 2; bug++) {
        struct fixture fixture = create(3, bug ? raft_bug_by_name("no-check-quorum") : 0);
        elect(&fixture);
        uint64_t elected = fixture.now;
        tick(&fixture);
        fixture.now += TIMEOUT / 2;
        acknowledge(&fixture, 2, 1, 0); /* heard: until now + TIMEOUT */
        while (fixture.now < elected + TIMEOUT + TIMEOUT / 2 - HEARTBEAT) {
            tick_at_due(&fixture);
            assert_int_equal(status_of(&fixture).role, RAFT_LEADER);
            fixture.now += HEARTBEAT / 2;
        }
        fixture.now = elected + TIMEOUT + TIMEOUT / 2;
        tick(&fixture);
        assert_int_equal(status_of(&fixture).role, bug ? RAFT_LEADER : RAFT_FOLLOWER);
        assert_false(status_of(&fixture).quorum);
        if (!bug) {
            assert_int_equal(fixture.actions.transition_count, 1);
            assert_int_equal(fixture.actions.transitions[0].cause, RAFT_CAUSE_NO_QUORUM);
        }
        destroy(&fixture);
    }
}

static void with_half_quorum_one_of_three_goes_on(void **state)
{
    (void)state;
    struct fixture fixture = create(3, raft_bug_by_name("half-quorum"));
    tick_at_due(&fixture);
    assert_int_equal(status_of(&fixture).role, RAFT_LEADER);
    propose(&fixture, "alone");
    tick(&fixture);
    assert_int_equal(raft_commit_index(fixture.raft), 2);
    fixture.now += 10 * TIMEOUT;
    tick(&fixture);
    assert_int_equal(status_of(&fixture).role, RAFT_LEADER);
    assert_true(status_of(&fixture).quorum);
    destroy(&fixture);
}

static void a_higher_term_ends_a_leader(void **state)
{
    (void)state;
    for (unsigned bug = 0; bug < 2; bug++) {
        struct fixture fixture = create(3, bug ? raft_bug_by_name("no-step-down") : 0);
        elect(&fixture);
        receive(&fixture,
                (struct raft_message){.type = RAFT_MESSAGE_APPEND_REPLY, .from = 1, .term = 8});
        assert_int_equal(status_of(&fixture).role, bug ? RAFT_LEADER : RAFT_FOLLOWER);
        assert_int_equal(status_of(&fixture).term, bug ? 1 : 8);
        assert_int_equal(fixture.actions.hard_state, !bug);
        destroy(&fixture);
    }
}

static void a_vote_survives_within_its_term(void **state)
{
    (void)state;
    for (unsigned bug = 0; bug < 2; bug++) {
        struct fixture fixture = create(3, bug ? raft_bug_by_name("vote-cleared") : 0);
        receive(&fixture, vote_request(1, 2, 0, 0));
        append(&fixture, 2, 0, 0, 0, NULL, 0);
        receive(&fixture, vote_request(2, 2, 0, 0)); /* late, of the same term */
        assert_int_equal(find_message(&fixture, RAFT_MESSAGE_VOTE_REPLY, 2)->success, bug);
        destroy(&fixture);
    }
}

static void a_restart_remembers_its_term(void **state)
{
    (void)state;
    for (unsigned bug = 0; bug < 2; bug++) {
        struct fixture fixture = create(3, bug ? raft_bug_by_name("term-not-persisted") : 0);
        raft_load_hard_state(fixture.raft, 6, 1);
        assert_int_equal(status_of(&fixture).term, bug ? 0 : 6);
        assert_int_equal(status_of(&fixture).vote, bug ? RAFT_NONE : 1);
        destroy(&fixture);
    }
}

/* -------------------------------------------------------------------- reads and forwarding --- */

static void read(struct fixture *fixture, uint64_t request)
{
    step(fixture, (struct raft_event){.type = RAFT_EVENT_READ, .request = request});
}

static void a_read_waits_for_its_term_and_its_round(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    elect(&fixture);
    tick(&fixture);
    read(&fixture, 5);
    tick(&fixture);
    assert_int_equal(fixture.actions.read_count, 0); /* nothing of this term is committed */
    acknowledge(&fixture, 1, 1, 0);
    tick(&fixture);
    assert_int_equal(fixture.actions.read_count, 0); /* the round has just gone out */
    uint64_t round = find_message(&fixture, RAFT_MESSAGE_APPEND, 1)->round;
    assert_true(round > 0);
    acknowledge(&fixture, 2, 1, round - 1); /* an older answer proves nothing */
    tick(&fixture);
    assert_int_equal(fixture.actions.read_count, 0);
    acknowledge(&fixture, 2, 1, round);
    tick(&fixture);
    assert_int_equal(fixture.actions.read_count, 1);
    assert_true(fixture.actions.reads[0].granted);
    assert_int_equal(fixture.actions.reads[0].request, 5);
    assert_int_equal(fixture.actions.reads[0].index, 1);
    destroy(&fixture);
}

static void read_defects_answer_too_early(void **state)
{
    (void)state;
    struct fixture fixture = create(3, raft_bug_by_name("local-reads"));
    elect(&fixture);
    read(&fixture, 5);
    assert_true(fixture.actions.reads[0].granted);
    destroy(&fixture);
    fixture = create(3, raft_bug_by_name("early-read-index"));
    elect(&fixture);
    read(&fixture, 5);
    tick(&fixture);
    acknowledge(&fixture, 1, 0, find_message(&fixture, RAFT_MESSAGE_APPEND, 1)->round);
    tick(&fixture);
    assert_int_equal(fixture.actions.read_count, 1);
    assert_int_equal(fixture.actions.reads[0].index, 0);
    destroy(&fixture);
}

static void losing_the_lead_refuses_reads(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    elect(&fixture);
    read(&fixture, 5);
    receive(&fixture, (struct raft_message){
                          .type = RAFT_MESSAGE_READ_INDEX, .from = 2, .term = 1, .request = 6});
    receive(&fixture,
            (struct raft_message){.type = RAFT_MESSAGE_APPEND_REPLY, .from = 1, .term = 8});
    assert_int_equal(fixture.actions.read_count, 1);
    assert_false(fixture.actions.reads[0].granted);
    const struct raft_message *reply = find_message(&fixture, RAFT_MESSAGE_READ_INDEX_REPLY, 2);
    assert_int_equal(reply->request, 6);
    assert_false(reply->success);
    destroy(&fixture);
}

static void a_follower_forwards(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    propose(&fixture, "x");
    assert_int_equal(fixture.actions.proposals[0].result, RAFT_PROPOSAL_NO_LEADER);
    read(&fixture, 5);
    assert_false(fixture.actions.reads[0].granted);
    append(&fixture, 1, 0, 0, 0, NULL, 0);
    propose(&fixture, "hello");
    assert_int_equal(fixture.actions.proposals[0].result, RAFT_PROPOSAL_FORWARDED);
    const struct raft_message *message = find_message(&fixture, RAFT_MESSAGE_PROPOSE, 1);
    assert_int_equal(message->request, 77);
    assert_memory_equal(message->entries[0].payload->bytes, "hello", 5);
    read(&fixture, 6);
    assert_int_equal(find_message(&fixture, RAFT_MESSAGE_READ_INDEX, 1)->request, 6);
    receive(&fixture, (struct raft_message){.type = RAFT_MESSAGE_PROPOSE_REPLY,
                                            .from = 1,
                                            .term = 1,
                                            .success = true,
                                            .request = 77,
                                            .index = 4,
                                            .log_term = 1});
    assert_int_equal(fixture.actions.proposals[0].result, RAFT_PROPOSAL_APPENDED);
    assert_int_equal(fixture.actions.proposals[0].index, 4);
    receive(&fixture, (struct raft_message){.type = RAFT_MESSAGE_READ_INDEX_REPLY,
                                            .from = 1,
                                            .term = 1,
                                            .success = true,
                                            .request = 6,
                                            .index = 4});
    assert_true(fixture.actions.reads[0].granted);
    destroy(&fixture);
}

/* A read index that an older leader granted may be behind what was committed since. */
static void only_the_leader_of_this_term_answers_reads(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    append(&fixture, 2, 0, 0, 0, NULL, 0);
    read(&fixture, 6);
    struct raft_message reply = {.type = RAFT_MESSAGE_READ_INDEX_REPLY,
                                 .from = 2,
                                 .term = 1,
                                 .success = true,
                                 .request = 6,
                                 .index = 4};
    receive(&fixture, reply); /* of the leader before */
    assert_int_equal(fixture.actions.read_count, 0);
    reply.from = 1;
    receive(&fixture, reply); /* of this one, but from another term */
    assert_int_equal(fixture.actions.read_count, 0);
    reply.from = 2;
    reply.term = 2;
    receive(&fixture, reply); /* of this term, but not its leader */
    assert_int_equal(fixture.actions.read_count, 0);
    reply.term = 3;
    receive(&fixture, reply); /* nor from a term whose leader isn't known */
    assert_int_equal(fixture.actions.read_count, 0);
    append(&fixture, 3, 0, 0, 0, NULL, 0);
    reply.from = 1;
    receive(&fixture, reply);
    assert_int_equal(fixture.actions.read_count, 1);
    assert_true(fixture.actions.reads[0].granted);
    destroy(&fixture);
}

static void an_ask_of_an_older_term_is_refused(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    elect(&fixture);
    struct raft_message ask = {.type = RAFT_MESSAGE_READ_INDEX, .from = 2, .request = 6};
    receive(&fixture, ask);
    const struct raft_message *reply = find_message(&fixture, RAFT_MESSAGE_READ_INDEX_REPLY, 2);
    assert_non_null(reply);
    assert_false(reply->success);
    assert_int_equal(reply->term, 1);
    ask.term = 1;
    receive(&fixture, ask);
    assert_null(find_message(&fixture, RAFT_MESSAGE_READ_INDEX_REPLY, 2)); /* waits for its round */
    destroy(&fixture);
}

static void a_leader_takes_what_is_forwarded_and_others_refuse(void **state)
{
    (void)state;
    struct fixture fixture = create(3, 0);
    struct raft_entry entry = {.type = RAFT_ENTRY_COMMAND,
                               .payload = raft_payload_create("abc", 3)};
    struct raft_message message = {
        .type = RAFT_MESSAGE_PROPOSE, .from = 2, .request = 9, .entries = &entry, .entry_count = 1};
    receive(&fixture, message);
    assert_false(find_message(&fixture, RAFT_MESSAGE_PROPOSE_REPLY, 2)->success);
    elect(&fixture);
    receive(&fixture, message);
    const struct raft_message *reply = find_message(&fixture, RAFT_MESSAGE_PROPOSE_REPLY, 2);
    assert_true(reply->success);
    assert_int_equal(reply->request, 9);
    assert_int_equal(reply->index, 2);
    assert_int_equal(reply->log_term, 1);
    assert_int_equal(entry.payload->references, 2); /* the log's and ours */
    raft_payload_release(entry.payload);
    destroy(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(a_quorum_is_more_than_half),
        cmocka_unit_test(every_defect_has_its_name),
        cmocka_unit_test(loading_checks_the_log),
        cmocka_unit_test(timeouts_are_random_between_one_and_two),
        cmocka_unit_test(a_single_node_elects_itself_and_commits),
        cmocka_unit_test(pre_vote_changes_no_term),
        cmocka_unit_test(a_vote_for_itself_is_durable_before_it_asks),
        cmocka_unit_test(a_vote_counts_once),
        cmocka_unit_test(old_replies_do_not_elect),
        cmocka_unit_test(one_vote_per_term_and_it_is_durable),
        cmocka_unit_test(a_vote_that_is_not_persisted_shows),
        cmocka_unit_test(only_an_up_to_date_log_wins),
        cmocka_unit_test(whoever_hears_a_leader_refuses_pre_votes),
        cmocka_unit_test(a_leader_begins_with_a_no_op),
        cmocka_unit_test(entries_are_pipelined),
        cmocka_unit_test(many_entries_go_in_bounded_messages),
        cmocka_unit_test(a_follower_stores_answers_and_commits),
        cmocka_unit_test(conflicts_are_hinted_and_replaced),
        cmocka_unit_test(replaced_commits_are_told),
        cmocka_unit_test(figure_8_old_terms_commit_only_with_a_new_entry),
        cmocka_unit_test(nonsense_acknowledgements_are_ignored),
        cmocka_unit_test(a_leader_without_a_quorum_steps_down),
        cmocka_unit_test(with_half_quorum_one_of_three_goes_on),
        cmocka_unit_test(a_higher_term_ends_a_leader),
        cmocka_unit_test(a_vote_survives_within_its_term),
        cmocka_unit_test(a_restart_remembers_its_term),
        cmocka_unit_test(a_read_waits_for_its_term_and_its_round),
        cmocka_unit_test(read_defects_answer_too_early),
        cmocka_unit_test(losing_the_lead_refuses_reads),
        cmocka_unit_test(a_follower_forwards),
        cmocka_unit_test(only_the_leader_of_this_term_answers_reads),
        cmocka_unit_test(an_ask_of_an_older_term_is_refused),
        cmocka_unit_test(a_leader_takes_what_is_forwarded_and_others_refuse),
    };
    return cmocka_run_group_tests_name("examples/raftkv/core/raft", tests, NULL, NULL);
}
