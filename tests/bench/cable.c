/* What a lab's link is compared with: a veth pair between two network namespaces, in a user
 * namespace that the caller owns, so that an ordinary user has it, too.
 *   cable pair     with offloads, as it comes
 *   cable plain    without: packets have wire size
 *   cable alone    one namespace and no cable; another program brings one
 * Prints "near PID" and "far PID", processes to enter the namespaces by (the far end
 * has 10.78.0.2), and stays until it is ended; then all is gone. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>

#include "tests/bench/lib/load.h"

#define DEVICE "eth0"
enum { ENDS = 2 };

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        load_fail(path);
    close(fd);
}

/* One's own ids alone may be mapped without privilege. */
static void enter_user_namespace(void)
{
    unsigned uid = geteuid(), gid = getegid();
    char map[64];
    if (unshare(CLONE_NEWUSER))
        load_fail("a user namespace");
    snprintf(map, sizeof(map), "%u %u 1", uid, uid);
    write_file("/proc/self/uid_map", map);
    write_file("/proc/self/setgroups", "deny");
    snprintf(map, sizeof(map), "%u %u 1", gid, gid);
    write_file("/proc/self/gid_map", map);
}

/* A process that waits in a network namespace of its own, and ends with this one. */
static pid_t start_end(void)
{
    int ready[2];
    char byte = 'x';
    if (pipe2(ready, O_CLOEXEC))
        load_fail("pipe");
    pid_t pid = fork();
    if (pid < 0)
        load_fail("fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(CLONE_NEWNET) || write(ready[1], &byte, 1) != 1)
            load_fail("a network namespace");
        for (;;)
            pause();
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        load_fail("an end of the cable");
    close(ready[0]);
    return pid;
}

static void enter(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0 || setns(fd, CLONE_NEWNET))
        load_fail("entering a network namespace");
    close(fd);
}

static void must(int code, const char *what)
{
    errno = 0;
    if (code < 0) {
        fprintf(stderr, "%s: %s\n", what, nl_geterror(code));
        load_fail("netlink");
    }
}

static struct nl_sock *open_netlink(void)
{
    struct nl_sock *netlink = nl_socket_alloc();
    if (!netlink)
        load_fail("netlink");
    must(nl_connect(netlink, NETLINK_ROUTE), "netlink");
    return netlink;
}

static void create_pair(pid_t near, pid_t far)
{
    enter(near);
    struct nl_sock *netlink = open_netlink();
    struct rtnl_link *link = rtnl_link_veth_alloc();
    if (!link)
        load_fail("netlink");
    struct rtnl_link *peer = rtnl_link_veth_get_peer(link);
    rtnl_link_set_name(link, DEVICE);
    rtnl_link_set_name(peer, DEVICE);
    rtnl_link_set_ns_pid(peer, far);
    must(rtnl_link_add(netlink, link, NLM_F_CREATE | NLM_F_EXCL), "a veth pair");
    rtnl_link_put(peer);
    rtnl_link_put(link);
    nl_socket_free(netlink);
}

static void add_address(struct nl_sock *netlink, const char *text)
{
    struct nl_addr *local = NULL;
    struct rtnl_addr *address = rtnl_addr_alloc();
    must(nl_addr_parse(text, AF_INET, &local), text);
    rtnl_addr_set_ifindex(address, (int)if_nametoindex(DEVICE));
    must(rtnl_addr_set_local(address, local), text);
    must(rtnl_addr_add(netlink, address, 0), text);
    rtnl_addr_put(address);
    nl_addr_put(local);
}

static void set_up(int fd, const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_UP};
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    if (ioctl(fd, SIOCSIFFLAGS, &request))
        load_fail(name);
}

static void turn_offloads_off(int fd)
{
    static const uint32_t commands[] = {ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        struct ethtool_value value = {.cmd = commands[i], .data = 0};
        struct ifreq request = {.ifr_data = (char *)&value};
        snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", DEVICE);
        if (ioctl(fd, SIOCETHTOOL, &request))
            load_fail("turning offloads off");
    }
}

static void configure(pid_t pid, const char *address, bool plain)
{
    enter(pid);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        load_fail("socket");
    struct nl_sock *netlink = open_netlink();
    add_address(netlink, address);
    nl_socket_free(netlink);
    if (plain)
        turn_offloads_off(fd);
    set_up(fd, "lo");
    set_up(fd, DEVICE);
    close(fd);
}

/* Its ends are reaped here: whose they would be otherwise may take its time. */
static void await_end(const pid_t ends[ENDS])
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    sigset_t set;
    int number;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaddset(&set, signals[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigwait(&set, &number);
    for (int i = 0; i < ENDS && ends[i] > 0; i++) {
        kill(ends[i], SIGKILL);
        waitpid(ends[i], NULL, 0);
    }
}

int main(int argc, char **argv)
{
    const char *kind = argc == 2 ? argv[1] : "";
    bool plain = strcmp(kind, "plain") == 0, alone = strcmp(kind, "alone") == 0;
    if (!plain && !alone && strcmp(kind, "pair") != 0) {
        fprintf(stderr, "usage: cable pair|plain|alone\n");
        return 2;
    }
    enter_user_namespace();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pid_t near = start_end(), far = alone ? 0 : start_end();
    const pid_t ends[ENDS] = {near, far};
    if (!alone) {
        create_pair(near, far);
        configure(near, "10.78.0.1/24", plain);
        configure(far, "10.78.0.2/24", plain);
        printf("far %d\n", (int)far);
    }
    printf("near %d\n", (int)near);
    fflush(stdout);
    await_end(ends);
    return 0;
}
