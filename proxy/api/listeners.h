/* Listeners of GET /v1/events: bounded queues, nobody waits for anybody.
 *
 * An event is made once and shared. A listener that has nothing to send is suspended in
 * libmicrohttpd and resumed by the next event; one whose queue is full is disconnected. */
#ifndef SEVER_API_LISTENERS_H
#define SEVER_API_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <microhttpd.h>

#include "proxy/api/api.h"

struct api_event;
struct api_listener;

/* Zero-initialised is fine. */
struct api_listeners {
    struct api_listener *first;
    size_t count;          /* of those that are not being ended */
    bool resumed;          /* libmicrohttpd has to run for someone, though no descriptor says so */
    uint64_t heartbeat_ns; /* when the next heartbeat is due; meaningful while count > 0 */
    struct api_event *history[API_LISTENER_EVENTS_MAX]; /* the last changes, oldest overwritten */
    size_t history_count;                               /* ever */
};

/* A change came into force. changes: an array of texts, borrowed. */
void api_listeners_tell_change(struct api_listeners *listeners, uint64_t version, const char *by,
                               json_t *changes);
/* Something happened to the lab that is no change of the ruleset; it is not kept for later ones. */
void api_listeners_tell_lab(struct api_listeners *listeners, uint64_t version, const char *by,
                            const char *text);
/* Sends a heartbeat if it is due. */
void api_listeners_run(struct api_listeners *listeners, uint64_t version, uint64_t now_ns);
/* 0 when libmicrohttpd has to run at once, UINT64_MAX when there is no listener. */
uint64_t api_listeners_deadline_ns(const struct api_listeners *listeners);

/* Makes the response of a new listener. since: NULL, or the version after which it wants the
 * changes. NULL when there are too many listeners, whose peers are all there. */
struct MHD_Response *api_listeners_add(struct api_listeners *listeners,
                                       struct MHD_Connection *connection, const uint64_t *since,
                                       uint64_t version, const char *by, uint64_t now_ns);

/* Ends every listener so that libmicrohttpd can stop, and forgets the history. */
void api_listeners_close(struct api_listeners *listeners);

#endif
