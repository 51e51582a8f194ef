/* Single values as text; the tables are in format_tables.c. */
#include "ctl/format.h"

#include <inttypes.h>
#include <string.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/units.h"

const char *format_string(json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

int64_t format_number(json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

bool format_true(json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

void format_size(struct text *text, uint64_t bytes)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    uint64_t one = 1;
    while (unit < 4 && bytes / one >= 1024) {
        one *= 1024;
        unit++;
    }
    uint64_t tenths = (bytes % one) * 10 / one;
    if (tenths)
        text_append(text, "%" PRIu64 ".%" PRIu64 "%s", bytes / one, tenths, units[unit]);
    else
        text_append(text, "%" PRIu64 "%s", bytes / one, units[unit]);
}

void format_count(struct text *text, int64_t count, const char *thing)
{
    text_append(text, "%" PRId64 " %s%s", count, thing, count == 1 ? "" : "s");
}

void format_uptime(struct text *text, uint64_t uptime_ns)
{
    uint64_t seconds = uptime_ns / NS_PER_S;
    if (seconds >= 86400)
        text_append(text, "%" PRIu64 "d%02" PRIu64 "h", seconds / 86400, seconds % 86400 / 3600);
    else if (seconds >= 3600)
        text_append(text, "%" PRIu64 "h%02" PRIu64 "m", seconds / 3600, seconds % 3600 / 60);
    else if (seconds >= 60)
        text_append(text, "%" PRIu64 "m%02" PRIu64 "s", seconds / 60, seconds % 60);
    else
        text_append(text, "%" PRIu64 "s", seconds);
}

void format_fault_place(struct text *text, json_t *fault)
{
    const char *route = format_string(fault, "route");
    const char *direction = format_string(fault, "direction");
    if (!route[0])
        text_append(text, "%s", format_string(fault, "link"));
    else if (!direction[0] || strcmp(direction, "both") == 0)
        text_append(text, "route %s", route);
    else
        text_append(text, "route %s %s", route, direction);
}

/* The index of the link that runs the other way, or SIZE_MAX. */
static size_t find_reverse(json_t *links, const char *link)
{
    const char *arrow = strstr(link, "->");
    size_t index;
    json_t *other;
    if (!arrow)
        return SIZE_MAX;
    size_t from_length = (size_t)(arrow - link), to_length = strlen(arrow + 2);
    json_array_foreach(links, index, other)
    {
        const char *text = json_string_value(other);
        if (text && strlen(text) == strlen(link) && memcmp(text, arrow + 2, to_length) == 0 &&
            memcmp(text + to_length, "->", 2) == 0 &&
            memcmp(text + to_length + 2, link, from_length) == 0)
            return index;
    }
    return SIZE_MAX;
}

void format_links_short(struct text *text, json_t *links, size_t limit)
{
    size_t index, shown = 0, more = 0;
    json_t *value;
    json_array_foreach(links, index, value)
    {
        const char *link = json_string_value(value);
        size_t reverse = link ? find_reverse(links, link) : SIZE_MAX;
        if (!link || reverse < index)
            continue; /* shown with its pair */
        if (shown == limit) {
            more++;
            continue;
        }
        const char *arrow = strstr(link, "->");
        text_append(text, "%s", shown++ ? " " : "");
        if (reverse == SIZE_MAX || reverse == index)
            text_append(text, "%s", link);
        else
            text_append(text, "%.*s<->%s", (int)(arrow - link), link, arrow + 2);
    }
    if (more)
        text_append(text, " and %zu more", more);
}

void format_clock_shift(struct text *text, json_t *clock)
{
    char buffer[UNITS_TEXT_MAX];
    int64_t offset_ns = format_number(clock, "offset_ns");
    int64_t drift_ppb = format_number(clock, "drift_ppb");
    if (!offset_ns && !drift_ppb)
        text_append(text, "true time");
    if (offset_ns)
        text_append(text, "%s", units_format_offset(offset_ns, buffer));
    if (drift_ppb)
        text_append(text, "%sdrift %s", offset_ns ? " " : "",
                    units_format_drift(drift_ppb, buffer));
}

static void append_changes(struct text *text, json_t *data)
{
    json_t *changes = json_object_get(data, "changes"), *change;
    size_t index;
    if (format_string(data, "by")[0])
        text_append(text, " by %s", format_string(data, "by"));
    json_array_foreach(changes, index, change)
        text_append(text, "%s %s", index ? ";" : ":", json_string_value(change));
}

void format_event(struct text *text, json_t *data)
{
    text_append(text, "ruleset %" PRId64, format_number(data, "version"));
    append_changes(text, data);
}

void format_lab_event(struct text *text, json_t *data)
{
    text_append(text, "lab");
    append_changes(text, data);
}
