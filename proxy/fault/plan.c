/* Plans: a ruleset compiled for the data path.
 *
 * Theory of operation. Compiling has four steps, each linear in the ruleset.
 *   1. Names. Nodes, routes and faults get slots; a name that the previous plan has keeps its own
 *      (slots.h), a fault only while its type and target are the same.
 *   2. Cuts. Partitions are or-ed into a bit matrix by node slot: 128 words pairs, one look per
 * unit.
 *   3. Chains. Each fault is put on a list by where it is: its route, or its pair of ends with "*"
 *      as an end of its own. A fault written n1<->n2 is on two lists. The faults of a unit on a->b
 *      over route r are then those on the five lists (a,b), (a,*), (*,b), (*,*) and r, which are
 *      merged in ruleset order. No fault is on two of them, since a and b differ.
 *   4. Lengths. When more than FAULT_CHAIN_MAX faults exist, every chain that a flow can meet is
 *      measured.
 *
 * A fault's key folds in the seed, the names of the ends, the route, the direction and its own
 * name, but no slot and no position: what else is in the ruleset changes no decision. Ends and
 * route are all folded in, whatever the fault is on, so that flows of two links over one route, or
 * of two routes on one link, draw apart although their ordinals are the same. */
#include "proxy/fault/plan.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/random.h"
#include "proxy/fault/name_table.h"
#include "proxy/fault/slots.h"

enum {
    ANY = RULESET_NODES_MAX, /* "*" as an end */
    ENDS = RULESET_NODES_MAX + 1,
    WORD_BITS = 64,
    LIST_END = UINT16_MAX,
    LISTS_MAX = 5, /* that one chain is merged from */
};

/* A list of faults in ruleset order. Item 2f and 2f + 1 belong to fault f: its target, and the
 * reverse of it when it is on both ways. */
struct fault_lists {
    uint16_t by_link[ENDS][ENDS]; /* first item, by slots of the ends */
    uint16_t *by_route;           /* first item, by route slot */
    uint16_t *next;               /* by item */
};

/* A copy of a table. Its edition is that of the table of this name in the previous plan when the
 * values are the same: what goes through a trace tells by it whether to begin anew. */
struct plan_table {
    struct ruleset_table table;
    uint64_t edition;
};

struct fault_plan {
    uint64_t version;
    uint64_t seed;
    uint32_t types; /* bits of the fault types that are there */
    uint64_t cut[RULESET_NODES_MAX][FAULT_NODE_WORDS];
    uint64_t cut_with[RULESET_NODES_MAX][FAULT_NODE_WORDS]; /* either way */
    bool has_cuts;                                          /* any bit of them */
    struct slots nodes, routes, faults;
    struct name_table node_names, route_names, fault_names; /* name -> index in the ruleset */
    char (*node_name)[RULESET_NAME_MAX];                    /* by index */
    char (*route_name)[RULESET_NAME_MAX];                   /* by index */
    struct ruleset_fault *specs;                            /* by index */
    struct plan_table *tables;                              /* by index */
    size_t table_count;
    uint64_t editions; /* of tables that there have been, in this plan and those before it */
    struct fault_lists lists;
};

static bool same_target(const struct ruleset_fault *a, const struct ruleset_fault *b)
{
    return a->type == b->type && a->both_ways == b->both_ways && a->direction == b->direction &&
           strcmp(a->link.from, b->link.from) == 0 && strcmp(a->link.to, b->link.to) == 0 &&
           strcmp(a->route, b->route) == 0;
}

/* The slot of `name` in a plan's slots, SLOTS_NONE when it has none. */
static uint16_t slot_by_name(const struct slots *slots, const struct name_table *names,
                             const char *name)
{
    uint32_t index = name_table_find(names, name);
    return index == NAME_TABLE_NONE ? SLOTS_NONE : slots->slot_of[index];
}

static int name_nodes(struct fault_plan *plan, const struct ruleset *ruleset,
                      const struct fault_plan *previous)
{
    size_t count = ruleset->node_count;
    uint16_t kept[RULESET_NODES_MAX];
    assert(count <= RULESET_NODES_MAX);
    plan->node_name = calloc(count + 1, sizeof(*plan->node_name));
    if (!plan->node_name || name_table_create(&plan->node_names, count) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        memcpy(plan->node_name[i], ruleset->nodes[i].name, RULESET_NAME_MAX);
        name_table_add(&plan->node_names, plan->node_name[i], (uint32_t)i);
        kept[i] = previous
                      ? slot_by_name(&previous->nodes, &previous->node_names, plan->node_name[i])
                      : SLOTS_NONE;
    }
    return slots_assign(&plan->nodes, previous ? &previous->nodes : NULL, kept, count,
                        RULESET_NODES_MAX);
}

static int name_routes(struct fault_plan *plan, const struct ruleset *ruleset,
                       const struct fault_plan *previous)
{
    size_t count = ruleset->route_count;
    uint16_t kept[RULESET_ROUTES_MAX];
    assert(count <= RULESET_ROUTES_MAX);
    plan->route_name = calloc(count + 1, sizeof(*plan->route_name));
    if (!plan->route_name || name_table_create(&plan->route_names, count) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        memcpy(plan->route_name[i], ruleset->routes[i].name, RULESET_NAME_MAX);
        name_table_add(&plan->route_names, plan->route_name[i], (uint32_t)i);
        kept[i] = previous
                      ? slot_by_name(&previous->routes, &previous->route_names, plan->route_name[i])
                      : SLOTS_NONE;
    }
    return slots_assign(&plan->routes, previous ? &previous->routes : NULL, kept, count,
                        RULESET_ROUTES_MAX);
}

static int name_faults(struct fault_plan *plan, const struct ruleset *ruleset,
                       const struct fault_plan *previous)
{
    size_t count = ruleset->fault_count;
    uint16_t kept[RULESET_FAULTS_MAX];
    assert(count <= RULESET_FAULTS_MAX);
    plan->specs = calloc(count + 1, sizeof(*plan->specs));
    if (!plan->specs || name_table_create(&plan->fault_names, count) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct ruleset_fault *spec = &plan->specs[i];
        plan->specs[i] = ruleset->faults[i];
        plan->types |= UINT32_C(1) << spec->type;
        name_table_add(&plan->fault_names, spec->name, (uint32_t)i);
        uint32_t before =
            previous ? name_table_find(&previous->fault_names, spec->name) : NAME_TABLE_NONE;
        bool same = before != NAME_TABLE_NONE && same_target(spec, &previous->specs[before]);
        kept[i] = same ? previous->faults.slot_of[before] : SLOTS_NONE;
    }
    return slots_assign(&plan->faults, previous ? &previous->faults : NULL, kept, count,
                        RULESET_FAULTS_MAX);
}

static const struct plan_table *find_table(const struct fault_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->table_count; i++)
        if (strcmp(plan->tables[i].table.name, name) == 0)
            return &plan->tables[i];
    return NULL;
}

static int copy_tables(struct fault_plan *plan, const struct ruleset *ruleset,
                       const struct fault_plan *previous)
{
    plan->editions = previous ? previous->editions : 0;
    plan->tables = calloc(ruleset->table_count + 1, sizeof(*plan->tables));
    if (!plan->tables)
        return -ENOMEM;
    for (size_t i = 0; i < ruleset->table_count; i++) {
        const struct ruleset_table *from = &ruleset->tables[i];
        const struct plan_table *before = previous ? find_table(previous, from->name) : NULL;
        struct plan_table *to = &plan->tables[i];
        size_t bytes = from->count * sizeof(*from->values);
        to->table = *from;
        to->table.values = malloc(bytes ? bytes : 1);
        plan->table_count++; /* what has been allocated is freed with the plan */
        if (!to->table.values)
            return -ENOMEM;
        memcpy(to->table.values, from->values, bytes);
        bool same = before && before->table.count == from->count &&
                    memcmp(before->table.values, from->values, bytes) == 0;
        to->edition = same ? before->edition : ++plan->editions;
    }
    return 0;
}

/* Slot of a link's end; a link's ends are known (ruleset_check). */
static uint16_t end_slot(const struct fault_plan *plan, const char *name)
{
    if (strcmp(name, "*") == 0)
        return ANY;
    uint16_t slot = slot_by_name(&plan->nodes, &plan->node_names, name);
    assert(slot < RULESET_NODES_MAX);
    return slot;
}

/* A link that ruleset_check has let pass has known ends. */
static int compile_cuts(struct fault_plan *plan, const struct ruleset *ruleset)
{
    for (size_t p = 0; p < ruleset->partition_count; p++) {
        const struct ruleset_partition *partition = &ruleset->partitions[p];
        uint16_t *slots = malloc((partition->end_count + 1) * sizeof(*slots));
        if (!slots)
            return -ENOMEM;
        for (size_t i = 0; i < partition->end_count; i++)
            slots[i] = end_slot(plan, partition->ends[i]);
        for (size_t i = 0; i < partition->link_count; i++) {
            uint16_t from = slots[partition->links[i].from], to = slots[partition->links[i].to];
            plan->has_cuts = true;
            plan->cut[from][to / WORD_BITS] |= UINT64_C(1) << (to % WORD_BITS);
            plan->cut_with[from][to / WORD_BITS] |= UINT64_C(1) << (to % WORD_BITS);
            plan->cut_with[to][from / WORD_BITS] |= UINT64_C(1) << (from % WORD_BITS);
        }
        free(slots);
    }
    return 0;
}

static void list_prepend(struct fault_lists *lists, uint16_t *first, size_t item)
{
    lists->next[item] = *first;
    *first = (uint16_t)item;
}

static int compile_lists(struct fault_plan *plan)
{
    struct fault_lists *lists = &plan->lists;
    size_t count = plan->faults.count;
    lists->by_route = malloc((plan->routes.size + 1) * sizeof(*lists->by_route));
    lists->next = malloc((2 * count + 1) * sizeof(*lists->next));
    if (!lists->by_route || !lists->next)
        return -ENOMEM;
    memset(lists->by_link, 0xff, sizeof(lists->by_link)); /* LIST_END */
    memset(lists->by_route, 0xff, (plan->routes.size + 1) * sizeof(*lists->by_route));
    for (size_t f = count; f-- > 0;) {
        const struct ruleset_fault *spec = &plan->specs[f];
        if (spec->route[0]) {
            uint16_t route = slot_by_name(&plan->routes, &plan->route_names, spec->route);
            assert(route < plan->routes.size);
            list_prepend(lists, &lists->by_route[route], 2 * f);
            continue;
        }
        uint16_t from = end_slot(plan, spec->link.from), to = end_slot(plan, spec->link.to);
        list_prepend(lists, &lists->by_link[from][to], 2 * f);
        if (spec->both_ways && from != to)
            list_prepend(lists, &lists->by_link[to][from], 2 * f + 1);
    }
    return 0;
}

/* Indexes of the faults that a unit meets, in ruleset order; at most `limit`. */
static size_t find_faults(const struct fault_plan *plan, uint16_t from, uint16_t to, uint16_t route,
                          enum ruleset_direction direction, uint16_t *faults, size_t limit)
{
    const struct fault_lists *lists = &plan->lists;
    uint16_t heads[LISTS_MAX];
    size_t list_count = 0, count = 0;
    if (from < RULESET_NODES_MAX && to < RULESET_NODES_MAX && from != to) {
        heads[list_count++] = lists->by_link[from][to];
        heads[list_count++] = lists->by_link[from][ANY];
        heads[list_count++] = lists->by_link[ANY][to];
        heads[list_count++] = lists->by_link[ANY][ANY];
    }
    if (route < plan->routes.size)
        heads[list_count++] = lists->by_route[route];
    while (count < limit) {
        size_t first = 0;
        for (size_t i = 1; i < list_count; i++) /* LIST_END is above every item */
            first = heads[i] < heads[first] ? i : first;
        if (list_count == 0 || heads[first] == LIST_END)
            break;
        size_t fault = heads[first] / 2;
        heads[first] = lists->next[heads[first]];
        enum ruleset_direction only = plan->specs[fault].direction;
        if (only == RULESET_BOTH || only == direction)
            faults[count++] = (uint16_t)fault;
    }
    return count;
}

/* -E2BIG when the chain at this place is too long. */
static int check_chain(const struct fault_plan *plan, uint16_t from, uint16_t to, uint16_t route,
                       enum ruleset_direction direction, struct error *error)
{
    uint16_t faults[FAULT_CHAIN_MAX + 1];
    if (find_faults(plan, from, to, route, direction, faults, FAULT_CHAIN_MAX + 1) <=
        FAULT_CHAIN_MAX)
        return 0;
    char place[ERROR_PLACE_MAX], where[2 * RULESET_LINK_TEXT_MAX] = "";
    int length = 0;
    if (from < RULESET_NODES_MAX && to < RULESET_NODES_MAX)
        length = snprintf(where, sizeof(where), " on link %s->%s",
                          plan->node_name[plan->nodes.element_of[from]],
                          plan->node_name[plan->nodes.element_of[to]]);
    if (route != FAULT_NO_ROUTE)
        snprintf(where + length, sizeof(where) - (size_t)length, " on route %s %s",
                 plan->route_name[plan->routes.element_of[route]],
                 ruleset_direction_name(direction));
    snprintf(place, sizeof(place), "faults[%u]", faults[FAULT_CHAIN_MAX]);
    return error_set_at(error, -E2BIG, place, "more than %d faults meet%s: remove some",
                        FAULT_CHAIN_MAX, where);
}

/* A route's chains: alone, and with each link that its connections can be on. Its dialling node
 * is known, or any node. */
static int check_route_chains(const struct fault_plan *plan, const struct ruleset_route *route,
                              struct error *error)
{
    uint16_t slot = slot_by_name(&plan->routes, &plan->route_names, route->name);
    if (plan->lists.by_route[slot] == LIST_END)
        return 0;
    int code = check_chain(plan, FAULT_NO_NODE, FAULT_NO_NODE, slot, RULESET_UPSTREAM, error);
    if (code == 0)
        code = check_chain(plan, FAULT_NO_NODE, FAULT_NO_NODE, slot, RULESET_DOWNSTREAM, error);
    if (code < 0 || route->to[0] == '\0')
        return code;
    uint16_t to = end_slot(plan, route->to);
    for (size_t i = 0; code == 0 && i < plan->nodes.count; i++) {
        if (route->from[0] && strcmp(route->from, plan->node_name[i]) != 0)
            continue;
        uint16_t from = plan->nodes.slot_of[i];
        code = check_chain(plan, from, to, slot, RULESET_UPSTREAM, error);
        if (code == 0)
            code = check_chain(plan, to, from, slot, RULESET_DOWNSTREAM, error);
    }
    return code;
}

static int check_chains(const struct fault_plan *plan, const struct ruleset *ruleset,
                        struct error *error)
{
    int code = 0;
    if (ruleset->fault_count <= FAULT_CHAIN_MAX)
        return 0;
    for (size_t i = 0; code == 0 && i < plan->nodes.count; i++)
        for (size_t j = 0; code == 0 && j < plan->nodes.count; j++)
            code = check_chain(plan, plan->nodes.slot_of[i], plan->nodes.slot_of[j], FAULT_NO_ROUTE,
                               RULESET_BOTH, error);
    for (size_t i = 0; code == 0 && i < ruleset->route_count; i++)
        code = check_route_chains(plan, &ruleset->routes[i], error);
    return code;
}

int fault_plan_create(const struct ruleset *ruleset, const struct fault_plan *previous,
                      struct fault_plan **plan, struct error *error)
{
    struct fault_plan *made = calloc(1, sizeof(*made));
    if (!made)
        return error_set(error, -ENOMEM, "out of memory");
    made->version = ruleset->version;
    made->seed = ruleset->seed;
    if (name_nodes(made, ruleset, previous) < 0 || name_routes(made, ruleset, previous) < 0 ||
        name_faults(made, ruleset, previous) < 0 || copy_tables(made, ruleset, previous) < 0 ||
        compile_lists(made) < 0 || compile_cuts(made, ruleset) < 0) {
        fault_plan_destroy(made);
        return error_set(error, -ENOMEM, "out of memory");
    }
    int code = check_chains(made, ruleset, error);
    if (code < 0) {
        fault_plan_destroy(made);
        return code;
    }
    *plan = made;
    return 0;
}

void fault_plan_destroy(struct fault_plan *plan)
{
    if (!plan)
        return;
    slots_free(&plan->nodes);
    slots_free(&plan->routes);
    slots_free(&plan->faults);
    name_table_destroy(&plan->node_names);
    name_table_destroy(&plan->route_names);
    name_table_destroy(&plan->fault_names);
    free(plan->node_name);
    free(plan->route_name);
    free(plan->specs);
    for (size_t i = 0; i < plan->table_count; i++)
        free(plan->tables[i].table.values);
    free(plan->tables);
    free(plan->lists.by_route);
    free(plan->lists.next);
    free(plan);
}

uint64_t fault_plan_version(const struct fault_plan *plan)
{
    return plan->version;
}

uint64_t fault_plan_seed(const struct fault_plan *plan)
{
    return plan->seed;
}

uint16_t fault_plan_node_slot(const struct fault_plan *plan, const char *name)
{
    return slot_by_name(&plan->nodes, &plan->node_names, name);
}

uint16_t fault_plan_route_slot(const struct fault_plan *plan, const char *name)
{
    return slot_by_name(&plan->routes, &plan->route_names, name);
}

uint16_t fault_plan_fault_slot(const struct fault_plan *plan, const char *name,
                               uint32_t *generation)
{
    uint16_t slot = slot_by_name(&plan->faults, &plan->fault_names, name);
    if (generation && slot != SLOTS_NONE)
        *generation = plan->faults.generation[slot];
    return slot;
}

uint32_t fault_plan_node_generation(const struct fault_plan *plan, uint16_t slot)
{
    return slot < plan->nodes.size ? plan->nodes.generation[slot] : 0;
}

uint32_t fault_plan_route_generation(const struct fault_plan *plan, uint16_t slot)
{
    return slot < plan->routes.size ? plan->routes.generation[slot] : 0;
}

uint32_t fault_plan_fault_generation(const struct fault_plan *plan, uint16_t slot)
{
    return slot < plan->faults.size ? plan->faults.generation[slot] : 0;
}

uint16_t fault_plan_fault_of_slot(const struct fault_plan *plan, uint16_t slot)
{
    return slot < plan->faults.size ? plan->faults.element_of[slot] : SLOTS_NONE;
}

size_t fault_plan_fault_slots(const struct fault_plan *plan)
{
    return plan->faults.size;
}

const struct ruleset_table *fault_plan_table(const struct fault_plan *plan, const char *name)
{
    const struct plan_table *found = find_table(plan, name);
    return found ? &found->table : NULL;
}

bool fault_plan_has_type(const struct fault_plan *plan, enum ruleset_fault_type type)
{
    return plan->types >> type & 1;
}

bool fault_plan_has_cuts(const struct fault_plan *plan)
{
    return plan->has_cuts;
}

bool fault_plan_is_cut(const struct fault_plan *plan, uint16_t from, uint16_t to)
{
    if (from >= RULESET_NODES_MAX || to >= RULESET_NODES_MAX)
        return false;
    return plan->cut[from][to / WORD_BITS] >> (to % WORD_BITS) & 1;
}

void fault_plan_cut_with(const struct fault_plan *plan, uint16_t node,
                         uint64_t nodes[FAULT_NODE_WORDS])
{
    for (size_t i = 0; i < FAULT_NODE_WORDS; i++)
        nodes[i] = node < RULESET_NODES_MAX ? plan->cut_with[node][i] : 0;
}

static uint64_t chain_key(const struct fault_plan *plan, uint16_t from, uint16_t to, uint16_t route,
                          enum ruleset_direction direction)
{
    const char *from_name = "", *to_name = "", *route_name = "";
    if (from < plan->nodes.size && plan->nodes.element_of[from] != SLOTS_NONE)
        from_name = plan->node_name[plan->nodes.element_of[from]];
    if (to < plan->nodes.size && plan->nodes.element_of[to] != SLOTS_NONE)
        to_name = plan->node_name[plan->nodes.element_of[to]];
    if (route < plan->routes.size && plan->routes.element_of[route] != SLOTS_NONE)
        route_name = plan->route_name[plan->routes.element_of[route]];
    uint64_t key = random_key_fold_text(plan->seed, from_name);
    key = random_key_fold_text(key, to_name);
    key = random_key_fold_text(key, route_name);
    return random_key_fold(key, (uint64_t)direction);
}

/* The table that a fault names; NULL: none. */
static const struct plan_table *table_of(const struct fault_plan *plan,
                                         const struct ruleset_fault *spec)
{
    if (spec->type == RULESET_TRACE)
        return find_table(plan, spec->trace.table);
    if (spec->type == RULESET_LATENCY && spec->latency.distribution == RULESET_TABLE)
        return find_table(plan, spec->latency.table);
    return NULL;
}

size_t fault_plan_chain(const struct fault_plan *plan, uint16_t from, uint16_t to, uint16_t route,
                        enum ruleset_direction direction, struct fault_entry *entries)
{
    uint16_t faults[FAULT_CHAIN_MAX];
    size_t count = find_faults(plan, from, to, route, direction, faults, FAULT_CHAIN_MAX);
    uint64_t key = count ? chain_key(plan, from, to, route, direction) : 0;
    for (size_t i = 0; i < count; i++) {
        const struct ruleset_fault *spec = &plan->specs[faults[i]];
        const struct plan_table *table = table_of(plan, spec);
        uint16_t slot = plan->faults.slot_of[faults[i]];
        entries[i] = (struct fault_entry){.spec = spec,
                                          .table = table ? &table->table : NULL,
                                          .table_edition = table ? table->edition : 0,
                                          .key = random_key_fold_text(key, spec->name),
                                          .fault_key = random_key_fold_text(plan->seed, spec->name),
                                          .slot = slot,
                                          .generation = plan->faults.generation[slot],
                                          .direction = direction};
    }
    return count;
}
