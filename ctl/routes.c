#include "ctl/command.h"
#include "ctl/format.h"

#include <stdio.h>
#include <string.h>

static int add_route(struct session *session, const struct arguments *arguments)
{
    if (arguments->word_count != 5)
        return session_usage(session, "write: severctl routes add NAME LISTEN UPSTREAM "
                                      "[--from NODE] [--to NODE] [--udp] [--spread]");
    json_t *body =
        json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s?, s:b}", "name", arguments->words[2], "protocol",
                  arguments->given & OPTION_UDP ? "udp" : "tcp", "listen", arguments->words[3],
                  "upstream", arguments->words[4], "from", arguments->from, "to", arguments->to,
                  "spread", (arguments->given & OPTION_SPREAD) != 0);
    json_t *route = NULL;
    int code = session_request(session, "POST", "/v1/routes", body, &route);
    json_decref(body);
    if (code)
        return code;
    if (session->json) {
        session_print_json(session, route);
    } else {
        text_append(&session->out, "route %s: %s %s -> %s", format_string(route, "name"),
                    format_string(route, "protocol"), format_string(route, "listening"),
                    format_string(route, "upstream"));
        session_end_line(session);
    }
    json_decref(route);
    return SESSION_DONE;
}

/* A disabled route refuses connections, and its own are closed. */
static int enable_route(struct session *session, const struct arguments *arguments, bool enabled)
{
    const char *word = enabled ? "enable" : "disable";
    char path[SESSION_PATH_MAX];
    if (arguments->word_count != 3)
        return session_usage(session, "write: severctl routes %s NAME", word);
    json_t *route = NULL, *body = json_pack("{s:b}", "enabled", enabled);
    int code = session_request(session, "PATCH", session_path(path, "routes", arguments->words[2]),
                               body, &route);
    json_decref(body);
    if (code)
        return code;
    if (session->json) {
        session_print_json(session, route);
    } else {
        text_append(&session->out, "route %s %sd", format_string(route, "name"), word);
        session_end_line(session);
    }
    json_decref(route);
    return SESSION_DONE;
}

static int remove_route(struct session *session, const struct arguments *arguments)
{
    if (arguments->word_count != 3)
        return session_usage(session, "write: severctl routes remove NAME");
    char path[SESSION_PATH_MAX], done[SESSION_PATH_MAX];
    const char *name = arguments->words[2];
    snprintf(done, sizeof(done), "route %s removed", name);
    return session_remove(session, session_path(path, "routes", name), name, done);
}

int run_routes(struct session *session, const struct arguments *arguments)
{
    const char *verb = arguments->word_count > 1 ? arguments->words[1] : "list";
    if (strcmp(verb, "add") == 0)
        return add_route(session, arguments);
    if (strcmp(verb, "remove") == 0)
        return remove_route(session, arguments);
    if (strcmp(verb, "enable") == 0 || strcmp(verb, "disable") == 0)
        return enable_route(session, arguments, strcmp(verb, "enable") == 0);
    if (strcmp(verb, "list") != 0 || arguments->word_count > 2)
        return session_usage(
            session, "'routes %s' is nothing: write routes, routes add, remove, enable or disable",
            verb);
    return session_list(session, "/v1/routes", format_routes);
}
