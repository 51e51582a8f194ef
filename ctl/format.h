/* severd's answers (shapes: proxy/doc/API.md) as text for people. Pure: JSON in, text appended.
 * A key that an answer lacks reads as empty or 0, so that an older severd can still be looked at.
 */
#ifndef SEVER_CTL_FORMAT_H
#define SEVER_CTL_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "proxy/base/text.h"

/* object[key], "" or 0 or false when it isn't there. */
const char *format_string(json_t *object, const char *key);
int64_t format_number(json_t *object, const char *key);
bool format_true(json_t *object, const char *key);

/* GET /v1/status. url: where it came from. */
void format_status(struct text *text, json_t *status, const char *url);
/* The whole answers of GET /v1/nodes, /links, ... as tables; a sentence when they are empty.
 * colour: with terminal colours. */
void format_nodes(struct text *text, json_t *answer, bool colour);
void format_links(struct text *text, json_t *answer, bool colour);
void format_routes(struct text *text, json_t *answer, bool colour);
void format_partitions(struct text *text, json_t *answer, bool colour);
void format_faults(struct text *text, json_t *answer, bool colour);
void format_clocks(struct text *text, json_t *answer, bool colour);
void format_tables(struct text *text, json_t *answer, bool colour);
/* GET /v1/lab: its nodes, and its ports if there are any. */
void format_lab(struct text *text, json_t *answer, bool colour);
/* GET /v1/lab/connections. */
void format_lab_connections(struct text *text, json_t *answer, bool colour);
/* GET /v1/doctor: the table, and below it what to do about each check that is not fine. */
void format_doctor(struct text *text, json_t *answer, bool colour);

/* "80ms±20ms normal", "5% toxicity 50%", "10mbit burst 64KiB". */
void format_fault_parameters(struct text *text, json_t *fault);
/* Where the fault is: "n1->n2", "route n2 upstream". */
void format_fault_place(struct text *text, json_t *fault);
/* "n1<->n3 n2->n3": pairs joined; at most `limit`, then "and N more". */
void format_links_short(struct text *text, json_t *links, size_t limit);
/* "+2ms drift 50ppm", "true time". */
void format_clock_shift(struct text *text, json_t *clock);
/* The data of a "ruleset" event as one line, without newline. */
void format_event(struct text *text, json_t *data);
/* The data of a "lab" event, the same. */
void format_lab_event(struct text *text, json_t *data);
/* "512", "64KiB", "1.5MiB": whole below 1024, else with one decimal at most. */
void format_size(struct text *text, uint64_t bytes);
/* "1 fault", "2 faults". thing: one of them. */
void format_count(struct text *text, int64_t count, const char *thing);
/* "1d02h", "2h03m", "4m05s", "6s". */
void format_uptime(struct text *text, uint64_t uptime_ns);

#endif
