/* What the files of the experiment reader share: refusals with a place, and typed values.
 *
 * Each reader_* that can fail returns 0 or -EINVAL with the reader's error filled, its place
 * "file:line:column" of the value, its message saying what to write instead. */
#ifndef SEVER_CHAOS_EXPERIMENT_READER_H
#define SEVER_CHAOS_EXPERIMENT_READER_H

#include "chaos/experiment/document.h"
#include "chaos/experiment/experiment.h"

struct reader {
    const char *file;
    struct error *error;
    struct experiment *experiment;
};

int reader_refuse(const struct reader *reader, const struct document_node *node, const char *format,
                  ...) __attribute__((format(printf, 3, 4)));
/* Gives the error that another parser filled (a unit, a template) the place of `node`. */
int reader_refuse_as(const struct reader *reader, const struct document_node *node,
                     const struct error *cause);

/* The word of words[] nearest to `text`, NULL when none is near enough to be a slip of the pen. */
const char *reader_nearest(const char *text, const char *const *words, size_t count);

/* A map with no other keys than `known`; the first `required` of them must be there.
 * what: "the cluster", for messages. */
int reader_check_map(const struct reader *reader, const struct document_node *node,
                     const char *what, const char *const *known, size_t count, size_t required);
int reader_check_list(const struct reader *reader, const struct document_node *node,
                      const char *what, size_t minimum, size_t maximum);
/* A text that is not empty, on one line, of at most `maximum` bytes. The result lives as long as
 * the document. */
int reader_line(const struct reader *reader, const struct document_node *node, const char *what,
                size_t maximum, const char **text);
int reader_duration(const struct reader *reader, const struct document_node *node, const char *what,
                    uint64_t minimum_ns, uint64_t maximum_ns, uint64_t *duration_ns);
int reader_integer(const struct reader *reader, const struct document_node *node, const char *what,
                   int64_t minimum, int64_t maximum, int64_t *value);

bool reader_is_node(const struct reader *reader, const char *name);
/* "n1, n2, n3" cut to fit; for messages. Returns buffer. */
enum { READER_LIST_MAX = 160 };
const char *reader_node_list(const struct reader *reader, char *buffer);

/* One section each, in its own file. They fill reader->experiment, which the caller frees. */
int reader_read_cluster(const struct reader *reader, const struct document_node *node);
/* Command, init, files, also and overrides of the cluster, whose nodes and ports are known. */
enum { READER_ARGUMENT_MAX = 4096 };
int reader_read_launches(const struct reader *reader, const struct document_node *cluster);
int reader_read_workload(const struct reader *reader, const struct document_node *node);
int reader_read_timeline(const struct reader *reader, const struct document_node *node);
int reader_read_expectations(const struct reader *reader, const struct document_node *node);
/* Dry run of a template over the variables of a node's command. peers: whether {peers} is one. */
int reader_check_template(const struct reader *reader, const struct document_node *node,
                          const char *template, bool peers);

/* NODE, `leader` or `follower` -> *selector. */
int reader_read_selector(const struct reader *reader, const struct document_node *node,
                         const char *text, size_t length, struct experiment_selector *selector);
/* "GROUP / GROUP" -> step->groups. */
int reader_read_groups(const struct reader *reader, const struct document_node *node,
                       struct experiment_step *step);
/* "NODE->NODE" or "NODE<->NODE" -> step->from, to, both_ways. */
int reader_read_link(const struct reader *reader, const struct document_node *node,
                     struct experiment_step *step);
/* The maps of `delay`, `loss`, `rate` and `fault` -> step->fault and its link. */
int reader_read_delay(const struct reader *reader, const struct document_node *value,
                      struct experiment_step *step);
int reader_read_loss(const struct reader *reader, const struct document_node *value,
                     struct experiment_step *step);
int reader_read_rate(const struct reader *reader, const struct document_node *value,
                     struct experiment_step *step);
int reader_read_fault(const struct reader *reader, const struct document_node *value,
                      struct experiment_step *step);

#endif
