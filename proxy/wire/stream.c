/* wire_client_stream: an answer that has no end, as its bytes come.
 *
 * Theory of operation. curl's multi interface waits, so that the callback gets its turn every
 * 200 ms although nothing comes; bytes are handed to it inside curl's write callback. An answer
 * other than 200 is collected, for its error. */
#include <errno.h>
#include <string.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/wire/client_internal.h"

enum { TURN_MS = 200, STATUS_OK = 200 };

struct stream {
    struct wire_client *client;
    wire_bytes_fn fn;
    void *context;
    bool stopped;      /* by the callback */
    uint64_t heard_ns; /* when bytes last came */
    uint64_t silence_ns;
};

static size_t receive(char *bytes, size_t size, size_t count, void *context)
{
    struct stream *stream = context;
    size_t length = size * count;
    long status = 0;
    stream->heard_ns = monotonic_now_ns();
    curl_easy_getinfo(stream->client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == STATUS_OK)
        stream->stopped = stream->stopped || !stream->fn(stream->context, bytes, length);
    else if (stream->client->received.length + length <= WIRE_ANSWER_MAX)
        text_append_bytes(&stream->client->received, bytes, length);
    return stream->stopped ? 0 : length;
}

/* What the transfer ended with, once it has. */
static int judge_end(const struct stream *stream, CURLcode result, struct error *error)
{
    long status = 0;
    if (stream->stopped)
        return 0;
    curl_easy_getinfo(stream->client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 0 && status != STATUS_OK)
        return wire_client_refusal(stream->client, status, error);
    if (result == CURLE_OK)
        return 0;
    if (status == 0)
        return wire_client_explain(stream->client, result, error);
    return error_set(error, -ECONNRESET, "severd at %s has gone in the middle of its answer",
                     stream->client->url);
}

/* Runs the transfer to its end. */
static int follow(struct stream *stream, CURLM *multi, struct error *error)
{
    int running = 1, left = 0;
    uint64_t told_ns = monotonic_now_ns();
    for (;;) {
        CURLMcode code = curl_multi_perform(multi, &running);
        if (code == CURLM_OK && running == 0) {
            const CURLMsg *message = curl_multi_info_read(multi, &left);
            return judge_end(stream, message ? message->data.result : CURLE_RECV_ERROR, error);
        }
        if (code == CURLM_OK)
            code = curl_multi_poll(multi, NULL, 0, TURN_MS, NULL);
        if (code != CURLM_OK)
            return error_set(error, -EIO, "waiting for what %s sends: %s", stream->client->url,
                             curl_multi_strerror(code));
        uint64_t now_ns = monotonic_now_ns();
        if (now_ns - told_ns >= TURN_MS * NS_PER_MS) {
            told_ns = now_ns;
            if (!stream->fn(stream->context, NULL, 0))
                return 0;
        }
        if (stream->silence_ns && now_ns - stream->heard_ns > stream->silence_ns)
            return error_set(error, -ETIMEDOUT,
                             "nothing has come from severd at %s for %d s, no heartbeat either: "
                             "look whether it is stopped",
                             stream->client->url, (int)(stream->silence_ns / NS_PER_S));
    }
}

int wire_client_stream(struct wire_client *client, const char *path, uint64_t silence_ns,
                       wire_bytes_fn fn, void *context, struct error *error)
{
    struct stream stream = {.client = client,
                            .fn = fn,
                            .context = context,
                            .heard_ns = monotonic_now_ns(),
                            .silence_ns = silence_ns};
    struct curl_slist *headers = NULL;
    int code = wire_client_prepare(client, path, &headers, error);
    if (code < 0)
        return code;
    CURLM *multi = memory_must(curl_multi_init());
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, &stream);
    curl_easy_setopt(client->curl, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(client->timeout_ns / NS_PER_MS));
    curl_multi_add_handle(multi, client->curl);
    code = follow(&stream, multi, error);
    curl_multi_remove_handle(multi, client->curl);
    curl_multi_cleanup(multi);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    return code;
}
