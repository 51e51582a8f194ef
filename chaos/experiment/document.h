/* A YAML text as a tree whose every value knows its place. Own tree rather than libfyaml's
 * document: it is built from the event stream under limits on depth and on the number of values,
 * aliases included, so that no small text becomes a large tree ("billion laughs"). */
#ifndef SEVER_CHAOS_EXPERIMENT_DOCUMENT_H
#define SEVER_CHAOS_EXPERIMENT_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "proxy/base/error.h"

enum {
    DOCUMENT_DEPTH_MAX = 16,     /* lists and maps inside each other */
    DOCUMENT_VALUES_MAX = 65536, /* with every alias counted as what it stands for */
    DOCUMENT_MAP_MAX = 256,      /* entries of one map */
    DOCUMENT_ANCHORS_MAX = 256,
};

enum document_kind { DOCUMENT_SCALAR, DOCUMENT_LIST, DOCUMENT_MAP };

struct document_node {
    enum document_kind kind;
    unsigned line, column; /* from 1; column in characters */
    char *text;            /* scalar: NUL-terminated, without NUL inside; else NULL */
    bool empty;            /* scalar: nothing was written (`key:`), "~" or null, unquoted */
    /* list: the values. map: key, value, key, value, ... (count is of both); keys are scalars, each
     * once. An alias is the node itself, shared: never written to. */
    struct document_node **items;
    size_t count;
    size_t weight, height; /* values in it with itself; lists and maps on the longest way down */
    bool open;             /* while being read */
};

struct document {
    struct document_node *root; /* NULL when the text holds no value */
    struct document_node **nodes;
    size_t node_count, node_capacity;
};

/* text: length bytes. file: for places. -EINVAL with place "file:line:column"; *document is then
 * empty. */
int document_parse(const char *text, size_t length, const char *file, struct document *document,
                   struct error *error);
void document_free(struct document *document);

/* The value of `key`, NULL when the map has none, or isn't a map. */
const struct document_node *document_get(const struct document_node *map, const char *key);

#endif
