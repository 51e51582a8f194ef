/* The state machine: keys and values in a hash table, and the commands that the log carries. Pure:
 * the same commands in the same order give the same state and the same replies on every node. */
#ifndef RAFTKV_SERVER_KV_H
#define RAFTKV_SERVER_KV_H

#include <stdbool.h>

#include "examples/raftkv/server/bytes.h"
#include "examples/raftkv/server/resp.h"

enum { KV_KEY_MAX = 1024, KV_VALUE_MAX = RESP_BULK_MAX };

enum kv_operation { KV_GET = 1, KV_SET, KV_DEL, KV_INCR, KV_CAS, KV_OPERATION_END };

struct kv;

struct kv *kv_create(void);
void kv_destroy(struct kv *kv);
void kv_clear(struct kv *kv);
size_t kv_count(const struct kv *kv);

/* Appends a command: operation and arguments (GET key; SET key value; DEL key...; INCR key; CAS key
 * expected new). The caller has checked their number and sizes. */
void kv_encode(struct bytes *out, enum kv_operation operation,
               const struct resp_argument *arguments, size_t count);

/* Runs an encoded command and appends its reply as RESP. False, with an error reply, when the bytes
 * are no command: nothing has changed then. */
bool kv_apply(struct kv *kv, const uint8_t *command, size_t length, struct bytes *reply);

#endif
