#include "chaos/workload/resp_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void *resp_client_open(const struct driver_place *place)
{
    struct resp_client *self = memory_allocate_zeroed(1, sizeof(*self));
    self->place = *place;
    resp_init(&self->connection);
    resp_init(&self->sentinel);
    return self;
}

void resp_client_close(void *client)
{
    struct resp_client *self = client;
    resp_close(&self->connection);
    resp_close(&self->sentinel);
    free(self);
}

int resp_client_call(struct resp_client *self, const char *const *words, size_t count,
                     uint64_t deadline_ns, struct resp_reply *reply, bool *sent,
                     struct error *error)
{
    const struct driver_place *place = &self->place;
    int code = 0;
    *sent = false;
    if (!resp_is_usable(&self->connection)) {
        code = resp_connect(&self->connection, place->target, place->source, deadline_ns,
                            place->abort_fd, error);
        if (code < 0)
            return error_set(error, code, "%s",
                             code == -ETIMEDOUT      ? "connect timed out"
                             : code == -ECONNREFUSED ? "connection refused"
                                                     : strerror(-code));
    }
    code = resp_call(&self->connection, words, count, deadline_ns, place->abort_fd, reply, sent,
                     error);
    if (code < 0)
        resp_close(&self->connection);
    return code;
}

int resp_client_ask(struct resp_client *self, const char *const *words, size_t count,
                    uint64_t deadline_ns, struct text *out)
{
    struct resp_reply reply;
    bool sent;
    int code = resp_client_call(self, words, count, deadline_ns, &reply, &sent, NULL);
    if (code == 0 && reply.kind != RESP_BULK && reply.kind != RESP_STATUS)
        return -EPROTO;
    if (code == 0)
        text_append_bytes(out, reply.text, reply.length);
    return code;
}

bool resp_client_ping(void *client, uint64_t deadline_ns)
{
    static const char *const words[] = {"PING"};
    struct text reply = {0};
    bool answers = resp_client_ask(client, words, 1, deadline_ns, &reply) == 0 &&
                   strcmp(text_get(&reply), "PONG") == 0;
    text_free(&reply);
    return answers;
}
