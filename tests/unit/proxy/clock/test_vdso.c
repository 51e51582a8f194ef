/* The search for clock_gettime in the vDSO, on this kernel's own image and on libc's (which has
 * only the newer hash table). The library is no archive, so its file is included whole. */
#include "tests/lib/test.h"

#include <dlfcn.h>
#include <string.h>
#include <time.h>

#include "proxy/clock/preload/vdso.c" // NOLINT(bugprone-suspicious-include)

static struct image image_of(uintptr_t base)
{
    struct image image = {0};
    if (!base || !read_image(base, &image))
        fail_msg("this kernel maps no vDSO that can be read");
    return image;
}

static int64_t to_ns(const struct timespec *time)
{
    return time->tv_sec * CLOCK_NS_PER_S + time->tv_nsec;
}

static void test_the_function_found_tells_the_time(void **state)
{
    (void)state;
    preload_clock_fn read = preload_find_vdso_clock();
    struct timespec before, now, after;
    if (!read) {
        fail_msg("no clock_gettime in this kernel's vDSO: each read would be a system call");
        return;
    }
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_TAI};
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        clock_gettime(clocks[i], &before);
        assert_int_equal(read(clocks[i], &now), 0);
        clock_gettime(clocks[i], &after);
        assert_in_range(to_ns(&now), to_ns(&before), to_ns(&after));
    }
    assert_true(read(12345, &now) < 0); /* an errno, not -1 with errno set */
}

static void test_both_hash_tables_count_the_same(void **state)
{
    (void)state;
    struct image image = image_of((uintptr_t)getauxval(AT_SYSINFO_EHDR));
    if (image.hash && image.gnu_hash)
        assert_int_equal(image.hash[1], count_by_gnu_hash(image.gnu_hash));
    assert_true(image.hash || image.gnu_hash);
}

/* libc's dynamic section holds addresses already relocated, so read_image is not for it; the count
 * from its hash table still is: the symbol at that place and all before it are symbols. */
static void test_count_by_the_newer_table(void **state)
{
    (void)state;
    Dl_info info;
    struct link_map *map = NULL;
    void *address = dlsym(RTLD_DEFAULT, "getauxval");
    assert_non_null(address);
    assert_int_not_equal(dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP), 0);
    const uint32_t *table = NULL;
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_GNU_HASH)
            table = (const uint32_t *)entry->d_un.d_ptr;
        if (entry->d_tag == DT_SYMTAB)
            symbols = (const ElfW(Sym) *)entry->d_un.d_ptr;
        if (entry->d_tag == DT_STRTAB)
            names = (const char *)entry->d_un.d_ptr;
    }
    if (!table || !symbols || !names) {
        fail_msg("libc has no DT_GNU_HASH, DT_SYMTAB or DT_STRTAB");
        return;
    }
    uint32_t count = count_by_gnu_hash(table);
    bool found = false;
    for (uint32_t i = 0; i < count; i++)
        found = found || strcmp(names + symbols[i].st_name, info.dli_sname) == 0;
    assert_true(found);
    assert_in_range(count, 1000, 100000); /* glibc has some three thousand */
}

static void test_an_empty_table_counts_nothing(void **state)
{
    (void)state;
    /* 1 bucket, first symbol 1, 1 word of bloom filter: no symbol hashed. */
    static const uint32_t table[4 + sizeof(ElfW(Addr)) / sizeof(uint32_t) + 1] = {1, 1, 1, 0};
    assert_int_equal(count_by_gnu_hash(table), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_function_found_tells_the_time),
        cmocka_unit_test(test_both_hash_tables_count_the_same),
        cmocka_unit_test(test_count_by_the_newer_table),
        cmocka_unit_test(test_an_empty_table_counts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
