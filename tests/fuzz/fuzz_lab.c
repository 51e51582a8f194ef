/* Labs as JSON: the first byte says what it is, the rest is what a client, or a severd, sent. It is
 * refused with a reason and changes nothing, or it is decoded; then it is told again as JSON, and
 * that is understood as the same. */
#include "tests/fuzz/fuzz.h"

#include "proxy/wire/codec.h"
#include "proxy/wire/lab.h"

/* What is decoded, with room for any of it, and what it must be where nothing was. */
static union thing {
    struct wire_lab_wanted wanted;
    struct wire_lab_member member;
    struct wire_lab_port port;
    struct wire_lab_node node;
    struct wire_lab lab;
} thing, untouched, again;

static int decode(unsigned kind, json_t *json, union thing *out, struct error *error)
{
    switch (kind) {
    case 0:
        return wire_decode_lab_wanted(json, &out->wanted, error);
    case 1:
        return wire_decode_lab_member(json, &out->member, error);
    case 2:
        return wire_decode_lab_port(json, &out->port, error);
    case 3:
        return wire_decode_lab_node(json, &out->node, error);
    default:
        return wire_decode_lab(json, &out->lab, error);
    }
}

static json_t *encode(unsigned kind, const union thing *from)
{
    switch (kind) {
    case 0:
        return wire_encode_lab_wanted(&from->wanted);
    case 1:
        return wire_encode_lab_member(&from->member);
    case 2:
        return wire_encode_lab_port(&from->port);
    case 3:
        return wire_encode_lab_node(&from->node);
    default:
        return wire_encode_lab(&from->lab);
    }
}

static void check_again(unsigned kind)
{
    struct error error = {0};
    json_t *told = encode(kind, &thing);
    require(decode(kind, told, &again, &error) == 0);
    json_t *told_again = encode(kind, &again);
    require(json_equal(told, told_again));
    json_decref(told);
    json_decref(told_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct error error = {0};
    if (size == 0)
        return 0;
    unsigned kind = bytes[0] % 5;
    char *body = fuzz_copy_text(bytes + 1, size - 1);
    json_t *json = wire_parse_object(body, size - 1, &error);
    memset(&thing, 0x5a, sizeof(thing));
    memset(&untouched, 0x5a, sizeof(untouched));
    error = json ? (struct error){0} : error;
    int code = json ? decode(kind, json, &thing, &error) : error.code;
    if (code == 0) {
        check_again(kind);
    } else {
        require_reason(code, &error);
        require(same_bytes(&thing, &untouched, sizeof(thing)));
    }
    json_decref(json);
    free(body);
    return 0;
}
