/* A bounded pool of memory blocks for bytes in flight: one per worker, for its own thread alone.
 *
 * The whole range is reserved at creation (address space, not memory); blocks are carved from it
 * by size class, pages are touched when first used and given back to the kernel when a run of them
 * has been empty. Taking and giving cost a few loads; nothing is ever allocated afterwards. */
#ifndef SEVER_IO_POOL_H
#define SEVER_IO_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "proxy/base/error.h"

enum {
    POOL_SLAB_BYTES = 1024 * 1024,
    POOL_BLOCK_MAX = 65536 + 512, /* 64 KiB of data and the caller's header */
};

struct pool;

/* limit_bytes: rounded up to whole slabs, at least one for each size class. -ENOMEM when the
 * address space is refused. */
int pool_create(uint64_t limit_bytes, struct pool **pool, struct error *error);
void pool_destroy(struct pool *pool); /* NULL is fine; blocks still taken are gone */

/* A block of at least size bytes (1..POOL_BLOCK_MAX), 64-byte aligned, content undefined; NULL when
 * the bound is reached. */
void *pool_take(struct pool *pool, size_t size);
void pool_give(struct pool *pool, void *block);

/* What a block of this size counts for against the bound. */
size_t pool_block_bytes(size_t size);
/* The same of a taken block. */
size_t pool_bytes_of(const struct pool *pool, const void *block);
/* How many blocks of this size can be taken now. */
uint64_t pool_available(const struct pool *pool, size_t size);
/* Bytes of all taken blocks (any thread), and the bound. */
uint64_t pool_used_bytes(const struct pool *pool);
uint64_t pool_limit_bytes(const struct pool *pool);

#endif
