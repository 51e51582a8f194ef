/* Whether the nodes of a run with routes reach each other around severd. */
#ifndef SEVER_CHAOS_LAB_BYPASS_H
#define SEVER_CHAOS_LAB_BYPASS_H

#include "chaos/lab/lab.h"

/* As lab_check_bypass. */
int bypass_check(struct lab *lab, struct error *error);

#endif
