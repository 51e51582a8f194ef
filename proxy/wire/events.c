/* wire_client_events: server-sent events (WHATWG HTML, section 9.2.6), as much of them as severd
 * sends: lines "id:", "event:", "data:", an empty line ends an event.
 *
 * Theory of operation. The bytes of the stream (stream.c) go through a line buffer; a whole event
 * is parsed and handed to the callback. Lines and data are bounded as an answer is. */
#include <errno.h>
#include <string.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/wire/client_internal.h"
#include "proxy/wire/parse.h"

#define SILENCE_MAX_NS (30 * NS_PER_S)

struct event_stream {
    struct wire_client *client;
    wire_event_fn fn;
    void *context;
    struct text line, type, data;
    struct error error; /* what ended it, code 0 if nothing did */
    bool stopped;       /* by the callback */
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

static bool take(void *context, const char *bytes, size_t length)
{
    struct event_stream *stream = context;
    if (bytes)
        take_bytes(stream, bytes, length);
    else if (!stream->fn(stream->context, NULL, NULL))
        stream->stopped = true;
    return !stream->stopped && stream->error.code == 0;
}

int wire_client_events(struct wire_client *client, wire_event_fn fn, void *context,
                       struct error *error)
{
    struct event_stream stream = {.client = client, .fn = fn, .context = context};
    int code = wire_client_stream(client, "/v1/events", SILENCE_MAX_NS, take, &stream, error);
    if (code == 0 && stream.error.code < 0)
        code = error_set(error, stream.error.code, "%s", stream.error.message);
    else if ((code == 0 || code == -ECONNRESET) && !stream.stopped)
        code = error_set(error, -ECONNRESET, "severd at %s ended the event stream", client->url);
    text_free(&stream.line);
    text_free(&stream.type);
    text_free(&stream.data);
    return code;
}
