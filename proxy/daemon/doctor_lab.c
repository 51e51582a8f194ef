/* What a lab needs, tried where a lab would be: in a network namespace of its own.
 *
 * Theory of operation. A child is cloned straight into the namespaces (a process with threads can't
 * go there itself), tries, and ends; what it made goes with its namespace. It shares this process's
 * memory while this thread waits, as with vfork: a copy would make every page of the workers'
 * pools fault again. So it writes its outcome where the parent reads it, and does nothing but
 * system calls.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "proxy/daemon/doctor_probes.h"

/* The thread sanitizer takes clone for a fork in a process with threads, and from then on sees no
 * more of what the calling thread does. glibc's other name for it is not watched. */
#ifdef __SANITIZE_THREAD__
int __clone(int (*run)(void *), void *stack, int flags, void *context, ...);
#define clone __clone
#endif

enum { STACK_BYTES = 256 * 1024 };

/* "Make a pair of veth devices, call them what you like." */
struct veth_request {
    struct nlmsghdr header;
    struct ifinfomsg link;
    struct rtattr info;
    struct rtattr kind;
    char name[8]; /* "veth", NUL, padding */
};

struct netlink_answer {
    struct nlmsghdr header;
    struct nlmsgerr error;
    char more[1024];
};

static int try_veth(void)
{
    struct veth_request request = {
        .header = {.nlmsg_len = sizeof(request),
                   .nlmsg_type = RTM_NEWLINK,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL},
        .info = {.rta_len = sizeof(request.info) + sizeof(request.kind) + sizeof(request.name),
                 .rta_type = IFLA_LINKINFO},
        .kind = {.rta_len = sizeof(request.kind) + sizeof("veth"), .rta_type = IFLA_INFO_KIND},
        .name = "veth",
    };
    struct netlink_answer answer = {0};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    int result = send(fd, &request, sizeof(request), 0) == sizeof(request) ? 0 : -errno;
    if (result == 0 && recv(fd, &answer, sizeof(answer), 0) < 0)
        result = -errno;
    if (result == 0)
        result = answer.header.nlmsg_type == NLMSG_ERROR ? answer.error.error : -EPROTO;
    close(fd);
    return result;
}

/* With PACKET_VNET_HDR super-packets stay whole. */
static int try_packet(void)
{
    int on = 1, fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int result = setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ? -errno : 0;
    close(fd);
    return result;
}

static int in_namespace(void *context)
{
    struct lab_outcome *outcome = context;
    outcome->veth = try_veth();
    outcome->packet = try_packet();
    return 0;
}

/* Runs in_namespace in a child with these namespaces. */
static int run_child(int namespaces, struct lab_outcome *outcome)
{
    static _Alignas(16) char stack[STACK_BYTES];
    int child = clone(in_namespace, stack + STACK_BYTES,
                      CLONE_VM | CLONE_VFORK | SIGCHLD | namespaces, outcome);
    int result = child < 0 ? -errno : 0;
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    return result;
}

void doctor_try_lab(struct lab_outcome *outcome)
{
    *outcome = (struct lab_outcome){.veth = -ENOTSUP, .packet = -ENOTSUP};
    outcome->user_namespace = run_child(CLONE_NEWUSER | CLONE_NEWNET, outcome);
    outcome->network_namespace = run_child(CLONE_NEWNET, outcome); /* has the last word: no less */
}

bool doctor_namespaces(const struct doctor *doctor, char *found)
{
    const struct lab_outcome *lab = &doctor->lab;
    if (lab->user_namespace == 0 && lab->network_namespace == 0)
        return doctor_tell(found, "user and network namespaces", 0);
    if (lab->user_namespace == 0)
        return doctor_tell(found, "network namespaces, inside of user namespaces only", 0);
    if (lab->network_namespace == 0)
        return doctor_tell(found, "network namespaces; no user namespaces", 0);
    return doctor_tell(found, "none", lab->user_namespace);
}

static bool tell_lab(char *found, int result)
{
    if (result == -ENOTSUP)
        return doctor_tell(found, "not tried without namespaces", 0) && false;
    return doctor_tell(found, result ? "refused" : "there", result);
}

bool doctor_veth(const struct doctor *doctor, char *found)
{
    return tell_lab(found, doctor->lab.veth);
}

bool doctor_packet(const struct doctor *doctor, char *found)
{
    return tell_lab(found, doctor->lab.packet);
}

/* Only looked for: trying it could load a module into the kernel for nothing. */
bool doctor_netem(const struct doctor *doctor, char *found)
{
    (void)doctor;
    doctor_tell(found, access("/sys/module/sch_netem", F_OK) ? "not loaded" : "loaded", 0);
    return true;
}
