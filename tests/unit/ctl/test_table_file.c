/* Files of numbers: what they become, and for each way to write a bad one its line. */
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/table_file.h"
#include "proxy/fault/ruleset.h"

static char folder[] = "/tmp/sever-table-XXXXXX";
static char path[128];
static struct error error;

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* Reads the text as a file of that name. */
/* A distribution by the ending of its name, else a trace. */
static enum table_text_kind kind_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && strcmp(dot, ".dist") == 0 ? TABLE_TEXT_DISTRIBUTION : TABLE_TEXT_TRACE;
}

static json_t *read_text(const char *name, const char *text, const char *called)
{
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    error = (struct error){0};
    json_t *body = table_file_read(kind_of(name), path, called, &error);
    unlink(path);
    return body;
}

static void expect(const char *name, const char *text, const char *called, const char *wanted)
{
    json_t *body = read_text(name, text, called);
    if (!body)
        fail_msg("%s: %s", error.place, error.message);
    char *shown = json_dumps(body, JSON_COMPACT);
    assert_string_equal(shown, wanted);
    free(shown);
    json_decref(body);
}

static void expect_refused(const char *name, const char *text, const char *message)
{
    json_t *body = read_text(name, text, NULL);
    assert_null(body);
    assert_string_equal(error.place, path);
    if (!strstr(error.message, message))
        fail_msg("%s: %s", name, error.message);
}

static void files_become_tables(void **state)
{
    (void)state;
    expect("lte.up", "0\n5\n5\n12\n", NULL, "{\"name\":\"lte\",\"values\":[0,5,5,12]}");
    expect("lte.up", "7", "home", "{\"name\":\"home\",\"values\":[7]}");
    expect("odd.dist", "# of netem\n -32768 0\t8192\n# end\n32767\n", NULL,
           "{\"name\":\"odd\",\"values\":[-32768,0,8192,32767]}");
    expect("a.b.dist", "1 2\r\n3\n", NULL, "{\"name\":\"a.b\",\"values\":[1,2,3]}");
}

static void bad_files_are_told_by_line(void **state)
{
    (void)state;
    expect_refused("bad", "1\n2\nx\n", "line 3");
    expect_refused("bad.dist", "1\n2 2.5\n", "line 2");
    expect_refused("big", "1\n99999999999\n", "line 2");
    expect_refused("empty", "", "at least one number");
    expect_refused("empty.dist", "# nothing\n", "at least two numbers");
    /* a NUL doesn't end a file early */
    assert_null(table_file_parse(TABLE_TEXT_TRACE, "1\n2\0003\n", 6, "nul", NULL, &error));
    assert_string_equal(error.message, "line 2: write whole numbers, as text");
    assert_null(table_file_read(TABLE_TEXT_TRACE, "/no/such/file", NULL, &error));
    assert_int_equal(error.code, -ENOENT);
    assert_null(table_file_read(TABLE_TEXT_TRACE, folder, NULL, &error));
}

/* 63 bytes are what a name has; here the last of them is half a character. */
static void a_file_whose_name_is_none_needs_another(void **state)
{
    (void)state;
    char name[80];
    snprintf(name, sizeof(name), "%062d\xc3\xa4.up", 0);
    expect_refused(name, "1\n", "its name is no name for a table");
    expect(name, "1\n", "short", "{\"name\":\"short\",\"values\":[1]}");
}

static void a_table_has_its_bound(void **state)
{
    (void)state;
    char *text = malloc(2 * (size_t)RULESET_TABLE_VALUES_MAX + 3);
    for (size_t i = 0; i <= RULESET_TABLE_VALUES_MAX; i++)
        memcpy(text + 2 * i, "1\n", 3);
    expect_refused("full", text, "at most 65536 numbers");
    text[2 * (size_t)RULESET_TABLE_VALUES_MAX] = '\0';
    json_t *body = read_text("full", text, NULL);
    assert_int_equal(json_array_size(json_object_get(body, "values")), RULESET_TABLE_VALUES_MAX);
    json_decref(body);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_become_tables),
        cmocka_unit_test(bad_files_are_told_by_line),
        cmocka_unit_test(a_file_whose_name_is_none_needs_another),
        cmocka_unit_test(a_table_has_its_bound),
    };
    return cmocka_run_group_tests_name("ctl/table_file", tests, set_up, tear_down);
}
