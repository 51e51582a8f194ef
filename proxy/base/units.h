/* Durations, rates, sizes and percentages as people write them, and back.
 *
 * Parsers take the whole text, refuse trailing garbage, overflow and missing units, and say in
 * *error what to write instead. On failure outputs are untouched. */
#ifndef SEVER_BASE_UNITS_H
#define SEVER_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "proxy/base/error.h"

enum { UNITS_TEXT_MAX = 48 }; /* enough for every *_format */

/* "80ms", "1.5s", "250us", "10ns", "2m", "1h"; "0" needs no unit. Not negative. -> nanoseconds */
int units_parse_duration(const char *text, uint64_t *duration_ns, struct error *error);
/* The same with an optional sign: "+2ms", "-1.5s". -> nanoseconds */
int units_parse_offset(const char *text, int64_t *offset_ns, struct error *error);
/* "80ms±20ms" (also "80ms+-20ms"), or "80ms" alone (jitter 0). */
int units_parse_duration_spread(const char *text, uint64_t *duration_ns, uint64_t *spread_ns,
                                struct error *error);
/* "5%", "0.5%", or a ratio "0.05"; 0 to 100 %. -> parts per billion */
int units_parse_probability(const char *text, uint32_t *ppb, struct error *error);
/* "10mbit", "10mbit/s", "1.5gbit", "64kbit", "800bit", "125kB/s", "1MB/s", "1MiB/s", "500B/s".
 * Decimal prefixes k, M, G (any case before "bit"), binary Ki, Mi, Gi. -> bytes per second, > 0 */
int units_parse_rate(const char *text, uint64_t *bytes_per_s, struct error *error);
/* "64KiB", "1MB", "1500B", "1500". -> bytes */
int units_parse_size(const char *text, uint64_t *bytes, struct error *error);
/* "50ppm", "-20ppm", "100ppb", "0.1%". -> parts per billion, within ±1e9 */
int units_parse_drift(const char *text, int64_t *drift_ppb, struct error *error);
/* A whole decimal number within [minimum, maximum]. what: its name in the message. */
int units_parse_integer(const char *text, int64_t minimum, int64_t maximum, const char *what,
                        int64_t *value, struct error *error);

/* As units_parse_integer, from 0 to 2^64 - 1. */
int units_parse_unsigned(const char *text, const char *what, uint64_t *value, struct error *error);

/* Shortest exact text that the parser above reads back to the same value. buffer: UNITS_TEXT_MAX
 * bytes. Return buffer. */
const char *units_format_duration(uint64_t duration_ns, char *buffer); /* "80ms", "1.5s" */
const char *units_format_offset(int64_t offset_ns, char *buffer);      /* "+2ms", "0s" */
const char *units_format_probability(uint32_t ppb, char *buffer);      /* "5%" */
const char *units_format_rate(uint64_t bytes_per_s, char *buffer);     /* "10mbit" */
const char *units_format_drift(int64_t drift_ppb, char *buffer);       /* "50ppm" */

#endif
