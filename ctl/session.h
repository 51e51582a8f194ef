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
};

enum { SESSION_PATH_MAX = 512 };

struct session {
    struct wire_client *client;
    bool json;
    bool colour;
    struct text out; /* printed by main when the command has returned, whatever it returned */
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

/* Appends the JSON and a newline. */
void session_print_json(struct session *session, json_t *json);

/* Ends the line of a change that is in force: appends " (ruleset N)" and a newline. */
void session_end_line(struct session *session);

/* GET path, printed by `format` (format.h), or as it is with --json. */
int session_list(struct session *session, const char *path,
                 void (*format)(struct text *text, json_t *answer, bool colour));

/* DELETE path, then prints `done` (or {"removed": name, "ruleset_version": N} with --json). */
int session_remove(struct session *session, const char *path, const char *name, const char *done);

#endif
