/* The workloads: clients that read, write and compare-and-set keys, or add unique elements to a
 * set, one thread each.
 *
 * Client k (from 0) talks to node k mod nodes only, through severd, from its own address, and has
 * one operation in flight. The k-th operation of a client (what it does, to which key) depends on
 * the seed and the client alone; when it runs, and what it finds, is up to the cluster. */
#ifndef SEVER_CHAOS_WORKLOAD_H
#define SEVER_CHAOS_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chaos/experiment/experiment.h"
#include "chaos/history/history.h"
#include "chaos/workload/driver.h"
#include "proxy/base/address.h"
#include "proxy/base/random.h"

/* ---- pure parts ------------------------------------------------------------------------------ */

/* Values are numbers from 1. A read that is answered with anything else, and no error, is an ok
 * read of this value, which nobody writes; `reason` tells what it was. */
enum { WORKLOAD_STRANGE = -1 };

/* What a client knows when it chooses: the value it last saw under each key. */
struct workload_client {
    unsigned index; /* of the client, from 0 */
    struct random_stream stream;
    uint64_t values;    /* how many values it has handed out */
    int64_t *last_seen; /* per key; HISTORY_NIL: none, or known to be stale */
};

void workload_client_init(struct workload_client *client, unsigned index, uint64_t seed,
                          unsigned keys);
void workload_client_free(struct workload_client *client);

/* Fills function, key, value and expected of *operation, and *key_index. Values are unique in the
 * run. A cas whose expected value is not known yet is a read instead. */
void workload_choose(struct workload_client *client, const struct experiment_workload *workload,
                     struct history_operation *operation, unsigned *key_index);
/* Keeps what the outcome tells about the key's value. */
void workload_learn(struct workload_client *client, unsigned key_index,
                    const struct history_operation *operation);

/* Nanoseconds after the start at which the client's slot number `slot` is due: slots of all
 * clients together make the rate, and each is moved within its interval by seed, so that clients
 * meet at every phase. */
uint64_t workload_slot_due(const struct workload_client *client,
                           const struct experiment_workload *workload, uint64_t seed,
                           uint64_t slot);

/* From how the call ended to outcome, value and reason of *operation.
 * code: resp_call's result (or resp_connect's, with sent false); reply: when code is 0; message:
 * what went wrong when it is not. -NOQUORUM and -NOTDONE mean that it did not happen; any other
 * error of a write or cas that was sent leaves it unknown. A read that failed has no effect and is
 * never unknown. */
void workload_judge(struct history_operation *operation, int code, bool sent,
                    const struct resp_reply *reply, const char *message);

/* Whether the cluster knows the commands that the workload uses. -EOPNOTSUPP with advice when every
 * answer to one kind of operation was "ERR unknown command". */
int workload_check_commands(const struct history *history, struct error *error);

/* ---- the run --------------------------------------------------------------------------------- */

struct workload_setup {
    enum experiment_system system;
    const struct experiment_workload *workload;
    const char *leader_line; /* of the cluster; NULL: none */
    uint16_t sentinel_port;  /* 0: none */
    uint64_t seed;
    const char (*nodes)[RULESET_NAME_MAX];
    size_t node_count;
    const struct address *targets; /* per node: where clients reach it, with port */
    const struct address *sources; /* per client: its address; NULL: any */
    /* Brings the calling thread to where this client is, before it starts the client's thread,
     * which is then there too; NULL: clients are where everybody is. */
    int (*go_to_client)(const void *context, unsigned client, struct error *error);
    /* Per node: where it is reached from its own place, and how the calling thread gets there.
     * NULL: as clients reach it. */
    const struct address *direct;
    int (*go_to_node)(const void *context, size_t node, struct error *error);
    const void *context;
};

struct workload_counts { /* of one node; counters only go up */
    uint64_t ok;         /* answered, a failed comparison included */
    uint64_t refused;    /* certainly did not happen */
    uint64_t unknown;
    char reason[40]; /* first word or so of the last refusal or loss */
};

struct workload;

/* Starts the threads, each where its client is; the workload's time 0 is *start_ns (monotonic), set
 * here. setup is copied but for the arrays it points to, which must outlive the workload. */
int workload_start(const struct workload_setup *setup, struct workload **workload,
                   uint64_t *start_ns, struct error *error);
/* Any thread. counts: node_count entries. */
void workload_read_counts(struct workload *workload, struct workload_counts *counts);
/* No new operations; those in flight end or time out. abandon: they are given up at once. Joins
 * the threads and hands over the history, sorted; the caller frees it. The workload is freed. */
void workload_stop(struct workload *workload, bool abandon, struct history *history);

/* Has the nodes asked, one after the other, until one has made what the workload needs and says
 * that there is nothing yet, or the deadline is over. -EEXIST when something is there, -ETIMEDOUT.
 */
int workload_prepare(const struct workload_setup *setup, uint64_t deadline_ns, int abort_fd,
                     struct error *error);

/* Reads the elements of a set where the experiment says, or on the node that leads: the only one
 * that shows the leader line, and whom every sentinel names. Waits for that until the deadline;
 * -ETIMEDOUT says what was in the way. The history's final is filled; nothing else has it. */
int workload_read_final(const struct workload_setup *setup, uint64_t deadline_ns, int abort_fd,
                        struct history_final *final, struct error *error);

#endif
