/* Any bytes as a table's text, of both kinds: refused with a reason and a place, or a table that
 * the whole ruleset's check takes as well, and that reads the same when it is written out. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/text.h"
#include "proxy/fault/table_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_in_ruleset(enum table_text_kind kind, const struct ruleset_table *table)
{
    struct ruleset ruleset = {0};
    struct error error = {0};
    struct ruleset_fault fault = {.name = "f", .type = RULESET_TRACE, .link = {"*", "*"}};
    if (kind == TABLE_TEXT_TRACE) {
        snprintf(fault.trace.table, RULESET_NAME_MAX, "t");
    } else {
        fault.type = RULESET_LATENCY;
        fault.latency.distribution = RULESET_TABLE;
        snprintf(fault.latency.table, RULESET_NAME_MAX, "t");
    }
    ruleset_set_table(&ruleset, table);
    ruleset_add_fault(&ruleset, &fault);
    require(ruleset_check(&ruleset, &error) == 0);
    ruleset_free(&ruleset);
}

static void check_round_trip(enum table_text_kind kind, const struct ruleset_table *table)
{
    struct text text = {0};
    struct ruleset_table again = {0};
    for (size_t i = 0; i < table->count; i++)
        text_append(&text, "%ld\n", (long)table->values[i]);
    require(table_text_parse(kind, text_get(&text), text.length, &again, NULL) == 0);
    require(again.count == table->count &&
            memcmp(again.values, table->values, again.count * sizeof(*again.values)) == 0);
    free(again.values);
    text_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const enum table_text_kind kinds[] = {TABLE_TEXT_DISTRIBUTION, TABLE_TEXT_TRACE};
    for (size_t i = 0; i < 2; i++) {
        struct ruleset_table table = {.name = "t"};
        struct error error = {0};
        if (table_text_parse(kinds[i], (const char *)bytes, size, &table, &error) < 0) {
            require(error.code < 0 && error.message[0] && !table.values);
            continue;
        }
        require(table.count > 0 && table.count <= RULESET_TABLE_VALUES_MAX);
        check_in_ruleset(kinds[i], &table);
        check_round_trip(kinds[i], &table);
        free(table.values);
    }
    return 0;
}
