#include "proxy/fault/name_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a with a final mix, so that the low bits depend on every byte. */
static uint32_t hash_name(const char *name)
{
    uint32_t hash = 2166136261u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash ^ (hash >> 15);
}

int name_table_create(struct name_table *table, size_t count)
{
    size_t size = 16;
    while (size < count * 2)
        size *= 2;
    assert(size <= UINT32_MAX);
    table->entries = calloc(size, sizeof(*table->entries));
    table->mask = (uint32_t)(size - 1);
    return table->entries ? 0 : -ENOMEM;
}

void name_table_destroy(struct name_table *table)
{
    free(table->entries);
    *table = (struct name_table){0};
}

/* The entry that holds the name, or the free one where it would go. The table is at most half
 * full, so the probe ends. */
static struct name_table_entry *probe(const struct name_table *table, const char *name,
                                      uint32_t hash)
{
    for (uint32_t i = hash;; i++) {
        struct name_table_entry *entry = &table->entries[i & table->mask];
        if (!entry->name || (entry->hash == hash && strcmp(entry->name, name) == 0))
            return entry;
    }
}

uint32_t name_table_add(struct name_table *table, const char *name, uint32_t value)
{
    uint32_t hash = hash_name(name);
    struct name_table_entry *entry = probe(table, name, hash);
    if (entry->name)
        return entry->value;
    *entry = (struct name_table_entry){.name = name, .hash = hash, .value = value};
    return NAME_TABLE_NONE;
}

uint32_t name_table_find(const struct name_table *table, const char *name)
{
    if (!table->entries)
        return NAME_TABLE_NONE;
    const struct name_table_entry *entry = probe(table, name, hash_name(name));
    return entry->name ? entry->value : NAME_TABLE_NONE;
}
