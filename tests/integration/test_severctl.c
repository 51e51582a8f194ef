/* severctl against a real severd on a Unix socket: the transcripts in tests/integration/severctl.
 *
 * A transcript is what a person would have seen. Each file has a severd of its own, an empty
 * directory to work in, and no node to begin with:
 *
 *   $ severctl cut n1 n2            a shell command
 *   cut n1<->n2 as cut-1            what it prints, both outputs; "{}" stands for any text in a
 * line [1]                             its exit code, when it isn't 0 # words a comment
 */
#include "tests/lib/test.h"

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/child.h"
#include "tests/lib/files.h"

struct fixture {
    char directory[64];
    char url[128], path_setting[4400];
    char source_setting[4400];
    const char *environment[8];
    struct child severd;
};

static const char *bin_directory(void)
{
    const char *bin = getenv("SEVER_BIN_DIR");
    return bin ? bin : "build/bin";
}

static const char *source_directory(void)
{
    const char *source = getenv("SEVER_SOURCE_DIR");
    return source ? source : ".";
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    char severd[4200], line[1024], listen[128], bin[4096], source[4096];
    *state = fixture;
    if (!realpath(bin_directory(), bin) || !realpath(source_directory(), source)) {
        print_error("%s is missing: run make, or set SEVER_BIN_DIR\n", bin_directory());
        return -1;
    }
    snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/sever-ctl-XXXXXX");
    if (!mkdtemp(fixture->directory))
        return -1;
    snprintf(listen, sizeof(listen), "unix:%s/severd.sock", fixture->directory);
    snprintf(fixture->url, sizeof(fixture->url), "SEVER_URL=%s", listen);
    snprintf(fixture->path_setting, sizeof(fixture->path_setting), "PATH=%s:/usr/bin:/bin", bin);
    snprintf(severd, sizeof(severd), "%s/severd", bin);
    fixture->environment[0] = fixture->url;
    fixture->environment[1] = fixture->path_setting;
    fixture->environment[2] = "NO_COLOR";
    fixture->environment[3] = "LC_ALL=C.UTF-8";
    snprintf(fixture->source_setting, sizeof(fixture->source_setting), "SOURCE=%s", source);
    fixture->environment[4] = fixture->source_setting;
    /* Without socket filters, which not every machine allows: the same words everywhere. */
    const char *argv[] = {
        severd, "--listen",          listen,      "--seed",           "42",           "--workers",
        "2",    "--die-with-parent", "--run-dir", fixture->directory, "--stall-only", NULL};
    child_start(&fixture->severd, argv, NULL);
    while (child_read_line(&fixture->severd, line, sizeof(line))) {
        if (strstr(line, " ready"))
            return 0;
        print_error("%s\n", line);
    }
    return -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    int result = 0;
    if (fixture->severd.pid > 0) {
        kill(fixture->severd.pid, SIGTERM);
        result = child_finish(&fixture->severd, NULL);
    }
    files_remove_folder(fixture->directory);
    free(fixture);
    return result;
}

/* expected with "{}" for any text, the empty one too. */
static bool line_matches(const char *expected, const char *seen)
{
    const char *hole = strstr(expected, "{}");
    if (!hole)
        return strcmp(expected, seen) == 0;
    size_t length = (size_t)(hole - expected);
    if (strncmp(expected, seen, length) != 0)
        return false;
    for (const char *rest = seen + length;; rest++) {
        if (line_matches(hole + 2, rest))
            return true;
        if (!*rest)
            return false;
    }
}

/* Line by line; cuts both texts up. */
static bool text_matches(char *expected, char *seen)
{
    while (*expected && *seen) {
        char *expected_end = strchr(expected, '\n'), *seen_end = strchr(seen, '\n');
        if (!expected_end || !seen_end)
            return false;
        *expected_end = *seen_end = '\0';
        if (!line_matches(expected, seen))
            return false;
        expected = expected_end + 1;
        seen = seen_end + 1;
    }
    return !*expected && !*seen;
}

/* One command with what it must print. */
struct step {
    char command[2048];
    struct text expected;
    size_t line_number;
};

static bool run_step(struct fixture *fixture, const char *file, struct step *step)
{
    struct text script = {0}, seen = {0}, shown = {0};
    text_append(&script, "cd '%s' && { %s\n}", fixture->directory, step->command);
    const char *argv[] = {"/bin/sh", "-c", text_get(&script), NULL};
    int code = child_run(argv, fixture->environment, NULL, &seen);
    if (seen.length && seen.data[seen.length - 1] != '\n')
        text_append(&seen, "\n");
    if (code)
        text_append(&seen, "[%d]\n", code);
    text_append(&shown, "%s", text_get(&seen));
    char *expected = memory_copy_text(text_get(&step->expected));
    bool matches = text_matches(expected, seen.data ? seen.data : expected + strlen(expected));
    if (!matches)
        print_error("%s:%zu: $ %s\n--- expected\n%s--- seen\n%s", file, step->line_number,
                    step->command, text_get(&step->expected), text_get(&shown));
    free(expected);
    text_free(&script);
    text_free(&seen);
    text_free(&shown);
    text_clear(&step->expected);
    return matches;
}

/* All steps are run, so that one reading shows all that differs. Returns how many there were. */
static size_t play(struct fixture *fixture, const char *file)
{
    char path[4096], line[2048];
    snprintf(path, sizeof(path), "%s/tests/integration/severctl/%s", source_directory(), file);
    FILE *transcript = fopen(path, "re");
    if (!transcript)
        fail_msg("%s is missing: set SEVER_SOURCE_DIR", path);
    struct step step = {0};
    size_t count = 0, failures = 0, number = 0;
    bool more = true;
    while (more) {
        more = fgets(line, sizeof(line), transcript) != NULL;
        number++;
        if (more && line[0] == '#')
            continue;
        if (more && strncmp(line, "$ ", 2) != 0) {
            text_append(&step.expected, "%s", line);
            continue;
        }
        if (step.command[0])
            failures += !run_step(fixture, file, &step);
        line[strcspn(line, "\n")] = '\0';
        snprintf(step.command, sizeof(step.command), "%s", line + 2);
        step.line_number = number;
        count += more;
    }
    fclose(transcript);
    text_free(&step.expected);
    if (failures)
        fail_msg("%s: %zu of %zu steps differ", file, failures, count);
    return count;
}

#define TRANSCRIPT(name)                                                                           \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        assert_true(play(*state, #name ".txt") > 0);                                               \
    }

TRANSCRIPT(doctor)
TRANSCRIPT(nodes)
TRANSCRIPT(routes)
TRANSCRIPT(partitions)
TRANSCRIPT(faults)
TRANSCRIPT(clocks)
TRANSCRIPT(rulesets)
TRANSCRIPT(usage)
TRANSCRIPT(lab)
TRANSCRIPT(completion)
TRANSCRIPT(tables)
TRANSCRIPT(regions)

/* Every transcript in the folder is played by a test above. */
static void test_no_transcript_is_forgotten(void **state)
{
    (void)state;
    static const char *const played[] = {"doctor",     "lab",        "nodes",  "routes",
                                         "partitions", "faults",     "clocks", "rulesets",
                                         "usage",      "completion", "tables", "regions"};
    char path[4096];
    snprintf(path, sizeof(path), "%s/tests/integration/severctl", source_directory());
    DIR *folder = opendir(path);
    assert_non_null(folder);
    size_t found = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        found += entry->d_name[0] != '.';
    closedir(folder);
    assert_int_equal(found, sizeof(played) / sizeof(played[0]));
}

static int severctl(struct fixture *fixture, const char *arguments, struct text *output)
{
    struct text script = {0};
    text_append(&script, "severctl %s", arguments);
    const char *argv[] = {"/bin/sh", "-c", text_get(&script), NULL};
    int code = child_run(argv, fixture->environment, NULL, output);
    text_free(&script);
    return code;
}

static void start_watch(struct fixture *fixture, struct child *watch, const char *option)
{
    char line[1024];
    const char *argv[] = {"severctl", "watch", option, NULL};
    char program[4300];
    snprintf(program, sizeof(program), "%s/severctl", bin_directory());
    argv[0] = program;
    child_start(watch, argv, fixture->environment);
    assert_true(child_read_line(watch, line, sizeof(line))); /* the version there is */
    assert_non_null(strstr(line, "ruleset"));
}

static void test_watch_shows_changes_as_they_come(void **state)
{
    struct fixture *fixture = *state;
    struct child plain, json;
    char line[2048];
    start_watch(fixture, &plain, NULL);
    start_watch(fixture, &json, "--json");
    assert_int_equal(severctl(fixture, "nodes add n1", NULL), 0);
    assert_true(child_read_line(&plain, line, sizeof(line)));
    assert_non_null(strstr(line, "by severctl: "));
    assert_non_null(strstr(line, "n1"));
    assert_true(child_read_line(&json, line, sizeof(line)));
    assert_non_null(strstr(line, "\"event\":\"ruleset\""));
    assert_non_null(strstr(line, "n1"));
    assert_int_equal(line[strlen(line) - 1], '}');
    /* Asked to end, it ends well. */
    kill(plain.pid, SIGTERM);
    assert_int_equal(child_finish(&plain, NULL), 0);
    /* Left by severd, it says so. */
    kill(fixture->severd.pid, SIGTERM);
    assert_int_equal(child_finish(&fixture->severd, NULL), 0);
    struct text output = {0};
    assert_int_equal(child_finish(&json, &output), 3);
    assert_non_null(strstr(text_get(&output), "severctl: "));
    text_free(&output);
}

static void test_nobody_there(void **state)
{
    struct fixture *fixture = *state;
    kill(fixture->severd.pid, SIGTERM);
    assert_int_equal(child_finish(&fixture->severd, NULL), 0);
    static const char *const commands[] = {"status", "cut n1 n2", "heal",  "watch",
                                           "save",   "clock",     "links", "exec n1 -- true"};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        struct text output = {0};
        assert_int_equal(severctl(fixture, commands[i], &output), 3);
        assert_non_null(strstr(text_get(&output), "severd does not answer at unix:"));
        text_free(&output);
    }
}

static void run_in_source(struct fixture *fixture, const char *command, struct text *output)
{
    struct text script = {0};
    text_append(&script, "cd \"$SOURCE\" && %s", command);
    const char *argv[] = {"/bin/sh", "-c", text_get(&script), NULL};
    int code = child_run(argv, fixture->environment, NULL, output);
    text_free(&script);
    if (code == CHILD_NOT_FOUND)
        fail_msg("%s: apt-get install mandoc", text_get(output));
}

static void test_man_pages_are_clean(void **state)
{
    struct text output = {0};
    run_in_source(*state, "mandoc -T lint -W warning ctl/man/*.1 proxy/man/*.8", &output);
    assert_string_equal(text_get(&output), "");
    text_free(&output);
}

/* The long options of severd --help and those of severd(8), sorted, are the same. */
static void test_severd_man_page_has_its_options(void **state)
{
    struct text help = {0}, page = {0};
    run_in_source(*state, "severd --help | grep -o '^ .*--[a-z-]*' | grep -o '[a-z-]*$' | sort -u",
                  &help);
    run_in_source(*state,
                  "grep '^\\.It Fl' proxy/man/severd.8 | grep -o 'Fl -[a-z-]*' | "
                  "sed 's/Fl /-/' | sort -u",
                  &page);
    assert_non_null(strstr(text_get(&help), "--ruleset\n"));
    assert_string_equal(text_get(&help), text_get(&page));
    text_free(&help);
    text_free(&page);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_transcript_is_forgotten),
        TEST(doctor),
        TEST(nodes),
        TEST(routes),
        TEST(partitions),
        TEST(faults),
        TEST(clocks),
        TEST(rulesets),
        TEST(tables),
        TEST(regions),
        TEST(usage),
        TEST(lab),
        TEST(completion),
        TEST(man_pages_are_clean),
        TEST(severd_man_page_has_its_options),
        TEST(watch_shows_changes_as_they_come),
        TEST(nobody_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
