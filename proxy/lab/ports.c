/* Ports of the host that lead into a lab. They listen in this process's network namespace; the
 * gateway's process, which has sockets of the lab, accepts and relays. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/io/socket.h"
#include "proxy/lab/gateway.h"
#include "proxy/lab/internal.h"
#include "proxy/lab/message.h"

#define ANSWER_NS (10 * NS_PER_S)

static int take_reply(struct lab *lab, struct error *error)
{
    struct gateway_reply reply;
    int result = message_receive(lab->gateway, &reply, sizeof(reply), NULL, 0,
                                 monotonic_now_ns() + ANSWER_NS);
    if (result) {
        shutdown(lab->gateway, SHUT_RDWR); /* lab_check takes it for ended */
        return error_set(error, -EIO, "the lab's gateway does not answer: %s", strerror(-result));
    }
    if (reply.result && error)
        *error = reply.error;
    return reply.result;
}

static int open_gateway(struct lab *lab, struct error *error)
{
    struct keeper_request request = {.verb = KEEPER_GATEWAY, .name = LAB_GATEWAY};
    struct keeper_reply reply;
    if (lab->gateway >= 0)
        return 0;
    if (!lab_find_member(lab, LAB_GATEWAY))
        return error_set(error, -ENOENT, "the lab has no node '%s'", LAB_GATEWAY);
    int result = lab_ask(lab, &request, &reply, &lab->gateway, KEEPER_GATEWAY_FDS, error);
    if (result)
        return result;
    result = take_reply(lab, error);
    if (result == 0)
        result = lab_watch(lab, lab->gateway, error);
    if (result)
        message_close_fds(&lab->gateway, 1);
    return result;
}

static int ask_gateway(struct lab *lab, const struct gateway_request *request, int fd,
                       struct error *error)
{
    int result =
        message_send(lab->gateway, request, sizeof(*request), fd >= 0 ? &fd : NULL, fd >= 0);
    if (result)
        return error_set(error, -EIO, "the lab's gateway has ended: %s", strerror(-result));
    return take_reply(lab, error);
}

static uint16_t find_free(const struct lab *lab)
{
    uint16_t slot = 0;
    while (slot < LAB_PORTS_MAX && lab->ports[slot].used)
        slot++;
    return slot;
}

int lab_add_port(struct lab *lab, const struct address *listen, const char *node, uint16_t port,
                 struct address *bound, struct error *error)
{
    struct gateway_request request = {.add = true, .slot = find_free(lab)};
    const struct lab_member *member = lab_find_member(lab, node);
    if (!member)
        return error_set_at(error, -ENOENT, "node", "the lab has no node '%.100s'", node);
    if (request.slot == LAB_PORTS_MAX)
        return error_set(error, -ENOSPC, "a lab has at most %d ports", LAB_PORTS_MAX);
    int result = open_gateway(lab, error);
    if (result)
        return result;
    int fd = socket_listen(listen, false, bound, error);
    if (fd < 0) {
        if (error)
            error_prefix_place(error, "listen");
        return fd;
    }
    request.upstream = member->addresses[0];
    address_set_port(&request.upstream, port);
    result = ask_gateway(lab, &request, fd, error);
    close(fd);
    if (result)
        return result;
    struct lab_port *added = &lab->ports[request.slot];
    *added = (struct lab_port){.used = true, .bound = *bound};
    snprintf(added->node, sizeof(added->node), "%s", node);
    return 0;
}

static int remove_slot(struct lab *lab, unsigned slot, struct error *error)
{
    struct gateway_request request = {.slot = (uint16_t)slot};
    lab->ports[slot].used = false;
    return ask_gateway(lab, &request, -1, error);
}

int lab_remove_port(struct lab *lab, const struct address *bound, struct error *error)
{
    char text[ADDRESS_TEXT_MAX];
    for (unsigned slot = 0; slot < LAB_PORTS_MAX; slot++) {
        const struct lab_port *port = &lab->ports[slot];
        if (port->used && address_same_host(&port->bound, bound) &&
            address_port(&port->bound) == address_port(bound))
            return remove_slot(lab, slot, error);
    }
    return error_set_at(error, -ENOENT, "listen", "no port of the lab listens on %s",
                        address_format(bound, text));
}

void lab_ports_forget_node(struct lab *lab, const char *name)
{
    bool all = strcmp(name, LAB_GATEWAY) == 0;
    for (unsigned slot = 0; slot < LAB_PORTS_MAX; slot++) {
        if (lab->ports[slot].used && all)
            lab->ports[slot].used = false;
        else if (lab->ports[slot].used && strcmp(lab->ports[slot].node, name) == 0)
            remove_slot(lab, slot, NULL);
    }
    if (all)
        message_close_fds(&lab->gateway, 1);
}
