#include "ctl/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    int code = wire_client_request(session->client, method, path, body, answer, &session->error);
    session->changed |= code == 0 && strcmp(method, "GET") != 0;
    return exit_code_of(code);
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

int session_refuse(struct session *session, const char *format, ...)
{
    char message[ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    error_set(&session->error, -ENOENT, "%s", message);
    return SESSION_REFUSED;
}

int session_write(struct session *session)
{
    if (fputs(text_get(&session->out), stdout) >= 0 && fflush(stdout) == 0) {
        text_clear(&session->out);
        return SESSION_DONE;
    }
    error_set(&session->error, -errno, "%sstandard output can't be written: %s",
              session->changed ? "the change is in force, but " : "", strerror(errno));
    text_clear(&session->out);
    return SESSION_UNWRITABLE;
}

void session_print_json(struct session *session, json_t *json)
{
    char *dump = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    if (!dump)
        return;
    text_append(&session->out, "%s\n", dump);
    free(dump);
}

bool session_get_version(struct session *session, int64_t *version)
{
    json_t *status = NULL;
    struct error ignored;
    if (wire_client_request(session->client, "GET", "/v1/status", NULL, &status, &ignored))
        return false;
    *version = format_number(status, "ruleset_version");
    json_decref(status);
    return true;
}

void session_end_line(struct session *session)
{
    int64_t version;
    if (session_get_version(session, &version))
        text_append(&session->out, " (ruleset %" PRId64 ")", version);
    text_append(&session->out, "\n");
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

int session_change(struct session *session, const char *method, const char *path, json_t *body,
                   void (*describe)(struct text *text, json_t *made))
{
    json_t *made = NULL;
    int code = session_request(session, method, path, body, &made);
    json_decref(body);
    if (code)
        return code;
    if (session->json) {
        session_print_json(session, made);
    } else {
        describe(&session->out, made);
        session_end_line(session);
    }
    json_decref(made);
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
    json_t *report = json_pack("{s:s}", "removed", name);
    int64_t version;
    if (session_get_version(session, &version))
        json_object_set_new(report, "ruleset_version", json_integer(version));
    session_print_json(session, report);
    json_decref(report);
    return SESSION_DONE;
}

int session_remove_named(struct session *session, const char *collection, const char *thing,
                         const char *name)
{
    char path[SESSION_PATH_MAX], done[SESSION_PATH_MAX];
    snprintf(done, sizeof(done), "%s %s removed", thing, name);
    return session_remove(session, session_path(path, collection, name), name, done);
}
