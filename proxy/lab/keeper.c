/* Theory of operation
 *
 * One thread, one loop: it waits for a request, or for a holder to end. It lives as long as severd
 * holds the other end of its control socket, and not longer than severd (PR_SET_PDEATHSIG, for the
 * moments when it does not look at the socket). The terminal's signals are not for it: severd
 * decides when a lab ends.
 *
 * Nodes are in the order in which they came, so that the hosts file only grows at its end. */
#include "proxy/lab/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/lab/gateway.h"
#include "proxy/lab/holder.h"
#include "proxy/lab/hosts.h"
#include "proxy/lab/message.h"
#include "proxy/lab/namespaces.h"

/* How long it waits for dead processes of a node that is removed; of all when the lab ends. */
#define REMOVE_NS (2 * NS_PER_S)
#define END_NS (5 * NS_PER_S)

struct node {
    char name[LAB_NAME_MAX];
    uint64_t serial;
    struct device_spec device;
    struct holder holder;
    int index; /* of the outer device */
};

struct keeper {
    struct devices devices;
    int hosts; /* the file; -1 before KEEPER_START */
    struct node nodes[LAB_NODES_MAX];
    size_t node_count;
};

static int write_hosts(const struct keeper *keeper, struct error *error)
{
    struct text text = {0};
    hosts_append_local(&text);
    for (size_t n = 0; n < keeper->node_count; n++)
        for (size_t a = 0; a < keeper->nodes[n].device.address_count; a++)
            hosts_append(&text, &keeper->nodes[n].device.addresses[a], keeper->nodes[n].name);
    int result = hosts_write(keeper->hosts, &text, error);
    text_free(&text);
    return result;
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

static int start(struct keeper *keeper, struct keeper_reply *reply)
{
    struct error *error = &reply->error;
    int result = namespaces_enter(&reply->user_namespace, error);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a new user namespace had cleared it */
    if (result || (result = hosts_mount(&keeper->hosts, error)) ||
        (result = devices_open(&keeper->devices, error)))
        return result;
    reply->ipv6 = keeper->devices.ipv6;
    return write_hosts(keeper, error);
}

/* Device, sockets and settings of a node whose holder runs. fds: KEEPER_NODE_FDS. */
static int equip(struct keeper *keeper, struct node *node, uint64_t ring_bytes, int *fds,
                 struct error *error)
{
    int result =
        devices_create(&keeper->devices, &node->device, node->holder.pid, &node->index, error);
    if (result)
        return result;
    result = packet_sockets_open(node->index, ring_bytes, fds, error);
    if (result) {
        fds[0] = fds[1] = -1;
    } else {
        result = devices_configure(&keeper->devices, &node->device, node->holder.pidfd,
                                   &fds[PACKET_RINGS], error);
    }
    if (result)
        devices_delete(&keeper->devices, node->index);
    return result;
}

static int add(struct keeper *keeper, const struct keeper_request *request,
               struct keeper_reply *reply, int *fds)
{
    struct node *node = &keeper->nodes[keeper->node_count];
    struct error *error = &reply->error;
    if (keeper->node_count == LAB_NODES_MAX)
        return error_set(error, -E2BIG, "a lab has at most %d nodes", LAB_NODES_MAX);
    *node = (struct node){.serial = request->serial, .device = request->device};
    snprintf(node->name, sizeof(node->name), "%s", request->name);
    int result = holder_start(node->name, &node->holder, error);
    if (result)
        return result;
    result = equip(keeper, node, request->ring_bytes, fds, error);
    if (result == 0) {
        keeper->node_count++;
        result = write_hosts(keeper, error);
        if (result == 0) {
            reply->pid = node->holder.pid;
            return 0;
        }
        keeper->node_count--;
        devices_delete(&keeper->devices, node->index);
    }
    holder_kill(&node->holder);
    holder_reap(&node->holder, monotonic_now_ns() + REMOVE_NS);
    return result;
}

static struct node *find_node(struct keeper *keeper, const char *name)
{
    for (size_t i = 0; i < keeper->node_count; i++)
        if (strcmp(keeper->nodes[i].name, name) == 0)
            return &keeper->nodes[i];
    return NULL;
}

/* Its device goes at once: sockets that are still open somewhere would keep the namespace. */
static void drop(struct keeper *keeper, struct node *node)
{
    holder_kill(&node->holder);
    devices_delete(&keeper->devices, node->index);
    holder_reap(&node->holder, monotonic_now_ns() + REMOVE_NS);
    size_t after = (size_t)(&keeper->nodes[keeper->node_count] - (node + 1));
    memmove(node, node + 1, after * sizeof(*node));
    keeper->node_count--;
    write_hosts(keeper, NULL); /* it only shrinks */
}

static int open_gateway(struct keeper *keeper, const char *name, int *fd, struct error *error)
{
    const struct node *node = find_node(keeper, name);
    if (!node)
        return error_set(error, -ENOENT, "the lab has no node '%s'", name);
    return gateway_start(&node->holder, fd, error);
}

static int serve(struct keeper *keeper, const struct keeper_request *request,
                 struct keeper_reply *reply, int *fds)
{
    struct node *node;
    switch (request->verb) {
    case KEEPER_START:
        return start(keeper, reply);
    case KEEPER_ADD:
        return add(keeper, request, reply, fds);
    case KEEPER_REMOVE:
        node = find_node(keeper, request->name);
        if (node)
            drop(keeper, node);
        return 0;
    case KEEPER_GATEWAY:
        return open_gateway(keeper, request->name, &fds[0], &reply->error);
    }
    return error_set(&reply->error, -EPROTO, "unknown request");
}

/* False: severd has gone. */
static bool take_request(struct keeper *keeper)
{
    struct keeper_request request;
    struct keeper_reply reply = {0};
    int fds[KEEPER_NODE_FDS] = {-1, -1, -1};
    size_t count = 0;
    int result = message_receive(KEEPER_CONTROL_FD, &request, sizeof(request), NULL, 0, 0);
    if (result == -ETIMEDOUT)
        return true;
    if (result)
        return false;
    reply.result = serve(keeper, &request, &reply, fds);
    while (reply.result == 0 && count < KEEPER_NODE_FDS && fds[count] >= 0)
        count++;
    result = message_send(KEEPER_CONTROL_FD, &reply, sizeof(reply), fds, count);
    message_close_fds(fds, KEEPER_NODE_FDS);
    return result == 0;
}

/* The node whose holder has ended. severd reads its notes when it likes; if it has not for hundreds
 * of them, the keeper gives up on it. */
static bool tell_end(struct keeper *keeper, struct node *node)
{
    struct keeper_note note = {.serial = node->serial};
    snprintf(note.name, sizeof(note.name), "%s", node->name);
    drop(keeper, node);
    return message_send(KEEPER_NOTES_FD, &note, sizeof(note), NULL, 0) == 0;
}

/* One turn; false: the lab ends. */
static bool turn(struct keeper *keeper)
{
    struct pollfd polled[LAB_NODES_MAX + 1];
    size_t count = keeper->node_count;
    for (size_t i = 0; i < count; i++)
        polled[i] = (struct pollfd){.fd = keeper->nodes[i].holder.pidfd, .events = POLLIN};
    polled[count] = (struct pollfd){.fd = KEEPER_CONTROL_FD, .events = POLLIN};
    if (poll(polled, count + 1, -1) < 0)
        return errno == EINTR;
    for (size_t i = count; i-- > 0;) /* from the end: drop moves those behind */
        if (polled[i].revents && !tell_end(keeper, &keeper->nodes[i]))
            return false;
    return polled[count].revents == 0 || take_request(keeper);
}

static void end_all(struct keeper *keeper)
{
    uint64_t deadline_ns = monotonic_now_ns() + END_NS;
    for (size_t i = 0; i < keeper->node_count; i++)
        holder_kill(&keeper->nodes[i].holder);
    for (size_t i = 0; i < keeper->node_count; i++)
        holder_reap(&keeper->nodes[i].holder, deadline_ns);
}

static void set_process(void)
{
    static const int ignored[] = {
        SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
        SIGPIPE, SIGTSTP, SIGUSR1, SIGCHLD /* children are reaped by the kernel */};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t none;
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        sigaction(ignored[i], &ignore, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "lab-keeper");
    setsid();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    close_if_open(null);
    close_range(KEEPER_NOTES_FD + 1, ~0U, 0);
    fcntl(KEEPER_CONTROL_FD, F_SETFD, FD_CLOEXEC);
    fcntl(KEEPER_NOTES_FD, F_SETFD, FD_CLOEXEC);
    if (chdir("/"))
        _exit(EXIT_FAILURE);
}

void lab_keeper_main(int argc, char **argv)
{
    static struct keeper keeper = {.hosts = -1, .devices.namespace = -1};
    if (argc < 1 || strcmp(argv[0], KEEPER_PROGRAM) != 0)
        return;
    set_process();
    while (turn(&keeper))
        ;
    end_all(&keeper);
    _exit(EXIT_SUCCESS);
}
