/* What the files of proxy/capture share. Nobody else includes this. */
#ifndef SEVER_CAPTURE_INTERNAL_H
#define SEVER_CAPTURE_INTERNAL_H

#include "proxy/capture/capture.h"
#include "proxy/capture/ring.h"
#include "proxy/fault/ruleset.h"

enum {
    /* Names of nodes that captures have met since there is one; those beyond share the last. */
    CAPTURE_NAMES_MAX = 1024,
    CAPTURE_NO_NAME = UINT16_MAX,
};

/* A packet in a ring; its name, then its bytes, follow. */
struct capture_record {
    uint64_t left_ns, held_ns;
    uint32_t captured, length;
    uint16_t from, to; /* indices of names; CAPTURE_NO_NAME: to no node */
    /* Of the bytes: the checksum is that of all from checksum_start on, and goes to checksum_at. 0:
     * it is there. */
    uint16_t checksum_start, checksum_at;
    uint8_t fate;        /* enum capture_fate */
    uint8_t cause;       /* enum fault_cause */
    uint8_t name_length; /* of the fault, or of the partition when the cause is a cut; 0: none */
    uint16_t more;       /* partitions that hold the link besides */
};

/* From one worker to the control thread. */
struct capture_feed {
    struct capture_ring ring;
    _Atomic uint64_t lost_sum;                /* packets that found no room */
    _Atomic uint64_t lost[CAPTURE_NAMES_MAX]; /* the same by interface */
};

struct capture {
    struct captures *captures;
    enum capture_kind kind;
    char from[RULESET_NAME_MAX], to[RULESET_NAME_MAX];
    uint16_t from_name, to_name;
    bool both_ways;
    char filter[RULESET_MATCH_MAX];
    struct match_program *program; /* NULL: all packets */
    uint32_t snaplen;
    struct capture_feed *feeds; /* one a worker */
    _Atomic bool armed;         /* the reader waits for wake_fd */

    /* The control thread's, about the file. */
    uint64_t wall_offset_ns; /* wall clock less monotonic clock */
    uint64_t begun_ns;       /* monotonic, as all */
    uint64_t read_ns;        /* the last read that found something */
    uint64_t told_ns;        /* when loss was told */
    uint64_t told_lost;
    uint64_t ended_ns;         /* once it has ended: younger packets are not its own */
    bool begun, ended, closed; /* the first, and the last block written */
    uint16_t first_names;      /* described at the beginning */
    uint16_t interface_of[CAPTURE_NAMES_MAX];  /* in the file, from 1; 0: not yet */
    uint16_t name_of[CAPTURE_NAMES_MAX];       /* of interfaces */
    uint64_t written[CAPTURE_NAMES_MAX];       /* packets, by interface */
    uint64_t told_lost_of[CAPTURE_NAMES_MAX];  /* by interface */
    uint16_t interface_count, statistics_next; /* statistics_next: of those at the end */
};

struct captures {
    unsigned workers;
    uint64_t ring_bytes;
    int wake_fd;
    struct capture *list[CAPTURE_MAX];
    size_t count;
    size_t open; /* those that have left the list and are not closed, too */
    char names[CAPTURE_NAMES_MAX][RULESET_NAME_MAX];
    uint16_t name_count;
};

/* Why a link is cut. */
struct capture_cut {
    uint16_t partition; /* the first that holds it, from 1; 0: none */
    uint16_t more;
};

/* What a capture means under the plan of the set. */
struct capture_meaning {
    struct capture *capture;
    uint16_t from, to; /* slots, FAULT_NO_NODE when there is none of that name */
};

struct capture_set {
    struct captures *captures;
    const struct fault_plan *plan;
    const struct ruleset_fault *faults;
    const struct ruleset_partition *partitions;
    uint16_t name_of[RULESET_NODES_MAX]; /* by slot */
    struct capture_cut cuts[RULESET_NODES_MAX][RULESET_NODES_MAX];
    size_t count;
    struct capture_meaning meanings[CAPTURE_MAX];
};

/* The index of this name; it is added when it is new. */
uint16_t captures_name(struct captures *captures, const char *name);

/* What became of the packet, "n1->n2 delivered after 80.012 ms", in a buffer of
 * CAPTURE_COMMENT_MAX. by: the record's name. */
enum { CAPTURE_COMMENT_MAX = 512 };
void capture_describe(const struct captures *captures, const struct capture_record *record,
                      const char *by, char *buffer);

#endif
