#include "proxy/io/linger.h"

bool linger_is_due(struct linger *linger)
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

void linger_note(struct linger *linger, bool paid)
{
    linger->tries++;
    linger->paid += paid;
    if (linger->tries < LINGER_ROUND)
        return;
    bool pays = 3 * linger->paid > 2 * LINGER_ROUND;
    *linger = (struct linger){.pause = pays ? 0 : longer(linger->pause)};
}
