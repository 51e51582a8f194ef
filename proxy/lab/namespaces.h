/* The keeper's own namespaces. */
#ifndef SEVER_LAB_NAMESPACES_H
#define SEVER_LAB_NAMESPACES_H

#include <stdbool.h>

#include "proxy/base/error.h"

/* Takes the calling process, which has one thread, into network and mount namespaces of its own;
 * where that is not allowed, into a user namespace first, in which it has the ids that it had
 * outside. Nothing that is mounted afterwards is seen outside. -EPERM, -ENOSPC, ... with what to do
 * about it. */
int namespaces_enter(bool *user_namespace, struct error *error);

#endif
