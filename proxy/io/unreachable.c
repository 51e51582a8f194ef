/* Theory of operation
 *
 * The error carries the IP and UDP headers of the datagram that it is about; by them the sender's
 * kernel finds the socket. It leaves from the address that the datagram was sent to (IP_PKTINFO).
 * The kernel fills in the checksum of ICMPv6, but not that of ICMP.
 *
 * A raw ICMP socket gets a copy of each ICMP message that arrives; a filter keeps them all out. */
#include "proxy/io/unreachable.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/icmp.h>

#include "proxy/base/internet_checksum.h"
#include "proxy/io/ip_header.h"

enum { ICMP_HEADER = 8 }; /* type, code, checksum, unused: the same in both versions */

static int open_raw(int family, int protocol)
{
    return socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

void unreachable_open(struct unreachable *unreachable)
{
    struct icmp_filter none4 = {.data = UINT32_MAX};
    struct icmp6_filter none6;
    ICMP6_FILTER_SETBLOCKALL(&none6);
    unreachable->ipv4 = open_raw(AF_INET, IPPROTO_ICMP);
    unreachable->ipv6 = open_raw(AF_INET6, IPPROTO_ICMPV6);
    if (unreachable->ipv4 >= 0)
        setsockopt(unreachable->ipv4, SOL_RAW, ICMP_FILTER, &none4, sizeof(none4));
    if (unreachable->ipv6 >= 0)
        setsockopt(unreachable->ipv6, IPPROTO_ICMPV6, ICMP6_FILTER, &none6, sizeof(none6));
}

void unreachable_close(struct unreachable *unreachable)
{
    if (unreachable->ipv4 >= 0)
        close(unreachable->ipv4);
    if (unreachable->ipv6 >= 0)
        close(unreachable->ipv6);
    unreachable->ipv4 = unreachable->ipv6 = -1;
}

bool unreachable_works(const struct unreachable *unreachable)
{
    return unreachable->ipv4 >= 0 || unreachable->ipv6 >= 0;
}

/* A message with room for the one control message that says where it leaves from. */
struct message {
    struct msghdr header;
    struct iovec vector;
    struct sockaddr_storage to;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

static void set_source(struct message *message, int level, int type, const void *info, size_t size)
{
    message->header.msg_control = message->control;
    message->header.msg_controllen = CMSG_SPACE(size);
    struct cmsghdr *control = CMSG_FIRSTHDR(&message->header);
    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(control), info, size);
}

static void address_ipv4(struct message *message, const uint8_t to[4], const uint8_t from[4])
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct in_pktinfo info = {0};
    memcpy(&in.sin_addr, to, 4);
    memcpy(&info.ipi_spec_dst, from, 4);
    memcpy(&message->to, &in, sizeof(in));
    message->header.msg_namelen = sizeof(in);
    set_source(message, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
}

static void address_ipv6(struct message *message, const struct address *to, const uint8_t from[16])
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct in6_pktinfo info = {0};
    address_get_ipv6(to, in6.sin6_addr.s6_addr);
    memcpy(&info.ipi6_addr, from, 16);
    if (to->storage.ss_family == AF_INET6)
        in6.sin6_scope_id =
            ((const struct sockaddr_in6 *)(const void *)&to->storage)->sin6_scope_id;
    info.ipi6_ifindex = in6.sin6_scope_id;
    memcpy(&message->to, &in6, sizeof(in6));
    message->header.msg_namelen = sizeof(in6);
    set_source(message, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
}

/* Not a group, not everybody, not nobody: who sent it may have written any source. */
static bool is_one_host(const struct address *address)
{
    uint8_t host[16];
    if (address_is_any(address))
        return false;
    if (address_get_ipv4(address, host))
        return host[0] != 0 && host[0] < 224;
    return address_get_ipv6(address, host) && host[0] != 0xff;
}

bool unreachable_send(const struct unreachable *unreachable, const struct address *source,
                      const struct address *destination, uint32_t length)
{
    unsigned char bytes[ICMP_HEADER + IP_HEADER_ROOM] = {0};
    if (!is_one_host(source))
        return false;
    uint8_t to[16], from[16];
    struct message message = {
        .header = {.msg_name = &message.to, .msg_iov = &message.vector, .msg_iovlen = 1}};
    /* The headers end where the buffer does, so that the error begins where it must. */
    uint32_t about = ip_header_write(bytes + sizeof(bytes), length, source, destination);
    unsigned char *icmp = bytes + sizeof(bytes) - about - ICMP_HEADER;
    int fd = unreachable->ipv4;
    message.vector = (struct iovec){icmp, about + ICMP_HEADER};
    if (address_get_ipv4(source, to) && address_get_ipv4(destination, from)) {
        struct icmphdr header = {.type = ICMP_DEST_UNREACH, .code = ICMP_PORT_UNREACH};
        memcpy(icmp, &header, sizeof(header));
        header.checksum = internet_checksum(icmp, about + ICMP_HEADER);
        memcpy(icmp, &header, sizeof(header));
        address_ipv4(&message, to, from);
    } else if (about && address_get_ipv6(destination, from)) {
        fd = unreachable->ipv6;
        icmp[0] = ICMP6_DST_UNREACH;
        icmp[1] = ICMP6_DST_UNREACH_NOPORT;
        address_ipv6(&message, source, from);
    } else {
        return false;
    }
    return fd >= 0 && sendmsg(fd, &message.header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}
