/* A storm of connections under faults that come, change and go: whatever happens, every byte that a
 * route has received it has sent, dropped or still holds; what a peer reads is a prefix of what the
 * other one wrote (bits flipped only by a corrupt fault); and once all is removed and healed, each
 * connection that is left ends.
 *
 * A failure prints the seed; `test_storm SEED [COUNT]` runs COUNT (1) seeds from that one. */
#include "tests/unit/proxy/stream/rig.h"

#include "proxy/stream/internal.h"
#include "tests/unit/proxy/stream/seeds.h"

#define BOUND_NS (15 * NS_PER_S) /* all removed and healed */

enum { SEEDS = 40, CONNECTIONS = 24, STEPS = 300, FAULTS = 4 };

/* One side of a connection, in the test's hands. */
struct side {
    int fd;                  /* -1: not there, or closed */
    uint64_t written, read;  /* bytes of the pattern */
    bool shut, ended, reset; /* FIN sent; FIN seen; RST seen */
};

struct pair {
    struct side sides[2]; /* client, server */
    bool known;           /* the server has told which one it is */
};

struct world {
    struct rig rig;
    uint64_t seed, draws;
    int pair_count; /* begun so far */
    struct pair pairs[CONNECTIONS];
    int unknown[CONNECTIONS];
    int unknown_count;
    bool cut[2], corrupted, fault[FAULTS];
    int changes_due;
};

static uint64_t below(struct world *world, uint64_t limit)
{
    return random_below(random_mix(world->seed * 1000003 + ++world->draws), limit);
}

static bool chance(struct world *world, uint64_t one_in)
{
    return below(world, one_in) == 0;
}

static void draw_parameters(struct world *world, struct ruleset_fault *fault)
{
    static const uint64_t delays_ns[] = {0, 50000, NS_PER_MS, 20 * NS_PER_MS, 3600 * NS_PER_S};
    static const uint64_t rates[] = {0, 20000, 1000000, 300000000};
    static const uint64_t sizes[] = {0, 1, 100, 5000, 200000};
    uint64_t delay_ns = delays_ns[below(world, 5)], bytes = sizes[below(world, 5)];
    switch (fault->type) {
    case RULESET_LATENCY:
        fault->latency.delay_ns = delay_ns;
        fault->latency.jitter_ns = delay_ns / 2;
        break;
    case RULESET_RATE:
        fault->rate.bytes_per_s = rates[below(world, 4)];
        fault->rate.shared = chance(world, 2);
        break;
    case RULESET_CORRUPT:
        fault->corrupt.probability_ppb = (uint32_t)below(world, RULESET_PROBABILITY_MAX);
        world->corrupted = true;
        break;
    case RULESET_SLICER:
        fault->slicer.average_bytes = 1 + bytes;
        fault->slicer.variation_bytes = below(world, 1 + bytes);
        fault->slicer.delay_ns = delay_ns < NS_PER_S ? delay_ns / 100 : 0;
        break;
    case RULESET_SLOW_CLOSE:
        fault->slow_close.delay_ns = delay_ns;
        break;
    case RULESET_TIMEOUT:
        fault->timeout.timeout_ns = delay_ns;
        break;
    case RULESET_RESET_PEER:
        fault->reset_peer.timeout_ns = delay_ns;
        break;
    case RULESET_LIMIT_DATA:
        fault->limit_data.bytes = bytes;
        break;
    case RULESET_ACCEPT_DELAY:
        fault->accept_delay.delay_ns = delay_ns ? delay_ns : NS_PER_MS;
        break;
    default:
        fault->type = RULESET_REJECT;
        fault->reject.probability_ppb = chance(world, 2) ? RULESET_PROBABILITY_MAX : 300000000;
        break;
    }
}

static struct ruleset_fault draw_fault(struct world *world, const char *name)
{
    static const enum ruleset_fault_type types[] = {
        RULESET_LATENCY,    RULESET_RATE,        RULESET_CORRUPT,    RULESET_SLICER,
        RULESET_SLOW_CLOSE, RULESET_TIMEOUT,     RULESET_RESET_PEER, RULESET_LIMIT_DATA,
        RULESET_REJECT,     RULESET_ACCEPT_DELAY};
    static const uint32_t spared[] = {0, 300000000, 800000000};
    struct ruleset_fault fault =
        rig_fault(name, types[below(world, sizeof(types) / sizeof(types[0]))]);
    draw_parameters(world, &fault);
    fault.direction = (enum ruleset_direction)below(world, 3);
    if (fault.type == RULESET_REJECT || fault.type == RULESET_ACCEPT_DELAY)
        fault.direction = RULESET_UPSTREAM;
    fault.spared_ppb = spared[below(world, 3)];
    if (chance(world, 5))
        fault.first_connections = 1 + (uint32_t)below(world, 5);
    if (chance(world, 5))
        fault.after_ns = 5 * NS_PER_MS;
    return fault;
}

static void change_fault(struct world *world)
{
    char name[16];
    uint64_t which = below(world, FAULTS);
    snprintf(name, sizeof(name), "fault%d", (int)which);
    struct ruleset_fault *there = ruleset_find_fault(&world->rig.ruleset, name);
    if (!there) {
        struct ruleset_fault fault = draw_fault(world, name);
        rig_set_fault(&world->rig, &fault);
    } else if (chance(world, 2)) {
        draw_parameters(world, there);
        rig_apply(&world->rig);
    } else {
        rig_remove_fault(&world->rig, name);
    }
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
}

/* The loop's hook. A wake from here is answered after the next callback. */
static void take_change(void *context)
{
    struct world *world = context;
    if (world->changes_due == 0)
        return;
    if (chance(world, 4))
        set_cut(world, (int)below(world, 2), chance(world, 3));
    else
        change_fault(world);
    if (--world->changes_due > 0)
        loop_wake(world->rig.loop);
}

static void side_close(struct world *world, struct side *side)
{
    if (side->fd < 0)
        return;
    if (chance(world, 3))
        socket_close_reset(side->fd);
    else
        close(side->fd);
    side->fd = -1;
}

static void side_failed(struct side *side)
{
    if (errno == EAGAIN)
        return;
    assert_true(errno == ECONNRESET || errno == EPIPE || errno == ECONNREFUSED);
    side->reset = true;
}

static void side_write(struct world *world, struct side *side, uint64_t stream)
{
    static unsigned char buffer[100000];
    static const uint64_t sizes[] = {1, 3000, sizeof(buffer)};
    size_t size = 1 + (size_t)below(world, sizes[below(world, 3)]);
    if (side->fd < 0 || side->shut || side->reset)
        return;
    for (size_t i = 0; i < size; i++)
        buffer[i] = rig_byte(stream, side->written + i);
    ssize_t done = send(side->fd, buffer, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0)
        side_failed(side);
    side->written += done > 0 ? (uint64_t)done : 0;
    if (chance(world, 40)) {
        shutdown(side->fd, SHUT_WR);
        side->shut = true;
    }
}

static void side_read(struct world *world, struct side *side, const struct side *writer,
                      uint64_t stream)
{
    static unsigned char buffer[100000];
    if (side->fd < 0 || side->ended || side->reset)
        return;
    ssize_t done = recv(side->fd, buffer, 1 + below(world, sizeof(buffer)), MSG_DONTWAIT);
    if (done < 0)
        side_failed(side);
    for (ssize_t i = 0; i < done && !world->corrupted; i++)
        if (buffer[i] != rig_byte(stream, side->read + (uint64_t)i))
            fail_msg("stream %llu differs at byte %llu", (unsigned long long)stream,
                     (unsigned long long)(side->read + (uint64_t)i));
    side->read += done > 0 ? (uint64_t)done : 0;
    side->ended = done == 0;
    assert_true(side->read <= writer->written);
}

static void begin_connection(struct world *world)
{
    struct pair *pair = &world->pairs[world->pair_count];
    unsigned char name = (unsigned char)world->pair_count;
    int fd = socket_connect(&world->rig.route_address, NULL, NULL);
    *pair = (struct pair){.sides = {{.fd = -1}, {.fd = -1}}};
    world->pair_count++;
    if (fd < 0)
        return; /* refused at once */
    pair->sides[0].fd = fd;
    if (send(fd, &name, 1, MSG_NOSIGNAL) != 1)
        side_failed(&pair->sides[0]);
}

/* The first byte says which connection it is, where it is not flipped or thrown away. */
static void accept_some(struct world *world)
{
    int fd;
    if (world->unknown_count < CONNECTIONS && rig_try_accept(&world->rig, &fd))
        world->unknown[world->unknown_count++] = fd;
    for (int i = 0; i < world->unknown_count; i++) {
        unsigned char name;
        fd = world->unknown[i];
        ssize_t got = recv(fd, &name, 1, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN)
            continue;
        world->unknown[i--] = world->unknown[--world->unknown_count];
        if (got == 1 && name < world->pair_count && !world->pairs[name].known) {
            world->pairs[name].sides[1].fd = fd;
            world->pairs[name].known = true;
        } else {
            close(fd);
        }
    }
}

static void check_accounts(const struct world *world)
{
    uint64_t held = rig_held(&world->rig, 0) + rig_held(&world->rig, 1);
    const struct fault_route_counters *route = rig_route(&world->rig);
    assert_true(held <= pool_used_bytes(world->rig.pool) + world->rig.plane->conduit_bytes);
    assert_int_equal(fault_counter_get(&route->connections) - fault_counter_get(&route->ended),
                     stream_plane_open(world->rig.plane));
    if (stream_plane_open(world->rig.plane) == 0)
        assert_int_equal(held, 0);
}

static void step(struct world *world, bool closing)
{
    accept_some(world);
    for (int i = 0; i < world->pair_count; i++) {
        struct pair *pair = &world->pairs[i];
        uint64_t stream = 2 * (uint64_t)i;
        if (!pair->known && !closing) { /* the client's first byte is on its way */
            side_read(world, &pair->sides[0], &pair->sides[1], stream + 1);
            continue;
        }
        for (int s = 0; s < 2; s++) {
            struct side *side = &pair->sides[s];
            if (!closing && chance(world, 3))
                side_write(world, side, stream + (uint64_t)s);
            if (closing || chance(world, 3))
                side_read(world, side, &pair->sides[!s], stream + !s);
            if (!closing && chance(world, 400))
                side_close(world, side);
        }
    }
    uint64_t deadline_ns = chance(world, 2) ? 0 : monotonic_now_ns() + NS_PER_MS / 10;
    assert_int_equal(loop_turn(world->rig.loop, deadline_ns), 0);
    check_accounts(world);
}

static void trouble(struct world *world)
{
    uint64_t change_rate = 2 + below(world, 20);
    for (int i = 0; i < STEPS; i++) {
        if (world->pair_count < CONNECTIONS && chance(world, 8))
            begin_connection(world);
        if (chance(world, change_rate)) {
            world->changes_due += 1 + (int)below(world, 3);
            loop_wake(world->rig.loop);
        }
        step(world, false);
    }
}

static void remove_all(struct world *world)
{
    world->changes_due = 0;
    set_cut(world, 0, false);
    set_cut(world, 1, false);
    while (world->rig.ruleset.fault_count > 0) {
        char name[RULESET_FAULT_NAME_MAX];
        size_t last = world->rig.ruleset.fault_count - 1;
        snprintf(name, sizeof(name), "%s", world->rig.ruleset.faults[last].name);
        rig_remove_fault(&world->rig, name);
    }
}

/* Both sides say that they are finished; whatever state a connection was left in, it ends. */
static void all_ends(struct world *world)
{
    uint64_t deadline_ns = monotonic_now_ns() + BOUND_NS;
    do {
        for (int i = 0; i < world->pair_count; i++)
            for (int s = 0; s < 2; s++) {
                struct side *side = &world->pairs[i].sides[s];
                if (side->fd >= 0 && !side->shut) {
                    shutdown(side->fd, SHUT_WR);
                    side->shut = true;
                }
            }
        for (int i = 0; i < world->unknown_count; i++)
            shutdown(world->unknown[i], SHUT_WR);
        step(world, true);
        if (monotonic_now_ns() > deadline_ns)
            fail_msg("all is healed, but %d connections do not end",
                     (int)stream_plane_open(world->rig.plane));
    } while (stream_plane_open(world->rig.plane) > 0);
}

static void run_seed(uint64_t seed)
{
    struct world world = {.seed = seed};
    rig_open(&world.rig, CONNECTIONS, chance(&world, 2) ? 1 : 64 << 20);
    world.rig.ruleset.seed = seed;
    loop_set_turn_start(world.rig.loop, take_change, &world);
    trouble(&world);
    remove_all(&world);
    all_ends(&world);
    for (int i = 0; i < world.pair_count; i++)
        for (int s = 0; s < 2; s++)
            if (world.pairs[i].sides[s].fd >= 0)
                close(world.pairs[i].sides[s].fd);
    for (int i = 0; i < world.unknown_count; i++)
        close(world.unknown[i]);
    rig_close(&world.rig);
}

static void every_byte_is_accounted_for(void **state)
{
    (void)state;
    seeds_run(run_seed);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_byte_is_accounted_for, seeds_tell)};
    seeds_read(argc, argv, SEEDS);
    return cmocka_run_group_tests_name("proxy/stream storm", tests, NULL, NULL);
}
