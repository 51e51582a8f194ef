#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/error.h"
#include "proxy/base/log.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"

static void text_grows_and_clears(void **state)
{
    (void)state;
    struct text text = {0};
    assert_string_equal(text_get(&text), "");
    for (int i = 0; i < 1000; i++)
        text_append(&text, "%d,", i);
    assert_int_equal(text.length, strlen(text_get(&text)));
    assert_memory_equal(text_get(&text), "0,1,2,3,", 8);
    assert_string_equal(text_get(&text) + text.length - 4, "999,");
    text_clear(&text);
    assert_string_equal(text_get(&text), "");
    text_append_bytes(&text, "a\0b", 3);
    assert_int_equal(text.length, 3);
    text_append_bytes(&text, NULL, 0);
    assert_int_equal(text.length, 3);
    text_free(&text);
    assert_null(text.data);
}

static void errors_carry_place_and_message(void **state)
{
    (void)state;
    struct error error = {0};
    char buffer[1024];
    assert_int_equal(error_set(&error, -EINVAL, "bad %s", "thing"), -EINVAL);
    assert_string_equal(error_text(&error, buffer, sizeof(buffer)), "bad thing");
    error_prefix_place(&error, "links[3]");
    assert_string_equal(error.place, "links[3]");
    error_prefix_place(&error, "partitions[0]");
    assert_string_equal(error_text(&error, buffer, sizeof(buffer)),
                        "partitions[0].links[3]: bad thing");
    assert_int_equal(error_set_at(&error, -E2BIG, "file:1:2", "x"), -E2BIG);
    assert_string_equal(error.place, "file:1:2");
    assert_int_equal(error_set(NULL, -EIO, "nobody listens"), -EIO);
    char longer[2 * ERROR_MESSAGE_MAX];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    error_set(&error, -EINVAL, "%s", longer);
    assert_int_equal(strlen(error.message), ERROR_MESSAGE_MAX - 1);
    for (int i = 0; i < 100; i++)
        error_prefix_place(&error, "outer");
    assert_int_equal(strlen(error.place), ERROR_PLACE_MAX - 1);
}

/* Runs the writer with standard error going to a file, and returns what was written. */
static ssize_t capture_log(void (*writer)(void), char *buffer, size_t size)
{
    char path[] = "/tmp/sever-test-log-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    unlink(path);
    int saved = dup(STDERR_FILENO);
    dup2(file, STDERR_FILENO);
    writer();
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t length = pread(file, buffer, size - 1, 0);
    buffer[length > 0 ? length : 0] = '\0';
    close(file);
    return length;
}

static void write_two_levels(void)
{
    errno = ENOENT;
    log_warn("disk %d is full", 3);
    log_debug("not shown");
    assert_int_equal(errno, ENOENT);
}

static void write_long_line(void)
{
    char longer[3000];
    memset(longer, 'y', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    log_error("%s", longer);
}

static void log_lines_have_time_and_level(void **state)
{
    (void)state;
    char buffer[4096];
    ssize_t length = capture_log(write_two_levels, buffer, sizeof(buffer));
    assert_true(length > 24);
    assert_string_equal(buffer + 24, " warn disk 3 is full\n");
    assert_int_equal(buffer[10], 'T');
    length = capture_log(write_long_line, buffer, sizeof(buffer));
    assert_int_equal(length, 1023);
    assert_int_equal(buffer[length - 1], '\n');
    enum log_level level;
    assert_int_equal(log_parse_level("debug", &level), 0);
    assert_int_equal(level, LOG_LEVEL_DEBUG);
    assert_int_equal(log_parse_level("loud", &level), -EINVAL);
}

static void sleeping_ends_at_the_deadline(void **state)
{
    (void)state;
    uint64_t deadline = monotonic_now_ns() + 5 * NS_PER_MS;
    assert_int_equal(monotonic_sleep_until(deadline), 0);
    assert_true(monotonic_now_ns() >= deadline);
    assert_int_equal(monotonic_sleep_until(deadline), 0); /* in the past: at once */
    assert_true(wall_now_ns() > INT64_C(1700000000000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_grows_and_clears),
        cmocka_unit_test(errors_carry_place_and_message),
        cmocka_unit_test(log_lines_have_time_and_level),
        cmocka_unit_test(sleeping_ends_at_the_deadline),
    };
    return cmocka_run_group_tests_name("proxy/base/text", tests, NULL, NULL);
}
