/* The search for one register: is there an order of these operations that respects both real time
 * and what each of them saw? Internal to chaos/check. */
#ifndef SEVER_CHAOS_CHECK_REGISTER_H
#define SEVER_CHAOS_CHECK_REGISTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chaos/check/check.h"

enum register_kind {
    REGISTER_READ,     /* saw `value` */
    REGISTER_WRITE,    /* made it `value` */
    REGISTER_CAS,      /* saw `expected` and made it `value` */
    REGISTER_MISMATCH, /* saw anything but `expected` */
};

struct register_operation {
    enum register_kind kind;
    bool optional; /* may have happened at any time from its call on, or not at all */
    int64_t value, expected;
    uint64_t invoke_ns, return_ns; /* HISTORY_NEVER when optional */
    size_t index;                  /* in the history */
};

struct register_result {
    enum check_verdict verdict;
    uint64_t steps;
    size_t reached;      /* most operations that were in order at once */
    bool out_of_memory;  /* unknown: of memory, else of steps */
    uint64_t blocked_ns; /* fail: what returned up to here can't be ordered, before it can */
};

/* What an operation of the history demands of the search. False: nothing (it did not happen, or is
 * a read without result). */
bool register_operation_of(const struct history_operation *operation, size_t index,
                           struct register_operation *out);

/* operations: in invocation order. */
void register_solve(const struct register_operation *operations, size_t count,
                    const struct check_linearizable_limits *limits, struct register_result *result);

/* Takes away all that can go while the rest can't be ordered. operations: a failing set in
 * invocation order; the core is moved to its front, still in order; returns its size.
 * steps: of all searches together; when they run out the core is valid, but maybe not minimal. */
size_t register_shrink(struct register_operation *operations, size_t count,
                       const struct check_linearizable_limits *limits, uint64_t *steps);

#endif
