/* Programs `sever` of the build, as tests start them: files in a folder of the test's, processes
 * that are found again by that folder on their command lines, output that is waited for. */
#ifndef SEVER_TESTS_INTEGRATION_SEVER_H
#define SEVER_TESTS_INTEGRATION_SEVER_H

#include "tests/lib/test.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "tests/lib/child.h"
#include "tests/lib/files.h"

enum { PASS = 0, FAIL = 1, CANNOT_RUN = 2, PATIENCE_S = 30 };

/* Whether programs are started as an ordinary user, where this test is root. */
static bool as_nobody;

static char sever[512];
static char folder[] = "/tmp/sever-run-XXXXXX";

/* Of a split that begins after 500 ms: when it is healed, until when its minority may go on, how
 * long all may take to go on after it, and the whole run. The thread sanitizer makes a busy
 * machine's hiccups seconds of these programs' lives. */
#ifdef __SANITIZE_THREAD__
#define SPLIT_HEALED "5s"
#define SPLIT_RESTARTED "5500ms"
#define SPLIT_STOPS "4s"
#define SPLIT_RECOVERS "5s"
#define SPLIT_DURATION "11s"
#define SPLIT_ELECTION "1500ms"
#else
#define SPLIT_HEALED "3s"
#define SPLIT_RESTARTED "3500ms"
#define SPLIT_STOPS "1500ms"
#define SPLIT_RECOVERS "2s"
#define SPLIT_DURATION "5s"
#define SPLIT_ELECTION "300ms" /* raftkv's own */
#endif

/* Three of raftkv, and their load. */
static const char head[] =
    "name: test run\n"
    "seed: 1\n"
    "cluster:\n"
    "  nodes: 3\n"
    "  command: [raftkv, --id, '{name}', --bind, '{address}', -p, '{port.client}', --peer-port,\n"
    "            '{port.peer}', --peers, '{peers}', --data, '{dir}', --log-level, debug]\n"
    "  ports: {client: 6379, peer: 16379}\n"
    "  peers: '{name}={address}:{port.peer}'\n"
    "  leader: 'role:leader'\n"
    "  ready: {within: 30s}\n"
    "workload: {kind: register, clients: 6, keys: 2, rate: 100, timeout: 500ms}\n";

/* ---- files ----------------------------------------------------------------------------------- */

static inline const char *path_of(char *buffer, size_t size, const char *run, const char *name)
{
    snprintf(buffer, size, "%s/%s%s%s", folder, run, *name ? "/" : "", name);
    return buffer;
}

static inline void write_experiment(const char *name, const char *top, const char *rest)
{
    char path[256];
    FILE *file = fopen(path_of(path, sizeof(path), name, ""), "w");
    assert_non_null(file);
    fprintf(file, "%s%s", top, rest);
    assert_int_equal(fclose(file), 0);
}

static inline char *read_file(const char *run, const char *name)
{
    char path[256], buffer[8192];
    struct text text = {0};
    size_t n;
    FILE *file = fopen(path_of(path, sizeof(path), run, name), "r");
    if (!file)
        fail_msg("%s is missing", path);
    while ((n = fread(buffer, 1, sizeof(buffer), file)) > 0)
        text_append_bytes(&text, buffer, n);
    fclose(file);
    return text.data ? text.data : memory_copy_text("");
}

static inline json_t *read_journal(const char *run)
{
    char *text = read_file(run, "journal.json");
    json_error_t error;
    json_t *journal = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!journal)
        fail_msg("journal.json:%d: %s", error.line, error.text);
    free(text);
    return journal;
}

static inline size_t count_of(const char *text, const char *what)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        count++;
    return count;
}

/* ---- processes ------------------------------------------------------------------------------- */

/* How many processes have this text on their command line; the runs' folders are unique. */
static inline size_t count_processes(const char *text)
{
    size_t count = 0;
    DIR *directory = opendir("/proc");
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        char path[64], line[4096];
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        snprintf(path, sizeof(path), "/proc/%.20s/cmdline", entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file)
            continue;
        size_t n = fread(line, 1, sizeof(line) - 1, file);
        fclose(file);
        line[n] = '\0';
        for (size_t i = 0; i < n; i++)
            line[i] = line[i] ? line[i] : ' ';
        count += strstr(line, text) != NULL;
    }
    closedir(directory);
    return count;
}

static inline size_t await_processes(const char *run, bool (*enough)(size_t count))
{
    char path[256];
    uint64_t deadline_ns = monotonic_now_ns() + PATIENCE_S * NS_PER_S;
    size_t count;
    path_of(path, sizeof(path), run, "");
    while (!enough(count = count_processes(path)) && monotonic_now_ns() < deadline_ns)
        monotonic_sleep_until(monotonic_now_ns() + 5 * NS_PER_MS);
    return count;
}

static inline bool is_none(size_t count)
{
    return count == 0;
}

static inline void expect_no_process(const char *run)
{
    assert_int_equal(await_processes(run, is_none), 0);
}

/* Starts a program with the build's in PATH, as `as_nobody` says. */
static inline void start_program(struct child *child, const char *const words[])
{
    static const char *const nobody[] = {"setpriv", "--reuid=65534", "--regid=65534",
                                         "--clear-groups", "--pdeathsig=KILL"};
    const char *argv[64];
    size_t count = 0;
    for (size_t i = 0; as_nobody && i < sizeof(nobody) / sizeof(nobody[0]); i++)
        argv[count++] = nobody[i];
    for (size_t i = 0; words[i]; i++)
        argv[count++] = words[i];
    argv[count] = NULL;
    char search[1024], temporary[256];
    snprintf(search, sizeof(search), "PATH=%.*s:%s", (int)(strrchr(sever, '/') - sever), sever,
             getenv("PATH"));
    snprintf(temporary, sizeof(temporary), "TMPDIR=%s", folder);
    const char *environment[] = {search, temporary, NULL};
    child_start(child, argv, environment);
}

/* sever run; more: further arguments, or NULL. */
static inline void start(struct child *child, const char *experiment, const char *run,
                         const char *const more[])
{
    char file[256], out[256];
    const char *argv[16] = {sever, "run", path_of(file, sizeof(file), experiment, ""), "--out",
                            path_of(out, sizeof(out), run, "")};
    for (size_t i = 5; more && more[i - 5]; i++)
        argv[i] = more[i - 5];
    start_program(child, argv);
}

/* Runs it to the end; the output is added to *output. Nothing may be left. */
static inline int run(const char *experiment, const char *name, const char *const more[],
                      struct text *output)
{
    struct child child;
    start(&child, experiment, name, more);
    int code = child_finish(&child, output);
    char path[256];
    assert_int_equal(count_processes(path_of(path, sizeof(path), name, "")), 0);
    return code;
}

static inline void expect_code(int code, int expected, const struct text *output)
{
    if (code == expected)
        return;
    fprintf(stderr, "%s\n", text_get(output)); /* fail_msg would cut it */
    fail_msg("exit code %d instead of %d: its output is above", code, expected);
}

/* Reads the story until a line has this text. */
static inline void await_line(struct child *child, const char *text)
{
    char line[1024];
    while (child_read_line(child, line, sizeof(line))) {
        if (strstr(line, text))
            return;
    }
    fail_msg("the story ended before it said: %s", text);
}

/* The process of the run that has this on its command line. */
static inline pid_t find_process(const char *run_name, const char *text)
{
    char command[512], line[64] = "";
    struct text output = {0};
    snprintf(command, sizeof(command), "%s.*%s/%s/", text, folder, run_name);
    const char *argv[] = {"pgrep", "-f", "-o", command, NULL};
    assert_int_equal(child_run(argv, NULL, NULL, &output), 0);
    snprintf(line, sizeof(line), "%s", text_get(&output));
    text_free(&output);
    return (pid_t)strtol(line, NULL, 10);
}

static inline int sever_set_up(void **state)
{
    (void)state;
    files_find_built("bin/sever", sever, sizeof(sever));
    if (!mkdtemp(folder) || chmod(folder, 01777) != 0)
        return -1;
    return access(sever, X_OK);
}

static inline int sever_tear_down(void **state)
{
    (void)state;
    if (getenv("SEVER_KEEP"))
        return 0;
    return files_remove_folder(folder);
}

/* ---- as whom --------------------------------------------------------------------------------- */

/* A test that is to run both ways: as whoever runs the tests, and as an ordinary user. */
#define AS_BOTH(function)                                                                          \
    {#function, function, NULL, NULL, NULL},                                                       \
    {                                                                                              \
#function "_as_nobody", function, NULL, NULL, &as_nobody                                   \
    }

/* What such a test calls first: decides, and skips where that user can have no lab. */
static inline void become_as_asked(void **state)
{
    static const char *const namespaces[] = {"unshare", "-Urn", "true", NULL};
    static const char *const network[] = {"unshare", "-n", "true", NULL};
    struct child child;
    as_nobody = *state != NULL;
    if (as_nobody && geteuid() != 0)
        skip(); /* the other way is this one */
#ifdef __SANITIZE_THREAD__
    if (as_nobody || geteuid() != 0)
        skip(); /* each child has a thread more, and two can't go into a user namespace */
#endif
    start_program(&child, as_nobody || geteuid() != 0 ? namespaces : network);
    bool possible = child_finish(&child, NULL) == 0;
    const char *const reach[] = {"test", "-x", sever, NULL};
    start_program(&child, reach);
    if (child_finish(&child, NULL) != 0 || !possible)
        skip();
}

#endif
