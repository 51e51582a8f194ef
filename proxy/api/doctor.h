/* Answers of GET /v1/doctor, which take some tenths of a second each. */
#ifndef SEVER_API_DOCTOR_H
#define SEVER_API_DOCTOR_H

#include <jansson.h>

#include "proxy/api/wait.h"

struct api;
struct api_examination;

struct api_doctor {
    int over_fd;                        /* eventfd: the examination is over */
    struct api_examination *being_made; /* by a thread; NULL: none is */
    struct api_wait *first;             /* who waits for it */
    json_t *answer;                     /* after the last one; NULL before */
};

/* -errno. */
int api_doctor_open(struct api_doctor *doctor);
/* When an examination is over, ends the waits for it. In every api_run, before libmicrohttpd. */
void api_doctor_run(struct api *api);
/* Waits for the examination that is being made. Before libmicrohttpd is stopped. Fine when open has
 * failed. */
void api_doctor_close(struct api *api);

#endif
