/* Theory of operation
 *
 * One value, struct report, is filled while the run goes on; everything that is shown or written
 * is derived from it, so the text, the journal and the XML can't disagree. The outcome is derived
 * too: see report_decide for what outranks what. */
#include "chaos/report/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"

const char *report_outcome_name(enum report_outcome outcome)
{
    static const char *const names[] = {"pass", "fail", "cannot run", "unknown"};
    return names[outcome];
}

void report_free(struct report *report)
{
    json_decref(report->severd_status);
    free(report->roles);
    free(report->results);
    text_free(&report->explanation);
    *report = (struct report){0};
}

size_t report_count_unproved(const struct report *report)
{
    size_t count = 0;
    for (size_t i = 0; i < report->record_count; i++)
        count += report->records[i].proof == NEMESIS_UNPROVED;
    return count;
}

enum report_outcome report_decide(const struct report *report)
{
    enum check_verdict worst = report->results ? CHECK_PASS : CHECK_UNKNOWN;
    for (size_t i = 0; report->results && i < report->experiment->expectation_count; i++)
        worst = check_worse(worst, report->results[i].verdict);
    if (worst == CHECK_FAIL)
        return REPORT_FAIL;
    if (report->obstacle[0] || report_count_unproved(report) > 0 || !report->results)
        return REPORT_CANNOT_RUN;
    return worst == CHECK_PASS ? REPORT_PASS : REPORT_UNKNOWN;
}

void report_append_command(const struct report *report, struct text *out)
{
    text_append(out, "sever run ");
    report_append_shell_word(out, report->file);
    text_append(out, " --seed %llu", (unsigned long long)report->seed);
    if (report->network_given)
        text_append(out, " --network %s",
                    experiment_network_name(report->experiment->cluster.network));
    for (size_t i = 0; i < report->extra_count; i++) {
        text_append(out, i == 0 ? " -- " : " ");
        report_append_shell_word(out, report->extra_arguments[i]);
    }
}

/* ---- text ------------------------------------------------------------------------------------ */

static void append_counts(const struct report *report, struct text *out)
{
    size_t count[4] = {0};
    const struct history *history = report->history;
    for (size_t i = 0; history && i < history->count; i++)
        count[history->operations[i].outcome]++;
    if (history && history->count)
        text_append(out, "%zu operations: %zu ok, %zu refused, %zu unknown\n", history->count,
                    count[HISTORY_OK] + count[HISTORY_MISMATCH], count[HISTORY_FAIL],
                    count[HISTORY_UNKNOWN]);
    if (history && history->missed_count)
        text_append(out, "%zu more were due and never begun: their client was still waiting\n",
                    history->missed_count);
}

static void append_unproved(const struct report *report, struct text *out)
{
    for (size_t i = 0; i < report->record_count; i++) {
        const struct nemesis_record *record = &report->records[i];
        if (record->proof == NEMESIS_UNPROVED)
            text_append(out, "NO EFFECT  line %u, %s: %s\n", record->step->line, record->step->text,
                        record->evidence ? record->evidence : "no sign of it");
    }
}

void report_append_verdict(const struct report *report, struct text *out)
{
    static const char *const marks[] = {"PASS   ", "FAIL   ", "UNKNOWN"};
    enum report_outcome outcome = report_decide(report);
    append_counts(report, out);
    for (size_t i = 0; report->results && i < report->experiment->expectation_count; i++)
        text_append(out, "%s  %s: %s\n", marks[report->results[i].verdict],
                    report->experiment->expectations[i].text, report->results[i].summary);
    if (report->explanation.length)
        text_append(out, "\n%s\n", text_get(&report->explanation));
    append_unproved(report, out);
    if (report->obstacle[0])
        text_append(out, "CANNOT RUN  %s\n", report->obstacle);
    text_append(out, "verdict: %s (seed %llu)\n", report_outcome_name(outcome),
                (unsigned long long)report->seed);
    text_append(out, "files:   %s\n", report->directory);
    if (outcome != REPORT_PASS) {
        text_append(out, "again:   ");
        report_append_command(report, out);
        text_append(out, "\n");
    }
}

/* ---- JUnit ----------------------------------------------------------------------------------- */

static double seconds(const struct report *report)
{
    return report->end_ns > report->start_ns
               ? (double)(report->end_ns - report->start_ns) / (double)NS_PER_S
               : 0;
}

static void append_case(const struct report *report, const char *name, const char *tag,
                        const char *message, const char *body, struct text *out)
{
    text_append(out, "  <testcase classname=\"sever.");
    report_append_xml(out, report->experiment->name);
    text_append(out, "\" name=\"");
    report_append_xml(out, name);
    text_append(out, "\" time=\"%.3f\"", seconds(report));
    if (!tag) {
        text_append(out, "/>\n");
        return;
    }
    text_append(out, ">\n    <%s message=\"", tag);
    report_append_xml(out, message);
    text_append(out, "\">");
    report_append_xml(out, body);
    text_append(out, "</%s>\n  </testcase>\n", tag);
}

static void append_cases(const struct report *report, struct text *out)
{
    struct text again = {0}, unproved = {0};
    text_append(&again, "again: ");
    report_append_command(report, &again);
    for (size_t i = 0; i < report->experiment->expectation_count; i++) {
        const char *name = report->experiment->expectations[i].text;
        if (!report->results) {
            append_case(report, name, "error", report->obstacle, text_get(&again), out);
            continue;
        }
        const struct report_result *result = &report->results[i];
        bool explained = report->experiment->expectations[i].kind == EXPECT_LINEARIZABLE;
        struct text body = {0};
        text_append(&body, "%s%s%s", explained ? text_get(&report->explanation) : "",
                    explained && report->explanation.length ? "\n" : "", text_get(&again));
        static const char *const tags[] = {NULL, "failure", "error"};
        append_case(report, name, tags[result->verdict], result->summary, text_get(&body), out);
        text_free(&body);
    }
    append_unproved(report, &unproved);
    if (unproved.length || (report->obstacle[0] && report->results))
        append_case(report, "every fault took effect", "error",
                    report->obstacle[0] ? report->obstacle : "a fault had no effect",
                    text_get(&unproved), out);
    text_free(&unproved);
    text_free(&again);
}

static size_t count_text(const struct text *text, const char *what)
{
    size_t count = 0;
    for (const char *at = text_get(text); (at = strstr(at, what)); at++)
        count++;
    return count;
}

void report_append_junit(const struct report *report, struct text *out)
{
    struct text cases = {0};
    append_cases(report, &cases);
    text_append(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"");
    report_append_xml(out, report->experiment->name);
    text_append(out, "\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" time=\"%.3f\">\n",
                count_text(&cases, "<testcase "), count_text(&cases, "<failure "),
                count_text(&cases, "<error "), seconds(report));
    text_append(out, "%s</testsuite>\n", text_get(&cases));
    text_free(&cases);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Whole or not at all: what was there stays until all of the new is written. */
static int write_file(const char *directory, const char *name, const struct text *content,
                      struct error *error)
{
    struct text path = {0}, fresh = {0};
    text_append(&path, "%s/%s", directory, name);
    text_append(&fresh, "%s.new", text_get(&path));
    int code = 0;
    errno = 0;
    FILE *file = fopen(text_get(&fresh), "we");
    if (!file || fwrite(text_get(content), 1, content->length, file) != content->length)
        code = errno ? -errno : -EIO;
    if (file && fclose(file) != 0 && code == 0)
        code = -errno;
    if (code == 0 && rename(text_get(&fresh), text_get(&path)) != 0)
        code = -errno;
    if (code < 0) {
        unlink(text_get(&fresh));
        error_set_at(error, code, text_get(&path), "can't be written: %s", strerror(-code));
    }
    text_free(&path);
    text_free(&fresh);
    return code;
}

int report_write_history(const struct report *report, struct error *error)
{
    struct text text = {0};
    if (!report->history)
        return 0;
    history_write(report->history, &text);
    int code = write_file(report->directory, "history.jsonl", &text, error);
    text_free(&text);
    return code;
}

static void append_journal(const struct report *report, struct text *out)
{
    json_t *journal = report_journal_json(report);
    char *json = json_dumps(journal, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    text_append(out, "%s\n", json ? json : "{}");
    free(json);
    json_decref(journal);
}

int report_write_files(const struct report *report, const char *story, struct error *error)
{
    static const char *const names[] = {"junit.xml", "report.txt", "journal.json"};
    enum { FILES = sizeof(names) / sizeof(names[0]) };
    struct text texts[FILES] = {0};
    int code = 0;
    report_append_junit(report, &texts[0]);
    text_append(&texts[1], "%s\n", story);
    report_append_verdict(report, &texts[1]);
    append_journal(report, &texts[2]);
    for (size_t i = 0; i < FILES; i++) {
        int written = write_file(report->directory, names[i], &texts[i], code ? NULL : error);
        code = code ? code : written;
        text_free(&texts[i]);
    }
    return code;
}
