/* A hash table from names to small numbers, filled once and then only read. Internal to
 * proxy/fault: ruleset_check and plan.c look up thousands of names at once. */
#ifndef SEVER_FAULT_NAME_TABLE_H
#define SEVER_FAULT_NAME_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define NAME_TABLE_NONE UINT32_MAX

struct name_table_entry {
    const char *name; /* NULL: free */
    uint32_t hash;
    uint32_t value;
};

struct name_table {
    struct name_table_entry *entries;
    uint32_t mask;
};

/* Room for `count` names. 0 or -ENOMEM. */
int name_table_create(struct name_table *table, size_t count);
void name_table_destroy(struct name_table *table); /* zero-initialised is fine */

/* Adds name -> value and returns NAME_TABLE_NONE; when the name is there already, returns the value
 * that it has and changes nothing. name must outlive the table. */
uint32_t name_table_add(struct name_table *table, const char *name, uint32_t value);

/* The value, or NAME_TABLE_NONE. */
uint32_t name_table_find(const struct name_table *table, const char *name);

#endif
