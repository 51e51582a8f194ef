/* The Toxiproxy API over HTTP: its paths, and the form of its answers.
 *
 * Theory of operation. Everything that does not begin with /v1 is this API's, with the habits of
 * the server that its clients were written for: a path is cleaned first, and when that changes it
 * the client is sent there; a known path with another method is 405 without a body; browsers are
 * refused on known paths; errors are {"error", "status"}, labelled as plain text. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/api/toxiproxy.h"
#include "proxy/api/toxiproxy_http.h"
#include "proxy/api/url.h"
#include "proxy/base/random.h"
#include "proxy/base/text.h"

enum { SEGMENTS_MAX = 5, REQUEST_ID_SIZE = 21, UNDECIDED = 0 };

#define TEXT_PLAIN "text/plain; charset=utf-8"

struct toxiproxy_path {
    const char *method, *pattern; /* in the pattern, {} is a name */
    toxiproxy_handler handler;
};

static unsigned get_version(struct toxiproxy_call *call)
{
    text_append(&call->page, "{\"version\": \"%s\"}\n", TOXIPROXY_VERSION);
    call->page_type = "application/json;charset=utf-8";
    return MHD_HTTP_OK;
}

static const struct toxiproxy_path paths[] = {
    {"GET", "/version", get_version},
    {"GET", "/metrics", metrics_get},
    {"GET", "/proxies", toxiproxy_list_proxies},
    {"POST", "/proxies", toxiproxy_add_proxy},
    {"POST", "/populate", toxiproxy_populate},
    {"POST", "/reset", toxiproxy_reset},
    {"GET", "/proxies/{}", toxiproxy_get_proxy},
    {"POST", "/proxies/{}", toxiproxy_update_proxy},
    {"PATCH", "/proxies/{}", toxiproxy_update_proxy},
    {"DELETE", "/proxies/{}", toxiproxy_remove_proxy},
    {"GET", "/proxies/{}/toxics", toxiproxy_list_toxics},
    {"POST", "/proxies/{}/toxics", toxiproxy_add_toxic},
    {"GET", "/proxies/{}/toxics/{}", toxiproxy_get_toxic},
    {"POST", "/proxies/{}/toxics/{}", toxiproxy_patch_toxic},
    {"PATCH", "/proxies/{}/toxics/{}", toxiproxy_patch_toxic},
    {"DELETE", "/proxies/{}/toxics/{}", toxiproxy_remove_toxic},
};

/* --- finding the path --- */

struct segment {
    const char *start;
    size_t length;
};

static struct segment first_segment(const char *path)
{
    return (struct segment){path + 1, strcspn(path + 1, "/")};
}

bool toxiproxy_has(const char *path)
{
    struct segment first = first_segment(path[0] ? path : "/");
    return first.length != 2 || strncmp(first.start, "v1", 2) != 0;
}

/* Without empty segments, "." and "..": what path becomes, with its slash at the end if it has one.
 */
static void clean_path(const char *path, struct text *clean)
{
    const char *at = path[0] == '/' ? path : "/";
    bool ends_in_slash = false;
    while (*at == '/') {
        struct segment segment = first_segment(at);
        bool up = segment.length == 2 && strncmp(segment.start, "..", 2) == 0;
        bool here = segment.length == 0 || (segment.length == 1 && segment.start[0] == '.');
        ends_in_slash = segment.length == 0;
        if (up && clean->length > 0)
            clean->length = (size_t)(strrchr(text_get(clean), '/') - text_get(clean));
        else if (!up && !here)
            text_append(clean, "/%.*s", (int)segment.length, segment.start);
        if (up && clean->data)
            clean->data[clean->length] = '\0';
        at = segment.start + segment.length;
    }
    if (ends_in_slash || clean->length == 0)
        text_append(clean, "/");
}

/* name: "proxy" or "toxic", the first and second {}. */
static bool matches(const char *path, const char *pattern, struct toxiproxy_request *request)
{
    char *names[] = {request->proxy, request->toxic};
    size_t name = 0;
    while (*path == '/' && *pattern == '/') {
        struct segment given = first_segment(path), wanted = first_segment(pattern);
        char decoded[API_SEGMENT_MAX];
        if (!api_decode_segment(given.start, given.length, decoded, sizeof(decoded)) || !decoded[0])
            return false;
        if (wanted.start[0] == '{')
            memcpy(names[name++], decoded, sizeof(decoded));
        else if (strlen(decoded) != wanted.length ||
                 strncmp(decoded, wanted.start, wanted.length) != 0)
            return false;
        path = given.start + given.length;
        pattern = wanted.start + wanted.length;
    }
    return *path == '\0' && *pattern == '\0';
}

static bool is_browser(struct MHD_Connection *connection)
{
    const char *agent =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_USER_AGENT);
    return agent && strncmp(agent, "Mozilla/", 8) == 0;
}

void toxiproxy_judge(struct toxiproxy_request *request, struct MHD_Connection *connection,
                     const char *method, const char *path)
{
    request->status = MHD_HTTP_NOT_FOUND;
    clean_path(path, &request->location);
    if (strcmp(text_get(&request->location), path) != 0) {
        request->status = MHD_HTTP_MOVED_PERMANENTLY;
        return;
    }
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (!matches(path, paths[i].pattern, request))
            continue;
        request->status = MHD_HTTP_METHOD_NOT_ALLOWED;
        if (strcmp(paths[i].method, method) != 0)
            continue;
        request->path = &paths[i];
        /* What Prometheus reads, people may too. */
        bool refused = is_browser(connection) && paths[i].handler != metrics_get;
        request->status = refused ? MHD_HTTP_FORBIDDEN : UNDECIDED;
        return;
    }
}

bool toxiproxy_wants_body(const struct toxiproxy_request *request)
{
    return request->path && request->status == UNDECIDED &&
           (strcmp(request->path->method, "POST") == 0 ||
            strcmp(request->path->method, "PATCH") == 0);
}

/* --- answers --- */

/* Twenty characters that no other request has, in the form that clients log. */
static void format_request_id(struct api *api, char id[REQUEST_ID_SIZE])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    uint64_t sequence = api->request_ids.sequence++;
    for (uint32_t i = 0; i < REQUEST_ID_SIZE - 1; i++)
        id[i] = digits[random_draw(api->request_ids.key, sequence, i) & 31];
    id[REQUEST_ID_SIZE - 1] = '\0';
}

static struct MHD_Response *create_response(const char *bytes, size_t length, const char *type)
{
    struct MHD_Response *response = memory_must(
        MHD_create_response_from_buffer(length, (void *)(uintptr_t)bytes, MHD_RESPMEM_MUST_COPY));
    if (type)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    return response;
}

static struct MHD_Response *create_json_response(const json_t *json, const char *end,
                                                 const char *type)
{
    struct text text = {0};
    char *dumped = memory_must(json_dumps(json, TOXIPROXY_DUMP_FLAGS));
    text_append(&text, "%s%s", dumped, end);
    struct MHD_Response *response = create_response(text_get(&text), text.length, type);
    free(dumped);
    text_free(&text);
    return response;
}

static struct MHD_Response *create_error(unsigned status, const char *message)
{
    json_t *json = json_pack("{s:o, s:i}", "error", api_json_text(message), "status", (int)status);
    struct MHD_Response *response = create_json_response(json, "\n", TEXT_PLAIN);
    json_decref(json);
    return response;
}

struct MHD_Response *toxiproxy_refuse(struct toxiproxy_request *request, unsigned status,
                                      const char *message)
{
    text_free(&request->location);
    return create_error(status, message);
}

/* What was decided without a handler. */
static struct MHD_Response *answer_at_once(const struct toxiproxy_request *request)
{
    static const char not_found[] = "404 page not found\n", refused[] = "User agent not allowed\n";
    struct MHD_Response *response;
    switch (request->status) {
    case MHD_HTTP_NOT_FOUND:
        return create_response(not_found, sizeof(not_found) - 1, TEXT_PLAIN);
    case MHD_HTTP_FORBIDDEN:
        return create_response(refused, sizeof(refused) - 1, TEXT_PLAIN);
    default:
        response = create_response("", 0, NULL);
        if (request->status == MHD_HTTP_MOVED_PERMANENTLY)
            MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION,
                                    text_get(&request->location));
        return response;
    }
}

static struct MHD_Response *run_handler(const struct toxiproxy_request *request,
                                        struct api_call *call, const struct text *body,
                                        unsigned *status)
{
    struct toxiproxy_call own = {.call = call,
                                 .proxy = request->proxy,
                                 .toxic = request->toxic,
                                 .body = text_get(body),
                                 .body_length = body->length};
    struct MHD_Response *response;
    *status = request->path->handler(&own);
    if (own.page_type)
        response = create_response(text_get(&own.page), own.page.length, own.page_type);
    else if (own.answer)
        response = create_json_response(own.answer, "", "application/json");
    else if (*status >= MHD_HTTP_BAD_REQUEST)
        response = create_error(*status, own.error.message);
    else
        response = create_response("", 0, NULL);
    json_decref(own.answer);
    text_free(&own.page);
    return response;
}

struct MHD_Response *toxiproxy_answer(struct toxiproxy_request *request, struct api_call *call,
                                      const struct text *body, unsigned *status)
{
    char id[REQUEST_ID_SIZE];
    struct MHD_Response *response;
    *status = request->status;
    if (*status == UNDECIDED)
        response = run_handler(request, call, body, status);
    else
        response = answer_at_once(request);
    if (request->path) {
        format_request_id(call->api, id);
        MHD_add_response_header(response, "X-Toxiproxy-Request-Id", id);
    }
    text_free(&request->location);
    return response;
}

/* --- for handlers --- */

json_t *toxiproxy_body(struct toxiproxy_call *call)
{
    return toxiproxy_parse(call->body, call->body_length, &call->error);
}

const struct ruleset_route *toxiproxy_find_proxy(struct toxiproxy_call *call)
{
    const struct ruleset_route *route = ruleset_find_route(api_current(call->call), call->proxy);
    if (route && route->protocol == RULESET_TCP)
        return route;
    error_set(&call->error, -ENOENT, "proxy not found");
    return NULL;
}

/* "listen tcp 127.0.0.1:80: bind: address already in use", as clients know it. */
static void reword_bind_error(struct toxiproxy_call *call, const char *listen)
{
    char why[64];
    int code = call->error.code;
    snprintf(why, sizeof(why), "%s", strerror(-code));
    if (why[0] >= 'A' && why[0] <= 'Z')
        why[0] = (char)(why[0] - 'A' + 'a');
    error_set(&call->error, code, "listen tcp %s: bind: %s", listen, why);
}

unsigned toxiproxy_refuse_change(struct toxiproxy_call *call, const struct ruleset *next, int code)
{
    size_t index;
    int end = 0;
    bool listen = sscanf(call->error.place, "routes[%zu].listen%n", &index, &end) == 1 && end > 0 &&
                  index < next->route_count;
    if (listen && code != -EINVAL)
        reword_bind_error(call, next->routes[index].listen);
    if (listen)
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    if (code == -EEXIST)
        return MHD_HTTP_CONFLICT;
    if (code == -ENOMEM || code == -EIO)
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    return MHD_HTTP_BAD_REQUEST;
}
