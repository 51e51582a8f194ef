#include "ctl/table_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/text.h"
#include "proxy/fault/ruleset.h"
#include "proxy/fault/ruleset_text.h"

/* The whole file; what is too long is refused unread. */
static int read_file(const char *path, struct text *content, struct error *error)
{
    char buffer[65536];
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set_at(error, -errno, path, "%s", strerror(errno));
    for (size_t got; content->length <= TABLE_TEXT_BYTES_MAX &&
                     (got = fread(buffer, 1, sizeof(buffer), file)) > 0;)
        text_append_bytes(content, buffer, got);
    int code = ferror(file) ? -EIO : 0;
    fclose(file);
    if (code)
        return error_set_at(error, code, path, "%s", strerror(-code));
    if (content->length > TABLE_TEXT_BYTES_MAX)
        return error_set_at(error, -E2BIG, path, "a table of numbers is at most %d bytes",
                            TABLE_TEXT_BYTES_MAX);
    return 0;
}

/* The file's name without folder and ending, as far as a name is long. */
static void name_after(const char *path, char name[RULESET_NAME_MAX])
{
    const char *slash = strrchr(path, '/');
    snprintf(name, RULESET_NAME_MAX, "%s", slash ? slash + 1 : path);
    char *dot = strrchr(name, '.');
    if (dot && dot != name)
        *dot = '\0';
}

static json_t *make_body(const char *path, const char *name, const struct ruleset_table *table,
                         struct error *error)
{
    char chosen[RULESET_NAME_MAX];
    name_after(path, chosen);
    if (!ruleset_text_is_printable(name ? name : chosen, strlen(name ? name : chosen))) {
        error_set_at(error, -EINVAL, path, "its name is no name for a table: give it another one");
        return NULL;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < table->count; i++)
        json_array_append_new(list, json_integer(table->values[i]));
    return json_pack("{s:s, s:o}", "name", name ? name : chosen, "values", list);
}

json_t *table_file_parse(enum table_text_kind kind, const char *text, size_t length,
                         const char *path, const char *name, struct error *error)
{
    struct ruleset_table table = {0};
    if (table_text_parse(kind, text, length, &table, error)) {
        char message[ERROR_PLACE_MAX + ERROR_MESSAGE_MAX];
        error_text(error, message, sizeof(message));
        error_set_at(error, error->code, path, "%s", message);
        return NULL;
    }
    json_t *body = make_body(path, name, &table, error);
    free(table.values);
    return body;
}

json_t *table_file_read(enum table_text_kind kind, const char *path, const char *name,
                        struct error *error)
{
    struct text content = {0};
    json_t *body = NULL;
    if (read_file(path, &content, error) == 0)
        body = table_file_parse(kind, text_get(&content), content.length, path, name, error);
    text_free(&content);
    return body;
}
