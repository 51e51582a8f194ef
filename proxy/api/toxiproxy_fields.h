/* Reading the fields of a Toxiproxy body. Internal to proxy/api's toxiproxy files. */
#ifndef SEVER_API_TOXIPROXY_FIELDS_H
#define SEVER_API_TOXIPROXY_FIELDS_H

#include <stddef.h>

#include <jansson.h>

#include "proxy/base/error.h"

#define TOXIPROXY_BAD_BODY "bad request body: "

/* The value of a key, in any case; the exact one goes before others, of which the last counts. NULL
 * when it is absent or null. Borrowed. */
json_t *toxiproxy_field(const json_t *object, const char *key);
/* A text that fits, into `text`, which stays as it is when the field is absent. */
int toxiproxy_read_text(const json_t *object, const char *key, char *text, size_t size,
                        struct error *error);
/* -EINVAL: "bad request body: KEY: WANTED is wanted, not ..."; key: "" for the body itself. */
int toxiproxy_wrong_type(const json_t *json, const char *key, const char *wanted,
                         struct error *error);

#endif
