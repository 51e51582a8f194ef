/* What the files of this folder share. */
#ifndef SEVER_CHAOS_NEMESIS_INTERNAL_H
#define SEVER_CHAOS_NEMESIS_INTERNAL_H

#include "chaos/nemesis/nemesis.h"
#include "chaos/nemesis/proof.h"
#include "chaos/nemesis/select.h"

enum active_kind { ACTIVE_PARTITION, ACTIVE_FAULT };

/* A partition or fault in force. */
struct active {
    enum active_kind kind;
    char name[RULESET_NAME_MAX];
    size_t record;            /* index of the step that set it */
    struct proof_link *links; /* of a partition */
    size_t link_count;
};

struct nemesis {
    struct nemesis_setup setup;
    struct nemesis_record *records;
    size_t record_count;
    struct nemesis_exit *exits;
    size_t exit_count;
    struct active *actives;
    size_t active_count;
    struct periods periods;
    struct periods_state state;
    size_t restart_record[EXPERIMENT_NODES_MAX];
    /* Whom the words `leader` and `follower` meant in the last step that used them: a restart or
     * resume of the same word means that node. SELECT_NO_LEADER: none yet. */
    int last_leader, last_follower;
    uint64_t next_proof_ns;
    uint64_t next_bypass_ns;
    uint8_t side[EXPERIMENT_NODES_MAX];
    uint64_t minority_ns[EXPERIMENT_NODES_MAX]; /* when it was last known to be on such a side */
};

/* Plays step number `index` now, filling its record. */
int nemesis_run_step(struct nemesis *nemesis, size_t index, struct error *error);
/* Begins a new period at at_ns with nemesis->state. */
void nemesis_state_changed(struct nemesis *nemesis, uint64_t at_ns);
/* Looks for a sign of effect of everything in force that has none yet; final: of everything that
 * matches (NULL: all), as the last look before it ends, and what has none is then unproved. */
int nemesis_look_for_proof(struct nemesis *nemesis, bool final, enum active_kind kind,
                           const char *name, struct error *error);
/* Forgets what matches (name "": all of this kind), after severd did. */
void nemesis_forget(struct nemesis *nemesis, enum active_kind kind, const char *name,
                    uint64_t at_ns);
void nemesis_set_proof(struct nemesis *nemesis, size_t record, enum nemesis_proof proof,
                       const char *evidence);

#endif
