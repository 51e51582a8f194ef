/* The environment of a program that runs under a node's clock: the clock library, the node's page
 * and its name. Functions return an exit code, with the session's error filled when it isn't 0. */
#ifndef SEVER_CTL_CLOCK_ENVIRONMENT_H
#define SEVER_CTL_CLOCK_ENVIRONMENT_H

#include <stdbool.h>

#include <jansson.h>

#include "ctl/session.h"

/* The clock of `node` out of GET /v1/clocks: new reference. */
int clock_environment_find(struct session *session, const char *node, json_t **clock);

/* Sets it in this process. A program that would keep true time is refused, unless anyway. */
int clock_environment_set(struct session *session, const char *node, const char *program,
                          bool anyway);

/* As that, for a program that is not run for the clock's sake: one that can't be shifted keeps true
 * time, and is refused only while the node's clock is shifted. The same where there is no library.
 */
int clock_environment_offer(struct session *session, const char *node, const char *program,
                            bool anyway);

#endif
