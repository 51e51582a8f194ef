/* The ruleset vocabulary as JSON (shapes: proxy/doc/API.md), both ways.
 *
 * Decoders take one jansson value, refuse unknown keys, wrong types and out-of-range numbers with a
 * place such as "faults[2].delay_ns", and leave *out untouched on failure. They check shape only;
 * ruleset_check judges the whole. What the API adds when it reports a thing (a route's "listening",
 * a fault's "touched" and "applied", a partition's "mechanism", a clock's "page", a table's
 * "used_by") is ignored, so that what was read can be written back. null stands for an absent key.
 *
 * Encoders take values that ruleset_check accepts and return a new reference; like all
 * control-plane code they abort when memory is out. */
#ifndef SEVER_WIRE_CODEC_H
#define SEVER_WIRE_CODEC_H

#include <jansson.h>

#include "proxy/base/error.h"
#include "proxy/base/text.h"
#include "proxy/fault/ruleset.h"

/* How JSON goes on the wire: nine digits are what a probability has, and 17 would show 0.05 as
 * 0.050000000000000003. */
#define WIRE_DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(9))

/* The highest version that is read: counting on from there never leaves JSON's integers. */
#define WIRE_VERSION_MAX (UINT64_C(1) << 62)

enum {
    WIRE_BODY_MAX = 8 * 1024 * 1024,
    WIRE_DEPTH_MAX = 16,
    WIRE_CONTAINERS_MAX = 1 << 17 /* objects and arrays; a ruleset has less than a third */
};

/* Parses a body: one JSON object, duplicate keys refused, place "line 3, column 7". NULL with
 * *error (-EINVAL; -E2BIG above WIRE_BODY_MAX bytes or WIRE_CONTAINERS_MAX) otherwise. */
json_t *wire_parse_object(const char *body, size_t length, struct error *error);
/* Whether a text, which need not be JSON, has more than WIRE_CONTAINERS_MAX: parsing it could take
 * gigabytes. */
bool wire_has_too_many(const char *json, size_t length);

json_t *wire_encode_ruleset(const struct ruleset *ruleset);
json_t *wire_encode_node(const struct ruleset_node *node);
json_t *wire_encode_route(const struct ruleset_route *route);
json_t *wire_encode_partition(const struct ruleset_partition *partition);
/* That, with its "mechanism" (whose reference it takes), as it goes on the wire: a split of many
 * nodes has thousands of links, and this is about ten times as fast. */
void wire_print_partition(const struct ruleset_partition *partition, json_t *mechanism,
                          struct text *out);
json_t *wire_encode_fault(const struct ruleset_fault *fault);
json_t *wire_encode_clock(const struct ruleset_clock *clock);
json_t *wire_encode_table(const struct ruleset_table *table);

/* All decoders: 0, or -EINVAL with place and message. */

/* out: overwritten on success (caller frees with ruleset_free). A version is at most
 * WIRE_VERSION_MAX. Faults and partitions need a name;
 * partitions are given as links. */
int wire_decode_ruleset(json_t *json, struct ruleset *out, struct error *error);
int wire_decode_node(json_t *json, struct ruleset_node *out, struct error *error);
int wire_decode_route(json_t *json, struct ruleset_route *out, struct error *error);
/* A PATCH body: "upstream" and "enabled" may be other than in *route, all else must be the same;
 * what is absent stays as it is. */
int wire_decode_route_patch(json_t *json, struct ruleset_route *route, struct error *error);
/* base: the fault whose values stand where the JSON is silent (PATCH; its name, type and target
 * can't change), or NULL for a new one, whose name is "" when the JSON has none. */
int wire_decode_fault(json_t *json, const struct ruleset_fault *base, struct ruleset_fault *out,
                      struct error *error);
/* A POST /partitions body in any of its three forms, expanded to links; the name is "" when the
 * JSON has none. ruleset: the nodes for "groups" and "isolate"; NULL allows "links" only. On
 * success the caller frees it. */
int wire_decode_partition(json_t *json, const struct ruleset *ruleset,
                          struct ruleset_partition *out, struct error *error);
/* node: whose clock it is; a "node" in the JSON must then be the same. NULL: the JSON says. */
int wire_decode_clock(json_t *json, const char *node, struct ruleset_clock *out,
                      struct error *error);
/* out->values is the caller's to free. */
int wire_decode_table(json_t *json, struct ruleset_table *out, struct error *error);

#endif
