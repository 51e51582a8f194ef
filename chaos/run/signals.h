/* Signals that ask a command to end: they only raise a descriptor that its waits look at. */
#ifndef SEVER_CHAOS_RUN_SIGNALS_H
#define SEVER_CHAOS_RUN_SIGNALS_H

#include <stdbool.h>

#include "proxy/base/error.h"

/* The descriptor that becomes readable, or negative errno. */
int signals_open(struct error *error);
void signals_close(void);
/* Whether SIGINT, SIGTERM and SIGHUP raise it, or do what they do by default. What our caller
 * ignores (nohup, a shell's background job) stays ignored; SIGPIPE is from now on. */
void signals_catch(bool catch);
/* How many have come. */
unsigned signals_count(void);
/* Ends as a program does that the signal ends, so that a script that runs us ends too; returns when
 * none has come. */
void signals_die(void);

#endif
