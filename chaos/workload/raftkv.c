/* Registers of raftkv, over the Redis protocol. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/workload/driver.h"
#include "chaos/workload/resp_client.h"
#include "chaos/workload/workload.h"

static int ask(struct resp_client *self, const struct history_operation *operation,
               uint64_t deadline_ns, struct resp_reply *reply, bool *sent, struct error *error)
{
    char value[24], expected[24];
    snprintf(value, sizeof(value), "%lld", (long long)operation->value);
    snprintf(expected, sizeof(expected), "%lld", (long long)operation->expected);
    const char *read[] = {"GET", operation->key};
    const char *write[] = {"SET", operation->key, value};
    const char *cas[] = {"CAS", operation->key, expected, value};
    const char *const *words = operation->function == HISTORY_READ    ? read
                               : operation->function == HISTORY_WRITE ? write
                                                                      : cas;
    return resp_client_call(self, words, 2 + (size_t)operation->function, deadline_ns, reply, sent,
                            error);
}

static int operate(void *client, struct history_operation *operation, uint64_t deadline_ns)
{
    struct error error = {0};
    struct resp_reply reply = {.kind = RESP_NIL, .text = ""};
    bool sent;
    int code = ask(client, operation, deadline_ns, &reply, &sent, &error);
    workload_judge(operation, code, sent, &reply, error.message);
    return code;
}

static int tell(void *client, uint64_t deadline_ns, struct text *out)
{
    static const char *const words[] = {"INFO"};
    return resp_client_ask(client, words, 1, deadline_ns, out);
}

/* One key: 1 answered and empty, 0 no answer, -EEXIST or -ECANCELED. */
static int ask_empty(struct resp_client *self, const char *key, const char *node,
                     uint64_t deadline_ns, struct error *error)
{
    const char *words[] = {"GET", key};
    struct resp_reply reply;
    bool sent;
    int code = resp_client_call(self, words, 2, deadline_ns, &reply, &sent, NULL);
    if (code < 0)
        return code == -ECANCELED ? code : 0;
    if (reply.kind == RESP_NIL || reply.kind == RESP_ERROR)
        return reply.kind == RESP_NIL;
    return error_set(error, -EEXIST,
                     "%s already has a value under %s: an experiment starts with an empty cluster",
                     node, key);
}

static int prepare(void *client, unsigned keys, const char *node, uint64_t deadline_ns,
                   struct error *error)
{
    int result = 1;
    for (unsigned k = 0; k < keys && result == 1; k++) {
        char key[HISTORY_KEY_MAX];
        snprintf(key, sizeof(key), "k%u", k + 1);
        result = ask_empty(client, key, node, deadline_ns, error);
    }
    return result;
}

const struct driver driver_raftkv = {
    .open = resp_client_open,
    .close = resp_client_close,
    .operate = operate,
    .tell = tell,
    .ping = resp_client_ping,
    .prepare = prepare,
};
