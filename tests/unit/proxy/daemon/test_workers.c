#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/daemon/routes.h"
#include "proxy/daemon/worker.h"
#include "proxy/io/socket.h"

#define PATIENCE_NS (20 * NS_PER_S)

/* Two workers; routes "x" (link n1->n2) on the first, "y" (n2->n1) on the second, "bulk" (no link)
 * on the first. Slots are given in order, and a route's worker is its slot modulo two. */
enum { X, Y, BULK, ROUTES };
static const char *const names[ROUTES] = {"x", "y", "bulk"};

struct rig {
    struct workers *workers;
    struct ruleset ruleset;
    struct fault_plan *plan;
    struct routes *routes;
    int upstream[ROUTES];
};

static void prepare(struct rig *rig, struct fault_plan **plan, struct routes **routes)
{
    struct error error = {0};
    rig->ruleset.version++;
    if (ruleset_check(&rig->ruleset, &error) ||
        fault_plan_create(&rig->ruleset, rig->plan, plan, &error) ||
        routes_prepare(&rig->ruleset, *plan, NULL, 2, rig->routes, routes, &error))
        fail_msg("%s %s", error.place, error.message);
}

static void publish(struct rig *rig)
{
    struct fault_plan *plan = NULL;
    struct routes *routes = NULL;
    prepare(rig, &plan, &routes);
    workers_publish(rig->workers, routes_publication(routes));
    routes_destroy(rig->routes);
    fault_plan_destroy(rig->plan);
    rig->plan = plan;
    rig->routes = routes;
}

static void open_rig(struct rig *rig)
{
    *rig = (struct rig){0};
    struct ruleset_node n1 = {.name = "n1"}, n2 = {.name = "n2"};
    ruleset_add_node(&rig->ruleset, &n1);
    ruleset_add_node(&rig->ruleset, &n2);
    for (int i = 0; i < ROUTES; i++) {
        struct address any, bound;
        struct ruleset_route route = {.listen = "127.0.0.1:0", .enabled = true};
        assert_int_equal(address_parse("127.0.0.1:0", &any, NULL), 0);
        rig->upstream[i] = socket_listen(&any, false, &bound, NULL);
        assert_true(rig->upstream[i] >= 0);
        snprintf(route.name, sizeof(route.name), "%s", names[i]);
        snprintf(route.upstream, sizeof(route.upstream), "127.0.0.1:%u", address_port(&bound));
        if (i != BULK) {
            snprintf(route.from, sizeof(route.from), i == X ? "n1" : "n2");
            snprintf(route.to, sizeof(route.to), i == X ? "n2" : "n1");
        }
        ruleset_add_route(&rig->ruleset, &route);
    }
    prepare(rig, &rig->plan, &rig->routes);
    for (int i = 0; i < ROUTES; i++)
        assert_int_equal(fault_plan_route_slot(rig->plan, names[i]), i);
    static struct fault_states states;
    struct workers_options options = {.count = 2, .pool_bytes = 64 << 20, .states = &states};
    assert_int_equal(workers_create(&options, routes_publication(rig->routes), &rig->workers, NULL),
                     0);
}

static void close_rig(struct rig *rig)
{
    workers_destroy(rig->workers);
    routes_destroy(rig->routes);
    fault_plan_destroy(rig->plan);
    ruleset_free(&rig->ruleset);
    for (int i = 0; i < ROUTES; i++)
        close(rig->upstream[i]);
}

static void set_blocking(int fd)
{
    struct timeval timeout = {.tv_usec = 50000};
    int on = 1, flags = fcntl(fd, F_GETFL);
    assert_int_equal(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void open_pair(struct rig *rig, int route, int *near, int *far)
{
    uint64_t deadline_ns = monotonic_now_ns() + PATIENCE_NS;
    *near = socket_connect(
        routes_listening(rig->routes, fault_plan_route_slot(rig->plan, names[route])), NULL, NULL);
    assert_true(*near >= 0);
    while ((*far = socket_accept(rig->upstream[route], NULL)) < 0)
        assert_true(monotonic_now_ns() < deadline_ns);
    set_blocking(*near);
    set_blocking(*far);
}

static void set_cut(struct rig *rig, const char *from, const char *to)
{
    struct ruleset_partition partition = {.name = "p"};
    ruleset_remove_partition(&rig->ruleset, "p");
    if (!from)
        return;
    ruleset_partition_add_link(&partition, from, to);
    ruleset_add_partition(&rig->ruleset, &partition);
    ruleset_partition_free(&partition);
}

static atomic_bool running;

struct runner {
    int receive, send;
    atomic_ulong *hops;
    pthread_t thread;
};

static void *run_token(void *context)
{
    struct runner *runner = context;
    char token;
    while (atomic_load(&running)) {
        if (recv(runner->receive, &token, 1, 0) != 1)
            continue;
        atomic_fetch_add(runner->hops, 1);
        if (send(runner->send, &token, 1, MSG_NOSIGNAL) != 1)
            break;
    }
    return NULL;
}

static void *run_bulk_send(void *context)
{
    static char bytes[256 * 1024];
    struct runner *runner = context;
    while (atomic_load(&running)) {
        ssize_t done = send(runner->send, bytes, sizeof(bytes), MSG_NOSIGNAL);
        (void)done; /* load, as much as goes */
    }
    return NULL;
}

static void *run_bulk_receive(void *context)
{
    static char bytes[256 * 1024];
    struct runner *runner = context;
    while (atomic_load(&running)) {
        ssize_t done = recv(runner->receive, bytes, sizeof(bytes), 0);
        (void)done;
    }
    return NULL;
}

/* Exactly one of x and y is cut at any time, and each change swaps them. A token runs in a ring
 * over both, so each change lets it make exactly one hop. Were both links open for a moment,
 * because the worker of the one is on the new plan and the busy worker of the other still on the
 * old one, it would make two. */
static void no_moment_sees_half_of_a_change(void **state)
{
    (void)state;
    enum { SWAPS = 1500 };
    struct rig rig;
    int x, x_far, y, y_far, bulk, bulk_far;
    atomic_ulong hops = 0;
    open_rig(&rig);
    open_pair(&rig, X, &x, &x_far);
    open_pair(&rig, Y, &y, &y_far);
    open_pair(&rig, BULK, &bulk, &bulk_far);
    struct runner runners[4] = {{.receive = x_far, .send = y, .hops = &hops},
                                {.receive = y_far, .send = x, .hops = &hops},
                                {.send = bulk},
                                {.receive = bulk_far}};
    void *(*const functions[4])(void *) = {run_token, run_token, run_bulk_send, run_bulk_receive};
    atomic_store(&running, true);
    set_cut(&rig, "n1", "n2");
    publish(&rig);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&runners[i].thread, NULL, functions[i], &runners[i]), 0);
    assert_int_equal(send(x, "t", 1, 0), 1);
    unsigned long swap = 0;
    for (bool good = true; good && swap < SWAPS;) {
        swap++;
        set_cut(&rig, swap % 2 ? "n2" : "n1", swap % 2 ? "n1" : "n2");
        publish(&rig);
        uint64_t deadline_ns = monotonic_now_ns() + PATIENCE_NS;
        while (atomic_load(&hops) < swap && monotonic_now_ns() < deadline_ns)
            sched_yield();
        good = atomic_load(&hops) == swap;
    }
    atomic_store(&running, false);
    for (int i = 0; i < 4; i++)
        pthread_join(runners[i].thread, NULL);
    assert_int_equal(atomic_load(&hops), swap);
    assert_int_equal(swap, SWAPS);
    close(x);
    close(x_far);
    close(y);
    close(y_far);
    close(bulk);
    close(bulk_far);
    close_rig(&rig);
}

/* A byte that is written when publish has returned does not arrive, on any of many tries. */
static void publish_returns_when_all_are_on_it(void **state)
{
    (void)state;
    struct rig rig;
    int x, x_far;
    char byte;
    open_rig(&rig);
    open_pair(&rig, X, &x, &x_far);
    for (int i = 0; i < 200; i++) {
        set_cut(&rig, "n1", "n2");
        publish(&rig);
        assert_int_equal(send(x, "x", 1, 0), 1);
        uint64_t until_ns = monotonic_now_ns() + NS_PER_MS / 2;
        while (monotonic_now_ns() < until_ns)
            assert_int_equal(recv(x_far, &byte, 1, MSG_DONTWAIT), -1);
        set_cut(&rig, NULL, NULL);
        publish(&rig);
        uint64_t deadline_ns = monotonic_now_ns() + PATIENCE_NS;
        while (recv(x_far, &byte, 1, 0) != 1)
            assert_true(monotonic_now_ns() < deadline_ns);
    }
    close(x);
    close(x_far);
    close_rig(&rig);
}

static void totals_add_up_over_workers(void **state)
{
    (void)state;
    struct rig rig;
    int near[4], far[4];
    struct workers_totals totals;
    open_rig(&rig);
    for (int i = 0; i < 4; i++)
        open_pair(&rig, i % 2 ? X : Y, &near[i], &far[i]);
    workers_get_totals(rig.workers, &totals);
    assert_int_equal(totals.connections_open, 4);
    assert_int_equal(totals.connections_total, 4);
    assert_int_equal(totals.sessions_open, 0);
    uint16_t n1 = fault_plan_node_slot(rig.plan, "n1"), n2 = fault_plan_node_slot(rig.plan, "n2");
    assert_int_equal(
        fault_counter_get(&workers_counters(rig.workers, 0)->links[n1][n2].connections), 2);
    assert_int_equal(
        fault_counter_get(&workers_counters(rig.workers, 1)->links[n2][n1].connections), 2);
    for (int i = 0; i < 4; i++) {
        close(near[i]);
        close(far[i]);
    }
    close_rig(&rig);
}

/* The kernel gives a spread route's connections to the listeners by a hash of their addresses: of
 * 64 it is certain enough (1 in 2^63) that both workers have some. */
static void a_spread_route_is_on_every_worker(void **state)
{
    (void)state;
    enum { CONNECTIONS = 64 };
    struct rig rig;
    int near[CONNECTIONS], far[CONNECTIONS];
    open_rig(&rig);
    ruleset_find_route(&rig.ruleset, names[X])->spread = true;
    publish(&rig);
    for (int i = 0; i < CONNECTIONS; i++)
        open_pair(&rig, X, &near[i], &far[i]);
    uint16_t n1 = fault_plan_node_slot(rig.plan, "n1"), n2 = fault_plan_node_slot(rig.plan, "n2");
    uint64_t counts[2], sum = 0;
    for (unsigned w = 0; w < 2; w++) {
        counts[w] = fault_counter_get(&workers_counters(rig.workers, w)->links[n1][n2].connections);
        assert_true(counts[w] > 0);
        sum += counts[w];
    }
    assert_int_equal(sum, CONNECTIONS);

    set_cut(&rig, "n1", "n2"); /* in force on both */
    publish(&rig);
    for (int i = 0; i < CONNECTIONS; i++)
        assert_int_equal(send(near[i], "x", 1, 0), 1);
    set_cut(&rig, NULL, NULL);
    publish(&rig);
    for (int i = 0; i < CONNECTIONS; i++) {
        char byte;
        uint64_t deadline_ns = monotonic_now_ns() + PATIENCE_NS;
        while (recv(far[i], &byte, 1, 0) != 1)
            assert_true(monotonic_now_ns() < deadline_ns);
        close(near[i]);
        close(far[i]);
    }
    close_rig(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_moment_sees_half_of_a_change),
        cmocka_unit_test(publish_returns_when_all_are_on_it),
        cmocka_unit_test(totals_add_up_over_workers),
        cmocka_unit_test(a_spread_route_is_on_every_worker),
    };
    return cmocka_run_group_tests_name("proxy/daemon workers", tests, NULL, NULL);
}
