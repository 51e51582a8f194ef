/* Templates: "{name}" is replaced, "{{" and "}}" are braces. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/experiment/reader.h"
#include "proxy/base/text.h"

static const struct experiment_pair *find(const struct experiment_pair *variables, size_t count,
                                          const char *name, size_t length)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(variables[i].key) == length && memcmp(variables[i].key, name, length) == 0)
            return &variables[i];
    return NULL;
}

static int refuse_variable(const char *name, size_t length, const struct experiment_pair *variables,
                           size_t count, struct error *error)
{
    if (count == 0)
        return error_set(error, -EINVAL, "unknown variable {%.*s}: there are none here",
                         (int)(length < 60 ? length : 60), name);
    struct text list = {0}, copy = {0};
    const char **words = memory_allocate_zeroed(count, sizeof(*words));
    for (size_t i = 0; i < count; i++) {
        words[i] = variables[i].key;
        text_append(&list, "%s{%s}", i ? ", " : "", variables[i].key);
    }
    text_append_bytes(&copy, name, length);
    const char *nearest = reader_nearest(text_get(&copy), words, count);
    if (nearest)
        error_set(error, -EINVAL, "unknown variable {%.60s}: did you mean {%s}?", text_get(&copy),
                  nearest);
    else
        error_set(error, -EINVAL, "unknown variable {%.60s}: write one of %s, or {{ for a brace",
                  text_get(&copy), text_get(&list));
    free(words);
    text_free(&list);
    text_free(&copy);
    return -EINVAL;
}

int experiment_expand(const char *template, const struct experiment_pair *variables, size_t count,
                      char **out, struct error *error)
{
    struct text text = {0};
    int result = 0;
    for (const char *p = template; *p && !result;) {
        size_t plain = strcspn(p, "{}");
        text_append_bytes(&text, p, plain);
        p += plain;
        if (*p == '\0')
            break;
        if (p[0] == p[1]) {
            text_append_bytes(&text, p, 1);
            p += 2;
            continue;
        }
        size_t length = strcspn(p + 1, "{}");
        if (*p == '}' || p[1 + length] != '}') {
            result = error_set(error, -EINVAL,
                               "unbalanced '%c' in '%.60s': write %c%c for a brace itself", *p,
                               template, *p, *p);
            break;
        }
        const struct experiment_pair *variable = find(variables, count, p + 1, length);
        if (!variable)
            result = refuse_variable(p + 1, length, variables, count, error);
        else
            text_append_bytes(&text, variable->value, strlen(variable->value));
        p += length + 2;
    }
    if (result) {
        text_free(&text);
        return result;
    }
    *out = text.data ? text.data : memory_copy_text("");
    return 0;
}

int reader_check_template(const struct reader *reader, const struct document_node *node,
                          const char *template, bool peers)
{
    const struct experiment_cluster *cluster = &reader->experiment->cluster;
    static const char *const fixed[] = {"name", "id", "address", "dir", "peers"};
    enum { FIXED = sizeof(fixed) / sizeof(fixed[0]) };
    struct experiment_pair variables[FIXED + EXPERIMENT_PORTS_MAX + EXPERIMENT_NODES_MAX];
    size_t count = 0;
    size_t fixed_count = peers ? FIXED : FIXED - 1;
    for (size_t i = 0; i < fixed_count; i++)
        variables[count++] =
            (struct experiment_pair){memory_copy_text(fixed[i]), memory_copy_text("x")};
    for (size_t i = 0; i < cluster->port_count; i++) {
        struct text key = {0};
        text_append(&key, "port.%s", cluster->ports[i].name);
        variables[count++] = (struct experiment_pair){key.data, memory_copy_text("x")};
    }
    for (size_t i = 0; i < cluster->node_count; i++) {
        struct text key = {0};
        text_append(&key, "address.%s", cluster->nodes[i]);
        variables[count++] = (struct experiment_pair){key.data, memory_copy_text("x")};
    }
    char *expanded = NULL;
    struct error cause = {0};
    int result = experiment_expand(template, variables, count, &expanded, &cause);
    free(expanded);
    for (size_t i = 0; i < count; i++) {
        free(variables[i].key);
        free(variables[i].value);
    }
    if (!result)
        return 0;
    if (!peers && strstr(cause.message, "{peers}") && !cluster->peer_template)
        return reader_refuse(
            reader, node,
            "{peers} needs 'peers' in the cluster: its entry for one node, such as "
            "\"{name}={address}:{port.peer}\"");
    return reader_refuse_as(reader, node, &cause);
}
