#include "examples/raftkv/store/batch.h"

#include <errno.h>

enum { BATCH_MAGIC = 0x42766b52, ITEM_HARD_STATE = 1, ITEM_TRUNCATION, ITEM_ENTRY };

static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

void batch_add_hard_state(struct text *body, uint64_t term, uint8_t vote)
{
    uint8_t item[10] = {ITEM_HARD_STATE};
    put(item + 1, term, 8);
    item[9] = vote;
    text_append_bytes(body, item, sizeof(item));
}

void batch_add_truncation(struct text *body, uint64_t first)
{
    uint8_t item[9] = {ITEM_TRUNCATION};
    put(item + 1, first, 8);
    text_append_bytes(body, item, sizeof(item));
}

void batch_add_entry(struct text *body, uint64_t index, const struct raft_entry *entry)
{
    uint8_t item[22] = {ITEM_ENTRY};
    uint32_t length = entry->payload ? entry->payload->length : 0;
    put(item + 1, index, 8);
    put(item + 9, entry->term, 8);
    item[17] = (uint8_t)entry->type;
    put(item + 18, length, 4);
    text_append_bytes(body, item, sizeof(item));
    if (length)
        text_append_bytes(body, entry->payload->bytes, length);
}

static uint32_t checksum(uint32_t salt, const uint8_t *header, const void *body, size_t length)
{
    return store_crc32c(store_crc32c(salt, header + 4, 12), body, length);
}

void batch_make_header(uint8_t *header, uint32_t salt, uint64_t sequence, const void *body,
                       size_t length)
{
    put(header, BATCH_MAGIC, 4);
    put(header + 4, length, 4);
    put(header + 8, sequence, 8);
    put(header + 16, checksum(salt, header, body, length), 4);
}

bool batch_is_intact(const uint8_t *bytes, size_t available, uint32_t salt, size_t *length,
                     uint64_t *sequence)
{
    if (available < BATCH_HEADER_BYTES || get(bytes, 4) != BATCH_MAGIC)
        return false;
    size_t body = get(bytes + 4, 4);
    if (body == 0 || body > BATCH_BODY_MAX || body > available - BATCH_HEADER_BYTES)
        return false;
    if (get(bytes + 16, 4) != checksum(salt, bytes, bytes + BATCH_HEADER_BYTES, body))
        return false;
    *length = BATCH_HEADER_BYTES + body;
    *sequence = get(bytes + 8, 8);
    return true;
}

static int play_entry(const uint8_t *at, size_t available, const struct store_visitor *visitor,
                      uint64_t *last_index, size_t *used)
{
    if (available < 22)
        return -EBADMSG;
    uint64_t index = get(at + 1, 8);
    struct raft_entry entry = {.term = get(at + 9, 8), .type = at[17]};
    uint32_t length = (uint32_t)get(at + 18, 4);
    bool known = entry.type == RAFT_ENTRY_NOOP || entry.type == RAFT_ENTRY_COMMAND;
    if (!known || length > available - 22 || length > RAFT_PAYLOAD_MAX || index != *last_index + 1)
        return -EBADMSG;
    if (entry.type == RAFT_ENTRY_COMMAND)
        entry.payload = raft_payload_create(at + 22, length);
    int code = visitor->entry(visitor->context, index, &entry);
    raft_payload_release(entry.payload);
    *last_index = index;
    *used = 22 + length;
    return code;
}

int batch_play(const uint8_t *body, size_t length, const struct store_visitor *visitor,
               uint64_t *last_index)
{
    for (size_t at = 0, used = 0; at < length; at += used) {
        int code = -EBADMSG;
        size_t available = length - at;
        if (body[at] == ITEM_HARD_STATE && available >= 10) {
            used = 10;
            code = visitor->hard_state(visitor->context, get(body + at + 1, 8), body[at + 9]);
        } else if (body[at] == ITEM_TRUNCATION && available >= 9) {
            uint64_t first = get(body + at + 1, 8);
            used = 9;
            if (first >= 1 && first <= *last_index) {
                *last_index = first - 1;
                code = 0;
            }
        } else if (body[at] == ITEM_ENTRY) {
            code = play_entry(body + at, available, visitor, last_index, &used);
        }
        if (code)
            return code;
    }
    return 0;
}
