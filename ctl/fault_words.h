/* A fault in words: "n1 n2 5% correlation=25%". One table says which words each verb takes; their
 * values, units and ranges are those of parameters.h. Pure. */
#ifndef SEVER_CTL_FAULT_WORDS_H
#define SEVER_CTL_FAULT_WORDS_H

#include <stddef.h>

#include <jansson.h>

#include "ctl/arguments.h"
#include "proxy/base/error.h"
#include "proxy/fault/ruleset.h"

enum { FAULT_VALUES_MAX = 2, FAULT_PLACE_MAX = 256 };

struct fault_value {
    const char *key;       /* of the parameter; NULL: no more values */
    const char *spread;    /* the key of what may follow it as ±SPREAD; NULL: nothing may */
    const char *otherwise; /* what it is when the word isn't there; NULL: severd's default */
};

struct fault_verb {
    const char *word; /* "delay" */
    enum ruleset_fault_type type;
    size_t required;                             /* so many of the values have to be there */
    struct fault_value values[FAULT_VALUES_MAX]; /* in the order of the words */
};

/* One for each type. */
extern const struct fault_verb fault_verbs[RULESET_FAULT_TYPES];

/* By its word or by the name of its type; NULL. */
const struct fault_verb *fault_verb_find(const char *word);
const struct fault_verb *fault_verb_of(enum ruleset_fault_type type);

/* Reads [LINK] VALUE... [KEY=VALUE...] (or KEY VALUE in two words) and the options into the body of
 * POST /v1/faults. usage: the whole command's line, for messages. described: what to call the
 * place, FAULT_PLACE_MAX bytes. *file: what is still to be read, a table's file ("--table FILE",
 * "trace LINK FILE"); NULL when there is none. 0 or -EINVAL. */
int fault_words_read(const struct fault_verb *verb, const char *const words[], size_t count,
                     const struct arguments *arguments, const char *usage, json_t *body,
                     char *described, const char **file, struct error *error);

/* Reads KEY=VALUE... and the options into the body of PATCH /v1/faults/NAME. */
int fault_words_read_changes(enum ruleset_fault_type type, const char *const words[], size_t count,
                             const struct arguments *arguments, json_t *body, struct error *error);

#endif
