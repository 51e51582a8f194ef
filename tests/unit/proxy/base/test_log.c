/* What is not written to a log that nobody reads, or that is full, is counted, and stops nobody. */
#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/log.h"

static int saved, ends[2];

/* Standard error is a pipe from here on. */
static int set_up(void **state)
{
    (void)state;
    saved = dup(STDERR_FILENO);
    return pipe2(ends, O_CLOEXEC) || dup2(ends[1], STDERR_FILENO) < 0;
}

static int tear_down(void **state)
{
    (void)state;
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* All that is in the pipe. */
static const char *read_all(void)
{
    static char text[1 << 18];
    size_t length = 0;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    for (ssize_t got; (got = read(ends[0], text + length, sizeof(text) - 1 - length)) > 0;)
        length += (size_t)got;
    text[length] = '\0';
    return text;
}

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;
    for (; (text = strstr(text, word)); text++)
        count++;
    return count;
}

static void lines_are_whole_and_limited(void **state)
{
    (void)state;
    char filler[2000];
    memset(filler, 'x', sizeof(filler) - 1);
    filler[sizeof(filler) - 1] = '\0';
    errno = 7;
    log_info("one %d", 1);
    log_debug("not this");
    assert_int_equal(errno, 7);
    const char *text = read_all();
    assert_non_null(strstr(text, "Z info one 1\n"));
    assert_int_equal(count_of(text, "\n"), 1);
    log_warn("%s", filler);
    text = read_all();
    assert_int_equal(strlen(text), 1023);
    assert_int_equal(text[1022], '\n');
}

static void a_pipe_that_is_not_read_stops_nobody(void **state)
{
    (void)state;
    enum { LINES = 5000 };
    unsigned lost = 0;
    for (int i = 0; i < LINES; i++)
        log_info("a line that nobody reads");
    size_t written = count_of(read_all(), "nobody reads");
    assert_true(written > 0 && written < LINES);
    log_info("the next one");
    const char *text = read_all();
    assert_int_equal(sscanf(text, "(%u lines of the log were lost)", &lost), 1);
    assert_int_equal(lost, LINES - written);
    assert_non_null(strstr(text, "the next one\n"));
}

static void a_full_disk_stops_nobody(void **state)
{
    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    dup2(full, STDERR_FILENO);
    log_info("lost");
    log_info("lost");
    dup2(ends[1], STDERR_FILENO);
    close(full);
    log_info("written");
    assert_non_null(strstr(read_all(), "(2 lines of the log were lost)\n"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {TEST(lines_are_whole_and_limited),
                                       TEST(a_pipe_that_is_not_read_stops_nobody),
                                       TEST(a_full_disk_stops_nobody)};
    return cmocka_run_group_tests_name("proxy/base/log", tests, NULL, NULL);
}
