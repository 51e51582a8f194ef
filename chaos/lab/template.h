/* What stands for {name}, {address}, {peers} and the like in a node's command: pure. */
#ifndef SEVER_CHAOS_LAB_TEMPLATE_H
#define SEVER_CHAOS_LAB_TEMPLATE_H

#include "chaos/experiment/experiment.h"
#include "proxy/base/error.h"

enum { TEMPLATE_ADDRESS_MAX = 64 };

struct template_place {              /* of a node */
    char own[TEMPLATE_ADDRESS_MAX];  /* where it binds */
    char seen[TEMPLATE_ADDRESS_MAX]; /* where others reach it */
};

/* Expands words of node (from 0) into a NULL-terminated array, program name as written. places: per
 * node. directory: what {dir} is. what: "cluster.command" or the like, the place of an error. The
 * caller frees it with lab_free_words. */
int lab_expand_words(const struct experiment_cluster *cluster, const struct template_place *places,
                     size_t node, const char *directory, const struct experiment_words *words,
                     const char *what, char ***out, struct error *error);
/* The same of one text of any length. The caller frees it. */
int lab_expand_text(const struct experiment_cluster *cluster, const struct template_place *places,
                    size_t node, const char *directory, const char *text, char **out,
                    struct error *error);
/* The values of `environment`, as "KEY=value" in a NULL-terminated array. */
int lab_expand_environment(const struct experiment_cluster *cluster,
                           const struct template_place *places, size_t node, const char *directory,
                           char ***words, struct error *error);
void lab_free_words(char **words);
/* Adds one more at the end; takes ownership of word. */
void lab_add_word(char ***words, char *word);

#endif
