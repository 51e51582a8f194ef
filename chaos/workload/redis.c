/* A set of Redis, and what Sentinel says beside it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/workload/driver.h"
#include "chaos/workload/resp_client.h"

/* ---- pure ------------------------------------------------------------------------------------ */

/* Errors of a write that Redis gives before it does anything. */
static bool is_refusal(const struct resp_reply *reply)
{
    static const char *const words[] = {"READONLY", "NOREPLICAS", "LOADING", "MASTERDOWN",
                                        "OOM",      "MISCONF",    "NOAUTH",  "NOPERM"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t length = strlen(words[i]);
        if (reply->length >= length && memcmp(reply->text, words[i], length) == 0)
            return true;
    }
    return false;
}

void driver_judge_add(struct history_operation *operation, int code, bool sent,
                      const struct resp_reply *reply, const char *message)
{
    operation->reason[0] = '\0';
    operation->outcome = HISTORY_UNKNOWN;
    if (code < 0) {
        driver_set_reason(operation, message, strlen(message));
        operation->outcome = sent ? HISTORY_UNKNOWN : HISTORY_FAIL;
    } else if (reply->kind == RESP_INTEGER && reply->integer == 1) {
        operation->outcome = HISTORY_OK;
    } else if (reply->kind == RESP_ERROR) {
        driver_set_reason(operation, reply->text, reply->length);
        operation->outcome = is_refusal(reply) ? HISTORY_FAIL : HISTORY_UNKNOWN;
    } else {
        char reason[sizeof(operation->reason)];
        int length =
            snprintf(reason, sizeof(reason), "unexpected reply :%lld", (long long)reply->integer);
        driver_set_reason(operation, reason, (size_t)length);
    }
}

static unsigned long number_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtoul(at + strlen(name), NULL, 10) : 0;
}

/* Appends what is missing of its replication, if anything is. */
static void append_missing(const char *info, size_t node_count, struct text *missing)
{
    size_t length = strlen(info);
    char field[24];
    if (!resp_info_has_line(info, length, "role:master")) {
        if (!resp_info_has_line(info, length, "master_link_status:up"))
            text_append(missing, "its link to its master");
        return;
    }
    resp_info_field(info, length, "connected_slaves", field, sizeof(field));
    if (strtoul(field, NULL, 10) + 1 < node_count)
        text_append(missing, "replicas: %s of %zu are connected", *field ? field : "0",
                    node_count - 1);
}

/* The same of its sentinel's knowledge.
 * "name=mymaster,status=ok,address=10.77.0.1:6379,slaves=2,sentinels=3" */
static void append_unknown(const char *line, size_t node_count, struct text *missing)
{
    unsigned long replicas = number_of(line, "slaves="), sentinels = number_of(line, "sentinels=");
    if (!*line)
        text_append(missing, "its sentinel, which does not answer or knows no master");
    else if (!strstr(line, "status=ok"))
        text_append(missing, "its sentinel, to which the master is not well");
    else if (replicas + 1 < node_count || sentinels < node_count)
        text_append(missing,
                    "its sentinel, which knows %lu of %zu replicas and %lu of %zu sentinels",
                    replicas, node_count - 1, sentinels, node_count);
}

void driver_tell_redis(const char *info, const char *sentinel, bool has_sentinel, size_t node_count,
                       struct text *out)
{
    char line[256];
    resp_info_field(sentinel, strlen(sentinel), "master0", line, sizeof(line));
    text_append(out, "%s", info);
    const char *address = strstr(line, "address=");
    if (address) {
        address += strlen("address=");
        text_append(out, "sentinel_master:%.*s\r\n", (int)strcspn(address, ","), address);
    }
    struct text missing = {0};
    append_missing(info, node_count, &missing);
    if (has_sentinel && missing.length == 0)
        append_unknown(line, node_count, &missing);
    driver_tell_ready(text_get(&missing), out);
    text_free(&missing);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static int operate(void *client, struct history_operation *operation, uint64_t deadline_ns)
{
    struct error error = {0};
    struct resp_reply reply = {.kind = RESP_NIL, .text = ""};
    char value[24];
    bool sent;
    snprintf(value, sizeof(value), "%lld", (long long)operation->value);
    const char *words[] = {"SADD", operation->key, value};
    int code = resp_client_call(client, words, 3, deadline_ns, &reply, &sent, &error);
    driver_judge_add(operation, code, sent, &reply, error.message);
    return code;
}

/* What it says is a help, not a must: an empty text when it does not answer. */
static void ask_sentinel(struct resp_client *self, uint64_t deadline_ns, struct text *out)
{
    static const char *const words[] = {"INFO", "sentinel"};
    const struct driver_place *place = &self->place;
    struct address target = *place->target;
    struct resp_reply reply = {.kind = RESP_NIL};
    bool sent;
    address_set_port(&target, place->sentinel_port);
    int code = resp_is_usable(&self->sentinel)
                   ? 0
                   : resp_connect(&self->sentinel, &target, place->source, deadline_ns,
                                  place->abort_fd, NULL);
    if (code == 0)
        code =
            resp_call(&self->sentinel, words, 2, deadline_ns, place->abort_fd, &reply, &sent, NULL);
    if (code < 0)
        resp_close(&self->sentinel);
    else if (reply.kind == RESP_BULK)
        text_append_bytes(out, reply.text, reply.length);
}

static int tell(void *client, uint64_t deadline_ns, struct text *out)
{
    static const char *const words[] = {"INFO", "replication"};
    struct resp_client *self = client;
    struct text info = {0}, sentinel = {0};
    int code = resp_client_ask(self, words, 2, deadline_ns, &info);
    if (code == 0 && self->place.sentinel_port)
        ask_sentinel(self, deadline_ns, &sentinel);
    if (code == 0)
        driver_tell_redis(text_get(&info), text_get(&sentinel), self->place.sentinel_port != 0,
                          self->place.node_count, out);
    text_free(&info);
    text_free(&sentinel);
    return code;
}

static int prepare(void *client, unsigned keys, const char *node, uint64_t deadline_ns,
                   struct error *error)
{
    static const char *const words[] = {"SCARD", HISTORY_SET_KEY};
    struct resp_reply reply;
    bool sent;
    (void)keys;
    int code = resp_client_call(client, words, 2, deadline_ns, &reply, &sent, NULL);
    if (code < 0)
        return code == -ECANCELED ? code : 0;
    if (reply.kind != RESP_INTEGER || reply.integer == 0)
        return reply.kind == RESP_INTEGER;
    return error_set(error, -EEXIST,
                     "%s already has elements in " HISTORY_SET_KEY
                     ": an experiment starts with an empty cluster",
                     node);
}

static int read_elements(const struct resp_reply *reply, int64_t **values, size_t *count)
{
    const char *at = reply->text, *end = reply->text + reply->length;
    *count = 0;
    *values = memory_allocate_zeroed((size_t)reply->integer + 1, sizeof(**values));
    while (at < end) {
        struct resp_reply element;
        char digits[24];
        long used = resp_parse_reply(at, (size_t)(end - at), &element);
        if (used <= 0 || element.kind != RESP_BULK || element.length >= sizeof(digits))
            return -EPROTO;
        memcpy(digits, element.text, element.length);
        digits[element.length] = '\0';
        (*values)[(*count)++] = strtoll(digits, NULL, 10);
        at += used;
    }
    return 0;
}

static int read_set(void *client, uint64_t deadline_ns, int64_t **values, size_t *count)
{
    static const char *const words[] = {"SMEMBERS", HISTORY_SET_KEY};
    struct resp_reply reply;
    bool sent;
    int code = resp_client_call(client, words, 2, deadline_ns, &reply, &sent, NULL);
    if (code == 0 && reply.kind != RESP_ARRAY)
        code = -EPROTO;
    if (code < 0)
        return code;
    code = read_elements(&reply, values, count);
    if (code < 0)
        free(*values);
    return code;
}

const struct driver driver_redis = {
    .open = resp_client_open,
    .close = resp_client_close,
    .operate = operate,
    .tell = tell,
    .ping = resp_client_ping,
    .prepare = prepare,
    .read_set = read_set,
};
