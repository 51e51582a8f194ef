/* When something runs out - descriptors, the log, the disk, memory, an upstream that answers - the
 * rest goes on, and the control API above all. Against the real process. */
#include "tests/integration/net.h"
#include "tests/integration/severd.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "proxy/base/text.h"

static json_int_t open_connections(struct severd *severd)
{
    json_t *status = severd_ask(severd, "GET", "/v1/status", NULL);
    json_int_t open =
        json_integer_value(json_object_get(json_object_get(status, "connections"), "open"));
    json_decref(status);
    return open;
}

/* The API does all that it has to do. */
static void check_api(struct severd *severd)
{
    severd_tell(severd, "POST", "/v1/faults",
                json_pack("{s:s, s:s, s:s, s:i}", "name", "f", "type", "latency", "route", "r",
                          "delay_ns", 1000));
    severd_tell(severd, "GET", "/v1/routes", NULL);
    severd_tell(severd, "DELETE", "/v1/faults/f", NULL);
}

/* --- descriptors --- */

static void allow_few_files(struct severd *severd)
{
    (void)severd;
    struct rlimit few = {.rlim_cur = 64, .rlim_max = 64};
    setrlimit(RLIMIT_NOFILE, &few);
}

enum { CROWD = 200 };

/* Each client says a byte and leaves when it has come back. Returns how many have left. */
static int serve_crowd(int listener, int *clients, int *servers, size_t *server_count)
{
    char byte;
    int left = 0;
    while (net_is_ready(listener, POLLIN, 0))
        servers[(*server_count)++] = net_accept(listener);
    for (size_t i = 0; i < *server_count; i++) {
        ssize_t got = recv(servers[i], &byte, 1, 0);
        if (got == 1)
            assert_int_equal(send(servers[i], &byte, 1, MSG_NOSIGNAL), 1);
        if (got != 0)
            continue;
        close(servers[i]);
        servers[i--] = servers[--*server_count];
    }
    for (int i = 0; i < CROWD; i++) {
        if (clients[i] < 0 || recv(clients[i], &byte, 1, 0) != 1)
            continue;
        close(clients[i]);
        clients[i] = -1;
        left++;
    }
    return left;
}

static void a_crowd_waits_for_descriptors(void **state)
{
    (void)state;
    static int clients[CROWD], servers[CROWD];
    size_t server_count = 0;
    struct severd severd;
    int port, left = 0;
    severd_launch(&severd, "1", NULL, allow_few_files);
    severd_await_log(&severd, "ready: control");
    int listener = net_listen(CROWD, &port);
    severd_add_node(&severd, "n1");
    severd_add_node(&severd, "n2");
    int route = severd_add_route(&severd, "r", "tcp", port, "n1", "n2");
    for (int i = 0; i < CROWD; i++) {
        clients[i] = net_start_connect(route);
        net_wait(clients[i], POLLOUT);
    }
    net_await(open_connections(&severd) == 16); /* half of 64 descriptors, two for each */
    severd_await_log(&severd, "no descriptors are left for connections");
    for (int i = 0; i < 20; i++)
        check_api(&severd);
    assert_int_equal(open_connections(&severd), 16);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(send(clients[i], "x", 1, MSG_NOSIGNAL), 1);
    net_await((left += serve_crowd(listener, clients, servers, &server_count)) == CROWD);
    net_await(serve_crowd(listener, clients, servers, &server_count) == 0 && server_count == 0 &&
              open_connections(&severd) == 0);
    close(listener);
    severd_stop(&severd);
}

/* Sessions of datagrams are bounded by the same number; what has none is counted. */
static void datagrams_without_a_descriptor_are_counted(void **state)
{
    (void)state;
    static int clients[CROWD];
    struct severd severd;
    struct sockaddr_in address = net_address(0);
    socklen_t length = sizeof(address);
    severd_launch(&severd, "1", NULL, allow_few_files);
    severd_await_log(&severd, "ready: control");
    int server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(server, (struct sockaddr *)&address, &length), 0);
    severd_add_node(&severd, "n1");
    severd_add_node(&severd, "n2");
    address =
        net_address(severd_add_route(&severd, "r", "udp", ntohs(address.sin_port), "n1", "n2"));
    for (int i = 0; i < CROWD; i++) {
        clients[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(
            sendto(clients[i], "x", 1, 0, (struct sockaddr *)&address, sizeof(address)), 1);
    }
    json_int_t dropped = 0, units = 0;
    for (uint64_t deadline_ns = monotonic_now_ns() + NET_PATIENCE_NS; dropped + units < CROWD;) {
        assert_true(monotonic_now_ns() < deadline_ns);
        json_t *answer = severd_ask(&severd, "GET", "/v1/links?node=n2", NULL), *link;
        size_t index;
        json_array_foreach(json_object_get(answer, "links"), index, link)
        {
            if (strcmp(json_string_value(json_object_get(link, "link")), "n1->n2") != 0)
                continue;
            units = json_integer_value(json_object_get(link, "units"));
            dropped =
                json_integer_value(json_object_get(json_object_get(link, "dropped"), "queue"));
        }
        json_decref(answer);
    }
    assert_int_equal(units, 32);
    assert_int_equal(dropped, CROWD - 32);
    check_api(&severd);
    for (int i = 0; i < CROWD; i++)
        close(clients[i]);
    close(server);
    severd_stop(&severd);
}

/* Silent clients of the API take all that is kept for it: each new one is served all the same. */
static void silent_clients_of_the_api_make_room(void **state)
{
    (void)state;
    static int silent[CROWD];
    static const char *const extra[] = {"--listen", "127.0.0.1:0", NULL};
    struct severd severd;
    char url[64];
    severd_launch(&severd, "1", extra, allow_few_files);
    severd_await_log(&severd, "cut on TCP routes");
    const char *shown = strstr(severd.log, "http://127.0.0.1:");
    assert_non_null(shown);
    int port = (int)strtol(shown + strlen("http://127.0.0.1:"), NULL, 10);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", port);
    for (int i = 0; i < CROWD; i++) {
        silent[i] = net_start_connect(port);
        if (i % 10 != 0)
            continue;
        struct wire_client *client;
        struct error error = {0};
        assert_int_equal(wire_client_create(url, "test", &client, &error), 0);
        if (wire_client_request(client, "GET", "/v1/status", NULL, NULL, &error))
            fail_msg("beside %d silent clients: %s", i + 1, error.message);
        wire_client_destroy(client);
    }
    severd_tell(&severd, "GET", "/v1/status", NULL);
    for (int i = 0; i < CROWD; i++)
        close(silent[i]);
    severd_stop(&severd);
}

/* --- the log --- */

static void log_to_full_disk(struct severd *severd)
{
    (void)severd;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    dup2(full, STDERR_FILENO);
    dup2(full, STDOUT_FILENO);
}

static void log_to_closed_pipe(struct severd *severd)
{
    (void)severd;
    int fds[2];
    if (pipe(fds))
        _exit(126);
    dup2(fds[1], STDERR_FILENO);
    dup2(fds[1], STDOUT_FILENO);
    close(fds[0]);
    close(fds[1]);
}

static void log_nowhere(struct severd *severd)
{
    (void)severd;
    close(STDERR_FILENO);
    close(STDOUT_FILENO);
}

/* The reading end stays open in severd itself, and nobody reads. */
static void log_to_unread_pipe(struct severd *severd)
{
    (void)severd;
    int fds[2];
    if (pipe(fds))
        _exit(126);
    dup2(fds[1], STDERR_FILENO);
}

static const char *const talkative[] = {"--log-level", "debug", NULL};

static bool answers(struct severd *severd)
{
    struct error error;
    return wire_client_request(severd->client, "GET", "/v1/status", NULL, NULL, &error) == 0;
}

static void a_log_that_cannot_be_written_stops_nothing(void **state)
{
    (void)state;
    static void (*const prepares[])(struct severd *) = {log_to_full_disk, log_to_closed_pipe,
                                                        log_nowhere, log_to_unread_pipe};
    for (size_t i = 0; i < sizeof(prepares) / sizeof(prepares[0]); i++) {
        struct severd severd;
        int port;
        severd_launch(&severd, "1", talkative, prepares[i]);
        net_await(answers(&severd));
        int listener = net_listen(16, &port);
        severd_add_node(&severd, "n1");
        severd_add_node(&severd, "n2");
        int route = severd_add_route(&severd, "r", "tcp", port, "n1", "n2");
        for (int round = 0; round < 500; round++)
            check_api(&severd);
        int near = net_start_connect(route), far = net_accept(listener);
        net_round_trip(near, far);
        close(near);
        close(far);
        close(listener);
        severd_stop(&severd);
    }
}

/* --- the disk --- */

/* A file system of its own, in a namespace of its own, over the test's directory. */
static void mount_over(struct severd *severd, const char *options, unsigned long flags)
{
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", severd->directory, "tmpfs", flags, options))
        _exit(EXIT_SUCCESS); /* not allowed here */
}

static void run_on_full_disk(struct severd *severd)
{
    char path[128], block[4096] = {0};
    mount_over(severd, "size=16k", 0);
    snprintf(path, sizeof(path), "%s/filler", severd->directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, block, sizeof(block)) == (ssize_t)sizeof(block))
        continue;
    close(fd);
}

static void run_on_read_only(struct severd *severd)
{
    mount_over(severd, "size=16k", MS_RDONLY);
}

/* Waits for the end of a severd that does not start. Returns its exit code; its log in *said. */
static int await_refusal(struct severd *severd, struct text *said)
{
    int status;
    char buffer[1024];
    for (ssize_t got; (got = read(severd->log_fd, buffer, sizeof(buffer))) > 0;)
        text_append_bytes(said, buffer, (size_t)got);
    close(severd->log_fd);
    wire_client_destroy(severd->client);
    assert_int_equal(waitpid(severd->pid, &status, 0), severd->pid);
    assert_true(WIFEXITED(status));
    rmdir(severd->directory);
    return WEXITSTATUS(status);
}

static void no_run_directory_is_an_error_at_the_start(void **state)
{
    (void)state;
    struct severd severd;
    struct text said = {0};
    severd_launch(&severd, "1", NULL, run_on_read_only);
    int code = await_refusal(&severd, &said);
    if (code == EXIT_SUCCESS) {
        print_message("nothing may be mounted here: skipped\n");
        skip();
    }
    assert_int_equal(code, EXIT_FAILURE);
    assert_non_null(strstr(text_get(&said), "--run-dir"));
    assert_non_null(strstr(text_get(&said), "Read-only file system"));
    text_free(&said);
}

/* A node has a clock page, for which there is no room; and nothing else is lost by that. */
static void a_full_disk_refuses_nodes(void **state)
{
    (void)state;
    char ruleset[] = "/tmp/sever-ruleset-XXXXXX";
    static const char text[] = "{\"nodes\": [{\"name\": \"n1\"}]}";
    int fd = mkstemp(ruleset);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    const char *const extra[] = {"--ruleset", ruleset, NULL};
    struct severd severd;
    struct text said = {0};
    severd_launch(&severd, "1", extra, run_on_full_disk);
    int code = await_refusal(&severd, &said);
    unlink(ruleset);
    if (code == EXIT_SUCCESS) {
        print_message("nothing may be mounted here: skipped\n");
        skip();
    }
    if (code != EXIT_FAILURE || !strstr(text_get(&said), "No space left on device"))
        fail_msg("%d: %s", code, text_get(&said));
    text_free(&said);
}

/* --- memory, and peers that do not answer --- */

static size_t resident_bytes(const struct severd *severd)
{
    char path[64];
    unsigned long size, resident;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)severd->pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &size, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* A sanitizer has its own memory for severd's. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { SHADOW = 8 };
#else
enum { SHADOW = 1 };
#endif
enum { MEMORY_MIB = 16, FLOODS = 20 };

/* Sends until nothing goes any more for a while. */
static void flood(int *clients)
{
    static char bytes[65536];
    for (int idle = 0; idle < 5;) {
        bool sent = false;
        for (int i = 0; i < FLOODS; i++)
            sent |= send(clients[i], bytes, sizeof(bytes), MSG_NOSIGNAL) > 0;
        struct pollfd poll_fd = {.fd = clients[0], .events = POLLOUT};
        idle = sent ? 0 : idle + 1;
        if (!sent)
            poll(&poll_fd, 1, 20);
    }
}

/* Behind an hour of latency, and behind a peer that does not read. */
static void who_does_not_read_fills_its_own_share(void **state)
{
    (void)state;
    static const char *const extra[] = {"--memory", "16MiB", NULL};
    static const char *const faults[] = {
        "{\"name\":\"slow\",\"type\":\"latency\",\"route\":\"r\",\"delay_ns\":3600000000000}",
        "{\"name\":\"slow\",\"type\":\"rate\",\"route\":\"r\",\"bytes_per_s\":1}",
        "{\"name\":\"slow\",\"type\":\"noop\",\"route\":\"r\"}"};
    struct severd severd;
    int port, clients[FLOODS], servers[FLOODS];
    severd_start(&severd, "1", extra);
    int listener = net_listen(64, &port);
    severd_add_node(&severd, "n1");
    severd_add_node(&severd, "n2");
    int route = severd_add_route(&severd, "r", "tcp", port, "n1", "n2");
    int other = severd_add_route(&severd, "o", "tcp", port, "n1", "n2");
    size_t before = resident_bytes(&severd);
    for (size_t f = 0; f < sizeof(faults) / sizeof(faults[0]); f++) {
        severd_tell(&severd, "POST", "/v1/faults", json_loads(faults[f], 0, NULL));
        for (int i = 0; i < FLOODS; i++) {
            clients[i] = net_start_connect(route);
            servers[i] = net_accept(listener);
        }
        flood(clients);
        int near = net_start_connect(other), far = net_accept(listener);
        for (int i = 0; i < 50; i++)
            net_round_trip(near, far);
        severd_tell(&severd, "GET", "/v1/status", NULL);
        size_t grown = resident_bytes(&severd) - before;
        if (grown > SHADOW * (MEMORY_MIB + 16) * 1024UL * 1024)
            fail_msg("%zu bytes more for %d MiB of buffers", grown, MEMORY_MIB);
        close(near);
        close(far);
        for (int i = 0; i < FLOODS; i++) {
            net_close_reset(clients[i]);
            net_close_reset(servers[i]);
        }
        severd_tell(&severd, "DELETE", "/v1/faults/slow", NULL);
        net_await(open_connections(&severd) == 0);
    }
    close(listener);
    severd_stop(&severd);
}

/* An upstream whose backlog is full: SYNs stay unanswered, and so do those who dial it. */
static void an_upstream_that_never_answers_keeps_nobody_else(void **state)
{
    (void)state;
    static int waiting[CROWD], fillers[8];
    struct severd severd;
    int port, dead_port;
    severd_start(&severd, "1", NULL);
    int listener = net_listen(64, &port), dead = net_listen(0, &dead_port);
    for (size_t i = 0; i < sizeof(fillers) / sizeof(fillers[0]); i++)
        fillers[i] = net_start_connect(dead_port);
    severd_add_node(&severd, "n1");
    severd_add_node(&severd, "n2");
    int route = severd_add_route(&severd, "r", "tcp", port, "n1", "n2");
    int dead_route = severd_add_route(&severd, "dead", "tcp", dead_port, "n1", "n2");
    for (int i = 0; i < CROWD; i++)
        waiting[i] = net_start_connect(dead_route);
    net_await(open_connections(&severd) == CROWD);
    int near = net_start_connect(route), far = net_accept(listener);
    for (int i = 0; i < 50; i++) {
        net_round_trip(near, far);
        check_api(&severd);
    }
    assert_int_equal(open_connections(&severd), CROWD + 1);
    for (int i = 0; i < CROWD / 2; i++)
        net_close_reset(waiting[i]); /* RST: they are gone at once */
    net_await(open_connections(&severd) == CROWD / 2 + 1);
    severd_tell(&severd, "DELETE", "/v1/routes/dead", NULL);
    net_await(open_connections(&severd) == 1);
    net_round_trip(near, far);
    for (int i = CROWD / 2; i < CROWD; i++)
        close(waiting[i]);
    for (size_t i = 0; i < sizeof(fillers) / sizeof(fillers[0]); i++)
        close(fillers[i]);
    close(near);
    close(far);
    close(dead);
    close(listener);
    severd_stop(&severd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crowd_waits_for_descriptors),
        cmocka_unit_test(datagrams_without_a_descriptor_are_counted),
        cmocka_unit_test(silent_clients_of_the_api_make_room),
        cmocka_unit_test(a_log_that_cannot_be_written_stops_nothing),
        cmocka_unit_test(no_run_directory_is_an_error_at_the_start),
        cmocka_unit_test(a_full_disk_refuses_nodes),
        cmocka_unit_test(who_does_not_read_fills_its_own_share),
        cmocka_unit_test(an_upstream_that_never_answers_keeps_nobody_else),
    };
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    return cmocka_run_group_tests_name("exhaustion", tests, NULL, NULL);
}
