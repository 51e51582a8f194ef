/* Theory of operation
 *
 * Entries are indexed by the plan's route slot. What an entry listens on is a reference to a set of
 * sockets: one, or one a worker when the route is spread. An entry that is the same in name,
 * protocol and listening address as the current one in its slot shares its set; and its serial too,
 * when nothing else has changed, which is what lets connections live on. A route that is new but
 * listens where one listens that goes away (a rename) shares that one's set, for it could not be
 * bound a second time. The sockets are closed with the last entry that refers to them. */
#include "proxy/daemon/routes.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/text.h"
#include "proxy/io/socket.h"

_Static_assert((int)ROUTE_SLOTS_MAX >= (int)RULESET_ROUTES_MAX, "every route has a listener slot");
_Static_assert((int)ROUTE_NODE_SLOTS >= (int)RULESET_NODES_MAX + 1, "every node, and none");
_Static_assert(ROUTE_NO_NODE == FAULT_NO_NODE, "one word for no node");

struct socket_set {
    unsigned users;
    struct address bound;
    char text[ADDRESS_TEXT_MAX]; /* bound, as it is compared thousands of times */
    struct socket_file file;
    size_t count; /* 1, or the number of workers */
    int fds[WORKERS_MAX];
    _Atomic uint32_t ordinals[ROUTE_NODE_SLOTS]; /* when spread */
};

struct entry {
    struct ruleset_route route;
    struct socket_set *sockets; /* NULL until bound or shared */
    char upstream_name[ADDRESS_NAME_MAX];
    struct route_spec spec; /* its fd: filled for each worker */
};

struct routes {
    struct entry *entries[ROUTE_SLOTS_MAX];
    size_t slot_end; /* above the highest slot in use */
    struct route_source *sources;
    size_t source_count;
    uint64_t sources_serial, serials; /* serials: the last one given out */
    struct route_spec *specs;         /* what the tables point into */
    struct publication publication;
};

/* Whether `route` listens on the sockets of `entry`: written alike, or as the address really bound.
 */
static bool same_socket(const struct entry *entry, const struct ruleset_route *route)
{
    return entry->route.protocol == route->protocol && entry->route.spread == route->spread &&
           (strcmp(entry->route.listen, route->listen) == 0 ||
            (entry->sockets && strcmp(entry->sockets->text, route->listen) == 0));
}

static bool same_route(const struct entry *entry, const struct ruleset_route *route)
{
    return same_socket(entry, route) && strcmp(entry->route.upstream, route->upstream) == 0 &&
           strcmp(entry->route.from, route->from) == 0 && strcmp(entry->route.to, route->to) == 0 &&
           entry->route.close_unreached == route->close_unreached;
}

static void sockets_release(struct socket_set *sockets)
{
    if (!sockets || --sockets->users > 0)
        return;
    socket_remove_file(&sockets->bound, &sockets->file);
    for (size_t i = 0; i < sockets->count; i++)
        close(sockets->fds[i]);
    free(sockets);
}

static struct socket_set *sockets_share(struct socket_set *sockets)
{
    sockets->users++;
    return sockets;
}

static void routes_free(struct routes *routes)
{
    for (size_t slot = 0; slot < routes->slot_end; slot++) {
        if (!routes->entries[slot])
            continue;
        sockets_release(routes->entries[slot]->sockets);
        free(routes->entries[slot]);
    }
    free(routes->sources);
    free(routes->specs);
    free(routes);
}

static int bind_one(const struct entry *entry, const struct address *address, struct address *bound,
                    struct error *error)
{
    bool spread = entry->route.spread;
    if (entry->route.protocol == RULESET_UDP)
        return socket_bind_datagram(address, spread, bound, error);
    return socket_listen(address, spread, bound, error);
}

/* The first socket chooses the port if that is free to choose; the others share it. */
static int entry_bind(struct entry *entry, unsigned workers, struct error *error)
{
    struct address address;
    int result = address_parse(entry->route.listen, &address, error);
    if (result)
        return result;
    if (entry->route.protocol == RULESET_UDP && address.storage.ss_family == AF_UNIX)
        return error_set(error, -EINVAL, "a udp route listens on host:port");
    socket_remove_stale(&address);
    struct socket_set *sockets = memory_allocate_zeroed(1, sizeof(*sockets));
    sockets->users = 1;
    size_t count = entry->route.spread ? workers : 1;
    while (sockets->count < count) {
        int fd =
            bind_one(entry, sockets->count ? &sockets->bound : &address, &sockets->bound, error);
        if (fd < 0) {
            sockets_release(sockets);
            return fd;
        }
        sockets->fds[sockets->count++] = fd;
    }
    socket_remember_file(&sockets->bound, &sockets->file);
    address_format(&sockets->bound, sockets->text);
    entry->sockets = sockets;
    return 0;
}

/* An entry by one of the texts that say where it listens. */
struct listening {
    const char *text;
    const struct entry *entry;
};

static int compare_listening(const void *a, const void *b)
{
    return strcmp(((const struct listening *)a)->text, ((const struct listening *)b)->text);
}

/* The entries by where they listen, as written and as bound, sorted. Caller frees. */
static struct listening *list_listening(const struct routes *routes, size_t *count)
{
    struct listening *list = memory_allocate_zeroed(2 * ROUTE_SLOTS_MAX, sizeof(*list));
    *count = 0;
    for (size_t slot = 0; routes && slot < routes->slot_end; slot++) {
        const struct entry *entry = routes->entries[slot];
        if (!entry)
            continue;
        list[(*count)++] = (struct listening){entry->route.listen, entry};
        list[(*count)++] = (struct listening){entry->sockets->text, entry};
    }
    qsort(list, *count, sizeof(*list), compare_listening);
    return list;
}

static size_t find_listening(const struct listening *list, size_t count, const char *text)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(list[middle].text, text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Shares the sockets of a current route that listens on the same address and has no other user,
 * which is one that goes. list: of the current routes. */
static bool entry_inherit(struct entry *entry, const struct listening *list, size_t count)
{
    const char *text = entry->route.listen;
    for (size_t i = find_listening(list, count, text); i < count && strcmp(list[i].text, text) == 0;
         i++) {
        const struct entry *old = list[i].entry;
        if (!same_socket(old, &entry->route) || old->sockets->users > 1)
            continue;
        entry->sockets = sockets_share(old->sockets);
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

/* old: may know it already, from the same text. */
static int parse_upstream(struct entry *entry, const struct entry *old, struct error *error)
{
    struct route_spec *spec = &entry->spec;
    spec->upstream_name = entry->upstream_name;
    if (old && strcmp(old->route.upstream, entry->route.upstream) == 0) {
        spec->upstream = old->spec.upstream;
        spec->upstream_port = old->spec.upstream_port;
        memcpy(entry->upstream_name, old->upstream_name, sizeof(entry->upstream_name));
        return 0;
    }
    int result = address_parse_named(entry->route.upstream, &spec->upstream, entry->upstream_name,
                                     sizeof(entry->upstream_name), &spec->upstream_port, error);
    if (!result && entry->route.protocol == RULESET_UDP &&
        spec->upstream.storage.ss_family == AF_UNIX)
        result = error_set(error, -EINVAL, "a udp route's upstream is host:port");
    return result;
}

/* An entry without sockets yet, unless the current one of the slot goes on. */
static int add_entry(struct routes *next, const struct ruleset_route *route, size_t index,
                     const struct fault_plan *plan, const struct routes *current,
                     struct error *error)
{
    uint16_t slot = fault_plan_route_slot(plan, route->name);
    assert(slot < ROUTE_SLOTS_MAX && !next->entries[slot]);
    const struct entry *old = current ? current->entries[slot] : NULL;
    struct entry *entry = memory_allocate_zeroed(1, sizeof(*entry));
    next->entries[slot] = entry;
    if (slot >= next->slot_end)
        next->slot_end = (size_t)slot + 1;
    entry->route = *route;
    entry->spec.fd = -1;
    entry->spec.slot = slot;
    entry->spec.close_unreached = route->close_unreached;
    entry->spec.from_peer = route->from[0] == '\0';
    entry->spec.from =
        entry->spec.from_peer ? FAULT_NO_NODE : fault_plan_node_slot(plan, route->from);
    entry->spec.to = route->to[0] ? fault_plan_node_slot(plan, route->to) : FAULT_NO_NODE;
    if (old && strcmp(old->route.name, route->name) != 0)
        old = NULL;
    int result = parse_upstream(entry, old, error);
    if (result) {
        fail_at(error, index, "upstream");
        return result;
    }
    if (old && same_socket(old, route))
        entry->sockets = sockets_share(old->sockets);
    bool goes_on = old && same_route(old, route) && old->spec.from == entry->spec.from &&
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
            for (size_t slot = 0; slot < next->slot_end; slot++) {
                const struct entry *entry = next->entries[slot];
                if (!entry || (int)entry->route.protocol != protocol ||
                    (!entry->route.spread && slot % workers != w))
                    continue;
                struct route_spec *spec = &next->specs[used++];
                *spec = entry->spec;
                spec->fd = entry->sockets->fds[entry->route.spread ? w : 0];
                spec->ordinals = entry->route.spread ? entry->sockets->ordinals : NULL;
                table->route_count++;
            }
        }
    }
    assert(used == count);
}

/* Sockets for the entries that have none yet. */
static int bind_entries(struct routes *next, const struct ruleset *ruleset,
                        const struct fault_plan *plan, const struct routes *current,
                        unsigned workers, struct error *error)
{
    struct listening *list = NULL;
    size_t count = 0;
    int result = 0;
    for (size_t i = 0; i < ruleset->route_count && !result; i++) {
        if (!ruleset->routes[i].enabled)
            continue;
        struct entry *entry = next->entries[fault_plan_route_slot(plan, ruleset->routes[i].name)];
        if (entry->sockets)
            continue;
        if (!list)
            list = list_listening(current, &count);
        if (!entry_inherit(entry, list, count) && (result = entry_bind(entry, workers, error)))
            fail_at(error, i, "listen");
    }
    free(list);
    return result;
}

static int fill_entries(struct routes *next, const struct ruleset *ruleset,
                        const struct fault_plan *plan, const struct routes *current,
                        unsigned workers, size_t *count, struct error *error)
{
    int result;
    *count = 0;
    for (size_t i = 0; i < ruleset->route_count; i++) {
        if (!ruleset->routes[i].enabled)
            continue;
        if ((result = add_entry(next, &ruleset->routes[i], i, plan, current, error)))
            return result;
        *count += ruleset->routes[i].spread ? workers : 1;
    }
    return bind_entries(next, ruleset, plan, current, workers, error);
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
        result = fill_entries(next, ruleset, plan, current, workers, &count, error);
    if (result) {
        routes_free(next);
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

void routes_destroy(struct routes *routes)
{
    if (routes)
        routes_free(routes);
}

const struct address *routes_listening(const struct routes *routes, uint16_t slot)
{
    const struct entry *entry = slot < ROUTE_SLOTS_MAX ? routes->entries[slot] : NULL;
    return entry ? &entry->sockets->bound : NULL;
}
