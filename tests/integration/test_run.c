/* `sever run` from end to end: sever, severd and raftkv as processes, each run on a loopback subnet
 * and in a folder of its own.
 *
 *     test -> sever -> severd                127.A.B.101...: routes
 *                  `-> raftkv n1 n2 n3       127.A.B.1...
 *
 * Everything that a run starts has the run's folder on its command line, which is how a process
 * that is left behind is found. */
#include "tests/lib/test.h"

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/io/filter.h"
#include "tests/integration/sever.h"
#include "tests/lib/child.h"

static const char split_brain[] = "duration: " SPLIT_DURATION "\n"
                                  "timeline:\n"
                                  "  - {at: 500ms, split: 'leader / rest', name: brain}\n"
                                  "  - {at: " SPLIT_HEALED ", heal: all}\n"
                                  "expect:\n"
                                  "  - linearizable\n"
                                  "  - minority stops within " SPLIT_STOPS "\n"
                                  "  - recovers within " SPLIT_RECOVERS "\n"
                                  "  - availability of majority at least 20%\n";

static const char every_step[] =
    "duration: 7s\n"
    "timeline:\n"
    "  - {at: 300ms, pause: leader}\n"
    "  - {at: 1s, resume: leader}\n"
    "  - {at: 1500ms, kill: follower}\n"
    "  - {at: 2s, restart: follower}\n"
    "  - {at: 2500ms, clock: {node: follower, offset: +2s, drift: 50ppm}}\n"
    "  - {at: 3s, delay: {link: 'leader<->follower', by: '20ms±5ms'}, name: slow}\n"
    "  - {at: 3200ms, rate: {link: 'follower<->leader', to: 10mbit}, name: thin}\n"
    "  - {at: 4s, clear: slow}\n"
    "  - {at: 4200ms, clear: all}\n"
    "  - {at: 4500ms, cut: 'leader<->follower', name: one}\n"
    "  - {at: 5s, isolate: n2, name: two}\n"
    "  - {at: 5500ms, heal: all}\n"
    "expect: [linearizable, availability at least 1%]\n";

/* A paused node says nothing that could be delayed; and the run must not claim that it was. */
static const char no_effect[] = "duration: 1500ms\n"
                                "timeline:\n"
                                "  - {at: 200ms, pause: n1}\n"
                                "  - {at: 600ms, delay: {link: 'n1->n2', by: 50ms}, name: rain}\n"
                                "  - {at: 900ms, clear: rain}\n"
                                "  - {at: 1s, resume: n1}\n"
                                "expect: [availability at least 1%]\n";

static const char loss[] = "duration: 2500ms\n"
                           "timeline:\n"
                           "  - {at: 300ms, loss: {link: 'leader<->follower', by: 20%}}\n"
                           "expect: [availability at least 1%]\n";

static const char copies[] =
    "duration: 1500ms\n"
    "timeline:\n"
    "  - {at: 300ms, fault: {type: duplicate, link: 'n1<->n2', probability: 50%}}\n"
    "expect: [availability at least 1%]\n";

static const char split_for_ever[] = "duration: 10m\n"
                                     "timeline:\n"
                                     "  - {at: 500ms, split: 'leader / rest', name: brain}\n"
                                     "  - {at: " SPLIT_HEALED ", heal: all}\n"
                                     "  - {at: " SPLIT_RESTARTED ", pause: n2}\n"
                                     "expect: [linearizable, recovers within 2s]\n";

static const char short_run[] = "duration: 1500ms\nexpect: [linearizable]\n";

static const char endless[] = "duration: 10m\n"
                              "timeline:\n"
                              "  - {at: 1ms, pause: n2}\n"
                              "expect: [linearizable]\n";

/* ---- the tests ------------------------------------------------------------------------------- */

static void expect_history(const char *run_name, size_t at_least)
{
    char *text = read_file(run_name, "history.jsonl");
    size_t invoked = 0;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        json_t *json = json_loads(line, 0, NULL);
        assert_non_null(json);
        const char *type = json_string_value(json_object_get(json, "type"));
        invoked += type && strcmp(type, "invoke") == 0;
        json_decref(json);
    }
    assert_true(invoked >= at_least);
    free(text);
}

/* Two at once: their subnets must not collide. */
static void split_brain_passes_twice_at_the_same_time(void **state)
{
    (void)state;
    static const char *const other_seed[] = {"--seed", "77", "--json", NULL};
    struct child one, two;
    struct text story = {0}, verdict = {0};
    write_experiment("split.yaml", head, split_brain);
    start(&one, "split.yaml", "pass-one", NULL);
    start(&two, "split.yaml", "pass-two", other_seed);
    int first = child_finish(&one, &story), second = child_finish(&two, &verdict);
    expect_code(first, PASS, &story);
    expect_code(second, PASS, &verdict);
    expect_no_process("pass-one");
    expect_no_process("pass-two");

    assert_non_null(strstr(text_get(&story), "leads in term"));
    assert_non_null(strstr(text_get(&story), "minority n"));
    assert_non_null(strstr(text_get(&story), "verdict: pass (seed 1)"));
    assert_null(strstr(text_get(&story), "\033["));
    json_t *json = json_loads(text_get(&verdict), 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "verdict")), "pass");
    assert_int_equal(json_integer_value(json_object_get(json, "seed")), 77);
    json_decref(json);

    expect_history("pass-one", 300);
    char *junit = read_file("pass-one", "junit.xml");
    assert_int_equal(count_of(junit, "<testcase "), 4);
    assert_non_null(strstr(junit, "failures=\"0\" errors=\"0\""));
    free(junit);
    char *report = read_file("pass-one", "report.txt");
    assert_non_null(strstr(report, "PASS     linearizable"));
    free(report);
    free(read_file("pass-one", "n3/log"));
    text_free(&story);
    text_free(&verdict);
}

static void the_checker_agrees_with_the_run(const char *run_name, int expected)
{
    char path[256];
    struct text output = {0};
    const char *argv[] = {sever, "check", path_of(path, sizeof(path), run_name, "history.jsonl"),
                          NULL};
    expect_code(child_run(argv, NULL, NULL, &output), expected, &output);
    text_free(&output);
}

static void half_a_quorum_is_found(void **state)
{
    (void)state;
    static const char *const bug[] = {"--", "--bug", "half-quorum", NULL};
    struct text output = {0};
    write_experiment("split.yaml", head, split_brain);
    expect_code(run("split.yaml", "bug", bug, &output), FAIL, &output);
    assert_non_null(strstr(text_get(&output), "FAIL     linearizable"));
    assert_non_null(strstr(text_get(&output), "why:"));
    assert_non_null(strstr(text_get(&output), "--seed 1 -- --bug half-quorum"));
    char *junit = read_file("bug", "junit.xml");
    assert_true(count_of(junit, "<failure ") >= 1);
    free(junit);
    the_checker_agrees_with_the_run("bug", FAIL);
    the_checker_agrees_with_the_run("pass-one", PASS);
    text_free(&output);
}

static void a_minority_that_exits_has_stopped(void **state)
{
    (void)state;
    static const char *const leave[] = {
        "--", "--on-minority", "exit", "--election-timeout", SPLIT_ELECTION, NULL};
    struct text output = {0};
    write_experiment("leave.yaml", head,
                     "duration: " SPLIT_DURATION "\n"
                     "timeline:\n"
                     "  - {at: 500ms, split: 'leader / rest', name: brain}\n"
                     "  - {at: " SPLIT_HEALED ", heal: all}\n"
                     "  - {at: " SPLIT_RESTARTED ", restart: leader}\n"
                     "expect: [minority stops within " SPLIT_STOPS ",\n"
                     "         recovers within " SPLIT_RECOVERS "]\n");
    expect_code(run("leave.yaml", "leave", leave, &output), PASS, &output);
    assert_non_null(strstr(text_get(&output), "ended by itself, exit status 3"));
    json_t *journal = read_journal("leave");
    assert_int_equal(json_array_size(json_object_get(journal, "exits")), 1);
    json_decref(journal);
    text_free(&output);
}

static void without_severd_the_run_ends(void **state)
{
    (void)state;
    struct child child;
    struct text output = {0};
    write_experiment("endless.yaml", head, endless);
    start(&child, "endless.yaml", "alone", NULL);
    await_line(&child, "in state T");
    kill(find_process("alone", "severd --listen unix:"), SIGKILL);
    expect_code(child_finish(&child, &output), CANNOT_RUN, &output);
    assert_non_null(strstr(text_get(&output), "severd ended by itself, killed by signal 9"));
    expect_no_process("alone");
    text_free(&output);
}

static void every_kind_of_step_is_proved(void **state)
{
    (void)state;
    struct text output = {0};
    write_experiment("steps.yaml", head, every_step);
    expect_code(run("steps.yaml", "steps", NULL, &output), PASS, &output);
    json_t *journal = read_journal("steps"), *step;
    size_t i, ended = 0;
    json_array_foreach(json_object_get(journal, "timeline"), i, step)
    {
        const char *proof = json_string_value(json_object_get(step, "proof"));
        bool ends = strcmp(proof, "not needed") == 0;
        assert_true(ends || strcmp(proof, "proved") == 0);
        assert_true(ends || json_is_string(json_object_get(step, "evidence")));
        assert_true(json_is_integer(json_object_get(step, "done_ns")));
        assert_true(json_integer_value(json_object_get(step, "began_ns")) >=
                    json_integer_value(json_object_get(step, "planned_ns")));
        ended += ends;
    }
    assert_int_equal(i, 12);
    assert_int_equal(ended, 3);
    assert_true(json_array_size(json_object_get(journal, "periods")) >= 8);
    assert_true(json_array_size(json_object_get(journal, "roles")) >= 3);
    json_decref(journal);
    text_free(&output);
}

static void a_fault_without_effect_is_no_pass(void **state)
{
    (void)state;
    struct text output = {0};
    write_experiment("rain.yaml", head, no_effect);
    expect_code(run("rain.yaml", "rain", NULL, &output), CANNOT_RUN, &output);
    assert_non_null(strstr(text_get(&output), "PASS     availability"));
    assert_non_null(strstr(text_get(&output), "NO EFFECT  line 15"));
    char *junit = read_file("rain", "junit.xml");
    assert_non_null(strstr(junit, "every fault took effect"));
    free(junit);
    text_free(&output);
}

static void a_bad_file_is_refused_at_its_place(void **state)
{
    (void)state;
    struct text output = {0};
    char out[256];
    write_experiment("bad.yaml", head, "duration: 5s\nexpect: [linearizabel]\n");
    expect_code(run("bad.yaml", "bad", NULL, &output), CANNOT_RUN, &output);
    assert_non_null(strstr(text_get(&output), "bad.yaml:13:"));
    assert_int_not_equal(access(path_of(out, sizeof(out), "bad", ""), F_OK), 0);
    text_clear(&output);
    expect_code(run("no-such.yaml", "bad", NULL, &output), CANNOT_RUN, &output);
    assert_non_null(strstr(text_get(&output), "no-such.yaml"));
    text_clear(&output);
    write_experiment("split.yaml", head, split_brain);
    expect_code(run("split.yaml", "split.yaml", NULL, &output), CANNOT_RUN, &output);
    assert_non_null(strstr(text_get(&output), "is there already"));
    text_free(&output);
}

static void what_no_stream_can_have_is_refused_before_anything_starts(void **state)
{
    (void)state;
    static const char *const json[] = {"--json", NULL};
    struct text output = {0};
    char out[256];
    write_experiment("copies.yaml", head, copies);
    expect_code(run("copies.yaml", "copies", NULL, &output), CANNOT_RUN, &output);
    assert_non_null(strstr(text_get(&output), "copies.yaml:14: 'duplicate' can't be done"));
    assert_int_not_equal(access(path_of(out, sizeof(out), "copies", ""), F_OK), 0);
    text_clear(&output);
    expect_code(run("copies.yaml", "copies", json, &output), CANNOT_RUN, &output);
    const char *begin = strchr(text_get(&output), '{');
    assert_non_null(begin);
    json_t *verdict = json_loads(begin, JSON_DISABLE_EOF_CHECK, NULL);
    assert_non_null(strstr(json_string_value(json_object_get(verdict, "obstacle")), "copies.yaml"));
    assert_string_equal(json_string_value(json_object_get(verdict, "verdict")), "cannot run");
    json_decref(verdict);
    text_free(&output);
}

/* Real segments are lost where severd may filter its sockets; elsewhere the run says why not. */
static void loss_is_real_or_refused(void **state)
{
    (void)state;
    struct text output = {0};
    write_experiment("loss.yaml", head, loss);
    bool possible = filter_allowed() == 0;
    expect_code(run("loss.yaml", "loss", NULL, &output), possible ? PASS : CANNOT_RUN, &output);
    if (!possible)
        assert_non_null(strstr(text_get(&output), "loss.yaml:14: 'loss' can't be done here"));
    text_free(&output);
}

/* Runs `script` in a shell; $0 is sever, $1 the experiment, $2 the folder. */
static int run_in_shell(const char *script, const char *experiment, const char *name,
                        struct text *output)
{
    char file[256], out[256], search[1024];
    snprintf(search, sizeof(search), "PATH=%.*s:%s", (int)(strrchr(sever, '/') - sever), sever,
             getenv("PATH"));
    const char *environment[] = {search, NULL};
    const char *argv[] = {"sh",
                          "-c",
                          script,
                          sever,
                          path_of(file, sizeof(file), experiment, ""),
                          path_of(out, sizeof(out), name, ""),
                          NULL};
    return child_run(argv, environment, NULL, output);
}

static void expect_text(const struct text *output, const char *expected)
{
    if (!strstr(text_get(output), expected))
        fail_msg("nothing of '%s' in:\n%s", expected, text_get(output));
}

static void a_verdict_that_nobody_was_told_is_no_pass(void **state)
{
    (void)state;
    struct text output = {0};
    write_experiment("short.yaml", head, short_run);
    expect_code(run_in_shell("\"$0\" run \"$1\" --out \"$2\" --json >/dev/full", "short.yaml",
                             "full", &output),
                CANNOT_RUN, &output);
    expect_text(&output, "can't write to standard output");
    text_clear(&output);
    expect_code(
        run_in_shell("\"$0\" check \"$2\"/history.jsonl >/dev/full", "short.yaml", "full", &output),
        CANNOT_RUN, &output);
    expect_text(&output, "can't write to standard output");
    text_free(&output);
}

/* As under nohup, and in the background of a shell. */
static void an_ignored_signal_stays_ignored(void **state)
{
    (void)state;
    struct text output = {0};
    expect_code(
        run_in_shell("trap '' HUP INT; \"$0\" run \"$1\" --out \"$2\" & pid=$!;"
                     "while kill -0 $pid && ! grep -qs . \"$2\"/n3/log; do sleep 0.05; done;"
                     "kill -HUP $pid; kill -INT $pid; wait $pid",
                     "short.yaml", "ignored", &output),
        PASS, &output);
    assert_non_null(strstr(text_get(&output), "verdict: pass"));
    text_free(&output);
}

static void a_failure_outranks_a_later_obstacle(void **state)
{
    (void)state;
    static const char *const bug[] = {"--", "--bug", "half-quorum", NULL};
    struct child child;
    struct text output = {0};
    write_experiment("late.yaml", head, split_for_ever);
    start(&child, "late.yaml", "late", bug);
    await_line(&child, "in state T");
    kill(find_process("late", "severd --listen unix:"), SIGKILL);
    expect_code(child_finish(&child, &output), FAIL, &output);
    assert_non_null(strstr(text_get(&output), "FAIL     linearizable"));
    assert_non_null(strstr(text_get(&output), "UNKNOWN  recovers within 2s: not judged"));
    assert_non_null(strstr(text_get(&output), "severd ended by itself"));
    expect_no_process("late");
    text_free(&output);
}

/* The files are there before the checks begin, and again with the verdict. */
static void what_is_known_is_written_before_the_checks(void **state)
{
    (void)state;
    char path[256], buffer[8192];
    struct text output = {0}, order = {0};
    assert_int_equal(mkdir(path_of(path, sizeof(path), "twice", ""), 0755), 0);
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    assert_true(fd >= 0 && inotify_add_watch(fd, path, IN_MOVED_TO) >= 0);
    expect_code(run("short.yaml", "twice", NULL, &output), PASS, &output);
    for (ssize_t n; (n = read(fd, buffer, sizeof(buffer))) > 0;)
        for (ssize_t at = 0; at < n;) {
            struct inotify_event event;
            memcpy(&event, buffer + at, sizeof(event));
            text_append(&order, "%s ", buffer + at + sizeof(event));
            at += (ssize_t)(sizeof(event) + event.len);
        }
    close(fd);
    assert_string_equal(text_get(&order), "junit.xml report.txt journal.json history.jsonl "
                                          "junit.xml report.txt journal.json ");
    text_free(&order);
    text_free(&output);
}

static void a_node_that_does_not_start_is_an_obstacle(void **state)
{
    (void)state;
    static const char *const wrong[] = {"--", "--no-such-option", NULL};
    struct text output = {0};
    write_experiment("split.yaml", head, split_brain);
    expect_code(run("split.yaml", "unready", wrong, &output), CANNOT_RUN, &output);
    assert_non_null(strstr(text_get(&output), "CANNOT RUN  before it was ready, n"));
    assert_non_null(strstr(text_get(&output), "--no-such-option"));
    json_t *journal = read_journal("unready");
    json_decref(journal);
    text_free(&output);
}

static void an_interrupted_run_leaves_nothing(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM};
    static const char *const names[] = {"interrupted", "terminated"};
    write_experiment("endless.yaml", head, endless);
    for (size_t i = 0; i < 2; i++) {
        struct child child;
        struct text output = {0};
        start(&child, "endless.yaml", names[i], NULL);
        await_line(&child, "in state T");
        kill(child.pid, signals[i]);
        expect_code(child_finish(&child, &output), 128 + signals[i], &output);
        assert_non_null(strstr(text_get(&output), "interrupted"));
        expect_no_process(names[i]);
        free(read_file(names[i], "history.jsonl"));
        text_free(&output);
    }
}

/* A node that is a shell with the server as its child, out of its group and session: the
 * parent-death signal ends the shell, only the guard ends the child. */
static bool is_whole(size_t count)
{
    return count == 12;
}

static void a_killed_run_leaves_nothing(void **state)
{
    (void)state;
    struct child child;
    struct text shell = {0};
    const char *command = strstr(head, "[raftkv");
    text_append_bytes(&shell, head, (size_t)(command - head));
    text_append(&shell, "[sh, -c, 'setsid --wait \"$@\"; true', sh, %s", command + 1);
    write_experiment("shell.yaml", text_get(&shell), endless);
    start(&child, "shell.yaml", "killed", NULL);
    await_line(&child, "in state T");
    /* sever, severd, three shells and three servers, and a guard for each but sever and servers */
    assert_int_equal(await_processes("killed", is_whole), 12);
    child_kill(&child);
    expect_no_process("killed");
    text_free(&shell);
}

/* Redis servers that hide: each way was once enough to pass a step that did nothing. */
static void expect_of_hiding(const char *name, const char *command, const char *step, int expected,
                             const char *told)
{
    char file[64];
    struct text top = {0}, output = {0};
    text_append(&top,
                "name: hiding\ncluster:\n  nodes: 2\n  command: %s\n  ports: {client: 6379}\n"
                "  environment: {SERVER: 'redis-server --bind {address} --port {port.client} --dir "
                "{dir}'}\n"
                "workload: {kind: register, clients: 2, rate: 50, timeout: 300ms, mix: {read: 60, "
                "write: 40}}\n"
                "duration: 4s\ntimeline:\n  - {at: 300ms, %s}\n"
                "expect: [availability at least 1%%]\n",
                command, step);
    snprintf(file, sizeof(file), "%s.yaml", name);
    write_experiment(file, text_get(&top), "");
    expect_code(run(file, name, NULL, &output), expected, &output);
    if (!strstr(text_get(&output), told))
        fail_msg("it is not told: %s\n%s", told, text_get(&output));
    text_free(&top);
    text_free(&output);
}

static void who_hides_is_hit_all_the_same(void **state)
{
    (void)state;
    expect_of_hiding("hiding-job", "[bash, -c, 'set -m; $SERVER & wait']", "pause: n1", PASS,
                     "below it are in state T");
    expect_of_hiding("hiding-session", "[sh, -c, 'setsid --wait $SERVER & wait']", "kill: n1", PASS,
                     "killed by signal 9");
    expect_of_hiding("hiding-clock", "[sh, -c, 'env -u LD_PRELOAD $SERVER; true']",
                     "clock: {node: n1, offset: +2s}", CANNOT_RUN, "does not map the clock page");
}

static void a_node_that_ends_unasked_is_no_pass(void **state)
{
    (void)state;
    /* when its clock has been set: then it has begun */
    expect_of_hiding("quitter",
                     "[sh, -c, '$SERVER & n=$(date +%s);\n"
                     "    while [ $(date +%s) -lt $((n + 3000)) ]; do sleep 0.2; done;\n"
                     "    sleep 1; kill $!; exit 5']",
                     "clock: {node: n1, offset: +1h}", CANNOT_RUN,
                     "no step asked for it: n1 ended by itself, exit status 5");
}

static void usage_is_told(void **state)
{
    (void)state;
    struct text output = {0};
    const char *const help[] = {sever, "run", "--help", NULL};
    const char *const version[] = {sever, "--version", NULL};
    const char *const nothing[] = {sever, NULL};
    const char *const unknown[] = {sever, "ran", NULL};
    assert_int_equal(child_run(help, NULL, NULL, &output), 0);
    assert_non_null(strstr(text_get(&output), "--seed"));
    assert_int_equal(child_run(version, NULL, NULL, &output), 0);
    assert_int_equal(child_run(nothing, NULL, NULL, &output), CANNOT_RUN);
    assert_int_equal(child_run(unknown, NULL, NULL, &output), CANNOT_RUN);
    assert_non_null(strstr(text_get(&output), "unknown command ran"));
    text_free(&output);
}

/* The last: all runs had TMPDIR here, and must have written to their folders only. */
static void nothing_was_written_elsewhere(void **state)
{
    (void)state;
    static const char *const runs[] = {"pass-one",   "pass-two",       "bug",          "steps",
                                       "rain",       "unready",        "interrupted",  "terminated",
                                       "killed",     "leave",          "alone",        "full",
                                       "ignored",    "late",           "twice",        "quitter",
                                       "hiding-job", "hiding-session", "hiding-clock", "loss"};
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        size_t length = strlen(entry->d_name);
        bool known = entry->d_name[0] == '.' ||
                     (length > 5 && strcmp(entry->d_name + length - 5, ".yaml") == 0);
        for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
            known |= strcmp(entry->d_name, runs[i]) == 0;
        if (!known)
            fail_msg("%s/%s was left", folder, entry->d_name);
    }
    closedir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_is_told),
        cmocka_unit_test(a_bad_file_is_refused_at_its_place),
        cmocka_unit_test(what_no_stream_can_have_is_refused_before_anything_starts),
        cmocka_unit_test(loss_is_real_or_refused),
        cmocka_unit_test(a_verdict_that_nobody_was_told_is_no_pass),
        cmocka_unit_test(an_ignored_signal_stays_ignored),
        cmocka_unit_test(a_failure_outranks_a_later_obstacle),
        cmocka_unit_test(what_is_known_is_written_before_the_checks),
        cmocka_unit_test(a_node_that_does_not_start_is_an_obstacle),
        cmocka_unit_test(split_brain_passes_twice_at_the_same_time),
        cmocka_unit_test(half_a_quorum_is_found),
        cmocka_unit_test(a_minority_that_exits_has_stopped),
        cmocka_unit_test(without_severd_the_run_ends),
        cmocka_unit_test(every_kind_of_step_is_proved),
        cmocka_unit_test(a_fault_without_effect_is_no_pass),
        cmocka_unit_test(an_interrupted_run_leaves_nothing),
        cmocka_unit_test(a_killed_run_leaves_nothing),
        cmocka_unit_test(who_hides_is_hit_all_the_same),
        cmocka_unit_test(a_node_that_ends_unasked_is_no_pass),
        cmocka_unit_test(nothing_was_written_elsewhere),
    };
    return cmocka_run_group_tests_name("run", tests, sever_set_up, sever_tear_down);
}
