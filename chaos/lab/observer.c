/* Theory of operation
 *
 * One thread, one connection per node, a round every 50 ms: INFO is sent to every node that can
 * take it, then answers are taken as they come until the next round. A node that does not answer
 * (paused, dead, slow) has its question outstanding and delays nobody; after a second its
 * connection is dropped and made anew. */
#include "chaos/lab/observer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chaos/workload/resp.h"
#include "proxy/base/monotonic.h"

#define ROUND_NS (50 * NS_PER_MS)
#define SILENCE_NS NS_PER_S
#define CONNECT_NS (20 * NS_PER_MS)

struct watched {
    struct resp_connection connection;
    bool asked;
    uint64_t asked_ns;
    struct observer_state state;
};

struct observer {
    const struct lab *lab;
    observer_fn fn;
    void *context;
    int stop_fd;
    pthread_t thread;
    struct watched *nodes;
    struct pollfd *fds;
};

void observer_parse(const char *info, size_t length, struct observer_state *state)
{
    resp_info_field(info, length, "role", state->role, sizeof(state->role));
    resp_info_field(info, length, "term", state->term, sizeof(state->term));
    resp_info_field(info, length, "leader", state->leader, sizeof(state->leader));
    resp_info_field(info, length, "quorum", state->quorum, sizeof(state->quorum));
}

static void drop(struct watched *node)
{
    resp_close(&node->connection);
    node->asked = false;
}

/* It is another process when it comes back: what the old one said is over. */
static void forget(struct watched *node)
{
    drop(node);
    node->state = (struct observer_state){0};
}

static void question(struct observer *self, size_t i, uint64_t now_ns)
{
    struct watched *node = &self->nodes[i];
    if (lab_node_state(self->lab, i) == LAB_DOWN) {
        forget(node);
        return;
    }
    if (node->asked) {
        if (now_ns - node->asked_ns >= SILENCE_NS)
            drop(node);
        return;
    }
    if (node->connection.fd < 0 &&
        (lab_go_to_node(self->lab, i, NULL) < 0 ||
         resp_connect(&node->connection, lab_private_address(self->lab, i), NULL,
                      now_ns + CONNECT_NS, self->stop_fd, NULL) < 0))
        return;
    static const char command[] = "*1\r\n$4\r\nINFO\r\n";
    if (send(node->connection.fd, command, sizeof(command) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) !=
        (ssize_t)sizeof(command) - 1) {
        drop(node);
        return;
    }
    node->asked = true;
    node->asked_ns = now_ns;
}

static void digest(struct observer *self, size_t i, const struct resp_reply *reply)
{
    struct watched *node = &self->nodes[i];
    struct observer_change change = {.at_ns = monotonic_now_ns(), .node = i, .before = node->state};
    if (reply->kind != RESP_BULK)
        return;
    observer_parse(reply->text, reply->length, &change.now);
    node->state = change.now;
    if (change.now.role[0] && (strcmp(change.before.role, change.now.role) != 0 ||
                               strcmp(change.before.term, change.now.term) != 0))
        self->fn(self->context, &change);
}

static void take_answer(struct observer *self, size_t i)
{
    struct watched *node = &self->nodes[i];
    struct text *in = &node->connection.in;
    struct resp_reply reply;
    char buffer[8192];
    ssize_t n = recv(node->connection.fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        forget(node);
        return;
    }
    text_append_bytes(in, buffer, (size_t)n);
    long used = resp_parse_reply(in->data, in->length, &reply);
    if (used < 0) {
        drop(node);
    } else if (used > 0) {
        digest(self, i, &reply);
        text_clear(in);
        node->asked = false;
    }
}

/* Until the next round, at least one look. False when the observer is to stop. */
static bool take_answers(struct observer *self, uint64_t until_ns)
{
    size_t count = lab_node_count(self->lab);
    uint64_t now;
    do {
        for (size_t i = 0; i < count; i++)
            self->fds[i] = (struct pollfd){
                .fd = self->nodes[i].asked ? self->nodes[i].connection.fd : -1, .events = POLLIN};
        self->fds[count] = (struct pollfd){.fd = self->stop_fd, .events = POLLIN};
        now = monotonic_now_ns();
        struct timespec timeout = {.tv_nsec = now < until_ns ? (long)(until_ns - now) : 0};
        if (ppoll(self->fds, count + 1, &timeout, NULL) <= 0)
            continue;
        if (self->fds[count].revents)
            return false;
        for (size_t i = 0; i < count; i++) {
            if (self->fds[i].revents)
                take_answer(self, i);
        }
    } while (monotonic_now_ns() < until_ns);
    return true;
}

static void *observer_main(void *context)
{
    struct observer *self = context;
    uint64_t round_ns;
    do {
        round_ns = monotonic_now_ns();
        for (size_t i = 0; i < lab_node_count(self->lab); i++)
            question(self, i, round_ns);
    } while (take_answers(self, round_ns + ROUND_NS));
    return NULL;
}

static void destroy(struct observer *self)
{
    for (size_t i = 0; i < lab_node_count(self->lab); i++)
        resp_close(&self->nodes[i].connection);
    if (self->stop_fd >= 0)
        close(self->stop_fd);
    free(self->nodes);
    free(self->fds);
    free(self);
}

int observer_start(const struct lab *lab, observer_fn fn, void *context, struct observer **out,
                   struct error *error)
{
    struct observer *self = memory_allocate_zeroed(1, sizeof(*self));
    size_t count = lab_node_count(lab);
    *self = (struct observer){.lab = lab, .fn = fn, .context = context};
    self->nodes = memory_allocate_zeroed(count, sizeof(*self->nodes));
    self->fds = memory_allocate_zeroed(count + 1, sizeof(*self->fds));
    for (size_t i = 0; i < count; i++)
        resp_init(&self->nodes[i].connection);
    self->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int code = self->stop_fd < 0 ? -errno : 0;
    if (code == 0)
        code = -pthread_create(&self->thread, NULL, observer_main, self);
    if (code < 0) {
        destroy(self);
        return error_set(error, code, "can't start the observer: %s", strerror(-code));
    }
    *out = self;
    return 0;
}

void observer_stop(struct observer *self)
{
    eventfd_write(self->stop_fd, 1);
    pthread_join(self->thread, NULL);
    destroy(self);
}
