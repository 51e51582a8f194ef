/* Clusters of other systems: what runs on their nodes, their workloads, and what can be expected of
 * them. */
#include "tests/unit/chaos/experiment/refusals.h"

#include "proxy/base/monotonic.h"

static const char good[] =
    "name: test\n"
    "duration: 20s\n"
    "cluster:\n"
    "  network: lab\n"
    "  system: redis\n"
    "  nodes: 3\n"
    "  files: [replica.conf, etc/sentinel.conf]\n"
    "  init: [prepare, \"{dir}\"]\n"
    "  command: [redis-server, \"{dir}/replica.conf\"]\n"
    "  also: {sentinel: [redis-server, \"{dir}/sentinel.conf\", --sentinel]}\n"
    "  overrides:\n"
    "    n1: {files: [master.conf], command: [redis-server, \"{dir}/master.conf\"], init: []}\n"
    "  first: n2\n"
    "  user: nobody\n"
    "  ports: {client: 6379, sentinel: 26379}\n"
    "  leader: \"role:master\"\n"
    "workload:\n"
    "  kind: set\n"
    "  clients: 6\n"
    "  sentinel: sentinel\n"
    "  final: n3\n"
    "expect:\n"
    "  - no acknowledged write lost\n"
    "  - acknowledged writes lost at least 5\n"
    "  - leader steps down within 3s\n"
    "  - new leader within 2s\n"
    "  - writes wait within 1s\n";

static void nodes_differ_where_they_are_overridden(void **state)
{
    (void)state;
    struct experiment experiment;
    struct error error = {0};
    assert_int_equal(parse(good, &experiment, &error), 0);
    const struct experiment_cluster *cluster = &experiment.cluster;
    assert_int_equal(cluster->system, EXPERIMENT_REDIS);
    assert_string_equal(cluster->first, "n2");
    assert_string_equal(cluster->user, "nobody");
    const struct experiment_launch *own = &cluster->launches[0], *common = &cluster->launches[2];
    assert_string_equal(own->command.items[1], "{dir}/master.conf");
    assert_string_equal(common->command.items[1], "{dir}/replica.conf");
    assert_int_equal(own->files.count, 1);
    assert_string_equal(own->files.items[0], "master.conf");
    assert_string_equal(common->files.items[1], "etc/sentinel.conf");
    assert_int_equal(own->init.count, 0);
    assert_int_equal(common->init.count, 2);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(cluster->launches[i].also_count, 1);
        assert_string_equal(cluster->launches[i].also[0].name, "sentinel");
        assert_int_equal(cluster->launches[i].also[0].command.count, 3);
    }
    assert_int_equal(experiment.workload.kind, EXPERIMENT_SET);
    assert_string_equal(experiment.workload.sentinel, "sentinel");
    assert_string_equal(experiment.workload.final, "n3");
    experiment_free(&experiment);
}

static void expectations_of_sets_and_leaders(void **state)
{
    (void)state;
    struct experiment experiment;
    struct error error = {0};
    assert_int_equal(parse(good, &experiment, &error), 0);
    const struct experiment_expectation *expectations = experiment.expectations;
    assert_int_equal(expectations[0].kind, EXPECT_LOST);
    assert_true(expectations[0].at_most);
    assert_int_equal(expectations[0].count, 0);
    assert_int_equal(expectations[1].kind, EXPECT_LOST);
    assert_false(expectations[1].at_most);
    assert_int_equal(expectations[1].count, 5);
    assert_int_equal(expectations[2].kind, EXPECT_STEPS_DOWN);
    assert_int_equal(expectations[2].within_ns, 3 * NS_PER_S);
    assert_int_equal(expectations[3].kind, EXPECT_NEW_LEADER);
    assert_int_equal(expectations[4].kind, EXPECT_WRITES_WAIT);
    experiment_free(&experiment);
}

static const struct refusal bad[] = {
    {"system: redis", "system: mysql",
     "5:11: unknown system 'mysql': write raftkv, etcd, redis or postgres"},
    {"system: redis", "system: etcd",
     "18:9: there are no clients for a set on etcd: write register"},
    {"kind: set", "kind: register",
     "18:9: there are no clients for a register on redis: write set"},
    {"system: redis", "system: postgres", "20:13: 'sentinel' is for redis only: remove it"},
    {"sentinel: sentinel", "sentinel: nothing",
     "20:13: the cluster has no port 'nothing': write sentinel: with one of client, sentinel"},
    {"final: n3", "final: n4", "21:10: unknown node 'n4': write one of n1, n2, n3"},
    {"final: n3", "mix: {read: 1}", "21:8: 'mix' is not for a set: remove it"},
    {"first: n2", "first: n4", "13:10: unknown node 'n4': write one of n1, n2, n3"},
    {"    n1: {", "    n4: {", "12:5: unknown node 'n4': write one of n1, n2, n3"},
    {"n1: {files", "n1: {file", "12:10: unknown key 'file' in an override: did you mean 'files'?"},
    {"etc/sentinel.conf", "etc/replica.conf",
     "7:25: there is a replica.conf already: both would be {dir}/replica.conf"},
    {"etc/sentinel.conf", "etc/", "7:25: 'etc/' names no file"},
    {"{sentinel: [redis-server", "{data: [redis-server",
     "10:10: 'data' can't name a process: write letters, digits, '_' and '-', and not data"},
    {"also: {sentinel: [redis-server, \"{dir}/sentinel.conf\", --sentinel]}", "also: []",
     "10:9: also is a map {name: [command]} of 1 to 16 further processes"},
    {"[prepare, \"{dir}\"]", "[prepare, \"{dri}\"]",
     "8:19: unknown variable {dri}: write one of {name}, {id}, {address}, {dir}, {port.client}, "
     "{port.sentinel}, {address.n1}, {address.n2}, {address.n3}, or {{ for a brace"},
    {"- no acknowledged write lost", "- linearizable",
     "23:5: a set has no order to check: write 'no acknowledged write lost'"},
    {"- no acknowledged write lost", "- no write lost",
     "23:5: 'write' in 'no write lost' is not understood: write 'no acknowledged write lost' "
     "there"},
    {"at least 5", "at least five",
     "24:5: 'five' is not a valid number: write a whole number from 0 to 9223372036854775807"},
    {"at least 5", "at 5",
     "24:5: '5' in 'acknowledged writes lost at 5' is not understood: write 'least' or 'most' "
     "there"},
    {"  leader: \"role:master\"\n", "",
     "24:5: 'leader steps down within 3s' needs 'leader' in the cluster, such as \"role:leader\""},
    {"- writes wait within 1s", "- terms rise by at most 1", "27:5: redis has no terms"},
};

static void refuses_with_place_and_advice(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(good, &bad[i]);
}

static void terms_are_counted(void **state)
{
    (void)state;
    static const char etcd[] =
        "name: test\nduration: 20s\ncluster:\n  system: etcd\n  nodes: 3\n  command: [etcd]\n"
        "  ports: {client: 2379}\n  leader: \"role:leader\"\n"
        "workload: {kind: register, clients: 3}\n"
        "expect: [terms rise by at most 2 after faults]\n";
    struct experiment experiment;
    struct error error = {0};
    assert_int_equal(parse(etcd, &experiment, &error), 0);
    assert_int_equal(experiment.expectations[0].kind, EXPECT_TERMS);
    assert_int_equal(experiment.expectations[0].count, 2);
    assert_int_equal(experiment.expectations[0].phase, EXPERIMENT_PHASE_AFTER);
    experiment_free(&experiment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_differ_where_they_are_overridden),
        cmocka_unit_test(expectations_of_sets_and_leaders),
        cmocka_unit_test(refuses_with_place_and_advice),
        cmocka_unit_test(terms_are_counted),
    };
    return cmocka_run_group_tests_name("system", tests, NULL, NULL);
}
