/* /v1/faults */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/api/internal.h"
#include "proxy/base/text.h"
#include "proxy/wire/codec.h"

static json_t *encode(const struct api_call *call, const struct ruleset_fault *fault)
{
    const struct api_backend *backend = &call->api->backend;
    uint64_t touched = backend->fault_touched(backend->context, fault->name);
    json_t *json = wire_encode_fault(fault);
    json_object_set_new(json, "touched", json_integer((json_int_t)touched));
    json_object_set_new(json, "applied",
                        api_json_text(backend->fault_applied(backend->context, fault)));
    return json;
}

/* Of the fault named, as it now is in force. */
static int answer_with(struct api_call *call, const char *name, int status)
{
    call->answer = encode(call, ruleset_find_fault(api_current(call), name));
    return status;
}

int api_list_faults(struct api_call *call, struct error *error)
{
    const struct ruleset *ruleset = api_current(call);
    json_t *faults = json_array();
    (void)error;
    for (size_t i = 0; i < ruleset->fault_count; i++)
        json_array_append_new(faults, encode(call, &ruleset->faults[i]));
    call->answer = json_pack("{s:o}", "faults", faults);
    return API_OK;
}

int api_get_fault(struct api_call *call, struct error *error)
{
    if (!ruleset_find_fault(api_current(call), call->name))
        return api_no_such(call, "fault", error);
    return answer_with(call, call->name, API_OK);
}

/* Which N "TYPE-N" has been taken with, for each type: so every name is looked at once, however
 * many are chosen. */
struct numbers {
    size_t limit;                       /* N is below it: more than there will be names */
    bool *taken;                        /* [type * limit + N] */
    size_t lowest[RULESET_FAULT_TYPES]; /* below it all are taken */
};

static void take_number(struct numbers *numbers, const char *name)
{
    char type_name[RULESET_FAULT_NAME_MAX], again[RULESET_FAULT_NAME_MAX];
    enum ruleset_fault_type type;
    const char *dash = strrchr(name, '-');
    if (!dash)
        return;
    snprintf(type_name, sizeof(type_name), "%.*s", (int)(dash - name), name);
    unsigned long long number = strtoull(dash + 1, NULL, 10);
    if (number >= numbers->limit || ruleset_parse_fault_type(type_name, &type, NULL) < 0)
        return;
    snprintf(again, sizeof(again), "%s-%llu", type_name, number); /* "noop-07" is another name */
    if (strcmp(again, name) == 0)
        numbers->taken[type * numbers->limit + number] = true;
}

/* more: how many faults will be added. */
static void open_numbers(struct numbers *numbers, const struct ruleset *ruleset, size_t more)
{
    *numbers = (struct numbers){.limit = ruleset->fault_count + more + 2};
    numbers->taken =
        memory_allocate_zeroed(RULESET_FAULT_TYPES * numbers->limit, sizeof(*numbers->taken));
    for (size_t i = 0; i < RULESET_FAULT_TYPES; i++)
        numbers->lowest[i] = 1;
    for (size_t i = 0; i < ruleset->fault_count; i++)
        take_number(numbers, ruleset->faults[i].name);
}

static void choose_name(struct numbers *numbers, struct ruleset_fault *fault)
{
    const bool *taken = numbers->taken + fault->type * numbers->limit;
    size_t *lowest = &numbers->lowest[fault->type];
    while (taken[*lowest])
        ++*lowest;
    snprintf(fault->name, sizeof(fault->name), "%s-%zu", ruleset_fault_type_name(fault->type),
             *lowest);
}

/* Decodes one and appends it, with a name that is free when it has none. */
static int append_fault(struct ruleset *next, struct numbers *numbers, json_t *json,
                        struct error *error)
{
    struct ruleset_fault fault;
    int code = wire_decode_fault(json, NULL, &fault, error);
    if (code < 0)
        return code;
    if (!fault.name[0])
        choose_name(numbers, &fault);
    take_number(numbers, fault.name);
    ruleset_add_fault(next, &fault);
    return 0;
}

static int add_one(struct api_call *call, struct ruleset *next, struct error *error)
{
    struct numbers numbers;
    open_numbers(&numbers, next, 1);
    int code = append_fault(next, &numbers, call->body, error);
    free(numbers.taken);
    if (code == 0)
        code = api_apply_element(call, next, "faults", next->fault_count - 1, error);
    return code < 0 ? code
                    : answer_with(call, next->faults[next->fault_count - 1].name, API_CREATED);
}

/* "faults[7].link" of the ruleset is "faults[2].link" of a body whose first came fifth. */
static void renumber_place(struct error *error, size_t first)
{
    size_t index;
    int end = 0;
    char rest[ERROR_PLACE_MAX];
    if (!error || sscanf(error->place, "faults[%zu]%n", &index, &end) != 1 || end == 0 ||
        index < first)
        return;
    snprintf(rest, sizeof(rest), "%s", error->place + end);
    snprintf(error->place, sizeof(error->place), "faults[%zu]%.*s", index - first,
             ERROR_PLACE_MAX - 32, rest);
}

/* Each of the array, until one fails. */
static int append_each(struct ruleset *next, json_t *faults, struct error *error)
{
    struct numbers numbers;
    int code = 0;
    open_numbers(&numbers, next, json_array_size(faults));
    for (size_t i = 0; code == 0 && i < json_array_size(faults); i++) {
        char place[ERROR_PLACE_MAX];
        snprintf(place, sizeof(place), "faults[%zu]", i);
        code = append_fault(next, &numbers, json_array_get(faults, i), error);
        if (code < 0)
            error_prefix_place(error, place);
    }
    free(numbers.taken);
    return code;
}

static int append_faults(struct ruleset *next, json_t *body, struct error *error)
{
    json_t *faults = json_object_get(body, "faults");
    if (!json_is_array(faults) || json_array_size(faults) == 0)
        return error_set_at(error, -EINVAL, "faults", "an array of faults is wanted here");
    if (json_array_size(faults) > RULESET_FAULTS_MAX)
        return error_set_at(error, -EINVAL, "faults", "at most %d are possible, not %zu",
                            RULESET_FAULTS_MAX, json_array_size(faults));
    if (json_object_size(body) > 1)
        return error_set_at(error, -EINVAL, "faults", "beside 'faults' nothing can be here");
    return append_each(next, faults, error);
}

/* All of them come into force in one step, or none. */
static int add_several(struct api_call *call, struct ruleset *next, struct error *error)
{
    size_t first = next->fault_count;
    int code = append_faults(next, call->body, error);
    if (code < 0)
        return code;
    code = api_apply(call, next, error);
    if (code < 0) {
        renumber_place(error, first);
        return code;
    }
    json_t *faults = json_array();
    for (size_t i = first; i < next->fault_count; i++)
        json_array_append_new(faults, encode(call, &api_current(call)->faults[i]));
    call->answer = json_pack("{s:o}", "faults", faults);
    return API_CREATED;
}

int api_add_fault(struct api_call *call, struct error *error)
{
    struct ruleset next;
    ruleset_copy(&next, api_current(call));
    int code = json_object_get(call->body, "faults") ? add_several(call, &next, error)
                                                     : add_one(call, &next, error);
    ruleset_free(&next);
    return code;
}

int api_patch_fault(struct api_call *call, struct error *error)
{
    struct ruleset next;
    const struct ruleset_fault *current = ruleset_find_fault(api_current(call), call->name);
    if (!current)
        return api_no_such(call, "fault", error);
    ruleset_copy(&next, api_current(call));
    struct ruleset_fault *fault = ruleset_find_fault(&next, call->name);
    int code = wire_decode_fault(call->body, current, fault, error);
    fault->set_by[0] = '\0';
    fault->set_at_ns = 0;
    if (code == 0)
        code = api_apply_element(call, &next, "faults", (size_t)(fault - next.faults), error);
    ruleset_free(&next);
    return code < 0 ? code : answer_with(call, call->name, API_OK);
}

int api_remove_fault(struct api_call *call, struct error *error)
{
    struct ruleset next;
    if (!ruleset_find_fault(api_current(call), call->name))
        return api_no_such(call, "fault", error);
    ruleset_copy(&next, api_current(call));
    ruleset_remove_fault(&next, call->name);
    int code = api_apply(call, &next, error);
    ruleset_free(&next);
    return code < 0 ? code : API_NO_CONTENT;
}

/* Which directed links a removal is about. */
struct selection {
    bool all; /* faults on routes too */
    bool both_ways;
    struct ruleset_link link;
};

static bool end_covers(const char *pattern, const char *name)
{
    return strcmp(pattern, "*") == 0 || strcmp(pattern, name) == 0;
}

static bool covers(const struct selection *selection, const char *from, const char *to)
{
    const struct ruleset_link *link = &selection->link;
    return (end_covers(link->from, from) && end_covers(link->to, to)) ||
           (selection->both_ways && end_covers(link->to, from) && end_covers(link->from, to));
}

/* A fault goes when everything that it is on is selected. */
static bool is_selected(const struct selection *selection, const struct ruleset_fault *fault)
{
    if (selection->all)
        return true;
    return !fault->route[0] && covers(selection, fault->link.from, fault->link.to) &&
           (!fault->both_ways || covers(selection, fault->link.to, fault->link.from));
}

int api_remove_faults(struct api_call *call, struct error *error)
{
    struct ruleset next;
    struct selection selection = {0};
    char text[API_SEGMENT_MAX];
    bool limited;
    int code = api_get_query(call, "link", text, &limited, error);
    if (code == 0 && limited &&
        (code = ruleset_parse_link(text, &selection.link, &selection.both_ways, error)) < 0)
        error_prefix_place(error, "link");
    if (code < 0)
        return code;
    selection.all = !limited;
    ruleset_copy(&next, api_current(call));
    size_t kept = 0;
    for (size_t i = 0; i < next.fault_count; i++)
        if (!is_selected(&selection, &next.faults[i]))
            next.faults[kept++] = next.faults[i];
    bool changed = kept < next.fault_count;
    next.fault_count = kept;
    code = changed ? api_apply(call, &next, error) : 0;
    ruleset_free(&next);
    return code < 0 ? code : API_NO_CONTENT;
}
