/* Theory of operation
 *
 * Entries are indexed by the plan's route slot. An entry that is the same in name, protocol and
 * listening address as the current one in its slot takes over its socket; and its serial too, when
 * nothing else has changed, which is what lets connections live on. A route that is new but listens
 * where one listens that goes away (a rename) takes over that one's socket, for it could not be
 * bound a second time. Every socket belongs to the newest `struct routes` that has it. */
#include "proxy/daemon/routes.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/base/text.h"
#include "proxy/io/socket.h"

_Static_assert((int)ROUTE_SLOTS_MAX >= (int)RULESET_ROUTES_MAX, "every route has a listener slot");
_Static_assert((int)ROUTE_NODE_SLOTS >= (int)RULESET_NODES_MAX + 1, "every node, and none");
_Static_assert(ROUTE_NO_NODE == FAULT_NO_NODE, "one word for no node");

struct entry {
    struct ruleset_route route;
    struct address bound;
    struct socket_file file;
    struct route_spec spec;
};

struct routes {
    struct entry *entries[ROUTE_SLOTS_MAX];
    struct route_source *sources;
    size_t source_count;
    uint64_t sources_serial, serials; /* serials: the last one given out */
    struct route_spec *specs;         /* what the tables point into */
    struct publication publication;
};

static bool same_socket(const struct ruleset_route *a, const struct ruleset_route *b)
{
    return a->protocol == b->protocol && strcmp(a->listen, b->listen) == 0;
}

static bool same_route(const struct ruleset_route *a, const struct ruleset_route *b)
{
    return same_socket(a, b) && strcmp(a->upstream, b->upstream) == 0 &&
           strcmp(a->from, b->from) == 0 && strcmp(a->to, b->to) == 0;
}

/* hint: the slot where it most likely is. */
static bool has_socket(const struct routes *routes, int fd, size_t hint)
{
    if (routes && routes->entries[hint] && routes->entries[hint]->spec.fd == fd)
        return true;
    for (size_t slot = 0; routes && slot < ROUTE_SLOTS_MAX; slot++)
        if (routes->entries[slot] && routes->entries[slot]->spec.fd == fd)
            return true;
    return false;
}

static void routes_free(struct routes *routes, const struct routes *other)
{
    for (size_t slot = 0; slot < ROUTE_SLOTS_MAX; slot++) {
        struct entry *entry = routes->entries[slot];
        if (!entry)
            continue;
        if (entry->spec.fd >= 0 && !has_socket(other, entry->spec.fd, slot)) {
            socket_remove_file(&entry->bound, &entry->file);
            close(entry->spec.fd);
        }
        free(entry);
    }
    free(routes->sources);
    free(routes->specs);
    free(routes);
}

static int entry_bind(struct entry *entry, struct error *error)
{
    struct address address;
    int result = address_parse(entry->route.listen, &address, error);
    if (result)
        return result;
    if (entry->route.protocol == RULESET_UDP) {
        if (address.storage.ss_family == AF_UNIX)
            return error_set(error, -EINVAL, "a udp route listens on host:port");
        entry->spec.fd = socket_bind_datagram(&address, false, &entry->bound, error);
    } else {
        socket_remove_stale(&address);
        entry->spec.fd = socket_listen(&address, false, &entry->bound, error);
    }
    if (entry->spec.fd < 0)
        return entry->spec.fd;
    socket_remember_file(&entry->bound, &entry->file);
    return 0;
}

/* Takes over the socket of a current route that listens on the same address and is not in `next`.
 */
static bool entry_inherit(struct entry *entry, const struct routes *current,
                          const struct routes *next)
{
    for (size_t slot = 0; current && slot < ROUTE_SLOTS_MAX; slot++) {
        const struct entry *old = current->entries[slot];
        if (!old || !same_socket(&old->route, &entry->route) ||
            has_socket(next, old->spec.fd, slot))
            continue;
        entry->spec.fd = old->spec.fd;
        entry->bound = old->bound;
        entry->file = old->file;
        return true;
    }
    return false;
}

static void fail_at(struct error *error, size_t index, const char *field)
{
    char place[ERROR_PLACE_MAX];
    snprintf(place, sizeof(place), "routes[%zu].%s", index, field);
    if (error)
        snprintf(error->place, sizeof(error->place), "%s", place);
}

/* An entry without a socket yet, unless the current one of the slot goes on. */
static int add_entry(struct routes *next, const struct ruleset_route *route, size_t index,
                     const struct fault_plan *plan, const struct routes *current,
                     struct error *error)
{
    uint16_t slot = fault_plan_route_slot(plan, route->name);
    assert(slot < ROUTE_SLOTS_MAX && !next->entries[slot]);
    const struct entry *old = current ? current->entries[slot] : NULL;
    struct entry *entry = memory_allocate_zeroed(1, sizeof(*entry));
    next->entries[slot] = entry;
    entry->route = *route;
    entry->spec.fd = -1;
    entry->spec.slot = slot;
    entry->spec.from_peer = route->from[0] == '\0';
    entry->spec.from =
        entry->spec.from_peer ? FAULT_NO_NODE : fault_plan_node_slot(plan, route->from);
    entry->spec.to = route->to[0] ? fault_plan_node_slot(plan, route->to) : FAULT_NO_NODE;
    if (old && strcmp(old->route.name, route->name) != 0)
        old = NULL;
    if (old && strcmp(old->route.upstream, route->upstream) == 0) {
        entry->spec.upstream = old->spec.upstream;
    } else {
        int result = address_parse(route->upstream, &entry->spec.upstream, error);
        if (!result && route->protocol == RULESET_UDP &&
            entry->spec.upstream.storage.ss_family == AF_UNIX)
            result = error_set(error, -EINVAL, "a udp route's upstream is host:port");
        if (result) {
            fail_at(error, index, "upstream");
            return result;
        }
    }
    if (old && same_socket(&old->route, route)) {
        entry->spec.fd = old->spec.fd;
        entry->bound = old->bound;
        entry->file = old->file;
    }
    bool goes_on = old && same_route(&old->route, route) && old->spec.from == entry->spec.from &&
                   old->spec.to == entry->spec.to;
    entry->spec.serial = goes_on ? old->spec.serial : ++next->serials;
    return 0;
}

/* Puts in front of the error where the source of this index is written; returns code. */
static int fail_at_source(const struct ruleset *ruleset, size_t index, int code,
                          struct error *error)
{
    char place[ERROR_PLACE_MAX];
    size_t node = 0;
    while (index >= ruleset->nodes[node].address_count)
        index -= ruleset->nodes[node++].address_count;
    snprintf(place, sizeof(place), "nodes[%zu].addresses[%zu]", node, index);
    error_prefix_place(error, place);
    return code;
}

/* One address, one node, however it is spelt: ruleset_check compares texts only. */
static int check_sources(const struct routes *next, const struct ruleset *ruleset,
                         struct error *error)
{
    for (size_t i = 1; i < next->source_count; i++)
        for (size_t j = 0; j < i; j++)
            if (address_same_host(&next->sources[i].host, &next->sources[j].host)) {
                int code = error_set(error, -EEXIST, "a node has this address already");
                return fail_at_source(ruleset, i, code, error);
            }
    return 0;
}

static int add_sources(struct routes *next, const struct ruleset *ruleset,
                       const struct fault_plan *plan, const struct routes *current,
                       struct error *error)
{
    next->sources = memory_allocate_zeroed(ruleset->node_count * RULESET_NODE_ADDRESSES_MAX + 1,
                                           sizeof(*next->sources));
    for (size_t i = 0; i < ruleset->node_count; i++) {
        const struct ruleset_node *node = &ruleset->nodes[i];
        for (size_t j = 0; j < node->address_count; j++) {
            struct route_source *source = &next->sources[next->source_count];
            int result = address_parse_host(node->addresses[j], &source->host, error);
            if (result)
                return fail_at_source(ruleset, next->source_count, result, error);
            source->node = fault_plan_node_slot(plan, node->name);
            next->source_count++;
        }
    }
    bool same =
        current && current->source_count == next->source_count &&
        memcmp(current->sources, next->sources, next->source_count * sizeof(*next->sources)) == 0;
    next->sources_serial = !current ? 1 : current->sources_serial + (same ? 0 : 1);
    return same ? 0 : check_sources(next, ruleset, error);
}

/* The tables: for each worker its stream routes, then its datagram routes. */
static void fill_publication(struct routes *next, const struct fault_plan *plan, unsigned workers,
                             size_t count)
{
    size_t used = 0;
    next->specs = memory_allocate_zeroed(count + 1, sizeof(*next->specs));
    next->publication.plan = plan;
    for (unsigned w = 0; w < workers; w++) {
        for (int protocol = RULESET_TCP; protocol <= RULESET_UDP; protocol++) {
            struct publication_share *share = &next->publication.shares[w];
            struct route_table *table = protocol == RULESET_TCP ? &share->stream : &share->datagram;
            *table = (struct route_table){.routes = next->specs + used,
                                          .sources = next->sources,
                                          .source_count = next->source_count,
                                          .sources_serial = next->sources_serial};
            for (size_t slot = w; slot < ROUTE_SLOTS_MAX; slot += workers) {
                const struct entry *entry = next->entries[slot];
                if (!entry || (int)entry->route.protocol != protocol)
                    continue;
                next->specs[used++] = entry->spec;
                table->route_count++;
            }
        }
    }
    assert(used == count);
}

static int fill_entries(struct routes *next, const struct ruleset *ruleset,
                        const struct fault_plan *plan, const struct routes *current, size_t *count,
                        struct error *error)
{
    int result;
    *count = 0;
    for (size_t i = 0; i < ruleset->route_count; i++) {
        if (!ruleset->routes[i].enabled)
            continue;
        if ((result = add_entry(next, &ruleset->routes[i], i, plan, current, error)))
            return result;
        ++*count;
    }
    for (size_t i = 0; i < ruleset->route_count; i++) {
        if (!ruleset->routes[i].enabled)
            continue;
        struct entry *entry = next->entries[fault_plan_route_slot(plan, ruleset->routes[i].name)];
        if (entry->spec.fd >= 0 || entry_inherit(entry, current, next))
            continue;
        if ((result = entry_bind(entry, error))) {
            fail_at(error, i, "listen");
            return result;
        }
    }
    return 0;
}

int routes_prepare(const struct ruleset *ruleset, const struct fault_plan *plan,
                   const struct match_set *matches, unsigned workers, const struct routes *current,
                   struct routes **out, struct error *error)
{
    size_t count;
    struct routes *next = memory_allocate_zeroed(1, sizeof(*next));
    next->serials = current ? current->serials : 0;
    int result = add_sources(next, ruleset, plan, current, error);
    if (!result)
        result = fill_entries(next, ruleset, plan, current, &count, error);
    if (result) {
        routes_abandon(next, current);
        return result;
    }
    fill_publication(next, plan, workers, count);
    next->publication.matches = matches;
    *out = next;
    return 0;
}

const struct publication *routes_publication(const struct routes *routes)
{
    return &routes->publication;
}

void routes_commit(struct routes *current, const struct routes *next)
{
    if (current)
        routes_free(current, next);
}

void routes_abandon(struct routes *next, const struct routes *current)
{
    routes_free(next, current);
}

const struct address *routes_listening(const struct routes *routes, const char *name)
{
    for (size_t slot = 0; slot < ROUTE_SLOTS_MAX; slot++)
        if (routes->entries[slot] && strcmp(routes->entries[slot]->route.name, name) == 0)
            return &routes->entries[slot]->bound;
    return NULL;
}
