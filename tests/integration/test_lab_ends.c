/* What a lab leaves behind when something of it is killed or stopped: nothing. And what goes on
 * meanwhile: all else. */
#include "tests/lib/test.h"

#include <dirent.h>
#include <net/if.h>
#include <sys/stat.h>

#include "tests/integration/lab_fixture.h"
#include "tests/integration/net.h"

#define GIVEN_UP_NS (5 * NS_PER_S) /* a keeper that is stopped, when it is asked for something */
enum { PROCESSES_MAX = 16 };

/* The lab's processes, and the network namespaces of its nodes. */
struct traces {
    pid_t pids[PROCESSES_MAX];
    ino_t namespaces[PROCESSES_MAX];
    size_t count;
    pid_t keeper;
    size_t devices; /* of the host */
};

static size_t count_devices(void)
{
    struct if_nameindex *list = if_nameindex();
    size_t devices = 0;
    while (list && list[devices].if_index)
        devices++;
    if_freenameindex(list);
    return devices;
}

static ino_t namespace_of(const char *process)
{
    char path[300];
    struct stat status;
    snprintf(path, sizeof(path), "/proc/%s/ns/net", process);
    return stat(path, &status) ? 0 : status.st_ino;
}

static void note(struct traces *traces, pid_t pid)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", (int)pid);
    traces->namespaces[traces->count] = namespace_of(text);
    traces->pids[traces->count++] = pid;
}

static struct traces find_traces(struct fixture *fixture)
{
    struct traces traces = {.devices = count_devices()};
    json_t *lab = severd_ask(&fixture->severd, "GET", "/v1/lab", NULL), *node;
    size_t index;
    traces.keeper = (pid_t)json_integer_value(json_object_get(lab, "keeper"));
    note(&traces, traces.keeper);
    json_array_foreach(json_object_get(lab, "nodes"), index, node)
        note(&traces, (pid_t)json_integer_value(json_object_get(node, "pid")));
    json_decref(lab);
    return traces;
}

static bool has_namespace(const struct traces *traces, ino_t namespace)
{
    for (size_t i = 0; i < traces->count; i++)
        if (namespace && traces->namespaces[i] == namespace)
            return true;
    return false;
}

/* Of the lab's own processes; what the kernel has yet to clear away does not. A node's first
 * process ends behind all others of the node. */
static bool none_runs(const struct traces *traces)
{
    bool runs = false;
    for (size_t i = 0; i < traces->count && !runs; i++) {
        char path[64], state = 'X';
        snprintf(path, sizeof(path), "/proc/%d/stat", (int)traces->pids[i]);
        FILE *file = fopen(path, "re");
        runs = file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1 && !strchr("XZ", state);
        if (file)
            fclose(file);
    }
    return !runs;
}

/* Nothing of the lab runs, and no process is in any of its network namespaces. (Whose number is
 * soon another's, such as of a lab of another test: that is waited for.) */
static bool nothing_left(const struct traces *traces)
{
    DIR *processes = opendir("/proc");
    bool found = !none_runs(traces);
    assert_non_null(processes);
    for (struct dirent *entry; (entry = readdir(processes));)
        found |= entry->d_name[0] >= '0' && entry->d_name[0] <= '9' &&
                 has_namespace(traces, namespace_of(entry->d_name));
    closedir(processes);
    return !found && count_devices() == traces->devices;
}

static void start_busy_lab(struct fixture *fixture, struct child *server, struct child *client,
                           struct traces *traces)
{
    must(fixture, "lab up 3");
    start_server(fixture, server, "n2");
    start(fixture, client, "n1", "talk n2 2379 30000");
    hear(client, "connected");
    child_write(client, "100000000\n");
    *traces = find_traces(fixture);
    assert_int_equal(traces->count, 4);
    assert_false(nothing_left(traces));
}

static void severd_killed_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct child server, client;
    struct traces traces;
    start_busy_lab(fixture, &server, &client, &traces);
    assert_int_equal(kill(fixture->severd.pid, SIGKILL), 0);
    assert_int_equal(waitpid(fixture->severd.pid, NULL, 0), fixture->severd.pid);
    fixture->severd.pid = 0;
    net_await(nothing_left(&traces));
    child_finish(&server, NULL); /* by themselves: they were in the nodes */
    child_kill(&client);
    wire_client_destroy(fixture->severd.client);
    close(fixture->severd.log_fd);
    assert_int_equal(files_remove_folder(fixture->severd.directory), 0);
}

static void severd_ended_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct child server, client;
    struct traces traces;
    start_busy_lab(fixture, &server, &client, &traces);
    severd_stop(&fixture->severd);
    fixture->severd.pid = 0;
    assert_true(none_runs(&traces)); /* at once */
    net_await(nothing_left(&traces));
    child_finish(&server, NULL);
    child_kill(&client);
}

/* Ends what start_busy_lab began, and has another lab. */
static void begin_anew(struct fixture *fixture, struct child *server, struct child *client,
                       const struct traces *traces)
{
    must(fixture, "lab down");
    net_await(nothing_left(traces));
    child_finish(server, NULL);
    child_kill(client);
    must(fixture, "lab up 2");
    assert_int_equal(ping(fixture, "n1", "n2"), 5);
}

static void a_killed_keeper_is_told_and_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct child server, client;
    struct traces traces;
    struct text output = {0};
    start_busy_lab(fixture, &server, &client, &traces);
    assert_int_equal(kill(traces.keeper, SIGKILL), 0);
    severd_await_log(&fixture->severd, "the lab's keeper has ended");
    net_await(ctl(fixture, &output, "lab status") == 0 && strstr(text_get(&output), "ended") &&
              !strstr(text_get(&output), "running"));
    assert_int_equal(ctl(fixture, &output, "lab up 2"), 1);
    static const char *const refused[] = {"lab exec n1 -- true", "lab port n1 2379", "lab add n4"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_int_equal(ctl(fixture, &output, refused[i]), 1);
        assert_non_null(strstr(text_get(&output), "severctl lab down, and up"));
    }
    begin_anew(fixture, &server, &client, &traces);
    text_free(&output);
}

static void a_killed_node_is_told_and_the_others_go_on(void **state)
{
    struct fixture *fixture = *state;
    struct child server, client;
    struct traces traces;
    struct text output = {0};
    start_busy_lab(fixture, &server, &client, &traces);
    assert_int_equal(kill(traces.pids[2], SIGKILL), 0); /* n2 */
    severd_await_log(&fixture->severd, "node n2 of the lab has ended");
    child_finish(&server, NULL);
    child_kill(&client);
    assert_int_equal(ctl(fixture, &output, "lab status"), 0);
    assert_non_null(strstr(text_get(&output), "ended"));
    assert_int_equal(ctl(fixture, &output, "lab exec n2 -- true"), 1);
    assert_non_null(strstr(text_get(&output), "has ended"));
    assert_int_equal(ping(fixture, "n1", "n3"), 5);
    must(fixture, "lab remove n2");
    must(fixture, "lab add n2");
    assert_int_equal(ping(fixture, "n1", "n2"), 5);
    must(fixture, "lab down");
    net_await(nothing_left(&traces));
    text_free(&output);
}

/* As ctl for what succeeds. *longest_ns: of those so far. */
static void must_timed(struct fixture *fixture, struct text *output, const char *command,
                       uint64_t *longest_ns)
{
    uint64_t begin_ns = monotonic_now_ns();
    assert_int_equal(ctl(fixture, output, command), 0);
    uint64_t took_ns = monotonic_now_ns() - begin_ns;
    *longest_ns = took_ns > *longest_ns ? took_ns : *longest_ns;
}

/* Nothing of severd waits for a keeper that does not answer, and nobody without end. Commands
 * follow each other until the keeper is given up, so that one which waited for it, too, would have
 * done so for nearly all of that time; how fast this machine is does not matter. */
static void a_stopped_keeper_stops_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    struct text output = {0};
    struct child adding, client, server;
    struct traces traces;
    struct line line;
    char words[] = "lab add n9", told[256];
    uint64_t longest_ns = 0;
    start_busy_lab(fixture, &server, &client, &traces);
    assert_int_equal(kill(traces.keeper, SIGSTOP), 0);
    begin_line(&line, fixture);
    add_words(&line, words);
    child_start(&adding, line.words, fixture->environment);
    must_timed(fixture, &output, "lab status", &longest_ns);
    assert_null(strstr(text_get(&output), "ended"));
    assert_null(strstr(text_get(&output), "n9"));
    while (!net_is_ready(adding.output, POLLIN, 50)) {
        must_timed(fixture, &output, "cut n1 n3", &longest_ns);
        must_timed(fixture, &output, "lab status", &longest_ns);
        must_timed(fixture, &output, "heal", &longest_ns);
    }
    assert_true(longest_ns < GIVEN_UP_NS - NS_PER_S);
    assert_true(child_read_line(&adding, told, sizeof(told)));
    assert_non_null(strstr(told, "does not answer"));
    assert_int_equal(child_finish(&adding, NULL), 1);
    severd_await_log(&fixture->severd, "the lab's keeper has ended");
    begin_anew(fixture, &server, &client, &traces);
    text_free(&output);
}

/* The process that serves host ports: the younger one of that name; the other is its node's. */
static pid_t find_gateway(pid_t keeper)
{
    char path[64], name[32] = "";
    struct dirent *entry;
    pid_t found = 0;
    DIR *processes = opendir("/proc");
    while ((entry = readdir(processes))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10), parent = 0;
        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        FILE *file = pid > 0 ? fopen(path, "re") : NULL;
        if (file && fscanf(file, "%*d (%31[^)]) %*c %d", name, &parent) == 2 && parent == keeper &&
            strcmp(name, "lab-gateway") == 0 && pid > found)
            found = pid;
        if (file)
            fclose(file);
    }
    closedir(processes);
    return found;
}

static void a_killed_gateway_is_told_and_the_next_port_makes_one(void **state)
{
    struct fixture *fixture = *state;
    struct text output = {0};
    struct child server;
    must(fixture, "lab up 2");
    start_server(fixture, &server, "n1");
    must(fixture, "lab port n1 2379");
    assert_int_equal(ctl(fixture, &output, "lab status --json"), 0);
    const char *keeper = strstr(text_get(&output), "\"keeper\":");
    assert_non_null(keeper);
    pid_t gateway = find_gateway((pid_t)strtol(keeper + 9, NULL, 10));
    assert_true(gateway > 0);
    assert_int_equal(kill(gateway, SIGKILL), 0);
    severd_await_log(&fixture->severd, "node gateway of the lab has ended");
    assert_int_equal(ctl(fixture, &output, "lab status"), 0);
    assert_non_null(strstr(text_get(&output), "ended"));
    assert_null(strstr(text_get(&output), "LISTEN")); /* no port any more */
    must(fixture, "lab port n1 2379");
    assert_int_equal(ctl(fixture, &output, "lab status"), 0);
    assert_null(strstr(text_get(&output), "ended"));
    assert_non_null(strstr(text_get(&output), "LISTEN"));
    assert_int_equal(ping(fixture, "n1", "n2"), 5);
    child_kill(&server);
    text_free(&output);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return role_main(argc, argv);
    const struct CMUnitTest tests[] = {
        LAB_TEST(severd_killed_leaves_nothing),
        LAB_TEST(severd_ended_leaves_nothing),
        LAB_TEST(a_killed_keeper_is_told_and_leaves_nothing),
        LAB_TEST(a_killed_node_is_told_and_the_others_go_on),
        LAB_TEST(a_stopped_keeper_stops_nothing_else),
        LAB_TEST(a_killed_gateway_is_told_and_the_next_port_makes_one),
    };
    return cmocka_run_group_tests_name("integration/lab_ends", tests, NULL, NULL);
}
