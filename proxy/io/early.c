#include "proxy/io/early.h"

#include <stdbool.h>

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t early_ask(struct early *early, uint64_t now_ns)
{
    uint64_t earned_ns = (now_ns - early->credited_ns) / EARLY_SHARE;
    early->credit_ns = least(early->credit_ns + earned_ns, EARLY_CREDIT_MAX_NS);
    early->credited_ns = now_ns;
    return now_ns < early->resume_ns ? 0 : least(early->late_ns, early->credit_ns);
}

/* Something else had the core. */
static void note_other(struct early *early, uint64_t now_ns)
{
    bool is_chance = early->calm == EARLY_CHANCE;
    early->calm = 0;
    if (is_chance)
        return;
    bool is_soon = now_ns <= early->resume_ns + EARLY_PAUSE_MAX_NS && early->pause_ns > 0;
    early->pause_ns = is_soon ? least(2 * early->pause_ns, EARLY_PAUSE_MAX_NS) : EARLY_PAUSE_MIN_NS;
    early->resume_ns = now_ns + early->pause_ns;
}

void early_note_sleep(struct early *early, uint64_t asked_ns, uint64_t woke_ns)
{
    uint64_t late_ns = woke_ns > asked_ns ? woke_ns - asked_ns : 0;
    if (late_ns > early->late_ns)
        early->late_ns = least(early->late_ns + EARLY_TIMES * EARLY_STEP_NS, EARLY_MAX_NS);
    else
        early->late_ns -= least(early->late_ns, EARLY_STEP_NS);
    if (late_ns > EARLY_MAX_NS)
        note_other(early, woke_ns);
    else
        early->calm += early->calm < EARLY_CHANCE;
}

void early_note_spin(struct early *early, uint64_t begin_ns, uint64_t end_ns, uint64_t gap_ns)
{
    early->credit_ns -= least(early->credit_ns, end_ns - begin_ns);
    if (gap_ns > EARLY_GAP_NS)
        note_other(early, end_ns);
}
