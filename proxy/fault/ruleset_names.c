/* The text of the vocabulary: enumeration names and "n1->n2", both ways. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/fault/ruleset.h"
#include "proxy/fault/ruleset_text.h"

enum { ALLOWED_MAX = 256 };

static const char *const fault_type_names[] = {
    [RULESET_LATENCY] = "latency",
    [RULESET_LOSS] = "loss",
    [RULESET_RATE] = "rate",
    [RULESET_TRACE] = "trace",
    [RULESET_FLAP] = "flap",
    [RULESET_CORRUPT] = "corrupt",
    [RULESET_DUPLICATE] = "duplicate",
    [RULESET_REORDER] = "reorder",
    [RULESET_TRUNCATE] = "truncate",
    [RULESET_SLICER] = "slicer",
    [RULESET_SLOW_CLOSE] = "slow_close",
    [RULESET_TIMEOUT] = "timeout",
    [RULESET_RESET_PEER] = "reset_peer",
    [RULESET_LIMIT_DATA] = "limit_data",
    [RULESET_ACCEPT_DELAY] = "accept_delay",
    [RULESET_REJECT] = "reject",
    [RULESET_NOOP] = "noop",
};
static const char *const distribution_names[] = {[RULESET_UNIFORM] = "uniform",
                                                 [RULESET_NORMAL] = "normal",
                                                 [RULESET_PARETO] = "pareto",
                                                 [RULESET_PARETONORMAL] = "paretonormal",
                                                 [RULESET_TABLE] = "table"};
static const char *const loss_model_names[] = {
    [RULESET_LOSS_RANDOM] = "random",
    [RULESET_LOSS_GILBERT_ELLIOTT] = "gilbert-elliott",
    [RULESET_LOSS_MARKOV] = "markov",
    [RULESET_LOSS_EVERY] = "every",
};
static const char *const direction_names[] = {
    [RULESET_BOTH] = "both", [RULESET_UPSTREAM] = "upstream", [RULESET_DOWNSTREAM] = "downstream"};
static const char *const protocol_names[] = {[RULESET_TCP] = "tcp", [RULESET_UDP] = "udp"};
static const char *const node_kind_names[] = {
    [RULESET_NODE_MEMBER] = "member", [RULESET_NODE_CLIENT] = "client"};

#define COUNT(names) (sizeof(names) / sizeof((names)[0]))

static const char *name_of(const char *const *names, size_t count, size_t value)
{
    return value < count ? names[value] : "unknown";
}

/* Index of text, or -EINVAL with "what must be one of a, b, c". */
static int parse(const char *text, const char *what, const char *const *names, size_t count,
                 struct error *error)
{
    char allowed[ALLOWED_MAX] = "";
    size_t length = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0)
            return (int)i;
        length += (size_t)snprintf(allowed + length, sizeof(allowed) - length, "%s%s",
                                   i ? ", " : "", names[i]);
    }
    return error_set(error, -EINVAL, "%s must be one of %s, not '%.*s'", what, allowed,
                     RULESET_NAME_MAX, text);
}

const char *ruleset_fault_type_name(enum ruleset_fault_type type)
{
    return name_of(fault_type_names, COUNT(fault_type_names), (size_t)type);
}

const char *ruleset_distribution_name(enum ruleset_distribution distribution)
{
    return name_of(distribution_names, COUNT(distribution_names), (size_t)distribution);
}

const char *ruleset_loss_model_name(enum ruleset_loss_model model)
{
    return name_of(loss_model_names, COUNT(loss_model_names), (size_t)model);
}

const char *ruleset_direction_name(enum ruleset_direction direction)
{
    return name_of(direction_names, COUNT(direction_names), (size_t)direction);
}

const char *ruleset_protocol_name(enum ruleset_protocol protocol)
{
    return name_of(protocol_names, COUNT(protocol_names), (size_t)protocol);
}

const char *ruleset_node_kind_name(enum ruleset_node_kind kind)
{
    return name_of(node_kind_names, COUNT(node_kind_names), (size_t)kind);
}

int ruleset_parse_fault_type(const char *text, enum ruleset_fault_type *type, struct error *error)
{
    int value = parse(text, "type", fault_type_names, COUNT(fault_type_names), error);
    if (value < 0)
        return value;
    *type = (enum ruleset_fault_type)value;
    return 0;
}

int ruleset_parse_distribution(const char *text, enum ruleset_distribution *distribution,
                               struct error *error)
{
    int value = parse(text, "distribution", distribution_names, COUNT(distribution_names), error);
    if (value < 0)
        return value;
    *distribution = (enum ruleset_distribution)value;
    return 0;
}

int ruleset_parse_loss_model(const char *text, enum ruleset_loss_model *model, struct error *error)
{
    int value = parse(text, "model", loss_model_names, COUNT(loss_model_names), error);
    if (value < 0)
        return value;
    *model = (enum ruleset_loss_model)value;
    return 0;
}

int ruleset_parse_direction(const char *text, enum ruleset_direction *direction,
                            struct error *error)
{
    int value = parse(text, "direction", direction_names, COUNT(direction_names), error);
    if (value < 0)
        return value;
    *direction = (enum ruleset_direction)value;
    return 0;
}

int ruleset_parse_protocol(const char *text, enum ruleset_protocol *protocol, struct error *error)
{
    int value = parse(text, "protocol", protocol_names, COUNT(protocol_names), error);
    if (value < 0)
        return value;
    *protocol = (enum ruleset_protocol)value;
    return 0;
}

int ruleset_parse_node_kind(const char *text, enum ruleset_node_kind *kind, struct error *error)
{
    int value = parse(text, "kind", node_kind_names, COUNT(node_kind_names), error);
    if (value < 0)
        return value;
    *kind = (enum ruleset_node_kind)value;
    return 0;
}

bool ruleset_fault_acts_on(enum ruleset_fault_type type, enum ruleset_protocol protocol)
{
    switch (type) {
    case RULESET_DUPLICATE:
    case RULESET_REORDER:
    case RULESET_TRUNCATE:
        return protocol == RULESET_UDP;
    case RULESET_SLICER:
    case RULESET_SLOW_CLOSE:
    case RULESET_TIMEOUT:
    case RULESET_RESET_PEER:
    case RULESET_LIMIT_DATA:
    case RULESET_ACCEPT_DELAY:
        return protocol == RULESET_TCP;
    case RULESET_LATENCY:
    case RULESET_LOSS:
    case RULESET_RATE:
    case RULESET_TRACE:
    case RULESET_FLAP:
    case RULESET_CORRUPT:
    case RULESET_REJECT:
    case RULESET_NOOP:
    case RULESET_FAULT_TYPES:
        break;
    }
    return true;
}

bool ruleset_text_is_node_name(const char *text, size_t length)
{
    bool only_dots = true;
    if (length == 0 || length >= RULESET_NAME_MAX || text[0] == '-')
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool allowed = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '.' || c == '-';
        if (!allowed)
            return false;
        only_dots = only_dots && c == '.';
    }
    return !only_dots;
}

/* Bytes of the UTF-8 sequence at text (RFC 3629: shortest form, no surrogates, at most U+10FFFF),
 * or 0. *rune is its code point. `left` > 0. */
static size_t decode_utf8(const unsigned char *text, size_t left, uint32_t *rune)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = text[0];
    size_t length = first < 0x80             ? 1
                    : (first & 0xe0) == 0xc0 ? 2
                    : (first & 0xf0) == 0xe0 ? 3
                    : (first & 0xf8) == 0xf0 ? 4
                                             : 0;
    if (length == 0 || length > left)
        return 0;
    *rune = length == 1 ? first : first & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        *rune = (*rune << 6) | (text[i] & 0x3fu);
    }
    bool surrogate = *rune >= 0xd800 && *rune <= 0xdfff;
    return *rune < smallest[length] || *rune > 0x10ffff || surrogate ? 0 : length;
}

bool ruleset_text_is_printable(const char *text, size_t length)
{
    size_t at = 0;
    while (at < length) {
        uint32_t rune = 0;
        size_t step = decode_utf8((const unsigned char *)text + at, length - at, &rune);
        if (step == 0 || rune < 0x20 || (rune >= 0x7f && rune <= 0x9f))
            return false;
        at += step;
    }
    return true;
}

static bool is_link_end(const char *text, size_t length)
{
    return (length == 1 && text[0] == '*') || ruleset_text_is_node_name(text, length);
}

int ruleset_parse_link(const char *text, struct ruleset_link *link, bool *both_ways,
                       struct error *error)
{
    /* '>' and '<' are in no node name, '-' may be: the first '>' ends the arrow. */
    const char *head = strchr(text, '>');
    if (!head || head == text || head[-1] != '-')
        return error_set(error, -EINVAL, "write a link as n1->n2 or n1<->n2, not '%.*s'",
                         RULESET_LINK_TEXT_MAX, text);
    const char *tail = head - 1;
    bool both = tail > text && tail[-1] == '<';
    if (both)
        tail--;
    size_t from_length = (size_t)(tail - text);
    size_t to_length = strlen(head + 1);
    if (!is_link_end(text, from_length) || !is_link_end(head + 1, to_length))
        return error_set(error, -EINVAL,
                         "each end of a link is '*' or a node name, 1 to %d of A-Z a-z 0-9 _ . - "
                         "that begin with no -, not as in '%.*s'",
                         RULESET_NAME_MAX - 1, RULESET_LINK_TEXT_MAX, text);
    *link = (struct ruleset_link){0};
    memcpy(link->from, text, from_length);
    memcpy(link->to, head + 1, to_length);
    *both_ways = both;
    return 0;
}

const char *ruleset_format_link(const struct ruleset_link *link, bool both_ways, char *buffer)
{
    const char *parts[] = {link->from, both_ways ? "<->" : "->", link->to};
    char *end = buffer; /* by hand: a split has thousands of links */
    for (size_t i = 0; i < COUNT(parts); i++) {
        size_t length = strnlen(parts[i], RULESET_NAME_MAX - 1);
        memcpy(end, parts[i], length);
        end += length;
    }
    *end = '\0';
    return buffer;
}
