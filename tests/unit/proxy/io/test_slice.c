#include "tests/lib/test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proxy/io/slice.h"

enum { NICE = 5 };

/* How a thread is scheduled: the kernel's struct sched_attr, as far as it matters here. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice_ns, deadline_ns, period_ns;
};

/* All zero when it fails. */
static struct attributes read_attributes(void)
{
    struct attributes now = {0};
    syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0);
    return now;
}

/* What slice_shorten does to a thread of this policy. */
struct trial {
    int policy;
    bool is_ready;
    int result;
    struct attributes before, after;
};

static void *run_trial(void *context)
{
    struct trial *trial = context;
    const struct sched_param no_priority = {0};
    trial->is_ready = sched_setscheduler(0, trial->policy, &no_priority) == 0 &&
                      setpriority(PRIO_PROCESS, 0, NICE) == 0;
    trial->before = read_attributes();
    trial->result = slice_shorten();
    trial->after = read_attributes();
    return NULL;
}

/* In a thread of its own, for a nice value is not lowered again without privilege. */
static struct trial try_policy(int policy)
{
    struct trial trial = {.policy = policy};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_trial, &trial), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(trial.is_ready);
    assert_int_equal(trial.before.nice, NICE);
    assert_int_equal(trial.after.nice, NICE);
    assert_int_equal(trial.before.policy, policy);
    assert_int_equal(trial.after.policy, policy);
    return trial;
}

static void only_the_slice_gets_shorter(void **state)
{
    (void)state;
    static const int policies[] = {SCHED_OTHER, SCHED_BATCH};
    for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        struct trial trial = try_policy(policies[i]);
        bool has_slices = trial.before.slice_ns > 0; /* the kernel does */
        assert_int_equal(trial.result, has_slices ? 0 : -EOPNOTSUPP);
        assert_int_equal(trial.after.slice_ns, has_slices ? SLICE_NS : 0);
    }
}

static void a_shorter_slice_stays(void **state)
{
    (void)state;
    struct attributes own = read_attributes();
    if (own.slice_ns == 0)
        skip();
    own.size = sizeof(own);
    own.slice_ns = SLICE_NS / 2;
    assert_return_code(syscall(SYS_sched_setattr, 0, &own, 0), errno);
    assert_int_equal(slice_shorten(), 0);
    assert_int_equal(read_attributes().slice_ns, SLICE_NS / 2);
}

static void other_policies_are_left_alone(void **state)
{
    (void)state;
    struct trial trial = try_policy(SCHED_IDLE);
    assert_int_equal(trial.result, -EOPNOTSUPP);
    assert_int_equal(trial.after.slice_ns, trial.before.slice_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_slice_gets_shorter),
        cmocka_unit_test(other_policies_are_left_alone),
        cmocka_unit_test(a_shorter_slice_stays), /* last: of this thread */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
