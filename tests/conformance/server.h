/* A severd as clients of Toxiproxy start it, and raw requests to it. */
#ifndef SEVER_TESTS_CONFORMANCE_SERVER_H
#define SEVER_TESTS_CONFORMANCE_SERVER_H

#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "tests/lib/child.h"
#include "tests/lib/files.h"

enum { SERVER_ARGUMENTS_MAX = 24, SERVER_PATIENCE_S = 20 };

struct server {
    struct child child;
    int port;
    char url[48];
    struct text log; /* until it was ready */
};

/* What one request was answered. */
struct answer {
    int status;
    struct text text; /* all of it */
    const char *body; /* in text */
};

/* extra: further arguments, NULL-terminated, or NULL. environment: as child_start has it. */
static inline void server_start(struct server *server, const char *const extra[],
                                const char *const environment[])
{
    static const char *const no_token[] = {"SEVER_TOKEN", "LOG_LEVEL", NULL};
    char program[PATH_MAX], line[1024];
    const char *arguments[SERVER_ARGUMENTS_MAX] = {program, "-port=0", "--die-with-parent"};
    size_t count = 3;
    files_find_built("bin/severd", program, sizeof(program));
    while (extra && *extra && count + 1 < SERVER_ARGUMENTS_MAX)
        arguments[count++] = *extra++;
    *server = (struct server){0};
    child_start(&server->child, arguments, environment ? environment : no_token);
    do {
        if (!child_read_line(&server->child, line, sizeof(line)))
            fail_msg("severd ended: %s%s", text_get(&server->log), line);
        text_append(&server->log, "%s\n", line);
    } while (!strstr(line, "ready: control"));
    const char *url = strstr(line, "http://");
    assert_non_null(url);
    snprintf(server->url, sizeof(server->url), "%.*s", (int)strcspn(url, ", "), url);
    server->port = (int)strtol(strrchr(server->url, ':') + 1, NULL, 10);
}

/* With SIGTERM; it must leave with 0. */
static inline void server_stop(struct server *server)
{
    assert_int_equal(kill(server->child.pid, SIGTERM), 0);
    assert_int_equal(child_finish(&server->child, NULL), 0);
    text_free(&server->log);
}

/* --- sockets --- */

static inline struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline void limit_waiting(int fd)
{
    struct timeval limit = {.tv_sec = SERVER_PATIENCE_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

/* A listening socket on a free port. */
static inline int listen_anywhere(int backlog, int *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof(address);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    limit_waiting(fd);
    *port = ntohs(address.sin_port);
    return fd;
}

/* -1 with errno when refused. */
static inline int connect_to(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback(port);
    assert_true(fd >= 0);
    limit_waiting(fd);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static inline int accept_from(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    limit_waiting(fd);
    return fd;
}

static inline void send_text(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent <= 0)
            fail_msg("send: %s", strerror(errno));
        bytes += sent;
        length -= (size_t)sent;
    }
}

/* Exactly that many bytes. */
static inline void expect_bytes(int fd, const char *wanted, size_t length)
{
    char got[256];
    assert_true(length <= sizeof(got));
    ssize_t count = recv(fd, got, length, MSG_WAITALL);
    if (count != (ssize_t)length)
        fail_msg("%zd bytes of %zu: %s", count, length, count < 0 ? strerror(errno) : "end");
    assert_memory_equal(got, wanted, length);
}

/* --- requests --- */

/* headers: complete lines, or "" for none. body: NULL for none. The answer's text is the caller's.
 */
static inline void server_ask(const struct server *server, const char *method, const char *path,
                              const char *headers, const char *body, struct answer *answer)
{
    struct text request = {0};
    char buffer[4096];
    ssize_t got;
    int fd = connect_to(server->port);
    assert_true(fd >= 0);
    text_append(&request, "%s %s HTTP/1.1\r\nHost: localhost:8474\r\nConnection: close\r\n%s",
                method, path, headers);
    if (body)
        text_append(&request, "Content-Length: %zu\r\n", strlen(body));
    text_append(&request, "\r\n%s", body ? body : "");
    send_text(fd, text_get(&request), request.length);
    text_free(&request);
    text_clear(&answer->text);
    while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0)
        text_append_bytes(&answer->text, buffer, (size_t)got);
    if (got < 0)
        fail_msg("%s %s: %s", method, path, strerror(errno));
    close(fd);
    if (sscanf(text_get(&answer->text), "HTTP/1.1 %d", &answer->status) != 1)
        fail_msg("%s %s: no answer", method, path);
    answer->body = strstr(text_get(&answer->text), "\r\n\r\n");
    assert_non_null(answer->body);
    answer->body += 4;
}

/* A request that is answered with this status. */
static inline void server_tell(const struct server *server, const char *method, const char *path,
                               const char *body, int status)
{
    struct answer answer = {0};
    server_ask(server, method, path, "", body, &answer);
    if (answer.status != status)
        fail_msg("%s %s: %s", method, path, text_get(&answer.text));
    text_free(&answer.text);
}

/* A proxy on a free port in front of that port; returns the one it listens on. */
static inline int server_add_proxy(const struct server *server, const char *name, int upstream)
{
    struct answer answer = {0};
    char body[256];
    snprintf(body, sizeof(body),
             "{\"name\":\"%s\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:%d\"}", name,
             upstream);
    server_ask(server, "POST", "/proxies", "", body, &answer);
    if (answer.status != 201)
        fail_msg("%s", text_get(&answer.text));
    const char *listen = strstr(answer.body, "\"listen\":\"127.0.0.1:");
    assert_non_null(listen);
    int port = (int)strtol(listen + strlen("\"listen\":\"127.0.0.1:"), NULL, 10);
    text_free(&answer.text);
    return port;
}

#endif
