/* Labs as a person has them: severd as root or as an ordinary user, severctl's command lines, this
 * program in a node in one of lab_roles.h's roles. For tests whose main begins with
 * `if (argc > 1) return role_main(argc, argv);` and lists them by LAB_TEST. */
#ifndef SEVER_TESTS_INTEGRATION_LAB_FIXTURE_H
#define SEVER_TESTS_INTEGRATION_LAB_FIXTURE_H

#include <grp.h>

#include "tests/integration/lab_roles.h"
#include "tests/integration/severd.h"
#include "tests/lib/child.h"
#include "tests/lib/files.h"

enum { NOBODY = 65534, PORT = 2379, ARGUMENTS_MAX = 32, PATIENCE_MS = 25000, SILENCE_MS = 1000 };

struct fixture {
    struct severd severd;
    bool as_nobody;
    char severctl[PATH_MAX], self[PATH_MAX], url_setting[128];
    const char *environment[3];
};

/* Between fork and exec of severd. */
static inline void become_nobody(struct severd *severd)
{
    if (chown(severd->directory, NOBODY, NOBODY) || setgroups(0, NULL) ||
        setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* forgotten with the ids */
}

static inline void launch(struct fixture *fixture, void (*become)(struct severd *severd))
{
    severd_launch(&fixture->severd, "2", NULL, become);
    severd_await_log(&fixture->severd, "ready: control");
    snprintf(fixture->url_setting, sizeof(fixture->url_setting), "SEVER_URL=%s",
             fixture->severd.url);
    fixture->environment[0] = fixture->url_setting;
    fixture->environment[1] =
        "ASAN_OPTIONS=verify_asan_link_order=0"; /* the clock's library first */
}

static inline void start_severd(struct fixture *fixture)
{
    launch(fixture, fixture->as_nobody ? become_nobody : NULL);
}

static inline int open_fixture(void **state, bool as_nobody)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    *state = fixture;
    fixture->as_nobody = as_nobody;
    files_find_built("bin/severctl", fixture->severctl, sizeof(fixture->severctl));
    ssize_t length = readlink("/proc/self/exe", fixture->self, sizeof(fixture->self) - 1);
    assert_true(length > 0);
    fixture->self[length] = '\0';
    start_severd(fixture);
    return 0;
}

static inline int set_up(void **state)
{
    return open_fixture(state, false);
}

#ifndef __SANITIZE_THREAD__ /* see LAB_TEST */
static inline int set_up_as_nobody(void **state)
{
    return open_fixture(state, geteuid() == 0);
}
#endif

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->severd.pid > 0)
        severd_stop(&fixture->severd);
    free(fixture);
    return 0;
}

/* --- severctl --- */

/* severctl's command line as the fixture's user. */
struct line {
    const char *words[ARGUMENTS_MAX];
    size_t count;
};

static inline void add(struct line *line, const char *word)
{
    assert_true(line->count + 1 < ARGUMENTS_MAX);
    line->words[line->count++] = word;
    line->words[line->count] = NULL;
}

static inline void begin_line(struct line *line, const struct fixture *fixture)
{
    line->count = 0;
    if (fixture->as_nobody) {
        add(line, "setpriv");
        add(line, "--reuid=65534");
        add(line, "--regid=65534");
        add(line, "--clear-groups");
    }
    add(line, fixture->severctl);
}

/* Words of a command, by blanks; cut up in place. */
static inline void add_words(struct line *line, char *words)
{
    while (*words) {
        size_t length = strcspn(words, " ");
        bool last = words[length] == '\0';
        words[length] = '\0';
        add(line, words);
        words += length + (last ? 0 : 1);
    }
}

/* Runs severctl. Returns its exit code; output is replaced. */
static inline int ctl(struct fixture *fixture, struct text *output, const char *command)
{
    char words[512];
    struct line line;
    snprintf(words, sizeof(words), "%s", command);
    begin_line(&line, fixture);
    add_words(&line, words);
    text_clear(output);
    return child_run(line.words, fixture->environment, NULL, output);
}

static inline void must(struct fixture *fixture, const char *command)
{
    struct text output = {0};
    if (ctl(fixture, &output, command))
        fail_msg("severctl %s: %s", command, text_get(&output));
    text_free(&output);
}

/* Starts this program in a role in the node. */
static inline void start(struct fixture *fixture, struct child *child, const char *node,
                         const char *role)
{
    char words[256];
    struct line line;
    snprintf(words, sizeof(words), "%s", role);
    begin_line(&line, fixture);
    add(&line, "lab");
    add(&line, "exec");
    add(&line, node);
    add(&line, "--");
    add(&line, fixture->self);
    add_words(&line, words);
    child_start(child, line.words, fixture->environment);
}

/* The next line of a role: its first word must be `wanted`; the number behind it. */
static inline uint64_t hear(struct child *child, const char *wanted)
{
    char line[256];
    if (!child_read_line(child, line, sizeof(line)) || strncmp(line, wanted, strlen(wanted)) != 0)
        fail_msg("not '%s' but '%s'", wanted, line);
    return strtoull(line + strlen(wanted), NULL, 10);
}

static inline void start_server(struct fixture *fixture, struct child *child, const char *node)
{
    start(fixture, child, node, "serve 2379");
    hear(child, "ready");
}

static inline unsigned long ping_for(struct fixture *fixture, const char *node, const char *host,
                                     int patience_ms)
{
    char role[64], line[64];
    struct child child;
    unsigned long answered = 0;
    snprintf(role, sizeof(role), "ping %s 5 %d", host, patience_ms);
    start(fixture, &child, node, role);
    assert_true(child_read_line(&child, line, sizeof(line)));
    assert_int_equal(sscanf(line, "answered %lu of 5", &answered), 1);
    assert_int_equal(child_finish(&child, NULL), 0);
    return answered;
}

/* Five times. How many are answered: all are to be, whenever. */
static inline unsigned long ping(struct fixture *fixture, const char *node, const char *host)
{
    return ping_for(fixture, node, host, PATIENCE_MS);
}

/* The same where none is to be answered: that is not waited for as long. */
static inline unsigned long ping_in_vain(struct fixture *fixture, const char *node,
                                         const char *host)
{
    return ping_for(fixture, node, host, SILENCE_MS);
}

/* Each test as root, and as an ordinary user, where the test itself is root; as who it is
 * otherwise. The thread sanitizer gives each child a thread of its own, and a process with two
 * can't go into a user namespace. */
#ifdef __SANITIZE_THREAD__
#define LAB_TEST(name)                                                                             \
    {                                                                                              \
#name, name, set_up, tear_down, NULL                                                       \
    }
#else
#define LAB_TEST(name)                                                                             \
    {#name, name, set_up, tear_down, NULL},                                                        \
    {                                                                                              \
#name " as an ordinary user", name, set_up_as_nobody, tear_down, NULL                      \
    }
#endif

#endif
