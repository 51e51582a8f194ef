/* What tests run inside nodes: the test program itself, in a role.
 *
 *   serve PORT                 echoes what each connection sends; says "ready" first
 *   talk HOST PORT MS [LIMIT]  connects within MS milliseconds, and for each line "N" on standard
 *                              input sends N bytes and reads them back, within MS; LIMIT: its
 *                              TCP_USER_TIMEOUT, once it is connected
 *   ping HOST COUNT MS         ICMP echo, one each 50 ms; says how many were answered when all
 *                              are, or MS milliseconds after the last
 *   sleep                      waits to be ended; says "ready" first
 *
 * Each says one line a step: "connected US", "echoed US RETRANSMITS", or "failed REASON MS", the
 * reason being an errno's name or "silence". */
#ifndef SEVER_TESTS_INTEGRATION_LAB_ROLES_H
#define SEVER_TESTS_INTEGRATION_LAB_ROLES_H

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/address.h"
#include "proxy/base/monotonic.h"

static inline int role_serve(const char *port)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)strtoul(port, NULL, 10))};
    int on = 1, listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (struct sockaddr *)&any, sizeof(any)) || listen(listener, 64))
        return 1;
    struct sigaction ignore = {.sa_handler = SIG_IGN}; /* nobody waits for them */
    sigaction(SIGCHLD, &ignore, NULL);
    puts("ready");
    for (;;) {
        static char bytes[65536];
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0 && fork() == 0) {
            for (ssize_t got; (got = recv(fd, bytes, sizeof(bytes), 0)) > 0;)
                if (send(fd, bytes, (size_t)got, MSG_NOSIGNAL) != got)
                    break;
            _exit(0);
        }
        close(fd);
    }
}

static inline bool role_find(const char *host, const char *port, struct address *address)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, port, &hints, &found)) {
        printf("failed name 0\n");
        return false;
    }
    memcpy(&address->storage, found->ai_addr, found->ai_addrlen);
    address->length = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static inline int role_fail(int code, uint64_t begin_ns)
{
    printf("failed %s %" PRIu64 "\n", code ? strerrorname_np(code) : "silence",
           (monotonic_now_ns() - begin_ns) / NS_PER_MS);
    return 1;
}

static inline bool role_wait(int fd, short events, uint64_t end_ns)
{
    struct pollfd wait = {.fd = fd, .events = events};
    uint64_t now_ns = monotonic_now_ns();
    int left_ms = end_ns > now_ns ? (int)((end_ns - now_ns) / NS_PER_MS) + 1 : 0;
    return poll(&wait, 1, left_ms) > 0;
}

static inline uint64_t role_retransmits(int fd)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof(info);
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
    return info.tcpi_total_retrans;
}

/* Sends `size` bytes and reads them back. */
static inline int role_echo(int fd, size_t size, uint64_t limit_ns)
{
    static char bytes[65536];
    uint64_t begin_ns = monotonic_now_ns(), end_ns = begin_ns + limit_ns;
    for (size_t sent = 0, received = 0; received < size;) {
        short events = (short)(POLLIN | (sent < size ? POLLOUT : 0));
        if (!role_wait(fd, events, end_ns))
            return role_fail(0, begin_ns);
        size_t part = size - sent < sizeof(bytes) ? size - sent : sizeof(bytes);
        ssize_t went = part ? send(fd, bytes, part, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        ssize_t came = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if ((went < 0 && errno != EAGAIN) || came == 0 || (came < 0 && errno != EAGAIN))
            return role_fail(came == 0 ? ECONNABORTED : errno, begin_ns);
        sent += went > 0 ? (size_t)went : 0;
        received += came > 0 ? (size_t)came : 0;
    }
    printf("echoed %" PRIu64 " %" PRIu64 "\n", (monotonic_now_ns() - begin_ns) / NS_PER_US,
           role_retransmits(fd));
    return 0;
}

static inline int role_talk(const char *host, const char *port, const char *ms, const char *user_ms)
{
    struct address found;
    uint64_t begin_ns = monotonic_now_ns(), limit_ns = strtoul(ms, NULL, 10) * NS_PER_MS;
    unsigned user_timeout = user_ms ? (unsigned)strtoul(user_ms, NULL, 10) : 0;
    if (!role_find(host, port, &found))
        return 1;
    int fd = socket(found.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
        code = 0;
    socklen_t size = sizeof(code);
    if (connect(fd, (struct sockaddr *)&found.storage, found.length) && errno != EINPROGRESS)
        return role_fail(errno, begin_ns);
    if (!role_wait(fd, POLLOUT, begin_ns + limit_ns))
        return role_fail(0, begin_ns);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size);
    if (code)
        return role_fail(code, begin_ns);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof(user_timeout));
    printf("connected %" PRIu64 "\n", (monotonic_now_ns() - begin_ns) / NS_PER_US);
    for (char line[32]; fgets(line, sizeof(line), stdin);)
        role_echo(fd, strtoul(line, NULL, 10), limit_ns);
    return 0;
}

static inline uint16_t role_checksum(const void *bytes, size_t length)
{
    const unsigned char *b = bytes;
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < length; i += 2)
        sum += (uint32_t)(b[i] << 8 | b[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static inline bool role_is_answer(const unsigned char *bytes, ssize_t got, bool ipv6, uint16_t id)
{
    size_t skip = ipv6 || got < 1 ? 0 : (size_t)(bytes[0] & 15) * 4;
    struct icmphdr echo;
    if (got < (ssize_t)(skip + sizeof(echo)))
        return false;
    memcpy(&echo, bytes + skip, sizeof(echo));
    return echo.type == (ipv6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) && echo.un.echo.id == id;
}

/* How many come before the end, at most `wanted`. */
static inline unsigned long role_answers(int fd, bool ipv6, uint16_t id, unsigned long wanted,
                                         uint64_t end_ns)
{
    unsigned long answered = 0;
    while (answered < wanted && role_wait(fd, POLLIN, end_ns) && monotonic_now_ns() < end_ns) {
        unsigned char bytes[256];
        ssize_t got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        answered += role_is_answer(bytes, got, ipv6, id);
    }
    return answered;
}

static inline int role_ping(const char *host, const char *count, const char *ms)
{
    struct address found;
    if (!role_find(host, NULL, &found))
        return 1;
    bool ipv6 = found.storage.ss_family == AF_INET6;
    int fd = socket(found.storage.ss_family, SOCK_RAW | SOCK_CLOEXEC,
                    ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    unsigned long asked = strtoul(count, NULL, 10), answered = 0;
    uint64_t end_ns;
    uint16_t id = htons((uint16_t)getpid());
    if (fd < 0)
        return role_fail(errno, monotonic_now_ns());
    for (unsigned long i = 0; i < asked; i++) {
        struct icmphdr echo = {.type = ipv6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO};
        echo.un.echo.id = id;
        echo.un.echo.sequence = htons((uint16_t)i);
        echo.checksum = role_checksum(&echo, sizeof(echo));
        sendto(fd, &echo, sizeof(echo), 0, (struct sockaddr *)&found.storage, found.length);
        end_ns = monotonic_now_ns() + 50 * NS_PER_MS;
        answered += role_answers(fd, ipv6, id, asked, end_ns);
    }
    end_ns = monotonic_now_ns() + strtoul(ms, NULL, 10) * NS_PER_MS;
    answered += role_answers(fd, ipv6, id, answered < asked ? asked - answered : 0, end_ns);
    printf("answered %lu of %lu\n", answered, asked);
    return 0;
}

static inline int role_main(int argc, char **argv)
{
    setlinebuf(stdout);
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        return role_serve(argv[2]);
    if (argc >= 5 && strcmp(argv[1], "talk") == 0)
        return role_talk(argv[2], argv[3], argv[4], argc > 5 ? argv[5] : NULL);
    if (argc == 5 && strcmp(argv[1], "ping") == 0)
        return role_ping(argv[2], argv[3], argv[4]);
    if (argc == 2 && strcmp(argv[1], "sleep") == 0) {
        puts("ready");
        pause();
    }
    return 2;
}

#endif
