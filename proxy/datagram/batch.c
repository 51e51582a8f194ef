/* Theory of operation
 *
 * One system call receives up to DATAGRAM_BATCH messages, and one sends as many. A message may be
 * several datagrams of equal size: the kernel puts together what it got as one (UDP_GRO), and takes
 * apart what it is given as one (UDP_SEGMENT), which is far cheaper than a way through it for each.
 * Datagrams of equal size that follow each other are sent as one message even when they came one by
 * one; the last of them may be shorter. Borders, sizes and order are the same as one by one.
 *
 * A device or a size that can't have this makes the send fail: then these are sent one by one, and
 * all that follow on the same flow.
 *
 * A datagram socket never makes its sender wait: what the kernel does not take is dropped and
 * counted. A pending ICMP error is reported by the next send, which has then sent nothing, so that
 * one is tried once more. */
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#include <linux/sock_diag.h>

#include "proxy/datagram/internal.h"
#include "proxy/io/socket.h"

enum {
    LISTENER_BUFFER = 4 << 20,  /* a burst of all clients of a route waits here */
    MESSAGE_BYTES_MIN = 256,    /* the least that the kernel charges a socket for one */
    SEGMENTS_MAX = 64,          /* the kernel's UDP_MAX_SEGMENTS, where it is smallest */
    SEGMENTED_BYTES_MAX = 65507 /* what one IPv4 packet holds */
};

/* Receiving. */

uint32_t datagram_socket_overflowed(int fd)
{
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof(memory);
    return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length) ? 0 : memory[SK_MEMINFO_DROPS];
}

uint32_t datagram_socket_waiting(int fd)
{
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof(memory);
    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length))
        return 0;
    return (memory[SK_MEMINFO_RMEM_ALLOC] + MESSAGE_BYTES_MIN - 1) / MESSAGE_BYTES_MIN;
}

void datagram_socket_prepare(int fd, const struct address *bound)
{
    int on = 1;
    setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
    if (!bound)
        return;
    socket_set_receive_bytes(fd, LISTENER_BUFFER);
    if (!address_is_any(bound))
        return;
    if (bound->storage.ss_family == AF_INET)
        setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
    else
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
}

static void receive_arm(struct datagram_plane *plane, unsigned index)
{
    struct msghdr *header = &plane->receiving.headers[index].msg_hdr;
    header->msg_namelen = sizeof(plane->peers[index].storage);
    header->msg_controllen = sizeof(plane->receiving.controls[index]);
}

void datagram_receive_prepare(struct datagram_plane *plane)
{
    struct datagram_messages *messages = &plane->receiving;
    for (unsigned i = 0; i < DATAGRAM_BATCH; i++) {
        messages->vectors[i] = (struct iovec){plane->buffers[i], DATAGRAM_BYTES_MAX};
        messages->headers[i].msg_hdr = (struct msghdr){.msg_iov = &messages->vectors[i],
                                                       .msg_iovlen = 1,
                                                       .msg_name = &plane->peers[i].storage,
                                                       .msg_control = &messages->controls[i]};
        receive_arm(plane, i);
    }
}

static void take_local_ipv4(const struct cmsghdr *control, struct address *local)
{
    struct in_pktinfo info;
    struct sockaddr_in in = {.sin_family = AF_INET};
    memcpy(&info, CMSG_DATA(control), sizeof(info));
    in.sin_addr = info.ipi_spec_dst;
    memcpy(&local->storage, &in, sizeof(in));
    local->length = sizeof(in);
}

static void take_local_ipv6(const struct cmsghdr *control, struct address *local)
{
    struct in6_pktinfo info;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    memcpy(&info, CMSG_DATA(control), sizeof(info));
    in6.sin6_addr = info.ipi6_addr;
    if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
        in6.sin6_scope_id = info.ipi6_ifindex;
    memcpy(&local->storage, &in6, sizeof(in6));
    local->length = sizeof(in6);
}

static void take_message(struct datagram_plane *plane, unsigned index)
{
    const struct mmsghdr *message = &plane->receiving.headers[index];
    struct msghdr header = message->msg_hdr;
    struct datagram_view *view = &plane->views[index];
    plane->peers[index].length = header.msg_namelen;
    plane->locals[index].length = 0;
    *view = (struct datagram_view){plane->buffers[index], message->msg_len,
                                   message->msg_len ? message->msg_len : 1};
    for (struct cmsghdr *control = CMSG_FIRSTHDR(&header); control;
         control = CMSG_NXTHDR(&header, control)) {
        if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_GRO) {
            int segment;
            memcpy(&segment, CMSG_DATA(control), sizeof(segment));
            if (segment > 0)
                view->segment = (uint32_t)segment;
        } else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_RXQ_OVFL) {
            memcpy(&plane->overflowed, CMSG_DATA(control), sizeof(plane->overflowed));
        } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
            take_local_ipv6(control, &plane->locals[index]);
        } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
            take_local_ipv4(control, &plane->locals[index]);
        }
    }
}

unsigned datagram_receive(struct datagram_plane *plane, int fd, uint32_t *overflowed,
                          uint32_t *lost)
{
    plane->overflowed = *overflowed;
    int count = recvmmsg(fd, plane->receiving.headers, DATAGRAM_BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        take_message(plane, (unsigned)i);
        receive_arm(plane, (unsigned)i);
    }
    *lost = plane->overflowed - *overflowed;
    *overflowed = plane->overflowed;
    return count > 0 ? (unsigned)count : 0;
}

/* Sending. */

/* Where in the views the sending has got to. */
struct cursor {
    const struct datagram_view *views;
    unsigned count, index;
    uint32_t offset;
};

/* The next datagram or, with `whole`, what is left of the view. False at the end. */
static bool cursor_peek(const struct cursor *cursor, bool whole, struct datagram_view *piece)
{
    if (cursor->index == cursor->count)
        return false;
    *piece = cursor->views[cursor->index];
    piece->bytes += cursor->offset;
    piece->length -= cursor->offset;
    if (!whole && piece->length > piece->segment)
        piece->length = piece->segment;
    return true;
}

static void cursor_advance(struct cursor *cursor, uint32_t length)
{
    cursor->offset += length;
    if (cursor->offset >= cursor->views[cursor->index].length) {
        cursor->index++;
        cursor->offset = 0;
    }
}

/* One message in the making. */
struct group {
    uint32_t segment, bytes, datagrams;
};

static struct group group_of(const struct datagram_view *piece)
{
    bool one = piece->length <= piece->segment;
    return (struct group){.segment = one ? piece->length : piece->segment,
                          .bytes = piece->length,
                          .datagrams = (uint32_t)datagram_view_count(piece)};
}

static bool group_has_room(const struct group *group, const struct group *more)
{
    if (group->segment == 0 || group->bytes % group->segment != 0 || more->bytes == 0)
        return false;
    if (more->segment != group->segment && (more->datagrams > 1 || more->bytes > group->segment))
        return false;
    return group->datagrams + more->datagrams <= SEGMENTS_MAX &&
           group->bytes + more->bytes <= SEGMENTED_BYTES_MAX;
}

static void add_control(struct msghdr *header, int level, int type, const void *value, size_t size)
{
    size_t before = header->msg_controllen;
    struct cmsghdr control = {.cmsg_len = CMSG_LEN(size), .cmsg_level = level, .cmsg_type = type};
    char *at = (char *)header->msg_control + before;
    memset(at, 0, CMSG_SPACE(size));
    memcpy(at, &control, sizeof(control));
    memcpy(at + CMSG_LEN(0), value, size);
    header->msg_controllen = before + CMSG_SPACE(size);
}

static void add_from(struct msghdr *header, const struct address *from)
{
    if (from->storage.ss_family == AF_INET) {
        struct in_pktinfo info = {
            .ipi_spec_dst = ((const struct sockaddr_in *)(const void *)&from->storage)->sin_addr};
        add_control(header, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&from->storage;
        struct in6_pktinfo info = {.ipi6_addr = in6->sin6_addr, .ipi6_ifindex = in6->sin6_scope_id};
        add_control(header, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    }
}

static void finish_message(struct datagram_plane *plane, unsigned index,
                           const struct datagram_target *target, const struct group *group)
{
    struct msghdr *header = &plane->sending.headers[index].msg_hdr;
    header->msg_name = NULL;
    header->msg_namelen = 0;
    if (target->to) {
        header->msg_namelen = target->to->length;
        header->msg_name = &target->to->storage;
    }
    header->msg_control = &plane->sending.controls[index];
    header->msg_controllen = 0;
    if (target->from && target->from->length)
        add_from(header, target->from);
    if (group->datagrams > 1) {
        uint16_t segment = (uint16_t)group->segment;
        add_control(header, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment));
    }
}

/* Makes the next messages from the cursor on; how many. */
static unsigned fill(struct datagram_plane *plane, const struct datagram_target *target,
                     struct cursor *cursor, struct group *groups)
{
    struct datagram_messages *messages = &plane->sending;
    unsigned count = 0, vectors = 0;
    bool whole = !*target->single;
    struct datagram_view piece;
    while (vectors < DATAGRAM_BATCH && cursor_peek(cursor, whole, &piece)) {
        struct group more = group_of(&piece);
        struct iovec *vector = &messages->vectors[vectors++];
        *vector = (struct iovec){piece.bytes, piece.length};
        if (whole && count > 0 && group_has_room(&groups[count - 1], &more)) {
            groups[count - 1].bytes += more.bytes;
            groups[count - 1].datagrams += more.datagrams;
            messages->headers[count - 1].msg_hdr.msg_iovlen++;
        } else {
            groups[count] = more;
            messages->headers[count].msg_hdr = (struct msghdr){.msg_iov = vector, .msg_iovlen = 1};
            count++;
        }
        cursor_advance(cursor, piece.length);
    }
    for (unsigned i = 0; i < count; i++)
        finish_message(plane, i, target, &groups[i]);
    return count;
}

/* Whether the send failed for being of several datagrams: the size of a packet on the way, or a
 * device that computes no checksums. */
static bool was_too_much(const struct group *group, int code)
{
    return group->datagrams > 1 && (code == EINVAL || code == EMSGSIZE || code == EIO);
}

/* Returns how many messages are done with: less than count when one must be taken apart. */
static unsigned send_messages(const struct datagram_target *target, struct mmsghdr *headers,
                              const struct group *groups, unsigned count,
                              struct datagram_sent *sent)
{
    bool retried = false;
    unsigned done = 0;
    while (done < count) {
        int result =
            sendmmsg(target->fd, headers + done, count - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (result < 0 && errno == ECONNREFUSED && !retried) {
            sent->refused++;
            retried = true;
            continue;
        }
        if (result < 0 && was_too_much(&groups[done], errno)) {
            *target->single = true;
            return done;
        }
        if (result < 0)
            sent->dropped += groups[done++].datagrams;
        for (int i = 0; i < result; i++, done++) {
            sent->units += groups[done].datagrams;
            sent->bytes += groups[done].bytes;
        }
        retried = false;
    }
    return done;
}

void datagram_send(struct datagram_plane *plane, const struct datagram_target *target,
                   const struct datagram_view *views, unsigned count, struct datagram_sent *sent)
{
    struct cursor cursor = {.views = views, .count = count};
    struct group groups[DATAGRAM_BATCH];
    *sent = (struct datagram_sent){0};
    while (cursor.index < cursor.count) {
        struct cursor begin = cursor;
        unsigned messages = fill(plane, target, &cursor, groups);
        unsigned done = send_messages(target, plane->sending.headers, groups, messages, sent);
        if (done == messages)
            continue;
        /* Back to the first view that was not sent; from there on one by one. */
        cursor = begin;
        for (unsigned i = 0; i < done; i++)
            cursor.index += (unsigned)plane->sending.headers[i].msg_hdr.msg_iovlen;
    }
}
