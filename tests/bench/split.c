/* How long a split of 100 nodes takes in severd, from POST /v1/partitions: until it is in force,
 * which is when the last tick has come across it, and until the caller has the answer; when the
 * first tick was sent that it held; and how long the heal takes. `count` connections are live; on
 * the last one a tick goes across every 100 us: the time when it was sent. Each split is proven: no
 * tick that was sent after the answer comes before the heal, and then they come. -c: the control
 * port of a severd without a ruleset; -l: the upstream of its routes */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/wire/client.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/samples.h"

enum {
    NODES = 100,
    SAMPLES_MAX = 100000,
    SOURCE = 0x101, /* node 0 is 127.0.1.1 */
};
#define TICK_NS (100 * NS_PER_US)
#define SETTLE_NS (2 * NS_PER_MS) /* until what had crossed before the cut has been read */

static struct wire_client *client;
static int near, far;               /* the connection across the split */
static _Atomic uint64_t crossed_ns; /* when the last tick came */
static _Atomic uint64_t sent_ns;    /* when it was sent */
static _Atomic uint64_t held_ns;    /* when the first one was sent that came after this was 0 */

static json_t *ask(const char *method, const char *path, json_t *body)
{
    struct error error = {0};
    json_t *answer = NULL;
    if (wire_client_request(client, method, path, body, &answer, &error)) {
        errno = 0;
        load_fail(error.message);
    }
    return answer;
}

static json_t *node_name(int node)
{
    return json_sprintf("n%d", node);
}

/* Every node has an address of its own and one route in front of it. */
static void set_ruleset(uint16_t upstream_port)
{
    json_t *nodes = json_array(), *routes = json_array();
    for (int i = 0; i < NODES; i++) {
        json_array_append_new(nodes, json_pack("{s:o, s:[o]}", "name", node_name(i), "addresses",
                                               json_sprintf("127.0.1.%d", i + 1)));
        json_array_append_new(routes,
                              json_pack("{s:o, s:s, s:s, s:o, s:o, s:b}", "name", node_name(i),
                                        "protocol", "tcp", "listen", "127.0.0.1:0", "upstream",
                                        json_sprintf("127.0.0.1:%d", upstream_port), "to",
                                        node_name(i), "enabled", 1));
    }
    json_t *body = json_pack("{s:o, s:o}", "nodes", nodes, "routes", routes);
    json_decref(ask("PUT", "/v1/ruleset", body));
    json_decref(body);
}

static void read_ports(uint16_t ports[NODES])
{
    json_t *answer = ask("GET", "/v1/routes", NULL);
    for (size_t i = 0; i < NODES; i++) {
        json_t *route = json_array_get(json_object_get(answer, "routes"), i);
        const char *name = json_string_value(json_object_get(route, "name"));
        const char *listening = json_string_value(json_object_get(route, "listening"));
        errno = 0;
        if (!name || !listening)
            load_fail("severd's routes are not what was asked");
        ports[strtol(name + 1, NULL, 10) % NODES] =
            (uint16_t)strtol(strrchr(listening, ':') + 1, NULL, 10);
    }
    json_decref(answer);
}

static json_t *new_group(int first, int end)
{
    json_t *group = json_array();
    for (int i = first; i < end; i++)
        json_array_append_new(group, node_name(i));
    return group;
}

static int64_t timed(const char *method, const char *path, json_t *body)
{
    uint64_t begin_ns = monotonic_now_ns();
    json_decref(ask(method, path, body));
    return (int64_t)(monotonic_now_ns() - begin_ns);
}

static void *send_ticks(void *context)
{
    (void)context;
    for (uint64_t due_ns = monotonic_now_ns();; due_ns += TICK_NS) {
        load_wait_until(due_ns);
        uint64_t now_ns = monotonic_now_ns();
        load_send(near, &now_ns, sizeof(now_ns));
    }
    return NULL;
}

static void *receive_ticks(void *context)
{
    uint64_t tick_ns;
    (void)context;
    while (load_receive(far, &tick_ns, sizeof(tick_ns))) {
        crossed_ns = monotonic_now_ns();
        sent_ns = tick_ns;
        if (held_ns == 0)
            held_ns = tick_ns;
    }
    load_fail("the stream ended");
}

static void await_crossing(uint64_t after_ns)
{
    uint64_t deadline_ns = monotonic_now_ns() + NS_PER_S;
    errno = 0;
    while (crossed_ns <= after_ns) {
        if (monotonic_now_ns() > deadline_ns)
            load_fail("nothing crosses after the heal");
        load_wait_until(monotonic_now_ns() + TICK_NS);
    }
}

static int64_t since(uint64_t begin_ns, uint64_t end_ns)
{
    return end_ns > begin_ns ? (int64_t)(end_ns - begin_ns) : 0;
}

static void split_and_heal(json_t *split, struct samples *forces, struct samples *holds,
                           struct samples *splits, struct samples *heals)
{
    uint64_t begin_ns = monotonic_now_ns();
    samples_add(splits, timed("POST", "/v1/partitions", split));
    uint64_t answered_ns = monotonic_now_ns();
    load_wait_until(answered_ns + SETTLE_NS);
    uint64_t last_ns = crossed_ns;
    errno = 0;
    if (sent_ns > answered_ns)
        load_fail("a tick crossed the cut");
    samples_add(forces, since(begin_ns, last_ns));
    held_ns = 0;
    samples_add(heals, timed("DELETE", "/v1/partitions/split", NULL));
    await_crossing(last_ns);
    samples_add(holds, since(begin_ns, held_ns));
}

int main(int argc, char **argv)
{
    struct load_options options = {.count = 2 * NODES, .seconds_ns = 2 * NS_PER_S};
    struct samples forces, holds, splits, heals;
    struct error error = {0};
    uint16_t ports[NODES];
    char url[64];
    load_options_parse(argc, argv, &options);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", options.connect_port);
    if (wire_client_create(url, "bench", &client, &error))
        load_fail(error.message);
    samples_create(&forces, SAMPLES_MAX);
    samples_create(&holds, SAMPLES_MAX);
    samples_create(&splits, SAMPLES_MAX);
    samples_create(&heals, SAMPLES_MAX);
    set_ruleset(options.listen_port);
    read_ports(ports);
    int listener = load_listen(options.listen_port);
    for (unsigned i = 0; i < options.count; i++) { /* the last ones cross the split */
        unsigned node = i % NODES, to = (node + (i < NODES ? 1 : NODES / 2)) % NODES;
        load_pair(listener, ports[to], SOURCE + node, &near, &far);
    }
    json_t *split = json_pack("{s:s, s:[o, o]}", "name", "split", "groups", new_group(0, NODES / 2),
                              new_group(NODES / 2, NODES));
    load_thread(receive_ticks, NULL);
    load_thread(send_ticks, NULL);
    for (uint64_t end_ns = monotonic_now_ns() + options.seconds_ns; monotonic_now_ns() < end_ns;)
        split_and_heal(split, &forces, &holds, &splits, &heals);
    samples_print(&forces, "in_force_");
    samples_print(&holds, "first_held_");
    samples_print(&splits, "split_");
    samples_print(&heals, "heal_");
    json_decref(split);
    wire_client_destroy(client);
    return 0;
}
