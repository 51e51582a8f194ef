/* A reject fault tells the sender, where the kernel lets it. */
#include "tests/unit/proxy/datagram/rig.h"

#include "proxy/base/answer_limit.h"

enum { NOBODY = 65534 };

static struct ruleset_fault always(void)
{
    return (struct ruleset_fault){.name = "closed",
                                  .type = RULESET_REJECT,
                                  .reject = {.probability_ppb = RULESET_PROBABILITY_MAX}};
}

/* Whether the connected socket has been told; takes the error off it. */
static bool was_refused(int fd)
{
    return socket_take_error(fd) == -ECONNREFUSED;
}

static void a_client_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *any, *host;
    } cases[] = {{NULL, "127.0.0.1"},
                 {NULL, "::1"},
                 {"0.0.0.0", "127.0.0.7"},
                 {"::", "::1"},
                 {"::", "127.0.0.7"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig rig;
        struct address session;
        rig_open(&rig, (struct rig_options){.host = cases[i].host, .any = cases[i].any});
        rig_greet(&rig, &session);
        rig_add_fault(&rig, always());
        for (uint64_t sent = 1; sent <= 3; sent++) {
            send_text(rig.client, "x");
            await(&rig, rig_dropped(&rig, "a", "b", FAULT_CAUSE_REJECT) == sent);
            assert_int_equal(was_refused(rig.client), datagram_can_refuse());
        }
        assert_true(ruleset_remove_fault(&rig.ruleset, "closed"));
        rig_apply(&rig);
        rig_greet(&rig, &session);
        assert_false(was_refused(rig.client));
        rig_close(&rig);
    }
}

/* The upstream's socket, when it is connected to the session's. */
static void a_server_is_refused(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        struct address session;
        rig_open(&rig, (struct rig_options){.host = hosts[i]});
        rig_greet(&rig, &session);
        rig_add_fault_to(&rig, always(), true);
        assert_int_equal(connect(rig.server, (struct sockaddr *)&session.storage, session.length),
                         0);
        send_text(rig.server, "x");
        await(&rig, rig_dropped(&rig, "b", "a", FAULT_CAUSE_REJECT) == 1);
        assert_int_equal(was_refused(rig.server), datagram_can_refuse());
        assert_false(was_refused(rig.client));
        assert_int_equal(fault_counter_get(&rig_link(&rig, "a", "b")->refused), 0);
        rig_close(&rig);
    }
}

/* A flood is dropped, and but for a few that is all. */
static void a_flood_is_not_answered(void **state)
{
    (void)state;
    enum { FLOOD = 2000 };
    struct rig rig;
    struct address session;
    rig_open(&rig, (struct rig_options){0});
    rig_greet(&rig, &session);
    rig_add_fault(&rig, always());
    uint64_t begin_ns = monotonic_now_ns();
    for (int i = 0; i < FLOOD; i++)
        if (send(rig.client, "x", 1, 0) < 0) /* it has been told of an earlier one */
            send_text(rig.client, "x");
    await(&rig, rig_dropped(&rig, "a", "b", FAULT_CAUSE_REJECT) == FLOOD);
    uint64_t told_at_most =
        ANSWER_LIMIT_BURST + 1 + (monotonic_now_ns() - begin_ns) / (NS_PER_S / ANSWER_LIMIT_PER_S);
    uint64_t untold = fault_counter_get(&rig.counters->routes[rig.spec.slot].untold);
    if (!datagram_can_refuse())
        assert_int_equal(untold, 0);
    else if (told_at_most < FLOOD)
        assert_in_range(untold, FLOOD - told_at_most, FLOOD - ANSWER_LIMIT_BURST);
    rig_close(&rig);
}

static void without_privilege_it_drops_silently(void **state)
{
    (void)state;
    struct rig rig;
    struct address session;
    uid_t user = geteuid();
    if (user == 0)
        assert_int_equal(seteuid(NOBODY), 0);
    rig_open(&rig, (struct rig_options){0});
    bool can = datagram_can_refuse();
    if (user == 0) {
        assert_int_equal(seteuid(0), 0);
        assert_false(can);
    }
    rig_greet(&rig, &session);
    rig_add_fault(&rig, always());
    send_text(rig.client, "x");
    await(&rig, rig_dropped(&rig, "a", "b", FAULT_CAUSE_REJECT) == 1);
    assert_int_equal(was_refused(rig.client), can);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_is_refused),
        cmocka_unit_test(a_server_is_refused),
        cmocka_unit_test(a_flood_is_not_answered),
        cmocka_unit_test(without_privilege_it_drops_silently),
    };
    return cmocka_run_group_tests_name("proxy/datagram/refuse", tests, NULL, NULL);
}
