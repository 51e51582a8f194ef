/* Histories for the checkers' tests: written out, generated, and judged by trying every order. */
#ifndef SEVER_TESTS_CHECK_HISTORY_H
#define SEVER_TESTS_CHECK_HISTORY_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "chaos/history/history.h"
#include "proxy/base/random.h"

/* One operation; return_ns HISTORY_NEVER makes it unknown. */
static inline void add(struct history *history, uint32_t client, enum history_function function,
                       enum history_outcome outcome, int64_t expected, int64_t value,
                       uint64_t invoke_ns, uint64_t return_ns)
{
    struct history_operation operation = {.process = client,
                                          .client = client,
                                          .function = function,
                                          .outcome = outcome,
                                          .key = "k1",
                                          .value = value,
                                          .expected = expected,
                                          .invoke_ns = invoke_ns,
                                          .return_ns = return_ns,
                                          .settled_ns = return_ns};
    if (outcome == HISTORY_UNKNOWN)
        operation.return_ns = HISTORY_NEVER;
    snprintf(operation.node, sizeof(operation.node), "n%u", client);
    history_add(history, &operation);
}

static inline uint64_t below(struct random_stream *random, uint64_t bound)
{
    return random_below(random_next(random), bound);
}

/* ---- the oracle: every order, nothing remembered ---- */

static inline bool oracle_step(const struct history_operation *operation, int64_t state,
                               int64_t *after)
{
    *after = state;
    switch (operation->function) {
    case HISTORY_READ:
        return operation->value == state;
    case HISTORY_WRITE:
        *after = operation->value;
        return true;
    default:
        if (operation->outcome == HISTORY_MISMATCH)
            return state != operation->expected;
        *after = operation->value;
        return state == operation->expected;
    }
}

/* left: bit i for operation i still to be placed. */
static inline bool oracle_from(const struct history *history, uint64_t left, int64_t state)
{
    uint64_t first_return_ns = HISTORY_NEVER;
    bool known = false;
    for (size_t i = 0; i < history->count; i++)
        if (left >> i & 1 && history->operations[i].outcome != HISTORY_UNKNOWN) {
            known = true;
            if (history->operations[i].return_ns < first_return_ns)
                first_return_ns = history->operations[i].return_ns;
        }
    if (!known)
        return true;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_operation *operation = &history->operations[i];
        int64_t after;
        if (left >> i & 1 && operation->invoke_ns <= first_return_ns &&
            !(operation->function == HISTORY_READ && operation->outcome == HISTORY_UNKNOWN) &&
            oracle_step(operation, state, &after) &&
            oracle_from(history, left & ~(UINT64_C(1) << i), after))
            return true;
    }
    return false;
}

/* among: which operations, by bit. At most 64 operations, few enough for all their orders. */
static inline bool oracle(const struct history *history, uint64_t among)
{
    for (size_t i = 0; i < history->count; i++)
        if (history->operations[i].outcome == HISTORY_FAIL)
            among &= ~(UINT64_C(1) << i);
    return oracle_from(history, among, HISTORY_NIL);
}

/* ---- generated ---- */

struct generator {
    unsigned clients, operations;
    unsigned values;          /* written values are 1 to this; 0: each write its own */
    unsigned unknown_percent; /* of writes and cas */
    unsigned cas_percent, read_percent;
    unsigned length_ns; /* of an operation, at most */
    unsigned gap_ns;    /* between two of one client, at most */
};

struct generator_client {
    struct history_operation operation; /* in flight while busy */
    uint64_t effect_ns, next_ns;        /* when it takes effect (UINT64_MAX: never); next call */
    uint32_t process;
    bool busy, done; /* done: took effect, or never will */
};

struct generator_run {
    const struct generator *generator;
    struct random_stream random;
    struct generator_client clients[64];
    int64_t state, fresh, last_values[8];
    uint32_t next_process;
    unsigned made, open;
};

/* The client whose next event is the earliest, and when. */
static inline struct generator_client *generator_next(struct generator_run *run, uint64_t *when_ns)
{
    struct generator_client *who = &run->clients[0];
    *when_ns = UINT64_MAX;
    for (unsigned c = 0; c < run->generator->clients; c++) {
        struct generator_client *client = &run->clients[c];
        bool more = run->made < run->generator->operations;
        uint64_t at = !client->busy   ? (more ? client->next_ns : UINT64_MAX)
                      : !client->done ? client->effect_ns
                                      : client->operation.settled_ns;
        if (at < *when_ns) {
            *when_ns = at;
            who = client;
        }
    }
    return who;
}

static inline void generator_call(struct generator_run *run, struct generator_client *client,
                                  uint64_t when_ns)
{
    const struct generator *generator = run->generator;
    struct history_operation *operation = &client->operation;
    uint32_t number = (uint32_t)(client - run->clients);
    uint64_t dice = below(&run->random, 100);
    bool read = dice < generator->read_percent;
    bool cas = !read && dice < generator->read_percent + generator->cas_percent;
    *operation = (struct history_operation){.process = client->process, .client = number};
    operation->function = read ? HISTORY_READ : cas ? HISTORY_CAS : HISTORY_WRITE;
    operation->value = read                ? HISTORY_NIL
                       : generator->values ? 1 + (int64_t)below(&run->random, generator->values)
                                           : ++run->fresh;
    operation->expected = run->last_values[below(&run->random, 8)];
    operation->invoke_ns = when_ns;
    operation->settled_ns = when_ns + 1 + below(&run->random, generator->length_ns);
    operation->return_ns = operation->settled_ns;
    client->effect_ns = when_ns + below(&run->random, operation->settled_ns - when_ns);
    if (!read && below(&run->random, 100) < generator->unknown_percent) {
        operation->outcome = HISTORY_UNKNOWN;
        operation->return_ns = HISTORY_NEVER;
        if (below(&run->random, 2))
            client->effect_ns = UINT64_MAX;
    }
    snprintf(operation->key, sizeof(operation->key), "k1");
    snprintf(operation->node, sizeof(operation->node), "n%u", number % 3 + 1);
    client->busy = true;
    client->done = client->effect_ns == UINT64_MAX;
    run->made++;
    run->open++;
}

static inline void generator_effect(struct generator_run *run, struct generator_client *client)
{
    struct history_operation *operation = &client->operation;
    bool matches = run->state == operation->expected;
    if (operation->function == HISTORY_READ)
        operation->value = run->state;
    else if (operation->function == HISTORY_WRITE || matches)
        run->state = operation->value;
    else if (operation->outcome != HISTORY_UNKNOWN)
        operation->outcome = HISTORY_MISMATCH;
    if (run->state != HISTORY_NIL)
        run->last_values[below(&run->random, 8)] = run->state;
    client->done = true;
}

/* A register that is really linearizable: each operation takes effect at one moment between call
 * and return (an unknown one perhaps never). At most 64 clients. */
static inline void generate(const struct generator *generator, uint64_t seed,
                            struct history *history)
{
    struct generator_run run = {.generator = generator,
                                .random = {.key = random_mix(seed + 1)},
                                .state = HISTORY_NIL,
                                .next_process = 64};
    for (unsigned c = 0; c < generator->clients; c++) {
        run.clients[c].process = c;
        run.clients[c].next_ns = below(&run.random, generator->gap_ns + 1);
    }
    while (run.made < generator->operations || run.open > 0) {
        uint64_t when_ns;
        struct generator_client *client = generator_next(&run, &when_ns);
        if (!client->busy) {
            generator_call(&run, client, when_ns);
        } else if (!client->done) {
            generator_effect(&run, client);
        } else {
            history_add(history, &client->operation);
            if (client->operation.outcome == HISTORY_UNKNOWN)
                client->process = run.next_process++;
            client->next_ns = when_ns + 1 + below(&run.random, generator->gap_ns + 1);
            client->busy = false;
            run.open--;
        }
    }
    history_sort(history);
}

#endif
