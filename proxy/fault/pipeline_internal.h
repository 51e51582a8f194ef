/* What pipeline.c (units on their way) and pipeline_apply.c (changes of plan) share. */
#ifndef SEVER_FAULT_PIPELINE_INTERNAL_H
#define SEVER_FAULT_PIPELINE_INTERNAL_H

#include "proxy/fault/pipeline.h"

/* The later of now_ns and all times before it. */
uint64_t pipeline_advance(struct fault_pipeline *pipeline, uint64_t now_ns);
/* Sends what stage `index` holds on from it, at now_ns, and the stage is empty. */
void pipeline_flush(struct fault_pipeline *pipeline, size_t index, uint64_t now_ns);
/* The fault of this stage ends the connection, unless one has already. */
void pipeline_end(struct fault_pipeline *pipeline, const struct fault_stage *stage);

#endif
