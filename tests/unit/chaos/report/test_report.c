#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chaos/report/report.h"

static struct experiment_expectation expectations[] = {
    {.kind = EXPECT_LINEARIZABLE, .text = (char[]){"linearizable"}},
    {.kind = EXPECT_RECOVERS, .text = (char[]){"recovers within <5s>"}},
};
static struct experiment_step step = {.text = (char[]){"split: leader / rest"}, .line = 12};
static char name_of_run[] = "a & b", nothing_tried[] = "nothing tried";
static char names[3][RULESET_NAME_MAX] = {"n1", "n2", "n3"};

struct fixture {
    struct experiment experiment;
    struct nemesis_record record;
    struct report_result results[2];
    struct report report;
};

static void fill(struct fixture *fixture, enum check_verdict first, enum check_verdict second,
                 enum nemesis_proof proof)
{
    *fixture = (struct fixture){
        .experiment = {.name = name_of_run,
                       .expectations = expectations,
                       .expectation_count = 2,
                       .cluster = {.nodes = names, .node_count = 3}},
        .record = {.step = &step, .proof = proof, .evidence = nothing_tried},
        .results = {{.verdict = first, .summary = "10 operations"},
                    {.verdict = second, .summary = "\"2\" s"}},
    };
    fixture->report = (struct report){.experiment = &fixture->experiment,
                                      .file = "my file.yaml",
                                      .directory = "out",
                                      .seed = 7,
                                      .start_ns = 1000,
                                      .end_ns = 2000001000,
                                      .records = &fixture->record,
                                      .record_count = 1,
                                      .results = fixture->results};
}

static enum report_outcome decide(enum check_verdict first, enum check_verdict second,
                                  enum nemesis_proof proof, const char *obstacle)
{
    struct fixture fixture;
    fill(&fixture, first, second, proof);
    strncpy(fixture.report.obstacle, obstacle, sizeof(fixture.report.obstacle) - 1);
    return report_decide(&fixture.report);
}

static void what_outranks_what(void **state)
{
    (void)state;
    const enum check_verdict pass = CHECK_PASS, fail = CHECK_FAIL, unknown = CHECK_UNKNOWN;
    const enum nemesis_proof good = NEMESIS_PROVED, bad = NEMESIS_UNPROVED;
    assert_int_equal(decide(pass, pass, good, ""), REPORT_PASS);
    assert_int_equal(decide(pass, fail, good, ""), REPORT_FAIL);
    assert_int_equal(decide(unknown, pass, good, ""), REPORT_UNKNOWN);
    assert_int_equal(decide(unknown, fail, good, ""), REPORT_FAIL);
    assert_int_equal(decide(pass, pass, bad, ""), REPORT_CANNOT_RUN);
    assert_int_equal(decide(unknown, pass, bad, ""), REPORT_CANNOT_RUN);
    assert_int_equal(decide(pass, fail, bad, ""), REPORT_FAIL);
    assert_int_equal(decide(pass, pass, good, "disk full"), REPORT_CANNOT_RUN);
    assert_int_equal(decide(pass, pass, NEMESIS_NOT_NEEDED, ""), REPORT_PASS);
}

static void a_run_that_was_not_judged_never_passes(void **state)
{
    (void)state;
    struct fixture fixture;
    fill(&fixture, CHECK_PASS, CHECK_PASS, NEMESIS_PROVED);
    fixture.report.results = NULL;
    assert_int_equal(report_decide(&fixture.report), REPORT_CANNOT_RUN);
}

static void junit_has_one_case_per_expectation(void **state)
{
    (void)state;
    struct fixture fixture;
    struct text xml = {0};
    fill(&fixture, CHECK_FAIL, CHECK_UNKNOWN, NEMESIS_PROVED);
    text_append(&fixture.report.explanation, "read <3> & died");
    report_append_junit(&fixture.report, &xml);
    assert_non_null(
        strstr(text_get(&xml), "tests=\"2\" failures=\"1\" errors=\"1\" time=\"2.000\""));
    assert_non_null(strstr(text_get(&xml), "<testsuite name=\"a &amp; b\""));
    assert_non_null(strstr(text_get(&xml), "name=\"recovers within &lt;5s&gt;\""));
    assert_non_null(strstr(text_get(&xml), "<error message=\"&quot;2&quot; s\">"));
    assert_non_null(strstr(text_get(&xml), "read &lt;3&gt; &amp; died"));
    assert_non_null(strstr(text_get(&xml), "sever run 'my file.yaml' --seed 7"));
    assert_null(strstr(text_get(&xml), "every fault took effect"));
    text_free(&xml);
    text_free(&fixture.report.explanation);
}

static void junit_tells_faults_without_effect_and_obstacles(void **state)
{
    (void)state;
    struct fixture fixture;
    struct text xml = {0};
    fill(&fixture, CHECK_PASS, CHECK_PASS, NEMESIS_UNPROVED);
    report_append_junit(&fixture.report, &xml);
    assert_non_null(strstr(text_get(&xml), "tests=\"3\" failures=\"0\" errors=\"1\""));
    assert_non_null(strstr(text_get(&xml), "split: leader / rest"));
    text_clear(&xml);
    fixture.report.results = NULL;
    fixture.record.proof = NEMESIS_PENDING;
    strncpy(fixture.report.obstacle, "no severd", sizeof(fixture.report.obstacle) - 1);
    report_append_junit(&fixture.report, &xml);
    assert_non_null(strstr(text_get(&xml), "tests=\"2\" failures=\"0\" errors=\"2\""));
    assert_non_null(strstr(text_get(&xml), "<error message=\"no severd\">"));
    text_free(&xml);
}

static void the_verdict_names_the_step_and_how_to_run_again(void **state)
{
    (void)state;
    struct fixture fixture;
    struct text text = {0};
    char *extra[] = {(char[]){"--bug"}, (char[]){"it's"}};
    fill(&fixture, CHECK_PASS, CHECK_PASS, NEMESIS_UNPROVED);
    fixture.report.extra_arguments = extra;
    fixture.report.extra_count = 2;
    report_append_verdict(&fixture.report, &text);
    assert_non_null(strstr(text_get(&text), "NO EFFECT  line 12, split: leader / rest"));
    assert_non_null(strstr(text_get(&text), "verdict: cannot run (seed 7)"));
    assert_non_null(
        strstr(text_get(&text), "sever run 'my file.yaml' --seed 7 -- --bug 'it'\\''s'\n"));
    text_clear(&text);
    fill(&fixture, CHECK_PASS, CHECK_PASS, NEMESIS_PROVED);
    report_append_verdict(&fixture.report, &text);
    assert_non_null(strstr(text_get(&text), "verdict: pass (seed 7)"));
    assert_null(strstr(text_get(&text), "again:"));
    text_free(&text);
}

static void the_journal_is_json_whatever_it_holds(void **state)
{
    (void)state;
    struct fixture fixture;
    struct report_role_change role = {.at_ns = 500, .node = 1, .role = "leader", .term = "3"};
    fill(&fixture, CHECK_PASS, CHECK_FAIL, NEMESIS_PROVED);
    fixture.record.became = (char[]){"split n1 / n2\xff"};
    fixture.record.began_ns = 1500;
    fixture.report.roles = &role;
    fixture.report.role_count = 1;
    json_t *journal = report_journal_json(&fixture.report);
    json_t *first = json_array_get(json_object_get(journal, "timeline"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "became")), "split n1 / n2?");
    assert_int_equal(json_integer_value(json_object_get(first, "began_ns")), 500);
    assert_true(json_is_null(json_object_get(first, "done_ns")));
    json_t *change = json_array_get(json_object_get(journal, "roles"), 0);
    assert_int_equal(json_integer_value(json_object_get(change, "time_ns")), -500);
    assert_string_equal(json_string_value(json_object_get(change, "node")), "n2");
    json_t *verdict = json_object_get(journal, "verdict");
    assert_string_equal(json_string_value(json_object_get(verdict, "verdict")), "fail");
    char *text = json_dumps(journal, 0);
    assert_non_null(text);
    free(text);
    json_decref(journal);
}

static void xml_holds_only_what_xml_can(void **state)
{
    (void)state;
    struct text out = {0};
    report_append_xml(&out, "<a b=\"c\">&\x01\n\tz\xc3\xa9\xff");
    assert_string_equal(text_get(&out), "&lt;a b=&quot;c&quot;&gt;&amp;?\n\tz\xc3\xa9?");
    text_clear(&out);
    report_append_xml(&out, "a\xef\xbf\xbe"
                            "b\xef\xbf\xbf\xef\xbf\xbd\xef\xbf");
    assert_string_equal(text_get(&out), "a?b?\xef\xbf\xbd??");
    text_free(&out);
}

static void utf8_is_kept_and_the_rest_is_not(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"\xc2\xb1\xe2\x82\xac\xf0\x9f\x98\x80", "\xc2\xb1\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xc0\xaf", "??"},           /* too long a form */
        {"\xed\xa0\x80", "???"},      /* a surrogate */
        {"\xf4\x90\x80\x80", "????"}, /* above U+10FFFF */
        {"\xe2\x82", "??"},           /* cut short */
        {"\x80", "?"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *copy = report_copy_utf8(cases[i][0]);
        assert_string_equal(copy, cases[i][1]);
        free(copy);
    }
}

static void shell_words(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"plain-1.yaml", "plain-1.yaml"}, {"", "''"},       {"a b", "'a b'"},
        {"it's", "'it'\\''s'"},           {"$x;", "'$x;'"}, {"100%", "100%"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct text out = {0};
        report_append_shell_word(&out, cases[i][0]);
        assert_string_equal(text_get(&out), cases[i][1]);
        text_free(&out);
    }
}

static void sides_are_summed(void **state)
{
    (void)state;
    static const uint8_t side[] = {CHECK_SIDE_MINORITY, CHECK_SIDE_MAJORITY, CHECK_SIDE_MAJORITY};
    static const uint8_t none[3];
    struct workload_counts before[3] = {{.ok = 10, .refused = 1}, {.ok = 5}, {.ok = 5}};
    struct workload_counts now[3] = {{.ok = 10, .refused = 39, .reason = "NOQUORUM"},
                                     {.ok = 65, .unknown = 2, .reason = "timed out"},
                                     {.ok = 65}};
    struct text out = {0};
    const char(*nodes)[RULESET_NAME_MAX] = (const char(*)[RULESET_NAME_MAX])names;
    report_append_sides(nodes, 3, side, before, now, &out);
    assert_string_equal(text_get(&out), "minority n1: 0 ok, 38 refused (NOQUORUM); "
                                        "majority n2,n3: 120 ok, 2 unknown (timed out)");
    text_clear(&out);
    report_append_sides(nodes, 3, none, before, now, &out);
    assert_string_equal(text_get(&out), "all: 120 ok, 38 refused, 2 unknown (timed out)");
    text_free(&out);
}

static void long_sides_are_cut_short(void **state)
{
    (void)state;
    static char many[12][RULESET_NAME_MAX];
    static const struct workload_counts zero[12], now[12] = {[11] = {.ok = 5}};
    uint8_t side[12];
    struct text out = {0};
    for (size_t i = 0; i < 12; i++) {
        snprintf(many[i], sizeof(many[i]), "n%zu", i + 1);
        side[i] = i < 2 ? CHECK_SIDE_MINORITY : CHECK_SIDE_MAJORITY;
    }
    report_append_sides((const char(*)[RULESET_NAME_MAX])many, 12, side, zero, now, &out);
    assert_string_equal(text_get(&out), "minority n1,n2: 0 ok; majority "
                                        "n3,n4,n5,n6,n7,n8,n9,n10 and 2 more: 5 ok");
    text_free(&out);
}

/* One file that can't be written keeps none of the others from being there. */
static void each_file_is_tried(void **state)
{
    (void)state;
    static const char *const names_of_files[] = {"report.txt", "journal.json", "junit.xml"};
    char folder[] = "/tmp/sever-report-XXXXXX", path[128];
    struct fixture fixture;
    struct error error = {0};
    assert_non_null(mkdtemp(folder));
    fill(&fixture, CHECK_PASS, CHECK_PASS, NEMESIS_PROVED);
    fixture.report.directory = folder;
    snprintf(path, sizeof(path), "%s/junit.xml", folder);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_true(report_write_files(&fixture.report, "story", &error) < 0);
    assert_string_equal(error.place, path);
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names_of_files[i]);
        assert_int_equal(unlink(path), 0);
    }
    snprintf(path, sizeof(path), "%s/junit.xml", folder);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(report_write_files(&fixture.report, "story", &error), 0);
    assert_int_equal(report_write_files(&fixture.report, "again", &error), 0); /* over it */
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names_of_files[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(report_write_history(&fixture.report, &error), 0); /* there is none */
    assert_int_equal(rmdir(folder), 0);                                 /* nothing else */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_outranks_what),
        cmocka_unit_test(a_run_that_was_not_judged_never_passes),
        cmocka_unit_test(junit_has_one_case_per_expectation),
        cmocka_unit_test(junit_tells_faults_without_effect_and_obstacles),
        cmocka_unit_test(the_verdict_names_the_step_and_how_to_run_again),
        cmocka_unit_test(the_journal_is_json_whatever_it_holds),
        cmocka_unit_test(each_file_is_tried),
        cmocka_unit_test(xml_holds_only_what_xml_can),
        cmocka_unit_test(utf8_is_kept_and_the_rest_is_not),
        cmocka_unit_test(shell_words),
        cmocka_unit_test(sides_are_summed),
        cmocka_unit_test(long_sides_are_cut_short),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
