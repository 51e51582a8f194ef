/* Captures of a lab, as a person has them: severctl, files, pipes. */
#include "tests/lib/test.h"

#include <fcntl.h>
#include <grp.h>

#include "tests/integration/lab_roles.h"
#include "tests/integration/severd.h"
#include "tests/lib/child.h"

enum { NOBODY = 65534, PINGS = 40, PATIENCE_MS = 25000 };

struct fixture {
    struct severd severd;
    bool as_nobody;
    char path[128]; /* of the capture's file */
    char self[PATH_MAX], path_setting[PATH_MAX + 64], url_setting[128], file_setting[160];
    char self_setting[PATH_MAX + 8];
    const char *environment[6];
};

static void become_nobody(struct severd *severd)
{
    if (chown(severd->directory, NOBODY, NOBODY) || setgroups(0, NULL) ||
        setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* forgotten with the ids */
}

static int open_fixture(void **state, bool as_nobody)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    char severctl[PATH_MAX];
    *state = fixture;
    fixture->as_nobody = as_nobody;
    severd_launch(&fixture->severd, "2", NULL, as_nobody ? become_nobody : NULL);
    severd_await_log(&fixture->severd, "ready: control");
    files_find_built("bin/severctl", severctl, sizeof(severctl));
    *strrchr(severctl, '/') = '\0';
    ssize_t length = readlink("/proc/self/exe", fixture->self, sizeof(fixture->self) - 1);
    assert_true(length > 0);
    snprintf(fixture->path, sizeof(fixture->path), "%s/capture.pcapng", fixture->severd.directory);
    snprintf(fixture->file_setting, sizeof(fixture->file_setting), "FILE=%s", fixture->path);
    snprintf(fixture->self_setting, sizeof(fixture->self_setting), "SELF=%s", fixture->self);
    snprintf(fixture->url_setting, sizeof(fixture->url_setting), "SEVER_URL=%s",
             fixture->severd.url);
    snprintf(fixture->path_setting, sizeof(fixture->path_setting), "PATH=%s:%s", severctl,
             "/usr/sbin:/usr/bin:/sbin:/bin");
    const char *settings[] = {fixture->url_setting, fixture->path_setting, fixture->file_setting,
                              fixture->self_setting, "TZ=UTC"};
    memcpy(fixture->environment, settings, sizeof(settings));
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
    unlink(fixture->path);
    if (fixture->severd.pid > 0)
        severd_stop(&fixture->severd);
    free(fixture);
    return 0;
}

/* --- commands --- */

/* A shell command as the fixture's user; "exec" is put in front. */
static void begin(struct fixture *fixture, struct child *child, const char *command)
{
    char line[1024];
    snprintf(line, sizeof(line), "exec %s", command);
    const char *plain[] = {"sh", "-c", line, NULL};
    const char *other[] = {
        "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", line, NULL};
    child_start(child, fixture->as_nobody ? other : plain, fixture->environment);
}

static void must(struct fixture *fixture, const char *command)
{
    struct child child;
    struct text output = {0};
    begin(fixture, &child, command);
    if (child_finish(&child, &output))
        fail_msg("%s: %s", command, text_get(&output));
    text_free(&output);
}

/* answered: all are to be, and are waited for. */
static void ping(struct fixture *fixture, const char *from, const char *to, int count,
                 bool answered)
{
    char command[128];
    snprintf(command, sizeof(command), "severctl lab exec %s -- $SELF ping %s %d %d", from, to,
             count, answered ? PATIENCE_MS : 0);
    must(fixture, command);
}

/* Begins a capture into the file; returns when it is in force: then its file begins. */
static void capture(struct fixture *fixture, struct child *child, const char *what)
{
    char command[512];
    struct stat status;
    uint64_t end_ns = monotonic_now_ns() + 20 * NS_PER_S;
    snprintf(command, sizeof(command), "severctl capture -w $FILE %s", what);
    begin(fixture, child, command);
    while (stat(fixture->path, &status) || status.st_size == 0) {
        if (monotonic_now_ns() > end_ns)
            fail_msg("there is no file");
        monotonic_sleep_until(monotonic_now_ns() + 10 * NS_PER_MS);
    }
}

/* Waits until it is over; its last words must have `words`. */
static void finish(struct child *child, const char *words)
{
    struct text output = {0};
    int code = child_finish(child, &output);
    if (code || !strstr(text_get(&output), words))
        fail_msg("exit %d, no '%s' in '%s'", code, words, text_get(&output));
    text_free(&output);
}

/* --- the file --- */

static uint32_t u32(const char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

/* The first option of a packet that is a comment. */
static void append_comment(struct text *fates, const char *block)
{
    const char *end = block + u32(block + 4) - 4;
    const char *at = block + 28 + (u32(block + 20) + 3) / 4 * 4;
    while (at < end && (u32(at) & 0xffff) != 1)
        at += 4 + ((u32(at) >> 16) + 3) / 4 * 4;
    assert_true(at < end);
    text_append(fates, "%.*s\n", (int)(u32(at) >> 16), at + 4);
}

/* The comments of all packets, one a line. Whether the file ends with a whole block. */
static bool read_fates(const struct fixture *fixture, struct text *fates)
{
    struct text file = {0};
    char buffer[65536];
    ssize_t got;
    int fd = open(fixture->path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    while ((got = read(fd, buffer, sizeof(buffer))) > 0)
        text_append_bytes(&file, buffer, (size_t)got);
    close(fd);
    text_clear(fates);
    for (size_t at = 0; at < file.length;) {
        uint32_t size = file.length - at < 12 ? UINT32_MAX : u32(file.data + at + 4);
        if (size > file.length - at) {
            text_free(&file);
            return false;
        }
        assert_true(size >= 12);
        assert_int_equal(u32(file.data + at + size - 4), size);
        if (u32(file.data + at) == 6)
            append_comment(fates, file.data + at);
        at += size;
    }
    text_free(&file);
    return true;
}

static unsigned count_of(const struct text *fates, const char *part)
{
    unsigned count = 0;
    for (const char *at = text_get(fates); (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

/* Until so many with such a fate are in the file. */
static void await_packets(const struct fixture *fixture, const char *fate, unsigned wanted)
{
    struct text fates = {0};
    uint64_t end_ns = monotonic_now_ns() + 20 * NS_PER_S;
    do {
        assert_true(monotonic_now_ns() < end_ns);
        monotonic_sleep_until(monotonic_now_ns() + 10 * NS_PER_MS);
        (void)read_fates(fixture, &fates); /* of which the last may just be written */
    } while (count_of(&fates, fate) < wanted);
    text_free(&fates);
}

/* Until the fault holds a packet. */
static void await_touched(struct fixture *fixture, const char *fault)
{
    char path[64];
    json_int_t touched = 0;
    uint64_t end_ns = monotonic_now_ns() + 20 * NS_PER_S;
    snprintf(path, sizeof(path), "/v1/faults/%s", fault);
    while (touched == 0) {
        json_t *answer = severd_ask(&fixture->severd, "GET", path, NULL);
        touched = json_integer_value(json_object_get(answer, "touched"));
        json_decref(answer);
        assert_true(monotonic_now_ns() < end_ns);
    }
}

static bool has_tcpdump(void)
{
    const char *argv[] = {"tcpdump", "--version", NULL};
    struct text ignored = {0};
    bool there = child_run(argv, NULL, NULL, &ignored) == 0;
    text_free(&ignored);
    return there;
}

/* --- tests --- */

static void every_packet_has_its_fate(void **state)
{
    struct fixture *fixture = *state;
    struct child child;
    struct text fates = {0};
    must(fixture, "severctl lab up 2");
    must(fixture, "severctl loss 'n1->n2' 50% --name wan-loss");
    must(fixture, "severctl delay 'n1->n2' 20ms --name far");
    /* Echo requests. */
    capture(fixture, &child, "--count 40 'n1->n2' 'icmp6 and ip6[40] == 128'");
    ping(fixture, "n2", "n1", 2, false);
    ping(fixture, "n1", "n2", PINGS, false);
    finish(&child, "40 packets captured, 0 lost");
    assert_true(read_fates(fixture, &fates));
    unsigned lost = count_of(&fates, ": loss, by fault wan-loss\n"), late = 0;
    assert_in_range(lost, 5, PINGS - 5);
    assert_int_equal(lost + count_of(&fates, "n1->n2 delivered after "), PINGS);
    for (const char *at = text_get(&fates); (at = strstr(at, "delivered after ")); at += 16) {
        double ms = strtod(at + 16, NULL);
        assert_true(ms >= 20);
        late += ms >= 500;
    }
    assert_true(late < PINGS / 4); /* where the machine was busy */
    text_free(&fates);
}

static void a_cut_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct child child;
    struct text fates = {0};
    must(fixture, "severctl lab up 3");
    must(fixture, "severctl delay 'n1->n3' 60s --name slow");
    capture(fixture, &child, "--count 7 n1 icmp6 and ip6[40] == 128");
    must(fixture, "severctl cut n1 n2 --name brain");
    ping(fixture, "n1", "n2", 3, false);
    await_packets(fixture, ": cut by partition brain\n", 3);
    ping(fixture, "n1", "n3", 1, false);
    await_touched(fixture, "slow");
    must(fixture, "severctl isolate n3 --name far");
    must(fixture, "severctl faults clear"); /* what it held comes to the cut */
    ping(fixture, "n3", "n1", 2, false);
    await_packets(fixture, ": cut by partition far\n", 3);
    must(fixture, "severctl heal");
    ping(fixture, "n1", "n2", 1, true);
    finish(&child, "7 packets captured, 0 lost");
    assert_true(read_fates(fixture, &fates));
    assert_int_equal(count_of(&fates, ": cut by partition brain\n"), 3);
    assert_int_equal(count_of(&fates, "n3->n1 dropped"), 2);
    assert_int_equal(count_of(&fates, ": cut by partition far\n"), 3); /* and what was on its way */
    assert_int_equal(count_of(&fates, "n1->n2 delivered "), 1);
    const char *held = strstr(text_get(&fates), "n1->n3 dropped after ");
    assert_non_null(held);
    assert_non_null(strstr(held, " ms: cut by partition far\n"));
    text_free(&fates);
}

static void the_whole_lab(void **state)
{
    struct fixture *fixture = *state;
    struct child child;
    struct text fates = {0};
    must(fixture, "severctl lab up 2");
    capture(fixture, &child, "icmp6 and ip6[40] == 128");
    ping(fixture, "n1", "n2", 5, true);
    must(fixture, "severctl lab add n3"); /* while it runs */
    ping(fixture, "n2", "n3", 4, true);
    ping(fixture, "n3", "n1", 3, true);
    must(fixture, "severctl lab down");
    finish(&child, "the capture has ended: 12 packets captured, 0 lost");
    assert_true(read_fates(fixture, &fates));
    assert_int_equal(count_of(&fates, "n1->n2 delivered "), 5);
    assert_int_equal(count_of(&fates, "n2->n3 delivered "), 4);
    assert_int_equal(count_of(&fates, "n3->n1 delivered "), 3);
    text_free(&fates);
}

static void lines_for_people(void **state)
{
    struct fixture *fixture = *state;
    struct child child, pinger;
    char line[256];
    must(fixture, "severctl lab up 2");
    begin(fixture, &child, "severctl capture n1 n2 --count 3 icmp6 and ip6[40] == 128");
    begin(fixture, &pinger, "severctl lab exec n2 -- $SELF ping n1 2000 0");
    assert_true(child_read_line(&child, line, sizeof(line)));
    assert_non_null(strstr(line, "  n2->n1  ICMPv6 echo request fd77::2 > fd77::1, "));
    assert_non_null(strstr(line, " bytes  delivered "));
    finish(&child, "3 packets captured, 0 lost");
    begin(fixture, &child, "severctl capture n1 --json --count 1 icmp6 and ip6[40] == 128");
    assert_true(child_read_line(&child, line, sizeof(line)));
    json_t *json = json_loads(line, 0, NULL);
    assert_memory_equal(json_string_value(json_object_get(json, "fate")), "delivered ", 10);
    json_decref(json);
    finish(&child, "1 packet captured, 0 lost");
    child_kill(&pinger);
}

static void a_pipe_to_tcpdump(void **state)
{
    struct fixture *fixture = *state;
    struct child child, pinger;
    struct text output = {0};
    if (!has_tcpdump())
        skip();
    must(fixture, "severctl lab up 2");
    begin(fixture, &pinger, "severctl lab exec n2 -- $SELF ping n1 2000 0");
    begin(fixture, &child, "sh -c 'severctl capture n1 -w - icmp6 | tcpdump -nr - -c 12'");
    if (child_finish(&child, &output)) /* tcpdump leaves, and severctl with it */
        fail_msg("%s", text_get(&output));
    assert_true(count_of(&output, "ICMP6, echo re") >= 5); /* besides who has which address */
    assert_non_null(strstr(text_get(&output), "packets captured, 0 lost"));
    text_free(&output);
    child_kill(&pinger);
}

static void who_reads_lines_may_leave(void **state)
{
    struct fixture *fixture = *state;
    struct child child, pinger;
    struct text output = {0};
    must(fixture, "severctl lab up 2");
    begin(fixture, &pinger, "severctl lab exec n2 -- $SELF ping n1 2000 0");
    begin(fixture, &child,
          "sh -c '{ severctl capture n1 icmp6; echo exit $? >&2; } | head -n 2 >&2'");
    assert_int_equal(child_finish(&child, &output), 0);
    assert_non_null(strstr(text_get(&output), "exit 0"));
    assert_null(strstr(text_get(&output), "Broken pipe"));
    text_free(&output);
    child_kill(&pinger);
}

/* What n1 asks once more, on a busy machine, is answered once more: leaves the first of lines that
 * are the same. */
static void drop_repeated(struct text *lines)
{
    struct text kept = {0};
    for (const char *at = text_get(lines), *end; (end = strchr(at, '\n')); at = end + 1) {
        char line[128];
        snprintf(line, sizeof(line), "%.*s\n", (int)(end - at), at);
        if (!strstr(text_get(&kept), line))
            text_append(&kept, "%s", line);
    }
    text_free(lines);
    *lines = kept;
}

/* What severd says in the place of n2: that it has its address, and that it refuses. */
static void severd_is_seen_to_speak(void **state)
{
    struct fixture *fixture = *state;
    struct child child, talk;
    struct text fates = {0};
    must(fixture, "severctl lab up 2");
    must(fixture, "severctl reject 'n1->n2' --name closed");
    capture(fixture, &child, "n1 n2 'tcp port 2379 or (icmp6 and ip6[40] >= 135)'");
    begin(fixture, &talk, "severctl lab exec n1 -- $SELF talk n2 2379 20000");
    child_finish(&talk, NULL);
    await_packets(fixture, "n2->n1 severd's answer, by fault closed", 1);
    kill(child.pid, SIGINT);
    finish(&child, " 0 lost");
    assert_true(read_fates(fixture, &fates));
    drop_repeated(&fates);
    assert_string_equal(text_get(&fates), "n1->n2 answered by severd\n"
                                          "n2->n1 severd's answer\n"
                                          "n1->n2 dropped: reject, by fault closed\n"
                                          "n2->n1 severd's answer, by fault closed\n");
    text_free(&fates);
}

/* Starts an echo server in n2, and a client of it in n1, which is connected. */
static void start_talk(struct fixture *fixture, struct child *server, struct child *client)
{
    char line[128];
    begin(fixture, server, "severctl lab exec n2 -- $SELF serve 2379");
    assert_true(child_read_line(server, line, sizeof(line)));
    begin(fixture, client, "severctl lab exec n1 -- $SELF talk n2 2379 60000");
    assert_true(child_read_line(client, line, sizeof(line)));
    assert_non_null(strstr(line, "connected"));
}

static void exchange(struct child *client, const char *bytes)
{
    char line[128];
    child_write(client, bytes);
    assert_true(child_read_line(client, line, sizeof(line)));
    assert_non_null(strstr(line, "echoed"));
}

/* Super-packets, whose checksums nobody has computed, are shown with right ones. */
static void no_checksum_is_broken(void **state)
{
    struct fixture *fixture = *state;
    struct child server, client, child;
    struct text output = {0};
    if (!has_tcpdump())
        skip();
    must(fixture, "severctl lab up 2");
    start_talk(fixture, &server, &client);
    capture(fixture, &child, "n1 tcp");
    exchange(&client, "2000000\n");
    await_packets(fixture, "n1->n2 delivered ", 20);
    kill(child.pid, SIGINT);
    finish(&child, " 0 lost");
    begin(fixture, &child, "tcpdump -nvvr $FILE");
    assert_int_equal(child_finish(&child, &output), 0);
    assert_true(count_of(&output, "cksum 0x") > 10);
    assert_true(count_of(&output, "(correct)") > 10);
    assert_int_equal(count_of(&output, "(incorrect"), 0);
    text_free(&output);
    child_kill(&client);
    child_kill(&server);
}

/* Reads what there is, until nothing has come for two seconds. */
static void drain(struct child *child)
{
    static char buffer[1 << 16];
    struct pollfd wait = {.fd = child->output, .events = POLLIN};
    while (poll(&wait, 1, 2000) == 1)
        assert_true(read(child->output, buffer, sizeof(buffer)) > 0);
}

/* It is told what it has missed; nothing waits for it. */
static void a_slow_reader_loses_packets(void **state)
{
    struct fixture *fixture = *state;
    struct child server, client, child;
    struct text output = {0};
    unsigned long long packets, lost;
    char byte;
    must(fixture, "severctl lab up 2");
    start_talk(fixture, &server, &client);
    begin(fixture, &child, "severctl capture n1 -w -");
    assert_int_equal(read(child.output, &byte, 1), 1); /* it is in force; and now nobody reads */
    exchange(&client, "30000000\n");
    exchange(&client, "30000000\n");
    drain(&child);
    kill(child.pid, SIGINT);
    assert_int_equal(child_finish(&child, &output), 0);
    const char *words = memmem(output.data, output.length, "severctl: ", 10);
    assert_non_null(words);
    assert_int_equal(sscanf(words, "severctl: %llu packets captured, %llu lost", &packets, &lost),
                     2);
    assert_true(packets > 20);
    assert_true(lost > 20);
    child_kill(&client);
    child_kill(&server);
    text_free(&output);
}

static void it_ends_with_severd(void **state)
{
    struct fixture *fixture = *state;
    struct child child;
    struct text fates = {0};
    must(fixture, "severctl lab up 2");
    capture(fixture, &child, "'icmp6 and ip6[40] == 128'");
    ping(fixture, "n1", "n2", 3, true);
    kill(fixture->severd.pid, SIGTERM);
    finish(&child, "the capture has ended: 3 packets captured, 0 lost");
    assert_true(read_fates(fixture, &fates));
    assert_int_equal(count_of(&fates, "n1->n2 delivered "), 3);
    text_free(&fates);
}

/* After a severd that could not do it. */
static void clean_up(struct fixture *fixture)
{
    const char *argv[] = {"rm", "-r", fixture->severd.directory, NULL};
    int status;
    assert_int_equal(waitpid(fixture->severd.pid, &status, 0), fixture->severd.pid);
    fixture->severd.pid = 0;
    wire_client_destroy(fixture->severd.client);
    close(fixture->severd.log_fd);
    assert_int_equal(child_run(argv, NULL, NULL, NULL), 0);
}

static void a_killed_severd_leaves_a_whole_file(void **state)
{
    struct fixture *fixture = *state;
    struct child child;
    struct text fates = {0}, output = {0};
    must(fixture, "severctl lab up 2");
    capture(fixture, &child, "n1");
    ping(fixture, "n1", "n2", 3, true);
    await_packets(fixture, "n1->n2 delivered ", 3);
    kill(fixture->severd.pid, SIGKILL);
    assert_int_equal(child_finish(&child, &output), 3);
    assert_non_null(strstr(text_get(&output), "in the middle of its answer"));
    assert_true(read_fates(fixture, &fates));
    assert_true(count_of(&fates, "n1->n2 delivered ") >= 3);
    text_free(&output);
    clean_up(fixture);
    text_free(&fates);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return role_main(argc, argv);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_packet_has_its_fate),
#ifndef __SANITIZE_THREAD__ /* each child has a thread more: two can't go into a user namespace */
        {"every_packet_has_its_fate as an ordinary user", every_packet_has_its_fate,
         set_up_as_nobody, tear_down, NULL},
#endif
        TEST(a_cut_is_named),
        TEST(the_whole_lab),
        TEST(lines_for_people),
        TEST(a_pipe_to_tcpdump),
        TEST(who_reads_lines_may_leave),
        TEST(severd_is_seen_to_speak),
        TEST(no_checksum_is_broken),
        TEST(a_slow_reader_loses_packets),
        TEST(it_ends_with_severd),
        TEST(a_killed_severd_leaves_a_whole_file),
    };
    return cmocka_run_group_tests_name("integration/capture", tests, NULL, NULL);
}
