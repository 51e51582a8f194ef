/* What the load generators share: the command line, blocking sockets on loopback, and ending with a
 * message. A generator is both ends of the load: it listens where the proxies' upstream is, and
 * connects to the proxy under test (or, for "direct", to itself). It does one measurement, prints
 * "METRIC VALUE" lines, and exits; errors end it with 1.
 *
 * The two ends may be in network namespaces of their own: a socket is made in the one that its end
 * is in, and stays there. The far end is made first. */
#ifndef SEVER_TESTS_BENCH_LOAD_H
#define SEVER_TESTS_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct load_options {
    uint16_t listen_port;  /* -l: what the proxies have as upstream */
    uint16_t connect_port; /* -c: the proxy, or listen_port */
    uint64_t seconds_ns;   /* -s: the measurement */
    uint64_t warmup_ns;    /* -w: load before it */
    uint64_t delay_ns;     /* -d: what the proxy was asked to add one way */
    unsigned count;        /* -n: streams, connections, packets in flight: as the generator says */
    unsigned bytes;        /* -b: of a datagram */
    unsigned segments;     /* -g: datagrams in one call, as a super-packet */
    bool read;             /* -r: streams are really read */
    bool datagrams;        /* -u: instead of a stream */
    pid_t pid;             /* -p: the proxy, whose CPU time or memory is taken; 0: none */
    pid_t near_node, far_node; /* -N, -F: a process whose network namespace has this end; 0: here */
    const char *address;       /* -a: the IPv4 address that the near end connects to */
    const char *congestion;    /* -k: congestion control of the near end; NULL: the default */
};

/* Reads argv over the defaults in *options; ends the program on anything it does not know. Times on
 * the command line have a unit ("2s", "1ms"). The program ends with its parent from now on, may
 * open as many descriptors as the hard limit allows, and is in the user namespace of the ends, if
 * they have one. */
void load_options_parse(int argc, char **argv, struct load_options *options);

/* Prints "generator: what: strerror(errno)" (no errno: without) and ends the program with 1. */
_Noreturn void load_fail(const char *what);

/* Starts a detached thread. */
void load_thread(void *(*run)(void *), void *context);

/* Blocking sockets, TCP_NODELAY set on streams. source: the low three bytes of
 * the address in 127.0.0.0/8 to connect from, 0 for any. All end the program when they fail. */
int load_listen(uint16_t port);
int load_accept(int listener);
int load_connect(uint16_t port, unsigned source);
int load_datagram(uint16_t bind_port, uint16_t connect_port); /* 0: not bound, not connected */
/* Exactly length bytes; false at the end of the stream. */
bool load_receive(int fd, void *bytes, size_t length);
void load_send(int fd, const void *bytes, size_t length);
/* One connection through the proxy, proven by a byte: *near is the client's end, *far the
 * upstream's. */
void load_pair(int listener, uint16_t connect_port, unsigned source, int *near, int *far);

void load_wait_until(uint64_t deadline_ns); /* monotonic */

#endif
