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

/* A register that is really linearizable: each operation takes effect at one moment between call
 * and return (an unknown one perhaps never). */
static inline void generate(const struct generator *generator, uint64_t seed,
                            struct history *history)
{
    struct random_stream random = {.key = random_mix(seed + 1)};
    struct history_operation now[64] = {0};
    uint64_t effect_ns[64], next_ns[64];
    int64_t state = HISTORY_NIL, fresh = 0, last_values[8] = {0};
    uint32_t process = 64;
    bool busy[64] = {0}, done[64] = {0};
    unsigned made = 0, open = 0;
    uint32_t processes[64];
    for (unsigned c = 0; c < generator->clients; c++) {
        processes[c] = c;
        next_ns[c] = below(&random, generator->gap_ns + 1);
    }
    while (made < generator->operations || open > 0) {
        unsigned who = 0; /* whose next event is the earliest */
        uint64_t when = UINT64_MAX;
        for (unsigned c = 0; c < generator->clients; c++) {
            uint64_t at = !busy[c]   ? (made < generator->operations ? next_ns[c] : UINT64_MAX)
                          : !done[c] ? effect_ns[c]
                                     : now[c].settled_ns;
            if (at < when) {
                when = at;
                who = c;
            }
        }
        struct history_operation *operation = &now[who];
        if (!busy[who]) {
            uint64_t dice = below(&random, 100);
            bool read = dice < generator->read_percent;
            bool cas = !read && dice < generator->read_percent + generator->cas_percent;
            *operation = (struct history_operation){.process = processes[who], .client = who};
            operation->function = read ? HISTORY_READ : cas ? HISTORY_CAS : HISTORY_WRITE;
            operation->value = read                ? HISTORY_NIL
                               : generator->values ? 1 + (int64_t)below(&random, generator->values)
                                                   : ++fresh;
            operation->expected = last_values[below(&random, 8)];
            operation->invoke_ns = when;
            operation->settled_ns = when + 1 + below(&random, generator->length_ns);
            operation->return_ns = operation->settled_ns;
            effect_ns[who] = when + below(&random, operation->settled_ns - when);
            if (!read && below(&random, 100) < generator->unknown_percent) {
                operation->outcome = HISTORY_UNKNOWN;
                operation->return_ns = HISTORY_NEVER;
                if (below(&random, 2))
                    effect_ns[who] = UINT64_MAX;
            }
            snprintf(operation->key, sizeof(operation->key), "k1");
            snprintf(operation->node, sizeof(operation->node), "n%u", who % 3 + 1);
            busy[who] = true;
            done[who] = effect_ns[who] == UINT64_MAX;
            made++;
            open++;
        } else if (!done[who]) {
            bool matches = state == operation->expected;
            if (operation->function == HISTORY_READ)
                operation->value = state;
            else if (operation->function == HISTORY_WRITE || matches)
                state = operation->value;
            else if (operation->outcome != HISTORY_UNKNOWN)
                operation->outcome = HISTORY_MISMATCH;
            if (state != HISTORY_NIL)
                last_values[below(&random, 8)] = state;
            done[who] = true;
        } else {
            history_add(history, operation);
            if (operation->outcome == HISTORY_UNKNOWN)
                processes[who] = process++;
            next_ns[who] = when + 1 + below(&random, generator->gap_ns + 1);
            busy[who] = false;
            open--;
        }
    }
    history_sort(history);
}

#endif
