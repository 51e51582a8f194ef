/* Any bytes as a ruleset document: refused with a reason, or decoded; and when the ruleset is
 * valid, encoding and decoding it again gives the same document. */
#include <stdint.h>
#include <stdlib.h>

#include "proxy/wire/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_round_trip(const struct ruleset *ruleset)
{
    struct ruleset again;
    struct error error = {0};
    json_t *json = wire_encode_ruleset(ruleset);
    require(wire_decode_ruleset(json, &again, &error) == 0);
    require(ruleset_check(&again, &error) == 0);
    json_t *json_again = wire_encode_ruleset(&again);
    require(json_equal(json, json_again));
    json_decref(json);
    json_decref(json_again);
    ruleset_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct error error = {0};
    struct ruleset ruleset;
    json_t *json = wire_parse_object((const char *)bytes, size, &error);
    if (!json) {
        require(error.code < 0 && error.message[0]);
        return 0;
    }
    if (wire_decode_ruleset(json, &ruleset, &error) < 0) {
        require(error.code < 0 && error.message[0]);
    } else {
        if (ruleset_check(&ruleset, &error) == 0)
            check_round_trip(&ruleset);
        ruleset_free(&ruleset);
    }
    json_decref(json);
    return 0;
}
