/* Who a step is about: NODE, GROUP and LINK. Roles (`leader`, `follower`) are known when the step
 * runs; all that can be told from the names alone is refused here. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "chaos/experiment/reader.h"
#include "proxy/base/text.h"
#include "proxy/base/units.h"

static void trim(const char **text, size_t *length)
{
    while (*length && isspace((unsigned char)**text))
        (*text)++, (*length)--;
    while (*length && isspace((unsigned char)(*text)[*length - 1]))
        (*length)--;
}

static int refuse_node(const struct reader *reader, const struct document_node *node,
                       const char *name)
{
    const struct experiment_cluster *cluster = &reader->experiment->cluster;
    const char *words[EXPERIMENT_NODES_MAX + 2];
    size_t count = 0;
    for (size_t i = 0; i < cluster->node_count; i++)
        words[count++] = cluster->nodes[i];
    words[count++] = "leader";
    words[count++] = "follower";
    char list[READER_LIST_MAX];
    /* Names such as n4 are all one letter from each other: only a slip in a word is guessed. */
    const char *nearest = strlen(name) > 3 ? reader_nearest(name, words, count) : NULL;
    if (nearest)
        return reader_refuse(reader, node, "unknown node '%.60s': did you mean '%s'?", name,
                             nearest);
    return reader_refuse(reader, node, "unknown node '%.60s': write one of %s, leader, follower",
                         name, reader_node_list(reader, list));
}

int reader_read_selector(const struct reader *reader, const struct document_node *node,
                         const char *text, size_t length, struct experiment_selector *selector)
{
    trim(&text, &length);
    char name[RULESET_NAME_MAX];
    *selector = (struct experiment_selector){0};
    if (length == 0)
        return reader_refuse(reader, node, "a node is missing: write a name, leader or follower");
    snprintf(name, sizeof(name), "%.*s", (int)(length < sizeof(name) ? length : sizeof(name)),
             text);
    bool leader = strcmp(name, "leader") == 0;
    if (leader || strcmp(name, "follower") == 0) {
        if (!reader->experiment->cluster.leader_line)
            return reader_refuse(reader, node,
                                 "'%s' needs 'leader' in the cluster: the line by which a leader "
                                 "is known, such as \"role:leader\"",
                                 name);
        selector->kind = leader ? EXPERIMENT_NODE_LEADER : EXPERIMENT_NODE_FOLLOWER;
        return 0;
    }
    if (length >= sizeof(name) || !reader_is_node(reader, name))
        return refuse_node(reader, node, name);
    selector->kind = EXPERIMENT_NODE_NAMED;
    snprintf(selector->name, sizeof(selector->name), "%s", name);
    return 0;
}

/* "+K" and "rest" are for groups only. */
static int read_member(const struct reader *reader, const struct document_node *node,
                       const char *text, size_t length, struct experiment_selector *selector)
{
    trim(&text, &length);
    if (length == 4 && memcmp(text, "rest", 4) == 0) {
        *selector = (struct experiment_selector){.kind = EXPERIMENT_NODE_REST};
        return 0;
    }
    if (length == 0 || text[0] != '+')
        return reader_read_selector(reader, node, text, length, selector);
    char digits[8];
    int64_t count;
    snprintf(digits, sizeof(digits), "%.*s", (int)(length - 1 < 7 ? length - 1 : 7), text + 1);
    if (units_parse_integer(digits, 1, EXPERIMENT_NODES_MAX, "+K", &count, NULL))
        return reader_refuse(reader, node,
                             "'%.*s' is not +K: write how many further nodes, such as +1",
                             (int)(length < 60 ? length : 60), text);
    *selector =
        (struct experiment_selector){.kind = EXPERIMENT_NODE_MORE, .count = (unsigned)count};
    return 0;
}

static bool same_selector(const struct experiment_selector *a, const struct experiment_selector *b)
{
    return a->kind == b->kind && a->kind != EXPERIMENT_NODE_FOLLOWER &&
           a->kind != EXPERIMENT_NODE_MORE && strcmp(a->name, b->name) == 0;
}

static int check_overlap(const struct reader *reader, const struct document_node *node,
                         const struct experiment_step *step,
                         const struct experiment_selector *member)
{
    const char *name = member->kind == EXPERIMENT_NODE_LEADER ? "leader"
                       : member->kind == EXPERIMENT_NODE_REST ? "rest"
                                                              : member->name;
    for (size_t i = 0; i < step->group_count; i++)
        for (size_t j = 0; j < step->groups[i].count; j++)
            if (same_selector(&step->groups[i].members[j], member))
                return reader_refuse(reader, node,
                                     "'%s' is in the split twice: groups can't overlap", name);
    return 0;
}

static int read_group(const struct reader *reader, const struct document_node *node,
                      const char *text, size_t length, struct experiment_step *step)
{
    struct experiment_group *group = &step->groups[step->group_count - 1];
    size_t begin = 0;
    for (size_t i = 0; i <= length; i++) {
        if (i < length && text[i] != ',')
            continue;
        struct experiment_selector member = {0};
        int result = read_member(reader, node, text + begin, i - begin, &member);
        if (!result)
            result = check_overlap(reader, node, step, &member);
        if (result)
            return result;
        if (group->count == EXPERIMENT_NODES_MAX)
            return reader_refuse(reader, node, "a group has more members than a cluster can have");
        group->members = memory_resize(group->members, group->count + 1, sizeof(group->members[0]));
        group->members[group->count++] = member;
        begin = i + 1;
    }
    return 0;
}

/* Are there nodes enough? `rest` stands for at least one. */
static int check_size(const struct reader *reader, const struct document_node *node,
                      const struct experiment_step *step)
{
    size_t wanted = 0, have = reader->experiment->cluster.node_count;
    for (size_t i = 0; i < step->group_count; i++)
        for (size_t j = 0; j < step->groups[i].count; j++) {
            const struct experiment_selector *member = &step->groups[i].members[j];
            wanted += member->kind == EXPERIMENT_NODE_MORE ? member->count : 1;
        }
    if (wanted > have)
        return reader_refuse(reader, node,
                             "the split needs %zu nodes (rest is at least one) and the cluster has "
                             "%zu",
                             wanted, have);
    return 0;
}

int reader_read_groups(const struct reader *reader, const struct document_node *node,
                       struct experiment_step *step)
{
    const char *text;
    int result = reader_line(reader, node, "split", 8192, &text);
    if (result)
        return result;
    size_t groups = 1;
    for (const char *p = text; *p; p++)
        groups += *p == '/';
    if (groups < 2 || groups > EXPERIMENT_NODES_MAX)
        return reader_refuse(reader, node,
                             "split needs two groups or more: write \"n1,n2 / rest\" or the like");
    step->groups = memory_allocate_zeroed(groups, sizeof(step->groups[0]));
    for (const char *p = text; !result; p++) {
        size_t length = strcspn(p, "/");
        step->group_count++;
        result = read_group(reader, node, p, length, step);
        p += length;
        if (*p == '\0')
            break;
    }
    return result ? result : check_size(reader, node, step);
}

int reader_read_link(const struct reader *reader, const struct document_node *node,
                     struct experiment_step *step)
{
    const char *text;
    int result = reader_line(reader, node, "link", 2 * RULESET_NAME_MAX + 16, &text);
    if (result)
        return result;
    const char *arrow = strstr(text, "<->");
    step->both_ways = arrow != NULL;
    if (!arrow)
        arrow = strstr(text, "->");
    if (!arrow)
        return reader_refuse(reader, node,
                             "'%.60s' is not a link: write n1->n2 (one way) or n1<->n2 (both ways)",
                             text);
    const char *to = arrow + (step->both_ways ? 3 : 2);
    result = reader_read_selector(reader, node, text, (size_t)(arrow - text), &step->from);
    if (!result)
        result = reader_read_selector(reader, node, to, strlen(to), &step->to);
    if (result)
        return result;
    bool same = step->from.kind == step->to.kind && strcmp(step->from.name, step->to.name) == 0;
    if (same)
        return reader_refuse(reader, node,
                             "both ends are '%.*s': write two different ends (a node's name, "
                             "leader, follower)",
                             (int)strcspn(text, " <-"), text);
    return 0;
}
