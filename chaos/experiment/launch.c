/* What runs on each node: command, init, files and further processes, with the overrides of single
 * nodes. Each node gets its own copy, read from where it is written for this node. */
#include <stdio.h>
#include <string.h>

#include "chaos/experiment/reader.h"
#include "proxy/base/text.h"

enum { COMMAND_MAX = 256, FILE_MAX = 1024 };

static const char *const parts[] = {"command", "init", "files", "also"};
enum { PARTS = sizeof(parts) / sizeof(parts[0]) };

/* The part as it is for this node; NULL: nowhere written. */
static const struct document_node *find_part(const struct document_node *cluster, const char *name,
                                             const char *part)
{
    const struct document_node *overrides = document_get(cluster, "overrides");
    const struct document_node *node = overrides ? document_get(overrides, name) : NULL;
    const struct document_node *own = node ? document_get(node, part) : NULL;
    return own ? own : document_get(cluster, part);
}

static int read_words(const struct reader *reader, const struct document_node *node,
                      const char *what, struct experiment_words *words)
{
    bool peers = reader->experiment->cluster.peer_template != NULL;
    int result = reader_check_list(reader, node, what, 1, COMMAND_MAX);
    if (result)
        return result;
    words->items = memory_allocate_zeroed(node->count, sizeof(words->items[0]));
    for (size_t i = 0; i < node->count && !result; i++) {
        const struct document_node *item = node->items[i];
        if (item->kind != DOCUMENT_SCALAR || strlen(item->text) > READER_ARGUMENT_MAX)
            return reader_refuse(reader, item, "an argument is one text of at most %d bytes",
                                 READER_ARGUMENT_MAX);
        if (i == 0 && item->text[0] == '\0')
            return reader_refuse(reader, item, "the program's name is empty");
        result = reader_check_template(reader, item, item->text, peers);
        words->items[words->count++] = memory_copy_text(item->text);
    }
    return result;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int read_files(const struct reader *reader, const struct document_node *node,
                      struct experiment_words *files)
{
    int result = reader_check_list(reader, node, "files", 1, EXPERIMENT_FILES_MAX);
    if (result)
        return result;
    files->items = memory_allocate_zeroed(node->count, sizeof(files->items[0]));
    for (size_t i = 0; i < node->count && !result; i++) {
        const char *path = "";
        result = reader_line(reader, node->items[i], "a file", FILE_MAX, &path);
        const char *name = last_part(path);
        if (!result && (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0))
            return reader_refuse(reader, node->items[i], "'%.60s' names no file", path);
        for (size_t k = 0; k < files->count && !result; k++)
            if (strcmp(last_part(files->items[k]), name) == 0)
                result = reader_refuse(reader, node->items[i],
                                       "there is a %.60s already: both would be {dir}/%.60s", name,
                                       name);
        if (!result)
            files->items[files->count++] = memory_copy_text(path);
    }
    return result;
}

static int read_also(const struct reader *reader, const struct document_node *node,
                     struct experiment_launch *launch)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789_-";
    if (node->kind != DOCUMENT_MAP || node->count == 0 ||
        node->count > (size_t)2 * EXPERIMENT_FILES_MAX)
        return reader_refuse(reader, node,
                             "also is a map {name: [command]} of 1 to %d further processes",
                             EXPERIMENT_FILES_MAX);
    launch->also = memory_allocate_zeroed(node->count / 2, sizeof(launch->also[0]));
    int result = 0;
    for (size_t i = 0; i < node->count && !result; i += 2) {
        const struct document_node *key = node->items[i];
        if (key->text[0] == '\0' || key->text[strspn(key->text, allowed)] ||
            strlen(key->text) >= RULESET_NAME_MAX || strcmp(key->text, "data") == 0)
            return reader_refuse(reader, key,
                                 "'%.60s' can't name a process: write letters, digits, '_' and "
                                 "'-', and not data",
                                 key->text);
        struct experiment_process *process = &launch->also[launch->also_count++];
        snprintf(process->name, sizeof(process->name), "%s", key->text);
        result = read_words(reader, node->items[i + 1], "also", &process->command);
    }
    return result;
}

static int check_overrides(const struct reader *reader, const struct document_node *node)
{
    char list[READER_LIST_MAX];
    int result = 0;
    if (node->kind != DOCUMENT_MAP)
        return reader_refuse(reader, node,
                             "overrides is a map: write {n1: {command: [...]}} or the like");
    for (size_t i = 0; i < node->count && !result; i += 2) {
        if (!reader_is_node(reader, node->items[i]->text))
            return reader_refuse(reader, node->items[i], "unknown node '%.60s': write one of %s",
                                 node->items[i]->text, reader_node_list(reader, list));
        result = reader_check_map(reader, node->items[i + 1], "an override", parts, PARTS, 0);
    }
    return result;
}

static int read_launch(const struct reader *reader, const struct document_node *cluster,
                       const char *name, struct experiment_launch *launch)
{
    const struct document_node *part = find_part(cluster, name, "command");
    int result = read_words(reader, part, "command", &launch->command);
    part = find_part(cluster, name, "init");
    if (!result && part && part->count > 0) /* init: [] of a node that has none */
        result = read_words(reader, part, "init", &launch->init);
    part = find_part(cluster, name, "files");
    if (!result && part)
        result = read_files(reader, part, &launch->files);
    part = find_part(cluster, name, "also");
    return !result && part ? read_also(reader, part, launch) : result;
}

int reader_read_launches(const struct reader *reader, const struct document_node *cluster)
{
    struct experiment_cluster *here = &reader->experiment->cluster;
    const struct document_node *overrides = document_get(cluster, "overrides");
    int result = overrides ? check_overrides(reader, overrides) : 0;
    here->launches = memory_allocate_zeroed(here->node_count, sizeof(here->launches[0]));
    for (size_t i = 0; i < here->node_count && !result; i++)
        result = read_launch(reader, cluster, here->nodes[i], &here->launches[i]);
    return result;
}
