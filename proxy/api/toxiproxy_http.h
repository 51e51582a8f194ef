/* Serving the Toxiproxy API: between request.c and the handlers. Internal to proxy/api. */
#ifndef SEVER_API_TOXIPROXY_HTTP_H
#define SEVER_API_TOXIPROXY_HTTP_H

#include "proxy/api/internal.h"
#include "proxy/base/text.h"

/* What a handler has, and what it leaves. */
struct toxiproxy_call {
    struct api_call *call;
    const char *proxy, *toxic; /* of the path, decoded; "" where it has none */
    const char *body;
    size_t body_length;
    json_t *answer;   /* a new reference; NULL for none */
    struct text page; /* instead of answer */
    const char *page_type;
    struct error error; /* its message is the answer to a refusal */
};

/* Returns the HTTP status. From 400 on call->error is the answer, unless there is another. */
typedef unsigned (*toxiproxy_handler)(struct toxiproxy_call *call);

struct toxiproxy_path;

/* What the headers decide. */
struct toxiproxy_request {
    const struct toxiproxy_path *path; /* NULL: `status` is the answer */
    unsigned status;
    char proxy[API_SEGMENT_MAX], toxic[API_SEGMENT_MAX];
    struct text location; /* of 301; freed with the answer */
};

/* Whether a path of this server is not the native API's. */
bool toxiproxy_has(const char *path);
/* Finds the path, and refuses browsers. */
void toxiproxy_judge(struct toxiproxy_request *request, struct MHD_Connection *connection,
                     const char *method, const char *path);
bool toxiproxy_wants_body(const struct toxiproxy_request *request);
/* Runs the handler, or answers what was decided before. */
struct MHD_Response *toxiproxy_answer(struct toxiproxy_request *request, struct api_call *call,
                                      const struct text *body, unsigned *status);
/* The answer to a request that is refused for another reason. */
struct MHD_Response *toxiproxy_refuse(struct toxiproxy_request *request, unsigned status,
                                      const char *message);

/* For handlers. */

/* The JSON of the body, a new reference, or NULL with call->error. */
json_t *toxiproxy_body(struct toxiproxy_call *call);
/* The route of the path when it is a proxy, else NULL with call->error. */
const struct ruleset_route *toxiproxy_find_proxy(struct toxiproxy_call *call);
/* The status for a change that failed with this code and call->error, whose message becomes what
 * clients know. next: what was asked for. */
unsigned toxiproxy_refuse_change(struct toxiproxy_call *call, const struct ruleset *next, int code);

unsigned toxiproxy_list_proxies(struct toxiproxy_call *call);
unsigned toxiproxy_add_proxy(struct toxiproxy_call *call);
unsigned toxiproxy_get_proxy(struct toxiproxy_call *call);
unsigned toxiproxy_update_proxy(struct toxiproxy_call *call);
unsigned toxiproxy_remove_proxy(struct toxiproxy_call *call);
unsigned toxiproxy_populate(struct toxiproxy_call *call);
unsigned toxiproxy_reset(struct toxiproxy_call *call);
unsigned toxiproxy_list_toxics(struct toxiproxy_call *call);
unsigned toxiproxy_add_toxic(struct toxiproxy_call *call);
unsigned toxiproxy_get_toxic(struct toxiproxy_call *call);
unsigned toxiproxy_patch_toxic(struct toxiproxy_call *call);
unsigned toxiproxy_remove_toxic(struct toxiproxy_call *call);
unsigned metrics_get(struct toxiproxy_call *call);

#endif
