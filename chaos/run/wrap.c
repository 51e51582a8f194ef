/* `sever wrap`: any cluster in a lab, without an experiment.
 *
 * Theory of operation. It is the beginning of a run and then nothing: severd, the lab, the nodes'
 * commands; and it stays, because everything hangs on this process (chaos/lab/process.h). What is
 * done to the cluster comes from severctl, to severd's socket in the folder. A first signal asks
 * the nodes to end, a second one doesn't ask. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chaos/lab/process.h"
#include "chaos/run/commands.h"
#include "chaos/run/folder.h"
#include "chaos/run/options.h"
#include "chaos/run/signals.h"
#include "chaos/run/wrap_options.h"
#include "proxy/base/monotonic.h"
#include "proxy/wire/lab.h"

#define END_PATIENCE_NS (10 * NS_PER_S)
#define PROGRESS_NS (2 * NS_PER_S)
#define SEVERD_END_NS (20 * NS_PER_S) /* on a busy machine */
enum { WATCH_PAUSE_MS = 100, END_PAUSE_MS = 20 };

struct wrap {
    struct wrap_options options;
    struct experiment experiment;
    char *directory; /* as told to people */
    bool kept;       /* it was there before */
    char *absolute;
    char *file_folder; /* NULL without a file */
    int abort_fd;
    struct lab *lab;
    bool begun; /* the first node, or what severd says of its own end: the folder has something */
};

static void print_usage(FILE *out)
{
    fprintf(
        out,
        "usage: sever wrap [--nodes N|NAMES] [--port [NAME=]PORT]... [--peers ENTRY]\n"
        "                  [--clients K] [--subnet NETWORK] [--out DIR] -- COMMAND...\n"
        "       sever wrap FILE [--clients K] [--subnet NETWORK] [--out DIR] [-- ARGUMENT...]\n\n"
        "Starts COMMAND once in each node of a lab: a network of its own for each, every packet\n"
        "through severd. Then severctl cuts, heals, delays; Ctrl-C ends all of it.\n\n"
        "  --nodes    how many (n1, n2, ...), or names: a,b,c (default: 3)\n"
        "  --port     one that each node listens on: {port.NAME}, and published on this host;\n"
        "             may be given several times\n"
        "  --peers    one entry of {peers}, such as '{name}=http://{address}:2380'\n"
        "  --clients  nodes without a command, for severctl lab exec (default: 1)\n"
        "  --subnet   of the lab, such as 10.77.0.0/24 or 10.77.0.0/24,fd77::/64 (default)\n"
        "  --out DIR  where logs and data go; a new or empty folder\n"
        "             (default: a fresh folder ./sever-results/wrap-COMMAND)\n"
        "  FILE       an experiment; only its cluster is looked at, and ARGUMENTs are appended\n"
        "             to its command\n\n"
        "In COMMAND {name} is the node's name, {id} its number, {address} its address,\n"
        "{address.n1} that of n1, {dir} a folder of its own, {peers} the list of all nodes.\n"
        "exit: 0 ended by a signal, or every command with 0; 1 they ended otherwise; 2 cannot\n");
}

/* ---- telling --------------------------------------------------------------------------------- */

/* The number of the node's port only where it is another one. */
static void print_ports(const struct wire_lab *made, const char *node)
{
    for (size_t i = 0; i < made->port_count; i++) {
        const struct wire_lab_port *port = &made->ports[i];
        const char *colon = strrchr(port->listen, ':');
        if (strcmp(port->node, node) != 0)
            continue;
        printf("  %s", port->listen);
        if (!colon || strtoul(colon + 1, NULL, 10) != port->port)
            printf(" -> :%u", port->port);
    }
}

static void print_nodes(const struct wrap *wrap, const struct wire_lab *made)
{
    printf("\n");
    for (size_t i = 0; i < made->node_count; i++) {
        const struct wire_lab_node *node = &made->nodes[i];
        printf("  %-10s %-15s", node->name, node->address_count ? node->addresses[0] : "");
        for (size_t k = 0; k < lab_node_count(wrap->lab); k++) {
            if (strcmp(lab_node_name(wrap->lab, k), node->name) == 0)
                printf(" pid %-8d", (int)lab_node_pid(wrap->lab, k));
        }
        print_ports(made, node->name);
        printf("\n");
    }
    printf("\nlogs: %s/NODE/log%s\n", wrap->directory,
           made->port_count ? "; on the right, where this host publishes ports (as from gateway)"
                            : "");
}

static void print_hints(const struct wrap *wrap)
{
    size_t count = lab_node_count(wrap->lab);
    const char *first = lab_node_name(wrap->lab, 0);
    printf("from another terminal:\n  export SEVER_URL=%s\n",
           wire_client_url(lab_client(wrap->lab)));
    if (count > 1) {
        const char *second = lab_node_name(wrap->lab, 1);
        printf("  severctl isolate %s    # cut it from the other members\n"
               "  severctl cut %s %s     # both ways; one: '%s->%s'\n"
               "  severctl delay %s %s 80ms±20ms\n"
               "  severctl loss %s %s 5%%\n",
               first, first, second, first, second, first, second, first, second);
    }
    printf("  severctl heal          # every cut; severctl faults clear: every fault\n"
           "  severctl status\n"
           "  severctl lab connections   # and which of them a cut holds\n"
           "  severctl lab exec %s -- COMMAND   # in its network; the others have their names\n\n"
           "Ctrl-C ends everything.\n",
           wrap->options.clients ? "client-1" : first);
}

static int tell(struct wrap *wrap, struct error *error)
{
    json_t *answer = NULL;
    struct wire_lab *made = memory_allocate_zeroed(1, sizeof(*made));
    int code = wire_client_request(lab_client(wrap->lab), "GET", "/v1/lab", NULL, &answer, error);
    if (code == 0)
        code = wire_decode_lab(answer, made, error);
    if (code == 0) {
        print_nodes(wrap, made);
        print_hints(wrap);
        fflush(stdout);
    }
    json_decref(answer);
    free(made);
    return code;
}

/* ---- starting -------------------------------------------------------------------------------- */

static int read_cluster(struct wrap *wrap, struct error *error)
{
    const struct wrap_options *options = &wrap->options;
    char *content = NULL;
    size_t length;
    if (!options->file)
        return wrap_make_cluster(options, &wrap->experiment, error);
    int code = command_read_file(options->file, EXPERIMENT_TEXT_MAX, &content, &length, error);
    if (code == 0)
        code = experiment_parse_cluster(content, length, options->file, &wrap->experiment, error);
    free(content);
    if (code == 0)
        code = folder_of_file(options->file, &wrap->file_folder, error);
    wrap->experiment.cluster.network = EXPERIMENT_LAB;
    return code;
}

/* Before anything is made: most mistakes are in the command. Its name may be a template. */
static int check_program(const struct wrap *wrap, struct error *error)
{
    const char *name = wrap->experiment.cluster.launches[0].command.items[0];
    char *program = strchr(name, '{') ? NULL : process_find_program(name, error);
    int code = program || strchr(name, '{') ? 0 : -ENOENT;
    free(program);
    return code;
}

static int make_folder(struct wrap *wrap, struct error *error)
{
    struct text name = {0};
    const char *command = wrap->experiment.cluster.launches[0].command.items[0];
    const char *slash = strrchr(command, '/');
    text_append(&name, "wrap-");
    run_append_slug(wrap->options.file ? wrap->experiment.name
                    : slash            ? slash + 1
                                       : command,
                    &name);
    wrap->kept = wrap->options.out && access(wrap->options.out, F_OK) == 0;
    int code =
        folder_make(wrap->options.out, text_get(&name), &wrap->directory, &wrap->absolute, error);
    text_free(&name);
    return code;
}

static int ask_for_port(struct wrap *wrap, size_t node, unsigned port, const char *listen,
                        struct error *error)
{
    json_t *body = json_pack("{s:s, s:s, s:i}", "listen", listen, "node",
                             lab_node_name(wrap->lab, node), "port", (int)port);
    int code =
        wire_client_request(lab_client(wrap->lab), "POST", "/v1/lab/ports", body, NULL, error);
    json_decref(body);
    return code;
}

/* Where somebody listens already, another address will do: it is told. */
static int publish(struct wrap *wrap, size_t node, unsigned port, struct error *error)
{
    char listen[WIRE_LAB_LISTEN_MAX];
    if (wrap_listen_address(lab_node_address(wrap->lab, node), port, listen, sizeof(listen)) &&
        ask_for_port(wrap, node, port, listen, NULL) == 0)
        return 0;
    return ask_for_port(wrap, node, port, "127.0.0.1:0", error);
}

static int publish_all(struct wrap *wrap, struct error *error)
{
    const struct experiment_cluster *cluster = &wrap->experiment.cluster;
    int code = 0;
    for (size_t i = 0; i < cluster->node_count; i++) {
        for (size_t k = 0; code == 0 && k < cluster->port_count; k++)
            code = publish(wrap, i, cluster->ports[k].port, error);
    }
    return code;
}

static void tell_making(void *context, double seconds)
{
    (void)context;
    printf("making it for %.0f s\n", seconds);
    fflush(stdout);
}

static int bring_up(struct wrap *wrap, struct error *error)
{
    struct lab_setup setup = {
        .experiment = &wrap->experiment,
        .directory = wrap->absolute,
        .seed = wrap->experiment.seed,
        .extra_arguments = wrap->options.file ? wrap->options.command : NULL,
        .extra_count = wrap->options.file ? wrap->options.command_count : 0,
        .abort_fd = wrap->abort_fd,
        .file_folder = wrap->file_folder,
        .subnet = wrap->options.subnet,
        .progress = tell_making,
    };
    wrap->experiment.workload.clients = wrap->options.clients;
    printf("making a lab: %zu nodes, clients: %u, files in %s\n",
           wrap->experiment.cluster.node_count, wrap->options.clients, wrap->directory);
    fflush(stdout);
    int code = lab_create(&setup, &wrap->lab, error);
    wrap->begun = code == -ECHILD;
    if (code == 0)
        code = publish_all(wrap, error);
    wrap->begun |= code == 0;
    if (code == 0)
        code = lab_start_nodes(
            wrap->lab, monotonic_now_ns() + wrap->experiment.cluster.ready_within_ns, error);
    return code == 0 ? tell(wrap, error) : code;
}

/* ---- staying, and ending --------------------------------------------------------------------- */

static size_t count_running(const struct wrap *wrap)
{
    size_t count = 0;
    for (size_t i = 0; i < lab_node_count(wrap->lab); i++)
        count += lab_node_state(wrap->lab, i) != LAB_DOWN;
    return count;
}

/* Returns how many have ended. */
static size_t tell_ends(struct wrap *wrap)
{
    char what[256];
    size_t count = 0;
    for (int node; (node = lab_poll_exit(wrap->lab, what, sizeof(what))) >= 0; count++)
        printf("%s %s\n", lab_node_name(wrap->lab, (size_t)node), what);
    fflush(stdout);
    return count;
}

static enum report_outcome judge_ends(const struct wrap *wrap)
{
    for (size_t i = 0; i < lab_node_count(wrap->lab); i++) {
        if (lab_node_status(wrap->lab, i) != 0)
            return REPORT_FAIL;
    }
    return REPORT_PASS;
}

/* A severd that is killed takes the nodes along well before it has ended itself (its rings are slow
 * to go), so after the end of a node it has to answer. */
static int ask_severd(struct wrap *wrap, struct error *error)
{
    const uint64_t deadline_ns = monotonic_now_ns() + SEVERD_END_NS;
    struct error silent = {0};
    int code = wire_client_request(lab_client(wrap->lab), "GET", "/v1/status", NULL, NULL, &silent);
    while (code < 0 && monotonic_now_ns() < deadline_ns) {
        if (lab_check_severd(wrap->lab, error) < 0)
            return code;
        poll(NULL, 0, END_PAUSE_MS);
    }
    if (code < 0)
        *error = silent;
    return code;
}

static enum report_outcome stay(struct wrap *wrap)
{
    struct error error = {0};
    for (;;) {
        struct pollfd wait = {.fd = wrap->abort_fd, .events = POLLIN};
        size_t ended = tell_ends(wrap);
        if ((ended ? ask_severd(wrap, &error) : lab_check_severd(wrap->lab, &error)) < 0) {
            command_print_error(&error);
            return REPORT_CANNOT_RUN;
        }
        if (count_running(wrap) == 0) {
            printf("every command has ended\n");
            return judge_ends(wrap);
        }
        if (poll(&wait, 1, WATCH_PAUSE_MS) == 1)
            return REPORT_PASS;
    }
}

static void tell_waiting(const struct wrap *wrap)
{
    printf("waiting for");
    for (size_t i = 0; i < lab_node_count(wrap->lab); i++) {
        if (lab_node_state(wrap->lab, i) != LAB_DOWN)
            printf(" %s", lab_node_name(wrap->lab, i));
    }
    printf(" to end (Ctrl-C again kills)\n");
    fflush(stdout);
}

/* Until the nodes have ended, patience is over, or another signal comes. */
static void end_nodes(struct wrap *wrap)
{
    char what[256];
    uint64_t began_ns = monotonic_now_ns(), told_ns = began_ns;
    unsigned signals = signals_count();
    lab_ask_to_end(wrap->lab);
    while (count_running(wrap) > 0 && signals_count() == signals &&
           monotonic_now_ns() - began_ns < END_PATIENCE_NS) {
        while (lab_poll_exit(wrap->lab, what, sizeof(what)) >= 0)
            ;
        if (monotonic_now_ns() - told_ns >= PROGRESS_NS) {
            told_ns = monotonic_now_ns();
            tell_waiting(wrap);
        }
        poll(NULL, 0, END_PAUSE_MS);
    }
}

static enum report_outcome perform(struct wrap *wrap)
{
    struct error error = {0};
    enum report_outcome outcome = REPORT_CANNOT_RUN;
    if (bring_up(wrap, &error) < 0)
        command_print_error(&error);
    else
        outcome = stay(wrap);
    if (wrap->lab) {
        end_nodes(wrap);
        lab_destroy(wrap->lab);
    }
    if (!wrap->begun)
        folder_discard(wrap->absolute, wrap->kept);
    return outcome;
}

int wrap_command(int argc, char **argv)
{
    struct wrap wrap = {0};
    struct error error = {0};
    enum report_outcome outcome = REPORT_CANNOT_RUN;
    int code = wrap_parse_options(argc, argv, &wrap.options, &error);
    if (code == 0 && wrap.options.help) {
        print_usage(stdout);
        return (int)command_end_output(REPORT_PASS);
    }
    if (code == 0)
        code = wrap.abort_fd = signals_open(&error);
    if (code >= 0)
        code = read_cluster(&wrap, &error);
    if (code == 0)
        code = check_program(&wrap, &error);
    if (code == 0)
        code = make_folder(&wrap, &error);
    if (code < 0) {
        command_print_error(&error);
    } else {
        signals_catch(true);
        outcome = perform(&wrap);
    }
    signals_close();
    experiment_free(&wrap.experiment);
    free(wrap.directory);
    free(wrap.absolute);
    free(wrap.file_folder);
    return (int)command_end_output(outcome);
}
