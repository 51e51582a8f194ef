/* How options of subcommands are written: pure. */
#ifndef SEVER_CHAOS_RUN_OPTION_VALUE_H
#define SEVER_CHAOS_RUN_OPTION_VALUE_H

#include "proxy/base/error.h"

/* The value of option `name` at argv[*at]: what follows '=', or the next word, to which *at then
 * goes. NULL: not this option; "" with *error when the value is missing. */
const char *option_value(int argc, char **argv, int *at, const char *name, struct error *error);

#endif
