/* A blocking client of the control API, for severctl, sever and tests. One handle per thread. */
#ifndef SEVER_WIRE_CLIENT_H
#define SEVER_WIRE_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "proxy/base/error.h"

#define WIRE_DEFAULT_URL "http://127.0.0.1:8474"

struct wire_client;

/* url: "http://host:port" or "unix:/path/to.sock". by: what to send as X-Sever-By.
 * -EINVAL for anything else. */
int wire_client_create(const char *url, const char *by, struct wire_client **client,
                       struct error *error);
void wire_client_destroy(struct wire_client *client);
const char *wire_client_url(const struct wire_client *client);

/* One request. method: "GET", ...; path: from "/v1"; body: borrowed, NULL for none; answer: new
 * reference, NULL for an empty one (204); may be NULL when not wanted. timeout_ns: for the whole
 * exchange, 0 for 10 s. 0 on 2xx; otherwise the API's error (code: -EINVAL for 400, -ENOENT 404,
 * -EEXIST 409, -ESTALE 412, -EIO other) with its message and place, or the transport's:
 * -ECONNREFUSED ("severd does not answer at URL: start it, or set SEVER_URL"), -ETIMEDOUT, -EPROTO.
 */
int wire_client_request(struct wire_client *client, const char *method, const char *path,
                        json_t *body, json_t **answer, struct error *error);

/* As above with If-Match: version. */
int wire_client_request_matching(struct wire_client *client, const char *method, const char *path,
                                 uint64_t version, json_t *body, json_t **answer,
                                 struct error *error);

/* Appends `segment` to a path, percent-encoded: names are free text. size: of buffer. */
void wire_path_append(char *buffer, size_t size, const char *segment);

/* Reads GET /v1/events until the callback returns false or the connection ends. event: the type;
 * data: parsed, borrowed. Blocks; the callback also gets a NULL event every 200 ms or so, so that
 * it can end the wait. */
typedef bool (*wire_event_fn)(void *context, const char *event, json_t *data);
int wire_client_events(struct wire_client *client, wire_event_fn fn, void *context,
                       struct error *error);

#endif
