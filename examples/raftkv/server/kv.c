/* Theory of operation
 *
 * Separate chaining, doubled at load factor 1, FNV-1a over the key. Commands are encoded as
 * operation u8, argument count u16, then length u32 and bytes of each argument. CAS answers 1 when
 * the key was there with exactly the expected bytes and has been replaced, 0 otherwise: a missing
 * key never matches. INCR is Redis's: a missing key counts as 0, 64 bits, an error at overflow. */
#include "examples/raftkv/server/kv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/text.h"

struct item {
    struct item *next;
    uint64_t hash;
    uint8_t *value;
    size_t value_length;
    size_t key_length;
    uint8_t key[];
};

struct kv {
    struct item **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
};

enum { FIRST_BUCKETS = 64 };

struct kv *kv_create(void)
{
    struct kv *kv = memory_allocate_zeroed(1, sizeof(*kv));
    kv->bucket_count = FIRST_BUCKETS;
    kv->buckets = memory_allocate_zeroed(kv->bucket_count, sizeof(*kv->buckets));
    return kv;
}

static void free_item(struct item *item)
{
    free(item->value);
    free(item);
}

void kv_clear(struct kv *kv)
{
    for (size_t i = 0; i < kv->bucket_count; i++) {
        while (kv->buckets[i]) {
            struct item *item = kv->buckets[i];
            kv->buckets[i] = item->next;
            free_item(item);
        }
    }
    kv->count = 0;
}

void kv_destroy(struct kv *kv)
{
    if (!kv)
        return;
    kv_clear(kv);
    free(kv->buckets);
    free(kv);
}

size_t kv_count(const struct kv *kv)
{
    return kv->count;
}

static uint64_t hash_of(const struct resp_argument *key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < key->length; i++)
        hash = (hash ^ key->bytes[i]) * UINT64_C(0x100000001b3);
    return hash ^ (hash >> 32);
}

/* The link that points to the item of key, or to NULL where it belongs. */
static struct item **find(struct kv *kv, const struct resp_argument *key, uint64_t hash)
{
    struct item **link = &kv->buckets[hash & (kv->bucket_count - 1)];
    for (; *link; link = &(*link)->next) {
        const struct item *item = *link;
        if (item->hash == hash && item->key_length == key->length &&
            (key->length == 0 || memcmp(item->key, key->bytes, key->length) == 0))
            break;
    }
    return link;
}

static void grow(struct kv *kv)
{
    size_t count = kv->bucket_count * 2;
    struct item **buckets = memory_allocate_zeroed(count, sizeof(*buckets));
    for (size_t i = 0; i < kv->bucket_count; i++) {
        while (kv->buckets[i]) {
            struct item *item = kv->buckets[i];
            kv->buckets[i] = item->next;
            item->next = buckets[item->hash & (count - 1)];
            buckets[item->hash & (count - 1)] = item;
        }
    }
    free(kv->buckets);
    kv->buckets = buckets;
    kv->bucket_count = count;
}

static void set_value(struct item *item, const void *bytes, size_t length)
{
    uint8_t *value = memory_allocate(length ? length : 1);
    if (length)
        memcpy(value, bytes, length);
    free(item->value);
    item->value = value;
    item->value_length = length;
}

static void put(struct kv *kv, const struct resp_argument *key, const void *bytes, size_t length)
{
    uint64_t hash = hash_of(key);
    struct item **link = find(kv, key, hash);
    if (!*link) {
        struct item *item = memory_allocate_zeroed(1, sizeof(*item) + key->length);
        item->hash = hash;
        item->key_length = key->length;
        if (key->length)
            memcpy(item->key, key->bytes, key->length);
        *link = item;
        kv->count++;
        set_value(item, bytes, length);
        if (kv->count > kv->bucket_count)
            grow(kv);
        return;
    }
    set_value(*link, bytes, length);
}

static bool drop(struct kv *kv, const struct resp_argument *key)
{
    struct item **link = find(kv, key, hash_of(key));
    struct item *item = *link;
    if (!item)
        return false;
    *link = item->next;
    free_item(item);
    kv->count--;
    return true;
}

static bool same_bytes(const struct item *item, const struct resp_argument *value)
{
    return item->value_length == value->length &&
           (value->length == 0 || memcmp(item->value, value->bytes, value->length) == 0);
}

/* A whole decimal number of 64 bits as Redis wants it: no spaces, no plus, no leading zero. */
static bool parse_integer(const uint8_t *bytes, size_t length, int64_t *value)
{
    char digits[24], again[24];
    if (length == 0 || length >= sizeof(digits))
        return false;
    memcpy(digits, bytes, length);
    digits[length] = '\0';
    char *end;
    long long number = strtoll(digits, &end, 10);
    snprintf(again, sizeof(again), "%lld", number);
    if (*end || strcmp(digits, again) != 0)
        return false;
    *value = number;
    return true;
}

static void increment(struct kv *kv, const struct resp_argument *key, struct bytes *reply)
{
    const struct item *item = *find(kv, key, hash_of(key));
    int64_t value = 0;
    if (item && !parse_integer(item->value, item->value_length, &value)) {
        resp_write_error(reply, "ERR value is not an integer or out of range");
        return;
    }
    if (value == INT64_MAX) {
        resp_write_error(reply, "ERR increment or decrement would overflow");
        return;
    }
    char digits[24];
    int length = snprintf(digits, sizeof(digits), "%" PRId64, value + 1);
    put(kv, key, digits, (size_t)length);
    resp_write_integer(reply, value + 1);
}

static void compare_and_swap(struct kv *kv, const struct resp_argument *arguments,
                             struct bytes *reply)
{
    struct item *item = *find(kv, &arguments[0], hash_of(&arguments[0]));
    bool swap = item && same_bytes(item, &arguments[1]);
    if (swap)
        set_value(item, arguments[2].bytes, arguments[2].length);
    resp_write_integer(reply, swap);
}

static void get(struct kv *kv, const struct resp_argument *key, struct bytes *reply)
{
    const struct item *item = *find(kv, key, hash_of(key));
    if (item)
        resp_write_bulk(reply, item->value, item->value_length);
    else
        resp_write_null(reply);
}

void kv_encode(struct bytes *out, enum kv_operation operation,
               const struct resp_argument *arguments, size_t count)
{
    bytes_append_number(out, operation, 1);
    bytes_append_number(out, count, 2);
    for (size_t i = 0; i < count; i++) {
        bytes_append_number(out, arguments[i].length, 4);
        bytes_append(out, arguments[i].bytes, arguments[i].length);
    }
}

static bool decode(const uint8_t *command, size_t length, struct resp_command *decoded)
{
    if (length < 3)
        return false;
    size_t count = bytes_read_number(command + 1, 2);
    if (count == 0 || count > RESP_ARGUMENTS_MAX)
        return false;
    size_t at = 3;
    memset(decoded->arguments, 0, 3 * sizeof(decoded->arguments[0]));
    for (decoded->count = 0; decoded->count < count; decoded->count++) {
        if (length - at < 4)
            return false;
        size_t size = bytes_read_number(command + at, 4);
        at += 4;
        if (length - at < size)
            return false;
        decoded->arguments[decoded->count] =
            (struct resp_argument){.bytes = command + at, .length = size};
        at += size;
    }
    return at == length;
}

bool kv_apply(struct kv *kv, const uint8_t *command, size_t length, struct bytes *reply)
{
    static const size_t wanted[KV_OPERATION_END] = {
        [KV_GET] = 1, [KV_SET] = 2, [KV_INCR] = 1, [KV_CAS] = 3};
    struct resp_command decoded;
    unsigned operation = length ? command[0] : 0;
    bool known = operation >= KV_GET && operation < KV_OPERATION_END;
    if (!known || !decode(command, length, &decoded) ||
        (operation != KV_DEL && decoded.count != wanted[operation])) {
        resp_write_error(reply, "ERR the log holds a command that this version doesn't know");
        return false;
    }
    const struct resp_argument *arguments = decoded.arguments;
    int64_t dropped = 0;
    switch ((enum kv_operation)operation) {
    case KV_GET:
        get(kv, &arguments[0], reply);
        break;
    case KV_SET:
        put(kv, &arguments[0], arguments[1].bytes, arguments[1].length);
        resp_write_simple(reply, "OK");
        break;
    case KV_DEL:
        for (size_t i = 0; i < decoded.count; i++)
            dropped += drop(kv, &arguments[i]);
        resp_write_integer(reply, dropped);
        break;
    case KV_INCR:
        increment(kv, &arguments[0], reply);
        break;
    case KV_CAS:
        compare_and_swap(kv, arguments, reply);
        break;
    case KV_OPERATION_END:
        break;
    }
    return true;
}
