/* Theory of operation. Each step is a map with `at`, one action, and for what can be undone by name
 * an optional `name`. A table gives each action its reader. While the steps are read in order, the
 * names in force are kept in two small lists (partitions, faults), so that `heal` and `clear` of a
 * name that isn't in force, and setting one twice, are refused where they stand. What has no name
 * gets "ACTION-N", N being the step's number from 1. When all have been read, it is looked for
 * faults that could have no effect, however the run goes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/experiment/reader.h"
#include "proxy/base/text.h"
#include "proxy/base/units.h"

struct names {
    const char *names[EXPERIMENT_STEPS_MAX]; /* owned by the steps */
    size_t count;
};

struct timeline {
    const struct reader *reader;
    struct names partitions, faults;
};

struct action {
    const char *word;
    enum experiment_action action;
    int (*read)(struct timeline *timeline, const struct document_node *value,
                struct experiment_step *step);
    struct names *(*names)(struct timeline *timeline); /* where its name goes; NULL: has no name */
};

static struct names *partition_names(struct timeline *timeline)
{
    return &timeline->partitions;
}

static struct names *fault_names(struct timeline *timeline)
{
    return &timeline->faults;
}

static size_t find_name(const struct names *names, const char *name)
{
    size_t i = 0;
    while (i < names->count && strcmp(names->names[i], name) != 0)
        i++;
    return i;
}

static int read_split(struct timeline *timeline, const struct document_node *value,
                      struct experiment_step *step)
{
    return reader_read_groups(timeline->reader, value, step);
}

static int read_node(struct timeline *timeline, const struct document_node *value,
                     struct experiment_step *step)
{
    const char *text;
    int result = reader_line(timeline->reader, value, "the node", RULESET_NAME_MAX + 16, &text);
    return result ? result
                  : reader_read_selector(timeline->reader, value, text, strlen(text), &step->node);
}

static int read_isolate(struct timeline *timeline, const struct document_node *value,
                        struct experiment_step *step)
{
    if (timeline->reader->experiment->cluster.node_count < 2)
        return reader_refuse(timeline->reader, value,
                             "a cluster of one node has nothing to isolate it from");
    return read_node(timeline, value, step);
}

static int read_cut(struct timeline *timeline, const struct document_node *value,
                    struct experiment_step *step)
{
    return reader_read_link(timeline->reader, value, step);
}

/* heal and clear: `all` or a name in force, which then no longer is. */
static int read_end(struct timeline *timeline, const struct document_node *value,
                    struct experiment_step *step, struct names *names, const char *what)
{
    const char *text;
    int result = reader_line(timeline->reader, value, what, RULESET_NAME_MAX - 1, &text);
    if (result)
        return result;
    if (strcmp(text, "all") == 0) {
        names->count = 0;
        return 0;
    }
    size_t at = find_name(names, text);
    if (at == names->count) {
        struct text list = {0};
        for (size_t i = 0; i < names->count && list.length < 200; i++)
            text_append(&list, ", %s", names->names[i]);
        result =
            reader_refuse(timeline->reader, value, "no %s '%.60s' is in force here: write all%s",
                          what, text, text_get(&list));
        text_free(&list);
        return result;
    }
    names->names[at] = names->names[--names->count];
    snprintf(step->name, sizeof(step->name), "%s", text);
    return 0;
}

static int read_heal(struct timeline *timeline, const struct document_node *value,
                     struct experiment_step *step)
{
    return read_end(timeline, value, step, &timeline->partitions, "partition");
}

static int read_clear(struct timeline *timeline, const struct document_node *value,
                      struct experiment_step *step)
{
    return read_end(timeline, value, step, &timeline->faults, "fault");
}

static int read_delay(struct timeline *timeline, const struct document_node *value,
                      struct experiment_step *step)
{
    return reader_read_delay(timeline->reader, value, step);
}

static int read_loss(struct timeline *timeline, const struct document_node *value,
                     struct experiment_step *step)
{
    return reader_read_loss(timeline->reader, value, step);
}

static int read_rate(struct timeline *timeline, const struct document_node *value,
                     struct experiment_step *step)
{
    return reader_read_rate(timeline->reader, value, step);
}

static int read_fault(struct timeline *timeline, const struct document_node *value,
                      struct experiment_step *step)
{
    return reader_read_fault(timeline->reader, value, step);
}

static int read_clock(struct timeline *timeline, const struct document_node *value,
                      struct experiment_step *step)
{
    static const char *const keys[] = {"node", "offset", "drift"};
    const struct reader *reader = timeline->reader;
    const char *text;
    struct error cause = {0};
    int result = reader_check_map(reader, value, "clock", keys, 3, 1);
    if (!result)
        result = read_node(timeline, document_get(value, "node"), step);
    const struct document_node *offset = document_get(value, "offset");
    const struct document_node *drift = document_get(value, "drift");
    if (!result && !offset && !drift)
        return reader_refuse(reader, value,
                             "clock changes nothing: add offset: +2ms or drift: 50ppm");
    if (!result && offset) {
        result = reader_line(reader, offset, "offset", UNITS_TEXT_MAX, &text);
        if (!result && units_parse_offset(text, &step->offset_ns, &cause))
            return reader_refuse_as(reader, offset, &cause);
    }
    if (!result && drift) {
        result = reader_line(reader, drift, "drift", UNITS_TEXT_MAX, &text);
        if (!result && units_parse_drift(text, &step->drift_ppb, &cause))
            return reader_refuse_as(reader, drift, &cause);
    }
    return result;
}

static const struct action actions[] = {
    {"split", EXPERIMENT_SPLIT, read_split, partition_names},
    {"isolate", EXPERIMENT_ISOLATE, read_isolate, partition_names},
    {"cut", EXPERIMENT_CUT, read_cut, partition_names},
    {"heal", EXPERIMENT_HEAL, read_heal, NULL},
    {"clear", EXPERIMENT_CLEAR, read_clear, NULL},
    {"delay", EXPERIMENT_FAULT, read_delay, fault_names},
    {"loss", EXPERIMENT_FAULT, read_loss, fault_names},
    {"rate", EXPERIMENT_FAULT, read_rate, fault_names},
    {"fault", EXPERIMENT_FAULT, read_fault, fault_names},
    {"clock", EXPERIMENT_CLOCK, read_clock, NULL},
    {"kill", EXPERIMENT_KILL, read_node, NULL},
    {"pause", EXPERIMENT_PAUSE, read_node, NULL},
    {"resume", EXPERIMENT_RESUME, read_node, NULL},
    {"restart", EXPERIMENT_RESTART, read_node, NULL},
};
enum { ACTIONS = sizeof(actions) / sizeof(actions[0]) };

/* The step's one action: *key and *value its place in the map. */
static int find_action(const struct reader *reader, const struct document_node *node,
                       const struct action **action, const struct document_node **value)
{
    const char *keys[ACTIONS + 2] = {"at"};
    for (size_t i = 0; i < ACTIONS; i++)
        keys[i + 1] = actions[i].word;
    keys[ACTIONS + 1] = "name";
    int result = reader_check_map(reader, node, "a step", keys, ACTIONS + 2, 1);
    if (result)
        return result;
    *action = NULL;
    for (size_t i = 0; i < node->count; i += 2)
        for (size_t a = 0; a < ACTIONS; a++) {
            if (strcmp(node->items[i]->text, actions[a].word) != 0)
                continue;
            if (*action)
                return reader_refuse(reader, node->items[i],
                                     "a step has one action, this one has '%s' already: write two "
                                     "steps with the same 'at'",
                                     (*action)->word);
            *action = &actions[a];
            *value = node->items[i + 1];
        }
    if (!*action)
        return reader_refuse(
            reader, node,
            "a step without an action: add one of split, isolate, cut, heal, "
            "clear, delay, loss, rate, fault, clock, kill, pause, resume, restart");
    return 0;
}

/* The step as people wrote it: "split: leader,+1 / rest", "loss: {link: n1->n2, by: 5%}". */
static char *step_text(const char *word, const struct document_node *value)
{
    struct text text = {0};
    text_append(&text, "%s: ", word);
    if (value->kind == DOCUMENT_SCALAR)
        text_append(&text, "%s", value->text);
    else
        for (size_t i = 0; i < value->count; i += 2)
            text_append(&text, "%s%s: %s%s", i ? ", " : "{", value->items[i]->text,
                        value->items[i + 1]->text, i + 2 == value->count ? "}" : "");
    return text.data;
}

static int read_name(struct timeline *timeline, const struct document_node *node,
                     const struct action *action, struct experiment_step *step)
{
    const struct reader *reader = timeline->reader;
    const struct document_node *name = document_get(node, "name");
    const char *text;
    if (!action->names)
        return name ? reader_refuse(reader, name, "'%s' takes no name: remove it", action->word)
                    : 0;
    struct names *names = action->names(timeline);
    if (!name) {
        snprintf(step->name, sizeof(step->name), "%s-%zu", action->word,
                 reader->experiment->step_count);
    } else {
        int result = reader_line(reader, name, "name", RULESET_NAME_MAX - 1, &text);
        if (result)
            return result;
        if (strcmp(text, "all") == 0)
            return reader_refuse(reader, name, "'all' means every one: choose another name");
        snprintf(step->name, sizeof(step->name), "%s", text);
    }
    if (find_name(names, step->name) < names->count)
        return reader_refuse(reader, name ? name : node,
                             "'%s' is in force already: choose another name, or end it first",
                             step->name);
    names->names[names->count++] = step->name;
    if (action->action == EXPERIMENT_FAULT)
        snprintf(step->fault.name, sizeof(step->fault.name), "%s", step->name);
    return 0;
}

static int read_step(struct timeline *timeline, const struct document_node *node,
                     uint64_t previous_ns)
{
    const struct reader *reader = timeline->reader;
    struct experiment *experiment = reader->experiment;
    struct experiment_step *step = &experiment->steps[experiment->step_count++];
    const struct action *action;
    const struct document_node *value = NULL, *at;
    int result = find_action(reader, node, &action, &value);
    if (result)
        return result;
    step->action = action->action;
    step->line = node->line;
    at = document_get(node, "at");
    result = reader_duration(reader, at, "at", 0, UINT64_MAX, &step->at_ns);
    if (result)
        return result;
    char before[UNITS_TEXT_MAX];
    if (step->at_ns < previous_ns)
        return reader_refuse(reader, at,
                             "'%s' is before the step above (%s): put steps in time order",
                             at->text, units_format_duration(previous_ns, before));
    if (step->at_ns > experiment->duration_ns)
        return reader_refuse(reader, at, "'%s' is after the end: the duration is %s", at->text,
                             units_format_duration(experiment->duration_ns, before));
    bool ends = step->action == EXPERIMENT_HEAL || step->action == EXPERIMENT_CLEAR ||
                step->action == EXPERIMENT_RESUME || step->action == EXPERIMENT_RESTART;
    if (step->at_ns == experiment->duration_ns && !ends)
        return reader_refuse(reader, at,
                             "'%s' at the very end of the run has no time to do anything: the "
                             "duration is %s",
                             action->word, units_format_duration(experiment->duration_ns, before));
    result = action->read(timeline, value, step);
    if (!result)
        result = read_name(timeline, node, action, step);
    if (!result)
        step->text = step_text(action->word, value);
    return result;
}

/* When the fault of step number `index` ends, by a clear or with the run. */
static uint64_t fault_end_ns(const struct experiment *experiment, size_t index)
{
    const char *name = experiment->steps[index].name;
    for (size_t i = index + 1; i < experiment->step_count; i++) {
        const struct experiment_step *step = &experiment->steps[i];
        if (step->action == EXPERIMENT_CLEAR && (!step->name[0] || strcmp(step->name, name) == 0))
            return step->at_ns;
    }
    return experiment->duration_ns;
}

/* A flap begins with the link up: one that ends before it first goes down never does anything. */
static int check_flap(const struct reader *reader, const struct document_node *node, size_t index)
{
    const struct experiment *experiment = reader->experiment;
    const struct experiment_step *step = &experiment->steps[index];
    char up[UNITS_TEXT_MAX], there[UNITS_TEXT_MAX];
    if (step->action != EXPERIMENT_FAULT || step->fault.type != RULESET_FLAP)
        return 0;
    uint64_t up_ns = step->fault.flap.up_ns - step->fault.flap.jitter_ns;
    uint64_t there_ns = fault_end_ns(experiment, index) - step->at_ns;
    if (up_ns < there_ns)
        return 0;
    return reader_refuse(reader, node,
                         "the link is up for %s first, and the flap ends after %s: make 'up' "
                         "shorter, or end it later",
                         units_format_duration(up_ns, up), units_format_duration(there_ns, there));
}

int reader_read_timeline(const struct reader *reader, const struct document_node *node)
{
    struct experiment *experiment = reader->experiment;
    if (node->kind == DOCUMENT_SCALAR && node->empty)
        return 0;
    int result = reader_check_list(reader, node, "timeline", 0, EXPERIMENT_STEPS_MAX);
    if (result)
        return result;
    experiment->steps = memory_allocate_zeroed(node->count, sizeof(experiment->steps[0]));
    struct timeline *timeline = memory_allocate_zeroed(1, sizeof(*timeline));
    timeline->reader = reader;
    uint64_t previous_ns = 0;
    for (size_t i = 0; i < node->count && !result; i++) {
        result = read_step(timeline, node->items[i], previous_ns);
        previous_ns = experiment->steps[i].at_ns;
    }
    for (size_t i = 0; i < node->count && !result; i++)
        result = check_flap(reader, node->items[i], i);
    free(timeline);
    return result;
}
