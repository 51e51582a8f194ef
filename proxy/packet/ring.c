/* Theory of operation
 *
 * The small ring. The kernel writes frames into slots of a fixed size, in turn, and gives each to
 * the reader by its status word; the reader gives it back the same way (TPACKET_V2). A slot is
 *
 *     tpacket2_hdr, sockaddr_ll | room | virtio_net_hdr | Ethernet frame
 *
 * and RESERVE makes the room such that the IP header is at a multiple of 16, and that a VLAN tag,
 * which the kernel has taken out of the frame, can be put back by moving what is in front of it.
 *
 * The large frames are not written into a ring, if that can be avoided: slots of 64 KiB, one after
 * the other, are never in a processor's cache when their turn comes. They wait in the socket's
 * queue, not copied yet, and are received into buffers that were just used: so few at a time that
 * these fit a cache (WARM_BYTES, by the length that frames had the last time). A TCP stream through
 * two ports is faster by a third. The queue must take PACKET_QUEUE_BYTES, though, or it loses
 * packets that a ring would not; before Linux 6.18 only root may ask for as much where the
 * administrator (net.core.rmem_max) has not. Where it can't be had there is a ring for them, too.
 * Its slots take any super-packet, so there are few of them; a block of them is a power of two, for
 * that is what the kernel allocates. Only a node that raises the size of its device's super-packets
 * above 64 KiB (gso_max_size) has longer ones: they are there in part, and the reader is told so.
 *
 * Order. Of two frames that came one behind the other the kernel has completed the first before it
 * begins with the second, so whoever sees the second in one ring or queue and then looks at the
 * other finds the first there. A frame is therefore taken only when the other has been looked at
 * after it was seen; of two that are there, the one with the earlier time goes first. (Frames that
 * two processors bring in at once have no order, here or in the kernel.) The time is the wall
 * clock: while someone sets that back, two frames may change places. To look into the queue is a
 * system call, and takes frames out of it. So it is done once for all that are taken together: of
 * the small ones that have been there before, those go that are older than what it gave, and all if
 * it had no more. (For the queue the kernel stamps what comes in: on the whole host, some 25 ns a
 * packet.) */
#include "proxy/packet/ring.h"

#include <assert.h>
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
#include "proxy/io/socket.h"

enum {
    RESERVE = 6,
    SMALL_SLOT_BYTES = 2048,
    LARGE_SLOT_BYTES = 65664,
    BLOCK_BYTES = 1 << 20, /* holds 512 small ones, 15 large ones */
    SEND_MAX = 64,         /* in one system call */
    QUEUE_BYTES_MAX = 1 << 30,
    WARM_BYTES = 128 << 10,
    RECEIVE_MIN = 2, /* frames in one system call */
    RECEIVE_MAX = 32,
    RECEIVE_TRIES = 3,
    TAKE_BYTES = 1 << 20, /* of a ring's large frames, together */
    VLAN_BYTES = 4,
    ADDRESS_BYTES = 2 * ETH_ALEN, /* what is in front of a VLAN tag */
    HEADER_BYTES = sizeof(struct virtio_net_hdr),
    /* Of a buffer: in front of the header, and in all, such that not all begin in the same lines of
     * a cache. */
    ROOM = 16 - (HEADER_BYTES + ETH_HLEN) % 16,
    BUFFER_BYTES = 65536 + 1280,
};

static int queue_bytes(uint64_t ring_bytes)
{
    uint64_t bytes = ring_bytes ? ring_bytes / 3 * 2 : PACKET_QUEUE_BYTES;
    return bytes < BUFFER_BYTES      ? BUFFER_BYTES
           : bytes < QUEUE_BYTES_MAX ? (int)bytes
                                     : QUEUE_BYTES_MAX;
}

static bool is_queue(int fd, enum packet_ring_kind kind, uint64_t ring_bytes)
{
    return kind == PACKET_RING_LARGE && socket_receive_bytes(fd) >= queue_bytes(ring_bytes);
}

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
    uint32_t taken;        /* number of the next slot to take */
    uint32_t held;         /* how many before it are not released yet */
    _Atomic uint64_t lost; /* that the kernel has told; it forgets what it has told */
};

/* Frames received from the large socket, when it has no ring. */
struct queue {
    unsigned char *buffers; /* NULL: it has one */
    struct packet_frame frames[RECEIVE_MAX];
    unsigned received, taken;
    uint32_t usual_bytes; /* of a frame, the last time; 0: there was none yet */
};

struct packet_port {
    struct ring rings[PACKET_RINGS]; /* the large one has no memory when there is a queue */
    struct queue queue;
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

/* What a ring tells by itself. */
static int set_up_queue(int fd)
{
    int on = 1;
    int result = set_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
    return result ? result : set_number(fd, PACKET_AUXDATA, on);
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
        result = set_number(fd, PACKET_RESERVE, RESERVE);
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
        result = set_number(fd, PACKET_VNET_HDR, 1);
    if (result == 0)
        result = set_number(fd, PACKET_IGNORE_OUTGOING, 1);
    if (kind == PACKET_RING_LARGE)
        socket_set_receive_bytes(fd, (queue_bytes(ring_bytes) + 1) / 2);
    if (result == 0)
        result =
            is_queue(fd, kind, ring_bytes) ? set_up_queue(fd) : make_ring(fd, kind, ring_bytes);
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

static int map_memory(struct packet_port *port, enum packet_ring_kind kind, int fd,
                      uint64_t ring_bytes)
{
    if (!is_queue(fd, kind, ring_bytes))
        return ring_map(&port->rings[kind], kind, fd, ring_bytes);
    port->queue.buffers = malloc((size_t)RECEIVE_MAX * BUFFER_BYTES);
    return port->queue.buffers ? 0 : -ENOMEM;
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
        int code = map_memory(port, (enum packet_ring_kind)kind, fds[kind], ring_bytes);
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
    free(port->queue.buffers);
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

/* How many frames the kernel has completed behind those that are taken, at most `room`. */
static unsigned ring_count(const struct ring *ring, unsigned room)
{
    unsigned count = 0;
    while (count < room && ring->held + count < ring->slots) {
        const struct tpacket2_hdr *slot = slot_at(ring, (ring->taken + count) % ring->slots);
        if (!(__atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
            break;
        count++;
    }
    return count;
}

static bool ring_has_frame(const struct ring *ring)
{
    return ring_count(ring, 1) > 0;
}

static uint64_t arrival_of(const struct tpacket2_hdr *slot)
{
    return slot->tp_sec * NS_PER_S + slot->tp_nsec;
}

struct vlan {
    bool is_there, has_type;
    uint16_t type, tag;
};

static struct vlan vlan_of(uint32_t status, uint16_t type, uint16_t tag)
{
    return (struct vlan){.is_there = status & TP_STATUS_VLAN_VALID,
                         .has_type = status & TP_STATUS_VLAN_TPID_VALID,
                         .type = type,
                         .tag = tag};
}

/* Puts back the tag that the kernel has taken out, in front of what is in the frame. */
static void put_vlan_back(const struct vlan *vlan, struct packet_frame *frame)
{
    if (!vlan->is_there)
        return;
    uint16_t tag[2] = {htons(vlan->has_type ? vlan->type : ETH_P_8021Q), htons(vlan->tag)};
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

static void ring_take(struct ring *ring, enum packet_ring_kind kind, struct packet_frame *frame)
{
    struct tpacket2_hdr *slot = slot_at(ring, ring->taken);
    unsigned char *bytes = (unsigned char *)slot + slot->tp_mac;
    struct vlan vlan = vlan_of(slot->tp_status, slot->tp_vlan_tpid, slot->tp_vlan_tci);
    *frame = (struct packet_frame){.header = (void *)(bytes - HEADER_BYTES),
                                   .bytes = bytes,
                                   .length = slot->tp_snaplen,
                                   .is_partial = slot->tp_snaplen < slot->tp_len,
                                   .kind = kind,
                                   .arrived_ns = arrival_of(slot)};
    put_vlan_back(&vlan, frame);
    ring->taken = (ring->taken + 1) % ring->slots;
    ring->held++;
}

static void ring_release(struct ring *ring)
{
    for (; ring->held > 0; ring->held--) {
        uint32_t number = (ring->taken + ring->slots - ring->held) % ring->slots;
        __atomic_store_n(&slot_at(ring, number)->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    }
}

/* What the kernel tells with a frame. */
union told {
    struct cmsghdr header; /* for its alignment */
    char bytes[CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(struct tpacket_auxdata))];
};

static void read_told(struct msghdr *message, struct packet_frame *frame)
{
    struct vlan vlan = {0};
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec time;
            memcpy(&time, CMSG_DATA(part), sizeof(time));
            frame->arrived_ns = (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
        } else if (part->cmsg_level == SOL_PACKET && part->cmsg_type == PACKET_AUXDATA) {
            struct tpacket_auxdata data;
            memcpy(&data, CMSG_DATA(part), sizeof(data));
            vlan = vlan_of(data.tp_status, data.tp_vlan_tpid, data.tp_vlan_tci);
        }
    }
    put_vlan_back(&vlan, frame);
}

static unsigned receive_count(const struct queue *queue, unsigned room)
{
    unsigned count = queue->usual_bytes ? WARM_BYTES / queue->usual_bytes : RECEIVE_MAX;
    count = count < RECEIVE_MIN ? RECEIVE_MIN : count;
    count = count < RECEIVE_MAX ? count : RECEIVE_MAX;
    return count < room ? count : room;
}

/* An error is about what happened, to the device or to a frame that has no virtio-net header
 * (EINVAL: it is gone), not about what waits: it is told once. */
static int receive(struct ring *large, struct mmsghdr *messages, unsigned count)
{
    int got = -1;
    for (int tries = 0; got < 0 && tries < RECEIVE_TRIES; tries++) {
        got = recvmmsg(large->fd, messages, count, MSG_DONTWAIT, NULL);
        if (got < 0 && errno == EAGAIN)
            return 0;
        if (got < 0 && errno == EINVAL)
            atomic_fetch_add_explicit(&large->lost, 1, memory_order_relaxed);
    }
    return got;
}

static void read_frame(struct mmsghdr *message, struct packet_frame *frame)
{
    unsigned char *header = message->msg_hdr.msg_iov->iov_base;
    *frame = (struct packet_frame){.header = (void *)header,
                                   .bytes = header + HEADER_BYTES,
                                   .length = message->msg_len - HEADER_BYTES,
                                   .is_partial = message->msg_hdr.msg_flags & MSG_TRUNC,
                                   .kind = PACKET_RING_LARGE};
    read_told(&message->msg_hdr, frame);
}

/* Whether there may be more. */
static bool queue_receive(struct queue *queue, struct ring *large, unsigned room)
{
    struct mmsghdr messages[RECEIVE_MAX];
    struct iovec vectors[RECEIVE_MAX];
    union told told[RECEIVE_MAX];
    unsigned count = receive_count(queue, room);
    for (unsigned i = 0; i < count; i++) {
        vectors[i] = (struct iovec){queue->buffers + (size_t)i * BUFFER_BYTES + ROOM,
                                    HEADER_BYTES + PACKET_BYTES_MAX};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i],
                                              .msg_iovlen = 1,
                                              .msg_control = &told[i],
                                              .msg_controllen = sizeof(told[i])};
    }
    int got = receive(large, messages, count);
    uint64_t bytes = 0;
    queue->taken = 0;
    queue->received = got > 0 ? (unsigned)got : 0;
    for (unsigned i = 0; i < queue->received && i < count; i++) {
        read_frame(&messages[i], &queue->frames[i]);
        bytes += queue->frames[i].length;
    }
    if (queue->received > 0)
        queue->usual_bytes = (uint32_t)(bytes / queue->received);
    return got < 0 || got == (int)count;
}

static bool comes_first(const struct ring *small, uint64_t large_ns)
{
    return ring_has_frame(small) && arrival_of(slot_at(small, small->taken)) <= large_ns;
}

/* Of both kinds, where the large ones are in a queue. All that were received are taken, but for
 * those that older small ones leave no room for: and these are there to be taken then. */
static unsigned take_with_queue(struct packet_port *port, struct packet_frame *frames,
                                unsigned room)
{
    struct ring *small = &port->rings[PACKET_RING_SMALL];
    struct queue *queue = &port->queue;
    unsigned count = 0, seen = ring_count(small, room);
    bool may_have_more = true;
    if (queue->taken == queue->received)
        may_have_more = queue_receive(queue, &port->rings[PACKET_RING_LARGE], room / 2);
    while (count < room && queue->taken < queue->received) {
        const struct packet_frame *large = &queue->frames[queue->taken];
        unsigned waiting = queue->received - queue->taken;
        if (!comes_first(small, large->arrived_ns)) {
            frames[count++] = *large;
            queue->taken++;
        } else if (count == 0 || count + waiting < room) {
            ring_take(small, PACKET_RING_SMALL, &frames[count++]);
            seen -= seen > 0;
        } else {
            return count;
        }
    }
    for (; !may_have_more && seen > 0 && count < room; seen--)
        ring_take(small, PACKET_RING_SMALL, &frames[count++]);
    return count;
}

static unsigned take_with_rings(struct packet_port *port, struct packet_frame *frames,
                                unsigned room)
{
    struct ring *small = &port->rings[PACKET_RING_SMALL];
    struct ring *large = &port->rings[PACKET_RING_LARGE];
    unsigned count = 0;
    for (uint32_t bytes = 0; count < room && bytes < TAKE_BYTES; bytes += frames[count++].length) {
        bool has_small = ring_has_frame(small), has_large = ring_has_frame(large);
        if (has_large) /* another look: a small one may have come before it */
            has_small = comes_first(small, arrival_of(slot_at(large, large->taken)));
        if (!has_small && !has_large)
            break;
        ring_take(has_small ? small : large, has_small ? PACKET_RING_SMALL : PACKET_RING_LARGE,
                  &frames[count]);
    }
    return count;
}

unsigned packet_port_take(struct packet_port *port, struct packet_frame *frames, unsigned room)
{
    assert(room >= 2);
    return port->queue.buffers ? take_with_queue(port, frames, room)
                               : take_with_rings(port, frames, room);
}

void packet_port_release(struct packet_port *port)
{
    for (int kind = 0; kind < PACKET_RINGS; kind++)
        ring_release(&port->rings[kind]);
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
