/* A server of the API on a loopback port, in a thread of its own, over a backend that keeps its
 * ruleset in memory. */
#ifndef SEVER_TESTS_API_FIXTURE_H
#define SEVER_TESTS_API_FIXTURE_H

#include "tests/lib/test.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/api/api.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/io/socket.h"
#include "proxy/wire/client.h"

enum { FIXTURE_SET_AT_NS = 1760000000 };

enum { FIXTURE_CAPTURES_MAX = 3 };

/* A capture of the backend in memory: bytes that come `blocks` times. */
struct capture {
    bool open, over;
    char asked[512]; /* what for */
    const char *block;
    unsigned blocks; /* left to be read; UINT_MAX: without end */
    uint64_t read;   /* times that it was read, with bytes */
};

struct fixture {
    struct ruleset ruleset;
    struct api *api;
    struct address address;
    char host[ADDRESS_TEXT_MAX]; /* "127.0.0.1:12345" */
    char url[ADDRESS_TEXT_MAX + 8];
    struct wire_client *client;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic uint64_t skew_ns;    /* added to the server's clock */
    _Atomic uint64_t stopped_ns; /* not 0: the server's clock stands there */
    _Atomic int fail_code;       /* the next change fails with this */
    const char *fail_place;      /* and there; NULL: nowhere */
    struct wire_lab lab;
    int news_fd;
    struct capture captures[FIXTURE_CAPTURES_MAX];
    int wake_fd;
    _Atomic bool has_news;     /* one node has ended */
    _Atomic bool doctor_waits; /* an examination lasts until something is written to doctor_fd */
    _Atomic unsigned examinations;
    int doctor_fd;
    _Atomic bool lab_slow; /* changes of the lab take until this is false */
    bool lab_changing;
    struct api_lab_change lab_change;
};

static inline const struct ruleset *fixture_current(void *context)
{
    return &((struct fixture *)context)->ruleset;
}

static inline int fixture_change(void *context, const struct ruleset *next, const char *by,
                                 struct error *error)
{
    struct fixture *fixture = context;
    int code = atomic_exchange(&fixture->fail_code, 0);
    if (code < 0)
        return error_set_at(error, code, fixture->fail_place ? fixture->fail_place : "",
                            "the backend was told to fail");
    code = ruleset_check(next, error);
    if (code < 0)
        return code;
    struct ruleset before = fixture->ruleset;
    ruleset_copy(&fixture->ruleset, next);
    fixture->ruleset.version = before.version + 1;
    for (size_t i = 0; i < fixture->ruleset.fault_count; i++) {
        struct ruleset_fault *fault = &fixture->ruleset.faults[i];
        const struct ruleset_fault *old = ruleset_find_fault(&before, fault->name);
        bool kept = old && ruleset_same_fault(old, fault);
        snprintf(fault->set_by, RULESET_NAME_MAX, "%s", kept ? old->set_by : by);
        fault->set_at_ns = kept ? old->set_at_ns : FIXTURE_SET_AT_NS;
    }
    for (size_t i = 0; i < fixture->ruleset.partition_count; i++) {
        struct ruleset_partition *partition = &fixture->ruleset.partitions[i];
        const struct ruleset_partition *old = ruleset_find_partition(&before, partition->name);
        bool kept = old && ruleset_same_partition(old, partition);
        snprintf(partition->set_by, RULESET_NAME_MAX, "%s", kept ? old->set_by : by);
        partition->set_at_ns = kept ? old->set_at_ns : FIXTURE_SET_AT_NS;
    }
    ruleset_free(&before);
    return 0;
}

static inline void fixture_link_state(void *context, const char *from, const char *to,
                                      struct api_link_state *out)
{
    (void)context;
    *out = (struct api_link_state){.units = strlen(from),
                                   .bytes = strlen(to),
                                   .dropped_cut = 7,
                                   .dropped_reject = 8,
                                   .untold_reset = 9,
                                   .untold_unreachable = 10};
}

static inline uint64_t fixture_touched(void *context, const char *fault)
{
    (void)context;
    return strlen(fault);
}

static inline const char *fixture_applied(void *context, const struct ruleset_fault *fault)
{
    (void)context;
    return fault->type == RULESET_LOSS ? "udp routes only" : "all routes";
}

static inline const char *fixture_listening(void *context, const char *route, char *buffer)
{
    const struct ruleset_route *found = ruleset_find_route(fixture_current(context), route);
    snprintf(buffer, ADDRESS_TEXT_MAX, "%s", found && found->enabled ? "127.0.0.1:4242" : "");
    return buffer;
}

static inline const char *fixture_page(void *context, const char *node)
{
    (void)context;
    return strcmp(node, "n1") == 0 ? "/run/n1.clock" : "";
}

static inline void fixture_status(void *context, struct api_status *out)
{
    (void)context;
    *out = (struct api_status){.uptime_ns = 5,
                               .workers = 2,
                               .connections_open = 6,
                               .connections_total = 10,
                               .cut_tcp = "stall",
                               .cut_udp = "drop",
                               .clock_library = "/usr/lib/x.so",
                               .lateness_count = 100,
                               .lateness_p99_ns = 200000};
}

static inline size_t fixture_doctor(void *context, struct api_check checks[])
{
    struct fixture *fixture = context;
    eventfd_t ignored;
    atomic_fetch_add(&fixture->examinations, 1);
    if (atomic_load(&fixture->doctor_waits))
        eventfd_read(fixture->doctor_fd, &ignored);
    checks[0] = (struct api_check){
        .name = "open files", .ok = true, .needed = true, .found = "20000", .means = "fine"};
    checks[0].advice = "";
    checks[1] = (struct api_check){
        .name = "veth", .found = "odd \xff text", .means = "no labs", .advice = "load veth"};
    return 2;
}

static inline void fixture_route_state(void *context, const char *route,
                                       struct api_route_state *out)
{
    (void)context;
    *out = (struct api_route_state){
        .received_bytes = {strlen(route), 2}, .sent_bytes = {3, 4}, .connections = 6, .ended = 5};
}

/* --- a lab in memory: its nodes are in the ruleset, as the daemon has it --- */

static inline void fixture_lab_get(void *context, struct wire_lab *lab)
{
    *lab = ((struct fixture *)context)->lab;
}

static inline bool fixture_lab_has(void *context, const char *name)
{
    return wire_lab_find_node(&((struct fixture *)context)->lab, name) != NULL;
}

static inline int fixture_lab_add(void *context, const struct wire_lab_member *member,
                                  const char *by, struct wire_lab_node *node, struct error *error)
{
    struct fixture *fixture = context;
    struct wire_lab *lab = &fixture->lab;
    struct ruleset next;
    struct ruleset_node added = {.kind = member->kind, .address_count = 1};
    if (!lab->up)
        return error_set(error, -ENOENT, "there is no lab");
    if (fixture_lab_has(context, member->name))
        return error_set(error, -EEXIST, "it is in the lab");
    snprintf(added.name, sizeof(added.name), "%s", member->name);
    snprintf(added.addresses[0], RULESET_ADDRESS_MAX, "10.77.0.%zu", lab->node_count + 1);
    ruleset_copy(&next, &fixture->ruleset);
    ruleset_remove_node(&next, member->name);
    ruleset_add_node(&next, &added);
    int code = fixture_change(context, &next, by, error);
    ruleset_free(&next);
    if (code)
        return code;
    *node = (struct wire_lab_node){.kind = member->kind,
                                   .number = (unsigned)lab->node_count + 1,
                                   .pid = 42,
                                   .mac = "02:5e:00:00:00:01",
                                   .address_count = 1,
                                   .running = true};
    snprintf(node->name, sizeof(node->name), "%s", member->name);
    snprintf(node->addresses[0], WIRE_LAB_ADDRESS_MAX, "%s", added.addresses[0]);
    lab->nodes[lab->node_count++] = *node;
    return 0;
}

static inline int fixture_lab_up(void *context, const struct wire_lab_wanted *wanted,
                                 const char *by, struct error *error)
{
    struct fixture *fixture = context;
    struct wire_lab_node node;
    int code = atomic_exchange(&fixture->fail_code, 0);
    if (code < 0)
        return error_set(error, code, "the lab was told to fail");
    if (fixture->lab.up)
        return error_set(error, -EEXIST, "it is up");
    fixture->lab = (struct wire_lab){.up = true, .keeper = 41, .mtu = wanted->mtu};
    memcpy(fixture->lab.subnet, wanted->subnet, sizeof(wanted->subnet));
    memcpy(fixture->lab.subnet6, wanted->subnet6, sizeof(wanted->subnet6));
    for (size_t i = 0; i < wanted->node_count && code == 0; i++)
        code = fixture_lab_add(context, &wanted->nodes[i], by, &node, error);
    return code;
}

static inline int fixture_lab_down(void *context, const char *by, struct error *error)
{
    struct fixture *fixture = context;
    (void)by;
    if (!fixture->lab.up)
        return error_set(error, -ENOENT, "there is no lab");
    fixture->lab = (struct wire_lab){0};
    return 0;
}

static inline int fixture_lab_remove(void *context, const char *name, const char *by,
                                     struct error *error)
{
    struct wire_lab *lab = &((struct fixture *)context)->lab;
    (void)by;
    if (!fixture_lab_has(context, name))
        return error_set(error, -ENOENT, "not in the lab");
    size_t i = (size_t)(wire_lab_find_node(lab, name) - lab->nodes);
    lab->nodes[i] = lab->nodes[--lab->node_count];
    return 0;
}

static inline int fixture_lab_add_port(void *context, struct wire_lab_port *port, const char *by,
                                       struct error *error)
{
    struct wire_lab *lab = &((struct fixture *)context)->lab;
    (void)by;
    if (!fixture_lab_has(context, port->node))
        return error_set_at(error, -EINVAL, "node", "no such node");
    snprintf(port->listen, sizeof(port->listen), "127.0.0.1:4242");
    lab->ports[lab->port_count++] = *port;
    return 0;
}

static inline int fixture_lab_remove_port(void *context, const char *listen, struct error *error)
{
    struct wire_lab *lab = &((struct fixture *)context)->lab;
    if (lab->port_count == 0 || strcmp(lab->ports[0].listen, listen) != 0)
        return error_set(error, -ENOENT, "no such port");
    lab->port_count--;
    return 0;
}

static inline int fixture_lab_connections(void *context, struct wire_lab_connection *list,
                                          size_t *count, size_t *more, struct error *error)
{
    if (!((struct fixture *)context)->lab.up)
        return error_set(error, -ENOENT, "there is no lab");
    list[0] = (struct wire_lab_connection){.node = "n1",
                                           .local = "10.77.0.1:40000",
                                           .remote = "10.77.0.2:2379",
                                           .to = "n2",
                                           .state = "established",
                                           .cut = WIRE_LAB_CUT_OUT,
                                           .retransmits = 3};
    list[1] = (struct wire_lab_connection){
        .node = "n1", .local = "10.77.0.1:40001", .remote = "192.0.2.1:80", .state = "syn-sent"};
    *count = 2;
    *more = 7;
    return 0;
}

static inline int fixture_lab_do(struct fixture *fixture, struct api_lab_change *change,
                                 struct error *error)
{
    switch (change->verb) {
    case API_LAB_UP:
        return fixture_lab_up(fixture, &change->wanted, change->by, error);
    case API_LAB_DOWN:
        return fixture_lab_down(fixture, change->by, error);
    case API_LAB_ADD_NODE:
        return fixture_lab_add(fixture, &change->member, change->by, &change->node, error);
    case API_LAB_REMOVE_NODE:
        return fixture_lab_remove(fixture, change->name, change->by, error);
    case API_LAB_ADD_PORT:
        return fixture_lab_add_port(fixture, &change->port, change->by, error);
    default:
        return fixture_lab_remove_port(fixture, change->port.listen, error);
    }
}

/* Ends at once, or when the test says so (lab_slow). */
static inline int fixture_lab_begin(void *context, const struct api_lab_change *change,
                                    struct error *error)
{
    struct fixture *fixture = context;
    (void)error;
    assert_false(fixture->lab_changing); /* one at a time */
    fixture->lab_change = *change;
    fixture->lab_changing = true;
    return 0;
}

static inline int fixture_lab_poll_fd(void *context)
{
    return ((struct fixture *)context)->news_fd;
}

static inline bool fixture_lab_waits(void *context)
{
    struct fixture *fixture = context;
    return atomic_load(&fixture->has_news) ||
           (fixture->lab_changing && !atomic_load(&fixture->lab_slow));
}

static inline enum api_lab_event fixture_lab_step(void *context, char text[API_NEWS_MAX])
{
    struct fixture *fixture = context;
    struct api_lab_change *change = &fixture->lab_change;
    eventfd_t count;
    eventfd_read(fixture->news_fd, &count);
    snprintf(text, API_NEWS_MAX, "node n1 of the lab has ended");
    if (atomic_exchange(&fixture->has_news, false))
        return API_LAB_NEWS;
    change->result = fixture_lab_do(fixture, change, &change->error);
    fixture->lab_changing = false;
    return API_LAB_ENDED;
}

static inline const struct api_lab_change *fixture_lab_ended(void *context)
{
    return &((struct fixture *)context)->lab_change;
}

static inline struct api_lab fixture_lab(void)
{
    return (struct api_lab){.get = fixture_lab_get,
                            .has_node = fixture_lab_has,
                            .begin = fixture_lab_begin,
                            .poll_fd = fixture_lab_poll_fd,
                            .waits = fixture_lab_waits,
                            .step = fixture_lab_step,
                            .ended = fixture_lab_ended,
                            .connections = fixture_lab_connections};
}

/* --- captures --- */

static inline int fixture_capture_open(void *context, const struct api_capture_spec *spec,
                                       struct capture **out, struct error *error)
{
    struct fixture *fixture = context;
    struct capture *capture = fixture->captures, *end = capture + FIXTURE_CAPTURES_MAX;
    while (capture < end && capture->open)
        capture++;
    if (capture == end)
        return error_set(error, -EBUSY, "too many captures");
    if (spec->node && strcmp(spec->node, "n9") == 0)
        return error_set_at(error, -ENOENT, "node", "there is no node 'n9'");
    if (strcmp(spec->filter, "bad") == 0)
        return error_set_at(error, -EINVAL, "filter", "syntax error");
    *capture = (struct capture){.open = true, .block = "begin;", .blocks = 1};
    snprintf(capture->asked, sizeof(capture->asked), "%s %s%s%s %s %u",
             spec->node ? spec->node : "-", spec->link ? spec->link->from : "-",
             spec->both_ways ? "<>" : ">", spec->link ? spec->link->to : "-", spec->filter,
             spec->snaplen);
    *out = capture;
    return 0;
}

static inline void fixture_capture_close(void *context, struct capture *capture)
{
    (void)context;
    assert_true(capture->open);
    capture->open = false;
}

static inline size_t fixture_capture_read(void *context, struct capture *capture, uint64_t now_ns,
                                          void *buffer)
{
    size_t length = capture->blocks ? strlen(capture->block) : 0, used = 0;
    (void)context;
    (void)now_ns;
    assert_true(capture->open);
    for (; capture->blocks && used + length <= API_CAPTURE_BYTES; used += length)
        if (capture->blocks-- == UINT_MAX)
            capture->blocks = UINT_MAX;
    memset(buffer, 0, used);
    for (size_t at = 0; at < used; at += length)
        memcpy((char *)buffer + at, capture->block, length);
    capture->read += used > 0;
    return used;
}

static inline uint64_t fixture_capture_due_ns(void *context, struct capture *capture)
{
    (void)context;
    assert_true(capture->open);
    return capture->blocks || capture->over ? 0 : UINT64_MAX;
}

static inline bool fixture_capture_is_over(void *context, const struct capture *capture)
{
    (void)context;
    return capture->over && !capture->blocks;
}

static inline void fixture_capture_end_all(void *context)
{
    struct fixture *fixture = context;
    for (int i = 0; i < FIXTURE_CAPTURES_MAX; i++)
        if (fixture->captures[i].open) {
            fixture->captures[i].over = true;
            fixture->captures[i].block = "end;";
            fixture->captures[i].blocks = 1;
        }
}

static inline int fixture_capture_wake_fd(void *context)
{
    return ((struct fixture *)context)->wake_fd;
}

static inline void fixture_capture_take_wake(void *context)
{
    uint64_t ignored;
    if (read(((struct fixture *)context)->wake_fd, &ignored, sizeof(ignored)) < 0)
        return;
}

static inline struct api_captures fixture_captures(void)
{
    return (struct api_captures){.open = fixture_capture_open,
                                 .close = fixture_capture_close,
                                 .read = fixture_capture_read,
                                 .due_ns = fixture_capture_due_ns,
                                 .is_over = fixture_capture_is_over,
                                 .end_all = fixture_capture_end_all,
                                 .wake_fd = fixture_capture_wake_fd,
                                 .take_wake = fixture_capture_take_wake};
}

static inline struct api_backend fixture_backend(struct fixture *fixture)
{
    return (struct api_backend){.context = fixture,
                                .current = fixture_current,
                                .change = fixture_change,
                                .link_state = fixture_link_state,
                                .fault_touched = fixture_touched,
                                .fault_applied = fixture_applied,
                                .route_listening = fixture_listening,
                                .clock_page = fixture_page,
                                .status = fixture_status,
                                .route_state = fixture_route_state,
                                .doctor = fixture_doctor,
                                .lab = fixture_lab(),
                                .captures = fixture_captures()};
}

static inline uint64_t fixture_now_ns(struct fixture *fixture)
{
    uint64_t stopped_ns = atomic_load(&fixture->stopped_ns);
    return (stopped_ns ? stopped_ns : monotonic_now_ns()) + atomic_load(&fixture->skew_ns);
}

/* Serves until stop; a skew of the clock is seen within 20 ms. */
static inline void *fixture_serve(void *context)
{
    struct fixture *fixture = context;
    while (!atomic_load(&fixture->stop)) {
        int fds[API_SERVERS_MAX];
        struct pollfd polled[API_SERVERS_MAX];
        size_t count = api_poll_fds(fixture->api, fds, API_SERVERS_MAX);
        uint64_t now_ns = fixture_now_ns(fixture);
        uint64_t deadline_ns = api_deadline_ns(fixture->api, now_ns);
        for (size_t i = 0; i < count; i++)
            polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
        if (deadline_ns > now_ns)
            poll(polled, count, 20);
        api_run(fixture->api, fixture_now_ns(fixture));
    }
    return NULL;
}

static inline void fixture_add_nodes(struct ruleset *ruleset)
{
    static const char *const names[] = {"n1", "n2", "n3"};
    for (size_t i = 0; i < 3; i++) {
        struct ruleset_node node = {.address_count = 1};
        snprintf(node.name, sizeof(node.name), "%s", names[i]);
        snprintf(node.addresses[0], sizeof(node.addresses[0]), "127.0.1.%zu", i + 1);
        ruleset_add_node(ruleset, &node);
    }
    struct ruleset_node client = {.name = "c1", .kind = RULESET_NODE_CLIENT};
    ruleset_add_node(ruleset, &client);
}

/* Without a thread: the test runs api_run itself. */
static inline struct fixture *fixture_create(const char *listen)
{
    struct fixture *fixture = memory_allocate_zeroed(1, sizeof(*fixture));
    struct api_backend backend = fixture_backend(fixture);
    struct address address;
    struct error error = {0};
    fixture->ruleset.version = 1;
    fixture->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(fixture->news_fd >= 0);
    fixture->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(fixture->wake_fd >= 0);
    fixture->doctor_fd = eventfd(0, EFD_CLOEXEC);
    assert_true(fixture->doctor_fd >= 0);
    fixture->ruleset.seed = 42;
    fixture_add_nodes(&fixture->ruleset);
    assert_int_equal(address_parse(listen, &address, &error), 0);
    int fd = socket_listen(&address, false, &fixture->address, &error);
    assert_true(fd >= 0);
    assert_int_equal(api_create(&backend, &fd, 1, &fixture->api, &error), 0);
    address_format(&fixture->address, fixture->host);
    bool unix_socket = strncmp(listen, "unix:", 5) == 0;
    snprintf(fixture->url, sizeof(fixture->url), "%s%s", unix_socket ? "" : "http://",
             unix_socket ? listen : fixture->host);
    assert_int_equal(wire_client_create(fixture->url, "test", &fixture->client, &error), 0);
    return fixture;
}

static inline struct fixture *fixture_start(const char *listen)
{
    struct fixture *fixture = fixture_create(listen);
    assert_int_equal(pthread_create(&fixture->thread, NULL, fixture_serve, fixture), 0);
    return fixture;
}

static inline void fixture_free(struct fixture *fixture)
{
    wire_client_destroy(fixture->client);
    api_destroy(fixture->api);
    ruleset_free(&fixture->ruleset);
    close(fixture->news_fd);
    close(fixture->wake_fd);
    close(fixture->doctor_fd);
    free(fixture);
}

static inline void fixture_stop(struct fixture *fixture)
{
    atomic_store(&fixture->stop, true);
    pthread_join(fixture->thread, NULL);
    fixture_free(fixture);
}

/* --- requests through the client --- */

/* body: JSON text or NULL. The answer as compact JSON in `text`, or the error's "CODE place:
 * message". Returns 0 or the client's code. */
static inline int fixture_ask(struct fixture *fixture, const char *method, const char *path,
                              const char *body, struct text *text)
{
    struct error error = {0};
    char line[ERROR_MESSAGE_MAX + ERROR_PLACE_MAX];
    json_t *json = body ? json_loads(body, 0, NULL) : NULL, *answer = NULL;
    assert_true(!body || json);
    int code = wire_client_request(fixture->client, method, path, json, &answer, &error);
    text_clear(text);
    if (code < 0) {
        text_append(text, "%s", error_text(&error, line, sizeof(line)));
    } else if (answer) {
        char *dumped = json_dumps(answer, JSON_COMPACT);
        text_append(text, "%s", dumped);
        free(dumped);
    }
    json_decref(json);
    json_decref(answer);
    return code;
}

/* --- raw requests --- */

static inline int fixture_connect(struct fixture *fixture)
{
    int fd = socket(fixture->address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 20};
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(
        connect(fd, (const struct sockaddr *)&fixture->address.storage, fixture->address.length),
        0);
    return fd;
}

static inline void fixture_send(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        assert_true(sent > 0);
        bytes += sent;
        length -= (size_t)sent;
    }
}

/* Reads until the connection ends. */
static inline void fixture_receive(int fd, struct text *text)
{
    char buffer[4096];
    ssize_t got;
    text_clear(text);
    while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0)
        text_append_bytes(text, buffer, (size_t)got);
}

/* Sends one request (it should ask to close) and reads the whole answer. Returns its status. */
static inline int fixture_raw(struct fixture *fixture, const char *request, struct text *answer)
{
    int fd = fixture_connect(fixture), status = 0;
    fixture_send(fd, request, strlen(request));
    fixture_receive(fd, answer);
    close(fd);
    if (sscanf(text_get(answer), "HTTP/1.%*d %d", &status) != 1)
        return 0;
    return status;
}

/* --- the test's own fixture, and its last answer --- */

static struct fixture *fixture;
static struct text text;

static inline int fixture_set_up(void **state)
{
    (void)state;
    fixture = fixture_start("127.0.0.1:0");
    return 0;
}

static inline int fixture_tear_down(void **state)
{
    (void)state;
    fixture_stop(fixture);
    text_free(&text);
    return 0;
}

/* The code of the client; the answer is in text. */
static inline int ask(const char *method, const char *path, const char *body)
{
    return fixture_ask(fixture, method, path, body, &text);
}

#define assert_has(part)                                                                           \
    do {                                                                                           \
        if (!strstr(text_get(&text), part))                                                        \
            fail_msg("no %s in %s", part, text_get(&text));                                        \
    } while (0)

/* One request with these header lines. Returns its status; the answer is in text. */
static inline int raw(const char *first_line, const char *headers, const char *body)
{
    struct text request = {0};
    text_append(&request, "%s HTTP/1.1\r\nConnection: close\r\n%s", first_line, headers);
    if (body)
        text_append(&request, "Content-Length: %zu\r\n", strlen(body));
    text_append(&request, "\r\n%s", body ? body : "");
    int status = fixture_raw(fixture, text_get(&request), &text);
    text_free(&request);
    return status;
}

/* Opens a connection, and hands in all of a body but its last byte. */
static inline int hand_in(const char *line, const char *headers, size_t length)
{
    int fd = fixture_connect(fixture);
    struct text request = {0};
    char *body = memory_allocate(length);
    memset(body, ' ', length);
    text_append(&request, "%s HTTP/1.1\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n", line,
                headers, length);
    fixture_send(fd, text_get(&request), request.length);
    fixture_send(fd, body, length - 1);
    text_free(&request);
    free(body);
    return fd;
}

#endif
