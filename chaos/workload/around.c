/* Theory of operation
 *
 * What happens before the clients start and after they have stopped: both ask nodes, one after the
 * other, each from its own place, until one gives the answer that is wanted. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/workload/workload.h"
#include "proxy/base/monotonic.h"

#define ASK_TIMEOUT_NS NS_PER_S
#define READ_TIMEOUT_NS (10 * NS_PER_S)
enum { PAUSE_MS = 50 };

struct visit {
    const struct workload_setup *setup;
    const struct driver *driver;
    size_t node;
    int abort_fd;
    uint64_t deadline_ns;
    int code;
    struct error error;
    struct text told;
    int64_t *values;
    size_t count;
};

static const struct address *direct_address(const struct workload_setup *setup, size_t node)
{
    return setup->direct ? &setup->direct[node] : &setup->targets[node];
}

/* timeout_ns: at most, and not beyond the deadline. Returns visit->code. */
static int make_visit(struct visit *visit, size_t node, uint64_t timeout_ns, uint64_t deadline_ns,
                      void (*ask)(struct visit *visit, void *client))
{
    const struct workload_setup *setup = visit->setup;
    uint64_t until_ns = monotonic_now_ns() + timeout_ns;
    struct driver_place place = {
        .target = direct_address(setup, node),
        .abort_fd = visit->abort_fd,
        .node_count = setup->node_count,
        .sentinel_port = setup->sentinel_port,
    };
    visit->node = node;
    visit->deadline_ns = until_ns < deadline_ns ? until_ns : deadline_ns;
    visit->code = setup->go_to_node ? setup->go_to_node(setup->context, node, &visit->error) : 0;
    if (visit->code < 0)
        return visit->code;
    void *client = visit->driver->open(&place);
    ask(visit, client);
    visit->driver->close(client);
    return visit->code;
}

/* 0, or -ECANCELED. */
static int pause_between(int abort_fd)
{
    struct pollfd wait = {.fd = abort_fd, .events = POLLIN};
    return poll(&wait, 1, PAUSE_MS) == 1 ? -ECANCELED : 0;
}

/* ---- before ---------------------------------------------------------------------------------- */

static void ask_prepare(struct visit *visit, void *client)
{
    visit->code =
        visit->driver->prepare(client, visit->setup->workload->keys,
                               visit->setup->nodes[visit->node], visit->deadline_ns, &visit->error);
}

int workload_prepare(const struct workload_setup *setup, uint64_t deadline_ns, int abort_fd,
                     struct error *error)
{
    struct visit visit = {.setup = setup, .driver = driver_of(setup->system), .abort_fd = abort_fd};
    for (;;) {
        for (size_t i = 0; i < setup->node_count; i++) {
            int code = make_visit(&visit, i, ASK_TIMEOUT_NS, deadline_ns, ask_prepare);
            if (code == -ECANCELED)
                return error_set(error, code, "interrupted");
            if (code == -EEXIST)
                return error_set(error, code, "%s", visit.error.message);
            if (code == 1)
                return 0;
        }
        if (monotonic_now_ns() >= deadline_ns)
            return error_set(error, -ETIMEDOUT, "no node says that it is empty");
        if (pause_between(abort_fd) < 0)
            return error_set(error, -ECANCELED, "interrupted");
    }
}

/* ---- after ----------------------------------------------------------------------------------- */

static void ask_role(struct visit *visit, void *client)
{
    visit->code = visit->driver->tell(client, visit->deadline_ns, &visit->told);
}

static void ask_elements(struct visit *visit, void *client)
{
    visit->code =
        visit->driver->read_set(client, visit->deadline_ns, &visit->values, &visit->count);
}

struct election {
    size_t leaders, node;             /* who show the line; the last of them */
    bool named[EXPERIMENT_NODES_MAX]; /* whether this node's sentinel named somebody */
    struct address names[EXPERIMENT_NODES_MAX];
};

static void note_told(const struct workload_setup *setup, size_t node, const struct text *told,
                      struct election *election)
{
    char name[ADDRESS_TEXT_MAX];
    if (setup->leader_line &&
        resp_info_has_line(text_get(told), told->length, setup->leader_line)) {
        election->leaders++;
        election->node = node;
    }
    election->named[node] =
        resp_info_field(text_get(told), told->length, "sentinel_master", name, sizeof(name)) &&
        address_parse(name, &election->names[node], NULL) == 0;
}

/* Who leads by all accounts; -EAGAIN, with who disagrees. */
static int decide(const struct workload_setup *setup, const struct election *election,
                  struct error *error)
{
    if (election->leaders != 1)
        return error_set(error, -EAGAIN, "%zu nodes say that they lead", election->leaders);
    for (size_t i = 0; setup->sentinel_port && i < setup->node_count; i++)
        if (!election->named[i] ||
            !(address_same_host(&election->names[i], &setup->targets[election->node]) ||
              address_same_host(&election->names[i], direct_address(setup, election->node))))
            return error_set(error, -EAGAIN, "the sentinel of %s does not name %s as master",
                             setup->nodes[i], setup->nodes[election->node]);
    return 0;
}

static int find_leader(const struct workload_setup *setup, struct visit *visit,
                       uint64_t deadline_ns, size_t *node, struct error *error)
{
    struct election election = {0};
    for (size_t i = 0; i < setup->node_count; i++) {
        text_clear(&visit->told);
        int code = make_visit(visit, i, ASK_TIMEOUT_NS, deadline_ns, ask_role);
        if (code == -ECANCELED)
            return code;
        if (code == 0)
            note_told(setup, i, &visit->told, &election);
    }
    *node = election.node;
    return decide(setup, &election, error);
}

static int find_reader(const struct workload_setup *setup, struct visit *visit,
                       uint64_t deadline_ns, size_t *node, struct error *error)
{
    for (size_t i = 0; setup->workload->final[0] && i < setup->node_count; i++) {
        if (strcmp(setup->nodes[i], setup->workload->final) == 0) {
            *node = i;
            return 0;
        }
    }
    return find_leader(setup, visit, deadline_ns, node, error);
}

static int try_final(const struct workload_setup *setup, struct visit *visit, uint64_t deadline_ns,
                     struct history_final *final, struct error *error)
{
    size_t node;
    int code = find_reader(setup, visit, deadline_ns, &node, error);
    if (code < 0)
        return code;
    code = make_visit(visit, node, READ_TIMEOUT_NS, deadline_ns, ask_elements);
    if (code < 0)
        return error_set(error, code, "%s did not tell its elements: %s", setup->nodes[node],
                         strerror(-code));
    *final = (struct history_final){
        .read = true, .at_ns = monotonic_now_ns(), .values = visit->values, .count = visit->count};
    snprintf(final->node, sizeof(final->node), "%s", setup->nodes[node]);
    return 0;
}

int workload_read_final(const struct workload_setup *setup, uint64_t deadline_ns, int abort_fd,
                        struct history_final *final, struct error *error)
{
    struct visit visit = {.setup = setup, .driver = driver_of(setup->system), .abort_fd = abort_fd};
    struct error cause = {0};
    int code;
    do {
        code = try_final(setup, &visit, deadline_ns, final, &cause);
        if (code < 0 && code != -ECANCELED)
            code = pause_between(abort_fd) < 0 ? -ECANCELED : code;
    } while (code < 0 && code != -ECANCELED && monotonic_now_ns() < deadline_ns);
    text_free(&visit.told);
    if (code == -ECANCELED)
        return error_set(error, code, "interrupted");
    return code < 0 ? error_set(error, -ETIMEDOUT, "the set could not be read at the end: %s",
                                cause.message)
                    : 0;
}
