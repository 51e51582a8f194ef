/* How long before a deadline a thread has to wake, in order to be there when it is due. A sleep
 * ends late: by tens of microseconds, now and then by hundreds. So who has to be exact wakes early,
 * and spins (looks at the clock again and again) until it is time. How early is learned from
 * sleeps: so that about one in a hundred is later than that. Spinning has a budget, a share of the
 * thread's time, and where other threads want the core it is left out: there it would only take
 * time from them, and the thread would be late by their time slices. */
#ifndef SEVER_IO_EARLY_H
#define SEVER_IO_EARLY_H

#include <stdint.h>

/* The budget: one part in EARLY_SHARE of the time may be spun, and what wasn't is saved up for a
 * burst, some ten spins. */
#define EARLY_SHARE UINT64_C(4)
#define EARLY_CREDIT_MAX_NS UINT64_C(2000000)

/* Learning: a sleep that is later than thought raises the estimate by EARLY_TIMES steps, any other
 * lowers it by one; so it rests where one in EARLY_TIMES + 1 is later. A dozen late ones bring it
 * from nothing to the most, a thousand others back. */
#define EARLY_STEP_NS UINT64_C(250)
#define EARLY_TIMES UINT64_C(99)
#define EARLY_MAX_NS UINT64_C(300000)

/* Something else had the core where a sleep ended later than EARLY_MAX_NS, or where a spin has a
 * gap between two readings of the clock that hardly any interrupt makes. Once in a while that is
 * chance (the host of a virtual machine, say); another time before EARLY_CHANCE good sleeps were
 * between, other threads want the core, and a pause follows: one twice as long if the last was over
 * only EARLY_PAUSE_MAX_NS ago or less. So a busy core is tried once in a while only. */
#define EARLY_GAP_NS UINT64_C(100000)
#define EARLY_PAUSE_MIN_NS UINT64_C(50000000)
#define EARLY_PAUSE_MAX_NS UINT64_C(1600000000)
#define EARLY_CHANCE 16u

struct early {                       /* zero-initialise */
    uint64_t late_ns;                /* about one sleep in a hundred ends later */
    uint64_t credit_ns, credited_ns; /* what may be spun, as of then */
    uint64_t pause_ns, resume_ns;    /* the last pause, and its end */
    uint32_t calm; /* good sleeps since something else had the core, EARLY_CHANCE at most */
};

/* How long before its deadline a sleep that begins now should end; 0: don't spin. */
uint64_t early_ask(struct early *early, uint64_t now_ns);
/* A sleep that was to end at asked_ns, and that nothing else ended, did so at woke_ns. */
void early_note_sleep(struct early *early, uint64_t asked_ns, uint64_t woke_ns);
/* It was spun from begin_ns until end_ns; gap_ns is the longest time between two readings. */
void early_note_spin(struct early *early, uint64_t begin_ns, uint64_t end_ns, uint64_t gap_ns);

#endif
