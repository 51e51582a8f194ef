/* Labs as tables. */
#include "ctl/format.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/table.h"

static void add_addresses(struct table *table, json_t *node)
{
    struct text cell = {0};
    json_t *address;
    size_t index;
    json_array_foreach(json_object_get(node, "addresses"), index, address)
        text_append(&cell, "%s%s", index ? " " : "", json_string_value(address));
    table_add(table, TABLE_PLAIN, "%s", text_get(&cell));
    text_free(&cell);
}

static void append_nodes(struct text *text, json_t *lab, bool colour)
{
    json_t *node;
    size_t index;
    struct table table;
    table_begin(&table,
                (const char *const[]){"NODE", "KIND", "STATE", "ADDRESSES", ">PID", ">LOST", NULL});
    json_array_foreach(json_object_get(lab, "nodes"), index, node)
    {
        bool running = format_true(node, "running");
        int64_t lost = format_number(node, "lost");
        table_add(&table, TABLE_PLAIN, "%s", format_string(node, "name"));
        table_add(&table, TABLE_PLAIN, "%s", format_string(node, "kind"));
        table_add(&table, running ? TABLE_GREEN : TABLE_RED, running ? "running" : "ended");
        add_addresses(&table, node);
        table_add(&table, TABLE_PLAIN, "%" PRId64, format_number(node, "pid"));
        table_add(&table, lost ? TABLE_RED : TABLE_PLAIN, "%" PRId64, lost);
    }
    table_end(&table, colour, text);
}

static void append_ports(struct text *text, json_t *ports, bool colour)
{
    json_t *port;
    size_t index;
    struct table table;
    if (json_array_size(ports) == 0)
        return;
    text_append(text, "\n");
    table_begin(&table, (const char *const[]){"LISTEN", "NODE", ">PORT", NULL});
    json_array_foreach(ports, index, port)
    {
        table_add(&table, TABLE_PLAIN, "%s", format_string(port, "listen"));
        table_add(&table, TABLE_PLAIN, "%s", format_string(port, "node"));
        table_add(&table, TABLE_PLAIN, "%" PRId64, format_number(port, "port"));
    }
    table_end(&table, colour, text);
}

void format_lab(struct text *text, json_t *answer, bool colour)
{
    if (!format_true(answer, "up")) {
        text_append(text, "no lab: severctl lab up 3 starts one\n");
        return;
    }
    append_nodes(text, answer, colour);
    append_ports(text, json_object_get(answer, "ports"), colour);
}

void format_lab_connections(struct text *text, json_t *answer, bool colour)
{
    json_t *connections = json_object_get(answer, "connections"), *connection;
    size_t index;
    struct table table;
    if (json_array_size(connections) == 0) {
        text_append(text, "no TCP connections in the lab\n");
        return;
    }
    table_begin(&table, (const char *const[]){"NODE", "LOCAL", "REMOTE", "TO", "STATE", "CUT",
                                              ">RETRANSMITS", NULL});
    json_array_foreach(connections, index, connection)
    {
        const char *cut = format_string(connection, "cut"), *to = format_string(connection, "to");
        bool is_cut = strcmp(cut, "none") != 0;
        table_add(&table, TABLE_PLAIN, "%s", format_string(connection, "node"));
        table_add(&table, TABLE_PLAIN, "%s", format_string(connection, "local"));
        table_add(&table, TABLE_PLAIN, "%s", format_string(connection, "remote"));
        table_add(&table, TABLE_PLAIN, "%s", to[0] ? to : "-");
        table_add(&table, TABLE_PLAIN, "%s", format_string(connection, "state"));
        table_add(&table, is_cut ? TABLE_RED : TABLE_PLAIN, "%s", cut);
        table_add(&table, TABLE_PLAIN, "%" PRId64, format_number(connection, "retransmits"));
    }
    table_end(&table, colour, text);
    if (format_number(answer, "more"))
        text_append(text, "and %" PRId64 " more\n", format_number(answer, "more"));
}
