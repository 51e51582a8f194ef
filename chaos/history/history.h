/* What clients saw: operations on registers, or additions to a set, each with when it was called,
 * when it returned, and what came back. Pure; histories are read from and written to text in
 * memory.
 *
 * File format: one JSON object a line, an "invoke" for each operation and, unless the run ended
 * first, one of "ok", "fail" (did not happen), "info" (nobody knows; it may still happen):
 *   {"time_ns":12,"process":3,"type":"invoke","f":"cas","key":"k1","value":[4,7],"node":"n2"}
 *   {"time_ns":99,"process":3,"type":"ok","f":"cas","key":"k1","value":[4,7],"node":"n2"}
 * A read carries its value on the ok line; null is a register never written. An ok cas swapped; a
 * failed cas line says that the value was not the expected one and has "value" as called, unless
 * it has an "error": then it was refused and did not happen. "client" stands on the invoke line
 * where it differs from "process"; "error" where the server gave a reason, or an ok read found what
 * no client writes. Members of other names
 * are ignored, blank lines skipped.
 *
 * A set has "f":"add" with the element as value, and, where its elements were read once all was
 * over, one last line that says what they were, and where:
 *   {"time_ns":999,"type":"final","key":"set","value":[4,7,9],"node":"n2"} */
#ifndef SEVER_CHAOS_HISTORY_H
#define SEVER_CHAOS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/error.h"
#include "proxy/base/text.h"

enum history_function { HISTORY_READ, HISTORY_WRITE, HISTORY_CAS, HISTORY_ADD };
#define HISTORY_SET_KEY "set" /* of every addition */
enum history_outcome {
    HISTORY_OK,
    HISTORY_FAIL,     /* certainly did not happen (a read or write refused) */
    HISTORY_MISMATCH, /* a cas that happened and found another value */
    HISTORY_UNKNOWN,  /* may have happened, or may yet */
};
enum { HISTORY_KEY_MAX = 48, HISTORY_NODE_MAX = 64 };
#define HISTORY_NIL INT64_MIN    /* value of a register never written */
#define HISTORY_NEVER UINT64_MAX /* return time of an unknown outcome */

struct history_operation {
    uint32_t process; /* a process has one operation in flight; after an unknown it is retired */
    uint32_t client;  /* stable across retirements */
    enum history_function function;
    enum history_outcome outcome;
    char key[HISTORY_KEY_MAX];
    char node[HISTORY_NODE_MAX]; /* whom it asked */
    int64_t value;               /* read: what came back; write, cas: new value; add: element */
    int64_t expected;            /* cas */
    uint64_t invoke_ns;
    uint64_t return_ns;  /* HISTORY_NEVER for unknown */
    uint64_t settled_ns; /* when the client stopped waiting (equals return_ns when known) */
    /* What the server said when it refused, or answered what nobody could expect; "" otherwise. In
     * the file: "error". */
    char reason[96];
};

/* An operation that was due and never begun, because its client was still waiting for the answer to
 * the one before. */
struct history_missed {
    uint64_t due_ns;
    char node[HISTORY_NODE_MAX]; /* whom it would have asked */
};

/* The elements of the set at the end. */
struct history_final {
    bool read; /* else the rest is nothing */
    uint64_t at_ns;
    char node[HISTORY_NODE_MAX];
    int64_t *values; /* in any order */
    size_t count;
};

struct history {
    struct history_operation *operations; /* in invocation order */
    size_t count, capacity;
    struct history_missed *missed; /* in any order; not in the file */
    size_t missed_count, missed_capacity;
    struct history_final final;
};

void history_free(struct history *history);
/* Appends a copy (any order; history_sort puts them right). */
void history_add(struct history *history, const struct history_operation *operation);
void history_add_missed(struct history *history, const struct history_missed *missed);
void history_sort(struct history *history);
/* Appends the lines of the whole history, in time order. What history_parse then reads is the same
 * history, but for bytes of `reason` that are not UTF-8 ('?' stands for them). Operations must be
 * in invocation order. An unknown one with settled_ns HISTORY_NEVER has no second line. */
void history_write(const struct history *history, struct text *out);
/* Reads our own format. -EINVAL with place "file:line"; *history is then empty. Checks that a
 * process has one operation in flight and none after an "info", and that time does not run
 * backwards. The result is in invocation order. */
int history_parse(const char *text, size_t length, const char *file, struct history *history,
                  struct error *error);
/* Reads a Jepsen etcd log ("INFO  jepsen.util - 4\t:invoke\t:read\tnil"), one register, key "".
 * Line numbers stand for time. Lines that do not begin with "INFO jepsen.util -" are skipped; one
 * that does and isn't understood is refused, as is a log without any operation. */
int history_parse_jepsen(const char *text, size_t length, const char *file, struct history *history,
                         struct error *error);

#endif
