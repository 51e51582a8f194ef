/* Labs as JSON. */
#include "proxy/wire/lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/text.h"
#include "proxy/wire/reader.h"

enum { MTU_DEFAULT = 1500 };

static const char *const none[] = {NULL};

void wire_lab_wanted_init(struct wire_lab_wanted *wanted)
{
    *wanted = (struct wire_lab_wanted){.subnet = "10.77.0.0/24",
                                       .subnet6 = "fd77::/64",
                                       .subnet6_optional = true,
                                       .mtu = MTU_DEFAULT};
}

const struct wire_lab_node *wire_lab_find_node(const struct wire_lab *lab, const char *name)
{
    for (size_t i = 0; i < lab->node_count; i++)
        if (strcmp(lab->nodes[i].name, name) == 0)
            return &lab->nodes[i];
    return NULL;
}

/* --- reading --- */

static int parse_kind(const char *text, int *value, struct error *error)
{
    enum ruleset_node_kind kind;
    int code = ruleset_parse_node_kind(text, &kind, error);
    if (code == 0)
        *value = (int)kind;
    return code;
}

/* An unsigned number up to max. */
static void read_number(struct reader *reader, const char *key, bool required, uint64_t max,
                        uint64_t *value)
{
    uint64_t number = *value;
    reader_unsigned(reader, key, required, &number);
    if (reader->code == 0 && number > max)
        reader_fail(reader, key, "a number of at most %llu is wanted here, not %llu",
                    (unsigned long long)max, (unsigned long long)number);
    *value = number;
}

/* What severd answers: any key may be there. */
static void open_answer(struct reader *reader, json_t *json, struct error *error)
{
    *reader = (struct reader){.object = json, .error = error};
    if (!json_is_object(json))
        reader_fail(reader, "", "an object is wanted here, not %s", reader_type_name(json));
}

int wire_decode_lab_member(json_t *json, struct wire_lab_member *out, struct error *error)
{
    static const char *const keys[] = {"name", "kind", NULL};
    struct wire_lab_member member = {0};
    struct error ignored = {0};
    struct reader reader;
    int kind = RULESET_NODE_MEMBER;
    if (json_is_string(json)) {
        int code = reader_copy_text(json, "", member.name, sizeof(member.name), error);
        if (code == 0)
            *out = member;
        return code;
    }
    reader_open(&reader, json, keys, none, error ? error : &ignored);
    reader_text(&reader, "name", true, member.name, sizeof(member.name));
    reader_enum(&reader, "kind", false, parse_kind, &kind);
    member.kind = (enum ruleset_node_kind)kind;
    if (reader.code == 0)
        *out = member;
    return reader.code;
}

static void read_members(struct reader *reader, struct wire_lab_wanted *wanted)
{
    json_t *nodes = reader_array(reader, "nodes");
    if (json_array_size(nodes) == 0)
        reader_fail(reader, "nodes", "a lab has at least one node");
    if (json_array_size(nodes) > WIRE_LAB_NODES_MAX)
        reader_fail(reader, "nodes", "a lab has at most %d nodes", WIRE_LAB_NODES_MAX);
    for (size_t i = 0; reader->code == 0 && i < json_array_size(nodes); i++) {
        char place[ERROR_PLACE_MAX];
        snprintf(place, sizeof(place), "nodes[%zu]", i);
        reader->code =
            wire_decode_lab_member(json_array_get(nodes, i), &wanted->nodes[i], reader->error);
        if (reader->code < 0)
            error_prefix_place(reader->error, place);
        wanted->node_count = i + 1;
    }
}

/* null is none, too. */
static void read_subnet6(struct reader *reader, struct wire_lab_wanted *wanted)
{
    const json_t *value = json_object_get(reader->object, "subnet6");
    wanted->subnet6_optional = value == NULL;
    if (json_is_null(value))
        wanted->subnet6[0] = '\0';
    reader_text(reader, "subnet6", false, wanted->subnet6, sizeof(wanted->subnet6));
}

int wire_decode_lab_wanted(json_t *json, struct wire_lab_wanted *out, struct error *error)
{
    static const char *const keys[] = {"nodes", "subnet", "subnet6", "mtu", "ring_bytes", NULL};
    struct wire_lab_wanted wanted;
    struct error ignored = {0};
    struct reader reader;
    uint64_t mtu = MTU_DEFAULT;
    wire_lab_wanted_init(&wanted);
    reader_open(&reader, json, keys, none, error ? error : &ignored);
    read_members(&reader, &wanted);
    reader_text(&reader, "subnet", false, wanted.subnet, sizeof(wanted.subnet));
    read_subnet6(&reader, &wanted);
    read_number(&reader, "mtu", false, UINT32_MAX, &mtu);
    reader_unsigned(&reader, "ring_bytes", false, &wanted.ring_bytes);
    wanted.mtu = (uint32_t)mtu;
    if (reader.code == 0)
        *out = wanted;
    return reader.code;
}

static void read_port(struct reader *reader, struct wire_lab_port *port)
{
    uint64_t number = 0;
    reader_text(reader, "listen", false, port->listen, sizeof(port->listen));
    reader_text(reader, "node", true, port->node, sizeof(port->node));
    read_number(reader, "port", true, UINT16_MAX, &number);
    if (number == 0)
        reader_fail(reader, "port", "a port is 1 to %d", UINT16_MAX);
    port->port = (uint16_t)number;
}

int wire_decode_lab_port(json_t *json, struct wire_lab_port *out, struct error *error)
{
    static const char *const keys[] = {"listen", "node", "port", NULL};
    struct wire_lab_port port = {.listen = "127.0.0.1:0"};
    struct error ignored = {0};
    struct reader reader;
    reader_open(&reader, json, keys, none, error ? error : &ignored);
    read_port(&reader, &port);
    if (reader.code == 0)
        *out = port;
    return reader.code;
}

static void read_addresses(struct reader *reader, struct wire_lab_node *node)
{
    json_t *addresses = reader_array(reader, "addresses");
    if (json_array_size(addresses) > WIRE_LAB_ADDRESSES_MAX)
        reader_fail(reader, "addresses", "a node of a lab has at most %d addresses",
                    WIRE_LAB_ADDRESSES_MAX);
    for (size_t i = 0; reader->code == 0 && i < json_array_size(addresses); i++) {
        reader->code = reader_copy_text(json_array_get(addresses, i), "addresses",
                                        node->addresses[i], WIRE_LAB_ADDRESS_MAX, reader->error);
        node->address_count = i + 1;
    }
}

int wire_decode_lab_node(json_t *json, struct wire_lab_node *out, struct error *error)
{
    struct wire_lab_node node = {.running = true};
    struct error ignored = {0};
    struct reader reader;
    int kind = RULESET_NODE_MEMBER;
    uint64_t number = 0, pid = 0;
    open_answer(&reader, json, error ? error : &ignored);
    reader_text(&reader, "name", true, node.name, sizeof(node.name));
    reader_enum(&reader, "kind", false, parse_kind, &kind);
    read_number(&reader, "number", false, UINT32_MAX, &number);
    read_number(&reader, "pid", true, INT32_MAX, &pid);
    reader_text(&reader, "mac", false, node.mac, sizeof(node.mac));
    read_addresses(&reader, &node);
    reader_bool(&reader, "running", &node.running);
    reader_unsigned(&reader, "lost", false, &node.lost);
    if (reader.code < 0)
        return reader.code;
    node.kind = (enum ruleset_node_kind)kind;
    node.number = (unsigned)number;
    node.pid = (pid_t)pid;
    *out = node;
    return 0;
}

static void read_nodes(struct reader *reader, struct wire_lab *lab)
{
    json_t *nodes = reader_array(reader, "nodes");
    if (json_array_size(nodes) > WIRE_LAB_NODES_MAX)
        reader_fail(reader, "nodes", "a lab has at most %d nodes", WIRE_LAB_NODES_MAX);
    for (size_t i = 0; reader->code == 0 && i < json_array_size(nodes); i++) {
        reader->code = wire_decode_lab_node(json_array_get(nodes, i),
                                            &lab->nodes[lab->node_count++], reader->error);
        if (reader->code < 0)
            error_prefix_place(reader->error, "nodes");
    }
}

static void read_ports(struct reader *reader, struct wire_lab *lab)
{
    json_t *ports = reader_array(reader, "ports");
    if (json_array_size(ports) > WIRE_LAB_PORTS_MAX)
        reader_fail(reader, "ports", "a lab has at most %d ports", WIRE_LAB_PORTS_MAX);
    for (size_t i = 0; reader->code == 0 && i < json_array_size(ports); i++) {
        struct reader port;
        open_answer(&port, json_array_get(ports, i), reader->error);
        read_port(&port, &lab->ports[lab->port_count++]);
        reader->code = port.code;
        if (port.code < 0)
            error_prefix_place(reader->error, "ports");
    }
}

int wire_decode_lab(json_t *json, struct wire_lab *out, struct error *error)
{
    struct wire_lab *lab = memory_allocate_zeroed(1, sizeof(*lab));
    struct error ignored = {0};
    struct reader reader;
    uint64_t keeper = 0, mtu = 0;
    open_answer(&reader, json, error ? error : &ignored);
    reader_bool(&reader, "up", &lab->up);
    reader_bool(&reader, "user_namespace", &lab->user_namespace);
    read_number(&reader, "keeper", false, INT32_MAX, &keeper);
    reader_text(&reader, "subnet", false, lab->subnet, sizeof(lab->subnet));
    reader_text(&reader, "subnet6", false, lab->subnet6, sizeof(lab->subnet6));
    read_number(&reader, "mtu", false, UINT32_MAX, &mtu);
    read_nodes(&reader, lab);
    read_ports(&reader, lab);
    lab->keeper = (pid_t)keeper;
    lab->mtu = (uint32_t)mtu;
    if (reader.code == 0)
        *out = *lab;
    free(lab);
    return reader.code;
}

/* --- writing --- */

static json_t *must(json_t *json)
{
    return memory_must(json);
}

static json_t *count(uint64_t value)
{
    return must(json_integer((json_int_t)(value > INT64_MAX ? INT64_MAX : value)));
}

json_t *wire_encode_lab_member(const struct wire_lab_member *member)
{
    return must(json_pack("{s:s, s:s}", "name", member->name, "kind",
                          ruleset_node_kind_name(member->kind)));
}

static json_t *encode_subnet6(const char *subnet6)
{
    return must(subnet6[0] ? json_string(subnet6) : json_null());
}

json_t *wire_encode_lab_wanted(const struct wire_lab_wanted *wanted)
{
    json_t *nodes = must(json_array());
    for (size_t i = 0; i < wanted->node_count; i++)
        json_array_append_new(nodes, wire_encode_lab_member(&wanted->nodes[i]));
    json_t *json = must(json_pack("{s:o, s:s}", "nodes", nodes, "subnet", wanted->subnet));
    if (!wanted->subnet6_optional)
        json_object_set_new(json, "subnet6", encode_subnet6(wanted->subnet6));
    json_object_set_new(json, "mtu", count(wanted->mtu));
    json_object_set_new(json, "ring_bytes", count(wanted->ring_bytes));
    return json;
}

json_t *wire_encode_lab_port(const struct wire_lab_port *port)
{
    return must(json_pack("{s:s, s:s, s:i}", "listen", port->listen, "node", port->node, "port",
                          (int)port->port));
}

json_t *wire_encode_lab_node(const struct wire_lab_node *node)
{
    json_t *addresses = must(json_array());
    for (size_t i = 0; i < node->address_count; i++)
        json_array_append_new(addresses, must(json_string(node->addresses[i])));
    return must(json_pack("{s:s, s:s, s:o, s:o, s:s, s:o, s:b, s:o}", "name", node->name, "kind",
                          ruleset_node_kind_name(node->kind), "number", count(node->number), "pid",
                          count((uint64_t)node->pid), "mac", node->mac, "addresses", addresses,
                          "running", (int)node->running, "lost", count(node->lost)));
}

json_t *wire_encode_lab(const struct wire_lab *lab)
{
    if (!lab->up)
        return must(json_pack("{s:b}", "up", 0));
    json_t *nodes = must(json_array()), *ports = must(json_array());
    for (size_t i = 0; i < lab->node_count; i++)
        json_array_append_new(nodes, wire_encode_lab_node(&lab->nodes[i]));
    for (size_t i = 0; i < lab->port_count; i++)
        json_array_append_new(ports, wire_encode_lab_port(&lab->ports[i]));
    return must(json_pack("{s:b, s:b, s:o, s:s, s:o, s:o, s:o, s:o}", "up", 1, "user_namespace",
                          (int)lab->user_namespace, "keeper", count((uint64_t)lab->keeper),
                          "subnet", lab->subnet, "subnet6", encode_subnet6(lab->subnet6), "mtu",
                          count(lab->mtu), "nodes", nodes, "ports", ports));
}

json_t *wire_encode_lab_connection(const struct wire_lab_connection *connection)
{
    static const char *const cuts[] = {"none", "out", "in", "both"};
    json_t *to = connection->to[0] ? json_string(connection->to) : json_null();
    return must(json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:o}", "node", connection->node, "local",
                          connection->local, "remote", connection->remote, "to", must(to), "state",
                          connection->state, "cut", cuts[connection->cut], "retransmits",
                          count(connection->retransmits)));
}
