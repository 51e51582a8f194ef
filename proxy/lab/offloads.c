/* Theory of operation
 *
 * A packet socket tells of a super-packet by its virtio-net header, which knows TCP and UDP only.
 * What it can't tell the kernel drops there, or tells as what it is not: a node with a tunnel
 * (VXLAN), as overlay networks of containers have it, would lose each of its super-packets. So the
 * device is asked for no such thing, by the names of its features, which differ from kernel to
 * kernel. */
#include "proxy/lab/offloads.h"

#include <errno.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/sockios.h>

enum { FEATURES_MAX = 256, WORD_BITS = 32, WORDS = FEATURES_MAX / WORD_BITS };

bool offloads_is_beyond_header(const char *feature)
{
    static const char end[] = "-segmentation";
    static const char *const beyond[] = {"tx-gso-partial", "tx-gso-list", "tx-checksum-sctp"};
    size_t length = strlen(feature), tail = sizeof(end) - 1;
    for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++)
        if (strcmp(feature, beyond[i]) == 0)
            return true;
    if (strncmp(feature, "tx-", 3) != 0 || length < tail ||
        strcmp(feature + length - tail, end) != 0)
        return false;
    return strncmp(feature, "tx-tcp", 6) != 0 && strcmp(feature, "tx-udp-segmentation") != 0;
}

static int ask(int fd, const char *device, void *question)
{
    struct ifreq request = {.ifr_data = question};
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
    return ioctl(fd, SIOCETHTOOL, &request) < 0 ? -errno : 0; /* above 0: what was refused */
}

/* How many features there are. */
static int count_features(int fd, const char *device, uint32_t *count)
{
    union {
        struct ethtool_sset_info info;
        unsigned char room[sizeof(struct ethtool_sset_info) + sizeof(uint32_t)];
    } sets = {.info = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = UINT64_C(1) << ETH_SS_FEATURES}};
    int result = ask(fd, device, &sets);
    if (result)
        return result;
    *count = sets.info.sset_mask ? sets.info.data[0] : 0;
    return *count <= FEATURES_MAX ? 0 : -E2BIG;
}

static int read_names(int fd, const char *device, uint32_t count, char names[][ETH_GSTRING_LEN])
{
    struct ethtool_gstrings *strings = calloc(1, sizeof(*strings) + count * ETH_GSTRING_LEN);
    if (!strings)
        return -ENOMEM;
    *strings = (struct ethtool_gstrings){
        .cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_FEATURES, .len = count};
    int result = ask(fd, device, strings);
    for (uint32_t i = 0; i < count && result == 0; i++)
        snprintf(names[i], ETH_GSTRING_LEN, "%s", (char *)strings->data + i * ETH_GSTRING_LEN);
    free(strings);
    return result;
}

static int limit_features(int fd, const char *device, uint32_t count)
{
    char names[FEATURES_MAX][ETH_GSTRING_LEN];
    union {
        struct ethtool_sfeatures head;
        unsigned char room[sizeof(struct ethtool_sfeatures) +
                           WORDS * sizeof(struct ethtool_set_features_block)];
    } off = {.room = {0}};
    int result = read_names(fd, device, count, names);
    if (result)
        return result;
    off.head.cmd = ETHTOOL_SFEATURES;
    off.head.size = (count + WORD_BITS - 1) / WORD_BITS;
    for (uint32_t i = 0; i < count; i++)
        if (offloads_is_beyond_header(names[i]))
            off.head.features[i / WORD_BITS].valid |= UINT32_C(1) << i % WORD_BITS;
    return ask(fd, device, &off);
}

int offloads_limit(const char *device)
{
    uint32_t count;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int result = count_features(fd, device, &count);
    if (result == 0)
        result = limit_features(fd, device, count);
    close(fd);
    return result;
}
