/* The durable log of a node: one append-only file of checksummed batches in a directory.
 *
 * Directory
 *   identity   text: format, node, cluster. Written once; opening with another name is refused, so
 *              that a directory can't be given to the wrong node.
 *   log        12 bytes of magic, 4 of a random salt of the checksums, CRC32C u32 of these; then
 *              batches. Locked while open.
 *
 * A batch is what one turn of the node made durable: all its changes of hard state, truncations and
 * entries, under one CRC32C, written with one write and one fdatasync. So a crash can damage only
 * the last batch, which nobody was told about: at open it is cut off. A damaged batch with a good
 * one after it is no crash but corruption, and the store does not open.
 *
 * A failing write or fdatasync is final: what reached the disk is unknown from then on (the kernel
 * drops the dirty pages), so the caller must exit and never try again. */
#ifndef RAFTKV_STORE_STORE_H
#define RAFTKV_STORE_STORE_H

#include <stdint.h>

#include "examples/raftkv/core/raft.h"
#include "proxy/base/error.h"

struct store;

/* What is in the log, in the order it was written. Each returns 0 or a negative errno, which ends
 * the opening. */
struct store_visitor {
    void *context;
    int (*hard_state)(void *context, uint64_t term, uint8_t vote);
    /* Replaces whatever was there from index on. The payload is borrowed. */
    int (*entry)(void *context, uint64_t index, const struct raft_entry *entry);
};

struct store_report {
    uint64_t batches;    /* good ones read */
    uint64_t torn_at;    /* file offset where a torn tail was cut off; 0 when there was none */
    uint64_t torn_bytes; /* its length */
};

/* Opens or creates directory (one level, mode 0700) for this node of this cluster, and plays the
 * log to visitor; when it returns, all of that is on the disk. node, cluster: one-line text,
 * compared for identity. *report may be NULL. Errors: -EBUSY another process has it; -EPERM it
 * belongs to another node or cluster; -EBADMSG corruption, the message names the file and offset;
 * -errno of the system. */
int store_open(const char *directory, const char *node, const char *cluster,
               const struct store_visitor *visitor, struct store **store,
               struct store_report *report, struct error *error);
void store_close(struct store *store); /* what was not synced is lost. NULL is fine */

/* Add to the batch in memory; nothing is written before store_sync. */
void store_add_hard_state(struct store *store, uint64_t term, uint8_t vote);
/* Entries from first on are gone; nothing to do when there are none. */
void store_add_truncation(struct store *store, uint64_t first);
/* index is one past the last one that is stored or added. */
void store_add_entry(struct store *store, uint64_t index, const struct raft_entry *entry);

/* Writes the batch and waits until it is on the disk; nothing to do when it is empty. A negative
 * errno is final (see above). */
int store_sync(struct store *store, struct error *error);

/* CRC32C (Castagnoli, RFC 3720 B.4) of bytes, continuing from crc (0 to start). */
uint32_t store_crc32c(uint32_t crc, const void *bytes, size_t length);

#endif
