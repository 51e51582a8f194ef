/* The subcommands of `sever`. Each returns the exit code (enum report_outcome). argv[0] is the
 * subcommand's name. */
#ifndef SEVER_CHAOS_RUN_COMMANDS_H
#define SEVER_CHAOS_RUN_COMMANDS_H

#include <stddef.h>

#include "chaos/check/check.h"
#include "chaos/report/report.h"
#include "proxy/base/error.h"

int run_command(int argc, char **argv);
int check_command(int argc, char **argv);
int wrap_command(int argc, char **argv);

/* Reads a whole file, at most limit bytes. -EFBIG, or what the system says, with the path. */
int command_read_file(const char *path, size_t limit, char **content, size_t *length,
                      struct error *error);
/* Prints "sever: place: message" on standard error. */
void command_print_error(const struct error *error);
/* Flushes standard output. When not all of it could be written, says so, and a verdict that nobody
 * was told is REPORT_CANNOT_RUN, but for a failure, which stays one. Returns the outcome. */
enum report_outcome command_end_output(enum report_outcome outcome);
/* Columns of the terminal on standard output, 100 when it is none. */
unsigned command_width(void);

/* Says that it still works: every two seconds, with how long it has been. */
typedef void (*command_progress_fn)(void *context, double seconds);
/* check_linearizable with the default limits, and progress. */
void command_check_linearizable(const struct history *history, struct check_linearizable *result,
                                command_progress_fn progress, void *context);

#endif
