/* The live picture of `severctl watch`: what severd is, the links with what crosses them now, and
 * what has changed lately, in a window. Pure: answers in, lines out. */
#ifndef SEVER_CTL_LIVE_H
#define SEVER_CTL_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "proxy/base/text.h"

struct live_view {
    const char *url;
    json_t *status, *links, *faults; /* answers of GET /v1/status, /links, /faults */
    json_t *before;                  /* an earlier answer of /links; NULL: no rates yet */
    uint64_t interval_ns;            /* since then */
    const struct text *events;       /* the newest first */
    size_t event_count;
    bool colour;
    size_t width, height; /* of the window, in characters */
};

/* Appends the lines: at most `height` of at most `width` characters, each with its newline. Links
 * come with the busiest first; then those that are cut or have a fault, then all others. What the
 * window has no room for is counted in a line. */
void live_format(struct text *text, const struct live_view *view);

/* Appends what draws these lines over the ones that a terminal has, from its first on, and clears
 * what is below. The last line has no newline, so that nothing scrolls. */
void live_paint(struct text *text, const char *lines);

/* Appends `lines`, each clipped to `width` characters. Colours (ESC [ ... m) take no room, and one
 * that is on where a line is clipped ends there. */
void live_clip(struct text *text, const char *lines, size_t width);

/* "0", "950bit", "1.25Mbit", "84.1Gbit": three digits. */
void live_format_rate(struct text *text, uint64_t bytes_per_s);

#endif
