/* One HTTP request: who may ask, the body, the handler, the answer.
 *
 * Theory of operation. libmicrohttpd calls once with the headers, then with pieces of the body,
 * then once more. What the headers decide (who asks, path, method, query) is decided at the first
 * call, so that nobody who may not ask makes severd keep a body. It is answered at the last one: an
 * answer in the middle of a body would close the connection under a client that is still sending.
 * A body that nobody will read (of a request that is refused, or of GET and DELETE), that is too
 * large, or for which there is no room among the bodies of all connections, is read on and thrown
 * away (the connection's deadline bounds that). A request that is answered later is suspended, and
 * libmicrohttpd calls once more when it is resumed.
 *
 * A web page must not drive severd. Its requests carry the page's Origin, or tell in Sec-Fetch-Site
 * that they are from elsewhere (images and scripts have no Origin, and /v1/doctor and /v1/events
 * are dear), or, after DNS rebinding, carry the page's Host. The first must be ours, the second not
 * another site, the third a loopback name (on TCP, while no token does the same). Where neither a
 * loopback name nor a token is wanted (--no-token on a network), what a browser sends must be to an
 * address: only names can be led here.
 *
 * Two APIs share all of this, and differ in paths and in the form of answers: /v1 is ours, the rest
 * is Toxiproxy's (toxiproxy_http.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proxy/api/changes.h"
#include "proxy/api/internal.h"
#include "proxy/api/toxiproxy_http.h"
#include "proxy/api/url.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/base/units.h"
#include "proxy/fault/ruleset_text.h"
#include "proxy/wire/codec.h"

#define REQUEST_NS (30 * NS_PER_S)

enum { ALLOW_MAX = 128 };

/* Success, or an HTTP status for the error. */
struct outcome {
    unsigned status;
    char allow[ALLOW_MAX]; /* for 405 */
};

struct api_request {
    struct api_call call;
    const struct api_path *path;
    bool for_toxiproxy;
    struct toxiproxy_request toxiproxy; /* then, instead of path */
    struct text body;
    struct outcome outcome;
    struct error error;
    int code; /* negative: it is refused, whatever else comes */
};

static const char *header_of(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* Whether it comes from a browser: then it may come from a page. */
static bool is_browsed(struct MHD_Connection *connection)
{
    const char *agent = header_of(connection, MHD_HTTP_HEADER_USER_AGENT);
    return header_of(connection, MHD_HTTP_HEADER_ORIGIN) ||
           (agent && strncmp(agent, "Mozilla/", 8) == 0);
}

static int check_host(const struct api_server *server, struct MHD_Connection *connection,
                      struct error *error)
{
    const char *host = header_of(connection, MHD_HTTP_HEADER_HOST);
    const struct api *api = server->api;
    if (server->unix_socket || api->token[0])
        return 0;
    if (!api->options.any_host && (!host || !api_host_is_loopback(host)))
        return error_set_at(error, -EPERM, "Host",
                            "the API answers only requests to localhost, 127.0.0.0/8 or [::1]");
    if (api->options.any_host && is_browsed(connection) && (!host || !api_host_is_address(host)))
        return error_set_at(error, -EPERM, "Host",
                            "without a token the API answers a browser at an IP address only");
    return 0;
}

static int check_origin(struct MHD_Connection *connection, struct error *error)
{
    const char *host = header_of(connection, MHD_HTTP_HEADER_HOST);
    const char *origin = header_of(connection, MHD_HTTP_HEADER_ORIGIN);
    const char *site = header_of(connection, "Sec-Fetch-Site");
    bool ours = !origin || (host && strncasecmp(origin, "http://", 7) == 0 &&
                            strcasecmp(origin + 7, host) == 0);
    bool typed = !site || strcasecmp(site, "same-origin") == 0 || strcasecmp(site, "none") == 0;
    if (ours && typed)
        return 0;
    return error_set_at(error, -EPERM, ours ? "Sec-Fetch-Site" : "Origin",
                        "a page of another origin can't drive severd");
}

static int check_token(const struct api_server *server, struct MHD_Connection *connection,
                       struct error *error)
{
    const char *token = server->api->token;
    if (server->unix_socket || !token[0] ||
        api_is_authorized(header_of(connection, MHD_HTTP_HEADER_AUTHORIZATION), token))
        return 0;
    return error_set_at(error, -ENOKEY, "Authorization",
                        "the token of this severd is wanted, as a bearer token or as the password "
                        "in the URL: set SEVER_TOKEN, or write http://x:TOKEN@host:port");
}

/* Who asks: X-Sever-By, or what User-Agent tells. */
static int read_by(struct api_call *call, const char *otherwise, struct error *error)
{
    const char *by = header_of(call->connection, "X-Sever-By");
    const char *agent = header_of(call->connection, MHD_HTTP_HEADER_USER_AGENT);
    if (!by && agent && strncmp(agent, "severctl", 8) == 0)
        by = "severctl";
    else if (!by && agent && (strcmp(agent, "sever") == 0 || strncmp(agent, "sever/", 6) == 0))
        by = "sever";
    else if (!by || !by[0])
        by = otherwise;
    if (strlen(by) >= sizeof(call->by) || !ruleset_text_is_printable(by, strlen(by)))
        return error_set_at(error, -EINVAL, "X-Sever-By",
                            "who asks is at most %zu bytes of printable UTF-8 text",
                            sizeof(call->by) - 1);
    snprintf(call->by, sizeof(call->by), "%s", by);
    return 0;
}

static int check_if_match(struct api_call *call, struct error *error)
{
    const char *text = header_of(call->connection, MHD_HTTP_HEADER_IF_MATCH);
    if (!text || strcmp(text, "*") == 0)
        return 0;
    char digits[24] = "";
    size_t length = strlen(text);
    int64_t version = 0;
    if (length > 2 && length - 2 < sizeof(digits) && text[0] == '"' && text[length - 1] == '"')
        memcpy(digits, text + 1, length - 2);
    if (units_parse_integer(digits, 0, INT64_MAX, "version", &version, NULL) < 0)
        return error_set_at(error, -EINVAL, "If-Match",
                            "write the version of the ruleset in quotes, such as \"12\"");
    if ((uint64_t)version != api_current(call)->version)
        return error_set_at(error, -ESTALE, "If-Match",
                            "the ruleset has moved on to version %llu: read it again",
                            (unsigned long long)api_current(call)->version);
    return 0;
}

struct query_check {
    const struct api_query *allowed; /* NULL: none */
    unsigned seen;                   /* bit i: allowed[i] */
    struct error *error;
    int code;
};

static int refuse_query_key(const struct query_check *check, const char *key)
{
    char keys[128] = "";
    size_t length = 0;
    for (const struct api_query *query = check->allowed; query && query->key; query++)
        length += (size_t)snprintf(keys + length, sizeof(keys) - length, "%s%s",
                                   length > 0 ? ", " : "the query may have ", query->key);
    return error_set_at(check->error, -EINVAL, "", "'%.64s' is not known here; %s", key,
                        length > 0 ? keys : "there is no query");
}

static enum MHD_Result check_query_key(void *context, enum MHD_ValueKind kind, const char *key,
                                       const char *value)
{
    struct query_check *check = context;
    const struct api_query *found = check->allowed;
    (void)kind;
    while (found && found->key && strcmp(key, found->key) != 0)
        found++;
    if (!found || !found->key) {
        check->code = refuse_query_key(check, key);
    } else if (check->seen & (1u << (found - check->allowed))) {
        check->code = error_set_at(check->error, -EINVAL, "", "'%s' is there twice", key);
    } else if (!value || !value[0]) {
        check->code = error_set_at(check->error, -EINVAL, key, "a value is wanted: write %s=%s",
                                   key, found->example);
    } else {
        check->seen |= 1u << (found - check->allowed);
    }
    return check->code < 0 ? MHD_NO : MHD_YES;
}

static int check_query(struct api_call *call, const struct api_path *path, struct error *error)
{
    struct query_check check = {.allowed = path->query, .error = error};
    MHD_get_connection_values(call->connection, MHD_GET_ARGUMENT_KIND, check_query_key, &check);
    return check.code;
}

static bool changes(const struct api_path *path)
{
    return strcmp(path->method, "GET") != 0;
}

static bool wants_body(const struct api_request *request)
{
    if (request->for_toxiproxy)
        return request->code == 0 && toxiproxy_wants_body(&request->toxiproxy);
    return request->code == 0 && changes(request->path) &&
           strcmp(request->path->method, "DELETE") != 0;
}

/* What the headers decide. 0 or a negative errno. */
static int judge_headers(struct api_request *request, const struct api_server *server,
                         const char *url, const char *method)
{
    struct api_call *call = &request->call;
    struct error *error = &request->error;
    request->for_toxiproxy = toxiproxy_has(url);
    int code = check_host(server, call->connection, error);
    if (code == 0)
        code = check_origin(call->connection, error);
    if (code == 0)
        code = check_token(server, call->connection, error);
    if (code < 0)
        return code;
    if (request->for_toxiproxy) {
        toxiproxy_judge(&request->toxiproxy, call->connection, method, url);
        return read_by(call, "toxiproxy", error);
    }
    request->path = api_find_path(method, url, call->name, request->outcome.allow,
                                  sizeof(request->outcome.allow), error);
    if (!request->path)
        return error->code;
    code = check_query(call, request->path, error);
    return code < 0 ? code : read_by(call, "api", error);
}

static void forget_body(struct api_request *request)
{
    request->call.api->body_bytes -= request->body.length;
    text_free(&request->body);
}

static void take_body(struct api_request *request, const char *bytes, size_t length)
{
    struct api *api = request->call.api;
    if (!wants_body(request))
        return;
    if (request->body.length + length > WIRE_BODY_MAX)
        request->code =
            error_set(&request->error, -EFBIG, "a body is at most %d bytes", WIRE_BODY_MAX);
    else if (api->body_bytes + length > API_BODIES_MAX)
        request->code = error_set(&request->error, -EBUSY,
                                  "bodies of %d MiB in all are being handed in: try again",
                                  API_BODIES_MAX >> 20);
    if (request->code < 0) {
        forget_body(request);
        return;
    }
    text_append_bytes(&request->body, bytes, length);
    api->body_bytes += length;
}

/* Everything between the last byte of a request and the answer's first. */
static int decide(struct api_request *request)
{
    struct api_call *call = &request->call;
    struct error *error = &request->error;
    if (request->code < 0)
        return request->code;
    if (call->wait)
        return request->path->handler(call, error);
    if (wants_body(request)) {
        call->body = wire_parse_object(text_get(&request->body), request->body.length, error);
        forget_body(request);
        if (!call->body)
            return error->code;
    }
    int code = changes(request->path) ? check_if_match(call, error) : 0;
    return code < 0 ? code : request->path->handler(call, error);
}

static unsigned status_of(int code)
{
    switch (-code) {
    case ENOKEY:
        return MHD_HTTP_UNAUTHORIZED;
    case EPERM:
        return MHD_HTTP_FORBIDDEN;
    case ENOENT:
        return MHD_HTTP_NOT_FOUND;
    case EOPNOTSUPP:
        return MHD_HTTP_METHOD_NOT_ALLOWED;
    case EEXIST:
        return MHD_HTTP_CONFLICT;
    case ESTALE:
        return MHD_HTTP_PRECONDITION_FAILED;
    case EFBIG:
        return MHD_HTTP_CONTENT_TOO_LARGE;
    case EBUSY:
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    case EINVAL: /* and what binding an address ends with */
    case E2BIG:
    case EADDRINUSE:
    case EADDRNOTAVAIL:
    case EACCES:
    case EAFNOSUPPORT:
    case ENAMETOOLONG:
    case ENOTDIR:
        return MHD_HTTP_BAD_REQUEST;
    default:
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
}

static json_t *encode_error(const struct error *error)
{
    const char *name = strerrorname_np(-error->code);
    return json_pack("{s:{s:o, s:o, s:s}}", "error", "message", api_json_text(error->message),
                     "place", api_json_text(error->place), "code", name ? name : "EIO");
}

/* Of call->text, which goes with it, or else of call->answer. */
static struct MHD_Response *create_json_response(struct api_call *call)
{
    struct text *text = &call->text;
    if (text->length == 0 && call->answer) {
        text->data = memory_must(json_dumps(call->answer, WIRE_DUMP_FLAGS));
        text->length = strlen(text->data);
    }
    if (text->length == 0)
        return memory_must(MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
    struct MHD_Response *response = memory_must(
        MHD_create_response_from_buffer(text->length, text->data, MHD_RESPMEM_MUST_FREE));
    *text = (struct text){0};
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    return response;
}

/* What both APIs' answers have; the response is used up. */
static enum MHD_Result send_response(struct api_call *call, unsigned status,
                                     struct MHD_Response *response)
{
    if (status == MHD_HTTP_UNAUTHORIZED) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                "Basic realm=\"severd\", charset=\"UTF-8\"");
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                "Bearer realm=\"severd\"");
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    enum MHD_Result result = MHD_queue_response(call->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_toxiproxy(struct api_request *request)
{
    struct MHD_Response *response;
    unsigned status = status_of(request->code);
    if (request->code < 0)
        response = toxiproxy_refuse(&request->toxiproxy, status, request->error.message);
    else
        response = toxiproxy_answer(&request->toxiproxy, &request->call, &request->body, &status);
    forget_body(request);
    return send_response(&request->call, status, response);
}

static enum MHD_Result send_answer(struct api_call *call, const struct outcome *outcome)
{
    char etag[32];
    struct MHD_Response *response = call->response;
    if (!response)
        response = create_json_response(call);
    if (outcome->status < MHD_HTTP_BAD_REQUEST) {
        snprintf(etag, sizeof(etag), "\"%llu\"", (unsigned long long)api_current(call)->version);
        MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, etag);
    }
    if (outcome->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, outcome->allow);
    return send_response(call, outcome->status, response);
}

static enum MHD_Result answer(struct api_request *request)
{
    struct api_call *call = &request->call;
    int code = decide(request);
    if (code == API_LATER)
        return MHD_YES;
    if (code < 0) {
        json_decref(call->answer);
        call->answer = encode_error(&request->error);
        request->outcome.status = status_of(code);
    } else {
        request->outcome.status = (unsigned)code;
    }
    enum MHD_Result result = send_answer(call, &request->outcome);
    json_decref(call->answer);
    json_decref(call->body);
    call->answer = call->body = NULL;
    return result;
}

enum MHD_Result api_handle_request(void *context, struct MHD_Connection *connection,
                                   const char *url, const char *method, const char *version,
                                   const char *upload_data, size_t *upload_data_size,
                                   void **request_context)
{
    struct api_server *server = context;
    struct api_request *request = *request_context;
    (void)version;
    if (!request) {
        *request_context = request = memory_allocate_zeroed(1, sizeof(*request));
        request->call = (struct api_call){.api = server->api, .connection = connection};
        api_set_deadline(connection, server->api->now_ns + REQUEST_NS);
        request->code = judge_headers(request, server, url, method);
        return MHD_YES;
    }
    if (*upload_data_size == 0) {
        api_set_deadline(connection, server->api->now_ns + REQUEST_NS);
        return request->for_toxiproxy ? answer_toxiproxy(request) : answer(request);
    }
    take_body(request, upload_data, *upload_data_size);
    *upload_data_size = 0;
    return MHD_YES;
}

void api_complete_request(void *context, struct MHD_Connection *connection, void **request_context,
                          enum MHD_RequestTerminationCode why)
{
    struct api_server *server = context;
    struct api_request *request = *request_context;
    (void)why;
    if (!request)
        return;
    api_set_deadline(connection, server->api->now_ns + REQUEST_NS);
    forget_body(request);
    text_free(&request->toxiproxy.location);
    json_decref(request->call.body);
    free(request->call.wait);
    free(request);
    *request_context = NULL;
}

/* --- for handlers --- */

const struct ruleset *api_current(const struct api_call *call)
{
    return call->api->backend.current(call->api->backend.context);
}

/* What a file or an address was refused with says nothing about the request's path or who asks:
 * -ENOENT is no 404 here. An address that can't be had is the request's fault, all else severd's.
 */
static int code_of_failure(int code, const char *place)
{
    switch (-code) {
    case ENOENT:
    case EPERM:
    case EROFS:
    case ELOOP:
    case EBUSY:
    case EFBIG:
    case EOPNOTSUPP:
        return strncmp(place, "routes[", 7) == 0 ? -EADDRNOTAVAIL : -EIO;
    default:
        return code;
    }
}

int api_apply(struct api_call *call, const struct ruleset *next, struct error *error)
{
    struct api *api = call->api;
    json_t *changes = api_describe_changes(api_current(call), next);
    int code = api->backend.change(api->backend.context, next, call->by, error);
    if (code == 0)
        api_listeners_tell_change(&api->listeners, api_current(call)->version, call->by, changes);
    json_decref(changes);
    return code_of_failure(code, error->place);
}

int api_apply_element(struct api_call *call, const struct ruleset *next, const char *array,
                      size_t index, struct error *error)
{
    char prefix[64], rest[ERROR_PLACE_MAX];
    int code = api_apply(call, next, error);
    size_t length = (size_t)snprintf(prefix, sizeof(prefix), "%s[%zu]", array, index);
    const char *after = error->place + length;
    if (code < 0 && strncmp(error->place, prefix, length) == 0 && strchr(".", *after)) {
        snprintf(rest, sizeof(rest), "%s", *after ? after + 1 : "");
        snprintf(error->place, sizeof(error->place), "%s", rest);
    }
    return code;
}

int api_no_such(const struct api_call *call, const char *what, struct error *error)
{
    if (strcmp(what, "node") == 0)
        return ruleset_no_such_node(api_current(call), call->name, -ENOENT, "", error);
    return error_set(error, -ENOENT, "there is no %s '%.200s'", what, call->name);
}

int api_get_query(const struct api_call *call, const char *key, char buffer[API_SEGMENT_MAX],
                  bool *there, struct error *error)
{
    const char *value = MHD_lookup_connection_value(call->connection, MHD_GET_ARGUMENT_KIND, key);
    *there = value != NULL;
    if (value && !api_decode_segment(value, strlen(value), buffer, API_SEGMENT_MAX))
        return error_set_at(error, -EINVAL, key, "'%.64s' is not well percent-encoded", value);
    return 0;
}

json_t *api_json_text(const char *text)
{
    json_t *json = json_string(text ? text : "");
    if (json)
        return json;
    char *plain = memory_copy_text(text);
    for (char *c = plain; *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    json = json_string(plain);
    free(plain);
    return json;
}

void api_choose_name(const struct ruleset *ruleset, const char *prefix,
                     bool (*taken)(const struct ruleset *ruleset, const char *name), char *name,
                     size_t size)
{
    unsigned number = 0;
    do
        snprintf(name, size, "%s-%u", prefix, ++number);
    while (taken(ruleset, name));
}
