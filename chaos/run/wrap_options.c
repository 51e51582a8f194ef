#include "chaos/run/wrap_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "chaos/run/option_value.h"
#include "proxy/base/text.h"

static int parse_number(const char *text, unsigned maximum, unsigned *number)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || value > maximum)
        return -EINVAL;
    *number = (unsigned)value;
    return 0;
}

static int add_port(struct wrap_options *options, const char *value, struct error *error)
{
    if (options->port_count == EXPERIMENT_PORTS_MAX)
        return error_set(error, -EINVAL, "more than %d ports a node", EXPERIMENT_PORTS_MAX);
    options->ports[options->port_count++] = value;
    return 0;
}

static int set_clients(struct wrap_options *options, const char *value, struct error *error)
{
    if (parse_number(value, WRAP_CLIENTS_MAX, &options->clients) == 0)
        return 0;
    return error_set(error, -EINVAL, "--clients %s: write a number up to %d", value,
                     WRAP_CLIENTS_MAX);
}

/* Takes the option at argv[*at]. 1: it is none with a value; 0, -EINVAL. */
static int take_option(int argc, char **argv, int *at, struct wrap_options *options,
                       struct error *error)
{
    const struct {
        const char *name;
        const char **value;
    } texts[] = {{"--nodes", &options->nodes},
                 {"--peers", &options->peers},
                 {"--subnet", &options->subnet},
                 {"--out", &options->out}};
    struct error missing = {0};
    const char *value = NULL;
    for (size_t i = 0; !value && i < sizeof(texts) / sizeof(texts[0]); i++) {
        value = option_value(argc, argv, at, texts[i].name, &missing);
        if (value)
            *texts[i].value = value;
    }
    int code = value ? 0 : 1;
    if (code && (value = option_value(argc, argv, at, "--port", &missing)))
        code = add_port(options, value, error);
    else if (code && (value = option_value(argc, argv, at, "--clients", &missing)))
        code = missing.code ? 0 : set_clients(options, value, error);
    if (value && !missing.code && !*value)
        error_set(&missing, -EINVAL, "%s is empty", argv[*at]);
    if (missing.code)
        return error_set(error, -EINVAL, "%s", missing.message);
    return code;
}

static int check(const struct wrap_options *options, struct error *error)
{
    if (options->help)
        return 0;
    if (!options->file && options->command_count == 0)
        return error_set(
            error, -EINVAL,
            "which command? write: sever wrap --nodes 3 -- COMMAND, or sever wrap FILE");
    if (options->file && (options->nodes || options->port_count || options->peers))
        return error_set(error, -EINVAL,
                         "--nodes, --port and --peers are in the file: leave them out");
    return 0;
}

int wrap_parse_options(int argc, char **argv, struct wrap_options *options, struct error *error)
{
    *options = (struct wrap_options){.clients = 1};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            options->command = argv + i + 1;
            options->command_count = (size_t)(argc - i - 1);
            break;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            options->help = true;
            continue;
        }
        int code = take_option(argc, argv, &i, options, error);
        if (code < 0)
            return code;
        if (code == 0)
            continue;
        if (argv[i][0] == '-' && argv[i][1])
            return error_set(error, -EINVAL,
                             "unknown option %s: --nodes, --clients, --port, --peers, --subnet, "
                             "--out, or -- before the command",
                             argv[i]);
        if (options->file)
            return error_set(error, -EINVAL, "%s and %s: a command stands behind --", options->file,
                             argv[i]);
        options->file = argv[i];
    }
    return check(options, error);
}

/* ---- the cluster ----------------------------------------------------------------------------- */

static json_t *encode_nodes(const char *nodes)
{
    unsigned count;
    if (!nodes)
        return json_integer(3);
    if (parse_number(nodes, UINT16_MAX, &count) == 0)
        return json_integer((json_int_t)count);
    json_t *names = json_array();
    for (const char *at = nodes;; at++) {
        size_t length = strcspn(at, ",");
        json_array_append_new(names, json_stringn(at, length));
        at += length;
        if (!*at)
            return names;
    }
}

static json_t *encode_ports(const struct wrap_options *options)
{
    json_t *ports = json_object();
    for (size_t i = 0; i < options->port_count; i++) {
        const char *port = options->ports[i], *equals = strchr(port, '=');
        const char *digits = equals ? equals + 1 : port;
        size_t length = equals ? (size_t)(equals - port) : strlen(port);
        unsigned number;
        json_t *value = parse_number(digits, UINT16_MAX, &number) == 0
                            ? json_integer((json_int_t)number)
                            : json_string(digits); /* refused by whoever reads it */
        json_object_setn_new(ports, port, length, value);
    }
    return ports;
}

static json_t *encode_cluster(const struct wrap_options *options)
{
    json_t *cluster = json_object(), *command = json_array();
    json_object_set_new(cluster, "network", json_string("lab"));
    json_object_set_new(cluster, "nodes", encode_nodes(options->nodes));
    if (options->port_count)
        json_object_set_new(cluster, "ports", encode_ports(options));
    if (options->peers)
        json_object_set_new(cluster, "peers", json_string(options->peers));
    for (size_t i = 0; i < options->command_count; i++)
        json_array_append_new(command, json_string(options->command[i]));
    json_object_set_new(cluster, "command", command);
    return cluster;
}

/* By way of a file that says the same, so that the same is refused with the same words. */
int wrap_make_cluster(const struct wrap_options *options, struct experiment *experiment,
                      struct error *error)
{
    for (size_t i = 0; i < options->command_count; i++) {
        json_t *word = json_string(options->command[i]);
        json_decref(word);
        if (!word)
            return error_set(error, -EINVAL, "an argument of the command is not UTF-8");
    }
    json_t *file = json_pack("{s:o}", "cluster", encode_cluster(options));
    char *text = memory_must(json_dumps(file, 0));
    struct error cause = {0};
    int code = experiment_parse_cluster(text, strlen(text), "", experiment, &cause);
    free(text);
    json_decref(file);
    return code < 0 ? error_set(error, code, "%s", cause.message) : 0;
}

bool wrap_listen_address(const char *address, unsigned port, char *buffer, size_t size)
{
    const char *dot = strchr(address, '.');
    if (!dot)
        return false;
    snprintf(buffer, size, "127%s:%u", dot, port);
    return true;
}
