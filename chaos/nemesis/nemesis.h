/* Plays an experiment's timeline against severd and the processes, and proves that each step had
 * an effect. All of it is for the thread that made the lab. */
#ifndef SEVER_CHAOS_NEMESIS_H
#define SEVER_CHAOS_NEMESIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chaos/experiment/experiment.h"
#include "chaos/lab/lab.h"
#include "chaos/nemesis/periods.h"
#include "proxy/base/error.h"

enum nemesis_proof {
    NEMESIS_NOT_NEEDED, /* heal and clear */
    NEMESIS_PENDING,
    NEMESIS_PROVED,
    NEMESIS_UNPROVED, /* ended without a sign that it did anything */
};
const char *nemesis_proof_name(enum nemesis_proof proof);

/* One step as it was played. Times are monotonic; 0: not reached. */
struct nemesis_record {
    const struct experiment_step *step;
    uint64_t began_ns, done_ns;
    char *became; /* "split n1,n4 / n2,n3,n5 (brain)"; owned */
    enum nemesis_proof proof;
    uint64_t proved_ns;
    char *evidence; /* owned; NULL while there is none */
};

/* A node that ended without being asked to. */
struct nemesis_exit {
    uint64_t at_ns;
    size_t node;
    char what[256];
    bool excused; /* it was on a side without majority, or had just been */
};

struct nemesis_events { /* what the story is told; called on the nemesis's thread */
    void *context;
    void (*on_step)(void *context, const struct nemesis_record *record);
    void (*on_proof)(void *context, const struct nemesis_record *record);
    void (*on_exit)(void *context, const struct nemesis_exit *exit);
    /* About 50 times a second. side: per node, as in check_sides; all zero without a partition. */
    void (*on_tick)(void *context, uint64_t now_ns, const uint8_t *side);
};

struct nemesis_setup {
    const struct experiment *experiment; /* must outlive it */
    struct lab *lab;
    uint64_t seed;
    uint64_t start_ns; /* time 0 of the timeline */
    int abort_fd;
    struct nemesis_events events;
};

struct nemesis;

struct nemesis *nemesis_create(const struct nemesis_setup *setup);
void nemesis_destroy(struct nemesis *nemesis);

/* Plays until start + duration. 0; -ECANCELED when interrupted; another negative errno when a step
 * could not be played, with the step as place: the run can't go on. */
int nemesis_play(struct nemesis *nemesis, struct error *error);

/* Ends everything that is still in force and judges what was still pending. -ECHILD when a node
 * ended by itself and nothing excuses it: then it is not the timeline that was tested. */
int nemesis_finish(struct nemesis *nemesis, struct error *error);

const struct nemesis_record *nemesis_records(const struct nemesis *nemesis, size_t *count);
const struct nemesis_exit *nemesis_exits(const struct nemesis *nemesis, size_t *count);
/* Valid after nemesis_finish. */
const struct periods *nemesis_periods(const struct nemesis *nemesis);

#endif
