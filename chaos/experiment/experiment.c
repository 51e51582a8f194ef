/* Theory of operation. experiment_parse makes a tree of the YAML text (document.c), then reads its
 * sections in the order in which they depend on each other, whatever their order in the file: the
 * cluster names the nodes and ports that workload, timeline and expectations refer to. The first
 * fault found stops the reading; its place is that of the value to change. */
#include "chaos/experiment/experiment.h"

#include <errno.h>
#include <stdlib.h>

#include "chaos/experiment/reader.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"

enum { NAME_MAX_BYTES = 200 };

static int read_head(const struct reader *reader, const struct document_node *root)
{
    struct experiment *experiment = reader->experiment;
    const char *name;
    int64_t seed = 1;
    const struct document_node *seed_node = document_get(root, "seed");
    int result = reader_line(reader, document_get(root, "name"), "name", NAME_MAX_BYTES, &name);
    if (!result && seed_node)
        result = reader_integer(reader, seed_node, "seed", 0, INT64_MAX, &seed);
    if (!result)
        result = reader_duration(reader, document_get(root, "duration"), "duration",
                                 100 * NS_PER_MS, 24 * 3600 * NS_PER_S, &experiment->duration_ns);
    if (result)
        return result;
    experiment->name = memory_copy_text(name);
    experiment->seed = (uint64_t)seed;
    return 0;
}

static int read_root(const struct reader *reader, const struct document *document)
{
    static const char *const keys[] = {"name",   "duration", "cluster", "workload",
                                       "expect", "seed",     "timeline"};
    enum { KEYS = sizeof(keys) / sizeof(keys[0]), REQUIRED = 5 };
    const struct document_node nothing = {.line = 1, .column = 1};
    const struct document_node *root = document->root;
    if (!root)
        return reader_refuse(reader, &nothing,
                             "no experiment here: write name, duration, cluster, workload, expect");
    int result = reader_check_map(reader, root, "the experiment", keys, KEYS, REQUIRED);
    if (!result)
        result = read_head(reader, root);
    if (!result)
        result = reader_read_cluster(reader, document_get(root, "cluster"));
    if (!result)
        result = reader_read_workload(reader, document_get(root, "workload"));
    const struct document_node *timeline = document_get(root, "timeline");
    if (!result && timeline)
        result = reader_read_timeline(reader, timeline);
    if (!result)
        result = reader_read_expectations(reader, document_get(root, "expect"));
    return result;
}

/* What else the file holds is for `sever run`. */
static int read_cluster_alone(const struct reader *reader, const struct document *document)
{
    const struct document_node nothing = {.line = 1, .column = 1};
    const struct document_node *root = document->root;
    const struct document_node *cluster = root ? document_get(root, "cluster") : NULL;
    if (!cluster)
        return reader_refuse(reader, root ? root : &nothing,
                             "no cluster here: write cluster: {nodes: 3, command: [...], "
                             "ports: {client: 6379}}");
    const struct document_node *name = document_get(root, "name");
    const char *text = "cluster";
    int result = name ? reader_line(reader, name, "name", NAME_MAX_BYTES, &text) : 0;
    if (result)
        return result;
    reader->experiment->name = memory_copy_text(text);
    reader->experiment->seed = 1;
    return reader_read_cluster(reader, cluster);
}

static int parse(const char *text, size_t length, const char *file, struct experiment *experiment,
                 int (*read)(const struct reader *, const struct document *), struct error *error)
{
    *experiment = (struct experiment){0};
    struct reader reader = {.file = file, .error = error, .experiment = experiment};
    if (length > EXPERIMENT_TEXT_MAX)
        return error_set_at(error, -EINVAL, file,
                            "larger than %d bytes: too long for an experiment",
                            EXPERIMENT_TEXT_MAX);
    struct document document;
    int result = document_parse(text, length, file, &document, error);
    if (result)
        return result;
    result = read(&reader, &document);
    document_free(&document);
    if (result)
        experiment_free(experiment);
    return result;
}

int experiment_parse(const char *text, size_t length, const char *file,
                     struct experiment *experiment, struct error *error)
{
    return parse(text, length, file, experiment, read_root, error);
}

int experiment_parse_cluster(const char *text, size_t length, const char *file,
                             struct experiment *experiment, struct error *error)
{
    return parse(text, length, file, experiment, read_cluster_alone, error);
}

static void free_step(struct experiment_step *step)
{
    for (size_t i = 0; i < step->group_count; i++)
        free(step->groups[i].members);
    free(step->groups);
    free(step->text);
}

static void free_words(struct experiment_words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->items[i]);
    free(words->items);
}

static void free_launch(struct experiment_launch *launch)
{
    free_words(&launch->command);
    free_words(&launch->init);
    free_words(&launch->files);
    for (size_t i = 0; i < launch->also_count; i++)
        free_words(&launch->also[i].command);
    free(launch->also);
}

void experiment_free(struct experiment *experiment)
{
    struct experiment_cluster *cluster = &experiment->cluster;
    for (size_t i = 0; cluster->launches && i < cluster->node_count; i++)
        free_launch(&cluster->launches[i]);
    for (size_t i = 0; i < cluster->environment_count; i++) {
        free(cluster->environment[i].key);
        free(cluster->environment[i].value);
    }
    free(cluster->launches);
    free(cluster->environment);
    free(cluster->nodes);
    free(cluster->peer_template);
    free(cluster->leader_line);
    for (size_t i = 0; i < experiment->step_count; i++)
        free_step(&experiment->steps[i]);
    for (size_t i = 0; i < experiment->expectation_count; i++)
        free(experiment->expectations[i].text);
    free(experiment->steps);
    free(experiment->expectations);
    free(experiment->name);
    *experiment = (struct experiment){0};
}
