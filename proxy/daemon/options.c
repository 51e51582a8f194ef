#include "proxy/daemon/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/units.h"
#include "proxy/daemon/worker.h"

static const char help_text[] =
    "usage: severd [OPTION]...\n"
    "The data plane of Sever: relays TCP and UDP between the nodes of a cluster, applies faults,\n"
    "and serves the control API. Everything is set through the API (severctl) or a ruleset file.\n"
    "\n"
    "  -l, --listen ADDRESS     control API on host:port (loopback) or unix:/path; may be given\n"
    "                           several times; port 0: any free one [127.0.0.1:8474]\n"
    "  -r, --ruleset FILE       ruleset to start with, JSON as `severctl save` writes it\n"
    "  -w, --workers N          worker threads [one per core]\n"
    "  -s, --seed N             seed of every random decision [the ruleset's, else a random one]\n"
    "  -d, --run-dir DIRECTORY  where the clock pages are [a new one in /tmp, removed at the end]\n"
    "      --die-with-parent    end when the process that started severd ends\n"
    "      --log-level LEVEL    error, warn, info or debug [info]\n"
    "  -h, --help               this text\n"
    "  -V, --version            the version\n"
    "\n"
    "SIGINT and SIGTERM end it; open connections are reset.\n";

void options_print_help(void)
{
    fputs(help_text, stdout);
}

enum { OPTION_DIE = 256, OPTION_LOG_LEVEL };

static const struct option long_options[] = {
    {"listen", required_argument, NULL, 'l'},
    {"ruleset", required_argument, NULL, 'r'},
    {"workers", required_argument, NULL, 'w'},
    {"seed", required_argument, NULL, 's'},
    {"run-dir", required_argument, NULL, 'd'},
    {"die-with-parent", no_argument, NULL, OPTION_DIE},
    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static int take_listen(struct options *options, const char *text, struct error *error)
{
    if (options->listen_count == OPTIONS_LISTENS_MAX)
        return error_set_at(error, -EINVAL, "--listen", "at most %d addresses",
                            OPTIONS_LISTENS_MAX);
    options->listens[options->listen_count++] = text;
    return 0;
}

static int take_integer(const char *option, const char *text, int64_t minimum, int64_t maximum,
                        int64_t *value, struct error *error)
{
    int result = units_parse_integer(text, minimum, maximum, option + 2, value, error);
    if (result && error)
        snprintf(error->place, sizeof(error->place), "%s", option);
    return result;
}

static int take_option(struct options *options, int option, const char *value, struct error *error)
{
    int64_t number;
    int result = 0;
    switch (option) {
    case 'l':
        return take_listen(options, value, error);
    case 'r':
        options->ruleset = value;
        return 0;
    case 'w':
        result = take_integer("--workers", value, 1, WORKERS_MAX, &number, error);
        options->workers = result ? options->workers : (unsigned)number;
        return result;
    case 's':
        result = units_parse_unsigned(value, "seed", &options->seed, error);
        if (result && error)
            error_prefix_place(error, "--seed");
        options->seed_given = !result;
        return result;
    case 'd':
        options->run_directory = value;
        return 0;
    case OPTION_DIE:
        options->die_with_parent = true;
        return 0;
    case OPTION_LOG_LEVEL:
        if (log_parse_level(value, &options->log_level))
            return error_set_at(error, -EINVAL, "--log-level",
                                "'%s' is none of error, warn, info, debug", value);
        return 0;
    case 'h':
        options->action = OPTIONS_HELP;
        return 0;
    case 'V':
        options->action = OPTIONS_VERSION;
        return 0;
    default:
        return -EINVAL;
    }
}

int options_parse(int argc, char **argv, unsigned cores, struct options *options,
                  struct error *error)
{
    *options = (struct options){.workers = cores, .log_level = LOG_LEVEL_INFO};
    if (options->workers > WORKERS_MAX)
        options->workers = WORKERS_MAX;
    opterr = 0;
    optind = 0; /* glibc: start over */
    for (;;) {
        int at = optind ? optind : 1;
        int option = getopt_long(argc, argv, "+:l:r:w:s:d:hV", long_options, NULL);
        if (option < 0)
            break;
        if (option == ':')
            return error_set_at(error, -EINVAL, argv[at], "wants a value; see severd --help");
        if (option == '?')
            return error_set_at(error, -EINVAL, argv[at], "no such option; see severd --help");
        int result = take_option(options, option, optarg, error);
        if (result)
            return result;
    }
    if (optind < argc)
        return error_set_at(error, -EINVAL, argv[optind],
                            "severd takes options only; see severd --help");
    if (options->listen_count == 0)
        options->listens[options->listen_count++] = "127.0.0.1:8474";
    return 0;
}
