/* What names and other short texts for people may look like. */
#ifndef SEVER_FAULT_RULESET_TEXT_H
#define SEVER_FAULT_RULESET_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* 1 to RULESET_NAME_MAX - 1 bytes of [A-Za-z0-9_.-], the first not '-', and not only
 * dots: names become file names and arguments. */
bool ruleset_text_is_node_name(const char *text, size_t length);

/* Well-formed UTF-8 (RFC 3629) without control characters (C0, DEL, C1). True for no bytes. */
bool ruleset_text_is_printable(const char *text, size_t length);

#endif
