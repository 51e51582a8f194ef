/* A blocking client of the control API, for severctl, sever and tests. One handle per thread. */
#ifndef SEVER_WIRE_CLIENT_H
#define SEVER_WIRE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "proxy/base/error.h"

#define WIRE_DEFAULT_URL "http://127.0.0.1:8474"

enum { WIRE_PATH_MAX = 512 }; /* enough for a path with two names and a query */

struct wire_client;

/* url: "http://host:port", "http://ANY:TOKEN@host:port" or "unix:/path/to.sock". by: what to send
 * as X-Sever-By, 1 to 63 bytes of text. -EINVAL for anything else. Proxy settings of the
 * environment are not used; SEVER_TOKEN is what requests carry when it is set and the URL has no
 * token. */
int wire_client_create(const char *url, const char *by, struct wire_client **client,
                       struct error *error);
void wire_client_destroy(struct wire_client *client);          /* NULL is fine */
const char *wire_client_url(const struct wire_client *client); /* without the token */

/* One request. method: "GET", ...; path: from "/v1"; body: borrowed, NULL for none; answer: new
 * reference, NULL for an empty one (204); may be NULL when not wanted. timeout_ns: for the whole
 * exchange, 10 s. 0 on 2xx; otherwise the API's error (code: -EINVAL for 400, -ENOKEY 401, -ENOENT
 * 404, -EEXIST 409, -ESTALE 412, -EIO other) with its message and place, or the transport's:
 * -ECONNREFUSED ("severd does not answer at URL: start it, or set SEVER_URL"), -ETIMEDOUT, -EPROTO.
 */
int wire_client_request(struct wire_client *client, const char *method, const char *path,
                        json_t *body, json_t **answer, struct error *error);

/* As above with If-Match: version. */
int wire_client_request_matching(struct wire_client *client, const char *method, const char *path,
                                 uint64_t version, json_t *body, json_t **answer,
                                 struct error *error);

/* Of the requests that follow, for the whole exchange; 0: 10 s again. */
void wire_client_set_timeout(struct wire_client *client, uint64_t timeout_ns);

/* Asked about once a second while a request waits for its answer, of the requests that follow;
 * false gives it up: -ECANCELED. NULL: requests wait. */
typedef bool (*wire_wait_fn)(void *context);
void wire_client_set_wait(struct wire_client *client, wire_wait_fn fn, void *context);

/* Appends "/" (unless one is there) and `segment` to a path, percent-encoded: names are free text.
 * size: of buffer, WIRE_PATH_MAX fits. What does not fit makes the buffer "", which no request
 * accepts. */
void wire_path_append(char *buffer, size_t size, const char *segment);
/* Appends "?key=value" or "&key=value", value percent-encoded; the same otherwise. */
void wire_path_append_query(char *buffer, size_t size, const char *key, const char *value);

/* Reads GET /v1/events until the callback returns false (0) or the connection ends (-ECONNRESET),
 * or nothing, no heartbeat either, has come for 30 s (-ETIMEDOUT); other errors as
 * wire_client_request. event: the type; data: parsed, borrowed. Blocks; the callback also gets a
 * NULL event (and data) every 200 ms or so, so that it can end the wait. */
typedef bool (*wire_event_fn)(void *context, const char *event, json_t *data);
int wire_client_events(struct wire_client *client, wire_event_fn fn, void *context,
                       struct error *error);

/* Reads the answer to GET path, piece by piece, until the callback returns false or the answer
 * ends: 0 both times, and -ECONNRESET when it is broken off. Other errors as wire_client_request.
 * The callback also gets NULL bytes every 200 ms or so, so that it can end the wait. silence_ns:
 * -ETIMEDOUT when nothing has come for so long; 0: any time. Blocks. */
typedef bool (*wire_bytes_fn)(void *context, const char *bytes, size_t length);
int wire_client_stream(struct wire_client *client, const char *path, uint64_t silence_ns,
                       wire_bytes_fn fn, void *context, struct error *error);

#endif
