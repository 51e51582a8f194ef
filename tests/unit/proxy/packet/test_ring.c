/* The rings of a port: what comes in, in which order and how long, and what goes out. */
#include "tests/unit/proxy/packet/network.h"

#include <poll.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "proxy/packet/ring.h"

enum { TEST_ETHERTYPE = 0x88b5 /* for local experiments */, TAG = 4 };

struct rig {
    struct network network;
    struct packet_port *port;
    int node; /* packet socket of the node, for frames of TEST_ETHERTYPE */
};

static void rig_open(struct rig *rig, uint32_t mtu, uint64_t ring_bytes)
{
    int fds[PACKET_RINGS];
    struct error error;
    network_open(&rig->network, 1, mtu);
    if (packet_sockets_open(rig->network.devices[0], ring_bytes, fds, &error) ||
        packet_port_create(fds, ring_bytes, &rig->port, &error))
        fail_msg("%s", error.message);
    network_enter(&rig->network, 0);
    rig->node = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(TEST_ETHERTYPE));
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(TEST_ETHERTYPE),
                                  .sll_ifindex = (int)if_nametoindex("eth0")};
    network_leave(&rig->network);
    assert_int_equal(bind(rig->node, (const struct sockaddr *)&address, sizeof(address)), 0);
}

static void rig_close(struct rig *rig)
{
    close(rig->node);
    packet_port_destroy(rig->port);
    network_close(&rig->network);
}

static unsigned char pattern(uint32_t seed, uint32_t position)
{
    return (unsigned char)(seed * 31 + position * 7 + (position >> 8));
}

/* A frame of our type, `length` bytes in all. */
static void make_frame(unsigned char *bytes, uint32_t length, uint32_t seed)
{
    memset(bytes, 2, 2 * ETH_ALEN);
    bytes[12] = TEST_ETHERTYPE >> 8;
    bytes[13] = TEST_ETHERTYPE & 255;
    for (uint32_t i = ETH_HLEN; i < length; i++)
        bytes[i] = pattern(seed, i);
}

static void node_send(struct rig *rig, uint32_t length, uint32_t seed)
{
    static unsigned char bytes[65536];
    make_frame(bytes, length, seed);
    assert_int_equal(send(rig->node, bytes, length, 0), length);
}

static bool is_ours(const struct packet_frame *frame)
{
    return frame->bytes[12] == TEST_ETHERTYPE >> 8 && frame->bytes[13] == (TEST_ETHERTYPE & 255);
}

/* The next one of ours; what the node's kernel sends of its own is passed over. */
static bool take_ours(struct rig *rig, struct packet_frame *frame)
{
    while (packet_port_take(rig->port, frame)) {
        if (is_ours(frame))
            return true;
        packet_port_release(rig->port, frame);
    }
    return false;
}

static void assert_frame(const struct packet_frame *frame, uint32_t length, uint32_t seed)
{
    assert_int_equal(frame->length, length);
    assert_ptr_equal((unsigned char *)frame->header + sizeof(*frame->header), frame->bytes);
    for (uint32_t i = ETH_HLEN; i < length; i++)
        if (frame->bytes[i] != pattern(seed, i))
            fail_msg("byte %u of %u is another", i, length);
}

static void frames_come_in_order_of_arrival(void **state)
{
    (void)state;
    enum { FRAMES = 2000, ROUND = 20 };
    static const uint32_t lengths[] = {60, 9000, PACKET_SMALL_BYTES, PACKET_SMALL_BYTES + 1, 65000};
    struct rig rig;
    struct packet_frame frames[ROUND];
    uint64_t before_ns = 0;
    rig_open(&rig, 65535, 0);
    for (uint32_t done = 0; done < FRAMES; done += ROUND) {
        for (uint32_t i = done; i < done + ROUND; i++)
            node_send(&rig, lengths[i * i % 5], i);
        for (uint32_t i = done; i < done + ROUND; i++) {
            struct packet_frame *frame = &frames[i - done];
            assert_true(take_ours(&rig, frame));
            assert_frame(frame, lengths[i * i % 5], i);
            assert_int_equal(frame->kind, frame->length > PACKET_SMALL_BYTES);
            assert_true(frame->arrived_ns >= before_ns);
            before_ns = frame->arrived_ns;
        }
        for (unsigned i = 0; i < ROUND; i++)
            packet_port_release(rig.port, &frames[i]);
    }
    assert_int_equal(packet_port_lost(rig.port), 0);
    rig_close(&rig);
}

static void what_finds_no_room_is_counted(void **state)
{
    (void)state;
    enum { SENT = 600, ROOM = 512 };
    struct rig rig;
    struct packet_frame frame;
    uint32_t small = 0, large = 0;
    rig_open(&rig, 9000, 1); /* the smallest rings */
    while (packet_port_take(rig.port, &frame))
        packet_port_release(rig.port, &frame);
    for (uint32_t i = 0; i < SENT; i++)
        node_send(&rig, 100, i);
    for (uint32_t i = 0; i < 20; i++)
        node_send(&rig, 9000, i);
    for (; take_ours(&rig, &frame); packet_port_release(rig.port, &frame)) {
        if (frame.kind == PACKET_RING_SMALL)
            assert_frame(&frame, 100, small++);
        else
            assert_frame(&frame, 9000, large++);
    }
    assert_in_range(small, ROOM - 20, ROOM); /* the kernel of the node may have sent something */
    assert_int_equal(large, 15);
    assert_in_range(packet_port_lost(rig.port), SENT - small + 5, SENT - ROOM + 5 + 20);
    uint64_t lost = packet_port_lost(rig.port);
    node_send(&rig, 100, 1);
    assert_true(take_ours(&rig, &frame));
    packet_port_release(rig.port, &frame);
    assert_int_equal(packet_port_lost(rig.port), lost); /* it is never reset */
    rig_close(&rig);
}

static void a_vlan_tag_is_in_its_place(void **state)
{
    (void)state;
    unsigned char sent[1000] = {0};
    struct rig rig;
    struct packet_frame frame;
    rig_open(&rig, 1500, 0);
    make_frame(sent, sizeof(sent), 5);
    memmove(sent + 12 + TAG, sent + 12, sizeof(sent) - 12 - TAG);
    memcpy(sent + 12, (unsigned char[]){0x81, 0x00, 0x20, 0x07}, TAG); /* priority 1, VLAN 7 */
    assert_int_equal(send(rig.node, sent, sizeof(sent), 0), sizeof(sent));
    do {
        assert_true(packet_port_take(rig.port, &frame));
        packet_port_release(rig.port, &frame);
    } while (frame.bytes[12] != 0x81);
    assert_int_equal(frame.length, sizeof(sent));
    assert_memory_equal(frame.bytes, sent, sizeof(sent));
    assert_ptr_equal((unsigned char *)frame.header + sizeof(*frame.header), frame.bytes);
    rig_close(&rig);
}

static void what_is_sent_arrives_and_is_not_seen_in_the_rings(void **state)
{
    (void)state;
    enum { FRAMES = 150, LENGTH = 300 };
    static struct {
        struct virtio_net_hdr header;
        unsigned char bytes[LENGTH];
    } messages[FRAMES];
    struct packet_parts parts[FRAMES];
    struct rig rig;
    struct packet_frame frame;
    unsigned char received[LENGTH + 1];
    rig_open(&rig, 1500, 0);
    for (uint32_t i = 0; i < FRAMES; i++) {
        messages[i].header = (struct virtio_net_hdr){0};
        make_frame(messages[i].bytes, LENGTH, i);
        memset(messages[i].bytes, 0xff, ETH_ALEN);
        parts[i] = (struct packet_parts){.header = &messages[i].header, .length = LENGTH};
    }
    assert_int_equal(packet_port_send(rig.port, parts, FRAMES), FRAMES);
    for (uint32_t i = 0; i < FRAMES; i++) {
        assert_int_equal(recv(rig.node, received, sizeof(received), 0), LENGTH);
        assert_memory_equal(received, messages[i].bytes, LENGTH);
    }
    assert_false(take_ours(&rig, &frame));
    rig_close(&rig);
}

/* It is told once, about the one that it is about. */
static void what_cannot_be_sent_is_skipped(void **state)
{
    (void)state;
    static struct {
        struct virtio_net_hdr header;
        unsigned char bytes[4000];
    } messages[3];
    struct packet_parts parts[3];
    struct rig rig;
    unsigned char received[5000];
    rig_open(&rig, 1500, 0);
    for (uint32_t i = 0; i < 3; i++) {
        make_frame(messages[i].bytes, 4000, i);
        memset(messages[i].bytes, 0xff, ETH_ALEN);
        parts[i] =
            (struct packet_parts){.header = &messages[i].header, .length = i == 1 ? 4000 : 1000};
    }
    assert_int_equal(packet_port_send(rig.port, parts, 3), 1);
    assert_int_equal(packet_port_send(rig.port, parts + 1, 2), 0);
    assert_int_equal(packet_port_send(rig.port, parts + 2, 1), 1);
    assert_int_equal(recv(rig.node, received, sizeof(received), 0), 1000);
    assert_memory_equal(received, messages[0].bytes, 1000);
    assert_int_equal(recv(rig.node, received, sizeof(received), 0), 1000);
    assert_memory_equal(received, messages[2].bytes, 1000);
    rig_close(&rig);
}

static void a_ring_wakes_who_waits(void **state)
{
    (void)state;
    struct rig rig;
    struct packet_frame frame;
    rig_open(&rig, 9000, 0);
    for (int kind = 0; kind < PACKET_RINGS; kind++) {
        struct pollfd waiting = {packet_port_fd(rig.port, (enum packet_ring_kind)kind), POLLIN, 0};
        while (packet_port_take(rig.port, &frame))
            packet_port_release(rig.port, &frame);
        node_send(&rig, kind == PACKET_RING_SMALL ? 100 : 5000, 1);
        assert_int_equal(poll(&waiting, 1, 10000), 1);
        assert_true(take_ours(&rig, &frame));
        assert_int_equal(frame.kind, kind);
        packet_port_release(rig.port, &frame);
    }
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_in_order_of_arrival),
        cmocka_unit_test(what_finds_no_room_is_counted),
        cmocka_unit_test(a_vlan_tag_is_in_its_place),
        cmocka_unit_test(what_is_sent_arrives_and_is_not_seen_in_the_rings),
        cmocka_unit_test(what_cannot_be_sent_is_skipped),
        cmocka_unit_test(a_ring_wakes_who_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
