#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_one_is_open_to_other_users),
        cmocka_unit_test(a_given_one_is_absolute_and_had_by_one),
    };
    return cmocka_run_group_tests_name("proxy/daemon directory", tests, NULL, NULL);
}
