/* /v1/status and /v1/links.
 *
 * Theory of operation. A partition may hold a quarter of a million links, so links are counted and
 * listed through a matrix over the nodes, whose indices a sorted list of names finds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/api/internal.h"
#include "proxy/base/text.h"
#include "proxy/base/version.h"

/* --- nodes by name --- */

struct node_index {
    struct {
        const char *name;
        size_t index;
    } sorted[RULESET_NODES_MAX];
    size_t count;
};

static int compare_names(const void *a, const void *b)
{
    const char *const *one = a, *const *other = b; /* the name is first */
    return strcmp(*one, *other);
}

static void index_nodes(struct node_index *index, const struct ruleset *ruleset)
{
    index->count = ruleset->node_count;
    for (size_t i = 0; i < index->count; i++) {
        index->sorted[i].name = ruleset->nodes[i].name;
        index->sorted[i].index = i;
    }
    qsort(index->sorted, index->count, sizeof(index->sorted[0]), compare_names);
}

/* SIZE_MAX when there is no such node. */
static size_t find_node(const struct node_index *index, const char *name)
{
    const void *found =
        bsearch(&name, index->sorted, index->count, sizeof(index->sorted[0]), compare_names);
    if (!found)
        return SIZE_MAX;
    size_t offset = (size_t)((const char *)found - (const char *)index->sorted);
    return index->sorted[offset / sizeof(index->sorted[0])].index;
}

/* The nodes that one end of a link stands for: [*first, *end). */
static void range_of(const struct node_index *index, const char *name, size_t *first, size_t *end)
{
    size_t found = find_node(index, name);
    *first = found == SIZE_MAX ? 0 : found;
    *end = found == SIZE_MAX ? 0 : found + 1;
    if (strcmp(name, "*") == 0) {
        *first = 0;
        *end = index->count;
    }
}

/* --- names on links --- */

/* For each ordered pair of nodes the names of what is on it; NULL for nothing. */
struct link_names {
    const struct node_index *index;
    json_t **names; /* [from * count + to] */
};

static void add_name(const struct link_names *on, const char *from, const char *to,
                     const char *name)
{
    size_t from_first, from_end, to_first, to_end;
    range_of(on->index, from, &from_first, &from_end);
    range_of(on->index, to, &to_first, &to_end);
    for (size_t f = from_first; f < from_end; f++)
        for (size_t t = to_first; t < to_end; t++) {
            json_t **names = &on->names[f * on->index->count + t];
            if (f == t)
                continue;
            if (!*names)
                *names = json_array();
            size_t count = json_array_size(*names);
            const char *last = json_string_value(json_array_get(*names, count - 1));
            if (!last || strcmp(last, name) != 0)
                json_array_append_new(*names, json_string(name));
        }
}

static struct link_names list_partitions(const struct ruleset *ruleset,
                                         const struct node_index *index)
{
    struct link_names on = {
        .index = index,
        .names = memory_allocate_zeroed(index->count * index->count + 1, sizeof(json_t *))};
    for (size_t i = 0; i < ruleset->partition_count; i++) {
        const struct ruleset_partition *partition = &ruleset->partitions[i];
        for (size_t l = 0; l < partition->link_count; l++)
            add_name(&on, partition->ends[partition->links[l].from],
                     partition->ends[partition->links[l].to], partition->name);
    }
    return on;
}

static struct link_names list_faults(const struct ruleset *ruleset, const struct node_index *index)
{
    struct link_names on = {
        .index = index,
        .names = memory_allocate_zeroed(index->count * index->count + 1, sizeof(json_t *))};
    for (size_t i = 0; i < ruleset->fault_count; i++) {
        const struct ruleset_fault *fault = &ruleset->faults[i];
        if (fault->route[0])
            continue;
        add_name(&on, fault->link.from, fault->link.to, fault->name);
        if (fault->both_ways)
            add_name(&on, fault->link.to, fault->link.from, fault->name);
    }
    return on;
}

static void free_names(struct link_names *on)
{
    for (size_t i = 0; i < on->index->count * on->index->count; i++)
        json_decref(on->names[i]);
    free(on->names);
}

/* A new reference. */
static json_t *names_at(const struct link_names *on, size_t from, size_t to)
{
    json_t *names = on->names[from * on->index->count + to];
    return names ? json_incref(names) : json_array();
}

static size_t count_cut_links(const struct ruleset *ruleset)
{
    struct node_index index;
    size_t cut = 0;
    index_nodes(&index, ruleset);
    struct link_names on = list_partitions(ruleset, &index);
    for (size_t i = 0; i < index.count * index.count; i++)
        cut += on.names[i] != NULL;
    free_names(&on);
    return cut;
}

/* --- answers --- */

static json_t *count(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* partitions, faults: new references, taken over. */
static json_t *encode_dropped(const struct api_link_state *state)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "cut", count(state->dropped_cut), "loss",
                     count(state->dropped_loss), "queue", count(state->dropped_queue), "reject",
                     count(state->dropped_reject), "discard", count(state->dropped_discard));
}

static json_t *encode_link(const struct api_call *call, const char *from, const char *to,
                           json_t *partitions, json_t *faults)
{
    char text[RULESET_LINK_TEXT_MAX];
    struct ruleset_link link = {0};
    struct api_link_state state = {0};
    const struct api_backend *backend = &call->api->backend;
    backend->link_state(backend->context, from, to, &state);
    memcpy(link.from, from, strlen(from));
    memcpy(link.to, to, strlen(to));
    return json_pack("{s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "link",
                     ruleset_format_link(&link, false, text), "open",
                     json_array_size(partitions) == 0, "partitions", partitions, "faults", faults,
                     "units", count(state.units), "bytes", count(state.bytes), "dropped",
                     encode_dropped(&state), "held_bytes", count(state.held_bytes),
                     "held_connections", count(state.held_connections), "connections",
                     count(state.connections), "refused", count(state.refused));
}

int api_list_links(struct api_call *call, struct error *error)
{
    const struct ruleset *ruleset = api_current(call);
    char node[API_SEGMENT_MAX];
    bool limited;
    int code = api_get_query(call, "node", node, &limited, error);
    if (code < 0)
        return code;
    if (limited && !ruleset_find_node(ruleset, node))
        return ruleset_no_such_node(ruleset, node, -ENOENT, "node", error);
    struct node_index index;
    index_nodes(&index, ruleset);
    struct link_names partitions = list_partitions(ruleset, &index);
    struct link_names faults = list_faults(ruleset, &index);
    json_t *links = json_array();
    for (size_t f = 0; f < ruleset->node_count; f++)
        for (size_t t = 0; t < ruleset->node_count; t++) {
            const char *from = ruleset->nodes[f].name, *to = ruleset->nodes[t].name;
            if (f == t || (limited && strcmp(from, node) != 0 && strcmp(to, node) != 0))
                continue;
            json_array_append_new(links, encode_link(call, from, to, names_at(&partitions, f, t),
                                                     names_at(&faults, f, t)));
        }
    free_names(&partitions);
    free_names(&faults);
    call->answer = json_pack("{s:o}", "links", links);
    return API_OK;
}

json_t *api_cut_mechanism(const struct api_status *status)
{
    json_t *cut = json_pack("{s:o, s:o}", "tcp", api_json_text(status->cut_tcp), "udp",
                            api_json_text(status->cut_udp));
    if (status->cut_lab)
        json_object_set_new(cut, "lab", api_json_text(status->cut_lab));
    return cut;
}

static json_t *encode_mechanisms(const struct api_status *status)
{
    return json_pack("{s:o, s:{s:b, s:b}, s:{s:o, s:o}}", "cut", api_cut_mechanism(status), "loss",
                     "tcp", status->loss_tcp, "udp", 1, "clock", "library",
                     api_json_text(status->clock_library), "directory",
                     api_json_text(status->clock_directory));
}

int api_get_status(struct api_call *call, struct error *error)
{
    const struct ruleset *ruleset = api_current(call);
    const struct api_backend *backend = &call->api->backend;
    struct api_status status = {0};
    json_t *partitions = json_array();
    (void)error;
    backend->status(backend->context, &status);
    for (size_t i = 0; i < ruleset->partition_count; i++)
        json_array_append_new(partitions, json_string(ruleset->partitions[i].name));
    call->answer =
        json_pack("{s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "program", "severd",
                  "program_version", SEVER_VERSION, "pid", (int)getpid(), "uptime_ns",
                  count(status.uptime_ns), "ruleset_version", count(ruleset->version), "workers",
                  count(status.workers), "nodes", count(ruleset->node_count), "routes",
                  count(ruleset->route_count), "partitions", partitions, "faults",
                  count(ruleset->fault_count), "cut_links", count(count_cut_links(ruleset)));
    json_object_set_new(call->answer, "connections",
                        json_pack("{s:o, s:o}", "open", count(status.connections_open), "total",
                                  count(status.connections_total)));
    json_object_set_new(call->answer, "sessions",
                        json_pack("{s:o, s:o}", "open", count(status.sessions_open), "total",
                                  count(status.sessions_total)));
    if (status.cut_lab)
        json_object_set_new(call->answer, "lab",
                            json_pack("{s:o}", "nodes", count(status.lab_nodes)));
    json_object_set_new(call->answer, "buffer_bytes", count(status.buffer_bytes));
    json_object_set_new(call->answer, "mechanisms", encode_mechanisms(&status));
    json_object_set_new(call->answer, "timer_lateness_ns",
                        json_pack("{s:o, s:o, s:o, s:o}", "count", count(status.lateness_count),
                                  "p50", count(status.lateness_p50_ns), "p99",
                                  count(status.lateness_p99_ns), "p999",
                                  count(status.lateness_p999_ns)));
    return API_OK;
}
