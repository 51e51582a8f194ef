/* Noop: passes everything. Also stands for what is decided before a connection carries a byte. */
#include "proxy/fault/stage.h"

static enum stage_verdict push(struct fault_stage *stage, enum fault_medium medium,
                               struct fault_unit *unit, enum fault_cause *cause)
{
    (void)stage;
    (void)medium;
    (void)unit;
    (void)cause;
    return STAGE_PASS;
}

const struct stage_operations stage_noop = {.push = push};
