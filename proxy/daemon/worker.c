/* Theory of operation: worker.h. */
#include "proxy/daemon/worker.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/log.h"
#include "proxy/base/text.h"
#include "proxy/datagram/datagram.h"
#include "proxy/io/pool.h"
#include "proxy/io/slice.h"
#include "proxy/packet/packet.h"
#include "proxy/stream/stream.h"

struct worker {
    struct workers *workers;
    unsigned index;
    pthread_t thread;
    bool started;
    struct loop *loop;
    struct pool *pool;
    struct resolver *resolver;
    struct stream_plane *stream;
    struct datagram_plane *datagram;
    struct packet_plane *packet;
    struct fault_counters *counters;
    uint64_t taken; /* sequence of the publication that it is on */
};

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const struct publication *publication; /* with its sequence; written before `offered` */
    _Atomic uint64_t offered;              /* sequence of the newest publication */
    unsigned missing;                      /* workers that are not on it yet; under lock */
    unsigned unsettled;                    /* workers that have not settled on it; under lock */
    uint64_t completed;                    /* sequence that all are on; under lock */
    uint64_t settled;                      /* sequence that all have settled on; under lock */
    atomic_bool stopping;
    struct workers_options options;
    struct descriptors descriptors; /* of all workers' connections and sessions */
    unsigned count;
    struct worker list[];
};

static void worker_apply(struct worker *worker, const struct publication *publication)
{
    const struct publication_share *share = &publication->shares[worker->index];
    stream_plane_apply(worker->stream, publication->plan, &share->stream);
    datagram_plane_apply(worker->datagram, publication->plan, publication->matches,
                         &share->datagram);
    packet_plane_apply(worker->packet, publication->plan, publication->matches, &share->packet,
                       publication->captures);
}

static void worker_turn_start(void *context)
{
    struct worker *worker = context;
    struct workers *workers = worker->workers;
    if (atomic_load(&workers->stopping)) {
        loop_stop(worker->loop);
        return;
    }
    uint64_t sequence = atomic_load_explicit(&workers->offered, memory_order_acquire);
    if (sequence == worker->taken)
        return;
    worker_apply(worker, workers->publication);
    worker->taken = sequence;
    pthread_mutex_lock(&workers->lock);
    if (--workers->missing == 0) {
        workers->completed = sequence;
        pthread_cond_broadcast(&workers->changed);
    }
    while (workers->completed < sequence)
        pthread_cond_wait(&workers->changed, &workers->lock);
    pthread_mutex_unlock(&workers->lock);
    stream_plane_settle(worker->stream);
    pthread_mutex_lock(&workers->lock);
    if (--workers->unsettled == 0) {
        workers->settled = sequence;
        pthread_cond_broadcast(&workers->changed);
    }
    pthread_mutex_unlock(&workers->lock);
}

static void *worker_main(void *context)
{
    struct worker *worker = context;
    slice_shorten(); /* where it can't be, it is later on busy cores: not wrong */
    int result = loop_run(worker->loop);
    if (result) { /* epoll itself has failed: nothing can go on, and hanging would be worse */
        log_error("worker %u: event loop: %s", worker->index, strerror(-result));
        abort();
    }
    return NULL;
}

static int worker_start(struct worker *worker, const struct publication *first, struct error *error)
{
    const struct workers_options *options = &worker->workers->options;
    uint64_t pool_bytes = options->pool_bytes ? options->pool_bytes : WORKERS_POOL_BYTES;
    char name[16];
    int result;
    worker->counters = calloc(1, sizeof(*worker->counters));
    if (!worker->counters)
        return error_set(error, -ENOMEM, "no memory for counters");
    if ((result = loop_create(&worker->loop, error)) ||
        (result = resolver_create(worker->loop, &worker->resolver, error)) ||
        (result = pool_create(pool_bytes, &worker->pool, error)))
        return result;
    struct stream_options stream = {.loop = worker->loop,
                                    .pool = worker->pool,
                                    .counters = worker->counters,
                                    .descriptors = &worker->workers->descriptors,
                                    .states = options->states,
                                    .resolver = worker->resolver,
                                    .filters = options->filters};
    struct datagram_options datagram = {.loop = worker->loop,
                                        .pool = worker->pool,
                                        .counters = worker->counters,
                                        .descriptors = &worker->workers->descriptors,
                                        .states = options->states,
                                        .resolver = worker->resolver};
    struct packet_options packet = {.loop = worker->loop,
                                    .pool = worker->pool,
                                    .counters = worker->counters,
                                    .states = options->states,
                                    .worker = worker->index};
    if ((result = stream_plane_create(&stream, &worker->stream, error)) ||
        (result = datagram_plane_create(&datagram, &worker->datagram, error)) ||
        (result = packet_plane_create(&packet, &worker->packet, error)))
        return result;
    worker_apply(worker, first);
    stream_plane_settle(worker->stream);
    loop_set_turn_start(worker->loop, worker_turn_start, worker);
    result = pthread_create(&worker->thread, NULL, worker_main, worker);
    if (result)
        return error_set(error, -result, "worker thread: %s", strerror(result));
    worker->started = true;
    snprintf(name, sizeof(name), "worker-%u", worker->index);
    pthread_setname_np(worker->thread, name);
    return 0;
}

int workers_create(const struct workers_options *options, const struct publication *first,
                   struct workers **out, struct error *error)
{
    unsigned count = options->count;
    assert(count >= 1 && count <= WORKERS_MAX);
    struct workers *workers =
        memory_allocate_zeroed(1, sizeof(*workers) + count * sizeof(struct worker));
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->changed, NULL);
    workers->count = count;
    workers->options = *options;
    descriptors_open(&workers->descriptors);
    for (unsigned i = 0; i < count; i++) {
        workers->list[i].workers = workers;
        workers->list[i].index = i;
    }
    for (unsigned i = 0; i < count; i++) {
        int result = worker_start(&workers->list[i], first, error);
        if (result) {
            workers_destroy(workers);
            return result;
        }
    }
    *out = workers;
    return 0;
}

void workers_destroy(struct workers *workers)
{
    if (!workers)
        return;
    atomic_store(&workers->stopping, true);
    for (unsigned i = 0; i < workers->count; i++) {
        struct worker *worker = &workers->list[i];
        if (worker->started) {
            loop_wake(worker->loop);
            pthread_join(worker->thread, NULL);
        }
        packet_plane_destroy(worker->packet);
        datagram_plane_destroy(worker->datagram);
        stream_plane_destroy(worker->stream);
        resolver_destroy(worker->resolver);
        pool_destroy(worker->pool);
        loop_destroy(worker->loop);
        free(worker->counters);
    }
    pthread_cond_destroy(&workers->changed);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}

void workers_publish(struct workers *workers, const struct publication *publication)
{
    uint64_t sequence = atomic_load(&workers->offered) + 1;
    pthread_mutex_lock(&workers->lock);
    assert(workers->missing == 0);
    workers->missing = workers->unsettled = workers->count;
    workers->publication = publication;
    atomic_store_explicit(&workers->offered, sequence, memory_order_release);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->count; i++)
        loop_wake(workers->list[i].loop);
    pthread_mutex_lock(&workers->lock);
    while (workers->settled < sequence)
        pthread_cond_wait(&workers->changed, &workers->lock);
    pthread_mutex_unlock(&workers->lock);
}

unsigned workers_count(const struct workers *workers)
{
    return workers->count;
}

const struct fault_counters *workers_counters(const struct workers *workers, unsigned index)
{
    assert(index < workers->count);
    return workers->list[index].counters;
}

void workers_get_totals(const struct workers *workers, struct workers_totals *totals)
{
    *totals = (struct workers_totals){0};
    for (unsigned i = 0; i < workers->count; i++) {
        const struct worker *worker = &workers->list[i];
        struct loop_lateness lateness;
        totals->buffer_bytes += pool_used_bytes(worker->pool);
        totals->connections_open += stream_plane_open(worker->stream);
        totals->connections_total += stream_plane_total(worker->stream);
        totals->sessions_open += datagram_plane_open(worker->datagram);
        totals->sessions_total += datagram_plane_total(worker->datagram);
        loop_get_lateness(worker->loop, &lateness);
        totals->lateness.count += lateness.count;
        totals->lateness.sum_ns += lateness.sum_ns;
        for (size_t b = 0; b < sizeof(lateness.buckets) / sizeof(lateness.buckets[0]); b++)
            totals->lateness.buckets[b] += lateness.buckets[b];
    }
}
