/* A lab of this process's own, which is its severd. Its program is its keeper, too: main must begin
 * with lab_keeper_main. */
#ifndef SEVER_TESTS_LAB_RIG_H
#define SEVER_TESTS_LAB_RIG_H

#include "tests/lib/test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/lab/lab.h"

#define RIG_PATIENCE_NS (20 * NS_PER_S)

#define rig_await(condition)                                                                       \
    do {                                                                                           \
        uint64_t rig_deadline = monotonic_now_ns() + RIG_PATIENCE_NS;                              \
        while (!(condition)) {                                                                     \
            if (monotonic_now_ns() > rig_deadline)                                                 \
                fail_msg("waited in vain for: %s", #condition);                                    \
            monotonic_sleep_until(monotonic_now_ns() + NS_PER_MS);                                 \
        }                                                                                          \
    } while (0)

static inline struct lab_options rig_options(void)
{
    return (struct lab_options){
        .subnet = "10.77.0.0/24", .subnet6 = "fd77::/64", .mtu = 1500, .ring_bytes = 2 << 20};
}

static inline struct lab *rig_lab(void)
{
    struct lab_options options = rig_options();
    struct error error = {0};
    struct lab *lab = NULL;
    if (lab_create(&options, &lab, &error))
        fail_msg("%s: %s", error.place, error.message);
    return lab;
}

static inline void rig_add(struct lab *lab, const char *name, struct lab_node *node)
{
    struct error error = {0};
    if (lab_add_node(lab, name, node, &error))
        fail_msg("%s: %s: %s", name, error.place, error.message);
}

static inline void rig_close(struct lab_node *node)
{
    for (int i = 0; i < PACKET_RINGS; i++)
        close(node->sockets[i]);
    close(node->diagnosis);
}

#endif
