#include "tests/lib/test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/datagram/datagram.h"
#include "proxy/io/socket.h"

/* client (node a) -> route "r" -> server (node b), all in this thread. */
struct rig {
    struct loop *loop;
    struct pool *pool;
    struct fault_counters *counters;
    struct datagram_plane *plane;
    struct ruleset ruleset;
    struct fault_plan *plan;
    int listener, server, client;
    struct address route_address, server_address;
    struct route_spec spec;
    struct route_table table;
};

static void turn(struct rig *rig)
{
    assert_int_equal(loop_turn(rig->loop, monotonic_now_ns() + NS_PER_MS), 0);
}

#define await(rig, condition)                                                                      \
    do {                                                                                           \
        uint64_t await_deadline = monotonic_now_ns() + 20 * NS_PER_S;                              \
        while (!(condition)) {                                                                     \
            if (monotonic_now_ns() > await_deadline)                                               \
                fail_msg("waited in vain for: %s", #condition);                                    \
            turn(rig);                                                                             \
        }                                                                                          \
    } while (0)

static void turn_for(struct rig *rig, uint64_t duration_ns)
{
    uint64_t end_ns = monotonic_now_ns() + duration_ns;
    while (monotonic_now_ns() < end_ns)
        turn(rig);
}

static void apply(struct rig *rig)
{
    struct fault_plan *plan = NULL;
    struct error error = {0};
    rig->ruleset.version++;
    if (ruleset_check(&rig->ruleset, &error) ||
        fault_plan_create(&rig->ruleset, rig->plan, &plan, &error))
        fail_msg("%s %s", error.place, error.message);
    rig->spec.slot = fault_plan_route_slot(plan, "r");
    rig->spec.from = fault_plan_node_slot(plan, "a");
    rig->spec.to = fault_plan_node_slot(plan, "b");
    datagram_plane_apply(rig->plane, plan, NULL, &rig->table);
    fault_plan_destroy(rig->plan);
    rig->plan = plan;
}

static int connect_to(const struct address *address)
{
    int fd = socket_connect_datagram(address, NULL);
    assert_true(fd >= 0);
    return fd;
}

static void open_rig(struct rig *rig, uint32_t sessions_max, uint64_t idle_ns)
{
    struct address any;
    char text[ADDRESS_TEXT_MAX];
    *rig = (struct rig){0};
    assert_int_equal(address_parse("127.0.0.1:0", &any, NULL), 0);
    rig->listener = socket_bind_datagram(&any, false, &rig->route_address, NULL);
    rig->server = socket_bind_datagram(&any, false, &rig->server_address, NULL);
    rig->client = connect_to(&rig->route_address);
    assert_true(rig->listener >= 0 && rig->server >= 0);
    assert_int_equal(loop_create(&rig->loop, NULL), 0);
    assert_int_equal(pool_create(8 << 20, &rig->pool, NULL), 0);
    rig->counters = calloc(1, sizeof(*rig->counters));
    struct datagram_options options = {.sessions_max = sessions_max,
                                       .idle_ns = idle_ns,
                                       .loop = rig->loop,
                                       .pool = rig->pool,
                                       .counters = rig->counters};
    assert_int_equal(datagram_plane_create(&options, &rig->plane, NULL), 0);
    struct ruleset_node a = {.name = "a"}, b = {.name = "b"};
    ruleset_add_node(&rig->ruleset, &a);
    ruleset_add_node(&rig->ruleset, &b);
    struct ruleset_route route = {
        .name = "r", .protocol = RULESET_UDP, .from = "a", .to = "b", .enabled = true};
    snprintf(route.listen, sizeof(route.listen), "%s", address_format(&rig->route_address, text));
    snprintf(route.upstream, sizeof(route.upstream), "%s",
             address_format(&rig->server_address, text));
    ruleset_add_route(&rig->ruleset, &route);
    rig->spec =
        (struct route_spec){.serial = 1, .fd = rig->listener, .upstream = rig->server_address};
    rig->table = (struct route_table){.routes = &rig->spec, .route_count = 1, .sources_serial = 1};
    apply(rig);
}

static void close_rig(struct rig *rig)
{
    datagram_plane_destroy(rig->plane);
    assert_int_equal(pool_used_bytes(rig->pool), 0);
    pool_destroy(rig->pool);
    loop_destroy(rig->loop);
    fault_plan_destroy(rig->plan);
    ruleset_free(&rig->ruleset);
    free(rig->counters);
    close(rig->listener);
    close(rig->client);
    if (rig->server >= 0)
        close(rig->server);
}

static struct fault_link_counters *link_of(struct rig *rig, const char *from, const char *to)
{
    return fault_counters_link(rig->counters, fault_plan_node_slot(rig->plan, from),
                               fault_plan_node_slot(rig->plan, to));
}

static void cut(struct rig *rig, bool up, bool down)
{
    struct ruleset_partition partition = {.name = "p"};
    if (up)
        ruleset_partition_add_link(&partition, "a", "b");
    if (down)
        ruleset_partition_add_link(&partition, "b", "a");
    ruleset_add_partition(&rig->ruleset, &partition);
    free(partition.links);
    apply(rig);
}

static void heal(struct rig *rig)
{
    assert_true(ruleset_remove_partition(&rig->ruleset, "p"));
    apply(rig);
}

static void add_fault(struct rig *rig, struct ruleset_fault fault)
{
    snprintf(fault.link.from, sizeof(fault.link.from), "a");
    snprintf(fault.link.to, sizeof(fault.link.to), "b");
    ruleset_add_fault(&rig->ruleset, &fault);
    apply(rig);
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
}

/* Receives one datagram if there is one; its sender too. */
static bool take(int fd, char *buffer, size_t size, struct address *peer)
{
    struct address ignored;
    struct address *from = peer ? peer : &ignored;
    from->length = sizeof(from->storage);
    ssize_t got = recvfrom(fd, buffer, size - 1, MSG_DONTWAIT, (struct sockaddr *)&from->storage,
                           &from->length);
    if (got < 0)
        return false;
    buffer[got] = '\0';
    return true;
}

static void datagrams_cross_and_answers_find_back(void **state)
{
    (void)state;
    struct rig rig;
    struct address first, second;
    char buffer[64];
    open_rig(&rig, 8, 0);
    int other = connect_to(&rig.route_address);
    send_text(rig.client, "one");
    await(&rig, take(rig.server, buffer, sizeof(buffer), &first));
    assert_string_equal(buffer, "one");
    send_text(other, "two");
    await(&rig, take(rig.server, buffer, sizeof(buffer), &second));
    assert_string_equal(buffer, "two");
    assert_int_not_equal(address_port(&first), address_port(&second));
    assert_int_equal(
        sendto(rig.server, "to two", 6, 0, (struct sockaddr *)&second.storage, second.length), 6);
    assert_int_equal(
        sendto(rig.server, "to one", 6, 0, (struct sockaddr *)&first.storage, first.length), 6);
    await(&rig, take(rig.client, buffer, sizeof(buffer), NULL));
    assert_string_equal(buffer, "to one");
    await(&rig, take(other, buffer, sizeof(buffer), NULL));
    assert_string_equal(buffer, "to two");
    assert_int_equal(datagram_plane_open(rig.plane), 2);
    assert_int_equal(fault_counter_get(&link_of(&rig, "a", "b")->units), 2);
    assert_int_equal(fault_counter_get(&link_of(&rig, "a", "b")->bytes), 6);
    assert_int_equal(fault_counter_get(&link_of(&rig, "b", "a")->units), 2);
    assert_int_equal(fault_counter_get(&link_of(&rig, "a", "b")->connections), 2);
    close(other);
    close_rig(&rig);
}

static void sizes_cross_unchanged(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 1472, 9000, 65000};
    static char out[65536], in[65536];
    for (int delayed = 0; delayed < 2; delayed++) {
        struct rig rig;
        open_rig(&rig, 8, 0);
        if (delayed)
            add_fault(&rig, (struct ruleset_fault){.name = "slow",
                                                   .type = RULESET_LATENCY,
                                                   .latency = {.delay_ns = NS_PER_MS}});
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            memset(out, (int)i + 1, sizes[i]);
            assert_int_equal(send(rig.client, out, sizes[i], 0), sizes[i]);
            ssize_t got = -1;
            await(&rig, (got = recv(rig.server, in, sizeof(in), MSG_DONTWAIT)) >= 0);
            assert_int_equal(got, sizes[i]);
            assert_memory_equal(in, out, sizes[i]);
        }
        close_rig(&rig);
    }
}

static void a_cut_drops_and_counts(void **state)
{
    (void)state;
    struct rig rig;
    struct address peer;
    char buffer[64];
    open_rig(&rig, 8, 0);
    send_text(rig.client, "before");
    await(&rig, take(rig.server, buffer, sizeof(buffer), &peer));
    cut(&rig, true, true);
    for (int i = 0; i < 10; i++)
        send_text(rig.client, "lost");
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            sendto(rig.server, "lost", 4, 0, (struct sockaddr *)&peer.storage, peer.length), 4);
    struct fault_link_counters *up = link_of(&rig, "a", "b"), *down = link_of(&rig, "b", "a");
    await(&rig, fault_counter_get(&up->dropped[FAULT_CAUSE_CUT]) == 10);
    await(&rig, fault_counter_get(&down->dropped[FAULT_CAUSE_CUT]) == 4);
    heal(&rig);
    turn_for(&rig, 5 * NS_PER_MS);
    assert_false(take(rig.server, buffer, sizeof(buffer), NULL));
    send_text(rig.client, "after");
    await(&rig, take(rig.server, buffer, sizeof(buffer), NULL));
    assert_string_equal(buffer, "after");
    assert_int_equal(fault_counter_get(&up->units), 2);
    close_rig(&rig);
}

static void a_cut_link_opens_no_session(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, 8, 0);
    cut(&rig, true, false);
    send_text(rig.client, "lost");
    await(&rig, fault_counter_get(&link_of(&rig, "a", "b")->dropped[FAULT_CAUSE_CUT]) == 1);
    assert_int_equal(datagram_plane_open(rig.plane), 0);
    close_rig(&rig);
}

static void what_is_on_its_way_is_cut_too(void **state)
{
    (void)state;
    struct rig rig;
    char buffer[64];
    open_rig(&rig, 8, 0);
    add_fault(&rig, (struct ruleset_fault){.name = "slow",
                                           .type = RULESET_LATENCY,
                                           .latency = {.delay_ns = 20 * NS_PER_MS}});
    send_text(rig.client, "on its way");
    turn_for(&rig, 5 * NS_PER_MS);
    cut(&rig, true, false);
    await(&rig, fault_counter_get(&link_of(&rig, "a", "b")->dropped[FAULT_CAUSE_CUT]) == 1);
    heal(&rig);
    turn_for(&rig, 30 * NS_PER_MS);
    assert_false(take(rig.server, buffer, sizeof(buffer), NULL));
    close_rig(&rig);
}

static void latency_delays(void **state)
{
    (void)state;
    struct rig rig;
    char buffer[64];
    open_rig(&rig, 8, 0);
    add_fault(&rig, (struct ruleset_fault){.name = "slow",
                                           .type = RULESET_LATENCY,
                                           .latency = {.delay_ns = 40 * NS_PER_MS}});
    uint64_t begin_ns = monotonic_now_ns();
    send_text(rig.client, "x");
    await(&rig, take(rig.server, buffer, sizeof(buffer), NULL));
    assert_true(monotonic_now_ns() - begin_ns >= 40 * NS_PER_MS);
    close_rig(&rig);
}

/* Every datagram is delivered or counted as lost, and about the asked share is lost. */
static void loss_is_counted(void **state)
{
    (void)state;
    enum { COUNT = 4000 };
    struct rig rig;
    char buffer[64];
    uint64_t received = 0;
    open_rig(&rig, 8, 0);
    add_fault(&rig, (struct ruleset_fault){.name = "lossy",
                                           .type = RULESET_LOSS,
                                           .loss = {.probability_ppb = 200000000}});
    for (int i = 0; i < COUNT; i++) {
        send_text(rig.client, "x");
        if (i % 20 == 0)
            turn(&rig);
        while (take(rig.server, buffer, sizeof(buffer), NULL))
            received++;
    }
    struct fault_link_counters *link = link_of(&rig, "a", "b");
    await(&rig,
          fault_counter_get(&link->units) + fault_counter_get(&link->dropped[FAULT_CAUSE_LOSS]) ==
              COUNT);
    while (take(rig.server, buffer, sizeof(buffer), NULL))
        received++;
    uint64_t lost = fault_counter_get(&link->dropped[FAULT_CAUSE_LOSS]);
    assert_int_equal(received, COUNT - lost);
    assert_in_range(lost, COUNT / 5 - 150, COUNT / 5 + 150); /* 6 sigma */
    uint16_t slot = fault_plan_fault_slot(rig.plan, "lossy", NULL);
    assert_int_equal(fault_counter_get(&rig.counters->touched[slot]), lost);
    close_rig(&rig);
}

static void a_rate_queue_drops_its_tail(void **state)
{
    (void)state;
    struct rig rig;
    static char bytes[1000];
    open_rig(&rig, 8, 0);
    add_fault(&rig, (struct ruleset_fault){.name = "narrow",
                                           .type = RULESET_RATE,
                                           .rate = {.bytes_per_s = 100000, .queue_bytes = 5000}});
    for (int i = 0; i < 20; i++)
        assert_int_equal(send(rig.client, bytes, sizeof(bytes), 0), sizeof(bytes));
    struct fault_link_counters *link = link_of(&rig, "a", "b");
    await(&rig,
          fault_counter_get(&link->units) + fault_counter_get(&link->dropped[FAULT_CAUSE_QUEUE]) ==
              20);
    assert_in_range(fault_counter_get(&link->units), 4, 8);
    close_rig(&rig);
}

static void a_dead_upstream_kills_nothing(void **state)
{
    (void)state;
    struct rig rig;
    char buffer[64];
    open_rig(&rig, 8, 0);
    close(rig.server);
    for (int i = 0; i < 10; i++) {
        send_text(rig.client, "x");
        turn_for(&rig, 2 * NS_PER_MS);
    }
    assert_true(fault_counter_get(&link_of(&rig, "a", "b")->refused) > 0);
    assert_int_equal(datagram_plane_open(rig.plane), 1);
    rig.server = socket_bind_datagram(&rig.server_address, false, NULL, NULL);
    assert_true(rig.server >= 0);
    send_text(rig.client, "hello");
    await(&rig, take(rig.server, buffer, sizeof(buffer), NULL));
    assert_string_equal(buffer, "hello");
    close_rig(&rig);
}

static void a_client_that_left_kills_nothing(void **state)
{
    (void)state;
    struct rig rig;
    struct address peer;
    char buffer[64];
    open_rig(&rig, 8, 0);
    int gone = connect_to(&rig.route_address);
    send_text(gone, "x");
    await(&rig, take(rig.server, buffer, sizeof(buffer), &peer));
    close(gone);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(
            sendto(rig.server, "y", 1, 0, (struct sockaddr *)&peer.storage, peer.length), 1);
        turn_for(&rig, 2 * NS_PER_MS);
    }
    send_text(rig.client, "hello");
    await(&rig, take(rig.server, buffer, sizeof(buffer), NULL));
    assert_string_equal(buffer, "hello");
    close_rig(&rig);
}

static void sessions_are_bounded_and_expire(void **state)
{
    (void)state;
    struct rig rig;
    char buffer[64];
    int clients[3];
    open_rig(&rig, 2, 30 * NS_PER_MS);
    for (int i = 0; i < 3; i++) {
        clients[i] = connect_to(&rig.route_address);
        send_text(clients[i], "x");
        turn(&rig);
    }
    struct fault_link_counters *link = link_of(&rig, "a", "b");
    await(&rig, fault_counter_get(&link->dropped[FAULT_CAUSE_QUEUE]) == 1);
    assert_int_equal(datagram_plane_open(rig.plane), 2);
    await(&rig, datagram_plane_open(rig.plane) == 0);
    while (take(rig.server, buffer, sizeof(buffer), NULL)) {
    }
    send_text(clients[2], "z");
    await(&rig, take(rig.server, buffer, sizeof(buffer), NULL));
    assert_string_equal(buffer, "z");
    assert_int_equal(datagram_plane_total(rig.plane), 3);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
    close_rig(&rig);
}

static void a_session_that_holds_does_not_expire(void **state)
{
    (void)state;
    struct rig rig;
    char buffer[64];
    open_rig(&rig, 8, 10 * NS_PER_MS);
    add_fault(&rig, (struct ruleset_fault){.name = "slow",
                                           .type = RULESET_LATENCY,
                                           .latency = {.delay_ns = 60 * NS_PER_MS}});
    send_text(rig.client, "late");
    await(&rig, take(rig.server, buffer, sizeof(buffer), NULL));
    assert_string_equal(buffer, "late");
    close_rig(&rig);
}

static void full_buffers_drop_and_count(void **state)
{
    (void)state;
    enum { COUNT = 400 };
    struct rig rig;
    static char bytes[60000];
    open_rig(&rig, 8, 0);
    add_fault(&rig, (struct ruleset_fault){.name = "slow",
                                           .type = RULESET_LATENCY,
                                           .latency = {.delay_ns = 3600 * NS_PER_S}});
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(send(rig.client, bytes, sizeof(bytes), 0), sizeof(bytes));
        turn(&rig);
    }
    struct fault_link_counters *link = link_of(&rig, "a", "b");
    uint64_t dropped = fault_counter_get(&link->dropped[FAULT_CAUSE_QUEUE]);
    uint64_t held = pool_used_bytes(rig.pool) / POOL_BLOCK_MAX;
    assert_true(dropped > 0 && held > 0);
    assert_int_equal(dropped + held, COUNT);
    rig.table.route_count = 0; /* the route goes: what was held is counted as well */
    apply(&rig);
    assert_int_equal(fault_counter_get(&link->dropped[FAULT_CAUSE_QUEUE]), COUNT);
    assert_int_equal(datagram_plane_open(rig.plane), 0);
    close_rig(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams_cross_and_answers_find_back),
        cmocka_unit_test(sizes_cross_unchanged),
        cmocka_unit_test(a_cut_drops_and_counts),
        cmocka_unit_test(a_cut_link_opens_no_session),
        cmocka_unit_test(what_is_on_its_way_is_cut_too),
        cmocka_unit_test(latency_delays),
        cmocka_unit_test(loss_is_counted),
        cmocka_unit_test(a_rate_queue_drops_its_tail),
        cmocka_unit_test(a_dead_upstream_kills_nothing),
        cmocka_unit_test(a_client_that_left_kills_nothing),
        cmocka_unit_test(sessions_are_bounded_and_expire),
        cmocka_unit_test(a_session_that_holds_does_not_expire),
        cmocka_unit_test(full_buffers_drop_and_count),
    };
    return cmocka_run_group_tests_name("proxy/datagram", tests, NULL, NULL);
}
