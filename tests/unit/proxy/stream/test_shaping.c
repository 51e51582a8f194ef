/* Faults that delay, cut up and flip what crosses: rate, slicer, corrupt; and for whom: toxicity
 * and windows. */
#include "tests/unit/proxy/stream/rig.h"

#include <linux/tcp.h>
#include <netinet/in.h>

#include "proxy/fault/pipeline.h"

static void rate_zero_holds_and_goes_on(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    uint64_t seed = 1;
    rig_open(&rig, 8, 32 << 20);
    rig_pair(&rig, &client, &server);
    struct rig_stream up = {.id = 1, .total = 3 << 20, .from = client, .to = server};
    up.write_max = up.read_max = 100000;
    while (up.received < 100000) {
        rig_stream_step(&up, &seed, true);
        rig_turn(&rig);
    }
    struct ruleset_fault fault = rig_fault("stop", RULESET_RATE);
    rig_set_fault(&rig, &fault);
    uint64_t before = 0;
    while (before != up.received) { /* what was through already */
        before = up.received;
        rig_stream_step(&up, &seed, true);
        rig_turn(&rig);
    }
    for (int i = 0; i < 50; i++) {
        rig_stream_step(&up, &seed, true);
        rig_turn(&rig);
        assert_int_equal(up.received, before);
    }
    assert_true(rig_held(&rig, 0) > 0);
    fault.rate.bytes_per_s = 400000; /* changed: it flows at that rate */
    rig_set_fault(&rig, &fault);
    uint64_t begin_ns = monotonic_now_ns();
    while (up.received < before + 100000) {
        rig_stream_step(&up, &seed, true);
        rig_turn(&rig);
    }
    assert_true(monotonic_now_ns() - begin_ns >= 200 * NS_PER_MS);
    rig_remove_fault(&rig, "stop");
    unsigned begin = rig.turns;
    while (!up.finished) {
        rig_stream_step(&up, &seed, true);
        rig_turn(&rig);
    }
    assert_true(rig.turns - begin < 3000);
    rig_close_ends(&rig, client, server);
}

/* How long four connections take to have `each` bytes across; in *fastest_ns, the tenth of it that
 * took the least: a thread that stands still for a while takes from the others. */
static uint64_t time_of_four(struct rig *rig, uint64_t each, uint64_t *fastest_ns)
{
    enum { PARTS = 10 };
    uint64_t parts = 0, part_ns;
    struct rig_stream streams[4];
    int clients[4], servers[4], finished = 0;
    uint64_t seed = 3;
    for (int i = 0; i < 4; i++) {
        rig_pair(rig, &clients[i], &servers[i]);
        streams[i] = (struct rig_stream){
            .id = (uint64_t)i, .total = each, .from = clients[i], .to = servers[i]};
        streams[i].write_max = streams[i].read_max = 100000;
    }
    uint64_t begin_ns = monotonic_now_ns();
    *fastest_ns = UINT64_MAX;
    part_ns = begin_ns;
    while (finished < 4) {
        uint64_t received = 0, now_ns = monotonic_now_ns();
        finished = 0;
        for (int i = 0; i < 4; i++) {
            rig_stream_step(&streams[i], &seed, true);
            received += streams[i].received;
            finished += streams[i].finished;
        }
        if (received * PARTS >= (parts + 1) * 4 * each) {
            if (now_ns - part_ns < *fastest_ns)
                *fastest_ns = now_ns - part_ns;
            part_ns = now_ns;
            parts = received * PARTS / (4 * each);
        }
        rig_turn(rig);
        assert_true(monotonic_now_ns() - begin_ns < RIG_PATIENCE_NS);
    }
    uint64_t took_ns = monotonic_now_ns() - begin_ns;
    for (int i = 0; i < 4; i++) {
        close(clients[i]);
        close(servers[i]);
    }
    return took_ns;
}

static void a_shared_rate_is_shared(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 16, 8 << 20);
    struct ruleset_fault fault = rig_fault("narrow", RULESET_RATE);
    fault.direction = RULESET_UPSTREAM;
    fault.rate.bytes_per_s = 1000000;
    rig_set_fault(&rig, &fault);
    uint64_t fastest_ns, alone_ns = time_of_four(&rig, 400000, &fastest_ns);
    assert_true(alone_ns >= 395 * NS_PER_MS);
    assert_true(fastest_ns < 100 * NS_PER_MS); /* of 160 KB: they have 4 MB/s */
    fault.rate.shared = true;
    rig_set_fault(&rig, &fault);
    uint64_t shared_ns = time_of_four(&rig, 400000, &fastest_ns);
    assert_true(shared_ns >= 1590 * NS_PER_MS);
    assert_true(fastest_ns < 400 * NS_PER_MS); /* and now 1 MB/s */
    rig_close(&rig);
}

static uint32_t segments_seen(int fd)
{
    struct tcp_info info;
    socklen_t length = sizeof(info);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    return info.tcpi_data_segs_in;
}

static void a_slicer_makes_segments(void **state)
{
    (void)state;
    enum { BYTES = 20000, PIECE = 100 };
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        int client, server;
        unsigned char bytes[BYTES];
        rig_open(&rig, 8, 8 << 20);
        struct ruleset_fault fault = rig_fault("knife", RULESET_SLICER);
        fault.slicer.average_bytes = PIECE;
        fault.slicer.variation_bytes = i == 0 ? 0 : 60;
        rig_set_fault(&rig, &fault);
        rig_pair(&rig, &client, &server);
        for (uint64_t k = 0; k < BYTES; k++)
            bytes[k] = rig_byte(1, k);
        assert_int_equal(send(client, bytes, BYTES, 0), BYTES);
        rig_await(&rig, rig_has_bytes(server, BYTES));
        memset(bytes, 0, sizeof(bytes));
        assert_int_equal(recv(server, bytes, BYTES, 0), BYTES);
        for (uint64_t k = 0; k < BYTES; k++)
            assert_int_equal(bytes[k], rig_byte(1, k));
        if (i == 0) /* and a few that TCP sent again after a standstill */
            assert_in_range(segments_seen(server), BYTES / PIECE, BYTES / PIECE * 11 / 10);
        else
            assert_in_range(segments_seen(server), BYTES / 160, BYTES / 40);
        uint32_t before = segments_seen(server);
        rig_remove_fault(&rig, "knife"); /* whole again */
        assert_int_equal(send(client, bytes, BYTES, 0), BYTES);
        rig_await(&rig, rig_has_bytes(server, BYTES));
        assert_true(segments_seen(server) - before <= 10);
        rig_close_ends(&rig, client, server);
    }
}

static void a_slicer_waits_between_pieces(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    char bytes[50];
    rig_open(&rig, 8, 8 << 20);
    rig_pair(&rig, &client, &server);
    struct ruleset_fault fault = rig_fault("knife", RULESET_SLICER);
    fault.slicer.average_bytes = 10;
    fault.slicer.delay_ns = 20 * NS_PER_MS;
    rig_set_fault(&rig, &fault); /* on a live connection */
    uint64_t begin_ns = monotonic_now_ns();
    assert_int_equal(send(client, "12345678901234567890123456789012345678901234567890", 50, 0), 50);
    rig_await(&rig, rig_has_bytes(server, 10));
    assert_true(!rig_has_bytes(server, 50));
    rig_await(&rig, rig_has_bytes(server, 50));
    assert_true(monotonic_now_ns() - begin_ns >= 80 * NS_PER_MS);
    assert_int_equal(recv(server, bytes, 50, 0), 50);
    assert_memory_equal(bytes, "12345678901234567890123456789012345678901234567890", 50);
    rig_close_ends(&rig, client, server);
}

/* A pipeline beside the plane's: the same chain and flow, told of the same units. */
struct model {
    struct fault_pipeline pipeline;
    unsigned char *bytes;
    unsigned flips;
};

static void model_deliver(void *context, struct fault_unit *unit)
{
    (void)context;
    (void)unit;
}

static void model_drop(void *context, struct fault_unit *unit, enum fault_cause cause,
                       uint16_t slot)
{
    (void)context;
    (void)unit;
    (void)cause;
    (void)slot;
    fail();
}

static bool model_flip(void *context, struct fault_unit *unit, uint64_t bit)
{
    struct model *model = context;
    (void)unit;
    model->bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    model->flips++;
    return true;
}

static void model_open(struct model *model, const struct rig *rig)
{
    static struct fault_states states;
    struct fault_entry entries[FAULT_CHAIN_MAX];
    struct fault_sink sink = {
        .deliver = model_deliver, .drop = model_drop, .flip = model_flip, .context = model};
    struct fault_flow flow = {.medium = FAULT_STREAM, .states = &states};
    *model = (struct model){0};
    fault_pipeline_init(&model->pipeline, &flow, &sink);
    size_t count = fault_plan_chain(rig->plan, rig->spec.from, rig->spec.to, rig->spec.slot,
                                    RULESET_UPSTREAM, entries);
    assert_int_equal(count, 1);
    fault_pipeline_apply(&model->pipeline, entries, count, 1);
}

/* Sends zeros; how many bits arrive as ones. */
static int flips_in(struct rig *rig, int client, int server, size_t count)
{
    unsigned char bytes[8000] = {0};
    int flips = 0;
    assert_int_equal(send(client, bytes, count, 0), count);
    rig_await(rig, rig_has_bytes(server, count));
    assert_int_equal(recv(server, bytes, sizeof(bytes), 0), count);
    for (size_t i = 0; i < count; i++)
        flips += __builtin_popcount(bytes[i]);
    return flips;
}

static void corrupt_flips_what_the_engine_says(void **state)
{
    (void)state;
    enum { BYTES = 9000, ROUNDS = 20 };
    struct rig rig;
    struct model model;
    int client, server;
    rig_open(&rig, 8, 8 << 20);
    struct ruleset_fault fault = rig_fault("noise", RULESET_CORRUPT);
    fault.direction = RULESET_UPSTREAM;
    fault.corrupt.probability_ppb = RULESET_PROBABILITY_MAX / 5;
    rig_set_fault(&rig, &fault);
    model_open(&model, &rig);
    rig_pair(&rig, &client, &server);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        unsigned char sent[BYTES], got[BYTES];
        struct fault_unit unit = {.bytes = BYTES, .segments = 1};
        for (uint64_t k = 0; k < BYTES; k++)
            sent[k] = rig_byte(round, k);
        assert_int_equal(send(client, sent, BYTES, 0), BYTES);
        rig_await(&rig, rig_has_bytes(server, BYTES));
        assert_int_equal(recv(server, got, BYTES, 0), BYTES);
        model.bytes = sent;
        fault_pipeline_push(&model.pipeline, &unit, 1 + round);
        assert_memory_equal(got, sent, BYTES);
        rig_await(&rig, rig_is_silent(server)); /* no byte more */
    }
    assert_in_range(model.flips, 5, 60);
    /* changed and removed on the live connection: one bit in each block of 1460 bytes */
    fault.corrupt.probability_ppb = RULESET_PROBABILITY_MAX;
    rig_set_fault(&rig, &fault);
    assert_in_range(flips_in(&rig, client, server, 7300), 4, 6);
    rig_remove_fault(&rig, "noise");
    assert_int_equal(flips_in(&rig, client, server, 7300), 0);
    rig_close_ends(&rig, client, server);
}

enum { CROWD = 48 };

struct crowd {
    int clients[CROWD], servers[CROWD];
};

static void crowd_open(struct rig *rig, struct crowd *crowd)
{
    for (int i = 0; i < CROWD; i++)
        rig_pair(rig, &crowd->clients[i], &crowd->servers[i]);
}

static void crowd_close(struct crowd *crowd)
{
    for (int i = 0; i < CROWD; i++) {
        close(crowd->clients[i]);
        close(crowd->servers[i]);
    }
}

/* One bit for each connection whose next byte arrives although the fault holds it for ever. */
static uint64_t crowd_spared(struct rig *rig, struct crowd *crowd, bool down)
{
    const fault_counter *received = &rig_route(rig)->received[down];
    uint64_t spared = 0, before = fault_counter_get(received);
    char byte;
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(send(down ? crowd->servers[i] : crowd->clients[i], "x", 1, 0), 1);
    rig_await(rig, fault_counter_get(received) == before + CROWD);
    rig_turn_for(rig, 30 * NS_PER_MS);
    for (int i = 0; i < CROWD; i++)
        if (recv(down ? crowd->clients[i] : crowd->servers[i], &byte, 1, MSG_DONTWAIT) == 1)
            spared |= UINT64_C(1) << i;
    return spared;
}

static void toxicity_is_decided_once(void **state)
{
    (void)state;
    uint64_t first[2][2];
    for (int run = 0; run < 2; run++) {
        struct rig rig;
        struct crowd crowd;
        rig_open(&rig, CROWD, 8 << 20);
        struct ruleset_fault fault = rig_fault("hold", RULESET_LATENCY);
        fault.latency.delay_ns = 3600 * NS_PER_S;
        fault.spared_ppb = RULESET_PROBABILITY_MAX / 2;
        if (run == 0) /* before the connections, or on live ones: the same */
            rig_set_fault(&rig, &fault);
        crowd_open(&rig, &crowd);
        rig_set_fault(&rig, &fault);
        for (int down = 0; down < 2; down++) {
            first[run][down] = crowd_spared(&rig, &crowd, down);
            assert_in_range(__builtin_popcountll(first[run][down]), CROWD / 4, 3 * CROWD / 4);
        }
        assert_int_not_equal(first[run][0], first[run][1]); /* each direction for itself */
        struct ruleset_fault other = rig_fault("other", RULESET_LATENCY);
        for (int i = 0; i < 4; i++) {
            other.latency.delay_ns = (1 + (uint64_t)i) * NS_PER_MS;
            i == 3 ? rig_remove_fault(&rig, "other") : rig_set_fault(&rig, &other);
            fault.latency.jitter_ns += NS_PER_S;
            rig_set_fault(&rig, &fault); /* even when it is changed itself */
            assert_int_equal(crowd_spared(&rig, &crowd, false), first[run][0]);
        }
        rig_remove_fault(&rig, "hold");
        rig_turn_for(&rig, 5 * NS_PER_MS);
        for (int i = 0; i < CROWD; i++) {
            bool held = !(first[run][0] >> i & 1);
            rig_await(&rig, !held || rig_has_bytes(crowd.servers[i], 5));
            assert_int_equal(rig_has_bytes(crowd.servers[i], 1), held);
        }
        crowd_close(&crowd);
        rig_close(&rig);
    }
    assert_int_equal(first[0][0], first[1][0]);
    assert_int_equal(first[0][1], first[1][1]);
}

static void windows_open_and_close(void **state)
{
    (void)state;
    struct rig rig;
    int before, before_server, clients[5], servers[5];
    rig_open(&rig, 8, 8 << 20);
    rig_pair(&rig, &before, &before_server);
    struct ruleset_fault fault = rig_fault("first", RULESET_LATENCY);
    fault.latency.delay_ns = 3600 * NS_PER_S;
    fault.first_connections = 3;
    rig_set_fault(&rig, &fault);
    for (int i = 0; i < 5; i++) {
        rig_pair(&rig, &clients[i], &servers[i]);
        assert_int_equal(send(clients[i], "x", 1, 0), 1);
    }
    assert_int_equal(send(before, "x", 1, 0), 1);
    rig_await(&rig, rig_has_bytes(before_server, 1));
    rig_await(&rig, rig_has_bytes(servers[3], 1));
    rig_await(&rig, rig_has_bytes(servers[4], 1));
    for (int i = 0; i < 3; i++)
        assert_true(rig_is_silent(servers[i]));
    rig_remove_fault(&rig, "first");
    for (int i = 0; i < 5; i++) {
        rig_await(&rig, rig_has_bytes(servers[i], 1));
        close(clients[i]);
        close(servers[i]);
    }
    rig_close_ends(&rig, before, before_server);
}

static void a_fault_may_begin_later(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    rig_open(&rig, 8, 8 << 20);
    struct ruleset_fault fault = rig_fault("later", RULESET_LATENCY);
    fault.latency.delay_ns = 3600 * NS_PER_S;
    fault.after_ns = 3600 * NS_PER_S;
    rig_set_fault(&rig, &fault);
    rig_pair(&rig, &client, &server);
    assert_int_equal(send(client, "x", 1, 0), 1);
    rig_await(&rig, rig_has_bytes(server, 1));
    fault.after_ns = NS_PER_S; /* the connection is younger, but on a busy machine */
    rig_set_fault(&rig, &fault);
    rig_turn_for(&rig, NS_PER_S + 20 * NS_PER_MS);
    assert_int_equal(send(client, "x", 1, 0), 1);
    rig_turn_for(&rig, 20 * NS_PER_MS);
    assert_false(rig_has_bytes(server, 2));
    rig_close_ends(&rig, client, server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test_both(rate_zero_holds_and_goes_on),
        rig_test_both(a_shared_rate_is_shared),
        rig_test_both(a_slicer_makes_segments),
        rig_test_both(a_slicer_waits_between_pieces),
        rig_test_both(corrupt_flips_what_the_engine_says),
        rig_test_both(toxicity_is_decided_once),
        rig_test_both(windows_open_and_close),
        rig_test_both(a_fault_may_begin_later),
    };
    return cmocka_run_group_tests_name("proxy/stream shaping", tests, NULL, NULL);
}
