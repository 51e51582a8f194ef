/* Where a command acts: links, routes and groups of nodes as people write them. Pure. */
#ifndef SEVER_CTL_TARGET_H
#define SEVER_CTL_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "ctl/arguments.h"
#include "proxy/base/error.h"
#include "proxy/base/text.h"
#include "proxy/fault/ruleset.h"

struct target_link {
    struct ruleset_link link;
    bool both_ways;
    char text[RULESET_LINK_TEXT_MAX]; /* "n1->n2", "n1<->n2" */
};

/* words: "n1" "n2" (both ways), or one of "n1->n2" and "n1<->n2". -EINVAL with what to write. */
int target_parse_link(const char *const words[], size_t count, struct target_link *link,
                      struct error *error);

/* "n1,n2 / n3,n4", in one word or several; blanks separate as commas do. *groups: new reference,
 * an array of arrays of names. -EINVAL: fewer than two groups, or an empty one. */
int target_parse_groups(const char *const words[], size_t count, json_t **groups,
                        struct error *error);

/* Appends "n1,n2 / n3" of such an array to text. */
void target_format_groups(json_t *groups, struct text *text);

/* The target of a fault: --route [--direction], else a link in `words`. Puts it into the body.
 * described: what to call it in a message, size bytes. */
int target_parse_fault(const struct arguments *arguments, const char *const words[], size_t count,
                       json_t *body, char *described, size_t size, struct error *error);

#endif
