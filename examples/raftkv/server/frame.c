#include "examples/raftkv/server/frame.h"

#include <errno.h>
#include <string.h>

#include "examples/raftkv/store/store.h"
#include "proxy/base/text.h"

/* Bounds that keep index arithmetic far from overflow. */
#define NUMBER_MAX (UINT64_C(1) << 56)

/* Starts a frame: returns where its header is, to be filled by end_frame. */
static size_t begin_frame(struct bytes *out, enum frame_kind kind)
{
    size_t header = bytes_length(out);
    bytes_append_number(out, 0, 8);
    bytes_append_number(out, kind, 1);
    return header;
}

static void end_frame(struct bytes *out, size_t header)
{
    uint8_t *at = out->data + out->start + header;
    size_t body = bytes_length(out) - header - FRAME_HEADER_BYTES;
    uint32_t crc = store_crc32c(0, at + FRAME_HEADER_BYTES, body);
    for (unsigned i = 0; i < 4; i++) {
        at[i] = (uint8_t)(body >> (8 * i));
        at[4 + i] = (uint8_t)(crc >> (8 * i));
    }
}

void frame_write_hello(struct bytes *out, const char *name, const char *cluster)
{
    size_t header = begin_frame(out, FRAME_HELLO);
    bytes_append_number(out, FRAME_VERSION, 1);
    bytes_append_number(out, strlen(name), 1);
    bytes_append(out, name, strlen(name));
    bytes_append_number(out, strlen(cluster), 2);
    bytes_append(out, cluster, strlen(cluster));
    end_frame(out, header);
}

void frame_write_ack(struct bytes *out, uint64_t received)
{
    size_t header = begin_frame(out, FRAME_ACK);
    bytes_append_number(out, received, 8);
    end_frame(out, header);
}

void frame_write_message(struct bytes *out, const struct raft_message *message)
{
    size_t header = begin_frame(out, FRAME_MESSAGE);
    bytes_append_number(out, message->type, 1);
    bytes_append_number(out, message->success, 1);
    bytes_append_number(out, message->term, 8);
    bytes_append_number(out, message->index, 8);
    bytes_append_number(out, message->log_term, 8);
    bytes_append_number(out, message->commit, 8);
    bytes_append_number(out, message->conflict, 8);
    bytes_append_number(out, message->round, 8);
    bytes_append_number(out, message->request, 8);
    bytes_append_number(out, message->entry_count, 4);
    for (uint32_t i = 0; i < message->entry_count; i++) {
        const struct raft_entry *entry = &message->entries[i];
        uint32_t length = entry->payload ? entry->payload->length : 0;
        bytes_append_number(out, entry->term, 8);
        bytes_append_number(out, entry->type, 1);
        bytes_append_number(out, length, 4);
        if (length)
            bytes_append(out, entry->payload->bytes, length);
    }
    end_frame(out, header);
}

/* A cursor over the body; reading past the end marks it failed and gives 0. */
struct reader {
    const uint8_t *at;
    size_t left;
    bool failed;
};

static const uint8_t *take(struct reader *reader, size_t length)
{
    if (reader->failed || reader->left < length) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *at = reader->at;
    reader->at += length;
    reader->left -= length;
    return at;
}

static uint64_t take_number(struct reader *reader, unsigned count)
{
    const uint8_t *at = take(reader, count);
    return at ? bytes_read_number(at, count) : 0;
}

static void take_text(struct reader *reader, size_t length, char *text, size_t size)
{
    const uint8_t *at = length < size ? take(reader, length) : NULL;
    if (!at || memchr(at, 0, length)) {
        reader->failed = true;
        return;
    }
    memcpy(text, at, length);
    text[length] = '\0';
}

/* Entry terms never go back, and never beyond the message's. */
static bool read_entries(struct reader *reader, struct raft_message *message, uint32_t count)
{
    uint64_t term = message->type == RAFT_MESSAGE_APPEND ? message->log_term : 0;
    if (count > RAFT_APPEND_ENTRIES_MAX || count > reader->left / 13)
        return false;
    message->entries = count ? memory_allocate_zeroed(count, sizeof(*message->entries)) : NULL;
    for (uint32_t i = 0; i < count; i++) {
        struct raft_entry entry = {.term = take_number(reader, 8)};
        unsigned type = (unsigned)take_number(reader, 1);
        uint32_t length = (uint32_t)take_number(reader, 4);
        if (length > RAFT_PAYLOAD_MAX || type > RAFT_ENTRY_COMMAND || entry.term < term ||
            entry.term > message->term || (type == RAFT_ENTRY_NOOP && length))
            return false;
        const uint8_t *bytes = take(reader, length);
        if (!bytes)
            return false;
        entry.type = (enum raft_entry_type)type;
        if (entry.type == RAFT_ENTRY_COMMAND)
            entry.payload = raft_payload_create(bytes, length);
        term = entry.term;
        message->entries[message->entry_count++] = entry;
    }
    return true;
}

static bool read_message(struct reader *reader, struct raft_message *message)
{
    unsigned type = (unsigned)take_number(reader, 1);
    unsigned success = (unsigned)take_number(reader, 1);
    message->type = (enum raft_message_type)type;
    message->success = success;
    message->term = take_number(reader, 8);
    message->index = take_number(reader, 8);
    message->log_term = take_number(reader, 8);
    message->commit = take_number(reader, 8);
    message->conflict = take_number(reader, 8);
    message->round = take_number(reader, 8);
    message->request = take_number(reader, 8);
    uint32_t count = (uint32_t)take_number(reader, 4);
    if (reader->failed || type >= RAFT_MESSAGE_TYPE_COUNT || success > 1 ||
        message->term > NUMBER_MAX || message->index > NUMBER_MAX || message->commit > NUMBER_MAX ||
        message->log_term > message->term)
        return false;
    bool carries = type == RAFT_MESSAGE_APPEND || type == RAFT_MESSAGE_PROPOSE;
    if ((count && !carries) || (type == RAFT_MESSAGE_PROPOSE && count != 1))
        return false;
    return read_entries(reader, message, count);
}

static bool read_hello(struct reader *reader, struct frame *frame)
{
    frame->version = (uint8_t)take_number(reader, 1);
    take_text(reader, take_number(reader, 1), frame->name, sizeof(frame->name));
    take_text(reader, take_number(reader, 2), frame->cluster, sizeof(frame->cluster));
    return true;
}

static bool read_body(struct reader *reader, struct frame *frame)
{
    frame->kind = (enum frame_kind)take_number(reader, 1);
    bool good = false;
    switch (frame->kind) {
    case FRAME_HELLO:
        good = read_hello(reader, frame);
        break;
    case FRAME_MESSAGE:
        good = read_message(reader, &frame->message);
        break;
    case FRAME_ACK:
        frame->received = take_number(reader, 8);
        good = true;
        break;
    }
    return good && !reader->failed && reader->left == 0;
}

int frame_read(const uint8_t *bytes, size_t length, struct frame *frame, size_t *used,
               const char **problem)
{
    if (length < FRAME_HEADER_BYTES)
        return 0;
    size_t body = bytes_read_number(bytes, 4);
    if (body == 0 || body > FRAME_BODY_MAX) {
        *problem = "a frame of impossible length";
        return -EBADMSG;
    }
    if (length - FRAME_HEADER_BYTES < body)
        return 0;
    if (bytes_read_number(bytes + 4, 4) != store_crc32c(0, bytes + FRAME_HEADER_BYTES, body)) {
        *problem = "a damaged frame";
        return -EBADMSG;
    }
    memset(&frame->message, 0, sizeof(frame->message));
    struct reader reader = {.at = bytes + FRAME_HEADER_BYTES, .left = body};
    if (!read_body(&reader, frame)) {
        raft_message_release(&frame->message);
        *problem = "a frame that makes no sense";
        return -EBADMSG;
    }
    *used = FRAME_HEADER_BYTES + body;
    return 1;
}
