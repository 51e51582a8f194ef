/* One run of severctl: the connection to severd, what to print, and what went wrong. */
#ifndef SEVER_CTL_SESSION_H
#define SEVER_CTL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "proxy/base/error.h"
#include "proxy/base/text.h"
#include "proxy/wire/client.h"

enum session_exit {
    SESSION_DONE = 0,
    SESSION_REFUSED = 1,     /* severd said no, and why */
    SESSION_USAGE = 2,       /* the command line is not right */
    SESSION_UNREACHABLE = 3, /* nobody answers, or it is not severd */
    SESSION_UNWRITABLE = 4,  /* done, but standard output can't be written */
    SESSION_LACKING = 5,     /* doctor: severd lacks something that it needs */
};

enum { SESSION_PATH_MAX = 512 };

struct session {
    struct wire_client *client;
    bool json;
    bool colour;
    bool changed;    /* a request that changes something has succeeded */
    struct text out; /* printed by main when the command has returned 0 */
    struct error error;
};

/* One request; as wire_client_request, but returns an exit code. answer: new reference, may be
 * NULL when not wanted. */
int session_request(struct session *session, const char *method, const char *path, json_t *body,
                    json_t **answer);

/* "/v1/COLLECTION/NAME", the name percent-encoded, in buffer (SESSION_PATH_MAX). Returns buffer. */
const char *session_path(char *buffer, const char *collection, const char *name);

/* Fills the error and returns SESSION_USAGE. */
int session_usage(struct session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same with SESSION_REFUSED, for what severctl finds out by itself. */
int session_refuse(struct session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes session->out to standard output and empties it. SESSION_DONE, or SESSION_UNWRITABLE with
 * the error filled. */
int session_write(struct session *session);

/* Appends the JSON and a newline. */
void session_print_json(struct session *session, json_t *json);

/* The version of the ruleset in force. False when severd doesn't say; session->error stays as it
 * is: what was done before is no failure because of that. */
bool session_get_version(struct session *session, int64_t *version);

/* Ends the line of a change that is in force: appends " (ruleset N)", when severd says it, and a
 * newline. */
void session_end_line(struct session *session);

/* GET path, printed by `format` (format.h), or as it is with --json. */
int session_list(struct session *session, const char *path,
                 void (*format)(struct text *text, json_t *answer, bool colour));

/* A change: method and body (taken) to path, then prints what it made as `describe` tells it, a
 * line without its end, or as it is with --json. */
int session_change(struct session *session, const char *method, const char *path, json_t *body,
                   void (*describe)(struct text *text, json_t *made));

/* DELETE path, then prints `done`, or {"removed": name, "ruleset_version": N} with --json, without
 * the version when severd doesn't say it. */
int session_remove(struct session *session, const char *path, const char *name, const char *done);

/* session_remove of "/v1/COLLECTION/NAME", which is done with "THING NAME removed". */
int session_remove_named(struct session *session, const char *collection, const char *thing,
                         const char *name);

#endif
