/* Theory of operation
 *
 * A thread for each node, each with a client of its own (driver.h) and a round every 50 ms: the
 * node is asked, and its answer taken. A node that does not answer (paused, dead, slow) delays
 * nobody else; after a second the question is given up, and asked anew. */
#include "chaos/lab/observer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "chaos/workload/driver.h"
#include "proxy/base/monotonic.h"

#define ROUND_NS (50 * NS_PER_MS)
#define SILENCE_NS NS_PER_S
enum { STACK_BYTES = 512 * 1024 };

struct watched {
    struct observer *observer;
    size_t node;
    pthread_t thread;
    struct observer_state state;
};

struct observer {
    const struct lab *lab;
    const struct driver *driver;
    observer_fn fn;
    void *context;
    int stop_fd;
    pthread_mutex_t lock; /* one change is told at a time */
    struct watched *nodes;
    size_t started;
};

void observer_parse(const char *info, size_t length, struct observer_state *state)
{
    resp_info_field(info, length, "role", state->role, sizeof(state->role));
    resp_info_field(info, length, "term", state->term, sizeof(state->term));
    resp_info_field(info, length, "leader", state->leader, sizeof(state->leader));
    resp_info_field(info, length, "quorum", state->quorum, sizeof(state->quorum));
}

static void digest(struct watched *self, const struct text *info)
{
    struct observer *observer = self->observer;
    struct observer_change change = {.node = self->node, .before = self->state};
    observer_parse(text_get(info), info->length, &change.now);
    self->state = change.now;
    if (!change.now.role[0] || (strcmp(change.before.role, change.now.role) == 0 &&
                                strcmp(change.before.term, change.now.term) == 0))
        return;
    pthread_mutex_lock(&observer->lock);
    change.at_ns = monotonic_now_ns();
    observer->fn(observer->context, &change);
    pthread_mutex_unlock(&observer->lock);
}

static void look(struct watched *self, void *client)
{
    struct observer *observer = self->observer;
    struct text info = {0};
    int code = -ENOTCONN;
    if (lab_node_state(observer->lab, self->node) != LAB_DOWN)
        code = observer->driver->tell(client, monotonic_now_ns() + SILENCE_NS, &info);
    if (code == 0)
        digest(self, &info);
    else if (code !=
             -ETIMEDOUT) /* it is another process when it comes back: what it said is over */
        self->state = (struct observer_state){0};
    text_free(&info);
}

/* False when the observer is to stop. */
static bool wait_until(const struct observer *observer, uint64_t due_ns)
{
    struct pollfd stop = {.fd = observer->stop_fd, .events = POLLIN};
    uint64_t now_ns = monotonic_now_ns();
    struct timespec timeout = {.tv_nsec = now_ns < due_ns ? (long)(due_ns - now_ns) : 0};
    return ppoll(&stop, 1, &timeout, NULL) != 1;
}

static void *watch(void *context)
{
    struct watched *self = context;
    struct observer *observer = self->observer;
    struct driver_place place = {
        .target = lab_private_address(observer->lab, self->node),
        .abort_fd = observer->stop_fd,
        .node_count = lab_node_count(observer->lab),
        .sentinel_port = lab_sentinel_port(observer->lab),
    };
    uint64_t round_ns;
    if (lab_go_to_node(observer->lab, self->node, NULL) < 0)
        return NULL; /* severd is gone, which others notice */
    void *client = observer->driver->open(&place);
    do {
        round_ns = monotonic_now_ns();
        look(self, client);
    } while (wait_until(observer, round_ns + ROUND_NS));
    observer->driver->close(client);
    return NULL;
}

static int start_threads(struct observer *self)
{
    pthread_attr_t attributes;
    int code = 0;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    while (code == 0 && self->started < lab_node_count(self->lab)) {
        struct watched *node = &self->nodes[self->started];
        *node = (struct watched){.observer = self, .node = self->started};
        code = -pthread_create(&node->thread, &attributes, watch, node);
        self->started += code == 0;
    }
    pthread_attr_destroy(&attributes);
    return code;
}

int observer_start(const struct lab *lab, enum experiment_system system, observer_fn fn,
                   void *context, struct observer **out, struct error *error)
{
    struct observer *self = memory_allocate_zeroed(1, sizeof(*self));
    *self =
        (struct observer){.lab = lab, .driver = driver_of(system), .fn = fn, .context = context};
    self->nodes = memory_allocate_zeroed(lab_node_count(lab), sizeof(*self->nodes));
    pthread_mutex_init(&self->lock, NULL);
    self->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int code = self->stop_fd < 0 ? -errno : start_threads(self);
    if (code < 0) {
        observer_stop(self);
        return error_set(error, code, "can't start the observer: %s", strerror(-code));
    }
    *out = self;
    return 0;
}

void observer_stop(struct observer *self)
{
    if (self->stop_fd >= 0)
        eventfd_write(self->stop_fd, 1);
    for (size_t i = 0; i < self->started; i++)
        pthread_join(self->nodes[i].thread, NULL);
    if (self->stop_fd >= 0)
        close(self->stop_fd);
    pthread_mutex_destroy(&self->lock);
    free(self->nodes);
    free(self);
}
