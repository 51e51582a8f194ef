/* The command line in parts: options, which may stand anywhere, and the other words in order.
 * Nothing is copied: the texts are argv's. */
#ifndef SEVER_CTL_ARGUMENTS_H
#define SEVER_CTL_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/error.h"

/* More than an int has bits: kept in uint64_t. */
enum option_bit {
    OPTION_JSON = 1 << 0,
    OPTION_URL = 1 << 1,
    OPTION_HELP = 1 << 2,
    OPTION_VERSION = 1 << 3,
    OPTION_NAME = 1 << 4,
    OPTION_ADDRESS = 1 << 5,
    OPTION_CLIENT = 1 << 6,
    OPTION_FROM = 1 << 7,
    OPTION_TO = 1 << 8,
    OPTION_UDP = 1 << 9,
    OPTION_DISTRIBUTION = 1 << 10,
    OPTION_BURST = 1 << 11,
    OPTION_QUEUE = 1 << 12,
    OPTION_ROUTE = 1 << 13,
    OPTION_DIRECTION = 1 << 14,
    OPTION_FORCE = 1 << 15,
    OPTION_ANYWAY = 1 << 16,
    OPTION_TABLE = 1 << 17,
    OPTION_CORRELATION = 1 << 18,
    OPTION_REORDER = 1 << 19,
    OPTION_SHARED = 1 << 20,
    OPTION_TOXICITY = 1 << 21,
    OPTION_FIRST = 1 << 22,
    OPTION_AFTER = 1 << 23,
    OPTION_MATCH = 1 << 24,
    OPTION_SPREAD = 1 << 25,
    OPTION_CLIENTS = 1 << 26,
    OPTION_SUBNET = 1 << 27,
    OPTION_MTU = 1 << 28,
    OPTION_LISTEN = 1 << 29,
    OPTION_WRITE = 1 << 30,
    OPTION_COUNT = INT64_C(1) << 31,
    OPTION_DURATION = INT64_C(1) << 32,
    OPTION_SNAPLEN = INT64_C(1) << 33,
    OPTION_SUBNET6 = INT64_C(1) << 34,
    OPTION_CLOSE_UNREACHED = INT64_C(1) << 35,
    OPTION_COMMON = OPTION_JSON | OPTION_URL | OPTION_HELP | OPTION_VERSION,
};

enum { ARGUMENTS_WORDS_MAX = 1024, ARGUMENTS_ADDRESSES_MAX = 16 };

struct arguments {
    uint64_t given; /* enum option_bit */
    const char *url, *name, *from, *to, *distribution, *burst, *queue, *route, *direction;
    const char *table, *correlation, *toxicity, *first, *after, *match;
    const char *clients, *subnet, *subnet6, *mtu, *listen;
    const char *write, *count, *duration, *snaplen;
    const char *addresses[ARGUMENTS_ADDRESSES_MAX];
    size_t address_count;
    const char *words[ARGUMENTS_WORDS_MAX]; /* the command comes first */
    size_t word_count;
    char **rest; /* what follows "--", NULL when there is none; NULL-terminated as argv is */
};

struct option_shape {
    enum option_bit bit;
    const char *name;  /* "--json" */
    const char *value; /* "URL"; NULL when the option takes none */
    size_t field;      /* of its value in struct arguments, when it takes one */
    const char *help;
};

extern const struct option_shape option_shapes[];
extern const size_t option_count;

/* argv: without the program's name, count words. -EINVAL for an unknown option, a value that is
 * missing or one too many, an option given twice, a word (before "--") that is no printable text.
 * "-1s" is a word: an option starts with "--", but for -h and -w. */
int arguments_parse(char **argv, size_t count, struct arguments *arguments, struct error *error);

/* The value of one option that takes one, but --address; NULL when it wasn't given. */
const char *arguments_value(const struct arguments *arguments, enum option_bit bit);

/* Checks that only these options (enum option_bit) were given: -EINVAL naming the first other. */
int arguments_check_options(const struct arguments *arguments, uint64_t allowed,
                            const char *command, struct error *error);

#endif
