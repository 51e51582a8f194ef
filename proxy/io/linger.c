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

void linger_note(struct linger_state *linger, enum linger_result result)
{
    linger->tries++;
    linger->paid += result == LINGER_PAID;
    if (linger->tries < LINGER_ROUND && result != LINGER_BUSY)
        return;
    bool pays = result != LINGER_BUSY && 3 * linger->paid > 2 * LINGER_ROUND;
    *linger = (struct linger_state){.pause = pays ? 0 : longer(linger->pause)};
}
