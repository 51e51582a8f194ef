/* `sever run` in a lab, from end to end: what test_run tests on routes, where a lab is another
 * matter. As root and as an ordinary user.
 *
 *     test -> sever -> severd -> keeper -> first process of each node and client
 *                  `-> raftkv in n1 n2 n3, asked from client-1 ... */
#include "tests/integration/sever.h"

#include <signal.h>

static const char *const in_lab[] = {"--network", "lab", NULL};

static const char split_brain[] = "duration: " SPLIT_DURATION "\n"
                                  "timeline:\n"
                                  "  - {at: 500ms, isolate: leader, name: brain}\n"
                                  "  - {at: " SPLIT_HEALED ", heal: all}\n"
                                  "expect:\n"
                                  "  - linearizable\n"
                                  "  - minority stops within " SPLIT_STOPS "\n"
                                  "  - recovers within " SPLIT_RECOVERS "\n"
                                  "  - availability of majority at least 20%\n";

/* What streams can't have is in it, too. */
static const char every_step[] =
    "duration: 8s\n"
    "timeline:\n"
    "  - {at: 300ms, pause: leader}\n"
    "  - {at: 1s, resume: leader}\n"
    "  - {at: 1500ms, kill: follower}\n"
    "  - {at: 2s, restart: follower}\n"
    "  - {at: 2500ms, clock: {node: follower, offset: +2s, drift: 50ppm}}\n"
    "  - {at: 3s, delay: {link: 'leader<->follower', by: '20ms±5ms'}, name: slow}\n"
    "  - {at: 4s, clear: all}\n"
    "  - {at: 4500ms, cut: 'leader->follower', name: one}\n"
    "  - {at: 5500ms, heal: all}\n"
    "  - {at: 6s, loss: {link: 'leader<->follower', by: 20%}}\n"
    "  - {at: 6s, fault: {type: duplicate, link: 'leader<->follower', probability: 50%,\n"
    "                     match: 'tcp port 16379'}}\n"
    "expect: [linearizable, availability at least 1%]\n";

static const char slices[] =
    "duration: 1500ms\n"
    "timeline:\n"
    "  - {at: 300ms, fault: {type: slicer, link: 'n1<->n2', average: 10}}\n"
    "expect: [linearizable]\n";

static const char endless[] = "duration: 10m\n"
                              "timeline:\n"
                              "  - {at: 1ms, pause: n2}\n"
                              "expect: [linearizable]\n";

/* Each way a folder of its own, which must not be there. */
static const char *name_of(const char *name, char *buffer, size_t size)
{
    snprintf(buffer, size, "%s%s", name, as_nobody ? "-nobody" : "");
    return buffer;
}

static void the_verdict_is_that_of_routes(void **state)
{
    become_as_asked(state);
    static const char *const bug[] = {"--network", "lab", "--", "--bug", "half-quorum", NULL};
    char name[64];
    struct text output = {0};
    write_experiment("split.yaml", head, split_brain);
    expect_code(run("split.yaml", name_of("split", name, sizeof(name)), in_lab, &output), PASS,
                &output);
    assert_non_null(strstr(text_get(&output), "in a network of its own"));
    assert_non_null(strstr(text_get(&output), "took effect: dropped"));
    assert_non_null(strstr(text_get(&output), "minority n"));
    text_clear(&output);
    expect_code(run("split.yaml", name_of("bug", name, sizeof(name)), bug, &output), FAIL, &output);
    assert_non_null(strstr(text_get(&output), "FAIL     linearizable"));
    assert_non_null(strstr(text_get(&output), "--seed 1 --network lab -- --bug half-quorum"));
    text_free(&output);
}

static void every_kind_of_step_is_proved(void **state)
{
    become_as_asked(state);
    char name[64];
    struct text output = {0};
    write_experiment("steps.yaml", head, every_step);
    expect_code(run("steps.yaml", name_of("steps", name, sizeof(name)), in_lab, &output), PASS,
                &output);
    json_t *journal = read_journal(name), *step;
    size_t i, proved = 0;
    json_array_foreach(json_object_get(journal, "timeline"), i, step) proved +=
        strcmp(json_string_value(json_object_get(step, "proof")), "proved") == 0;
    assert_int_equal(i, 11);
    assert_int_equal(proved, 9); /* but clear and heal */
    json_decref(journal);
    text_free(&output);
}

static void what_packets_can_not_have_is_refused(void **state)
{
    (void)state;
    struct text output = {0};
    as_nobody = false;
    write_experiment("slices.yaml", head, slices);
    expect_code(run("slices.yaml", "slices", in_lab, &output), CANNOT_RUN, &output);
    assert_non_null(strstr(text_get(&output), "slices.yaml:14: 'slicer' can't be done: a lab has"));
    text_free(&output);
}

/* Two masters that know nothing of each other. */
static void who_is_not_ready_is_told_and_why(void **state)
{
    become_as_asked(state);
    char name[64];
    struct text output = {0};
    write_experiment(
        "apart.yaml",
        "name: apart\n"
        "duration: 1s\n"
        "cluster:\n"
        "  network: lab\n"
        "  system: redis\n"
        "  nodes: 2\n"
        "  command: [sh, -c, 'redis-server --protected-mode no > /dev/null & echo last words;\n"
        "            wait']\n"
        "  ports: {client: 6379}\n"
        "  ready: {within: 3s}\n"
        "workload: {kind: set, clients: 2}\n",
        "expect: [no acknowledged write lost]\n");
    expect_code(run("apart.yaml", name_of("apart", name, sizeof(name)), NULL, &output), CANNOT_RUN,
                &output);
    assert_non_null(
        strstr(text_get(&output),
               "n1 is not ready: it waits for replicas: 0 of 1 are connected (its log: "));
    assert_non_null(strstr(text_get(&output), "/n1/log): last words\n"));
    text_free(&output);
}

/* A server that its shell leaves to the node's first process: it is the node's all the same. */
static void an_orphan_is_killed_with_its_node(void **state)
{
    become_as_asked(state);
    char name[64];
    struct text output = {0};
    write_experiment(
        "orphan.yaml",
        "name: orphan\n"
        "cluster:\n"
        "  network: lab\n"
        "  nodes: 2\n"
        "  command: [sh, -c, '(setsid redis-server --bind {address} --port 6379 --dir {dir}\n"
        "            --protected-mode no &);\n"
        "            exec sleep 60']\n"
        "  ports: {client: 6379}\n"
        "workload: {kind: register, clients: 2, rate: 50, timeout: 300ms,\n"
        "           mix: {read: 60, write: 40}}\n",
        "duration: 6s\n" /* for the restart to be seen on a busy machine, too */
        "timeline:\n"
        "  - {at: 300ms, pause: n2}\n"
        "  - {at: 700ms, resume: n2}\n"
        "  - {at: 1s, kill: n1}\n"
        "  - {at: 1500ms, restart: n1}\n"
        "expect: [availability at least 1%]\n");
    expect_code(run("orphan.yaml", name_of("orphan", name, sizeof(name)), NULL, &output), PASS,
                &output);
    assert_non_null(strstr(text_get(&output), "and 1 below it are in state T"));
    assert_non_null(strstr(text_get(&output), "kill n1: killed by signal 9"));
    text_free(&output);
}

static void an_ended_run_leaves_nothing(void **state)
{
    become_as_asked(state);
    static const int signals[] = {SIGINT, SIGKILL};
    write_experiment("endless.yaml", head, endless);
    for (size_t i = 0; i < 2; i++) {
        char name[64];
        struct child child;
        struct text output = {0};
        start(&child, "endless.yaml", name_of(i ? "killed" : "interrupted", name, sizeof(name)),
              in_lab);
        await_line(&child, "in state T");
        kill(child.pid, signals[i]);
        expect_code(child_finish(&child, &output), 128 + signals[i], &output);
        expect_no_process(name);
        text_free(&output);
    }
}

static void without_severd_the_run_ends(void **state)
{
    become_as_asked(state);
    char name[64];
    struct child child;
    struct text output = {0};
    write_experiment("endless.yaml", head, endless);
    start(&child, "endless.yaml", name_of("alone", name, sizeof(name)), in_lab);
    await_line(&child, "in state T");
    kill(find_process(name, "severd --listen unix:"), SIGKILL);
    expect_code(child_finish(&child, &output), CANNOT_RUN, &output);
    assert_non_null(strstr(text_get(&output), "severd ended by itself, killed by signal 9"));
    expect_no_process(name);
    text_free(&output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_packets_can_not_have_is_refused),
        AS_BOTH(the_verdict_is_that_of_routes),
        AS_BOTH(every_kind_of_step_is_proved),
        AS_BOTH(who_is_not_ready_is_told_and_why),
        AS_BOTH(an_orphan_is_killed_with_its_node),
        AS_BOTH(an_ended_run_leaves_nothing),
        AS_BOTH(without_severd_the_run_ends),
    };
    return cmocka_run_group_tests_name("run_lab", tests, sever_set_up, sever_tear_down);
}
