/* A partition from its three forms: links, groups, isolate. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/text.h"
#include "proxy/wire/codec.h"
#include "proxy/wire/reader.h"

static int compare_links(const void *a, const void *b)
{
    const struct ruleset_link *one = a, *other = b;
    int order = strcmp(one->from, other->from);
    return order ? order : strcmp(one->to, other->to);
}

/* A link named twice (n1<->n2 beside n2->n1) is cut once. Keeps nothing of the order. */
static size_t remove_duplicates(struct ruleset_link *links, size_t count)
{
    size_t kept = 0;
    qsort(links, count, sizeof(*links), compare_links);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || compare_links(&links[kept - 1], &links[i]) != 0)
            links[kept++] = links[i];
    return kept;
}

static bool has_duplicates(const struct ruleset_link *links, size_t count)
{
    struct ruleset_link *sorted = memory_allocate(count * sizeof(*sorted));
    memcpy(sorted, links, count * sizeof(*sorted));
    size_t kept = remove_duplicates(sorted, count);
    free(sorted);
    return kept < count;
}

static int read_link(json_t *json, const char *place, struct ruleset_link *link, bool *both_ways,
                     struct error *error)
{
    char text[RULESET_LINK_TEXT_MAX];
    struct error why;
    int code = reader_copy_text(json, place, text, sizeof(text), error);
    if (code == 0 && ruleset_parse_link(text, link, both_ways, &why) < 0)
        code = error_set_at(error, -EINVAL, place, "%s", why.message);
    return code;
}

/* Two links for one that is both ways. links has room for two of each element; how many. */
static size_t read_each(struct reader *reader, json_t *array, struct ruleset_link *links)
{
    size_t count = 0, size = json_array_size(array);
    for (size_t i = 0; reader->code == 0 && i < size; i++) {
        char place[ERROR_PLACE_MAX];
        struct ruleset_link link;
        bool both_ways = false;
        snprintf(place, sizeof(place), "links[%zu]", i);
        reader->code = read_link(json_array_get(array, i), place, &link, &both_ways, reader->error);
        if (reader->code < 0)
            break;
        links[count++] = link;
        if (both_ways) {
            struct ruleset_link *back = &links[count++];
            memcpy(back->from, link.to, sizeof(back->from));
            memcpy(back->to, link.from, sizeof(back->to));
        }
    }
    return count;
}

static void read_links(struct reader *reader, struct ruleset_partition *partition)
{
    json_t *array = reader_array(reader, "links");
    size_t size = json_array_size(array);
    if (size > RULESET_LINKS_MAX)
        reader_fail(reader, "links", "at most %d are possible, not %zu", RULESET_LINKS_MAX, size);
    if (reader->code < 0 || size == 0)
        return;
    struct ruleset_link *links = memory_allocate(2 * size * sizeof(*links));
    size_t count = read_each(reader, array, links);
    if (reader->code == 0) {
        if (has_duplicates(links, count))
            count = remove_duplicates(links, count);
        ruleset_partition_add_links(partition, links, count);
    }
    free(links);
}

/* The names of one group, borrowed from the JSON; caller frees the array. */
static const char **read_group(struct reader *reader, json_t *array, size_t index)
{
    char place[ERROR_PLACE_MAX];
    snprintf(place, sizeof(place), "groups[%zu]", index);
    if (!json_is_array(array)) {
        reader_fail(reader, place, "an array of node names is wanted here, not %s",
                    reader_type_name(array));
        return NULL;
    }
    size_t count = json_array_size(array);
    const char **names = memory_allocate_zeroed(count + 1, sizeof(*names));
    for (size_t i = 0; reader->code == 0 && i < count; i++) {
        json_t *name = json_array_get(array, i);
        names[i] = json_string_value(name);
        if (names[i])
            continue;
        snprintf(place, sizeof(place), "groups[%zu][%zu]", index, i);
        reader_fail(reader, place, "a node name is wanted here, not %s", reader_type_name(name));
    }
    return names;
}

static void read_groups(struct reader *reader, const struct ruleset *ruleset,
                        struct ruleset_partition *partition)
{
    json_t *array = reader_array(reader, "groups");
    size_t count = json_array_size(array);
    if (count > RULESET_NODES_MAX)
        reader_fail(reader, "groups", "at most %d are possible, not %zu", RULESET_NODES_MAX, count);
    if (reader->code < 0)
        return;
    struct ruleset_group groups[RULESET_NODES_MAX] = {{0}};
    const char **names[RULESET_NODES_MAX] = {0};
    for (size_t i = 0; reader->code == 0 && i < count; i++) {
        names[i] = read_group(reader, json_array_get(array, i), i);
        groups[i] = (struct ruleset_group){
            .names = names[i],
            .count = json_array_size(json_array_get(array, i)),
        };
    }
    if (reader->code == 0)
        reader->code = ruleset_partition_split(ruleset, groups, count, partition, reader->error);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
}

static void read_isolate(struct reader *reader, const struct ruleset *ruleset,
                         struct ruleset_partition *partition)
{
    char node[RULESET_NAME_MAX] = "";
    reader_text(reader, "isolate", false, node, sizeof(node));
    if (reader->code == 0)
        reader->code = ruleset_partition_isolate(ruleset, node, partition, reader->error);
}

int wire_decode_partition(json_t *json, const struct ruleset *ruleset,
                          struct ruleset_partition *out, struct error *error)
{
    static const char *const forms[] = {"name",   "links",     "groups", "isolate",
                                        "set_by", "set_at_ns", NULL};
    static const char *const links_only[] = {"name", "links", "set_by", "set_at_ns", NULL};
    static const char *const reported[] = {"mechanism", NULL};
    struct ruleset_partition partition = {0};
    struct reader reader;
    struct error ignored = {0};
    reader_open(&reader, json, ruleset ? forms : links_only, reported, error ? error : &ignored);
    reader_text(&reader, "name", false, partition.name, sizeof(partition.name));
    reader_text(&reader, "set_by", false, partition.set_by, sizeof(partition.set_by));
    reader_signed(&reader, "set_at_ns", &partition.set_at_ns);
    bool links = reader_has(&reader, "links"), groups = reader_has(&reader, "groups"),
         isolate = reader_has(&reader, "isolate");
    if (links + groups + isolate != 1)
        reader_fail(&reader, "links",
                    ruleset ? "one of \"links\", \"groups\" and \"isolate\" is wanted"
                            : "'links' is missing");
    if (links)
        read_links(&reader, &partition);
    if (groups)
        read_groups(&reader, ruleset, &partition);
    if (isolate)
        read_isolate(&reader, ruleset, &partition);
    if (reader.code < 0) {
        ruleset_partition_free(&partition);
        return reader.code;
    }
    *out = partition;
    return 0;
}
