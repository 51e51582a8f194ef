#include "proxy/lab/subnet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/units.h"

/* What no host of a subnet has, as prefixes. */
struct reserved {
    int family;
    unsigned prefix;
    uint8_t network[2];
    const char *what;
};

static const struct reserved reserved[] = {
    {AF_INET, 8, {0}, "this network"},
    {AF_INET, 8, {127}, "loopback"},
    {AF_INET, 16, {169, 254}, "link-local"},
    {AF_INET, 3, {224}, "multicast or reserved"},
    {AF_INET6, 8, {0}, "unspecified, loopback or mapped"},
    {AF_INET6, 8, {0xff}, "multicast"},
    {AF_INET6, 10, {0xfe, 0x80}, "link-local"},
};

static bool begins_with(const uint8_t *address, const uint8_t *network, unsigned prefix)
{
    for (unsigned bit = 0; bit < prefix; bit++)
        if (((address[bit / 8] ^ network[bit / 8]) >> (7 - bit % 8)) & 1)
            return false;
    return true;
}

static const char *find_reserved(const struct subnet *subnet)
{
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        unsigned prefix = subnet->prefix < reserved[i].prefix ? subnet->prefix : reserved[i].prefix;
        if (reserved[i].family == subnet->family &&
            begins_with(subnet->network, reserved[i].network, prefix))
            return reserved[i].what;
    }
    return NULL;
}

static bool has_host_bits(const struct subnet *subnet)
{
    unsigned bits = subnet->family == AF_INET ? 32 : 128;
    for (unsigned bit = subnet->prefix; bit < bits; bit++)
        if ((subnet->network[bit / 8] >> (7 - bit % 8)) & 1)
            return true;
    return false;
}

int subnet_parse(const char *text, int family, struct subnet *subnet, struct error *error)
{
    const char *example = family == AF_INET ? "10.77.0.0/24" : "fd77::/64";
    const char *slash = strchr(text, '/');
    struct subnet parsed = {.family = family};
    char host[INET6_ADDRSTRLEN];
    int64_t prefix;
    if (!slash || (size_t)(slash - text) >= sizeof(host))
        return error_set(error, -EINVAL, "'%.100s' is no network: write one such as %s", text,
                         example);
    memcpy(host, text, (size_t)(slash - text));
    host[slash - text] = '\0';
    if (inet_pton(family, host, parsed.network) != 1)
        return error_set(error, -EINVAL, "'%.100s' is no IPv%d network: write one such as %s", text,
                         family == AF_INET ? 4 : 6, example);
    int result = family == AF_INET
                     ? units_parse_integer(slash + 1, 8, 30, "prefix length", &prefix, error)
                     : units_parse_integer(slash + 1, 16, 126, "prefix length", &prefix, error);
    if (result)
        return result;
    parsed.prefix = (unsigned)prefix;
    const char *what = find_reserved(&parsed);
    if (what)
        return error_set(error, -EINVAL, "'%.100s' has addresses that no node can have (%s)", text,
                         what);
    if (has_host_bits(&parsed))
        return error_set(error, -EINVAL,
                         "'%.100s' is an address inside of a network: write the network's first "
                         "address before the slash",
                         text);
    *subnet = parsed;
    return 0;
}

int subnet_address(const struct subnet *subnet, unsigned k, struct address *address)
{
    unsigned size = subnet->family == AF_INET ? 4 : 16;
    unsigned host_bits = size * 8 - subnet->prefix;
    uint64_t end = host_bits < 32 ? UINT64_C(1) << host_bits : UINT64_C(1) << 32;
    uint8_t host[16];
    if (subnet->family == AF_INET)
        end--;
    if (k == 0 || k >= end)
        return -ENOSPC;
    memcpy(host, subnet->network, sizeof(host));
    for (unsigned i = 0; i < 4; i++)
        host[size - 1 - i] = (uint8_t)(host[size - 1 - i] | (k >> (8 * i)));
    *address = (struct address){0};
    if (subnet->family == AF_INET) {
        struct sockaddr_in in = {.sin_family = AF_INET};
        memcpy(&in.sin_addr, host, sizeof(in.sin_addr));
        memcpy(&address->storage, &in, sizeof(in));
        address->length = sizeof(in);
    } else {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
        memcpy(&in6.sin6_addr, host, sizeof(in6.sin6_addr));
        memcpy(&address->storage, &in6, sizeof(in6));
        address->length = sizeof(in6);
    }
    return 0;
}
