/* Internal to proxy/wire. */
#ifndef SEVER_WIRE_PARSE_H
#define SEVER_WIRE_PARSE_H

#include <jansson.h>

#include "proxy/base/error.h"

/* wire_parse_object with another limit in bytes: answers may be larger than bodies. */
json_t *wire_parse_bounded(const char *body, size_t length, size_t limit, struct error *error);

#endif
