/* Shifting a node's clock, and running programs under it. */
#include "ctl/clock_environment.h"
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

static int show_clock(struct session *session, const char *node)
{
    json_t *clock;
    int code = clock_environment_find(session, node, &clock);
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

int run_exec(struct session *session, const struct arguments *arguments)
{
    if (!arguments->rest || !arguments->rest[0])
        return session_usage(session, "write severctl exec NODE -- COMMAND...");
    const char *program = arguments->rest[0];
    int code = clock_environment_set(session, arguments->words[1], program,
                                     arguments->given & OPTION_ANYWAY);
    if (code)
        return code;
    execvp(program, arguments->rest);
    error_set(&session->error, -errno, "can't run %s: %s", program, strerror(errno));
    return errno == ENOENT ? EXEC_NOT_FOUND : EXEC_NOT_EXECUTABLE;
}
