/* Frames between nodes. The input is taken as it is, and once more with each checksum made right,
 * so that the checks behind it are reached; what decodes is encoded again and must give the same
 * frame, and is given to a Raft core, which must survive it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "examples/raftkv/core/raft.h"
#include "examples/raftkv/server/frame.h"
#include "examples/raftkv/store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct frame frame;

static void check_round_trip(const uint8_t *bytes, size_t length)
{
    struct bytes again = {0};
    frame_write_message(&again, &frame.message);
    if (bytes_length(&again) != length || memcmp(bytes_get(&again), bytes, length) != 0)
        abort();
    bytes_free(&again);
}

static void read_all(const uint8_t *data, size_t size, struct raft *raft,
                     struct raft_actions *actions)
{
    uint64_t now_ns = 1;
    for (size_t at = 0; at < size;) {
        size_t used = 0;
        const char *problem = NULL;
        int code = frame_read(data + at, size - at, &frame, &used, &problem);
        if (code <= 0) {
            if (code < 0 && !problem)
                abort();
            return;
        }
        if (frame.kind == FRAME_MESSAGE) {
            check_round_trip(data + at, used);
            frame.message.from = 1;
            struct raft_event receive = {.type = RAFT_EVENT_RECEIVE, .message = &frame.message};
            struct raft_event tick = {.type = RAFT_EVENT_TICK};
            raft_step(raft, &receive, now_ns, actions);
            now_ns += UINT64_C(40000000);
            raft_step(raft, &tick, now_ns, actions);
            raft_actions_clear(actions);
            raft_message_release(&frame.message);
        }
        at += used;
    }
}

/* Walks the frames by their lengths and makes every checksum right. */
static void seal(uint8_t *data, size_t size)
{
    for (size_t at = 0; size - at >= FRAME_HEADER_BYTES;) {
        size_t body = bytes_read_number(data + at, 4);
        if (body > size - at - FRAME_HEADER_BYTES)
            return;
        uint32_t crc = store_crc32c(0, data + at + FRAME_HEADER_BYTES, body);
        for (unsigned i = 0; i < 4; i++)
            data[at + 4 + i] = (uint8_t)(crc >> (8 * i));
        at += FRAME_HEADER_BYTES + body;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct raft_config config = {.node_count = 3,
                                 .election_timeout_ns = UINT64_C(100000000),
                                 .heartbeat_ns = UINT64_C(20000000)};
    struct raft_actions actions = {0};
    struct raft *raft;
    uint8_t *sealed = malloc(size ? size : 1);
    if (!sealed || raft_create(&raft, &config, 0))
        abort();
    if (size)
        memcpy(sealed, data, size);
    read_all(data, size, raft, &actions);
    seal(sealed, size);
    read_all(sealed, size, raft, &actions);
    raft_actions_free(&actions);
    raft_destroy(raft);
    free(sealed);
    return 0;
}
