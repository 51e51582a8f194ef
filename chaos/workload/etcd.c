/* Theory of operation
 *
 * One curl handle for each client. Operations go out on a new connection each: libcurl sends a
 * request again, by itself, when a connection that it used before ends without an answer, and a
 * write that was sent twice is two writes. What may be asked twice (who are you) keeps its
 * connection.
 *
 * Whether a request was sent: certainly not while there was no connection. */
#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/workload/driver.h"
#include "proxy/base/monotonic.h"

enum { ANSWER_MAX = 16 * 1024 * 1024 };

struct etcd_client {
    struct driver_place place;
    CURL *curl;
    struct curl_slist *headers;
    char base[ADDRESS_TEXT_MAX + 8], interface[ADDRESS_TEXT_MAX + 8];
    struct text answer;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void start_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void *open_client(const struct driver_place *place)
{
    struct etcd_client *self = memory_allocate_zeroed(1, sizeof(*self));
    char text[ADDRESS_TEXT_MAX];
    pthread_once(&curl_once, start_curl);
    self->place = *place;
    self->curl = memory_must(curl_easy_init());
    self->headers = memory_must(curl_slist_append(NULL, "Content-Type: application/json"));
    self->headers = memory_must(curl_slist_append(self->headers, "Expect:"));
    snprintf(self->base, sizeof(self->base), "http://%s", address_format(place->target, text));
    if (place->source) {
        struct address source = *place->source;
        address_set_port(&source, 0);
        snprintf(self->interface, sizeof(self->interface), "host!%s",
                 address_format(&source, text));
        char *port = strrchr(self->interface, ':');
        if (port)
            *port = '\0';
    }
    return self;
}

static void close_client(void *client)
{
    struct etcd_client *self = client;
    curl_easy_cleanup(self->curl);
    curl_slist_free_all(self->headers);
    text_free(&self->answer);
    free(self);
}

static size_t take(char *data, size_t size, size_t count, void *context)
{
    struct text *answer = context;
    if (answer->length + size * count > ANSWER_MAX)
        return 0;
    text_append_bytes(answer, data, size * count);
    return size * count;
}

static int look_for_abort(void *context, curl_off_t down_total, curl_off_t down,
                          curl_off_t up_total, curl_off_t up)
{
    const struct etcd_client *self = context;
    struct pollfd abort = {.fd = self->place.abort_fd, .events = POLLIN};
    (void)down_total, (void)down, (void)up_total, (void)up;
    return poll(&abort, 1, 0) == 1;
}

static int code_of(CURLcode result)
{
    switch (result) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_ABORTED_BY_CALLBACK:
        return -ECANCELED;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return -ECONNRESET;
    default:
        return -EPROTO;
    }
}

static void set_options(struct etcd_client *self, const char *url, const char *body, bool once,
                        long timeout_ms)
{
    CURL *curl = self->curl;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, self->headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &self->answer);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_for_abort);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, self);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, once ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, once ? 1L : 0L);
    if (self->interface[0])
        curl_easy_setopt(curl, CURLOPT_INTERFACE, self->interface);
}

/* POST; the answer is in self->answer, its HTTP status in *status. once: on a connection of its
 * own, so that it can't be sent twice. *sent: whether the server may have seen it. */
static int post(struct etcd_client *self, const char *path, const char *body, bool once,
                uint64_t deadline_ns, long *status, bool *sent)
{
    char url[sizeof(self->base) + 64];
    uint64_t now_ns = monotonic_now_ns();
    curl_off_t connected = 0;
    *sent = false;
    *status = 0;
    text_clear(&self->answer);
    if (now_ns + NS_PER_MS >= deadline_ns)
        return -ETIMEDOUT;
    snprintf(url, sizeof(url), "%s%s", self->base, path);
    set_options(self, url, body, once, (long)((deadline_ns - now_ns) / NS_PER_MS));
    int code = code_of(curl_easy_perform(self->curl));
    curl_easy_getinfo(self->curl, CURLINFO_CONNECT_TIME_T, &connected);
    curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, status);
    *sent = connected > 0 && code != -ECONNREFUSED;
    return code;
}

static int operate(void *client, struct history_operation *operation, uint64_t deadline_ns)
{
    struct etcd_client *self = client;
    struct text body = {0};
    long status;
    bool sent;
    const char *path = driver_build_etcd(operation, &body);
    int code = post(self, path, text_get(&body), true, deadline_ns, &status, &sent);
    text_free(&body);
    if (code == 0) {
        driver_judge_etcd(operation, status, text_get(&self->answer), self->answer.length);
        return 0;
    }
    const char *reason = code == -ETIMEDOUT      ? (sent ? "timed out" : "connect timed out")
                         : code == -ECONNREFUSED ? "connection refused"
                         : code == -ECONNRESET   ? "connection closed"
                                                 : strerror(-code);
    driver_set_reason(operation, reason, strlen(reason));
    operation->outcome =
        !sent || operation->function == HISTORY_READ ? HISTORY_FAIL : HISTORY_UNKNOWN;
    return code;
}

static int tell(void *client, uint64_t deadline_ns, struct text *out)
{
    struct etcd_client *self = client;
    long status;
    bool sent;
    int code = post(self, "/v3/maintenance/status", "{}", false, deadline_ns, &status, &sent);
    if (code == 0 && status != 200)
        return -EPROTO;
    return code < 0 ? code : driver_tell_etcd(text_get(&self->answer), self->answer.length, out);
}

static bool ping(void *client, uint64_t deadline_ns)
{
    struct text told = {0};
    bool answers = tell(client, deadline_ns, &told) == 0;
    text_free(&told);
    return answers;
}

static int prepare(void *client, unsigned keys, const char *node, uint64_t deadline_ns,
                   struct error *error)
{
    /* Every key there is: from "\0" to the end. */
    static const char all[] = "{\"key\":\"AA==\",\"range_end\":\"AA==\",\"limit\":1}";
    struct etcd_client *self = client;
    long status;
    bool sent;
    (void)keys;
    int code = post(self, "/v3/kv/range", all, false, deadline_ns, &status, &sent);
    if (code < 0 || status != 200)
        return code == -ECANCELED ? code : 0;
    json_t *answer = json_loadb(text_get(&self->answer), self->answer.length, 0, NULL);
    bool fine = json_is_object(json_object_get(answer, "header"));
    bool empty = json_array_size(json_object_get(answer, "kvs")) == 0;
    json_decref(answer);
    if (fine && !empty)
        return error_set(error, -EEXIST,
                         "%s already has keys: an experiment starts with an empty cluster", node);
    return fine;
}

const struct driver driver_etcd = {
    .open = open_client,
    .close = close_client,
    .operate = operate,
    .tell = tell,
    .ping = ping,
    .prepare = prepare,
};
