/* Delays between regions: a file in, a latency fault for each pair of nodes out, as one change.
 *
 * Theory of operation. The ruleset is read, its faults named region/... are taken out and those of
 * the file put in their place, and the whole is written back for the version that was read; when
 * somebody else was faster it begins anew. They stand in front of all other faults, so that
 * replacing them moves no other one. */
#include "ctl/command.h"
#include "ctl/format.h"
#include "ctl/regions_text.h"
#include "ctl/text_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ATTEMPTS = 8 };

static int read_regions(struct session *session, const char *path, struct regions *regions)
{
    struct text content = {0};
    int code = text_file_read(path, REGIONS_TEXT_BYTES_MAX, &content, &session->error);
    if (!code) {
        code = regions_parse(text_get(&content), content.length, regions, &session->error);
        if (code)
            text_file_name(&session->error, path);
    }
    text_free(&content);
    return code ? SESSION_USAGE : SESSION_DONE;
}

static bool has_node(json_t *ruleset, const char *name)
{
    json_t *nodes = json_object_get(ruleset, "nodes"), *node;
    size_t index;
    json_array_foreach(nodes, index,
                       node) if (strcmp(format_string(node, "name"), name) == 0) return true;
    return false;
}

/* Each node of the file is one of severd's: the file's line says it better than the fault would. */
static int check_nodes(struct session *session, const char *path, const struct regions *regions,
                       json_t *ruleset)
{
    for (size_t i = 0; i < regions->node_count; i++) {
        const struct regions_node *node = &regions->nodes[i];
        if (has_node(ruleset, node->name))
            continue;
        error_set(&session->error, -EINVAL, "severd has no node '%s' (severctl nodes)", node->name);
        snprintf(session->error.place, sizeof(session->error.place), "%s: line %zu", path,
                 node->line);
        return SESSION_USAGE;
    }
    return SESSION_DONE;
}

static bool is_of_regions(json_t *fault)
{
    return strncmp(format_string(fault, "name"), REGIONS_PREFIX, strlen(REGIONS_PREFIX)) == 0;
}

/* Puts the faults in front of the ruleset's, in place of those of regions. How many those were. */
static size_t replace_faults(json_t *ruleset, json_t *faults)
{
    json_t *all = json_copy(faults), *fault;
    size_t index, removed = 0;
    json_array_foreach(json_object_get(ruleset, "faults"), index, fault)
    {
        if (is_of_regions(fault))
            removed++;
        else
            json_array_append(all, fault);
    }
    json_object_set_new(ruleset, "faults", all);
    return removed;
}

/* regions: NULL when there are none. *removed: how many faults were there before. */
static int put_faults(struct session *session, const char *path, const struct regions *regions,
                      json_t *faults, size_t *removed)
{
    int code = SESSION_DONE;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        json_t *ruleset = NULL;
        code = session_request(session, "GET", "/v1/ruleset", NULL, &ruleset);
        if (!code && regions)
            code = check_nodes(session, path, regions, ruleset);
        if (!code) {
            *removed = replace_faults(ruleset, faults);
            code = session_request(session, "PUT", "/v1/ruleset", ruleset, NULL);
        }
        json_decref(ruleset);
        if (!code || session->error.code != -ESTALE)
            return code;
    }
    return code;
}

static void report(struct session *session, const char *path, const struct regions *regions,
                   json_t *faults, size_t removed)
{
    struct text *out = &session->out;
    if (session->json) {
        json_t *answer =
            json_pack("{s:I, s:I, s:O, s:I}", "regions", (json_int_t)(regions ? regions->count : 0),
                      "nodes", (json_int_t)(regions ? regions->node_count : 0), "faults", faults,
                      "removed", (json_int_t)removed);
        session_print_json(session, answer);
        json_decref(answer);
        return;
    }
    if (regions) {
        text_append(out, "%s is in force: ", path);
        format_count(out, (int64_t)regions->count, "region");
        text_append(out, ", ");
        format_count(out, (int64_t)regions->node_count, "node");
        text_append(out, ", ");
        format_count(out, (int64_t)json_array_size(faults), "delay");
    } else {
        format_count(out, (int64_t)removed, "delay");
        text_append(out, " between regions removed");
    }
    session_end_line(session);
}

int run_regions(struct session *session, const struct arguments *arguments)
{
    const char *path = arguments->words[1];
    bool clear = strcmp(path, "clear") == 0;
    struct regions *regions = clear ? NULL : memory_allocate_zeroed(1, sizeof(*regions));
    json_t *faults = NULL;
    size_t removed = 0;
    int code = clear ? SESSION_DONE : read_regions(session, path, regions);
    if (!code) {
        faults = clear ? json_array() : regions_make_faults(regions);
        code = put_faults(session, path, regions, faults, &removed);
    }
    if (!code)
        report(session, path, regions, faults, removed);
    json_decref(faults);
    free(regions);
    return code;
}
