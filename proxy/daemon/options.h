/* The command line of severd. */
#ifndef SEVER_DAEMON_OPTIONS_H
#define SEVER_DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/error.h"
#include "proxy/base/log.h"

enum { OPTIONS_LISTENS_MAX = 8, OPTIONS_ADDRESS_MAX = 272 };

enum options_action { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION };

struct options {
    enum options_action action;
    const char *listens[OPTIONS_LISTENS_MAX]; /* the default when none was given */
    size_t listen_count;
    /* The --host and --port of toxiproxy-server as an address; "": neither was given. */
    char host_port[OPTIONS_ADDRESS_MAX];
    const char *ruleset;    /* file; NULL: none */
    const char *config;     /* file of proxies, as toxiproxy-server reads it; NULL: none */
    const char *token_file; /* NULL: none */
    bool no_token;          /* nobody needs one, wherever the API listens */
    bool proxy_metrics, runtime_metrics;
    bool is_toxiproxy;         /* started under the name of toxiproxy-server */
    const char *run_directory; /* NULL: make one and remove it at the end */
    unsigned workers;
    uint64_t memory_bytes; /* for bytes in flight, each worker; 0: the default */
    bool stall_only;       /* no socket filters: a cut on a TCP route is a stall */
    uint64_t seed;
    bool seed_given;
    bool die_with_parent;
    enum log_level log_level;
    bool log_level_given;
};

/* Strings point into argv. Long options may have one dash, as toxiproxy-server's do. cores: the
 * default of --workers. -EINVAL with the option as place. */
int options_parse(int argc, char **argv, unsigned cores, struct options *options,
                  struct error *error);
/* A level as toxiproxy-server's LOG_LEVEL has it ("panic" to "trace", "disabled"), in force unless
 * --log-level was given. text: NULL for none. False, without effect, when it is no such level. */
bool options_take_log_level(struct options *options, const char *text);
void options_print_help(void); /* on standard output */
void options_print_version(const struct options *options);

#endif
