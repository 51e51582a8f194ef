/* The command line of `sever run`: pure. */
#ifndef SEVER_CHAOS_RUN_OPTIONS_H
#define SEVER_CHAOS_RUN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chaos/experiment/experiment.h"
#include "proxy/base/error.h"
#include "proxy/base/text.h"

struct run_options { /* points into argv */
    const char *file;
    const char *out; /* NULL: default */
    bool has_seed;
    uint64_t seed;
    bool has_network;
    enum experiment_network network;
    bool json, quiet, help;
    char **extra; /* what follows "--" */
    size_t extra_count;
};

/* argv[0] is the subcommand. Options may stand before and after the file, as "--out DIR" or
 * "--out=DIR". -EINVAL with what to write instead. */
int run_parse_options(int argc, char **argv, struct run_options *options, struct error *error);

/* A file name from free text: letters, digits, '.', '_', with '-' for runs of anything else. */
void run_append_slug(const char *text, struct text *out);

#endif
