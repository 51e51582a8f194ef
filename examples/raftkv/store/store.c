/* The store's files: creation, identity, opening with repair of a torn tail, and syncing.
 *
 * Theory of operation
 *
 * Opening maps the log and plays intact batches from the front. At the first that isn't intact, the
 * rest of the file is searched for one that is and continues the numbering: there is none after a
 * crash, because a batch is written only once the one before it was durable, so the rest is cut off
 * (and that made durable before anything new is written). If there is one, acknowledged data is
 * damaged, and opening fails with the offset.
 *
 * What was read is synced before opening succeeds: a process that was killed between write and
 * fdatasync leaves a batch that is only in the page cache, and its successor must not act on it, a
 * vote above all, while a power failure could still take it back.
 *
 * Creation writes each file whole, syncs it, and syncs the directory and its parent, so that a
 * crash leaves either no store or a complete one. */
#include "examples/raftkv/store/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "examples/raftkv/store/batch.h"
#include "proxy/base/text.h"

static const char log_magic[12] = {"raftkv log 2"};

enum {
    IDENTITY_MAX = 4096,
    SALT_BYTES = 4,
    SALTED_BYTES = sizeof(log_magic) + SALT_BYTES,
    FILE_HEADER_BYTES = SALTED_BYTES + 4
};

struct store {
    int directory_fd;
    int log_fd;
    char *path;    /* of the log, for messages */
    uint32_t salt; /* of this log's checksums, drawn when it was created */
    uint64_t sequence;
    uint64_t last_index; /* of the entries written and added */
    struct text body;    /* the batch being collected, after room for its header */
};

static int fail(struct error *error, int code, const char *what, const char *path)
{
    return error_set(error, code, "%s %s: %s", what, path, strerror(-code));
}

static int write_all(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t wrote = write(fd, at, length);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return -errno;
        at += wrote;
        length -= (size_t)wrote;
    }
    return 0;
}

/* Writes a small file under a temporary name, syncs, renames. */
static int create_file(int directory_fd, const char *name, const void *bytes, size_t length)
{
    char temporary[64];
    snprintf(temporary, sizeof(temporary), "%s.new", name);
    int fd = openat(directory_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int code = write_all(fd, bytes, length);
    if (!code && fsync(fd))
        code = -errno;
    close(fd);
    if (!code && renameat(directory_fd, temporary, directory_fd, name))
        code = -errno;
    if (!code && fsync(directory_fd))
        code = -errno;
    return code;
}

static int sync_parent(const char *directory)
{
    char *copy = memory_copy_text(directory);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0)
        return -errno;
    int code = fsync(fd) ? -errno : 0;
    close(fd);
    return code;
}

static int open_directory(struct store *store, const char *directory, struct error *error)
{
    int code = 0;
    if (mkdir(directory, 0700) == 0)
        code = sync_parent(directory);
    else if (errno != EEXIST)
        code = -errno;
    if (code)
        return fail(error, code, "can't create", directory);
    store->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->directory_fd < 0)
        return fail(error, -errno, "can't open", directory);
    if (flock(store->directory_fd, LOCK_EX | LOCK_NB))
        return errno == EWOULDBLOCK
                   ? error_set(error, -EBUSY, "%s is in use by another process", directory)
                   : fail(error, -errno, "can't lock", directory);
    return 0;
}

/* Creates the identity of a new directory, or compares that of an old one. */
static int check_identity(struct store *store, const char *directory, const char *node,
                          const char *cluster, struct error *error)
{
    char found[IDENTITY_MAX];
    struct text wanted = {0};
    text_append(&wanted, "raftkv 1\nnode %s\ncluster %s\n", node, cluster);
    int code = 0;
    int fd = openat(store->directory_fd, "identity", O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        code = create_file(store->directory_fd, "identity", text_get(&wanted), wanted.length);
        if (code)
            fail(error, code, "can't write the identity in", directory);
    } else if (fd < 0) {
        code = fail(error, -errno, "can't open the identity in", directory);
    } else {
        ssize_t got = read(fd, found, sizeof(found));
        if (got < 0)
            code = fail(error, -errno, "can't read the identity in", directory);
        else if ((size_t)got != wanted.length ||
                 memcmp(found, text_get(&wanted), wanted.length) != 0)
            code = error_set(error, -EPERM,
                             "%s belongs to another node or cluster (see %s/identity): this is "
                             "node %s of cluster %s",
                             directory, directory, node, cluster);
    }
    if (fd >= 0)
        close(fd);
    text_free(&wanted);
    return code;
}

static int create_log(const struct store *store)
{
    uint8_t header[FILE_HEADER_BYTES];
    memcpy(header, log_magic, sizeof(log_magic));
    if (getrandom(header + sizeof(log_magic), SALT_BYTES, 0) != SALT_BYTES)
        return -errno;
    uint32_t crc = store_crc32c(0, header, SALTED_BYTES);
    memcpy(header + SALTED_BYTES, &crc, sizeof(crc));
    return create_file(store->directory_fd, "log", header, sizeof(header));
}

static int open_log(struct store *store, struct error *error)
{
    store->log_fd = openat(store->directory_fd, "log", O_RDWR | O_APPEND | O_CLOEXEC);
    if (store->log_fd < 0 && errno == ENOENT) {
        int code = create_log(store);
        if (code)
            return fail(error, code, "can't create", store->path);
        store->log_fd = openat(store->directory_fd, "log", O_RDWR | O_APPEND | O_CLOEXEC);
    }
    if (store->log_fd < 0)
        return fail(error, -errno, "can't open", store->path);
    return 0;
}

/* A good later batch after a bad one? Its offset, or 0. */
static size_t find_later_batch(const struct store *store, const uint8_t *bytes, size_t size,
                               size_t from)
{
    for (size_t at = from; at + BATCH_HEADER_BYTES <= size; at++) {
        size_t length;
        uint64_t found;
        const uint8_t *next = memchr(bytes + at, 'R', size - at);
        if (!next)
            return 0;
        at = (size_t)(next - bytes);
        if (batch_is_intact(next, size - at, store->salt, &length, &found) &&
            found > store->sequence)
            return at;
    }
    return 0;
}

static int cut_tail(struct store *store, size_t at, size_t size, struct store_report *report,
                    struct error *error)
{
    report->torn_at = at;
    report->torn_bytes = size - at;
    if (ftruncate(store->log_fd, (off_t)at) || fsync(store->log_fd))
        return fail(error, -errno, "can't cut the torn tail of", store->path);
    return 0;
}

static int play_log(struct store *store, const uint8_t *bytes, size_t size,
                    const struct store_visitor *visitor, struct store_report *report,
                    struct error *error)
{
    size_t at = FILE_HEADER_BYTES;
    if (size < at || memcmp(bytes, log_magic, sizeof(log_magic)) != 0)
        return error_set(error, -EBADMSG, "%s: offset 0: this is not a raftkv log", store->path);
    uint32_t crc;
    memcpy(&crc, bytes + SALTED_BYTES, sizeof(crc));
    if (crc != store_crc32c(0, bytes, SALTED_BYTES))
        return error_set(error, -EBADMSG, "%s: offset 0: the header is damaged", store->path);
    memcpy(&store->salt, bytes + sizeof(log_magic), SALT_BYTES);
    while (at < size) {
        size_t length;
        uint64_t sequence;
        if (!batch_is_intact(bytes + at, size - at, store->salt, &length, &sequence)) {
            size_t later = find_later_batch(store, bytes, size, at + 1);
            if (later)
                return error_set(error, -EBADMSG,
                                 "%s: offset %zu: batch %llu is damaged, and a good one follows "
                                 "at offset %zu: acknowledged data is lost",
                                 store->path, at, (unsigned long long)store->sequence + 1, later);
            return cut_tail(store, at, size, report, error);
        }
        int code = sequence == store->sequence + 1 ? 0 : -EBADMSG;
        if (!code)
            code = batch_play(bytes + at + BATCH_HEADER_BYTES, length - BATCH_HEADER_BYTES, visitor,
                              &store->last_index);
        if (code)
            return error_set(error, code, "%s: offset %zu: batch %llu makes no sense here",
                             store->path, at, (unsigned long long)sequence);
        store->sequence = sequence;
        report->batches++;
        at += length;
    }
    return 0;
}

static int read_log(struct store *store, const struct store_visitor *visitor,
                    struct store_report *report, struct error *error)
{
    struct stat status;
    if (fstat(store->log_fd, &status))
        return fail(error, -errno, "can't read", store->path);
    size_t size = (size_t)status.st_size;
    if (size == 0)
        return play_log(store, NULL, 0, visitor, report, error);
    void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, store->log_fd, 0);
    if (bytes == MAP_FAILED)
        return fail(error, -errno, "can't read", store->path);
    int code = play_log(store, bytes, size, visitor, report, error);
    munmap(bytes, size);
    return code;
}

int store_open(const char *directory, const char *node, const char *cluster,
               const struct store_visitor *visitor, struct store **store,
               struct store_report *report, struct error *error)
{
    struct store_report ignored;
    struct store_report *found = report ? report : &ignored;
    memset(found, 0, sizeof(*found));
    struct store *opened = memory_allocate_zeroed(1, sizeof(*opened));
    struct text path = {0};
    text_append(&path, "%s/log", directory);
    opened->path = path.data;
    opened->directory_fd = opened->log_fd = -1;
    int code = open_directory(opened, directory, error);
    if (!code)
        code = check_identity(opened, directory, node, cluster, error);
    if (!code)
        code = open_log(opened, error);
    if (!code)
        code = read_log(opened, visitor, found, error);
    if (!code && fdatasync(opened->log_fd))
        code = fail(error, -errno, "can't make durable", opened->path);
    if (code) {
        store_close(opened);
        return code;
    }
    *store = opened;
    return 0;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    if (store->log_fd >= 0)
        close(store->log_fd);
    if (store->directory_fd >= 0)
        close(store->directory_fd); /* and the lock */
    free(store->path);
    text_free(&store->body);
    free(store);
}

/* The header's place is kept free at the front, so that a batch is one write. */
static struct text *batch_body(struct store *store)
{
    static const uint8_t room[BATCH_HEADER_BYTES];
    if (store->body.length == 0)
        text_append_bytes(&store->body, room, sizeof(room));
    return &store->body;
}

void store_add_hard_state(struct store *store, uint64_t term, uint8_t vote)
{
    batch_add_hard_state(batch_body(store), term, vote);
}

void store_add_truncation(struct store *store, uint64_t first)
{
    assert(first > 0);
    if (first > store->last_index)
        return;
    batch_add_truncation(batch_body(store), first);
    store->last_index = first - 1;
}

void store_add_entry(struct store *store, uint64_t index, const struct raft_entry *entry)
{
    assert(index == store->last_index + 1);
    batch_add_entry(batch_body(store), index, entry);
    store->last_index = index;
}

int store_sync(struct store *store, struct error *error)
{
    struct text *body = &store->body;
    if (body->length == 0)
        return 0;
    if (body->length - BATCH_HEADER_BYTES > BATCH_BODY_MAX)
        return error_set(error, -EFBIG, "%s: a batch of %zu bytes is too large", store->path,
                         body->length);
    batch_make_header((uint8_t *)body->data, store->salt, store->sequence + 1,
                      body->data + BATCH_HEADER_BYTES, body->length - BATCH_HEADER_BYTES);
    int code = write_all(store->log_fd, body->data, body->length);
    if (!code && fdatasync(store->log_fd))
        code = -errno;
    if (code)
        return fail(error, code, "can't make durable", store->path);
    store->sequence++;
    text_clear(body);
    return 0;
}
