/* What client.c and events.c share. Internal to proxy/wire. */
#ifndef SEVER_WIRE_CLIENT_INTERNAL_H
#define SEVER_WIRE_CLIENT_INTERNAL_H

#include <curl/curl.h>

#include "proxy/base/text.h"
#include "proxy/wire/client.h"

enum { WIRE_ANSWER_MAX = 64 * 1024 * 1024 }; /* bytes; the largest ruleset is below that */

struct wire_client {
    CURL *curl;
    char *url;         /* as given, without a token */
    char *base;        /* what paths are appended to */
    char *socket_path; /* NULL unless unix: */
    char *by;
    char *token; /* of the URL; NULL: SEVER_TOKEN's */
    uint64_t timeout_ns;
    wire_wait_fn wait; /* NULL: none */
    void *wait_context;
    struct text received; /* body of the answer at hand */
};

/* Resets the handle and sets what every request has: address, protocol, no proxy, no signals. The
 * headers are the caller's to free after the exchange. -EINVAL for a path that is not below /v1. */
int wire_client_prepare(struct wire_client *client, const char *path, struct curl_slist **headers,
                        struct error *error);
/* A failed exchange as an error that says what to do next. Returns its code. */
int wire_client_explain(const struct wire_client *client, CURLcode result, struct error *error);
/* An answer above 299, its body in client->received, as an error. Returns its code. */
int wire_client_refusal(const struct wire_client *client, long status, struct error *error);

#endif
