/* Each fault of the packet column on a link, and changes of faults under traffic. */
#include <netinet/tcp.h>

#include "tests/unit/proxy/packet/traffic.h"

#include "proxy/base/answer_limit.h"

static const struct ruleset_fault lossy = {
    .name = "lossy", .type = RULESET_LOSS, .loss = {.probability_ppb = 50000000}};
static const struct ruleset_fault late = {.name = "late", .latency = {.delay_ns = 20 * NS_PER_MS}};

static struct ruleset_fault sure(const char *name, enum ruleset_fault_type type)
{
    struct ruleset_fault fault = {.type = type};
    snprintf(fault.name, sizeof(fault.name), "%s", name);
    if (type == RULESET_LOSS)
        fault.loss.probability_ppb = RULESET_PROBABILITY_MAX;
    else if (type == RULESET_CORRUPT)
        fault.corrupt.probability_ppb = RULESET_PROBABILITY_MAX;
    else if (type == RULESET_DUPLICATE)
        fault.duplicate.probability_ppb = RULESET_PROBABILITY_MAX;
    else if (type == RULESET_TRUNCATE)
        fault.truncate.probability_ppb = RULESET_PROBABILITY_MAX;
    else if (type == RULESET_REJECT)
        fault.reject.probability_ppb = RULESET_PROBABILITY_MAX;
    return fault;
}

/* Two nodes, a packet socket in each. */
struct raw {
    struct rig rig;
    int from, to;
};

static void raw_open(struct raw *raw, struct rig_options options)
{
    options.nodes = 2;
    options.quiet = true;
    rig_open(&raw->rig, options);
    raw->from = rig_open_raw(&raw->rig, 0);
    raw->to = rig_open_raw(&raw->rig, 1);
}

static void raw_close(struct raw *raw)
{
    close(raw->from);
    close(raw->to);
    rig_close(&raw->rig);
}

static void raw_send(struct raw *raw, uint32_t number, uint32_t bytes)
{
    rig_send_raw(&raw->rig, raw->from, 1, number, bytes);
}

static void latency_is_added(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        rig_open(&rig, (struct rig_options){.nodes = 2});
        ping(&rig, 0, 1, families[i]);
        rig_add_fault(&rig, 0, 1, late);
        uint64_t begin_ns = monotonic_now_ns();
        ping(&rig, 0, 1, families[i]);
        assert_true(monotonic_now_ns() - begin_ns >= late.latency.delay_ns);
        begin_ns = monotonic_now_ns();
        ping(&rig, 1, 0, families[i]);
        assert_true(monotonic_now_ns() - begin_ns >= late.latency.delay_ns);
        struct connection connection = connect_nodes(&rig, 0, 1, families[i]);
        uint64_t touched = rig_touched(&rig, "late"), units = rig_units(&rig, 0, 1);
        pump(&rig, &connection, 8 << 20, NULL);
        /* super-packets stay whole: what the fault sees is fewer than the packets */
        assert_true((rig_touched(&rig, "late") - touched) * 5 <
                    (rig_units(&rig, 0, 1) - units) * 4);
        disconnect(&connection);
        rig_close(&rig);
    }
}

/* What a packet has waited in the ring is part of its delay. */
static void a_late_worker_does_not_add_up(void **state)
{
    (void)state;
    struct raw raw;
    raw_open(&raw, (struct rig_options){0});
    struct ruleset_fault half = {.name = "half", .latency = {.delay_ns = NS_PER_S / 2}};
    rig_add_fault(&raw.rig, 0, 1, half);
    raw_send(&raw, 1, 100);
    uint64_t begin_ns = monotonic_now_ns();
    while (monotonic_sleep_until(begin_ns + NS_PER_S / 2))
        continue;
    unsigned begin = raw.rig.turns; /* far fewer than half a second takes */
    await(&raw.rig, rig_drain(raw.to) == 1);
    assert_true(raw.rig.turns - begin < 200);
    raw_close(&raw);
}

/* Single packets are lost, not super-packets, and TCP makes it good. */
static void loss_is_of_wire_packets(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        rig_open(&rig, (struct rig_options){.nodes = 2});
        rig_add_fault(&rig, 0, 1, lossy);
        struct connection connection = connect_nodes(&rig, 0, 1, families[i]);
        pump(&rig, &connection, 4 << 20, NULL);
        uint64_t lost = rig_dropped(&rig, 0, 1, FAULT_CAUSE_LOSS), passed = rig_units(&rig, 0, 1);
        assert_int_equal(rig_touched(&rig, "lossy"), lost);
        assert_true(lost + passed >= (4 << 20) / 1460);
        assert_in_range(lost * 1000 / (lost + passed), 30, 75); /* 5 %, six sigma of 2,900 */
        disconnect(&connection);
        rig_close(&rig);
    }
}

static void change_faults(struct rig *rig, unsigned step)
{
    static const char *const names[] = {"late", "lossy"};
    if (step > 0 && step < 8)
        rig_remove_fault(rig, names[(step - 1) % 2]);
    if (step < 7)
        rig_add_fault(rig, 0, 1, step % 2 ? lossy : late);
}

static void faults_change_under_a_stream(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, (struct rig_options){.nodes = 2});
    struct connection connection = connect_nodes(&rig, 0, 1, AF_INET);
    pump(&rig, &connection, 8 << 20, change_faults);
    assert_true(rig_dropped(&rig, 0, 1, FAULT_CAUSE_LOSS) > 0);
    disconnect(&connection);
    rig_close(&rig);
}

/* The plane has not had a turn from before the cut until after the heal. */
static void a_cut_that_nobody_has_looked_at_was_one(void **state)
{
    struct rig rig;
    struct ruleset_fault delay = {.name = "d", .type = RULESET_LATENCY};
    (void)state;
    delay.latency.delay_ns = 3600 * NS_PER_S;
    for (int delayed = 0; delayed < 2; delayed++) {
        rig_open(&rig, (struct rig_options){.nodes = 2, .quiet = true});
        int from = rig_open_raw(&rig, 0), to = rig_open_raw(&rig, 1);
        uint32_t number = 0;
        if (delayed)
            rig_add_fault(&rig, 0, 1, delay);
        rig_send_raw(&rig, from, 1, 1, 100);
        if (delayed)
            await(&rig, pool_used_bytes(rig.workers[0].pool) > 0);
        rig_cut(&rig, 0, 1);
        rig_send_raw(&rig, from, 1, 2, 100);
        rig_heal(&rig);
        rig_send_raw(&rig, from, 1, 3, 100);
        if (delayed)
            rig_remove_fault(&rig, "d"); /* lets go what is there */
        await(&rig, rig_take_number(to, &number));
        assert_int_equal(number, 3);
        assert_int_equal(rig_dropped(&rig, 0, 1, FAULT_CAUSE_CUT), 2);
        assert_int_equal(rig_units(&rig, 0, 1), 1);
        close(from);
        close(to);
        rig_close(&rig);
    }
}

static void what_is_on_its_way_is_cut(void **state)
{
    (void)state;
    enum { FRAMES = 50 };
    struct raw raw;
    struct ruleset_fault slow = {.name = "slow", .latency = {.delay_ns = 3600 * NS_PER_S}};
    raw_open(&raw, (struct rig_options){0});
    rig_add_fault(&raw.rig, 0, 1, slow);
    for (uint32_t i = 0; i < FRAMES; i++)
        raw_send(&raw, i, 100);
    await(&raw.rig, pool_used_bytes(raw.rig.workers[0].pool) > 0);
    rig_cut(&raw.rig, 0, 1);
    rig_remove_fault(&raw.rig, "slow"); /* lets them go */
    await(&raw.rig, rig_dropped(&raw.rig, 0, 1, FAULT_CAUSE_CUT) == FRAMES);
    assert_int_equal(rig_drain(raw.to), 0);
    assert_int_equal(rig_units(&raw.rig, 0, 1), 0);
    raw_close(&raw);
}

static void everything_is_counted_once(void **state)
{
    (void)state;
    enum { FRAMES = 2000, ROUND = 50 };
    struct raw raw;
    unsigned arrived = 0;
    raw_open(&raw, (struct rig_options){.pool_bytes = 1});
    rig_add_fault(&raw.rig, 0, 1, lossy);
    struct ruleset_fault twice = sure("twice", RULESET_DUPLICATE);
    twice.duplicate.probability_ppb /= 4;
    rig_add_fault(&raw.rig, 0, 1, twice);
    for (uint32_t i = 0; i < FRAMES; i++) {
        raw_send(&raw, i, 500);
        if (i == FRAMES / 2)
            rig_cut(&raw.rig, 0, 1);
        if (i == FRAMES / 2 + 20)
            rig_heal(&raw.rig);
        if (i % ROUND == 0) {
            rig_turn(&raw.rig);
            arrived += rig_drain(raw.to);
        }
    }
    struct rig *rig = &raw.rig;
    await(rig, rig_units(rig, 0, 1) + rig_dropped(rig, 0, 1, FAULT_CAUSE_LOSS) +
                       rig_dropped(rig, 0, 1, FAULT_CAUSE_CUT) +
                       rig_dropped(rig, 0, 1, FAULT_CAUSE_QUEUE) ==
                   FRAMES + rig_touched(rig, "twice"));
    assert_int_equal(arrived + rig_drain(raw.to), rig_units(rig, 0, 1));
    assert_int_equal(rig_bytes(rig, 0, 1), rig_units(rig, 0, 1) * 500);
    assert_int_equal(rig_dropped(rig, 0, 1, FAULT_CAUSE_LOSS), rig_touched(rig, "lossy"));
    assert_true(rig_dropped(rig, 0, 1, FAULT_CAUSE_CUT) > 0);
    raw_close(&raw);
}

/* A pool that is full drops, and is there for others again when it is empty. */
static void a_full_pool_drops_and_counts(void **state)
{
    (void)state;
    enum { FRAMES = 6000, ROUND = 100 };
    struct raw raw;
    struct ruleset_fault stuck = {.name = "stuck", .type = RULESET_RATE};
    stuck.rate.queue_bytes = RULESET_QUEUE_MAX;
    raw_open(&raw, (struct rig_options){.pool_bytes = 1, .ring_bytes = 3 << 20});
    rig_add_fault(&raw.rig, 0, 1, stuck);
    for (uint32_t i = 0; i < FRAMES; i++) {
        raw_send(&raw, i, 1400);
        for (int turns = 0; i % ROUND == 0 && turns < 4; turns++) /* not to lose any in the ring */
            rig_turn(&raw.rig);
    }
    struct rig *rig = &raw.rig;
    await(rig, rig_dropped(rig, 0, 1, FAULT_CAUSE_QUEUE) > FRAMES / 10);
    rig_turn_for(rig, 10 * NS_PER_MS);
    assert_int_equal(rig_units(rig, 0, 1), 0);
    rig_remove_fault(rig, "stuck");
    await(rig, rig_units(rig, 0, 1) + rig_dropped(rig, 0, 1, FAULT_CAUSE_QUEUE) == FRAMES);
    assert_int_equal(pool_used_bytes(rig->workers[0].pool), 0);
    rig_drain(raw.to);
    raw_send(&raw, FRAMES, 100);
    await(rig, rig_drain(raw.to) == 1);
    raw_close(&raw);
}

static void ports_go_while_they_hold_packets(void **state)
{
    (void)state;
    enum { FRAMES = 40 };
    for (unsigned gone = 0; gone < 2; gone++) {
        struct raw raw;
        raw_open(&raw, (struct rig_options){0});
        struct rig *rig = &raw.rig;
        rig_add_fault(
            rig, 0, 1,
            (struct ruleset_fault){.name = "slow", .latency = {.delay_ns = 3600 * NS_PER_S}});
        for (uint32_t i = 0; i < FRAMES; i++)
            raw_send(&raw, i, 100);
        await(rig, pool_used_bytes(rig->workers[0].pool) > 0);
        rig_remove_port(rig, gone);
        assert_int_equal(rig_dropped(rig, 0, 1, FAULT_CAUSE_QUEUE), FRAMES);
        assert_int_equal(pool_used_bytes(rig->workers[0].pool), 0);
        rig_remove_fault(rig, "slow");
        rig_add_port(rig, gone);
        rig_apply(rig);
        raw_send(&raw, FRAMES, 100);
        await(rig, rig_drain(raw.to) == 1);
        raw_close(&raw);
    }
}

/* The same slot with another device, in one step. */
static void another_device_begins_anew(void **state)
{
    (void)state;
    struct raw raw;
    raw_open(&raw, (struct rig_options){0});
    struct rig *rig = &raw.rig;
    rig_add_fault(rig, 0, 1,
                  (struct ruleset_fault){.name = "slow", .latency = {.delay_ns = 3600 * NS_PER_S}});
    raw_send(&raw, 1, 100);
    await(rig, pool_used_bytes(rig->workers[0].pool) > 0);
    struct packet_port *old = rig->ports[1];
    rig_add_port(rig, 1);
    rig_apply(rig);
    packet_port_destroy(old);
    assert_int_equal(pool_used_bytes(rig->workers[0].pool), 0);
    rig_remove_fault(rig, "slow");
    raw_send(&raw, 2, 100);
    uint32_t number;
    await(rig, rig_take_number(raw.to, &number));
    assert_int_equal(number, 2);
    raw_close(&raw);
}

static void corrupt_flips_one_bit(void **state)
{
    (void)state;
    struct raw raw;
    unsigned char packet[200], sent[RIG_HEADER + 200];
    raw_open(&raw, (struct rig_options){0});
    rig_add_fault(&raw.rig, 0, 1, sure("corrupt", RULESET_CORRUPT));
    for (uint32_t i = 0; i < 200; i++) {
        raw_send(&raw, i, 200);
        await(&raw.rig, rig_take_raw(raw.to, packet, sizeof(packet)) == 200);
        rig_make_frame(sent, packet, i, 200);
        int bits = 0;
        for (int k = 0; k < 200; k++)
            bits += __builtin_popcount(packet[k] ^ sent[RIG_HEADER + k]);
        assert_int_equal(bits, 1);
    }
    raw_close(&raw);
}

/* The checksum was left to the device: still the receiver sees that something is wrong. */
static void what_is_corrupted_is_not_believed(void **state)
{
    (void)state;
    enum { DATAGRAMS = 50 };
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        char buffer[1000] = {0};
        rig_open(&rig, (struct rig_options){.nodes = 2});
        int client = udp_of(&rig, 0, families[i], 5000),
            server = udp_of(&rig, 1, families[i], 6000);
        struct ruleset_fault corrupt = sure("corrupt", RULESET_CORRUPT);
        snprintf(corrupt.match, sizeof(corrupt.match), "udp");
        rig_add_fault(&rig, 0, 1, corrupt);
        for (int k = 0; k < DATAGRAMS; k++)
            udp_send(client, 1, families[i], 6000, buffer, sizeof(buffer));
        await(&rig, rig_touched(&rig, "corrupt") == DATAGRAMS);
        unsigned received = 0; /* with a bit of the hop limit or the like, some are */
        while (recv(server, buffer, sizeof(buffer), 0) == sizeof(buffer)) {
            for (size_t k = 0; k < sizeof(buffer); k++)
                assert_int_equal(buffer[k], 0);
            received++;
        }
        assert_true(received < DATAGRAMS / 4);
        rig_remove_fault(&rig, "corrupt");
        udp_send(client, 1, families[i], 6000, "right", 5);
        await(&rig, recv(server, buffer, sizeof(buffer), 0) == 5);
        close(client);
        close(server);
        rig_close(&rig);
    }
}

/* Receives what comes until all datagrams are through the link; counts those with one bit changed
 * in their `bytes` zeros. */
static unsigned receive_changed(struct rig *rig, int server, ssize_t bytes, uint64_t until)
{
    char buffer[1000];
    unsigned changed = 0;
    await(rig, rig_units(rig, 0, 1) >= until);
    for (ssize_t got; (got = recv(server, buffer, sizeof(buffer), 0)) >= 0;) {
        int bits = 0;
        assert_int_equal(got, bytes);
        for (ssize_t k = 0; k < got; k++)
            bits += __builtin_popcount((unsigned char)buffer[k]);
        assert_true(bits <= 1);
        changed += bits == 1;
    }
    return changed;
}

/* With `repair` the application reads what the fault did: nearly all bits are its payload's. */
static void what_is_repaired_is_believed(void **state)
{
    (void)state;
    enum { DATAGRAMS = 50 };
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        char buffer[1000] = {0};
        rig_open(&rig, (struct rig_options){.nodes = 2});
        int client = udp_of(&rig, 0, families[i], 5000),
            server = udp_of(&rig, 1, families[i], 6000);
        struct ruleset_fault corrupt = sure("corrupt", RULESET_CORRUPT),
                             shorter = sure("shorter", RULESET_TRUNCATE);
        snprintf(corrupt.match, sizeof(corrupt.match), "udp");
        snprintf(shorter.match, sizeof(shorter.match), "udp");
        corrupt.corrupt.repair = shorter.truncate.repair = true;
        shorter.truncate.bytes = 500;
        rig_add_fault(&rig, 0, 1, corrupt);
        uint64_t passed = rig_units(&rig, 0, 1);
        for (int k = 0; k < DATAGRAMS; k++)
            udp_send(client, 1, families[i], 6000, buffer, sizeof(buffer));
        assert_true(receive_changed(&rig, server, 1000, passed + DATAGRAMS) > DATAGRAMS * 3 / 4);
        rig_remove_fault(&rig, "corrupt");
        rig_add_fault(&rig, 0, 1, shorter);
        udp_send(client, 1, families[i], 6000, buffer, sizeof(buffer));
        ssize_t wanted = 500 - 8 - (families[i] == AF_INET ? 20 : 40);
        await(&rig, recv(server, buffer, sizeof(buffer), MSG_PEEK) >= 0);
        assert_int_equal(receive_changed(&rig, server, wanted, 0), 0);
        close(client);
        close(server);
        rig_close(&rig);
    }
}

static void truncate_leaves_so_many_bytes(void **state)
{
    (void)state;
    struct raw raw;
    unsigned char packet[1000], sent[RIG_HEADER + 1000];
    raw_open(&raw, (struct rig_options){0});
    struct ruleset_fault shorter = sure("shorter", RULESET_TRUNCATE);
    shorter.truncate.bytes = 60;
    rig_add_fault(&raw.rig, 0, 1, shorter);
    raw_send(&raw, 1, 1000);
    await(&raw.rig, rig_take_raw(raw.to, packet, sizeof(packet)) == 60);
    rig_make_frame(sent, packet, 1, 1000);
    assert_memory_equal(packet, sent + RIG_HEADER, 60);
    assert_int_equal(rig_bytes(&raw.rig, 0, 1), 60);
    raw_send(&raw, 2, 59);
    await(&raw.rig, rig_take_raw(raw.to, packet, sizeof(packet)) == 59);
    assert_int_equal(rig_touched(&raw.rig, "shorter"), 1);
    raw_close(&raw);
}

/* Its checksum was left to the device, at a place that is not there any more. */
static void truncated_datagrams_do_not_hurt(void **state)
{
    (void)state;
    struct rig rig;
    char buffer[1000] = {0};
    rig_open(&rig, (struct rig_options){.nodes = 2, .quiet = true});
    int client = udp_of(&rig, 0, AF_INET, 5000), server = udp_of(&rig, 1, AF_INET, 6000);
    for (uint64_t bytes = 0; bytes < 40; bytes += 13) {
        struct ruleset_fault shorter = sure("shorter", RULESET_TRUNCATE);
        uint64_t passed = rig_units(&rig, 0, 1);
        shorter.truncate.bytes = bytes;
        snprintf(shorter.match, sizeof(shorter.match), "udp");
        rig_add_fault(&rig, 0, 1, shorter);
        udp_send(client, 1, AF_INET, 6000, buffer, sizeof(buffer));
        await(&rig, rig_units(&rig, 0, 1) > passed);
        rig_remove_fault(&rig, "shorter");
    }
    assert_int_equal(rig_dropped(&rig, 0, 1, FAULT_CAUSE_QUEUE), 0);
    assert_int_equal(recv(server, buffer, sizeof(buffer), 0), -1);
    close(client);
    close(server);
    rig_close(&rig);
}

static void a_flap_drops_while_it_is_down(void **state)
{
    (void)state;
    struct raw raw;
    struct ruleset_fault flap = {.name = "flap", .type = RULESET_FLAP};
    flap.flap.up_ns = flap.flap.down_ns = 30 * NS_PER_MS;
    raw_open(&raw, (struct rig_options){0});
    struct rig *rig = &raw.rig;
    rig_add_fault(rig, 0, 1, flap);
    uint64_t end_ns = monotonic_now_ns() + 300 * NS_PER_MS, dropped = 0;
    uint32_t sent = 0, turns = 0, arrived = 0;
    for (bool was_up = true; monotonic_now_ns() < end_ns || turns < 4;) {
        raw_send(&raw, sent++, 100);
        await(rig, rig_units(rig, 0, 1) + rig_dropped(rig, 0, 1, FAULT_CAUSE_CUT) == sent);
        bool up = rig_dropped(rig, 0, 1, FAULT_CAUSE_CUT) == dropped;
        dropped += !up;
        turns += up != was_up;
        was_up = up;
        arrived += rig_drain(raw.to);
    }
    assert_int_equal(rig_touched(rig, "flap"), dropped);
    assert_int_equal(arrived + rig_drain(raw.to), sent - dropped);
    raw_close(&raw);
}

static void duplicates_follow(void **state)
{
    (void)state;
    enum { FRAMES = 20 };
    struct raw raw;
    uint32_t number;
    raw_open(&raw, (struct rig_options){0});
    rig_add_fault(&raw.rig, 0, 1, sure("twice", RULESET_DUPLICATE));
    for (uint32_t i = 0; i < FRAMES; i++)
        raw_send(&raw, i, 100);
    for (uint32_t i = 0; i < 2 * FRAMES; i++) {
        await(&raw.rig, rig_take_number(raw.to, &number));
        assert_int_equal(number, i / 2);
    }
    assert_int_equal(rig_units(&raw.rig, 0, 1), 2 * FRAMES);
    raw_close(&raw);
}

static void reorder_lets_others_pass(void **state)
{
    (void)state;
    enum { FRAMES = 200 };
    struct raw raw;
    unsigned late_count = 0;
    uint32_t highest = 0, number;
    raw_open(&raw, (struct rig_options){0});
    rig_add_fault(
        &raw.rig, 0, 1,
        (struct ruleset_fault){.name = "reorder",
                               .type = RULESET_REORDER,
                               .reorder = {.probability_ppb = RULESET_PROBABILITY_MAX / 10,
                                           .delay_ns = 3600 * NS_PER_S}});
    for (uint32_t i = 0; i < FRAMES; i++)
        raw_send(&raw, i, 100);
    await(&raw.rig, rig_units(&raw.rig, 0, 1) + rig_touched(&raw.rig, "reorder") == FRAMES);
    rig_remove_fault(&raw.rig, "reorder"); /* lets go those that it holds */
    for (uint32_t i = 0; i < FRAMES; i++) {
        await(&raw.rig, rig_take_number(raw.to, &number));
        late_count += number < highest;
        highest = number > highest ? number : highest;
    }
    assert_in_range(late_count, 5, FRAMES / 4);
    raw_close(&raw);
}

static void a_rate_is_kept(void **state)
{
    (void)state;
    enum { FRAMES = 100, BYTES = 1000, RATE = 1000000 };
    struct raw raw;
    unsigned arrived = 0;
    struct ruleset_fault slow = {.name = "slow", .type = RULESET_RATE};
    slow.rate.bytes_per_s = RATE;
    raw_open(&raw, (struct rig_options){0});
    rig_add_fault(&raw.rig, 0, 1, slow);
    uint64_t begin_ns = monotonic_now_ns();
    for (uint32_t i = 0; i < FRAMES; i++)
        raw_send(&raw, i, BYTES);
    await(&raw.rig, (arrived += rig_drain(raw.to)) == FRAMES);
    assert_in_range(monotonic_now_ns() - begin_ns, (uint64_t)FRAMES * BYTES * (NS_PER_S / RATE),
                    20 * NS_PER_S);
    raw_close(&raw);
}

static int error_of(int fd)
{
    int code = 0;
    socklen_t size = sizeof(code);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size), 0);
    return code;
}

static void reject_tells_the_sender(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        struct sockaddr_storage address;
        rig_open(&rig, (struct rig_options){.nodes = 2});
        struct connection before = connect_nodes(&rig, 0, 1, families[i]);
        rig_add_fault(&rig, 0, 1, sure("no", RULESET_REJECT));
        int udp = network_socket(&rig.network, 0, families[i], SOCK_DGRAM);
        int tcp = network_socket(&rig.network, 0, families[i], SOCK_STREAM);
        socklen_t length = network_address(1, families[i], 7000, &address);
        assert_int_equal(connect(tcp, (const struct sockaddr *)&address, length), -1);
        assert_int_equal(connect(udp, (const struct sockaddr *)&address, length), 0);
        assert_int_equal(send(udp, "x", 1, 0), 1);
        assert_int_equal(send(before.client, "x", 1, 0), 1);
        int code = 0;
        await(&rig, (code = error_of(tcp)) != 0);
        assert_int_equal(code, ECONNREFUSED);
        await(&rig, (code = error_of(udp)) != 0);
        assert_int_equal(code, ECONNREFUSED);
        await(&rig, (code = error_of(before.client)) != 0);
        assert_int_equal(code, ECONNRESET);
        assert_true(rig_dropped(&rig, 0, 1, FAULT_CAUSE_REJECT) >= 3);
        rig_cut(&rig, 1, 0); /* a cut hides a reject */
        assert_int_equal(send(udp, "x", 1, 0), 1);
        uint64_t rejected = rig_dropped(&rig, 0, 1, FAULT_CAUSE_REJECT);
        await(&rig, rig_dropped(&rig, 0, 1, FAULT_CAUSE_REJECT) > rejected);
        assert_int_equal(error_of(udp), 0);
        close(udp);
        close(tcp);
        disconnect(&before);
        rig_close(&rig);
    }
}

/* A TCP segment or a datagram from n1 to n2, which somebody else's kernel has made: n1's has no
 * socket of that, and learns nothing from its answer. */
static void make_stranger(unsigned char frame[RIG_HEADER + 40], const struct rig *rig,
                          uint8_t protocol)
{
    static const unsigned char from[4] = {10, 77, 0, 1}, to[4] = {10, 77, 0, 2};
    unsigned char *ip = frame + RIG_HEADER;
    memset(frame, 0, RIG_HEADER + 40);
    memcpy(frame, rig->network.macs[1], 6);
    memcpy(frame + 6, rig->network.macs[0], 6);
    frame[12] = 0x08; /* IPv4 */
    ip[0] = 0x45;
    ip[3] = 40;
    ip[8] = 64;
    ip[9] = protocol;
    memcpy(ip + 12, from, 4);
    memcpy(ip + 16, to, 4);
    ip[21] = ip[23] = 99; /* ports */
    if (protocol == IPPROTO_UDP)
        ip[25] = 20;
    else
        ip[32] = 5 << 4;
}

static uint64_t untold(struct rig *rig, enum fault_answer kind)
{
    return fault_counter_get(
        &fault_counters_link(rig->workers[0].counters, rig_slot(rig, 0), rig_slot(rig, 1))
             ->untold[kind]);
}

/* A flood is dropped, and but for a few that is all; one of datagrams leaves TCP its answers. */
static void a_flood_is_not_answered(void **state)
{
    (void)state;
    enum { FLOOD = 4000, AT_ONCE = 100 };
    static const uint8_t protocols[FAULT_ANSWERS] = {
        [FAULT_ANSWER_RESET] = IPPROTO_TCP, [FAULT_ANSWER_UNREACHABLE] = IPPROTO_UDP};
    struct raw raw;
    unsigned char frame[RIG_HEADER + 40];
    raw_open(&raw, (struct rig_options){0});
    rig_add_fault(&raw.rig, 0, 1, sure("no", RULESET_REJECT));
    for (int kind = FAULT_ANSWERS - 1; kind >= 0; kind--) {
        uint64_t before = rig_dropped(&raw.rig, 0, 1, FAULT_CAUSE_REJECT);
        uint64_t begin_ns = monotonic_now_ns();
        make_stranger(frame, &raw.rig, protocols[kind]);
        for (uint64_t sent = AT_ONCE; sent <= FLOOD; sent += AT_ONCE) {
            for (int i = 0; i < AT_ONCE; i++)
                assert_int_equal(send(raw.from, frame, sizeof(frame), 0), sizeof(frame));
            await(&raw.rig, rig_dropped(&raw.rig, 0, 1, FAULT_CAUSE_REJECT) - before == sent);
        }
        unsigned burst = kind == FAULT_ANSWER_RESET ? ANSWER_LIMIT_RESETS : ANSWER_LIMIT_BURST;
        uint64_t told_at_most =
            burst + 1 + (monotonic_now_ns() - begin_ns) / (NS_PER_S / ANSWER_LIMIT_PER_S);
        if (told_at_most < FLOOD)
            assert_in_range(untold(&raw.rig, (enum fault_answer)kind), FLOOD - told_at_most,
                            FLOOD - burst);
        assert_true(kind == 0 || untold(&raw.rig, FAULT_ANSWER_RESET) == 0);
    }
    raw_close(&raw);
}

static void a_match_means_some_packets(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        char buffer[100];
        rig_open(&rig, (struct rig_options){.nodes = 2});
        struct ruleset_fault some = sure("some", RULESET_LOSS);
        snprintf(some.match, sizeof(some.match), "udp dst port 6001");
        rig_add_fault(&rig, 0, 1, some);
        int client = udp_of(&rig, 0, families[i], 5000);
        int server = udp_of(&rig, 1, families[i], 6000), other = udp_of(&rig, 1, families[i], 6001);
        udp_send(client, 1, families[i], 6001, "lost", 4);
        udp_send(client, 1, families[i], 6000, "passes", 6);
        await(&rig, recv(server, buffer, sizeof(buffer), 0) == 6);
        assert_int_equal(rig_dropped(&rig, 0, 1, FAULT_CAUSE_LOSS), 1);
        assert_int_equal(recv(other, buffer, sizeof(buffer), 0), -1);
        struct connection connection = connect_nodes(&rig, 0, 1, families[i]);
        pump(&rig, &connection, 1 << 20, NULL);
        disconnect(&connection);
        close(client);
        close(server);
        close(other);
        rig_close(&rig);
    }
}

/* A match sees packets of wire size, and each of them. */
static void a_match_sees_wire_packets(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, (struct rig_options){.nodes = 2});
    struct connection connection = connect_nodes(&rig, 0, 1, AF_INET);
    struct ruleset_fault larger = sure("larger", RULESET_LOSS);
    snprintf(larger.match, sizeof(larger.match), "len > 1500");
    rig_add_fault(&rig, 0, 1, larger);
    pump(&rig, &connection, 4 << 20, NULL);
    assert_int_equal(rig_touched(&rig, "larger"), 0);
    disconnect(&connection);
    rig_close(&rig);
}

/* In place of proxy/capture's: nobody captures. */
void capture_note(struct capture_set *set, unsigned worker, const struct capture_packet *packet)
{
    fail_msg("%p %u %p", (const void *)set, worker, (const void *)packet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(latency_is_added),
        cmocka_unit_test(a_late_worker_does_not_add_up),
        cmocka_unit_test(loss_is_of_wire_packets),
        cmocka_unit_test(faults_change_under_a_stream),
        cmocka_unit_test(what_is_on_its_way_is_cut),
        cmocka_unit_test(a_cut_that_nobody_has_looked_at_was_one),
        cmocka_unit_test(everything_is_counted_once),
        cmocka_unit_test(a_full_pool_drops_and_counts),
        cmocka_unit_test(ports_go_while_they_hold_packets),
        cmocka_unit_test(another_device_begins_anew),
        cmocka_unit_test(corrupt_flips_one_bit),
        cmocka_unit_test(what_is_corrupted_is_not_believed),
        cmocka_unit_test(what_is_repaired_is_believed),
        cmocka_unit_test(truncate_leaves_so_many_bytes),
        cmocka_unit_test(truncated_datagrams_do_not_hurt),
        cmocka_unit_test(a_flap_drops_while_it_is_down),
        cmocka_unit_test(duplicates_follow),
        cmocka_unit_test(reorder_lets_others_pass),
        cmocka_unit_test(a_rate_is_kept),
        cmocka_unit_test(reject_tells_the_sender),
        cmocka_unit_test(a_flood_is_not_answered),
        cmocka_unit_test(a_match_means_some_packets),
        cmocka_unit_test(a_match_sees_wire_packets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
