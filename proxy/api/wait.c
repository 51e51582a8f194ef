/* What is described in wait.h. */
#include "proxy/api/wait.h"

#include <stdint.h>

#include "proxy/api/internal.h"
#include "proxy/base/monotonic.h"

/* To take the answer. */
#define ANSWER_NS (30 * NS_PER_S)

bool api_wait_begin(struct api_wait *wait)
{
    if (wait->over)
        return false;
    wait->suspended = true;
    api_set_deadline(wait->connection, UINT64_MAX);
    MHD_suspend_connection(wait->connection);
    return true;
}

void api_wait_end(struct api *api, struct api_wait *wait)
{
    wait->over = true;
    if (!wait->suspended)
        return;
    wait->suspended = false;
    api->resumed = true;
    api_set_deadline(wait->connection, api->now_ns + ANSWER_NS);
    MHD_resume_connection(wait->connection);
}
