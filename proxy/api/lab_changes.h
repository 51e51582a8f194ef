/* Changes of the lab that requests wait for (wait.h): one at a time, in the order in which they
 * came. */
#ifndef SEVER_API_LAB_CHANGES_H
#define SEVER_API_LAB_CHANGES_H

#include <stdbool.h>

#include "proxy/api/api.h"
#include "proxy/api/wait.h"

struct api;

/* One of them: of a request, until that is answered. */
struct api_lab_wait {
    struct api_wait wait;         /* first; in the order in which they came */
    struct api_lab_change change; /* with what came of it when it is over */
};

/* Zero-initialised is fine. The first one is under way. */
struct api_lab_changes {
    struct api_lab_wait *first, *last;
};

/* Begins the change, or queues it. True: it is over already. False: the request waits for it. */
bool api_lab_changes_submit(struct api *api, struct api_lab_wait *wait);
/* Does what the lab wants done on the control thread. */
void api_lab_changes_run(struct api *api);
/* Nobody waits any more: severd ends. */
void api_lab_changes_close(struct api *api);

#endif
