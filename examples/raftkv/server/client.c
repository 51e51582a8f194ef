/* Clients: connections that speak RESP.
 *
 * Theory of operation
 *
 * A client's answers come in the order of its commands: it has a queue of requests, and what is
 * done at the front of it is sent. Commands are pipelined, with one limit that makes a pipeline
 * mean what it says: reads never overtake writes of the same client or the other way round, so a
 * command of the other kind waits until the requests before it have left the queue.
 *
 * A client that does not read its answers, or that has too much queued, is not read from: that is
 * the back-pressure. What counts is everything between its commands and its socket: the queued
 * requests, in number and in bytes, and the output. Answers move from the queue to the output while
 * that is short; the answers of reads are made then, and not before. A client with nothing queued
 * is below every limit, so no client ever waits for another. Output is written at the end of the
 * turn, in as few system calls as possible. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "examples/raftkv/server/server.h"
#include "proxy/base/text.h"
#include "proxy/io/socket.h"

enum { READ_CHUNK = 64 * 1024 };

struct client {
    struct server *server;
    struct client *previous, *next;
    struct loop_watch watch;
    struct bytes in, out;
    struct request *first, *last; /* queued, in order of the commands */
    uint32_t queued_count;
    size_t queued_bytes;
    enum request_kind queued_kind; /* of the reads or writes among them: all are of one */
    bool dirty;                    /* something to flush */
    bool blocked;                  /* a buffered command waits */
    bool closing;                  /* once everything is answered and sent */
    bool dead;                     /* to be freed at the end of the turn */
};

struct write_command {
    const char *name;
    enum request_kind kind;
    enum kv_operation operation;
    size_t minimum, maximum; /* arguments, without the name */
    size_t keys;             /* how many of them are keys; 0: all */
};

static const struct write_command data_commands[] = {
    {"GET", REQUEST_READ, KV_GET, 1, 1, 1},
    {"SET", REQUEST_WRITE, KV_SET, 2, 2, 1},
    {"DEL", REQUEST_WRITE, KV_DEL, 1, RESP_ARGUMENTS_MAX - 1, 0},
    {"INCR", REQUEST_WRITE, KV_INCR, 1, 1, 1},
    {"CAS", REQUEST_WRITE, KV_CAS, 3, 3, 1},
};

static const struct write_command *find_command(const struct resp_argument *name)
{
    for (size_t i = 0; i < sizeof(data_commands) / sizeof(data_commands[0]); i++)
        if (name->length == strlen(data_commands[i].name) &&
            strncasecmp((const char *)name->bytes, data_commands[i].name, name->length) == 0)
            return &data_commands[i];
    return NULL;
}

static void mark_dirty(struct client *client)
{
    client->dirty = true;
}

void client_note_answer(struct client *client)
{
    mark_dirty(client);
}

static void enqueue(struct client *client, struct request *request)
{
    if (client->last)
        client->last->after = request;
    else
        client->first = request;
    client->last = request;
    client->queued_count++;
    client->queued_bytes += request->size;
}

static struct request *dequeue(struct client *client)
{
    struct request *request = client->first;
    assert(client->queued_count > 0 && client->queued_bytes >= request->size);
    client->first = request->after;
    if (!client->first)
        client->last = NULL;
    client->queued_count--;
    client->queued_bytes -= request->size;
    return request;
}

/* An answer that is ready now, in its place. */
static void answer_now(struct client *client, const struct bytes *reply)
{
    mark_dirty(client);
    if (!client->first) {
        bytes_append(&client->out, bytes_get(reply), bytes_length(reply));
        return;
    }
    enqueue(client, request_create_done(client, reply));
}

static void answer_error(struct client *client, const char *text)
{
    struct bytes reply = {0};
    resp_write_error(&reply, "%s", text);
    answer_now(client, &reply);
    bytes_free(&reply);
}

/* What is wrong with the arguments of a data command; NULL when nothing is. */
static const char *check_arguments(const struct write_command *known,
                                   const struct resp_command *command)
{
    size_t count = command->count - 1;
    if (known->operation == KV_SET && count > known->maximum)
        return "ERR syntax error: SET has no options here";
    if (count < known->minimum || count > known->maximum)
        return "ERR wrong number of arguments for this command";
    size_t keys = known->keys ? known->keys : count;
    for (size_t i = 1; i <= keys; i++)
        if (command->arguments[i].length > KV_KEY_MAX)
            return "ERR key is too long (1024 bytes are allowed)";
    return NULL;
}

/* False: the command has to wait and stays in the buffer. */
static bool run_data_command(struct client *client, const struct write_command *known,
                             const struct resp_command *command)
{
    const char *problem = check_arguments(known, command);
    if (problem) {
        answer_error(client, problem);
        return true;
    }
    if (client->first && client->queued_kind != known->kind)
        return false;
    struct request *request = request_create(client->server, client, known->kind, known->operation,
                                             &command->arguments[1], command->count - 1);
    if (!request) {
        answer_error(client, "NOTDONE too many requests are waiting, try again");
        return true;
    }
    client->queued_kind = known->kind;
    enqueue(client, request);
    return true;
}

static bool run_command(struct client *client, const struct resp_command *command)
{
    struct bytes reply = {0};
    const struct write_command *known = find_command(&command->arguments[0]);
    if (known)
        return run_data_command(client, known, command);
    bool quits = false;
    if (!server_answer_local(client->server, command, &reply, &quits))
        resp_write_error(
            &reply, "ERR unknown command '%.*s'",
            (int)(command->arguments[0].length < 64 ? command->arguments[0].length : 64),
            (const char *)command->arguments[0].bytes);
    client->closing = client->closing || quits;
    answer_now(client, &reply);
    bytes_free(&reply);
    return true;
}

static bool may_take_more(const struct client *client)
{
    return !client->closing && !client->dead && client->queued_count < CLIENT_REQUESTS_MAX &&
           client->queued_bytes + bytes_length(&client->out) < CLIENT_BYTES_MAX;
}

static void process_input(struct client *client)
{
    static struct resp_command command; /* one thread; 16 KiB are too much for a stack */
    client->blocked = false;
    while (may_take_more(client) && bytes_length(&client->in)) {
        size_t used = 0;
        const char *problem = NULL;
        int got = resp_parse(bytes_get(&client->in), bytes_length(&client->in), &command, &used,
                             &problem);
        if (got == 0)
            return;
        if (got < 0) {
            struct bytes reply = {0};
            resp_write_error(&reply, "ERR Protocol error: %s", problem);
            answer_now(client, &reply);
            bytes_free(&reply);
            client->closing = true;
            return;
        }
        if (command.count && !run_command(client, &command)) {
            client->blocked = true;
            return;
        }
        bytes_consume(&client->in, used);
    }
    client->blocked = bytes_length(&client->in) > 0;
}

static void kill_client(struct client *client)
{
    client->dead = true;
    mark_dirty(client);
    loop_watch_remove(&client->watch);
}

static void read_input(struct client *client)
{
    uint8_t *room = bytes_reserve(&client->in, READ_CHUNK);
    ssize_t got = recv(client->watch.fd, room, READ_CHUNK, 0);
    if (got > 0) {
        bytes_commit(&client->in, (size_t)got);
        process_input(client);
    } else if (got == 0) {
        if (client->first || bytes_length(&client->out))
            client->closing = true; /* half-closed: it may still read its answers */
        else
            kill_client(client);
    } else if (errno != EAGAIN && errno != EINTR) {
        kill_client(client);
    }
}

static void update_events(struct client *client)
{
    bool reads = may_take_more(client) && !client->blocked;
    bool writes = bytes_length(&client->out) > 0;
    loop_watch_modify(&client->watch, (reads ? EPOLLIN : 0u) | (writes ? EPOLLOUT : 0u));
}

static void client_ready(struct loop_watch *watch, uint32_t events)
{
    struct client *client = loop_container(watch, struct client, watch);
    if (events & (EPOLLERR | EPOLLHUP)) {
        kill_client(client);
        return;
    }
    if (events & EPOLLIN)
        read_input(client);
    mark_dirty(client);
}

static void accept_client(struct loop_watch *watch, uint32_t events)
{
    (void)events;
    struct listener *listener = loop_container(watch, struct listener, watch);
    struct server *server = loop_container(listener, struct server, client_listener);
    for (;;) {
        int fd = listener_accept(listener);
        if (fd < 0)
            return;
        if (server->client_count >= server->clients_max) {
            static const char full[] = "-ERR max number of clients reached\r\n";
            ssize_t sent = send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL);
            (void)sent; /* told if it can be */
            close(fd);
            continue;
        }
        struct client *client = memory_allocate_zeroed(1, sizeof(*client));
        client->server = server;
        socket_set_nodelay(fd);
        if (loop_watch_add(server->loop, &client->watch, fd, EPOLLIN, client_ready)) {
            close(fd);
            free(client);
            continue;
        }
        client->next = server->first_client;
        if (client->next)
            client->next->previous = client;
        server->first_client = client;
        server->client_count++;
    }
}

int clients_listen(struct server *server, struct error *error)
{
    return listener_open(&server->client_listener, server->loop, &server->options->client_address,
                         accept_client, error);
}

static void free_client(struct client *client)
{
    struct server *server = client->server;
    while (client->first) {
        struct request *request = dequeue(client);
        request->client = NULL; /* an open one frees itself when it is answered */
        if (request_is_answered(request))
            request_destroy(server, request);
    }
    if (server->first_client == client)
        server->first_client = client->next;
    else
        client->previous->next = client->next;
    if (client->next)
        client->next->previous = client->previous;
    server->client_count--;
    int fd = client->watch.fd;
    loop_watch_remove(&client->watch);
    close(fd);
    bytes_free(&client->in);
    bytes_free(&client->out);
    free(client);
}

static bool first_is_answered(const struct client *client)
{
    return client->first && request_is_answered(client->first);
}

static void collect_answers(struct client *client)
{
    while (first_is_answered(client) && bytes_length(&client->out) < CLIENT_OUTPUT_MAX) {
        struct request *request = dequeue(client);
        request_append_answer(client->server, request, &client->out);
        request_destroy(client->server, request);
    }
}

static void send_output(struct client *client)
{
    while (bytes_length(&client->out)) {
        ssize_t sent = send(client->watch.fd, bytes_get(&client->out), bytes_length(&client->out),
                            MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            if (errno != EAGAIN)
                kill_client(client);
            return;
        }
        bytes_consume(&client->out, (size_t)sent);
    }
    if (client->closing && !client->first)
        kill_client(client);
}

/* True when there is more to do at once: the output stopped answers or the input, and has gone out
 * whole, so that no event will come for it. */
static bool advance(struct client *client)
{
    collect_answers(client);
    if (client->blocked)
        process_input(client);
    bool was_full = !may_take_more(client);
    send_output(client);
    if (client->dead || bytes_length(&client->out))
        return false;
    return first_is_answered(client) || (client->blocked && was_full && may_take_more(client));
}

bool clients_flush(struct server *server)
{
    uint32_t waiting = server->waiting_count;
    bool again = false;
    struct client *next;
    for (struct client *client = server->first_client; client; client = next) {
        next = client->next;
        if (!client->dirty)
            continue;
        client->dirty = !client->dead && advance(client);
        again = again || client->dirty;
        if (client->dead)
            free_client(client);
        else
            update_events(client);
    }
    return again || server->waiting_count > waiting;
}

void clients_close(struct server *server)
{
    for (struct client *client = server->first_client, *next; client; client = next) {
        next = client->next;
        free_client(client);
    }
    listener_close(&server->client_listener);
}
