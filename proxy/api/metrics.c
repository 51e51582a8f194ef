/* GET /metrics: Prometheus text format 0.0.4.
 *
 * Theory of operation. Everything is read at the moment of the request, from the same counters that
 * the data plane writes while connections live. Links and routes that carried nothing yet are told
 * too where there are few of them; of links, which may be sixteen thousand, only those that have
 * something to tell. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/api/metrics.h"
#include "proxy/api/toxiproxy_http.h"
#include "proxy/base/units.h"
#include "proxy/base/version.h"

#define PER_S 1e9

static const char *const directions[] = {"upstream", "downstream"};

static void head(struct text *page, const char *name, const char *type, const char *help)
{
    text_append(page, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value, with what the format wants escaped. */
static void label(struct text *page, const char *name, const char *value)
{
    text_append(page, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            text_append(page, "\\%c", *value);
        else
            text_append_bytes(page, value, 1);
    }
    text_append(page, "\"");
}

static void single(struct text *page, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    head(page, name, type, help);
    text_append(page, "%s %" PRIu64 "\n", name, value);
}

/* --- the whole --- */

static void tell_program(struct text *page, const struct ruleset *ruleset,
                         const struct api_status *status)
{
    head(page, "sever_build_info", "gauge", "Always 1; the version is a label.");
    text_append(page, "sever_build_info{version=\"%s\"} 1\n", SEVER_VERSION);
    head(page, "sever_uptime_seconds", "gauge", "Since severd started.");
    text_append(page, "sever_uptime_seconds %.3f\n", (double)status->uptime_ns / PER_S);
    single(page, "sever_workers", "gauge", "Threads that relay.", status->workers);
    single(page, "sever_ruleset_version", "gauge", "Version of the ruleset in force.",
           ruleset->version);
    single(page, "sever_partitions", "gauge", "Partitions in force.", ruleset->partition_count);
    single(page, "sever_faults", "gauge", "Faults in force.", ruleset->fault_count);
    single(page, "sever_buffer_bytes", "gauge", "Buffers in use for what is on its way.",
           status->buffer_bytes);
    single(page, "sever_connections_open", "gauge", "Connections that are open.",
           status->connections_open);
    single(page, "sever_connections_total", "counter", "Connections ever accepted.",
           status->connections_total);
    single(page, "sever_sessions_open", "gauge", "Datagram sessions that are open.",
           status->sessions_open);
    single(page, "sever_sessions_total", "counter", "Datagram sessions ever begun.",
           status->sessions_total);
}

/* Bucket i of the loop ends at 2^(i+1) ns. */
static void tell_lateness(struct text *page, const struct api_status *status)
{
    static const char name[] = "sever_timer_lateness_seconds";
    uint64_t below = 0;
    head(page, name, "histogram", "How long after its time each timer ran.");
    for (unsigned i = 0; i < API_LATENESS_BUCKETS; i++) {
        below += status->lateness_buckets[i];
        text_append(page, "%s_bucket{le=\"%.9g\"} %" PRIu64 "\n", name,
                    (double)(UINT64_C(2) << i) / PER_S, below);
    }
    text_append(page, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9f\n%s_count %" PRIu64 "\n",
                name, below, name, (double)status->lateness_sum_ns / PER_S, name, below);
}

/* --- links --- */

struct told_link {
    const char *from, *to;
    struct api_link_state state;
};

static const struct link_metric {
    const char *name, *help, *label; /* label: one more, NULL for none */
    size_t offset;                   /* in struct api_link_state */
} link_metrics[] = {
#define FIELD(field) offsetof(struct api_link_state, field)
    {"sever_link_units_total", "Chunks and datagrams delivered.", NULL, FIELD(units)},
    {"sever_link_bytes_total", "Bytes delivered.", NULL, FIELD(bytes)},
    {"sever_link_dropped_total", "Chunks and datagrams not delivered, by cause.", "cause=\"cut\"",
     FIELD(dropped_cut)},
    {"sever_link_dropped_total", NULL, "cause=\"loss\"", FIELD(dropped_loss)},
    {"sever_link_dropped_total", NULL, "cause=\"queue\"", FIELD(dropped_queue)},
    {"sever_link_dropped_total", NULL, "cause=\"reject\"", FIELD(dropped_reject)},
    {"sever_link_dropped_total", NULL, "cause=\"discard\"", FIELD(dropped_discard)},
    {"sever_link_held_bytes_total", "Bytes held back by a cut.", NULL, FIELD(held_bytes)},
    {"sever_link_held_connections_total", "Connections held back by a cut.", NULL,
     FIELD(held_connections)},
    {"sever_link_connections_total", "Connections opened.", NULL, FIELD(connections)},
    {"sever_link_refused_total", "Upstream dials that failed.", NULL, FIELD(refused)},
    {"sever_link_untold_total",
     "Rejected packets of a lab whose senders were not told, for there were too many.",
     "answer=\"reset\"", FIELD(untold_reset)},
    {"sever_link_untold_total", NULL, "answer=\"unreachable\"", FIELD(untold_unreachable)},
#undef FIELD
};

static bool tells(const struct api_link_state *state)
{
    static const struct api_link_state nothing;
    return memcmp(state, &nothing, sizeof(nothing)) != 0;
}

/* Caller frees. */
static struct told_link *read_links(const struct api_backend *backend,
                                    const struct ruleset *ruleset, size_t *count)
{
    size_t nodes = ruleset->node_count;
    struct told_link *links = memory_allocate_zeroed(nodes * nodes + 1, sizeof(*links));
    *count = 0;
    for (size_t i = 0; i < nodes * nodes; i++) {
        struct told_link *link = &links[*count];
        link->from = ruleset->nodes[i / nodes].name;
        link->to = ruleset->nodes[i % nodes].name;
        backend->link_state(backend->context, link->from, link->to, &link->state);
        *count += link->from != link->to && tells(&link->state);
    }
    return links;
}

static void tell_links(struct text *page, const struct api_backend *backend,
                       const struct ruleset *ruleset)
{
    size_t count;
    struct told_link *links = read_links(backend, ruleset, &count);
    for (size_t m = 0; m < sizeof(link_metrics) / sizeof(link_metrics[0]); m++) {
        const struct link_metric *metric = &link_metrics[m];
        if (metric->help)
            head(page, metric->name, "counter", metric->help);
        for (size_t i = 0; i < count; i++) {
            uint64_t value;
            memcpy(&value, (const char *)&links[i].state + metric->offset, sizeof(value));
            text_append(page, "%s{from=\"%s\",to=\"%s\"", metric->name, links[i].from, links[i].to);
            if (metric->label)
                text_append(page, ",%s", metric->label);
            text_append(page, "} %" PRIu64 "\n", value);
        }
    }
    free(links);
}

/* --- routes and faults --- */

struct told_route {
    const struct ruleset_route *route;
    char listen[ADDRESS_TEXT_MAX]; /* "" when it does not */
    struct api_route_state state;
};

/* Caller frees. */
static struct told_route *read_routes(const struct api_backend *backend,
                                      const struct ruleset *ruleset)
{
    struct told_route *routes = memory_allocate_zeroed(ruleset->route_count + 1, sizeof(*routes));
    for (size_t i = 0; i < ruleset->route_count; i++) {
        routes[i].route = &ruleset->routes[i];
        backend->route_listening(backend->context, routes[i].route->name, routes[i].listen);
        backend->route_state(backend->context, routes[i].route->name, &routes[i].state);
    }
    return routes;
}

/* What becomes of a route's bytes. */
static const struct byte_metric {
    const char *name, *help;
    size_t offset; /* in struct api_route_state, two directions */
    bool streams;  /* is not counted of datagrams */
} byte_metrics[] = {
    {"received", "Bytes that peers sent.", offsetof(struct api_route_state, received_bytes), false},
    {"sent", "Bytes that the other side was given.", offsetof(struct api_route_state, sent_bytes),
     false},
    {"dropped", "Bytes of streams that the other side will never be given.",
     offsetof(struct api_route_state, dropped_bytes), true},
};

/* One family. proxies: with Toxiproxy's names and labels, and of streams only. */
static void tell_bytes(struct text *page, const struct told_route *routes, size_t count,
                       const struct byte_metric *metric, bool proxies)
{
    struct text name = {0};
    text_append(&name, "%s_%s_bytes_total", proxies ? "toxiproxy_proxy" : "sever_route",
                metric->name);
    head(page, text_get(&name), "counter", metric->help);
    for (size_t i = 0; i < count; i++) {
        const struct ruleset_route *route = routes[i].route;
        uint64_t bytes[2];
        bool streams_only = proxies || metric->streams;
        memcpy(bytes, (const char *)&routes[i].state + metric->offset, sizeof(bytes));
        for (size_t d = 0; d < 2 && !(streams_only && route->protocol != RULESET_TCP); d++) {
            text_append(page, "%s{direction=\"%s\",", text_get(&name), directions[d]);
            label(page, proxies ? "proxy" : "route", route->name);
            if (proxies) {
                text_append(page, ",");
                label(page, "listener", routes[i].listen[0] ? routes[i].listen : route->listen);
                text_append(page, ",");
                label(page, "upstream", route->upstream);
            }
            text_append(page, "} %" PRIu64 "\n", bytes[d]);
        }
    }
    text_free(&name);
}

static void tell_route_connections(struct text *page, const struct told_route *routes, size_t count)
{
    head(page, "sever_route_connections_total", "counter", "Connections or sessions ever.");
    for (size_t i = 0; i < count; i++) {
        text_append(page, "sever_route_connections_total{");
        label(page, "route", routes[i].route->name);
        text_append(page, "} %" PRIu64 "\n", routes[i].state.connections);
    }
    head(page, "sever_route_connections_open", "gauge", "Connections or sessions that are open.");
    for (size_t i = 0; i < count; i++) {
        const struct api_route_state *state = &routes[i].state;
        text_append(page, "sever_route_connections_open{");
        label(page, "route", routes[i].route->name);
        text_append(page, "} %" PRIu64 "\n",
                    state->connections > state->ended ? state->connections - state->ended : 0);
    }
}

static void tell_untold(struct text *page, const struct told_route *routes, size_t count)
{
    static const char name[] = "sever_route_untold_total";
    head(page, name, "counter",
         "Rejected datagrams whose senders were not told, for there were too many.");
    for (size_t i = 0; i < count; i++) {
        if (routes[i].route->protocol != RULESET_UDP)
            continue;
        text_append(page, "%s{", name);
        label(page, "route", routes[i].route->name);
        text_append(page, "} %" PRIu64 "\n", routes[i].state.untold);
    }
}

static void tell_faults(struct text *page, const struct api_backend *backend,
                        const struct ruleset *ruleset)
{
    static const char name[] = "sever_fault_touched_total";
    head(page, name, "counter", "Units or connections that the fault acted on.");
    for (size_t i = 0; i < ruleset->fault_count; i++) {
        const struct ruleset_fault *fault = &ruleset->faults[i];
        text_append(page, "%s{", name);
        label(page, "fault", fault->name);
        text_append(page, ",type=\"%s\"} %" PRIu64 "\n", ruleset_fault_type_name(fault->type),
                    backend->fault_touched(backend->context, fault->name));
    }
}

static void tell_routes(struct text *page, const struct api *api, const struct ruleset *ruleset)
{
    struct told_route *routes = read_routes(&api->backend, ruleset);
    for (size_t i = 0; i < sizeof(byte_metrics) / sizeof(byte_metrics[0]); i++)
        tell_bytes(page, routes, ruleset->route_count, &byte_metrics[i], false);
    tell_route_connections(page, routes, ruleset->route_count);
    tell_untold(page, routes, ruleset->route_count);
    if (api->options.proxy_metrics) {
        tell_bytes(page, routes, ruleset->route_count, &byte_metrics[0], true);
        tell_bytes(page, routes, ruleset->route_count, &byte_metrics[1], true);
    }
    free(routes);
}

unsigned metrics_get(struct toxiproxy_call *call)
{
    const struct api *api = call->call->api;
    const struct ruleset *ruleset = api_current(call->call);
    struct api_status status;
    api->backend.status(api->backend.context, &status);
    tell_program(&call->page, ruleset, &status);
    tell_lateness(&call->page, &status);
    tell_links(&call->page, &api->backend, ruleset);
    tell_routes(&call->page, api, ruleset);
    tell_faults(&call->page, &api->backend, ruleset);
    if (api->options.runtime_metrics)
        metrics_tell_process(&call->page);
    call->page_type = "text/plain; version=0.0.4";
    return MHD_HTTP_OK;
}
