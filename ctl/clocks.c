/* Shifting a node's clock, and running programs under it. */
#include "ctl/command.h"
#include "ctl/format.h"
#include "ctl/program.h"

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

static void describe_clock(struct text *text, json_t *clock)
{
    text_append(text, "clock of %s: ", format_string(clock, "node"));
    format_clock_shift(text, clock);
}

static int set_clock(struct session *session, const struct arguments *arguments)
{
    char path[SESSION_PATH_MAX];
    const char *node = arguments->words[1];
    json_t *body = NULL;
    int code = parse_shift(session, arguments->words + 2, arguments->word_count - 2, &body);
    if (code)
        return code;
    return session_change(session, "PUT", session_path(path, "clocks", node), body, describe_clock);
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

/* The library's path out of GET /v1/status, appended to path. */
static int find_library(struct session *session, struct text *path)
{
    json_t *status = NULL;
    int code = session_request(session, "GET", "/v1/status", NULL, &status);
    if (code)
        return code;
    json_t *clock = json_object_get(json_object_get(status, "mechanisms"), "clock");
    text_append(path, "%s", format_string(clock, "library"));
    json_decref(status);
    const char *library = text_get(path);
    if (library[0] != '/' || access(library, R_OK)) {
        error_set(&session->error, -ENOENT,
                  "severd knows no clock library here ('%s'): nothing was started", library);
        return SESSION_REFUSED;
    }
    if (strpbrk(library, " :")) {
        error_set(
            &session->error, -EINVAL,
            "the clock library's path ('%.200s') has a blank or a colon, which ends a path in "
            "LD_PRELOAD: install Sever elsewhere",
            library);
        return SESSION_REFUSED;
    }
    return SESSION_DONE;
}

/* The environment of a program under the clock. library: before what LD_PRELOAD has already. */
static int set_environment(struct session *session, const char *node, json_t *clock,
                           const char *library)
{
    const char *page = format_string(clock, "page"), *others = getenv("LD_PRELOAD");
    if (access(page, R_OK)) {
        error_set(&session->error, -errno,
                  "can't read the clock page of %s ('%s': %s): nothing was started", node, page,
                  strerror(errno));
        return SESSION_REFUSED;
    }
    struct text preload = {0};
    text_append(&preload, "%s%s%s", library, others && others[0] ? ":" : "", others ? others : "");
    setenv("LD_PRELOAD", text_get(&preload), 1);
    setenv("SEVER_CLOCK_PAGE", page, 1);
    setenv("SEVER_NODE", node, 1);
    text_free(&preload);
    return SESSION_DONE;
}

int run_exec(struct session *session, const struct arguments *arguments)
{
    if (!arguments->rest || !arguments->rest[0])
        return session_usage(session, "write severctl exec NODE -- COMMAND...");
    const char *node = arguments->words[1], *program = arguments->rest[0];
    struct text library = {0};
    json_t *clock;
    int code = get_clock(session, node, &clock);
    if (code)
        return code;
    code = find_library(session, &library);
    if (!code && !(arguments->given & OPTION_ANYWAY) &&
        program_check_clock(program, text_get(&library), &session->error))
        code = EXEC_NOT_EXECUTABLE;
    if (!code)
        code = set_environment(session, node, clock, text_get(&library));
    text_free(&library);
    json_decref(clock);
    if (code)
        return code;
    execvp(program, arguments->rest);
    error_set(&session->error, -errno, "can't run %s: %s", program, strerror(errno));
    return errno == ENOENT ? EXEC_NOT_FOUND : EXEC_NOT_EXECUTABLE;
}
