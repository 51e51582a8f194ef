/* The kernel as the judge: packets that its own TCP and UDP made, and what it makes of the same
 * ones. Nodes 1 and 2 talk through this test, which is the switch between them; node 3's outer
 * device has its offloads off, so that the kernel cuts a super-packet that is sent there, and sums
 * it, on its way to the socket that reads in node 3.
 *
 *     node 1 [eth0] -- v1 | test | v2 -- [eth0] node 2
 *                         |      | v3 -- [eth0] node 3, read by a packet socket */
#include "tests/unit/proxy/packet/network.h"
#include "tests/unit/proxy/packet/packets.h"
#include "tests/unit/proxy/packet/reader.h"

#include <poll.h>
#include <sys/ioctl.h>

#include <linux/ethtool.h>
#include <linux/sockios.h>

#include "proxy/base/internet_checksum.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/random.h"
#include "proxy/packet/answer.h"
#include "proxy/packet/checksum.h"
#include "proxy/packet/neighbour.h"
#include "proxy/packet/ring.h"
#include "proxy/packet/segment.h"

enum { NODES = 3, SEGMENTING = 2, PORT = 2379, CLOSED = 2380, PATIENCE_MS = 10000 };

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

/* A virtio-net header with its frame behind it, as they are sent. */
struct message {
    struct virtio_net_hdr header;
    unsigned char bytes[PACKET_BYTES_MAX];
    uint32_t length;
};

struct rig {
    struct network network;
    struct reader readers[NODES];
    int reader; /* in node 3 */
    bool reject;
    bool complete;                  /* the next segment's checksum is computed here */
    unsigned supers, most_segments; /* seen so far */
};

static void turn_off(const struct rig *rig, uint32_t command)
{
    struct ethtool_value value = {.cmd = command};
    struct ifreq request = {.ifr_name = "v3"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)rig;
    request.ifr_data = (void *)&value;
    assert_int_equal(ioctl(fd, SIOCETHTOOL, &request), 0);
    close(fd);
}

static int open_reader(const struct rig *rig)
{
    int room = 8 << 20;
    network_enter(&rig->network, SEGMENTING);
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    network_leave(&rig->network);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    return fd;
}

static void rig_open(struct rig *rig)
{
    *rig = (struct rig){0};
    network_open(&rig->network, NODES, 1500);
    for (unsigned i = 0; i < NODES; i++) {
        int fds[PACKET_RINGS];
        struct error error;
        if (packet_sockets_open(rig->network.devices[i], 0, fds, &error) ||
            packet_port_create(fds, 0, &rig->readers[i].port, &error))
            fail_msg("%s", error.message);
    }
    turn_off(rig, ETHTOOL_SGSO);
    turn_off(rig, ETHTOOL_STSO);
    turn_off(rig, ETHTOOL_STXCSUM);
    rig->reader = open_reader(rig);
    network_enter(&rig->network, 1); /* each error is told, however many */
    network_write_file("/proc/sys/net/ipv4/icmp_ratelimit", "0");
    network_write_file("/proc/sys/net/ipv6/icmp/ratelimit", "0");
    network_leave(&rig->network);
}

static void rig_close(struct rig *rig)
{
    close(rig->reader);
    for (unsigned i = 0; i < NODES; i++)
        packet_port_destroy(rig->readers[i].port);
    network_close(&rig->network);
}

static const unsigned char *look_up(const void *context, const unsigned char *address,
                                    uint32_t size)
{
    const struct rig *rig = context;
    for (unsigned i = 0; i < NODES; i++) {
        struct sockaddr_storage storage;
        network_address(i, size == 4 ? AF_INET : AF_INET6, 0, &storage);
        const void *known = size == 4 ? (void *)&((struct sockaddr_in *)&storage)->sin_addr
                                      : (void *)&((struct sockaddr_in6 *)&storage)->sin6_addr;
        if (memcmp(known, address, size) == 0)
            return rig->network.macs[i];
    }
    return NULL;
}

static void send_to(const struct rig *rig, unsigned node, const struct virtio_net_hdr *header,
                    uint32_t length)
{
    struct packet_parts parts = {.header = header, .length = length};
    assert_int_equal(packet_port_send(rig->readers[node].port, &parts, 1), 1);
}

/* The next frame in node 3 that is not of its own. Returns its length. */
static uint32_t read_wire(const struct rig *rig, const unsigned char *source, unsigned char *bytes,
                          size_t room)
{
    for (;;) {
        struct pollfd poll_fd = {.fd = rig->reader, .events = POLLIN};
        if (poll(&poll_fd, 1, PATIENCE_MS) != 1)
            fail_msg("the kernel sent nothing more");
        ssize_t length = recv(rig->reader, bytes, room, 0);
        assert_true(length >= FRAME_HEADER);
        if (memcmp(frame_source(bytes), source, FRAME_MAC) == 0)
            return (uint32_t)length;
    }
}

/* A sum of zero has two forms, of which the kernel takes the one here and the other there; only to
 * UDP they are not the same. */
static void assert_same_packet(const unsigned char *wire, struct message *ours)
{
    struct frame frame;
    frame_parse(ours->bytes, ours->length, &frame);
    if (frame.protocol == IPPROTO_TCP && memcmp(wire + frame.transport + 16, "\0\0", 2) == 0) {
        assert_memory_equal(ours->bytes + frame.transport + 16, "\xff\xff", 2);
        memset(ours->bytes + frame.transport + 16, 0, 2);
    }
    assert_memory_equal(wire, ours->bytes, ours->length);
}

/* Cuts it here and in the kernel, byte for byte the same. Each segment goes to `take` as well. */
static void compare_segments(struct rig *rig, const struct virtio_net_hdr *header,
                             const unsigned char *bytes, uint32_t length,
                             void (*take)(struct rig *rig, struct message *segment))
{
    static struct message segment, whole;
    static unsigned char wire[PACKET_BYTES_MAX];
    struct segmenter segmenter;
    uint32_t count = segment_begin(&segmenter, header, bytes, length);
    assert_true(count > 1);
    rig->supers++;
    if (count > rig->most_segments)
        rig->most_segments = count;
    send_to(rig, SEGMENTING, header, length);
    while ((segment.length = segment_length(&segmenter)) > 0) {
        segment_next(&segmenter, &segment.header, segment.bytes);
        whole = segment;
        assert_true(checksum_complete(&whole.header, whole.bytes, whole.length));
        assert_int_equal(read_wire(rig, frame_source(bytes), wire, sizeof(wire)), whole.length);
        assert_same_packet(wire, &whole);
        rig->complete = !rig->complete;
        if (take)
            take(rig, rig->complete ? &whole : &segment);
    }
}

static void forward_segment(struct rig *rig, struct message *segment)
{
    unsigned node = memcmp(segment->bytes, rig->network.macs[0], FRAME_MAC) == 0 ? 0 : 1;
    send_to(rig, node, &segment->header, segment->length);
}

/* One frame from a node through the switch. */
static void forward(struct rig *rig, unsigned from, const struct packet_frame *frame)
{
    static struct message answer;
    struct frame parsed;
    answer.header = (struct virtio_net_hdr){0};
    answer.length = neighbour_answer(frame->bytes, frame->length, look_up, rig, answer.bytes);
    if (!answer.length && rig->reject) {
        frame_parse(frame->bytes, frame->length, &parsed);
        answer.length = answer_reject(frame->bytes, &parsed, answer.bytes);
    }
    if (answer.length)
        send_to(rig, from, &answer.header, answer.length);
    else if (rig->reject || frame_is_group(frame->bytes))
        return;
    else if (frame->header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
        compare_segments(rig, frame->header, frame->bytes, frame->length, forward_segment);
    else
        send_to(rig, !from, frame->header, frame->length);
}

/* Waits up to a millisecond for a frame: TCP has timers, and sockets become ready without one. */
static void wait_frame(const struct rig *rig)
{
    struct pollfd polled[2 * PACKET_RINGS];
    for (unsigned i = 0; i < 2 * PACKET_RINGS; i++)
        polled[i] = (struct pollfd){
            .fd = packet_port_fd(rig->readers[i / PACKET_RINGS].port, i % PACKET_RINGS),
            .events = POLLIN};
    poll(polled, 2 * PACKET_RINGS, 1);
}

static void pump(struct rig *rig)
{
    const struct packet_frame *frame;
    wait_frame(rig);
    for (unsigned node = 0; node < 2; node++)
        while ((frame = reader_next(&rig->readers[node])))
            forward(rig, node, frame);
}

/* Until the condition holds. */
#define pump_until(rig, condition)                                                                 \
    do {                                                                                           \
        uint64_t pump_deadline_ns = monotonic_now_ns() + PATIENCE_MS * NS_PER_MS;                  \
        while (!(condition)) {                                                                     \
            if (monotonic_now_ns() > pump_deadline_ns)                                             \
                fail_msg("waited in vain for: %s", #condition);                                    \
            pump(rig);                                                                             \
        }                                                                                          \
    } while (0)

static bool is_ready(int fd, short events)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};
    return poll(&poll_fd, 1, 0) == 1;
}

static int take_error(int fd)
{
    int code = 0;
    socklen_t size = sizeof(code);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size), 0);
    return code;
}

static int open_server(const struct rig *rig, int family, int type)
{
    struct sockaddr_storage address;
    socklen_t size = network_address(1, family, PORT, &address);
    int fd = network_socket(&rig->network, 1, family, type);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static int open_client(const struct rig *rig, int family, int type, uint16_t port)
{
    struct sockaddr_storage address;
    socklen_t size = network_address(1, family, port, &address);
    int fd = network_socket(&rig->network, 0, family, type);
    if (connect(fd, (struct sockaddr *)&address, size))
        assert_int_equal(errno, EINPROGRESS);
    return fd;
}

static const int families[] = {AF_INET, AF_INET6};

static void tcp_crosses_in_segments(void **state)
{
    (void)state;
    enum { BYTES = 3 << 20 };
    static unsigned char sent[BYTES], received[BYTES];
    struct rig rig;
    rig_open(&rig);
    for (size_t i = 0; i < BYTES; i++)
        sent[i] = (unsigned char)(i * 7 + (i >> 8) * 13 + (i >> 16));
    for (size_t i = 0; i < 2; i++) {
        size_t out = 0, in = 0;
        memset(received, 0, BYTES);
        int listener = open_server(&rig, families[i], SOCK_STREAM), server;
        int client = open_client(&rig, families[i], SOCK_STREAM, PORT);
        pump_until(&rig, (server = accept(listener, NULL, NULL)) >= 0);
        pump_until(&rig, is_ready(client, POLLOUT));
        while (in < BYTES) {
            ssize_t done = send(client, sent + out, BYTES - out, MSG_DONTWAIT | MSG_NOSIGNAL);
            out += done > 0 ? (size_t)done : 0;
            if (out == BYTES)
                shutdown(client, SHUT_WR);
            pump(&rig);
            done = recv(server, received + in, BYTES - in, MSG_DONTWAIT);
            in += done > 0 ? (size_t)done : 0;
        }
        assert_memory_equal(received, sent, BYTES);
        close(client);
        close(server);
        close(listener);
    }
    print_message("%u super-packets, up to %u segments\n", rig.supers, rig.most_segments);
    assert_true(rig.supers > 50 && rig.most_segments > 10);
    rig_close(&rig);
}

static void udp_crosses_in_segments(void **state)
{
    (void)state;
    enum { BYTES = 30500, SIZE = 1000 };
    static unsigned char sent[BYTES], received[2 * SIZE];
    struct rig rig;
    rig_open(&rig);
    for (size_t i = 0; i < BYTES; i++)
        sent[i] = (unsigned char)(i * 7 + (i >> 8) * 13);
    for (size_t i = 0; i < 2; i++) {
        int size = SIZE;
        int server = open_server(&rig, families[i], SOCK_DGRAM);
        int client = open_client(&rig, families[i], SOCK_DGRAM, PORT);
        assert_int_equal(setsockopt(client, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
        assert_int_equal(send(client, sent, BYTES, 0), BYTES);
        for (size_t in = 0; in < BYTES; in += SIZE) {
            size_t part = BYTES - in < SIZE ? BYTES - in : SIZE;
            pump_until(&rig, is_ready(server, POLLIN));
            assert_int_equal(recv(server, received, sizeof(received), 0), part);
            assert_memory_equal(received, sent + in, part);
        }
        close(client);
        close(server);
    }
    assert_int_equal(rig.supers, 2);
    assert_int_equal(rig.most_segments, 31);
    rig_close(&rig);
}

/* A super-packet that no kernel sends: any flags, options, an identification that overflows. */
static void make_super(struct random_stream *random, struct packet *packet,
                       struct virtio_net_hdr *header)
{
    bool udp = random_next(random) % 3 == 0, ipv4 = random_next(random) % 2;
    int protocol = udp ? IPPROTO_UDP : IPPROTO_TCP;
    uint16_t size = (uint16_t)(500 + random_next(random) % 900);
    packet_start(packet);
    if (ipv4) {
        packet_ipv4(packet, protocol, (unsigned)(random_next(random) % 3) * 4)->ip_off =
            htons(random_next(random) % 2 ? IP_DF : 0);
    } else if (random_next(random) % 4 == 0) {
        packet_ipv6(packet, IPPROTO_DSTOPTS);
        packet_extension(packet, protocol, 8);
    } else {
        packet_ipv6(packet, protocol);
    }
    if (udp)
        packet_udp(packet);
    else
        packet_tcp(packet, (unsigned)random_next(random) & 0xff,
                   (unsigned)(random_next(random) % 11) * 4);
    packet_payload(packet, size + 1 + (uint32_t)(random_next(random) % 20000), 3);
    packet_lengths(packet);
    *header = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                      .gso_size = size,
                                      .hdr_len = (uint16_t)(packet->transport + 20),
                                      .csum_start = (uint16_t)packet->transport,
                                      .csum_offset = udp ? 6 : 16};
    header->gso_type = udp    ? VIRTIO_NET_HDR_GSO_UDP_L4
                       : ipv4 ? VIRTIO_NET_HDR_GSO_TCPV4
                              : VIRTIO_NET_HDR_GSO_TCPV6;
    if (!udp && packet->bytes[packet->transport + 13] & 0x80)
        header->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
    struct frame frame;
    frame_parse(packet->bytes, packet->length, &frame);
    uint16_t sum = internet_checksum_fold(
        checksum_pseudo_header(packet->bytes, &frame, packet->length - packet->transport));
    memcpy(packet->bytes + packet->transport + header->csum_offset, &sum, 2);
}

static void any_super_packet_is_cut_as_the_kernel_does(void **state)
{
    (void)state;
    static struct packet packet;
    static struct message message;
    struct random_stream random = {.key = 9};
    struct rig rig;
    rig_open(&rig);
    for (int round = 0; round < 1000; round++) {
        make_super(&random, &packet, &message.header);
        memcpy(message.bytes, packet.bytes, packet.length);
        compare_segments(&rig, &message.header, message.bytes, packet.length, NULL);
    }
    rig_close(&rig);
}

/* The next frame from a node that `is_wanted`; all others go their way. */
static void take_from(struct rig *rig, unsigned node,
                      bool (*is_wanted)(const struct packet_frame *frame), struct message *message)
{
    uint64_t deadline_ns = monotonic_now_ns() + PATIENCE_MS * NS_PER_MS;
    const struct packet_frame *frame;
    while (!(frame = reader_next(&rig->readers[node])) || !is_wanted(frame)) {
        if (monotonic_now_ns() > deadline_ns)
            fail_msg("the frame does not come");
        if (frame)
            forward(rig, node, frame);
        else
            wait_frame(rig);
    }
    message->header = *frame->header;
    message->length = frame->length;
    memcpy(message->bytes, frame->bytes, frame->length);
}

static bool is_arp_or_discovery(const struct packet_frame *frame)
{
    const unsigned char *bytes = frame->bytes;
    if (bytes[12] == 8 && bytes[13] == 6)
        return true;
    return bytes[12] == 0x86 && bytes[13] == 0xdd && bytes[20] == IPPROTO_ICMPV6 &&
           (bytes[54] == ND_NEIGHBOR_SOLICIT || bytes[54] == ND_NEIGHBOR_ADVERT);
}

static bool is_arp(const struct packet_frame *frame, int operation)
{
    return frame->bytes[12] == 8 && frame->bytes[13] == 6 && frame->bytes[21] == operation;
}

/* About an address of ours: a node also asks whether the link-local one that it made is free. */
static bool is_discovery(const struct packet_frame *frame, int type)
{
    return !is_arp(frame, frame->bytes[21]) && is_arp_or_discovery(frame) &&
           frame->bytes[54] == type && frame->bytes[62] == 0xfd;
}

static bool is_arp_request(const struct packet_frame *frame)
{
    return is_arp(frame, 1);
}

static bool is_arp_reply(const struct packet_frame *frame)
{
    return is_arp(frame, 2);
}

static bool is_solicitation(const struct packet_frame *frame)
{
    return is_discovery(frame, ND_NEIGHBOR_SOLICIT);
}

static bool is_advertisement(const struct packet_frame *frame)
{
    return is_discovery(frame, ND_NEIGHBOR_ADVERT);
}

static void neighbours_are_told_what_the_kernel_tells(void **state)
{
    (void)state;
    static struct message question, reply;
    unsigned char answer[NEIGHBOUR_ANSWER_MAX];
    struct rig rig;
    rig_open(&rig);
    for (size_t i = 0; i < 2; i++) {
        int client = open_client(&rig, families[i], SOCK_DGRAM, PORT);
        assert_int_equal(send(client, "x", 1, 0), 1);
        take_from(&rig, 0, i ? is_solicitation : is_arp_request, &question);
        send_to(&rig, 1, &question.header, question.length);
        take_from(&rig, 1, i ? is_advertisement : is_arp_reply, &reply);
        assert_int_equal(neighbour_answer(question.bytes, question.length, look_up, &rig, answer),
                         reply.length);
        assert_memory_equal(answer, reply.bytes, reply.length);
        close(client);
    }
    rig_close(&rig);
}

static bool is_tcp_or_icmp(const struct packet_frame *frame)
{
    struct frame parsed;
    frame_parse(frame->bytes, frame->length, &parsed);
    return frame_is_ip(&parsed) && !is_arp_or_discovery(frame) && parsed.transport &&
           (parsed.protocol == IPPROTO_TCP || parsed.protocol == IPPROTO_ICMP ||
            (parsed.protocol == IPPROTO_ICMPV6 && frame->bytes[54] == ICMP6_DST_UNREACH));
}

/* Sends the packet to node 2, whose kernel must answer, and holds our answer against its own; how
 * far the packet may go, and how it is labelled, is each one's own affair. */
static void compare_answers(struct rig *rig, struct packet *packet)
{
    static struct message message, kernel;
    unsigned char answer[ANSWER_BYTES_MAX];
    struct frame frame, theirs;
    memcpy(packet->bytes, rig->network.macs[1], FRAME_MAC);
    memcpy(packet->bytes + FRAME_MAC, rig->network.macs[0], FRAME_MAC);
    packet_lengths(packet);
    frame_parse(packet->bytes, packet->length, &frame);
    checksum_repair(packet->bytes, &frame);
    memcpy(message.bytes, packet->bytes, packet->length);
    send_to(rig, 1, &message.header, packet->length);
    take_from(rig, 1, is_tcp_or_icmp, &kernel);
    assert_true(checksum_complete(&kernel.header, kernel.bytes, kernel.length));
    assert_int_equal(answer_reject(packet->bytes, &frame, answer), kernel.length);
    frame_parse(kernel.bytes, kernel.length, &theirs);
    assert_memory_equal(answer, kernel.bytes, FRAME_HEADER);
    assert_memory_equal(answer + theirs.transport, kernel.bytes + theirs.transport,
                        kernel.length - theirs.transport);
    frame_parse(answer, kernel.length, &frame);
    assert_int_equal(frame.protocol, theirs.protocol);
    assert_int_equal(frame.transport, theirs.transport);
    assert_int_equal(frame.network_end, theirs.network_end);
    uint32_t addresses = theirs.kind == FRAME_IPV4 ? 12 : 8;
    assert_memory_equal(answer + 14 + addresses, kernel.bytes + 14 + addresses,
                        theirs.transport - 14 - addresses);
    if (theirs.kind == FRAME_IPV4)
        assert_true(packet_ipv4_header_is_right(answer + 14));
}

static void start_ip(struct packet *packet, int family, int protocol)
{
    packet_start(packet);
    if (family == AF_INET)
        packet_ipv4(packet, protocol, 0);
    else
        packet_ipv6(packet, protocol);
}

static void resets_are_those_of_the_kernel(void **state)
{
    (void)state;
    static struct packet packet;
    struct rig rig;
    rig_open(&rig);
    for (size_t i = 0; i < 2; i++)
        for (unsigned flags = 0; flags < 256; flags++) {
            if (flags & TH_RST)
                continue;
            start_ip(&packet, families[i], IPPROTO_TCP);
            packet_tcp(&packet, flags, flags % 3 * 4)->th_dport = htons(CLOSED);
            packet_payload(&packet, flags % 2 ? flags : 0, flags);
            compare_answers(&rig, &packet);
        }
    rig_close(&rig);
}

static void unreachables_are_those_of_the_kernel(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 519, 520, 521, 1183, 1184, 1185, 1440};
    static struct packet packet;
    struct rig rig;
    rig_open(&rig);
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
            start_ip(&packet, families[i], IPPROTO_UDP);
            packet_udp(&packet)->uh_sum = 1; /* to be computed */
            packet_payload(&packet, sizes[j], 1);
            compare_answers(&rig, &packet);
        }
    rig_close(&rig);
}

static void programs_are_refused(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    for (size_t i = 0; i < 2; i++) {
        int listener = open_server(&rig, families[i], SOCK_STREAM), server;
        int client = open_client(&rig, families[i], SOCK_STREAM, PORT);
        pump_until(&rig, (server = accept(listener, NULL, NULL)) >= 0);
        pump_until(&rig, is_ready(client, POLLOUT));
        rig.reject = true;
        int refused = open_client(&rig, families[i], SOCK_STREAM, PORT);
        pump_until(&rig, is_ready(refused, POLLOUT));
        assert_int_equal(take_error(refused), ECONNREFUSED);
        assert_int_equal(send(client, "x", 1, MSG_NOSIGNAL), 1);
        pump_until(&rig, is_ready(client, POLLIN));
        assert_int_equal(take_error(client), ECONNRESET);
        int datagrams = open_client(&rig, families[i], SOCK_DGRAM, PORT);
        assert_int_equal(send(datagrams, "x", 1, 0), 1);
        pump_until(&rig, is_ready(datagrams, POLLERR));
        assert_int_equal(take_error(datagrams), ECONNREFUSED);
        rig.reject = false;
        close(datagrams);
        close(refused);
        close(client);
        close(server);
        close(listener);
    }
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_crosses_in_segments),
        cmocka_unit_test(udp_crosses_in_segments),
        cmocka_unit_test(any_super_packet_is_cut_as_the_kernel_does),
        cmocka_unit_test(neighbours_are_told_what_the_kernel_tells),
        cmocka_unit_test(resets_are_those_of_the_kernel),
        cmocka_unit_test(unreachables_are_those_of_the_kernel),
        cmocka_unit_test(programs_are_refused),
    };
    return cmocka_run_group_tests_name("proxy/packet/kernel", tests, NULL, NULL);
}
