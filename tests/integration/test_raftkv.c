/* raftkv as processes: three nodes that are killed, stopped and damaged, without severd.
 *
 *     127.88.S.1   127.88.S.2   127.88.S.3      S from this process's id, so that runs don't
 * collide n1           n2           n3          clients on 6379, peers on 16379 of each
 *
 * What an answer means is checked to the letter: every write that was acknowledged is there at the
 * end, and every write that was refused with NOQUORUM or NOTDONE is not. */
#include "tests/lib/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "tests/integration/raftkv.h"
#include "tests/lib/files.h"

enum { NODES = 3, REPLY_MAX = 8192, PATIENCE_MS = 20000, WRITES_MAX = 200000 };

struct cluster {
    char directory[64];
    char host[NODES][32];
    char peers[256];
    pid_t pid[NODES];
    const char *extra[4]; /* more options, NULL-terminated */
    rlim_t descriptors;   /* hard limit; 0: as it is */
};

static char program[512];
static struct cluster cluster;

/* ---------------------------------------------------------------------------- processes --- */

static void start_node(unsigned i)
{
    char id[8], data[96], log[96];
    snprintf(id, sizeof(id), "n%u", i + 1);
    snprintf(data, sizeof(data), "%s/n%u", cluster.directory, i + 1);
    snprintf(log, sizeof(log), "%s/n%u.log", cluster.directory, i + 1);
    const char *argv[16] = {program,  "--id",          id,        "--data",     data,
                            "--bind", cluster.host[i], "--peers", cluster.peers};
    size_t count = 9;
    for (size_t e = 0; e < 4 && cluster.extra[e]; e++)
        argv[count++] = cluster.extra[e];
    pid_t parent = getpid();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(fd, STDERR_FILENO);
        struct rlimit limit = {.rlim_cur = 32, .rlim_max = cluster.descriptors};
        bool good = !cluster.descriptors || setrlimit(RLIMIT_NOFILE, &limit) == 0;
        if (good && getppid() == parent)
            execv(program, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    cluster.pid[i] = pid;
}

/* Exit status, or 128 + signal. */
static int wait_for_exit(unsigned i)
{
    int status;
    assert_int_equal(waitpid(cluster.pid[i], &status, 0), cluster.pid[i]);
    cluster.pid[i] = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void kill_node(unsigned i, int number)
{
    if (!cluster.pid[i])
        return;
    kill(cluster.pid[i], number);
    wait_for_exit(i);
}

static bool exits_in_time(unsigned i, int *code)
{
    uint64_t end = monotonic_now_ns() + PATIENCE_MS * NS_PER_MS;
    int status;
    while (waitpid(cluster.pid[i], &status, WNOHANG) == 0) {
        if (monotonic_now_ns() > end)
            return false;
        monotonic_sleep_until(monotonic_now_ns() + 5 * NS_PER_MS);
    }
    cluster.pid[i] = 0;
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return true;
}

static int set_up(void **state)
{
    (void)state;
    static unsigned turn;
    memset(&cluster, 0, sizeof(cluster));
    snprintf(cluster.directory, sizeof(cluster.directory), "/tmp/raftkv-XXXXXX");
    assert_non_null(mkdtemp(cluster.directory));
    unsigned third = ((unsigned)getpid() + turn++) % 250 + 1;
    size_t used = 0;
    for (unsigned i = 0; i < NODES; i++) {
        snprintf(cluster.host[i], sizeof(cluster.host[i]), "127.88.%u.%u", third, i + 1);
        used += (size_t)snprintf(cluster.peers + used, sizeof(cluster.peers) - used,
                                 "%sn%u=%s:16379", i ? "," : "", i + 1, cluster.host[i]);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NODES; i++)
        if (cluster.pid[i])
            kill(cluster.pid[i], SIGCONT);
    for (unsigned i = 0; i < NODES; i++)
        kill_node(i, SIGKILL);
    files_remove_folder(cluster.directory);
    return 0;
}

/* ------------------------------------------------------------------------------- client --- */

struct connection {
    int fd;
};

static struct connection dial(unsigned i)
{
    return (struct connection){.fd = raftkv_dial(cluster.host[i], 5)};
}

static bool read_line(struct connection *connection, char *line)
{
    for (size_t length = 0; length < REPLY_MAX - 1; length++) {
        if (recv(connection->fd, &line[length], 1, 0) != 1)
            return false;
        if (line[length] == '\n') {
            line[length > 0 && line[length - 1] == '\r' ? length - 1 : length] = '\0';
            return true;
        }
    }
    return false;
}

/* One inline command; the reply without its type ("OK", "-ERR ..." keeps the dash), a bulk's bytes,
 * "(nil)". False: no answer. */
static bool ask(struct connection *connection, const char *command, char *reply)
{
    char line[512];
    int length = snprintf(line, sizeof(line), "%s\r\n", command);
    if (connection->fd < 0 || send(connection->fd, line, (size_t)length, MSG_NOSIGNAL) != length ||
        !read_line(connection, reply))
        return false;
    if (reply[0] == '+' || reply[0] == ':') {
        memmove(reply, reply + 1, strlen(reply));
    } else if (reply[0] == '$') {
        long size = strtol(reply + 1, NULL, 10);
        if (size < 0) {
            strncpy(reply, "(nil)", REPLY_MAX);
            return true;
        }
        assert_true(size < REPLY_MAX - 2);
        if (recv(connection->fd, reply, (size_t)size + 2, MSG_WAITALL) != size + 2)
            return false;
        reply[size] = '\0';
    }
    return true;
}

static void hang_up(struct connection *connection)
{
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
}

/* A connection for one command. */
static bool ask_node(unsigned i, const char *command, char *reply)
{
    struct connection connection = dial(i);
    bool good = ask(&connection, command, reply);
    hang_up(&connection);
    return good;
}

static bool info_has(unsigned i, const char *line)
{
    char reply[REPLY_MAX], wanted[64];
    snprintf(wanted, sizeof(wanted), "\n%s\r", line);
    return ask_node(i, "INFO", reply) && strstr(reply, wanted);
}

static void show_logs(void)
{
    char line[512], path[96];
    for (unsigned i = 0; i < NODES; i++) {
        snprintf(path, sizeof(path), "%s/n%u.log", cluster.directory, i + 1);
        FILE *file = fopen(path, "r");
        while (file && fgets(line, sizeof(line), file))
            fputs(line, stderr);
        if (file)
            fclose(file);
    }
}

static bool log_has(unsigned i, const char *text)
{
    char line[512], path[96];
    bool found = false;
    snprintf(path, sizeof(path), "%s/n%u.log", cluster.directory, i + 1);
    FILE *file = fopen(path, "r");
    while (file && !found && fgets(line, sizeof(line), file))
        found = strstr(line, text) != NULL;
    if (file)
        fclose(file);
    return found;
}

/* The leader, once one of the allowed nodes is it and all allowed ones have a quorum. */
static unsigned await_leader(unsigned allowed)
{
    uint64_t end = monotonic_now_ns() + PATIENCE_MS * NS_PER_MS;
    while (monotonic_now_ns() < end) {
        unsigned leader = NODES;
        bool ready = true;
        for (unsigned i = 0; i < NODES; i++) {
            if (!(allowed & (1u << i)))
                continue;
            if (info_has(i, "role:leader"))
                leader = i;
            ready = ready && info_has(i, "quorum:yes") && !info_has(i, "leader:none");
        }
        if (ready && leader < NODES)
            return leader;
        monotonic_sleep_until(monotonic_now_ns() + 10 * NS_PER_MS);
    }
    show_logs();
    fail_msg("no leader in time");
    return 0;
}

/* Until node i answers this to that. */
static void await_reply(unsigned i, const char *command, const char *wanted)
{
    char reply[REPLY_MAX] = "";
    uint64_t end = monotonic_now_ns() + PATIENCE_MS * NS_PER_MS;
    while (monotonic_now_ns() < end) {
        if (ask_node(i, command, reply) && strcmp(reply, wanted) == 0)
            return;
        monotonic_sleep_until(monotonic_now_ns() + 10 * NS_PER_MS);
    }
    show_logs();
    fail_msg("n%u answers '%s' to %s, not '%s'", i + 1, reply, command, wanted);
}

/* For tests without a failure: a busy machine's hiccup must not look like one. */
static void be_patient(void)
{
    cluster.extra[0] = "--election-timeout";
    cluster.extra[1] = RAFTKV_PATIENT;
}

static unsigned start_all(void)
{
    for (unsigned i = 0; i < NODES; i++)
        start_node(i);
    return await_leader(7);
}

/* --------------------------------------------------------------------------- write load --- */

enum outcome { OUTCOME_UNKNOWN, OUTCOME_DONE, OUTCOME_REFUSED };

struct load {
    pthread_t thread;
    atomic_bool stop;
    unsigned node; /* where it begins */
    bool counts;   /* INCR of one key instead of SET of many */
    atomic_uint count;
    _Atomic unsigned done;
    uint8_t outcomes[WRITES_MAX];
    long returned[WRITES_MAX]; /* by INCR, where it is DONE */
};

/* Whether reply acknowledges write n; what it says goes to load->returned. */
static bool is_acknowledged(struct load *load, unsigned n, const char *reply)
{
    if (!load->counts)
        return strcmp(reply, "OK") == 0;
    char *end;
    load->returned[n] = strtol(reply, &end, 10);
    return end != reply && *end == '\0';
}

/* Writes load<node>-<n> = <n>, or increments count<node>, each once, going to another node when one
 * fails. */
static void *write_on(void *context)
{
    struct load *load = context;
    unsigned at = load->node;
    struct connection connection = dial(at);
    char command[64], reply[REPLY_MAX];
    for (unsigned n = 0; n < WRITES_MAX && !atomic_load(&load->stop); n++) {
        if (load->counts)
            snprintf(command, sizeof(command), "INCR count%u", load->node);
        else
            snprintf(command, sizeof(command), "SET load%u-%u %u", load->node, n, n);
        enum outcome outcome = OUTCOME_UNKNOWN;
        bool sent = connection.fd >= 0;
        bool answered = sent && ask(&connection, command, reply);
        if (answered && is_acknowledged(load, n, reply))
            outcome = OUTCOME_DONE;
        else if (!sent || (answered && (strncmp(reply, "-NOQUORUM", 9) == 0 ||
                                        strncmp(reply, "-NOTDONE", 8) == 0)))
            outcome = OUTCOME_REFUSED;
        load->outcomes[n] = (uint8_t)outcome;
        atomic_store(&load->count, n + 1);
        if (outcome == OUTCOME_DONE) {
            atomic_fetch_add(&load->done, 1);
            continue;
        }
        hang_up(&connection);
        at = (at + 1) % NODES;
        monotonic_sleep_until(monotonic_now_ns() + 2 * NS_PER_MS); /* the load's own pace */
        connection = dial(at);
    }
    hang_up(&connection);
    return NULL;
}

static struct load *start_load(unsigned node, bool counts)
{
    struct load *load = memory_allocate_zeroed(1, sizeof(*load));
    load->node = node;
    load->counts = counts;
    assert_int_equal(pthread_create(&load->thread, NULL, write_on, load), 0);
    return load;
}

static void await_writes(struct load *load, unsigned more)
{
    unsigned goal = atomic_load(&load->done) + more;
    uint64_t end = monotonic_now_ns() + PATIENCE_MS * NS_PER_MS;
    while (atomic_load(&load->done) < goal) {
        if (monotonic_now_ns() > end) {
            show_logs();
            fail_msg("the load got only %u of %u writes done", atomic_load(&load->done), goal);
        }
        monotonic_sleep_until(monotonic_now_ns() + NS_PER_MS);
    }
}

/* What a key holds, when the node can tell: on a busy machine it may have no leader for a while. */
static void read_value(struct connection *connection, unsigned node, const char *command,
                       char *reply)
{
    uint64_t end = monotonic_now_ns() + PATIENCE_MS * NS_PER_MS;
    while (!ask(connection, command, reply) || reply[0] == '-') {
        if (monotonic_now_ns() > end)
            fail_msg("n%u does not answer %s in time", node + 1, command);
        hang_up(connection);
        monotonic_sleep_until(monotonic_now_ns() + 10 * NS_PER_MS);
        *connection = dial(node);
    }
}

static void check_load(struct load *load, unsigned node)
{
    char command[64], reply[REPLY_MAX], wanted[16];
    unsigned tally[3] = {0};
    struct connection connection = dial(node);
    unsigned count = atomic_load(&load->count);
    for (unsigned n = 0; n < count; n++) {
        snprintf(command, sizeof(command), "GET load%u-%u", load->node, n);
        snprintf(wanted, sizeof(wanted), "%u", n);
        read_value(&connection, node, command, reply);
        tally[load->outcomes[n]]++;
        if (load->outcomes[n] == OUTCOME_DONE && strcmp(reply, wanted) != 0)
            fail_msg("an acknowledged write is lost: %s is %s", command, reply);
        if (load->outcomes[n] == OUTCOME_REFUSED && strcmp(reply, "(nil)") != 0)
            fail_msg("a refused write is there: %s is %s", command, reply);
    }
    hang_up(&connection);
    print_message("load from n%u: %u acknowledged, %u refused, %u unknown\n", load->node + 1,
                  tally[OUTCOME_DONE], tally[OUTCOME_REFUSED], tally[OUTCOME_UNKNOWN]);
}

/* Every acknowledged increment happened once, no refused one did, and an unknown one at most once.
 */
static void check_count(struct load *load, unsigned node)
{
    char command[64], reply[REPLY_MAX];
    unsigned tally[3] = {0};
    long before = 0;
    for (unsigned n = 0; n < atomic_load(&load->count); n++) {
        tally[load->outcomes[n]]++;
        if (load->outcomes[n] != OUTCOME_DONE)
            continue;
        if (load->returned[n] <= before) /* each after the other: distinct, and growing */
            fail_msg("INCR returned %ld after %ld", load->returned[n], before);
        before = load->returned[n];
    }
    struct connection connection = dial(node);
    snprintf(command, sizeof(command), "GET count%u", load->node);
    read_value(&connection, node, command, reply);
    hang_up(&connection);
    long total = strtol(reply, NULL, 10);
    print_message("count from n%u: %ld, %u acknowledged, %u refused, %u unknown\n", load->node + 1,
                  total, tally[OUTCOME_DONE], tally[OUTCOME_REFUSED], tally[OUTCOME_UNKNOWN]);
    assert_true(tally[OUTCOME_DONE] > 0);
    assert_in_range(total, tally[OUTCOME_DONE], tally[OUTCOME_DONE] + tally[OUTCOME_UNKNOWN]);
    assert_true(before <= total);
}

static void stop_load(struct load *load)
{
    atomic_store(&load->stop, true);
    pthread_join(load->thread, NULL);
}

/* -------------------------------------------------------------------------------- tests --- */

/* What was refused did not happen, and is asked once more: a node may have no leader for a while.
 */
static bool ask_until_taken(unsigned i, const char *command, char *reply)
{
    uint64_t end = monotonic_now_ns() + PATIENCE_MS * NS_PER_MS;
    bool answered;
    do
        answered = ask_node(i, command, reply);
    while (answered && monotonic_now_ns() < end &&
           (strncmp(reply, "-NOQUORUM", 9) == 0 || strncmp(reply, "-NOTDONE", 8) == 0));
    return answered;
}

static void any_node_serves(void **state)
{
    (void)state;
    char reply[REPLY_MAX];
    be_patient();
    start_all();
    for (unsigned i = 0; i < NODES; i++) {
        char command[64], value[16];
        snprintf(command, sizeof(command), "SET key%u value%u", i, i);
        snprintf(value, sizeof(value), "value%u", i);
        assert_true(ask_until_taken(i, command, reply));
        assert_string_equal(reply, "OK");
        snprintf(command, sizeof(command), "GET key%u", i);
        for (unsigned reader = 0; reader < NODES; reader++) {
            assert_true(ask_until_taken(reader, command, reply));
            assert_string_equal(reply, value); /* at once, whichever node: reads are linearizable */
        }
    }
    static const char *const talk[][2] = {
        {"INCR n", "1"},       {"INCR n", "2"},       {"CAS n 2 9", "1"},       {"CAS n 2 9", "0"},
        {"CAS gone x y", "0"}, {"GET gone", "(nil)"}, {"DEL n key0 gone", "2"}, {"GET n", "(nil)"},
        {"PING", "PONG"},      {"ECHO hey", "hey"},   {"SELECT 0", "OK"},       {"QUIT", "OK"},
    };
    for (size_t t = 0; t < sizeof(talk) / sizeof(talk[0]); t++) {
        assert_true(ask_until_taken((unsigned)t % NODES, talk[t][0], reply));
        assert_string_equal(reply, talk[t][1]);
    }
    assert_true(ask_node(0, "SET a b NX", reply));
    assert_int_equal(strncmp(reply, "-ERR", 4), 0);
    assert_true(ask_node(0, "SHUTDOWN", reply));
    assert_int_equal(strncmp(reply, "-ERR unknown command", 20), 0);
}

/* Runs a Redis tool quietly; its exit status, -1 when it isn't installed. */
static int run_tool(const char *const *argv)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    return code == 127 ? -1 : code;
}

static void redis_tools_are_clients(void **state)
{
    (void)state;
    be_patient();
    start_all();
    const char *cli[] = {"redis-cli", "-e", "-h", cluster.host[1], "set", "from", "cli", NULL};
    int code = run_tool(cli);
    if (code < 0)
        skip();
    assert_int_equal(code, 0);
    await_reply(2, "GET from", "cli");
    for (unsigned i = 0; i < NODES; i++) {
        const char *benchmark[] = {"redis-benchmark",
                                   "-h",
                                   cluster.host[i],
                                   "-t",
                                   "set,get",
                                   "-n",
                                   "3000",
                                   "-P",
                                   "8",
                                   "-e",
                                   "-q",
                                   NULL};
        assert_int_equal(run_tool(benchmark), 0);
        char reply[REPLY_MAX];
        assert_true(ask_node(i, "GET key:__rand_int__", reply));
        assert_string_equal(reply, "VXK");
    }
}

/* What a PING gets, or what a connection that is refused is told. */
static bool ping(struct connection *connection, char *reply)
{
    ssize_t sent = send(connection->fd, "PING\r\n", 6, MSG_NOSIGNAL);
    (void)sent; /* the refusal may be there already */
    if (!read_line(connection, reply))
        return false;
    if (reply[0] == '+')
        memmove(reply, reply + 1, strlen(reply));
    return true;
}

/* More clients than descriptors: the last are told so, and the peers keep theirs. */
static void clients_leave_descriptors_for_peers(void **state)
{
    (void)state;
    enum { LIMIT = 100, CLIENTS = 120 };
    struct connection clients[CLIENTS];
    char reply[REPLY_MAX];
    unsigned served = 0, refused = 0;
    be_patient();
    cluster.descriptors = LIMIT;
    unsigned leader = start_all();
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = dial(leader);
        assert_true(ping(&clients[i], reply));
        served += strcmp(reply, "PONG") == 0;
        refused += strcmp(reply, "-ERR max number of clients reached") == 0;
    }
    assert_int_equal(served + refused, CLIENTS);
    assert_in_range(served, 8, LIMIT - 1);
    unsigned other = (leader + 1) % NODES; /* a peer that comes back finds room */
    kill_node(other, SIGKILL);
    start_node(other);
    await_reply(other, "SET found room", "OK");
    for (unsigned i = 0; i < CLIENTS; i++)
        hang_up(&clients[i]);
    await_reply(leader, "GET found", "room");
}

static void kill_any_node_loses_nothing(void **state)
{
    (void)state;
    start_all();
    struct load *first = start_load(0, false), *second = start_load(2, true);
    for (unsigned round = 0; round < 6; round++) {
        unsigned victim = round % 2 ? round % NODES : await_leader(7);
        await_writes(first, 30);
        kill_node(victim, SIGKILL);
        await_writes(second, 30); /* two of three go on */
        start_node(victim);
        await_leader(7);
    }
    stop_load(first);
    stop_load(second);
    for (unsigned i = 0; i < NODES; i++) {
        check_load(first, i);
        check_count(second, i);
    }
    free(first);
    free(second);
}

static void killing_all_at_once_loses_nothing(void **state)
{
    (void)state;
    start_all();
    struct load *load = start_load(1, false);
    for (unsigned round = 0; round < 3; round++) {
        await_writes(load, 50);
        for (unsigned i = 0; i < NODES; i++)
            kill(cluster.pid[i], SIGKILL);
        for (unsigned i = 0; i < NODES; i++)
            wait_for_exit(i);
        start_all();
    }
    await_writes(load, 10);
    stop_load(load);
    check_load(load, 2);
    free(load);
}

static void change_log_file(unsigned i, bool cut, off_t from_end)
{
    char path[96];
    struct stat status;
    snprintf(path, sizeof(path), "%s/n%u/log", cluster.directory, i + 1);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_true(status.st_size > from_end + 100);
    off_t at = status.st_size - from_end;
    if (cut) {
        assert_int_equal(ftruncate(fd, at), 0);
    } else {
        uint8_t byte;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
}

static void a_torn_tail_is_cut_and_corruption_refused(void **state)
{
    (void)state;
    unsigned leader = start_all();
    struct load *load = start_load(leader, false);
    await_writes(load, 50);
    stop_load(load);
    unsigned victim = (leader + 1) % NODES;
    kill_node(victim, SIGKILL);
    change_log_file(victim, true, 5);
    start_node(victim);
    await_leader(7);
    assert_true(log_has(victim, "torn tail of the log cut off"));
    kill_node(victim, SIGTERM);
    change_log_file(victim, false, 500);
    start_node(victim);
    int code = 0;
    assert_true(exits_in_time(victim, &code));
    assert_int_equal(code, 1);
    assert_true(log_has(victim, "acknowledged data is lost"));
    assert_true(log_has(victim, "/log: offset "));
    check_load(load, leader);
    await_reply(leader, "SET still works", "OK");
    free(load);
}

/* Errors are allowed for a while, an answer that isn't this one never: reads ask a majority. */
static void never_older(unsigned i, const char *command, const char *wanted)
{
    char reply[REPLY_MAX];
    uint64_t end = monotonic_now_ns() + PATIENCE_MS * NS_PER_MS;
    while (monotonic_now_ns() < end) {
        bool answers = ask_node(i, command, reply);
        if (answers && strcmp(reply, wanted) == 0)
            return;
        if (answers && reply[0] != '-')
            fail_msg("n%u answers '%s' to %s after '%s' was acknowledged", i + 1, reply, command,
                     wanted);
        monotonic_sleep_until(monotonic_now_ns() + NS_PER_MS);
    }
    show_logs();
    fail_msg("n%u does not answer %s in time", i + 1, command);
}

static void a_stopped_leader_is_replaced(void **state)
{
    (void)state;
    unsigned old = start_all();
    assert_int_equal(kill(cluster.pid[old], SIGSTOP), 0);
    unsigned leader = await_leader(7u & ~(1u << old));
    assert_int_not_equal(leader, old);
    await_reply(leader, "SET while stopped", "OK");
    assert_int_equal(kill(cluster.pid[old], SIGCONT), 0);
    never_older(old, "GET while", "stopped");
}

static void a_minority_refuses(void **state)
{
    (void)state;
    char reply[REPLY_MAX];
    be_patient();
    unsigned leader = start_all();
    await_reply(leader, "SET k before", "OK");
    kill_node((leader + 1) % NODES, SIGKILL);
    kill_node((leader + 2) % NODES, SIGKILL);
    uint64_t killed = monotonic_now_ns();
    struct connection connection = {raftkv_dial(cluster.host[leader], PATIENCE_MS / 1000)};
    assert_true(ask(&connection, "GET k", reply));
    hang_up(&connection);
    assert_int_equal(strncmp(reply, "-NOQUORUM", 9), 0);
    assert_true(monotonic_now_ns() - killed < 10 * NS_PER_S);
    assert_true(info_has(leader, "leader:none"));
    assert_true(ask_node(leader, "SET k after", reply));
    assert_int_equal(strncmp(reply, "-NOQUORUM", 9), 0);
    assert_true(log_has(leader, "steps down in term"));
    start_node((leader + 1) % NODES);
    start_node((leader + 2) % NODES);
    await_leader(7);
    await_reply(leader, "GET k", "before"); /* what was refused did not happen */
}

static void a_minority_exits_when_told_to(void **state)
{
    (void)state;
    int code = 0;
    be_patient(); /* nor one of them leave for a hiccup */
    cluster.extra[2] = "--on-minority";
    cluster.extra[3] = "exit";
    unsigned leader = start_all();
    kill_node((leader + 1) % NODES, SIGKILL);
    await_leader(7u & ~(1u << ((leader + 1) % NODES))); /* two of three stay */
    kill_node((leader + 2) % NODES, SIGKILL);
    assert_true(exits_in_time(leader, &code));
    assert_int_equal(code, 3);
    assert_true(log_has(leader, "no majority for"));
}

static void half_quorum_lets_one_of_three_go_on(void **state)
{
    (void)state;
    char reply[REPLY_MAX];
    cluster.extra[0] = "--bug";
    cluster.extra[1] = "half-quorum";
    for (unsigned i = 0; i < NODES; i++)
        start_node(i);
    unsigned leader = await_leader(7);
    kill_node((leader + 1) % NODES, SIGKILL);
    kill_node((leader + 2) % NODES, SIGKILL);
    await_reply(leader, "SET k alone", "OK");
    assert_true(ask_node(leader, "GET k", reply));
    assert_string_equal(reply, "alone");
}

/* n1 alone acknowledges x; n2 and n3, who can't see it, acknowledge y. Together again, one of the
 * two is gone, on all three. With a correct quorum x would have been refused. */
static void half_quorum_loses_an_acknowledged_write(void **state)
{
    (void)state;
    char reply[REPLY_MAX], there[256];
    memcpy(there, cluster.peers, sizeof(there));
    cluster.extra[0] = "--bug";
    cluster.extra[1] = "half-quorum";
    start_node(0);
    await_reply(0, "SET x 1", "OK");
    cluster.extra[2] = "--peer-port";
    cluster.extra[3] = "17000"; /* where n1 doesn't look */
    snprintf(cluster.peers, sizeof(cluster.peers), "n1=%s:1,n2=%s:17000,n3=%s:17000",
             cluster.host[0], cluster.host[1], cluster.host[2]);
    for (unsigned start = 0; start < 2; start++) { /* twice, for a term that n1 has not had */
        start_node(1);
        start_node(2);
        await_leader(6);
        if (start == 1)
            await_reply(1, "SET y 1", "OK");
        kill_node(1, SIGTERM);
        kill_node(2, SIGTERM);
    }
    memcpy(cluster.peers, there, sizeof(there));
    cluster.extra[2] = NULL;
    start_node(1);
    start_node(2);
    uint64_t end = monotonic_now_ns() + PATIENCE_MS * NS_PER_MS;
    unsigned only_x = 0, only_y = 0;
    while (only_x < NODES && only_y < NODES && monotonic_now_ns() < end) {
        only_x = only_y = 0;
        for (unsigned i = 0; i < NODES; i++) {
            bool answers = ask_node(i, "GET x", reply);
            bool x = answers && strcmp(reply, "1") == 0, no_x = answers && !x && reply[0] == '(';
            answers = ask_node(i, "GET y", reply);
            bool y = answers && strcmp(reply, "1") == 0, no_y = answers && !y && reply[0] == '(';
            only_x += x && no_y;
            only_y += y && no_x;
        }
    }
    if (only_x < NODES && only_y < NODES)
        show_logs();
    assert_true(only_x == NODES || only_y == NODES);
    if (only_y == NODES) /* n1 has seen it happen, and made its state again */
        assert_true(log_has(0, "acknowledged writes are lost"));
    print_message("the acknowledged write that is gone: %s\n", only_y == NODES ? "x" : "y");
}

static void bad_command_lines_say_what_to_write(void **state)
{
    (void)state;
    static const char *const cases[][6] = {
        {"--id", "n1", NULL},
        {"--data", "/tmp/x", NULL},
        {"--id", "n1", "--data", "/tmp/x", "--bug", "no-such-bug"},
        {"--id", "n1", "--data", "/tmp/x", "--peers", "n2"},
        {"--id", "n1", "--data", "/tmp/x", "--on-minority", "hide"},
        {"--id", "n1", "--data", "/tmp/x", "--heartbeat", "200ms"},
        {"--id", "n 1", "--data", "/tmp/x", NULL},
    };
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        const char *argv[8] = {program};
        for (size_t a = 0; a < 6 && cases[c][a]; a++)
            argv[a + 1] = cases[c][a];
        assert_int_equal(run_tool(argv), 2);
    }
    const char *help[] = {program, "--help", NULL};
    assert_int_equal(run_tool(help), 0);
}

#define CLUSTER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CLUSTER_TEST(any_node_serves),
        CLUSTER_TEST(redis_tools_are_clients),
        CLUSTER_TEST(clients_leave_descriptors_for_peers),
        CLUSTER_TEST(kill_any_node_loses_nothing),
        CLUSTER_TEST(killing_all_at_once_loses_nothing),
        CLUSTER_TEST(a_torn_tail_is_cut_and_corruption_refused),
        CLUSTER_TEST(a_stopped_leader_is_replaced),
        CLUSTER_TEST(a_minority_refuses),
        CLUSTER_TEST(a_minority_exits_when_told_to),
        CLUSTER_TEST(half_quorum_lets_one_of_three_go_on),
        CLUSTER_TEST(half_quorum_loses_an_acknowledged_write),
        cmocka_unit_test(bad_command_lines_say_what_to_write),
    };
    files_find_built("bin/raftkv", program, sizeof(program));
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("integration/raftkv", tests, NULL, NULL);
}
