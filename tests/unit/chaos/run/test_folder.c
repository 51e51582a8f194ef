#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chaos/run/folder.h"
#include "tests/lib/files.h"

static char work[] = "/tmp/sever-folder-XXXXXX";
static struct error error;
static char *told, *absolute;

static int make(const char *wanted)
{
    free(told);
    free(absolute);
    told = absolute = NULL;
    error = (struct error){0};
    return folder_make(wanted, "short-1", &told, &absolute, &error);
}

static void touch(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    close(fd);
}

static int enter(void **state)
{
    (void)state;
    return mkdir("here", 0755) || chdir("here");
}

static int leave(void **state)
{
    (void)state;
    return make("last") || chdir(work) || files_remove_folder("here");
}

static void a_given_folder_is_new_or_empty(void **state)
{
    (void)state;
    assert_int_equal(make("given"), 0);
    assert_string_equal(told, "given");
    assert_int_equal(absolute[0], '/');
    assert_int_equal(make("given"), 0);
    touch("given/report.json");
    assert_int_equal(make("given"), -EEXIST);
    assert_string_equal(error.place, "given");
    assert_non_null(strstr(error.message, "write a new or empty folder"));
    assert_int_equal(make("no/such"), -ENOENT);
}

static void fresh_ones_are_numbered(void **state)
{
    (void)state;
    assert_int_equal(make(NULL), 0);
    assert_string_equal(told, "./sever-results/short-1");
    assert_int_equal(make(NULL), 0);
    assert_string_equal(told, "./sever-results/short-1.2");
    assert_int_equal(access(absolute, W_OK), 0);
}

static void where_none_can_be_made_it_says_what_to_do(void **state)
{
    (void)state;
    touch("sever-results");
    assert_int_equal(make(NULL), -ENOTDIR);
    assert_string_equal(error.place, "./sever-results/short-1");
    assert_non_null(strstr(error.message, "--out DIR"));
    assert_int_equal(unlink("sever-results") || rmdir("../here"), 0);
    assert_int_equal(make(NULL), -ENOENT); /* this folder itself is gone */
    assert_string_equal(error.place, "./sever-results");
    assert_non_null(strstr(error.message, "--out DIR"));
    assert_int_equal(chdir(work) || enter(NULL), 0);
}

static void what_is_discarded_goes_with_the_folder_above(void **state)
{
    (void)state;
    char first[PATH_MAX] = "";
    assert_int_equal(make(NULL), 0);
    strncpy(first, absolute, sizeof(first) - 1);
    assert_int_equal(make(NULL), 0);
    touch("sever-results/short-1.2/log");
    folder_discard(absolute, false);
    assert_int_equal(access("sever-results/short-1.2", F_OK), -1);
    folder_discard(first, true);
    assert_int_equal(access("sever-results/short-1", F_OK), 0);
    folder_discard(first, false);
    assert_int_equal(access("sever-results", F_OK), -1);
}

static int make_work(void **state)
{
    (void)state;
    return !mkdtemp(work) || chdir(work);
}

static int remove_work(void **state)
{
    (void)state;
    free(told);
    free(absolute);
    return chdir("/") || files_remove_folder(work);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_given_folder_is_new_or_empty),
        TEST(fresh_ones_are_numbered),
        TEST(where_none_can_be_made_it_says_what_to_do),
        TEST(what_is_discarded_goes_with_the_folder_above),
    };
    return cmocka_run_group_tests_name("chaos/run folder", tests, make_work, remove_work);
}
