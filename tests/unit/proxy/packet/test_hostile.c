/* What a node can send when it wants to do harm, with the privileges that it has in its own
 * namespace: it is counted once, nothing ends, and other links go on. */
#include "tests/unit/proxy/packet/packets.h"
#include "tests/unit/proxy/packet/rig.h"

#include <sys/mman.h>

#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <linux/rtnetlink.h>

/* --- frames that are not even an Ethernet header --- */

/* An AF_XDP socket of the node: the kernel sends its frames without looking at their length. */
struct express {
    int fd;
    unsigned char *memory, *ring;
    struct xdp_mmap_offsets offsets;
    uint32_t produced;
};

enum { XDP_FRAME = 4096, XDP_FRAMES = 16 };

static void set_xdp(int fd, int name, const void *value, socklen_t size)
{
    assert_int_equal(setsockopt(fd, SOL_XDP, name, value, size), 0);
}

/* False: the kernel has none. */
static bool express_open(struct express *express, struct rig *rig, unsigned node)
{
    const int count = XDP_FRAMES;
    socklen_t size = sizeof(express->offsets);
    *express = (struct express){0};
    network_enter(&rig->network, node);
    struct sockaddr_xdp address = {
        .sxdp_family = AF_XDP, .sxdp_flags = XDP_COPY, .sxdp_ifindex = if_nametoindex("eth0")};
    express->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    network_leave(&rig->network);
    if (express->fd < 0)
        return false;
    size_t bytes = XDP_FRAME * XDP_FRAMES;
    express->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    struct xdp_umem_reg memory = {
        .addr = (uintptr_t)express->memory, .len = bytes, .chunk_size = XDP_FRAME};
    set_xdp(express->fd, XDP_UMEM_REG, &memory, sizeof(memory));
    set_xdp(express->fd, XDP_UMEM_FILL_RING, &count, sizeof(count));
    set_xdp(express->fd, XDP_UMEM_COMPLETION_RING, &count, sizeof(count));
    set_xdp(express->fd, XDP_TX_RING, &count, sizeof(count));
    assert_int_equal(getsockopt(express->fd, SOL_XDP, XDP_MMAP_OFFSETS, &express->offsets, &size),
                     0);
    express->ring = mmap(NULL, express->offsets.tx.desc + XDP_FRAMES * sizeof(struct xdp_desc),
                         PROT_READ | PROT_WRITE, MAP_SHARED, express->fd, XDP_PGOFF_TX_RING);
    assert_ptr_not_equal(express->ring, MAP_FAILED);
    assert_int_equal(bind(express->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return true;
}

static void express_send(struct express *express, uint32_t length)
{
    struct xdp_desc *frames = (void *)(express->ring + express->offsets.tx.desc);
    uint32_t *producer = (void *)(express->ring + express->offsets.tx.producer);
    assert_true(express->produced < XDP_FRAMES);
    frames[express->produced] =
        (struct xdp_desc){.addr = (uint64_t)express->produced * XDP_FRAME, .len = length};
    __atomic_store_n(producer, ++express->produced, __ATOMIC_RELEASE);
    sendto(express->fd, NULL, 0, MSG_DONTWAIT, NULL, 0); /* or the device drops it */
}

static void express_close(struct express *express)
{
    munmap(express->ring, express->offsets.tx.desc + XDP_FRAMES * sizeof(struct xdp_desc));
    munmap(express->memory, XDP_FRAME * XDP_FRAMES);
    close(express->fd);
}

static void frames_without_an_ethernet_header_are_counted(void **state)
{
    struct rig rig;
    struct express express;
    (void)state;
    rig_open(&rig, (struct rig_options){.nodes = 2, .quiet = true});
    if (!express_open(&express, &rig, 0)) {
        rig_close(&rig);
        skip();
    }
    for (uint32_t length = 1; length < RIG_HEADER; length++)
        express_send(&express, length);
    rig_turn_for(&rig, 5 * NS_PER_MS);
    express_send(&express, RIG_HEADER); /* to nobody */
    await(&rig, rig_stray(&rig, 0, FAULT_CAUSE_DISCARD) >= 1);
    express_close(&express);
    rig_close(&rig);
}

/* --- super-packets that no kernel would make --- */

static int open_super(struct rig *rig, unsigned node, struct sockaddr_ll *device)
{
    int on = 1, fd = rig_open_raw(rig, node), buffer = 8 << 20;
    socklen_t size = sizeof(*device);
    *device = (struct sockaddr_ll){0}; /* its name is shorter */
    assert_int_equal(getsockname(fd, (struct sockaddr *)device, &size), 0);
    device->sll_protocol = htons(ETH_P_IP);
    assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    return fd;
}

static bool send_super(const struct rig *rig, int fd, const struct sockaddr_ll *device,
                       uint32_t bytes, uint16_t segment)
{
    static struct packet packet;
    static unsigned char message[sizeof(struct virtio_net_hdr) + 200000];
    packet_start(&packet);
    packet_ipv4(&packet, IPPROTO_TCP, 0);
    packet_tcp(&packet, TH_ACK, 0);
    struct virtio_net_hdr header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                    .gso_size = segment,
                                    .hdr_len = (uint16_t)packet.length,
                                    .csum_start = (uint16_t)packet.transport,
                                    .csum_offset = 16};
    packet_payload(&packet, bytes < 65000 ? bytes : 1000, 1);
    packet_lengths(&packet);
    memcpy(packet.bytes, rig->network.macs[1], 6);
    memset(message, 0, sizeof(message));
    memcpy(message, &header, sizeof(header));
    memcpy(message + sizeof(header), packet.bytes, packet.length);
    size_t length = sizeof(header) + (bytes < 65000 ? packet.length : bytes);
    return sendto(fd, message, length, 0, (const struct sockaddr *)device, sizeof(*device)) ==
           (ssize_t)length;
}

/* A super-packet of 60,000 segments of one byte each costs as much as 60,000 packets, and nobody
 * else's packets cross meanwhile: it is not cut, for a fault it is one packet. */
static void a_super_packet_of_many_segments_is_not_cut(void **state)
{
    struct rig rig;
    struct sockaddr_ll device;
    struct ruleset_fault loss = {.name = "l", .type = RULESET_LOSS};
    (void)state;
    loss.loss.probability_ppb = RULESET_PROBABILITY_MAX;
    rig_open(&rig, (struct rig_options){.nodes = 2, .quiet = true});
    rig_add_fault(&rig, 0, 1, loss);
    int fd = open_super(&rig, 0, &device);
    assert_true(send_super(&rig, fd, &device, 60000, 1));
    await(&rig, rig_dropped(&rig, 0, 1, FAULT_CAUSE_LOSS) > 0);
    assert_int_equal(rig_dropped(&rig, 0, 1, FAULT_CAUSE_LOSS), 1);
    assert_true(send_super(&rig, fd, &device, 60000, 48)); /* TCP's smallest segment */
    await(&rig, rig_dropped(&rig, 0, 1, FAULT_CAUSE_LOSS) > 1);
    assert_int_equal(rig_dropped(&rig, 0, 1, FAULT_CAUSE_LOSS), 1 + 1250);
    close(fd);
    rig_close(&rig);
}

/* As `ip link set eth0 gso_max_size`, and the same for IPv4. False: the kernel allows no more. */
static bool raise_super_size(struct rig *rig, unsigned node, uint32_t bytes)
{
    enum { GSO_IPV4_MAX_SIZE = 63 }; /* IFLA_, since Linux 6.3 */
    network_enter(&rig->network, node);
    struct nl_sock *netlink = network_netlink();
    struct ifinfomsg device = {.ifi_index = (int)if_nametoindex("eth0")};
    network_leave(&rig->network);
    struct nl_msg *message = nlmsg_alloc_simple(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK);
    assert_int_equal(nlmsg_append(message, &device, sizeof(device), NLMSG_ALIGNTO), 0);
    nla_put_u32(message, IFLA_GSO_MAX_SIZE, bytes);
    nla_put_u32(message, GSO_IPV4_MAX_SIZE, bytes);
    int result = nl_send_sync(netlink, message);
    nl_socket_free(netlink);
    return result == 0;
}

/* One that is longer than a slot of the ring is there in part: it does not cross as if whole. */
static void a_frame_longer_than_its_slot_is_lost_and_counted(void **state)
{
    struct rig rig;
    struct sockaddr_ll device;
    (void)state;
    rig_open(&rig, (struct rig_options){.nodes = 2, .quiet = true});
    int fd = open_super(&rig, 0, &device);
    if (!raise_super_size(&rig, 0, 200000) || !send_super(&rig, fd, &device, 100000, 1000)) {
        close(fd);
        rig_close(&rig);
        skip();
    }
    assert_true(send_super(&rig, fd, &device, 1000, 500));
    await(&rig, rig_units(&rig, 0, 1) >= 2);
    assert_int_equal(rig_units(&rig, 0, 1), 2);
    assert_int_equal(rig_stray(&rig, 0, FAULT_CAUSE_QUEUE), 1);
    close(fd);
    rig_close(&rig);
}

/* --- much of everything --- */

/* Held for an hour: at the bound of memory all the rest is dropped, and counted. */
static void a_flood_that_is_held_for_an_hour_is_bounded(void **state)
{
    enum { FRAMES = 4000, BYTES = 1400 };
    struct rig rig;
    struct ruleset_fault hour = {.name = "h", .type = RULESET_LATENCY};
    unsigned char frame[RIG_HEADER + BYTES];
    uint64_t sent = 0, most = 0;
    (void)state;
    hour.latency.delay_ns = 3600 * NS_PER_S;
    rig_open(&rig, (struct rig_options){.nodes = 3, .quiet = true, .pool_bytes = 4 << 20});
    int from = rig_open_raw(&rig, 0), other = rig_open_raw(&rig, 2);
    rig_add_fault(&rig, 0, 1, hour);
    rig_make_frame(frame, rig.network.macs[1], 1, BYTES);
    for (unsigned i = 0; i < FRAMES; i++) {
        sent += send(from, frame, sizeof(frame), 0) == (ssize_t)sizeof(frame);
        if (i % 64 == 0)
            rig_turn(&rig);
        uint64_t used = pool_used_bytes(rig.workers[0].pool);
        most = used > most ? used : most;
    }
    await(&rig, rig_dropped(&rig, 0, 1, FAULT_CAUSE_QUEUE) > 0);
    assert_true(most <= 1 << 20); /* a link's share, and some */
    rig_send_raw(&rig, from, 2, 9, 100);
    await(&rig, rig_units(&rig, 0, 2) == 1);
    assert_int_equal(rig_drain(other), 1);
    rig_remove_port(&rig, 1); /* now those are counted that were held, too */
    assert_int_equal(
        rig_dropped(&rig, 0, 1, FAULT_CAUSE_QUEUE) + rig_stray(&rig, 0, FAULT_CAUSE_QUEUE), sent);
    close(from);
    close(other);
    rig_close(&rig);
}

/* Whose address a packet claims as its source is nothing: the link is known by the port. */
static void a_packet_is_on_the_link_of_its_port(void **state)
{
    struct rig rig;
    unsigned char frame[RIG_HEADER + 100];
    (void)state;
    rig_open(&rig, (struct rig_options){.nodes = 3, .quiet = true});
    int from = rig_open_raw(&rig, 0), to = rig_open_raw(&rig, 1);
    rig_cut(&rig, 0, 1);
    rig_make_frame(frame, rig.network.macs[1], 1, 100);
    memcpy(frame + 6, rig.network.macs[2], 6);
    assert_int_equal(send(from, frame, sizeof(frame), 0), sizeof(frame));
    await(&rig, rig_dropped(&rig, 0, 1, FAULT_CAUSE_CUT) == 1);
    assert_int_equal(rig_units(&rig, 2, 1), 0);
    assert_int_equal(rig_drain(to), 0);
    close(from);
    close(to);
    rig_close(&rig);
}

/* What is in the ring of a node that goes is counted. */
static void what_a_leaving_node_has_sent_is_counted(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, (struct rig_options){.nodes = 2, .quiet = true});
    int from = rig_open_raw(&rig, 0);
    for (uint32_t i = 0; i < 10; i++)
        rig_send_raw(&rig, from, 1, i, i % 2 ? 100 : 1400);
    uint16_t slot = rig_slot(&rig, 0);
    rig_remove_port(&rig, 0);
    assert_int_equal(rig_dropped_at(&rig, slot, FAULT_NO_NODE, FAULT_CAUSE_QUEUE), 10);
    close(from);
    rig_close(&rig);
}

static struct {
    uint64_t parts, wholes; /* dropped */
} noted;

/* In place of proxy/capture's. */
void capture_note(struct capture_set *set, unsigned worker, const struct capture_packet *packet)
{
    assert_non_null(set);
    assert_int_equal(worker, 0);
    noted.parts += packet->fate == CAPTURE_DROPPED && packet->length < 200;
    noted.wholes += packet->fate == CAPTURE_DROPPED && packet->length >= 200;
}

/* Memory for some of a super-packet's segments: a capture shows the others as what they are. */
static void a_capture_sees_the_segments_that_found_no_room(void **state)
{
    enum { SEGMENTS = 1250 };
    struct rig rig;
    struct sockaddr_ll device;
    struct ruleset_fault hour = {.name = "h", .type = RULESET_LATENCY};
    (void)state;
    memset(&noted, 0, sizeof(noted));
    hour.latency.delay_ns = 3600 * NS_PER_S;
    hour.latency.reorder = true;
    rig_open(&rig, (struct rig_options){.nodes = 2, .quiet = true, .pool_bytes = 1 << 20});
    rig.captures = (struct capture_set *)&noted; /* never looked into */
    rig_add_fault(&rig, 0, 1, hour);
    int fd = open_super(&rig, 0, &device);
    for (int i = 0; i < 100 && !noted.wholes; i++) {
        assert_true(send_super(&rig, fd, &device, 60000, 60000 / SEGMENTS));
        rig_turn(&rig);
    }
    assert_true(noted.wholes > 0 && noted.parts > 0 && noted.parts < SEGMENTS);
    assert_int_equal(rig_dropped(&rig, 0, 1, FAULT_CAUSE_QUEUE),
                     noted.parts + noted.wholes * SEGMENTS);
    close(fd);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_without_an_ethernet_header_are_counted),
        cmocka_unit_test(a_super_packet_of_many_segments_is_not_cut),
        cmocka_unit_test(a_frame_longer_than_its_slot_is_lost_and_counted),
        cmocka_unit_test(a_flood_that_is_held_for_an_hour_is_bounded),
        cmocka_unit_test(a_packet_is_on_the_link_of_its_port),
        cmocka_unit_test(what_a_leaving_node_has_sent_is_counted),
        cmocka_unit_test(a_capture_sees_the_segments_that_found_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
