#include "ctl/target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char link_hint[] = "write two nodes (n1 n2: both ways), 'n1->n2' or 'n1<->n2'";

int target_parse_link(const char *const words[], size_t count, struct target_link *link,
                      struct error *error)
{
    char text[RULESET_LINK_TEXT_MAX];
    int length;
    if (count == 0 || count > 2)
        return error_set(error, -EINVAL, "which link? %s", link_hint);
    /* What the shell leaves of n1-> n2, and of n1 -> n2. */
    for (size_t i = 0; i < count; i++)
        if (words[i][0] && words[i][strlen(words[i]) - 1] == '-')
            return error_set(error, -EINVAL,
                             "'%s%s%s' is half a link: quote it, as in 'n1->n2', or the shell "
                             "takes the > for a file",
                             words[0], count == 2 ? " " : "", count == 2 ? words[1] : "");
    if (count == 2) {
        if (strstr(words[0], "->") || strstr(words[1], "->"))
            return error_set(error, -EINVAL, "'%s %s' is more than one link: %s", words[0],
                             words[1], link_hint);
        length = snprintf(text, sizeof(text), "%s<->%s", words[0], words[1]);
    } else {
        if (!strstr(words[0], "->"))
            return error_set(error, -EINVAL, "'%s' is no link: %s", words[0], link_hint);
        length = snprintf(text, sizeof(text), "%s", words[0]);
    }
    if (length >= (int)sizeof(text))
        return error_set(error, -EINVAL, "a node's name has at most %d characters",
                         RULESET_NAME_MAX - 1);
    struct target_link parsed;
    int result = ruleset_parse_link(text, &parsed.link, &parsed.both_ways, error);
    if (result)
        return result;
    ruleset_format_link(&parsed.link, parsed.both_ways, parsed.text);
    *link = parsed;
    return 0;
}

/* One word: names apart by commas, groups by slashes. */
static void parse_group_word(json_t *groups, const char *word)
{
    while (*word) {
        size_t length = strcspn(word, ",/ \t");
        if (length) {
            json_t *group = json_array_get(groups, json_array_size(groups) - 1);
            json_array_append_new(group, json_stringn(word, length));
        }
        word += length;
        if (*word == '/')
            json_array_append_new(groups, json_array());
        word += *word != '\0';
    }
}

int target_parse_groups(const char *const words[], size_t count, json_t **groups,
                        struct error *error)
{
    json_t *parsed = json_array();
    json_array_append_new(parsed, json_array());
    for (size_t i = 0; i < count; i++)
        parse_group_word(parsed, words[i]);
    size_t index;
    json_t *group;
    bool empty = false;
    json_array_foreach(parsed, index, group) empty = empty || json_array_size(group) == 0;
    if (!empty && json_array_size(parsed) > 1) {
        *groups = parsed;
        return 0;
    }
    json_decref(parsed);
    return error_set(error, -EINVAL, "%s: write n1,n2 / n3,n4,n5",
                     empty ? "a group has no node in it" : "a split has two groups or more");
}

void target_format_groups(json_t *groups, struct text *text)
{
    size_t group_index, index;
    json_t *group, *name;
    json_array_foreach(groups, group_index, group)
    {
        text_append(text, group_index ? " / " : "");
        json_array_foreach(group, index, name)
            text_append(text, "%s%s", index ? "," : "", json_string_value(name));
    }
}

int target_parse_fault(const struct arguments *arguments, const char *const words[], size_t count,
                       json_t *body, char *described, size_t size, struct error *error)
{
    if (arguments->direction && !arguments->route)
        return error_set(error, -EINVAL, "--direction goes with --route; a link has its own");
    if (!arguments->route) {
        struct target_link link;
        int result = target_parse_link(words, count, &link, error);
        if (result)
            return result;
        json_object_set_new(body, "link", json_string(link.text));
        snprintf(described, size, "%s", link.text);
        return 0;
    }
    if (count)
        return error_set(error, -EINVAL, "either a link or --route, not both ('%s')", words[0]);
    enum ruleset_direction direction = RULESET_BOTH;
    int result =
        arguments->direction ? ruleset_parse_direction(arguments->direction, &direction, error) : 0;
    if (result)
        return result;
    json_object_set_new(body, "route", json_string(arguments->route));
    json_object_set_new(body, "direction", json_string(ruleset_direction_name(direction)));
    snprintf(described, size, "route %s%s%s", arguments->route,
             direction == RULESET_BOTH ? "" : " ",
             direction == RULESET_BOTH ? "" : ruleset_direction_name(direction));
    return 0;
}
