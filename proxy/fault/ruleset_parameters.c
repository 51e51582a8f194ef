#include "proxy/fault/ruleset_parameters.h"

#include <assert.h>
#include <string.h>

#define AT(field) offsetof(struct ruleset_fault, field)

/* A duration up to an hour, a probability, and so on: what most rows have in common. */
#define DURATION(key, field, required, what)                                                       \
    {                                                                                              \
        key, RULESET_PARAMETER_NS, AT(field), 0, RULESET_DELAY_NS_MAX, required, 0,                \
            what " is at most one hour"                                                            \
    }
#define PROBABILITY(key, field, required, models)                                                  \
    {                                                                                              \
        key, RULESET_PARAMETER_PROBABILITY, AT(field), 0, RULESET_PROBABILITY_MAX, required,       \
            models, "a probability is 0 to 1"                                                      \
    }
#define CORRELATION(field, models)                                                                 \
    {                                                                                              \
        "correlation", RULESET_PARAMETER_PROBABILITY, AT(field), 0, RULESET_PROBABILITY_MAX,       \
            false, models, "a correlation is 0 to 1"                                               \
    }
#define QUEUE(field)                                                                               \
    {                                                                                              \
        "queue_bytes", RULESET_PARAMETER_BYTES, AT(field), 0, RULESET_QUEUE_MAX, false, 0,         \
            "a queue is at most 1 GiB"                                                             \
    }
#define QUEUE_PACKETS(field)                                                                       \
    {                                                                                              \
        "queue_packets", RULESET_PARAMETER_COUNT, AT(field), 0, RULESET_PACKETS_MAX, false, 0,     \
            "a queue is at most 10^6 packets"                                                      \
    }
#define REPAIR(field)                                                                              \
    {                                                                                              \
        "repair", RULESET_PARAMETER_FLAG, AT(field), 0, 1, false, 0, "true or false"               \
    }
#define MODEL(name) (1u << RULESET_LOSS_##name)

static const struct ruleset_parameter latency[] = {
    DURATION("delay_ns", latency.delay_ns, true, "a delay"),
    DURATION("jitter_ns", latency.jitter_ns, false, "a jitter"),
    {"distribution", RULESET_PARAMETER_DISTRIBUTION, AT(latency.distribution), 0,
     RULESET_DISTRIBUTIONS - 1, false, 0,
     "a distribution is uniform, normal, pareto, paretonormal or table"},
    {"table", RULESET_PARAMETER_TABLE, AT(latency.table), 0, 0, false, 0,
     "a table is named with distribution table, and only then"},
    CORRELATION(latency.correlation_ppb, 0),
    {"reorder", RULESET_PARAMETER_FLAG, AT(latency.reorder), 0, 1, false, 0, "true or false"},
};

static const struct ruleset_parameter loss[] = {
    {"model", RULESET_PARAMETER_LOSS_MODEL, AT(loss.model), 0, RULESET_LOSS_MODELS - 1, false, 0,
     "a loss model is random, gilbert-elliott, markov or every"},
    PROBABILITY("probability", loss.probability_ppb, true, MODEL(RANDOM)),
    CORRELATION(loss.correlation_ppb, MODEL(RANDOM)),
    PROBABILITY("to_bad", loss.to_bad_ppb, true, MODEL(GILBERT_ELLIOTT)),
    PROBABILITY("to_good", loss.to_good_ppb, true, MODEL(GILBERT_ELLIOTT)),
    PROBABILITY("lost_in_bad", loss.lost_in_bad_ppb, true, MODEL(GILBERT_ELLIOTT)),
    PROBABILITY("lost_in_good", loss.lost_in_good_ppb, false, MODEL(GILBERT_ELLIOTT)),
    PROBABILITY("p13", loss.p13_ppb, true, MODEL(MARKOV)),
    PROBABILITY("p31", loss.p31_ppb, true, MODEL(MARKOV)),
    PROBABILITY("p32", loss.p32_ppb, false, MODEL(MARKOV)),
    PROBABILITY("p23", loss.p23_ppb, false, MODEL(MARKOV)),
    PROBABILITY("p14", loss.p14_ppb, false, MODEL(MARKOV)),
    {"every", RULESET_PARAMETER_COUNT, AT(loss.every), 1, UINT32_MAX, true, MODEL(EVERY),
     "a loss of every n-th unit has an n of 1 to 4294967295"},
};

static const struct ruleset_parameter rate[] = {
    {"bytes_per_s", RULESET_PARAMETER_RATE, AT(rate.bytes_per_s), 0, RULESET_RATE_MAX, true, 0,
     "a rate is 0 (nothing passes) to 10^12 bytes per second"},
    {"burst_bytes", RULESET_PARAMETER_BYTES, AT(rate.burst_bytes), 0, RULESET_BURST_MAX, false, 0,
     "a burst is at most 1 GiB"},
    QUEUE(rate.queue_bytes),
    QUEUE_PACKETS(rate.queue_packets),
    {"shared", RULESET_PARAMETER_FLAG, AT(rate.shared), 0, 1, false, 0, "true or false"},
};

static const struct ruleset_parameter trace[] = {
    {"table", RULESET_PARAMETER_TABLE, AT(trace.table), 0, 0, true, 0,
     "a trace names a table of the ruleset"},
    QUEUE(trace.queue_bytes),
    QUEUE_PACKETS(trace.queue_packets),
};

static const struct ruleset_parameter flap[] = {
    {"up_ns", RULESET_PARAMETER_NS, AT(flap.up_ns), 1, RULESET_DELAY_NS_MAX, true, 0,
     "a link is up for more than 0 and at most one hour"},
    {"down_ns", RULESET_PARAMETER_NS, AT(flap.down_ns), 1, RULESET_DELAY_NS_MAX, true, 0,
     "a link is down for more than 0 and at most one hour"},
    DURATION("jitter_ns", flap.jitter_ns, false, "a jitter"),
};

static const struct ruleset_parameter corrupt[] = {
    PROBABILITY("probability", corrupt.probability_ppb, true, 0),
    CORRELATION(corrupt.correlation_ppb, 0),
    REPAIR(corrupt.repair),
};

static const struct ruleset_parameter duplicate[] = {
    PROBABILITY("probability", duplicate.probability_ppb, true, 0),
    CORRELATION(duplicate.correlation_ppb, 0),
};

static const struct ruleset_parameter reorder[] = {
    PROBABILITY("probability", reorder.probability_ppb, true, 0),
    CORRELATION(reorder.correlation_ppb, 0),
    {"delay_ns", RULESET_PARAMETER_NS, AT(reorder.delay_ns), 1, RULESET_DELAY_NS_MAX, true, 0,
     "a delay to reorder by is above 0 and at most one hour"},
};

static const struct ruleset_parameter truncate[] = {
    PROBABILITY("probability", truncate.probability_ppb, true, 0),
    {"bytes", RULESET_PARAMETER_BYTES, AT(truncate.bytes), 0, 65535, true, 0,
     "a datagram is cut to 0 to 65535 bytes"},
    REPAIR(truncate.repair),
};

static const struct ruleset_parameter slicer[] = {
    {"average_bytes", RULESET_PARAMETER_BYTES, AT(slicer.average_bytes), 0, RULESET_PIECE_MAX, true,
     0, "a piece is at most 1 GiB; 0: no slicing"},
    {"variation_bytes", RULESET_PARAMETER_BYTES, AT(slicer.variation_bytes), 0, RULESET_PIECE_MAX,
     false, 0, "a variation is at most 1 GiB"},
    DURATION("delay_ns", slicer.delay_ns, false, "a delay"),
};

static const struct ruleset_parameter slow_close[] = {
    DURATION("delay_ns", slow_close.delay_ns, true, "a delay"),
};

static const struct ruleset_parameter timeout[] = {
    DURATION("timeout_ns", timeout.timeout_ns, true, "a timeout"),
};

static const struct ruleset_parameter reset_peer[] = {
    DURATION("timeout_ns", reset_peer.timeout_ns, false, "a timeout"),
};

static const struct ruleset_parameter limit_data[] = {
    {"bytes", RULESET_PARAMETER_BYTES, AT(limit_data.bytes), 0, RULESET_LIMIT_MAX, true, 0,
     "a limit is at most 2^62 bytes"},
};

static const struct ruleset_parameter accept_delay[] = {
    DURATION("delay_ns", accept_delay.delay_ns, true, "a delay"),
};

static const struct ruleset_parameter reject[] = {
    PROBABILITY("probability", reject.probability_ppb, true, 0),
};

#define ROWS(rows)                                                                                 \
    {                                                                                              \
        rows, sizeof(rows) / sizeof((rows)[0])                                                     \
    }

static const struct {
    const struct ruleset_parameter *rows;
    size_t count;
} tables[RULESET_FAULT_TYPES] = {
    [RULESET_LATENCY] = ROWS(latency),
    [RULESET_LOSS] = ROWS(loss),
    [RULESET_RATE] = ROWS(rate),
    [RULESET_TRACE] = ROWS(trace),
    [RULESET_FLAP] = ROWS(flap),
    [RULESET_CORRUPT] = ROWS(corrupt),
    [RULESET_DUPLICATE] = ROWS(duplicate),
    [RULESET_REORDER] = ROWS(reorder),
    [RULESET_TRUNCATE] = ROWS(truncate),
    [RULESET_SLICER] = ROWS(slicer),
    [RULESET_SLOW_CLOSE] = ROWS(slow_close),
    [RULESET_TIMEOUT] = ROWS(timeout),
    [RULESET_RESET_PEER] = ROWS(reset_peer),
    [RULESET_LIMIT_DATA] = ROWS(limit_data),
    [RULESET_ACCEPT_DELAY] = ROWS(accept_delay),
    [RULESET_REJECT] = ROWS(reject),
    [RULESET_NOOP] = {NULL, 0},
};

const struct ruleset_parameter *ruleset_parameters(enum ruleset_fault_type type, size_t *count)
{
    assert((unsigned)type < RULESET_FAULT_TYPES);
    *count = tables[type].count;
    return tables[type].rows;
}

bool ruleset_parameter_is_there(const struct ruleset_parameter *parameter,
                                const struct ruleset_fault *fault)
{
    return parameter->models == 0 || (parameter->models >> fault->loss.model & 1);
}

/* Fields are read and written by copying, whatever their alignment and type. */
static size_t size_of(const struct ruleset_parameter *parameter)
{
    switch (parameter->kind) {
    case RULESET_PARAMETER_NS:
    case RULESET_PARAMETER_BYTES:
    case RULESET_PARAMETER_RATE:
        return sizeof(uint64_t);
    case RULESET_PARAMETER_PROBABILITY:
    case RULESET_PARAMETER_COUNT:
        return sizeof(uint32_t);
    case RULESET_PARAMETER_DISTRIBUTION:
        return sizeof(enum ruleset_distribution);
    case RULESET_PARAMETER_LOSS_MODEL:
        return sizeof(enum ruleset_loss_model);
    case RULESET_PARAMETER_FLAG:
        return sizeof(bool);
    case RULESET_PARAMETER_TABLE:
        break;
    }
    assert(false && "a table's name is no number");
    return 0;
}

_Static_assert(sizeof(enum ruleset_distribution) == sizeof(uint32_t) &&
                   sizeof(enum ruleset_loss_model) == sizeof(uint32_t) && sizeof(bool) == 1,
               "a field is 8, 4 or 1 bytes");

uint64_t ruleset_parameter_get(const struct ruleset_parameter *parameter,
                               const struct ruleset_fault *fault)
{
    const char *field = (const char *)fault + parameter->offset;
    uint64_t value = 0;
    uint32_t half;
    bool flag;
    switch (size_of(parameter)) {
    case sizeof(uint64_t):
        memcpy(&value, field, sizeof(value));
        return value;
    case sizeof(uint32_t):
        memcpy(&half, field, sizeof(half));
        return half;
    default:
        memcpy(&flag, field, sizeof(flag));
        return flag;
    }
}

void ruleset_parameter_set(const struct ruleset_parameter *parameter, struct ruleset_fault *fault,
                           uint64_t value)
{
    char *field = (char *)fault + parameter->offset;
    uint32_t half = (uint32_t)value;
    bool flag = value != 0;
    assert(value >= parameter->minimum && value <= parameter->maximum);
    switch (size_of(parameter)) {
    case sizeof(uint64_t):
        memcpy(field, &value, sizeof(value));
        break;
    case sizeof(uint32_t):
        memcpy(field, &half, sizeof(half));
        break;
    default:
        memcpy(field, &flag, sizeof(flag));
    }
}

const char *ruleset_parameter_text(const struct ruleset_parameter *parameter,
                                   const struct ruleset_fault *fault)
{
    assert(parameter->kind == RULESET_PARAMETER_TABLE);
    return (const char *)fault + parameter->offset;
}

char *ruleset_parameter_text_field(const struct ruleset_parameter *parameter,
                                   struct ruleset_fault *fault)
{
    assert(parameter->kind == RULESET_PARAMETER_TABLE);
    return (char *)fault + parameter->offset;
}

bool ruleset_same_parameters(const struct ruleset_fault *a, const struct ruleset_fault *b)
{
    size_t count;
    const struct ruleset_parameter *parameters = ruleset_parameters(a->type, &count);
    assert(a->type == b->type);
    for (size_t i = 0; i < count; i++) {
        const struct ruleset_parameter *parameter = &parameters[i];
        bool same =
            parameter->kind == RULESET_PARAMETER_TABLE
                ? strcmp(ruleset_parameter_text(parameter, a),
                         ruleset_parameter_text(parameter, b)) == 0
                : ruleset_parameter_get(parameter, a) == ruleset_parameter_get(parameter, b);
        if (!same)
            return false;
    }
    return true;
}
