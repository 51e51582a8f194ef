/* The other end of a node's device: two AF_PACKET sockets that the kernel gives what the node sends
 * to, and the way to send to it.
 *
 * Theory of operation. A device carries super-packets of 64 KiB (offloads) and small ones, and a
 * ring has frames of one size. So there are two sockets on one device, with a filter each: frames
 * that fit PACKET_SMALL_BYTES are written into a ring by the kernel and need no call each; all
 * others wait in the large socket's queue, or, where that may not be made long enough, in a ring of
 * their own (ring.c says why). Each frame carries the time of its arrival, by which the reader puts
 * the two in order. Frames come with a virtio-net header right in front of the Ethernet header, and
 * are sent with one: so a packet that crosses untouched keeps its offloads, and is sent from the
 * very frame that it was received in.
 *
 * What the kernel found no room for is counted (packet_port_lost). What is sent is never seen
 * here. */
#ifndef SEVER_PACKET_RING_H
#define SEVER_PACKET_RING_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

#include "proxy/base/error.h"

enum packet_ring_kind { PACKET_RING_SMALL, PACKET_RING_LARGE /* or a queue */, PACKET_RINGS };
enum { PACKET_SMALL_BYTES = 1920, PACKET_BYTES_MAX = 65535 + 14 + 4 };
#define PACKET_RING_BYTES (UINT64_C(12) << 20) /* the default of a port */
/* Of a queue for large frames, by default; a longer one makes TCP's standing queue longer and the
 * caches colder, and a stream slower. As the kernel counts, where a full super-packet has some
 * 70 KiB. */
enum { PACKET_QUEUE_BYTES = 2 << 20 };

/* Makes and binds both sockets in the network namespace that the calling thread is in. ring_bytes:
 * for frames that wait; a third for small ones, the rest for large ones; 0: PACKET_RING_BYTES, but
 * PACKET_QUEUE_BYTES for a queue. Needs CAP_NET_RAW and CAP_NET_ADMIN there. fds: the caller's to
 * close. They can be handed to another process. -errno. */
int packet_sockets_open(int device_index, uint64_t ring_bytes, int fds[PACKET_RINGS],
                        struct error *error);

struct packet_port;

/* Has what is needed to read from sockets that packet_sockets_open made with the same ring_bytes,
 * in any process; takes them over on success. -ENOMEM, -errno. */
int packet_port_create(const int fds[PACKET_RINGS], uint64_t ring_bytes, struct packet_port **port,
                       struct error *error);
void packet_port_destroy(struct packet_port *port); /* NULL is fine */
int packet_port_fd(const struct packet_port *port, enum packet_ring_kind kind);

/* A frame that was taken, until it is released. */
struct packet_frame {
    struct virtio_net_hdr *header; /* right in front of `bytes` */
    unsigned char *bytes;          /* from the Ethernet header on; may be written to */
    uint32_t length;               /* of the Ethernet frame, as far as it is there */
    bool is_partial;               /* it was longer than there is room for: the rest is lost */
    enum packet_ring_kind kind;
    uint64_t arrived_ns; /* wall clock, by the kernel */
};

/* Takes frames in order of arrival, at most `room` (2 or more): what they say stays until they are
 * released, which is done before more are taken. Returns how many; when there are more, one of the
 * descriptors is readable. For one thread alone. */
unsigned packet_port_take(struct packet_port *port, struct packet_frame *frames, unsigned room);
void packet_port_release(struct packet_port *port); /* all that were taken */
/* Frames that the kernel found no room for, ever. Any thread. */
uint64_t packet_port_lost(struct packet_port *port);

/* The frame's first bytes lie right behind the header; the rest of it may be elsewhere. */
struct packet_parts {
    const struct virtio_net_hdr *header;
    uint32_t length; /* behind the header */
    uint32_t rest_length;
    const unsigned char *rest; /* NULL: there is none */
};
/* Sends to the node; never waits. Any thread, several at once. Returns how many the kernel took,
 * from the first on; one that it did not take is skipped by the caller, who counts it. */
unsigned packet_port_send(const struct packet_port *port, const struct packet_parts *parts,
                          unsigned count);

#endif
