#include "chaos/lab/template.h"

#include <stdio.h>
#include <stdlib.h>

#include "proxy/base/text.h"

enum { VARIABLES_MAX = 5 + EXPERIMENT_PORTS_MAX + EXPERIMENT_NODES_MAX };

struct variables {
    struct experiment_pair pairs[VARIABLES_MAX];
    size_t count;
};

static void add(struct variables *variables, const char *key, const char *value)
{
    variables->pairs[variables->count++] =
        (struct experiment_pair){memory_copy_text(key), memory_copy_text(value)};
}

static void free_variables(struct variables *variables)
{
    for (size_t i = 0; i < variables->count; i++) {
        free(variables->pairs[i].key);
        free(variables->pairs[i].value);
    }
    variables->count = 0;
}

/* What is the same in a node's command and in its entry of {peers}. */
static void add_common(struct variables *variables, const struct experiment_cluster *cluster,
                       size_t node, const char *address)
{
    char text[RULESET_NAME_MAX + 8];
    add(variables, "name", cluster->nodes[node]);
    snprintf(text, sizeof(text), "%zu", node + 1);
    add(variables, "id", text);
    add(variables, "address", address);
    for (size_t i = 0; i < cluster->port_count; i++) {
        char number[8];
        snprintf(text, sizeof(text), "port.%s", cluster->ports[i].name);
        snprintf(number, sizeof(number), "%u", cluster->ports[i].port);
        add(variables, text, number);
    }
}

/* Where `node` reaches each node: itself where it binds. */
static void add_addresses(struct variables *variables, const struct experiment_cluster *cluster,
                          const struct template_place *places, size_t node)
{
    for (size_t i = 0; i < cluster->node_count; i++) {
        char key[RULESET_NAME_MAX + 16];
        snprintf(key, sizeof(key), "address.%s", cluster->nodes[i]);
        add(variables, key, i == node ? places[i].own : places[i].seen);
    }
}

/* Everybody's entry. */
static int expand_peers(const struct experiment_cluster *cluster,
                        const struct template_place *places, size_t node, char **peers,
                        struct error *error)
{
    struct text list = {0};
    for (size_t i = 0; i < cluster->node_count; i++) {
        char *entry;
        struct variables variables = {0};
        add_addresses(&variables, cluster, places, node);
        add_common(&variables, cluster, i, i == node ? places[i].own : places[i].seen);
        int code = experiment_expand(cluster->peer_template, variables.pairs, variables.count,
                                     &entry, error);
        free_variables(&variables);
        if (code < 0) {
            error_prefix_place(error, "cluster.peers");
            text_free(&list);
            return code;
        }
        text_append(&list, "%s%s", i ? "," : "", entry);
        free(entry);
    }
    *peers = memory_copy_text(text_get(&list));
    text_free(&list);
    return 0;
}

static int make_variables(const struct experiment_cluster *cluster,
                          const struct template_place *places, size_t node, const char *directory,
                          struct variables *variables, struct error *error)
{
    add_common(variables, cluster, node, places[node].own);
    add(variables, "dir", directory);
    add_addresses(variables, cluster, places, node);
    if (!cluster->peer_template)
        return 0;
    char *peers;
    int code = expand_peers(cluster, places, node, &peers, error);
    if (code < 0) {
        free_variables(variables);
        return code;
    }
    add(variables, "peers", peers);
    free(peers);
    return 0;
}

void lab_add_word(char ***words, char *word)
{
    size_t count = 0;
    while (*words && (*words)[count])
        count++;
    *words = memory_resize(*words, count + 2, sizeof(char *));
    (*words)[count] = word;
    (*words)[count + 1] = NULL;
}

void lab_free_words(char **words)
{
    for (size_t i = 0; words && words[i]; i++)
        free(words[i]);
    free(words);
}

int lab_expand_words(const struct experiment_cluster *cluster, const struct template_place *places,
                     size_t node, const char *directory, const struct experiment_words *words,
                     const char *what, char ***out, struct error *error)
{
    struct variables variables = {0};
    int code = make_variables(cluster, places, node, directory, &variables, error);
    char **list = NULL;
    for (size_t i = 0; code == 0 && i < words->count; i++) {
        char *word = NULL;
        code = experiment_expand(words->items[i], variables.pairs, variables.count, &word, error);
        if (code == 0)
            lab_add_word(&list, word);
        else
            error_prefix_place(error, what);
    }
    free_variables(&variables);
    if (code < 0)
        lab_free_words(list);
    else
        *out = list;
    return code;
}

int lab_expand_text(const struct experiment_cluster *cluster, const struct template_place *places,
                    size_t node, const char *directory, const char *text, char **out,
                    struct error *error)
{
    struct variables variables = {0};
    int code = make_variables(cluster, places, node, directory, &variables, error);
    if (code == 0)
        code = experiment_expand(text, variables.pairs, variables.count, out, error);
    free_variables(&variables);
    return code;
}

int lab_expand_environment(const struct experiment_cluster *cluster,
                           const struct template_place *places, size_t node, const char *directory,
                           char ***words, struct error *error)
{
    struct variables variables = {0};
    int code = make_variables(cluster, places, node, directory, &variables, error);
    char **list = NULL;
    for (size_t i = 0; code == 0 && i < cluster->environment_count; i++) {
        char *value = NULL;
        code = experiment_expand(cluster->environment[i].value, variables.pairs, variables.count,
                                 &value, error);
        if (code < 0) {
            error_prefix_place(error, "cluster.environment");
            break;
        }
        struct text word = {0};
        text_append(&word, "%s=%s", cluster->environment[i].key, value);
        lab_add_word(&list, memory_copy_text(text_get(&word)));
        text_free(&word);
        free(value);
    }
    free_variables(&variables);
    if (code < 0)
        lab_free_words(list);
    else
        *words = list;
    return code;
}
