/* The commands of severctl: one table (commands.c), one file for each family that runs them. Help,
 * usage messages and the tests of man page and completion all read the same table. */
#ifndef SEVER_CTL_COMMAND_H
#define SEVER_CTL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "ctl/arguments.h"
#include "ctl/session.h"
#include "proxy/base/text.h"

struct command {
    const char *name;
    const char *arguments;   /* what follows the name, as a usage line shows it */
    const char *summary;     /* one line */
    const char *details;     /* a paragraph of --help, in one line */
    const char *example;     /* one command line */
    uint64_t options;        /* enum option_bit, beside the common ones */
    size_t minimum, maximum; /* positional arguments */
    /* Does it. Returns an exit code of session.h, with session->error filled when it isn't 0. NULL
     * for help, which needs no severd. */
    int (*run)(struct session *session, const struct arguments *arguments);
};

extern const struct command commands[];
extern const size_t command_count;

/* NULL when there is none of that name. */
const struct command *command_find(const char *name);
/* The name in the table with the fewest edits from `name`, NULL when none is near. */
const char *command_nearest(const char *name);

/* `severctl --help` and `severctl COMMAND --help`. */
void command_format_overview(struct text *text);
void command_format_help(struct text *text, const struct command *command);

/* The whole program: argv as main has it. Returns the exit code. */
int command_main(int argc, char **argv);

/* status.c */
int run_status(struct session *session, const struct arguments *arguments);
/* doctor.c */
int run_doctor(struct session *session, const struct arguments *arguments);
/* nodes.c */
int run_nodes(struct session *session, const struct arguments *arguments);
int run_links(struct session *session, const struct arguments *arguments);
/* routes.c */
int run_routes(struct session *session, const struct arguments *arguments);
/* partitions.c */
int run_cut(struct session *session, const struct arguments *arguments);
int run_split(struct session *session, const struct arguments *arguments);
int run_isolate(struct session *session, const struct arguments *arguments);
int run_heal(struct session *session, const struct arguments *arguments);
int run_partitions(struct session *session, const struct arguments *arguments);
/* faults.c */
int run_fault(struct session *session, const struct arguments *arguments);
int run_faults(struct session *session, const struct arguments *arguments);
/* regions.c */
int run_regions(struct session *session, const struct arguments *arguments);
/* tables.c */
int run_tables(struct session *session, const struct arguments *arguments);
/* clocks.c */
int run_clock(struct session *session, const struct arguments *arguments);
int run_exec(struct session *session, const struct arguments *arguments);
/* lab.c */
int run_lab(struct session *session, const struct arguments *arguments);
/* rulesets.c */
int run_apply(struct session *session, const struct arguments *arguments);
int run_save(struct session *session, const struct arguments *arguments);
/* capture.c */
int run_capture(struct session *session, const struct arguments *arguments);
/* watch.c */
int run_watch(struct session *session, const struct arguments *arguments);

#endif
