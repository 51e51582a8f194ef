/* The cluster section by itself, and what is between its nodes. */
#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#include "chaos/experiment/experiment.h"

static struct error error;
static struct experiment experiment;

static int parse_cluster(const char *text)
{
    error = (struct error){0};
    return experiment_parse_cluster(text, strlen(text), "a.yaml", &experiment, &error);
}

static void refused(const char *text, const char *place, const char *message)
{
    assert_int_equal(parse_cluster(text), -EINVAL);
    assert_string_equal(error.place, place);
    if (!strstr(error.message, message))
        fail_msg("'%s' is not in: %s", message, error.message);
}

static void only_the_cluster_is_looked_at(void **state)
{
    (void)state;
    assert_int_equal(parse_cluster("workload: what\nname: mine\nnext: [year]\n"
                                   "cluster: {nodes: 2, command: [true], ports: {client: 1}}\n"),
                     0);
    assert_string_equal(experiment.name, "mine");
    assert_int_equal(experiment.cluster.node_count, 2);
    assert_int_equal(experiment.step_count, 0);
    experiment_free(&experiment);
    assert_int_equal(parse_cluster("cluster: {nodes: 2, command: [true], ports: {client: 1}}"), 0);
    assert_string_equal(experiment.name, "cluster");
    experiment_free(&experiment);
    refused("", "a.yaml:1:1", "no cluster here");
    refused("[cluster]", "a.yaml:1:1", "no cluster here");
    refused("name: x", "a.yaml:1:1", "no cluster here");
    refused("cluster: {nodes: 2}", "a.yaml:1:10", "no 'command'");
}

static void routes_need_ports_and_a_lab_does_not(void **state)
{
    (void)state;
    refused("cluster: {nodes: 2, command: [true]}", "a.yaml:1:10", "no 'ports'");
    refused("cluster: {nodes: 2, command: [true], network: routes}", "a.yaml:1:10", "no 'ports'");
    assert_int_equal(parse_cluster("cluster: {nodes: 2, command: [true], network: lab}"), 0);
    assert_int_equal(experiment.cluster.network, EXPERIMENT_LAB);
    assert_int_equal(experiment.cluster.port_count, 0);
    experiment_free(&experiment);
    assert_int_equal(parse_cluster("cluster: {nodes: 2, command: [true], ports: {client: 1}}"), 0);
    assert_int_equal(experiment.cluster.network, EXPERIMENT_ROUTES);
    experiment_free(&experiment);
    refused("cluster: {nodes: 2, command: [true], network: labs}", "a.yaml:1:47",
            "unknown network 'labs': write routes or lab");
    refused("cluster: {nodes: 2, command: [true], network: [lab]}", "a.yaml:1:47", "a list");
}

static void networks_have_names(void **state)
{
    (void)state;
    enum experiment_network network;
    assert_int_equal(experiment_parse_network("lab", &network, &error), 0);
    assert_string_equal(experiment_network_name(network), "lab");
    assert_int_equal(experiment_parse_network("routes", &network, &error), 0);
    assert_string_equal(experiment_network_name(network), "routes");
    assert_int_equal(experiment_parse_network("", &network, &error), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_cluster_is_looked_at),
        cmocka_unit_test(routes_need_ports_and_a_lab_does_not),
        cmocka_unit_test(networks_have_names),
    };
    return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
