#include "chaos/lab/subnet.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/base/random.h"

enum { A_FIRST = 16, A_COUNT = 224, B_COUNT = 256, SUBNETS = A_COUNT * B_COUNT };
enum { PRIVATE_FIRST = 1, PUBLIC_FIRST = 101, CLIENT_FIRST = 200, NODES = 63 };

void subnet_candidate(uint64_t hint, unsigned attempt, uint8_t *a, uint8_t *b)
{
    uint64_t number = (random_mix(hint) + attempt) % SUBNETS;
    *a = (uint8_t)(A_FIRST + number / B_COUNT);
    *b = (uint8_t)(number % B_COUNT);
}

/* 0 when taken now, -EADDRINUSE, or another failure. */
static int lock(struct subnet *subnet)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int length = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "sever-subnet-127.%u.%u",
                          subnet->a, subnet->b);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    if (bind(fd, (struct sockaddr *)&name, size) < 0) {
        int code = -errno;
        close(fd);
        return code;
    }
    subnet->lock = fd;
    return 0;
}

int subnet_take(uint64_t hint, struct subnet *subnet, struct error *error)
{
    *subnet = (struct subnet){.lock = -1};
    for (unsigned attempt = 0; attempt < SUBNETS; attempt++) {
        subnet_candidate(hint, attempt, &subnet->a, &subnet->b);
        int code = lock(subnet);
        if (code == 0)
            return 0;
        if (code != -EADDRINUSE)
            return error_set(error, code, "can't lock a loopback subnet: %s", strerror(-code));
    }
    return error_set(error, -EADDRINUSE, "every loopback subnet is taken by another run");
}

void subnet_release(struct subnet *subnet)
{
    if (subnet->lock >= 0)
        close(subnet->lock);
    subnet->lock = -1;
}

static const char *format(const struct subnet *subnet, size_t host, char *buffer)
{
    snprintf(buffer, SUBNET_ADDRESS_MAX, "127.%u.%u.%u", subnet->a, subnet->b, (unsigned)host);
    return buffer;
}

const char *subnet_private(const struct subnet *subnet, size_t node, char *buffer)
{
    return format(subnet, PRIVATE_FIRST + node, buffer);
}

const char *subnet_public(const struct subnet *subnet, size_t node, char *buffer)
{
    return format(subnet, PUBLIC_FIRST + node, buffer);
}

const char *subnet_client(const struct subnet *subnet, size_t client, char *buffer)
{
    return format(subnet, CLIENT_FIRST + client % SUBNET_CLIENT_ADDRESSES, buffer);
}

enum subnet_role subnet_role_of(const struct subnet *subnet, uint32_t address, size_t *index)
{
    uint32_t base =
        (UINT32_C(127) << 24) | ((uint32_t)subnet->a << 16) | ((uint32_t)subnet->b << 8);
    *index = 0;
    if ((address & 0xffffff00) != base)
        return SUBNET_OTHER;
    uint32_t host = address & 0xff;
    if (host >= PRIVATE_FIRST && host < PRIVATE_FIRST + NODES) {
        *index = host - PRIVATE_FIRST;
        return SUBNET_PRIVATE;
    }
    if (host >= PUBLIC_FIRST && host < PUBLIC_FIRST + NODES) {
        *index = host - PUBLIC_FIRST;
        return SUBNET_PUBLIC;
    }
    if (host >= CLIENT_FIRST && host < CLIENT_FIRST + SUBNET_CLIENT_ADDRESSES) {
        *index = host - CLIENT_FIRST;
        return SUBNET_CLIENT;
    }
    return SUBNET_OTHER;
}

enum subnet_bypass subnet_judge(const struct subnet *subnet, size_t node_count, uint32_t local,
                                uint32_t remote, size_t *from, size_t *to)
{
    enum subnet_role source = subnet_role_of(subnet, local, from);
    enum subnet_role target = subnet_role_of(subnet, remote, to);
    bool private = target == SUBNET_PRIVATE, public = target == SUBNET_PUBLIC;
    if (*to >= node_count || (!private && !public))
        return SUBNET_NO_BYPASS;
    if (source == SUBNET_PRIVATE && *from < node_count)
        return private && *from != *to ? SUBNET_DIRECT : SUBNET_NO_BYPASS;
    return source == SUBNET_OTHER && public ? SUBNET_UNKNOWN_SOURCE : SUBNET_ASK_OWNER;
}
