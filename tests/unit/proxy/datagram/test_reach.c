/* Which sessions a fault means, and from when: the engine decides, and the plane tells it the
 * session's place among the others, its beginning, and its other direction. */
#include "tests/unit/proxy/datagram/rig.h"

static struct ruleset_fault lose_all(void)
{
    return (struct ruleset_fault){
        .name = "f", .type = RULESET_LOSS, .loss = {.model = RULESET_LOSS_EVERY, .every = 1}};
}

/* Whether a datagram of this client crosses; when it does, *session is where answers go. */
static bool crosses(struct rig *rig, int client, struct address *session)
{
    char buffer[64];
    uint64_t lost = rig_dropped(rig, "a", "b", FAULT_CAUSE_LOSS);
    bool arrived = false;
    send_text(client, "x");
    await(rig, (arrived = take(rig->server, buffer, sizeof(buffer), session)) ||
                   rig_dropped(rig, "a", "b", FAULT_CAUSE_LOSS) == lost + 1);
    return arrived;
}

/* The part of the sessions that is spared is the one that the engine spares. */
static void toxicity_spares_whole_sessions(void **state)
{
    (void)state;
    enum { SESSIONS = 60 };
    struct rig rig;
    struct address session;
    struct fault_entry entries[FAULT_CHAIN_MAX];
    struct ruleset_fault fault = lose_all();
    int spared = 0, clients[SESSIONS]; /* open to the end: a port that is used again is no news */
    fault.spared_ppb = RULESET_PROBABILITY_MAX / 2;
    rig_open(&rig, (struct rig_options){0});
    rig_add_fault(&rig, fault);
    for (uint64_t i = 0; i < SESSIONS; i++) {
        struct fault_pipeline pipeline;
        struct fault_flow flow = {.medium = FAULT_DATAGRAM, .ordinal = i};
        fault_pipeline_init(&pipeline, &flow, &(struct fault_sink){0});
        size_t count = fault_plan_chain(rig.plan, rig.spec.from, rig.spec.to, rig.spec.slot,
                                        RULESET_UPSTREAM, entries);
        fault_pipeline_apply(&pipeline, entries, count, 0);
        clients[i] = rig_connect(&rig.route_address);
        for (int again = 0; again < 2; again++)
            assert_int_equal(crosses(&rig, clients[i], &session),
                             !fault_pipeline_is_needed(&pipeline));
        spared += !fault_pipeline_is_needed(&pipeline);
    }
    for (int i = 0; i < SESSIONS; i++)
        close(clients[i]);
    assert_in_range(spared, SESSIONS / 6, SESSIONS - SESSIONS / 6);
    rig_close(&rig);
}

/* Sessions that began before the fault was set do not count, and one that meets it in both
 * directions counts once. */
static void the_first_sessions_are_counted(void **state)
{
    (void)state;
    struct rig rig;
    struct address session;
    struct ruleset_fault fault = lose_all();
    int clients[3];
    fault.first_connections = 2;
    fault.both_ways = true;
    rig_open(&rig, (struct rig_options){.host = "::1"});
    rig_greet(&rig, &session);
    rig_add_fault(&rig, fault);
    assert_true(crosses(&rig, rig.client, &session));
    for (int i = 0; i < 3; i++) {
        clients[i] = rig_connect(&rig.route_address);
        assert_int_equal(crosses(&rig, clients[i], &session), i == 2);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(crosses(&rig, clients[i], &session), i == 2);
        close(clients[i]);
    }
    rig_close(&rig);
}

/* The window counts from the session's first datagram. */
static void a_window_opens_after_the_first_datagram(void **state)
{
    (void)state;
    struct rig rig;
    struct address session;
    struct ruleset_fault fault = lose_all();
    fault.after_ns = 50 * NS_PER_MS;
    rig_open(&rig, (struct rig_options){0});
    rig_add_fault(&rig, fault);
    uint64_t begin_ns = monotonic_now_ns();
    assert_true(crosses(&rig, rig.client, &session));
    while (crosses(&rig, rig.client, &session))
        assert_true(monotonic_now_ns() - begin_ns < 20 * NS_PER_S);
    assert_true(monotonic_now_ns() - begin_ns >= fault.after_ns);
    int late = rig_connect(&rig.route_address);
    assert_true(crosses(&rig, late, &session));
    assert_false(crosses(&rig, rig.client, &session));
    close(late);
    rig_close(&rig);
}

/* A rate that is shared: two sessions together have it once. */
static void a_shared_rate_is_one(void **state)
{
    (void)state;
    enum { BYTES = 1000, EACH = 10 };
    static char bytes[BYTES];
    struct rig rig;
    rig_open(&rig, (struct rig_options){0});
    ruleset_add_fault(&rig.ruleset,
                      &(struct ruleset_fault){.name = "narrow",
                                              .type = RULESET_RATE,
                                              .route = "r",
                                              .rate = {.bytes_per_s = 200000, .shared = true}});
    rig_apply(&rig);
    int other = rig_connect(&rig.route_address);
    uint64_t begin_ns = monotonic_now_ns();
    for (int i = 0; i < EACH; i++) {
        assert_int_equal(send(rig.client, bytes, BYTES, 0), BYTES);
        assert_int_equal(send(other, bytes, BYTES, 0), BYTES);
    }
    await(&rig, fault_counter_get(&rig_link(&rig, "a", "b")->units) == 2 * EACH);
    assert_true(monotonic_now_ns() - begin_ns >= 2 * EACH * BYTES * NS_PER_S / 200000);
    close(other);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(toxicity_spares_whole_sessions),
        cmocka_unit_test(the_first_sessions_are_counted),
        cmocka_unit_test(a_window_opens_after_the_first_datagram),
        cmocka_unit_test(a_shared_rate_is_one),
    };
    return cmocka_run_group_tests_name("proxy/datagram/reach", tests, NULL, NULL);
}
