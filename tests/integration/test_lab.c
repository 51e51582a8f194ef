/* Labs as a person has them: severd, severctl, real programs in nodes. Each test runs as root, and
 * as an ordinary user, where the test itself is root; as who it is otherwise. */
#include "tests/lib/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "tests/integration/lab_roles.h"
#include "tests/integration/net.h"
#include "tests/integration/severd.h"
#include "tests/lib/child.h"
#include "tests/lib/files.h"

enum { NOBODY = 65534, PORT = 2379, ARGUMENTS_MAX = 32 };

struct fixture {
    struct severd severd;
    bool as_nobody;
    char severctl[PATH_MAX], self[PATH_MAX], url_setting[128];
    const char *environment[3];
};

/* Between fork and exec of severd. */
static void become_nobody(struct severd *severd)
{
    if (chown(severd->directory, NOBODY, NOBODY) || setgroups(0, NULL) ||
        setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* forgotten with the ids */
}

static void launch(struct fixture *fixture, void (*become)(struct severd *severd))
{
    severd_launch(&fixture->severd, "2", NULL, become);
    severd_await_log(&fixture->severd, "ready: control");
    snprintf(fixture->url_setting, sizeof(fixture->url_setting), "SEVER_URL=%s",
             fixture->severd.url);
    fixture->environment[0] = fixture->url_setting;
    fixture->environment[1] =
        "ASAN_OPTIONS=verify_asan_link_order=0"; /* the clock's library first */
}

static void start_severd(struct fixture *fixture)
{
    launch(fixture, fixture->as_nobody ? become_nobody : NULL);
}

static int open_fixture(void **state, bool as_nobody)
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

static int set_up(void **state)
{
    return open_fixture(state, false);
}

#ifndef __SANITIZE_THREAD__ /* see main */
static int set_up_as_nobody(void **state)
{
    return open_fixture(state, geteuid() == 0);
}
#endif

static int tear_down(void **state)
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

static void add(struct line *line, const char *word)
{
    assert_true(line->count + 1 < ARGUMENTS_MAX);
    line->words[line->count++] = word;
    line->words[line->count] = NULL;
}

static void begin_line(struct line *line, const struct fixture *fixture)
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
static void add_words(struct line *line, char *words)
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
static int ctl(struct fixture *fixture, struct text *output, const char *command)
{
    char words[512];
    struct line line;
    snprintf(words, sizeof(words), "%s", command);
    begin_line(&line, fixture);
    add_words(&line, words);
    text_clear(output);
    return child_run(line.words, fixture->environment, NULL, output);
}

static void must(struct fixture *fixture, const char *command)
{
    struct text output = {0};
    if (ctl(fixture, &output, command))
        fail_msg("severctl %s: %s", command, text_get(&output));
    text_free(&output);
}

/* Starts this program in a role in the node. */
static void start(struct fixture *fixture, struct child *child, const char *node, const char *role)
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
static uint64_t hear(struct child *child, const char *wanted)
{
    char line[256];
    if (!child_read_line(child, line, sizeof(line)) || strncmp(line, wanted, strlen(wanted)) != 0)
        fail_msg("not '%s' but '%s'", wanted, line);
    return strtoull(line + strlen(wanted), NULL, 10);
}

static void start_server(struct fixture *fixture, struct child *child, const char *node)
{
    start(fixture, child, node, "serve 2379");
    hear(child, "ready");
}

static unsigned long ping(struct fixture *fixture, const char *node, const char *host)
{
    char role[64], line[64];
    struct child child;
    unsigned long answered = 0;
    snprintf(role, sizeof(role), "ping %s 5", host);
    start(fixture, &child, node, role);
    assert_true(child_read_line(&child, line, sizeof(line)));
    assert_int_equal(sscanf(line, "answered %lu of 5", &answered), 1);
    assert_int_equal(child_finish(&child, NULL), 0);
    return answered;
}

/* A counter of a link, such as "units" or "cut" (of dropped). */
static int64_t count(struct fixture *fixture, const char *name, const char *counter)
{
    json_t *answer = severd_ask(&fixture->severd, "GET", "/v1/links", NULL), *link;
    int64_t value = -1;
    size_t index;
    json_array_foreach(json_object_get(answer, "links"), index, link)
    {
        if (strcmp(json_string_value(json_object_get(link, "link")), name) != 0)
            continue;
        json_t *found = json_object_get(link, counter);
        if (!found)
            found = json_object_get(json_object_get(link, "dropped"), counter);
        value = json_integer_value(found);
    }
    json_decref(answer);
    assert_true(value >= 0);
    return value;
}

/* --- what crosses --- */

static void tcp_and_icmp_cross_over_both_families(void **state)
{
    struct fixture *fixture = *state;
    static const char *const hosts[] = {"n2", "10.77.0.2", "fd77::2"};
    struct child server, client;
    must(fixture, "lab up 3");
    start_server(fixture, &server, "n2");
    for (size_t i = 0; i < 3; i++) {
        char role[64];
        snprintf(role, sizeof(role), "talk %s 2379 5000", hosts[i]);
        start(fixture, &client, "n1", role);
        hear(&client, "connected");
        child_write(&client, "1\n200000\n");
        hear(&client, "echoed");
        hear(&client, "echoed");
        assert_int_equal(child_finish(&client, NULL), 0);
        assert_int_equal(ping(fixture, "n3", hosts[i]), 5);
    }
    assert_true(count(fixture, "n1->n2", "bytes") > 600000);
    assert_true(count(fixture, "n3->n2", "units") >= 15);
    assert_int_equal(count(fixture, "n3->n1", "cut"), 0);
    child_kill(&server);
}

static void a_cut_is_silence_and_a_heal_goes_on(void **state)
{
    struct fixture *fixture = *state;
    struct child server, stubborn, impatient, late;
    must(fixture, "lab up 3");
    start_server(fixture, &server, "n2");
    start(fixture, &stubborn, "n1", "talk n2 2379 60000"); /* twice the cut, if need be */
    start(fixture, &impatient, "n1", "talk 10.77.0.2 2379 20000 800");
    hear(&stubborn, "connected");
    hear(&impatient, "connected");
    must(fixture, "cut n1 n2");
    child_write(&stubborn, "1000\n");
    child_write(&impatient, "1000\n");
    start(fixture, &late, "n1", "talk n2 2379 600");
    hear(&late, "failed silence");
    child_finish(&late, NULL);
    hear(&impatient, "failed ETIMEDOUT");
    assert_true(count(fixture, "n1->n2", "cut") > 3);
    assert_int_equal(ping(fixture, "n1", "n2"), 0);
    assert_int_equal(ping(fixture, "n1", "n3"), 5);
    must(fixture, "heal");
    hear(&stubborn, "echoed");
    assert_int_equal(child_finish(&stubborn, NULL), 0);
    child_finish(&impatient, NULL);
    child_kill(&server);
}

static void a_cut_one_way_is_one(void **state)
{
    struct fixture *fixture = *state;
    must(fixture, "lab up 2");
    assert_int_equal(ping(fixture, "n1", "n2"), 5); /* neighbours are known */
    must(fixture, "cut n1->n2");
    int64_t there = count(fixture, "n1->n2", "units"), back = count(fixture, "n2->n1", "units");
    assert_int_equal(ping(fixture, "n2", "n1"), 0); /* requests arrive, answers do not */
    assert_true(count(fixture, "n2->n1", "units") >= back + 5);
    assert_int_equal(count(fixture, "n2->n1", "cut"), 0);
    assert_int_equal(count(fixture, "n1->n2", "units"), there);
    assert_true(count(fixture, "n1->n2", "cut") >= 5);
}

static void loss_makes_tcp_send_again(void **state)
{
    struct fixture *fixture = *state;
    struct child server, client;
    char line[64];
    unsigned long long us, retransmits = 0;
    must(fixture, "lab up 2");
    start_server(fixture, &server, "n2");
    start(fixture, &client, "n1", "talk n2 2379 60000");
    hear(&client, "connected");
    must(fixture, "loss n1->n2 10%");
    child_write(&client, "500000\n");
    assert_true(child_read_line(&client, line, sizeof(line)));
    assert_int_equal(sscanf(line, "echoed %llu %llu", &us, &retransmits), 2);
    int64_t lost = count(fixture, "n1->n2", "loss");
    assert_true(lost > 5);
    assert_true(retransmits > 0);
    child_finish(&client, NULL);
    child_kill(&server);
}

static void latency_is_added_to_each_way(void **state)
{
    struct fixture *fixture = *state;
    struct child server, client;
    must(fixture, "lab up 2");
    start_server(fixture, &server, "n2");
    must(fixture, "delay n1 n2 40ms");
    start(fixture, &client, "n1", "talk n2 2379 5000");
    assert_in_range(hear(&client, "connected"), 80000, 400000);
    child_write(&client, "1\n");
    assert_in_range(hear(&client, "echoed"), 80000, 400000);
    child_write(&client, "1\n");
    assert_in_range(hear(&client, "echoed"), 80000, 400000);
    child_finish(&client, NULL);
    child_kill(&server);
}

static void reject_refuses(void **state)
{
    struct fixture *fixture = *state;
    struct child server, client;
    must(fixture, "lab up 2");
    start_server(fixture, &server, "n2");
    must(fixture, "reject n1->n2");
    start(fixture, &client, "n1", "talk n2 2379 5000");
    hear(&client, "failed ECONNREFUSED");
    child_finish(&client, NULL);
    assert_true(count(fixture, "n1->n2", "reject") > 0);
    child_kill(&server);
}

static void nodes_come_and_go_while_others_talk(void **state)
{
    struct fixture *fixture = *state;
    struct child server, client, gone;
    struct text output = {0};
    must(fixture, "lab up 3");
    start_server(fixture, &server, "n2");
    start(fixture, &client, "n1", "talk n2 2379 10000");
    hear(&client, "connected");
    start(fixture, &gone, "n3", "sleep");
    hear(&gone, "ready");
    for (int i = 0; i < 3; i++) {
        child_write(&client, "2000000\n");
        must(fixture, "lab add n4");
        child_write(&client, "1\n");
        assert_int_equal(ping(fixture, "n4", "n1"), 5);
        must(fixture, "lab remove n4");
        hear(&client, "echoed");
        hear(&client, "echoed");
    }
    must(fixture, "lab remove n3");
    child_finish(&gone, &output); /* what ran there has ended, and its severctl with it */
    assert_int_equal(ctl(fixture, &output, "lab exec n3 -- true"), 1);
    assert_non_null(strstr(text_get(&output), "no node 'n3'"));
    assert_int_equal(ctl(fixture, &output, "nodes remove n2"), 1);
    assert_non_null(strstr(text_get(&output), "severctl lab remove n2"));
    child_write(&client, "1\n");
    hear(&client, "echoed");
    child_finish(&client, NULL);
    child_kill(&server);
    text_free(&output);
}

static void a_port_of_the_host_reaches_a_node(void **state)
{
    struct fixture *fixture = *state;
    struct child server;
    char byte = 'x', wanted[64];
    struct text output = {0};
    must(fixture, "lab up 2");
    start_server(fixture, &server, "n1");
    assert_int_equal(ctl(fixture, &output, "lab port n1 2379"), 0);
    const char *colon = strchr(text_get(&output), ':');
    assert_non_null(colon);
    int port = (int)strtol(colon + 1, NULL, 10);
    int fd = net_start_connect(port);
    net_wait(fd, POLLOUT);
    assert_int_equal(send(fd, &byte, 1, MSG_NOSIGNAL), 1);
    net_wait(fd, POLLIN);
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    must(fixture, "cut gateway n1");
    assert_int_equal(send(fd, &byte, 1, MSG_NOSIGNAL), 1);
    assert_false(net_is_ready(fd, POLLIN, 300));
    must(fixture, "heal");
    net_wait(fd, POLLIN);
    close(fd);
    snprintf(wanted, sizeof(wanted), "lab port remove 127.0.0.1:%d", port);
    must(fixture, wanted);
    fd = net_start_connect(port);
    net_wait(fd, POLLIN); /* refused */
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    close(fd);
    child_kill(&server);
    text_free(&output);
}

static void connections_show_which_cut_holds_them(void **state)
{
    struct fixture *fixture = *state;
    struct child server, client, late;
    struct text output = {0};
    must(fixture, "lab up 2");
    start_server(fixture, &server, "n2");
    start(fixture, &client, "n1", "talk 10.77.0.2 2379 5000");
    hear(&client, "connected");
    must(fixture, "cut n1->n2");
    start(fixture, &late, "n1", "talk fd77::2 2379 5000");
    child_write(&client, "1\n");
    net_await(ctl(fixture, &output, "lab connections") == 0 &&
              strstr(text_get(&output), "syn-sent"));
    json_t *answer = severd_ask(&fixture->severd, "GET", "/v1/lab/connections", NULL), *c;
    size_t index, seen = 0;
    json_array_foreach(json_object_get(answer, "connections"), index, c)
    {
        bool near = strcmp(json_string_value(json_object_get(c, "node")), "n1") == 0;
        assert_string_equal(json_string_value(json_object_get(c, "to")), near ? "n2" : "n1");
        assert_string_equal(json_string_value(json_object_get(c, "cut")), near ? "out" : "in");
        seen++;
    }
    assert_int_equal(seen, 3);
    json_decref(answer);
    child_kill(&client);
    child_kill(&late);
    child_kill(&server);
    text_free(&output);
}

static void exec_is_as_any_command(void **state)
{
    struct fixture *fixture = *state;
    struct text output = {0};
    struct child child;
    must(fixture, "lab up 1");
    assert_int_equal(ctl(fixture, &output, "lab exec n1 -- sh -c exit\t7"), 7);
    assert_int_equal(ctl(fixture, &output, "lab exec n1 -- hostname"), 0);
    assert_string_equal(text_get(&output), "n1\n");
    assert_int_equal(ctl(fixture, &output, "lab exec n1 -- /nowhere"), 127);
    assert_int_equal(ctl(fixture, &output, "lab exec n2 -- true"), 1);
    assert_int_equal(ctl(fixture, &output, "lab exec n1"), 2);
    start(fixture, &child, "n1", "sleep");
    hear(&child, "ready");
    assert_int_equal(kill(child.pid, SIGTERM), 0); /* handed on */
    assert_int_equal(child_finish(&child, NULL), 128 + SIGTERM);
    text_free(&output);
}

static void a_clock_reaches_what_runs_in_a_node(void **state)
{
    struct fixture *fixture = *state;
    struct text output = {0};
    must(fixture, "lab up 2");
    must(fixture, "clock n1 +10h");
    int64_t now = wall_now_ns() / (int64_t)NS_PER_S;
    assert_int_equal(ctl(fixture, &output, "lab exec n1 -- date +%s"), 0);
    assert_in_range(strtol(text_get(&output), NULL, 10), now + 36000, now + 36000 + 60);
    assert_int_equal(ctl(fixture, &output, "lab exec n2 -- date +%s"), 0);
    assert_in_range(strtol(text_get(&output), NULL, 10), now, now + 60);
    text_free(&output);
}

static void two_labs_do_not_know_each_other(void **state)
{
    struct fixture *one = *state, other = {0};
    struct child server;
    other = *one;
    start_severd(&other);
    must(one, "lab up 2");
    must(&other, "lab up 2");
    start_server(&other, &server, "n2"); /* in the one nobody listens */
    must(one, "cut n1 n2");
    assert_int_equal(ping(one, "n1", "n2"), 0);
    assert_int_equal(ping(&other, "n1", "n2"), 5);
    must(one, "lab down");
    assert_int_equal(ping(&other, "n1", "n2"), 5);
    child_kill(&server);
    severd_stop(&other.severd);
}

/* --- what is left --- */

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

/* Nothing of the lab runs, and no process is in any of its network namespaces. */
static bool nothing_left(const struct traces *traces)
{
    DIR *processes = opendir("/proc");
    bool found = false;
    assert_non_null(processes);
    for (struct dirent *entry; (entry = readdir(processes));)
        found |= entry->d_name[0] >= '0' && entry->d_name[0] <= '9' &&
                 has_namespace(traces, namespace_of(entry->d_name));
    closedir(processes);
    for (size_t i = 0; i < traces->count; i++)
        found |= kill(traces->pids[i], 0) == 0 || errno == EPERM;
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
    assert_true(nothing_left(&traces)); /* at once */
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

static bool has_said(const struct child *child)
{
    return poll(&(struct pollfd){.fd = child->output, .events = POLLIN}, 1, 0) == 1;
}

/* Nothing of severd waits for a keeper that does not answer, and nobody without end. */
static void a_stopped_keeper_stops_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    struct text output = {0};
    struct child adding, client, server;
    struct traces traces;
    struct line line;
    char words[] = "lab add n9", told[256];
    start_busy_lab(fixture, &server, &client, &traces);
    assert_int_equal(kill(traces.keeper, SIGSTOP), 0);
    begin_line(&line, fixture);
    add_words(&line, words);
    child_start(&adding, line.words, fixture->environment);
    must(fixture, "cut n1 n3");
    assert_int_equal(ctl(fixture, &output, "lab status"), 0);
    must(fixture, "heal");
    assert_false(has_said(&adding)); /* all this while it waits, as it does for seconds */
    assert_null(strstr(text_get(&output), "ended"));
    assert_null(strstr(text_get(&output), "n9"));
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

static void a_lab_may_do_without_ipv6(void **state)
{
    struct fixture *fixture = *state;
    struct text output = {0};
    must(fixture, "lab up 2 --subnet6 none");
    assert_int_equal(ctl(fixture, &output, "lab status --json"), 0);
    assert_non_null(strstr(text_get(&output), "\"subnet6\": null"));
    assert_int_equal(ctl(fixture, &output, "lab exec n1 -- ip -6 address show dev eth0"), 0);
    assert_null(strstr(text_get(&output), "inet6"));
    assert_int_equal(ping(fixture, "n1", "n2"), 5);
    text_free(&output);
}

/* What would tell of IPv6 is not there. (Each namespace has a /proc/sys/net/ipv6 of its own.) */
static void become_one_without_ipv6(struct severd *severd)
{
    (void)severd;
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("tmpfs", "/proc/sys", "tmpfs", 0, NULL))
        _exit(126);
}

static void become_nobody_without_ipv6(struct severd *severd)
{
    become_one_without_ipv6(severd);
    become_nobody(severd);
}

/* Where the machine has no IPv6 a lab has none, and says so; one that must have it is refused. */
static void a_machine_without_ipv6_has_labs(void **state)
{
    struct fixture *fixture = *state;
    struct text output = {0};
    if (geteuid() != 0)
        skip();
    severd_stop(&fixture->severd);
    launch(fixture, fixture->as_nobody ? become_nobody_without_ipv6 : become_one_without_ipv6);
    assert_int_equal(ctl(fixture, &output, "lab up 2 --subnet6 fd01::/64"), 1);
    assert_non_null(strstr(text_get(&output), "has no IPv6"));
    assert_int_equal(ctl(fixture, &output, "lab up 2"), 0);
    assert_non_null(strstr(text_get(&output), "IPv4 only"));
    assert_int_equal(ping(fixture, "n1", "n2"), 5);
    text_free(&output);
}

/* What the caller has open by accident is not the node's. */
static void exec_hands_on_no_other_descriptor(void **state)
{
    struct fixture *fixture = *state;
    struct text output = {0};
    must(fixture, "lab up 1");
    int leaked = fcntl(STDERR_FILENO, F_DUPFD, 77);
    assert_true(leaked >= 77);
    assert_int_equal(ctl(fixture, &output, "lab exec n1 -- ls /proc/self/fd"), 0);
    assert_string_equal(text_get(&output), "0\n1\n2\n3\n"); /* 3: of ls */
    close(leaked);
    text_free(&output);
}

static void what_is_no_node_is_said_to_be_none(void **state)
{
    struct fixture *fixture = *state;
    struct text output = {0};
    assert_int_equal(ctl(fixture, &output, "lab up n1 localhost"), 1);
    assert_non_null(strstr(text_get(&output), "means the loopback address"));
    must(fixture, "lab up 2");
    assert_int_equal(ctl(fixture, &output, "capture n1 n99 --duration 1s"), 1);
    assert_non_null(strstr(text_get(&output), "'n99' is no node of the lab"));
    assert_int_equal(ctl(fixture, &output, "capture n99 --duration 1s"), 1);
    assert_non_null(strstr(text_get(&output), "'n99' is no node of the lab"));
    text_free(&output);
}

static void without_severd_it_says_how_to_start_one(void **state)
{
    struct fixture fixture = *(struct fixture *)*state;
    struct text output = {0};
    const char *environment[] = {"SEVER_URL=unix:/nowhere/severd", NULL};
    memcpy(fixture.environment, environment, sizeof(environment));
    assert_int_equal(ctl(&fixture, &output, "lab up 3"), 3);
    assert_non_null(strstr(text_get(&output), "start one"));
    text_free(&output);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return role_main(argc, argv);
/* The thread sanitizer gives each child a thread of its own, and a process with two can't go into a
 * user namespace. */
#ifdef __SANITIZE_THREAD__
#define TEST(name)                                                                                 \
    {                                                                                              \
#name, name, set_up, tear_down, NULL                                                       \
    }
#else
#define TEST(name)                                                                                 \
    {#name, name, set_up, tear_down, NULL},                                                        \
    {                                                                                              \
#name " as an ordinary user", name, set_up_as_nobody, tear_down, NULL                      \
    }
#endif
    const struct CMUnitTest tests[] = {
        TEST(tcp_and_icmp_cross_over_both_families),
        TEST(a_cut_is_silence_and_a_heal_goes_on),
        TEST(a_cut_one_way_is_one),
        TEST(loss_makes_tcp_send_again),
        TEST(latency_is_added_to_each_way),
        TEST(reject_refuses),
        TEST(nodes_come_and_go_while_others_talk),
        TEST(a_port_of_the_host_reaches_a_node),
        TEST(connections_show_which_cut_holds_them),
        TEST(exec_is_as_any_command),
        TEST(a_clock_reaches_what_runs_in_a_node),
        TEST(two_labs_do_not_know_each_other),
        TEST(severd_killed_leaves_nothing),
        TEST(severd_ended_leaves_nothing),
        TEST(a_killed_keeper_is_told_and_leaves_nothing),
        TEST(a_killed_node_is_told_and_the_others_go_on),
        TEST(a_stopped_keeper_stops_nothing_else),
        TEST(a_killed_gateway_is_told_and_the_next_port_makes_one),
        TEST(a_lab_may_do_without_ipv6),
        TEST(a_machine_without_ipv6_has_labs),
        TEST(exec_hands_on_no_other_descriptor),
        TEST(what_is_no_node_is_said_to_be_none),
        TEST(without_severd_it_says_how_to_start_one),
    };
    return cmocka_run_group_tests_name("integration/lab", tests, NULL, NULL);
}
