#include "ctl/clock_environment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/format.h"
#include "ctl/program.h"

enum { EXEC_NOT_EXECUTABLE = 126 }; /* as shells do */

int clock_environment_find(struct session *session, const char *node, json_t **found)
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

int clock_environment_set(struct session *session, const char *node, const char *program,
                          bool anyway)
{
    struct text library = {0};
    json_t *clock;
    int code = clock_environment_find(session, node, &clock);
    if (code)
        return code;
    code = find_library(session, &library);
    if (!code && !anyway && program_check_clock(program, text_get(&library), &session->error))
        code = EXEC_NOT_EXECUTABLE;
    if (!code)
        code = set_environment(session, node, clock, text_get(&library));
    text_free(&library);
    json_decref(clock);
    return code;
}

int clock_environment_offer(struct session *session, const char *node, const char *program,
                            bool anyway)
{
    json_t *clock;
    int code = clock_environment_find(session, node, &clock);
    if (code)
        return code;
    bool shifted = format_number(clock, "offset_ns") || format_number(clock, "drift_ppb");
    json_decref(clock);
    code = clock_environment_set(session, node, program, false);
    if (code && code != SESSION_UNREACHABLE && (anyway || !shifted)) {
        session->error = (struct error){0};
        setenv("SEVER_NODE", node, 1);
        code = SESSION_DONE;
    }
    return code;
}
