/* Whether it pays to look for an event a little longer, before a sleep from which a wake is dear.
 * Where somebody answers at once and cores are idle it does; where nobody does, or whoever would
 * is waiting for this very core, it only takes time from others. Nobody can tell beforehand, so it
 * is tried, some times in a row, and tries that failed are paid for by tries that are left out. */
#ifndef SEVER_IO_LINGER_H
#define SEVER_IO_LINGER_H

#include <stdbool.h>
#include <stdint.h>

#define LINGER_NS UINT64_C(50000) /* one try */
enum {
    LINGER_ROUND = 32, /* tries in a row, in which the scheduler has time to bring threads apart */
    LINGER_PAUSE_MAX = 255 * LINGER_ROUND, /* so what always fails costs 0.2 us a time */
};

struct linger {           /* zero-initialise */
    uint32_t tries, paid; /* of this round */
    uint32_t pause;       /* how many to leave out before the round */
    uint32_t left_out;
};

/* To be asked each time one might; true: try it, and tell linger_note how it went. */
bool linger_is_due(struct linger *linger);
/* paid: the event came within the time. A round in which a third of the tries or more fail is
 * followed by a pause, longer each time, up to LINGER_PAUSE_MAX; a better one by the next. */
void linger_note(struct linger *linger, bool paid);

#endif
