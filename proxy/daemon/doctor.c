/* The table of checks: what is tried, and what follows from either outcome. */
#include "proxy/daemon/doctor.h"

#include <stdio.h>
#include <string.h>

#include "proxy/daemon/doctor_probes.h"

struct check {
    const char *name;
    bool needed;
    doctor_probe probe;
    const char *means;   /* when it is good */
    const char *lacking; /* when it is not */
    const char *advice;
};

static const struct check checks[] = {
    {"open files", true, doctor_open_files, "each connection takes two",
     "further connections soon wait unaccepted",
     "start severd with a higher limit: ulimit -n 20000, or LimitNOFILE= of the service"},
    {"memory", true, doctor_memory, "bytes on their way are held there, and bounded by it",
     "under load the kernel may end severd or a node",
     "free memory, or start severd with fewer --workers"},
    {"cores", false, doctor_cores, "each worker can have a core",
     "workers take time from each other, and timers run late",
     "start severd with as many --workers as it has cores, or leave that out"},
    {"epoll_pwait2", false, doctor_epoll, "one system call waits in nanoseconds",
     "a timerfd stands in, for one more system call a turn", "Linux 5.11 or newer has it"},
    {"timer slack", false, doctor_timer_slack, "timers are as exact as the kernel can",
     "each wait is up to 50 us too long", "let severd call prctl(PR_SET_TIMERSLACK)"},
    {"timer lateness", false, doctor_timer_lateness, "a delay is this much too long",
     "delays are longer than asked for",
     "give the machine less to do, or more cores; see severctl status for what it was under load"},
    {"clock reading", false, doctor_clock_reading, "programs read the clock without the kernel",
     "reading the clock is slow, and dear to severd and to every node",
     "choose tsc or kvm-clock in /sys/devices/system/clocksource, if this machine has them"},
    {"clock library", false, doctor_clock_library, "programs can be started under a node's clock",
     "no clock can be shifted",
     "install libsever-clock.so where severd looks: ../lib or ../lib/sever beside it"},
    {"clock pages", false, doctor_clock_page, "programs read their node's clock there",
     "no node can be added", "start severd with a --run-dir that it may write to"},
    {"socket filters", false, doctor_filters,
     "cuts of TCP routes are cut cables, losses lost segments (not with --stall-only)",
     "a cut of a TCP route is a stall: the kernel acknowledges on; loss does nothing there",
     "start severd with CAP_NET_ADMIN in its network namespace (as root, or in a user namespace)"},
    {"filter loading", false, doctor_filter_loading, "a filter is put on a socket in about 1 us",
     "where filters are allowed, one takes about 12 us a socket, for loss 40 us",
     "give severd CAP_BPF and CAP_NET_ADMIN, outside of a user namespace"},
    {"raw ICMP", false, doctor_raw_icmp, "reject answers a datagram with ICMP port unreachable",
     "reject drops datagrams without an answer", "start severd with CAP_NET_RAW"},
    {"congestion control", false, doctor_congestion, "loss slows TCP down, as people expect",
     "BBR does not slow down for loss: at 1% it is a hundred times as fast as cubic",
     "sysctl -w net.ipv4.tcp_congestion_control=cubic, or what you run in production"},
    {"IPv6 loopback", false, doctor_ipv6, "routes can listen on ::1", "no route on ::1",
     "sysctl -w net.ipv6.conf.lo.disable_ipv6=0, or ip link set lo up"},
    {"SO_REUSEPORT", false, doctor_reuse_port, "routes can be spread over the workers",
     "no route can be spread over the workers", "Linux 3.9 or newer has it"},
    {"namespaces", false, doctor_namespaces, "labs: nodes can have networks of their own",
     "no labs: severctl lab up is refused",
     "start severd as root, or allow user namespaces: sysctl -w user.max_user_namespaces=10000 "
     "and, "
     "where it is there, kernel.apparmor_restrict_unprivileged_userns=0"},
    {"veth", false, doctor_veth, "labs: nodes can have a cable",
     "no labs: severctl lab up is refused",
     "modprobe veth, as root and on the host where severd is in a container; a kernel with "
     "CONFIG_VETH has it"},
    {"packet sockets", false, doctor_packet, "labs: severd can hold the other end of a cable",
     "no labs: severctl lab up is refused", "a kernel with CONFIG_PACKET has them"},
    {"receive queues", false, doctor_receive_queue,
     "labs: large packets wait in sockets, and cross as fast as a veth pair",
     "labs: large packets wait in rings, and cross more slowly",
     "sysctl -w net.core.rmem_max=1048576, or start severd as root"},
    {"sch_netem", false, doctor_netem, "nothing: severd does not use it", "", ""},
};
#define CHECK_COUNT (sizeof(checks) / sizeof(checks[0]))
_Static_assert(CHECK_COUNT <= API_CHECKS_MAX, "as many as the API takes");

bool doctor_tell(char *found, const char *what, int result)
{
    snprintf(found, API_CHECK_FOUND_MAX, "%s%s%s", what, result ? ": " : "",
             result ? strerror(-result) : "");
    return result == 0;
}

size_t doctor_examine(const struct doctor_options *options, struct api_check out[])
{
    struct doctor doctor = {.options = options};
    doctor_try_lab(&doctor.lab);
    for (size_t i = 0; i < CHECK_COUNT; i++) {
        out[i] = (struct api_check){.name = checks[i].name, .needed = checks[i].needed};
        out[i].ok = checks[i].probe(&doctor, out[i].found);
        out[i].means = out[i].ok ? checks[i].means : checks[i].lacking;
        out[i].advice = out[i].ok ? "" : checks[i].advice;
    }
    return CHECK_COUNT;
}
