/* Theory of operation. The text is first checked to be UTF-8 without control characters (libfyaml
 * stops in silence at bytes that it does not know). Then libfyaml's events are folded into a tree:
 * a stack holds the lists and maps that are open, each new value is attached to the top, and a map
 * takes keys and values in turn. Every value carries its weight (values in it) and height, and an
 * alias adds the weight of what it stands for to all that contain it: the limits therefore hold
 * for the tree as a reader walks it, although an alias shares its target and costs nothing. */
#include "chaos/experiment/document.h"

#include <errno.h>
#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/text.h"

struct anchor {
    char *name;
    struct document_node *node;
};

struct builder {
    struct document *document;
    const char *file;
    struct error *error;
    struct document_node *stack[DOCUMENT_DEPTH_MAX];
    size_t depth;
    struct anchor anchors[DOCUMENT_ANCHORS_MAX];
    size_t anchor_count;
    bool ended; /* the first document is over */
};

static int __attribute__((format(printf, 4, 5)))
refuse(struct builder *builder, unsigned line, unsigned column, const char *format, ...)
{
    struct text place = {0}, message = {0};
    va_list args;
    va_start(args, format);
    text_append_va(&message, format, args);
    va_end(args);
    text_append(&place, "%s:%u:%u", builder->file, line, column);
    error_set_at(builder->error, -EINVAL, text_get(&place), "%s", text_get(&message));
    text_free(&place);
    text_free(&message);
    return -EINVAL;
}

/* Length of the UTF-8 sequence at p (1 to 4), 0 when it is not one. RFC 3629, table 3-7. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    size_t length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

static int check_characters(struct builder *builder, const char *text, size_t length)
{
    unsigned line = 1, column = 1;
    for (size_t i = 0; i < length;) {
        const unsigned char *p = (const unsigned char *)text + i;
        size_t width = utf8_length(p, length - i);
        if (width == 0)
            return refuse(builder, line, column,
                          "byte 0x%02x is not UTF-8 text: save the file as UTF-8", *p);
        if (*p == 0x7f || (*p < 0x20 && *p != '\n' && *p != '\r' && *p != '\t'))
            return refuse(builder, line, column,
                          "control character 0x%02x: remove it, or write an escape in quotes", *p);
        column = *p == '\n' ? 1 : column + 1;
        line += *p == '\n';
        i += width;
    }
    return 0;
}

static struct document_node *new_node(struct builder *builder, enum document_kind kind,
                                      const struct fy_mark *mark, unsigned back)
{
    struct document *document = builder->document;
    if (document->node_count == document->node_capacity) {
        document->node_capacity = document->node_capacity ? document->node_capacity * 2 : 64;
        document->nodes =
            memory_resize(document->nodes, document->node_capacity, sizeof(document->nodes[0]));
    }
    struct document_node *node = memory_allocate_zeroed(1, sizeof(*node));
    document->nodes[document->node_count++] = node;
    node->kind = kind;
    node->weight = 1;
    node->height = kind == DOCUMENT_SCALAR ? 0 : 1;
    node->open = kind != DOCUMENT_SCALAR;
    const struct document_node *parent = builder->depth ? builder->stack[builder->depth - 1] : NULL;
    if (mark) {
        node->line = (unsigned)mark->line + 1;
        node->column = (unsigned)mark->column + 1 - back;
    } else if (parent) { /* nothing was written: the place of the key before it */
        const struct document_node *near =
            parent->count ? parent->items[parent->count - 1] : parent;
        node->line = near->line;
        node->column = near->column;
    } else {
        node->line = node->column = 1;
    }
    return node;
}

static int check_key(struct builder *builder, const struct document_node *map,
                     const struct document_node *key)
{
    if (key->kind != DOCUMENT_SCALAR)
        return refuse(builder, key->line, key->column, "a key must be a word, not a list or map");
    if (map->count >= (size_t)2 * DOCUMENT_MAP_MAX)
        return refuse(builder, key->line, key->column, "more than %d keys here", DOCUMENT_MAP_MAX);
    for (size_t i = 0; i < map->count; i += 2)
        if (strcmp(map->items[i]->text, key->text) == 0)
            return refuse(builder, key->line, key->column,
                          "'%.60s' is there already (line %u): keep one of them", key->text,
                          map->items[i]->line);
    return 0;
}

/* Puts a new value (or the target of an alias) under what is open. line, column: where it is used.
 */
static int attach(struct builder *builder, struct document_node *node, unsigned line,
                  unsigned column)
{
    if (builder->depth + node->height > DOCUMENT_DEPTH_MAX)
        return refuse(builder, line, column, "nested deeper than %d lists and maps",
                      DOCUMENT_DEPTH_MAX);
    if (builder->depth == 0) {
        builder->document->root = node;
        return 0;
    }
    struct document_node *parent = builder->stack[builder->depth - 1];
    if (parent->kind == DOCUMENT_MAP && parent->count % 2 == 0) {
        int result = check_key(builder, parent, node);
        if (result)
            return result;
    }
    if ((parent->count & (parent->count - 1)) == 0) /* room for the next power of two */
        parent->items = memory_resize(parent->items, parent->count ? parent->count * 2 : 1,
                                      sizeof(parent->items[0]));
    parent->items[parent->count++] = node;
    for (size_t i = 0; i < builder->depth; i++) {
        struct document_node *outer = builder->stack[i];
        size_t height = builder->depth - i + node->height;
        outer->weight += node->weight;
        outer->height = outer->height > height ? outer->height : height;
    }
    if (builder->stack[0]->weight > DOCUMENT_VALUES_MAX)
        return refuse(builder, line, column,
                      "more than %d values (aliases count as what they stand for)",
                      DOCUMENT_VALUES_MAX);
    return 0;
}

static int add_anchor(struct builder *builder, struct fy_token *token, struct document_node *node)
{
    if (!token)
        return 0;
    size_t length = 0;
    const char *name = fy_token_get_text(token, &length);
    if (builder->anchor_count == DOCUMENT_ANCHORS_MAX)
        return refuse(builder, node->line, node->column, "more than %d anchors",
                      DOCUMENT_ANCHORS_MAX);
    struct text copy = {0};
    text_append_bytes(&copy, name ? name : "", name ? length : 0);
    builder->anchors[builder->anchor_count++] = (struct anchor){copy.data, node};
    return 0;
}

static int refuse_tag(struct builder *builder, struct fy_token *tag,
                      const struct document_node *node)
{
    return tag ? refuse(builder, node->line, node->column,
                        "tags such as !!str are not used here: "
                        "write the plain value")
               : 0;
}

static int on_alias(struct builder *builder, const struct fy_event *event)
{
    const struct fy_mark *mark = fy_token_start_mark(event->alias.anchor);
    unsigned line = mark ? (unsigned)mark->line + 1 : 1;
    unsigned column = mark ? (unsigned)mark->column : 1; /* the mark is after the '*' */
    size_t length = 0;
    const char *name = fy_token_get_text(event->alias.anchor, &length);
    for (size_t i = builder->anchor_count; name && i-- > 0;) {
        const struct anchor *anchor = &builder->anchors[i];
        if (strlen(anchor->name) != length || memcmp(anchor->name, name, length) != 0)
            continue;
        if (anchor->node->open)
            return refuse(builder, line, column, "*%s stands inside what it stands for",
                          anchor->name);
        return attach(builder, anchor->node, line, column);
    }
    return refuse(builder, line, column, "no anchor &%.*s before this alias",
                  (int)(length < 60 ? length : 60), name ? name : "");
}

static int on_scalar(struct builder *builder, const struct fy_event *event)
{
    struct fy_token *token = event->scalar.value;
    enum fy_scalar_style style = token ? fy_token_scalar_style(token) : FYSS_PLAIN;
    bool quoted = style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
    struct document_node *node =
        new_node(builder, DOCUMENT_SCALAR, token ? fy_token_start_mark(token) : NULL, quoted);
    size_t length = 0;
    const char *content = token ? fy_token_get_text(token, &length) : NULL;
    struct text copy = {0};
    text_append_bytes(&copy, content ? content : "", content ? length : 0);
    node->text = copy.data;
    node->empty = style == FYSS_PLAIN &&
                  (length == 0 || strcmp(copy.data, "~") == 0 || strcmp(copy.data, "null") == 0);
    if (strlen(node->text) != length)
        return refuse(builder, node->line, node->column, "a NUL character can't be in a text here");
    int result = refuse_tag(builder, event->scalar.tag, node);
    if (!result)
        result = attach(builder, node, node->line, node->column);
    return result ? result : add_anchor(builder, event->scalar.anchor, node);
}

static int on_start(struct builder *builder, const struct fy_event *event)
{
    bool list = event->type == FYET_SEQUENCE_START;
    struct fy_token *start =
        list ? event->sequence_start.sequence_start : event->mapping_start.mapping_start;
    struct document_node *node = new_node(builder, list ? DOCUMENT_LIST : DOCUMENT_MAP,
                                          start ? fy_token_start_mark(start) : NULL, 0);
    int result =
        refuse_tag(builder, list ? event->sequence_start.tag : event->mapping_start.tag, node);
    if (!result)
        result = attach(builder, node, node->line, node->column);
    if (!result)
        result = add_anchor(
            builder, list ? event->sequence_start.anchor : event->mapping_start.anchor, node);
    if (!result)
        builder->stack[builder->depth++] = node; /* attach has checked the depth */
    return result;
}

static int on_event(struct builder *builder, const struct fy_event *event)
{
    switch (event->type) {
    case FYET_DOCUMENT_START: {
        const struct fy_mark *mark = event->document_start.document_start
                                         ? fy_token_start_mark(event->document_start.document_start)
                                         : NULL;
        return builder->ended ? refuse(builder, mark ? (unsigned)mark->line + 1 : 1, 1,
                                       "one document a file: remove what comes from '---' on")
                              : 0;
    }
    case FYET_DOCUMENT_END:
        builder->ended = true;
        return 0;
    case FYET_MAPPING_START:
    case FYET_SEQUENCE_START:
        return on_start(builder, event);
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        builder->stack[--builder->depth]->open = false;
        return 0;
    case FYET_SCALAR:
        return on_scalar(builder, event);
    case FYET_ALIAS:
        return on_alias(builder, event);
    default:
        return 0;
    }
}

/* Nothing is printed: messages are collected by the diagnostic object. */
static void swallow(struct fy_diag *diag, void *user, const char *bytes, size_t length)
{
    (void)diag;
    (void)user;
    (void)bytes;
    (void)length;
}

static int refuse_syntax(struct builder *builder, struct fy_diag *diag)
{
    void *cursor = NULL;
    const struct fy_diag_error *first = fy_diag_errors_iterate(diag, &cursor);
    if (!first || first->line < 1)
        return refuse(builder, 1, 1, "not YAML%s%s", first ? ": " : "", first ? first->msg : "");
    return refuse(builder, (unsigned)first->line, first->column > 0 ? (unsigned)first->column : 1,
                  "not YAML: %s", first->msg);
}

static int build(struct builder *builder, struct fy_parser *parser, struct fy_diag *diag,
                 const char *text, size_t length)
{
    if (fy_parser_set_string(parser, text, length))
        return error_set_at(builder->error, -EINVAL, builder->file, "cannot be read as YAML");
    int result = 0;
    struct fy_event *event;
    while (!result && (event = fy_parser_parse(parser))) {
        result = on_event(builder, event);
        fy_parser_event_free(parser, event);
    }
    if (!result && fy_parser_get_stream_error(parser))
        result = refuse_syntax(builder, diag);
    return result;
}

int document_parse(const char *text, size_t length, const char *file, struct document *document,
                   struct error *error)
{
    *document = (struct document){0};
    struct builder *builder = memory_allocate_zeroed(1, sizeof(*builder));
    builder->document = document;
    builder->file = file;
    builder->error = error;
    int result = check_characters(builder, text, length);
    struct fy_diag_cfg diag_config;
    fy_diag_cfg_default(&diag_config);
    diag_config.fp = NULL;
    diag_config.output_fn = swallow;
    struct fy_diag *diag = fy_diag_create(&diag_config);
    if (diag)
        fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg config = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG, .diag = diag};
    struct fy_parser *parser = diag ? fy_parser_create(&config) : NULL;
    if (!parser)
        result = error_set(error, -ENOMEM, "no memory for the YAML parser");
    if (!result)
        result = build(builder, parser, diag, text, length);
    if (parser)
        fy_parser_destroy(parser);
    if (diag)
        fy_diag_destroy(diag);
    for (size_t i = 0; i < builder->anchor_count; i++)
        free(builder->anchors[i].name);
    free(builder);
    if (result)
        document_free(document);
    return result;
}

void document_free(struct document *document)
{
    for (size_t i = 0; i < document->node_count; i++) {
        free(document->nodes[i]->text);
        free(document->nodes[i]->items);
        free(document->nodes[i]);
    }
    free(document->nodes);
    *document = (struct document){0};
}

const struct document_node *document_get(const struct document_node *map, const char *key)
{
    for (size_t i = 0; map->kind == DOCUMENT_MAP && i < map->count; i += 2)
        if (strcmp(map->items[i]->text, key) == 0)
            return map->items[i + 1];
    return NULL;
}
