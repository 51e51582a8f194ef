/* The preload library in programs that were not made for it: date, python3, redis-server, raftkv,
 * and this test itself as a probe (--probe-...). Every check is a bracket: the real clocks are read
 * before and after, and what the program says must lie between the two shifted readings. */
#include "tests/lib/test.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "proxy/base/address.h"
#include "proxy/base/monotonic.h"
#include "proxy/clock/clock_control.h"
#include "tests/lib/child.h"

#define SECOND INT64_C(1000000000)
#define HOUR (3600 * SECOND)

struct fixture {
    char directory[64];
    char path[96];
    char library[1024], preload[1100], page_setting[128];
    const char *environment[4];
    struct clock_page *page;
};

static char self_path[1024];

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    *state = fixture;
    /* This program is BUILD/tests/integration/test_clock. */
    snprintf(fixture->library, sizeof(fixture->library), "%.*s/../../lib/libsever-clock.so",
             (int)(strrchr(self_path, '/') - self_path), self_path);
    char *library = realpath(fixture->library, NULL);
    if (!library) {
        print_error("%s is missing: run make\n", fixture->library);
        return -1;
    }
    snprintf(fixture->preload, sizeof(fixture->preload), "LD_PRELOAD=%s", library);
    free(library);
    snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/sever-clock-XXXXXX");
    if (!mkdtemp(fixture->directory))
        return -1;
    snprintf(fixture->path, sizeof(fixture->path), "%s/n1.clock", fixture->directory);
    snprintf(fixture->page_setting, sizeof(fixture->page_setting), "%s=%s", CLOCK_PAGE_ENVIRONMENT,
             fixture->path);
    fixture->environment[0] = fixture->preload;
    fixture->environment[1] = fixture->page_setting;
    fixture->environment[2] = CLOCK_DEBUG_ENVIRONMENT "=1";
    struct error error;
    return clock_page_create(fixture->path, &fixture->page, &error);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    clock_page_destroy(fixture->page, fixture->path);
    int result = rmdir(fixture->directory);
    free(fixture);
    return result;
}

/* The real clocks at one moment, and the shifted one as clock_page.h defines it, written a second
 * time here on purpose. */
struct moment {
    int64_t wall_ns, mono_ns;
};

static struct moment moment_now(void)
{
    return (struct moment){.wall_ns = wall_now_ns(), .mono_ns = (int64_t)monotonic_now_ns()};
}

struct expected {
    int64_t offset_ns;
    double rate; /* 0.1: gains 10 % */
    int64_t base_mono_ns;
};

static int64_t expected_at(const struct expected *expected, struct moment moment)
{
    double gained = expected->rate * (double)(moment.mono_ns - expected->base_mono_ns);
    return moment.wall_ns + expected->offset_ns + (int64_t)gained;
}

/* slack: for how coarsely the program tells the time. */
static void assert_between(int64_t seen_ns, const struct expected *expected, struct moment before,
                           struct moment after, int64_t slack_ns)
{
    int64_t low = expected_at(expected, before) - slack_ns, high = expected_at(expected, after);
    if (seen_ns < low || seen_ns > high)
        fail_msg("saw %" PRId64 ": %" PRId64 " ns before the earliest, %" PRId64
                 " ns after the latest that is right",
                 seen_ns, low - seen_ns, seen_ns - high);
}

static void require(int code, const char *program, const char *package)
{
    if (code == CHILD_NOT_FOUND)
        fail_msg("%s is missing: apt-get install %s", program, package);
}

static int64_t to_number(const char *text)
{
    char *end;
    errno = 0;
    int64_t value = strtoll(text, &end, 10);
    if (errno || end == text)
        fail_msg("'%s' is no number", text);
    return value;
}

static int64_t run_date(const char *const environment[])
{
    struct text output = {0};
    const char *argv[] = {"date", "+%s%N", NULL};
    assert_int_equal(child_run(argv, environment, NULL, &output), 0);
    int64_t seen = to_number(text_get(&output));
    text_free(&output);
    return seen;
}

static void test_date(void **state)
{
    struct fixture *fixture = *state;
    const int64_t offsets[] = {0, 2000000, HOUR, -SECOND, -86400 * SECOND};
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        struct expected expected = {.offset_ns = offsets[i]}, real = {0};
        clock_page_set(fixture->page, offsets[i], 0, monotonic_now_ns());
        struct moment before = moment_now();
        int64_t seen = run_date(fixture->environment);
        assert_between(seen, &expected, before, moment_now(), 0);
        before = moment_now();
        seen = run_date(NULL); /* no one else is shifted */
        assert_between(seen, &real, before, moment_now(), 0);
    }
}

static void test_without_a_usable_page_time_is_true(void **state)
{
    struct fixture *fixture = *state;
    char other[160];
    snprintf(other, sizeof(other), "%s=%s/none", CLOCK_PAGE_ENVIRONMENT, fixture->directory);
    const char *pages[] = {other, CLOCK_PAGE_ENVIRONMENT "=/dev/null", CLOCK_PAGE_ENVIRONMENT "=",
                           CLOCK_PAGE_ENVIRONMENT};
    const char *reasons[] = {"can't open the page", "no clock page (size)", "can't open the page",
                             "SEVER_CLOCK_PAGE is not set"};
    for (size_t i = 0; i < 4; i++) {
        const char *environment[] = {fixture->preload, pages[i], CLOCK_DEBUG_ENVIRONMENT, NULL};
        struct expected real = {0};
        struct moment before = moment_now();
        int64_t seen = run_date(environment); /* a number: so not one line on standard error */
        assert_between(seen, &real, before, moment_now(), 0);

        environment[2] = CLOCK_DEBUG_ENVIRONMENT "=1";
        struct text output = {0};
        const char *argv[] = {"date", "+", NULL};
        assert_int_equal(child_run(argv, environment, NULL, &output), 0);
        const char *said = text_get(&output);
        assert_non_null(strstr(said, "libsever-clock: true time: "));
        assert_non_null(strstr(said, reasons[i]));
        text_free(&output);
    }
}

static const char python_program[] =
    "import os, subprocess, sys, time\n"
    "def say():\n"
    "    print(time.time_ns(), time.monotonic_ns(), flush=True)\n"
    "say()\n"
    "for line in sys.stdin:\n"
    "    if line == 'fork\\n':\n"
    "        child = os.fork()\n"
    "        if child == 0:\n"
    "            say()\n"
    "            os._exit(0)\n"
    "        os.waitpid(child, 0)\n"
    "    elif line == 'exec\\n':\n"
    "        date = subprocess.run(['date', '+%s%N'], capture_output=True, text=True)\n"
    "        print(date.stdout.strip(), time.monotonic_ns(), flush=True)\n"
    "    else:\n"
    "        say()\n";

static void python_start(struct child *python, const char *const environment[])
{
    const char *argv[] = {"python3", "-c", python_program, NULL};
    char line[128];
    child_start(python, argv, environment);
    if (!child_read_line(python, line, sizeof(line)))
        require(child_finish(python, NULL), "python3", "python3-minimal");
}

/* Asks the running interpreter and checks both of its clocks. Returns its monotonic time. */
static int64_t python_check(struct child *python, const char *ask, const struct expected *expected)
{
    char line[128];
    struct moment before = moment_now();
    child_write(python, ask);
    assert_true(child_read_line(python, line, sizeof(line)));
    struct moment after = moment_now();
    char *end;
    int64_t wall_ns = strtoll(line, &end, 10), mono_ns = to_number(end);
    assert_between(wall_ns, expected, before, after, 0);
    assert_in_range(mono_ns, before.mono_ns, after.mono_ns); /* monotonic time is untouched */
    return mono_ns;
}

static void test_python_follows_live_changes(void **state)
{
    struct fixture *fixture = *state;
    struct child python, bystander;
    python_start(&python, fixture->environment);
    python_start(&bystander, NULL);
    const int64_t offsets[] = {0, 2000000, HOUR, -SECOND, 1, 0};
    const struct expected real = {0};
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        clock_page_set(fixture->page, offsets[i], 0, monotonic_now_ns());
        struct expected expected = {.offset_ns = offsets[i]};
        python_check(&python, "time\n", &expected);
        python_check(&bystander, "time\n", &real);
        python_check(&python, "fork\n", &expected);
        python_check(&python, "exec\n", &expected);
    }
    assert_int_equal(child_finish(&python, NULL), 0);
    assert_int_equal(child_finish(&bystander, NULL), 0);
}

/* Checks the interpreter's clock for interval_ns on end, each reading against the law. */
static void python_watch(struct child *python, const struct expected *expected, int64_t interval_ns)
{
    int64_t end_ns = (int64_t)monotonic_now_ns() + interval_ns;
    while (python_check(python, "time\n", expected) < end_ns)
        ;
}

static void test_python_drifts(void **state)
{
    struct fixture *fixture = *state;
    struct child python;
    python_start(&python, fixture->environment);
    struct expected expected = {.rate = 0.1, .base_mono_ns = (int64_t)monotonic_now_ns()};
    clock_page_set(fixture->page, 0, 100000000, (uint64_t)expected.base_mono_ns);
    python_watch(&python, &expected, 3 * SECOND / 10);

    /* Back to no drift: what was gained stays, and not a step. */
    int64_t changed_ns = (int64_t)monotonic_now_ns();
    clock_page_set(fixture->page, HOUR, 0, (uint64_t)changed_ns);
    struct expected kept = {.offset_ns = HOUR + (changed_ns - expected.base_mono_ns) / 10};
    python_watch(&python, &kept, SECOND / 20);

    /* 100 ppm and -100 ppm, from true time, watched for as long. */
    for (int sign = -1; sign <= 1; sign += 2) {
        clock_page_set(fixture->page, 0, 0, monotonic_now_ns());
        struct expected slow = {.rate = sign * 1e-4, .base_mono_ns = (int64_t)monotonic_now_ns()};
        clock_page_set(fixture->page, 0, sign * 100000, (uint64_t)slow.base_mono_ns);
        python_watch(&python, &slow, 3 * SECOND / 10);
        /* 30 us by now, and the exchange takes less: the true clock would have been seen. */
    }
    assert_int_equal(child_finish(&python, NULL), 0);
}

/* One connection to redis, kept: the answer comes from a process that runs all along. */
static int redis_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

static int64_t redis_time_ns(int fd)
{
    char answer[128];
    size_t length = 0;
    assert_int_equal(write(fd, "TIME\r\n", 6), 6);
    int newlines = 0;
    while (newlines < 5) { /* *2 $10 seconds $n microseconds */
        ssize_t got = read(fd, answer + length, sizeof(answer) - 1 - length);
        assert_true(got > 0);
        for (ssize_t i = 0; i < got; i++)
            newlines += answer[length + (size_t)i] == '\n';
        length += (size_t)got;
    }
    answer[length] = '\0';
    long long seconds, microseconds;
    assert_int_equal(sscanf(answer, "*2 $%*d %lld $%*d %lld", &seconds, &microseconds), 2);
    return seconds * SECOND + microseconds * 1000;
}

static int redis_start(struct child *redis, struct fixture *fixture, const char *path)
{
    const char *argv[] = {"redis-server", "--port", "0",     "--unixsocket",     path, "--save", "",
                          "--daemonize",  "no",     "--dir", fixture->directory, NULL};
    child_start(redis, argv, fixture->environment);
    char line[512];
    while (child_read_line(redis, line, sizeof(line)))
        if (strstr(line, "now ready to accept connections"))
            return redis_connect(path);
    require(child_finish(redis, NULL), "redis-server", "redis-server");
    fail_msg("redis-server has ended at once");
    return -1;
}

/* A server that has been running all along answers TIME by each clock it is given. */
static void check_live_changes(struct fixture *fixture, int fd)
{
    const int64_t offsets[] = {7 * HOUR, 2000000, HOUR, -SECOND, 0};
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        clock_page_set(fixture->page, offsets[i], 0, monotonic_now_ns());
        struct expected expected = {.offset_ns = offsets[i]};
        struct moment before = moment_now();
        int64_t seen = redis_time_ns(fd);
        assert_between(seen, &expected, before, moment_now(), 1000);
    }
}

static void test_redis_follows_live_changes(void **state)
{
    struct fixture *fixture = *state;
    struct child redis;
    char path[128];
    snprintf(path, sizeof(path), "%s/redis.sock", fixture->directory);
    clock_page_set(fixture->page, 7 * HOUR, 0, monotonic_now_ns());
    int fd = redis_start(&redis, fixture, path);
    assert_true(fd >= 0);
    check_live_changes(fixture, fd);
    clock_page_set(fixture->page, -HOUR, 0, monotonic_now_ns());
    struct expected expected = {.offset_ns = -HOUR};
    struct text output = {0};
    const char *argv[] = {"redis-cli", "-s", path, "TIME", NULL};
    struct moment before = moment_now();
    int code = child_run(argv, NULL, NULL, &output);
    struct moment after = moment_now();
    require(code, "redis-cli", "redis-tools");
    assert_int_equal(code, 0);
    long long seconds, microseconds;
    assert_int_equal(sscanf(text_get(&output), "%lld %lld", &seconds, &microseconds), 2);
    assert_between(seconds * SECOND + microseconds * 1000, &expected, before, after, 1000);
    text_free(&output);
    close(fd);
    child_kill(&redis);
    unlink(path);
}

static void test_raftkv_follows_live_changes(void **state)
{
    struct fixture *fixture = *state;
    struct child raftkv;
    struct address address;
    char program[1100], host[32], client[48], peers[48], data[96], line[512];
    snprintf(program, sizeof(program), "%.*s/../../bin/raftkv",
             (int)(strrchr(self_path, '/') - self_path), self_path);
    snprintf(host, sizeof(host), "127.90.%d.1", getpid() % 250 + 1);
    snprintf(client, sizeof(client), "%s:6379", host);
    snprintf(peers, sizeof(peers), "n1=%s:16379", host);
    snprintf(data, sizeof(data), "%s/data", fixture->directory);
    clock_page_set(fixture->page, 7 * HOUR, 0, monotonic_now_ns());
    const char *argv[] = {program,   "--id", "n1",     "--bind", host,
                          "--peers", peers,  "--data", data,     NULL};
    child_start(&raftkv, argv, fixture->environment);
    bool ready = false;
    while (!ready && child_read_line(&raftkv, line, sizeof(line)))
        ready = strstr(line, "is ready") != NULL;
    if (!ready)
        fail_msg("%s does not start: %s", program, line);
    assert_int_equal(address_parse(client, &address, NULL), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address.storage, address.length), 0);
    check_live_changes(fixture, fd);
    close(fd);
    child_kill(&raftkv);
    assert_int_equal(child_run((const char *const[]){"rm", "-r", data, NULL}, NULL, NULL, NULL), 0);
}

/* ---- Probes: this program again, under the library ---- */

static int64_t read_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

/* Each clock function once, as offsets from the monotonic clock: "name value" lines. */
static int probe_functions(void)
{
    struct timeval micro;
    struct timespec spec;
    printf("CLOCK_REALTIME %" PRId64 "\n", read_ns(CLOCK_REALTIME));
    printf("CLOCK_REALTIME_COARSE %" PRId64 "\n", read_ns(CLOCK_REALTIME_COARSE));
    printf("CLOCK_TAI %" PRId64 "\n", read_ns(CLOCK_TAI));
    gettimeofday(&micro, NULL);
    printf("gettimeofday %" PRId64 "\n", micro.tv_sec * SECOND + micro.tv_usec * 1000);
    printf("time %" PRId64 "\n", time(NULL) * SECOND);
    timespec_get(&spec, TIME_UTC);
    printf("timespec_get %" PRId64 "\n", spec.tv_sec * SECOND + spec.tv_nsec);
    errno = 0;
    int refused = clock_gettime(12345, &spec);
    printf("refused %d %d\n", refused, errno == EINVAL);
    return timespec_get(&spec, 99) == 0 ? 0 : 1;
}

static void test_every_function_is_shifted(void **state)
{
    struct fixture *fixture = *state;
    const int64_t offset = -86400 * 1000 * SECOND + 987654321;
    clock_page_set(fixture->page, offset, 0, 0);
    struct expected expected = {.offset_ns = offset};
    struct child probe;
    char line[128], name[64];
    const char *argv[] = {self_path, "--probe-functions", NULL};
    struct timespec tai;
    clock_gettime(CLOCK_TAI, &tai);
    int64_t tai_ahead = (tai.tv_sec * SECOND + tai.tv_nsec - wall_now_ns() + SECOND / 2) / SECOND;
    struct moment before = moment_now();
    child_start(&probe, argv, fixture->environment);
    int count = 0;
    while (child_read_line(&probe, line, sizeof(line)) && sscanf(line, "%63s", name) == 1 &&
           strcmp(name, "refused") != 0) {
        int64_t seen = to_number(line + strlen(name));
        int64_t slack = 1000;
        if (strcmp(name, "CLOCK_REALTIME_COARSE") == 0)
            slack = 20000000; /* a tick of the slowest kernel, and some */
        if (strcmp(name, "time") == 0)
            slack = SECOND + 20000000;
        if (strcmp(name, "CLOCK_TAI") == 0)
            seen -= tai_ahead * SECOND;
        assert_between(seen, &expected, before, moment_now(), slack);
        count++;
    }
    assert_int_equal(count, 6);
    assert_string_equal(line, "refused -1 1");
    assert_int_equal(child_finish(&probe, NULL), 0);
}

/* A deadline 100 ms ahead on the clock the program sees, in each way of waiting. */
enum { WAIT_MS = 100 };

static struct timespec deadline_on(clockid_t clock)
{
    int64_t at = read_ns(clock) + WAIT_MS * INT64_C(1000000);
    return (struct timespec){.tv_sec = at / SECOND, .tv_nsec = at % SECOND};
}

static int wait_condition(clockid_t clock)
{
    pthread_condattr_t attributes;
    pthread_cond_t condition;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, clock);
    pthread_cond_init(&condition, &attributes);
    pthread_mutex_lock(&mutex);
    struct timespec deadline = deadline_on(clock);
    int code;
    do
        code = pthread_cond_timedwait(&condition, &mutex, &deadline);
    while (code == 0);
    pthread_mutex_unlock(&mutex);
    return code == ETIMEDOUT;
}

static int wait_condition_clock(clockid_t clock)
{
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    struct timespec deadline = deadline_on(clock);
    int code;
    do
        code = pthread_cond_clockwait(&condition, &mutex, clock, &deadline);
    while (code == 0);
    pthread_mutex_unlock(&mutex);
    return code == ETIMEDOUT;
}

static void *lock_in_vain(void *context)
{
    struct timespec deadline = deadline_on(CLOCK_REALTIME);
    return pthread_mutex_timedlock(context, &deadline) == ETIMEDOUT ? context : NULL;
}

static int wait_mutex(clockid_t clock)
{
    (void)clock;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;
    void *result = NULL;
    pthread_mutex_lock(&mutex);
    if (pthread_create(&thread, NULL, lock_in_vain, &mutex))
        return 0;
    pthread_join(thread, &result);
    pthread_mutex_unlock(&mutex);
    return result == &mutex;
}

static int wait_semaphore(clockid_t clock)
{
    (void)clock;
    sem_t semaphore;
    sem_init(&semaphore, 0, 0);
    struct timespec deadline = deadline_on(CLOCK_REALTIME);
    return sem_timedwait(&semaphore, &deadline) == -1 && errno == ETIMEDOUT;
}

static int wait_asleep(clockid_t clock)
{
    struct timespec deadline = deadline_on(clock);
    return clock_nanosleep(clock, TIMER_ABSTIME, &deadline, NULL) == 0;
}

static int wait_relative(clockid_t clock)
{
    struct timespec interval = {.tv_nsec = WAIT_MS * 1000000L};
    return clock_nanosleep(clock, 0, &interval, NULL) == 0;
}

static const struct wait {
    const char *name;
    int (*run)(clockid_t clock);
    clockid_t clock;
} waits[] = {
    {"clock_nanosleep", wait_asleep, CLOCK_REALTIME},
    {"clock_nanosleep, monotonic", wait_asleep, CLOCK_MONOTONIC},
    {"clock_nanosleep, relative", wait_relative, CLOCK_REALTIME},
    {"pthread_cond_timedwait", wait_condition, CLOCK_REALTIME},
    {"pthread_cond_timedwait, monotonic", wait_condition, CLOCK_MONOTONIC},
    {"pthread_cond_clockwait", wait_condition_clock, CLOCK_REALTIME},
    {"pthread_cond_clockwait, monotonic", wait_condition_clock, CLOCK_MONOTONIC},
    {"pthread_mutex_timedlock", wait_mutex, CLOCK_REALTIME},
    {"sem_timedwait", wait_semaphore, CLOCK_REALTIME},
};

static int probe_waits(void)
{
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        int64_t begin_ns = read_ns(CLOCK_MONOTONIC);
        int right = waits[i].run(waits[i].clock);
        printf("%" PRId64 " %d %s\n", read_ns(CLOCK_MONOTONIC) - begin_ns, right, waits[i].name);
    }
    return 0;
}

/* low_ms: the wait is never shorter; far above it, the kernel waited for another deadline. */
static void check_waits(struct fixture *fixture, bool drifting, int64_t drift_ppb)
{
    struct text output = {0};
    const char *argv[] = {self_path, "--probe-waits", NULL};
    assert_int_equal(child_run(argv, fixture->environment, NULL, &output), 0);
    const char *line = text_get(&output);
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        char *end;
        int64_t took_ns = strtoll(line, &end, 10);
        bool converted = waits[i].clock == CLOCK_REALTIME && waits[i].run != wait_relative;
        int64_t asked_ns = WAIT_MS * INT64_C(1000000);
        if (drifting && converted)
            asked_ns = asked_ns * SECOND / (SECOND + drift_ppb);
        if (took_ns < asked_ns || took_ns > asked_ns + 10 * SECOND || strncmp(end, " 1 ", 3) != 0)
            fail_msg("%s: took %" PRId64 " ns, asked %" PRId64 ":%s", waits[i].name, took_ns,
                     asked_ns, end);
        line = strchr(line, '\n') + 1;
    }
    text_free(&output);
}

static void test_absolute_deadlines_are_converted(void **state)
{
    struct fixture *fixture = *state;
    const int64_t offsets[] = {0, 20 * SECOND, -20 * SECOND, HOUR};
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        clock_page_set(fixture->page, offsets[i], 0, monotonic_now_ns());
        check_waits(fixture, false, 0);
    }
    /* Half as fast, so 100 ms of its clock are 200 ms of ours. */
    clock_page_set(fixture->page, HOUR, -500000000, monotonic_now_ns());
    check_waits(fixture, true, -500000000);
}

/* The best of many short rounds: a busy machine spoils most of them, not all. */
enum { COST_ROUNDS = 300, COST_CALLS = 10000 };

static int probe_cost(void)
{
    struct timespec now;
    int64_t best_ns = INT64_MAX;
    for (int round = 0; round < COST_ROUNDS; round++) {
        int64_t begin_ns = read_ns(CLOCK_MONOTONIC);
        for (int i = 0; i < COST_CALLS; i++)
            clock_gettime(CLOCK_REALTIME, &now);
        int64_t took_ns = read_ns(CLOCK_MONOTONIC) - begin_ns;
        best_ns = took_ns < best_ns ? took_ns : best_ns;
    }
    printf("%" PRId64 "\n", best_ns * 100 / COST_CALLS);
    return 0;
}

static double measure_cost(const char *const environment[])
{
    struct text output = {0};
    const char *argv[] = {self_path, "--probe-cost", NULL};
    assert_int_equal(child_run(argv, environment, NULL, &output), 0);
    double ns = (double)to_number(text_get(&output)) / 100;
    text_free(&output);
    return ns;
}

/* The bound catches a system call in the path (well above 100 ns more), not a slow machine. */
static void test_cost_of_a_clock_read(void **state)
{
    struct fixture *fixture = *state;
    double native = measure_cost(NULL);
    double idle = measure_cost(fixture->environment);
    clock_page_set(fixture->page, HOUR, 0, monotonic_now_ns());
    double offset = measure_cost(fixture->environment);
    clock_page_set(fixture->page, HOUR, 50000, monotonic_now_ns());
    double drift = measure_cost(fixture->environment);
    print_message("[          ] clock_gettime, ns a call: native %.1f, preloaded %.1f, with an "
                  "offset %.1f, with a drift %.1f\n",
                  native, idle, offset, drift);
    assert_true(offset < 2 * native + 60);
    assert_true(drift < 4 * native + 100);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--probe-functions") == 0)
        return probe_functions();
    if (argc > 1 && strcmp(argv[1], "--probe-waits") == 0)
        return probe_waits();
    if (argc > 1 && strcmp(argv[1], "--probe-cost") == 0)
        return probe_cost();
    ssize_t length = readlink("/proc/self/exe", self_path, sizeof(self_path) - 1);
    if (length <= 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_date, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_usable_page_time_is_true, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_python_follows_live_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_python_drifts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_redis_follows_live_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_raftkv_follows_live_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_function_is_shifted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_absolute_deadlines_are_converted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cost_of_a_clock_read, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
