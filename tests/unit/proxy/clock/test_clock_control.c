/* The clock page: its file, its arithmetic, and that no reader ever sees half of a change. */
#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/clock/clock_control.h"

#define SECOND INT64_C(1000000000)

struct fixture {
    char directory[64];
    char path[96];
    struct clock_page *page;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/sever-clock-XXXXXX");
    if (!mkdtemp(fixture->directory))
        return -1;
    snprintf(fixture->path, sizeof(fixture->path), "%s/n1.clock", fixture->directory);
    *state = fixture;
    struct error error;
    return clock_page_create(fixture->path, &fixture->page, &error);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    clock_page_destroy(fixture->page, fixture->path);
    int result = rmdir(fixture->directory);
    free(fixture);
    return result;
}

static int64_t shift_at(const struct clock_page *page, int64_t mono_ns)
{
    struct clock_shift shift = clock_page_read(page);
    return clock_shift_at(&shift, mono_ns);
}

static void test_new_page_is_a_readable_file_of_true_time(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_size, CLOCK_PAGE_SIZE);
    assert_int_equal(status.st_mode & 07777, 0644);
    assert_true(fixture->page->magic == CLOCK_PAGE_MAGIC);
    assert_int_equal(shift_at(fixture->page, 0), 0);
    assert_int_equal(shift_at(fixture->page, INT64_MAX), 0);
}

static void test_umask_does_not_hide_the_page(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    snprintf(path, sizeof(path), "%s/n2.clock", fixture->directory);
    mode_t before = umask(0077);
    struct clock_page *page;
    struct error error;
    assert_int_equal(clock_page_create(path, &page, &error), 0);
    umask(before);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0644);
    clock_page_destroy(page, path);
    assert_int_equal(stat(path, &status), -1);
}

static void test_offset_steps_by_the_change_asked(void **state)
{
    struct clock_page *page = ((struct fixture *)*state)->page;
    clock_page_set(page, 2000000, 0, 100);
    assert_int_equal(shift_at(page, 100), 2000000);
    assert_int_equal(shift_at(page, INT64_MAX), 2000000);
    clock_page_set(page, -SECOND, 0, 200);
    assert_int_equal(shift_at(page, 200), -SECOND);
}

static void test_drift_gains_with_the_monotonic_clock(void **state)
{
    struct clock_page *page = ((struct fixture *)*state)->page;
    clock_page_set(page, 0, 50000, 7 * SECOND); /* 50 ppm */
    assert_int_equal(shift_at(page, 7 * SECOND), 0);
    assert_int_equal(shift_at(page, 8 * SECOND), 50000);
    assert_int_equal(shift_at(page, 7 * SECOND + SECOND / 2), 25000);
    assert_int_equal(shift_at(page, 7 * SECOND + 86400 * SECOND), 86400 * INT64_C(50000));
    /* A reader that took its monotonic time just before the change. */
    assert_int_equal(shift_at(page, 7 * SECOND - 1000000), -50);
}

static void test_a_change_of_drift_does_not_step_the_clock(void **state)
{
    struct clock_page *page = ((struct fixture *)*state)->page;
    clock_page_set(page, 2000000, 0, 0);
    clock_page_set(page, 2000000, 50000, 10 * SECOND);
    assert_int_equal(shift_at(page, 10 * SECOND), 2000000);
    clock_page_set(page, 2000000, 0, 110 * SECOND);
    assert_int_equal(shift_at(page, 110 * SECOND), 7000000);
    assert_int_equal(shift_at(page, 1000 * SECOND), 7000000);
    clock_page_set(page, 3000000, 0, 200 * SECOND);
    assert_int_equal(shift_at(page, 200 * SECOND), 8000000);
    clock_page_set(page, 3000000, -100000, 300 * SECOND);
    assert_int_equal(shift_at(page, 310 * SECOND), 7000000);
    clock_page_set(page, 0, 0, 400 * SECOND);
    assert_int_equal(shift_at(page, 400 * SECOND), 0);
    clock_page_set(page, 1000, 0, 500 * SECOND);
    assert_int_equal(shift_at(page, 500 * SECOND), 1000);
}

static void test_setting_the_same_again_changes_nothing(void **state)
{
    struct clock_page *page = ((struct fixture *)*state)->page;
    clock_page_set(page, 5, 1000000, SECOND);
    struct clock_shift before = clock_page_read(page);
    uint32_t sequence = page->sequence;
    clock_page_set(page, 5, 1000000, 50 * SECOND);
    struct clock_shift after = clock_page_read(page);
    assert_int_equal(before.base_mono_ns, after.base_mono_ns);
    assert_int_equal(sequence, page->sequence);
}

static void test_extremes_saturate(void **state)
{
    struct clock_page *page = ((struct fixture *)*state)->page;
    clock_page_set(page, INT64_MAX, 5 * SECOND, 0);
    struct clock_shift shift = clock_page_read(page);
    assert_int_equal(shift.drift_ppb, SECOND); /* clamped */
    assert_true(shift_at(page, INT64_MAX) == INT64_MAX);
    clock_page_set(page, INT64_MIN, -5 * SECOND, INT64_MAX);
    /* The time since the base leaves 64 bits: no drift is added. */
    assert_true(shift_at(page, INT64_MIN) == INT64_MIN);
    clock_page_set(page, INT64_MIN, -SECOND, 0);
    clock_page_set(page, INT64_MAX, 0, INT64_MAX);
    clock_page_set(page, 0, 0, 0);
    assert_int_equal(shift_at(page, INT64_MAX), 0);
    clock_page_set(page, INT64_MIN, -SECOND, 0);
    assert_true(shift_at(page, INT64_MAX) == INT64_MIN);
}

/* Property: over random walks of changes, the shifted clock is continuous but for the change of the
 * offset asked. */
static void test_continuity_over_random_changes(void **state)
{
    struct clock_page *page = ((struct fixture *)*state)->page;
    uint64_t random = 88172645463325252u;
    int64_t asked = 0, now = 0;
    for (int i = 0; i < 20000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        int64_t offset = 1 + (int64_t)(random % 7200000000000u) - 3600000000000;
        int64_t drift = (int64_t)((random >> 20) % 2000001) - 1000000;
        if (random % 3 == 0)
            offset = asked;
        now += (int64_t)(random % 5000000000u);
        int64_t before = shift_at(page, now);
        clock_page_set(page, offset, drift, (uint64_t)now);
        if (offset == 0 && drift == 0)
            assert_int_equal(shift_at(page, now), 0);
        else
            assert_int_equal(shift_at(page, now) - before, offset - asked);
        asked = offset;
    }
}

static void test_real_interval_inverts_the_drift(void **state)
{
    (void)state;
    struct clock_shift shift = {.drift_ppb = 0};
    assert_int_equal(clock_shift_real_interval(&shift, 12345), 12345);
    shift.drift_ppb = SECOND; /* twice as fast */
    assert_int_equal(clock_shift_real_interval(&shift, 3 * SECOND), 3 * SECOND / 2);
    shift.drift_ppb = -SECOND / 2;
    assert_int_equal(clock_shift_real_interval(&shift, 3 * SECOND), 6 * SECOND);
    shift.drift_ppb = -SECOND; /* stands: never */
    assert_true(clock_shift_real_interval(&shift, 1) == INT64_MAX);
    shift.drift_ppb = 1 - SECOND;
    assert_true(clock_shift_real_interval(&shift, INT64_MAX) == INT64_MAX);
    /* Never early: after the interval the shifted clock has reached the deadline. */
    for (int64_t drift = -900000000; drift <= 1000000000; drift += 7654321) {
        shift.drift_ppb = drift;
        int64_t real = clock_shift_real_interval(&shift, 3 * SECOND);
        int64_t reached = real + clock_shift_at(&shift, real);
        assert_in_range(reached, 3 * SECOND, 3 * SECOND + 2);
    }
}

static void test_a_page_left_behind_is_taken_over(void **state)
{
    struct fixture *fixture = *state;
    clock_page_set(fixture->page, SECOND, 1000, 0);
    /* As a severd killed in the middle of a change leaves it: odd, copy 0 half written. */
    atomic_store(&fixture->page->sequence, fixture->page->sequence | 1);
    atomic_store(&fixture->page->copies[0].offset_ns, 42);
    assert_int_equal(clock_page_read(fixture->page).offset_ns, SECOND);
    struct clock_page *again;
    struct error error;
    assert_int_equal(clock_page_create(fixture->path, &again, &error), 0);
    assert_int_equal(shift_at(fixture->page, SECOND), 0);
    clock_page_set(again, 77, 0, 0);
    assert_int_equal(shift_at(fixture->page, SECOND), 77); /* the old mapping sees the new writer */
    munmap(again, CLOCK_PAGE_SIZE);
}

enum { TORN_NS = 666 };

static struct {
    struct clock_page *page;
    char *guarded;
    int64_t seen_ns;
    int faults;
} torn;

/* At the first store into a copy: what does a reader see now? */
static void read_then_allow(int signal)
{
    (void)signal;
    torn.seen_ns = clock_page_read(torn.page).offset_ns;
    torn.faults++;
    mprotect(torn.guarded, CLOCK_PAGE_SIZE, PROT_READ | PROT_WRITE);
}

/* As a severd killed at the end of a change leaves it: even, copy 1 half written. The next one must
 * not send readers there. The copies stand on a memory page of their own, write-protected, so that
 * the first store into one is seen. */
static void test_a_torn_second_copy_is_never_read(void **state)
{
    struct sigaction before, action = {.sa_handler = read_then_allow};
    size_t head = offsetof(struct clock_page, copies);
    char *memory = mmap(NULL, (size_t)2 * CLOCK_PAGE_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)state;
    assert_true(memory != MAP_FAILED);
    torn.guarded = memory + CLOCK_PAGE_SIZE;
    torn.page = (struct clock_page *)(void *)(torn.guarded - head);
    clock_page_set(torn.page, SECOND, 0, 0);
    assert_int_equal(torn.page->sequence & 1, 0);
    atomic_store(&torn.page->copies[1].offset_ns, TORN_NS);
    assert_int_equal(sigaction(SIGSEGV, &action, &before), 0);
    assert_int_equal(mprotect(torn.guarded, CLOCK_PAGE_SIZE, PROT_READ), 0);
    clock_page_set(torn.page, 2 * SECOND, 0, 0);
    assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
    assert_int_equal(torn.faults, 1);
    assert_int_equal(torn.seen_ns, SECOND);
    assert_int_equal(shift_at(torn.page, 0), 2 * SECOND);
    munmap(memory, (size_t)2 * CLOCK_PAGE_SIZE);
}

static void test_a_page_may_stay(void **state)
{
    struct fixture *fixture = *state;
    struct clock_page *reader = fixture->page, *again = NULL;
    struct error error;
    assert_int_equal(clock_page_create(fixture->path, &fixture->page, &error), 0);
    clock_page_set(fixture->page, SECOND, 0, 0);
    clock_page_destroy(fixture->page, NULL);
    assert_int_equal(shift_at(reader, 0), 0); /* true time, and */
    assert_int_equal(clock_page_create(fixture->path, &again, &error), 0);
    clock_page_set(again, 77, 0, 0);
    assert_int_equal(shift_at(reader, 0), 77); /* it follows the next one */
    munmap(again, CLOCK_PAGE_SIZE);
    fixture->page = reader;
}

static void test_destroy_gives_true_time_back(void **state)
{
    struct fixture *fixture = *state;
    int fd = open(fixture->path, O_RDONLY | O_CLOEXEC);
    struct clock_page *reader = mmap(NULL, CLOCK_PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    assert_true(reader != MAP_FAILED);
    clock_page_set(fixture->page, SECOND, 0, 0);
    assert_int_equal(shift_at(reader, 0), SECOND);
    clock_page_destroy(fixture->page, fixture->path);
    assert_int_equal(shift_at(reader, 0), 0);
    assert_int_equal(access(fixture->path, F_OK), -1);
    munmap(reader, CLOCK_PAGE_SIZE);
    clock_page_destroy(NULL, fixture->path);
    struct error error;
    assert_int_equal(clock_page_create(fixture->path, &fixture->page, &error), 0);
}

static void write_file(const char *path, size_t size, char fill)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (size_t i = 0; i < size; i++)
        fputc(fill, file);
    assert_int_equal(fclose(file), 0);
}

static void test_refuses_what_is_no_page(void **state)
{
    struct fixture *fixture = *state;
    struct clock_page *page = NULL;
    struct error error = {0};
    char path[128];
    snprintf(path, sizeof(path), "%s/none/n1.clock", fixture->directory);
    assert_int_equal(clock_page_create(path, &page, &error), -ENOENT);
    assert_string_equal(error.place, path);
    assert_int_equal(clock_page_create(fixture->directory, &page, &error), -EISDIR);

    snprintf(path, sizeof(path), "%s/file", fixture->directory);
    write_file(path, 10, 'x');
    assert_int_equal(clock_page_create(path, &page, &error), -EEXIST);
    write_file(path, CLOCK_PAGE_SIZE, 'x');
    assert_int_equal(clock_page_create(path, &page, &error), -EEXIST);
    assert_non_null(strstr(error.message, "another version"));
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, CLOCK_PAGE_SIZE); /* untouched */
    unlink(path);

    assert_int_equal(symlink(fixture->path, path), 0);
    assert_int_equal(clock_page_create(path, &page, &error), -ELOOP);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(clock_page_create(path, &page, &error), -EEXIST);
    unlink(path);
    assert_null(page);
}

/* Torn reads: a writer sets offset k with drift k and base k as fast as it can; readers check that
 * the three always belong together, and never go back. */
enum { HAMMER_WRITES = 400000, HAMMER_READERS = 3 };

struct hammer {
    struct clock_page *page;
    _Atomic bool done;
    _Atomic uint64_t torn, backwards, distinct;
};

static void *hammer_read(void *context)
{
    struct hammer *hammer = context;
    int64_t last = 0;
    while (!hammer->done) {
        struct clock_shift shift = clock_page_read(hammer->page);
        if (shift.base_mono_ns != shift.drift_ppb)
            hammer->torn++;
        if (shift.base_mono_ns < last)
            hammer->backwards++;
        hammer->distinct += shift.base_mono_ns != last;
        last = shift.base_mono_ns;
    }
    return NULL;
}

static void test_no_torn_read_under_a_hammering_writer(void **state)
{
    struct hammer hammer = {.page = ((struct fixture *)*state)->page};
    pthread_t readers[HAMMER_READERS];
    for (int i = 0; i < HAMMER_READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, hammer_read, &hammer), 0);
    /* base == drift always holds, for each change alone would break it. */
    for (uint64_t i = 1; i <= HAMMER_WRITES || hammer.distinct == 0; i++)
        clock_page_set(hammer.page, (int64_t)i, (int64_t)i, i);
    hammer.done = true;
    for (int i = 0; i < HAMMER_READERS; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(hammer.torn, 0);
    assert_int_equal(hammer.backwards, 0);
    assert_true(hammer.distinct > 0);
    print_message("[          ] %llu distinct values seen by %d readers over %d writes\n",
                  (unsigned long long)hammer.distinct, HAMMER_READERS, HAMMER_WRITES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new_page_is_a_readable_file_of_true_time, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_umask_does_not_hide_the_page, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_offset_steps_by_the_change_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_drift_gains_with_the_monotonic_clock, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_change_of_drift_does_not_step_the_clock, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_setting_the_same_again_changes_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_extremes_saturate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_continuity_over_random_changes, set_up, tear_down),
        cmocka_unit_test(test_real_interval_inverts_the_drift),
        cmocka_unit_test_setup_teardown(test_a_page_left_behind_is_taken_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_torn_second_copy_is_never_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_page_may_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_destroy_gives_true_time_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refuses_what_is_no_page, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_torn_read_under_a_hammering_writer, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
