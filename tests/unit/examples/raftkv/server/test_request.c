/* One follower's requests, with the other nodes played by the test: what it asks its leader for,
 * and what it takes for an answer. n1 is the node under test; n2, its leader, is a listener here.
 */
#include "tests/lib/test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "examples/raftkv/server/server.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/io/socket.h"
#include "tests/lib/files.h"

struct fixture {
    char directory[64];
    int listener; /* n2's; its kernel's backlog is all the answer that n1 gets */
    struct options options;
    struct server server;
};

static void configure(struct fixture *fixture)
{
    struct address bound, local;
    struct error error = {0};
    char peers[96];
    enum options_action action;
    assert_int_equal(address_parse("127.0.0.1:0", &local, &error), 0);
    fixture->listener = socket_listen(&local, false, &bound, &error);
    assert_true(fixture->listener >= 0);
    snprintf(peers, sizeof(peers), "n2=127.0.0.1:%u,n3=127.0.0.1:%u", address_port(&bound),
             address_port(&bound));
    const char *argv[] = {"raftkv",  "--id", "n1",          "--data", fixture->directory,
                          "--peers", peers,  "--log-level", "error",  "--election-timeout",
                          "10s"};
    assert_int_equal(options_parse(sizeof(argv) / sizeof(argv[0]), (char **)(uintptr_t)argv,
                                   &fixture->options, &action, &error),
                     0);
    fixture->options.client_address = fixture->options.peer_address = local;
}

static int set_up(void **state)
{
    struct fixture *fixture = memory_allocate_zeroed(1, sizeof(*fixture));
    struct error error = {0};
    snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/request-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    configure(fixture);
    assert_int_equal(server_open(&fixture->server, &fixture->options, &error), 0);
    loop_turn(fixture->server.loop, 0); /* it takes the time */
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    server_close(&fixture->server);
    close(fixture->listener);
    files_remove_folder(fixture->directory);
    free(fixture);
    return 0;
}

/* A message from n2, in its term. */
static void receive(struct server *server, struct raft_message message)
{
    message.from = 1;
    struct raft_event event = {.type = RAFT_EVENT_RECEIVE, .message = &message};
    raft_step(server->raft, &event, loop_now_ns(server->loop), &server->actions);
    server->status = raft_get_status(server->raft, loop_now_ns(server->loop));
}

static void follow(struct server *server, uint64_t term)
{
    receive(server, (struct raft_message){.type = RAFT_MESSAGE_APPEND, .term = term});
    for (size_t i = 0; i < server->actions.transition_count; i++)
        requests_note_transition(server, &server->actions.transitions[i]);
    raft_actions_clear(&server->actions);
}

static void await_connection(struct server *server)
{
    uint64_t end = monotonic_now_ns() + 10 * NS_PER_S;
    for (bool connected = false; !connected;) {
        struct bytes text = {0};
        assert_true(monotonic_now_ns() < end);
        loop_turn(server->loop, monotonic_now_ns() + 10 * NS_PER_MS);
        peers_describe(server, &text);
        bytes_append(&text, "", 1);
        connected = strstr((const char *)bytes_get(&text), "n2=connected");
        bytes_free(&text);
    }
}

static struct request *add_read(struct server *server)
{
    struct resp_argument key = {(const uint8_t *)"k", 1};
    return request_create(server, NULL, REQUEST_READ, KV_GET, &key, 1);
}

static struct request *add_write(struct server *server, size_t length)
{
    uint8_t *value = memory_allocate_zeroed(1, length + 1);
    struct resp_argument arguments[] = {{(const uint8_t *)"k", 1}, {value, length}};
    struct request *request = request_create(server, NULL, REQUEST_WRITE, KV_SET, arguments, 2);
    free(value);
    return request;
}

static const struct raft_message *find_message(const struct server *server,
                                               enum raft_message_type type)
{
    for (size_t i = 0; i < server->actions.message_count; i++)
        if (server->actions.messages[i].type == type)
            return &server->actions.messages[i];
    return NULL;
}

/* Submits what waits; the request number of the message of that type, 0 without one. */
static uint64_t submit(struct server *server, enum raft_message_type type)
{
    raft_actions_clear(&server->actions);
    requests_submit(server, &server->actions);
    const struct raft_message *message = find_message(server, type);
    return message ? message->request : 0;
}

/* ------------------------------------------------------------------------ what an answer is --- */

/* The answer to the first ask may be older than a read that came before the second. */
static void each_ask_for_a_read_index_has_its_own_name(void **state)
{
    struct server *server = &((struct fixture *)*state)->server;
    follow(server, 1);
    await_connection(server);
    struct request *first = add_read(server);
    uint64_t asked = submit(server, RAFT_MESSAGE_READ_INDEX);
    assert_int_not_equal(asked, 0);
    follow(server, 2);
    assert_int_equal(first->state, REQUEST_WAITING);
    struct request *second = add_read(server);
    uint64_t asked_again = submit(server, RAFT_MESSAGE_READ_INDEX);
    assert_int_not_equal(asked_again, 0);
    assert_int_not_equal(asked_again, asked);
    struct raft_read answer = {.request = asked, .granted = true, .index = 1};
    requests_note_read(server, &answer);
    assert_int_equal(first->state, REQUEST_ASKED);
    assert_int_equal(second->state, REQUEST_ASKED);
    answer.request = asked_again;
    requests_note_read(server, &answer);
    assert_int_equal(first->state, REQUEST_GRANTED);
    assert_int_equal(second->state, REQUEST_GRANTED);
}

/* An answer to the process that ran here before must find nothing. */
static void another_start_uses_other_names(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = &fixture->server;
    struct error error = {0};
    uint64_t writes[2], reads[2];
    for (unsigned life = 0; life < 2; life++) {
        follow(server, life + 1);
        await_connection(server);
        struct request *write = add_write(server, 1);
        add_read(server);
        reads[life] = submit(server, RAFT_MESSAGE_READ_INDEX);
        writes[life] = write->id;
        assert_int_equal(write->state, REQUEST_ASKED);
        if (life == 0) {
            server_close(server);
            assert_int_equal(server_open(server, &fixture->options, &error), 0);
            loop_turn(server->loop, 0);
        }
    }
    assert_int_not_equal(writes[0], writes[1]);
    assert_int_not_equal(reads[0], reads[1]);
}

/* ------------------------------------------------------------------- when nobody can be asked ---
 */

static unsigned count_state(const struct server *server, enum request_state state)
{
    unsigned count = 0;
    for (const struct request *request = server->first_request; request; request = request->next)
        count += request->state == state;
    return count;
}

static void nothing_is_asked_without_a_connection(void **state)
{
    struct server *server = &((struct fixture *)*state)->server;
    follow(server, 1); /* heard, but not dialled: the loop has not turned */
    assert_false(peers_connected(server, 1));
    struct request *write = add_write(server, 1);
    struct request *read = add_read(server);
    assert_int_equal(submit(server, RAFT_MESSAGE_PROPOSE), 0);
    assert_int_equal(server->actions.message_count + server->actions.proposal_count, 0);
    assert_int_equal(write->state, REQUEST_WAITING);
    assert_int_equal(read->state, REQUEST_WAITING);
    assert_false(requests_can_go_on(server));
    await_connection(server);
    assert_true(requests_can_go_on(server));
    assert_int_not_equal(submit(server, RAFT_MESSAGE_PROPOSE), 0);
    assert_int_equal(write->state, REQUEST_ASKED);
    assert_int_equal(read->state, REQUEST_ASKED);
}

static void an_unsent_message_is_of_its_type_only(void **state)
{
    struct server *server = &((struct fixture *)*state)->server;
    follow(server, 1);
    await_connection(server);
    struct request *read = add_read(server);
    struct request *write = add_write(server, 1);
    uint64_t batch = submit(server, RAFT_MESSAGE_READ_INDEX);
    struct raft_message message = {.type = RAFT_MESSAGE_PROPOSE, .request = batch};
    requests_note_unsent(server, &message);
    message.type = RAFT_MESSAGE_APPEND_REPLY;
    requests_note_unsent(server, &message);
    message = (struct raft_message){.type = RAFT_MESSAGE_READ_INDEX, .request = write->id};
    requests_note_unsent(server, &message);
    assert_int_equal(read->state, REQUEST_ASKED);
    assert_int_equal(write->state, REQUEST_ASKED);
    message.type = RAFT_MESSAGE_PROPOSE;
    requests_note_unsent(server, &message);
    assert_int_equal(write->state, REQUEST_WAITING);
    message = (struct raft_message){.type = RAFT_MESSAGE_READ_INDEX, .request = batch};
    requests_note_unsent(server, &message);
    assert_int_equal(read->state, REQUEST_WAITING);
}

/* Whoever refused is asked again after a heartbeat or a change of leader, not in every turn. */
static void a_refusal_holds_back(void **state)
{
    struct server *server = &((struct fixture *)*state)->server;
    follow(server, 1);
    await_connection(server);
    struct request *write = add_write(server, 1);
    submit(server, RAFT_MESSAGE_PROPOSE);
    struct raft_proposal refusal = {.request = write->id, .result = RAFT_PROPOSAL_NO_LEADER};
    requests_note_proposal(server, &refusal);
    assert_int_equal(submit(server, RAFT_MESSAGE_PROPOSE), 0);
    assert_false(requests_can_go_on(server));
    uint64_t refused = loop_now_ns(server->loop);
    while (loop_now_ns(server->loop) < refused + server->options->heartbeat_ns)
        loop_turn(server->loop, refused + server->options->heartbeat_ns);
    assert_int_equal(submit(server, RAFT_MESSAGE_PROPOSE), write->id);
    requests_note_proposal(server, &refusal);
    assert_int_equal(submit(server, RAFT_MESSAGE_PROPOSE), 0);
    follow(server, 2);
    assert_int_equal(submit(server, RAFT_MESSAGE_PROPOSE), write->id);
}

/* ----------------------------------------------------------------------------- in portions --- */

/* n2 reads nothing: what its socket and half of its queue don't take stays with n1's requests. */
static void writes_wait_for_room_on_the_way_to_the_leader(void **state)
{
    enum { WRITES = 40, LENGTH = 1 << 20 };
    struct server *server = &((struct fixture *)*state)->server;
    follow(server, 1);
    await_connection(server);
    for (unsigned i = 0; i < WRITES; i++)
        add_write(server, LENGTH);
    for (unsigned turn = 0; turn < WRITES; turn++) {
        submit(server, RAFT_MESSAGE_PROPOSE);
        assert_true(server->actions.message_count <= PEER_QUEUE_PROPOSALS / LENGTH + 1);
        for (size_t i = 0; i < server->actions.message_count; i++)
            assert_true(peers_send(server, &server->actions.messages[i]));
    }
    assert_int_equal(peers_room(server, 1), 0);
    assert_true(count_state(server, REQUEST_WAITING) > 0);
    assert_true(count_state(server, REQUEST_ASKED) >= PEER_QUEUE_PROPOSALS / LENGTH);
    struct request *read = add_read(server); /* small enough for the other half */
    assert_int_not_equal(submit(server, RAFT_MESSAGE_READ_INDEX), 0);
    assert_int_equal(read->state, REQUEST_ASKED);
}

static void a_leader_proposes_so_much_in_a_turn(void **state)
{
    enum { WRITES = 70, LENGTH = 1 << 20 };
    struct server *server = &((struct fixture *)*state)->server;
    server->status.leader = server->options->self; /* who has the lead is not what this is about */
    for (unsigned i = 0; i < WRITES; i++)
        add_write(server, LENGTH);
    submit(server, RAFT_MESSAGE_PROPOSE);
    assert_in_range(server->actions.proposal_count, 60, TURN_PROPOSALS_MAX / LENGTH);
    assert_int_equal(count_state(server, REQUEST_WAITING), WRITES - server->actions.proposal_count);
    assert_true(requests_can_go_on(server));
    submit(server, RAFT_MESSAGE_PROPOSE);
    assert_int_equal(count_state(server, REQUEST_WAITING), 0);
    assert_false(requests_can_go_on(server));
}

#define REQUEST_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REQUEST_TEST(each_ask_for_a_read_index_has_its_own_name),
        REQUEST_TEST(another_start_uses_other_names),
        REQUEST_TEST(nothing_is_asked_without_a_connection),
        REQUEST_TEST(an_unsent_message_is_of_its_type_only),
        REQUEST_TEST(a_refusal_holds_back),
        REQUEST_TEST(writes_wait_for_room_on_the_way_to_the_leader),
        REQUEST_TEST(a_leader_proposes_so_much_in_a_turn),
    };
    return cmocka_run_group_tests_name("examples/raftkv/request", tests, NULL, NULL);
}
