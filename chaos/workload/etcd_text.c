/* What is said to etcd's JSON gateway, and what its answers mean: pure.
 * The API: https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/. Keys and values are base64 there,
 * and members that have their type's zero value are left out. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/workload/driver.h"
#include "chaos/workload/workload.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void driver_append_base64(struct text *out, const void *bytes, size_t length)
{
    const unsigned char *in = bytes;
    for (size_t i = 0; i < length; i += 3) {
        size_t have = length - i < 3 ? length - i : 3;
        unsigned group = (unsigned)in[i] << 16;
        group |= have > 1 ? (unsigned)in[i + 1] << 8 : 0;
        group |= have > 2 ? in[i + 2] : 0u;
        char quad[4];
        for (size_t k = 0; k < 4; k++)
            quad[k] = k <= have ? alphabet[group >> (18 - 6 * k) & 63] : '=';
        text_append_bytes(out, quad, sizeof(quad));
    }
}

bool driver_decode_base64(const char *text, char *bytes, size_t size, size_t *length)
{
    size_t digits = strspn(text, alphabet), padding = strspn(text + digits, "=");
    *length = digits * 3 / 4;
    if (text[digits + padding] || (digits + padding) % 4 || padding > 2 || *length > size)
        return false;
    unsigned group = 0;
    for (size_t i = 0, made = 0; i < digits; i++) {
        group = group << 6 | (unsigned)(strchr(alphabet, text[i]) - alphabet);
        if (i % 4 != 0)
            bytes[made++] = (char)(group >> (6 - 2 * (i % 4)) & 0xff);
    }
    return true;
}

static void append_member(struct text *body, const char *name, const char *value)
{
    text_append(body, "\"%s\":\"", name);
    driver_append_base64(body, value, strlen(value));
    text_append(body, "\"");
}

static void append_number(struct text *body, const char *name, int64_t number)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%lld", (long long)number);
    append_member(body, name, digits);
}

static void append_put(const struct history_operation *operation, struct text *body)
{
    text_append(body, "{");
    append_member(body, "key", operation->key);
    text_append(body, ",");
    append_number(body, "value", operation->value);
    text_append(body, "}");
}

static void append_cas(const struct history_operation *operation, struct text *body)
{
    text_append(body, "{\"compare\":[{");
    append_member(body, "key", operation->key);
    text_append(body, ",\"target\":\"VALUE\",\"result\":\"EQUAL\",");
    append_number(body, "value", operation->expected);
    text_append(body, "}],\"success\":[{\"request_put\":");
    append_put(operation, body);
    text_append(body, "}]}");
}

const char *driver_build_etcd(const struct history_operation *operation, struct text *body)
{
    switch (operation->function) {
    case HISTORY_READ:
        text_append(body, "{");
        append_member(body, "key", operation->key);
        text_append(body, "}");
        return "/v3/kv/range";
    case HISTORY_CAS:
        append_cas(operation, body);
        return "/v3/kv/txn";
    default:
        append_put(operation, body);
        return "/v3/kv/put";
    }
}

/* A number from 1, as driver_build_etcd writes it. */
static bool read_value(const char *base64, int64_t *value)
{
    char digits[24];
    size_t length;
    if (!base64 || !driver_decode_base64(base64, digits, sizeof(digits) - 1, &length) ||
        length == 0 || digits[0] == '0')
        return false;
    digits[length] = '\0';
    if (digits[strspn(digits, "0123456789")])
        return false;
    errno = 0;
    *value = strtoll(digits, NULL, 10);
    return errno == 0;
}

static void judge_read(struct history_operation *operation, json_t *answer)
{
    json_t *kvs = json_object_get(answer, "kvs");
    operation->outcome = HISTORY_OK;
    operation->value = HISTORY_NIL;
    if (json_array_size(kvs) == 0)
        return;
    json_t *value = json_object_get(json_array_get(kvs, 0), "value");
    if (read_value(json_string_value(value), &operation->value))
        return;
    operation->value = WORKLOAD_STRANGE;
    driver_set_reason(operation, "unexpected value", strlen("unexpected value"));
}

/* {"error":"etcdserver: request timed out","message":"...","code":14}: such an error of a write may
 * come before or after it was proposed, and the text does not always tell. */
static void judge_error(struct history_operation *operation, long status, json_t *answer)
{
    const char *said = json_string_value(json_object_get(answer, "error"));
    char reason[64];
    snprintf(reason, sizeof(reason), "HTTP status %ld", status);
    driver_set_reason(operation, said ? said : reason, strlen(said ? said : reason));
    operation->outcome = operation->function == HISTORY_READ ? HISTORY_FAIL : HISTORY_UNKNOWN;
}

void driver_judge_etcd(struct history_operation *operation, long status, const char *body,
                       size_t length)
{
    json_t *answer = json_loadb(body, length, 0, NULL);
    operation->reason[0] = '\0';
    if (status != 200 || !json_is_object(answer))
        judge_error(operation, status, answer);
    else if (operation->function == HISTORY_READ)
        judge_read(operation, answer);
    else if (operation->function == HISTORY_CAS &&
             !json_is_true(json_object_get(answer, "succeeded")))
        operation->outcome = HISTORY_MISMATCH;
    else
        operation->outcome = HISTORY_OK;
    json_decref(answer);
}

int driver_tell_etcd(const char *body, size_t length, struct text *out)
{
    json_t *answer = json_loadb(body, length, 0, NULL);
    const char *own =
        json_string_value(json_object_get(json_object_get(answer, "header"), "member_id"));
    const char *leader = json_string_value(json_object_get(answer, "leader"));
    const char *term = json_string_value(json_object_get(answer, "raftTerm"));
    bool led = leader && strcmp(leader, "0") != 0;
    bool leads = led && own && strcmp(own, leader) == 0;
    if (own)
        text_append(out, "role:%s\r\nterm:%s\r\nleader:%s\r\n", leads ? "leader" : "follower",
                    term ? term : "0", led ? leader : "");
    if (own)
        driver_tell_ready(led ? "" : "a leader", out);
    json_decref(answer);
    return own ? 0 : -EPROTO;
}
