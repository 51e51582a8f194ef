/* How the clients of each system talk to it: a driver for each, of blocking calls with deadlines.
 *
 *   raftkv    registers: GET, SET, CAS of the Redis protocol
 *   etcd      registers: range, put and txn of the v3 API's JSON gateway, by libcurl
 *   redis     a set: SADD, SMEMBERS
 *   postgres  a set: a table of unique rows, by libpq (user and database "postgres")
 *
 * A client is for one thread, which may move between calls (to another network namespace: a
 * connection stays where it was made). It connects when it needs to, and drops a connection whose
 * answer it did not wait for: that must never be taken for the answer to the next question. */
#ifndef SEVER_CHAOS_WORKLOAD_DRIVER_H
#define SEVER_CHAOS_WORKLOAD_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chaos/experiment/experiment.h"
#include "chaos/history/history.h"
#include "chaos/workload/resp.h"
#include "proxy/base/address.h"
#include "proxy/base/error.h"
#include "proxy/base/text.h"

struct driver_place {
    const struct address *target; /* the workload's port of a node; borrowed */
    const struct address *source; /* NULL: any. postgres can't choose it */
    int abort_fd;                 /* readable: calls end with -ECANCELED. -1: none */
    size_t node_count;            /* of the cluster */
    uint16_t sentinel_port;       /* redis: beside the target, 0: none */
};

struct driver {
    void *(*open)(const struct driver_place *place); /* not connected yet */
    void (*close)(void *client);
    /* Does the operation, whose function, key, value and expected are set, and fills outcome, value
     * and reason. 0, or the negative errno for which there was no answer. */
    int (*operate)(void *client, struct history_operation *operation, uint64_t deadline_ns);
    /* Appends what the node says of itself as lines "name:value" (experiment.h). Beside role, term
     * and leader: ready:1 when it is at work (not raftkv, of which an answer is enough), or ready:0
     * and waiting:FOR WHAT, sentinel_master:HOST:PORT. 0 or negative errno: -ETIMEDOUT, -ECANCELED,
     * -ECONNREFUSED, ... */
    int (*tell)(void *client, uint64_t deadline_ns, struct text *out);
    /* Whether it answers at all. */
    bool (*ping)(void *client, uint64_t deadline_ns);
    /* Makes what the workload needs, and finds it empty. 1: done; 0: not by this node, or not now;
     * -EEXIST when something is there, -ECANCELED. node: its name, for messages. */
    int (*prepare)(void *client, unsigned keys, const char *node, uint64_t deadline_ns,
                   struct error *error);
    /* The elements of the set on this node, with all that it has been sent so far; NULL where there
     * are no sets. 0 or negative errno; the caller frees *values. */
    int (*read_set)(void *client, uint64_t deadline_ns, int64_t **values, size_t *count);
};

const struct driver *driver_of(enum experiment_system system);

extern const struct driver driver_raftkv, driver_etcd, driver_redis, driver_postgres;

/* ---- pure parts ------------------------------------------------------------------------------ */

/* Whatever a server says becomes one printable line, cut to what fits. */
void driver_set_reason(struct history_operation *operation, const char *text, size_t length);

/* Appends the lines of readiness. waiting: what for, "" when it is ready. */
void driver_tell_ready(const char *waiting, struct text *out);

/* From how a SADD ended to outcome and reason. As workload_judge: READONLY, NOREPLICAS, LOADING,
 * MASTERDOWN and the like mean that it did not happen. */
void driver_judge_add(struct history_operation *operation, int code, bool sent,
                      const struct resp_reply *reply, const char *message);
/* Completes what redis says (INFO replication) and its sentinel (INFO sentinel; "" when there is
 * none or it does not answer). */
void driver_tell_redis(const char *info, const char *sentinel, bool has_sentinel, size_t node_count,
                       struct text *out);

/* Standard base64, of what has few bytes. decode: false when it is not, or does not fit. */
void driver_append_base64(struct text *out, const void *bytes, size_t length);
bool driver_decode_base64(const char *text, char *bytes, size_t size, size_t *length);
/* The request for an operation: path ("/v3/kv/put") and JSON body. Returns the path. */
const char *driver_build_etcd(const struct history_operation *operation, struct text *body);
/* What an answer means. status: of HTTP. */
void driver_judge_etcd(struct history_operation *operation, long status, const char *body,
                       size_t length);
/* What the status answer says, as lines. -EPROTO. */
int driver_tell_etcd(const char *body, size_t length, struct text *out);

/* What an INSERT's result means. done: it was carried out; sqlstate: of an error, NULL when the
 * connection failed instead; fatal: the error ended the session. */
void driver_judge_insert(struct history_operation *operation, bool done, bool sent,
                         const char *sqlstate, bool fatal, const char *message);

#endif
