/* Theory of operation
 *
 * One thread per client, because a client is a sequential process: it thinks, asks, waits. Threads
 * share nothing but the counters (one lock, a few hundred operations a second) and two flags;
 * each keeps its own part of the history, put together when the threads are joined.
 *
 * Pace: the time line of each client is cut into slots of clients/rate seconds with one operation
 * in each, at a place drawn by seed. A client that is late (its node does not answer) skips the
 * slots it missed: load does not pile up behind a fault and then flood the healed cluster. Slots
 * that went by while it waited for an answer are written down, because an operation that could not
 * even be begun is one that was not served; leaving them out would make a node that hangs look
 * better than one that refuses (Tene's "coordinated omission").
 *
 * An operation that was sent and not answered is unknown: the connection is dropped (its answer
 * must never be taken for that of the next) and the process retires, because a process that may
 * still have an operation in flight can't invoke another. The client goes on as a new process. */
#include "chaos/workload/workload.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"

enum { STACK_BYTES = 512 * 1024, EMPTY_CHECK_TIMEOUT_MS = 1000, EMPTY_CHECK_PAUSE_MS = 50 };

struct client_thread {
    struct workload *workload;
    struct workload_client client;
    void *connection; /* the driver's client */
    struct history history;
    size_t node;
    uint64_t waited_from_ns, waited_until_ns; /* its last operation */
    pthread_t thread;
};

struct workload {
    struct workload_setup setup;
    const struct driver *driver;
    struct experiment_workload parameters;
    struct client_thread *clients;
    size_t started;
    uint64_t start_ns;
    atomic_bool stopping;
    _Atomic uint64_t stopped_ns; /* UINT64_MAX until then */
    int stop_fd;                 /* readable: no new operations */
    int abort_fd;                /* readable: give up those in flight too */
    atomic_uint next_process;
    pthread_mutex_t lock;
    struct workload_counts *counts;
};

static void count(struct workload *workload, size_t node, const struct history_operation *operation)
{
    pthread_mutex_lock(&workload->lock);
    struct workload_counts *counts = &workload->counts[node];
    switch (operation->outcome) {
    case HISTORY_OK:
    case HISTORY_MISMATCH:
        counts->ok++;
        break;
    case HISTORY_FAIL:
        counts->refused++;
        break;
    case HISTORY_UNKNOWN:
        counts->unknown++;
        break;
    }
    if (operation->reason[0] && operation->outcome != HISTORY_OK) {
        /* A server's error is known by its first word; our own messages are short. */
        bool word = operation->reason[0] >= 'A' && operation->reason[0] <= 'Z';
        size_t length = strcspn(operation->reason, word ? " " : ":");
        snprintf(counts->reason, sizeof(counts->reason), "%.*s", (int)length, operation->reason);
    }
    pthread_mutex_unlock(&workload->lock);
}

static void operate(struct client_thread *self, uint32_t *process)
{
    struct workload *workload = self->workload;
    struct history_operation operation = {.process = *process, .client = self->client.index};
    unsigned key;
    workload_choose(&self->client, &workload->parameters, &operation, &key);
    snprintf(operation.node, sizeof(operation.node), "%s", workload->setup.nodes[self->node]);

    operation.invoke_ns = self->waited_from_ns = monotonic_now_ns();
    int code = workload->driver->operate(self->connection, &operation,
                                         operation.invoke_ns + workload->parameters.timeout_ns);
    operation.settled_ns = self->waited_until_ns = monotonic_now_ns();
    operation.return_ns =
        operation.outcome == HISTORY_UNKNOWN ? HISTORY_NEVER : operation.settled_ns;
    if (operation.outcome == HISTORY_UNKNOWN)
        *process = atomic_fetch_add(&workload->next_process, 1);
    workload_learn(&self->client, key, &operation);
    if (code == -ECANCELED && operation.outcome == HISTORY_FAIL)
        return; /* given up by us before it did anything: tells nothing about the cluster */
    history_add(&self->history, &operation);
    count(workload, self->node, &operation);
}

/* False when the workload stops first. */
static bool wait_until(struct workload *workload, uint64_t due_ns)
{
    for (;;) {
        uint64_t now = monotonic_now_ns();
        if (atomic_load(&workload->stopping))
            return false;
        if (now >= due_ns)
            return true;
        struct timespec timeout = {.tv_sec = (time_t)((due_ns - now) / NS_PER_S),
                                   .tv_nsec = (long)((due_ns - now) % NS_PER_S)};
        struct pollfd stop = {.fd = workload->stop_fd, .events = POLLIN};
        ppoll(&stop, 1, &timeout, NULL);
    }
}

/* The slot went by. */
static void miss(struct client_thread *self, uint64_t due_ns)
{
    struct workload *workload = self->workload;
    struct history_missed missed = {.due_ns = due_ns};
    if (due_ns < self->waited_from_ns || due_ns >= self->waited_until_ns ||
        due_ns >= atomic_load(&workload->stopped_ns))
        return; /* it did not wait: this thread was late, or the end came first */
    snprintf(missed.node, sizeof(missed.node), "%s", workload->setup.nodes[self->node]);
    history_add_missed(&self->history, &missed);
}

static void open_connection(struct client_thread *self)
{
    const struct workload_setup *setup = &self->workload->setup;
    struct driver_place place = {
        .target = &setup->targets[self->node],
        .source = setup->sources ? &setup->sources[self->client.index] : NULL,
        .abort_fd = self->workload->abort_fd,
        .node_count = setup->node_count,
        .sentinel_port = setup->sentinel_port,
    };
    self->connection = self->workload->driver->open(&place);
}

static void *client_main(void *context)
{
    struct client_thread *self = context;
    struct workload *workload = self->workload;
    const struct experiment_workload *parameters = &workload->parameters;
    uint32_t process = self->client.index;
    open_connection(self);
    for (uint64_t slot = 0;; slot++) {
        uint64_t due = workload->start_ns +
                       workload_slot_due(&self->client, parameters, workload->setup.seed, slot);
        uint64_t next = workload->start_ns + workload_slot_due(&self->client, parameters,
                                                               workload->setup.seed, slot + 1);
        if (monotonic_now_ns() >= next) {
            miss(self, due);
            continue;
        }
        if (!wait_until(workload, due)) {
            miss(self, due);
            break;
        }
        operate(self, &process);
    }
    workload->driver->close(self->connection);
    return NULL;
}

static void raise_flag(int fd)
{
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof(one));
    (void)n; /* an eventfd that is already raised stays so */
}

static void destroy(struct workload *workload)
{
    for (size_t i = 0; i < workload->parameters.clients; i++) {
        workload_client_free(&workload->clients[i].client);
        history_free(&workload->clients[i].history);
    }
    free(workload->clients);
    free(workload->counts);
    if (workload->stop_fd >= 0)
        close(workload->stop_fd);
    if (workload->abort_fd >= 0)
        close(workload->abort_fd);
    pthread_mutex_destroy(&workload->lock);
    free(workload);
}

static struct workload *create(const struct workload_setup *setup)
{
    struct workload *workload = memory_allocate_zeroed(1, sizeof(*workload));
    workload->setup = *setup;
    workload->driver = driver_of(setup->system);
    workload->parameters = *setup->workload;
    workload->setup.workload = &workload->parameters;
    workload->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    workload->abort_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&workload->lock, NULL);
    workload->counts = memory_allocate_zeroed(setup->node_count, sizeof(*workload->counts));
    workload->clients =
        memory_allocate_zeroed(workload->parameters.clients, sizeof(*workload->clients));
    atomic_init(&workload->stopped_ns, UINT64_MAX);
    atomic_init(&workload->next_process, workload->parameters.clients);
    for (unsigned i = 0; i < workload->parameters.clients; i++) {
        struct client_thread *client = &workload->clients[i];
        client->workload = workload;
        client->node = i % setup->node_count;
        workload_client_init(&client->client, i, setup->seed, workload->parameters.keys);
    }
    return workload;
}

static int go_to_client(const struct workload_setup *setup, unsigned client, struct error *error)
{
    return setup->go_to_client ? setup->go_to_client(setup->context, client, error) : 0;
}

/* The next one. */
static int start_client(struct workload *workload, const pthread_attr_t *attributes,
                        struct error *error)
{
    struct client_thread *client = &workload->clients[workload->started];
    int code = go_to_client(&workload->setup, client->client.index, error);
    if (code < 0)
        return code;
    code = -pthread_create(&client->thread, attributes, client_main, client);
    if (code < 0)
        error_set(error, code, "can't start client %zu of %u: %s", workload->started + 1,
                  workload->parameters.clients, strerror(-code));
    return code;
}

int workload_start(const struct workload_setup *setup, struct workload **out, uint64_t *start_ns,
                   struct error *error)
{
    struct workload *workload = create(setup);
    if (workload->stop_fd < 0 || workload->abort_fd < 0) {
        int code = error_set(error, -errno, "can't make an eventfd: %s", strerror(errno));
        destroy(workload);
        return code;
    }
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int code = 0;
    workload->start_ns = *start_ns = monotonic_now_ns();
    while (workload->started < workload->parameters.clients && code == 0) {
        code = start_client(workload, &attributes, error);
        workload->started += code == 0;
    }
    pthread_attr_destroy(&attributes);
    if (code < 0) {
        struct history nothing = {0};
        workload_stop(workload, true, &nothing);
        history_free(&nothing);
        return code;
    }
    *out = workload;
    return 0;
}

void workload_read_counts(struct workload *workload, struct workload_counts *counts)
{
    pthread_mutex_lock(&workload->lock);
    memcpy(counts, workload->counts, workload->setup.node_count * sizeof(*counts));
    pthread_mutex_unlock(&workload->lock);
}

void workload_stop(struct workload *workload, bool abandon, struct history *history)
{
    atomic_store(&workload->stopped_ns, monotonic_now_ns());
    atomic_store(&workload->stopping, true);
    raise_flag(workload->stop_fd);
    if (abandon)
        raise_flag(workload->abort_fd);
    for (size_t i = 0; i < workload->started; i++) {
        struct client_thread *client = &workload->clients[i];
        pthread_join(client->thread, NULL);
        for (size_t k = 0; k < client->history.count; k++)
            history_add(history, &client->history.operations[k]);
        for (size_t k = 0; k < client->history.missed_count; k++)
            history_add_missed(history, &client->history.missed[k]);
    }
    history_sort(history);
    destroy(workload);
}
