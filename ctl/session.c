#include "ctl/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/format.h"

static int exit_code_of(int code)
{
    switch (code) {
    case 0:
        return SESSION_DONE;
    case -ECONNREFUSED:
    case -ETIMEDOUT:
    case -EPROTO:
        return SESSION_UNREACHABLE;
    default:
        return SESSION_REFUSED;
    }
}

int session_request(struct session *session, const char *method, const char *path, json_t *body,
                    json_t **answer)
{
    return exit_code_of(
        wire_client_request(session->client, method, path, body, answer, &session->error));
}

const char *session_path(char *buffer, const char *collection, const char *name)
{
    snprintf(buffer, SESSION_PATH_MAX, "/v1/%s/", collection);
    wire_path_append(buffer, SESSION_PATH_MAX, name);
    return buffer;
}

int session_usage(struct session *session, const char *format, ...)
{
    char message[ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    error_set(&session->error, -EINVAL, "%s", message);
    return SESSION_USAGE;
}

void session_print_json(struct session *session, json_t *json)
{
    char *dump = json_dumps(json, JSON_INDENT(2));
    if (!dump)
        return;
    text_append(&session->out, "%s\n", dump);
    free(dump);
}

void session_end_line(struct session *session)
{
    json_t *status = NULL;
    struct error ignored; /* the change itself is in force: no failure of it */
    if (!wire_client_request(session->client, "GET", "/v1/status", NULL, &status, &ignored))
        text_append(&session->out, " (ruleset %" PRId64 ")",
                    format_number(status, "ruleset_version"));
    text_append(&session->out, "\n");
    json_decref(status);
}

int session_list(struct session *session, const char *path,
                 void (*format)(struct text *text, json_t *answer, bool colour))
{
    json_t *answer = NULL;
    int code = session_request(session, "GET", path, NULL, &answer);
    if (code)
        return code;
    if (session->json)
        session_print_json(session, answer);
    else
        format(&session->out, answer, session->colour);
    json_decref(answer);
    return SESSION_DONE;
}

int session_remove(struct session *session, const char *path, const char *name, const char *done)
{
    int code = session_request(session, "DELETE", path, NULL, NULL);
    if (code)
        return code;
    if (!session->json) {
        text_append(&session->out, "%s", done);
        session_end_line(session);
        return SESSION_DONE;
    }
    json_t *status = NULL;
    code = session_request(session, "GET", "/v1/status", NULL, &status);
    if (code)
        return code;
    json_t *report = json_pack("{s:s, s:I}", "removed", name, "ruleset_version",
                               (json_int_t)format_number(status, "ruleset_version"));
    session_print_json(session, report);
    json_decref(report);
    json_decref(status);
    return SESSION_DONE;
}
