/* Random traffic, super-packets among it, under faults, cuts and ports that come and go: whatever
 * happens, each packet is counted once, and no memory is kept. */
#include "tests/unit/proxy/packet/packets.h"
#include "tests/unit/proxy/packet/rig.h"

#include "proxy/base/random.h"

enum { NODES = 4, ROUNDS = 600, SEGMENT = 1000, FAULTS_MAX = 6 };

struct storm {
    struct rig rig;
    struct random_stream random;
    int raw;                   /* of node 0, with virtio-net headers */
    struct sockaddr_ll device; /* its own */
    uint64_t sent;             /* packets of wire size, each copy of a broadcast */
    bool gone[NODES];
    bool small;      /* the pool: then nothing is duplicated, for who had no memory is not known */
    uint64_t copies; /* by faults that are gone */
    uint16_t copying[FAULTS_MAX];
    uint64_t copied_before[FAULTS_MAX]; /* touched, when its slot was another fault's */
    unsigned copying_count;
};

static uint64_t below(struct storm *storm, uint64_t bound)
{
    return random_next(&storm->random) % bound;
}

static void storm_open(struct storm *storm, uint64_t seed, bool small)
{
    int on = 1;
    memset(storm, 0, sizeof(*storm));
    storm->small = small;
    storm->random.key = seed;
    rig_open(&storm->rig, (struct rig_options){.nodes = NODES,
                                               .workers = 1 + (unsigned)(seed % 2),
                                               .pool_bytes = small ? 1 : 1 << 30,
                                               .quiet = true});
    storm->raw = rig_open_raw(&storm->rig, 0);
    socklen_t size = sizeof(storm->device);
    assert_int_equal(getsockname(storm->raw, (struct sockaddr *)&storm->device, &size), 0);
    storm->device.sll_protocol = htons(ETH_P_IP);
    assert_int_equal(setsockopt(storm->raw, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
}

/* A frame for the node (0: for all), of one packet or of several. */
static void send_one(struct storm *storm, unsigned to)
{
    static struct packet packet;
    static unsigned char message[sizeof(struct virtio_net_hdr) + sizeof(packet.bytes)];
    static const unsigned char all[6] = {255, 255, 255, 255, 255, 255};
    bool super = below(storm, 3) == 0;
    uint32_t payload = 1 + (uint32_t)below(storm, SEGMENT);
    if (super)
        payload += SEGMENT + (uint32_t)below(storm, 40 * SEGMENT);
    uint32_t segments = super ? (payload + SEGMENT - 1) / SEGMENT : 1;
    struct virtio_net_hdr header = {0};
    packet_start(&packet);
    packet_ipv4(&packet, IPPROTO_TCP, 0);
    packet_tcp(&packet, TH_ACK, 12);
    if (super)
        header = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                         .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                         .gso_size = SEGMENT,
                                         .hdr_len = (uint16_t)packet.length,
                                         .csum_start = (uint16_t)packet.transport,
                                         .csum_offset = 16};
    packet_payload(&packet, payload, 1);
    packet_lengths(&packet);
    memcpy(packet.bytes, to ? storm->rig.network.macs[to] : all, 6);
    memcpy(message, &header, sizeof(header));
    memcpy(message + sizeof(header), packet.bytes, packet.length);
    assert_int_equal(sendto(storm->raw, message, sizeof(header) + packet.length, 0,
                            (const struct sockaddr *)&storm->device, sizeof(storm->device)),
                     sizeof(header) + packet.length);
    unsigned copies = 1;
    if (!to) {
        copies = 0;
        for (unsigned i = 1; i < NODES; i++)
            copies += !storm->gone[i];
    }
    storm->sent += (uint64_t)segments * copies;
}

static struct ruleset_fault random_fault(struct storm *storm, unsigned node)
{
    static const enum ruleset_fault_type types[] = {
        RULESET_LATENCY,   RULESET_LOSS,    RULESET_RATE,     RULESET_CORRUPT,
        RULESET_DUPLICATE, RULESET_REORDER, RULESET_TRUNCATE, RULESET_REJECT};
    struct ruleset_fault fault = {.type = types[below(storm, sizeof(types) / sizeof(types[0]))]};
    if (storm->small && fault.type == RULESET_DUPLICATE)
        fault.type = RULESET_LOSS;
    uint32_t some_ppb = (uint32_t)below(storm, RULESET_PROBABILITY_MAX / 2);
    snprintf(fault.name, sizeof(fault.name), "f%u-%llu", node,
             (unsigned long long)storm->random.sequence);
    if (below(storm, 4) == 0)
        snprintf(fault.match, sizeof(fault.match), "len > %u", (unsigned)below(storm, 1100));
    switch (fault.type) {
    case RULESET_LATENCY:
        fault.latency.delay_ns = below(storm, 20 * NS_PER_MS);
        fault.latency.jitter_ns = below(storm, 5 * NS_PER_MS);
        fault.latency.reorder = below(storm, 2);
        break;
    case RULESET_LOSS:
        fault.loss.probability_ppb = some_ppb;
        break;
    case RULESET_RATE:
        fault.rate.bytes_per_s = below(storm, 50000000);
        break;
    case RULESET_CORRUPT:
        fault.corrupt.probability_ppb = some_ppb;
        break;
    case RULESET_DUPLICATE:
        fault.duplicate.probability_ppb = some_ppb;
        break;
    case RULESET_REORDER:
        fault.reorder.probability_ppb = some_ppb;
        fault.reorder.delay_ns = 1 + below(storm, 5 * NS_PER_MS);
        break;
    case RULESET_TRUNCATE:
        fault.truncate.probability_ppb = some_ppb;
        fault.truncate.bytes = below(storm, 1200);
        break;
    default:
        fault.reject.probability_ppb = some_ppb;
    }
    return fault;
}

static uint64_t touched_by(const struct storm *storm, uint16_t slot)
{
    uint64_t touched = 0;
    for (unsigned i = 0; i < storm->rig.worker_count; i++)
        touched += fault_counter_get(&storm->rig.workers[i].counters->touched[slot]);
    return touched;
}

static void add_fault(struct storm *storm)
{
    struct rig *rig = &storm->rig;
    unsigned node = 1 + (unsigned)below(storm, NODES - 1), i = storm->copying_count;
    struct ruleset_fault fault = random_fault(storm, node);
    rig_add_fault(rig, 0, node, fault);
    if (fault.type != RULESET_DUPLICATE)
        return;
    storm->copying[i] = fault_plan_fault_slot(rig->plan, fault.name, NULL);
    storm->copied_before[i] = touched_by(storm, storm->copying[i]);
    storm->copying_count++;
}

static void remove_faults(struct storm *storm)
{
    struct ruleset *ruleset = &storm->rig.ruleset;
    while (ruleset->fault_count > 0) {
        char name[RULESET_FAULT_NAME_MAX];
        memcpy(name, ruleset->faults[0].name, sizeof(name));
        assert_true(ruleset_remove_fault(ruleset, name));
    }
    rig_apply(&storm->rig);
    for (unsigned i = 0; i < storm->copying_count; i++)
        storm->copies += touched_by(storm, storm->copying[i]) - storm->copied_before[i];
    storm->copying_count = 0;
}

static void change_cuts(struct storm *storm)
{
    struct rig *rig = &storm->rig;
    if (rig->ruleset.partition_count > 0)
        rig_heal(rig);
    else
        rig_cut(rig, 0, 1 + (unsigned)below(storm, NODES - 1));
}

/* Everything that was sent to it has left the ring by then, so that one knows what is counted. */
static void change_ports(struct storm *storm)
{
    struct rig *rig = &storm->rig;
    unsigned node = 1 + (unsigned)below(storm, NODES - 1);
    for (int i = 0; i < 50; i++)
        rig_turn(rig);
    if (storm->gone[node]) {
        rig_add_port(rig, node);
        rig_apply(rig);
    } else {
        rig_remove_port(rig, node);
    }
    storm->gone[node] = !storm->gone[node];
}

static void change(struct storm *storm)
{
    switch (below(storm, 12)) {
    case 0:
        change_ports(storm);
        break;
    case 1:
    case 2:
        change_cuts(storm);
        break;
    case 3:
    case 4:
        remove_faults(storm);
        break;
    default:
        if (storm->rig.ruleset.fault_count < FAULTS_MAX)
            add_fault(storm);
    }
}

static uint64_t counted(struct storm *storm)
{
    struct rig *rig = &storm->rig;
    uint64_t count = rig_stray(rig, 0, FAULT_CAUSE_DISCARD) + rig_stray(rig, 0, FAULT_CAUSE_QUEUE);
    for (unsigned to = 1; to < NODES; to++) {
        count += rig_units(rig, 0, to);
        for (int cause = 0; cause < FAULT_CAUSES; cause++)
            count += rig_dropped(rig, 0, to, (enum fault_cause)cause);
    }
    return count;
}

static uint64_t used(const struct storm *storm)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < storm->rig.worker_count; i++)
        bytes += pool_used_bytes(storm->rig.workers[i].pool);
    return bytes;
}

static void run(uint64_t seed, bool small)
{
    struct storm storm;
    print_message("seed %llu\n", (unsigned long long)seed);
    storm_open(&storm, seed, small);
    for (int round = 0; round < ROUNDS; round++) {
        for (uint64_t i = below(&storm, 4); i > 0; i--)
            send_one(&storm, (unsigned)below(&storm, NODES));
        if (below(&storm, 8) == 0)
            change(&storm);
        for (uint64_t i = below(&storm, 4); i > 0; i--)
            rig_turn(&storm.rig);
    }
    await(&storm.rig, counted(&storm) > 0);
    remove_faults(&storm);
    await(&storm.rig, used(&storm) == 0 && counted(&storm) >= storm.sent + storm.copies);
    rig_turn_for(&storm.rig, 5 * NS_PER_MS);
    assert_int_equal(counted(&storm), storm.sent + storm.copies);
    assert_int_equal(rig_stray(&storm.rig, 0, FAULT_CAUSE_QUEUE), 0);
    close(storm.raw);
    rig_close(&storm.rig);
}

static void each_packet_is_counted_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++)
        run(seed, false);
}

static void so_it_is_without_memory(void **state)
{
    (void)state;
    for (uint64_t seed = 11; seed <= 14; seed++)
        run(seed, true);
}

/* In place of proxy/capture's: nobody captures. */
void capture_note(struct capture_set *set, unsigned worker, const struct capture_packet *packet)
{
    fail_msg("%p %u %p", (const void *)set, worker, (const void *)packet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_packet_is_counted_once),
        cmocka_unit_test(so_it_is_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
