#include "ctl/command.h"
#include "ctl/format.h"

#include <string.h>

static void describe_route(struct text *text, json_t *route)
{
    text_append(text, "route %s: %s %s -> %s", format_string(route, "name"),
                format_string(route, "protocol"), format_string(route, "listening"),
                format_string(route, "upstream"));
}

static int add_route(struct session *session, const struct arguments *arguments)
{
    if (arguments->word_count != 5)
        return session_usage(session, "write: severctl routes add NAME LISTEN UPSTREAM "
                                      "[--from NODE] [--to NODE] [--udp] [--spread] "
                                      "[--close-unreached]");
    json_t *body =
        json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s?, s:b, s:b}", "name", arguments->words[2],
                  "protocol", arguments->given & OPTION_UDP ? "udp" : "tcp", "listen",
                  arguments->words[3], "upstream", arguments->words[4], "from", arguments->from,
                  "to", arguments->to, "spread", (arguments->given & OPTION_SPREAD) != 0,
                  "close_unreached", (arguments->given & OPTION_CLOSE_UNREACHED) != 0);
    return session_change(session, "POST", "/v1/routes", body, describe_route);
}

static void describe_enabled(struct text *text, json_t *route)
{
    text_append(text, "route %s %s", format_string(route, "name"),
                format_true(route, "enabled") ? "enabled" : "disabled");
}

/* A disabled route refuses connections, and its own are closed. */
static int enable_route(struct session *session, const struct arguments *arguments, bool enabled)
{
    char path[SESSION_PATH_MAX];
    if (arguments->word_count != 3)
        return session_usage(session, "write: severctl routes %s NAME",
                             enabled ? "enable" : "disable");
    return session_change(session, "PATCH", session_path(path, "routes", arguments->words[2]),
                          json_pack("{s:b}", "enabled", enabled), describe_enabled);
}

static int remove_route(struct session *session, const struct arguments *arguments)
{
    if (arguments->word_count != 3)
        return session_usage(session, "write: severctl routes remove NAME");
    return session_remove_named(session, "routes", "route", arguments->words[2]);
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
