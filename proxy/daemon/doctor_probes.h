/* The probes of the doctor. Internal to proxy/daemon/doctor*.c.
 *
 * A probe tries one thing, writes what it found (one short phrase, at most API_CHECK_FOUND_MAX),
 * and returns whether that is good. What follows from either is in doctor.c's table. */
#ifndef SEVER_DAEMON_DOCTOR_PROBES_H
#define SEVER_DAEMON_DOCTOR_PROBES_H

#include <stdbool.h>

#include "proxy/daemon/doctor.h"

/* What a lab can have, 0 or -errno each. */
struct lab_outcome {
    int user_namespace;    /* a user namespace with a network namespace */
    int network_namespace; /* one of the latter alone */
    int veth, packet;      /* inside of either; -ENOTSUP when there is neither */
};

struct doctor {
    const struct doctor_options *options;
    struct lab_outcome lab;
};

typedef bool (*doctor_probe)(const struct doctor *doctor, char *found);

/* Writes "WHAT" for 0 and "WHAT: strerror" otherwise. Returns whether result is 0. */
bool doctor_tell(char *found, const char *what, int result);

/* doctor_machine.c */
bool doctor_open_files(const struct doctor *doctor, char *found);
bool doctor_memory(const struct doctor *doctor, char *found);
bool doctor_cores(const struct doctor *doctor, char *found);
bool doctor_epoll(const struct doctor *doctor, char *found);
bool doctor_timer_slack(const struct doctor *doctor, char *found);
bool doctor_timer_lateness(const struct doctor *doctor, char *found);
bool doctor_clock_library(const struct doctor *doctor, char *found);
bool doctor_clock_page(const struct doctor *doctor, char *found);
bool doctor_clock_reading(const struct doctor *doctor, char *found);

/* doctor_sockets.c */
bool doctor_filters(const struct doctor *doctor, char *found);
bool doctor_filter_loading(const struct doctor *doctor, char *found);
bool doctor_raw_icmp(const struct doctor *doctor, char *found);
bool doctor_congestion(const struct doctor *doctor, char *found);
bool doctor_receive_queue(const struct doctor *doctor, char *found);
bool doctor_ipv6(const struct doctor *doctor, char *found);
bool doctor_reuse_port(const struct doctor *doctor, char *found);

/* doctor_lab.c */
void doctor_try_lab(struct lab_outcome *outcome);
bool doctor_namespaces(const struct doctor *doctor, char *found);
bool doctor_veth(const struct doctor *doctor, char *found);
bool doctor_packet(const struct doctor *doctor, char *found);
bool doctor_netem(const struct doctor *doctor, char *found);

#endif
