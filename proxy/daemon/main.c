/* severd: start-up in one direction, end in the other. (Or a lab's keeper, which is the same
 * program: lab_keeper_main.) The order: options, limits, run directory,
 * ruleset, control sockets, workers, API. SIGINT, SIGTERM and SIGHUP are blocked before any thread
 * starts and read by the control thread. */
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <jansson.h>

#include "proxy/base/log.h"
#include "proxy/base/text.h"
#include "proxy/base/version.h"
#include "proxy/daemon/backend.h"
#include "proxy/daemon/control.h"
#include "proxy/daemon/directory.h"
#include "proxy/daemon/options.h"
#include "proxy/daemon/token.h"
#include "proxy/datagram/datagram.h"
#include "proxy/io/filter.h"
#include "proxy/lab/lab.h"

enum { EXIT_BAD_USAGE = 2 };

struct daemon {
    struct options options;
    struct directory directory;
    char clock_library[PATH_MAX];
    struct ruleset ruleset;
    size_t
        file_routes; /* of the ruleset: the ruleset file's, the configuration's come after them */
    char token[TOKEN_MAX];
    int fds[OPTIONS_LISTENS_MAX];
    struct address bound[OPTIONS_LISTENS_MAX];
    struct socket_file files[OPTIONS_LISTENS_MAX];
    struct backend *backend;
    struct applied_mechanisms mechanisms;
};

static unsigned count_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set))
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (unsigned)count : 1;
}

/* Every connection takes two descriptors. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void set_signals(const struct options *options)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, hangup;
    sigset_t signals;
    sigaction(SIGPIPE, &ignore, NULL);
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    /* Its terminal is gone: no clock must stay shifted. Under nohup it stays ignored. */
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (options->die_with_parent)
        prctl(PR_SET_PDEATHSIG, SIGTERM);
}

/* Beside this program as built (../lib) or installed (../lib/sever). */
static void find_clock_library(char *path, size_t size)
{
    static const char *const places[] = {"../lib/libsever-clock.so",
                                         "../lib/sever/libsever-clock.so"};
    char program[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    path[0] = '\0';
    if (length <= 0)
        return;
    program[length] = '\0';
    char *slash = strrchr(program, '/');
    if (!slash)
        return;
    slash[1] = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct text candidate = {0};
        char resolved[PATH_MAX];
        text_append(&candidate, "%s%s", program, places[i]);
        bool found = realpath(text_get(&candidate), resolved) != NULL;
        text_free(&candidate);
        if (found && strlen(resolved) < size) {
            snprintf(path, size, "%s", resolved);
            return;
        }
    }
}

static int load_ruleset(struct daemon *daemon, struct error *error)
{
    bool has_seed = false;
    if (daemon->options.ruleset) {
        int result =
            control_read_ruleset(daemon->options.ruleset, &daemon->ruleset, &has_seed, error);
        if (result)
            return result;
    }
    daemon->file_routes = daemon->ruleset.route_count;
    if (daemon->options.config) {
        int result = control_read_config(daemon->options.config, &daemon->ruleset, error);
        if (result)
            return result;
    }
    if (daemon->options.seed_given)
        daemon->ruleset.seed = daemon->options.seed;
    else if (!has_seed && getrandom(&daemon->ruleset.seed, sizeof(daemon->ruleset.seed), 0) > 0)
        daemon->ruleset.seed &= 0x7fffffff; /* people type it */
    return 0;
}

/* Puts the file before the place of an error about the whole ruleset. */
static void blame_files(const struct daemon *daemon, struct error *error)
{
    const struct options *options = &daemon->options;
    size_t index;
    bool proxy = sscanf(error->place, "routes[%zu]", &index) == 1 && index >= daemon->file_routes;
    if (options->config && (proxy || !options->ruleset)) {
        if (proxy)
            snprintf(error->place, sizeof(error->place), "proxy %zu",
                     index - daemon->file_routes + 1);
        control_blame_file(options->config, error);
    } else if (options->ruleset) {
        control_blame_file(options->ruleset, error);
    }
}

/* Over the network nobody drives severd who has not been let in. */
static int choose_token(struct daemon *daemon, struct error *error)
{
    const struct options *options = &daemon->options;
    bool made, needed = !control_is_private(daemon->bound, options->listen_count);
    if (options->no_token)
        return 0;
    int result = token_choose(options->token_file, getenv("SEVER_TOKEN"), needed, daemon->token,
                              &made, error);
    if (!result && made)
        log_write(options->log_level < LOG_LEVEL_WARN ? options->log_level : LOG_LEVEL_WARN,
                  "the control API is reached from other machines, so it wants a token; the one of "
                  "this run: %s (--token-file and SEVER_TOKEN set another, --no-token none)",
                  daemon->token);
    return result;
}

static struct api_options api_options_of(const struct daemon *daemon)
{
    const struct options *options = &daemon->options;
    bool open = options->no_token && !control_is_private(daemon->bound, options->listen_count);
    return (struct api_options){.token = daemon->token,
                                .any_host = daemon->token[0] || open,
                                .proxy_metrics = options->proxy_metrics,
                                .runtime_metrics = options->runtime_metrics};
}

static void say_ready(const struct daemon *daemon)
{
    struct text line = {0};
    char address[ADDRESS_TEXT_MAX];
    for (size_t i = 0; i < daemon->options.listen_count; i++) {
        bool is_unix = daemon->bound[i].storage.ss_family == AF_UNIX;
        text_append(&line, "%s%s%s", i ? " and " : "", is_unix ? "" : "http://",
                    address_format(&daemon->bound[i], address));
    }
    unsigned workers = daemon->options.workers;
    log_info("severd %s ready: control %s, %u worker%s, seed %llu, cut on TCP routes: %s",
             SEVER_VERSION, text_get(&line), workers, workers == 1 ? "" : "s",
             (unsigned long long)daemon->ruleset.seed,
             daemon->mechanisms.segment_filters ? "filter" : "stall");
    text_free(&line);
}

static int serve(struct daemon *daemon, struct error *error)
{
    struct api_backend api = backend_api(daemon->backend);
    struct api_options options = api_options_of(daemon);
    struct control *control;
    int result =
        control_create(&api, &options, daemon->fds, daemon->options.listen_count, &control, error);
    if (result)
        return result;
    say_ready(daemon);
    result = control_serve(control, error);
    control_destroy(control);
    return result;
}

static int run(struct daemon *daemon, struct error *error)
{
    const struct options *options = &daemon->options;
    set_signals(options);
    int result = directory_open(&daemon->directory, options->run_directory, error);
    if (result || (result = load_ruleset(daemon, error)))
        return result;
    result = control_listen(options->listens, options->listen_count, daemon->fds, daemon->bound,
                            daemon->files, error);
    if (result)
        return result;
    daemon->mechanisms.segment_filters = !options->stall_only && filter_allowed() == 0;
    daemon->mechanisms.icmp_unreachable = datagram_can_refuse();
    struct backend_options backend = {.workers = options->workers,
                                      .pool_bytes = options->memory_bytes,
                                      .mechanisms = daemon->mechanisms,
                                      .directory = daemon->directory.path,
                                      .keep_pages = !daemon->directory.made,
                                      .clock_library = daemon->clock_library};
    result = choose_token(daemon, error);
    if (!result && (result = backend_create(&backend, &daemon->ruleset, &daemon->backend, error)))
        blame_files(daemon, error);
    if (result) {
        for (size_t i = 0; i < options->listen_count; i++)
            close(daemon->fds[i]);
    } else {
        result = serve(daemon, error);
    }
    backend_destroy(daemon->backend);
    control_unlink(daemon->bound, daemon->files, options->listen_count);
    return result;
}

int main(int argc, char **argv)
{
    struct daemon daemon = {.directory.lock_fd = -1};
    struct error error = {0};
    char text[ERROR_MESSAGE_MAX + ERROR_PLACE_MAX];
    lab_keeper_main(argc, argv);
    int result = options_parse(argc, argv, count_cores(), &daemon.options, &error);
    if (result) {
        fprintf(stderr, "severd: %s\n", error_text(&error, text, sizeof(text)));
        return EXIT_BAD_USAGE;
    }
    if (daemon.options.action == OPTIONS_HELP) {
        options_print_help();
        return EXIT_SUCCESS;
    }
    if (daemon.options.action == OPTIONS_VERSION) {
        options_print_version(&daemon.options);
        return EXIT_SUCCESS;
    }
    bool known_level = options_take_log_level(&daemon.options, getenv("LOG_LEVEL"));
    log_set_level(daemon.options.log_level);
    if (!known_level)
        log_error("LOG_LEVEL is '%.32s', which is none of panic, fatal, error, warn, info, debug, "
                  "trace, disabled",
                  getenv("LOG_LEVEL"));
    json_set_alloc_funcs(memory_allocate, free); /* no answer with half of it missing */
    raise_file_limit();
    find_clock_library(daemon.clock_library, sizeof(daemon.clock_library));
    result = run(&daemon, &error);
    if (result)
        log_error("%s", error_text(&error, text, sizeof(text)));
    directory_close(&daemon.directory);
    ruleset_free(&daemon.ruleset);
    return result ? EXIT_FAILURE : EXIT_SUCCESS;
}
