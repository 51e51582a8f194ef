/* The log in memory, payloads by reference, and the memory helper of the core. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/raftkv/core/raft_state.h"

static void *allocate(void *old, size_t size)
{
    void *block = realloc(old, size);
    if (!block) {
        fprintf(stderr, "raft: out of memory for %zu bytes\n", size);
        abort();
    }
    return block;
}

void *raft_grow(void *items, size_t *capacity, size_t count, size_t item_size)
{
    if (count <= *capacity)
        return items;
    size_t wanted = *capacity ? *capacity * 2 : 16;
    if (wanted < count)
        wanted = count;
    *capacity = wanted;
    return allocate(items, wanted * item_size);
}

struct raft_payload *raft_payload_create(const void *bytes, size_t length)
{
    assert(length <= RAFT_PAYLOAD_MAX);
    struct raft_payload *payload = allocate(NULL, sizeof(*payload) + length);
    payload->references = 1;
    payload->length = (uint32_t)length;
    if (length)
        memcpy(payload->bytes, bytes, length);
    return payload;
}

struct raft_payload *raft_payload_hold(struct raft_payload *payload)
{
    if (payload)
        payload->references++;
    return payload;
}

void raft_payload_release(struct raft_payload *payload)
{
    if (!payload)
        return;
    assert(payload->references > 0);
    if (--payload->references == 0)
        free(payload);
}

static uint32_t entry_bytes(const struct raft_entry *entry)
{
    return entry->payload ? entry->payload->length : 0;
}

uint64_t raft_log_term(const struct raft_log *log, uint64_t index)
{
    assert(index <= log->count);
    return index ? log->entries[index - 1].term : 0;
}

void raft_log_append(struct raft_log *log, const struct raft_entry *entry)
{
    size_t capacity = log->capacity;
    log->entries = raft_grow(log->entries, &capacity, log->count + 1, sizeof(*log->entries));
    log->capacity = capacity;
    log->entries[log->count] = *entry;
    raft_payload_hold(entry->payload);
    log->count++;
    log->bytes += entry_bytes(entry);
}

void raft_log_truncate(struct raft_log *log, uint64_t first)
{
    assert(first > 0);
    while (log->count >= first) {
        struct raft_entry *entry = &log->entries[log->count - 1];
        log->bytes -= entry_bytes(entry);
        raft_payload_release(entry->payload);
        log->count--;
    }
}

void raft_log_free(struct raft_log *log)
{
    raft_log_truncate(log, 1);
    free(log->entries);
    memset(log, 0, sizeof(*log));
}

bool raft_log_is_full(const struct raft_log *log)
{
    return log->count >= RAFT_LOG_ENTRIES_MAX || log->bytes >= RAFT_LOG_BYTES_MAX;
}
