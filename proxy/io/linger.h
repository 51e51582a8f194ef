/* Whether it pays to look for an event a little longer, before a sleep from which a wake is dear.
 * Where somebody answers at once it does; where nobody does it only takes time from others. Nobody
 * can tell beforehand, so it is tried, some times in a row, and tries that failed are paid for by
 * tries that are left out. */
#ifndef SEVER_IO_LINGER_H
#define SEVER_IO_LINGER_H

#include <stdbool.h>
#include <stdint.h>

/* One try. Longer than a round trip in which one or two threads had to be woken (50 to 80 us), or
 * two workers that are each in the other's round trip would both find that it doesn't pay. */
#define LINGER_NS UINT64_C(100000)
/* At first, and from then on after so long, others get the core if they want it. */
#define LINGER_YIELD_NS UINT64_C(5000)
/* Who keeps the core for longer at one go is not about to answer: the try has failed. A thread that
 * is woken has more claim to the core than one that looks. */
#define LINGER_OTHER_NS UINT64_C(30000)
/* Who keeps it for this long would keep it in the next tries, too: the round has failed. */
#define LINGER_BUSY_NS UINT64_C(500000)
enum {
    LINGER_ROUND = 32, /* tries in a row, in which the scheduler has time to bring threads apart */
    LINGER_PAUSE_MAX = 255 * LINGER_ROUND, /* so what always fails costs 0.4 us a time */
};

struct linger_state {     /* zero-initialise */
    uint32_t tries, paid; /* of this round */
    uint32_t pause;       /* how many to leave out before the round */
    uint32_t left_out;
};

/* To be asked each time one might; true: try it, and tell linger_note how it went. */
bool linger_is_due(struct linger_state *linger);
/* found: an event, within LINGER_NS; gap_ns: for how long at most another had the core at one go. A
 * round in which a third of the tries or more fail is followed by a pause, longer each time, up to
 * LINGER_PAUSE_MAX; a better one by the next. */
void linger_note(struct linger_state *linger, bool found, uint64_t gap_ns);

#endif
