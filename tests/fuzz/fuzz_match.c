/* A match expression, on the first line, and bytes behind it, as an IP packet that may be cut short
 * and as the payload of datagrams. The expression is refused with a reason, or it is compiled; then
 * it judges every packet, the same one twice alike, and reads nothing that isn't there. */
#include "tests/fuzz/fuzz.h"

#include "proxy/match/match.h"

static void judge_packet(const struct match_program *program, const uint8_t *bytes, size_t size)
{
    uint32_t length = size > 0 ? (uint32_t)(size + bytes[size - 1]) : 0;
    char *packet = fuzz_copy_text(bytes, size); /* of this size on the heap */
    bool whole = match_packet(program, packet, (uint32_t)size, (uint32_t)size);
    require(whole == match_packet(program, packet, (uint32_t)size, (uint32_t)size));
    match_packet(program, packet, (uint32_t)size, length);
    require(size == 0 || memcmp(packet, bytes, size) == 0);
    free(packet);
}

static void judge_datagram(const struct match_program *program, const uint8_t *bytes, size_t size)
{
    static const char *const texts[] = {"127.0.0.1:5353", "[::1]:53", "unix:/x"};
    unsigned char *room = malloc(IP_HEADER_ROOM + size);
    require(room != NULL);
    if (size)
        memcpy(room + IP_HEADER_ROOM, bytes, size);
    for (size_t i = 0; i < 9; i++) {
        struct address source, destination;
        struct error error = {0};
        require(address_parse(texts[i / 3], &source, &error) == 0);
        require(address_parse(texts[i % 3], &destination, &error) == 0);
        bool matches =
            match_datagram(program, &source, &destination, room + IP_HEADER_ROOM, (uint32_t)size);
        require(matches == match_datagram(program, &source, &destination, room + IP_HEADER_ROOM,
                                          (uint32_t)size));
        require(size == 0 || memcmp(room + IP_HEADER_ROOM, bytes, size) == 0);
    }
    free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct match_program *program = NULL;
    struct error error = {0};
    char *expression = fuzz_take_line(&bytes, &size);
    size_t length = strlen(expression);
    if (length == 0 || length >= RULESET_MATCH_MAX || size > 65535) {
        free(expression);
        return 0;
    }
    int code = match_compile(expression, &program, &error);
    if (code < 0) {
        require_reason(code, &error);
        require(program == NULL);
    } else {
        judge_packet(program, bytes, size);
        judge_datagram(program, bytes, size);
        match_destroy(program);
    }
    free(expression);
    return 0;
}
