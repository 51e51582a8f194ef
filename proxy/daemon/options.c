#include "proxy/daemon/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proxy/api/toxiproxy.h"
#include "proxy/base/address.h"
#include "proxy/base/units.h"
#include "proxy/base/version.h"
#include "proxy/daemon/worker.h"

static const char help_text[] =
    "usage: severd [OPTION]...\n"
    "The data plane of Sever: relays TCP and UDP between the nodes of a cluster, applies faults,\n"
    "and serves the control API. Everything is set through the API (severctl) or a ruleset file.\n"
    "\n"
    "  -l, --listen ADDRESS     control API on host:port or unix:/path; may be given several "
    "times;\n"
    "                           port 0: any free one [127.0.0.1:8474]\n"
    "      --token-file FILE    what requests over TCP must carry; so does SEVER_TOKEN [none, or "
    "a\n"
    "                           random one, in the log, when an address is not loopback]\n"
    "      --no-token           none, whatever the address: for closed networks of containers\n"
    "  -r, --ruleset FILE       ruleset to start with, JSON as `severctl save` writes it\n"
    "  -w, --workers N          worker threads [one per core]\n"
    "  -m, --memory SIZE        for bytes on their way, each worker: a bound, taken as needed "
    "[1GiB]\n"
    "      --stall-only         no socket filters: a cut on a TCP route only stalls, loss does "
    "nothing\n"
    "  -s, --seed N             seed of every random decision [the ruleset's, else a random one]\n"
    "  -d, --run-dir DIRECTORY  where the clock pages are [a new one in /tmp, removed at the end]\n"
    "      --die-with-parent    end when the process that started severd ends\n"
    "      --log-level LEVEL    error, warn, info or debug [info]\n"
    "  -h, --help               this text\n"
    "  -V, --version            the version\n"
    "\n"
    "As toxiproxy-server (one dash or two):\n"
    "      --host HOST          control API on this host [localhost]\n"
    "      --port PORT          and this port [8474]\n"
    "      --config FILE        proxies to start with, a JSON array; an item may have toxics, too\n"
    "      --proxy-metrics      /metrics has toxiproxy_proxy_* beside sever_*\n"
    "      --runtime-metrics    and process_*\n"
    "\n"
    "SIGINT, SIGTERM and SIGHUP end it; open connections are reset.\n";

void options_print_help(void)
{
    fputs(help_text, stdout);
}

void options_print_version(const struct options *options)
{
    if (options->is_toxiproxy)
        puts("toxiproxy-server version " TOXIPROXY_VERSION);
    else
        puts("severd " SEVER_VERSION);
}

enum {
    OPTION_DIE = 256,
    OPTION_LOG_LEVEL,
    OPTION_TOKEN_FILE,
    OPTION_NO_TOKEN,
    OPTION_STALL_ONLY,
    OPTION_HOST,
    OPTION_PORT,
    OPTION_CONFIG,
    OPTION_PROXY_METRICS,
    OPTION_RUNTIME_METRICS
};

static const struct option long_options[] = {
    {"listen", required_argument, NULL, 'l'},
    {"ruleset", required_argument, NULL, 'r'},
    {"workers", required_argument, NULL, 'w'},
    {"memory", required_argument, NULL, 'm'},
    {"stall-only", no_argument, NULL, OPTION_STALL_ONLY},
    {"seed", required_argument, NULL, 's'},
    {"run-dir", required_argument, NULL, 'd'},
    {"die-with-parent", no_argument, NULL, OPTION_DIE},
    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
    {"token-file", required_argument, NULL, OPTION_TOKEN_FILE},
    {"no-token", no_argument, NULL, OPTION_NO_TOKEN},
    {"host", required_argument, NULL, OPTION_HOST},
    {"port", required_argument, NULL, OPTION_PORT},
    {"config", required_argument, NULL, OPTION_CONFIG},
    {"proxy-metrics", optional_argument, NULL, OPTION_PROXY_METRICS},
    {"runtime-metrics", optional_argument, NULL, OPTION_RUNTIME_METRICS},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

#define MEMORY_MIN (UINT64_C(8) << 20)
#define MEMORY_MAX (UINT64_C(1) << 40)

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

/* "true", "false" and the like as a Go program takes them after "="; NULL is true. */
static int take_flag(const char *option, const char *value, bool *flag, struct error *error)
{
    static const char *const yes[] = {"true", "True", "TRUE", "t", "T", "1"};
    static const char *const no[] = {"false", "False", "FALSE", "f", "F", "0"};
    *flag = !value;
    for (size_t i = 0; value && i < sizeof(yes) / sizeof(yes[0]); i++) {
        *flag = strcmp(value, yes[i]) == 0;
        if (*flag || strcmp(value, no[i]) == 0)
            return 0;
    }
    return value ? error_set_at(error, -EINVAL, option, "'%s' is neither true nor false", value)
                 : 0;
}

/* --host and --port. */
struct host_port {
    const char *host, *port; /* NULL: not given */
};

/* As one address: an empty host is every address of the machine. */
static int take_host_port(struct options *options, const struct host_port *given,
                          struct error *error)
{
    int64_t port = 8474;
    if (!given->host && !given->port)
        return 0;
    if (given->port && take_integer("--port", given->port, 0, 65535, &port, error))
        return -EINVAL;
    const char *host = !given->host     ? "localhost"
                       : given->host[0] ? given->host
                                        : address_everywhere();
    bool bare_v6 = strchr(host, ':') && host[0] != '[';
    int length = snprintf(options->host_port, sizeof(options->host_port), "%s%s%s:%d",
                          bare_v6 ? "[" : "", host, bare_v6 ? "]" : "", (int)port);
    if (length >= OPTIONS_ADDRESS_MAX)
        return error_set_at(error, -EINVAL, "--host", "a host is at most 255 bytes");
    return take_listen(options, options->host_port, error);
}

/* What toxiproxy-server has. */
static int take_toxiproxy_option(struct options *options, struct host_port *host_port, int option,
                                 const char *value, struct error *error)
{
    switch (option) {
    case OPTION_HOST:
        host_port->host = value;
        return 0;
    case OPTION_PORT:
        host_port->port = value;
        return 0;
    case OPTION_CONFIG:
        options->config = value;
        return 0;
    case OPTION_PROXY_METRICS:
        return take_flag("--proxy-metrics", value, &options->proxy_metrics, error);
    case OPTION_RUNTIME_METRICS:
        return take_flag("--runtime-metrics", value, &options->runtime_metrics, error);
    default:
        return -EINVAL;
    }
}

static int take_option(struct options *options, int option, const char *value, struct error *error)
{
    int64_t number;
    int result = 0;
    switch (option) {
    case 'l':
        return take_listen(options, value, error);
    case OPTION_TOKEN_FILE:
        options->token_file = value;
        return 0;
    case OPTION_NO_TOKEN:
        options->no_token = true;
        return 0;
    case 'r':
        options->ruleset = value;
        return 0;
    case 'w':
        result = take_integer("--workers", value, 1, WORKERS_MAX, &number, error);
        options->workers = result ? options->workers : (unsigned)number;
        return result;
    case 'm':
        result = units_parse_size(value, &options->memory_bytes, error);
        if (!result && (options->memory_bytes < MEMORY_MIN || options->memory_bytes > MEMORY_MAX))
            result = error_set(error, -EINVAL, "'%s' is not within 8MiB to 1024GiB", value);
        if (result && error)
            error_prefix_place(error, "--memory");
        return result;
    case OPTION_STALL_ONLY:
        options->stall_only = true;
        return 0;
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
        options->log_level_given = true;
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

bool options_take_log_level(struct options *options, const char *text)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {{"panic", LOG_LEVEL_ERROR}, {"fatal", LOG_LEVEL_ERROR},
                  {"error", LOG_LEVEL_ERROR}, {"disabled", LOG_LEVEL_ERROR},
                  {"warn", LOG_LEVEL_WARN},   {"info", LOG_LEVEL_INFO},
                  {"debug", LOG_LEVEL_DEBUG}, {"trace", LOG_LEVEL_DEBUG}};
    if (!text || !text[0])
        return true;
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcasecmp(text, levels[i].name) != 0)
            continue;
        if (!options->log_level_given)
            options->log_level = levels[i].level;
        return true;
    }
    return false;
}

static bool is_toxiproxy(const char *program)
{
    const char *slash = strrchr(program, '/');
    return strcmp(slash ? slash + 1 : program, "toxiproxy-server") == 0;
}

/* A short option with its value behind it, that reads as a word: -debug, and not -w4 or -d/run/x.
 * Who writes that means a long option with one dash. */
static bool is_misspelt(const char *argument, const char *value)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    if (argument[0] != '-' || argument[1] == '-' || value != argument + 2)
        return false;
    size_t length = strspn(value, letters);
    return length > 0 && (value[length] == '\0' || value[length] == '=');
}

static int take_all(int argc, char **argv, struct options *options, struct host_port *host_port,
                    struct error *error)
{
    opterr = 0;
    optind = 0; /* glibc: start over */
    for (;;) {
        int at = optind ? optind : 1;
        int option = getopt_long_only(argc, argv, "+:l:r:w:m:s:d:hV", long_options, NULL);
        if (option < 0)
            return 0;
        if (option == ':')
            return error_set_at(error, -EINVAL, argv[at], "wants a value; see severd --help");
        if (option == '?')
            return error_set_at(error, -EINVAL, argv[at], "no such option; see severd --help");
        if (optarg && is_misspelt(argv[at], optarg))
            return error_set_at(error, -EINVAL, argv[at],
                                "no such option; see severd --help (or put a blank behind -%c)",
                                argv[at][1]);
        int result = option >= OPTION_HOST
                         ? take_toxiproxy_option(options, host_port, option, optarg, error)
                         : take_option(options, option, optarg, error);
        if (result)
            return result;
    }
}

int options_parse(int argc, char **argv, unsigned cores, struct options *options,
                  struct error *error)
{
    struct host_port host_port = {0};
    *options = (struct options){.workers = cores,
                                .log_level = LOG_LEVEL_INFO,
                                .is_toxiproxy = argc > 0 && is_toxiproxy(argv[0])};
    if (options->workers > WORKERS_MAX)
        options->workers = WORKERS_MAX;
    int result = take_all(argc, argv, options, &host_port, error);
    if (result)
        return result;
    if (optind < argc)
        return error_set_at(error, -EINVAL, argv[optind],
                            "severd takes options only; see severd --help");
    if (options->no_token && options->token_file)
        return error_set_at(error, -EINVAL, "--no-token", "goes not together with --token-file");
    if ((result = take_host_port(options, &host_port, error)))
        return result;
    if (options->listen_count == 0)
        options->listens[options->listen_count++] = "127.0.0.1:8474";
    return 0;
}
