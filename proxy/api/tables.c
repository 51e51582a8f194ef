/* /v1/tables */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/api/internal.h"
#include "proxy/fault/ruleset_parameters.h"
#include "proxy/wire/codec.h"

/* Does the fault name this table? */
static bool names_table(const struct ruleset_fault *fault, const char *table)
{
    size_t count;
    const struct ruleset_parameter *parameters = ruleset_parameters(fault->type, &count);
    for (size_t i = 0; i < count; i++)
        if (parameters[i].kind == RULESET_PARAMETER_TABLE &&
            strcmp(ruleset_parameter_text(&parameters[i], fault), table) == 0)
            return true;
    return false;
}

static void set_used_by(const struct api_call *call, json_t *json, const char *table)
{
    const struct ruleset *ruleset = api_current(call);
    json_t *faults = json_array();
    for (size_t i = 0; i < ruleset->fault_count; i++)
        if (names_table(&ruleset->faults[i], table))
            json_array_append_new(faults, json_string(ruleset->faults[i].name));
    json_object_set_new(json, "used_by", faults);
}

static int answer_with(struct api_call *call, const char *name, int status)
{
    call->answer = wire_encode_table(ruleset_find_table(api_current(call), name));
    set_used_by(call, call->answer, name);
    return status;
}

/* Without the values: 64 tables of 65536 are no list to look at. */
int api_list_tables(struct api_call *call, struct error *error)
{
    const struct ruleset *ruleset = api_current(call);
    json_t *tables = json_array();
    (void)error;
    for (size_t i = 0; i < ruleset->table_count; i++) {
        const struct ruleset_table *table = &ruleset->tables[i];
        json_t *json =
            json_pack("{s:s, s:I}", "name", table->name, "value_count", (json_int_t)table->count);
        set_used_by(call, json, table->name);
        json_array_append_new(tables, json);
    }
    call->answer = json_pack("{s:o}", "tables", tables);
    return API_OK;
}

int api_get_table(struct api_call *call, struct error *error)
{
    if (!ruleset_find_table(api_current(call), call->name))
        return api_no_such(call, "table", error);
    return answer_with(call, call->name, API_OK);
}

int api_add_table(struct api_call *call, struct error *error)
{
    struct ruleset_table table;
    struct ruleset next;
    int code = wire_decode_table(call->body, &table, error);
    if (code < 0)
        return code;
    if (ruleset_find_table(api_current(call), table.name)) {
        free(table.values);
        return error_set_at(error, -EEXIST, "name", "the name '%s' is taken", table.name);
    }
    ruleset_copy(&next, api_current(call));
    ruleset_set_table(&next, &table);
    free(table.values);
    code = api_apply_element(call, &next, "tables", next.table_count - 1, error);
    ruleset_free(&next);
    return code < 0 ? code : answer_with(call, table.name, API_CREATED);
}

/* -EINVAL with the first fault that names it. */
static int check_unused(const struct ruleset *ruleset, const char *table, struct error *error)
{
    for (size_t i = 0; i < ruleset->fault_count; i++) {
        char place[ERROR_PLACE_MAX];
        if (!names_table(&ruleset->faults[i], table))
            continue;
        snprintf(place, sizeof(place), "faults[%zu].table", i);
        return error_set_at(error, -EINVAL, place, "fault '%s' draws from it: remove that first",
                            ruleset->faults[i].name);
    }
    return 0;
}

int api_remove_table(struct api_call *call, struct error *error)
{
    struct ruleset next;
    if (!ruleset_find_table(api_current(call), call->name))
        return api_no_such(call, "table", error);
    int code = check_unused(api_current(call), call->name, error);
    if (code < 0)
        return code;
    ruleset_copy(&next, api_current(call));
    ruleset_remove_table(&next, call->name);
    code = api_apply(call, &next, error);
    ruleset_free(&next);
    return code < 0 ? code : API_NO_CONTENT;
}
