/* Programs that a test starts, talks to through pipes, and never leaves behind: a child dies with
 * the test, whatever becomes of the test. Functions fail the running test on any error. */
#ifndef SEVER_TESTS_LIB_CHILD_H
#define SEVER_TESTS_LIB_CHILD_H

#include <stddef.h>
#include <sys/types.h>

#include "proxy/base/text.h"

enum { CHILD_NOT_FOUND = 127 }; /* the exit code when the program can't be executed */

struct child {
    pid_t pid;  /* 0: not running */
    int input;  /* writes to its standard input; -1 when closed */
    int output; /* reads its standard output and standard error; -1 when closed */
};

/* argv: NULL-terminated, argv[0] looked up in PATH. environment: NULL-terminated "NAME=VALUE" to
 * add or replace, "NAME" to remove; NULL for none. */
void child_start(struct child *child, const char *const argv[], const char *const environment[]);
void child_write(struct child *child, const char *text);
/* One line without its newline. False at the end of the output. Fails after 30 s of silence. */
int child_read_line(struct child *child, char *line, size_t size);
/* Closes its input, appends the rest of its output to *output (may be NULL), waits for its end.
 * Fails after 30 s of silence. Returns its exit code, or 128 + the signal. */
int child_finish(struct child *child, struct text *output);
/* SIGKILL and wait; nothing when it does not run. */
void child_kill(struct child *child);
/* Start and finish in one. input: for its standard input, may be NULL. */
int child_run(const char *const argv[], const char *const environment[], const char *input,
              struct text *output);

#endif
