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
static void remove_duplicates(struct ruleset_partition *partition)
{
    size_t kept = 0;
    qsort(partition->links, partition->link_count, sizeof(*partition->links), compare_links);
    for (size_t i = 0; i < partition->link_count; i++)
        if (kept == 0 || compare_links(&partition->links[kept - 1], &partition->links[i]) != 0)
            partition->links[kept++] = partition->links[i];
    partition->link_count = kept;
}

static bool has_duplicates(const struct ruleset_partition *partition)
{
    if (partition->link_count < 2)
        return false;
    struct ruleset_partition sorted = {.link_count = partition->link_count};
    sorted.links = memory_allocate(partition->link_count * sizeof(*sorted.links));
    memcpy(sorted.links, partition->links, partition->link_count * sizeof(*sorted.links));
    remove_duplicates(&sorted);
    free(sorted.links);
    return sorted.link_count < partition->link_count;
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

static void read_links(struct reader *reader, struct ruleset_partition *partition)
{
    json_t *array = reader_array(reader, "links");
    size_t count = json_array_size(array);
    if (count > RULESET_LINKS_MAX)
        reader_fail(reader, "links", "at most %d are possible, not %zu", RULESET_LINKS_MAX, count);
    if (reader->code < 0 || count == 0)
        return;
    partition->links = memory_allocate(2 * count * sizeof(*partition->links));
    for (size_t i = 0; reader->code == 0 && i < count; i++) {
        char place[ERROR_PLACE_MAX];
        struct ruleset_link link;
        bool both_ways = false;
        snprintf(place, sizeof(place), "links[%zu]", i);
        reader->code = read_link(json_array_get(array, i), place, &link, &both_ways, reader->error);
        if (reader->code < 0)
            return;
        partition->links[partition->link_count++] = link;
        if (both_ways) {
            struct ruleset_link *back = &partition->links[partition->link_count++];
            memcpy(back->from, link.to, sizeof(back->from));
            memcpy(back->to, link.from, sizeof(back->to));
        }
    }
    if (has_duplicates(partition))
        remove_duplicates(partition);
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
        snprintf(place, sizeof(place), "groups[%zu][%zu]", index, i);
        if (!json_is_string(name))
            reader_fail(reader, place, "a node name is wanted here, not %s",
                        reader_type_name(name));
        names[i] = json_string_value(name);
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
        free(partition.links);
        return reader.code;
    }
    *out = partition;
    return 0;
}
