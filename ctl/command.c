#include "ctl/command.h"

#include "proxy/base/version.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < command_count; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

enum { NAME_MAX_LENGTH = 32, HELP_WIDTH = 78 };

static size_t least(size_t a, size_t b, size_t c)
{
    size_t smaller = a < b ? a : b;
    return smaller < c ? smaller : c;
}

/* Damerau's distance: two letters that have changed places are one edit, as the commonest slip
 * should be. Both at most NAME_MAX_LENGTH long. */
static size_t edits(const char *a, const char *b)
{
    size_t table[NAME_MAX_LENGTH + 1][NAME_MAX_LENGTH + 1];
    size_t rows = strlen(a), columns = strlen(b);
    for (size_t i = 0; i <= rows; i++) {
        for (size_t j = 0; j <= columns; j++) {
            if (i == 0 || j == 0) {
                table[i][j] = i + j;
                continue;
            }
            table[i][j] = least(table[i - 1][j] + 1, table[i][j - 1] + 1,
                                table[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                table[i - 2][j - 2] + 1 < table[i][j])
                table[i][j] = table[i - 2][j - 2] + 1;
        }
    }
    return table[rows][columns];
}

const char *command_nearest(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > NAME_MAX_LENGTH)
        return NULL;
    size_t best_edits = 1 + (length + 1) / 3; /* further away is another word */
    const char *best = NULL;
    for (size_t i = 0; i < command_count; i++) {
        size_t distance = edits(name, commands[i].name);
        if (distance < best_edits) {
            best_edits = distance;
            best = commands[i].name;
        }
    }
    return best;
}

static void append_options(struct text *text, uint64_t options)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option_shape *shape = &option_shapes[i];
        if (!(shape->bit & options))
            continue;
        char left[64];
        snprintf(left, sizeof(left), "%s%s%s", shape->name, shape->value ? " " : "",
                 shape->value ? shape->value : "");
        text_append(text, "  %-20s %s\n", left, shape->help);
    }
}

/* A paragraph in lines of HELP_WIDTH, broken at blanks. Its bytes are counted: it has no more of
 * them than characters, but for a sign or two. */
static void append_wrapped(struct text *text, const char *paragraph)
{
    while (*paragraph) {
        size_t length = strlen(paragraph);
        if (length > HELP_WIDTH) {
            length = HELP_WIDTH;
            while (paragraph[length] != ' ')
                length--;
        }
        text_append(text, "%.*s\n", (int)length, paragraph);
        paragraph += length;
        paragraph += *paragraph == ' ';
    }
}

void command_format_overview(struct text *text)
{
    text_append(text, "usage: severctl COMMAND [ARGUMENTS] [OPTIONS]\n\n"
                      "Looks at and changes what severd does to a cluster.\n\nCommands:\n");
    for (size_t i = 0; i < command_count; i++)
        text_append(text, "  %-11s %s\n", commands[i].name, commands[i].summary);
    text_append(text, "\nOptions of every command:\n");
    append_options(text, OPTION_COMMON);
    text_append(text,
                "\nExit codes: 0 done, 1 refused, 2 the command line or a file is not right,\n"
                "3 severd not reachable, 4 done but standard output can't be written,\n"
                "5 severd lacks something that it needs (doctor).\n"
                "severctl help COMMAND says more, with an example.\n");
}

void command_format_help(struct text *text, const struct command *command)
{
    text_append(text, "usage: severctl %s%s%s\n\n%c%s.\n", command->name,
                command->arguments[0] ? " " : "", command->arguments,
                toupper((unsigned char)command->summary[0]), command->summary + 1);
    append_wrapped(text, command->details);
    text_append(text, "\nOptions:\n");
    append_options(text, command->options | OPTION_COMMON);
    text_append(text, "\nExample:\n  %s\n", command->example);
}

/* Names travel as JSON. exec's command line is not looked at. */
static bool all_text(const struct arguments *arguments)
{
    for (size_t i = 0; i < arguments->word_count; i++) {
        json_t *text = json_string(arguments->words[i]);
        json_decref(text);
        if (!text)
            return false;
    }
    return true;
}

/* option: --url, NULL when it isn't given. A relative socket path begins at the current directory:
 * the client wants it whole. */
static int connect_session(struct session *session, const char *option)
{
    const char *environment = getenv("SEVER_URL");
    const char *url = environment && environment[0] ? environment : WIRE_DEFAULT_URL;
    if (option && !option[0])
        return session_usage(session, "--url is empty: say where severd is, or leave it out");
    if (option)
        url = option;
    struct text absolute = {0};
    if (strncmp(url, "unix:", 5) == 0 && url[5] && url[5] != '/') {
        char *directory = getcwd(NULL, 0);
        text_append(&absolute, "unix:%s/%s", directory ? directory : "", url + 5);
        free(directory);
        url = text_get(&absolute);
    }
    int code = wire_client_create(url, "severctl", &session->client, &session->error);
    text_free(&absolute);
    return code ? SESSION_USAGE : SESSION_DONE;
}

static int run_command(struct session *session, const struct command *command,
                       const struct arguments *arguments)
{
    size_t given = arguments->word_count - 1;
    if (arguments_check_options(arguments, command->options | OPTION_COMMON, command->name,
                                &session->error))
        return SESSION_USAGE;
    if (given < command->minimum || given > command->maximum ||
        (arguments->rest && command->run != run_exec && command->run != run_lab))
        return session_usage(session, "write: severctl %s%s%s, such as %s", command->name,
                             command->arguments[0] ? " " : "", command->arguments,
                             command->example);
    if (!all_text(arguments))
        return session_usage(session, "the command line is not UTF-8 text");
    int code = connect_session(session, arguments->url);
    if (code)
        return code;
    code = command->run(session, arguments);
    wire_client_destroy(session->client);
    return code;
}

/* What is answered without severd. */
static int run_without_server(struct session *session, const struct arguments *arguments,
                              const struct command *command, bool help)
{
    if (arguments->given & OPTION_VERSION) {
        text_append(&session->out, "severctl " SEVER_VERSION "\n");
        return SESSION_DONE;
    }
    if (command) {
        command_format_help(&session->out, command);
        return SESSION_DONE;
    }
    if (help) {
        command_format_overview(&session->out);
        return SESSION_DONE;
    }
    return session_usage(session, "which command? severctl --help lists them");
}

static int choose(struct session *session, const struct arguments *arguments)
{
    const char *name = arguments->word_count ? arguments->words[0] : NULL;
    const struct command *command = name ? command_find(name) : NULL;
    bool help = arguments->given & OPTION_HELP;
    if (command && !command->run && !help) { /* severctl help [COMMAND] */
        if (arguments->word_count > 2)
            return session_usage(session, "write: severctl help [COMMAND]");
        help = true;
        name = arguments->word_count == 2 ? arguments->words[1] : NULL;
        command = name ? command_find(name) : NULL;
    }
    if (name && !command) {
        const char *nearest = command_nearest(name);
        return session_usage(session, "there is no command '%s'%s%s%s (severctl --help lists them)",
                             name, nearest ? "; did you mean '" : "", nearest ? nearest : "",
                             nearest ? "'?" : "");
    }
    if (!command || help || (arguments->given & OPTION_VERSION))
        return run_without_server(session, arguments, command, help);
    return run_command(session, command, arguments);
}

int command_main(int argc, char **argv)
{
    static struct arguments arguments;
    const char *no_colour = getenv("NO_COLOR");
    struct session session = {.colour = isatty(STDOUT_FILENO) && !(no_colour && no_colour[0])};
    int code = SESSION_USAGE;
    if (arguments_parse(argv + 1, argc > 0 ? (size_t)argc - 1 : 0, &arguments, &session.error) ==
        0) {
        session.json = arguments.given & OPTION_JSON;
        code = choose(&session, &arguments);
    }
    if (session.out.length && code == SESSION_DONE)
        code = session_write(&session);
    text_free(&session.out);
    if (code && session.error.message[0]) {
        char message[ERROR_MESSAGE_MAX + ERROR_PLACE_MAX];
        fprintf(stderr, "severctl: %s\n", error_text(&session.error, message, sizeof(message)));
    }
    return code;
}
