/* Theory of operation
 *
 * A change is a new ruleset value. Everything that can fail is done first, on the side: the check,
 * the compiled plan, sockets, clock pages. Then it is published to the workers (worker.h), which
 * cannot fail, and only then is the old one let go. So a refused change has changed nothing.
 *
 * Counters are the workers' and only go up. What is shown for a node or a fault is the sum over
 * workers less a baseline, which is taken when the slot is given to a new name. */
#include "proxy/daemon/backend.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/log.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/daemon/backend_internal.h"
#include "proxy/daemon/clocks.h"
#include "proxy/daemon/doctor.h"
#include "proxy/daemon/lab_state.h"
#include "proxy/daemon/provenance.h"
#include "proxy/daemon/routes.h"
#include "proxy/daemon/worker.h"
#include "proxy/match/match.h"

enum { SLOT_NONE = UINT16_MAX };

/* Everything that a new ruleset needs, before it is in force. */
struct prepared {
    struct ruleset ruleset;
    struct fault_plan *plan;
    struct match_set *matches;
    struct routes *routes;
    struct backend_publication *published;
};

static void link_sum(const struct backend *backend, uint16_t from, uint16_t to,
                     struct api_link_state *sum)
{
    *sum = (struct api_link_state){0};
    for (unsigned i = 0; i < workers_count(backend->workers); i++) {
        const struct fault_counters *counters = workers_counters(backend->workers, i);
        const struct fault_link_counters *link =
            &counters->links[from < RULESET_NODES_MAX ? from : RULESET_NODES_MAX]
                            [to < RULESET_NODES_MAX ? to : RULESET_NODES_MAX];
        sum->units += fault_counter_get(&link->units);
        sum->bytes += fault_counter_get(&link->bytes);
        sum->dropped_cut += fault_counter_get(&link->dropped[FAULT_CAUSE_CUT]);
        sum->dropped_loss += fault_counter_get(&link->dropped[FAULT_CAUSE_LOSS]);
        sum->dropped_queue += fault_counter_get(&link->dropped[FAULT_CAUSE_QUEUE]);
        sum->dropped_reject += fault_counter_get(&link->dropped[FAULT_CAUSE_REJECT]);
        sum->dropped_discard += fault_counter_get(&link->dropped[FAULT_CAUSE_DISCARD]);
        sum->held_bytes += fault_counter_get(&link->held_bytes);
        sum->held_connections += fault_counter_get(&link->held_connections);
        sum->connections += fault_counter_get(&link->connections);
        sum->refused += fault_counter_get(&link->refused);
        sum->untold_reset += fault_counter_get(&link->untold[FAULT_ANSWER_RESET]);
        sum->untold_unreachable += fault_counter_get(&link->untold[FAULT_ANSWER_UNREACHABLE]);
    }
}

static uint64_t touched_sum(const struct backend *backend, uint16_t slot)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < workers_count(backend->workers); i++)
        sum += fault_counter_get(&workers_counters(backend->workers, i)->touched[slot]);
    return sum;
}

static void route_sum(const struct backend *backend, uint16_t slot, struct api_route_state *sum)
{
    *sum = (struct api_route_state){0};
    for (unsigned i = 0; i < workers_count(backend->workers); i++) {
        const struct fault_route_counters *route =
            &workers_counters(backend->workers, i)->routes[slot];
        for (size_t direction = 0; direction < 2; direction++) {
            sum->received_bytes[direction] += fault_counter_get(&route->received[direction]);
            sum->sent_bytes[direction] += fault_counter_get(&route->sent[direction]);
            sum->dropped_bytes[direction] += fault_counter_get(&route->dropped[direction]);
        }
        sum->ended += fault_counter_get(&route->ended); /* before: open ones are never negative */
        sum->connections += fault_counter_get(&route->connections);
        sum->untold += fault_counter_get(&route->untold);
        sum->refusing |= fault_counter_get(&route->refusing) > 0;
    }
}

/* Slots that the new plan gives to new names start from what they have now. A slot's first name
 * starts from nothing and needs no baseline. */
static void take_baselines(struct backend *backend, const struct ruleset *ruleset,
                           const struct fault_plan *plan)
{
    for (size_t i = 0; i < ruleset->node_count; i++) {
        uint16_t slot = fault_plan_node_slot(plan, ruleset->nodes[i].name);
        uint32_t generation = fault_plan_node_generation(plan, slot);
        if (backend->node_generation[slot] == generation)
            continue;
        for (uint16_t other = 0; backend->node_generation[slot] && other < NODE_SLOTS; other++) {
            link_sum(backend, slot, other, &backend->link_baseline[slot][other]);
            link_sum(backend, other, slot, &backend->link_baseline[other][slot]);
        }
        backend->node_generation[slot] = generation;
    }
    for (size_t i = 0; i < ruleset->route_count; i++) {
        uint16_t slot = fault_plan_route_slot(plan, ruleset->routes[i].name);
        uint32_t generation = fault_plan_route_generation(plan, slot);
        if (backend->route_generation[slot] == generation)
            continue;
        if (backend->route_generation[slot])
            route_sum(backend, slot, &backend->route_baseline[slot]);
        backend->route_generation[slot] = generation;
    }
    for (size_t i = 0; i < ruleset->fault_count; i++) {
        uint32_t generation;
        uint16_t slot = fault_plan_fault_slot(plan, ruleset->faults[i].name, &generation);
        if (backend->fault_generation[slot] == generation)
            continue;
        if (backend->fault_generation[slot])
            backend->touched_baseline[slot] = touched_sum(backend, slot);
        backend->fault_generation[slot] = generation;
    }
}

static struct backend_publication *create_publication(const struct backend *backend,
                                                      const struct routes *routes,
                                                      const struct ruleset *ruleset,
                                                      const struct fault_plan *plan)
{
    struct backend_publication *made = memory_allocate(sizeof(*made));
    made->publication = *routes_publication(routes);
    made->ports = lab_state_fill(backend->lab, plan, backend->options.workers, &made->publication);
    made->publication.captures = capture_set_create(backend->captures, ruleset, plan);
    return made;
}

static void destroy_publication(struct backend_publication *published)
{
    if (published) {
        free(published->ports);
        capture_set_destroy(published->publication.captures);
    }
    free(published);
}

static int prepare(struct backend *backend, const struct ruleset *next, const char *by,
                   struct prepared *prepared, struct error *error)
{
    ruleset_copy(&prepared->ruleset, next);
    prepared->ruleset.version = backend->ruleset.version + 1;
    provenance_fill(&prepared->ruleset, &backend->ruleset, by, wall_now_ns());
    int result = ruleset_check(&prepared->ruleset, error);
    if (!result)
        result = lab_state_check(backend->lab, &prepared->ruleset, error);
    if (result)
        goto fail_ruleset;
    result = fault_plan_create(&prepared->ruleset, backend->plan, &prepared->plan, error);
    if (result)
        goto fail_ruleset;
    result = match_set_create(&prepared->ruleset, prepared->plan, backend->matches,
                              &prepared->matches, error);
    if (result)
        goto fail_plan;
    result = routes_prepare(&prepared->ruleset, prepared->plan, prepared->matches,
                            backend->options.workers, backend->routes, &prepared->routes, error);
    if (result)
        goto fail_matches;
    result = clocks_prepare(backend->clocks, &prepared->ruleset, error);
    if (result)
        goto fail_routes;
    prepared->published =
        create_publication(backend, prepared->routes, &prepared->ruleset, prepared->plan);
    return 0;

fail_routes:
    routes_destroy(prepared->routes);
fail_matches:
    match_set_destroy(prepared->matches);
fail_plan:
    fault_plan_destroy(prepared->plan);
fail_ruleset:
    ruleset_free(&prepared->ruleset);
    return result;
}

static void commit(struct backend *backend, struct prepared *prepared)
{
    clocks_commit(backend->clocks, &prepared->ruleset);
    destroy_publication(backend->published);
    routes_destroy(backend->routes);
    match_set_destroy(backend->matches);
    fault_plan_destroy(backend->plan);
    ruleset_free(&backend->ruleset);
    backend->ruleset = prepared->ruleset;
    backend->plan = prepared->plan;
    backend->matches = prepared->matches;
    backend->routes = prepared->routes;
    backend->published = prepared->published;
}

int backend_change(void *context, const struct ruleset *next, const char *by, struct error *error)
{
    struct backend *backend = context;
    struct prepared prepared = {0};
    uint64_t begin_ns = monotonic_now_ns();
    int result = prepare(backend, next, by, &prepared, error);
    if (result)
        return result;
    take_baselines(backend, &prepared.ruleset, prepared.plan);
    uint64_t prepared_ns = monotonic_now_ns();
    fault_states_take(backend->states, prepared.plan, prepared_ns);
    workers_publish(backend->workers, &prepared.published->publication);
    backend->publish_ns = monotonic_now_ns() - prepared_ns;
    commit(backend, &prepared);
    log_debug("ruleset %llu by %s in force: prepared in %llu us, published in %llu us",
              (unsigned long long)backend->ruleset.version, by,
              (unsigned long long)((prepared_ns - begin_ns) / NS_PER_US),
              (unsigned long long)(backend->publish_ns / NS_PER_US));
    return 0;
}

void backend_republish(struct backend *backend)
{
    struct backend_publication *next =
        create_publication(backend, backend->routes, &backend->ruleset, backend->plan);
    workers_publish(backend->workers, &next->publication);
    destroy_publication(backend->published);
    backend->published = next;
}

int backend_create(const struct backend_options *options, const struct ruleset *initial,
                   struct backend **out, struct error *error)
{
    struct prepared prepared = {0};
    struct backend *backend = memory_allocate_zeroed(1, sizeof(*backend));
    backend->options = *options;
    backend->started_ns = monotonic_now_ns();
    backend->states = memory_allocate_zeroed(1, sizeof(*backend->states));
    backend->clocks = clocks_create(options->directory, options->keep_pages);
    backend->ruleset.version = initial->version > 0 ? initial->version - 1 : 0;
    int result = backend_lab_create(backend, error);
    if (!result)
        result = captures_create(options->workers, 0, &backend->captures, error);
    if (!result)
        result = prepare(backend, initial, "ruleset file", &prepared, error);
    if (result)
        goto fail;
    fault_states_take(backend->states, prepared.plan, backend->started_ns);
    struct workers_options workers = {.count = options->workers,
                                      .pool_bytes = options->pool_bytes,
                                      .filters = options->mechanisms.segment_filters,
                                      .states = backend->states};
    result = workers_create(&workers, &prepared.published->publication, &backend->workers, error);
    if (result) {
        destroy_publication(prepared.published);
        routes_destroy(prepared.routes);
        match_set_destroy(prepared.matches);
        fault_plan_destroy(prepared.plan);
        ruleset_free(&prepared.ruleset);
        goto fail;
    }
    take_baselines(backend, &prepared.ruleset, prepared.plan);
    commit(backend, &prepared);
    *out = backend;
    return 0;

fail:
    captures_destroy(backend->captures);
    backend_lab_destroy(backend);
    clocks_destroy(backend->clocks);
    free(backend->states);
    free(backend);
    return result;
}

void backend_destroy(struct backend *backend)
{
    if (!backend)
        return;
    backend_lab_settle(backend);
    workers_destroy(backend->workers);
    destroy_publication(backend->published);
    captures_destroy(backend->captures);
    backend_lab_destroy(backend);
    routes_destroy(backend->routes);
    match_set_destroy(backend->matches);
    fault_plan_destroy(backend->plan);
    clocks_destroy(backend->clocks);
    ruleset_free(&backend->ruleset);
    free(backend->states);
    free(backend);
}

uint64_t backend_publish_ns(const struct backend *backend)
{
    return backend->publish_ns;
}

static const struct ruleset *backend_current(void *context)
{
    return &((struct backend *)context)->ruleset;
}

static void backend_link_state(void *context, const char *from, const char *to,
                               struct api_link_state *out)
{
    const struct backend *backend = context;
    uint16_t row = fault_plan_node_slot(backend->plan, from);
    uint16_t column = fault_plan_node_slot(backend->plan, to);
    *out = (struct api_link_state){0};
    if (row == FAULT_NO_NODE || column == FAULT_NO_NODE)
        return;
    const struct api_link_state *base = &backend->link_baseline[row][column];
    link_sum(backend, row, column, out);
    out->units -= base->units;
    out->bytes -= base->bytes;
    out->dropped_cut -= base->dropped_cut;
    out->dropped_loss -= base->dropped_loss;
    out->dropped_queue -= base->dropped_queue;
    out->dropped_reject -= base->dropped_reject;
    out->dropped_discard -= base->dropped_discard;
    out->held_bytes -= base->held_bytes;
    out->held_connections -= base->held_connections;
    out->connections -= base->connections;
    out->refused -= base->refused;
    out->untold_reset -= base->untold_reset;
    out->untold_unreachable -= base->untold_unreachable;
}

static void backend_route_state(void *context, const char *route, struct api_route_state *out)
{
    const struct backend *backend = context;
    uint16_t slot = fault_plan_route_slot(backend->plan, route);
    *out = (struct api_route_state){0};
    if (slot == FAULT_NO_ROUTE)
        return;
    const struct api_route_state *base = &backend->route_baseline[slot];
    route_sum(backend, slot, out);
    for (size_t direction = 0; direction < 2; direction++) {
        out->received_bytes[direction] -= base->received_bytes[direction];
        out->sent_bytes[direction] -= base->sent_bytes[direction];
        out->dropped_bytes[direction] -= base->dropped_bytes[direction];
    }
    out->connections -= base->connections;
    out->ended -= base->ended;
    out->untold -= base->untold;
}

static uint64_t backend_fault_touched(void *context, const char *fault)
{
    const struct backend *backend = context;
    uint16_t slot = fault_plan_fault_slot(backend->plan, fault, NULL);
    return slot == SLOT_NONE ? 0 : touched_sum(backend, slot) - backend->touched_baseline[slot];
}

static bool has_lab_node(const void *lab, const char *name)
{
    return lab_state_has(lab, name);
}

static const char *backend_fault_applied(void *context, const struct ruleset_fault *fault)
{
    struct backend *backend = context;
    const struct applied_lab lab = {has_lab_node, backend->lab};
    return applied_describe(&backend->ruleset, fault, &backend->options.mechanisms,
                            lab_state_is_up(backend->lab) ? &lab : NULL, backend->applied);
}

static const char *backend_route_listening(void *context, const char *route, char *buffer)
{
    const struct backend *backend = context;
    const struct address *address =
        routes_listening(backend->routes, fault_plan_route_slot(backend->plan, route));
    buffer[0] = '\0';
    return address ? address_format(address, buffer) : buffer;
}

static const char *backend_clock_page(void *context, const char *node)
{
    return clocks_path(((const struct backend *)context)->clocks, node);
}

/* The lateness that `permille` of the timers did not exceed; linear inside a bucket. */
static uint64_t lateness_quantile(const struct loop_lateness *lateness, uint64_t permille)
{
    uint64_t rank = (lateness->count * permille + 999) / 1000, below = 0;
    for (unsigned i = 0; i < sizeof(lateness->buckets) / sizeof(lateness->buckets[0]); i++) {
        uint64_t inside = lateness->buckets[i];
        if (inside && below + inside >= rank) {
            uint64_t low = i ? UINT64_C(1) << i : 0, width = UINT64_C(1) << i;
            return low + width * (rank - below) / inside;
        }
        below += inside;
    }
    return 0;
}

static void backend_status(void *context, struct api_status *out)
{
    const struct backend *backend = context;
    struct workers_totals totals;
    workers_get_totals(backend->workers, &totals);
    *out = (struct api_status){
        .uptime_ns = monotonic_now_ns() - backend->started_ns,
        .workers = backend->options.workers,
        .buffer_bytes = totals.buffer_bytes,
        .connections_open = totals.connections_open,
        .connections_total = totals.connections_total,
        .sessions_open = totals.sessions_open,
        .sessions_total = totals.sessions_total,
        .cut_tcp = backend->options.mechanisms.segment_filters
                       ? "filter: the kernel answers no segment and no SYN; nothing queued is lost"
                       : "stall: severd stops reading and writing; nothing is lost",
        .cut_udp = "drop",
        .cut_lab = lab_state_is_up(backend->lab) ? "a cut cable: every packet is dropped" : NULL,
        .lab_nodes = lab_state_node_count(backend->lab),
        .loss_tcp = backend->options.mechanisms.segment_filters,
        .clock_library = backend->options.clock_library,
        .clock_directory = backend->options.directory,
        .lateness_count = totals.lateness.count,
        .lateness_p50_ns = lateness_quantile(&totals.lateness, 500),
        .lateness_p99_ns = lateness_quantile(&totals.lateness, 990),
        .lateness_p999_ns = lateness_quantile(&totals.lateness, 999),
        .lateness_sum_ns = totals.lateness.sum_ns,
    };
    static_assert(sizeof(out->lateness_buckets) == sizeof(totals.lateness.buckets),
                  "the same buckets");
    memcpy(out->lateness_buckets, totals.lateness.buckets, sizeof(out->lateness_buckets));
}

static size_t backend_doctor(void *context, struct api_check checks[])
{
    const struct backend *backend = context;
    const struct doctor_options options = {
        .workers = backend->options.workers,
        .pool_bytes =
            backend->options.pool_bytes ? backend->options.pool_bytes : WORKERS_POOL_BYTES,
        .directory = backend->options.directory,
        .clock_library = backend->options.clock_library,
    };
    return doctor_examine(&options, checks);
}

struct api_backend backend_api(struct backend *backend)
{
    return (struct api_backend){
        .context = backend,
        .current = backend_current,
        .change = backend_change,
        .link_state = backend_link_state,
        .fault_touched = backend_fault_touched,
        .fault_applied = backend_fault_applied,
        .route_listening = backend_route_listening,
        .clock_page = backend_clock_page,
        .status = backend_status,
        .route_state = backend_route_state,
        .doctor = backend_doctor,
        .lab = backend_lab_api(),
        .captures = backend_capture_api(),
    };
}
