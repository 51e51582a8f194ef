#include "proxy/io/linger.h"

bool linger_is_due(struct linger_state *linger)
{
    if (linger->left_out == linger->pause)
        return true;
    linger->left_out++;
    return false;
}

static uint32_t longer(uint32_t pause)
{
    uint32_t next = 4 * pause + 3 * LINGER_ROUND;
    return next < LINGER_PAUSE_MAX ? next : LINGER_PAUSE_MAX;
}

void linger_note(struct linger_state *linger, bool found, uint64_t gap_ns)
{
    bool is_busy = gap_ns >= LINGER_BUSY_NS;
    linger->tries++;
    linger->paid += found && gap_ns < LINGER_OTHER_NS;
    if (linger->tries < LINGER_ROUND && !is_busy)
        return;
    bool pays = !is_busy && 3 * linger->paid > 2 * LINGER_ROUND;
    *linger = (struct linger_state){.pause = pays ? 0 : longer(linger->pause)};
}
