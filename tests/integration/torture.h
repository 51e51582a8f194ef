/* A severd of which one call fails (preload/failing.h): how it is started, asked and ended, and
 * what is never to happen whatever fails: a crash, a hang, an answer without a reason, a descriptor
 * that stays open. */
#ifndef SEVER_TESTS_INTEGRATION_TORTURE_H
#define SEVER_TESTS_INTEGRATION_TORTURE_H

#include "tests/integration/severd.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/integration/preload/failing.h"
#include "tests/lib/child.h"

#define TORTURE_PATIENCE_NS (20 * NS_PER_S)

static const char *const torture_names[] = {
#define TORTURE_NAME(name, code) #name,
    FAILING_CALLS(TORTURE_NAME)
#undef TORTURE_NAME
};

struct torture {
    struct child child;
    bool running;
    char directory[64], url[96];
    struct wire_client *client;
    struct failing_page *page;
    struct text said; /* what severd wrote */
    unsigned refused; /* requests that failed */
    unsigned broken;  /* connections that were refused or reset, datagrams that were lost */
};

/* The run under way; NULL between runs. */
static struct torture *torture_current;

static inline void torture_say(const struct torture *torture)
{
    print_error("%s #%llu failed at %s; severd said:\n%s",
                torture_names[atomic_load(&torture->page->call)],
                (unsigned long long)atomic_load(&torture->page->at), torture->page->where,
                text_get(&torture->said));
}

/* After the test. */
static inline int torture_end(void **state)
{
    (void)state;
    if (!torture_current)
        return 0;
    torture_say(torture_current);
    child_kill(&torture_current->child);
    return 0;
}

static inline bool torture_has_failed(const struct torture *torture)
{
    return atomic_load(&torture->page->failed) > 0;
}

/* call, at: what is to fail; at 0: nothing. */
static inline void torture_prepare(struct torture *torture, enum failing_call call, uint64_t at)
{
    char path[96];
    *torture = (struct torture){0};
    snprintf(torture->directory, sizeof(torture->directory), "/tmp/sever-torture-XXXXXX");
    assert_non_null(mkdtemp(torture->directory));
    snprintf(torture->url, sizeof(torture->url), "unix:%s/control", torture->directory);
    snprintf(path, sizeof(path), "%s/page", torture->directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof(*torture->page)), 0);
    torture->page = mmap(NULL, sizeof(*torture->page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(torture->page != MAP_FAILED);
    close(fd);
    atomic_store(&torture->page->call, call);
    atomic_store(&torture->page->at, at);
    atomic_store(&torture->page->armed, 1);
    torture_current = torture;
}

/* But for loaded socket filters and pipes, which severd keeps a bounded number of. say: on the
 * test's output.
 */
static inline size_t torture_list_descriptors(const struct torture *torture, bool say)
{
    char path[64], link[64], target[64];
    size_t count = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)torture->child.pid);
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory));) {
        snprintf(link, sizeof(link), "%s/%.16s", path, entry->d_name);
        ssize_t length = readlink(link, target, sizeof(target) - 1);
        target[length > 0 ? length : 0] = '\0';
        count += length > 0 && !strstr(target, "bpf-prog") && !strstr(target, "pipe:");
        if (say && length > 0)
            print_error("%s -> %s\n", link, target);
    }
    closedir(directory);
    return count;
}

/* What is left when severd was aborted, too. */
static inline void torture_clean(struct torture *torture)
{
    static const char *const left[] = {"page",     "control",      "route.sock",
                                       "far.sock", "run/n1.clock", "run/n2.clock"};
    char path[128];
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", torture->directory, left[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/run", torture->directory);
    rmdir(path);
    if (rmdir(torture->directory))
        fail_msg("%s: %s", torture->directory, strerror(errno));
    torture_current = NULL;
    munmap(torture->page, sizeof(*torture->page));
    wire_client_destroy(torture->client);
    text_free(&torture->said);
}

/* It has ended by itself: only when it could not start, or by the abort that is documented for
 * memory that has run out. */
static inline void torture_check_end(struct torture *torture, bool started)
{
    enum failing_call call = (enum failing_call)atomic_load(&torture->page->call);
    int code = child_finish(&torture->child, &torture->said);
    bool memory = call == FAILING_malloc || call == FAILING_calloc || call == FAILING_realloc;
    const char *said = text_get(&torture->said);
    bool aborted = code == 128 + SIGABRT && memory && strstr(said, "out of memory");
    /* libpcap exits, or worse, when it has no memory while it compiles; nothing can be done */
    aborted |= memory && strstr(torture->page->where, "libpcap");
    bool refused = code == EXIT_FAILURE && !started && torture->said.length > 0;
    torture->running = false;
    if (!torture_has_failed(torture) || (!aborted && !refused))
        fail_msg("severd ended with %d", code);
}

/* Until it says so, or, when writing is what fails, until it can be asked. False: it ended. */
static inline bool torture_await_ready(struct torture *torture)
{
    char line[2048];
    struct error error;
    uint64_t deadline_ns = monotonic_now_ns() + TORTURE_PATIENCE_NS;
    assert_int_equal(wire_client_create(torture->url, "test", &torture->client, &error), 0);
    if (atomic_load(&torture->page->call) == FAILING_write) {
        while (wire_client_request(torture->client, "GET", "/v1/status", NULL, NULL, &error)) {
            assert_true(monotonic_now_ns() < deadline_ns);
            monotonic_sleep_until(monotonic_now_ns() + NS_PER_MS);
        }
        return true;
    }
    while (child_read_line(&torture->child, line, sizeof(line))) {
        text_append(&torture->said, "%s\n", line);
        if (strstr(line, "ready: control"))
            return true;
    }
    return false;
}

/* False: it did not start, for a good reason. */
static inline bool torture_start(struct torture *torture)
{
    char program[PATH_MAX], library[PATH_MAX + 16], page[128], run[96];
    files_find_built("bin/severd", program, sizeof(program));
    files_find_built("lib/libsever-failing.so", library + 11, sizeof(library) - 11);
    memcpy(library, "LD_PRELOAD=", 11); // NOLINT(bugprone-not-null-terminated-result): text follows
    snprintf(page, sizeof(page), FAILING_PAGE "=%s/page", torture->directory);
    snprintf(run, sizeof(run), "%s/run", torture->directory);
    const char *const arguments[] = {
        program, "--die-with-parent", "--workers",  "1",         "--memory", "16MiB", "--seed",
        "7",     "--listen",          torture->url, "--run-dir", run,        NULL};
    const char *const environment[] = {library, page, NULL};
    child_start(&torture->child, arguments, environment);
    torture->running = true;
    if (torture_await_ready(torture))
        return true;
    torture_check_end(torture, false);
    return false;
}

/* Whether it still runs; what became of it is checked. */
static inline bool torture_is_running(struct torture *torture)
{
    siginfo_t info = {0};
    if (!torture->running)
        return false;
    assert_int_equal(waitid(P_PID, (id_t)torture->child.pid, &info, WEXITED | WNOHANG | WNOWAIT),
                     0);
    if (info.si_pid == 0)
        return true;
    torture_check_end(torture, true);
    return false;
}

/* Whether somebody listens on the control socket. */
static inline bool torture_listens(const struct torture *torture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", torture->url + strlen("unix:"));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    bool listens = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return listens;
}

/* One request; takes over body. The answer is the caller's, NULL when there is none or it was
 * refused. A connection that was broken by the failure is tried once more. */
static inline json_t *torture_ask(struct torture *torture, const char *method, const char *path,
                                  json_t *body)
{
    struct error error = {0};
    json_t *answer = NULL;
    int code = 0;
    for (int attempt = 0; torture->running && attempt < 2; attempt++) {
        error = (struct error){0};
        code = wire_client_request(torture->client, method, path, body, &answer, &error);
        if (code != -EPROTO && code != -ECONNREFUSED)
            break;
        if (torture_is_running(torture) && !torture_listens(torture))
            torture_check_end(torture, true);
    }
    json_decref(body);
    if (!torture->running)
        return NULL;
    if (code < 0 && (!error.message[0] || code == -ETIMEDOUT))
        fail_msg("%s %s: %d '%s'", method, path, code, error.message);
    if (code < 0 && !torture_has_failed(torture))
        fail_msg("%s %s: %s: %s", method, path, error.place, error.message);
    torture->refused += code < 0;
    return answer;
}

static inline void torture_tell(struct torture *torture, const char *method, const char *path,
                                json_t *body)
{
    json_decref(torture_ask(torture, method, path, body));
}

/* The ruleset is empty: it must come to have at most `wanted` descriptors. */
static inline void torture_check_descriptors(struct torture *torture, size_t wanted)
{
    uint64_t deadline_ns = monotonic_now_ns() + TORTURE_PATIENCE_NS;
    size_t count;
    while ((count = torture_list_descriptors(torture, false)) > wanted) {
        if (monotonic_now_ns() > deadline_ns) {
            torture_list_descriptors(torture, true);
            fail_msg("%zu descriptors, more than %zu", count, wanted);
        }
        monotonic_sleep_until(monotonic_now_ns() + NS_PER_MS);
    }
}

/* With SIGTERM. */
static inline void torture_stop(struct torture *torture)
{
    assert_int_equal(kill(torture->child.pid, SIGTERM), 0);
    int code = child_finish(&torture->child, &torture->said);
    torture->running = false;
    if (code != 0)
        fail_msg("severd ended with %d after SIGTERM", code);
}

#endif
