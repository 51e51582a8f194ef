/* wire_client_events: server-sent events (WHATWG HTML, section 9.2.6), as much of them as severd
 * sends: lines "id:", "event:", "data:", an empty line ends an event.
 *
 * Theory of operation. curl's multi interface waits, so that the callback gets its turn every
 * 200 ms although nothing comes. Bytes go through a line buffer; a whole event is parsed and handed
 * to the callback inside curl's write callback. Lines and data are bounded as an answer is. */
#include <errno.h>
#include <string.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/wire/client_internal.h"
#include "proxy/wire/parse.h"

#define SILENCE_MAX_NS (30 * NS_PER_S)

enum { TURN_MS = 200, STATUS_OK = 200 };

struct event_stream {
    struct wire_client *client;
    wire_event_fn fn;
    void *context;
    struct text line, type, data;
    struct error error; /* what ended it, code 0 if nothing did */
    bool stopped;       /* by the callback */
    uint64_t heard_ns;  /* when bytes last came */
};

static void finish_event(struct event_stream *stream)
{
    if (stream->data.length > 0) {
        struct error why;
        json_t *json =
            wire_parse_bounded(text_get(&stream->data), stream->data.length, WIRE_ANSWER_MAX, &why);
        if (!json)
            error_set(&stream->error, -EPROTO, "an event from %s is not JSON: %s",
                      stream->client->url, why.message);
        else if (!stream->fn(stream->context, text_get(&stream->type), json))
            stream->stopped = true;
        json_decref(json);
    }
    text_clear(&stream->type);
    text_clear(&stream->data);
}

/* The value after "field:" and one space, or NULL when the line is another field's. */
static const char *field_value(const char *line, const char *field)
{
    size_t length = strlen(field);
    if (strncmp(line, field, length) != 0 || line[length] != ':')
        return NULL;
    return line + length + (line[length + 1] == ' ' ? 2 : 1);
}

static void take_line(struct event_stream *stream)
{
    const char *line = text_get(&stream->line), *value;
    if (line[0] == '\0') {
        finish_event(stream);
    } else if ((value = field_value(line, "event")) != NULL) {
        text_clear(&stream->type);
        text_append(&stream->type, "%s", value);
    } else if ((value = field_value(line, "data")) != NULL) {
        text_append(&stream->data, "%s%s", stream->data.length > 0 ? "\n" : "", value);
    }
    text_clear(&stream->line);
}

static void take_bytes(struct event_stream *stream, const char *bytes, size_t length)
{
    while (length > 0 && !stream->stopped && stream->error.code == 0) {
        const char *end = memchr(bytes, '\n', length);
        size_t part = end ? (size_t)(end - bytes) : length;
        if (stream->line.length + stream->data.length + part > WIRE_ANSWER_MAX) {
            error_set(&stream->error, -EPROTO, "an event from %s is too long", stream->client->url);
            return;
        }
        text_append_bytes(&stream->line, bytes, part);
        if (end)
            take_line(stream);
        bytes += part + (end != NULL);
        length -= part + (end != NULL);
    }
}

static size_t receive(char *bytes, size_t size, size_t count, void *context)
{
    struct event_stream *stream = context;
    size_t length = size * count;
    long status = 0;
    stream->heard_ns = monotonic_now_ns();
    curl_easy_getinfo(stream->client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == STATUS_OK)
        take_bytes(stream, bytes, length);
    else if (stream->client->received.length + length <= WIRE_ANSWER_MAX)
        text_append_bytes(&stream->client->received, bytes, length);
    return stream->stopped || stream->error.code < 0 ? 0 : length;
}

/* What the transfer ended with, once it has. */
static int judge_end(struct event_stream *stream, CURLcode result, struct error *error)
{
    long status = 0;
    if (stream->stopped)
        return 0;
    if (stream->error.code < 0)
        return error_set(error, stream->error.code, "%s", stream->error.message);
    curl_easy_getinfo(stream->client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (result != CURLE_OK && status == 0)
        return wire_client_explain(stream->client, result, error);
    if (status != STATUS_OK)
        return wire_client_refusal(stream->client, status, error);
    return error_set(error, -ECONNRESET, "severd at %s ended the event stream",
                     stream->client->url);
}

/* Runs the transfer to its end. */
static int follow(struct event_stream *stream, CURLM *multi, struct error *error)
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
            return error_set(error, -EIO, "waiting for events of %s: %s", stream->client->url,
                             curl_multi_strerror(code));
        uint64_t now_ns = monotonic_now_ns();
        if (now_ns - told_ns >= TURN_MS * NS_PER_MS) {
            told_ns = now_ns;
            if (!stream->fn(stream->context, NULL, NULL))
                return 0;
        }
        if (now_ns - stream->heard_ns > SILENCE_MAX_NS)
            return error_set(error, -ETIMEDOUT,
                             "nothing has come from severd at %s for 30 s, no heartbeat either: "
                             "look whether it is stopped",
                             stream->client->url);
    }
}

int wire_client_events(struct wire_client *client, wire_event_fn fn, void *context,
                       struct error *error)
{
    struct event_stream stream = {
        .client = client, .fn = fn, .context = context, .heard_ns = monotonic_now_ns()};
    struct curl_slist *headers = NULL;
    int code = wire_client_prepare(client, "/v1/events", &headers, error);
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
    text_free(&stream.line);
    text_free(&stream.type);
    text_free(&stream.data);
    return code;
}
