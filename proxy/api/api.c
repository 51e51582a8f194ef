/* The HTTP server's life: listening sockets, nesting in the caller's loop, connections and their
 * deadlines.
 *
 * Theory of operation. One libmicrohttpd daemon for each listening socket, without a thread of its
 * own: it has an epoll descriptor, and MHD_run does what can be done without blocking. Accepting is
 * done here, and the listening sockets are watched with those descriptors by one more epoll, which
 * the caller's loop watches: left to itself, a daemon that finds no descriptor for a connection
 * accepts nothing until one that it has is closed, which may be long. Sockets are non-blocking
 * throughout, so a slow client costs memory (its headers and at most one body), never time. That
 * memory is bounded: a connection has to hand in its request, and to take its answer, before its
 * deadline, which every request sets anew; the number of connections is limited, and one more ends
 * the connection whose deadline is next, so that silent clients never lock others out. Ending is a
 * shutdown of the socket, which libmicrohttpd then finds closed. Who waits for a change of the lab
 * has no deadline: the change has. */
#include "proxy/api/api.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/api/changes.h"
#include "proxy/api/internal.h"
#include "proxy/base/log.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"

/* To hand in a request, and between two requests. */
#define IDLE_NS (30 * NS_PER_S)

/* Accepting again after a shortage. */
#define ACCEPT_RETRY_NS (100 * NS_PER_MS)

enum {
    ACCEPTS = 16, /* in one run, a listening socket */
    /* Ended connections stay until libmicrohttpd has seen it: room for them. */
    CONNECTIONS_LIMIT = API_CONNECTIONS_MAX + 64,
    CONNECTION_MEMORY_BYTES = 32768,
};

static struct api_connection *connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info->socket_context;
}

void api_set_deadline(struct MHD_Connection *connection, uint64_t deadline_ns)
{
    struct api_connection *c = connection_of(connection);
    if (c)
        c->deadline_ns = deadline_ns;
}

bool api_is_gone(struct MHD_Connection *connection)
{
    char byte;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    ssize_t got = info ? recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) : 1;
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

void api_reset(struct MHD_Connection *connection)
{
    struct linger reset = {.l_onoff = 1};
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (!info)
        return;
    setsockopt(info->connect_fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    shutdown(info->connect_fd, SHUT_RDWR);
}

static void end_connection(struct api_connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    c->deadline_ns = UINT64_MAX;
    if (info)
        shutdown(info->connect_fd, SHUT_RDWR);
}

/* The one that is next to be ended anyway, event listeners apart, and those that have come, or have
 * asked for something, just now. server: one of this server's; NULL: of any. */
static void end_nearest(const struct api *api, const struct api_server *server)
{
    struct api_connection *nearest = NULL;
    for (struct api_connection *c = api->connections; c; c = c->next)
        if ((!server || c->server == server) && c->deadline_ns < api->now_ns + IDLE_NS &&
            (!nearest || c->deadline_ns <= nearest->deadline_ns))
            nearest = c;
    if (nearest)
        end_connection(nearest);
}

/* Answers and events leave at once: libmicrohttpd hands them over whole, and Nagle's algorithm
 * would hold the next event until the peer's delayed ACK, for 40 ms. */
static void set_nodelay(struct MHD_Connection *connection)
{
    int on = 1;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info)
        setsockopt(info->connect_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void open_connection(struct api_server *server, struct MHD_Connection *connection,
                            void **context)
{
    struct api *api = server->api;
    if (server->connection_count >= API_CONNECTIONS_MAX)
        end_nearest(api, server);
    if (!server->unix_socket)
        set_nodelay(connection);
    struct api_connection *c = memory_allocate_zeroed(1, sizeof(*c));
    c->server = server;
    c->connection = connection;
    c->deadline_ns = api->now_ns + IDLE_NS;
    c->next = api->connections;
    c->link = &api->connections;
    if (c->next)
        c->next->link = &c->next;
    api->connections = c;
    server->connection_count++;
    *context = c;
}

static void close_connection(struct api_server *server, void **context)
{
    struct api_connection *c = *context;
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    server->connection_count--;
    *context = NULL;
    free(c);
}

static void note_connection(void *server, struct MHD_Connection *connection, void **context,
                            enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        open_connection(server, connection, context);
    else if (*context)
        close_connection(server, context);
}

static void __attribute__((format(printf, 2, 0)))
log_library(void *context, const char *format, va_list args)
{
    char line[256];
    (void)context;
    vsnprintf(line, sizeof(line), format, args);
    line[strcspn(line, "\n")] = '\0';
    log_debug("api: %s", line);
}

/* Paths and queries are decoded segment by segment (url.c): a name may have a slash. */
static size_t keep_escapes(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text);
}

static bool is_unix_socket(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof(address);
    return getsockname(fd, (struct sockaddr *)&address, &length) == 0 &&
           address.ss_family == AF_UNIX;
}

/* --- accepting --- */

static int watch(struct api *api, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    return epoll_ctl(api->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static void set_accepting(struct api_server *server, bool accepting)
{
    struct epoll_event event = {.events = accepting ? EPOLLIN : 0u,
                                .data = {.fd = server->listener}};
    epoll_ctl(server->api->epoll_fd, EPOLL_CTL_MOD, server->listener, &event);
    server->paused = !accepting;
}

/* Descriptors or memory have run out: who has been silent for longest, wherever, makes room. (The
 * kernel says so before it looks whether anybody is waiting.) */
static void pause_accepting(struct api_server *server)
{
    struct api *api = server->api;
    end_nearest(api, NULL);
    set_accepting(server, false);
    api->accept_ns = api->now_ns + ACCEPT_RETRY_NS;
}

static bool is_shortage(int code)
{
    return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

static void accept_some(struct api_server *server)
{
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_storage peer;
        socklen_t length = sizeof(peer);
        if (server->connection_count >= CONNECTIONS_LIMIT) {
            pause_accepting(server);
            return;
        }
        int fd = accept4(server->listener, (struct sockaddr *)&peer, &length,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) /* closed when it is not taken */
            MHD_add_connection(server->daemon, fd, (struct sockaddr *)&peer, length);
        else if (is_shortage(errno))
            pause_accepting(server);
        if (fd < 0)
            return;
    }
}

static void accept_on_all(struct api *api)
{
    bool again = api->accept_ns <= api->now_ns;
    if (again)
        api->accept_ns = UINT64_MAX;
    for (size_t i = 0; i < api->server_count; i++) {
        struct api_server *server = &api->servers[i];
        if (server->paused && again)
            set_accepting(server, true);
        if (!server->paused)
            accept_some(server);
    }
}

/* --- start and end --- */

static int start_server(struct api *api, int listener, struct error *error)
{
    struct api_server *server = &api->servers[api->server_count];
    *server = (struct api_server){
        .api = api, .listener = listener, .unix_socket = is_unix_socket(listener)};
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0,
        NULL, NULL, api_handle_request, server, MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_LIMIT,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES,
        MHD_OPTION_NOTIFY_CONNECTION, note_connection, server, MHD_OPTION_NOTIFY_COMPLETED,
        api_complete_request, server, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!server->daemon)
        return error_set(error, -EIO, "libmicrohttpd does not start");
    api->server_count++;
    int code = watch(api, MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    if (code == 0)
        code = watch(api, listener);
    return code ? error_set(error, code, "watching the API's socket: %s", strerror(-code)) : 0;
}

static int watch_others(struct api *api, struct error *error)
{
    void *context = api->backend.context;
    int code = watch(api, api->backend.lab.poll_fd(context));
    if (code == 0)
        code = watch(api, api->backend.captures.wake_fd(context));
    if (code == 0)
        code = watch(api, api->doctor.over_fd);
    return code ? error_set(error, code, "watching the lab and the doctor: %s", strerror(-code))
                : 0;
}

/* The listening sockets stay. */
static void stop_servers(struct api *api)
{
    for (size_t i = 0; i < api->server_count; i++)
        MHD_stop_daemon(api->servers[i].daemon);
    if (api->epoll_fd >= 0)
        close(api->epoll_fd);
}

int api_create(const struct api_backend *backend, const int *listeners, size_t listener_count,
               struct api **api, struct error *error)
{
    if (listener_count == 0 || listener_count > API_SERVERS_MAX)
        return error_set(error, -EINVAL, "the API listens on 1 to %d sockets, not %zu",
                         API_SERVERS_MAX, listener_count);
    struct api *made = memory_allocate_zeroed(1, sizeof(*made));
    made->backend = *backend;
    made->now_ns = monotonic_now_ns();
    made->request_ids.key = random_mix((uint64_t)wall_now_ns() ^ made->now_ns);
    made->accept_ns = UINT64_MAX;
    made->doctor.over_fd = -1;
    made->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int code = made->epoll_fd < 0 ? -errno : 0;
    if (code == 0)
        code = api_doctor_open(&made->doctor);
    if (code < 0)
        error_set(error, code, "the API's descriptors: %s", strerror(-code));
    else
        code = watch_others(made, error);
    for (size_t i = 0; code == 0 && i < listener_count; i++)
        code = start_server(made, listeners[i], error);
    if (code < 0) {
        api_doctor_close(made);
        stop_servers(made);
        free(made);
        return code;
    }
    *api = made;
    return 0;
}

void api_configure(struct api *api, const struct api_options *options)
{
    api->options = *options;
    snprintf(api->token, sizeof(api->token), "%s", options->token ? options->token : "");
    api->options.token = api->token;
}

void api_destroy(struct api *api)
{
    if (!api)
        return;
    api_captures_close(api);
    api_doctor_close(api);
    api_lab_changes_close(api);
    api_listeners_close(&api->listeners);
    for (size_t i = 0; i < api->server_count; i++)
        close(api->servers[i].listener);
    stop_servers(api);
    free(api);
}

size_t api_poll_fds(const struct api *api, int *fds, size_t size)
{
    if (size > 0)
        fds[0] = api->epoll_fd;
    return size > 0 ? 1 : 0;
}

uint64_t api_deadline_ns(const struct api *api, uint64_t now_ns)
{
    uint64_t deadline_ns = api_listeners_deadline_ns(&api->listeners);
    uint64_t captures_ns = api_captures_deadline_ns(api);
    if (captures_ns < deadline_ns)
        deadline_ns = captures_ns;
    if (deadline_ns < now_ns || api->resumed)
        return now_ns;
    if (api->accept_ns < deadline_ns)
        deadline_ns = api->accept_ns;
    for (size_t i = 0; i < api->server_count; i++) {
        MHD_UNSIGNED_LONG_LONG wait_ms;
        if (MHD_get_timeout(api->servers[i].daemon, &wait_ms) == MHD_YES &&
            now_ns + wait_ms * NS_PER_MS < deadline_ns)
            deadline_ns = now_ns + wait_ms * NS_PER_MS;
    }
    for (const struct api_connection *c = api->connections; c; c = c->next)
        if (c->deadline_ns < deadline_ns)
            deadline_ns = c->deadline_ns;
    return deadline_ns;
}

void api_run(struct api *api, uint64_t now_ns)
{
    api->now_ns = now_ns;
    api_lab_changes_run(api);
    for (struct api_connection *c = api->connections; c; c = c->next)
        if (c->deadline_ns <= now_ns)
            end_connection(c);
    api_listeners_run(&api->listeners, api->backend.current(api->backend.context)->version, now_ns);
    api_captures_run(api);
    api_doctor_run(api);
    api->listeners.resumed = api->resumed = false;
    accept_on_all(api);
    for (size_t i = 0; i < api->server_count; i++)
        MHD_run(api->servers[i].daemon);
}

void api_note_change(struct api *api, const struct ruleset *before, const struct ruleset *after,
                     const char *by)
{
    json_t *changes = api_describe_changes(before, after);
    api_listeners_tell_change(&api->listeners, after->version, by, changes);
    json_decref(changes);
}
