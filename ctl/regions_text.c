/* Theory of operation. A line is taken word by word; its first word says what it is: a region, the
 * heading of the matrix, or a row of it. The heading wants all regions before it, and gives the
 * order of the columns. What each line needs to know is in struct reading; everything that is found
 * goes to its place in struct regions at once. */
#include "ctl/regions_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/units.h"
#include "proxy/fault/ruleset_text.h"

enum { SHOWN_BYTES = 40 }; /* of a word, in a message */

struct word {
    const char *bytes;
    size_t length; /* 0: the line is over */
};

struct reading {
    struct regions *regions;
    const char *next, *end; /* of the line */
    size_t line;
    size_t columns[REGIONS_MAX]; /* the region of each */
    size_t column_count;         /* 0: the heading has not come yet */
    bool has_row[REGIONS_MAX];
    unsigned ways; /* 2: delays are those of round trips */
    struct error *error;
};

static int __attribute__((format(printf, 3, 4)))
refuse(struct reading *reading, int code, const char *format, ...)
{
    char place[32], message[ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    snprintf(place, sizeof(place), "line %zu", reading->line);
    return error_set_at(reading->error, code, place, "%s", message);
}

static int shown(struct word word)
{
    return (int)(word.length < SHOWN_BYTES ? word.length : SHOWN_BYTES);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == ',';
}

static struct word next_word(struct reading *reading)
{
    while (reading->next < reading->end && is_blank(*reading->next))
        reading->next++;
    struct word word = {.bytes = reading->next};
    while (reading->next < reading->end && !is_blank(*reading->next))
        reading->next++;
    word.length = (size_t)(reading->next - word.bytes);
    return word;
}

static bool is(struct word word, const char *text)
{
    return word.length == strlen(text) && memcmp(word.bytes, text, word.length) == 0;
}

/* The word without the colon that it ends with; false when there is none. */
static bool strip_colon(struct word *word)
{
    bool colon = word->length > 0 && word->bytes[word->length - 1] == ':';
    word->length -= colon;
    return colon;
}

/* SIZE_MAX when there is none. */
static size_t find_region(const struct regions *regions, struct word word)
{
    for (size_t i = 0; i < regions->count; i++)
        if (is(word, regions->names[i]))
            return i;
    return SIZE_MAX;
}

static int add_node(struct reading *reading, struct word word)
{
    struct regions *regions = reading->regions;
    if (!ruleset_text_is_node_name(word.bytes, word.length))
        return refuse(reading, -EINVAL, "'%.*s' is no name of a node", shown(word), word.bytes);
    for (size_t i = 0; i < regions->node_count; i++)
        if (is(word, regions->nodes[i].name))
            return refuse(reading, -EINVAL, "node '%s' is in a region already, on line %zu",
                          regions->nodes[i].name, regions->nodes[i].line);
    if (regions->node_count == RULESET_NODES_MAX)
        return refuse(reading, -E2BIG, "more than %d nodes", RULESET_NODES_MAX);
    struct regions_node *node = &regions->nodes[regions->node_count++];
    *node = (struct regions_node){.region = regions->count - 1, .line = reading->line};
    memcpy(node->name, word.bytes, word.length);
    return 0;
}

static int read_region(struct reading *reading)
{
    struct regions *regions = reading->regions;
    struct word name = next_word(reading);
    bool colon = strip_colon(&name);
    if (reading->column_count)
        return refuse(reading, -EINVAL, "regions come before the delays");
    if (!colon || !ruleset_text_is_node_name(name.bytes, name.length))
        return refuse(reading, -EINVAL, "write a region as: region NAME: n1 n2");
    if (is(name, "region") || find_region(regions, name) != SIZE_MAX)
        return refuse(reading, -EINVAL, "the name '%.*s' is taken", shown(name), name.bytes);
    if (regions->count == REGIONS_MAX)
        return refuse(reading, -E2BIG, "more than %d regions", REGIONS_MAX);
    memset(regions->names[regions->count], 0, RULESET_NAME_MAX);
    memcpy(regions->names[regions->count++], name.bytes, name.length);
    for (struct word word; (word = next_word(reading)).length > 0;) {
        int code = add_node(reading, word);
        if (code)
            return code;
    }
    return 0;
}

static int read_heading(struct reading *reading, unsigned ways)
{
    const struct regions *regions = reading->regions;
    bool seen[REGIONS_MAX] = {false};
    if (reading->column_count)
        return refuse(reading, -EINVAL, "there is one matrix of delays");
    for (struct word word; (word = next_word(reading)).length > 0;) {
        size_t region = find_region(regions, word);
        if (region == SIZE_MAX)
            return refuse(reading, -EINVAL, "there is no region '%.*s'", shown(word), word.bytes);
        if (seen[region])
            return refuse(reading, -EINVAL, "region '%s' has a column already",
                          regions->names[region]);
        seen[region] = true;
        reading->columns[reading->column_count++] = region;
    }
    for (size_t i = 0; i < regions->count; i++)
        if (!seen[i])
            return refuse(reading, -EINVAL, "region '%s' has no column", regions->names[i]);
    reading->ways = ways;
    return regions->count ? 0 : refuse(reading, -EINVAL, "regions come before the delays");
}

static int read_delay(struct reading *reading, struct word word, struct regions_delay *delay)
{
    char text[UNITS_TEXT_MAX];
    struct error cause = {0};
    *delay = (struct regions_delay){0};
    if (is(word, "-"))
        return 0;
    if (word.length >= sizeof(text) || memchr(word.bytes, '\0', word.length))
        return refuse(reading, -EINVAL, "'%.*s' is no delay", shown(word), word.bytes);
    memcpy(text, word.bytes, word.length);
    text[word.length] = '\0';
    if (units_parse_duration_spread(text, &delay->delay_ns, &delay->jitter_ns, &cause))
        return refuse(reading, -EINVAL, "%s", cause.message);
    delay->delay_ns /= reading->ways;
    delay->jitter_ns /= reading->ways;
    if (delay->delay_ns > RULESET_DELAY_NS_MAX || delay->jitter_ns > RULESET_DELAY_NS_MAX)
        return refuse(reading, -EINVAL, "'%s' is out of range: a delay is at most one hour", text);
    return 0;
}

static int read_row(struct reading *reading, struct word name)
{
    struct regions *regions = reading->regions;
    (void)strip_colon(&name);
    size_t from = find_region(regions, name);
    if (!reading->column_count || from == SIZE_MAX)
        return refuse(reading, -EINVAL,
                      "'%.*s' is no region: write region NAME: NODES, then one-way: or round-trip: "
                      "with the regions, then a row for each",
                      shown(name), name.bytes);
    if (reading->has_row[from])
        return refuse(reading, -EINVAL, "region '%s' has a row already", regions->names[from]);
    reading->has_row[from] = true;
    for (size_t i = 0; i < reading->column_count; i++) {
        struct word word = next_word(reading);
        size_t to = reading->columns[i];
        if (word.length == 0)
            return refuse(reading, -EINVAL, "the delay from %s to %s is missing",
                          regions->names[from], regions->names[to]);
        int code = read_delay(reading, word, &regions->delays[from][to]);
        if (code)
            return code;
    }
    struct word more = next_word(reading);
    return more.length
               ? refuse(reading, -EINVAL, "'%.*s' is one delay too many", shown(more), more.bytes)
               : 0;
}

static int read_line(struct reading *reading)
{
    struct word first = next_word(reading);
    if (first.length == 0)
        return 0;
    if (is(first, "region"))
        return read_region(reading);
    if (is(first, "one-way:"))
        return read_heading(reading, 1);
    if (is(first, "round-trip:"))
        return read_heading(reading, 2);
    return read_row(reading, first);
}

int regions_parse(const char *text, size_t length, struct regions *regions, struct error *error)
{
    struct reading reading = {.regions = regions, .error = error};
    const char *end = text + length;
    regions->count = regions->node_count = 0;
    if (length > REGIONS_TEXT_BYTES_MAX)
        return error_set(error, -E2BIG, "a file of regions is at most %d bytes",
                         REGIONS_TEXT_BYTES_MAX);
    for (const char *line = text; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *line_end = newline ? newline : end;
        const char *comment = memchr(line, '#', (size_t)(line_end - line));
        reading.next = line;
        reading.end = comment ? comment : line_end;
        reading.line++;
        int code = read_line(&reading);
        if (code)
            return code;
        line = line_end + 1;
    }
    if (!reading.column_count)
        return error_set(error, -EINVAL,
                         "there are no delays: write one-way: or round-trip: with "
                         "the regions, then a row for each");
    for (size_t i = 0; i < regions->count; i++)
        if (!reading.has_row[i])
            return error_set(error, -EINVAL, "region '%s' has no row", regions->names[i]);
    return 0;
}

static void append_fault(json_t *faults, const struct regions_node *from,
                         const struct regions_node *to, bool both_ways,
                         const struct regions_delay *delay)
{
    char link[RULESET_LINK_TEXT_MAX], name[sizeof(REGIONS_PREFIX) + RULESET_LINK_TEXT_MAX];
    struct ruleset_link ends = {{0}, {0}};
    memcpy(ends.from, from->name, sizeof(ends.from));
    memcpy(ends.to, to->name, sizeof(ends.to));
    ruleset_format_link(&ends, both_ways, link);
    if (!delay->delay_ns && !delay->jitter_ns)
        return;
    snprintf(name, sizeof(name), "%s%s", REGIONS_PREFIX, link);
    json_array_append_new(faults,
                          json_pack("{s:s, s:s, s:s, s:I, s:I}", "name", name, "type", "latency",
                                    "link", link, "delay_ns", (json_int_t)delay->delay_ns,
                                    "jitter_ns", (json_int_t)delay->jitter_ns));
}

json_t *regions_make_faults(const struct regions *regions)
{
    json_t *faults = json_array();
    for (size_t i = 0; i < regions->node_count; i++)
        for (size_t j = i + 1; j < regions->node_count; j++) {
            const struct regions_node *a = &regions->nodes[i], *b = &regions->nodes[j];
            const struct regions_delay *there = &regions->delays[a->region][b->region];
            const struct regions_delay *back = &regions->delays[b->region][a->region];
            bool same = there->delay_ns == back->delay_ns && there->jitter_ns == back->jitter_ns;
            append_fault(faults, a, b, same, there);
            if (!same)
                append_fault(faults, b, a, false, back);
        }
    return faults;
}
