#include "tests/lib/test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "examples/raftkv/server/frame.h"
#include "examples/raftkv/store/store.h"
#include "proxy/base/text.h"

static struct frame frame;

static int read_copy(const struct bytes *bytes, size_t length, size_t *used)
{
    const char *problem = NULL;
    uint8_t *copy = memory_allocate(length ? length : 1);
    if (length)
        memcpy(copy, bytes_get(bytes), length);
    int code = frame_read(copy, length, &frame, used, &problem);
    free(copy);
    if (code < 0)
        assert_non_null(problem);
    return code;
}

static int read_whole(const struct bytes *bytes)
{
    size_t used = 0;
    int code = read_copy(bytes, bytes_length(bytes), &used);
    if (code == 1)
        assert_int_equal(used, bytes_length(bytes));
    return code;
}

/* Makes the checksum right again after a change. */
static void repair(struct bytes *bytes)
{
    uint32_t crc = store_crc32c(0, bytes->data + 8, bytes_length(bytes) - 8);
    memcpy(bytes->data + 4, &crc, 4);
}

static struct raft_message sample(struct raft_entry *entries)
{
    entries[0] = (struct raft_entry){.term = 3, .type = RAFT_ENTRY_NOOP};
    entries[1] = (struct raft_entry){
        .term = 4, .type = RAFT_ENTRY_COMMAND, .payload = raft_payload_create("payload", 7)};
    return (struct raft_message){
        .type = RAFT_MESSAGE_APPEND,
        .success = true,
        .term = 4,
        .index = 10,
        .log_term = 3,
        .commit = 9,
        .conflict = 8,
        .round = 7,
        .request = UINT64_MAX,
        .entries = entries,
        .entry_count = 2,
    };
}

static void messages_come_back(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    struct raft_entry entries[2];
    struct raft_message message = sample(entries);
    frame_write_message(&bytes, &message);
    size_t used;
    for (size_t length = 0; length < bytes_length(&bytes); length++)
        assert_int_equal(read_copy(&bytes, length, &used), 0);
    assert_int_equal(read_whole(&bytes), 1);
    assert_int_equal(frame.kind, FRAME_MESSAGE);
    const struct raft_message *got = &frame.message;
    assert_int_equal(got->type, RAFT_MESSAGE_APPEND);
    assert_true(got->success);
    assert_int_equal(got->term, 4);
    assert_int_equal(got->index, 10);
    assert_int_equal(got->log_term, 3);
    assert_int_equal(got->commit, 9);
    assert_int_equal(got->conflict, 8);
    assert_int_equal(got->round, 7);
    assert_true(got->request == UINT64_MAX);
    assert_int_equal(got->entry_count, 2);
    assert_null(got->entries[0].payload);
    assert_int_equal(got->entries[1].term, 4);
    assert_memory_equal(got->entries[1].payload->bytes, "payload", 7);
    raft_message_release(&frame.message);
    raft_payload_release(entries[1].payload);
    bytes_free(&bytes);
}

static void hello_and_ack_come_back(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    frame_write_hello(&bytes, "n1", "n1,n2,n3");
    assert_int_equal(read_whole(&bytes), 1);
    assert_int_equal(frame.kind, FRAME_HELLO);
    assert_int_equal(frame.version, FRAME_VERSION);
    assert_string_equal(frame.name, "n1");
    assert_string_equal(frame.cluster, "n1,n2,n3");
    bytes_free(&bytes);
    frame_write_ack(&bytes, 123456789012);
    assert_int_equal(read_whole(&bytes), 1);
    assert_int_equal(frame.kind, FRAME_ACK);
    assert_int_equal(frame.received, 123456789012);
    bytes_free(&bytes);
}

static void any_flipped_bit_is_noticed(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    struct raft_entry entries[2];
    struct raft_message message = sample(entries);
    frame_write_message(&bytes, &message);
    for (size_t bit = 0; bit < 8 * bytes_length(&bytes); bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        size_t used;
        int code = read_copy(&bytes, bytes_length(&bytes), &used);
        assert_true(code < 0 || (code == 0 && bit < 32)); /* 0: a longer frame was announced */
        bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    raft_payload_release(entries[1].payload);
    bytes_free(&bytes);
}

/* Sealed with a right checksum, so that each check behind it is reached. */
static void sealed_nonsense_is_refused(void **state)
{
    (void)state;
    struct raft_entry entries[2];
    struct raft_message good = sample(entries);
    struct raft_message bad[8];
    for (size_t i = 0; i < 8; i++)
        bad[i] = good;
    bad[0].type = RAFT_MESSAGE_TYPE_COUNT;
    bad[1].type = RAFT_MESSAGE_VOTE;    /* carries no entries */
    bad[2].type = RAFT_MESSAGE_PROPOSE; /* carries one */
    bad[3].term = 3;                    /* an entry is newer than its leader */
    bad[4].log_term = 5;                /* so is the previous one */
    bad[5].index = UINT64_MAX;
    bad[6].commit = UINT64_MAX;
    bad[7].log_term = 4; /* terms go back: 4, then 3 */
    for (size_t i = 0; i < 8; i++) {
        struct bytes bytes = {0};
        frame_write_message(&bytes, &bad[i]);
        assert_int_equal(read_whole(&bytes), -EBADMSG);
        bytes_free(&bytes);
    }
    struct bytes bytes = {0};
    frame_write_message(&bytes, &good);
    for (size_t at = 8; at < bytes_length(&bytes); at++) { /* whatever it says, it is read safely */
        uint8_t before = bytes.data[at];
        for (unsigned value = 0; value < 256; value += 51) {
            bytes.data[at] = (uint8_t)value;
            repair(&bytes);
            if (read_whole(&bytes) == 1)
                raft_message_release(&frame.message);
        }
        bytes.data[at] = before;
    }
    bytes.data[8] = 77; /* an unknown kind */
    repair(&bytes);
    assert_int_equal(read_whole(&bytes), -EBADMSG);
    bytes_free(&bytes);
    raft_payload_release(entries[1].payload);
}

static void impossible_lengths_are_refused_at_once(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    bytes_append_number(&bytes, FRAME_BODY_MAX + 1, 4);
    bytes_append_number(&bytes, 0, 4);
    assert_int_equal(read_whole(&bytes), -EBADMSG);
    bytes_free(&bytes);
    bytes_append_number(&bytes, 0, 8);
    assert_int_equal(read_whole(&bytes), -EBADMSG);
    bytes_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_back),
        cmocka_unit_test(hello_and_ack_come_back),
        cmocka_unit_test(any_flipped_bit_is_noticed),
        cmocka_unit_test(sealed_nonsense_is_refused),
        cmocka_unit_test(impossible_lengths_are_refused_at_once),
    };
    return cmocka_run_group_tests_name("examples/raftkv/server/frame", tests, NULL, NULL);
}
