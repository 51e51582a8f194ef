#include "tests/lib/test.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/random.h"
#include "proxy/io/pool.h"

static void blocks_are_distinct_and_aligned(void **state)
{
    (void)state;
    struct pool *pool;
    unsigned char *blocks[64];
    assert_int_equal(pool_create(8 << 20, &pool, NULL), 0);
    for (int i = 0; i < 64; i++) {
        size_t size = (size_t)(i + 1) * 1000;
        blocks[i] = pool_take(pool, size);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 64, 0);
        assert_true(pool_bytes_of(pool, blocks[i]) >= size);
        assert_int_equal(pool_bytes_of(pool, blocks[i]), pool_block_bytes(size));
        memset(blocks[i], i, size);
    }
    for (int i = 0; i < 64; i++) {
        assert_int_equal(blocks[i][0], i);
        assert_int_equal(blocks[i][(size_t)(i + 1) * 1000 - 1], i);
        pool_give(pool, blocks[i]);
    }
    assert_int_equal(pool_used_bytes(pool), 0);
    pool_destroy(pool);
}

static void the_bound_is_kept(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 256, 257, 4096, 16384, POOL_BLOCK_MAX};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        struct pool *pool;
        void *first = NULL;
        assert_int_equal(pool_create(5 << 20, &pool, NULL), 0);
        uint64_t available = pool_available(pool, sizes[s]);
        for (uint64_t i = 0; i < available; i++) {
            void *block = pool_take(pool, sizes[s]);
            assert_non_null(block);
            first = first ? first : block;
            assert_int_equal(pool_available(pool, sizes[s]), available - i - 1);
        }
        assert_null(pool_take(pool, sizes[s]));
        assert_true(pool_used_bytes(pool) <= pool_limit_bytes(pool));
        assert_true(pool_used_bytes(pool) >= pool_limit_bytes(pool) / 10 * 9);
        pool_give(pool, first);
        assert_int_equal(pool_available(pool, sizes[s]), 1);
        assert_ptr_equal(pool_take(pool, sizes[s]), first);
        pool_destroy(pool);
    }
}

/* A class that has used everything gives everything back to the others. */
static void no_class_hoards(void **state)
{
    (void)state;
    struct pool *pool;
    void **blocks = calloc(100000, sizeof(*blocks));
    size_t count = 0;
    assert_int_equal(pool_create(20 << 20, &pool, NULL), 0);
    uint64_t large = pool_available(pool, POOL_BLOCK_MAX);
    while ((blocks[count] = pool_take(pool, 200)))
        count++;
    assert_int_equal(pool_available(pool, POOL_BLOCK_MAX), 0);
    assert_null(pool_take(pool, 5000));
    while (count > 0)
        pool_give(pool, blocks[--count]);
    assert_int_equal(pool_available(pool, POOL_BLOCK_MAX), large);
    assert_non_null(pool_take(pool, POOL_BLOCK_MAX));
    pool_destroy(pool);
    free(blocks);
}

static void random_use_keeps_the_books(void **state)
{
    (void)state;
    enum { SLOTS = 500 };
    struct pool *pool;
    struct random_stream random = {.key = 12};
    unsigned char *blocks[SLOTS] = {0};
    size_t sizes[SLOTS] = {0};
    uint64_t used = 0;
    assert_int_equal(pool_create(6 << 20, &pool, NULL), 0);
    for (int step = 0; step < 50000; step++) {
        size_t i = (size_t)random_below(random_next(&random), SLOTS);
        if (blocks[i]) {
            assert_int_equal(blocks[i][0], (unsigned char)i);
            assert_int_equal(blocks[i][sizes[i] - 1], (unsigned char)i);
            used -= pool_bytes_of(pool, blocks[i]);
            pool_give(pool, blocks[i]);
            blocks[i] = NULL;
        } else {
            size_t size = 1 + (size_t)random_below(random_next(&random),
                                                   random_next(&random) % 3 ? 500 : POOL_BLOCK_MAX);
            bool promised = pool_available(pool, size) > 0;
            blocks[i] = pool_take(pool, size);
            assert_true(promised == (blocks[i] != NULL));
            if (!blocks[i])
                continue;
            sizes[i] = size;
            memset(blocks[i], (int)i, size);
            used += pool_block_bytes(size);
        }
        assert_int_equal(pool_used_bytes(pool), used);
    }
    pool_destroy(pool);
}

static void an_impossible_size_is_refused(void **state)
{
    (void)state;
    struct pool *pool;
    struct error error = {0};
    assert_true(pool_create(UINT64_C(1) << 62, &pool, &error) < 0);
    assert_true(strlen(error.message) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_distinct_and_aligned),
        cmocka_unit_test(the_bound_is_kept),
        cmocka_unit_test(no_class_hoards),
        cmocka_unit_test(random_use_keeps_the_books),
        cmocka_unit_test(an_impossible_size_is_refused),
    };
    return cmocka_run_group_tests_name("proxy/io pool", tests, NULL, NULL);
}
