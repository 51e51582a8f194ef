/* Shifting a node's clock, and running programs under it. */
#include "ctl/command.h"
#include "ctl/format.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/units.h"

enum { EXEC_NOT_EXECUTABLE = 126, EXEC_NOT_FOUND = 127 }; /* as shells do */

static const char clock_hint[] =
    "write severctl clock NODE +2ms, NODE +2ms drift 50ppm, NODE drift 50ppm, or NODE reset";

/* [OFFSET] [drift DRIFT] from `words`. */
static int parse_shift(struct session *session, const char *const words[], size_t count,
                       json_t **body)
{
    int64_t offset_ns = 0, drift_ppb = 0;
    size_t next = 0;
    if (strcmp(words[0], "drift") != 0) {
        if (units_parse_offset(words[next++], &offset_ns, &session->error))
            return SESSION_USAGE;
    }
    if (next < count) {
        if (strcmp(words[next], "drift") != 0 || next + 2 != count)
            return session_usage(session, "'%s' is out of place: %s", words[next], clock_hint);
        if (units_parse_drift(words[next + 1], &drift_ppb, &session->error))
            return SESSION_USAGE;
    }
    *body = json_pack("{s:I, s:I}", "offset_ns", (json_int_t)offset_ns, "drift_ppb",
                      (json_int_t)drift_ppb);
    return SESSION_DONE;
}

/* The clock of `node` out of GET /v1/clocks: new reference. */
static int get_clock(struct session *session, const char *node, json_t **found)
{
    json_t *answer = NULL, *clock;
    int code = session_request(session, "GET", "/v1/clocks", NULL, &answer);
    if (code)
        return code;
    size_t index;
    struct text names = {0};
    *found = NULL;
    json_array_foreach(json_object_get(answer, "clocks"), index, clock)
    {
        text_append(&names, "%s%s", index ? ", " : "", format_string(clock, "node"));
        if (strcmp(format_string(clock, "node"), node) == 0)
            *found = json_incref(clock);
    }
    json_decref(answer);
    if (!*found) {
        error_set(&session->error, -ENOENT, "there is no node '%s'; there is %s", node,
                  names.length ? text_get(&names) : "none at all");
        code = SESSION_REFUSED;
    }
    text_free(&names);
    return code;
}

static int show_clock(struct session *session, const char *node)
{
    json_t *clock;
    int code = get_clock(session, node, &clock);
    if (code)
        return code;
    if (session->json) {
        session_print_json(session, clock);
        json_decref(clock);
        return SESSION_DONE;
    }
    json_t *answer = json_pack("{s:[o]}", "clocks", clock);
    format_clocks(&session->out, answer, session->colour);
    json_decref(answer);
    return SESSION_DONE;
}

static int set_clock(struct session *session, const struct arguments *arguments)
{
    char path[SESSION_PATH_MAX];
    const char *node = arguments->words[1];
    json_t *body = NULL, *clock = NULL;
    int code = parse_shift(session, arguments->words + 2, arguments->word_count - 2, &body);
    if (code)
        return code;
    code = session_request(session, "PUT", session_path(path, "clocks", node), body, &clock);
    json_decref(body);
    if (code)
        return code;
    if (session->json) {
        session_print_json(session, clock);
    } else {
        text_append(&session->out, "clock of %s: ", node);
        format_clock_shift(&session->out, clock);
        session_end_line(session);
    }
    json_decref(clock);
    return SESSION_DONE;
}

int run_clock(struct session *session, const struct arguments *arguments)
{
    if (arguments->word_count == 1)
        return session_list(session, "/v1/clocks", format_clocks);
    const char *node = arguments->words[1];
    if (arguments->word_count == 2)
        return show_clock(session, node);
    if (arguments->word_count == 3 && strcmp(arguments->words[2], "reset") == 0) {
        char path[SESSION_PATH_MAX], done[SESSION_PATH_MAX];
        snprintf(done, sizeof(done), "clock of %s: true time", node);
        return session_remove(session, session_path(path, "clocks", node), node, done);
    }
    return set_clock(session, arguments);
}

/* The library's path out of GET /v1/status, in buffer. */
static int find_library(struct session *session, char *buffer, size_t size)
{
    json_t *status = NULL;
    int code = session_request(session, "GET", "/v1/status", NULL, &status);
    if (code)
        return code;
    json_t *clock = json_object_get(json_object_get(status, "mechanisms"), "clock");
    snprintf(buffer, size, "%s", format_string(clock, "library"));
    json_decref(status);
    if (buffer[0] == '/' && access(buffer, R_OK) == 0)
        return SESSION_DONE;
    error_set(&session->error, -ENOENT,
              "severd knows no clock library here ('%s'): nothing was started", buffer);
    return SESSION_REFUSED;
}

int run_exec(struct session *session, const struct arguments *arguments)
{
    if (!arguments->rest || !arguments->rest[0])
        return session_usage(session, "write severctl exec NODE -- COMMAND...");
    char library[1024], preload[2048];
    json_t *clock;
    int code = get_clock(session, arguments->words[1], &clock);
    if (code)
        return code;
    code = find_library(session, library, sizeof(library));
    const char *page = format_string(clock, "page");
    if (!code && access(page, R_OK)) {
        error_set(&session->error, -errno,
                  "can't read the clock page of %s ('%s': %s): nothing was started",
                  arguments->words[1], page, strerror(errno));
        code = SESSION_REFUSED;
    }
    if (code) {
        json_decref(clock);
        return code;
    }
    const char *others = getenv("LD_PRELOAD");
    snprintf(preload, sizeof(preload), "%s%s%s", library, others && others[0] ? ":" : "",
             others ? others : "");
    setenv("LD_PRELOAD", preload, 1);
    setenv("SEVER_CLOCK_PAGE", page, 1);
    setenv("SEVER_NODE", arguments->words[1], 1);
    json_decref(clock);
    execvp(arguments->rest[0], arguments->rest);
    error_set(&session->error, -errno, "can't run %s: %s", arguments->rest[0], strerror(errno));
    return errno == ENOENT ? EXEC_NOT_FOUND : EXEC_NOT_EXECUTABLE;
}
