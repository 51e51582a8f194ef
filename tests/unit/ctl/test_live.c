/* The picture of `severctl watch`: rates, order, and what fits into the window. */
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/live.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/random.h"

static const char status[] = "{\"program\":\"severd\",\"program_version\":\"1\",\"pid\":7,"
                             "\"workers\":2,\"uptime_ns\":4000000000,\"ruleset_version\":9,"
                             "\"nodes\":3,\"routes\":0,\"faults\":2}";
static const char faults[] =
    "{\"faults\":[{\"name\":\"slow\",\"type\":\"latency\",\"delay_ns\":80000000,\"jitter_ns\":"
    "20000000},{\"name\":\"region/n1->n2\",\"type\":\"latency\",\"delay_ns\":5000000,\"jitter_ns\":"
    "0},{\"name\":\"rain\",\"type\":\"loss\",\"probability\":0.5}]}";
static const char before[] =
    "{\"links\":["
    "{\"link\":\"n1->n2\",\"units\":100,\"bytes\":1000,\"dropped\":{\"cut\":0,\"loss\":5}},"
    "{\"link\":\"n2->n1\",\"units\":0,\"bytes\":0,\"dropped\":{\"cut\":0,\"loss\":0}},"
    "{\"link\":\"n1->n3\",\"units\":50,\"bytes\":50,\"dropped\":{\"cut\":0,\"loss\":0}},"
    "{\"link\":\"n3->n1\",\"units\":7,\"bytes\":7,\"dropped\":{\"cut\":7,\"loss\":0}}]}";
static const char now[] =
    "{\"links\":["
    "{\"link\":\"n1->n2\",\"open\":true,\"partitions\":[],\"faults\":[\"region/n1->n2\",\"slow\","
    "\"rain\"],\"units\":300,\"bytes\":251000,\"dropped\":{\"cut\":0,\"loss\":45},\"connections\":"
    "1,"
    "\"held_bytes\":0},"
    "{\"link\":\"n2->n1\",\"open\":true,\"partitions\":[],\"faults\":[],\"units\":0,\"bytes\":0,"
    "\"dropped\":{\"cut\":0,\"loss\":0}},"
    "{\"link\":\"n1->n3\",\"open\":false,\"partitions\":[\"split\"],\"faults\":[],\"units\":50,"
    "\"bytes\":50,\"dropped\":{\"cut\":0,\"loss\":0},\"held_bytes\":2048},"
    "{\"link\":\"n3->n1\",\"open\":false,\"partitions\":[\"split\",\"cut-1\"],\"faults\":[],"
    "\"units\":7,\"bytes\":7,\"dropped\":{\"cut\":1007,\"loss\":0}}]}";

static struct text drawn;
static struct text events[3];

static json_t *parse(const char *source)
{
    json_t *json = json_loads(source, 0, NULL);
    assert_non_null(json);
    return json;
}

/* Draws into `drawn`. earlier: may be NULL. */
static void draw(const char *earlier, size_t width, size_t height, bool colour, size_t event_count)
{
    struct live_view view = {.url = "unix:/s",
                             .status = parse(status),
                             .links = parse(now),
                             .faults = parse(faults),
                             .before = earlier ? parse(earlier) : NULL,
                             .interval_ns = 2 * NS_PER_S,
                             .events = events,
                             .event_count = event_count,
                             .colour = colour,
                             .width = width,
                             .height = height};
    text_clear(&drawn);
    live_format(&drawn, &view);
    json_decref(view.status);
    json_decref(view.links);
    json_decref(view.faults);
    json_decref(view.before);
}

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        text_append(&events[i], "event %zu", i);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        text_free(&events[i]);
    text_free(&drawn);
    return 0;
}

static void the_busiest_links_come_first(void **state)
{
    (void)state;
    draw(before, 200, 12, false, 0);
    assert_string_equal(
        text_get(&drawn),
        "severd 1 at unix:/s, pid 7, 2 workers, up 4s\n"
        "ruleset      9: 3 nodes, 0 routes, 2 faults\n"
        "\n"
        "LINK    STATE  UNITS/S      RATE  DROPS/S  DELAY          CONNS  HELD  PARTITIONS   "
        "FAULTS\n"
        "n3->n1  cut          0         0  cut 500                     0     0  split,cut-1\n"
        "n1->n2  open       100  1.00Mbit  loss 20  5ms+80ms±20ms      1     0               "
        "slow,rain\n"
        "n1->n3  cut          0         0                              0  2KiB  split\n"
        "n2->n1  open         0         0                              0     0\n");
}

/* The first picture, and one after severd began anew. */
static void without_an_earlier_answer_there_are_no_rates(void **state)
{
    (void)state;
    draw(NULL, 200, 12, false, 0);
    assert_non_null(strstr(text_get(&drawn), "n1->n2  open         0  "));
    assert_null(strstr(text_get(&drawn), "cut 500"));
    draw("{\"links\":[{\"link\":\"n1->n2\",\"units\":900,\"bytes\":1}]}", 200, 12, false, 0);
    assert_non_null(strstr(text_get(&drawn), "n1->n2  open         0  1.00Mbit"));
}

/* A node has come in front of the others. */
static void a_link_is_found_wherever_it_was(void **state)
{
    (void)state;
    draw("{\"links\":[{\"link\":\"n3->n1\",\"units\":7,\"bytes\":7,\"dropped\":{\"cut\":1005}},"
         "{\"link\":\"n1->n2\",\"units\":298,\"bytes\":251000,\"dropped\":{\"loss\":45}}]}",
         200, 12, false, 0);
    assert_non_null(strstr(text_get(&drawn), "n1->n2  open         1  "));
    assert_non_null(strstr(text_get(&drawn), "cut 1 "));
}

static size_t line_count(void)
{
    size_t count = 0;
    for (const char *at = text_get(&drawn); *at; at++)
        count += *at == '\n';
    return count;
}

static void what_has_no_room_is_counted(void **state)
{
    (void)state;
    draw(before, 200, 7, false, 0);
    assert_int_equal(line_count(), 7);
    assert_non_null(strstr(text_get(&drawn), "\nn1->n2"));
    assert_non_null(strstr(text_get(&drawn), "\nand 2 more links\n"));
    draw(before, 200, 8, false, 0);
    assert_null(strstr(text_get(&drawn), "more links"));
    draw(before, 200, 40, false, 3);
    assert_non_null(strstr(text_get(&drawn), "\n\nevent 0\nevent 1\nevent 2\n"));
    draw(before, 200, 12, false, 3); /* the newest two */
    assert_non_null(strstr(text_get(&drawn), "\n\nevent 0\nevent 1\n"));
    assert_null(strstr(text_get(&drawn), "event 2"));
}

/* Characters of a line without colours. */
static size_t width_of(const char *line, size_t length, bool *coloured)
{
    size_t width = 0;
    *coloured = false;
    for (size_t i = 0; i < length; i++) {
        if (line[i] == '\033') {
            *coloured = line[i + 2] != '0';
            i += strcspn(line + i, "m");
            continue;
        }
        width += ((unsigned char)line[i] & 0xc0) != 0x80;
    }
    return width;
}

/* Any window: no line is longer, there are no more of them, and no colour runs out of its line. */
static void everything_fits_into_the_window(void **state)
{
    (void)state;
    for (size_t width = 1; width < 130; width++)
        for (size_t height = 1; height < 26; height += 1 + height / 6) {
            draw(before, width, height, true, 3);
            assert_true(line_count() <= height);
            for (const char *line = text_get(&drawn); *line;) {
                bool coloured;
                size_t length = strcspn(line, "\n");
                assert_true(width_of(line, length, &coloured) <= width);
                assert_false(coloured);
                line += length + 1;
            }
        }
}

static void clipping_counts_characters(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        size_t width;
        const char *wanted;
    } cases[] = {
        {"abcdef\nab\n", 3, "abc\nab\n"},
        {"a±±±b\n", 3, "a±±\n"},
        {"a\033[31mbcd\033[0me\n", 2, "a\033[31mb\033[0m\n"},
        {"a\033[31mb\033[0mcd\n", 3, "a\033[31mb\033[0mc\n"},
        {"abc\033[31md\033[0m\n", 3, "abc\n"},
        {"abc\n", 0, "\n"},
        {"", 5, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text_clear(&drawn);
        live_clip(&drawn, cases[i].lines, cases[i].width);
        assert_string_equal(text_get(&drawn), cases[i].wanted);
    }
}

static void painting_goes_over_what_is_there(void **state)
{
    (void)state;
    text_clear(&drawn);
    live_paint(&drawn, "one\ntwo\n");
    assert_string_equal(text_get(&drawn), "\033[Hone\033[K\r\ntwo\033[K\033[J");
    text_clear(&drawn);
    live_paint(&drawn, "");
    assert_string_equal(text_get(&drawn), "\033[H\033[J");
}

static void rates_have_three_digits(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes_per_s;
        const char *wanted;
    } cases[] = {{0, "0"},
                 {1, "8bit"},
                 {124, "992bit"},
                 {125, "1.00kbit"},
                 {1249, "9.99kbit"},
                 {12499, "100kbit"},
                 {1250000, "10.0Mbit"},
                 {124999999, "1.00Gbit"},
                 {10500000000, "84.0Gbit"},
                 {UINT64_MAX / 8, "18446744Tbit"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text_clear(&drawn);
        live_format_rate(&drawn, cases[i].bytes_per_s);
        assert_string_equal(text_get(&drawn), cases[i].wanted);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_busiest_links_come_first),     TEST(without_an_earlier_answer_there_are_no_rates),
        TEST(a_link_is_found_wherever_it_was),  TEST(what_has_no_room_is_counted),
        TEST(everything_fits_into_the_window),  TEST(clipping_counts_characters),
        TEST(painting_goes_over_what_is_there), TEST(rates_have_three_digits),
    };
    return cmocka_run_group_tests_name("ctl/live", tests, NULL, NULL);
}
