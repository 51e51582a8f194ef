/* `sever check`: the checkers of histories alone. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chaos/report/report.h"
#include "chaos/run/commands.h"

enum { HISTORY_FILE_MAX = 1 << 30 };

static void print_usage(FILE *out)
{
    fprintf(out, "usage: sever check HISTORY...\n\n"
                 "Checks that each history is linearizable, key by key; of a set, that no element\n"
                 "is lost whose addition was acknowledged. A file whose name ends in\n"
                 ".log is read as a Jepsen log of one register, any other as our history.jsonl.\n"
                 "exit: 0 all pass, 1 one fails, 2 one can't be read, 3 one is unknown\n");
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static int read_history(const char *path, struct history *history, struct error *error)
{
    char *content;
    size_t length;
    int code = command_read_file(path, HISTORY_FILE_MAX, &content, &length, error);
    if (code < 0)
        return code;
    code = ends_with(path, ".log") ? history_parse_jepsen(content, length, path, history, error)
                                   : history_parse(content, length, path, history, error);
    free(content);
    if (code == 0 && history->count == 0)
        code = error_set_at(error, -EINVAL, path, "it has no operations");
    return code;
}

static void print_progress(void *context, double seconds)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "sever: %s: checking for %.0f s\n", (const char *)context, seconds);
}

static uint64_t origin_of(const struct history *history)
{
    uint64_t origin_ns = UINT64_MAX;
    for (size_t i = 0; i < history->count; i++)
        origin_ns = history->operations[i].invoke_ns < origin_ns ? history->operations[i].invoke_ns
                                                                 : origin_ns;
    return origin_ns;
}

static bool is_of_set(const struct history *history)
{
    return history->final.read ||
           (history->count > 0 && history->operations[0].function == HISTORY_ADD);
}

static enum report_outcome check_set_history(const char *path, const struct history *history)
{
    struct check_set set;
    check_set(history, &set);
    if (!set.read) {
        printf("%s: unknown: the set's elements were not read at the end\n", path);
        return REPORT_UNKNOWN;
    }
    bool fails = set.lost > 0 || set.unexpected > 0;
    printf("%s: %s: %zu of %zu acknowledged were lost, %zu elements are unexpected; %zu unknown, "
           "%zu of them there\n",
           path, fails ? "fail" : "pass", set.lost, set.acknowledged, set.unexpected, set.unknown,
           set.recovered);
    return fails ? REPORT_FAIL : REPORT_PASS;
}

static enum report_outcome check_file(char *path)
{
    struct history history = {0};
    struct check_linearizable result = {0};
    struct error error = {0};
    if (read_history(path, &history, &error) < 0) {
        command_print_error(&error);
        history_free(&history);
        return REPORT_CANNOT_RUN;
    }
    if (is_of_set(&history)) {
        enum report_outcome set_outcome = check_set_history(path, &history);
        history_free(&history);
        return set_outcome;
    }
    command_check_linearizable(&history, &result, print_progress, path);
    printf("%s: %s: %zu operations", path, check_verdict_name(result.verdict), result.checked);
    if (result.key[0])
        printf(", key %s", result.key);
    printf("%s%s\n", result.verdict == CHECK_UNKNOWN ? ": " : "",
           result.verdict == CHECK_UNKNOWN ? result.reason : "");
    if (result.verdict == CHECK_FAIL) {
        struct text why = {0};
        check_linearizable_explain(&history, &result, origin_of(&history), command_width(), &why);
        printf("%s", text_get(&why));
        text_free(&why);
    }
    static const enum report_outcome outcomes[] = {REPORT_PASS, REPORT_FAIL, REPORT_UNKNOWN};
    enum report_outcome outcome = outcomes[result.verdict];
    check_linearizable_free(&result);
    history_free(&history);
    return outcome;
}

int check_command(int argc, char **argv)
{
    static const int ranks[] = {
        [REPORT_PASS] = 0, [REPORT_UNKNOWN] = 1, [REPORT_CANNOT_RUN] = 2, [REPORT_FAIL] = 3};
    enum report_outcome worst = REPORT_PASS;
    if (argc < 2) {
        print_usage(stderr);
        return REPORT_CANNOT_RUN;
    }
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_usage(stdout);
            return 0;
        }
        if (argv[i][0] == '-' && argv[i][1]) {
            fprintf(stderr, "sever: unknown option %s: sever check takes files only\n", argv[i]);
            return REPORT_CANNOT_RUN;
        }
    }
    for (int i = 1; i < argc; i++) {
        enum report_outcome outcome = check_file(argv[i]);
        worst = ranks[outcome] > ranks[worst] ? outcome : worst;
    }
    return (int)command_end_output(worst);
}
