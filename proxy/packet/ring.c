/* Theory of operation
 *
 * The kernel writes frames into slots of a fixed size, in turn, and gives each to the reader by its
 * status word; the reader gives it back the same way (TPACKET_V2). A slot is
 *
 *     tpacket2_hdr, sockaddr_ll | room | virtio_net_hdr | Ethernet frame
 *
 * and RESERVE makes the room such that the IP header is at a multiple of 16, and that a VLAN tag,
 * which the kernel has taken out of the frame, can be put back by moving what is in front of it.
 *
 * Order. Of two frames that came one behind the other the kernel has completed the first before it
 * begins with the second, so whoever sees the second in one ring and then looks at the other ring
 * finds the first there. A frame is therefore taken only when the other ring has been looked at
 * after it was seen; of two that are there, the one with the earlier time goes first. (Frames that
 * two processors bring in at once have no order, here or in the kernel.) The time is the wall
 * clock: while someone sets that back, two frames may change places.
 *
 * The large ring's slots take any super-packet, so there are few of them; a block of them is a
 * power of two, for that is what the kernel allocates. Only a node that raises the size of its
 * device's super-packets above 64 KiB (gso_max_size) has longer ones: they are there in part, and
 * the reader is told so. */
#include "proxy/packet/ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "proxy/base/monotonic.h"

enum {
    RESERVE = 6,
    SMALL_SLOT_BYTES = 2048,
    LARGE_SLOT_BYTES = 65664,
    BLOCK_BYTES = 1 << 20, /* holds 512 small ones, 15 large ones */
    SEND_MAX = 64,         /* in one system call */
    VLAN_BYTES = 4,
    ADDRESS_BYTES = 2 * ETH_ALEN, /* what is in front of a VLAN tag */
    HEADER_BYTES = sizeof(struct virtio_net_hdr),
};

static uint32_t slot_bytes(enum packet_ring_kind kind)
{
    return kind == PACKET_RING_SMALL ? SMALL_SLOT_BYTES : LARGE_SLOT_BYTES;
}

static uint32_t slots_in_block(enum packet_ring_kind kind)
{
    return BLOCK_BYTES / slot_bytes(kind);
}

/* A third of the memory is for small frames; each ring has a block at least. */
static uint32_t block_count(enum packet_ring_kind kind, uint64_t ring_bytes)
{
    uint64_t blocks = (ring_bytes ? ring_bytes : PACKET_RING_BYTES) / BLOCK_BYTES;
    uint64_t small = blocks / 3, count = kind == PACKET_RING_SMALL ? small : blocks - small;
    return count == 0 ? 1 : count < 1024 ? (uint32_t)count : 1024;
}

struct ring {
    int fd;
    unsigned char *memory;
    size_t bytes;
    uint32_t slot_bytes, slots_in_block, slots;
    uint32_t taken, released; /* number of the next slot to take, and to release */
    _Atomic uint64_t lost;    /* that the kernel has told; it forgets what it has told */
};

struct packet_port {
    struct ring rings[PACKET_RINGS];
};

static int set_option(int fd, int level, int name, const void *value, socklen_t size)
{
    return setsockopt(fd, level, name, value, size) ? -errno : 0;
}

static int set_number(int fd, int name, int value)
{
    return set_option(fd, SOL_PACKET, name, &value, sizeof(value));
}

/* All of a frame up to PACKET_SMALL_BYTES, or all of one above. */
static int attach_filter(int fd, enum packet_ring_kind kind)
{
    uint32_t above = kind == PACKET_RING_SMALL ? 0 : UINT32_MAX;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, PACKET_SMALL_BYTES, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, above),
        BPF_STMT(BPF_RET | BPF_K, ~above),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    return set_option(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static int make_ring(int fd, enum packet_ring_kind kind, uint64_t ring_bytes)
{
    uint32_t blocks = block_count(kind, ring_bytes);
    struct tpacket_req request = {.tp_block_size = BLOCK_BYTES,
                                  .tp_block_nr = blocks,
                                  .tp_frame_size = slot_bytes(kind),
                                  .tp_frame_nr = blocks * slots_in_block(kind)};
    int result = set_number(fd, PACKET_VERSION, TPACKET_V2);
    if (result == 0)
        result = set_number(fd, PACKET_VNET_HDR, 1);
    if (result == 0)
        result = set_number(fd, PACKET_RESERVE, RESERVE);
    if (result == 0)
        result = set_number(fd, PACKET_IGNORE_OUTGOING, 1);
    if (result == 0)
        result = set_option(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request));
    return result;
}

/* The socket takes nothing before it is bound, and then only what is for it. */
static int open_socket(int device_index, enum packet_ring_kind kind, uint64_t ring_bytes)
{
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = device_index};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int result = attach_filter(fd, kind);
    if (result == 0)
        result = make_ring(fd, kind, ring_bytes);
    if (result == 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)))
        result = -errno;
    if (result == 0)
        return fd;
    close(fd);
    return result;
}

int packet_sockets_open(int device_index, uint64_t ring_bytes, int fds[PACKET_RINGS],
                        struct error *error)
{
    for (int kind = 0; kind < PACKET_RINGS; kind++) {
        fds[kind] = open_socket(device_index, (enum packet_ring_kind)kind, ring_bytes);
        if (fds[kind] >= 0)
            continue;
        int code = fds[kind];
        for (int i = 0; i < kind; i++)
            close(fds[i]);
        return error_set(error, code, "no packet socket on device %d: %s", device_index,
                         strerror(-code));
    }
    return 0;
}

static int ring_map(struct ring *ring, enum packet_ring_kind kind, int fd, uint64_t ring_bytes)
{
    uint32_t blocks = block_count(kind, ring_bytes);
    *ring = (struct ring){.fd = -1,
                          .bytes = (size_t)blocks * BLOCK_BYTES,
                          .slot_bytes = slot_bytes(kind),
                          .slots_in_block = slots_in_block(kind),
                          .slots = blocks * slots_in_block(kind)};
    void *memory = mmap(NULL, ring->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    ring->memory = memory;
    return 0;
}

int packet_port_create(const int fds[PACKET_RINGS], uint64_t ring_bytes, struct packet_port **out,
                       struct error *error)
{
    struct packet_port *port = calloc(1, sizeof(*port));
    if (!port)
        return error_set(error, -ENOMEM, "no memory for a port");
    for (int kind = 0; kind < PACKET_RINGS; kind++)
        port->rings[kind].fd = -1; /* the caller's while this may fail */
    for (int kind = 0; kind < PACKET_RINGS; kind++) {
        int code = ring_map(&port->rings[kind], (enum packet_ring_kind)kind, fds[kind], ring_bytes);
        if (code == 0)
            continue;
        packet_port_destroy(port);
        return error_set(error, code, "cannot map the ring of a port: %s", strerror(-code));
    }
    for (int kind = 0; kind < PACKET_RINGS; kind++)
        port->rings[kind].fd = fds[kind];
    *out = port;
    return 0;
}

void packet_port_destroy(struct packet_port *port)
{
    if (!port)
        return;
    for (int kind = 0; kind < PACKET_RINGS; kind++) {
        const struct ring *ring = &port->rings[kind];
        if (ring->memory)
            munmap(ring->memory, ring->bytes);
        if (ring->fd >= 0)
            close(ring->fd);
    }
    free(port);
}

int packet_port_fd(const struct packet_port *port, enum packet_ring_kind kind)
{
    return port->rings[kind].fd;
}

static struct tpacket2_hdr *slot_at(const struct ring *ring, uint32_t number)
{
    size_t block = number / ring->slots_in_block, slot = number % ring->slots_in_block;
    return (struct tpacket2_hdr *)(void *)(ring->memory + block * BLOCK_BYTES +
                                           slot * ring->slot_bytes);
}

static uint32_t next_slot(const struct ring *ring, uint32_t number)
{
    return number + 1 < ring->slots ? number + 1 : 0;
}

/* The frame that is next to take in this ring; NULL when the kernel has completed none. */
static struct tpacket2_hdr *ring_peek(const struct ring *ring)
{
    struct tpacket2_hdr *slot = slot_at(ring, ring->taken);
    uint32_t status = __atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE);
    return status & TP_STATUS_USER ? slot : NULL;
}

static uint64_t arrival_of(const struct tpacket2_hdr *slot)
{
    return slot->tp_sec * NS_PER_S + slot->tp_nsec;
}

/* Puts back the tag that the kernel has taken out, in front of what is in the frame. */
static void put_vlan_back(const struct tpacket2_hdr *slot, struct packet_frame *frame)
{
    bool has_type = slot->tp_status & TP_STATUS_VLAN_TPID_VALID;
    uint16_t tag[2] = {htons(has_type ? slot->tp_vlan_tpid : ETH_P_8021Q),
                       htons(slot->tp_vlan_tci)};
    unsigned char *moved = (unsigned char *)frame->header - VLAN_BYTES;
    memmove(moved, frame->header, HEADER_BYTES + ADDRESS_BYTES);
    frame->header = (struct virtio_net_hdr *)(void *)moved;
    frame->bytes -= VLAN_BYTES;
    frame->length += VLAN_BYTES;
    memcpy(frame->bytes + ADDRESS_BYTES, tag, VLAN_BYTES);
    if (frame->header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        frame->header->csum_start = (uint16_t)(frame->header->csum_start + VLAN_BYTES);
    if (frame->header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
        frame->header->hdr_len = (uint16_t)(frame->header->hdr_len + VLAN_BYTES);
}

bool packet_port_take(struct packet_port *port, struct packet_frame *frame)
{
    struct ring *rings = port->rings;
    struct tpacket2_hdr *small = ring_peek(&rings[PACKET_RING_SMALL]);
    struct tpacket2_hdr *large = ring_peek(&rings[PACKET_RING_LARGE]);
    if (large && !small)
        small = ring_peek(&rings[PACKET_RING_SMALL]);
    if (!small && !large)
        return false;
    bool is_small = !large || (small && arrival_of(small) <= arrival_of(large));
    struct tpacket2_hdr *slot = is_small ? small : large;
    struct ring *ring = &rings[is_small ? PACKET_RING_SMALL : PACKET_RING_LARGE];
    unsigned char *bytes = (unsigned char *)slot + slot->tp_mac;
    *frame = (struct packet_frame){.header = (void *)(bytes - HEADER_BYTES),
                                   .bytes = bytes,
                                   .length = slot->tp_snaplen,
                                   .is_partial = slot->tp_snaplen < slot->tp_len,
                                   .kind = is_small ? PACKET_RING_SMALL : PACKET_RING_LARGE,
                                   .arrived_ns = arrival_of(slot)};
    if (slot->tp_status & TP_STATUS_VLAN_VALID)
        put_vlan_back(slot, frame);
    ring->taken = next_slot(ring, ring->taken);
    return true;
}

void packet_port_release(struct packet_port *port, const struct packet_frame *frame)
{
    struct ring *ring = &port->rings[frame->kind];
    __atomic_store_n(&slot_at(ring, ring->released)->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    ring->released = next_slot(ring, ring->released);
}

uint64_t packet_port_lost(struct packet_port *port)
{
    uint64_t lost = 0;
    for (int kind = 0; kind < PACKET_RINGS; kind++) {
        struct ring *ring = &port->rings[kind];
        struct tpacket_stats told; /* since the last time */
        socklen_t size = sizeof(told);
        if (getsockopt(ring->fd, SOL_PACKET, PACKET_STATISTICS, &told, &size) == 0)
            atomic_fetch_add_explicit(&ring->lost, told.tp_drops, memory_order_relaxed);
        lost += atomic_load_explicit(&ring->lost, memory_order_relaxed);
    }
    return lost;
}

/* One system call. What it took, or -errno when not even the first. */
static int send_some(int fd, const struct packet_parts *parts, unsigned count)
{
    struct mmsghdr messages[SEND_MAX];
    struct iovec vectors[SEND_MAX][2];
    memset(messages, 0, count * sizeof(messages[0]));
    for (unsigned i = 0; i < count; i++) {
        vectors[i][0] = (struct iovec){(void *)(uintptr_t)parts[i].header,
                                       HEADER_BYTES + (size_t)parts[i].length};
        vectors[i][1] = (struct iovec){(void *)(uintptr_t)parts[i].rest, parts[i].rest_length};
        messages[i].msg_hdr.msg_iov = vectors[i];
        messages[i].msg_hdr.msg_iovlen = parts[i].rest ? 2 : 1;
    }
    int sent = sendmmsg(fd, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

/* What it could not send the kernel tells once more, with the next call: which is about another
 * packet. */
static void forget_error(int fd)
{
    int code;
    socklen_t size = sizeof(code);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size);
}

unsigned packet_port_send(const struct packet_port *port, const struct packet_parts *parts,
                          unsigned count)
{
    int fd = port->rings[PACKET_RING_SMALL].fd;
    unsigned sent = 0;
    while (sent < count) {
        unsigned some = count - sent < SEND_MAX ? count - sent : SEND_MAX;
        int taken = send_some(fd, parts + sent, some);
        if (taken == -EINTR)
            continue;
        sent += taken > 0 ? (unsigned)taken : 0;
        if (taken < (int)some) {
            if (taken > 0)
                forget_error(fd);
            break;
        }
    }
    return sent;
}
