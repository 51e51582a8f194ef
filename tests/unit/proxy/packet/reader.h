/* The frames of a port, one after the other. */
#ifndef TESTS_UNIT_PROXY_PACKET_READER_H
#define TESTS_UNIT_PROXY_PACKET_READER_H

#include <poll.h>

#include "proxy/packet/ring.h"

struct reader { /* zero-initialise */
    struct packet_port *port;
    struct packet_frame frames[16];
    unsigned count, next;
};

/* The next frame, which stays until the next call; NULL: there is none. */
static inline const struct packet_frame *reader_next(struct reader *reader)
{
    if (reader->next == reader->count) {
        packet_port_release(reader->port);
        reader->next = 0;
        reader->count = packet_port_take(reader->port, reader->frames, 16);
    }
    return reader->next < reader->count ? &reader->frames[reader->next++] : NULL;
}

/* Whether a frame has come, at the latest after `timeout_ms`. */
static inline bool reader_await(const struct reader *reader, int timeout_ms)
{
    struct pollfd polled[PACKET_RINGS];
    for (int kind = 0; kind < PACKET_RINGS; kind++)
        polled[kind] = (struct pollfd){
            .fd = packet_port_fd(reader->port, (enum packet_ring_kind)kind), .events = POLLIN};
    return poll(polled, PACKET_RINGS, timeout_ms) > 0;
}

#endif
