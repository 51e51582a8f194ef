/* Socket filters: a real cut and real loss on a TCP socket.
 *
 * The kernel runs a filter on each segment that comes in for a socket, before TCP sees it. What it
 * drops was never there: no ACK, the peer retransmits and backs off, a SYN stays unanswered. Only
 * what comes in is filtered; what this side sends, its own retransmissions included, is not.
 *
 * A program is compiled once from a plain value, loaded once where the kernel allows it, and then
 * attached to any number of sockets. Any thread may do any of this, one at a time for a program.
 * Compiling and loading allocate: they are for the first socket that wants such a program (as a
 * worker settles a new plan, mostly), and whoever has several sockets keeps it. Attaching and
 * detaching are one system call without allocation in user space. Loaded, a program
 * is shared, and attaching takes about 1 us; otherwise the kernel compiles it for each socket,
 * about 12 us for a cut and 40 us for loss. Functions return 0 or -errno. -EPERM: the kernel
 * refuses (some want CAP_NET_ADMIN in the socket's network namespace). For TCP: on other sockets
 * the loss programs would read what is no TCP header, and streams of unix sockets are not filtered
 * at all.
 *
 * tests/platform/test_filter.c proves what is said here of the kernel. */
#ifndef SEVER_IO_FILTER_H
#define SEVER_IO_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/address.h"

struct sock_filter;

enum {
    FILTER_SEGMENT_DEFAULT = 1448, /* bytes of data in a segment of Ethernet */
    FILTER_SEGMENT_MIN = 536,
    FILTER_SEGMENT_PACKET = 65536, /* a packet is one segment, whatever it carries */
    FILTER_SEGMENT_ANNOUNCED = FILTER_SEGMENT_DEFAULT + 12, /* with TCP's timestamps */
};

/* What comes in on a connection. Neither cut nor loss: all of it passes. */
struct filter_spec {
    bool cut;               /* nothing does */
    uint32_t loss_ppb;      /* each segment is lost with this probability; RANDOM_PPB_ONE: a cut */
    uint32_t segment_bytes; /* data in one segment; 0: FILTER_SEGMENT_DEFAULT; at least _MIN */
};

/* What comes in from one host. */
struct filter_source {
    struct address host; /* IPv4 or IPv6; ::ffff:a.b.c.d is a.b.c.d; the port does not matter */
    uint32_t loss_ppb;   /* RANDOM_PPB_ONE: a cut */
};

struct filter_program {
    struct sock_filter *code; /* classic BPF */
    uint16_t length;          /* instructions */
    int fd;                   /* the loaded program; -1: not loaded */
};

/* One segment is one draw. What a segment is, the peer decides by what this side announces: on
 * loopback 64 KiB, unless FILTER_SEGMENT_ANNOUNCED was set before the connection began (on the
 * listener, or before connect: socket_set_segment_bytes). That takes a third of what loopback
 * carries, so only where a loss is to be expected. Without it, segment_bytes should be what the
 * segments are, FILTER_SEGMENT_PACKET for loopback's: drawn for as if they were Ethernet's, hardly
 * one gets through whole, and a bulk stream nearly stands. The kernel hands over many segments at
 * once, of which then those before the first lost one are kept; what carries FIN or RST is kept or
 * lost as a whole. */
void filter_compile(const struct filter_spec *spec, struct filter_program *program);
/* For a listening socket whose clients are told apart by their address: hosts that are not listed
 * lose others_ppb. A host that is listed twice has the higher loss. One draw for each SYN, whatever
 * data it carries. Sockets that the listener accepts inherit the program: detach it from them, or
 * attach another. 512 hosts with up to 128 different losses fit, whatever their addresses; -E2BIG
 * for more than the kernel takes, -EINVAL for an address without a host. */
int filter_compile_sources(const struct filter_source *sources, size_t count, uint32_t others_ppb,
                           struct filter_program *program);
/* Hands the program to the kernel once for all sockets, by bpf(2). Without it (-EPERM for an
 * ordinary user and inside a user namespace) the program works all the same, but attaching is
 * slower. */
int filter_load(struct filter_program *program);
/* What is attached stays attached. */
void filter_free(struct filter_program *program);

/* In force when it returns, in place of what was attached before. On a listener it holds for new
 * clients (and survives shutdown and another listen), on a socket that is not connected yet for the
 * answer. */
int filter_attach(int fd, const struct filter_program *program);
int filter_detach(int fd); /* 0 also when there is none */
/* Whether filters can be attached here, tried on a socket of its own: 0 or -errno. */
int filter_allowed(void);
/* Packets that were dropped on this socket since it began, by filters and by full buffers; -errno
 * when unknown. A packet that loss has shortened is not among them. */
int64_t filter_dropped(int fd);

#endif
