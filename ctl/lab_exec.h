/* severctl lab exec: running a program in a node. */
#ifndef SEVER_CTL_LAB_EXEC_H
#define SEVER_CTL_LAB_EXEC_H

#include "ctl/command.h"

/* Starts the program in the node's namespaces, waits, and returns its exit code (128 + the signal
 * that ended it). Nothing is started when the node is not there or does not run. */
int lab_exec(struct session *session, const struct arguments *arguments);

#endif
