#include "proxy/lab/lab.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/lab/internal.h"
#include "proxy/lab/message.h"

/* For one node; the keeper's own waits are shorter, but on a busy machine the kernel's are long.
 * One that is stopped is given up sooner. */
#define ANSWER_NS (20 * NS_PER_S)
#define STOPPED_NS (5 * NS_PER_S)

static int await_reply(const struct lab *lab, struct keeper_reply *reply, int *fds, size_t fd_count)
{
    uint64_t begin_ns = monotonic_now_ns(), deadline_ns = begin_ns;
    int result;
    do {
        deadline_ns += STOPPED_NS;
        result =
            message_receive(lab->keeper.control, reply, sizeof(*reply), fds, fd_count, deadline_ns);
    } while (result == -ETIMEDOUT && deadline_ns < begin_ns + ANSWER_NS &&
             !lab_keeper_is_stopped(&lab->keeper));
    return result;
}

int lab_ask(struct lab *lab, const struct keeper_request *request, struct keeper_reply *reply,
            int *fds, size_t fd_count, struct error *error)
{
    int result =
        lab->lost ? -EPIPE : message_send(lab->keeper.control, request, sizeof(*request), NULL, 0);
    if (result == 0)
        result = await_reply(lab, reply, fds, fd_count);
    if (result == -EMFILE)
        return error_set(error, result,
                         "no descriptors left for a node's sockets: raise the limit of open files");
    if (result) {
        lab->lost = true;
        kill(lab->keeper.pid, SIGKILL);
        return error_set(error, result == -EPIPE ? -EIO : result,
                         result == -ETIMEDOUT ? "the lab's keeper does not answer: the lab is gone"
                                              : "the lab's keeper has ended: the lab is gone");
    }
    if (reply->result && error)
        *error = reply->error;
    return reply->result;
}

int lab_watch(struct lab *lab, int fd, struct error *error)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(lab->poll, EPOLL_CTL_ADD, fd, &event))
        return error_set(error, -errno, "epoll: %s", strerror(errno));
    return 0;
}

static int take_subnet(struct lab *lab, const char *text, int family, const char *place,
                       struct error *error)
{
    int result = subnet_parse(text, family, &lab->subnets[lab->subnet_count], error);
    if (result)
        error_prefix_place(error, place);
    else
        lab->subnet_count++;
    return result;
}

/* How many numbers there are: addresses, and no more than nodes. */
static unsigned count_numbers(const struct lab *lab)
{
    struct address address;
    unsigned count = LAB_NODES_MAX;
    for (size_t i = 0; i < lab->subnet_count; i++)
        while (subnet_address(&lab->subnets[i], count, &address))
            count--;
    return count;
}

static int take_options(struct lab *lab, const struct lab_options *options, struct error *error)
{
    bool ipv6 = options->subnet6[0] != '\0';
    int result = take_subnet(lab, options->subnet, AF_INET, "subnet", error);
    if (result == 0 && ipv6)
        result = take_subnet(lab, options->subnet6, AF_INET6, "subnet6", error);
    if (result)
        return result;
    uint32_t least = ipv6 ? LAB_MTU_MIN_IPV6 : LAB_MTU_MIN;
    if (options->mtu < least || options->mtu > LAB_MTU_MAX)
        return error_set_at(error, -EINVAL, "mtu", "an MTU of %u: write %u to %d%s", options->mtu,
                            least, LAB_MTU_MAX, ipv6 ? " (IPv6 needs 1280)" : "");
    lab->numbers = count_numbers(lab);
    lab->mtu = options->mtu;
    lab->ring_bytes = options->ring_bytes;
    return 0;
}

static int start(struct lab *lab, bool optional_ipv6, struct error *error)
{
    struct keeper_request request = {.verb = KEEPER_START};
    struct keeper_reply reply;
    lab->poll = epoll_create1(EPOLL_CLOEXEC);
    if (lab->poll < 0)
        return error_set(error, -errno, "epoll: %s", strerror(errno));
    int result = lab_keeper_spawn(&lab->keeper, error);
    if (result == 0)
        result = lab_watch(lab, lab->keeper.notes, error);
    if (result == 0)
        result = lab_ask(lab, &request, &reply, NULL, 0, error);
    if (result)
        return result;
    lab->user_namespace = reply.user_namespace;
    if (reply.ipv6 || !lab_has_ipv6(lab))
        return 0;
    if (!optional_ipv6)
        return error_set_at(error, -EINVAL, "subnet6",
                            "this machine has no IPv6, or it is switched off (sysctl "
                            "net.ipv6.conf.default.disable_ipv6): a lab without has no subnet6");
    lab->subnet_count--;
    return 0;
}

int lab_create(const struct lab_options *options, struct lab **out, struct error *error)
{
    struct lab *lab = memory_allocate_zeroed(1, sizeof(*lab));
    lab->keeper = (struct lab_keeper){.pidfd = -1, .control = -1, .notes = -1};
    lab->poll = lab->gateway = -1;
    int result = take_options(lab, options, error);
    if (result == 0)
        result = start(lab, options->subnet6_optional, error);
    if (result) {
        lab_destroy(lab);
        return result;
    }
    *out = lab;
    return 0;
}

void lab_destroy(struct lab *lab)
{
    if (!lab)
        return;
    message_close_fds(&lab->gateway, 1);
    lab_keeper_end(&lab->keeper);
    message_close_fds(&lab->poll, 1);
    free(lab);
}

pid_t lab_keeper(const struct lab *lab)
{
    return lab->keeper.pid;
}

bool lab_in_user_namespace(const struct lab *lab)
{
    return lab->user_namespace;
}

bool lab_has_ipv6(const struct lab *lab)
{
    return lab->subnet_count > 1;
}

struct lab_member *lab_find_member(struct lab *lab, const char *name)
{
    for (size_t i = 0; i < LAB_NODES_MAX; i++)
        if (lab->members[i].used && strcmp(lab->members[i].name, name) == 0)
            return &lab->members[i];
    return NULL;
}

/* What every hosts file has already. */
static bool is_reserved(const char *name)
{
    static const char *const reserved[] = {"localhost", "ip6-localhost", "ip6-loopback"};
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (strcasecmp(name, reserved[i]) == 0)
            return true;
    return false;
}

/* RFC 1123, and the underscore; not what reads as an address. */
static int check_name(const char *name, struct error *error)
{
    static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t length = strlen(name);
    bool named = strpbrk(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL;
    if (!named || length >= LAB_NAME_MAX || strspn(name, fine) != length || strchr("-_.", name[0]))
        return error_set_at(error, -EINVAL, "name",
                            "'%.100s' can't be a host's name: write letters, digits and '-', at "
                            "most %d",
                            name, LAB_NAME_MAX - 1);
    if (is_reserved(name))
        return error_set_at(error, -EINVAL, "name",
                            "'%s' means the loopback address in every hosts file: give the node "
                            "another name",
                            name);
    return 0;
}

/* The number that the name had before, if it is free; else the smallest that no node has ever had,
 * so that what somebody still knows of one (its ARP entry, a client's address) meets no other; and
 * when there is none, the smallest that is free. 0: none is. */
static unsigned choose_number(const struct lab *lab, const char *name)
{
    unsigned unknown = 0, free_one = 0;
    for (unsigned number = 1; number <= lab->numbers; number++) {
        const struct lab_member *member = &lab->members[number - 1];
        if (member->used)
            continue;
        if (strcmp(member->name, name) == 0)
            return number;
        if (!unknown && !member->name[0])
            unknown = number;
        if (!free_one)
            free_one = number;
    }
    return unknown ? unknown : free_one;
}

static int choose_addresses(const struct lab *lab, const char *name, struct device_spec *device,
                            struct error *error)
{
    device->number = choose_number(lab, name);
    if (!device->number && lab->numbers == LAB_NODES_MAX)
        return error_set(error, -ENOSPC, "a lab has at most %d nodes", LAB_NODES_MAX);
    if (!device->number)
        return error_set(error, -ENOSPC,
                         "the lab's subnet has no address for a %u. node: make the lab with a "
                         "larger one",
                         lab->numbers + 1);
    for (size_t i = 0; i < lab->subnet_count; i++) {
        subnet_address(&lab->subnets[i], device->number, &device->addresses[i]);
        device->prefixes[i] = lab->subnets[i].prefix;
    }
    device->address_count = lab->subnet_count;
    return 0;
}

static void fill_node(struct lab_node *node, const struct keeper_request *request,
                      const struct keeper_reply *reply, const int *fds)
{
    const struct device_spec *device = &request->device;
    *node = (struct lab_node){.number = device->number,
                              .pid = reply->pid,
                              .address_count = device->address_count,
                              .diagnosis = fds[PACKET_RINGS]};
    snprintf(node->name, sizeof(node->name), "%s", request->name);
    memcpy(node->mac, device->mac, sizeof(node->mac));
    memcpy(node->addresses, device->addresses, sizeof(node->addresses));
    memcpy(node->sockets, fds, sizeof(node->sockets));
}

int lab_add_node(struct lab *lab, const char *name, struct lab_node *node, struct error *error)
{
    struct keeper_request request = {.verb = KEEPER_ADD, .ring_bytes = lab->ring_bytes};
    struct device_spec *device = &request.device;
    struct keeper_reply reply;
    int fds[KEEPER_NODE_FDS];
    int result = check_name(name, error);
    if (result)
        return result;
    if (lab_find_member(lab, name))
        return error_set_at(error, -EEXIST, "name", "the lab has a node '%s' already", name);
    if ((result = choose_addresses(lab, name, device, error)))
        return result;
    device->mtu = lab->mtu;
    const unsigned char mac[6] = {
        0x02, 0x5e, 0, 0, (unsigned char)(device->number >> 8), (unsigned char)device->number};
    memcpy(device->mac, mac, sizeof(mac));
    snprintf(request.name, sizeof(request.name), "%s", name);
    request.serial = ++lab->serials;
    if ((result = lab_ask(lab, &request, &reply, fds, KEEPER_NODE_FDS, error))) {
        if (result == -EMFILE && !lab->lost) { /* it is there, but nobody can hold it */
            request.verb = KEEPER_REMOVE;
            lab_ask(lab, &request, &reply, NULL, 0, NULL);
        }
        return result;
    }
    fill_node(node, &request, &reply, fds);
    struct lab_member *member = &lab->members[device->number - 1];
    *member = (struct lab_member){.used = true, .serial = request.serial};
    memcpy(member->name, request.name, sizeof(member->name));
    memcpy(member->addresses, device->addresses, sizeof(member->addresses));
    return 0;
}

static void forget_member(struct lab *lab, struct lab_member *member)
{
    lab_ports_forget_node(lab, member->name);
    member->used = false; /* its name stays: so its number is known again */
}

int lab_remove_node(struct lab *lab, const char *name, struct error *error)
{
    struct keeper_request request = {.verb = KEEPER_REMOVE};
    struct keeper_reply reply;
    struct lab_member *member = lab_find_member(lab, name);
    if (!member)
        return error_set_at(error, -ENOENT, "name", "the lab has no node '%.100s'", name);
    snprintf(request.name, sizeof(request.name), "%s", name);
    int result = lab_ask(lab, &request, &reply, NULL, 0, error);
    if (result == 0)
        forget_member(lab, member);
    return result;
}

int lab_poll_fd(const struct lab *lab)
{
    return lab->poll;
}

static const char *say(struct lab *lab, const char *name)
{
    snprintf(lab->ended, sizeof(lab->ended), "%s", name);
    return lab->ended;
}

/* A gateway without its process is no gateway: the node goes with it. */
static const char *check_gateway(struct lab *lab)
{
    char byte;
    if (lab->gateway < 0)
        return NULL;
    ssize_t got = recv(lab->gateway, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
        return NULL;
    if (lab_remove_node(lab, LAB_GATEWAY, NULL))
        return NULL; /* the lab is lost */
    return say(lab, LAB_GATEWAY);
}

const char *lab_check(struct lab *lab)
{
    struct keeper_note note;
    int result = -EPIPE;
    while (!lab->lost &&
           (result = message_receive(lab->keeper.notes, &note, sizeof(note), NULL, 0, 0)) == 0) {
        struct lab_member *member = lab_find_member(lab, note.name);
        if (!member || member->serial != note.serial)
            continue; /* removed meanwhile */
        forget_member(lab, member);
        return say(lab, note.name);
    }
    if (!lab->lost && result == -ETIMEDOUT) {
        const char *gateway = check_gateway(lab);
        if (gateway || !lab->lost)
            return gateway;
    }
    lab->lost = true;
    if (lab->said)
        return NULL;
    lab->said = true;
    return say(lab, "");
}
