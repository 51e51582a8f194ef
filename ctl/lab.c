/* severctl lab: nodes in networks of their own, every packet through severd. */
#include "ctl/command.h"
#include "ctl/format.h"
#include "ctl/lab_exec.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/units.h"
#include "proxy/wire/lab.h"

#define CHANGE_TIMEOUT_NS (120 * NS_PER_S) /* of 128 nodes on a busy machine, or behind others */
enum {
    LISTED_MAX = 12,    /* nodes that are told one by one */
    UNHURRIED_FROM = 16 /* so many take long enough to say so */
};

/* --- up --- */

static int add_member(struct session *session, struct wire_lab_wanted *wanted, const char *name,
                      size_t length, enum ruleset_node_kind kind)
{
    if (wanted->node_count == WIRE_LAB_NODES_MAX)
        return session_usage(session, "a lab has at most %d nodes", WIRE_LAB_NODES_MAX);
    struct wire_lab_member *member = &wanted->nodes[wanted->node_count++];
    if (length == 0 || length >= sizeof(member->name))
        return session_usage(session, "'%.*s' is no name of a node", (int)length, name);
    memcpy(member->name, name, length);
    member->name[length] = '\0';
    member->kind = kind;
    return SESSION_DONE;
}

/* n1 to nCOUNT. */
static int add_numbered(struct session *session, struct wire_lab_wanted *wanted, const char *count)
{
    int64_t number = 0;
    if (units_parse_integer(count, 1, WIRE_LAB_NODES_MAX, "number of nodes", &number, NULL))
        return session_usage(session, "lab up %s: write 1 to %d nodes, or their names", count,
                             WIRE_LAB_NODES_MAX);
    int code = SESSION_DONE;
    for (int64_t i = 1; i <= number && !code; i++) {
        char name[24];
        int length = snprintf(name, sizeof(name), "n%d", (int)i);
        code = add_member(session, wanted, name, (size_t)length, RULESET_NODE_MEMBER);
    }
    return code;
}

/* --clients c1,c2 */
static int add_clients(struct session *session, struct wire_lab_wanted *wanted, const char *list)
{
    int code = SESSION_DONE;
    while (list && !code) {
        const char *end = strchrnul(list, ',');
        code = add_member(session, wanted, list, (size_t)(end - list), RULESET_NODE_CLIENT);
        list = *end ? end + 1 : NULL;
    }
    return code;
}

static int set_subnet(struct session *session, const char *text, size_t length,
                      char place[WIRE_LAB_ADDRESS_MAX])
{
    if (length >= WIRE_LAB_ADDRESS_MAX)
        return session_usage(session, "'%s' is no subnet: write such as 10.77.0.0/24", text);
    memcpy(place, text, length);
    place[length] = '\0';
    return SESSION_DONE;
}

/* --subnet6 fd01::/64, or none. */
static int set_subnet6(struct session *session, struct wire_lab_wanted *wanted, const char *text)
{
    wanted->subnet6_optional = false;
    return set_subnet(session, text, strcmp(text, "none") == 0 ? 0 : strlen(text), wanted->subnet6);
}

/* --subnet 10.1.0.0/24,fd01::/64: either, or both. */
static int set_subnets(struct session *session, struct wire_lab_wanted *wanted, const char *list)
{
    int code = SESSION_DONE;
    while (list && !code) {
        const char *end = strchrnul(list, ',');
        size_t length = (size_t)(end - list);
        bool ipv6 = memchr(list, ':', length) != NULL;
        wanted->subnet6_optional = wanted->subnet6_optional && !ipv6;
        code = set_subnet(session, list, length, ipv6 ? wanted->subnet6 : wanted->subnet);
        list = *end ? end + 1 : NULL;
    }
    return code;
}

/* With IPv6 severd refuses what is below its least, too. */
static int set_mtu(struct session *session, struct wire_lab_wanted *wanted, const char *text)
{
    int64_t mtu;
    if (units_parse_integer(text, WIRE_LAB_MTU_MIN, WIRE_LAB_MTU_MAX, "MTU", &mtu, NULL))
        return session_usage(session, "--mtu %s: write %d to %d bytes (IPv6 needs %d)", text,
                             WIRE_LAB_MTU_MIN, WIRE_LAB_MTU_MAX, WIRE_LAB_MTU_MIN_IPV6);
    wanted->mtu = (uint32_t)mtu;
    return SESSION_DONE;
}

static int read_wanted(struct session *session, const struct arguments *arguments,
                       struct wire_lab_wanted *wanted)
{
    const char *const *words = arguments->words + 2;
    size_t count = arguments->word_count - 2;
    wire_lab_wanted_init(wanted);
    if (count == 0)
        return session_usage(session, "how many nodes? write: severctl lab up 3, or lab up n1 n2");
    int code = SESSION_DONE;
    if (count == 1 && isdigit((unsigned char)words[0][0]))
        code = add_numbered(session, wanted, words[0]);
    else
        for (size_t i = 0; i < count && !code; i++)
            code = add_member(session, wanted, words[i], strlen(words[i]), RULESET_NODE_MEMBER);
    if (!code)
        code = add_clients(session, wanted, arguments->clients);
    if (!code)
        code = set_subnets(session, wanted, arguments->subnet);
    if (!code && arguments->subnet6 && !wanted->subnet6_optional)
        return session_usage(session, "--subnet names an IPv6 network, and --subnet6 another one");
    if (!code && arguments->subnet6)
        code = set_subnet6(session, wanted, arguments->subnet6);
    if (!code && arguments->mtu)
        code = set_mtu(session, wanted, arguments->mtu);
    return code;
}

static void append_node(struct text *text, json_t *nodes, size_t index)
{
    json_t *node = json_array_get(nodes, index);
    json_t *address = json_array_get(json_object_get(node, "addresses"), 0);
    text_append(text, "%s %s", format_string(node, "name"),
                json_is_string(address) ? json_string_value(address) : "");
}

static void append_nodes(struct text *text, json_t *nodes)
{
    size_t count = json_array_size(nodes);
    if (count > LISTED_MAX) {
        text_append(text, "%zu nodes, ", count);
        append_node(text, nodes, 0);
        text_append(text, " to ");
        append_node(text, nodes, count - 1);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        text_append(text, "%s", i ? ", " : "");
        append_node(text, nodes, i);
    }
}

static void print_up(struct session *session, json_t *lab, bool ipv6_wanted)
{
    json_t *nodes = json_object_get(lab, "nodes");
    const char *first = format_string(json_array_get(nodes, 0), "name"), *second = first;
    if (json_array_size(nodes) > 1)
        second = format_string(json_array_get(nodes, 1), "name");
    text_append(&session->out, "lab up: ");
    append_nodes(&session->out, nodes);
    session_end_line(session);
    if (ipv6_wanted && json_is_null(json_object_get(lab, "subnet6")))
        text_append(&session->out, "IPv4 only: severd's machine has no IPv6, or it is switched "
                                   "off\n");
    text_append(&session->out,
                "run something in a node   severctl lab exec %s -- ping %s\n"
                "cut a cable, and heal it  severctl cut %s %s; severctl heal\n"
                "end it                    severctl lab down\n",
                first, second, first, second);
}

static int lab_up(struct session *session, const struct arguments *arguments)
{
    json_t *lab = NULL;
    struct wire_lab_wanted *wanted = calloc(1, sizeof(*wanted));
    if (!wanted)
        return session_usage(session, "no memory");
    int code = read_wanted(session, arguments, wanted);
    if (!code) {
        json_t *body = wire_encode_lab_wanted(wanted);
        if (wanted->node_count >= UNHURRIED_FROM && isatty(STDERR_FILENO))
            fprintf(stderr, "making a lab of %zu nodes: some seconds\n", wanted->node_count);
        code = session_request(session, "PUT", "/v1/lab", body, &lab);
        json_decref(body);
    }
    bool ipv6_wanted = wanted->subnet6[0] != '\0';
    free(wanted);
    if (code == SESSION_UNREACHABLE) {
        char why[ERROR_MESSAGE_MAX];
        snprintf(why, sizeof(why), "%s", session->error.message);
        error_set(&session->error, session->error.code,
                  "%s. A lab lives in severd: start one in another terminal with severd, or here "
                  "with severd &",
                  why);
    }
    if (code)
        return code;
    if (session->json)
        session_print_json(session, lab);
    else
        print_up(session, lab, ipv6_wanted);
    json_decref(lab);
    return SESSION_DONE;
}

/* --- the rest --- */

static int lab_add(struct session *session, const struct arguments *arguments)
{
    struct wire_lab_member member = {0};
    json_t *node = NULL;
    if (arguments->word_count != 3 || strlen(arguments->words[2]) >= sizeof(member.name))
        return session_usage(session, "write: severctl lab add NODE [--client]");
    snprintf(member.name, sizeof(member.name), "%s", arguments->words[2]);
    member.kind = arguments->given & OPTION_CLIENT ? RULESET_NODE_CLIENT : RULESET_NODE_MEMBER;
    json_t *body = wire_encode_lab_member(&member);
    int code = session_request(session, "POST", "/v1/lab/nodes", body, &node);
    json_decref(body);
    if (code)
        return code;
    if (session->json) {
        session_print_json(session, node);
    } else {
        json_t *address = json_array_get(json_object_get(node, "addresses"), 0);
        text_append(&session->out, "node %s is in the lab, a %s at %s", member.name,
                    format_string(node, "kind"),
                    json_is_string(address) ? json_string_value(address) : "no address");
        session_end_line(session);
    }
    json_decref(node);
    return SESSION_DONE;
}

static int lab_remove(struct session *session, const struct arguments *arguments)
{
    char path[SESSION_PATH_MAX], done[SESSION_PATH_MAX];
    if (arguments->word_count != 3)
        return session_usage(session, "write: severctl lab remove NODE");
    const char *name = arguments->words[2];
    snprintf(done, sizeof(done), "node %s is out of the lab, and what ran in it has ended", name);
    return session_remove(session, session_path(path, "lab/nodes", name), name, done);
}

static int lab_down(struct session *session, const struct arguments *arguments)
{
    if (arguments->word_count != 2)
        return session_usage(session, "write: severctl lab down");
    return session_remove(session, "/v1/lab", "lab", "lab down");
}

static int remove_port(struct session *session, const char *listen)
{
    char path[SESSION_PATH_MAX], done[SESSION_PATH_MAX];
    snprintf(done, sizeof(done), "%s leads nowhere any more", listen);
    return session_remove(session, session_path(path, "lab/ports", listen), listen, done);
}

static int lab_port(struct session *session, const struct arguments *arguments)
{
    struct wire_lab_port port = {.listen = "127.0.0.1:0"};
    int64_t number;
    if (arguments->word_count != 4)
        return session_usage(session, "write: severctl lab port NODE PORT [--listen ADDRESS], or "
                                      "lab port remove ADDRESS");
    const char *node = arguments->words[2], *text = arguments->words[3];
    if (strcmp(node, "remove") == 0 && strchr(text, ':'))
        return remove_port(session, text);
    if (units_parse_integer(text, 1, UINT16_MAX, "port", &number, &session->error))
        return SESSION_USAGE;
    port.port = (uint16_t)number;
    snprintf(port.node, sizeof(port.node), "%s", node);
    if (arguments->listen)
        snprintf(port.listen, sizeof(port.listen), "%s", arguments->listen);
    json_t *body = wire_encode_lab_port(&port), *made = NULL;
    int code = session_request(session, "POST", "/v1/lab/ports", body, &made);
    json_decref(body);
    if (code)
        return code;
    if (session->json)
        session_print_json(session, made);
    else
        text_append(&session->out, "%s leads to %s port %d\n", format_string(made, "listen"), node,
                    (int)port.port);
    json_decref(made);
    return SESSION_DONE;
}

static int lab_status(struct session *session, const struct arguments *arguments)
{
    if (arguments->word_count > 2)
        return session_usage(session, "write: severctl lab status");
    return session_list(session, "/v1/lab", format_lab);
}

static int lab_connections(struct session *session, const struct arguments *arguments)
{
    if (arguments->word_count > 2)
        return session_usage(session, "write: severctl lab connections");
    return session_list(session, "/v1/lab/connections", format_lab_connections);
}

int run_lab(struct session *session, const struct arguments *arguments)
{
    static const struct {
        const char *verb;
        int (*run)(struct session *session, const struct arguments *arguments);
        uint64_t options;
        bool changes; /* the lab: that may take */
    } verbs[] = {
        {"up", lab_up, OPTION_CLIENTS | OPTION_SUBNET | OPTION_SUBNET6 | OPTION_MTU, true},
        {"add", lab_add, OPTION_CLIENT, true},
        {"remove", lab_remove, 0, true},
        {"exec", lab_exec, OPTION_ANYWAY, false},
        {"port", lab_port, OPTION_LISTEN, true},
        {"status", lab_status, 0, false},
        {"connections", lab_connections, 0, false},
        {"down", lab_down, 0, true},
    };
    const char *verb = arguments->word_count > 1 ? arguments->words[1] : "status";
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        char name[32];
        if (strcmp(verbs[i].verb, verb) != 0)
            continue;
        snprintf(name, sizeof(name), "lab %s", verb);
        if (arguments_check_options(arguments, verbs[i].options | OPTION_COMMON, name,
                                    &session->error))
            return SESSION_USAGE;
        if (arguments->rest && verbs[i].run != lab_exec)
            return session_usage(session, "lab %s runs no command: only lab exec does", verb);
        if (verbs[i].changes)
            wire_client_set_timeout(session->client, CHANGE_TIMEOUT_NS);
        return verbs[i].run(session, arguments);
    }
    return session_usage(session,
                         "'lab %s' is nothing: write lab up, add, remove, exec, port, status, "
                         "connections or down",
                         verb);
}
