/* How long a split of 100 nodes takes in severd, as the caller sees it: POST /v1/partitions until
 * the answer, which comes when the cut is in force; and the heal. `count` connections are live, and
 * each split is proven: a byte sent across it stays away until the heal, and then comes.
 *   -c: the control port of a severd without a ruleset; -l: the upstream of its routes */
#include <errno.h>
#include <poll.h>
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
    SOURCE = 0x101,  /* node 0 is 127.0.1.1 */
    CUT_WAIT_MS = 2, /* a byte that comes by then has crossed the cut */
};

static struct wire_client *client;

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

static void split_and_heal(json_t *split, int near, int far, struct samples *splits,
                           struct samples *heals)
{
    char byte = 'x';
    struct pollfd poll_far = {.fd = far, .events = POLLIN};
    samples_add(splits, timed("POST", "/v1/partitions", split));
    load_send(near, &byte, 1);
    errno = 0;
    if (poll(&poll_far, 1, CUT_WAIT_MS) != 0)
        load_fail("a byte crossed the cut");
    samples_add(heals, timed("DELETE", "/v1/partitions/split", NULL));
    if (!load_receive(far, &byte, 1))
        load_fail("the stream ended");
}

int main(int argc, char **argv)
{
    struct load_options options = {.count = 2 * NODES, .seconds_ns = 2 * NS_PER_S};
    struct samples splits, heals;
    struct error error = {0};
    uint16_t ports[NODES];
    char url[64];
    int near = -1, far = -1;
    load_options_parse(argc, argv, &options);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", options.connect_port);
    if (wire_client_create(url, "bench", &client, &error))
        load_fail(error.message);
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
    for (uint64_t end_ns = monotonic_now_ns() + options.seconds_ns; monotonic_now_ns() < end_ns;)
        split_and_heal(split, near, far, &splits, &heals);
    samples_print(&splits, "split_");
    samples_print(&heals, "heal_");
    json_decref(split);
    samples_free(&splits);
    samples_free(&heals);
    wire_client_destroy(client);
    return 0;
}
