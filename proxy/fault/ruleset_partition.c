/* Partitions as values: their links, and the forms that make many of them.
 *
 * Theory of operation. Links are pairs of indexes into the partition's own list of node names, so
 * that it needs no ruleset to be read, and copying, checking and compiling one costs a name's
 * look-up for each node and next to nothing for each link. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/text.h"
#include "proxy/fault/name_table.h"
#include "proxy/fault/ruleset.h"

static size_t capacity_for(size_t count)
{
    size_t capacity = 4;
    while (capacity < count)
        capacity *= 2;
    return capacity;
}

static void reserve_ends(struct ruleset_partition *partition, size_t more)
{
    partition->ends = memory_resize(partition->ends, capacity_for(partition->end_count + more),
                                    sizeof(*partition->ends));
}

static void reserve_links(struct ruleset_partition *partition, size_t more)
{
    partition->links = memory_resize(partition->links, capacity_for(partition->link_count + more),
                                     sizeof(*partition->links));
}

/* What follows needs room that is reserved. */

static uint32_t put_end(struct ruleset_partition *partition, const char *name)
{
    char *end = partition->ends[partition->end_count];
    memset(end, 0, RULESET_NAME_MAX);
    memcpy(end, name, strnlen(name, RULESET_NAME_MAX - 1));
    return (uint32_t)partition->end_count++;
}

static void put_link(struct ruleset_partition *partition, size_t from, size_t to)
{
    partition->links[partition->link_count++] = (struct ruleset_pair){(uint32_t)from, (uint32_t)to};
}

static uint32_t find_or_put_end(struct ruleset_partition *partition, const char *name)
{
    for (uint32_t i = 0; i < partition->end_count; i++)
        if (strcmp(partition->ends[i], name) == 0)
            return i;
    return put_end(partition, name);
}

void ruleset_partition_add_link(struct ruleset_partition *partition, const char *from,
                                const char *to)
{
    reserve_ends(partition, 2);
    reserve_links(partition, 1);
    uint32_t ends[] = {find_or_put_end(partition, from), 0};
    ends[1] = find_or_put_end(partition, to);
    for (size_t i = 0; i < partition->link_count; i++)
        if (partition->links[i].from == ends[0] && partition->links[i].to == ends[1])
            return;
    put_link(partition, ends[0], ends[1]);
}

/* The index of the end of this name, which is new to `known` or not; name outlives that. */
static uint32_t index_of(struct ruleset_partition *partition, struct name_table *known,
                         const char *name)
{
    uint32_t index = name_table_add(known, name, (uint32_t)partition->end_count);
    if (index != NAME_TABLE_NONE)
        return index;
    reserve_ends(partition, 1);
    return put_end(partition, name);
}

void ruleset_partition_add_links(struct ruleset_partition *partition,
                                 const struct ruleset_link *links, size_t count)
{
    struct ruleset_partition before;
    struct name_table known;
    int code = name_table_create(&known, partition->end_count + 2 * count);
    memory_must(code < 0 ? NULL : known.entries);
    reserve_links(partition, count);
    ruleset_partition_copy(&before, partition); /* whose names stay where they are */
    for (uint32_t i = 0; i < before.end_count; i++)
        name_table_add(&known, before.ends[i], i);
    for (size_t i = 0; i < count; i++) {
        uint32_t from = index_of(partition, &known, links[i].from);
        put_link(partition, from, index_of(partition, &known, links[i].to));
    }
    name_table_destroy(&known);
    ruleset_partition_free(&before);
}

/* Takes out the ends that no link names. */
static void drop_unused_ends(struct ruleset_partition *partition)
{
    uint32_t *moved = memory_allocate_zeroed(partition->end_count + 1, sizeof(*moved));
    for (size_t i = 0; i < partition->link_count; i++)
        moved[partition->links[i].from] = moved[partition->links[i].to] = 1;
    uint32_t kept = 0;
    for (size_t i = 0; i < partition->end_count; i++) {
        if (!moved[i])
            continue;
        memmove(partition->ends[kept], partition->ends[i], sizeof(*partition->ends));
        moved[i] = kept++;
    }
    partition->end_count = kept;
    for (size_t i = 0; i < partition->link_count; i++) {
        partition->links[i].from = moved[partition->links[i].from];
        partition->links[i].to = moved[partition->links[i].to];
    }
    free(moved);
}

void ruleset_partition_remove_node(struct ruleset_partition *partition, const char *node)
{
    size_t gone = 0, kept = 0;
    while (gone < partition->end_count && strcmp(partition->ends[gone], node) != 0)
        gone++;
    for (size_t i = 0; i < partition->link_count; i++)
        if (partition->links[i].from != gone && partition->links[i].to != gone)
            partition->links[kept++] = partition->links[i];
    partition->link_count = kept;
    drop_unused_ends(partition);
}

void ruleset_partition_copy(struct ruleset_partition *to, const struct ruleset_partition *from)
{
    struct ruleset_partition copy = *from;
    copy.ends = memory_copy(from->ends, from->end_count, sizeof(*from->ends));
    copy.links = memory_copy(from->links, from->link_count, sizeof(*from->links));
    *to = copy;
}

void ruleset_partition_free(struct ruleset_partition *partition)
{
    free(partition->ends);
    free(partition->links);
    partition->ends = NULL;
    partition->links = NULL;
    partition->end_count = partition->link_count = 0;
}

struct ruleset_link ruleset_partition_link(const struct ruleset_partition *partition, size_t index)
{
    const struct ruleset_pair *pair = &partition->links[index];
    struct ruleset_link link;
    memcpy(link.from, partition->ends[pair->from], sizeof(link.from));
    memcpy(link.to, partition->ends[pair->to], sizeof(link.to));
    return link;
}

bool ruleset_same_partition(const struct ruleset_partition *a, const struct ruleset_partition *b)
{
    if (a->link_count != b->link_count)
        return false;
    for (size_t i = 0; i < a->link_count; i++)
        if (strcmp(a->ends[a->links[i].from], b->ends[b->links[i].from]) != 0 ||
            strcmp(a->ends[a->links[i].to], b->ends[b->links[i].to]) != 0)
            return false;
    return true;
}

/* Each grouped node must be known and in one group only. `known`: the ruleset's nodes. */
static int check_groups(const struct ruleset *ruleset, const struct ruleset_group *groups,
                        size_t group_count, const struct name_table *known, struct error *error)
{
    size_t *group_of = memory_allocate_zeroed(ruleset->node_count + 1, sizeof(*group_of));
    char place[64];
    int code = 0;
    for (size_t g = 0; code == 0 && g < group_count; g++) {
        snprintf(place, sizeof(place), "groups[%zu]", g);
        if (groups[g].count == 0)
            code = error_set_at(error, -EINVAL, place, "a group needs at least one node");
        for (size_t i = 0; code == 0 && i < groups[g].count; i++) {
            const char *name = groups[g].names[i];
            uint32_t node = name_table_find(known, name);
            if (node != NAME_TABLE_NONE && group_of[node] == 0) {
                group_of[node] = g + 1;
                continue;
            }
            snprintf(place, sizeof(place), "groups[%zu][%zu]", g, i);
            if (node == NAME_TABLE_NONE)
                code = ruleset_no_such_node(ruleset, name, -EINVAL, place, error);
            else
                code = error_set_at(error, -EINVAL, place, "node '%s' is in a group already, %zu",
                                    name, group_of[node] - 1);
        }
    }
    free(group_of);
    return code;
}

int ruleset_partition_split(const struct ruleset *ruleset, const struct ruleset_group *groups,
                            size_t group_count, struct ruleset_partition *partition,
                            struct error *error)
{
    if (group_count < 2)
        return error_set_at(error, -EINVAL, "groups", "a split needs at least two groups");
    struct name_table known;
    int code = name_table_create(&known, ruleset->node_count);
    memory_must(code < 0 ? NULL : known.entries);
    for (size_t i = 0; i < ruleset->node_count; i++)
        name_table_add(&known, ruleset->nodes[i].name, (uint32_t)i);
    code = check_groups(ruleset, groups, group_count, &known, error);
    name_table_destroy(&known);
    if (code < 0)
        return code;
    size_t nodes = 0, links = 0;
    for (size_t g = 0; g < group_count; g++) {
        links += 2 * nodes * groups[g].count;
        nodes += groups[g].count;
    }
    reserve_ends(partition, nodes);
    reserve_links(partition, links);
    for (size_t g = 0; g < group_count; g++)
        for (size_t i = 0; i < groups[g].count; i++)
            put_end(partition, groups[g].names[i]);
    for (size_t g = 0, first = 0; g < group_count; first += groups[g++].count)
        for (size_t i = first; i < first + groups[g].count; i++)
            for (size_t j = 0; j < nodes; j++)
                if (j < first || j >= first + groups[g].count)
                    put_link(partition, i, j);
    return 0;
}

static bool is_other_member(const struct ruleset_node *node, const char *name)
{
    return node->kind == RULESET_NODE_MEMBER && strcmp(node->name, name) != 0;
}

int ruleset_partition_isolate(const struct ruleset *ruleset, const char *name,
                              struct ruleset_partition *partition, struct error *error)
{
    if (!ruleset_find_node(ruleset, name))
        return ruleset_no_such_node(ruleset, name, -EINVAL, "isolate", error);
    size_t others = 0;
    for (size_t i = 0; i < ruleset->node_count; i++)
        others += is_other_member(&ruleset->nodes[i], name);
    if (others == 0)
        return error_set_at(error, -EINVAL, "isolate",
                            "there is no other member to isolate node '%s' from", name);
    reserve_ends(partition, others + 1);
    reserve_links(partition, 2 * others);
    uint32_t self = put_end(partition, name);
    for (size_t i = 0; i < ruleset->node_count; i++) {
        const struct ruleset_node *node = &ruleset->nodes[i];
        if (!is_other_member(node, name))
            continue;
        uint32_t other = put_end(partition, node->name);
        put_link(partition, self, other);
        put_link(partition, other, self);
    }
    return 0;
}
