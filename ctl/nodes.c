#include "ctl/command.h"
#include "ctl/format.h"

#include <string.h>

static void describe_node(struct text *text, json_t *node)
{
    text_append(text, "node %s added, a %s", format_string(node, "name"),
                format_string(node, "kind"));
}

static int add_node(struct session *session, const struct arguments *arguments)
{
    if (arguments->word_count != 3)
        return session_usage(session, "write: severctl nodes add NAME [--address A] [--client]");
    json_t *addresses = json_array();
    for (size_t i = 0; i < arguments->address_count; i++)
        json_array_append_new(addresses, json_string(arguments->addresses[i]));
    json_t *body =
        json_pack("{s:s, s:s, s:o}", "name", arguments->words[2], "kind",
                  arguments->given & OPTION_CLIENT ? "client" : "member", "addresses", addresses);
    return session_change(session, "POST", "/v1/nodes", body, describe_node);
}

static int remove_node(struct session *session, const struct arguments *arguments)
{
    if (arguments->word_count != 3)
        return session_usage(session, "write: severctl nodes remove NAME");
    return session_remove_named(session, "nodes", "node", arguments->words[2]);
}

int run_nodes(struct session *session, const struct arguments *arguments)
{
    const char *verb = arguments->word_count > 1 ? arguments->words[1] : "list";
    if (strcmp(verb, "add") == 0)
        return add_node(session, arguments);
    if (strcmp(verb, "remove") == 0)
        return remove_node(session, arguments);
    if (strcmp(verb, "list") != 0 || arguments->word_count > 2)
        return session_usage(session,
                             "'nodes %s' is nothing: write nodes, nodes add or nodes remove", verb);
    return session_list(session, "/v1/nodes", format_nodes);
}

int run_links(struct session *session, const struct arguments *arguments)
{
    char path[SESSION_PATH_MAX] = "/v1/links";
    if (arguments->word_count > 1) {
        wire_path_append_query(path, sizeof(path), "node", arguments->words[1]);
    }
    return session_list(session, path, format_links);
}
