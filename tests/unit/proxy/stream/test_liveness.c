/* Whatever happened before: once all is healed and everybody reads, every byte arrives.
 *
 * From a seed: a few connections over TCP or Unix sockets, with peers that write and read in fits
 * and starts and close one direction early, a plane that is short of memory and of table slots,
 * and a stream of changes (cuts of either direction, latency, rate) that come as a worker takes
 * them: at the start of a turn, with its events already fetched, and between two callbacks.
 * Unix sockets have no timers, so a stall there can only be the plane's. A failure prints the seed;
 * `test_liveness SEED [COUNT]` runs COUNT (1) seeds from that one. */
#include "tests/unit/proxy/stream/rig.h"

#include "tests/unit/proxy/stream/seeds.h"

#define BOUND_NS (10 * NS_PER_S) /* for less than 16 MB, all healed */

enum { SEEDS = 60, PAIRS_MAX = 8, STEPS_MAX = 240 };

struct pair {
    int client, server; /* server: -1 until accepted and told which it is */
    struct rig_stream streams[2];
    bool reading[2];
    bool answers; /* the server begins when the client's FIN is there */
};

struct world {
    struct rig rig;
    uint64_t seed, draws;
    bool unix_sockets;
    int pair_count;
    struct pair pairs[PAIRS_MAX];
    int unknown[PAIRS_MAX]; /* accepted, not told yet which connection it is */
    int unknown_count;
    bool cut[2], latency, rate;
    uint64_t frozen[2]; /* the link's bytes at its cut */
    int changes_due;
};

static char folder[64];

static uint64_t below(struct world *world, uint64_t limit)
{
    return random_below(random_mix(world->seed * 1000003 + ++world->draws), limit);
}

static bool chance(struct world *world, uint64_t one_in)
{
    return below(world, one_in) == 0;
}

static const char *const link_from[2] = {"a", "b"}, *const link_to[2] = {"b", "a"};

static uint64_t relayed(struct world *world, int way)
{
    return fault_counter_get(&rig_link(&world->rig, link_from[way], link_to[way])->bytes);
}

static void set_cut(struct world *world, int way, bool cut)
{
    static const char *const names[2] = {"up", "down"};
    if (world->cut[way] == cut)
        return;
    if (cut)
        rig_cut(&world->rig, names[way], way == 0, way == 1);
    else
        rig_heal(&world->rig, names[way]);
    world->cut[way] = cut;
    world->frozen[way] = relayed(world, way);
}

static void set_latency(struct world *world, bool latency, uint64_t delay_ns)
{
    if (world->latency == latency)
        return;
    if (latency)
        rig_latency(&world->rig, "slow", delay_ns);
    else
        rig_remove_fault(&world->rig, "slow");
    world->latency = latency;
}

static void set_rate(struct world *world, bool rate, uint64_t bytes_per_s)
{
    if (world->rate == rate)
        return;
    if (rate)
        rig_rate(&world->rig, "narrow", bytes_per_s);
    else
        rig_remove_fault(&world->rig, "narrow");
    world->rate = rate;
}

static void change_something(struct world *world)
{
    static const uint64_t delays_ns[] = {50000, NS_PER_MS, 5 * NS_PER_MS, 3600 * NS_PER_S};
    static const uint64_t rates[] = {20000, 1000000, 30000000, 300000000};
    switch (below(world, 6)) {
    case 0:
        set_cut(world, 0, !world->cut[0]);
        break;
    case 1:
        set_cut(world, 1, !world->cut[1]);
        break;
    case 2:
        set_latency(world, !world->latency, delays_ns[below(world, 4)]);
        break;
    case 3:
        set_rate(world, !world->rate, rates[below(world, 4)]);
        break;
    default: /* both at once, the one way or the other */
        set_cut(world, 0, !world->cut[0]);
        set_cut(world, 1, !world->cut[1]);
        break;
    }
}

/* The loop's hook. A wake from here is answered after the next callback. */
static void take_change(void *context)
{
    struct world *world = context;
    if (world->changes_due == 0)
        return;
    change_something(world);
    if (--world->changes_due > 0)
        loop_wake(world->rig.loop);
}

static void shrink_buffer(struct world *world, int fd)
{
    int bytes = 2048 << below(world, 6);
    if (chance(world, 2))
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    /* with less next to its 64 KiB segments, loopback TCP drops them and waits for seconds */
    bytes = 256 * 1024;
    if (!world->unix_sockets && chance(world, 2))
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

static void stream_draw(struct world *world, struct rig_stream *stream, uint64_t id)
{
    static const uint64_t totals[] = {1, 100, 70000, 500000, 4000000};
    static const size_t pieces[] = {10, 3000, 70000, 250000};
    *stream = (struct rig_stream){.id = id, .from = -1, .to = -1};
    stream->total = below(world, totals[below(world, world->pair_count <= 2 ? 5 : 4)]);
    stream->write_max = pieces[stream->total > 100000 ? 1 + below(world, 3) : below(world, 4)];
    stream->read_max = pieces[stream->total > 100000 ? 1 + below(world, 3) : below(world, 4)];
}

static void pair_connect(struct world *world, int index)
{
    struct pair *pair = &world->pairs[index];
    unsigned char name = (unsigned char)index;
    pair->client = rig_connect(&world->rig);
    pair->server = -1;
    pair->answers = chance(world, 3);
    shrink_buffer(world, pair->client);
    stream_draw(world, &pair->streams[0], 2 * (uint64_t)index);
    stream_draw(world, &pair->streams[1], 2 * (uint64_t)index + 1);
    pair->streams[0].from = pair->streams[1].to = pair->client;
    assert_int_equal(send(pair->client, &name, 1, MSG_NOSIGNAL), 1);
}

/* The first byte of each connection says which it is: they may be dialled in another order. */
static void accept_some(struct world *world)
{
    int fd;
    if (world->unknown_count < PAIRS_MAX && rig_try_accept(&world->rig, &fd)) {
        shrink_buffer(world, fd);
        world->unknown[world->unknown_count++] = fd;
    }
    for (int i = 0; i < world->unknown_count; i++) {
        unsigned char name;
        fd = world->unknown[i];
        if (recv(fd, &name, 1, MSG_DONTWAIT) != 1)
            continue;
        assert_true(name < world->pair_count && world->pairs[name].server < 0);
        struct pair *pair = &world->pairs[name];
        pair->server = pair->streams[0].to = pair->streams[1].from = fd;
        world->unknown[i--] = world->unknown[--world->unknown_count];
    }
}

static void pair_step(struct world *world, struct pair *pair)
{
    if (pair->server < 0)
        return;
    for (int way = 0; way < 2; way++)
        if (way == 0 || !pair->answers || pair->streams[0].finished)
            rig_stream_step(&pair->streams[way], &world->draws, pair->reading[way]);
}

/* What was relayed is no more than was sent and no less than was received, and nothing while cut.
 */
static void check_counters(struct world *world)
{
    for (int way = 0; way < 2; way++) {
        uint64_t least = 0, most = way == 0 ? (uint64_t)world->pair_count : 0;
        for (int i = 0; i < world->pair_count; i++) {
            least += world->pairs[i].streams[way].received;
            most += world->pairs[i].streams[way].sent;
        }
        assert_in_range(relayed(world, way), least, most);
        if (world->cut[way])
            assert_int_equal(relayed(world, way), world->frozen[way]);
    }
}

static void step(struct world *world, uint64_t wait_ns)
{
    accept_some(world);
    for (int i = 0; i < world->pair_count; i++)
        pair_step(world, &world->pairs[i]);
    uint64_t deadline_ns = wait_ns ? monotonic_now_ns() + wait_ns : 0;
    assert_int_equal(loop_turn(world->rig.loop, deadline_ns), 0);
    check_counters(world);
}

static void open_world(struct world *world, uint64_t seed)
{
    static const uint64_t flow_bytes[] = {0, 70000, 300000};
    char listen[96], upstream[96];
    *world = (struct world){.seed = seed};
    world->unix_sockets = chance(world, 2);
    rig_copy_only = chance(world, 3);
    world->pair_count = 1 + (int)below(world, PAIRS_MAX);
    struct rig_options options = {.pool_bytes = chance(world, 2) ? 1 : 64 << 20};
    options.connections_max = chance(world, 3) ? 1 + (uint32_t)below(world, 4) : PAIRS_MAX;
    options.flow_bytes_max = flow_bytes[below(world, 3)];
    if (world->unix_sockets) {
        snprintf(listen, sizeof(listen), "unix:%s/listen", folder);
        snprintf(upstream, sizeof(upstream), "unix:%s/upstream", folder);
        options.listen = listen;
        options.upstream = upstream;
    }
    rig_open_with(&world->rig, &options);
    loop_set_turn_start(world->rig.loop, take_change, world);
}

static void remove_sockets(void)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/listen", folder);
    unlink(path);
    snprintf(path, sizeof(path), "%s/upstream", folder);
    unlink(path);
}

static void trouble(struct world *world)
{
    /* in some worlds hardly anything changes: a change would wake a flow that was forgotten */
    uint64_t change_rate = 2 + (chance(world, 3) ? 300 : below(world, 20));
    uint64_t read_rate = 1 + below(world, 10);
    uint64_t steps = 20 + below(world, STEPS_MAX);
    if (chance(world, 2))
        change_something(world); /* before the connections */
    for (int i = 0; i < world->pair_count; i++)
        pair_connect(world, i);
    for (uint64_t i = 0; i < steps; i++) {
        if (chance(world, change_rate)) {
            world->changes_due += 1 + (int)below(world, 3);
            loop_wake(world->rig.loop);
        }
        for (int k = 0; k < world->pair_count; k++)
            for (int way = 0; way < 2; way++)
                if (chance(world, 8))
                    world->pairs[k].reading[way] = chance(world, read_rate);
        step(world, chance(world, 2) ? 0 : NS_PER_MS / 10);
    }
}

static bool all_finished(const struct world *world)
{
    for (int i = 0; i < world->pair_count; i++)
        if (!world->pairs[i].streams[0].finished || !world->pairs[i].streams[1].finished)
            return false;
    return true;
}

static void describe(struct world *world)
{
    for (int i = 0; i < world->pair_count; i++)
        for (int way = 0; way < 2; way++) {
            const struct rig_stream *stream = &world->pairs[i].streams[way];
            print_error("  connection %d %s: sent %llu of %llu%s, received %llu%s\n", i,
                        way ? "down" : "up", (unsigned long long)stream->sent,
                        (unsigned long long)stream->total, stream->shut ? " and FIN" : "",
                        (unsigned long long)stream->received, stream->finished ? " and FIN" : "");
        }
}

/* The last changes come in a random order; a short latency may stay. */
static void heal(struct world *world)
{
    int first = (int)below(world, 2);
    world->changes_due = 0;
    if (chance(world, 2))
        set_rate(world, false, 0);
    set_cut(world, first, false);
    if (chance(world, 2))
        step(world, 0);
    set_cut(world, !first, false);
    set_rate(world, false, 0);
    set_latency(world, false, 0);
    if (chance(world, 2))
        set_latency(world, true, NS_PER_MS);
    for (int i = 0; i < world->pair_count; i++)
        for (int way = 0; way < 2; way++) {
            struct rig_stream *stream = &world->pairs[i].streams[way];
            stream->write_max = 250000;
            stream->read_max = chance(world, 2) ? 30000 : 250000;
        }
}

static void all_arrives(struct world *world)
{
    uint64_t deadline_ns = monotonic_now_ns() + BOUND_NS;
    while (!all_finished(world) || stream_plane_open(world->rig.plane) > 0) {
        if (monotonic_now_ns() > deadline_ns) {
            describe(world);
            fail_msg("all is healed and read, but not all arrives");
        }
        /* readers that are often late: their sockets fill up, and nothing but room wakes the flow
         */
        for (int i = 0; i < world->pair_count; i++)
            for (int way = 0; way < 2; way++)
                world->pairs[i].reading[way] = chance(world, 2);
        step(world, NS_PER_MS / 20);
    }
    for (int way = 0; way < 2; way++) {
        const struct fault_link_counters *link =
            rig_link(&world->rig, link_from[way], link_to[way]);
        uint64_t total = way == 0 ? (uint64_t)world->pair_count : 0;
        for (int i = 0; i < world->pair_count; i++)
            total += world->pairs[i].streams[way].total;
        assert_int_equal(fault_counter_get(&link->bytes), total);
        assert_int_equal(fault_counter_get(&link->connections), way ? 0 : world->pair_count);
        assert_int_equal(fault_counter_get(&link->refused), 0);
        for (int cause = 0; cause < FAULT_CAUSES; cause++)
            assert_int_equal(fault_counter_get(&link->dropped[cause]), 0);
    }
    assert_int_equal(stream_plane_total(world->rig.plane), world->pair_count);
}

static void run_seed(uint64_t seed)
{
    struct world world;
    open_world(&world, seed);
    trouble(&world);
    heal(&world);
    all_arrives(&world);
    for (int i = 0; i < world.pair_count; i++) {
        close(world.pairs[i].client);
        close(world.pairs[i].server);
    }
    rig_close(&world.rig);
    remove_sockets();
}

static void all_arrives_after_a_heal(void **state)
{
    (void)state;
    seeds_run(run_seed);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/sever-liveness-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    remove_sockets();
    rmdir(folder);
    return seeds_tell(state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_arrives_after_a_heal, make_folder, remove_folder)};
    seeds_read(argc, argv, SEEDS);
    return cmocka_run_group_tests_name("proxy/stream liveness", tests, NULL, NULL);
}
