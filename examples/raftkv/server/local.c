/* Commands that are answered on the spot: no log, no leader needed. */
#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "examples/raftkv/server/server.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/version.h"

typedef void (*local_fn)(struct server *server, const struct resp_command *command,
                         struct bytes *reply);

static bool is_word(const struct resp_argument *argument, const char *word)
{
    return argument->length == strlen(word) &&
           strncasecmp((const char *)argument->bytes, word, argument->length) == 0;
}

static void answer_ping(struct server *server, const struct resp_command *command,
                        struct bytes *reply)
{
    (void)server;
    if (command->count > 1)
        resp_write_bulk(reply, command->arguments[1].bytes, command->arguments[1].length);
    else
        resp_write_simple(reply, "PONG");
}

static void answer_ok(struct server *server, const struct resp_command *command,
                      struct bytes *reply)
{
    (void)server;
    (void)command;
    resp_write_simple(reply, "OK");
}

static void answer_empty(struct server *server, const struct resp_command *command,
                         struct bytes *reply)
{
    (void)server;
    (void)command;
    resp_write_array(reply, 0);
}

/* redis-benchmark asks for two settings and warns when it gets no answer. Everything else: none. */
static void answer_config(struct server *server, const struct resp_command *command,
                          struct bytes *reply)
{
    (void)server;
    static const char *const settings[][2] = {{"save", ""}, {"appendonly", "yes"}};
    if (!is_word(&command->arguments[1], "GET")) {
        resp_write_error(reply, "ERR only CONFIG GET is known here");
        return;
    }
    for (size_t i = 0; command->count == 3 && i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (!is_word(&command->arguments[2], settings[i][0]))
            continue;
        resp_write_array(reply, 2);
        resp_write_bulk(reply, settings[i][0], strlen(settings[i][0]));
        resp_write_bulk(reply, settings[i][1], strlen(settings[i][1]));
        return;
    }
    resp_write_array(reply, 0);
}

static void answer_time(struct server *server, const struct resp_command *command,
                        struct bytes *reply)
{
    (void)server;
    (void)command;
    int64_t now_us = wall_now_ns() / 1000;
    struct bytes number = {0};
    resp_write_array(reply, 2);
    bytes_append_format(&number, "%" PRId64, now_us / 1000000);
    resp_write_bulk(reply, bytes_get(&number), bytes_length(&number));
    bytes_consume(&number, bytes_length(&number));
    bytes_append_format(&number, "%" PRId64, now_us % 1000000);
    resp_write_bulk(reply, bytes_get(&number), bytes_length(&number));
    bytes_free(&number);
}

static void answer_select(struct server *server, const struct resp_command *command,
                          struct bytes *reply)
{
    (void)server;
    const struct resp_argument *database = &command->arguments[1];
    if (database->length == 1 && database->bytes[0] == '0')
        resp_write_simple(reply, "OK");
    else
        resp_write_error(reply, "ERR DB index is out of range: there is only 0");
}

static void answer_hello(struct server *server, const struct resp_command *command,
                         struct bytes *reply)
{
    const struct resp_argument *version = &command->arguments[1];
    if (command->count > 1 && (version->length != 1 || version->bytes[0] != '2')) {
        resp_write_error(reply, "NOPROTO unsupported protocol version: only 2");
        return;
    }
    const char *role = raft_role_name(server->status.role);
    resp_write_array(reply, 6);
    resp_write_bulk(reply, "server", 6);
    resp_write_bulk(reply, "raftkv", 6);
    resp_write_bulk(reply, "proto", 5);
    resp_write_integer(reply, 2);
    resp_write_bulk(reply, "role", 4);
    resp_write_bulk(reply, role, strlen(role));
}

static void answer_info(struct server *server, const struct resp_command *command,
                        struct bytes *reply)
{
    (void)command;
    struct bytes text = {0};
    const struct raft_status status = raft_get_status(server->raft, loop_now_ns(server->loop));
    uint64_t up_s = (loop_now_ns(server->loop) - server->started_ns) / NS_PER_S;
    bytes_append_format(&text, "# Server\r\nredis_mode:standalone\r\nraftkv_version:" SEVER_VERSION
                               "\r\n");
    bytes_append_format(&text, "process_id:%d\r\nuptime_in_seconds:%" PRIu64 "\r\n", (int)getpid(),
                        up_s);
    bytes_append_format(&text, "\r\n# Raft\r\nnode:%s\r\nrole:%s\r\n", server->options->id,
                        raft_role_name(status.role));
    bytes_append_format(&text, "term:%" PRIu64 "\r\nleader:%s\r\nquorum:%s\r\n", status.term,
                        server_node_name(server, status.leader), status.quorum ? "yes" : "no");
    bytes_append_format(&text, "commit_index:%" PRIu64 "\r\napplied_index:%" PRIu64 "\r\n",
                        status.commit_index, server->applied_index);
    bytes_append_format(&text, "log_last_index:%" PRIu64 "\r\nlog_last_term:%" PRIu64 "\r\n",
                        status.last_index, status.last_term);
    bytes_append_format(&text, "cluster:%s\r\npeers:", server->cluster);
    peers_describe(server, &text);
    bytes_append_format(&text, "\r\n\r\n# Clients\r\nconnected_clients:%u\r\n",
                        server->client_count);
    bytes_append_format(&text, "\r\n# Stats\r\ntotal_commands_processed:%" PRIu64 "\r\n",
                        server->commands_processed);
    bytes_append_format(&text, "\r\n# Keyspace\r\nkeys:%zu\r\n", kv_count(server->kv));
    resp_write_bulk(reply, bytes_get(&text), bytes_length(&text));
    bytes_free(&text);
}

static const struct local_command {
    const char *name;
    size_t minimum, maximum; /* arguments, without the name */
    local_fn answer;
} local_commands[] = {
    {"PING", 0, 1, answer_ping},
    {"ECHO", 1, 1, answer_ping},
    {"INFO", 0, RESP_ARGUMENTS_MAX, answer_info},
    {"TIME", 0, 0, answer_time},
    {"CONFIG", 1, RESP_ARGUMENTS_MAX, answer_config},
    {"COMMAND", 0, RESP_ARGUMENTS_MAX, answer_empty},
    {"SELECT", 1, 1, answer_select},
    {"CLIENT", 1, RESP_ARGUMENTS_MAX, answer_ok},
    {"HELLO", 0, RESP_ARGUMENTS_MAX, answer_hello},
    {"QUIT", 0, 0, answer_ok},
};

bool server_answer_local(struct server *server, const struct resp_command *command,
                         struct bytes *reply, bool *quits)
{
    const struct resp_argument *name = &command->arguments[0];
    for (size_t i = 0; i < sizeof(local_commands) / sizeof(local_commands[0]); i++) {
        const struct local_command *known = &local_commands[i];
        if (!is_word(name, known->name))
            continue;
        size_t count = command->count - 1;
        if (count < known->minimum || count > known->maximum)
            resp_write_error(reply, "ERR wrong number of arguments for '%s' command", known->name);
        else
            known->answer(server, command, reply);
        *quits = is_word(name, "QUIT");
        return true;
    }
    return false;
}
