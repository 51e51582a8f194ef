/* `sever wrap` from end to end: clusters that know nothing of it, in labs; cut and healed from
 * outside with severctl; published on this host; and nothing left, whatever ends it. */
#include "tests/integration/sever.h"

#include <signal.h>

/* A wrap that is up, as it told. */
struct wrapped {
    struct child child;
    char url[512], port[128]; /* of severd; where this host publishes n1's first port */
};

/* The first word of the line that is "address:number"; "" when there is none. */
static void take_port(const char *line, char *port, size_t size)
{
    const char *colon = strchr(line, ':'), *begin = colon;
    while (begin && begin > line && begin[-1] != ' ')
        begin--;
    snprintf(port, size, "%.*s", colon ? (int)strcspn(begin, " ") : 0, begin ? begin : "");
}

static void wrap(struct wrapped *wrapped, const char *const words[])
{
    char line[1024];
    *wrapped = (struct wrapped){0};
    start_program(&wrapped->child, words);
    while (child_read_line(&wrapped->child, line, sizeof(line))) {
        const char *url = strstr(line, "SEVER_URL=");
        if (url)
            snprintf(wrapped->url, sizeof(wrapped->url), "%s", url);
        if (strncmp(line, "  n1 ", 5) == 0)
            take_port(line, wrapped->port, sizeof(wrapped->port));
        if (strcmp(line, "Ctrl-C ends everything.") == 0)
            return;
    }
    fail_msg("it ended: %s", line);
}

static void wrap_raftkv(struct wrapped *wrapped, const char *name)
{
    char out[256];
    const char *const words[] = {sever,         "wrap",
                                 "--nodes",     "3",
                                 "--port",      "client=6379",
                                 "--peers",     "{name}={address}:16379",
                                 "--out",       path_of(out, sizeof(out), name, ""),
                                 "--",          "raftkv",
                                 "--id",        "{name}",
                                 "--bind",      "{address}",
                                 "-p",          "{port.client}",
                                 "--peer-port", "16379",
                                 "--peers",     "{peers}",
                                 "--data",      "{dir}",
                                 NULL};
    wrap(wrapped, words);
}

/* Runs severctl as another terminal would. Returns its exit code. */
static int severctl(const struct wrapped *wrapped, const char *words, struct text *output)
{
    char command[1024];
    struct child child;
    snprintf(command, sizeof(command), "%s severctl %s", wrapped->url, words);
    const char *const argv[] = {"sh", "-c", command, NULL};
    start_program(&child, argv);
    return child_finish(&child, output);
}

static void expect_severctl(const struct wrapped *wrapped, const char *words, const char *expected)
{
    struct text output = {0};
    expect_code(severctl(wrapped, words, &output), 0, &output);
    if (!strstr(text_get(&output), expected))
        fail_msg("severctl %s said: %s", words, text_get(&output));
    text_free(&output);
}

/* Until it says so. */
static void await_severctl(const struct wrapped *wrapped, const char *words, const char *expected)
{
    uint64_t deadline_ns = monotonic_now_ns() + PATIENCE_S * NS_PER_S;
    struct text output = {0};
    do {
        text_clear(&output);
        expect_code(severctl(wrapped, words, &output), 0, &output);
        if (monotonic_now_ns() > deadline_ns)
            fail_msg("severctl %s said: %s", words, text_get(&output));
    } while (!strstr(text_get(&output), expected));
    text_free(&output);
}

static bool answers(const char *host_and_port)
{
    char command[256];
    const char *colon = strrchr(host_and_port, ':');
    struct text output = {0};
    snprintf(command, sizeof(command), "timeout 10 redis-cli -h %.*s -p %s ping",
             (int)(colon - host_and_port), host_and_port, colon + 1);
    const char *const argv[] = {"sh", "-c", command, NULL};
    child_run(argv, NULL, NULL, &output);
    bool answered = strstr(text_get(&output), "PONG") != NULL;
    text_free(&output);
    return answered;
}

static void await_answer(const char *host_and_port)
{
    uint64_t deadline_ns = monotonic_now_ns() + PATIENCE_S * NS_PER_S;
    while (!answers(host_and_port)) {
        if (monotonic_now_ns() > deadline_ns)
            fail_msg("%s does not answer", host_and_port);
        monotonic_sleep_until(monotonic_now_ns() + 50 * NS_PER_MS);
    }
}

static void expect_end(struct wrapped *wrapped, int signal, int code, const char *name)
{
    struct text output = {0};
    kill(wrapped->child.pid, signal);
    expect_code(child_finish(&wrapped->child, &output), code, &output);
    expect_no_process(name);
    text_free(&output);
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void a_cluster_is_cut_from_outside(void **state)
{
    become_as_asked(state);
    const char *name = as_nobody ? "raftkv-nobody" : "raftkv";
    struct wrapped wrapped;
    struct text output = {0};
    wrap_raftkv(&wrapped, name);
    await_answer(wrapped.port);
    expect_severctl(&wrapped, "lab exec client-1 -- redis-cli -h n1 ping", "PONG");
    expect_severctl(&wrapped, "lab exec n2 -- redis-cli -h n1 ping", "PONG");
    expect_severctl(&wrapped, "isolate n1", "isolated n1");
    expect_code(severctl(&wrapped, "lab exec n2 -- timeout 1 redis-cli -h n1 ping", &output), 124,
                &output);
    assert_true(answers(wrapped.port)); /* whoever isn't a member reaches it still */
    expect_severctl(&wrapped, "lab connections", "both");
    expect_severctl(&wrapped, "heal", "healed");
    expect_severctl(&wrapped, "lab exec n2 -- redis-cli -h n1 ping", "PONG");
    text_free(&output);
    expect_end(&wrapped, SIGINT, 0, name);
    free(read_file(name, "n3/log"));
}

static void a_killed_wrap_leaves_nothing(void **state)
{
    become_as_asked(state);
    const char *name = as_nobody ? "killed-nobody" : "killed";
    struct wrapped wrapped;
    wrap_raftkv(&wrapped, name);
    expect_end(&wrapped, SIGKILL, 128 + SIGKILL, name);
}

/* The nodes go with severd; what is told is why. */
static void a_killed_severd_is_told(void **state)
{
    become_as_asked(state);
    const char *name = as_nobody ? "severd-nobody" : "severd";
    struct wrapped wrapped;
    struct text output = {0};
    wrap_raftkv(&wrapped, name);
    expect_code(severctl(&wrapped, "status --json", &output), 0, &output);
    const char *pid = strstr(text_get(&output), "\"pid\":");
    assert_non_null(pid);
    assert_int_equal(kill((pid_t)strtol(pid + strlen("\"pid\":"), NULL, 10), SIGKILL), 0);
    text_free(&output);
    expect_code(child_finish(&wrapped.child, &output), CANNOT_RUN, &output);
    assert_non_null(strstr(text_get(&output), "severd ended by itself, killed by signal 9"));
    expect_no_process(name);
    text_free(&output);
}

/* Addresses are the same in both; each sees its own only. */
static void two_labs_are_no_trouble_to_each_other(void **state)
{
    become_as_asked(state);
    const char *names[] = {as_nobody ? "one-nobody" : "one", as_nobody ? "two-nobody" : "two"};
    struct wrapped one, two;
    wrap_raftkv(&one, names[0]);
    wrap_raftkv(&two, names[1]);
    assert_string_not_equal(one.port, two.port);
    await_answer(one.port);
    await_answer(two.port);
    expect_end(&one, SIGTERM, 0, names[0]);
    assert_true(answers(two.port));
    expect_end(&two, SIGTERM, 0, names[1]);
}

/* The cluster of an experiment, and nothing else of it. */
static void the_cluster_of_a_file_is_wrapped(void **state)
{
    become_as_asked(state);
    const char *name = as_nobody ? "file-nobody" : "file";
    char file[256], out[256];
    struct wrapped wrapped;
    write_experiment("redis.yaml",
                     "name: redis\n"
                     "cluster:\n"
                     "  nodes: [n1, n2]\n"
                     "  command: [redis-server, --port, '{port.client}', --dir, '{dir}']\n"
                     "  ports: {client: 6379}\n",
                     "workload: {kind: another}\n");
    const char *const words[] = {sever,
                                 "wrap",
                                 path_of(file, sizeof(file), "redis.yaml", ""),
                                 "--clients=0",
                                 "--out",
                                 path_of(out, sizeof(out), name, ""),
                                 "--",
                                 "--protected-mode",
                                 "no",
                                 NULL};
    wrap(&wrapped, words);
    await_answer(wrapped.port);
    expect_severctl(&wrapped, "lab exec n2 -- redis-cli -h n1 replicaof n2 6379", "OK");
    expect_severctl(&wrapped, "cut n1 n2", "cut n1<->n2");
    await_severctl(&wrapped, "lab connections", "n1");
    expect_end(&wrapped, SIGINT, 0, name);
}

/* What examples/etcd tells to try by hand: a linearizable read needs the majority, a serializable
 * one nobody. */
static void a_minority_of_etcd_reads_what_is_old(void **state)
{
    (void)state;
    void *ordinary = geteuid() == 0 ? &as_nobody : NULL;
    become_as_asked(&ordinary);
    const char *source = getenv("SEVER_SOURCE_DIR");
    char file[512], out[256];
    struct wrapped wrapped;
    struct text output = {0};
    snprintf(file, sizeof(file), "%s/examples/etcd/leader-isolated.yaml", source ? source : ".");
    const char *const words[] = {
        sever, "wrap", file, "--out", path_of(out, sizeof(out), "stale", ""), NULL};
    wrap(&wrapped, words);
    expect_severctl(&wrapped, "lab exec n2 -- sh -c 'until etcdctl put greeting old; do :; done'",
                    "OK");
    expect_severctl(&wrapped, "lab exec n1 -- etcdctl --command-timeout=25s get greeting", "old");
    expect_severctl(&wrapped, "isolate n1", "isolated n1");
    expect_severctl(&wrapped, "lab exec n2 -- sh -c 'until etcdctl put greeting new; do :; done'",
                    "OK"); /* when it has a leader again */
    expect_code(
        severctl(&wrapped, "lab exec n1 -- etcdctl --command-timeout=2s get greeting", &output), 1,
        &output);
    expect_severctl(&wrapped,
                    "lab exec n1 -- etcdctl --dial-timeout=25s --command-timeout=25s get greeting "
                    "--consistency=s",
                    "old");
    expect_severctl(&wrapped, "lab exec n2 -- etcdctl --command-timeout=25s get greeting", "new");
    text_free(&output);
    expect_end(&wrapped, SIGINT, 0, "stale");
}

static int wrap_shell(const char *script, const char *name, struct text *output)
{
    char out[256];
    struct child child;
    const char *const words[] = {
        sever,       "wrap", "--nodes", "a,b",
        "--clients", "0",    "--out",   path_of(out, sizeof(out), name, ""),
        "--",        "sh",   "-c",      script,
        NULL};
    start_program(&child, words);
    return child_finish(&child, output);
}

static void commands_that_end_are_told(void **state)
{
    become_as_asked(state);
    struct text output = {0};
    const char *name = as_nobody ? "ends-nobody" : "ends";
    expect_code(wrap_shell("echo last words; exit {id}", name, &output), FAIL, &output);
    assert_non_null(strstr(text_get(&output), "a ended by itself, exit status 1: last words"));
    assert_non_null(strstr(text_get(&output), "b ended by itself, exit status 2: last words"));
    expect_no_process(name);
    text_clear(&output);
    name = as_nobody ? "meet-nobody" : "meet";
    expect_code(
        wrap_shell("getent hosts a b && test $(hostname) = {name} && cd {dir}", name, &output),
        PASS, &output);
    assert_non_null(strstr(text_get(&output), "every command has ended"));
    text_free(&output);
}

static void mistakes_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *words[8], *told;
    } cases[] = {
        {{"--nodes", "3"}, "which command?"},
        {{"--nodes", "--", "true"}, "--nodes needs a value"},
        {{"--nodes", "0", "--", "true"}, "number of nodes"},
        {{"--nodes", "a,,b", "--", "true"}, "the node's name is empty"},
        {{"--port", "http", "--", "true"}, "port"},
        {{"--colour", "--", "true"}, "unknown option --colour"},
        {{"--", "true", "{adress}"}, "did you mean {address}?"},
        {{"--", "no-such-program"}, "no program no-such-program"},
        {{"--subnet", "10.0.0.0/33", "--", "true"}, "subnet"},
        {{"a.yaml", "--nodes", "3"}, "are in the file"},
    };
    as_nobody = false;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[256], name[32];
        struct child child;
        struct text output = {0};
        snprintf(name, sizeof(name), "refused-%zu", i);
        const char *words[16] = {sever, "wrap", "--out", path_of(out, sizeof(out), name, "")};
        for (size_t k = 0; cases[i].words[k]; k++)
            words[4 + k] = cases[i].words[k];
        start_program(&child, words);
        expect_code(child_finish(&child, &output), CANNOT_RUN, &output);
        if (!strstr(text_get(&output), cases[i].told))
            fail_msg("'%s' is not told: %s", cases[i].told, text_get(&output));
        assert_int_not_equal(access(out, F_OK), 0);
        text_free(&output);
    }
}

/* It can't begin for what shows only when the lab is made: nothing of it is left. */
static void what_did_not_begin_leaves_no_results(void **state)
{
    become_as_asked(state);
    char out[256];
    for (int there = 0; there < 2; there++) {
        struct child child;
        struct text output = {0};
        path_of(out, sizeof(out), there ? "kept" : "gone", "");
        if (there)
            assert_int_equal(mkdir(out, 0777) || chmod(out, 0777), 0);
        const char *const words[] = {sever, "wrap", "--subnet", "10.77.0.0/30", "--out",
                                     out,   "--",   "sleep",    "60",           NULL};
        start_program(&child, words);
        expect_code(child_finish(&child, &output), CANNOT_RUN, &output);
        assert_int_equal(rmdir(out), there ? 0 : -1); /* it is empty */
        text_free(&output);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_refused),
        AS_BOTH(a_cluster_is_cut_from_outside),
        AS_BOTH(a_killed_wrap_leaves_nothing),
        AS_BOTH(two_labs_are_no_trouble_to_each_other),
        AS_BOTH(the_cluster_of_a_file_is_wrapped),
        AS_BOTH(commands_that_end_are_told),
        AS_BOTH(a_killed_severd_is_told),
        AS_BOTH(what_did_not_begin_leaves_no_results),
        cmocka_unit_test(a_minority_of_etcd_reads_what_is_old),
    };
    return cmocka_run_group_tests_name("wrap", tests, sever_set_up, sever_tear_down);
}
