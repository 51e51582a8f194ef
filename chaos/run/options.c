#include "chaos/run/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/run/option_value.h"

const char *option_value(int argc, char **argv, int *at, const char *name, struct error *error)
{
    size_t length = strlen(name);
    if (strncmp(argv[*at], name, length) != 0)
        return NULL;
    if (argv[*at][length] == '=')
        return argv[*at] + length + 1;
    if (argv[*at][length] != '\0')
        return NULL;
    if (*at + 1 >= argc || strcmp(argv[*at + 1], "--") == 0) {
        error_set(error, -EINVAL, "%s needs a value", name);
        return "";
    }
    return argv[++*at];
}

static int parse_seed(const char *text, struct run_options *options, struct error *error)
{
    char *end;
    errno = 0;
    unsigned long long seed = strtoull(text, &end, 10);
    if (errno || *end || text[0] < '0' || text[0] > '9' || seed > INT64_MAX)
        return error_set(error, -EINVAL, "--seed %s: write a whole number from 0 to %lld", text,
                         (long long)INT64_MAX);
    options->seed = seed;
    options->has_seed = true;
    return 0;
}

int run_parse_options(int argc, char **argv, struct run_options *options, struct error *error)
{
    *options = (struct run_options){0};
    for (int i = 1; i < argc; i++) {
        struct error missing = {0};
        const char *value;
        if (strcmp(argv[i], "--") == 0) {
            options->extra = argv + i + 1;
            options->extra_count = (size_t)(argc - i - 1);
            break;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            options->help = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            options->json = true;
        } else if (strcmp(argv[i], "--quiet") == 0) {
            options->quiet = true;
        } else if ((value = option_value(argc, argv, &i, "--seed", &missing))) {
            if (!missing.code && parse_seed(value, options, error) < 0)
                return -EINVAL;
        } else if ((value = option_value(argc, argv, &i, "--network", &missing))) {
            options->has_network = true;
            if (!missing.code && experiment_parse_network(value, &options->network, error) < 0)
                return -EINVAL;
        } else if ((value = option_value(argc, argv, &i, "--out", &missing))) {
            options->out = value;
            if (!missing.code && !*value)
                error_set(&missing, -EINVAL, "--out needs the name of a folder");
        } else if (argv[i][0] == '-' && argv[i][1]) {
            return error_set(error, -EINVAL,
                             "unknown option %s: --seed, --network, --out, --json, --quiet, or -- "
                             "before arguments for the nodes",
                             argv[i]);
        } else if (options->file) {
            return error_set(error, -EINVAL, "one experiment at a time: %s or %s?", options->file,
                             argv[i]);
        } else {
            options->file = argv[i];
        }
        if (missing.code) {
            if (error)
                *error = missing;
            return -EINVAL;
        }
    }
    if (!options->file && !options->help)
        return error_set(error, -EINVAL, "which experiment? write: sever run FILE");
    return 0;
}

void run_append_slug(const char *text, struct text *out)
{
    size_t begin = out->length;
    bool gap = false;
    for (const char *at = text; *at; at++) {
        unsigned char byte = (unsigned char)*at;
        bool plain = byte < 128 && (isalnum(byte) || byte == '_' || byte == '.');
        if (plain && (out->length > begin || byte != '.')) { /* no hidden files, no ".." */
            if (gap && out->length > begin)
                text_append(out, "-");
            text_append_bytes(out, at, 1);
            gap = false;
        } else {
            gap = true;
        }
    }
    if (out->length == begin)
        text_append(out, "experiment");
}
