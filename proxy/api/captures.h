/* Streams of GET /v1/capture. */
#ifndef SEVER_API_CAPTURES_H
#define SEVER_API_CAPTURES_H

#include <stdbool.h>
#include <stdint.h>

struct api;
struct api_capture_stream;

/* Zero-initialised is fine. */
struct api_capture_streams {
    struct api_capture_stream *first;
    bool resumed;       /* libmicrohttpd has to run for one, though no descriptor says so */
    uint64_t looked_ns; /* when it was last looked who is gone */
};

/* Resumes those that have something to send, and ends those whose peer is gone. In every api_run,
 * before libmicrohttpd. */
void api_captures_run(struct api *api);
/* 0 when libmicrohttpd has to run at once; UINT64_MAX when nothing is due. */
uint64_t api_captures_deadline_ns(const struct api *api);
/* The end of all: each is sent what is left, with the end of its file, as long as that does not
 * take more than half a second. */
void api_captures_close(struct api *api);

#endif
