#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "examples/raftkv/store/batch.h"
#include "examples/raftkv/store/store.h"
#include "proxy/base/text.h"

enum { LOG_MAX = 64, MAGIC_BYTES = 16 };

/* In place of the C library's: counts, and fails when told to. */
static unsigned syncs;
static int sync_error;

int fdatasync(int fd)
{
    syncs++;
    if (sync_error) {
        errno = sync_error;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* What a visitor has put together. */
struct replica {
    uint64_t term;
    uint8_t vote;
    uint64_t last;
    uint64_t terms[LOG_MAX + 1];
    char texts[LOG_MAX + 1][32];
    int refuse; /* what entry() returns */
};

static int take_hard_state(void *context, uint64_t term, uint8_t vote)
{
    struct replica *replica = context;
    replica->term = term;
    replica->vote = vote;
    return 0;
}

static int take_entry(void *context, uint64_t index, const struct raft_entry *entry)
{
    struct replica *replica = context;
    assert_true(index <= LOG_MAX);
    replica->last = index;
    replica->terms[index] = entry->term;
    replica->texts[index][0] = '\0';
    if (entry->payload)
        snprintf(replica->texts[index], sizeof(replica->texts[index]), "%.*s",
                 (int)entry->payload->length, (const char *)entry->payload->bytes);
    return replica->refuse;
}

struct fixture {
    char root[32];
    char directory[64];
    char log[80];
    struct store *store;
    struct store_report report;
    struct replica replica;
    struct error error;
};

static int open_store(struct fixture *fixture)
{
    struct store_visitor visitor = {
        .context = &fixture->replica, .hard_state = take_hard_state, .entry = take_entry};
    memset(&fixture->replica, 0, sizeof(fixture->replica));
    fixture->error = (struct error){0};
    return store_open(fixture->directory, "n1", "n1,n2,n3", &visitor, &fixture->store,
                      &fixture->report, &fixture->error);
}

static void reopen(struct fixture *fixture)
{
    store_close(fixture->store);
    fixture->store = NULL;
    assert_int_equal(open_store(fixture), 0);
}

static void add(struct fixture *fixture, uint64_t index, uint64_t term, const char *text)
{
    struct raft_entry entry = {.term = term, .type = text ? RAFT_ENTRY_COMMAND : RAFT_ENTRY_NOOP};
    if (text)
        entry.payload = raft_payload_create(text, strlen(text));
    store_add_entry(fixture->store, index, &entry);
    raft_payload_release(entry.payload);
}

static void sync_store(struct fixture *fixture)
{
    assert_int_equal(store_sync(fixture->store, &fixture->error), 0);
}

/* Three batches: hard state and two entries; one entry; one entry. */
static void fill(struct fixture *fixture)
{
    store_add_hard_state(fixture->store, 3, 1);
    add(fixture, 1, 1, NULL);
    add(fixture, 2, 3, "first");
    sync_store(fixture);
    add(fixture, 3, 3, "second");
    sync_store(fixture);
    add(fixture, 4, 3, "third");
    sync_store(fixture);
}

static int set_up(void **state)
{
    struct fixture *fixture = memory_allocate_zeroed(1, sizeof(*fixture));
    snprintf(fixture->root, sizeof(fixture->root), "/tmp/store-XXXXXX");
    assert_non_null(mkdtemp(fixture->root));
    snprintf(fixture->directory, sizeof(fixture->directory), "%s/data", fixture->root);
    snprintf(fixture->log, sizeof(fixture->log), "%s/log", fixture->directory);
    assert_int_equal(open_store(fixture), 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    char path[96];
    store_close(fixture->store);
    unlink(fixture->log);
    snprintf(path, sizeof(path), "%s/identity", fixture->directory);
    unlink(path);
    rmdir(fixture->directory);
    assert_int_equal(rmdir(fixture->root), 0); /* nothing else is left, no temporary file */
    free(fixture);
    return 0;
}

static off_t log_size(const struct fixture *fixture)
{
    struct stat status;
    assert_int_equal(stat(fixture->log, &status), 0);
    return status.st_size;
}

static void flip_byte(const struct fixture *fixture, off_t at)
{
    uint8_t byte;
    int fd = open(fixture->log, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void crc32c_is_the_standard_one(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0};
    assert_int_equal(store_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(store_crc32c(0, zeros, 32), 0x8a9136aa); /* RFC 3720 B.4 */
    assert_int_equal(store_crc32c(store_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
    assert_int_equal(store_crc32c(0, "", 0), 0);
}

static void what_was_synced_comes_back(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    add(fixture, 5, 3, "never synced");
    reopen(fixture);
    assert_int_equal(fixture->report.batches, 3);
    assert_int_equal(fixture->report.torn_at, 0);
    assert_int_equal(fixture->replica.term, 3);
    assert_int_equal(fixture->replica.vote, 1);
    assert_int_equal(fixture->replica.last, 4);
    assert_int_equal(fixture->replica.terms[1], 1);
    assert_string_equal(fixture->replica.texts[1], "");
    assert_string_equal(fixture->replica.texts[4], "third");
    add(fixture, 5, 4, "after");
    sync_store(fixture);
    reopen(fixture);
    assert_string_equal(fixture->replica.texts[5], "after");
}

static void nothing_to_sync_writes_nothing(void **state)
{
    struct fixture *fixture = *state;
    off_t before = log_size(fixture);
    sync_store(fixture);
    assert_int_equal(log_size(fixture), before);
}

static void truncations_come_back(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    store_add_truncation(fixture->store, 9); /* nothing there */
    store_add_truncation(fixture->store, 3);
    add(fixture, 3, 5, "other");
    sync_store(fixture);
    reopen(fixture);
    assert_int_equal(fixture->replica.last, 3);
    assert_int_equal(fixture->replica.terms[3], 5);
    assert_string_equal(fixture->replica.texts[3], "other");
    add(fixture, 4, 5, "next"); /* the numbering goes on where it should */
    sync_store(fixture);
    reopen(fixture);
    assert_int_equal(fixture->replica.last, 4);
}

/* Wherever the last batch is cut, what came before is whole and the rest is gone for good. */
static void a_tail_torn_anywhere_is_cut(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    off_t before = log_size(fixture);
    for (off_t keep = before + 1;; keep++) {
        add(fixture, 5, 3, "torn");
        sync_store(fixture);
        if (keep >= log_size(fixture))
            break;
        assert_int_equal(truncate(fixture->log, keep), 0);
        reopen(fixture);
        assert_int_equal(fixture->report.torn_at, before);
        assert_int_equal(fixture->report.torn_bytes, keep - before);
        assert_int_equal(fixture->replica.last, 4);
        assert_int_equal(log_size(fixture), before);
    }
}

static void a_damaged_last_batch_is_cut(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    off_t before = log_size(fixture);
    add(fixture, 5, 3, "torn");
    sync_store(fixture);
    flip_byte(fixture, log_size(fixture) - 2);
    reopen(fixture);
    assert_int_equal(fixture->report.torn_at, before);
    assert_int_equal(fixture->replica.last, 4);
}

/* Any flipped byte before the last batch is corruption, and the place is named. */
static void damage_before_a_good_batch_is_refused(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    off_t end = log_size(fixture);
    add(fixture, 5, 3, "last");
    sync_store(fixture);
    store_close(fixture->store);
    fixture->store = NULL;
    for (off_t at = 0; at < end; at++) {
        flip_byte(fixture, at);
        assert_int_equal(open_store(fixture), -EBADMSG);
        assert_non_null(strstr(fixture->error.message, "/log: offset "));
        flip_byte(fixture, at);
    }
    assert_int_equal(open_store(fixture), 0); /* and nothing was changed by refusing */
    assert_int_equal(fixture->replica.last, 5);
}

/* What a client stored looks like a later batch: it must not pass for one when it is torn. */
static void a_forged_batch_in_a_torn_tail_is_cut(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    off_t before = log_size(fixture);
    struct text forged = {0}, body = {0};
    uint8_t header[BATCH_HEADER_BYTES];
    batch_add_hard_state(&body, 9, 1);
    batch_make_header(header, 0, 7, body.data, body.length);
    text_append_bytes(&forged, header, sizeof(header));
    text_append_bytes(&forged, body.data, body.length);
    struct raft_entry entry = {.term = 3,
                               .type = RAFT_ENTRY_COMMAND,
                               .payload = raft_payload_create(forged.data, forged.length)};
    store_add_entry(fixture->store, 5, &entry);
    raft_payload_release(entry.payload);
    text_free(&body);
    text_free(&forged);
    add(fixture, 6, 3, "torn");
    sync_store(fixture);
    assert_int_equal(truncate(fixture->log, log_size(fixture) - 1), 0);
    reopen(fixture);
    assert_int_equal(fixture->report.torn_at, before);
    assert_int_equal(fixture->replica.last, 4);
}

static void zeros_after_the_end_are_a_torn_tail(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    off_t before = log_size(fixture);
    assert_int_equal(truncate(fixture->log, before + 5000), 0);
    reopen(fixture);
    assert_int_equal(fixture->report.torn_at, before);
    assert_int_equal(fixture->report.torn_bytes, 5000);
}

static void another_node_or_cluster_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct store *other = NULL;
    struct store_visitor visitor = {
        .context = &fixture->replica, .hard_state = take_hard_state, .entry = take_entry};
    store_close(fixture->store);
    fixture->store = NULL;
    assert_int_equal(
        store_open(fixture->directory, "n2", "n1,n2,n3", &visitor, &other, NULL, &fixture->error),
        -EPERM);
    assert_non_null(strstr(fixture->error.message, "another node or cluster"));
    assert_int_equal(
        store_open(fixture->directory, "n1", "n1,n2", &visitor, &other, NULL, &fixture->error),
        -EPERM);
    assert_null(other);
    assert_int_equal(open_store(fixture), 0);
}

static void a_second_process_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct store *held = fixture->store;
    assert_int_equal(open_store(fixture), -EBUSY);
    assert_non_null(strstr(fixture->error.message, "in use"));
    fixture->store = held;
}

static void a_visitor_can_refuse(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    store_close(fixture->store);
    fixture->store = NULL;
    struct replica refusing = {.refuse = -EINVAL};
    struct store_visitor visitor = {
        .context = &refusing, .hard_state = take_hard_state, .entry = take_entry};
    assert_int_equal(store_open(fixture->directory, "n1", "n1,n2,n3", &visitor, &fixture->store,
                                NULL, &fixture->error),
                     -EINVAL);
    assert_null(fixture->store);
}

static void a_directory_that_cannot_be_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    struct store *store = NULL;
    struct store_visitor visitor = {
        .context = &fixture->replica, .hard_state = take_hard_state, .entry = take_entry};
    assert_int_equal(
        store_open("/nowhere/at/all", "n1", "n1", &visitor, &store, NULL, &fixture->error),
        -ENOENT);
    assert_int_equal(store_open(fixture->log, "n1", "n1", &visitor, &store, NULL, &fixture->error),
                     -ENOTDIR);
}

/* A write that fails for want of room: the error comes out, and the file's good part stays. */
static void a_failing_write_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit before, small;
    fill(fixture);
    off_t size = log_size(fixture);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = (rlim_t)size + 10;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
    assert_int_equal(sigaction(SIGXFSZ, &ignore, &old), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    add(fixture, 5, 3, "does not fit");
    int code = store_sync(fixture->store, &fixture->error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(sigaction(SIGXFSZ, &old, NULL), 0);
    assert_int_equal(code, -EFBIG);
    assert_non_null(strstr(fixture->error.message, "can't make durable"));
    reopen(fixture);
    assert_int_equal(fixture->replica.last, 4);
    assert_int_equal(fixture->report.torn_bytes, 10);
}

/* A process that was killed after write and before fdatasync leaves a batch that may still be lost.
 */
static void what_is_read_is_made_durable_first(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    store_close(fixture->store);
    fixture->store = NULL;
    unsigned before = syncs;
    assert_int_equal(open_store(fixture), 0);
    assert_int_equal(syncs, before + 1);
    store_close(fixture->store);
    fixture->store = NULL;
    sync_error = EIO;
    int code = open_store(fixture);
    sync_error = 0;
    assert_int_equal(code, -EIO);
    assert_null(fixture->store);
    assert_non_null(strstr(fixture->error.message, "can't make durable"));
}

static void a_failing_sync_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    add(fixture, 5, 3, "maybe");
    sync_error = EIO;
    int code = store_sync(fixture->store, &fixture->error);
    sync_error = 0;
    assert_int_equal(code, -EIO);
}

/* An intact batch whose items are nonsense: each refused, none read out of bounds. */
static void nonsense_in_an_intact_batch_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct raft_entry noop = {.term = 1};
    struct store_visitor visitor = {
        .context = &fixture->replica, .hard_state = take_hard_state, .entry = take_entry};
    uint64_t last = 0;
    struct text body = {0};
    batch_add_entry(&body, 2, &noop); /* a gap */
    assert_int_equal(batch_play((const uint8_t *)body.data, body.length, &visitor, &last),
                     -EBADMSG);
    text_clear(&body);
    batch_add_truncation(&body, 1); /* of nothing */
    assert_int_equal(batch_play((const uint8_t *)body.data, body.length, &visitor, &last),
                     -EBADMSG);
    text_clear(&body);
    batch_add_hard_state(&body, 1, 0);
    batch_add_entry(&body, 1, &noop);
    for (size_t length = 1; length < body.length; length++) {
        uint8_t *copy = memory_allocate(length); /* so that a sanitizer sees the end */
        memcpy(copy, body.data, length);
        last = 0;
        int code = batch_play(copy, length, &visitor, &last);
        assert_int_equal(code, length == 10 ? 0 : -EBADMSG);
        free(copy);
    }
    text_clear(&body);
    text_append_bytes(&body, "\x09", 1); /* an unknown item */
    assert_int_equal(batch_play((const uint8_t *)body.data, body.length, &visitor, &last),
                     -EBADMSG);
    text_free(&body);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_is_the_standard_one),
        STORE_TEST(what_was_synced_comes_back),
        STORE_TEST(nothing_to_sync_writes_nothing),
        STORE_TEST(truncations_come_back),
        STORE_TEST(a_tail_torn_anywhere_is_cut),
        STORE_TEST(a_damaged_last_batch_is_cut),
        STORE_TEST(damage_before_a_good_batch_is_refused),
        STORE_TEST(a_forged_batch_in_a_torn_tail_is_cut),
        STORE_TEST(zeros_after_the_end_are_a_torn_tail),
        STORE_TEST(another_node_or_cluster_is_refused),
        STORE_TEST(a_second_process_is_refused),
        STORE_TEST(a_visitor_can_refuse),
        STORE_TEST(a_directory_that_cannot_be_is_an_error),
        STORE_TEST(a_failing_write_is_an_error),
        STORE_TEST(what_is_read_is_made_durable_first),
        STORE_TEST(a_failing_sync_is_an_error),
        STORE_TEST(nonsense_in_an_intact_batch_is_refused),
    };
    return cmocka_run_group_tests_name("examples/raftkv/store", tests, NULL, NULL);
}
