/* A lab (proxy/lab) as the control API speaks of it, as plain values, and as JSON both ways
 * (shapes: proxy/doc/API.md). For severd, severctl and sever. Zero-initialised is no lab.
 *
 * What is asked for is read strictly: unknown keys and wrong types are refused with a place such as
 * "nodes[2].kind". What severd answers is read leniently: keys that are not known are skipped, so
 * that a newer severd can be spoken to. Decoders leave *out untouched on failure. Encoders return a
 * new reference and abort when memory is out. */
#ifndef SEVER_WIRE_LAB_H
#define SEVER_WIRE_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "proxy/base/error.h"
#include "proxy/fault/ruleset.h"

enum {
    WIRE_LAB_NODES_MAX = RULESET_NODES_MAX,
    WIRE_LAB_PORTS_MAX = 64,
    WIRE_LAB_ADDRESSES_MAX = 2,
    WIRE_LAB_ADDRESS_MAX = 64, /* an address, or a subnet, with the NUL */
    WIRE_LAB_LISTEN_MAX = 128,
    WIRE_LAB_MAC_MAX = 18,
    WIRE_LAB_CONNECTIONS_MAX = 4096,
    WIRE_LAB_MTU_MIN = 576, /* without IPv6 */
    WIRE_LAB_MTU_MIN_IPV6 = 1280,
    WIRE_LAB_MTU_MAX = 65535,
};

/* A node that is asked for. */
struct wire_lab_member {
    char name[RULESET_NAME_MAX];
    enum ruleset_node_kind kind;
};

/* PUT /v1/lab. */
struct wire_lab_wanted {
    struct wire_lab_member nodes[WIRE_LAB_NODES_MAX];
    size_t node_count;
    char subnet[WIRE_LAB_ADDRESS_MAX], subnet6[WIRE_LAB_ADDRESS_MAX]; /* subnet6 "": no IPv6 */
    bool subnet6_optional; /* nothing was said of it: no IPv6 where the machine has none */
    uint32_t mtu;
    uint64_t ring_bytes; /* 0: the default */
};
/* What stands where nothing is said; without nodes. */
void wire_lab_wanted_init(struct wire_lab_wanted *wanted);

struct wire_lab_node {
    char name[RULESET_NAME_MAX];
    enum ruleset_node_kind kind;
    unsigned number;
    pid_t pid; /* for lab_entry.h */
    char mac[WIRE_LAB_MAC_MAX];
    char addresses[WIRE_LAB_ADDRESSES_MAX][WIRE_LAB_ADDRESS_MAX];
    size_t address_count;
    bool running;  /* false: it has ended unasked, and with it all that ran there */
    uint64_t lost; /* packets of its own that the kernel found no room for */
};

/* A port of the host that leads to a node's. */
struct wire_lab_port {
    char listen[WIRE_LAB_LISTEN_MAX]; /* "127.0.0.1:12379"; asked for with port 0: any */
    char node[RULESET_NAME_MAX];
    uint16_t port;
};

/* GET /v1/lab. */
struct wire_lab {
    bool up;
    bool user_namespace;
    pid_t keeper;
    char subnet[WIRE_LAB_ADDRESS_MAX], subnet6[WIRE_LAB_ADDRESS_MAX]; /* subnet6 "": no IPv6 */
    uint32_t mtu;
    struct wire_lab_node nodes[WIRE_LAB_NODES_MAX];
    size_t node_count;
    struct wire_lab_port ports[WIRE_LAB_PORTS_MAX];
    size_t port_count;
};

/* A TCP connection as one of the nodes has it. */
enum wire_lab_cut { WIRE_LAB_CUT_NONE, WIRE_LAB_CUT_OUT, WIRE_LAB_CUT_IN, WIRE_LAB_CUT_BOTH };
struct wire_lab_connection {
    char node[RULESET_NAME_MAX];
    char local[WIRE_LAB_LISTEN_MAX], remote[WIRE_LAB_LISTEN_MAX];
    char to[RULESET_NAME_MAX]; /* whose address the remote one is; "": no node's */
    const char *state;         /* "established", "syn-sent", ...; static */
    enum wire_lab_cut cut;     /* of the links between the two */
    uint64_t retransmits;      /* of segments, ever */
};

/* NULL when there is none; valid as long as *lab. */
const struct wire_lab_node *wire_lab_find_node(const struct wire_lab *lab, const char *name);

/* What is asked for. A node may be written as its name alone: then it is a member. */
int wire_decode_lab_wanted(json_t *json, struct wire_lab_wanted *out, struct error *error);
int wire_decode_lab_member(json_t *json, struct wire_lab_member *out, struct error *error);
int wire_decode_lab_port(json_t *json, struct wire_lab_port *out, struct error *error);
json_t *wire_encode_lab_wanted(const struct wire_lab_wanted *wanted);
json_t *wire_encode_lab_member(const struct wire_lab_member *member);
json_t *wire_encode_lab_port(const struct wire_lab_port *port);

/* What is answered. */
int wire_decode_lab(json_t *json, struct wire_lab *out, struct error *error);
int wire_decode_lab_node(json_t *json, struct wire_lab_node *out, struct error *error);
json_t *wire_encode_lab(const struct wire_lab *lab);
json_t *wire_encode_lab_node(const struct wire_lab_node *node);
json_t *wire_encode_lab_connection(const struct wire_lab_connection *connection);

#endif
