/* How many senders are told that what they sent was refused: as many as a kernel would tell
 * (icmp_msgs_per_sec, icmp_msgs_burst), so that a flood is not answered by another one. */
#ifndef SEVER_BASE_ANSWER_LIMIT_H
#define SEVER_BASE_ANSWER_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    ANSWER_LIMIT_PER_S = 1000,
    ANSWER_LIMIT_BURST = 50,   /* of ICMP messages */
    ANSWER_LIMIT_RESETS = 1000 /* the burst of RSTs, which a kernel doesn't bound: the connections
                                * of a busy node end together */
};

/* Zero-initialise. */
struct answer_limit {
    uint64_t used_ns; /* up to when the rate has been used up */
};

/* Whether one more may be told now; then it counts as told. burst: how many at once; now_ns: never
 * smaller than before. */
bool answer_limit_allow(struct answer_limit *limit, unsigned burst, uint64_t now_ns);

#endif
