/* The command line of severd. */
#ifndef SEVER_DAEMON_OPTIONS_H
#define SEVER_DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/error.h"
#include "proxy/base/log.h"

enum { OPTIONS_LISTENS_MAX = 8 };

enum options_action { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION };

struct options {
    enum options_action action;
    const char *listens[OPTIONS_LISTENS_MAX]; /* the default when none was given */
    size_t listen_count;
    const char *ruleset;       /* file; NULL: none */
    const char *run_directory; /* NULL: make one and remove it at the end */
    unsigned workers;
    uint64_t seed;
    bool seed_given;
    bool die_with_parent;
    enum log_level log_level;
};

/* Strings point into argv. cores: the default of --workers. -EINVAL with the option as place. */
int options_parse(int argc, char **argv, unsigned cores, struct options *options,
                  struct error *error);
void options_print_help(void); /* on standard output */

#endif
