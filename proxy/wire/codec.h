/* The ruleset vocabulary as JSON (shapes: proxy/doc/API.md), both ways.
 *
 * Decoders take one jansson value, refuse unknown keys, wrong types and out-of-range numbers with a
 * place such as "faults[2].delay_ns", and leave *out untouched on failure. They check shape only;
 * ruleset_check judges the whole. Encoders return a new reference. */
#ifndef SEVER_WIRE_CODEC_H
#define SEVER_WIRE_CODEC_H

#include <jansson.h>

#include "proxy/base/error.h"
#include "proxy/fault/ruleset.h"

enum { WIRE_BODY_MAX = 8 * 1024 * 1024, WIRE_DEPTH_MAX = 16 };

/* Parses a body: one JSON object, duplicate keys refused, place "line 3, column 7". NULL with
 * *error
 * (-EINVAL, -E2BIG) otherwise. */
json_t *wire_parse_object(const char *body, size_t length, struct error *error);

json_t *wire_encode_ruleset(const struct ruleset *ruleset);
json_t *wire_encode_node(const struct ruleset_node *node);
json_t *wire_encode_route(const struct ruleset_route *route);
json_t *wire_encode_partition(const struct ruleset_partition *partition);
json_t *wire_encode_fault(const struct ruleset_fault *fault);
json_t *wire_encode_clock(const struct ruleset_clock *clock);

/* out: overwritten on success (caller frees with ruleset_free). */
int wire_decode_ruleset(json_t *json, struct ruleset *out, struct error *error);
int wire_decode_node(json_t *json, struct ruleset_node *out, struct error *error);
int wire_decode_route(json_t *json, struct ruleset_route *out, struct error *error);
/* base: the fault whose values stand where the JSON is silent (PATCH), or NULL for a new one. */
int wire_decode_fault(json_t *json, const struct ruleset_fault *base, struct ruleset_fault *out,
                      struct error *error);
/* A POST /partitions body in any of its three forms, expanded to links. ruleset: for the groups.
 * On success the caller frees out->links. */
int wire_decode_partition(json_t *json, const struct ruleset *ruleset,
                          struct ruleset_partition *out, struct error *error);
int wire_decode_clock(json_t *json, const char *node, struct ruleset_clock *out,
                      struct error *error);

#endif
