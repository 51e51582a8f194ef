/* client (node a) -> route "r" -> server (node b), all in this thread, over IPv4 or IPv6 loopback.
 *
 * A test opens the rig, changes rig.ruleset and calls rig_apply, and turns the loop until what it
 * waits for is there (await). */
#ifndef SEVER_TESTS_DATAGRAM_RIG_H
#define SEVER_TESTS_DATAGRAM_RIG_H

#include "tests/lib/test.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/datagram/datagram.h"
#include "proxy/io/socket.h"

struct rig {
    struct loop *loop;
    struct pool *pool;
    struct fault_counters *counters;
    struct fault_states *states;
    struct resolver *resolver; /* NULL unless the upstream is a host name */
    struct datagram_plane *plane;
    struct ruleset ruleset;
    struct fault_plan *plan;
    struct match_set *matches;
    int listener, server, client;
    struct address route_address, server_address;
    struct route_spec spec;
    struct route_table table;
    void (*on_apply)(struct rig *rig); /* called while the plan before is there; may be NULL */
    void *context;
};

struct rig_options {
    const char *host; /* where everything listens; NULL: 127.0.0.1 */
    const char *any;  /* where the route listens, when not there */
    uint32_t sessions_max;
    uint64_t idle_ns;
    bool named; /* the upstream is a host name */
};

static inline void rig_turn(struct rig *rig)
{
    assert_int_equal(loop_turn(rig->loop, monotonic_now_ns() + NS_PER_MS), 0);
}

#define await(rig, condition)                                                                      \
    do {                                                                                           \
        uint64_t await_deadline = monotonic_now_ns() + 20 * NS_PER_S;                              \
        while (!(condition)) {                                                                     \
            if (monotonic_now_ns() > await_deadline)                                               \
                fail_msg("waited in vain for: %s", #condition);                                    \
            rig_turn(rig);                                                                         \
        }                                                                                          \
    } while (0)

static inline void rig_turn_for(struct rig *rig, uint64_t duration_ns)
{
    uint64_t end_ns = monotonic_now_ns() + duration_ns;
    for (int i = 0; i < 4 || monotonic_now_ns() < end_ns; i++) /* on a busy machine, too */
        rig_turn(rig);
}

static inline void rig_apply(struct rig *rig)
{
    struct fault_plan *plan = NULL;
    struct match_set *matches = NULL;
    struct error error = {0};
    rig->ruleset.version++;
    if (ruleset_check(&rig->ruleset, &error) ||
        fault_plan_create(&rig->ruleset, rig->plan, &plan, &error) ||
        match_set_create(&rig->ruleset, plan, rig->matches, &matches, &error))
        fail_msg("%s %s", error.place, error.message);
    fault_states_take(rig->states, plan, monotonic_now_ns());
    rig->spec.slot = fault_plan_route_slot(plan, "r");
    rig->spec.from = fault_plan_node_slot(plan, "a");
    rig->spec.to = fault_plan_node_slot(plan, "b");
    datagram_plane_apply(rig->plane, plan, matches, &rig->table);
    struct fault_plan *old_plan = rig->plan;
    struct match_set *old_matches = rig->matches;
    rig->plan = plan;
    rig->matches = matches;
    if (rig->on_apply)
        rig->on_apply(rig);
    fault_plan_destroy(old_plan);
    match_set_destroy(old_matches);
}

static inline int rig_connect(const struct address *address)
{
    int fd = socket_connect_datagram(address, NULL);
    assert_true(fd >= 0);
    return fd;
}

static inline void rig_open_sockets(struct rig *rig, const struct rig_options *options)
{
    struct address here, there;
    const char *host = options->host ? options->host : "127.0.0.1";
    assert_int_equal(address_parse_host(host, &here, NULL), 0);
    assert_int_equal(address_parse_host(options->any ? options->any : host, &there, NULL), 0);
    rig->listener = socket_bind_datagram(&there, false, &rig->route_address, NULL);
    rig->server = socket_bind_datagram(&here, false, &rig->server_address, NULL);
    assert_true(rig->listener >= 0 && rig->server >= 0);
    address_set_port(&here, address_port(&rig->route_address));
    rig->route_address = here;
    rig->client = rig_connect(&rig->route_address);
}

static inline void rig_fill_ruleset(struct rig *rig)
{
    char text[ADDRESS_TEXT_MAX];
    struct ruleset_node a = {.name = "a"}, b = {.name = "b"};
    struct ruleset_route route = {
        .name = "r", .protocol = RULESET_UDP, .from = "a", .to = "b", .enabled = true};
    rig->ruleset.seed = 1;
    ruleset_add_node(&rig->ruleset, &a);
    ruleset_add_node(&rig->ruleset, &b);
    snprintf(route.listen, sizeof(route.listen), "%s", address_format(&rig->route_address, text));
    snprintf(route.upstream, sizeof(route.upstream), "%s",
             address_format(&rig->server_address, text));
    ruleset_add_route(&rig->ruleset, &route);
}

static inline void rig_open(struct rig *rig, struct rig_options options)
{
    *rig = (struct rig){0};
    rig_open_sockets(rig, &options);
    assert_int_equal(loop_create(&rig->loop, NULL), 0);
    assert_int_equal(pool_create(8 << 20, &rig->pool, NULL), 0);
    rig->counters = calloc(1, sizeof(*rig->counters));
    rig->states = calloc(1, sizeof(*rig->states));
    assert_true(rig->counters && rig->states);
    if (options.named)
        assert_int_equal(resolver_create(rig->loop, &rig->resolver, NULL), 0);
    struct datagram_options plane = {.sessions_max = options.sessions_max,
                                     .idle_ns = options.idle_ns,
                                     .loop = rig->loop,
                                     .pool = rig->pool,
                                     .counters = rig->counters,
                                     .resolver = rig->resolver,
                                     .states = rig->states};
    assert_int_equal(datagram_plane_create(&plane, &rig->plane, NULL), 0);
    rig_fill_ruleset(rig);
    rig->spec = (struct route_spec){.serial = 1, .fd = rig->listener};
    rig->spec.upstream_name = options.named ? "upstream.test" : "";
    rig->spec.upstream_port = address_port(&rig->server_address);
    if (!options.named)
        rig->spec.upstream = rig->server_address;
    rig->table = (struct route_table){.routes = &rig->spec, .route_count = 1, .sources_serial = 1};
    rig_apply(rig);
}

static inline void rig_close(struct rig *rig)
{
    datagram_plane_destroy(rig->plane);
    resolver_destroy(rig->resolver);
    assert_int_equal(pool_used_bytes(rig->pool), 0);
    pool_destroy(rig->pool);
    loop_destroy(rig->loop);
    fault_plan_destroy(rig->plan);
    match_set_destroy(rig->matches);
    ruleset_free(&rig->ruleset);
    free(rig->counters);
    free(rig->states);
    close(rig->listener);
    close(rig->client);
    if (rig->server >= 0)
        close(rig->server);
}

static inline struct fault_link_counters *rig_link(struct rig *rig, const char *from,
                                                   const char *to)
{
    return fault_counters_link(rig->counters, fault_plan_node_slot(rig->plan, from),
                               fault_plan_node_slot(rig->plan, to));
}

static inline uint64_t rig_dropped(struct rig *rig, const char *from, const char *to,
                                   enum fault_cause cause)
{
    return fault_counter_get(&rig_link(rig, from, to)->dropped[cause]);
}

static inline uint64_t rig_touched(struct rig *rig, const char *fault)
{
    return fault_counter_get(
        &rig->counters->touched[fault_plan_fault_slot(rig->plan, fault, NULL)]);
}

static inline void rig_cut(struct rig *rig, bool up, bool down)
{
    struct ruleset_partition partition = {.name = "p"};
    if (up)
        ruleset_partition_add_link(&partition, "a", "b");
    if (down)
        ruleset_partition_add_link(&partition, "b", "a");
    ruleset_add_partition(&rig->ruleset, &partition);
    ruleset_partition_free(&partition);
    rig_apply(rig);
}

static inline void rig_heal(struct rig *rig)
{
    assert_true(ruleset_remove_partition(&rig->ruleset, "p"));
    rig_apply(rig);
}

/* On the link a->b, or b->a with `down`. */
static inline void rig_add_fault_to(struct rig *rig, struct ruleset_fault fault, bool down)
{
    snprintf(fault.link.from, sizeof(fault.link.from), down ? "b" : "a");
    snprintf(fault.link.to, sizeof(fault.link.to), down ? "a" : "b");
    ruleset_add_fault(&rig->ruleset, &fault);
    rig_apply(rig);
}

static inline void rig_add_fault(struct rig *rig, struct ruleset_fault fault)
{
    rig_add_fault_to(rig, fault, false);
}

static inline void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
}

static inline void send_text_to(int fd, const char *text, const struct address *to)
{
    assert_int_equal(
        sendto(fd, text, strlen(text), 0, (const struct sockaddr *)&to->storage, to->length),
        strlen(text));
}

/* Receives one datagram if there is one; its sender too. */
static inline bool take(int fd, char *buffer, size_t size, struct address *peer)
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

/* Opens the session with one datagram, and has the server's view of it: where it answers to. */
static inline void rig_greet(struct rig *rig, struct address *session)
{
    char buffer[64];
    send_text(rig->client, "hello");
    await(rig, take(rig->server, buffer, sizeof(buffer), session));
    assert_string_equal(buffer, "hello");
}

#endif
