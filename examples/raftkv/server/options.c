#include "examples/raftkv/server/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/base/units.h"
#include "proxy/base/version.h"

static const char usage[] =
    "usage: raftkv --id NAME --data DIR [--peers NAME=HOST:PORT,...] [options]\n"
    "\n"
    "A small replicated key-value server: Raft, and the Redis protocol for its clients.\n"
    "\n"
    "  --id NAME                 name of this node\n"
    "  --data DIR                where its log is kept; created if it isn't there\n"
    "  --peers NAME=HOST:PORT,.. the cluster and where its nodes listen for each other;\n"
    "                            this node may be among them\n"
    "  --bind ADDRESS            address to listen on, and to dial peers from (127.0.0.1)\n"
    "  -p, --port PORT           port for clients (6379; 0: any)\n"
    "  --peer-port PORT          port for peers (port for clients + 10000)\n"
    "  --election-timeout TIME   a follower waits 1 to 2 times this for its leader (300ms)\n"
    "  --heartbeat TIME          at most half of the election timeout (50ms)\n"
    "  --on-minority ACTION      without a majority: refuse requests, or exit with 3 (refuse)\n"
    "  --bug NAME                switch on a defect; may be repeated; 'list' lists them\n"
    "  --log-level LEVEL         error, warn, info or debug (info)\n"
    "  --help, --version\n"
    "\n"
    "exit status: 0 stopped by a signal, 1 failed, 2 wrong usage, 3 no majority (--on-minority "
    "exit)\n";

static int parse_name(const char *text, size_t length, char *name, const char *place,
                      struct error *error)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    if (length == 0 || length > NODE_NAME_MAX || strspn(text, allowed) < length)
        return error_set_at(error, -EINVAL, place,
                            "'%.*s' is not a node name: write 1 to %d letters, digits, _ . -",
                            (int)length, text, NODE_NAME_MAX);
    memcpy(name, text, length);
    name[length] = '\0';
    return 0;
}

static int add_node(struct options *options, const struct node_option *node, struct error *error)
{
    for (uint8_t i = 0; i < options->node_count; i++)
        if (strcmp(options->nodes[i].name, node->name) == 0)
            return error_set_at(error, -EINVAL, "--peers", "node '%s' is there twice", node->name);
    if (options->node_count == RAFT_NODES_MAX)
        return error_set_at(error, -EINVAL, "--peers", "a cluster may have %d nodes",
                            RAFT_NODES_MAX);
    uint8_t place = options->node_count++;
    for (; place > 0 && strcmp(options->nodes[place - 1].name, node->name) > 0; place--)
        options->nodes[place] = options->nodes[place - 1];
    options->nodes[place] = *node;
    return 0;
}

static int parse_peers(const char *text, struct options *options, struct error *error)
{
    char address[ADDRESS_TEXT_MAX];
    while (*text) {
        size_t length = strcspn(text, ",");
        size_t name = strcspn(text, "=,");
        if (name >= length || length - name - 1 >= sizeof(address))
            return error_set_at(error, -EINVAL, "--peers", "'%.*s': write NAME=HOST:PORT",
                                (int)length, text);
        struct node_option node = {0};
        memcpy(address, text + name + 1, length - name - 1);
        address[length - name - 1] = '\0';
        int code = parse_name(text, name, node.name, "--peers", error);
        if (!code) {
            code = address_parse(address, &node.address, error);
            if (code)
                error_prefix_place(error, "--peers");
        }
        if (!code)
            code = add_node(options, &node, error);
        if (code)
            return code;
        text += length;
        if (*text == ',' && *++text == '\0')
            return error_set_at(error, -EINVAL, "--peers", "nothing after the last comma");
    }
    return 0;
}

static int parse_bug(const char *name, struct options *options, struct error *error)
{
    struct text known = {0};
    uint32_t bit = raft_bug_by_name(name);
    options->bugs |= bit;
    if (bit)
        return 0;
    for (unsigned bug = 0; raft_bug_name(bug); bug++)
        text_append(&known, " %s", raft_bug_name(bug));
    error_set_at(error, -EINVAL, "--bug", "'%s' is not known; there are:%s", name,
                 text_get(&known));
    text_free(&known);
    return -EINVAL;
}

static int list_bugs(void)
{
    for (unsigned bug = 0; raft_bug_name(bug); bug++)
        puts(raft_bug_name(bug));
    return 0;
}

enum option_code {
    OPTION_ID = 256,
    OPTION_DATA,
    OPTION_PEERS,
    OPTION_BIND,
    OPTION_PORT,
    OPTION_PEER_PORT,
    OPTION_ELECTION_TIMEOUT,
    OPTION_HEARTBEAT,
    OPTION_ON_MINORITY,
    OPTION_BUG,
    OPTION_LOG_LEVEL,
    OPTION_HELP,
    OPTION_VERSION
};

static const struct option long_options[] = {
    {"id", required_argument, NULL, OPTION_ID},
    {"data", required_argument, NULL, OPTION_DATA},
    {"peers", required_argument, NULL, OPTION_PEERS},
    {"bind", required_argument, NULL, OPTION_BIND},
    {"port", required_argument, NULL, OPTION_PORT},
    {"peer-port", required_argument, NULL, OPTION_PEER_PORT},
    {"election-timeout", required_argument, NULL, OPTION_ELECTION_TIMEOUT},
    {"heartbeat", required_argument, NULL, OPTION_HEARTBEAT},
    {"on-minority", required_argument, NULL, OPTION_ON_MINORITY},
    {"bug", required_argument, NULL, OPTION_BUG},
    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

struct ports {
    int64_t client, peer; /* peer: -1 when not given */
};

static int parse_minority(const char *value, struct options *options, struct error *error)
{
    options->exit_on_minority = strcmp(value, "exit") == 0;
    if (options->exit_on_minority || strcmp(value, "refuse") == 0)
        return 0;
    return error_set_at(error, -EINVAL, "--on-minority", "'%s': write refuse or exit", value);
}

static int parse_one(int code, const char *value, struct options *options, struct ports *ports,
                     struct error *error)
{
    switch (code) {
    case OPTION_ID:
        return parse_name(value, strlen(value), options->id, "--id", error);
    case OPTION_DATA:
        options->data_directory = value;
        return 0;
    case OPTION_PEERS:
        return parse_peers(value, options, error);
    case OPTION_BIND:
        return address_parse_host(value, &options->client_address, error);
    case OPTION_PORT:
        return units_parse_integer(value, 0, 65535, "--port", &ports->client, error);
    case OPTION_PEER_PORT:
        return units_parse_integer(value, 0, 65535, "--peer-port", &ports->peer, error);
    case OPTION_ELECTION_TIMEOUT:
        return units_parse_duration(value, &options->election_timeout_ns, error);
    case OPTION_HEARTBEAT:
        return units_parse_duration(value, &options->heartbeat_ns, error);
    case OPTION_ON_MINORITY:
        return parse_minority(value, options, error);
    case OPTION_BUG:
        return parse_bug(value, options, error);
    default:
        if (log_parse_level(value, &options->log_level))
            return error_set_at(error, -EINVAL, "--log-level",
                                "'%s': write error, warn, info or debug", value);
        return 0;
    }
}

static int find_self(struct options *options, struct error *error)
{
    bool listed = false;
    for (uint8_t i = 0; i < options->node_count; i++)
        listed = listed || strcmp(options->nodes[i].name, options->id) == 0;
    if (!listed) {
        struct node_option self = {.address = options->peer_address};
        memcpy(self.name, options->id, sizeof(self.name));
        int code = add_node(options, &self, error);
        if (code)
            return code;
    }
    for (uint8_t i = 0; i < options->node_count; i++)
        if (strcmp(options->nodes[i].name, options->id) == 0)
            options->self = i;
    return 0;
}

static int check(struct options *options, const struct ports *ports, struct error *error)
{
    if (!options->id[0])
        return error_set_at(error, -EINVAL, "--id", "is needed: the name of this node");
    if (!options->data_directory || !*options->data_directory)
        return error_set_at(error, -EINVAL, "--data", "is needed: a directory for the log");
    if (options->election_timeout_ns < 10 * NS_PER_MS ||
        options->election_timeout_ns > 600 * NS_PER_S)
        return error_set_at(error, -EINVAL, "--election-timeout", "write 10ms to 600s");
    if (options->heartbeat_ns < NS_PER_MS ||
        options->heartbeat_ns > options->election_timeout_ns / 2)
        return error_set_at(error, -EINVAL, "--heartbeat",
                            "write 1ms to half of the election timeout");
    int64_t peer_port = ports->peer >= 0 ? ports->peer : ports->client ? ports->client + 10000 : 0;
    if (peer_port > 65535)
        return error_set_at(error, -EINVAL, "--peer-port",
                            "is needed: the port for clients + 10000 is above 65535");
    options->peer_address = options->client_address;
    address_set_port(&options->client_address, (uint16_t)ports->client);
    address_set_port(&options->peer_address, (uint16_t)peer_port);
    return find_self(options, error);
}

int options_parse(int argc, char **argv, struct options *options, enum options_action *action,
                  struct error *error)
{
    struct ports ports = {.client = 6379, .peer = -1};
    memset(options, 0, sizeof(*options));
    options->election_timeout_ns = 300 * NS_PER_MS;
    options->heartbeat_ns = 50 * NS_PER_MS;
    options->log_level = LOG_LEVEL_INFO;
    *action = OPTIONS_RUN;
    int code = address_parse_host("127.0.0.1", &options->client_address, error);
    optind = 0;
    opterr = 0;
    while (!code) {
        int option = getopt_long(argc, argv, ":p:", long_options, NULL);
        if (option == -1)
            break;
        if (option == '?' || option == ':')
            return error_set_at(error, -EINVAL, argv[optind - 1],
                                option == ':' ? "needs a value" : "is not an option; see --help");
        bool lists = option == OPTION_BUG && strcmp(optarg, "list") == 0;
        if (option == OPTION_HELP || option == OPTION_VERSION || lists) {
            *action = OPTIONS_SHOWED;
            if (lists)
                return list_bugs();
            fputs(option == OPTION_HELP ? usage : "raftkv " SEVER_VERSION "\n", stdout);
            return 0;
        }
        code = parse_one(option == 'p' ? OPTION_PORT : option, optarg, options, &ports, error);
    }
    if (!code && optind < argc)
        return error_set_at(error, -EINVAL, argv[optind], "is not understood; see --help");
    return code ? code : check(options, &ports, error);
}

const char *options_cluster_text(const struct options *options, char *buffer)
{
    size_t used = 0;
    buffer[0] = '\0';
    for (uint8_t i = 0; i < options->node_count; i++)
        used += (size_t)snprintf(buffer + used, CLUSTER_TEXT_MAX - used, "%s%s", i ? "," : "",
                                 options->nodes[i].name);
    return buffer;
}
