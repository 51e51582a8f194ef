/* Toxics: what their attributes mean, as one table that decoding and encoding read.
 *
 * Theory of operation. Every attribute is a whole number in the client's unit, which a factor makes
 * that of the ruleset. A fault that came in by the native API is shown as a toxic only when the
 * table can say all of it: a toxic made anew from what would be shown has to be the same fault. */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proxy/api/toxiproxy.h"
#include "proxy/api/toxiproxy_fields.h"
#include "proxy/wire/codec.h"

enum { ATTRIBUTES_MAX = 3, STREAM_MAX = 32 };

#define MILLISECOND UINT64_C(1000000)
#define MICROSECOND UINT64_C(1000)
#define KILOBYTE UINT64_C(1000)

struct attribute {
    const char *key; /* NULL: no more */
    size_t offset;   /* of a uint64_t in struct ruleset_fault */
    uint64_t factor, maximum;
};

#define MS(key, field)                                                                             \
    {                                                                                              \
        key, offsetof(struct ruleset_fault, field), MILLISECOND,                                   \
            RULESET_DELAY_NS_MAX / MILLISECOND                                                     \
    }
#define BYTES(key, field, maximum)                                                                 \
    {                                                                                              \
        key, offsetof(struct ruleset_fault, field), 1, maximum                                     \
    }

static const struct kind {
    const char *name;
    enum ruleset_fault_type type;
    struct attribute attributes[ATTRIBUTES_MAX];
} kinds[] = {
    {"latency",
     RULESET_LATENCY,
     {MS("latency", latency.delay_ns), MS("jitter", latency.jitter_ns)}},
    {"bandwidth",
     RULESET_RATE,
     {{"rate", offsetof(struct ruleset_fault, rate.bytes_per_s), KILOBYTE,
       RULESET_RATE_MAX / KILOBYTE}}},
    {"slow_close", RULESET_SLOW_CLOSE, {MS("delay", slow_close.delay_ns)}},
    {"timeout", RULESET_TIMEOUT, {MS("timeout", timeout.timeout_ns)}},
    {"reset_peer", RULESET_RESET_PEER, {MS("timeout", reset_peer.timeout_ns)}},
    {"slicer",
     RULESET_SLICER,
     {BYTES("average_size", slicer.average_bytes, RULESET_PIECE_MAX),
      BYTES("size_variation", slicer.variation_bytes, RULESET_PIECE_MAX),
      {"delay", offsetof(struct ruleset_fault, slicer.delay_ns), MICROSECOND,
       RULESET_DELAY_NS_MAX / MICROSECOND}}},
    {"limit_data", RULESET_LIMIT_DATA, {BYTES("bytes", limit_data.bytes, RULESET_LIMIT_MAX)}},
    {"noop", RULESET_NOOP, {{NULL, 0, 0, 0}}},
};

static const struct kind *find_kind(const char *name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

static const struct kind *kind_of(enum ruleset_fault_type type)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].type == type)
            return &kinds[i];
    return NULL;
}

static bool is_there(const struct kind *kind, size_t index)
{
    return index < ATTRIBUTES_MAX && kind->attributes[index].key;
}

static uint64_t get(const struct ruleset_fault *fault, const struct attribute *attribute)
{
    uint64_t value;
    memcpy(&value, (const char *)fault + attribute->offset, sizeof(value));
    return value / attribute->factor;
}

static void set(struct ruleset_fault *fault, const struct attribute *attribute, uint64_t value)
{
    value *= attribute->factor;
    memcpy((char *)fault + attribute->offset, &value, sizeof(value));
}

/* --- decoding --- */

static int read_attribute(const json_t *attributes, const struct attribute *attribute,
                          struct ruleset_fault *toxic, struct error *error)
{
    const json_t *json = toxiproxy_field(attributes, attribute->key);
    if (!json)
        return 0;
    if (!json_is_integer(json))
        return toxiproxy_wrong_type(json, attribute->key, "a whole number", error);
    json_int_t value = json_integer_value(json);
    if (value < 0 || (uint64_t)value > attribute->maximum)
        return error_set(error, -EINVAL, "%s is 0 to %llu, not %lld", attribute->key,
                         (unsigned long long)attribute->maximum, (long long)value);
    set(toxic, attribute, (uint64_t)value);
    return 0;
}

static int read_attributes(const json_t *json, const struct kind *kind, struct ruleset_fault *toxic,
                           struct error *error)
{
    const json_t *attributes = toxiproxy_field(json, "attributes");
    int code = 0;
    if (attributes && !json_is_object(attributes))
        return toxiproxy_wrong_type(attributes, "attributes", "an object", error);
    for (size_t i = 0; attributes && code == 0 && is_there(kind, i); i++)
        code = read_attribute(attributes, &kind->attributes[i], toxic, error);
    return code;
}

static int read_toxicity(const json_t *json, struct ruleset_fault *toxic, struct error *error)
{
    const json_t *value = toxiproxy_field(json, "toxicity");
    if (!value)
        return 0;
    if (!json_is_number(value))
        return toxiproxy_wrong_type(value, "toxicity", "a number", error);
    double toxicity = fmin(fmax(json_number_value(value), 0), 1);
    toxic->spared_ppb =
        RULESET_PROBABILITY_MAX - (uint32_t)lround(toxicity * RULESET_PROBABILITY_MAX);
    return 0;
}

static int set_stream(const char *stream, struct ruleset_fault *toxic, struct error *error)
{
    if (strcasecmp(stream, "upstream") == 0)
        toxic->direction = RULESET_UPSTREAM;
    else if (strcasecmp(stream, "downstream") == 0)
        toxic->direction = RULESET_DOWNSTREAM;
    else
        return error_set(error, -EINVAL,
                         "stream was invalid, can be either upstream or downstream");
    return 0;
}

/* "PROXY/TOXIC" into the fault's name. */
static int set_name(const char *proxy, const char *name, struct ruleset_fault *toxic,
                    struct error *error)
{
    size_t length = strlen(proxy) + 1 + strlen(name);
    if (length >= sizeof(toxic->name))
        return error_set(error, -EINVAL,
                         "names of a proxy and its toxic have at most %zu bytes together",
                         sizeof(toxic->name) - 2);
    snprintf(toxic->name, sizeof(toxic->name), "%s/%s", proxy, name);
    snprintf(toxic->route, sizeof(toxic->route), "%s", proxy);
    return 0;
}

int toxiproxy_decode_toxic(const json_t *json, const char *proxy, struct ruleset_fault *toxic,
                           struct error *error)
{
    char name[RULESET_FAULT_NAME_MAX] = "", type[RULESET_NAME_MAX] = "";
    char stream[STREAM_MAX] = "downstream", standard[RULESET_NAME_MAX + STREAM_MAX];
    int code;
    *toxic = (struct ruleset_fault){0};
    if (!json_is_object(json) && !json_is_null(json))
        return toxiproxy_wrong_type(json, "", "an object", error);
    if ((code = toxiproxy_read_text(json, "name", name, sizeof(name), error)) ||
        (code = toxiproxy_read_text(json, "type", type, sizeof(type), error)) ||
        (code = toxiproxy_read_text(json, "stream", stream, sizeof(stream), error)) ||
        (code = read_toxicity(json, toxic, error)) || (code = set_stream(stream, toxic, error)))
        return code;
    const struct kind *kind = find_kind(type);
    if (!kind)
        return error_set(error, -EINVAL, "invalid toxic type");
    toxic->type = kind->type;
    snprintf(standard, sizeof(standard), "%s_%s", type, stream);
    code = set_name(proxy, name[0] ? name : standard, toxic, error);
    return code < 0 ? code : read_attributes(json, kind, toxic, error);
}

int toxiproxy_update_toxic(const json_t *json, struct ruleset_fault *toxic, struct error *error)
{
    const struct kind *kind = kind_of(toxic->type);
    assert(kind);
    if (!json_is_object(json) && !json_is_null(json))
        return toxiproxy_wrong_type(json, "", "an object", error);
    int code = read_toxicity(json, toxic, error);
    return code < 0 ? code : read_attributes(json, kind, toxic, error);
}

/* --- encoding --- */

/* The toxic's own name inside the fault's; NULL when that does not begin with the route's. */
static const char *own_name(const struct ruleset_fault *fault)
{
    size_t length = strlen(fault->route);
    if (strncmp(fault->name, fault->route, length) != 0 || fault->name[length] != '/' ||
        fault->name[length + 1] == '\0')
        return NULL;
    return fault->name + length + 1;
}

bool toxiproxy_is_toxic(const struct ruleset_fault *fault)
{
    const struct kind *kind = kind_of(fault->type);
    struct ruleset_fault again = {
        .type = fault->type, .direction = fault->direction, .spared_ppb = fault->spared_ppb};
    if (!kind || !fault->route[0] || !own_name(fault) || fault->direction == RULESET_BOTH)
        return false;
    snprintf(again.route, sizeof(again.route), "%s", fault->route);
    for (size_t i = 0; is_there(kind, i); i++)
        set(&again, &kind->attributes[i], get(fault, &kind->attributes[i]));
    return ruleset_same_fault(&again, fault);
}

const char *toxiproxy_name_of(const struct ruleset_fault *fault)
{
    return toxiproxy_is_toxic(fault) ? own_name(fault) : fault->name;
}

/* As the shortest number that a float of 32 bits reads back as the same; whole ones as such. */
static json_t *encode_toxicity(uint32_t spared_ppb)
{
    char text[32];
    float value = (float)((double)(RULESET_PROBABILITY_MAX - spared_ppb) / RULESET_PROBABILITY_MAX);
    int digits = 1;
    if (spared_ppb == 0 || spared_ppb == RULESET_PROBABILITY_MAX)
        return json_integer(spared_ppb == 0);
    do
        snprintf(text, sizeof(text), "%.*g", digits++, (double)value);
    while (digits <= 9 && strtof(text, NULL) != value);
    return json_real(strtod(text, NULL));
}

/* What the native API says of the fault, less what a toxic has a field of its own for. */
static json_t *encode_native(const struct ruleset_fault *fault)
{
    static const char *const told[] = {"name",      "type",     "route",  "link",
                                       "direction", "toxicity", "set_by", "set_at_ns"};
    json_t *json = wire_encode_fault(fault);
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
        json_object_del(json, told[i]);
    return json;
}

static json_t *encode_attributes(const struct ruleset_fault *fault, const struct kind *kind)
{
    json_t *attributes = json_object();
    for (size_t i = 0; is_there(kind, i); i++)
        json_object_set_new(attributes, kind->attributes[i].key,
                            json_integer((json_int_t)get(fault, &kind->attributes[i])));
    return attributes;
}

json_t *toxiproxy_encode_toxic(const struct ruleset_fault *fault)
{
    bool toxic = toxiproxy_is_toxic(fault);
    const struct kind *kind = kind_of(fault->type);
    json_t *json = json_pack("{s:o, s:s, s:s, s:s, s:o}", "attributes",
                             toxic ? encode_attributes(fault, kind) : encode_native(fault), "name",
                             toxiproxy_name_of(fault), "type",
                             toxic ? kind->name : ruleset_fault_type_name(fault->type), "stream",
                             ruleset_direction_name(fault->direction), "toxicity",
                             encode_toxicity(fault->spared_ppb));
    assert(json);
    return json;
}

/* In which order streams are told. */
static const enum ruleset_direction stream_order[] = {RULESET_UPSTREAM, RULESET_DOWNSTREAM,
                                                      RULESET_BOTH};
enum { STREAMS = sizeof(stream_order) / sizeof(stream_order[0]) };

json_t *toxiproxy_encode_toxics(const struct ruleset *ruleset, const char *route)
{
    json_t *toxics = json_array();
    for (size_t stream = 0; stream < STREAMS; stream++)
        for (size_t i = 0; i < ruleset->fault_count; i++) {
            const struct ruleset_fault *fault = &ruleset->faults[i];
            if (fault->direction == stream_order[stream] && strcmp(fault->route, route) == 0)
                json_array_append_new(toxics, toxiproxy_encode_toxic(fault));
        }
    return toxics;
}

void toxiproxy_add_toxics(const struct ruleset *ruleset, json_t *proxies)
{
    for (size_t stream = 0; stream < STREAMS; stream++)
        for (size_t i = 0; i < ruleset->fault_count; i++) {
            const struct ruleset_fault *fault = &ruleset->faults[i];
            json_t *proxy = fault->route[0] ? json_object_get(proxies, fault->route) : NULL;
            if (proxy && fault->direction == stream_order[stream])
                json_array_append_new(json_object_get(proxy, "toxics"),
                                      toxiproxy_encode_toxic(fault));
        }
}
