#include "ctl/table_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/text.h"
#include "proxy/fault/ruleset.h"
#include "proxy/fault/ruleset_text.h"
#include "proxy/wire/codec.h"

/* The whole file; what is longer than a body may be is refused unread. */
static int read_file(const char *path, struct text *content, struct error *error)
{
    char buffer[65536];
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set_at(error, -errno, path, "%s", strerror(errno));
    for (size_t got;
         content->length <= WIRE_BODY_MAX && (got = fread(buffer, 1, sizeof(buffer), file)) > 0;)
        text_append_bytes(content, buffer, got);
    int code = ferror(file) ? -EIO : 0;
    fclose(file);
    if (code)
        return error_set_at(error, code, path, "%s", strerror(-code));
    if (content->length > WIRE_BODY_MAX)
        return error_set_at(error, -E2BIG, path, "a table of numbers is at most %d bytes",
                            WIRE_BODY_MAX);
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

static json_t *make_body(const char *path, const char *name, const int32_t *values, size_t count,
                         struct error *error)
{
    char chosen[RULESET_NAME_MAX];
    name_after(path, chosen);
    if (!ruleset_text_is_printable(name ? name : chosen, strlen(name ? name : chosen))) {
        error_set_at(error, -EINVAL, path, "its name is no name for a table: give it another one");
        return NULL;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_integer(values[i]));
    return json_pack("{s:s, s:o}", "name", name ? name : chosen, "values", list);
}

/* One number at *text, which is moved behind it; -EINVAL for anything else. */
static int take_number(const char **text, const char *after, int32_t *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(*text, &end, 10);
    if (end == *text || errno || number < INT32_MIN || number > INT32_MAX ||
        (end < after && (*end == '\0' || !strchr(" \t\r\n#", *end))))
        return -EINVAL;
    *text = end;
    *value = (int32_t)number;
    return 0;
}

/* Numbers apart by blanks or lines; # begins a comment. A NUL before the end is no number. */
static int parse_numbers(const char *text, size_t length, int32_t *values, size_t *count,
                         size_t *line)
{
    const char *after = text + length;
    *line = 1;
    for (*count = 0;;) {
        text += strspn(text, " \t\r");
        if (*text == '#')
            text += strcspn(text, "\n");
        if (text == after)
            return *count > 0 ? 0 : -ENODATA;
        if (*text == '\n') {
            *line += 1;
            text++;
            continue;
        }
        if (*count == RULESET_TABLE_VALUES_MAX)
            return -E2BIG;
        int code = take_number(&text, after, &values[*count]);
        if (code)
            return code;
        *count += 1;
    }
}

json_t *table_file_parse(const char *text, size_t length, const char *path, const char *name,
                         struct error *error)
{
    int32_t *values = memory_allocate_zeroed(RULESET_TABLE_VALUES_MAX, sizeof(*values));
    size_t count, line;
    json_t *body = NULL;
    int code = parse_numbers(text, length, values, &count, &line);
    if (code == -EINVAL)
        error_set_at(error, code, path, "line %zu: a whole number is wanted", line);
    else if (code)
        error_set_at(error, code, path, "a table has 1 to %d numbers", RULESET_TABLE_VALUES_MAX);
    else
        body = make_body(path, name, values, count, error);
    free(values);
    return body;
}

json_t *table_file_read(const char *path, const char *name, struct error *error)
{
    struct text content = {0};
    json_t *body = NULL;
    if (read_file(path, &content, error) == 0)
        body = table_file_parse(text_get(&content), content.length, path, name, error);
    text_free(&content);
    return body;
}
