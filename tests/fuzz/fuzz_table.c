/* Any bytes as a file of numbers, netem's distribution or mahimahi's trace: refused with the file
 * and a reason, or a table that the API's decoder takes, with a number for each that is in the
 * file. */
#include "tests/fuzz/fuzz.h"

#include "ctl/table_file.h"
#include "proxy/wire/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct ruleset_table table = {0};
    struct error error = {0};
    char *text = fuzz_copy_text(bytes, size);
    json_t *body = table_file_parse(text, size, "a.dist", NULL, &error);
    if (body) {
        require(wire_decode_table(body, &table, &error) == 0);
        require(table.count >= 1 && table.count <= RULESET_TABLE_VALUES_MAX);
        require(strcmp(table.name, "a") == 0);
        require(memchr(text, '\0', size) == NULL);
    } else {
        require_reason(error.code, &error);
        require(strcmp(error.place, "a.dist") == 0);
    }
    json_decref(body);
    free(table.values);
    free(text);
    return 0;
}
