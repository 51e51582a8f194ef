#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/daemon/directory.h"

static void a_new_one_is_open_to_other_users(void **state)
{
    (void)state;
    struct directory directory;
    struct stat status;
    assert_int_equal(directory_open(&directory, NULL, NULL), 0);
    assert_int_equal(stat(directory.path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0711);
    directory_close(&directory);
    assert_int_equal(access(directory.path, F_OK), -1);
}

static void a_given_one_is_absolute_and_had_by_one(void **state)
{
    (void)state;
    char parent[] = "/tmp/sever-test-XXXXXX", here[4096];
    struct directory one, other;
    struct error error = {0};
    assert_non_null(mkdtemp(parent));
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(parent), 0);
    assert_int_equal(directory_open(&one, "run", &error), 0);
    assert_true(one.made);
    assert_int_equal(one.path[0], '/');
    assert_non_null(strstr(one.path, parent));
    assert_int_equal(directory_open(&other, "./run/", &error), -EBUSY);
    assert_string_equal(error.place, "--run-dir");
    assert_non_null(strstr(error.message, "another severd uses"));
    assert_int_equal(access("run", F_OK), 0);
    directory_close(&one);
    assert_int_equal(access("run", F_OK), -1);
    assert_int_equal(mkdir("run", 0755), 0); /* one that was there stays */
    assert_int_equal(directory_open(&one, "run", &error), 0);
    directory_close(&one);
    assert_int_equal(rmdir("run"), 0);
    assert_int_equal(directory_open(&one, "no/such", &error), -ENOENT);
    assert_int_equal(directory_open(&one, "", &error), -ENOENT);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(rmdir(parent), 0);
}

/* What a killed severd leaves: a directory with a page, last changed age_s ago. */
static void leave(char *path, const char *page, mode_t mode, time_t age_s)
{
    char file[64];
    struct timespec changed = {.tv_sec = wall_now_ns() / (int64_t)NS_PER_S - age_s};
    const struct timespec times[] = {changed, changed};
    assert_non_null(mkdtemp(path));
    assert_int_equal(chmod(path, mode), 0);
    snprintf(file, sizeof(file), "%s/%s", path, page);
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void clear(const char *path, const char *page)
{
    char file[64];
    snprintf(file, sizeof(file), "%s/%s", path, page);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(path), 0);
}

static void what_killed_ones_left_is_removed(void **state)
{
    (void)state;
    char orphan[] = "/tmp/severd-XXXXXX", young[] = "/tmp/severd-XXXXXX",
         held[] = "/tmp/severd-XXXXXX", other[] = "/tmp/severd-XXXXXX",
         given[] = "/tmp/severd-XXXXXX";
    struct directory directory;
    leave(held, "n1.clock", 0711, 3600);
    int lock = open(held, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
    leave(orphan, "n1.clock", 0711, 3600);
    leave(young, "n1.clock", 0711, 0);
    leave(other, "notes", 0711, 3600);
    leave(given, "n1.clock", 0755, 3600);
    assert_int_equal(directory_open(&directory, NULL, NULL), 0);
    assert_int_equal(access(orphan, F_OK), -1);
    clear(young, "n1.clock");
    clear(held, "n1.clock");
    clear(other, "notes");
    clear(given, "n1.clock");
    close(lock);
    directory_close(&directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_one_is_open_to_other_users),
        cmocka_unit_test(a_given_one_is_absolute_and_had_by_one),
        cmocka_unit_test(what_killed_ones_left_is_removed),
    };
    return cmocka_run_group_tests_name("proxy/daemon directory", tests, NULL, NULL);
}
