#include "tests/lib/test.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/random.h"
#include "proxy/capture/ring.h"

enum { RECORDS = 200000, RECORD_MAX = 3000 };

/* A record: its number, its size, and that many bytes of its number. */
struct record {
    uint64_t number;
    uint32_t size;
};

static void fill(struct record *record, uint64_t number, uint32_t size)
{
    *record = (struct record){number, size};
    memset(record + 1, (int)(number & 0xff), size);
}

static void check(const struct record *record, uint64_t number)
{
    const unsigned char *bytes = (const unsigned char *)(record + 1);
    assert_int_equal(record->number, number);
    assert_true((uintptr_t)record % 8 == 0);
    for (uint32_t i = 0; i < record->size; i++)
        if (bytes[i] != (number & 0xff))
            fail_msg("byte %u of record %lu", i, (unsigned long)number);
}

static bool put(struct capture_ring *ring, uint64_t number, uint32_t size)
{
    struct record *record = capture_ring_reserve(ring, sizeof(*record) + size);
    if (!record)
        return false;
    fill(record, number, size);
    capture_ring_commit(ring);
    return true;
}

static bool take(struct capture_ring *ring, uint64_t number)
{
    const struct record *record = capture_ring_peek(ring);
    if (!record)
        return false;
    check(record, number);
    capture_ring_release(ring);
    return true;
}

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    struct capture_ring ring;
    struct random_stream random = {.key = 5};
    uint64_t written = 0, read = 0;
    assert_int_equal(capture_ring_create(&ring, 1), 0);
    assert_int_equal(ring.size, CAPTURE_RING_MIN);
    assert_null(capture_ring_peek(&ring));
    while (written < RECORDS / 4) {
        uint32_t size = (uint32_t)(random_next(&random) % RECORD_MAX);
        if (random_next(&random) % 2)
            written += put(&ring, written, size);
        else if (read < written)
            assert_true(take(&ring, read++));
    }
    while (read < written)
        assert_true(take(&ring, read++));
    assert_null(capture_ring_peek(&ring));
    capture_ring_destroy(&ring);
}

/* Full: the record is refused, those in it stay, and half of it is said. */
static void a_full_ring_refuses(void **state)
{
    (void)state;
    struct capture_ring ring;
    uint64_t written = 0;
    assert_int_equal(capture_ring_create(&ring, CAPTURE_RING_MIN + 1), 0);
    assert_int_equal(ring.size, 2 * CAPTURE_RING_MIN);
    assert_null(capture_ring_reserve(&ring, 2 * CAPTURE_RING_MIN));
    while (put(&ring, written, 1000)) {
        written++;
        uint64_t used = written * (8 + sizeof(struct record) + 1000);
        assert_int_equal(capture_ring_is_filling(&ring), used > ring.size / 2);
    }
    assert_in_range(written, 2 * CAPTURE_RING_MIN / 1032, 2 * CAPTURE_RING_MIN / 1024);
    assert_false(put(&ring, written, 1000));
    for (uint64_t i = 0; i < written; i++)
        assert_true(take(&ring, i));
    assert_true(put(&ring, 7, 1000));
    assert_true(take(&ring, 7));
    capture_ring_destroy(&ring);
}

static void *write_all(void *context)
{
    struct capture_ring *ring = context;
    struct random_stream random = {.key = 6};
    for (uint64_t i = 0; i < RECORDS; i++) {
        uint32_t size = (uint32_t)(random_next(&random) % RECORD_MAX);
        while (!put(ring, i, size))
            sched_yield();
    }
    return NULL;
}

static void two_threads(void **state)
{
    (void)state;
    struct capture_ring ring;
    pthread_t thread;
    assert_int_equal(capture_ring_create(&ring, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, write_all, &ring), 0);
    for (uint64_t read = 0; read < RECORDS;)
        if (take(&ring, read))
            read++;
        else
            sched_yield();
    pthread_join(thread, NULL);
    assert_null(capture_ring_peek(&ring));
    capture_ring_destroy(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(a_full_ring_refuses),
        cmocka_unit_test(two_threads),
    };
    return cmocka_run_group_tests_name("capture/ring", tests, NULL, NULL);
}
