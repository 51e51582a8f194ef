/* Real clusters, by the experiments of examples/ as they are: Debian's etcd, Redis with Sentinel
 * and PostgreSQL, in a lab of which they know nothing.
 *
 *     test -> sever -> severd: a lab, all packets through it
 *                  `-> n1 n2 n3, and clients, each in namespaces of its own
 *
 * Each verdict is also turned over: without what keeps the cluster from harm, the same experiment
 * must fail. As an ordinary user where this test is root, but for PostgreSQL's `user`. */
#include <glob.h>

#include "tests/integration/sever.h"

enum { UNKNOWN = 3 };

/* They judge databases by the clock for half a minute each, and what they say of sever and severd
 * test_run_lab says in every build. A sanitizer's memory and slowness would only be in their way:
 * the short one is left, for the way through the programs' real answers. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SHORT = 1 };
#else
enum { SHORT = 0 };
#endif

/* Skips where an ordinary user can have no lab. */
static void become_ordinary(void)
{
    void *asked = geteuid() == 0 ? &as_nobody : NULL;
    become_as_asked(&asked);
}

static const char *example(const char *name, char *path, size_t size)
{
    const char *source = getenv("SEVER_SOURCE_DIR");
    snprintf(path, size, "%s/examples/%s", source ? source : ".", name);
    return path;
}

/* Runs an example to its end. more: arguments for every node's command, or NULL. */
static void run_example(const char *name, const char *out, const char *const more[], int expected)
{
    char file[512], directory[256], line[1024];
    struct child child;
    struct text story = {0};
    const char *argv[16] = {sever, "run", example(name, file, sizeof(file)), "--out",
                            path_of(directory, sizeof(directory), out, "")};
    for (size_t i = 5; more && more[i - 5]; i++)
        argv[i] = more[i - 5];
    start_program(&child, argv);
    while (child_read_line(&child, line, sizeof(line)))
        text_append(&story, "%s\n", line);
    expect_code(child_finish(&child, &story), expected, &story);
    expect_no_process(out);
    text_free(&story);
}

/* The verdict on an expectation whose sentence begins like this. */
static void expect_verdict(const char *out, const char *sentence, const char *verdict)
{
    json_t *journal = read_journal(out), *item;
    size_t i, found = 0;
    json_array_foreach(json_object_get(json_object_get(journal, "verdict"), "expectations"), i,
                       item)
    {
        const char *text = json_string_value(json_object_get(item, "expectation"));
        if (strncmp(text, sentence, strlen(sentence)) != 0)
            continue;
        found++;
        assert_string_equal(json_string_value(json_object_get(item, "verdict")), verdict);
    }
    assert_int_equal(found, 1);
    json_decref(journal);
}

static void a_leader_of_etcd_is_isolated(void **state)
{
    (void)state;
    if (SHORT)
        skip();
    become_ordinary();
    run_example("etcd/leader-isolated.yaml", "isolated", NULL, PASS);
}

static void a_way_to_a_follower_of_etcd_is_cut(void **state)
{
    (void)state;
    static const char *const without[] = {"--", "--pre-vote=false", NULL};
    if (SHORT)
        skip();
    become_ordinary();
    run_example("etcd/one-way.yaml", "one-way", NULL, PASS);
    run_example("etcd/one-way.yaml", "storm", without, FAIL);
    expect_verdict("storm", "linearizable", "pass");
    expect_verdict("storm", "terms rise by at most 1 after faults", "fail");
}

static void redis_loses_what_it_acknowledged(void **state)
{
    (void)state;
    if (SHORT)
        skip();
    become_ordinary();
    run_example("redis/sentinel.yaml", "sentinel", NULL, PASS);
}

static void redis_that_wants_to_be_followed_loses_less(void **state)
{
    (void)state;
    if (SHORT)
        skip();
    become_ordinary();
    run_example("redis/min-replicas.yaml", "min-replicas", NULL, PASS);
}

/* What a server that was killed would leave on this host, of whichever user. */
static size_t count_shared_memory(void)
{
    glob_t found;
    size_t count = glob("/dev/shm/PostgreSQL.*", 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    globfree(&found);
    return count;
}

static void commits_of_postgres_wait_for_the_standby(void **state)
{
    (void)state;
    if (SHORT)
        skip();
    become_ordinary();
    size_t before = count_shared_memory();
    run_example("postgres/sync-standby.yaml", "sync", NULL, PASS);
    assert_int_equal(count_shared_memory(), before);
}

/* As root, whose postgres would not start but for `user`. */
static void commits_of_postgres_wait_for_nobody_if_so_asked(void **state)
{
    (void)state;
    static const char *const without[] = {"--", "-c", "synchronous_standby_names=", NULL};
    void *as_we_are = NULL;
    if (SHORT)
        skip();
    become_as_asked(&as_we_are);
    run_example("postgres/sync-standby.yaml", "async", without, FAIL);
    expect_verdict("async", "writes wait", "fail");
}

/* The worst result would be a pass. */
static void without_faults_nothing_is_shown(void **state)
{
    (void)state;
    static const char calm[] =
        "name: calm\nduration: 2s\n"
        "cluster:\n"
        "  network: lab\n  system: redis\n  nodes: 1\n  ports: {client: 6379}\n"
        "  command: [redis-server, --bind, '{address}', --save, '', --protected-mode, 'no']\n"
        "  leader: 'role:master'\n  ready: {within: 30s}\n"
        "workload: {kind: set, clients: 2}\n"
        "expect: [no acknowledged write lost, new leader within 3s, writes wait within 1s]\n";
    struct text story = {0};
    become_ordinary();
    write_experiment("calm.yaml", calm, "");
    expect_code(run("calm.yaml", "calm", NULL, &story), UNKNOWN, &story);
    expect_verdict("calm", "no acknowledged write lost", "unknown");
    expect_verdict("calm", "new leader", "unknown");
    expect_verdict("calm", "writes wait", "unknown");
    text_free(&story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_faults_nothing_is_shown),
        cmocka_unit_test(a_leader_of_etcd_is_isolated),
        cmocka_unit_test(a_way_to_a_follower_of_etcd_is_cut),
        cmocka_unit_test(redis_loses_what_it_acknowledged),
        cmocka_unit_test(redis_that_wants_to_be_followed_loses_less),
        cmocka_unit_test(commits_of_postgres_wait_for_the_standby),
        cmocka_unit_test(commits_of_postgres_wait_for_nobody_if_so_asked),
    };
    return cmocka_run_group_tests_name("clusters", tests, sever_set_up, sever_tear_down);
}
