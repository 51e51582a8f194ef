#include "ctl/arguments.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "proxy/fault/ruleset_text.h"

#define AT(field) offsetof(struct arguments, field)

const struct option_shape option_shapes[] = {
    {OPTION_JSON, "--json", NULL, 0, "print what severd answered, as JSON"},
    {OPTION_URL, "--url", "URL", AT(url),
     "where severd is: http://host:port, unix:path [SEVER_URL]"},
    {OPTION_HELP, "--help", NULL, 0, "this text"},
    {OPTION_VERSION, "--version", NULL, 0, "the version"},
    {OPTION_NAME, "--name", "NAME", AT(name), "what to call it (otherwise cut-1, latency-1, ...)"},
    {OPTION_ADDRESS, "--address", "ADDRESS", AT(addresses),
     "an address the node dials from (up to 4 times)"},
    {OPTION_CLIENT, "--client", NULL, 0, "a client of the cluster, not a member"},
    {OPTION_FROM, "--from", "NODE", AT(from),
     "who dials the route (else known by the peer's address)"},
    {OPTION_TO, "--to", "NODE", AT(to), "the node behind the upstream address"},
    {OPTION_UDP, "--udp", NULL, 0, "a route for UDP, not TCP"},
    {OPTION_SPREAD, "--spread", NULL, 0, "every worker listens, for many connections"},
    {OPTION_CLOSE_UNREACHED, "--close-unreached", NULL, 0,
     "who can't reach the upstream gets FIN, not RST"},
    {OPTION_DISTRIBUTION, "--distribution", "D", AT(distribution),
     "uniform, normal, pareto or paretonormal"},
    {OPTION_TABLE, "--table", "FILE", AT(table), "jitter as in this file, one of netem's (.dist)"},
    {OPTION_CORRELATION, "--correlation", "PERCENT", AT(correlation),
     "how much a draw is like the one before"},
    {OPTION_REORDER, "--reorder", NULL, 0, "datagrams may overtake each other"},
    {OPTION_BURST, "--burst", "SIZE", AT(burst), "what may pass at once, such as 64KiB"},
    {OPTION_QUEUE, "--queue", "SIZE", AT(queue), "datagrams beyond are dropped: 64KiB, 100packets"},
    {OPTION_SHARED, "--shared", NULL, 0, "all connections of the route share it"},
    {OPTION_TOXICITY, "--toxicity", "PERCENT", AT(toxicity),
     "only so many of the connections have it"},
    {OPTION_FIRST, "--first", "N", AT(first), "only the next N connections have it"},
    {OPTION_AFTER, "--after", "DURATION", AT(after), "a connection has it from this age on"},
    {OPTION_MATCH, "--match", "FILTER", AT(match),
     "only datagrams and packets such as 'udp port 53'"},
    {OPTION_ROUTE, "--route", "NAME", AT(route), "on this route, in place of a link"},
    {OPTION_DIRECTION, "--direction", "D", AT(direction),
     "with --route: both, upstream or downstream"},
    {OPTION_CLIENTS, "--clients", "NAMES", AT(clients), "and these clients, such as c1,c2"},
    {OPTION_SUBNET, "--subnet", "NETWORKS", AT(subnet), "such as 10.77.0.0/24,fd77::/64"},
    {OPTION_SUBNET6, "--subnet6", "NETWORK", AT(subnet6), "such as fd77::/64; none: IPv4 only"},
    {OPTION_MTU, "--mtu", "BYTES", AT(mtu), "of the nodes' devices (1500)"},
    {OPTION_LISTEN, "--listen", "ADDRESS", AT(listen), "where the host listens (127.0.0.1:0)"},
    {OPTION_WRITE, "--write", "FILE", AT(write), "or -w FILE: a pcapng file; - is standard output"},
    {OPTION_COUNT, "--count", "N", AT(count), "end after so many packets"},
    {OPTION_DURATION, "--duration", "DURATION", AT(duration), "end after this time"},
    {OPTION_SNAPLEN, "--snaplen", "BYTES", AT(snaplen), "of each packet, from 14 (all of it)"},
    {OPTION_FORCE, "--force", NULL, 0, "whatever version is in force"},
    {OPTION_ANYWAY, "--anyway", NULL, 0, "run what can't be shifted too, with true time"},
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

/* Where its value goes; NULL: it was given too often. */
static const char **slot_of(struct arguments *arguments, const struct option_shape *shape)
{
    size_t index = 0;
    if (shape->bit == OPTION_ADDRESS) {
        if (arguments->address_count == ARGUMENTS_ADDRESSES_MAX)
            return NULL;
        index = arguments->address_count++;
    }
    return (const char **)(void *)((char *)arguments + shape->field) + index;
}

/* What is no text can't be said to severd, nor shown on a terminal. */
static int check_text(char **argv, size_t index, struct error *error)
{
    if (ruleset_text_is_printable(argv[index], strlen(argv[index])))
        return 0;
    return error_set(error, -EINVAL, "word %zu is not a text in UTF-8 without control characters",
                     index + 1);
}

/* Of the two options that have a short one. */
static const char *long_form(const char *word)
{
    if (strcmp(word, "-h") == 0)
        return "--help";
    return strcmp(word, "-w") == 0 ? "--write" : word;
}

/* One option at argv[*index]; steps over its value. */
static int parse_option(char **argv, size_t count, size_t *index, struct arguments *arguments,
                        struct error *error)
{
    const char *word = long_form(argv[*index]);
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
    if (!value && *index + 1 < count) {
        value = argv[++*index];
        int result = check_text(argv, *index, error);
        if (result)
            return result;
    }
    if (!value)
        return error_set(error, -EINVAL, "%s wants a value: %s %s", shape->name, shape->name,
                         shape->value);
    const char **slot = slot_of(arguments, shape);
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
        int result = check_text(argv, i, error);
        if (result)
            return result;
        if (strncmp(long_form(argv[i]), "--", 2) == 0) {
            result = parse_option(argv, count, &i, arguments, error);
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

const char *arguments_value(const struct arguments *arguments, enum option_bit bit)
{
    for (size_t i = 0; i < option_count; i++)
        if (option_shapes[i].bit == bit && option_shapes[i].value)
            return *(const char *const *)(const void *)((const char *)arguments +
                                                        option_shapes[i].field);
    return NULL;
}

int arguments_check_options(const struct arguments *arguments, uint64_t allowed,
                            const char *command, struct error *error)
{
    for (size_t i = 0; i < option_count; i++)
        if (arguments->given & option_shapes[i].bit & ~allowed)
            return error_set(error, -EINVAL, "%s takes no %s: see severctl %s --help", command,
                             option_shapes[i].name, command);
    return 0;
}
