/* Theory of operation
 *
 * A stream plane (proxy/stream) under a ruleset with nothing in it: what a connection meets, it
 * meets on the lab's links, as the gateway's packets. The listening sockets are of the host's
 * network namespace, and so is what they accept; what the plane dials with is the node's.
 *
 * It is a child of the node's first process, so that it ends with the node. To become one it is
 * forked twice: a process can't enter a pid namespace, its children can; and the one between ends.
 */
#include "proxy/lab/gateway.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proxy/io/loop.h"
#include "proxy/io/pool.h"
#include "proxy/lab/lab.h"
#include "proxy/lab/message.h"
#include "proxy/stream/stream.h"

enum { POOL_BYTES = 64 << 20, CONNECTIONS_MAX = 4096 };

struct gateway {
    int socket;
    struct loop *loop;
    struct loop_watch watch;
    struct pool *pool;
    struct descriptors descriptors;
    struct fault_counters *counters;
    struct fault_plan *plan;
    struct stream_plane *plane;
    uint64_t serials;
    struct route_table tables[2]; /* the one in force, and the next */
    struct route_spec specs[2][LAB_PORTS_MAX];
    unsigned current;
};

/* The next table is the current one without `slot`, and with `added` when there is one. */
static void change_table(struct gateway *gateway, uint16_t slot, const struct route_spec *added)
{
    const struct route_table *old = &gateway->tables[gateway->current];
    unsigned next = !gateway->current;
    struct route_spec *specs = gateway->specs[next];
    size_t count = 0;
    int leaving = -1;
    for (size_t i = 0; i < old->route_count; i++) {
        if (old->routes[i].slot == slot)
            leaving = old->routes[i].fd;
        else
            specs[count++] = old->routes[i];
    }
    if (added)
        specs[count++] = *added;
    gateway->tables[next] = (struct route_table){.routes = specs, .route_count = count};
    stream_plane_apply(gateway->plane, gateway->plan, &gateway->tables[next]);
    stream_plane_settle(gateway->plane);
    gateway->current = next;
    if (leaving >= 0)
        close(leaving);
}

static void serve(struct gateway *gateway, const struct gateway_request *request, int fd,
                  struct gateway_reply *reply)
{
    assert(request->slot < LAB_PORTS_MAX);
    if (!request->add) {
        change_table(gateway, request->slot, NULL);
        return;
    }
    if (fd < 0) {
        reply->result = error_set(&reply->error, -EMFILE, "the gateway has no descriptors left");
        return;
    }
    struct route_spec spec = {.slot = request->slot,
                              .serial = ++gateway->serials,
                              .fd = fd,
                              .upstream = request->upstream,
                              .from = ROUTE_NO_NODE,
                              .to = ROUTE_NO_NODE};
    change_table(gateway, request->slot, &spec);
}

static void on_request(struct loop_watch *watch, uint32_t events)
{
    struct gateway *gateway = loop_container(watch, struct gateway, watch);
    struct gateway_request request;
    struct gateway_reply reply = {0};
    int fd;
    (void)events;
    int result = message_receive(gateway->socket, &request, sizeof(request), &fd, 1, 0);
    if (result == -ETIMEDOUT)
        return;
    if (result == -EMFILE)
        reply.result = error_set(&reply.error, result, "the gateway has no descriptors left");
    else if (result == 0)
        serve(gateway, &request, fd, &reply);
    else
        _exit(EXIT_SUCCESS); /* severd has gone, or the port's node */
    if (message_send(gateway->socket, &reply, sizeof(reply), NULL, 0))
        _exit(EXIT_FAILURE);
}

static int gateway_open(struct gateway *gateway)
{
    struct ruleset ruleset = {0};
    gateway->counters = calloc(1, sizeof(*gateway->counters));
    if (!gateway->counters)
        return -ENOMEM;
    descriptors_open(&gateway->descriptors);
    int result = loop_create(&gateway->loop, NULL);
    if (result == 0)
        result = pool_create(POOL_BYTES, &gateway->pool, NULL);
    if (result == 0)
        result = fault_plan_create(&ruleset, NULL, &gateway->plan, NULL);
    struct stream_options options = {.connections_max = CONNECTIONS_MAX,
                                     .loop = gateway->loop,
                                     .pool = gateway->pool,
                                     .counters = gateway->counters,
                                     .descriptors = &gateway->descriptors};
    if (result == 0)
        result = stream_plane_create(&options, &gateway->plane, NULL);
    if (result)
        return result;
    stream_plane_apply(gateway->plane, gateway->plan, &gateway->tables[0]);
    return loop_watch_add(gateway->loop, &gateway->watch, gateway->socket, EPOLLIN, on_request);
}

static _Noreturn void gateway_main(int socket)
{
    struct gateway *gateway = calloc(1, sizeof(*gateway));
    prctl(PR_SET_NAME, "lab-gateway");
    /* Of what the keeper has open it keeps standard error and its socket. */
    if (!gateway || dup2(socket, STDERR_FILENO + 1) < 0 || close_range(STDERR_FILENO + 2, ~0U, 0))
        _exit(EXIT_FAILURE);
    gateway->socket = STDERR_FILENO + 1;
    struct gateway_reply ready = {.result = gateway_open(gateway)};
    if (ready.result)
        error_set(&ready.error, ready.result, "the gateway: %s", strerror(-ready.result));
    if (message_send(gateway->socket, &ready, sizeof(ready), NULL, 0) || ready.result)
        _exit(EXIT_FAILURE);
    loop_run(gateway->loop);
    _exit(EXIT_FAILURE);
}

/* The process between: its exit tells nothing, the gateway's first message does. */
static _Noreturn void enter_and_clone(const struct holder *holder, int socket)
{
    struct gateway_reply refused = {0};
    if (setns(holder->pidfd,
              CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC))
        refused.result =
            error_set(&refused.error, -errno, "the gateway's namespaces: %s", strerror(errno));
    long pid = refused.result ? 1 : syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0);
    if (pid == 0)
        gateway_main(socket);
    if (pid < 0)
        refused.result =
            error_set(&refused.error, -errno, "the gateway's process: %s", strerror(errno));
    if (refused.result)
        message_send(socket, &refused, sizeof(refused), NULL, 0);
    _exit(EXIT_SUCCESS);
}

int gateway_start(const struct holder *holder, int *socket, struct error *error)
{
    int pair[2];
    int result = message_pair(pair);
    if (result)
        return error_set(error, result, "socket: %s", strerror(-result));
    pid_t pid = fork();
    if (pid == 0)
        enter_and_clone(holder, pair[1]);
    close(pair[1]);
    *socket = pair[0];
    if (pid > 0)
        return 0;
    result = error_set(error, -errno, "the gateway's process: %s", strerror(errno));
    close(pair[0]);
    return result;
}
