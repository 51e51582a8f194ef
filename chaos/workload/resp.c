/* Theory of operation
 *
 * Sockets are non-blocking; every wait is a poll() on the socket and, beside it, on a descriptor
 * that tells the caller's thread to give up. So a deadline is exact and a run that ends early does
 * not wait for servers that no longer answer.
 *
 * Whether anything of a command left (`sent`) decides between "did not happen" and "nobody knows",
 * which is why resp_call tells it and why a connection that the server has closed meanwhile is
 * found before the next command is written to it (resp_is_usable). */
#include "chaos/workload/resp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"

enum { LINE_MAX_BYTES = 64 * 1024, READ_SIZE = 16 * 1024 };

/* A decimal number that fills text entirely. */
static bool parse_integer(const char *text, size_t length, int64_t *value)
{
    bool negative = length > 0 && text[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == length || length - i > 18)
        return false;
    int64_t number = 0;
    for (; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + (text[i] - '0');
    }
    *value = negative ? -number : number;
    return true;
}

static long parse_bulk(const char *data, size_t length, size_t header, int64_t size,
                       struct resp_reply *reply)
{
    if (size == -1) {
        reply->kind = RESP_NIL;
        return (long)header;
    }
    if (size < 0 || size > RESP_REPLY_MAX)
        return -EPROTO;
    size_t total = header + (size_t)size + 2;
    if (length < total)
        return 0;
    if (data[total - 2] != '\r' || data[total - 1] != '\n')
        return -EPROTO;
    reply->kind = RESP_BULK;
    reply->text = data + header;
    reply->length = (size_t)size;
    return (long)total;
}

/* The elements must be there and whole; what they are is for the caller to read. */
static long parse_array(const char *data, size_t length, size_t header, int64_t count,
                        struct resp_reply *reply)
{
    size_t at = header;
    if (count == -1) {
        reply->kind = RESP_NIL;
        return (long)header;
    }
    if (count < 0 || count > RESP_ARRAY_MAX)
        return -EPROTO;
    for (int64_t i = 0; i < count; i++) {
        struct resp_reply element;
        long used = at < length && data[at] == '*'
                        ? -EPROTO
                        : resp_parse_reply(data + at, length - at, &element);
        if (used <= 0)
            return used == 0 && length > RESP_ARRAY_MAX ? -EPROTO : used;
        at += (size_t)used;
    }
    reply->kind = RESP_ARRAY;
    reply->integer = count;
    reply->text = data + header;
    reply->length = at - header;
    return (long)at;
}

long resp_parse_reply(const char *data, size_t length, struct resp_reply *reply)
{
    *reply = (struct resp_reply){.kind = RESP_NIL, .text = ""};
    if (length == 0)
        return 0;
    if (!strchr("+-:$*", data[0]) || data[0] == '\0')
        return -EPROTO;
    const char *end = memchr(data, '\n', length < LINE_MAX_BYTES ? length : LINE_MAX_BYTES);
    if (!end)
        return length >= LINE_MAX_BYTES ? -EPROTO : 0;
    if (end[-1] != '\r' || end - data < 2)
        return -EPROTO;
    const char *text = data + 1;
    size_t text_length = (size_t)(end - text) - 1;
    size_t header = (size_t)(end - data) + 1;
    int64_t number = 0;
    switch (data[0]) {
    case '+':
    case '-':
        reply->kind = data[0] == '+' ? RESP_STATUS : RESP_ERROR;
        reply->text = text;
        reply->length = text_length;
        return (long)header;
    case ':':
        if (!parse_integer(text, text_length, &number))
            return -EPROTO;
        reply->kind = RESP_INTEGER;
        reply->integer = number;
        return (long)header;
    default:
        if (!parse_integer(text, text_length, &number))
            return -EPROTO;
        return data[0] == '*' ? parse_array(data, length, header, number, reply)
                              : parse_bulk(data, length, header, number, reply);
    }
}

void resp_append_command(struct text *out, const char *const *words, size_t count)
{
    text_append(out, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++)
        text_append(out, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
}

bool resp_reply_is(const struct resp_reply *reply, const char *text)
{
    return (reply->kind == RESP_STATUS || reply->kind == RESP_BULK) &&
           reply->length == strlen(text) && memcmp(reply->text, text, reply->length) == 0;
}

/* The length of the line at `at` without its end; returns where the next one starts. */
static const char *next_line(const char *at, const char *end, size_t *length)
{
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    const char *line_end = stop ? stop : end;
    *length = (size_t)(line_end - at);
    if (*length > 0 && at[*length - 1] == '\r')
        (*length)--;
    return stop ? stop + 1 : end;
}

bool resp_info_field(const char *info, size_t length, const char *name, char *value, size_t size)
{
    const char *end = info + length;
    size_t name_length = strlen(name);
    value[0] = '\0';
    for (const char *at = info; at < end;) {
        size_t line;
        const char *next = next_line(at, end, &line);
        if (line > name_length && at[name_length] == ':' && memcmp(at, name, name_length) == 0) {
            size_t n = line - name_length - 1;
            n = n < size ? n : size - 1;
            memcpy(value, at + name_length + 1, n);
            value[n] = '\0';
            return true;
        }
        at = next;
    }
    return false;
}

bool resp_info_has_line(const char *info, size_t length, const char *line)
{
    const char *end = info + length;
    for (const char *at = info; at < end;) {
        size_t found;
        const char *next = next_line(at, end, &found);
        if (found == strlen(line) && memcmp(at, line, found) == 0)
            return true;
        at = next;
    }
    return false;
}

void resp_init(struct resp_connection *connection)
{
    *connection = (struct resp_connection){.fd = -1};
}

void resp_close(struct resp_connection *connection)
{
    if (connection->fd >= 0)
        close(connection->fd);
    text_free(&connection->in);
    resp_init(connection);
}

/* Waits until fd has one of events. 0, -ETIMEDOUT or -ECANCELED. */
static int wait_for(int fd, short events, uint64_t deadline_ns, int abort_fd)
{
    for (;;) {
        uint64_t now = monotonic_now_ns();
        if (now >= deadline_ns)
            return -ETIMEDOUT;
        uint64_t left = deadline_ns - now;
        struct timespec timeout = {.tv_sec = (time_t)(left / NS_PER_S),
                                   .tv_nsec = (long)(left % NS_PER_S)};
        struct pollfd fds[2] = {{.fd = fd, .events = events}, {.fd = abort_fd, .events = POLLIN}};
        int ready = ppoll(fds, 2, &timeout, NULL);
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready <= 0)
            continue;
        if (fds[1].revents)
            return -ECANCELED;
        if (fds[0].revents)
            return 0;
    }
}

static int open_from(const struct address *target, const struct address *source)
{
    int fd = socket(target->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    /* The port is chosen at connect(), so that sources are not limited to one port per socket. */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    if (source && bind(fd, (const struct sockaddr *)&source->storage, source->length) < 0) {
        int code = -errno;
        close(fd);
        return code;
    }
    return fd;
}

int resp_connect(struct resp_connection *connection, const struct address *target,
                 const struct address *source, uint64_t deadline_ns, int abort_fd,
                 struct error *error)
{
    char text[ADDRESS_TEXT_MAX];
    resp_close(connection);
    int fd = open_from(target, source);
    if (fd < 0)
        return error_set(error, fd, "can't open a socket to %s: %s", address_format(target, text),
                         strerror(-fd));
    int code = 0;
    if (connect(fd, (const struct sockaddr *)&target->storage, target->length) < 0)
        code = errno == EINPROGRESS ? wait_for(fd, POLLOUT, deadline_ns, abort_fd) : -errno;
    int failure = 0;
    socklen_t size = sizeof(failure);
    if (code == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) == 0 && failure)
        code = -failure;
    if (code < 0) {
        close(fd);
        return error_set(error, code, "connect to %s: %s", address_format(target, text),
                         code == -ETIMEDOUT ? "no answer in time" : strerror(-code));
    }
    connection->fd = fd;
    return 0;
}

static int send_all(struct resp_connection *connection, const struct text *out,
                    uint64_t deadline_ns, int abort_fd, bool *sent)
{
    size_t done = 0;
    while (done < out->length) {
        ssize_t n = send(connection->fd, out->data + done, out->length - done, MSG_NOSIGNAL);
        if (n > 0) {
            *sent = true;
            done += (size_t)n;
        } else if (errno == EAGAIN) {
            int code = wait_for(connection->fd, POLLOUT, deadline_ns, abort_fd);
            if (code < 0)
                return code;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

static int receive_reply(struct resp_connection *connection, uint64_t deadline_ns, int abort_fd,
                         struct resp_reply *reply)
{
    char buffer[READ_SIZE];
    for (;;) {
        size_t have = connection->in.length - connection->in_offset;
        long used =
            have ? resp_parse_reply(connection->in.data + connection->in_offset, have, reply) : 0;
        if (used < 0)
            return (int)used;
        if (used > 0) {
            connection->in_offset += (size_t)used;
            return 0;
        }
        int code = wait_for(connection->fd, POLLIN, deadline_ns, abort_fd);
        if (code < 0)
            return code;
        ssize_t n = recv(connection->fd, buffer, sizeof(buffer), 0);
        if (n == 0)
            return -ECONNRESET;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (n > 0)
            text_append_bytes(&connection->in, buffer, (size_t)n);
    }
}

int resp_call(struct resp_connection *connection, const char *const *words, size_t count,
              uint64_t deadline_ns, int abort_fd, struct resp_reply *reply, bool *sent,
              struct error *error)
{
    *sent = false;
    if (connection->in_offset == connection->in.length) {
        text_clear(&connection->in);
        connection->in_offset = 0;
    }
    struct text out = {0};
    resp_append_command(&out, words, count);
    int code = send_all(connection, &out, deadline_ns, abort_fd, sent);
    text_free(&out);
    if (code == 0)
        code = receive_reply(connection, deadline_ns, abort_fd, reply);
    switch (code) {
    case 0:
        return 0;
    case -ETIMEDOUT:
        return error_set(error, code, "timed out");
    case -EPROTO:
        return error_set(error, code, "malformed reply");
    case -ECONNRESET:
        return error_set(error, code, "connection closed");
    default:
        return error_set(error, code, "%s", strerror(-code));
    }
}

bool resp_is_usable(const struct resp_connection *connection)
{
    char byte;
    if (connection->fd < 0 || connection->in_offset != connection->in.length)
        return false;
    ssize_t n = recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}
