/* Theory of operation. One dump a family: a request, then datagrams with many messages each, until
 * NLMSG_DONE. The kernel makes them while they are read, so nothing is waited for. What an earlier
 * dump that was given up has left is told apart by its sequence number. */
#include "proxy/daemon/lab_connections.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>

enum { DUMP_BYTES = 32768, STATES = 13 };

/* By the kernel's numbers (TCP_ESTABLISHED is 1). */
static const char *const state_names[STATES] = {
    NULL,     "established", "syn-sent", "syn-received", "fin-wait-1", "fin-wait-2",  "time-wait",
    "closed", "close-wait",  "last-ack", "listening",    "closing",    "syn-received"};

enum { CLOSED = 7, LISTENING = 10 };

struct request {
    struct nlmsghdr header;
    struct inet_diag_req_v2 body;
};

static int ask(int fd, uint8_t family, uint32_t sequence)
{
    struct request request = {
        .header = {.nlmsg_len = sizeof(request),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                   .nlmsg_seq = sequence},
        .body = {.sdiag_family = family,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_ext = 1 << (INET_DIAG_INFO - 1),
                 .idiag_states = ((1u << STATES) - 1) & ~(1u << CLOSED) & ~(1u << LISTENING)}};
    return send(fd, &request, sizeof(request), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static struct address address_of(uint8_t family, const uint32_t host[4], uint16_t port)
{
    struct address address = {0};
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)&address.storage;
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&address.storage;
    if (family == AF_INET) {
        address.length = sizeof(*ipv4);
        ipv4->sin_family = AF_INET;
        ipv4->sin_port = port;
        memcpy(&ipv4->sin_addr, host, sizeof(ipv4->sin_addr));
    } else {
        address.length = sizeof(*ipv6);
        ipv6->sin6_family = AF_INET6;
        ipv6->sin6_port = port;
        memcpy(&ipv6->sin6_addr, host, sizeof(ipv6->sin6_addr));
    }
    return address;
}

/* The count in the message's tcp_info; a younger kernel's is longer, an older one's shorter. */
static uint64_t retransmits_of(const struct nlmsghdr *message)
{
    struct rtattr attribute;
    struct tcp_info info = {0};
    size_t at = NLMSG_LENGTH(sizeof(struct inet_diag_msg)), end = message->nlmsg_len;
    for (; at + sizeof(attribute) <= end; at += RTA_ALIGN(attribute.rta_len)) {
        memcpy(&attribute, (const char *)message + at, sizeof(attribute));
        if (attribute.rta_len < sizeof(attribute) || attribute.rta_len > end - at)
            break;
        if (attribute.rta_type != INET_DIAG_INFO)
            continue;
        size_t size = attribute.rta_len - sizeof(attribute);
        memcpy(&info, (const char *)message + at + sizeof(attribute),
               size < sizeof(info) ? size : sizeof(info));
        return info.tcpi_total_retrans;
    }
    return 0;
}

static void tell(const struct nlmsghdr *message, lab_connection_fn fn, void *context)
{
    const struct inet_diag_msg *body = (const void *)((const char *)message + NLMSG_HDRLEN);
    const struct inet_diag_sockid *id = &body->id;
    const char *state = body->idiag_state < STATES ? state_names[body->idiag_state] : NULL;
    if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*body)) || !state)
        return;
    struct lab_connection connection = {
        .local = address_of(body->idiag_family, id->idiag_src, id->idiag_sport),
        .remote = address_of(body->idiag_family, id->idiag_dst, id->idiag_dport),
        .state = state,
        .retransmits = retransmits_of(message)};
    fn(context, &connection);
}

/* 1 at the end of the dump, 0 when there is more, or -errno. */
static int read_some(int fd, uint32_t sequence, lab_connection_fn fn, void *context)
{
    static _Alignas(struct nlmsghdr) char buffer[DUMP_BYTES]; /* the control thread's alone */
    ssize_t got = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (got < 0)
        return errno == EINTR ? 0 : -errno;
    for (size_t at = 0; at + sizeof(struct nlmsghdr) <= (size_t)got;) {
        const struct nlmsghdr *m = (const void *)(buffer + at);
        if (m->nlmsg_len < sizeof(*m) || m->nlmsg_len > (size_t)got - at)
            break;
        at += NLMSG_ALIGN(m->nlmsg_len);
        if (m->nlmsg_seq != sequence)
            continue;
        if (m->nlmsg_type == NLMSG_DONE)
            return 1;
        if (m->nlmsg_type == NLMSG_ERROR)
            return ((const struct nlmsgerr *)(const void *)(m + 1))->error;
        tell(m, fn, context);
    }
    return 0;
}

int lab_connections_list(int fd, lab_connection_fn fn, void *context, struct error *error)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    static uint32_t sequence;
    for (size_t i = 0; i < sizeof(families); i++) {
        int result = ask(fd, families[i], ++sequence);
        while (result == 0)
            result = read_some(fd, sequence, fn, context);
        if (result < 0)
            return error_set(error, result, "sock_diag: %s", strerror(-result));
    }
    return 0;
}
