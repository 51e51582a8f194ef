/* Theory of operation
 *
 * A slab allocator in the manner of Bonwick (USENIX 1994), with a bound. The reserved range is an
 * array of slabs of 1 MiB. A slab is idle or belongs to one size class; the class's slabs that have
 * a block to give are on its list. A block is found back from its address: (address - base) / 1 MiB
 * is its slab. Blocks that were never taken are carved off the end of the slab, so that fresh pages
 * are not touched before they are needed; given blocks are on the slab's free list, linked through
 * their first word.
 *
 * A slab whose last block comes back is idle again and can serve any class: no class can hoard the
 * pool. The most recently emptied slabs keep their pages; above HOT_SLABS of them pages go back to
 * the kernel. */
#include "proxy/io/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proxy/base/text.h"

enum { CLASSES = 5, HOT_SLABS = 16, NO_SLAB = -1, NO_CLASS = -1 };

/* All multiples of 64. The largest: 15 to a slab. */
static const size_t class_bytes[CLASSES] = {256, 1024, 4096, 16384, POOL_BLOCK_MAX};

struct free_block {
    struct free_block *next;
};

struct slab {
    struct free_block *free;
    uint32_t used;   /* blocks taken */
    uint32_t carved; /* blocks ever given out since the slab joined its class */
    int class_index;
    int next, previous; /* the class's list of slabs with room, or the idle list */
};

struct pool {
    unsigned char *base;
    size_t slab_count;
    int idle_hot;  /* list of idle slabs that kept their pages, at most HOT_SLABS */
    int idle_cold; /* list of the other idle slabs */
    size_t hot_count;
    int room[CLASSES];
    uint64_t room_blocks[CLASSES]; /* blocks that the class's own slabs can give */
    uint64_t idle_count;
    _Atomic uint64_t used_bytes;
    struct slab slabs[];
};

static int class_of(size_t size)
{
    assert(size > 0 && size <= POOL_BLOCK_MAX);
    int index = 0;
    while (class_bytes[index] < size)
        index++;
    return index;
}

static uint32_t class_capacity(int class_index)
{
    return (uint32_t)(POOL_SLAB_BYTES / class_bytes[class_index]);
}

static void list_push(struct pool *pool, int *head, int index)
{
    struct slab *slab = &pool->slabs[index];
    slab->previous = NO_SLAB;
    slab->next = *head;
    if (*head != NO_SLAB)
        pool->slabs[*head].previous = index;
    *head = index;
}

static void list_remove(struct pool *pool, int *head, int index)
{
    struct slab *slab = &pool->slabs[index];
    if (slab->next != NO_SLAB)
        pool->slabs[slab->next].previous = slab->previous;
    if (slab->previous != NO_SLAB)
        pool->slabs[slab->previous].next = slab->next;
    else
        *head = slab->next;
}

int pool_create(uint64_t limit_bytes, struct pool **out, struct error *error)
{
    uint64_t slab_count = (limit_bytes + POOL_SLAB_BYTES - 1) / POOL_SLAB_BYTES;
    if (slab_count < CLASSES)
        slab_count = CLASSES;
    if (slab_count > INT32_MAX / 2)
        return error_set(error, -EINVAL, "a pool of %llu bytes is too large",
                         (unsigned long long)limit_bytes);
    void *base = mmap(NULL, slab_count * POOL_SLAB_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return error_set(error, -ENOMEM, "cannot reserve %llu MiB for buffers: %s",
                         (unsigned long long)slab_count, strerror(errno));
    struct pool *pool = memory_allocate_zeroed(1, sizeof(*pool) + slab_count * sizeof(struct slab));
    pool->base = base;
    pool->slab_count = slab_count;
    pool->idle_hot = pool->idle_cold = NO_SLAB;
    for (int i = 0; i < CLASSES; i++)
        pool->room[i] = NO_SLAB;
    for (size_t i = slab_count; i-- > 0;) {
        pool->slabs[i].class_index = NO_CLASS;
        list_push(pool, &pool->idle_cold, (int)i);
    }
    pool->idle_count = slab_count;
    *out = pool;
    return 0;
}

void pool_destroy(struct pool *pool)
{
    if (!pool)
        return;
    munmap(pool->base, pool->slab_count * POOL_SLAB_BYTES);
    free(pool);
}

/* The class gets an idle slab. False when there is none. */
static bool slab_join(struct pool *pool, int class_index)
{
    int *list = pool->idle_hot != NO_SLAB ? &pool->idle_hot : &pool->idle_cold;
    int index = *list;
    if (index == NO_SLAB)
        return false;
    list_remove(pool, list, index);
    pool->idle_count--;
    if (list == &pool->idle_hot)
        pool->hot_count--;
    struct slab *slab = &pool->slabs[index];
    assert(slab->class_index == NO_CLASS && slab->used == 0);
    slab->free = NULL;
    slab->carved = 0;
    slab->class_index = class_index;
    list_push(pool, &pool->room[class_index], index);
    pool->room_blocks[class_index] += class_capacity(class_index);
    return true;
}

static void slab_leave(struct pool *pool, int index)
{
    struct slab *slab = &pool->slabs[index];
    int class_index = slab->class_index;
    list_remove(pool, &pool->room[class_index], index);
    pool->room_blocks[class_index] -= class_capacity(class_index);
    slab->class_index = NO_CLASS;
    pool->idle_count++;
    if (pool->hot_count < HOT_SLABS) {
        pool->hot_count++;
        list_push(pool, &pool->idle_hot, index);
        return;
    }
    madvise(pool->base + (size_t)index * POOL_SLAB_BYTES, POOL_SLAB_BYTES, MADV_DONTNEED);
    list_push(pool, &pool->idle_cold, index);
}

/* The pool's thread is the only writer. */
static void note_used(struct pool *pool, uint64_t more)
{
    uint64_t used = atomic_load_explicit(&pool->used_bytes, memory_order_relaxed);
    atomic_store_explicit(&pool->used_bytes, used + more, memory_order_relaxed);
}

void *pool_take(struct pool *pool, size_t size)
{
    int class_index = class_of(size);
    if (pool->room[class_index] == NO_SLAB && !slab_join(pool, class_index))
        return NULL;
    int index = pool->room[class_index];
    struct slab *slab = &pool->slabs[index];
    void *block = slab->free;
    if (block)
        slab->free = slab->free->next;
    else
        block = pool->base + (size_t)index * POOL_SLAB_BYTES +
                slab->carved++ * class_bytes[class_index];
    slab->used++;
    pool->room_blocks[class_index]--;
    note_used(pool, class_bytes[class_index]);
    if (slab->used == class_capacity(class_index))
        list_remove(pool, &pool->room[class_index], index);
    return block;
}

static int slab_of(const struct pool *pool, const void *block)
{
    size_t offset = (size_t)((const unsigned char *)block - pool->base);
    assert(offset < pool->slab_count * POOL_SLAB_BYTES);
    return (int)(offset / POOL_SLAB_BYTES);
}

void pool_give(struct pool *pool, void *block)
{
    int index = slab_of(pool, block);
    struct slab *slab = &pool->slabs[index];
    int class_index = slab->class_index;
    assert(class_index != NO_CLASS && slab->used > 0);
    if (slab->used == class_capacity(class_index))
        list_push(pool, &pool->room[class_index], index);
    struct free_block *freed = block;
    freed->next = slab->free;
    slab->free = freed;
    slab->used--;
    pool->room_blocks[class_index]++;
    note_used(pool, -(uint64_t)class_bytes[class_index]);
    if (slab->used == 0)
        slab_leave(pool, index);
}

size_t pool_block_bytes(size_t size)
{
    return class_bytes[class_of(size)];
}

size_t pool_bytes_of(const struct pool *pool, const void *block)
{
    return class_bytes[pool->slabs[slab_of(pool, block)].class_index];
}

uint64_t pool_available(const struct pool *pool, size_t size)
{
    int class_index = class_of(size);
    return pool->room_blocks[class_index] + pool->idle_count * class_capacity(class_index);
}

uint64_t pool_used_bytes(const struct pool *pool)
{
    return atomic_load_explicit(&pool->used_bytes, memory_order_relaxed);
}

uint64_t pool_limit_bytes(const struct pool *pool)
{
    return pool->slab_count * POOL_SLAB_BYTES;
}
