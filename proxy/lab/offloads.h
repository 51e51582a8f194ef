/* What a node's device leaves for later, and what it must not. */
#ifndef SEVER_LAB_OFFLOADS_H
#define SEVER_LAB_OFFLOADS_H

#include <stdbool.h>

/* Whether a feature of a device, by the name that `ethtool -k` has for it, makes packets that a
 * virtio-net header can't describe: super-packets that are neither TCP nor UDP, or of those in a
 * tunnel, and SCTP checksums. */
bool offloads_is_beyond_header(const char *feature);

/* Switches these off for the device of that name, in the network namespace that the process is in:
 * the kernel then does the work before the packet is sent. Needs CAP_NET_ADMIN there. -errno. */
int offloads_limit(const char *device);

#endif
