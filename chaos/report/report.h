/* The account of a run: verdict, journal, JUnit XML and text, and the files they are written to. */
#ifndef SEVER_CHAOS_REPORT_H
#define SEVER_CHAOS_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "chaos/check/check.h"
#include "chaos/experiment/experiment.h"
#include "chaos/history/history.h"
#include "chaos/nemesis/nemesis.h"
#include "chaos/workload/workload.h"
#include "proxy/base/error.h"
#include "proxy/base/text.h"

/* The exit codes of `sever`. */
enum report_outcome {
    REPORT_PASS = 0,
    REPORT_FAIL = 1,
    REPORT_CANNOT_RUN = 2,
    REPORT_UNKNOWN = 3,
};
const char *report_outcome_name(enum report_outcome outcome); /* "pass", ... "cannot run" */

struct report_role_change {
    uint64_t at_ns;
    size_t node;
    char role[24];
    char term[24];
    char leader[RULESET_NAME_MAX];
};

struct report_result { /* of one expectation */
    enum check_verdict verdict;
    char summary[512];
};

struct report { /* all borrowed but what report_free says */
    const struct experiment *experiment;
    const char *file;      /* of the experiment, as given */
    const char *directory; /* where the files go, as told to people */
    bool network_given;    /* on the command line, not by the file */
    char *const *extra_arguments;
    size_t extra_count;
    uint64_t seed;
    int64_t started_wall_ns;
    uint64_t start_ns, end_ns; /* of the workload; 0: it did not come to that */
    json_t *severd_status;     /* may be NULL; owned */
    const struct nemesis_record *records;
    size_t record_count;
    const struct nemesis_exit *exits;
    size_t exit_count;
    const struct periods *periods;    /* NULL when the run did not get through */
    struct report_role_change *roles; /* owned */
    size_t role_count;
    const struct history *history;
    struct report_result *results; /* per expectation, owned; NULL: not judged */
    struct text explanation;       /* of a linearizability failure; owned */
    char obstacle[1024];           /* why the run could not be done; "" when it could */
};
void report_free(struct report *report);

/* A check that failed is a failure whatever else happened; then an obstacle or a fault without
 * effect means that nothing was shown; then unknown. */
enum report_outcome report_decide(const struct report *report);
/* Steps that should have had an effect and show none. */
size_t report_count_unproved(const struct report *report);
/* The command that runs it again, quoted for a shell. */
void report_append_command(const struct report *report, struct text *out);

/* What `--json` prints: name, seed, outcome, expectations, faults, files. New reference. */
json_t *report_verdict_json(const struct report *report);
/* journal.json. New reference. */
json_t *report_journal_json(const struct report *report);
void report_append_junit(const struct report *report, struct text *out);
/* The end of the story: each expectation, the explanation, where the files are. */
void report_append_verdict(const struct report *report, struct text *out);

/* Writes junit.xml, report.txt (story: what was told so far) and journal.json, over what is there.
 * Each is tried; the first error is told. */
int report_write_files(const struct report *report, const char *story, struct error *error);
/* Writes history.jsonl; nothing when there is no history. */
int report_write_history(const struct report *report, struct error *error);

/* ---- small pure parts ------------------------------------------------------------------------ */

/* Appends text for XML content or an attribute: escaped, and what XML 1.0 can't hold as '?'. */
void report_append_xml(struct text *out, const char *text);
/* Appends text as one shell word. */
void report_append_shell_word(struct text *out, const char *word);
/* Copies text with every byte that is not valid UTF-8 replaced by '?'. The caller frees it. */
char *report_copy_utf8(const char *text);

/* "minority n1,n4: 0 ok, 38 refused (NOQUORUM); majority n2,n3,n5: 120 ok": what each side
 * answered between two readings of the counters. When no node is on a side: "all: 400 ok". */
void report_append_sides(const char (*nodes)[RULESET_NAME_MAX], size_t count, const uint8_t *side,
                         const struct workload_counts *before, const struct workload_counts *now,
                         struct text *out);

#endif
