/* Whole answers as tables. */
#include "ctl/format.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "ctl/table.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/units.h"

enum { LINKS_SHOWN = 6 };

static void append_names(struct text *text, json_t *names)
{
    size_t index;
    json_t *name;
    json_array_foreach(names, index, name)
        text_append(text, "%s%s", index ? "," : "", json_string_value(name));
}

/* One cell from a function that appends. */
#define ADD_CELL(table, colour, call)                                                              \
    do {                                                                                           \
        struct text cell = {0};                                                                    \
        call;                                                                                      \
        table_add(table, colour, "%s", text_get(&cell));                                           \
        text_free(&cell);                                                                          \
    } while (0)

static void append_cut_summary(struct text *text, json_t *status)
{
    json_t *partitions = json_object_get(status, "partitions");
    json_t *cut = json_object_get(json_object_get(status, "mechanisms"), "cut");
    if (json_array_size(partitions) == 0) {
        text_append(text, "partitions   none: every link is open\n");
    } else {
        text_append(text, "partitions   ");
        append_names(text, partitions);
        text_append(text, ": ");
        format_count(text, format_number(status, "cut_links"), "link");
        text_append(text, " cut\n");
    }
    if (cut) {
        const char *lab = format_string(cut, "lab");
        text_append(text, "a cut is     %s%s%sTCP routes: %s; UDP routes: %s\n",
                    lab[0] ? "the lab: " : "", lab, lab[0] ? "; " : "", format_string(cut, "tcp"),
                    format_string(cut, "udp"));
    }
}

static void append_lateness(struct text *text, json_t *lateness)
{
    static const struct {
        const char *key, *name;
    } points[] = {{"p50", "p50"}, {"p99", "p99"}, {"p999", "p99.9"}};
    char buffer[UNITS_TEXT_MAX];
    if (format_number(lateness, "count") == 0)
        return;
    text_append(text, "timers late ");
    for (size_t i = 0; i < 3; i++)
        text_append(
            text, " %s %s", points[i].name,
            units_format_duration((uint64_t)format_number(lateness, points[i].key), buffer));
    text_append(text, " (of %" PRId64 ")\n", format_number(lateness, "count"));
}

void format_status(struct text *text, json_t *status, const char *url)
{
    json_t *connections = json_object_get(status, "connections");
    json_t *sessions = json_object_get(status, "sessions");
    text_append(text, "%s %s at %s, pid %" PRId64 ", ", format_string(status, "program"),
                format_string(status, "program_version"), url, format_number(status, "pid"));
    format_count(text, format_number(status, "workers"), "worker");
    text_append(text, ", up ");
    format_uptime(text, (uint64_t)format_number(status, "uptime_ns"));
    json_t *lab = json_object_get(status, "lab");
    if (lab) {
        text_append(text, "\nlab          ");
        format_count(text, format_number(lab, "nodes"), "node");
        text_append(text, " (severctl lab status)");
    }
    text_append(text, "\nruleset      %" PRId64 ": ", format_number(status, "ruleset_version"));
    format_count(text, format_number(status, "nodes"), "node");
    text_append(text, ", ");
    format_count(text, format_number(status, "routes"), "route");
    text_append(text, ", ");
    format_count(text, format_number(status, "faults"), "fault");
    text_append(text, "\n");
    append_cut_summary(text, status);
    text_append(text,
                "connections  %" PRId64 " open of %" PRId64 "; UDP sessions %" PRId64
                " open of %" PRId64 "\n",
                format_number(connections, "open"), format_number(connections, "total"),
                format_number(sessions, "open"), format_number(sessions, "total"));
    append_lateness(text, json_object_get(status, "timer_lateness_ns"));
}

void format_nodes(struct text *text, json_t *answer, bool colour)
{
    json_t *nodes = json_object_get(answer, "nodes"), *node;
    size_t index;
    if (json_array_size(nodes) == 0) {
        text_append(text, "no nodes: add one with severctl nodes add NAME\n");
        return;
    }
    struct table table;
    table_begin(&table, (const char *const[]){"NODE", "KIND", "ADDRESSES", NULL});
    json_array_foreach(nodes, index, node)
    {
        table_add(&table, TABLE_PLAIN, "%s", format_string(node, "name"));
        table_add(&table, TABLE_PLAIN, "%s", format_string(node, "kind"));
        ADD_CELL(&table, TABLE_PLAIN, append_names(&cell, json_object_get(node, "addresses")));
    }
    table_end(&table, colour, text);
}

static void add_link_state(struct table *table, json_t *link)
{
    bool open = format_true(link, "open");
    bool slowed = json_array_size(json_object_get(link, "faults")) > 0;
    enum table_colour colour = !open ? TABLE_RED : slowed ? TABLE_YELLOW : TABLE_GREEN;
    table_add(table, TABLE_PLAIN, "%s", format_string(link, "link"));
    table_add(table, colour, "%s", open ? "open" : "cut");
    ADD_CELL(table, TABLE_PLAIN, append_names(&cell, json_object_get(link, "partitions")));
    ADD_CELL(table, TABLE_PLAIN, append_names(&cell, json_object_get(link, "faults")));
}

static uint64_t dropped(json_t *link)
{
    json_t *causes = json_object_get(link, "dropped");
    return (uint64_t)(format_number(causes, "cut") + format_number(causes, "loss") +
                      format_number(causes, "queue") + format_number(causes, "reject") +
                      format_number(causes, "discard"));
}

static bool links_are_empty(struct text *text, json_t *links)
{
    if (json_array_size(links) > 0)
        return false;
    text_append(text, "no links: a link joins two nodes (severctl nodes)\n");
    return true;
}

void format_links(struct text *text, json_t *answer, bool colour)
{
    json_t *links = json_object_get(answer, "links"), *link;
    size_t index;
    if (links_are_empty(text, links))
        return;
    struct table table;
    table_begin(&table,
                (const char *const[]){"LINK", "STATE", "PARTITIONS", "FAULTS", ">CONNS", ">UNITS",
                                      ">BYTES", ">DROPPED", ">HELD", ">REFUSED", NULL});
    json_array_foreach(links, index, link)
    {
        add_link_state(&table, link);
        table_add(&table, TABLE_PLAIN, "%" PRId64, format_number(link, "connections"));
        table_add(&table, TABLE_PLAIN, "%" PRId64, format_number(link, "units"));
        ADD_CELL(&table, TABLE_PLAIN, format_size(&cell, (uint64_t)format_number(link, "bytes")));
        table_add(&table, TABLE_PLAIN, "%" PRIu64, dropped(link));
        ADD_CELL(&table, TABLE_PLAIN,
                 format_size(&cell, (uint64_t)format_number(link, "held_bytes")));
        table_add(&table, TABLE_PLAIN, "%" PRId64, format_number(link, "refused"));
    }
    table_end(&table, colour, text);
}

static void add_route(struct table *table, json_t *route)
{
    const char *failure = format_string(route, "error");
    const char *listening = format_string(route, "listening");
    table_add(table, TABLE_PLAIN, "%s", format_string(route, "name"));
    table_add(table, TABLE_PLAIN, "%s", format_string(route, "protocol"));
    table_add(table, TABLE_PLAIN, "%s", listening[0] ? listening : format_string(route, "listen"));
    table_add(table, TABLE_PLAIN, "%s", format_string(route, "upstream"));
    const char *from = format_string(route, "from"), *to = format_string(route, "to");
    table_add(table, TABLE_PLAIN, "%s", from[0] ? from : "by address");
    table_add(table, TABLE_PLAIN, "%s", to[0] ? to : "-");
    if (failure[0])
        table_add(table, TABLE_RED, "%s", failure);
    else if (!format_true(route, "enabled"))
        table_add(table, TABLE_YELLOW, "disabled");
    else
        table_add(table, TABLE_GREEN, "%s", listening[0] ? "listening" : "enabled");
}

void format_routes(struct text *text, json_t *answer, bool colour)
{
    json_t *routes = json_object_get(answer, "routes"), *route;
    size_t index;
    if (json_array_size(routes) == 0) {
        text_append(text, "no routes: add one with severctl routes add NAME LISTEN UPSTREAM\n");
        return;
    }
    struct table table;
    table_begin(&table, (const char *const[]){"ROUTE", "PROTOCOL", "LISTEN", "UPSTREAM", "FROM",
                                              "TO", "STATE", NULL});
    json_array_foreach(routes, index, route) add_route(&table, route);
    table_end(&table, colour, text);
}

static void append_moment(struct text *text, json_t *thing)
{
    time_t seconds = (time_t)(format_number(thing, "set_at_ns") / (int64_t)NS_PER_S);
    struct tm moment;
    char buffer[32];
    if (!seconds || !gmtime_r(&seconds, &moment))
        return;
    strftime(buffer, sizeof(buffer), "%Y-%m-%dT%H:%M:%SZ", &moment);
    text_append(text, "%s", buffer);
}

void format_partitions(struct text *text, json_t *answer, bool colour)
{
    json_t *partitions = json_object_get(answer, "partitions"), *partition;
    size_t index;
    if (json_array_size(partitions) == 0) {
        text_append(text, "no partitions: every link is open\n");
        return;
    }
    struct table table;
    table_begin(&table, (const char *const[]){"PARTITION", "SET BY", "SET AT", "LINKS CUT", NULL});
    json_array_foreach(partitions, index, partition)
    {
        table_add(&table, TABLE_RED, "%s", format_string(partition, "name"));
        table_add(&table, TABLE_PLAIN, "%s", format_string(partition, "set_by"));
        ADD_CELL(&table, TABLE_PLAIN, append_moment(&cell, partition));
        ADD_CELL(&table, TABLE_PLAIN,
                 format_links_short(&cell, json_object_get(partition, "links"), LINKS_SHOWN));
    }
    table_end(&table, colour, text);
}

void format_faults(struct text *text, json_t *answer, bool colour)
{
    json_t *faults = json_object_get(answer, "faults"), *fault;
    size_t index;
    if (json_array_size(faults) == 0) {
        text_append(text, "no faults\n");
        return;
    }
    struct table table;
    table_begin(&table, (const char *const[]){"FAULT", "TYPE", "WHERE", "PARAMETERS", ">TOUCHED",
                                              "SET BY", "SET AT", "APPLIES TO", NULL});
    json_array_foreach(faults, index, fault)
    {
        table_add(&table, TABLE_YELLOW, "%s", format_string(fault, "name"));
        table_add(&table, TABLE_PLAIN, "%s", format_string(fault, "type"));
        ADD_CELL(&table, TABLE_PLAIN, format_fault_place(&cell, fault));
        ADD_CELL(&table, TABLE_PLAIN, format_fault_parameters(&cell, fault));
        table_add(&table, TABLE_PLAIN, "%" PRId64, format_number(fault, "touched"));
        table_add(&table, TABLE_PLAIN, "%s", format_string(fault, "set_by"));
        ADD_CELL(&table, TABLE_PLAIN, append_moment(&cell, fault));
        table_add(&table, TABLE_PLAIN, "%s", format_string(fault, "applied"));
    }
    table_end(&table, colour, text);
}

void format_clocks(struct text *text, json_t *answer, bool colour)
{
    json_t *clocks = json_object_get(answer, "clocks"), *clock;
    size_t index;
    if (json_array_size(clocks) == 0) {
        text_append(text, "no clocks: each node has one (severctl nodes)\n");
        return;
    }
    struct table table;
    table_begin(&table, (const char *const[]){"NODE", "CLOCK", "PAGE", NULL});
    json_array_foreach(clocks, index, clock)
    {
        bool shifted = format_number(clock, "offset_ns") || format_number(clock, "drift_ppb");
        table_add(&table, TABLE_PLAIN, "%s", format_string(clock, "node"));
        ADD_CELL(&table, shifted ? TABLE_YELLOW : TABLE_GREEN, format_clock_shift(&cell, clock));
        table_add(&table, TABLE_PLAIN, "%s", format_string(clock, "page"));
    }
    table_end(&table, colour, text);
}

void format_tables(struct text *text, json_t *answer, bool colour)
{
    json_t *tables = json_object_get(answer, "tables"), *row;
    size_t index;
    if (json_array_size(tables) == 0) {
        text_append(text, "no tables: add one with severctl tables add NAME FILE\n");
        return;
    }
    struct table table;
    table_begin(&table, (const char *const[]){"TABLE", ">VALUES", "USED BY", NULL});
    json_array_foreach(tables, index, row)
    {
        table_add(&table, TABLE_PLAIN, "%s", format_string(row, "name"));
        table_add(&table, TABLE_PLAIN, "%" PRId64, format_number(row, "value_count"));
        ADD_CELL(&table, TABLE_PLAIN, append_names(&cell, json_object_get(row, "used_by")));
    }
    table_end(&table, colour, text);
}

static void add_check(struct table *table, json_t *check)
{
    table_add(table, TABLE_PLAIN, "%s", format_string(check, "name"));
    if (format_true(check, "ok"))
        table_add(table, TABLE_GREEN, "ok");
    else if (format_true(check, "needed"))
        table_add(table, TABLE_RED, "MISSING");
    else
        table_add(table, TABLE_YELLOW, "no");
    table_add(table, TABLE_PLAIN, "%s", format_string(check, "found"));
    table_add(table, TABLE_PLAIN, "%s", format_string(check, "means"));
}

void format_doctor(struct text *text, json_t *answer, bool colour)
{
    json_t *checks = json_object_get(answer, "checks"), *check;
    size_t index, advised = 0;
    struct table table;
    table_begin(&table, (const char *const[]){"CHECK", "STATE", "FOUND", "WHAT FOLLOWS", NULL});
    json_array_foreach(checks, index, check) add_check(&table, check);
    table_end(&table, colour, text);
    json_array_foreach(checks, index, check)
    {
        if (format_true(check, "ok") || !format_string(check, "advice")[0])
            continue;
        text_append(text, "%s  %s: %s\n", advised++ ? "" : "\nWhat to do:\n",
                    format_string(check, "name"), format_string(check, "advice"));
    }
}
