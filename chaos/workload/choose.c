/* The pure parts of the workload: what to do next, when, and what an answer means. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/workload/driver.h"
#include "chaos/workload/workload.h"
#include "proxy/base/monotonic.h"

enum { CLIENT_STRIDE = EXPERIMENT_CLIENTS_MAX };

void workload_client_init(struct workload_client *client, unsigned index, uint64_t seed,
                          unsigned keys)
{
    uint64_t key = random_key_fold(random_key_fold_text(seed, "workload"), index);
    *client = (struct workload_client){
        .index = index,
        .stream = {.key = key},
        .last_seen = memory_allocate_zeroed(keys, sizeof(int64_t)),
    };
    for (unsigned i = 0; i < keys; i++)
        client->last_seen[i] = HISTORY_NIL;
}

void workload_client_free(struct workload_client *client)
{
    free(client->last_seen);
    *client = (struct workload_client){0};
}

static enum history_function choose_function(const struct experiment_workload *workload,
                                             uint64_t bits)
{
    uint64_t total =
        (uint64_t)workload->weight_read + workload->weight_write + workload->weight_cas;
    uint64_t pick = random_below(bits, total ? total : 1);
    if (pick < workload->weight_read)
        return HISTORY_READ;
    return pick < (uint64_t)workload->weight_read + workload->weight_write ? HISTORY_WRITE
                                                                           : HISTORY_CAS;
}

/* Unique in the run. */
static int64_t next_value(struct workload_client *client)
{
    return (int64_t)(client->values++ * CLIENT_STRIDE + client->index + 1);
}

static void choose_element(struct workload_client *client, struct history_operation *operation)
{
    operation->function = HISTORY_ADD;
    snprintf(operation->key, sizeof(operation->key), "%s", HISTORY_SET_KEY);
    operation->value = next_value(client);
    operation->expected = HISTORY_NIL;
}

void workload_choose(struct workload_client *client, const struct experiment_workload *workload,
                     struct history_operation *operation, unsigned *key_index)
{
    if (workload->kind == EXPERIMENT_SET) {
        *key_index = 0;
        choose_element(client, operation);
        return;
    }
    uint64_t function_bits = random_next(&client->stream);
    uint64_t key_bits = random_next(&client->stream);
    unsigned key = (unsigned)random_below(key_bits, workload->keys);
    operation->function = choose_function(workload, function_bits);
    if (operation->function == HISTORY_CAS && client->last_seen[key] == HISTORY_NIL)
        operation->function = HISTORY_READ;
    snprintf(operation->key, sizeof(operation->key), "k%u", key + 1);
    operation->value = HISTORY_NIL;
    operation->expected = HISTORY_NIL;
    if (operation->function != HISTORY_READ)
        operation->value = next_value(client);
    if (operation->function == HISTORY_CAS)
        operation->expected = client->last_seen[key];
    *key_index = key;
}

void workload_learn(struct workload_client *client, unsigned key_index,
                    const struct history_operation *operation)
{
    bool known = operation->value != WORKLOAD_STRANGE;
    if (operation->outcome == HISTORY_OK)
        client->last_seen[key_index] = known ? operation->value : HISTORY_NIL;
    else if (operation->outcome == HISTORY_MISMATCH || operation->outcome == HISTORY_UNKNOWN)
        client->last_seen[key_index] = HISTORY_NIL;
}

uint64_t workload_slot_due(const struct workload_client *client,
                           const struct experiment_workload *workload, uint64_t seed, uint64_t slot)
{
    uint64_t interval_ns = (uint64_t)workload->clients * NS_PER_S / workload->rate_per_s;
    uint64_t key = random_key_fold(random_key_fold_text(seed, "pace"), client->index);
    return slot * interval_ns + random_below(random_draw(key, slot, 0), interval_ns);
}

static bool starts_with(const struct resp_reply *reply, const char *word)
{
    size_t length = strlen(word);
    return reply->length >= length && memcmp(reply->text, word, length) == 0;
}

/* A value that this workload can have written: a number from 1, as it writes them. */
static bool read_value(const struct resp_reply *reply, int64_t *value)
{
    char digits[24];
    if (reply->kind != RESP_BULK || reply->length == 0 || reply->length >= sizeof(digits) ||
        reply->text[0] == '0')
        return false;
    for (size_t i = 0; i < reply->length; i++)
        if (reply->text[i] < '0' || reply->text[i] > '9')
            return false;
    memcpy(digits, reply->text, reply->length);
    digits[reply->length] = '\0';
    errno = 0;
    *value = strtoll(digits, NULL, 10);
    return errno == 0;
}

/* "unexpected reply 'text'", or ":5", "nil" for what is no text. */
static void set_strange_reason(struct history_operation *operation, const struct resp_reply *reply)
{
    char reason[sizeof(operation->reason)];
    int shown = reply->length < sizeof(reason) ? (int)reply->length : (int)sizeof(reason);
    int length;
    if (reply->kind == RESP_INTEGER)
        length =
            snprintf(reason, sizeof(reason), "unexpected reply :%lld", (long long)reply->integer);
    else if (reply->kind == RESP_NIL)
        length = snprintf(reason, sizeof(reason), "unexpected reply nil");
    else
        length = snprintf(reason, sizeof(reason), "unexpected reply '%.*s'", shown, reply->text);
    driver_set_reason(operation, reason,
                      (size_t)length < sizeof(reason) ? (size_t)length : sizeof(reason) - 1);
}

/* An answer that this workload can't have caused. To a read it is one all the same: of a value that
 * nobody wrote. */
static void judge_strange(struct history_operation *operation, const struct resp_reply *reply)
{
    bool read = operation->function == HISTORY_READ;
    operation->outcome = read ? HISTORY_OK : HISTORY_UNKNOWN;
    if (read)
        operation->value = WORKLOAD_STRANGE;
    set_strange_reason(operation, reply);
}

static void judge_answer(struct history_operation *operation, const struct resp_reply *reply)
{
    bool one = reply->kind == RESP_INTEGER && reply->integer == 1;
    bool zero = reply->kind == RESP_INTEGER && reply->integer == 0;
    bool nil = reply->kind == RESP_NIL;
    bool done = resp_reply_is(reply, "OK");
    operation->outcome = HISTORY_OK;
    switch (operation->function) {
    case HISTORY_READ:
        if (nil)
            operation->value = HISTORY_NIL;
        else if (!read_value(reply, &operation->value))
            judge_strange(operation, reply);
        break;
    case HISTORY_WRITE:
        if (!done)
            judge_strange(operation, reply);
        break;
    case HISTORY_ADD: /* not of registers */
    case HISTORY_CAS:
        if (zero || nil)
            operation->outcome = HISTORY_MISMATCH;
        else if (!done && !one)
            judge_strange(operation, reply);
        break;
    }
}

void workload_judge(struct history_operation *operation, int code, bool sent,
                    const struct resp_reply *reply, const char *message)
{
    operation->reason[0] = '\0';
    if (code == 0 && reply->kind != RESP_ERROR) {
        judge_answer(operation, reply);
        return;
    }
    bool happened_not = operation->function == HISTORY_READ;
    if (code == 0) {
        driver_set_reason(operation, reply->text, reply->length);
        happened_not |= starts_with(reply, "NOQUORUM") || starts_with(reply, "NOTDONE");
    } else {
        driver_set_reason(operation, message, strlen(message));
        happened_not |= !sent;
    }
    operation->outcome = happened_not ? HISTORY_FAIL : HISTORY_UNKNOWN;
}

int workload_check_commands(const struct history *history, struct error *error)
{
    static const char *const commands[] = {"GET", "SET", "CAS"}, *const names[] = {"read", "write",
                                                                                   "cas"};
    static const char unknown[] = "ERR unknown command";
    size_t not_known[3] = {0}, known[3] = {0};
    for (size_t i = 0; i < history->count; i++) {
        const struct history_operation *operation = &history->operations[i];
        if (operation->function == HISTORY_ADD)
            continue;
        if (strncmp(operation->reason, unknown, strlen(unknown)) == 0)
            not_known[operation->function]++;
        else if (operation->outcome == HISTORY_OK || operation->outcome == HISTORY_MISMATCH)
            known[operation->function]++;
    }
    for (size_t f = 0; f < 3; f++)
        if (not_known[f] > 0 && known[f] == 0)
            return error_set(
                error, -EOPNOTSUPP,
                "the cluster does not know %s: every answer to it was '%s'; leave '%s' "
                "out of the workload's mix, as in mix: {%s}",
                commands[f], unknown, names[f], f == HISTORY_CAS ? "read: 60, write: 40" : "...");
    return 0;
}
