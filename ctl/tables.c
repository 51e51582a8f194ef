/* The tables that delays and traces draw from. */
#include "ctl/tables.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/command.h"
#include "ctl/format.h"
#include "ctl/table_file.h"

/* Whether the table of that name, which is there already, has these values. */
static bool has_values(struct session *session, const char *name, json_t *values)
{
    char path[SESSION_PATH_MAX];
    json_t *table = NULL;
    struct error ignored;
    if (wire_client_request(session->client, "GET", session_path(path, "tables", name), NULL,
                            &table, &ignored))
        return false;
    bool same = json_equal(json_object_get(table, "values"), values);
    json_decref(table);
    return same;
}

int tables_upload(struct session *session, enum table_text_kind kind, const char *file,
                  char name[RULESET_NAME_MAX], bool *added)
{
    json_t *body = table_file_read(kind, file, NULL, &session->error);
    if (!body)
        return SESSION_USAGE;
    snprintf(name, RULESET_NAME_MAX, "%s", format_string(body, "name"));
    int code = session_request(session, "POST", "/v1/tables", body, NULL);
    *added = code == SESSION_DONE;
    if (session->error.code == -EEXIST) {
        if (has_values(session, name, json_object_get(body, "values"))) {
            session->error = (struct error){0};
            code = SESSION_DONE;
        } else {
            error_set(&session->error, -EEXIST,
                      "there is a table '%s' with other values: add this one by another name "
                      "(severctl tables add NAME %s), then write table=NAME",
                      name, file);
        }
    }
    json_decref(body);
    return code;
}

static void describe_table(struct text *text, json_t *table)
{
    text_append(text, "table %s: ", format_string(table, "name"));
    format_count(text, (int64_t)json_array_size(json_object_get(table, "values")), "value");
}

static int add_table(struct session *session, const struct arguments *arguments)
{
    if (arguments->word_count != 4)
        return session_usage(session, "write: severctl tables add NAME FILE");
    const char *name = arguments->words[2], *file = arguments->words[3];
    /* Which of the two it is shows when a fault names it. */
    json_t *body = table_file_read(TABLE_TEXT_TRACE, file, name, &session->error);
    if (!body)
        body = table_file_read(TABLE_TEXT_DISTRIBUTION, file, name, &session->error);
    if (!body)
        return SESSION_USAGE;
    return session_change(session, "POST", "/v1/tables", body, describe_table);
}

int run_tables(struct session *session, const struct arguments *arguments)
{
    const char *verb = arguments->word_count > 1 ? arguments->words[1] : "list";
    if (strcmp(verb, "add") == 0)
        return add_table(session, arguments);
    if (strcmp(verb, "list") == 0 && arguments->word_count <= 2)
        return session_list(session, "/v1/tables", format_tables);
    if (strcmp(verb, "remove") != 0 || arguments->word_count != 3)
        return session_usage(session, "write: severctl tables, tables add NAME FILE, or tables "
                                      "remove NAME");
    return session_remove_named(session, "tables", "table", arguments->words[2]);
}
