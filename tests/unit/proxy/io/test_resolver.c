/* getaddrinfo is wrapped at link time: names ending in ".slow" hang until they are let go. */
#include "tests/lib/test.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/monotonic.h"
#include "proxy/io/resolver.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool open_gate;
static int lookups, hanging;

int __real_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list);
int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list);

int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list)
{
    size_t length = strlen(name);
    bool slow = length > 5 && strcmp(name + length - 5, ".slow") == 0;
    pthread_mutex_lock(&lock);
    lookups++;
    hanging += slow;
    pthread_cond_broadcast(&changed);
    while (slow && !open_gate)
        pthread_cond_wait(&changed, &lock);
    hanging -= slow;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    if (strncmp(name, "unknown", 7) == 0)
        return EAI_NONAME;
    if (strncmp(name, "later", 5) == 0)
        return EAI_AGAIN;
    return __real_getaddrinfo("127.0.0.9", service, hints, list);
}

struct wait {
    struct resolver_waiter waiter;
    int answers, code;
    size_t count;
    struct address first;
    struct resolver_waiter *cancels; /* by its callback */
    const char *again;               /* waits for this in its callback */
    struct resolver *resolver;
};

static void on_answer(struct resolver_waiter *waiter, const struct address *addresses, size_t count,
                      int code)
{
    struct wait *wait = loop_container(waiter, struct wait, waiter);
    wait->answers++;
    wait->code = code;
    wait->count = count;
    if (count)
        wait->first = addresses[0];
    if (wait->cancels)
        resolver_cancel(wait->cancels);
    if (wait->again) {
        const char *name = wait->again;
        wait->again = NULL;
        resolver_wait(wait->resolver, waiter, name, on_answer);
    }
}

struct bench {
    struct loop *loop;
    struct resolver *resolver;
};

static int set_up(void **state)
{
    static struct bench bench;
    pthread_mutex_lock(&lock);
    open_gate = false;
    lookups = 0;
    pthread_mutex_unlock(&lock);
    assert_int_equal(loop_create(&bench.loop, NULL), 0);
    assert_int_equal(resolver_create(bench.loop, &bench.resolver, NULL), 0);
    *state = &bench;
    return 0;
}

static void let_go(void)
{
    pthread_mutex_lock(&lock);
    open_gate = true;
    pthread_cond_broadcast(&changed);
    while (hanging > 0)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    resolver_destroy(bench->resolver);
    loop_destroy(bench->loop);
    let_go();
    return 0;
}

#define await(bench, condition)                                                                    \
    do {                                                                                           \
        uint64_t deadline_ns = monotonic_now_ns() + 20 * NS_PER_S;                                 \
        while (!(condition)) {                                                                     \
            assert_true(monotonic_now_ns() < deadline_ns);                                         \
            assert_int_equal(loop_turn((bench)->loop, monotonic_now_ns() + NS_PER_MS), 0);         \
        }                                                                                          \
    } while (0)

static void await_hanging(int count)
{
    pthread_mutex_lock(&lock);
    while (hanging < count)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void a_name_becomes_its_address(void **state)
{
    struct bench *bench = *state;
    struct wait wait = {0};
    char text[ADDRESS_TEXT_MAX];
    resolver_wait(bench->resolver, &wait.waiter, "db", on_answer);
    assert_int_equal(wait.answers, 0); /* never before resolver_wait has returned */
    await(bench, wait.answers == 1);
    assert_int_equal(wait.code, 0);
    assert_true(wait.count >= 1);
    assert_string_equal(address_format(&wait.first, text), "127.0.0.9:0");
    assert_null(wait.waiter.resolver);
}

static void a_failure_says_why(void **state)
{
    struct bench *bench = *state;
    struct wait unknown = {0}, later = {0};
    resolver_wait(bench->resolver, &unknown.waiter, "unknown.host", on_answer);
    resolver_wait(bench->resolver, &later.waiter, "later.host", on_answer);
    await(bench, unknown.answers && later.answers);
    assert_int_equal(unknown.count, 0);
    assert_int_equal(unknown.code, -ENOENT);
    assert_int_equal(later.code, -EAGAIN);
}

static void a_name_is_looked_up_once_for_all(void **state)
{
    struct bench *bench = *state;
    struct wait waits[5] = {0};
    for (int i = 0; i < 5; i++)
        resolver_wait(bench->resolver, &waits[i].waiter, "many.slow", on_answer);
    await_hanging(1);
    let_go();
    for (int i = 0; i < 5; i++)
        await(bench, waits[i].answers == 1);
    assert_int_equal(lookups, 1);
}

static void names_that_hang_leave_room_for_others(void **state)
{
    struct bench *bench = *state;
    struct wait slow[RESOLVER_THREADS - 1] = {0}, quick = {0};
    static char names[RESOLVER_THREADS - 1][16];
    for (int i = 0; i < RESOLVER_THREADS - 1; i++) {
        snprintf(names[i], sizeof(names[i]), "n%d.slow", i);
        resolver_wait(bench->resolver, &slow[i].waiter, names[i], on_answer);
    }
    await_hanging(RESOLVER_THREADS - 1);
    resolver_wait(bench->resolver, &quick.waiter, "quick", on_answer);
    await(bench, quick.answers == 1);
    for (int i = 0; i < RESOLVER_THREADS - 1; i++)
        assert_int_equal(slow[i].answers, 0);
    let_go();
    for (int i = 0; i < RESOLVER_THREADS - 1; i++)
        await(bench, slow[i].answers == 1);
}

/* Names that nobody answers for, as many as there are threads: others wait for a while, and not for
 * them. */
static void names_that_are_dead_hold_nobody_for_long(void **state)
{
    struct bench *bench = *state;
    struct wait slow[RESOLVER_THREADS + 1] = {0}, quick[3] = {0};
    static char names[RESOLVER_THREADS][16];
    for (int i = 0; i < RESOLVER_THREADS; i++) {
        snprintf(names[i], sizeof(names[i]), "dead%d.slow", i);
        resolver_wait(bench->resolver, &slow[i].waiter, names[i], on_answer);
    }
    await_hanging(RESOLVER_THREADS);
    uint64_t begin_ns = monotonic_now_ns();
    resolver_wait(bench->resolver, &quick[0].waiter, "quick", on_answer);
    await(bench, quick[0].answers == 1);
    assert_true(monotonic_now_ns() - begin_ns < 2 * RESOLVER_PATIENCE_NS);
    int before = lookups;
    resolver_wait(bench->resolver, &quick[1].waiter, "one", on_answer);
    resolver_wait(bench->resolver, &slow[RESOLVER_THREADS].waiter, names[0], on_answer);
    resolver_wait(bench->resolver, &quick[2].waiter, "other", on_answer);
    await(bench, quick[1].answers == 1 && quick[2].answers == 1);
    assert_int_equal(lookups, before + 2); /* one at a time for a name, however long it takes */
    let_go();
    for (int i = 0; i <= RESOLVER_THREADS; i++)
        await(bench, slow[i].answers == 1);
}

static void more_names_than_threads_are_all_answered(void **state)
{
    struct bench *bench = *state;
    enum { NAMES = 3 * RESOLVER_THREADS };
    struct wait waits[NAMES] = {0};
    static char names[NAMES][16];
    for (int i = 0; i < NAMES; i++) {
        snprintf(names[i], sizeof(names[i]), "m%d.slow", i);
        resolver_wait(bench->resolver, &waits[i].waiter, names[i], on_answer);
    }
    await_hanging(RESOLVER_THREADS);
    let_go();
    for (int i = 0; i < NAMES; i++)
        await(bench, waits[i].answers == 1);
    assert_int_equal(lookups, NAMES);
}

static void who_cancels_is_not_answered(void **state)
{
    struct bench *bench = *state;
    struct wait gone = {0}, other = {0};
    resolver_wait(bench->resolver, &gone.waiter, "x.slow", on_answer);
    await_hanging(1);
    resolver_cancel(&gone.waiter);
    resolver_cancel(&gone.waiter); /* fine when not waiting */
    let_go();
    resolver_wait(bench->resolver, &other.waiter, "y", on_answer);
    await(bench, other.answers == 1);
    assert_int_equal(gone.answers, 0);
}

static void a_callback_may_cancel_others_and_wait_anew(void **state)
{
    struct bench *bench = *state;
    struct wait a = {.resolver = bench->resolver, .again = "z"}, b = {0}, c = {0};
    a.cancels = &b.waiter;
    resolver_wait(bench->resolver, &a.waiter, "z", on_answer);
    resolver_wait(bench->resolver, &b.waiter, "z", on_answer);
    resolver_wait(bench->resolver, &c.waiter, "z", on_answer);
    await(bench, a.answers >= 1);
    a.cancels = NULL;
    await(bench, a.answers == 2 && c.answers == 1);
    assert_int_equal(b.answers, 0);
}

static void destroying_leaves_a_hanging_lookup_behind(void **state)
{
    struct bench *bench = *state;
    struct wait wait = {0};
    resolver_wait(bench->resolver, &wait.waiter, "d.slow", on_answer);
    await_hanging(1);
    resolver_destroy(bench->resolver); /* returns at once, or the test times out */
    assert_null(wait.waiter.resolver);
    let_go();
    assert_int_equal(resolver_create(bench->loop, &bench->resolver, NULL), 0);
    assert_int_equal(wait.answers, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_name_becomes_its_address),
        TEST(a_failure_says_why),
        TEST(a_name_is_looked_up_once_for_all),
        TEST(names_that_hang_leave_room_for_others),
        TEST(names_that_are_dead_hold_nobody_for_long),
        TEST(more_names_than_threads_are_all_answered),
        TEST(who_cancels_is_not_answered),
        TEST(a_callback_may_cancel_others_and_wait_anew),
        TEST(destroying_leaves_a_hanging_lookup_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
