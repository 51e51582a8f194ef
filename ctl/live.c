/* Theory of operation. Rates are differences of counters between two answers. Links are ranked by
 * what crosses them and is dropped, and only those that the window has room for become a table,
 * which is then clipped to its width: the columns stand in the order of their weight. */
#include "ctl/live.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/format.h"
#include "ctl/regions_text.h"
#include "ctl/table.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/units.h"

enum {
    SHORT_WINDOW = 20, /* below, the status has two lines */
    STATUS_LINES = 2,
    EVENTS_PART = 4, /* of the lines below the status, at most one in so many is an event */
};

struct live_row {
    json_t *link, *before;
    uint64_t units_per_s, bytes_per_s, activity;
    unsigned rank; /* 0: cut, 1: with a fault, 2: neither */
    size_t index;
};

/* What was gained a second; 0 without an earlier value, or when severd began anew meanwhile. */
static uint64_t per_second(json_t *now, json_t *before, const char *key, uint64_t interval_ns)
{
    uint64_t after = (uint64_t)format_number(now, key);
    uint64_t earlier = (uint64_t)format_number(before, key);
    if (!before || after < earlier || interval_ns == 0)
        return 0;
    unsigned __int128 gained = (unsigned __int128)(after - earlier) * NS_PER_S;
    return (uint64_t)((gained + interval_ns / 2) / interval_ns);
}

/* The same link in an earlier answer: at the same place, as long as no node came or went. */
static json_t *find_before(json_t *answer, json_t *link, size_t index)
{
    json_t *links = json_object_get(answer, "links"), *other = json_array_get(links, index);
    const char *name = format_string(link, "link");
    if (!answer || strcmp(format_string(other, "link"), name) == 0)
        return other;
    json_array_foreach(links, index,
                       other) if (strcmp(format_string(other, "link"), name) == 0) return other;
    return NULL;
}

static struct live_row make_row(const struct live_view *view, json_t *link, size_t index)
{
    struct live_row row = {
        .link = link, .before = find_before(view->before, link, index), .index = index};
    json_t *dropped = json_object_get(link, "dropped"), *value;
    const char *cause;
    row.units_per_s = per_second(link, row.before, "units", view->interval_ns);
    row.bytes_per_s = per_second(link, row.before, "bytes", view->interval_ns);
    row.activity = row.units_per_s;
    json_object_foreach(dropped, cause, value) row.activity +=
        per_second(dropped, json_object_get(row.before, "dropped"), cause, view->interval_ns);
    bool slowed = json_array_size(json_object_get(link, "faults")) > 0;
    row.rank = !format_true(link, "open") ? 0 : slowed ? 1 : 2;
    return row;
}

static int compare(const void *a, const void *b)
{
    const struct live_row *one = a, *other = b;
    if (one->activity != other->activity)
        return one->activity > other->activity ? -1 : 1;
    if (one->rank != other->rank)
        return one->rank < other->rank ? -1 : 1;
    return one->index < other->index ? -1 : 1;
}

void live_format_rate(struct text *text, uint64_t bytes_per_s)
{
    static const char *const units[] = {"bit", "kbit", "Mbit", "Gbit", "Tbit"};
    double value = (double)bytes_per_s * 8;
    size_t unit = 0;
    for (; value >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
        value /= 1000;
    int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    if (bytes_per_s == 0)
        text_append(text, "0");
    else
        text_append(text, "%.*f%s", digits, value, units[unit]);
}

static void append_drops(struct text *text, const struct live_row *row, uint64_t interval_ns)
{
    json_t *dropped = json_object_get(row->link, "dropped"), *value;
    json_t *before = json_object_get(row->before, "dropped");
    const char *cause;
    json_object_foreach(dropped, cause, value)
    {
        uint64_t drops = per_second(dropped, before, cause, interval_ns);
        if (drops)
            text_append(text, "%s%s %" PRIu64, text->length ? " " : "", cause, drops);
    }
}

/* "80ms±20ms+5ms": what the latency faults among its faults ask for. */
static void append_delay(struct text *text, json_t *faults, json_t *by_name)
{
    char buffer[UNITS_TEXT_MAX];
    json_t *name;
    size_t index;
    json_array_foreach(faults, index, name)
    {
        json_t *fault = json_object_get(by_name, json_string_value(name));
        uint64_t jitter_ns = (uint64_t)format_number(fault, "jitter_ns");
        if (strcmp(format_string(fault, "type"), "latency") != 0)
            continue;
        text_append(text, "%s%s", text->length ? "+" : "",
                    units_format_duration((uint64_t)format_number(fault, "delay_ns"), buffer));
        if (jitter_ns)
            text_append(text, "±%s", units_format_duration(jitter_ns, buffer));
    }
}

/* The delays between regions are in a column already, and are many. */
static void append_names(struct text *text, json_t *names)
{
    json_t *name;
    size_t index;
    json_array_foreach(names, index, name)
    {
        const char *shown = json_string_value(name);
        if (shown && strncmp(shown, REGIONS_PREFIX, strlen(REGIONS_PREFIX)) != 0)
            text_append(text, "%s%s", text->length ? "," : "", shown);
    }
}

static void add_row(struct table *table, const struct live_row *row, json_t *by_name,
                    uint64_t interval_ns)
{
    static const enum table_colour colours[] = {TABLE_RED, TABLE_YELLOW, TABLE_GREEN};
    json_t *faults = json_object_get(row->link, "faults");
    struct text cell = {0};
    table_add(table, TABLE_PLAIN, "%s", format_string(row->link, "link"));
    table_add(table, colours[row->rank], "%s", row->rank ? "open" : "cut");
    table_add(table, TABLE_PLAIN, "%" PRIu64, row->units_per_s);
    live_format_rate(&cell, row->bytes_per_s);
    table_add(table, TABLE_PLAIN, "%s", text_get(&cell));
    text_clear(&cell);
    append_drops(&cell, row, interval_ns);
    table_add(table, TABLE_RED, "%s", text_get(&cell));
    text_clear(&cell);
    append_delay(&cell, faults, by_name);
    table_add(table, TABLE_PLAIN, "%s", text_get(&cell));
    text_clear(&cell);
    table_add(table, TABLE_PLAIN, "%" PRId64, format_number(row->link, "connections"));
    format_size(&cell, (uint64_t)format_number(row->link, "held_bytes"));
    table_add(table, TABLE_PLAIN, "%s", text_get(&cell));
    text_clear(&cell);
    append_names(&cell, json_object_get(row->link, "partitions"));
    table_add(table, TABLE_RED, "%s", text_get(&cell));
    text_clear(&cell);
    append_names(&cell, faults);
    table_add(table, TABLE_YELLOW, "%s", text_get(&cell));
    text_free(&cell);
}

/* New reference: each fault by its name. */
static json_t *index_faults(json_t *answer)
{
    json_t *by_name = json_object(), *fault;
    size_t index;
    json_array_foreach(json_object_get(answer, "faults"), index, fault)
        json_object_set(by_name, format_string(fault, "name"), fault);
    return by_name;
}

/* lines: how many there are for heading and links. */
static void append_links(struct text *text, const struct live_view *view, size_t lines)
{
    json_t *links = json_object_get(view->links, "links"), *link;
    size_t count = json_array_size(links), index, shown;
    struct live_row *rows = memory_allocate_zeroed(count + 1, sizeof(*rows));
    struct table table;
    if (count == 0)
        text_append(text, "no links: a link joins two nodes (severctl nodes)\n");
    json_array_foreach(links, index, link) rows[index] = make_row(view, link, index);
    qsort(rows, count, sizeof(*rows), compare);
    shown = lines < 2 ? 0 : count < lines ? count : lines - 2; /* heading, and how many more */
    json_t *by_name = index_faults(view->faults);
    if (shown > 0) {
        table_begin(&table,
                    (const char *const[]){"LINK", "STATE", ">UNITS/S", ">RATE", "DROPS/S", "DELAY",
                                          ">CONNS", ">HELD", "PARTITIONS", "FAULTS", NULL});
        for (size_t i = 0; i < shown; i++)
            add_row(&table, &rows[i], by_name, view->interval_ns);
        table_end(&table, view->colour, text);
    }
    if (shown < count)
        text_append(text, "and %zu more links\n", count - shown);
    json_decref(by_name);
    free(rows);
}

void live_clip(struct text *text, const char *lines, size_t width)
{
    size_t column = 0;
    bool coloured = false;
    for (const char *at = lines; *at; at++) {
        size_t escape = at[0] == '\033' && at[1] == '[' ? 3 + strspn(at + 2, "0123456789;") : 0;
        if (escape && at[escape - 1] == 'm') {
            if (column < width || coloured) /* one that is on ends there */
                text_append_bytes(text, at, escape);
            coloured = column < width && at[escape - 2] != '0';
            at += escape - 1;
            continue;
        }
        if (*at == '\n') {
            text_append(text, "%s\n", coloured ? "\033[0m" : "");
            column = 0;
            coloured = false;
            continue;
        }
        bool begins = ((unsigned char)*at & 0xc0) != 0x80;
        column += begins;
        if (column <= width)
            text_append_bytes(text, at, 1);
    }
}

/* The first `count` lines. */
static void append_lines(struct text *text, const char *lines, size_t count)
{
    for (; count > 0 && *lines; count--) {
        size_t length = strcspn(lines, "\n") + 1;
        text_append_bytes(text, lines, length);
        lines += length;
    }
}

static size_t count_lines(const char *lines)
{
    size_t count = 0;
    for (; *lines; lines++)
        count += *lines == '\n';
    return count;
}

void live_format(struct text *text, const struct live_view *view)
{
    struct text all = {0}, status = {0}, fitting = {0};
    format_status(&status, view->status, view->url);
    size_t lines = count_lines(text_get(&status));
    if (view->height < SHORT_WINDOW && lines > STATUS_LINES)
        lines = STATUS_LINES;
    append_lines(&all, text_get(&status), lines);
    text_append(&all, "\n");
    size_t left = view->height > lines + 1 ? view->height - lines - 1 : 0;
    size_t events = left / EVENTS_PART;
    events = view->event_count < events ? view->event_count : events;
    append_links(&all, view, events ? left - events - 1 : left);
    if (events)
        text_append(&all, "\n");
    for (size_t i = 0; i < events; i++)
        text_append(&all, "%s\n", text_get(&view->events[i]));
    append_lines(&fitting, text_get(&all), view->height);
    live_clip(text, text_get(&fitting), view->width);
    text_free(&fitting);
    text_free(&status);
    text_free(&all);
}

void live_paint(struct text *text, const char *lines)
{
    text_append(text, "\033[H");
    while (*lines) {
        size_t length = strcspn(lines, "\n");
        text_append_bytes(text, lines, length);
        text_append(text, "\033[K");
        lines += length + (lines[length] == '\n');
        if (*lines)
            text_append(text, "\r\n");
    }
    text_append(text, "\033[J");
}
