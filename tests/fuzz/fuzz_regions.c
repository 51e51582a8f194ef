/* Any bytes as a file of regions: refused with a reason, or faults that severd's decoder takes,
 * each of a name of its own, and no more than a ruleset may have. */
#include "tests/fuzz/fuzz.h"

#include "ctl/regions_text.h"
#include "proxy/wire/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct regions regions;
    struct ruleset ruleset = {0};
    char *text = fuzz_copy_text(bytes, size);
    if (fuzz_is_read(regions_parse(text, size, &regions, &fuzz_error))) {
        json_t *faults = regions_make_faults(&regions), *json;
        size_t index;
        for (size_t i = 0; i < regions.node_count; i++) {
            struct ruleset_node node = {0};
            memcpy(node.name, regions.nodes[i].name, sizeof(node.name));
            ruleset_add_node(&ruleset, &node);
        }
        json_array_foreach(faults, index, json)
        {
            struct ruleset_fault fault;
            if (fuzz_is_read(wire_decode_fault(json, NULL, &fault, &fuzz_error)))
                ruleset_add_fault(&ruleset, &fault);
            else /* of two names of 63 */
                require(strlen(json_string_value(json_object_get(json, "name"))) >=
                        RULESET_FAULT_NAME_MAX);
        }
        require(fuzz_is_read(ruleset_check(&ruleset, &fuzz_error)));
        json_decref(faults);
    }
    ruleset_free(&ruleset);
    free(text);
    return 0;
}
