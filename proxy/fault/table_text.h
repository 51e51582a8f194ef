/* The text files that tables come from: netem's delay distributions and mahimahi's link traces.
 *
 * A distribution (iproute2's .dist) is whole numbers with blanks or line ends between them, each
 * -32768 to 32767, two at least. A trace has one whole number of milliseconds a line, none smaller
 * than the one before it, the last above 0; empty lines are skipped. In both, '#' begins a comment
 * up to the end of its line. */
#ifndef SEVER_FAULT_TABLE_TEXT_H
#define SEVER_FAULT_TABLE_TEXT_H

#include <stddef.h>

#include "proxy/base/error.h"
#include "proxy/fault/ruleset.h"

enum table_text_kind { TABLE_TEXT_DISTRIBUTION, TABLE_TEXT_TRACE };

enum { TABLE_TEXT_BYTES_MAX = 4 << 20 };

/* Sets table->values (the caller's from then on, to free) and ->count; the name is left alone.
 * -EINVAL with place "line 3" (lines count from 1) or "" when something is missing; -E2BIG: more
 * than TABLE_TEXT_BYTES_MAX bytes, or than RULESET_TABLE_VALUES_MAX values. *table is then as it
 * was. */
int table_text_parse(enum table_text_kind kind, const char *text, size_t length,
                     struct ruleset_table *table, struct error *error);

#endif
