/* The command table, --help, the man page and the completion say the same. */
#include "tests/lib/test.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/command.h"
#include "ctl/fault_words.h"

static char *read_source(const char *path)
{
    const char *root = getenv("SEVER_SOURCE_DIR");
    struct text full = {0}, content = {0};
    text_append(&full, "%s/%s", root ? root : ".", path);
    FILE *file = fopen(text_get(&full), "re");
    if (!file)
        fail_msg("%s is not there: run this from the source, or set SEVER_SOURCE_DIR",
                 text_get(&full));
    char buffer[4096];
    for (size_t got; (got = fread(buffer, 1, sizeof(buffer), file)) > 0;)
        text_append_bytes(&content, buffer, got);
    fclose(file);
    text_free(&full);
    return content.data;
}

/* Is `word` in `haystack` as a whole word? */
static bool has_word(const char *haystack, const char *word)
{
    size_t length = strlen(word);
    for (const char *p = strstr(haystack, word); p; p = strstr(p + 1, word)) {
        bool begins = p == haystack || !(isalnum((unsigned char)p[-1]) || p[-1] == '-');
        bool ends = !(isalnum((unsigned char)p[length]) || p[length] == '-');
        if (begins && ends)
            return true;
    }
    return false;
}

static void expect_word(const char *haystack, const char *word, const char *where)
{
    if (!has_word(haystack, word))
        fail_msg("%s does not say '%s'", where, word);
}

/* On a terminal of 80 columns no line is broken. */
static void expect_narrow(const char *text, const char *where)
{
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        if (strcspn(line, "\n") > 80)
            fail_msg("%s has a line of more than 80 columns: %.*s", where, (int)strcspn(line, "\n"),
                     line);
}

static void test_overview_and_help_cover_the_table(void **state)
{
    (void)state;
    struct text overview = {0};
    command_format_overview(&overview);
    expect_narrow(text_get(&overview), "--help");
    for (size_t i = 0; i < command_count; i++) {
        struct text help = {0};
        expect_word(text_get(&overview), commands[i].name, "--help");
        assert_non_null(strstr(text_get(&overview), commands[i].summary));
        command_format_help(&help, &commands[i]);
        expect_narrow(text_get(&help), commands[i].name);
        assert_non_null(strstr(text_get(&help), commands[i].example));
        for (size_t j = 0; j < option_count; j++) {
            bool takes = option_shapes[j].bit & (commands[i].options | OPTION_COMMON);
            const char *options = strstr(text_get(&help), "\nOptions:\n");
            assert_non_null(options);
            if (takes)
                expect_word(options, option_shapes[j].name, commands[i].name);
        }
        text_free(&help);
    }
    text_free(&overview);
}

/* Each example is a command line that the parser takes, of its own command. */
static void test_examples_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < command_count; i++) {
        char *copy = strdup(commands[i].example), *argv[16] = {0};
        size_t count = 0;
        for (char *word = copy; word && count < 16;) {
            char *space = strchr(word, ' ');
            if (space)
                *space++ = '\0';
            argv[count++] = word;
            word = space;
        }
        struct arguments *arguments = calloc(1, sizeof(*arguments));
        struct error error;
        assert_string_equal(argv[0], "severctl");
        assert_int_equal(arguments_parse(argv + 1, count - 1, arguments, &error), 0);
        assert_string_equal(arguments->words[0], commands[i].name);
        assert_in_range(arguments->word_count - 1, commands[i].minimum, commands[i].maximum);
        assert_int_equal(arguments_check_options(arguments, commands[i].options | OPTION_COMMON,
                                                 commands[i].name, &error),
                         0);
        free(arguments);
        free(copy);
    }
}

static void test_man_page_has_each_command_and_option_and_no_other(void **state)
{
    (void)state;
    char *page = read_source("ctl/man/severctl.1");
    char wanted[64];
    for (size_t i = 0; i < command_count; i++) {
        snprintf(wanted, sizeof(wanted), "\n.It Ic %s", commands[i].name);
        expect_word(page, wanted + 1, "severctl.1");
    }
    for (size_t i = 0; i < option_count; i++) {
        snprintf(wanted, sizeof(wanted), ".It Fl %s%s%s", option_shapes[i].name + 1,
                 option_shapes[i].value ? " Ar " : "",
                 option_shapes[i].value ? option_shapes[i].value : "");
        expect_word(page, wanted, "severctl.1");
    }
    for (const char *p = page; (p = strstr(p, "\n.It Ic ")) != NULL; p++) {
        char name[32] = "";
        assert_int_equal(sscanf(p, "\n.It Ic %31[a-z-]", name), 1);
        if (!command_find(name))
            fail_msg("severctl.1 has a command '%s' that severctl has not", name);
    }
    size_t flags = 0;
    for (const char *p = page; (p = strstr(p, "\n.It Fl ")) != NULL; p++)
        flags++;
    assert_int_equal(flags, option_count);
    free(page);
}

/* The line of a bash case, "a | b) ...", that names the command; NULL when none does. */
static char *find_case(char *cases, const char *name)
{
    for (char *line = cases; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char labels[256] = "";
        if (sscanf(line, " %255[^)\n]", labels) == 1 && has_word(labels, name))
            return line;
    }
    return NULL;
}

/* The completion: "commands='...'" is the table, in its order; each command's options are in the
 * case that names it. */
static void test_completion_has_each_command_and_option(void **state)
{
    (void)state;
    char *script = read_source("ctl/completion/severctl.bash");
    struct text expected = {0};
    text_append(&expected, "local commands='");
    for (size_t i = 0; i < command_count; i++)
        text_append(&expected, "%s%s", i ? " " : "", commands[i].name);
    text_append(&expected, "'\n");
    if (!strstr(script, text_get(&expected)))
        fail_msg("the completion has no line %s", text_get(&expected));
    text_clear(&expected);
    text_append(&expected, "local options='");
    for (size_t j = 0; j < option_count; j++)
        if (option_shapes[j].bit & OPTION_COMMON)
            text_append(&expected, "%s%s", j ? " " : "", option_shapes[j].name);
    text_append(&expected, "'\n");
    assert_non_null(strstr(script, text_get(&expected)));
    char *cases = strstr(script, "case $command in");
    assert_non_null(cases);
    cases = strchr(cases, '\n') + 1;
    *strstr(cases, "esac") = '\0';
    for (size_t i = 0; i < command_count; i++) {
        text_clear(&expected);
        for (size_t j = 0; j < option_count; j++)
            if (option_shapes[j].bit & commands[i].options)
                text_append(&expected, " %s", option_shapes[j].name);
        char *line = find_case(cases, commands[i].name);
        if (!line != (expected.length == 0))
            fail_msg("the completion and the table differ about the options of %s",
                     commands[i].name);
        if (!line)
            continue;
        char given[256];
        assert_int_equal(sscanf(strstr(line, "+='"), "+='%255[^']", given), 1);
        for (size_t j = 0; j < option_count; j++)
            if (option_shapes[j].bit & ~(uint64_t)OPTION_COMMON)
                assert_int_equal(has_word(given, option_shapes[j].name),
                                 has_word(text_get(&expected), option_shapes[j].name));
    }
    text_free(&expected);
    free(script);
}

/* What it offers as a fault are the verbs and types that there are. */
static void test_completion_has_each_verb_and_type(void **state)
{
    (void)state;
    char *script = read_source("ctl/completion/severctl.bash");
    struct text verbs = {0}, types = {0};
    text_append(&verbs, "local faults='");
    text_append(&types, "local types='");
    for (size_t i = 0; i < RULESET_FAULT_TYPES; i++) {
        if (command_find(fault_verbs[i].word))
            text_append(&verbs, "%s%s", i ? " " : "", fault_verbs[i].word);
        text_append(&types, "%s%s", i ? " " : "",
                    ruleset_fault_type_name((enum ruleset_fault_type)i));
    }
    expect_word(script, text_get(&verbs), "the completion");
    expect_word(script, text_get(&types), "the completion");
    text_free(&verbs);
    text_free(&types);
    free(script);
}

static void test_nearest_command(void **state)
{
    (void)state;
    assert_string_equal(command_nearest("hela"), "heal");
    assert_string_equal(command_nearest("hlep"), "help");
    assert_string_equal(command_nearest("helpp"), "help");
    assert_string_equal(command_nearest("slpit"), "split");
    assert_string_equal(command_nearest("partition"), "partitions");
    assert_string_equal(command_nearest("clocks"), "clock");
    assert_string_equal(command_nearest("statsu"), "status");
    assert_null(command_nearest("frobnicate"));
    assert_null(command_nearest(""));
    assert_null(command_nearest("a-word-that-is-longer-than-any-command-can-ever-be"));
    for (size_t i = 0; i < command_count; i++) {
        assert_string_equal(command_nearest(commands[i].name), commands[i].name);
        assert_ptr_equal(command_find(commands[i].name), &commands[i]);
    }
    assert_null(command_find("heal "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overview_and_help_cover_the_table),
        cmocka_unit_test(test_examples_parse),
        cmocka_unit_test(test_man_page_has_each_command_and_option_and_no_other),
        cmocka_unit_test(test_completion_has_each_command_and_option),
        cmocka_unit_test(test_completion_has_each_verb_and_type),
        cmocka_unit_test(test_nearest_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
