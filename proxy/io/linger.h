/* Whether it pays to look for an event a little longer, before a sleep from which a wake is dear.
 * Where somebody answers at once and cores are idle it does; where nobody does, or whoever would
 * is waiting for this very core, it only takes time from others. Nobody can tell beforehand, so it
 * is tried, some times in a row, and tries that failed are paid for by tries that are left out. */
#ifndef SEVER_IO_LINGER_H
#define SEVER_IO_LINGER_H

#include <stdbool.h>
#include <stdint.h>

/* One try. Longer than a round trip in which one or two threads had to be woken (50 to 80 us), or
 * two workers that are each in the other's round trip would both find that it doesn't pay. */
#define LINGER_NS UINT64_C(100000)
/* Others have the core meanwhile, if they want it. One that has it for longer at one go is not
 * about to answer, and the try is over: to be woken gives more claim to run than to look. */
#define LINGER_OTHER_NS UINT64_C(30000)
/* One that has it for as long as this would have it in the next tries, too. */
#define LINGER_BUSY_NS UINT64_C(500000)
enum {
    LINGER_ROUND = 32, /* tries in a row, in which the scheduler has time to bring threads apart */
    LINGER_PAUSE_MAX = 255 * LINGER_ROUND, /* so what always fails costs 0.4 us a time */
};

enum linger_result {
    LINGER_PAID, /* the event came within the time */
    LINGER_VAIN,
    LINGER_BUSY, /* another had the core for LINGER_BUSY_NS: ends the round as one that failed */
};

struct linger_state {     /* zero-initialise */
    uint32_t tries, paid; /* of this round */
    uint32_t pause;       /* how many to leave out before the round */
    uint32_t left_out;
};

/* To be asked each time one might; true: try it, and tell linger_note how it went. */
bool linger_is_due(struct linger_state *linger);
/* A round in which a third of the tries or more fail is followed by a pause, longer each time, up
 * to LINGER_PAUSE_MAX; a better one by the next. */
void linger_note(struct linger_state *linger, enum linger_result result);

#endif
