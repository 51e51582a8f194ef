/* raftkv: options, signals, and the server's run. */
#include <signal.h>
#include <stdio.h>

#include "examples/raftkv/server/server.h"

static struct server server;

static void stop(int number)
{
    (void)number;
    server.stop = true;
    loop_wake(server.loop);
}

static void catch_signals(void)
{
    struct sigaction ending = {.sa_handler = stop};
    struct sigaction ignored = {.sa_handler = SIG_IGN};
    sigaction(SIGTERM, &ending, NULL);
    sigaction(SIGINT, &ending, NULL);
    sigaction(SIGPIPE, &ignored, NULL);
}

static int complain(const struct error *error, int exit_code)
{
    char text[ERROR_MESSAGE_MAX + ERROR_PLACE_MAX];
    fprintf(stderr, "raftkv: %s\n", error_text(error, text, sizeof(text)));
    return exit_code;
}

int main(int argc, char **argv)
{
    static struct options options;
    enum options_action action;
    struct error error = {0};
    if (options_parse(argc, argv, &options, &action, &error))
        return complain(&error, SERVER_EXIT_USAGE);
    if (action == OPTIONS_SHOWED)
        return 0;
    log_set_level(options.log_level);
    if (server_open(&server, &options, &error))
        return complain(&error, SERVER_EXIT_FAILED);
    catch_signals();
    char clients[ADDRESS_TEXT_MAX], peers[ADDRESS_TEXT_MAX];
    log_info("%s is ready: clients %s, peers %s", options.id,
             address_format(&options.client_address, clients),
             address_format(&options.peer_address, peers));
    for (unsigned bug = 0; raft_bug_name(bug); bug++)
        if (options.bugs & (1u << bug))
            log_warn("%s runs with a defect on request: %s", options.id, raft_bug_name(bug));
    int exit_code = server_run(&server);
    server_close(&server);
    return exit_code;
}
