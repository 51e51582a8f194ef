#include "chaos/nemesis/select.h"

#include <errno.h>
#include <string.h>

bool select_uses(const struct experiment_step *step, enum experiment_selector_kind kind)
{
    for (size_t g = 0; g < step->group_count; g++) {
        for (size_t m = 0; m < step->groups[g].count; m++) {
            if (step->groups[g].members[m].kind == kind)
                return true;
        }
    }
    switch (step->action) {
    case EXPERIMENT_ISOLATE:
    case EXPERIMENT_CLOCK:
    case EXPERIMENT_KILL:
    case EXPERIMENT_PAUSE:
    case EXPERIMENT_RESUME:
    case EXPERIMENT_RESTART:
        return step->node.kind == kind;
    case EXPERIMENT_CUT:
    case EXPERIMENT_FAULT:
        return step->from.kind == kind || step->to.kind == kind;
    case EXPERIMENT_SPLIT:
    case EXPERIMENT_HEAL:
    case EXPERIMENT_CLEAR:
        return false;
    }
    return false;
}

bool select_needs_leader(const struct experiment_step *step)
{
    if (step->action == EXPERIMENT_RESUME || step->action == EXPERIMENT_RESTART)
        return false;
    return select_uses(step, EXPERIMENT_NODE_LEADER) || select_uses(step, EXPERIMENT_NODE_FOLLOWER);
}

struct random_stream select_stream(uint64_t seed, size_t index)
{
    return (struct random_stream){
        .key = random_key_fold(random_key_fold_text(seed, "nemesis"), index)};
}

/* One of the nodes that are allowed, each as likely. */
static int draw(const struct select_view *view, const bool *allowed, struct random_stream *stream,
                size_t *node)
{
    size_t choices = 0;
    for (size_t i = 0; i < view->count; i++)
        choices += allowed[i];
    if (choices == 0)
        return -ENOENT;
    size_t pick = random_below(random_next(stream), choices);
    for (size_t i = 0; i < view->count; i++) {
        if (allowed[i] && pick-- == 0)
            *node = i;
    }
    return 0;
}

static int draw_follower(const struct select_view *view, const bool *taken,
                         struct random_stream *stream, size_t *node, struct error *error)
{
    bool allowed[EXPERIMENT_NODES_MAX];
    for (size_t i = 0; i < view->count; i++)
        allowed[i] = view->usable[i] && (int)i != view->leader && !(taken && taken[i]);
    if (draw(view, allowed, stream, node) < 0)
        return error_set(error, -ENOENT, "no running follower is left to choose");
    return 0;
}

int select_node(const struct experiment_selector *selector, const struct select_view *view,
                const bool *taken, struct random_stream *stream, size_t *node, struct error *error)
{
    switch (selector->kind) {
    case EXPERIMENT_NODE_NAMED:
        for (size_t i = 0; i < view->count; i++) {
            if (strcmp(view->nodes[i], selector->name) == 0) {
                *node = i;
                return 0;
            }
        }
        return error_set(error, -ENOENT, "there is no node %s", selector->name);
    case EXPERIMENT_NODE_LEADER:
        if (view->leader == SELECT_NO_LEADER)
            return error_set(error, -ENOENT, "nobody leads");
        *node = (size_t)view->leader;
        return 0;
    case EXPERIMENT_NODE_FOLLOWER:
        return draw_follower(view, taken, stream, node, error);
    case EXPERIMENT_NODE_MORE:
    case EXPERIMENT_NODE_REST:
        break;
    }
    return error_set(error, -EINVAL, "+K and rest are for the groups of a split");
}

static int place(const struct select_view *view, int *group_of, size_t node, size_t group,
                 struct error *error)
{
    if (group_of[node] == (int)group)
        return 0; /* "leader,n1" where n1 leads */
    if (group_of[node] != SELECT_NO_GROUP)
        return error_set(error, -EINVAL, "%s would be in two groups", view->nodes[node]);
    group_of[node] = (int)group;
    return 0;
}

static void mark_taken(const struct select_view *view, const int *group_of, bool *taken, bool free)
{
    for (size_t i = 0; i < view->count; i++)
        taken[i] = (group_of[i] != SELECT_NO_GROUP) != free;
}

static int place_more(const struct select_view *view, unsigned count, size_t group,
                      struct random_stream *stream, int *group_of, struct error *error)
{
    for (unsigned k = 0; k < count; k++) {
        bool allowed[EXPERIMENT_NODES_MAX];
        size_t node = 0;
        mark_taken(view, group_of, allowed, true);
        if (draw(view, allowed, stream, &node) < 0)
            return error_set(error, -EINVAL, "+%u asks for more nodes than are left", count);
        group_of[node] = (int)group;
    }
    return 0;
}

/* Places the members of one kind of selector, in file order. */
static int place_kind(const struct experiment_group *groups, size_t group_count,
                      enum experiment_selector_kind kind, const struct select_view *view,
                      struct random_stream *stream, int *group_of, struct error *error)
{
    for (size_t g = 0; g < group_count; g++) {
        for (size_t m = 0; m < groups[g].count; m++) {
            const struct experiment_selector *selector = &groups[g].members[m];
            bool taken[EXPERIMENT_NODES_MAX];
            size_t node = 0;
            int code = 0;
            if (selector->kind != kind)
                continue;
            if (kind == EXPERIMENT_NODE_MORE) {
                code = place_more(view, selector->count, g, stream, group_of, error);
            } else if (kind == EXPERIMENT_NODE_REST) {
                for (size_t i = 0; i < view->count; i++)
                    group_of[i] = group_of[i] == SELECT_NO_GROUP ? (int)g : group_of[i];
            } else {
                mark_taken(view, group_of, taken, false);
                code = select_node(selector, view, taken, stream, &node, error);
                if (code == 0)
                    code = place(view, group_of, node, g, error);
            }
            if (code < 0)
                return code;
        }
    }
    return 0;
}

int select_groups(const struct experiment_group *groups, size_t group_count,
                  const struct select_view *view, struct random_stream *stream, int *group_of,
                  struct error *error)
{
    static const enum experiment_selector_kind order[] = {
        EXPERIMENT_NODE_NAMED, EXPERIMENT_NODE_LEADER, EXPERIMENT_NODE_FOLLOWER,
        EXPERIMENT_NODE_MORE, EXPERIMENT_NODE_REST};
    for (size_t i = 0; i < view->count; i++)
        group_of[i] = SELECT_NO_GROUP;
    for (size_t k = 0; k < sizeof(order) / sizeof(order[0]); k++) {
        int code = place_kind(groups, group_count, order[k], view, stream, group_of, error);
        if (code < 0)
            return code;
    }
    for (size_t g = 0; g < group_count; g++) {
        bool found = false;
        for (size_t i = 0; i < view->count; i++)
            found |= group_of[i] == (int)g;
        if (!found)
            return error_set(error, -EINVAL, "group %zu of the split is empty", g + 1);
    }
    return 0;
}

void select_format_groups(const struct select_view *view, const int *group_of, size_t group_count,
                          struct text *out)
{
    for (size_t g = 0; g < group_count; g++) {
        const char *separator = g ? " / " : "";
        for (size_t i = 0; i < view->count; i++) {
            if (group_of[i] != (int)g)
                continue;
            text_append(out, "%s%s", separator, view->nodes[i]);
            separator = ",";
        }
    }
}
