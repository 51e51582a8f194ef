/* Two planes on threads of their own, as severd has them: both send to the same ports while plans,
 * ports and captures come and go under load.
 *
 *     node 1 --\            /-- node 3
 *               two planes
 *     node 2 --/            \-- node 4
 *
 * Nodes 1 and 2 send, each by a thread, as fast as they can; planes 1 and 2 read one of them each.
 * This thread publishes, in the way of proxy/daemon/worker.c: what it has replaced is freed as soon
 * as both planes are on the new one. */
#include "tests/unit/proxy/packet/rig.h"

#include <pthread.h>
#include <stdatomic.h>

#include "proxy/capture/capture.h"

enum {
    NODES = 4,
    SENDERS = 2,
    PLANES = 2,
    CHANGES = 100,
    FRAME = 200,
    BURST = 16,
    PAUSE_NS = 200000
};

struct sender {
    pthread_t thread;
    pthread_mutex_t lock; /* held while a burst is sent */
    struct scene *scene;
    int raw;
    atomic_bool stop;
    uint64_t sent; /* frames; after the thread has ended */
};

struct scene {
    struct rig rig;
    struct sender senders[SENDERS];
    int receivers[NODES];
    struct captures *captures;
    struct ruleset published; /* what the set of captures borrows from */
    _Atomic uint32_t epoch;   /* the number that frames have now */
    pthread_t planes[PLANES];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    _Atomic uint64_t offered;
    uint64_t completed, taken[PLANES];
    unsigned missing;
    const struct packet_table *tables[PLANES];
    atomic_bool stopping;
};

struct plane_thread {
    struct scene *scene;
    unsigned index;
} plane_threads[PLANES];

/* --- the planes --- */

static void take_over(void *context)
{
    const struct plane_thread *own = context;
    struct scene *scene = own->scene;
    struct rig *rig = &scene->rig;
    struct rig_worker *worker = &rig->workers[own->index];
    if (atomic_load(&scene->stopping)) {
        loop_stop(worker->loop);
        return;
    }
    uint64_t offered = atomic_load(&scene->offered);
    if (offered == scene->taken[own->index])
        return;
    scene->taken[own->index] = offered;
    packet_plane_apply(worker->plane, rig->plan, rig->matches, scene->tables[own->index],
                       rig->captures);
    pthread_mutex_lock(&scene->lock);
    if (--scene->missing == 0) {
        scene->completed = offered;
        pthread_cond_broadcast(&scene->changed);
    }
    while (scene->completed < offered)
        pthread_cond_wait(&scene->changed, &scene->lock);
    pthread_mutex_unlock(&scene->lock);
}

static void *run_plane(void *context)
{
    const struct plane_thread *own = context;
    assert_int_equal(loop_run(own->scene->rig.workers[own->index].loop), 0);
    return NULL;
}

static void publish(struct rig *rig)
{
    struct scene *scene = loop_container(rig, struct scene, rig);
    struct capture_set *old = rig->captures;
    struct ruleset old_ruleset = scene->published;
    ruleset_copy(&scene->published, &rig->ruleset);
    rig->captures = capture_set_create(scene->captures, &scene->published, rig->plan);
    for (unsigned i = 0; i < PLANES; i++)
        scene->tables[i] = rig_make_table(rig, i);
    pthread_mutex_lock(&scene->lock);
    scene->missing = PLANES;
    uint64_t offered = atomic_fetch_add(&scene->offered, 1) + 1;
    for (unsigned i = 0; i < PLANES; i++)
        loop_wake(rig->workers[i].loop);
    while (scene->completed < offered)
        pthread_cond_wait(&scene->changed, &scene->lock);
    pthread_mutex_unlock(&scene->lock);
    capture_set_destroy(old);
    ruleset_free(&old_ruleset);
}

/* --- the senders --- */

/* A frame that the kernel had no room for is told: it has not been sent. */
static void send_burst(struct sender *sender)
{
    unsigned char frame[RIG_HEADER + FRAME];
    struct scene *scene = sender->scene;
    for (unsigned i = 0; i < BURST; i++) {
        unsigned to = SENDERS + i % (NODES - SENDERS);
        rig_make_frame(frame, scene->rig.network.macs[to], atomic_load(&scene->epoch), FRAME);
        if (send(sender->raw, frame, sizeof(frame), 0) == (ssize_t)sizeof(frame))
            sender->sent++;
    }
}

static void *run_sender(void *context)
{
    struct sender *sender = context;
    while (!atomic_load(&sender->stop)) {
        pthread_mutex_lock(&sender->lock);
        send_burst(sender);
        pthread_mutex_unlock(&sender->lock);
        monotonic_sleep_until(monotonic_now_ns() + PAUSE_NS); /* the planes' turn */
    }
    return NULL;
}

/* From now on frames have this number: none is under way to be sent with another. */
static void set_epoch(struct scene *scene, uint32_t epoch)
{
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_mutex_lock(&scene->senders[i].lock);
    atomic_store(&scene->epoch, epoch);
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_mutex_unlock(&scene->senders[i].lock);
}

/* --- the scene --- */

static void scene_open(struct scene *scene)
{
    struct rig *rig = &scene->rig;
    memset(scene, 0, sizeof(*scene));
    rig_open(rig, (struct rig_options){
                      .nodes = NODES, .workers = PLANES, .ring_bytes = 12 << 20, .quiet = true});
    assert_int_equal(captures_create(PLANES, 1 << 20, &scene->captures, NULL), 0);
    pthread_mutex_init(&scene->lock, NULL);
    pthread_cond_init(&scene->changed, NULL);
    for (unsigned i = 0; i < NODES; i++)
        scene->receivers[i] = rig_open_raw(rig, i);
    for (unsigned i = 0; i < PLANES; i++) {
        plane_threads[i] = (struct plane_thread){scene, i};
        loop_set_turn_start(rig->workers[i].loop, take_over, &plane_threads[i]);
        assert_int_equal(pthread_create(&scene->planes[i], NULL, run_plane, &plane_threads[i]), 0);
    }
    rig->publish = publish;
    for (unsigned i = 0; i < SENDERS; i++) {
        struct sender *sender = &scene->senders[i];
        sender->scene = scene;
        sender->raw = scene->receivers[i];
        pthread_mutex_init(&sender->lock, NULL);
        assert_int_equal(pthread_create(&sender->thread, NULL, run_sender, sender), 0);
    }
}

static uint64_t counted(struct scene *scene)
{
    uint64_t count = 0;
    for (unsigned from = 0; from < SENDERS; from++) {
        for (int cause = 0; cause < FAULT_CAUSES; cause++)
            count += rig_stray(&scene->rig, from, (enum fault_cause)cause);
        for (unsigned to = SENDERS; to < NODES; to++) {
            count += rig_units(&scene->rig, from, to);
            for (int cause = 0; cause < FAULT_CAUSES; cause++)
                count += rig_dropped(&scene->rig, from, to, (enum fault_cause)cause);
        }
    }
    return count;
}

static uint64_t stop_senders(struct scene *scene)
{
    uint64_t sent = 0;
    for (unsigned i = 0; i < SENDERS; i++) {
        atomic_store(&scene->senders[i].stop, true);
        pthread_join(scene->senders[i].thread, NULL);
        pthread_mutex_destroy(&scene->senders[i].lock);
        sent += scene->senders[i].sent;
    }
    return sent;
}

static void await_counted(struct scene *scene, uint64_t sent)
{
    uint64_t deadline_ns = monotonic_now_ns() + 20 * NS_PER_S;
    while (counted(scene) != sent) {
        if (monotonic_now_ns() > deadline_ns)
            fail_msg("%llu frames were sent, %llu are counted", (unsigned long long)sent,
                     (unsigned long long)counted(scene));
        monotonic_sleep_until(monotonic_now_ns() + NS_PER_MS);
    }
}

/* All that was sent is counted; then everything ends. */
static void scene_close(struct scene *scene)
{
    uint64_t sent = stop_senders(scene);
    assert_true(sent > 0);
    await_counted(scene, sent);
    atomic_store(&scene->stopping, true);
    for (unsigned i = 0; i < PLANES; i++) {
        loop_wake(scene->rig.workers[i].loop);
        pthread_join(scene->planes[i], NULL);
    }
    for (unsigned i = 0; i < NODES; i++)
        close(scene->receivers[i]);
    rig_close(&scene->rig);
    capture_set_destroy(scene->rig.captures);
    captures_destroy(scene->captures);
    ruleset_free(&scene->published);
    pthread_cond_destroy(&scene->changed);
    pthread_mutex_destroy(&scene->lock);
}

/* --- the tests --- */

static void cut_both(struct scene *scene, unsigned to)
{
    struct ruleset_partition partition = {.name = "p"};
    for (unsigned from = 0; from < SENDERS; from++)
        ruleset_partition_add_link(&partition, rig_name(from), rig_name(to));
    ruleset_add_partition(&scene->rig.ruleset, &partition);
    ruleset_partition_free(&partition);
    rig_apply(&scene->rig);
}

/* What has come there with this number. */
static unsigned count_of_epoch(int receiver, uint32_t epoch)
{
    unsigned count = 0;
    for (uint32_t number; rig_take_number(receiver, &number);)
        count += number == epoch;
    return count;
}

static void await_epoch(struct scene *scene, unsigned node, uint32_t epoch)
{
    uint64_t deadline_ns = monotonic_now_ns() + 20 * NS_PER_S;
    while (count_of_epoch(scene->receivers[node], epoch) == 0)
        if (monotonic_now_ns() > deadline_ns)
            fail_msg("nothing comes to node %u", node + 1);
}

/* What is sent after the cut's publication does not arrive, by either plane; what is on its way
 * neither. Frames for the other node go on meanwhile: that they come shows that time has passed. */
static void nothing_crosses_a_cut_once_it_is_published(void **state)
{
    static struct scene scene;
    (void)state;
    scene_open(&scene);
    struct ruleset_fault delay = {.name = "d", .type = RULESET_LATENCY};
    delay.latency.delay_ns = 2 * NS_PER_MS;
    rig_add_fault(&scene.rig, 0, 2, delay);
    for (uint32_t i = 0; i < CHANGES; i++) {
        uint32_t open = 2 * i + 1, cut = open + 1;
        set_epoch(&scene, open);
        await_epoch(&scene, 2, open);
        cut_both(&scene, 2);
        set_epoch(&scene, cut);
        await_epoch(&scene, 3, cut);
        assert_int_equal(count_of_epoch(scene.receivers[2], cut), 0);
        rig_heal(&scene.rig);
    }
    scene_close(&scene);
}

static void change_port(struct scene *scene, unsigned node)
{
    if (scene->rig.ports[node]) {
        rig_remove_port(&scene->rig, node);
    } else {
        rig_add_port(&scene->rig, node);
        rig_apply(&scene->rig);
    }
}

/* Ports of both that are sent to come and go: what is sent through has just been unmapped. */
static void ports_come_and_go_under_load(void **state)
{
    static struct scene scene;
    (void)state;
    scene_open(&scene);
    struct ruleset_fault delay = {.name = "d", .type = RULESET_LATENCY};
    delay.latency.delay_ns = NS_PER_MS;
    rig_add_fault(&scene.rig, 1, 3, delay);
    for (unsigned i = 0; i < CHANGES; i++)
        change_port(&scene, SENDERS + i % (NODES - SENDERS));
    scene_close(&scene);
}

/* Not all: more may come as fast as it is read. */
static void read_some(struct capture *capture, unsigned char *buffer, uint64_t *bytes)
{
    for (int i = 0; i < 8; i++)
        *bytes += capture_read(capture, monotonic_now_ns(), buffer, CAPTURE_READ_MIN);
}

/* A capture begins and ends while both planes write into it, and cuts are blamed by name. */
static void captures_begin_and_end_under_load(void **state)
{
    static unsigned char buffer[CAPTURE_READ_MIN];
    static struct scene scene;
    const struct capture_spec whole = {.filter = "", .snaplen = CAPTURE_SNAPLEN_DEFAULT};
    uint64_t bytes = 0;
    (void)state;
    scene_open(&scene);
    for (unsigned i = 0; i < CHANGES; i++) {
        struct capture *capture;
        assert_int_equal(capture_open(scene.captures, &whole, &capture, NULL), 0);
        rig_apply(&scene.rig);
        set_epoch(&scene, i + 1);
        await_epoch(&scene, 3, i + 1);
        cut_both(&scene, 2);
        read_some(capture, buffer, &bytes);
        capture_leave(capture);
        rig_heal(&scene.rig);
        capture_close(capture);
    }
    assert_true(bytes > CHANGES * FRAME);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_crosses_a_cut_once_it_is_published),
        cmocka_unit_test(ports_come_and_go_under_load),
        cmocka_unit_test(captures_begin_and_end_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
