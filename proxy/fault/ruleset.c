/* The ruleset as a value: build, copy, look up, remove.
 *
 * Theory of operation. Six flat arrays; order matters in faults only, and removal keeps it. An
 * append asks for room for the next power of two, which costs nothing while that has not changed,
 * so arrays carry no capacity, and an array that came from elsewhere (a decoder, ruleset_copy)
 * grows just as well. Look-up is a linear scan: single look-ups belong to control calls; whoever
 * needs thousands (ruleset_check, fault_plan_create) hashes the names first. */
#include "proxy/fault/ruleset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/text.h"
#include "proxy/fault/ruleset_parameters.h"

enum { NODES_LISTED = 6 }; /* about so many names in a message, more when they are short */

static size_t capacity_for(size_t count)
{
    size_t capacity = 4;
    while (capacity < count)
        capacity *= 2;
    return capacity;
}

/* Room for one more element of `size` bytes, copied from `element`; returns where it is. */
static void *append(void **array, size_t *count, const void *element, size_t size)
{
    *array = memory_resize(*array, capacity_for(*count + 1), size);
    char *place = (char *)*array + *count * size;
    memcpy(place, element, size);
    *count += 1;
    return place;
}

/* Appends *element to ruleset->array; the macro keeps void ** apart from the typed pointers. */
#define APPEND(array, count, element, result)                                                      \
    do {                                                                                           \
        void *block = (array);                                                                     \
        (result) = append(&block, &(count), (element), sizeof(*(array)));                          \
        (array) = block;                                                                           \
    } while (0)

void ruleset_free(struct ruleset *ruleset)
{
    for (size_t i = 0; i < ruleset->partition_count; i++)
        ruleset_partition_free(&ruleset->partitions[i]);
    for (size_t i = 0; i < ruleset->table_count; i++)
        free(ruleset->tables[i].values);
    free(ruleset->tables);
    free(ruleset->nodes);
    free(ruleset->routes);
    free(ruleset->partitions);
    free(ruleset->faults);
    free(ruleset->clocks);
    *ruleset = (struct ruleset){0};
}

void ruleset_copy(struct ruleset *to, const struct ruleset *from)
{
    *to = *from;
    to->nodes = memory_copy(from->nodes, from->node_count, sizeof(*from->nodes));
    to->routes = memory_copy(from->routes, from->route_count, sizeof(*from->routes));
    to->partitions =
        memory_copy(from->partitions, from->partition_count, sizeof(*from->partitions));
    to->faults = memory_copy(from->faults, from->fault_count, sizeof(*from->faults));
    to->clocks = memory_copy(from->clocks, from->clock_count, sizeof(*from->clocks));
    to->tables = memory_copy(from->tables, from->table_count, sizeof(*from->tables));
    for (size_t i = 0; i < from->partition_count; i++)
        ruleset_partition_copy(&to->partitions[i], &from->partitions[i]);
    for (size_t i = 0; i < from->table_count; i++)
        to->tables[i].values =
            memory_copy(from->tables[i].values, from->tables[i].count, sizeof(int32_t));
}

struct ruleset_node *ruleset_add_node(struct ruleset *ruleset, const struct ruleset_node *node)
{
    struct ruleset_node copy = *node, *added; /* it may be in the array that moves */
    APPEND(ruleset->nodes, ruleset->node_count, &copy, added);
    return added;
}

struct ruleset_route *ruleset_add_route(struct ruleset *ruleset, const struct ruleset_route *route)
{
    struct ruleset_route copy = *route, *added; /* it may be in the array that moves */
    APPEND(ruleset->routes, ruleset->route_count, &copy, added);
    return added;
}

struct ruleset_fault *ruleset_add_fault(struct ruleset *ruleset, const struct ruleset_fault *fault)
{
    struct ruleset_fault copy = *fault, *added; /* it may be in the array that moves */
    APPEND(ruleset->faults, ruleset->fault_count, &copy, added);
    return added;
}

struct ruleset_partition *ruleset_add_partition(struct ruleset *ruleset,
                                                const struct ruleset_partition *partition)
{
    struct ruleset_partition copy = *partition, *added; /* it may be in the array that moves */
    APPEND(ruleset->partitions, ruleset->partition_count, &copy, added);
    ruleset_partition_copy(added, &copy);
    return added;
}

struct ruleset_table *ruleset_set_table(struct ruleset *ruleset, const struct ruleset_table *table)
{
    struct ruleset_table copy = *table, *set = ruleset_find_table(ruleset, table->name);
    copy.values = memory_copy(table->values, table->count, sizeof(*table->values));
    if (set) {
        free(set->values);
        *set = copy;
        return set;
    }
    APPEND(ruleset->tables, ruleset->table_count, &copy, set);
    return set;
}

void ruleset_set_clock(struct ruleset *ruleset, const struct ruleset_clock *clock)
{
    size_t i = 0;
    while (i < ruleset->clock_count && strcmp(ruleset->clocks[i].node, clock->node) != 0)
        i++;
    bool found = i < ruleset->clock_count;
    bool true_time = clock->offset_ns == 0 && clock->drift_ppb == 0;
    if (found && !true_time) {
        ruleset->clocks[i] = *clock;
    } else if (found) {
        ruleset->clock_count--;
        memmove(&ruleset->clocks[i], &ruleset->clocks[i + 1],
                (ruleset->clock_count - i) * sizeof(*ruleset->clocks));
    } else if (!true_time) {
        struct ruleset_clock copy = *clock, *added;
        APPEND(ruleset->clocks, ruleset->clock_count, &copy, added);
        (void)added;
    }
}

struct ruleset_node *ruleset_find_node(const struct ruleset *ruleset, const char *name)
{
    for (size_t i = 0; i < ruleset->node_count; i++)
        if (strcmp(ruleset->nodes[i].name, name) == 0)
            return &ruleset->nodes[i];
    return NULL;
}

struct ruleset_route *ruleset_find_route(const struct ruleset *ruleset, const char *name)
{
    for (size_t i = 0; i < ruleset->route_count; i++)
        if (strcmp(ruleset->routes[i].name, name) == 0)
            return &ruleset->routes[i];
    return NULL;
}

struct ruleset_fault *ruleset_find_fault(const struct ruleset *ruleset, const char *name)
{
    for (size_t i = 0; i < ruleset->fault_count; i++)
        if (strcmp(ruleset->faults[i].name, name) == 0)
            return &ruleset->faults[i];
    return NULL;
}

struct ruleset_table *ruleset_find_table(const struct ruleset *ruleset, const char *name)
{
    for (size_t i = 0; i < ruleset->table_count; i++)
        if (strcmp(ruleset->tables[i].name, name) == 0)
            return &ruleset->tables[i];
    return NULL;
}

struct ruleset_partition *ruleset_find_partition(const struct ruleset *ruleset, const char *name)
{
    for (size_t i = 0; i < ruleset->partition_count; i++)
        if (strcmp(ruleset->partitions[i].name, name) == 0)
            return &ruleset->partitions[i];
    return NULL;
}

const struct ruleset_clock *ruleset_find_clock(const struct ruleset *ruleset, const char *node)
{
    for (size_t i = 0; i < ruleset->clock_count; i++)
        if (strcmp(ruleset->clocks[i].node, node) == 0)
            return &ruleset->clocks[i];
    return NULL;
}

static bool same_link(const struct ruleset_link *a, const struct ruleset_link *b)
{
    return strcmp(a->from, b->from) == 0 && strcmp(a->to, b->to) == 0;
}

bool ruleset_same_fault(const struct ruleset_fault *a, const struct ruleset_fault *b)
{
    return a->type == b->type && same_link(&a->link, &b->link) && a->both_ways == b->both_ways &&
           strcmp(a->route, b->route) == 0 && a->direction == b->direction &&
           a->spared_ppb == b->spared_ppb && a->first_connections == b->first_connections &&
           a->after_ns == b->after_ns && strcmp(a->match, b->match) == 0 &&
           ruleset_same_parameters(a, b);
}

int ruleset_no_such_node(const struct ruleset *ruleset, const char *name, int code,
                         const char *place, struct error *error)
{
    char known[NODES_LISTED * RULESET_NAME_MAX] = "";
    size_t length = 0, listed = 0;
    for (; listed < ruleset->node_count && length + RULESET_NAME_MAX < sizeof(known) / 2; listed++)
        length += (size_t)snprintf(known + length, sizeof(known) - length, "%s%s",
                                   listed ? ", " : "", ruleset->nodes[listed].name);
    if (listed < ruleset->node_count)
        snprintf(known + length, sizeof(known) - length, " and %zu more",
                 ruleset->node_count - listed);
    return error_set_at(error, code, place, "there is no node '%.*s' (%s%s)", RULESET_NAME_MAX - 1,
                        name, ruleset->node_count ? "nodes: " : "there are no nodes", known);
}

/* Takes the element that is at `element` (NULL: there is none) out of array. */
#define REMOVE(array, count, element)                                                              \
    do {                                                                                           \
        if (!(element))                                                                            \
            return false;                                                                          \
        (count)--;                                                                                 \
        memmove((element), (element) + 1,                                                          \
                (size_t)((array) + (count) - (element)) * sizeof(*(array)));                       \
        return true;                                                                               \
    } while (0)

bool ruleset_remove_node(struct ruleset *ruleset, const char *name)
{
    struct ruleset_node *node = ruleset_find_node(ruleset, name);
    REMOVE(ruleset->nodes, ruleset->node_count, node);
}

bool ruleset_remove_route(struct ruleset *ruleset, const char *name)
{
    struct ruleset_route *route = ruleset_find_route(ruleset, name);
    REMOVE(ruleset->routes, ruleset->route_count, route);
}

bool ruleset_remove_fault(struct ruleset *ruleset, const char *name)
{
    struct ruleset_fault *fault = ruleset_find_fault(ruleset, name);
    REMOVE(ruleset->faults, ruleset->fault_count, fault);
}

bool ruleset_remove_table(struct ruleset *ruleset, const char *name)
{
    struct ruleset_table *table = ruleset_find_table(ruleset, name);
    if (table)
        free(table->values);
    REMOVE(ruleset->tables, ruleset->table_count, table);
}

bool ruleset_remove_partition(struct ruleset *ruleset, const char *name)
{
    struct ruleset_partition *partition = ruleset_find_partition(ruleset, name);
    if (partition)
        ruleset_partition_free(partition);
    REMOVE(ruleset->partitions, ruleset->partition_count, partition);
}
