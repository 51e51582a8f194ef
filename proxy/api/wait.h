/* A request whose answer has to wait for something that runs elsewhere.
 *
 * Its handler sets something going, hands in the call, and returns API_LATER: the connection is
 * suspended in libmicrohttpd, and everybody else is served. When it is over the handler is called
 * once more, with call->wait, to answer. A peer that goes meanwhile is not noticed before that. */
#ifndef SEVER_API_WAIT_H
#define SEVER_API_WAIT_H

#include <stdbool.h>

#include <microhttpd.h>

struct api;

/* The first member of what its owner keeps for the request, which is freed with the request; until
 * it is over the request stays. Zero-initialise. */
struct api_wait {
    struct api_wait *next; /* for its owner */
    struct MHD_Connection *connection;
    bool over, suspended;
};

/* From within the handler. False: it is over already, and the handler may answer. */
bool api_wait_begin(struct api_wait *wait);
/* Also before it has begun to wait. */
void api_wait_end(struct api *api, struct api_wait *wait);

#endif
