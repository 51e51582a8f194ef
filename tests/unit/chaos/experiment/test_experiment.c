/* The experiment reader: what a good file becomes, and for each way to write a bad one the exact
 * place and message. */
#include "tests/unit/chaos/experiment/refusals.h"

#include <stdbool.h>
#include <stdlib.h>

#include "proxy/base/monotonic.h"

static const char good[] =
    "name: test\n"
    "seed: 7\n"
    "duration: 20s\n"
    "cluster:\n"
    "  nodes: 3\n"
    "  command: [raftkv, --id, \"{name}\", -p, \"{port.client}\", --peers, \"{peers}\"]\n"
    "  ports: {client: 6379, peer: 16379}\n"
    "  peers: \"{name}={address}:{port.peer}\"\n"
    "  environment: {HOME: \"{dir}\"}\n"
    "  leader: \"role:leader\"\n"
    "  ready: {within: 3s}\n"
    "workload:\n"
    "  kind: register\n"
    "  clients: 6\n"
    "  mix: {read: 1, write: 2, cas: 3}\n"
    "timeline:\n"
    "  - {at: 5s, split: \"leader,+1 / rest\", name: brain}\n"
    "  - {at: 6s, delay: {link: \"n1<->n2\", by: 80ms±20ms, distribution: normal}}\n"
    "  - {at: 7s, clock: {node: n3, offset: -2ms, drift: 50ppm}}\n"
    "  - {at: 8s, clear: delay-2}\n"
    "  - {at: 12s, heal: all}\n"
    "expect:\n"
    "  - linearizable\n"
    "  - minority stops within 2s\n"
    "  - availability of majority during faults at least 80%\n";

/* `good` with the first `from` replaced by `to` is refused with `error` (place without file name,
 * message). */
static const struct refusal bad[] = {
    {"seed: 7", "seed: [7", "4:8: not YAML: missing comma in flow sequence"},
    {"seed: 7", "seed: 7\n	x: 1", "2:7: not YAML: invalid multiline plain key"},
    {"name: test", "name: &a [*a]", "1:11: *a stands inside what it stands for"},
    {"name: test", "name: *b", "1:7: no anchor &b before this alias"},
    {"name: test", "name: !!str test",
     "1:13: tags such as !!str are not used here: write the plain value"},
    {"name: test", "name: \"a\\0b\"", "1:7: a NUL character can't be in a text here"},
    {"name: test", "name: te\001st",
     "1:9: control character 0x01: remove it, or write an escape in quotes"},
    {"name: test", "name: te\377st", "1:9: byte 0xff is not UTF-8 text: save the file as UTF-8"},
    {"seed: 7", "seed: 7\nseed: 8", "3:1: 'seed' is there already (line 2): keep one of them"},
    {"seed: 7", "? [seed]\n: 7", "2:3: a key must be a word, not a list or map"},
    {"name: test", "name: [[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]",
     "1:22: nested deeper than 16 lists and maps"},
    {"expect:", "---\nexpect:", "22:1: one document a file: remove what comes from '---' on"},
    {"name: test\n", "", "1:1: the experiment has no 'name': add the key"},
    {"seed: 7", "sede: 7", "2:1: unknown key 'sede' in the experiment: did you mean 'seed'?"},
    {"seed: 7", "zebra: 7",
     "2:1: unknown key 'zebra' in the experiment: write one of name, duration, cluster, workload, "
     "expect, seed, timeline"},
    {"seed: 7", "seed: -1",
     "2:7: '-1' is not a valid seed: write a whole number from 0 to 9223372036854775807"},
    {"seed: 7", "seed: 1.5",
     "2:7: '1.5' is not a valid seed: write a whole number from 0 to 9223372036854775807"},
    {"seed: 7", "seed: {a: 1}", "2:7: seed is a map: write a text"},
    {"name: test", "name:", "1:1: name is empty: write a text"},
    {"name: test", "name: [a]", "1:7: name is a list: write a text"},
    {"name: test", "name: |\n  two\n  lines",
     "2:1: name must be one line without control characters"},
    {"duration: 20s", "duration: 20",
     "3:11: '20' is not a duration: write a number and a unit, such as 250us, 80ms, 1.5s or 2m"},
    {"duration: 20s", "duration: 0s", "3:11: duration '0s' is out of range: write 100ms to 86400s"},
    {"duration: 20s", "duration: 48h",
     "3:11: duration '48h' is out of range: write 100ms to 86400s"},
    {"nodes: 3", "nodes: 0",
     "5:10: '0' is not a valid number of nodes: write a whole number from 1 to 63"},
    {"nodes: 3", "nodes: 64",
     "5:10: '64' is not a valid number of nodes: write a whole number from 1 to 63"},
    {"nodes: 3", "nodes: [n1, n2, n1]", "5:19: node 'n1' is there already: name each node once"},
    {"nodes: 3", "nodes: [n1, 'n 2']",
     "5:15: 'n 2' can't name a node: write letters, digits, '_', '.' and '-', a letter or digit "
     "first"},
    {"nodes: 3", "nodes: [n1, leader]",
     "5:15: 'leader' means something else in the timeline: choose another name"},
    {"nodes: 3", "nodes: [../etc]",
     "5:11: '../etc' can't name a node: write letters, digits, '_', '.' and '-', a letter or digit "
     "first"},
    {"nodes: 3", "nodes: []", "5:10: nodes has 0 entries: write 1 to 63"},
    {"nodes: 3", "nodes: [n1, [n2]]", "5:15: the node's name is a list: write a text"},
    {"  nodes: 3\n", "", "5:3: the cluster has no 'nodes': add the key"},
    {"  nodes: 3", "  node: 3", "5:3: unknown key 'node' in the cluster: did you mean 'nodes'?"},
    {"[raftkv, --id", "[[raftkv], --id", "6:13: an argument is one text of at most 4096 bytes"},
    {"[raftkv, --id, \"{name}\", -p, \"{port.client}\", --peers, \"{peers}\"]", "raftkv",
     "6:12: command is a single value: write a list, such as [a, b] or lines of '- a'"},
    {"[raftkv,", "['',", "6:13: the program's name is empty"},
    {"{port.client}\"", "{port.cleint}\"",
     "6:41: unknown variable {port.cleint}: did you mean {port.client}?"},
    {"--id, \"{name}\"", "--id, \"{nmae}\"", "6:27: unknown variable {nmae}: did you mean {name}?"},
    {"--id, \"{name}\"", "--id, \"{name\"",
     "6:27: unbalanced '{' in '{name': write {{ for a brace itself"},
    {"--id, \"{name}\"", "--id, \"name}\"",
     "6:27: unbalanced '}' in 'name}': write }} for a brace itself"},
    {"--id, \"{name}\"", "--id, \"{}\"",
     "6:27: unknown variable {}: write one of {name}, {id}, {address}, {dir}, {peers}, "
     "{port.client}, {port.peer}, {address.n1}, {address.n2}, {address.n3}, or {{ for a brace"},
    {"  peers: \"{name}={address}:{port.peer}\"\n", "",
     "6:67: {peers} needs 'peers' in the cluster: its entry for one node, such as "
     "\"{name}={address}:{port.peer}\""},
    {"peers: \"{name}=", "peers: \"{peers}=",
     "8:10: unknown variable {peers}: write one of {name}, {id}, {address}, {dir}, {port.client}, "
     "{port.peer}, {address.n1}, {address.n2}, {address.n3}, or {{ for a brace"},
    {"{client: 6379, peer: 16379}", "{client: 6379, peer: 6379}",
     "7:31: port 6379 is 'client' already: give each its own number"},
    {"{client: 6379, peer: 16379}", "{client: 65536}",
     "7:19: '65536' is not a valid port: write a whole number from 1 to 65535"},
    {"{client: 6379, peer: 16379}", "{}",
     "7:10: ports names each port: write {client: 6379, peer: 16379} or the like"},
    {"{client: 6379, peer: 16379}", "[1, 2]",
     "7:10: ports names each port: write {client: 6379, peer: 16379} or the like"},
    {"{client: 6379, peer: 16379}", "{client: 6379, pe er: 1}",
     "7:25: 'pe er' can't name a port: write letters, digits, '_' and '-'"},
    {"{HOME: \"{dir}\"}", "{HOME: \"{dri}\"}",
     "9:23: unknown variable {dri}: write one of {name}, {id}, {address}, {dir}, {peers}, "
     "{port.client}, {port.peer}, {address.n1}, {address.n2}, {address.n3}, or {{ for a brace"},
    {"{HOME: \"{dir}\"}", "{HO=ME: a}", "9:17: 'HO=ME' can't name an environment variable"},
    {"{HOME: \"{dir}\"}", "{HOME: [a]}", "9:23: HOME is one text of at most 4096 bytes"},
    {"{HOME: \"{dir}\"}", "[HOME]",
     "9:16: environment is a map {KEY: value} of at most 128 variables"},
    {"{within: 3s}", "3s",
     "11:10: ready is a single value: write it as 'key: value' with the keys within, ..."},
    {"{within: 3s}", "{within: 3}",
     "11:19: '3' is not a duration: write a number and a unit, such as 250us, 80ms, 1.5s or 2m"},
    {"{within: 3s}", "{}", "11:10: ready has no 'within': add the key"},
    {"leader: \"role:leader\"", "leader: ''", "10:11: leader is empty: write a text"},
    {"kind: register", "kind: queue", "13:9: unknown workload 'queue': write register or set"},
    {"  kind: register\n", "", "13:3: the workload has no 'kind': add the key"},
    {"clients: 6", "clients: 0",
     "14:12: '0' is not a valid number of clients: write a whole number from 1 to 512"},
    {"clients: 6", "clients: 513",
     "14:12: '513' is not a valid number of clients: write a whole number from 1 to 512"},
    {"clients: 6", "clients: 6\n  port: peers",
     "15:9: the cluster has no port 'peers': write port: with one of client, peer"},
    {"{client: 6379,", "{customer: 6379,",
     "6:41: unknown variable {port.client}: write one of {name}, {id}, {address}, {dir}, {peers}, "
     "{port.customer}, {port.peer}, {address.n1}, {address.n2}, {address.n3}, or {{ for a brace"},
    {"clients: 6", "clients: 6\n  rate: 0",
     "15:9: '0' is not a valid rate: write a whole number from 1 to 1000000"},
    {"clients: 6", "clients: 6\n  timeout: 0s",
     "15:12: timeout '0s' is out of range: write 1ms to 3600s"},
    {"clients: 6", "clients: 6\n  keys: many",
     "15:9: 'many' is not a valid number of keys: write a whole number from 1 to 10000"},
    {"{read: 1, write: 2, cas: 3}", "{read: 0}",
     "15:8: the weights are all 0: give one of them some weight"},
    {"{read: 1, write: 2, cas: 3}", "{reads: 1}",
     "15:9: unknown key 'reads' in mix: did you mean 'read'?"},
    {"{read: 1, write: 2, cas: 3}", "{read: -1}",
     "15:15: '-1' is not a valid weight: write a whole number from 0 to 1000000"},
    {"at: 6s,", "at: 4s,", "18:10: '4s' is before the step above (5s): put steps in time order"},
    {"at: 12s", "at: 21s", "21:10: '21s' is after the end: the duration is 20s"},
    {"{at: 12s, heal: all}", "{at: 20s, pause: n1}",
     "21:10: 'pause' at the very end of the run has no time to do anything: the duration is 20s"},
    {"{at: 12s, heal: all}", "{heal: all}", "21:5: a step has no 'at': add the key"},
    {"{at: 12s, heal: all}", "{at: 12s}",
     "21:5: a step without an action: add one of split, isolate, cut, heal, clear, delay, loss, "
     "rate, fault, clock, kill, pause, resume, restart"},
    {"{at: 12s, heal: all}", "{at: 12s, heal: all, kill: n1}",
     "21:26: a step has one action, this one has 'heal' already: write two steps with the same "
     "'at'"},
    {"{at: 12s, heal: all}", "{at: 12s, heall: all}",
     "21:15: unknown key 'heall' in a step: did you mean 'heal'?"},
    {"{at: 12s, heal: all}", "heal",
     "21:5: a step is a single value: write it as 'key: value' with the keys at, ..."},
    {"{at: 12s, heal: all}", "{at: 12s, heal: brian}",
     "21:21: no partition 'brian' is in force here: write all, brain"},
    {"{at: 12s, heal: all}", "{at: 12s, heal: all, name: x}",
     "21:32: 'heal' takes no name: remove it"},
    {"{at: 12s, heal: all}", "{at: 12s, heal: brain}\n  - {at: 13s, heal: brain}",
     "22:21: no partition 'brain' is in force here: write all"},
    {"clear: delay-2", "clear: brain",
     "20:21: no fault 'brain' is in force here: write all, delay-2"},
    {"leader,+1 / rest", "leader,+1",
     "17:21: split needs two groups or more: write \"n1,n2 / rest\" or the like"},
    {"leader,+1 / rest", "n1 / n1", "17:21: 'n1' is in the split twice: groups can't overlap"},
    {"leader,+1 / rest", "leader / leader,n1",
     "17:21: 'leader' is in the split twice: groups can't overlap"},
    {"leader,+1 / rest", "rest / rest",
     "17:21: 'rest' is in the split twice: groups can't overlap"},
    {"leader,+1 / rest", "leader,+2 / rest",
     "17:21: the split needs 4 nodes (rest is at least one) and the cluster has 3"},
    {"leader,+1 / rest", "leader,+x / rest",
     "17:21: '+x' is not +K: write how many further nodes, such as +1"},
    {"leader,+1 / rest", "leader,+0 / rest",
     "17:21: '+0' is not +K: write how many further nodes, such as +1"},
    {"leader,+1 / rest", "leader, / rest",
     "17:21: a node is missing: write a name, leader or follower"},
    {"leader,+1 / rest", " / rest", "17:21: a node is missing: write a name, leader or follower"},
    {"leader,+1 / rest", "n1 / n4",
     "17:21: unknown node 'n4': write one of n1, n2, n3, leader, follower"},
    {"leader,+1 / rest", "laeder / rest", "17:21: unknown node 'laeder': did you mean 'leader'?"},
    {"name: brain", "name: all", "17:47: 'all' means every one: choose another name"},
    {"name: brain", "name: []", "17:47: name is a list: write a text"},
    {"{at: 12s, heal: all}", "{at: 12s, isolate: n1, name: brain}",
     "21:34: 'brain' is in force already: choose another name, or end it first"},
    {"  leader: \"role:leader\"\n", "",
     "16:21: 'leader' needs 'leader' in the cluster: the line by which a leader is known, such as "
     "\"role:leader\""},
    {"n1<->n2", "n1->n1",
     "18:28: both ends are 'n1': write two different ends (a node's name, leader, follower)"},
    {"n1<->n2", "n1", "18:28: 'n1' is not a link: write n1->n2 (one way) or n1<->n2 (both ways)"},
    {"n1<->n2", "n1->", "18:28: a node is missing: write a name, leader or follower"},
    {"n1<->n2", "n1->n9", "18:28: unknown node 'n9': write one of n1, n2, n3, leader, follower"},
    {"n1<->n2", "follower->follower",
     "18:28: both ends are 'follower': write two different ends (a node's name, leader, follower)"},
    {"80ms±20ms", "80",
     "18:43: '80' is not a duration: write a number and a unit, such as 250us, 80ms, 1.5s or 2m"},
    {"80ms±20ms", "0s", "18:43: a delay by nothing: write 80ms or 80ms±20ms"},
    {"distribution: normal", "distribution: gaussian",
     "18:68: distribution must be one of uniform, normal, pareto, paretonormal, table, not "
     "'gaussian'"},
    {"distribution: normal", "distribution: table",
     "18:68: an experiment has no tables to draw from"},
    {"{at: 12s, heal: all}", "{at: 12s, fault: corrupt}",
     "21:22: a fault names its type: write {type: corrupt, link: n1->n2, probability: 1%} or the "
     "like"},
    {"{at: 12s, heal: all}", "{at: 12s, fault: {type: noop}}",
     "21:22: the fault has no 'link': add the key"},
    {"{at: 12s, heal: all}", "{at: 12s, fault: {type: corrupt, link: n1->n2}}",
     "21:22: a corrupt has no 'probability': add the key"},
    {"{at: 12s, heal: all}", "{at: 12s, fault: {type: corrupt, link: n1->n2, probability: 101%}}",
     "21:65: '101%' is not a probability: write 0% to 100%, such as 5% or 0.1%"},
    {"{at: 12s, heal: all}", "{at: 12s, fault: {type: corrupt, link: n1->n2, probabilty: 1%}}",
     "21:52: unknown key 'probabilty' in the fault: did you mean 'probability'?"},
    {"{at: 12s, heal: all}",
     "{at: 12s, fault: {type: loss, link: n1->n2, probability: 1%, every: 3}}",
     "21:73: 'every' does not belong to the model random"},
    {"{at: 12s, heal: all}", "{at: 12s, fault: {type: trace, link: n1->n2, table: t}}",
     "21:22: an experiment has no tables to draw from"},
    {"{at: 12s, heal: all}", "{at: 12s, fault: {type: rate, link: n1->n2, rate: 0, shared: true}}",
     "21:22: a rate is shared on a route, and this is a link"},
    {"{at: 12s, heal: all}", "{at: 12s, fault: {type: flap, link: n1->n2, up: 30s, down: 1s}}",
     "21:5: the link is up for 30s first, and the flap ends after 8s: make 'up' shorter, or end it "
     "later"},
    {"{at: 12s, heal: all}",
     "{at: 12s, fault: {type: flap, link: n1->n2, up: 3s, down: 2s, jitter: 1s}}\n"
     "  - {at: 14s, clear: all}",
     "21:5: the link is up for 2s first, and the flap ends after 2s: make 'up' shorter, or end it "
     "later"},
    {"distribution: normal", "jitter: 3",
     "18:54: unknown key 'jitter' in delay: write one of link, by, distribution"},
    {"by: 80ms±20ms, ", "", "18:21: delay has no 'by': add the key"},
    {"{at: 12s, heal: all}", "{at: 12s, loss: {link: n1->n2, by: 120%}}",
     "21:40: '120%' is not a probability: write 0% to 100%, such as 5% or 0.1%"},
    {"{at: 12s, heal: all}", "{at: 12s, loss: {link: n1->n2, by: 0%}}",
     "21:40: a loss of nothing: write 5% or the like"},
    {"{at: 12s, heal: all}", "{at: 12s, rate: {link: n1->n2, to: fast}}",
     "21:40: 'fast' is not a rate: write one above zero, such as 10mbit, 64kbit or 1MB/s"},
    {"offset: -2ms, drift: 50ppm", "x: 1",
     "19:32: unknown key 'x' in clock: write one of node, offset, drift"},
    {", offset: -2ms, drift: 50ppm", "",
     "19:21: clock changes nothing: add offset: +2ms or drift: 50ppm"},
    {"-2ms", "2",
     "19:40: '2' is not a duration: write a number and a unit, such as 250us, 80ms, 1.5s or 2m"},
    {"50ppm", "50", "19:53: '50' is not a drift: write 50ppm, -20ppm or 100ppb (at most 100%)"},
    {"{node: n3, offset: -2ms, drift: 50ppm}", "[a, [b]]",
     "19:21: clock is a list: write it as 'key: value' with the keys node, ..."},
    {"node: n3", "node: n5", "19:28: unknown node 'n5': write one of n1, n2, n3, leader, follower"},
    {"{at: 12s, heal: all}", "{at: 12s, kill: rest}",
     "21:21: unknown node 'rest': write one of n1, n2, n3, leader, follower"},
    {"{at: 12s, heal: all}", "{at: 12s, pause: [n1]}", "21:22: the node is a list: write a text"},
    {"timeline:", "timeline: all\nx:",
     "17:1: unknown key 'x' in the experiment: write one of name, duration, cluster, workload, "
     "expect, seed, timeline"},
    {"- linearizable", "- linearisable",
     "23:5: unknown expectation 'linearisable': did you mean 'linearizable'?"},
    {"- linearizable", "- it works",
     "23:5: unknown expectation 'it works': write 'linearizable', 'minority stops within 2s', "
     "'recovers within 5s', 'availability of majority during faults at least 80%', 'leader steps "
     "down within 3s', 'new leader within 3s', 'terms rise by at most 2 after faults', 'no "
     "acknowledged write lost', 'acknowledged writes lost at most 5' or 'writes wait within 1s'"},
    {"- linearizable", "- linearizable always",
     "23:5: 'always' after the end of the expectation: remove it"},
    {"- linearizable", "- [linearizable]", "23:5: an expectation is a list: write a text"},
    {"- linearizable", "- linearizable\n  - linearizable",
     "24:5: 'linearizable' is expected already (line 23): remove one"},
    {"minority stops within 2s", "minority stops",
     "24:5: 'minority stops' ends too early: 'within' and a duration must follow"},
    {"minority stops within 2s", "minority stops within",
     "24:5: 'minority stops within' ends too early: a duration such as 2s must follow"},
    {"minority stops within 2s", "minority stops within 2",
     "24:5: '2' is not a duration: write a number and a unit, such as 250us, 80ms, 1.5s or 2m"},
    {"minority stops within 2s", "minority halts within 2s",
     "24:5: 'halts' in 'minority halts within 2s' is not understood: write 'stops within' and a "
     "duration there"},
    {"majority during", "everybody during",
     "25:5: 'everybody' in 'availability of everybody during faults at least 80%' is not "
     "understood: write majority, minority or a node (n1, n2, n3) there"},
    {"majority during", "n4 during",
     "25:5: 'n4' in 'availability of n4 during faults at least 80%' is not understood: write "
     "majority, minority or a node (n1, n2, n3) there"},
    {"during faults", "during lunch",
     "25:5: 'lunch' in 'availability of majority during lunch at least 80%' is not understood: "
     "write 'faults' there"},
    {"at least", "at last",
     "25:5: 'last' in 'availability of majority during faults at last 80%' is not understood: "
     "write 'least' or 'most' there"},
    {"at least 80%", "at least",
     "25:5: 'availability of majority during faults at least' ends too early: a share such as 80% "
     "must follow"},
    {"at least 80%", "over 80%",
     "25:5: 'over' in 'availability of majority during faults over 80%' is not understood: write "
     "'at least' or 'at most' there"},
    {"80%", "180%", "25:5: '180%' is not a probability: write 0% to 100%, such as 5% or 0.1%"},
    {"  - linearizable\n  - minority stops within 2s\n  - availability of majority during faults "
     "at least 80%\n",
     "  []\n", "23:3: expect has 0 entries: write 1 to 64"},
};

static void refuses_with_place_and_advice(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(good, &bad[i]);
}

static void reads_all_of_a_good_file(void **state)
{
    (void)state;
    struct experiment experiment;
    struct error error = {0};
    assert_int_equal(parse(good, &experiment, &error), 0);
    assert_string_equal(experiment.name, "test");
    assert_int_equal(experiment.seed, 7);
    assert_int_equal(experiment.duration_ns, 20 * NS_PER_S);
    const struct experiment_cluster *cluster = &experiment.cluster;
    assert_int_equal(cluster->node_count, 3);
    assert_string_equal(cluster->nodes[2], "n3");
    assert_int_equal(cluster->launches[0].command.count, 7);
    assert_string_equal(cluster->launches[2].command.items[4], "{port.client}");
    assert_int_equal(cluster->port_count, 2);
    assert_int_equal(cluster->ports[1].port, 16379);
    assert_string_equal(cluster->peer_template, "{name}={address}:{port.peer}");
    assert_int_equal(cluster->environment_count, 1);
    assert_string_equal(cluster->environment[0].key, "HOME");
    assert_string_equal(cluster->leader_line, "role:leader");
    assert_int_equal(cluster->ready_within_ns, 3 * NS_PER_S);
    const struct experiment_workload *workload = &experiment.workload;
    assert_string_equal(workload->port, "client");
    assert_int_equal(workload->clients, 6);
    assert_int_equal(workload->keys, 1);
    assert_int_equal(workload->rate_per_s, 100);
    assert_int_equal(workload->timeout_ns, NS_PER_S);
    assert_int_equal(workload->weight_cas, 3);
    assert_int_equal(experiment.expectation_count, 3);
    const struct experiment_expectation *expectations = experiment.expectations;
    assert_int_equal(expectations[0].kind, EXPECT_LINEARIZABLE);
    assert_int_equal(expectations[1].kind, EXPECT_MINORITY_STOPS);
    assert_int_equal(expectations[1].within_ns, 2 * NS_PER_S);
    assert_int_equal(expectations[2].kind, EXPECT_AVAILABILITY);
    assert_int_equal(expectations[2].side, EXPERIMENT_SIDE_MAJORITY);
    assert_int_equal(expectations[2].phase, EXPERIMENT_PHASE_DURING);
    assert_int_equal(expectations[2].share_ppb, 800000000);
    assert_false(expectations[2].at_most);
    assert_int_equal(expectations[2].line, 25);
    experiment_free(&experiment);
}

static void reads_steps(void **state)
{
    (void)state;
    struct experiment experiment;
    struct error error = {0};
    assert_int_equal(parse(good, &experiment, &error), 0);
    assert_int_equal(experiment.step_count, 5);
    const struct experiment_step *step = &experiment.steps[0];
    assert_int_equal(step->action, EXPERIMENT_SPLIT);
    assert_int_equal(step->at_ns, 5 * NS_PER_S);
    assert_int_equal(step->line, 17);
    assert_string_equal(step->name, "brain");
    assert_string_equal(step->text, "split: leader,+1 / rest");
    assert_int_equal(step->group_count, 2);
    assert_int_equal(step->groups[0].count, 2);
    assert_int_equal(step->groups[0].members[0].kind, EXPERIMENT_NODE_LEADER);
    assert_int_equal(step->groups[0].members[1].kind, EXPERIMENT_NODE_MORE);
    assert_int_equal(step->groups[0].members[1].count, 1);
    assert_int_equal(step->groups[1].members[0].kind, EXPERIMENT_NODE_REST);
    step = &experiment.steps[1];
    assert_int_equal(step->action, EXPERIMENT_FAULT);
    assert_string_equal(step->name, "delay-2");
    assert_string_equal(step->fault.name, "delay-2");
    assert_string_equal(step->text, "delay: {link: n1<->n2, by: 80ms±20ms, distribution: normal}");
    assert_int_equal(step->fault.type, RULESET_LATENCY);
    assert_int_equal(step->fault.latency.delay_ns, 80 * NS_PER_MS);
    assert_int_equal(step->fault.latency.jitter_ns, 20 * NS_PER_MS);
    assert_int_equal(step->fault.latency.distribution, RULESET_NORMAL);
    assert_true(step->both_ways);
    assert_string_equal(step->from.name, "n1");
    assert_string_equal(step->to.name, "n2");
    step = &experiment.steps[2];
    assert_int_equal(step->action, EXPERIMENT_CLOCK);
    assert_string_equal(step->node.name, "n3");
    assert_true(step->offset_ns == -2 * (int64_t)NS_PER_MS && step->drift_ppb == 50000);
    assert_int_equal(experiment.steps[3].action, EXPERIMENT_CLEAR);
    assert_string_equal(experiment.steps[3].name, "delay-2");
    assert_int_equal(experiment.steps[4].action, EXPERIMENT_HEAL);
    assert_string_equal(experiment.steps[4].name, "");
    experiment_free(&experiment);
}

static void reads_what_availability_is_of(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        enum experiment_part part;
        enum experiment_side side;
    } cases[] = {
        {"", EXPERIMENT_PART_ALL, EXPERIMENT_SIDE_ALL},
        {"of reads", EXPERIMENT_PART_READS, EXPERIMENT_SIDE_ALL},
        {"of writes of n3", EXPERIMENT_PART_WRITES, EXPERIMENT_SIDE_NODE},
        {"of reads of minority", EXPERIMENT_PART_READS, EXPERIMENT_SIDE_MINORITY},
    };
    const char *sentence = strstr(good, "of majority during");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct text text = {0};
        struct experiment experiment;
        struct error error = {0};
        text_append_bytes(&text, good, (size_t)(sentence - good));
        text_append(&text, "%s%s", cases[i].words, sentence + strlen("of majority"));
        assert_int_equal(parse(text_get(&text), &experiment, &error), 0);
        assert_int_equal(experiment.expectations[2].part, cases[i].part);
        assert_int_equal(experiment.expectations[2].side, cases[i].side);
        experiment_free(&experiment);
        text_free(&text);
    }
}

static void reads_a_fault_by_its_parameters(void **state)
{
    (void)state;
    struct text text = {0};
    struct experiment experiment;
    struct error error = {0};
    static const char steps[] =
        "timeline:\n"
        "  - {at: 0s, fault: {type: corrupt, link: n1->n2, probability: 1%, correlation: 25%}}\n"
        "  - {at: 0s, fault: {type: loss, link: n1<->n2, model: every, every: 10}, name: tenth}\n"
        "  - {at: 0s, fault: {type: slicer, link: n1->n2, average: 1KiB, toxicity: 20%, first: 3,"
        " after: 5s, match: udp}}\n"
        "  - {at: 0s, fault: {type: flap, link: n1<->n2, up: 2s, down: 500ms, jitter: 100ms}}\n"
        "  - {at: 0s, fault: {type: rate, link: n1->n2, rate: 10mbit, queue_packets: 100}}\n"
        "  - {at: 0s, fault: {type: truncate, link: n1->n2, probability: 1%, bytes: 9,"
        " repair: true}}\n"
        "  - {at: 1s, clear: fault-1}\n";
    const char *begin = strstr(good, "timeline:"), *end = strstr(good, "expect:");
    text_append_bytes(&text, good, (size_t)(begin - good));
    text_append(&text, "%s%s", steps, end);
    assert_int_equal(parse(text_get(&text), &experiment, &error), 0);
    const struct ruleset_fault *fault = &experiment.steps[0].fault;
    assert_int_equal(experiment.steps[0].action, EXPERIMENT_FAULT);
    assert_int_equal(fault->type, RULESET_CORRUPT);
    assert_int_equal(fault->corrupt.probability_ppb, 10000000);
    assert_int_equal(fault->corrupt.correlation_ppb, 250000000);
    fault = &experiment.steps[1].fault;
    assert_string_equal(fault->name, "tenth");
    assert_true(experiment.steps[1].both_ways);
    assert_int_equal(fault->loss.model, RULESET_LOSS_EVERY);
    assert_int_equal(fault->loss.every, 10);
    fault = &experiment.steps[2].fault;
    assert_int_equal(fault->slicer.average_bytes, 1024);
    assert_int_equal(fault->spared_ppb, 800000000);
    assert_int_equal(fault->first_connections, 3);
    assert_true(fault->after_ns == 5 * NS_PER_S);
    assert_string_equal(fault->match, "udp");
    fault = &experiment.steps[3].fault;
    assert_int_equal(fault->type, RULESET_FLAP);
    assert_true(fault->flap.up_ns == 2 * NS_PER_S && fault->flap.down_ns == NS_PER_S / 2 &&
                fault->flap.jitter_ns == NS_PER_S / 10);
    assert_int_equal(experiment.steps[4].fault.rate.queue_packets, 100);
    assert_true(experiment.steps[5].fault.truncate.repair);
    experiment_free(&experiment);
    text_free(&text);
}

static void reads_every_action(void **state)
{
    (void)state;
    struct text text = {0};
    struct experiment experiment;
    struct error error = {0};
    static const char steps[] = "timeline:\n"
                                "  - {at: 0s, isolate: follower}\n"
                                "  - {at: 0s, cut: leader->n2}\n"
                                "  - {at: 0s, loss: {link: n1->n2, by: 5%}, name: rain}\n"
                                "  - {at: 0s, rate: {link: n2<->leader, to: 10mbit}}\n"
                                "  - {at: 0s, kill: leader}\n"
                                "  - {at: 0s, pause: n1}\n"
                                "  - {at: 0s, resume: n1}\n"
                                "  - {at: 0s, restart: n1}\n"
                                "  - {at: 0s, heal: isolate-1}\n"
                                "  - {at: 0s, isolate: n1, name: isolate-1}\n"
                                "  - {at: 20s, clear: all}\n";
    const char *begin = strstr(good, "timeline:"), *end = strstr(good, "expect:");
    text_append_bytes(&text, good, (size_t)(begin - good));
    text_append(&text, "%s%s", steps, end);
    assert_int_equal(parse(text_get(&text), &experiment, &error), 0);
    static const enum experiment_action actions[] = {
        EXPERIMENT_ISOLATE, EXPERIMENT_CUT,     EXPERIMENT_FAULT,  EXPERIMENT_FAULT,
        EXPERIMENT_KILL,    EXPERIMENT_PAUSE,   EXPERIMENT_RESUME, EXPERIMENT_RESTART,
        EXPERIMENT_HEAL,    EXPERIMENT_ISOLATE, EXPERIMENT_CLEAR};
    assert_int_equal(experiment.step_count, 11);
    for (size_t i = 0; i < 11; i++)
        assert_int_equal(experiment.steps[i].action, actions[i]);
    assert_int_equal(experiment.steps[0].node.kind, EXPERIMENT_NODE_FOLLOWER);
    assert_int_equal(experiment.steps[1].from.kind, EXPERIMENT_NODE_LEADER);
    assert_false(experiment.steps[1].both_ways);
    assert_string_equal(experiment.steps[2].name, "rain");
    assert_int_equal(experiment.steps[2].fault.loss.probability_ppb, 50000000);
    assert_int_equal(experiment.steps[3].fault.rate.bytes_per_s, 1250000);
    experiment_free(&experiment);
    text_free(&text);
}

static void aliases_are_counted(void **state)
{
    (void)state;
    static const char fair[] = "a: &a [x, y]\nb: [*a, *a]\n";
    struct text text = {0};
    struct experiment experiment;
    struct error error = {0};
    assert_int_equal(parse(fair, &experiment, &error), -EINVAL); /* for what it says, not the *a */
    assert_string_equal(error.place, "f.yaml:1:1");
    text_append(&text, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 10; i++) {
        text_append(&text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            text_append(&text, "%s*a%d", j ? "," : "", i - 1);
        text_append(&text, "]\n");
    }
    assert_int_equal(parse(text_get(&text), &experiment, &error), -EINVAL);
    assert_string_equal(error.message,
                        "more than 65536 values (aliases count as what they stand for)");
    text_free(&text);
}

static void aliases_that_are_fair_work(void **state)
{
    (void)state;
    struct text text = {0};
    struct experiment experiment;
    struct error error = {0};
    const char *id = strstr(good, "\"{name}\""), *peers = strstr(good, "\"{peers}\"");
    text_append_bytes(&text, good, (size_t)(id - good));
    text_append(&text, "&name ");
    text_append_bytes(&text, id, (size_t)(peers - id));
    text_append(&text, "*name %s", peers + strlen("\"{peers}\""));
    assert_int_equal(parse(text_get(&text), &experiment, &error), 0);
    assert_string_equal(experiment.cluster.launches[0].command.items[6], "{name}");
    experiment_free(&experiment);
    text_free(&text);
}

static void limits(void **state)
{
    (void)state;
    struct experiment experiment;
    struct error error = {0};
    char *large = calloc(1, EXPERIMENT_TEXT_MAX + 2);
    memset(large, ' ', EXPERIMENT_TEXT_MAX + 1);
    assert_int_equal(
        experiment_parse(large, EXPERIMENT_TEXT_MAX + 1, "f.yaml", &experiment, &error), -EINVAL);
    assert_string_equal(error.message, "larger than 1048576 bytes: too long for an experiment");
    assert_int_equal(experiment_parse(large, EXPERIMENT_TEXT_MAX, "f.yaml", &experiment, &error),
                     -EINVAL);
    assert_string_equal(error.message,
                        "no experiment here: write name, duration, cluster, workload, expect");
    free(large);

    struct text text = {0};
    text_append(&text, "a: {");
    for (int i = 0; i < 257; i++)
        text_append(&text, "k%d: 1, ", i);
    text_append(&text, "}\n");
    assert_int_equal(parse(text_get(&text), &experiment, &error), -EINVAL);
    assert_string_equal(error.message, "more than 256 keys here");
    text_free(&text);

    assert_int_equal(parse("", &experiment, &error), -EINVAL);
    assert_string_equal(error.place, "f.yaml:1:1");
    assert_int_equal(parse("[]", &experiment, &error), -EINVAL);
    assert_int_equal(parse("x", &experiment, NULL), -EINVAL);
}

static void expands_templates(void **state)
{
    (void)state;
    char name[] = "name", n1[] = "n1", port[] = "port.peer", number[] = "16379";
    const struct experiment_pair variables[] = {{name, n1}, {port, number}};
    static const struct {
        const char *template, *expanded;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"{name}={name}:{port.peer}", "n1=n1:16379"},
        {"{{name}}", "{name}"},
        {"{{{name}}}", "{n1}"},
        {"a}}b", "a}b"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *out = NULL;
        struct error error = {0};
        assert_int_equal(experiment_expand(cases[i].template, variables, 2, &out, &error), 0);
        assert_string_equal(out, cases[i].expanded);
        free(out);
    }
    static const char *const wrong[] = {"{",  "}",       "{name",    "name}",
                                        "{}", "{ name}", "{na{me}}", "{name}}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char *out = NULL;
        struct error error = {0};
        assert_int_equal(experiment_expand(wrong[i], variables, 2, &out, &error), -EINVAL);
        assert_null(out);
        assert_true(strlen(error.message) > 20);
    }
}

/* The experiments that are shipped: they parse, and say what they are about. */
static void examples_parse(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        size_t nodes;
        enum experiment_action action;
    } cases[] = {{"three", 3, EXPERIMENT_ISOLATE}, {"five", 5, EXPERIMENT_SPLIT}};
    const char *root = getenv("SEVER_SOURCE_DIR");
    for (size_t i = 0; i < 2; i++) {
        char path[1024], text[16384];
        struct experiment experiment;
        struct error error = {0};
        snprintf(path, sizeof(path), "%s/examples/split-brain/%s.yaml", root ? root : ".",
                 cases[i].file);
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        size_t length = fread(text, 1, sizeof(text), file);
        fclose(file);
        int result = experiment_parse(text, length, path, &experiment, &error);
        if (result)
            print_message("%s: %s\n", error.place, error.message);
        assert_int_equal(result, 0);
        assert_int_equal(experiment.cluster.node_count, cases[i].nodes);
        assert_int_equal(experiment.step_count, 2);
        assert_int_equal(experiment.steps[0].action, cases[i].action);
        assert_int_equal(experiment.steps[1].action, EXPERIMENT_HEAL);
        assert_string_equal(experiment.steps[1].name, experiment.steps[0].name);
        assert_int_equal(experiment.expectations[0].kind, EXPECT_LINEARIZABLE);
        experiment_free(&experiment);
    }
}

/* Every prefix of a good file, and every single byte changed: no crash, no leak, an error with a
 * place or a good experiment. */
static void torn_files(void **state)
{
    (void)state;
    size_t length = strlen(good);
    char *text = malloc(length + 1);
    for (size_t i = 0; i < 2 * length; i++) {
        struct experiment experiment;
        struct error error = {0};
        memcpy(text, good, length + 1);
        if (i >= length)
            text[i - length] = "{}[]:,*&'\"#\n-x9"[i % 15];
        int result = experiment_parse(text, i < length ? i : length, "f.yaml", &experiment, &error);
        assert_true(result == 0 || (result == -EINVAL && strncmp(error.place, "f.yaml:", 7) == 0));
        experiment_free(&experiment);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_with_place_and_advice),
        cmocka_unit_test(reads_all_of_a_good_file),
        cmocka_unit_test(reads_steps),
        cmocka_unit_test(reads_what_availability_is_of),
        cmocka_unit_test(reads_a_fault_by_its_parameters),
        cmocka_unit_test(reads_every_action),
        cmocka_unit_test(aliases_are_counted),
        cmocka_unit_test(aliases_that_are_fair_work),
        cmocka_unit_test(limits),
        cmocka_unit_test(expands_templates),
        cmocka_unit_test(examples_parse),
        cmocka_unit_test(torn_files),
    };
    return cmocka_run_group_tests_name("experiment", tests, NULL, NULL);
}
