#include "chaos/experiment/reader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/text.h"
#include "proxy/base/units.h"

int reader_refuse(const struct reader *reader, const struct document_node *node, const char *format,
                  ...)
{
    struct error cause = {.code = -EINVAL};
    va_list args;
    va_start(args, format);
    vsnprintf(cause.message, sizeof(cause.message), format, args);
    va_end(args);
    return reader_refuse_as(reader, node, &cause);
}

int reader_refuse_as(const struct reader *reader, const struct document_node *node,
                     const struct error *cause)
{
    char place[ERROR_PLACE_MAX];
    snprintf(place, sizeof(place), "%.200s:%u:%u", reader->file, node->line, node->column);
    return error_set_at(reader->error, -EINVAL, place, "%s", cause->message);
}

/* Levenshtein's distance, `limit` when it is that or more. Both texts under 64 bytes. */
static size_t distance(const char *a, const char *b, size_t limit)
{
    enum { LENGTH_MAX = 64 };
    size_t row[LENGTH_MAX];
    size_t length_a = strlen(a), length_b = strlen(b);
    if (length_a >= LENGTH_MAX || length_b >= LENGTH_MAX)
        return limit;
    for (size_t j = 0; j <= length_b; j++)
        row[j] = j;
    for (size_t i = 1; i <= length_a; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length_b; j++) {
            size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
            size_t shifted = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = substituted < shifted ? substituted : shifted;
        }
    }
    return row[length_b] < limit ? row[length_b] : limit;
}

const char *reader_nearest(const char *text, const char *const *words, size_t count)
{
    const char *nearest = NULL;
    size_t best = strlen(text) / 2 + 1 < 4 ? strlen(text) / 2 + 1 : 4;
    for (size_t i = 0; i < count; i++) {
        size_t here = distance(text, words[i], best);
        if (here < best) {
            best = here;
            nearest = words[i];
        }
    }
    return nearest;
}

static const char *kind_name(const struct document_node *node)
{
    return node->kind == DOCUMENT_MAP    ? "a map"
           : node->kind == DOCUMENT_LIST ? "a list"
           : node->empty                 ? "empty"
                                         : "a single value";
}

static int refuse_key(const struct reader *reader, const struct document_node *key,
                      const char *what, const char *const *known, size_t count)
{
    const char *nearest = reader_nearest(key->text, known, count);
    if (nearest)
        return reader_refuse(reader, key, "unknown key '%.60s' in %s: did you mean '%s'?",
                             key->text, what, nearest);
    struct text list = {0};
    for (size_t i = 0; i < count; i++)
        text_append(&list, "%s%s", i ? ", " : "", known[i]);
    int result = reader_refuse(reader, key, "unknown key '%.60s' in %s: write one of %s", key->text,
                               what, text_get(&list));
    text_free(&list);
    return result;
}

int reader_check_map(const struct reader *reader, const struct document_node *node,
                     const char *what, const char *const *known, size_t count, size_t required)
{
    if (node->kind != DOCUMENT_MAP)
        return reader_refuse(reader, node,
                             "%s is %s: write it as 'key: value' with the keys %s, ...", what,
                             kind_name(node), known[0]);
    for (size_t i = 0; i < node->count; i += 2) {
        size_t at = 0;
        while (at < count && strcmp(known[at], node->items[i]->text) != 0)
            at++;
        if (at == count)
            return refuse_key(reader, node->items[i], what, known, count);
    }
    for (size_t i = 0; i < required; i++)
        if (!document_get(node, known[i]))
            return reader_refuse(reader, node, "%s has no '%s': add the key", what, known[i]);
    return 0;
}

int reader_check_list(const struct reader *reader, const struct document_node *node,
                      const char *what, size_t minimum, size_t maximum)
{
    if (node->kind != DOCUMENT_LIST)
        return reader_refuse(reader, node,
                             "%s is %s: write a list, such as [a, b] or lines of '- a'", what,
                             kind_name(node));
    if (node->count < minimum || node->count > maximum)
        return reader_refuse(reader, node, "%s has %zu entries: write %zu to %zu", what,
                             node->count, minimum, maximum);
    return 0;
}

int reader_line(const struct reader *reader, const struct document_node *node, const char *what,
                size_t maximum, const char **text)
{
    if (node->kind != DOCUMENT_SCALAR || node->empty || node->text[0] == '\0')
        return reader_refuse(reader, node, "%s is %s: write a text", what,
                             node->kind == DOCUMENT_SCALAR ? "empty" : kind_name(node));
    if (strlen(node->text) > maximum)
        return reader_refuse(reader, node, "%s is longer than %zu bytes", what, maximum);
    for (const char *p = node->text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return reader_refuse(reader, node, "%s must be one line without control characters",
                                 what);
    *text = node->text;
    return 0;
}

int reader_duration(const struct reader *reader, const struct document_node *node, const char *what,
                    uint64_t minimum_ns, uint64_t maximum_ns, uint64_t *duration_ns)
{
    const char *text = NULL;
    struct error cause = {0};
    uint64_t value = 0;
    int result = reader_line(reader, node, what, UNITS_TEXT_MAX, &text);
    if (result)
        return result;
    if (units_parse_duration(text, &value, &cause))
        return reader_refuse_as(reader, node, &cause);
    if (value < minimum_ns || value > maximum_ns) {
        char low[UNITS_TEXT_MAX], high[UNITS_TEXT_MAX];
        return reader_refuse(reader, node, "%s '%s' is out of range: write %s to %s", what, text,
                             units_format_duration(minimum_ns, low),
                             units_format_duration(maximum_ns, high));
    }
    *duration_ns = value;
    return 0;
}

int reader_integer(const struct reader *reader, const struct document_node *node, const char *what,
                   int64_t minimum, int64_t maximum, int64_t *value)
{
    const char *text = NULL;
    struct error cause = {0};
    int result = reader_line(reader, node, what, UNITS_TEXT_MAX, &text);
    if (result)
        return result;
    if (units_parse_integer(text, minimum, maximum, what, value, &cause))
        return reader_refuse_as(reader, node, &cause);
    return 0;
}

bool reader_is_node(const struct reader *reader, const char *name)
{
    const struct experiment_cluster *cluster = &reader->experiment->cluster;
    for (size_t i = 0; i < cluster->node_count; i++)
        if (strcmp(cluster->nodes[i], name) == 0)
            return true;
    return false;
}

const char *reader_node_list(const struct reader *reader, char *buffer)
{
    const struct experiment_cluster *cluster = &reader->experiment->cluster;
    size_t used = 0;
    buffer[0] = '\0';
    for (size_t i = 0; i < cluster->node_count; i++) {
        size_t room = READER_LIST_MAX - used;
        if (strlen(cluster->nodes[i]) + 8 > room) {
            snprintf(buffer + used, room, ", ...");
            break;
        }
        used += (size_t)snprintf(buffer + used, room, "%s%s", i ? ", " : "", cluster->nodes[i]);
    }
    return buffer;
}
