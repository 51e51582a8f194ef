/* The session table: its bound, expiry, a flood of senders, any-address listeners, and upstreams
 * whose name has to be looked up first. */
#include "tests/unit/proxy/datagram/rig.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sched.h>
#include <stdatomic.h>

static void at_the_bound_further_clients_are_dropped(void **state)
{
    (void)state;
    struct rig rig;
    char buffer[64];
    int clients[3];
    rig_open(&rig, (struct rig_options){.sessions_max = 2, .idle_ns = 3600 * NS_PER_S});
    for (int i = 0; i < 3; i++)
        clients[i] = rig_connect(&rig.route_address);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 3; i++) {
            send_text(clients[i], "x");
            if (i < 2)
                await(&rig, take(rig.server, buffer, sizeof(buffer), NULL));
        }
    await(&rig, rig_dropped(&rig, "a", "b", FAULT_CAUSE_QUEUE) == 3);
    struct fault_route_counters *route = &rig.counters->routes[rig.spec.slot];
    assert_int_equal(datagram_plane_open(rig.plane), 2);
    assert_int_equal(fault_counter_get(&route->received[0]), 9);
    assert_int_equal(fault_counter_get(&route->sent[0]), 6);
    assert_int_equal(fault_counter_get(&route->connections), 2);
    assert_int_equal(fault_counter_get(&route->ended), 0);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
    rig_close(&rig);
}

/* The session lives while anything arrives, be it dropped; then it ends, and another begins. */
static void what_arrives_keeps_a_session(void **state)
{
    (void)state;
    enum { IDLE_MS = 60 };
    struct rig rig;
    struct address first, second;
    char buffer[64];
    rig_open(&rig, (struct rig_options){.idle_ns = IDLE_MS * NS_PER_MS});
    rig_greet(&rig, &first);
    rig_cut(&rig, true, true);
    uint64_t end_ns = monotonic_now_ns() + 4 * IDLE_MS * NS_PER_MS;
    while (monotonic_now_ns() < end_ns) {
        send_text(rig.client, "kept");
        rig_turn(&rig);
    }
    rig_heal(&rig);
    send_text(rig.client, "x");
    await(&rig, take(rig.server, buffer, sizeof(buffer), &second));
    if (datagram_plane_total(rig.plane) == 1) /* unless this thread stood still for so long */
        assert_int_equal(address_port(&second), address_port(&first));
    await(&rig, datagram_plane_open(rig.plane) == 0);
    struct fault_route_counters *route = &rig.counters->routes[rig.spec.slot];
    assert_int_equal(fault_counter_get(&route->ended), fault_counter_get(&route->connections));
    rig_close(&rig);
}

/* What a fault will never let go does not keep a session. */
static void what_never_leaves_expires(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, (struct rig_options){.idle_ns = 20 * NS_PER_MS});
    rig_add_fault(&rig, (struct ruleset_fault){
                            .name = "closed", .type = RULESET_RATE, .rate = {.bytes_per_s = 0}});
    send_text(rig.client, "x");
    await(&rig, datagram_plane_open(rig.plane) == 1);
    await(&rig, datagram_plane_open(rig.plane) == 0);
    assert_int_equal(rig_dropped(&rig, "a", "b", FAULT_CAUSE_QUEUE), 1);
    assert_int_equal(pool_used_bytes(rig.pool), 0);
    rig_close(&rig);
}

/* One datagram from 127.1.x.y, any port. */
static void send_from(uint32_t number, const struct address *to)
{
    struct sockaddr_in source = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(0x7f010000u + number)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&source, sizeof(source)), 0);
    assert_int_equal(sendto(fd, "flood", 5, 0, (const struct sockaddr *)&to->storage, to->length),
                     5);
    close(fd);
}

/* 100,000 senders, one datagram each: the route has its share of the table after the first ones,
 * all others are dropped and counted, and a client that was there before goes on. */
static void a_flood_of_senders_is_dropped(void **state)
{
    (void)state;
    enum { FLOOD = 100000, TABLE = 256, SHARE = TABLE / 2 + 1 };
    struct rig rig;
    struct address session;
    char buffer[64];
    uint64_t delivered = 0, echoes = 0;
    rig_open(&rig, (struct rig_options){.sessions_max = TABLE, .idle_ns = 3600 * NS_PER_S});
    rig_greet(&rig, &session);
    for (uint32_t i = 0; i < FLOOD; i++) {
        send_from(i, &rig.route_address);
        if (i % 32 == 0) /* less than the kernel keeps for a socket */
            assert_int_equal(loop_turn(rig.loop, 0), 0);
        if (i % 10000 == 0) {
            send_text(rig.client, "still here");
            for (bool found = false; !found;) {
                await(&rig, take(rig.server, buffer, sizeof(buffer), NULL));
                found = strcmp(buffer, "still here") == 0;
                delivered += !found;
            }
            echoes++;
        }
    }
    struct fault_link_counters *link = rig_link(&rig, "a", "b");
    await(&rig,
          fault_counter_get(&link->units) + fault_counter_get(&link->dropped[FAULT_CAUSE_QUEUE]) ==
              FLOOD + echoes + 1);
    while (take(rig.server, buffer, sizeof(buffer), NULL))
        delivered++;
    assert_int_equal(delivered, SHARE - 1);
    assert_int_equal(datagram_plane_open(rig.plane), SHARE); /* the rest is for other routes */
    assert_int_equal(datagram_plane_total(rig.plane), SHARE);
    assert_int_equal(pool_used_bytes(rig.pool), 0);
    rig_close(&rig);
}

/* A listener on any address answers from the one that the client sent to; a connected client
 * takes no other. */
static void answers_come_from_where_was_sent_to(void **state)
{
    (void)state;
    static const struct {
        const char *any, *host;
    } cases[] = {{"0.0.0.0", "127.0.0.7"}, {"::", "::1"}, {"::", "127.0.0.7"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig rig;
        struct address session;
        char buffer[64];
        rig_open(&rig, (struct rig_options){.host = cases[i].host, .any = cases[i].any});
        rig_greet(&rig, &session);
        send_text_to(rig.server, "answer", &session);
        await(&rig, take(rig.client, buffer, sizeof(buffer), NULL));
        assert_string_equal(buffer, "answer");
        rig_close(&rig);
    }
}

/* Names: getaddrinfo is this file's. */

static atomic_int lookups;
static atomic_bool held; /* the name server is slow */
static _Atomic(const char *) answer;

int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out);
void __wrap_freeaddrinfo(struct addrinfo *list);

int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out)
{
    (void)name;
    (void)service;
    (void)hints;
    atomic_fetch_add(&lookups, 1);
    while (atomic_load(&held))
        sched_yield();
    const char *host = atomic_load(&answer);
    struct addrinfo *info = calloc(1, sizeof(*info) + sizeof(struct address));
    struct address address;
    if (!host || !info || address_parse_host(host, &address, NULL)) {
        free(info);
        return EAI_NONAME;
    }
    memcpy(info + 1, &address, sizeof(address));
    info->ai_family = address.storage.ss_family;
    info->ai_addr = (struct sockaddr *)(void *)(info + 1);
    info->ai_addrlen = address.length;
    *out = info;
    return 0;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
    free(list);
}

static void open_named(struct rig *rig, const char *host)
{
    rig_open(rig, (struct rig_options){.host = host, .named = true});
    atomic_store(&lookups, 0);
    atomic_store(&held, true);
    atomic_store(&answer, host);
}

static void the_first_datagrams_wait_for_the_address(void **state)
{
    (void)state;
    enum { SENT = 20, KEPT = 8 };
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    for (int faulty = 0; faulty < 2; faulty++) {
        struct rig rig;
        struct address session;
        char buffer[64], text[16];
        open_named(&rig, hosts[faulty]);
        if (faulty)
            rig_add_fault(&rig, (struct ruleset_fault){.name = "slow",
                                                       .type = RULESET_LATENCY,
                                                       .latency = {.delay_ns = NS_PER_MS}});
        for (int i = 0; i < SENT; i++) {
            snprintf(text, sizeof(text), "%d", i);
            send_text(rig.client, text);
        }
        await(&rig, rig_dropped(&rig, "a", "b", FAULT_CAUSE_QUEUE) == SENT - KEPT);
        rig_apply(&rig); /* the name of the table before is gone */
        atomic_store(&held, false);
        for (int i = 0; i < KEPT; i++) {
            snprintf(text, sizeof(text), "%d", i);
            await(&rig, take(rig.server, buffer, sizeof(buffer), &session));
            assert_string_equal(buffer, text);
        }
        send_text(rig.client, "more");
        await(&rig, take(rig.server, buffer, sizeof(buffer), &session));
        send_text_to(rig.server, "back", &session);
        await(&rig, take(rig.client, buffer, sizeof(buffer), NULL));
        assert_string_equal(buffer, "back");
        assert_int_equal(atomic_load(&lookups), 1);
        assert_int_equal(fault_counter_get(&rig_link(&rig, "a", "b")->units), KEPT + 1);
        rig_close(&rig);
    }
}

static void a_name_without_an_address_is_asked_for_again(void **state)
{
    (void)state;
    struct rig rig;
    char buffer[64];
    open_named(&rig, "127.0.0.1");
    atomic_store(&answer, NULL);
    atomic_store(&held, false);
    send_text(rig.client, "lost");
    await(&rig, rig_dropped(&rig, "a", "b", FAULT_CAUSE_QUEUE) == 1);
    assert_int_equal(fault_counter_get(&rig_link(&rig, "a", "b")->refused), 1);
    assert_int_equal(datagram_plane_open(rig.plane), 1);
    atomic_store(&answer, "127.0.0.1");
    send_text(rig.client, "found");
    await(&rig, take(rig.server, buffer, sizeof(buffer), NULL));
    assert_string_equal(buffer, "found");
    assert_int_equal(datagram_plane_total(rig.plane), 1);
    rig_close(&rig);
}

/* A cut, the end of the route and the end of the plane come while datagrams wait. */
static void what_waits_is_counted_whatever_comes(void **state)
{
    (void)state;
    struct rig rig;
    open_named(&rig, "127.0.0.1");
    send_text(rig.client, "cut");
    await(&rig, datagram_plane_open(rig.plane) == 1);
    rig_cut(&rig, true, false);
    assert_int_equal(rig_dropped(&rig, "a", "b", FAULT_CAUSE_CUT), 1);
    rig_heal(&rig);
    send_text(rig.client, "gone");
    await(&rig, pool_used_bytes(rig.pool) > 0);
    rig.table.route_count = 0;
    rig_apply(&rig);
    assert_int_equal(rig_dropped(&rig, "a", "b", FAULT_CAUSE_QUEUE), 1);
    rig.table.route_count = 1;
    rig_apply(&rig);
    send_text(rig.client, "left");
    await(&rig, pool_used_bytes(rig.pool) > 0);
    atomic_store(&held, false);
    rig_close(&rig);
}

/* Workers that share a route count its sessions together. */
static void shared_ordinals_are_taken(void **state)
{
    (void)state;
    struct rig rig;
    struct address session;
    static _Atomic uint32_t ordinals[ROUTE_NODE_SLOTS];
    rig_open(&rig, (struct rig_options){0});
    atomic_store(&ordinals[rig.spec.from], 7);
    rig.spec.ordinals = ordinals;
    rig_greet(&rig, &session);
    assert_int_equal(atomic_load(&ordinals[rig.spec.from]), 8);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_the_bound_further_clients_are_dropped),
        cmocka_unit_test(what_arrives_keeps_a_session),
        cmocka_unit_test(what_never_leaves_expires),
        cmocka_unit_test(a_flood_of_senders_is_dropped),
        cmocka_unit_test(answers_come_from_where_was_sent_to),
        cmocka_unit_test(the_first_datagrams_wait_for_the_address),
        cmocka_unit_test(a_name_without_an_address_is_asked_for_again),
        cmocka_unit_test(what_waits_is_counted_whatever_comes),
        cmocka_unit_test(shared_ordinals_are_taken),
    };
    return cmocka_run_group_tests_name("proxy/datagram/sessions", tests, NULL, NULL);
}
