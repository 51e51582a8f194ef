/* /v1/partitions */
#include <stdlib.h>

#include "proxy/api/internal.h"
#include "proxy/wire/codec.h"

static bool is_taken(const struct ruleset *ruleset, const char *name)
{
    return ruleset_find_partition(ruleset, name) != NULL;
}

int api_list_partitions(struct api_call *call, struct error *error)
{
    const struct ruleset *ruleset = api_current(call);
    json_t *partitions = json_array();
    (void)error;
    for (size_t i = 0; i < ruleset->partition_count; i++)
        json_array_append_new(partitions, wire_encode_partition(&ruleset->partitions[i]));
    call->answer = json_pack("{s:o}", "partitions", partitions);
    return API_OK;
}

int api_get_partition(struct api_call *call, struct error *error)
{
    const struct ruleset_partition *partition =
        ruleset_find_partition(api_current(call), call->name);
    if (!partition)
        return api_no_such(call, "partition", error);
    call->answer = wire_encode_partition(partition);
    return API_OK;
}

/* By what was asked for. */
static const char *default_prefix(json_t *body)
{
    if (json_object_get(body, "groups"))
        return "split";
    return json_object_get(body, "isolate") ? "isolate" : "cut";
}

int api_add_partition(struct api_call *call, struct error *error)
{
    struct ruleset_partition partition;
    struct ruleset next;
    struct api_status status = {0};
    const struct api_backend *backend = &call->api->backend;
    int code = wire_decode_partition(call->body, api_current(call), &partition, error);
    if (code < 0)
        return code;
    if (!partition.name[0])
        api_choose_name(api_current(call), default_prefix(call->body), is_taken, partition.name,
                        sizeof(partition.name));
    ruleset_copy(&next, api_current(call));
    ruleset_add_partition(&next, &partition);
    ruleset_partition_free(&partition);
    code = api_apply_element(call, &next, "partitions", next.partition_count - 1, error);
    ruleset_free(&next);
    if (code < 0)
        return code;
    backend->status(backend->context, &status);
    wire_print_partition(ruleset_find_partition(api_current(call), partition.name),
                         api_cut_mechanism(&status), &call->text);
    return API_CREATED;
}

int api_remove_partition(struct api_call *call, struct error *error)
{
    struct ruleset next;
    if (!is_taken(api_current(call), call->name))
        return api_no_such(call, "partition", error);
    ruleset_copy(&next, api_current(call));
    ruleset_remove_partition(&next, call->name);
    int code = api_apply(call, &next, error);
    ruleset_free(&next);
    return code < 0 ? code : API_NO_CONTENT;
}

int api_remove_partitions(struct api_call *call, struct error *error)
{
    struct ruleset next;
    if (api_current(call)->partition_count == 0)
        return API_NO_CONTENT;
    ruleset_copy(&next, api_current(call));
    while (next.partition_count > 0)
        ruleset_remove_partition(&next, next.partitions[next.partition_count - 1].name);
    int code = api_apply(call, &next, error);
    ruleset_free(&next);
    return code < 0 ? code : API_NO_CONTENT;
}
