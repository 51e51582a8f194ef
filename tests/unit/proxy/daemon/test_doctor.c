/* The doctor tells the truth of this process, and leaves nothing behind. */
#include "tests/lib/test.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/daemon/doctor.h"
#include "proxy/io/filter.h"

enum { NOBODY = 65534 };

static char directory[64];

static int open_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/sever-test-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory); /* fails when something is left in it */
}

static struct doctor_options options_of_one_worker(void)
{
    return (struct doctor_options){
        .workers = 1, .pool_bytes = 1 << 20, .directory = directory, .clock_library = ""};
}

static size_t examine(struct api_check checks[])
{
    struct doctor_options options = options_of_one_worker();
    return doctor_examine(&options, checks);
}

static const struct api_check *find(const struct api_check checks[], size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(checks[i].name, name) == 0)
            return &checks[i];
    fail_msg("no check '%s'", name);
    return NULL;
}

static size_t count_entries(const char *path)
{
    size_t count = 0;
    DIR *entries = opendir(path);
    assert_non_null(entries);
    while (readdir(entries))
        count++;
    closedir(entries);
    return count;
}

static void every_check_says_what_it_found_and_what_follows(void **state)
{
    (void)state;
    struct api_check checks[API_CHECKS_MAX];
    size_t count = examine(checks), needed = 0;
    assert_in_range(count, 15, API_CHECKS_MAX);
    for (size_t i = 0; i < count; i++) {
        print_message("%-20s %-3s %s\n", checks[i].name, checks[i].ok ? "ok" : "no",
                      checks[i].found);
        assert_ptr_equal(find(checks, count, checks[i].name), &checks[i]); /* names are unique */
        assert_true(checks[i].found[0] && checks[i].means[0]);
        assert_int_equal(checks[i].advice[0] != '\0', !checks[i].ok);
        needed += checks[i].needed;
    }
    assert_in_range(needed, 1, count - 1);
}

static void nothing_is_left_behind(void **state)
{
    (void)state;
    struct api_check checks[API_CHECKS_MAX];
    size_t files = count_entries("/proc/self/fd"), devices = count_entries("/sys/class/net");
    uint64_t begin_ns = monotonic_now_ns();
    examine(checks);
    uint64_t taken_ns = monotonic_now_ns() - begin_ns;
    print_message("taken: %lu ms\n", taken_ns / NS_PER_MS);
    assert_true(taken_ns < 10 * NS_PER_S);
    assert_int_equal(count_entries("/proc/self/fd"), files);
    assert_int_equal(count_entries("/sys/class/net"), devices);
    assert_int_equal(count_entries(directory), 2);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void limits_are_this_process_s(void **state)
{
    (void)state;
    struct api_check checks[API_CHECKS_MAX];
    struct rlimit before, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 300;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    size_t count = examine(checks);
    const struct api_check *files = find(checks, count, "open files");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(files->ok);
    assert_true(files->needed);
    assert_string_equal(files->found, "300: 75 connections of 8192");
}

static void what_is_not_there_is_not_ok(void **state)
{
    (void)state;
    struct api_check checks[API_CHECKS_MAX];
    struct doctor_options options = {.workers = 60000,
                                     .pool_bytes = UINT64_C(1) << 40,
                                     .directory = "/no/such/directory",
                                     .clock_library = "/no/such/library.so"};
    static const char *const names[] = {"memory", "cores", "clock library", "clock pages"};
    size_t count = doctor_examine(&options, checks);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_false(find(checks, count, names[i])->ok);
    assert_string_equal(find(checks, count, "clock pages")->found,
                        "/no/such/directory: No such file or directory");
}

/* What the checks of sockets say is what the calls say. */
static bool agrees_with_the_calls(void)
{
    struct api_check checks[API_CHECKS_MAX];
    size_t count = examine(checks);
    int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    bool agrees = find(checks, count, "socket filters")->ok == (filter_allowed() == 0) &&
                  find(checks, count, "raw ICMP")->ok == (raw >= 0);
    int force = 1 << 20, udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), limit = 0;
    FILE *file = fopen("/proc/sys/net/core/rmem_max", "r");
    assert_true(file && fscanf(file, "%d", &limit) == 1 && fclose(file) == 0);
    bool forced = setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &force, sizeof(force)) == 0;
    agrees = agrees && find(checks, count, "receive queues")->ok == (forced || limit >= force);
    close(udp);
    if (raw >= 0)
        close(raw);
    return agrees;
}

static void the_privileges_are_this_process_s(void **state)
{
    (void)state;
    assert_true(agrees_with_the_calls());
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
                               setresuid(NOBODY, NOBODY, NOBODY)))
            _exit(77); /* a user namespace without another user */
        struct api_check checks[API_CHECKS_MAX];
        size_t count = examine(checks);
        bool pages = find(checks, count, "clock pages")->ok;
        _exit(agrees_with_the_calls() && pages == (access(directory, W_OK) == 0) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        print_message("NOT TRIED as an ordinary user: can't become one here\n");
    else
        assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_check_says_what_it_found_and_what_follows),
        cmocka_unit_test(nothing_is_left_behind),
        cmocka_unit_test(limits_are_this_process_s),
        cmocka_unit_test(what_is_not_there_is_not_ok),
        cmocka_unit_test(the_privileges_are_this_process_s),
    };
    return cmocka_run_group_tests_name("proxy/daemon/doctor", tests, open_directory,
                                       remove_directory);
}
