/* Theory of operation
 *
 * Order of the start: what the network must take first, severd, the network (network.h), then the
 * nodes: no connection of the cluster ever exists that does not cross severd.
 *
 * severd listens on a Unix socket in the run's folder: no port to collide on, and no one else
 * drives it by mistake. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chaos/lab/lab_internal.h"
#include "chaos/lab/network.h"
#include "chaos/lab/proc.h"
#include "proxy/base/monotonic.h"

extern char **environ;

#define LEFT_PATIENCE_NS (2 * NS_PER_S) /* for what guards have left */

enum { SOCKET_PATH_MAX = 107, SEVERD_START_S = 20, SEVERD_END_S = 2, START_PAUSE_MS = 10 };

static uint16_t find_port(const struct experiment_cluster *cluster, const char *name)
{
    for (size_t i = 0; i < cluster->port_count; i++) {
        if (strcmp(cluster->ports[i].name, name) == 0)
            return cluster->ports[i].port;
    }
    return 0;
}

uint16_t lab_workload_port(const struct experiment *experiment)
{
    return find_port(&experiment->cluster, experiment->workload.port);
}

uint16_t lab_sentinel_port(const struct lab *lab)
{
    return find_port(&lab->experiment->cluster, lab->experiment->workload.sentinel);
}

void lab_append_log_tail(const char *path, struct text *message)
{
    char buffer[4096];
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    if (fseek(file, 0, SEEK_END) == 0) {
        long size = ftell(file);
        long from = size > (long)sizeof(buffer) - 1 ? size - ((long)sizeof(buffer) - 1) : 0;
        fseek(file, from, SEEK_SET);
        size_t n = fread(buffer, 1, sizeof(buffer) - 1, file);
        while (n > 0 && (buffer[n - 1] == '\n' || buffer[n - 1] == ' '))
            n--;
        buffer[n] = '\0';
        const char *line = strrchr(buffer, '\n');
        if (n > 0)
            text_append(message, ": %s", line ? line + 1 : buffer);
    }
    fclose(file);
}

static void set_address(struct address *address, const char *host, uint16_t port)
{
    if (address_parse_host(host, address, NULL) == 0)
        address_set_port(address, port);
}

static void set_addresses(struct lab *lab)
{
    uint16_t port = lab_workload_port(lab->experiment);
    for (size_t i = 0; i < lab->node_count; i++) {
        set_address(&lab->public_addresses[i], lab->places[i].seen, port);
        set_address(&lab->nodes[i].private_address, lab->places[i].own, port);
    }
}

/* ---- severd ---------------------------------------------------------------------------------- */

int lab_check_severd(struct lab *lab, struct error *error)
{
    char status[64];
    if (process_poll(&lab->severd))
        return 0;
    struct text tail = {0};
    lab_append_log_tail(lab->severd_log, &tail);
    error_set(error, -ECHILD, "severd ended by itself, %s%s",
              process_describe_status(lab->severd.status, status, sizeof(status)), text_get(&tail));
    text_free(&tail);
    return -ECHILD;
}

static int wait_for_severd(struct lab *lab, struct error *error)
{
    uint64_t deadline_ns = monotonic_now_ns() + SEVERD_START_S * NS_PER_S;
    for (;;) {
        int code = lab_check_severd(lab, error);
        if (code < 0)
            return code;
        code = wire_client_request(lab->client, "GET", "/v1/status", NULL, &lab->status, error);
        if (code == 0 || monotonic_now_ns() >= deadline_ns)
            return code;
        struct pollfd wait = {.fd = lab->abort_fd, .events = POLLIN};
        if (poll(&wait, 1, START_PAUSE_MS) == 1)
            return error_set(error, -ECANCELED, "interrupted");
    }
}

static int start_severd(struct lab *lab, struct error *error)
{
    struct text listen = {0}, log = {0}, pages = {0};
    char seed[24];
    text_append(&listen, "unix:%s/severd.sock", lab->directory);
    text_append(&log, "%s/severd.log", lab->directory);
    text_append(&pages, "%s/clocks", lab->directory);
    snprintf(seed, sizeof(seed), "%llu", (unsigned long long)lab->seed);
    lab->severd_log = memory_copy_text(text_get(&log));
    text_free(&log);

    char *program = process_find_program("severd", error);
    int code = program ? 0 : -ENOENT;
    if (code == 0 && listen.length - strlen("unix:") > SOCKET_PATH_MAX)
        code = error_set_at(error, -ENAMETOOLONG, lab->directory,
                            "the path is too long for a socket in it: write a shorter --out");
    if (code == 0 && mkdir(text_get(&pages), 0755) < 0)
        code = error_set_at(error, -errno, text_get(&pages), "can't be made: %s", strerror(errno));
    if (code == 0) {
        char *arguments[] = {
            program, (char[]){"--listen"},          listen.data,           (char[]){"--seed"},
            seed,    (char[]){"--die-with-parent"}, (char[]){"--run-dir"}, pages.data,
            NULL};
        struct process_setup setup = {.arguments = arguments,
                                      .environment = environ,
                                      .directory = lab->directory,
                                      .log_path = lab->severd_log};
        code = process_start(&setup, &lab->severd, error);
    }
    if (code == 0)
        code = wire_client_create(text_get(&listen), "sever", &lab->client, error);
    if (code == 0)
        wire_client_set_timeout(lab->client, CONTROL_TIMEOUT_NS);
    if (code == 0)
        code = wait_for_severd(lab, error);
    free(program);
    text_free(&listen);
    text_free(&pages);
    return code;
}

/* ---- the whole ------------------------------------------------------------------------------- */

int lab_create(const struct lab_setup *setup, struct lab **out, struct error *error)
{
    struct lab *lab = memory_allocate_zeroed(1, sizeof(*lab));
    lab->experiment = setup->experiment;
    lab->directory = memory_copy_text(setup->directory);
    lab->seed = setup->seed;
    lab->extra_arguments = setup->extra_arguments;
    lab->extra_count = setup->extra_count;
    lab->abort_fd = setup->abort_fd;
    lab->file_folder = memory_copy_text(setup->file_folder ? setup->file_folder : ".");
    lab->wanted_subnet = setup->subnet;
    lab->progress = setup->progress;
    lab->progress_context = setup->context;
    lab->network = network_of(setup->experiment->cluster.network);
    lab->node_count = setup->experiment->cluster.node_count;
    lab->nodes = memory_allocate_zeroed(lab->node_count, sizeof(*lab->nodes));
    lab->places = memory_allocate_zeroed(lab->node_count, sizeof(*lab->places));
    lab->public_addresses = memory_allocate_zeroed(lab->node_count, sizeof(struct address));
    lab->subnet.lock = -1;

    int code = lab->network->take(lab, error);
    if (code == 0)
        code = process_init(lab->subnet.lock, error);
    if (code == 0)
        code = start_severd(lab, error);
    if (code == 0)
        code = lab->network->build(lab, error);
    if (code == 0) {
        set_addresses(lab);
        code = lab_prepare_nodes(lab, error);
    }
    if (code < 0) {
        lab_destroy(lab);
        return code;
    }
    *out = lab;
    return 0;
}

void lab_destroy(struct lab *lab)
{
    lab_free_nodes(lab);
    wire_client_destroy(lab->client);
    process_end(&lab->severd, SEVERD_END_S * NS_PER_S);
    proc_kill_children(LEFT_PATIENCE_NS);
    lab->network->give_back(lab);
    json_decref(lab->status);
    free(lab->places);
    free(lab->public_addresses);
    free(lab->client_addresses);
    free(lab->severd_log);
    free(lab->file_folder);
    free(lab->directory);
    free(lab->nodes);
    free(lab);
}

struct wire_client *lab_client(struct lab *lab)
{
    return lab->client;
}

void lab_describe_network(const struct lab *lab, struct text *out)
{
    lab->network->describe(lab, out);
}

size_t lab_node_count(const struct lab *lab)
{
    return lab->node_count;
}

const char *lab_node_name(const struct lab *lab, size_t node)
{
    return lab->experiment->cluster.nodes[node];
}

enum lab_node_state lab_node_state(const struct lab *lab, size_t node)
{
    return (enum lab_node_state)atomic_load(&lab->nodes[node].state);
}

const struct address *lab_public_addresses(const struct lab *lab)
{
    return lab->public_addresses;
}

const struct address *lab_private_address(const struct lab *lab, size_t node)
{
    return &lab->nodes[node].private_address;
}

const struct address *lab_client_addresses(const struct lab *lab)
{
    return lab->client_addresses;
}

json_t *lab_severd_status(const struct lab *lab)
{
    return lab->status;
}

const char *lab_node_address(const struct lab *lab, size_t node)
{
    return lab->places[node].own;
}

const char *lab_node_log(const struct lab *lab, size_t node)
{
    return lab->nodes[node].log_path;
}

pid_t lab_node_pid(const struct lab *lab, size_t node)
{
    return lab->nodes[node].process.pid;
}

int lab_node_status(const struct lab *lab, size_t node)
{
    return lab->nodes[node].process.status;
}

/* ---- by kind of network ---------------------------------------------------------------------- */

const struct network *network_of(enum experiment_network kind)
{
    return kind == EXPERIMENT_LAB ? &network_lab : &network_routes;
}

int lab_go_to_node(const struct lab *lab, size_t node, struct error *error)
{
    return lab->network->go_to_node(lab, node, error);
}

int lab_go_to_client(const struct lab *lab, unsigned client, struct error *error)
{
    return lab->network->go_to_client(lab, client, error);
}

void lab_append_side(const struct lab *lab, size_t node, json_t *group)
{
    json_array_append_new(group, json_string(lab_node_name(lab, node)));
    lab->network->append_clients(lab, node, group);
}

int lab_check_bypass(struct lab *lab, struct error *error)
{
    return lab->network->check_bypass(lab, error);
}

const char *lab_fault_useless(enum experiment_network network, const struct ruleset_fault *fault)
{
    return network_of(network)->useless(fault);
}

const char *lab_fault_unavailable(const struct lab *lab, const struct ruleset_fault *fault)
{
    return lab->network->unavailable(lab, fault);
}
