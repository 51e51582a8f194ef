/* Faults: each verb reads its words, makes a fault, and says what severd made of it. */
#include "ctl/command.h"
#include "ctl/fault_words.h"
#include "ctl/format.h"
#include "ctl/tables.h"

#include <stdio.h>
#include <string.h>

enum { USAGE_MAX = 256 };

/* Says what the fault really does, when that is less or other than its place promises. */
static void append_applied(struct text *text, const char *applied)
{
    static const char *const everywhere[] = {"all routes", "the route", "the lab",
                                             "all routes and the lab"};
    bool all = false;
    for (size_t i = 0; i < sizeof(everywhere) / sizeof(everywhere[0]); i++)
        all |= strcmp(applied, everywhere[i]) == 0;
    if (applied[0] && !all)
        text_append(text, "applies to %s\n", applied);
}

/* "loss on n1<->n2: 5% as loss-1 (ruleset 9)". */
static void print_fault(struct session *session, json_t *fault, const char *place)
{
    struct text parameters = {0};
    if (session->json) {
        session_print_json(session, fault);
        return;
    }
    format_fault_parameters(&parameters, fault);
    text_append(&session->out, "%s on %s%s%s as %s", format_string(fault, "type"), place,
                parameters.length ? ": " : "", text_get(&parameters), format_string(fault, "name"));
    session_end_line(session);
    append_applied(&session->out, format_string(fault, "applied"));
    text_free(&parameters);
}

/* POST, with the file's table first; a table that then isn't needed is taken back. */
static int post_fault(struct session *session, json_t *body, const char *file, json_t **fault)
{
    char name[RULESET_NAME_MAX], path[SESSION_PATH_MAX];
    bool added = false;
    struct error ignored;
    bool trace = strcmp(json_string_value(json_object_get(body, "type")), "trace") == 0;
    enum table_text_kind kind = trace ? TABLE_TEXT_TRACE : TABLE_TEXT_DISTRIBUTION;
    int code = file ? tables_upload(session, kind, file, name, &added) : SESSION_DONE;
    if (code)
        return code;
    if (file)
        json_object_set_new(body, "table", json_string(name));
    code = session_request(session, "POST", "/v1/faults", body, fault);
    if (code && added)
        (void)wire_client_request(session->client, "DELETE", session_path(path, "tables", name),
                                  NULL, NULL, &ignored);
    return code;
}

static int set_fault(struct session *session, const struct arguments *arguments,
                     const struct fault_verb *verb, size_t first_word, const char *usage)
{
    char place[FAULT_PLACE_MAX];
    const char *file = NULL;
    json_t *fault = NULL;
    json_t *body = json_pack("{s:s}", "type", ruleset_fault_type_name(verb->type));
    int code =
        fault_words_read(verb, arguments->words + first_word, arguments->word_count - first_word,
                         arguments, usage, body, place, &file, &session->error)
            ? SESSION_USAGE
            : SESSION_DONE;
    if (!code && arguments->name)
        json_object_set_new(body, "name", json_string(arguments->name));
    if (!code)
        code = post_fault(session, body, file, &fault);
    json_decref(body);
    if (!code)
        print_fault(session, fault, place);
    json_decref(fault);
    return code;
}

int run_fault(struct session *session, const struct arguments *arguments)
{
    const struct command *command = command_find(arguments->words[0]);
    char usage[USAGE_MAX];
    snprintf(usage, sizeof(usage), "severctl %s %s, such as %s", command->name, command->arguments,
             command->example);
    return set_fault(session, arguments, fault_verb_find(command->name), 1, usage);
}

static int add_fault(struct session *session, const struct arguments *arguments)
{
    static const char usage[] = "severctl faults add TYPE LINK [VALUE...] [KEY=VALUE...]";
    const struct fault_verb *verb = NULL;
    enum ruleset_fault_type ignored;
    if (arguments->word_count < 3)
        return session_usage(session, "write: %s", usage);
    verb = fault_verb_find(arguments->words[2]);
    if (!verb) {
        (void)ruleset_parse_fault_type(arguments->words[2], &ignored, &session->error);
        return SESSION_USAGE;
    }
    return set_fault(session, arguments, verb, 3, usage);
}

static int change_fault(struct session *session, const struct arguments *arguments)
{
    char path[SESSION_PATH_MAX];
    json_t *fault = NULL, *body = json_object();
    enum ruleset_fault_type type;
    struct text place = {0};
    int code = SESSION_USAGE;
    if (arguments->word_count < 3) {
        session_usage(session, "write: severctl faults set NAME KEY=VALUE...");
        goto done;
    }
    session_path(path, "faults", arguments->words[2]);
    code = session_request(session, "GET", path, NULL, &fault);
    if (!code && (ruleset_parse_fault_type(format_string(fault, "type"), &type, &session->error) ||
                  fault_words_read_changes(type, arguments->words + 3, arguments->word_count - 3,
                                           arguments, body, &session->error)))
        code = SESSION_USAGE;
    json_decref(fault);
    fault = NULL;
    if (!code)
        code = session_request(session, "PATCH", path, body, &fault);
    if (code)
        goto done;
    format_fault_place(&place, fault);
    print_fault(session, fault, text_get(&place));
done:
    json_decref(fault);
    json_decref(body);
    text_free(&place);
    return code;
}

int run_faults(struct session *session, const struct arguments *arguments)
{
    const char *verb = arguments->word_count > 1 ? arguments->words[1] : "list";
    if (strcmp(verb, "add") == 0)
        return add_fault(session, arguments);
    if (strcmp(verb, "set") == 0)
        return change_fault(session, arguments);
    if (strcmp(verb, "list") == 0 && arguments->word_count <= 2)
        return session_list(session, "/v1/faults", format_faults);
    if (strcmp(verb, "clear") == 0 && arguments->word_count == 2)
        return session_remove(session, "/v1/faults", "faults", "all faults removed");
    if (strcmp(verb, "remove") != 0 || arguments->word_count != 3)
        return session_usage(session, "write: severctl faults, faults add TYPE LINK ..., faults "
                                      "set NAME KEY=VALUE..., faults remove NAME, or faults clear");
    return session_remove_named(session, "faults", "fault", arguments->words[2]);
}
