#include "ctl/arguments.h"

#include <errno.h>
#include <string.h>

const struct option_shape option_shapes[] = {
    {OPTION_JSON, "--json", NULL, "print what severd answered, as JSON"},
    {OPTION_URL, "--url", "URL", "where severd is: http://host:port, unix:path [SEVER_URL]"},
    {OPTION_HELP, "--help", NULL, "this text"},
    {OPTION_VERSION, "--version", NULL, "the version"},
    {OPTION_NAME, "--name", "NAME", "what to call it (otherwise cut-1, latency-1, ...)"},
    {OPTION_ADDRESS, "--address", "ADDRESS", "an address the node dials from (up to 4 times)"},
    {OPTION_CLIENT, "--client", NULL, "a client of the cluster, not a member"},
    {OPTION_FROM, "--from", "NODE", "who dials the route (else known by the peer's address)"},
    {OPTION_TO, "--to", "NODE", "the node behind the upstream address"},
    {OPTION_UDP, "--udp", NULL, "a route for UDP, not TCP"},
    {OPTION_DISTRIBUTION, "--distribution", "D", "uniform, normal, pareto or paretonormal"},
    {OPTION_BURST, "--burst", "SIZE", "what may pass at once, such as 64KiB"},
    {OPTION_QUEUE, "--queue", "SIZE", "datagrams beyond this are dropped"},
    {OPTION_ROUTE, "--route", "NAME", "on this route, in place of a link"},
    {OPTION_DIRECTION, "--direction", "D", "with --route: both, upstream or downstream"},
    {OPTION_FORCE, "--force", NULL, "whatever version is in force"},
    {OPTION_ANYWAY, "--anyway", NULL, "run what can't be shifted too, with true time"},
};
const size_t option_count = sizeof(option_shapes) / sizeof(option_shapes[0]);

static const struct option_shape *find_option(const char *word, size_t length)
{
    for (size_t i = 0; i < option_count; i++)
        if (strlen(option_shapes[i].name) == length &&
            memcmp(option_shapes[i].name, word, length) == 0)
            return &option_shapes[i];
    return NULL;
}

static const char **value_of(struct arguments *arguments, enum option_bit bit)
{
    switch (bit) {
    case OPTION_URL:
        return &arguments->url;
    case OPTION_NAME:
        return &arguments->name;
    case OPTION_FROM:
        return &arguments->from;
    case OPTION_TO:
        return &arguments->to;
    case OPTION_DISTRIBUTION:
        return &arguments->distribution;
    case OPTION_BURST:
        return &arguments->burst;
    case OPTION_QUEUE:
        return &arguments->queue;
    case OPTION_ROUTE:
        return &arguments->route;
    case OPTION_DIRECTION:
        return &arguments->direction;
    case OPTION_ADDRESS:
        return arguments->address_count < ARGUMENTS_ADDRESSES_MAX
                   ? &arguments->addresses[arguments->address_count++]
                   : NULL;
    default:
        return NULL;
    }
}

/* One option at argv[*index]; steps over its value. */
static int parse_option(char **argv, size_t count, size_t *index, struct arguments *arguments,
                        struct error *error)
{
    const char *word = strcmp(argv[*index], "-h") == 0 ? "--help" : argv[*index];
    const char *equals = strchr(word, '=');
    const struct option_shape *shape =
        find_option(word, equals ? (size_t)(equals - word) : strlen(word));
    if (!shape)
        return error_set(error, -EINVAL, "there is no option %s", word);
    if (!shape->value && equals)
        return error_set(error, -EINVAL, "%s takes no value", shape->name);
    if (arguments->given & shape->bit && shape->value && shape->bit != OPTION_ADDRESS)
        return error_set(error, -EINVAL, "%s was given twice", shape->name);
    arguments->given |= shape->bit;
    if (!shape->value)
        return 0;
    const char *value = equals ? equals + 1 : NULL;
    if (!value && *index + 1 < count)
        value = argv[++*index];
    if (!value)
        return error_set(error, -EINVAL, "%s wants a value: %s %s", shape->name, shape->name,
                         shape->value);
    const char **slot = value_of(arguments, shape->bit);
    if (!slot)
        return error_set(error, -EINVAL, "%s was given too often", shape->name);
    *slot = value;
    return 0;
}

int arguments_parse(char **argv, size_t count, struct arguments *arguments, struct error *error)
{
    *arguments = (struct arguments){0};
    for (size_t i = 0; i < count; i++) {
        if (strcmp(argv[i], "--") == 0) {
            arguments->rest = argv + i + 1;
            return 0;
        }
        if (strncmp(argv[i], "--", 2) == 0 || strcmp(argv[i], "-h") == 0) {
            int result = parse_option(argv, count, &i, arguments, error);
            if (result)
                return result;
        } else if (arguments->word_count == ARGUMENTS_WORDS_MAX) {
            return error_set(error, -EINVAL, "more than %d words", ARGUMENTS_WORDS_MAX);
        } else {
            arguments->words[arguments->word_count++] = argv[i];
        }
    }
    return 0;
}

int arguments_check_options(const struct arguments *arguments, unsigned allowed,
                            const char *command, struct error *error)
{
    for (size_t i = 0; i < option_count; i++)
        if (arguments->given & option_shapes[i].bit & ~allowed)
            return error_set(error, -EINVAL, "%s takes no %s: see severctl %s --help", command,
                             option_shapes[i].name, command);
    return 0;
}
