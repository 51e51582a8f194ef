/* The blocking client of the control API.
 *
 * Theory of operation. One curl handle, reset before every request and so reused with its
 * connection. All of an answer is collected (bounded), then parsed. Whatever fails is told as
 * something that a person at a terminal can act on: that severd is not there, that it is slow, that
 * somebody else answers on its port, or severd's own message and place. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/wire/client_internal.h"
#include "proxy/wire/codec.h"
#include "proxy/wire/parse.h"

#define DEFAULT_TIMEOUT_NS (10 * NS_PER_S)

enum { BY_MAX = 63 };

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

static void start_curl(void)
{
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* Visible ASCII, so that it is one header's value and nothing else. */
static bool is_token(const char *text)
{
    size_t length = 0;
    while (text[length] > ' ' && text[length] < 0x7f)
        length++;
    return length > 0 && text[length] == '\0';
}

/* "http://host:port" and nothing after it but a slash; a password in front of the host is the
 * token, curl's to free (NULL: none). */
static bool is_http_url(const char *url, char **token)
{
    char *port = NULL, *path = NULL, *extra = NULL;
    CURLU *parsed = curl_url();
    bool fine = strncmp(url, "http://", 7) == 0 && parsed &&
                curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(parsed, CURLUPART_PORT, &port, 0) == CURLUE_OK &&
                curl_url_get(parsed, CURLUPART_PATH, &path, 0) == CURLUE_OK &&
                strcmp(path, "/") == 0 &&
                curl_url_get(parsed, CURLUPART_QUERY, &extra, 0) != CURLUE_OK;
    if (fine && curl_url_get(parsed, CURLUPART_PASSWORD, token, CURLU_URLDECODE) == CURLUE_OK)
        fine = is_token(*token);
    else
        fine = fine && curl_url_get(parsed, CURLUPART_USER, &extra, 0) != CURLUE_OK;
    curl_free(port);
    curl_free(path);
    curl_free(extra);
    curl_url_cleanup(parsed);
    return fine;
}

static bool is_header_text(const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length > BY_MAX)
        return false;
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

/* token: NULL for none in the URL. */
static struct wire_client *make_client(CURL *curl, const char *url, bool unix_socket,
                                       const char *by, const char *token)
{
    struct wire_client *made = memory_allocate_zeroed(1, sizeof(*made));
    struct text shown = {0};
    text_append(&shown, "%s%s", token ? "http://" : "", token ? strrchr(url, '@') + 1 : url);
    made->curl = curl;
    made->url = memory_copy_text(text_get(&shown));
    made->base = memory_copy_text(unix_socket ? "http://localhost" : made->url);
    size_t length = strlen(made->base);
    if (made->base[length - 1] == '/')
        made->base[length - 1] = '\0';
    made->socket_path = unix_socket ? memory_copy_text(url + 5) : NULL;
    made->by = memory_copy_text(by);
    made->token = token ? memory_copy_text(token) : NULL;
    made->timeout_ns = DEFAULT_TIMEOUT_NS;
    text_free(&shown);
    return made;
}

int wire_client_create(const char *url, const char *by, struct wire_client **client,
                       struct error *error)
{
    char *token = NULL;
    CURL *curl = NULL;
    bool unix_socket = strncmp(url, "unix:/", 6) == 0;
    int code = 0;
    if (!unix_socket && !is_http_url(url, &token))
        code = error_set(error, -EINVAL,
                         "'%.200s' is not where severd can be: write http://host:port, such as %s, "
                         "or unix:/path/to.sock",
                         url, WIRE_DEFAULT_URL);
    else if (!is_header_text(by))
        code = error_set(error, -EINVAL, "who asks is named by 1 to %d bytes of text", BY_MAX);
    pthread_once(&curl_once, start_curl);
    if (code == 0 && !(curl = curl_ready == CURLE_OK ? curl_easy_init() : NULL))
        code = error_set(error, -ENOMEM, "libcurl does not start");
    if (code == 0)
        *client = make_client(curl, url, unix_socket, by, token);
    curl_free(token);
    return code;
}

void wire_client_destroy(struct wire_client *client)
{
    if (!client)
        return;
    curl_easy_cleanup(client->curl);
    text_free(&client->received);
    free(client->url);
    free(client->base);
    free(client->socket_path);
    free(client->by);
    free(client->token);
    free(client);
}

const char *wire_client_url(const struct wire_client *client)
{
    return client->url;
}

void wire_client_set_timeout(struct wire_client *client, uint64_t timeout_ns)
{
    client->timeout_ns = timeout_ns ? timeout_ns : DEFAULT_TIMEOUT_NS;
}

void wire_client_set_wait(struct wire_client *client, wire_wait_fn fn, void *context)
{
    client->wait = fn;
    client->wait_context = context;
}

/* curl's progress callback: not 0 ends the transfer. */
static int wait_on(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct wire_client *client = context;
    (void)a, (void)b, (void)c, (void)d;
    return client->wait(client->wait_context) ? 0 : 1;
}

static size_t collect(char *bytes, size_t size, size_t count, void *context)
{
    struct wire_client *client = context;
    size_t length = size * count;
    if (client->received.length + length > WIRE_ANSWER_MAX)
        return 0;
    text_append_bytes(&client->received, bytes, length);
    return length;
}

static void add_header(struct curl_slist **headers, const char *name, const char *value)
{
    struct text line = {0};
    text_append(&line, "%s: %s", name, value);
    *headers = memory_must(curl_slist_append(*headers, text_get(&line)));
    text_free(&line);
}

int wire_client_prepare(struct wire_client *client, const char *path, struct curl_slist **headers,
                        struct error *error)
{
    if (strncmp(path, "/v1", 3) != 0)
        return error_set(error, -EINVAL, "'%.64s' is not a path of the API: they begin with /v1",
                         path);
    struct text url = {0};
    text_append(&url, "%s%s", client->base, path);
    text_clear(&client->received);
    curl_easy_reset(client->curl);
    curl_easy_setopt(client->curl, CURLOPT_URL, text_get(&url));
    text_free(&url);
    curl_easy_setopt(client->curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(client->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
    if (client->socket_path)
        curl_easy_setopt(client->curl, CURLOPT_UNIX_SOCKET_PATH, client->socket_path);
    add_header(headers, "X-Sever-By", client->by);
    add_header(headers, "User-Agent", "sever-wire");
    const char *token = client->token ? client->token : getenv("SEVER_TOKEN");
    if (token && is_token(token)) {
        struct text bearer = {0};
        text_append(&bearer, "Bearer %s", token);
        add_header(headers, "Authorization", text_get(&bearer));
        text_free(&bearer);
    }
    return 0;
}

int wire_client_explain(const struct wire_client *client, CURLcode result, struct error *error)
{
    switch (result) {
    case CURLE_OK:
        return 0;
    case CURLE_COULDNT_CONNECT:
        return error_set(error, -ECONNREFUSED,
                         "severd does not answer at %s: start it, or set SEVER_URL", client->url);
    case CURLE_COULDNT_RESOLVE_HOST:
        return error_set(error, -ECONNREFUSED,
                         "the host in %s is not known: correct the address, or set SEVER_URL",
                         client->url);
    case CURLE_OPERATION_TIMEDOUT:
        return error_set(error, -ETIMEDOUT,
                         "severd at %s did not answer within %" PRIu64
                         " ms: look whether it is stopped or overloaded",
                         client->url, client->timeout_ns / NS_PER_MS);
    case CURLE_ABORTED_BY_CALLBACK:
        return error_set(error, -ECANCELED, "interrupted");
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return error_set(error, -EPROTO,
                         "severd at %s closed the connection in the middle (%s): look at its log",
                         client->url, curl_easy_strerror(result));
    default:
        return error_set(error, -EPROTO, "what answers at %s does not speak severd's API (%s)",
                         client->url, curl_easy_strerror(result));
    }
}

static int code_of_status(long status)
{
    switch (status) {
    case 400:
        return -EINVAL;
    case 401:
        return -ENOKEY;
    case 404:
        return -ENOENT;
    case 409:
        return -EEXIST;
    case 412:
        return -ESTALE;
    default:
        return -EIO;
    }
}

int wire_client_refusal(const struct wire_client *client, long status, struct error *error)
{
    const char *message = NULL, *place = "";
    struct error ignored;
    int code = code_of_status(status);
    json_t *json = wire_parse_bounded(text_get(&client->received), client->received.length,
                                      WIRE_ANSWER_MAX, &ignored);
    if (json_unpack(json, "{s:{s:s, s?:s}}", "error", "message", &message, "place", &place) == 0)
        error_set_at(error, code, place, "%s", message);
    else
        code = error_set(error, -EPROTO,
                         "what answers at %s does not speak severd's API (status %ld): look what "
                         "listens there, or set SEVER_URL",
                         client->url, status);
    json_decref(json);
    return code;
}

/* The answer at hand as JSON; NULL for an empty one. */
static int take_answer(struct wire_client *client, json_t **answer, struct error *error)
{
    struct error why;
    *answer = NULL;
    if (client->received.length == 0)
        return 0;
    *answer = wire_parse_bounded(text_get(&client->received), client->received.length,
                                 WIRE_ANSWER_MAX, &why);
    if (*answer)
        return 0;
    return error_set_at(error, -EPROTO, why.place,
                        "what answers at %s does not speak severd's API: %s", client->url,
                        why.message);
}

static int exchange(struct wire_client *client, json_t **answer, struct error *error)
{
    long status = 0;
    CURLcode result = curl_easy_perform(client->curl);
    if (result != CURLE_OK)
        return wire_client_explain(client, result, error);
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299)
        return wire_client_refusal(client, status, error);
    json_t *json = NULL;
    int code = take_answer(client, &json, error);
    if (answer && code == 0)
        *answer = json;
    else
        json_decref(json);
    return code;
}

static int request(struct wire_client *client, const char *method, const char *path,
                   const char *if_match, json_t *body, json_t **answer, struct error *error)
{
    struct curl_slist *headers = NULL;
    int code = wire_client_prepare(client, path, &headers, error);
    if (code < 0)
        return code;
    char *text = body ? memory_must(json_dumps(body, WIRE_DUMP_FLAGS)) : NULL;
    curl_easy_setopt(client->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, client);
    curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS,
                     (long)((client->timeout_ns + NS_PER_MS - 1) / NS_PER_MS));
    if (client->wait) {
        curl_easy_setopt(client->curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(client->curl, CURLOPT_XFERINFOFUNCTION, wait_on);
        curl_easy_setopt(client->curl, CURLOPT_XFERINFODATA, client);
    }
    if (if_match)
        add_header(&headers, "If-Match", if_match);
    if (text || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
        add_header(&headers, "Content-Type", "application/json");
        add_header(&headers, "Expect", "");
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)(text ? strlen(text) : 0));
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, text ? text : "");
    }
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
    code = exchange(client, answer, error);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, NULL);
    curl_slist_free_all(headers);
    free(text);
    return code;
}

int wire_client_request(struct wire_client *client, const char *method, const char *path,
                        json_t *body, json_t **answer, struct error *error)
{
    return request(client, method, path, NULL, body, answer, error);
}

int wire_client_request_matching(struct wire_client *client, const char *method, const char *path,
                                 uint64_t version, json_t *body, json_t **answer,
                                 struct error *error)
{
    char if_match[32];
    snprintf(if_match, sizeof(if_match), "\"%" PRIu64 "\"", version);
    return request(client, method, path, if_match, body, answer, error);
}
