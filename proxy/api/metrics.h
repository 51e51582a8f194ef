/* Parts of GET /metrics. Internal to proxy/api. */
#ifndef SEVER_API_METRICS_H
#define SEVER_API_METRICS_H

#include "proxy/base/text.h"

/* process_*: CPU, memory, descriptors and start of this process, under the names that every
 * Prometheus client library has for them. What /proc does not tell is left out. */
void metrics_tell_process(struct text *page);

#endif
