/* Cutting and healing. Each of the three ways to cut makes a named partition; heal removes it. */
#include "ctl/command.h"
#include "ctl/format.h"
#include "ctl/target.h"

#include <stdio.h>
#include <string.h>

/* POST /v1/partitions. body: taken. */
static int set_partition(struct session *session, const struct arguments *arguments, json_t *body,
                         json_t **partition)
{
    if (arguments->name)
        json_object_set_new(body, "name", json_string(arguments->name));
    int code = session_request(session, "POST", "/v1/partitions", body, partition);
    json_decref(body);
    return code;
}

static bool has_routes(struct session *session)
{
    json_t *status = NULL;
    struct error ignored;
    if (wire_client_request(session->client, "GET", "/v1/status", NULL, &status, &ignored))
        return true;
    bool any = format_number(status, "routes") > 0;
    json_decref(status);
    return any;
}

/* "split n1 / n2 as split-1: 2 links cut (ruleset 9)", the links only when `counted`; then says
 * so when a TCP route's cut is less than a cut cable
 * (in a lab without routes there is none). Takes partition. */
static int report(struct session *session, json_t *partition, const char *verb, const char *target,
                  bool counted)
{
    if (session->json) {
        session_print_json(session, partition);
        json_decref(partition);
        return SESSION_DONE;
    }
    struct text *out = &session->out;
    text_append(out, "%s %s as %s", verb, target, format_string(partition, "name"));
    if (counted) {
        text_append(out, ": ");
        format_count(out, (int64_t)json_array_size(json_object_get(partition, "links")), "link");
        text_append(out, " cut");
    }
    session_end_line(session);
    json_t *mechanism = json_object_get(partition, "mechanism");
    const char *tcp = format_string(mechanism, "tcp");
    if (strncmp(tcp, "stall", 5) == 0 &&
        (!format_string(mechanism, "lab")[0] || has_routes(session)))
        text_append(out, "TCP routes: %s\n", tcp);
    json_decref(partition);
    return SESSION_DONE;
}

int run_cut(struct session *session, const struct arguments *arguments)
{
    struct target_link link;
    if (target_parse_link(arguments->words + 1, arguments->word_count - 1, &link, &session->error))
        return SESSION_USAGE;
    char text[RULESET_LINK_TEXT_MAX];
    json_t *links = json_array();
    json_array_append_new(links, json_string(ruleset_format_link(&link.link, false, text)));
    if (link.both_ways) {
        struct ruleset_link back;
        snprintf(back.from, sizeof(back.from), "%s", link.link.to);
        snprintf(back.to, sizeof(back.to), "%s", link.link.from);
        json_array_append_new(links, json_string(ruleset_format_link(&back, false, text)));
    }
    json_t *partition = NULL;
    int code = set_partition(session, arguments, json_pack("{s:o}", "links", links), &partition);
    return code ? code : report(session, partition, "cut", link.text, false);
}

int run_split(struct session *session, const struct arguments *arguments)
{
    json_t *groups;
    if (target_parse_groups(arguments->words + 1, arguments->word_count - 1, &groups,
                            &session->error))
        return SESSION_USAGE;
    struct text described = {0};
    target_format_groups(groups, &described);
    json_t *partition = NULL;
    int code = set_partition(session, arguments, json_pack("{s:o}", "groups", groups), &partition);
    if (!code)
        report(session, partition, "split", text_get(&described), true);
    text_free(&described);
    return code;
}

int run_isolate(struct session *session, const struct arguments *arguments)
{
    json_t *partition = NULL;
    json_t *body = json_pack("{s:s}", "isolate", arguments->words[1]);
    int code = set_partition(session, arguments, body, &partition);
    return code ? code : report(session, partition, "isolated", arguments->words[1], true);
}

int run_heal(struct session *session, const struct arguments *arguments)
{
    char path[SESSION_PATH_MAX], done[SESSION_PATH_MAX];
    if (arguments->word_count > 1) {
        const char *name = arguments->words[1];
        snprintf(done, sizeof(done), "healed %s", name);
        return session_remove(session, session_path(path, "partitions", name), name, done);
    }
    json_t *answer = NULL, *partition;
    int code = session_request(session, "GET", "/v1/partitions", NULL, &answer);
    if (code)
        return code;
    struct text names = {0};
    size_t index;
    json_array_foreach(json_object_get(answer, "partitions"), index, partition)
        text_append(&names, "%s%s", index ? ", " : "healed ", format_string(partition, "name"));
    json_decref(answer);
    code = session_remove(session, "/v1/partitions", "partitions",
                          names.length ? text_get(&names) : "nothing to heal");
    text_free(&names);
    return code;
}

int run_partitions(struct session *session, const struct arguments *arguments)
{
    (void)arguments;
    return session_list(session, "/v1/partitions", format_partitions);
}
