/* The frames of a port: what comes in, in which order and how long, and what goes out. */
#include "tests/unit/proxy/packet/network.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/seccomp.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/random.h"
#include "proxy/packet/ring.h"

enum { TEST_ETHERTYPE = 0x88b5 /* for local experiments */, TAG = 4 };

/* The least with which large frames have a ring when they may have no long queue: one of 15. */
enum { LEAST_BYTES = 1 << 20, LEAST_SMALL = 512, LEAST_LARGE = 15 };

struct rig {
    struct network network;
    struct packet_port *port;
    int node; /* packet socket of the node, for frames of TEST_ETHERTYPE */
};

static bool has_large_ring; /* what this group of tests is about */

static void assert_kind_of_port(const struct packet_port *port)
{
    int version = -1;
    socklen_t size = sizeof(version);
    assert_int_equal(getsockopt(packet_port_fd(port, PACKET_RING_LARGE), SOL_PACKET, PACKET_VERSION,
                                &version, &size),
                     0);
    assert_int_equal(version == TPACKET_V2, has_large_ring);
}

static void rig_open(struct rig *rig, uint32_t mtu, uint64_t ring_bytes)
{
    int fds[PACKET_RINGS];
    struct error error;
    network_open(&rig->network, 1, mtu);
    if (packet_sockets_open(rig->network.devices[0], ring_bytes, fds, &error) ||
        packet_port_create(fds, ring_bytes, &rig->port, &error))
        fail_msg("%s", error.message);
    assert_kind_of_port(rig->port);
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

/* The next ones of ours; what the node's kernel sends of its own is passed over. */
static unsigned take_ours(struct rig *rig, struct packet_frame *frames, unsigned room)
{
    unsigned taken, count = 0;
    packet_port_release(rig->port);
    while (count == 0 && (taken = packet_port_take(rig->port, frames, room)) > 0) {
        for (unsigned i = 0; i < taken; i++)
            if (is_ours(&frames[i]))
                frames[count++] = frames[i];
        if (count == 0)
            packet_port_release(rig->port);
    }
    return count;
}

static void take_all(struct rig *rig)
{
    struct packet_frame frames[64];
    while (take_ours(rig, frames, 64) > 0)
        ;
}

static void assert_frame(const struct packet_frame *frame, uint32_t length, uint32_t seed)
{
    assert_int_equal(frame->length, length);
    assert_ptr_equal((unsigned char *)frame->header + sizeof(*frame->header), frame->bytes);
    for (uint32_t i = ETH_HLEN; i < length; i++)
        if (frame->bytes[i] != pattern(seed, i))
            fail_msg("byte %u of %u is another", i, length);
}

enum { ORDERED = 10000, IN_FLIGHT = 50 /* which there is room for */ };

/* Of the i-th frame: any mixture. */
static uint32_t mixed(uint32_t i)
{
    static const uint32_t lengths[] = {
        60, 9000, PACKET_SMALL_BYTES, PACKET_SMALL_BYTES + 1, 65000, 100, 1000, 3000};
    struct random_stream random = {.key = i};
    return lengths[random_below(random_next(&random), 8)];
}

/* How many wait, and how many may be taken at once, is any mixture, too. */
static void frames_come_in_order_of_arrival(void **state)
{
    (void)state;
    static const unsigned rooms[] = {2, 3, 5, 20, 64};
    struct random_stream random = {.key = 7};
    struct rig rig;
    struct packet_frame frames[64];
    uint64_t before_ns = 0;
    rig_open(&rig, 65535, 0);
    for (uint32_t sent = 0, taken = 0; taken < ORDERED;) {
        uint32_t end = sent + (uint32_t)random_below(random_next(&random), IN_FLIGHT);
        if (sent == taken && end == sent)
            end++;
        for (; sent < end && sent < ORDERED && sent < taken + IN_FLIGHT; sent++)
            node_send(&rig, mixed(sent), sent);
        unsigned room = rooms[random_below(random_next(&random), 5)];
        unsigned count = take_ours(&rig, frames, room);
        assert_true(count > 0 && count <= room);
        for (unsigned i = 0; i < count; i++, taken++) {
            assert_frame(&frames[i], mixed(taken), taken);
            assert_int_equal(frames[i].kind, frames[i].length > PACKET_SMALL_BYTES);
            assert_true(frames[i].arrived_ns >= before_ns);
            before_ns = frames[i].arrived_ns;
        }
    }
    assert_int_equal(packet_port_lost(rig.port), 0);
    rig_close(&rig);
}

struct sender {
    struct rig rig;
    _Atomic uint32_t taken;
};

/* On one processor: frames that two bring in have no order. */
static void *send_frames(void *context)
{
    struct sender *sender = context;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    sched_setaffinity(0, sizeof(one), &one);
    for (uint32_t sent = 0; sent < ORDERED; sent++) {
        while (sent >= atomic_load(&sender->taken) + IN_FLIGHT)
            sched_yield();
        node_send(&sender->rig, mixed(sent), sent);
    }
    return NULL;
}

static void frames_come_in_order_while_others_arrive(void **state)
{
    (void)state;
    static struct sender sender; /* not on the stack: a failure leaves the thread */
    struct packet_frame frames[64];
    pthread_t thread;
    uint64_t deadline_ns = monotonic_now_ns() + 120 * NS_PER_S;
    atomic_store(&sender.taken, 0);
    rig_open(&sender.rig, 65535, 0);
    assert_int_equal(pthread_create(&thread, NULL, send_frames, &sender), 0);
    for (uint32_t taken = 0; taken < ORDERED; atomic_store(&sender.taken, taken)) {
        unsigned count = take_ours(&sender.rig, frames, 64);
        for (unsigned i = 0; i < count; i++, taken++)
            assert_frame(&frames[i], mixed(taken), taken);
        assert_true(monotonic_now_ns() < deadline_ns);
    }
    pthread_join(thread, NULL);
    assert_int_equal(packet_port_lost(sender.rig.port), 0);
    rig_close(&sender.rig);
}

/* Frames that are not released yet keep what they say, however many are there behind them. */
static void no_more_are_taken_than_there_are(void **state)
{
    (void)state;
    enum { SENT = LEAST_LARGE };
    struct rig rig;
    struct packet_frame frames[64];
    uint32_t taken = 0;
    rig_open(&rig, 9000, LEAST_BYTES);
    take_all(&rig);
    for (uint32_t i = 0; i < SENT; i++)
        node_send(&rig, 9000, i);
    for (unsigned count; (count = take_ours(&rig, frames, 64)) > 0; taken += count)
        for (uint32_t i = 0; i < count; i++)
            assert_frame(&frames[i], 9000, taken + i);
    assert_int_equal(taken, SENT);
    rig_close(&rig);
}

static void what_finds_no_room_is_counted(void **state)
{
    (void)state;
    enum { SENT = 600, LARGE_SENT = 200 };
    struct rig rig;
    struct packet_frame frames[64];
    uint32_t small = 0, large = 0;
    rig_open(&rig, 9000, LEAST_BYTES);
    take_all(&rig);
    for (uint32_t i = 0; i < SENT; i++)
        node_send(&rig, 100, i);
    for (uint32_t i = 0; i < LARGE_SENT; i++)
        node_send(&rig, 9000, i);
    for (unsigned count; (count = take_ours(&rig, frames, 64)) > 0;)
        for (unsigned i = 0; i < count; i++) {
            if (frames[i].kind == PACKET_RING_SMALL)
                assert_frame(&frames[i], 100, small++);
            else
                assert_frame(&frames[i], 9000, large++);
        }
    /* The kernel of the node may have sent something, too. */
    assert_in_range(small, LEAST_SMALL - 20, LEAST_SMALL);
    if (has_large_ring)
        assert_int_equal(large, LEAST_LARGE);
    else
        assert_in_range(large, LEAST_BYTES / 3 * 2 / 32768, LEAST_BYTES / 3 * 2 / 9000);
    uint64_t lost = packet_port_lost(rig.port);
    assert_in_range(lost, SENT - small + LARGE_SENT - large,
                    SENT - LEAST_SMALL + LARGE_SENT - large + 20);
    node_send(&rig, 100, 1);
    assert_int_equal(take_ours(&rig, frames, 64), 1);
    assert_int_equal(packet_port_lost(rig.port), lost); /* it is never reset */
    rig_close(&rig);
}

/* What a device left before it went is all there, in its order, though sockets have an error to
 * tell. */
static void frames_of_a_device_that_went_are_there(void **state)
{
    (void)state;
    static const uint32_t sent[] = {9000, 9000, 9000, 9000, 9000, 100};
    enum { SENT = sizeof(sent) / sizeof(sent[0]) };
    struct rig rig;
    struct packet_frame frames[64];
    uint32_t taken = 0;
    rig_open(&rig, 9000, 0);
    take_all(&rig);
    for (uint32_t i = 0; i < SENT; i++)
        node_send(&rig, sent[i], i);
    struct nl_sock *netlink = network_netlink();
    struct ifinfomsg device = {.ifi_index = rig.network.devices[0]};
    struct nl_msg *message = nlmsg_alloc_simple(RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK);
    assert_int_equal(nlmsg_append(message, &device, sizeof(device), NLMSG_ALIGNTO), 0);
    assert_int_equal(nl_send_sync(netlink, message), 0);
    nl_socket_free(netlink);
    for (unsigned count; (count = take_ours(&rig, frames, 64)) > 0; taken += count)
        for (uint32_t i = 0; i < count; i++)
            assert_frame(&frames[i], sent[taken + i], taken + i);
    assert_int_equal(taken, SENT);
    rig_close(&rig);
}

static void a_vlan_tag_is_in_its_place(void **state)
{
    (void)state;
    static unsigned char sent[9000];
    static const uint32_t lengths[] = {1000, 9000};
    struct rig rig;
    struct packet_frame frames[2];
    rig_open(&rig, 9000, 0);
    for (int kind = 0; kind < PACKET_RINGS; kind++) {
        make_frame(sent, lengths[kind], 5);
        memmove(sent + 12 + TAG, sent + 12, lengths[kind] - 12 - TAG);
        memcpy(sent + 12, (unsigned char[]){0x81, 0x00, 0x20, 0x07}, TAG); /* priority 1, VLAN 7 */
        assert_int_equal(send(rig.node, sent, lengths[kind], 0), lengths[kind]);
        const struct packet_frame *frame = NULL;
        while (!frame) {
            packet_port_release(rig.port);
            unsigned count = packet_port_take(rig.port, frames, 2);
            assert_true(count > 0);
            for (unsigned i = 0; i < count; i++)
                if (frames[i].bytes[12] == 0x81)
                    frame = &frames[i];
        }
        assert_int_equal(frame->kind, kind);
        assert_int_equal(frame->length, lengths[kind]);
        assert_memory_equal(frame->bytes, sent, lengths[kind]);
        assert_ptr_equal((unsigned char *)frame->header + sizeof(*frame->header), frame->bytes);
        packet_port_release(rig.port);
    }
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
    struct packet_frame frames[64];
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
    assert_int_equal(take_ours(&rig, frames, 64), 0);
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

static void a_frame_wakes_who_waits(void **state)
{
    (void)state;
    struct rig rig;
    struct packet_frame frames[2];
    rig_open(&rig, 9000, 0);
    for (int kind = 0; kind < PACKET_RINGS; kind++) {
        struct pollfd waiting = {packet_port_fd(rig.port, (enum packet_ring_kind)kind), POLLIN, 0};
        take_all(&rig);
        node_send(&rig, kind == PACKET_RING_SMALL ? 100 : 5000, 1);
        assert_int_equal(poll(&waiting, 1, 10000), 1);
        assert_int_equal(take_ours(&rig, frames, 2), 1);
        assert_int_equal(frames[0].kind, kind);
    }
    rig_close(&rig);
}

/* As where a user may not have so long a queue for the large frames: asking for one changes
 * nothing, so they have a ring. */
static int refuse_long_queues(void **state)
{
    (void)state;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setsockopt, 0, 7),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOL_SOCKET, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SO_RCVBUF, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SO_RCVBUFFORCE, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    has_large_ring = true;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_in_order_of_arrival),
        cmocka_unit_test(frames_come_in_order_while_others_arrive),
        cmocka_unit_test(no_more_are_taken_than_there_are),
        cmocka_unit_test(what_finds_no_room_is_counted),
        cmocka_unit_test(frames_of_a_device_that_went_are_there),
        cmocka_unit_test(a_vlan_tag_is_in_its_place),
        cmocka_unit_test(what_is_sent_arrives_and_is_not_seen_in_the_rings),
        cmocka_unit_test(what_cannot_be_sent_is_skipped),
        cmocka_unit_test(a_frame_wakes_who_waits),
    };
    int failed = cmocka_run_group_tests_name("a queue for large frames", tests, NULL, NULL);
    return failed +
           cmocka_run_group_tests_name("a ring for large frames", tests, refuse_long_queues, NULL);
}
