/* GET /v1/capture
 *
 * Theory of operation. libmicrohttpd asks a stream's reader for bytes whenever its socket takes
 * some. The reader asks the backend for blocks of the file, as many as are there, and hands them on
 * piece by piece; when there are none it suspends the connection, and the stream is resumed when
 * the backend says that something is due: that is a time, or the wake descriptor. Nothing is kept
 * for a peer that does not read but the piece in hand; what it misses is lost in the backend's
 * rings, counted, and told in the file.
 *
 * A capture costs the workers something, and there are few: so once a second it is looked whether
 * the peers of suspended streams are there. When the capture is over (the lab has ended, or severd
 * does) the answer ends as it should, with its last chunk. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/api/internal.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/base/units.h"
#include "proxy/fault/ruleset_text.h"

#define LOOK_NS NS_PER_S
#define CLOSE_NS (500 * NS_PER_MS)

enum { BLOCK_BYTES = 32768, TURN_MS = 10, CLOSE_TURNS = CLOSE_NS / NS_PER_MS / TURN_MS };

struct api_capture_stream {
    struct api *api;
    struct api_capture_stream *next, **link;
    struct MHD_Connection *connection;
    struct capture *capture; /* NULL: it was given up */
    bool suspended;
    size_t begin, end; /* of what is left in `bytes` */
    char bytes[API_CAPTURE_BYTES];
};

static const struct api_captures *captures_of(const struct api *api)
{
    return &api->backend.captures;
}

static void resume(struct api_capture_stream *stream)
{
    if (!stream->suspended)
        return;
    stream->suspended = false;
    stream->api->captures.resumed = true;
    MHD_resume_connection(stream->connection);
}

static void give_up(struct api_capture_stream *stream)
{
    if (!stream->capture)
        return;
    captures_of(stream->api)->close(stream->api->backend.context, stream->capture);
    stream->capture = NULL;
    api_reset(stream->connection);
    resume(stream);
}

/* libmicrohttpd's content reader. */
static ssize_t read_stream(void *context, uint64_t position, char *buffer, size_t size)
{
    struct api_capture_stream *stream = context;
    const struct api *api = stream->api;
    (void)position;
    if (!stream->capture)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (stream->begin == stream->end) {
        stream->begin = 0;
        stream->end = captures_of(api)->read(api->backend.context, stream->capture, api->now_ns,
                                             stream->bytes);
    }
    size_t left = stream->end - stream->begin, part = left < size ? left : size;
    memcpy(buffer, stream->bytes + stream->begin, part);
    stream->begin += part;
    if (part > 0)
        return (ssize_t)part;
    if (captures_of(api)->is_over(api->backend.context, stream->capture))
        return MHD_CONTENT_READER_END_OF_STREAM;
    assert(!stream->suspended);
    stream->suspended = true;
    MHD_suspend_connection(stream->connection);
    return 0;
}

static void release_stream(void *context)
{
    struct api_capture_stream *stream = context;
    const struct api *api = stream->api;
    if (stream->capture)
        captures_of(api)->close(api->backend.context, stream->capture);
    *stream->link = stream->next;
    if (stream->next)
        stream->next->link = stream->link;
    free(stream);
}

static void give_up_gone(struct api *api)
{
    for (struct api_capture_stream *s = api->captures.first; s; s = s->next)
        if (s->suspended && api_is_gone(s->connection))
            give_up(s);
    api->captures.looked_ns = api->now_ns;
}

void api_captures_run(struct api *api)
{
    api->captures.resumed = false;
    captures_of(api)->take_wake(api->backend.context);
    if (api->now_ns >= api->captures.looked_ns + LOOK_NS)
        give_up_gone(api);
    for (struct api_capture_stream *s = api->captures.first; s; s = s->next)
        if (s->suspended &&
            captures_of(api)->due_ns(api->backend.context, s->capture) <= api->now_ns)
            resume(s);
}

uint64_t api_captures_deadline_ns(const struct api *api)
{
    uint64_t deadline_ns = UINT64_MAX;
    if (api->captures.resumed)
        return 0;
    for (struct api_capture_stream *s = api->captures.first; s; s = s->next) {
        if (!s->suspended)
            continue; /* its socket tells */
        uint64_t due_ns = captures_of(api)->due_ns(api->backend.context, s->capture);
        uint64_t look_ns = api->captures.looked_ns + LOOK_NS;
        if (due_ns > look_ns)
            due_ns = look_ns;
        if (due_ns < deadline_ns)
            deadline_ns = due_ns;
    }
    return deadline_ns;
}

void api_captures_close(struct api *api)
{
    uint64_t end_ns = monotonic_now_ns() + CLOSE_NS;
    if (api->captures.first)
        captures_of(api)->end_all(api->backend.context);
    /* as many turns also where all of the time passes in one of them, on a busy machine */
    for (unsigned turn = 0; api->captures.first; turn++) {
        api->now_ns = monotonic_now_ns();
        if (turn >= CLOSE_TURNS && api->now_ns >= end_ns)
            break;
        struct pollfd wait = {.fd = api->epoll_fd, .events = POLLIN};
        api_captures_run(api);
        for (size_t i = 0; i < api->server_count; i++)
            MHD_run(api->servers[i].daemon);
        if (api->captures.first)
            poll(&wait, 1, TURN_MS);
    }
    for (struct api_capture_stream *s = api->captures.first; s; s = s->next)
        give_up(s);
}

/* --- the request --- */

struct query {
    char node[API_SEGMENT_MAX], link[API_SEGMENT_MAX], filter[API_SEGMENT_MAX];
    struct ruleset_link ends;
};

/* "n1->n2" or "n1<->n2". */
static int parse_link(const char *text, struct api_capture_spec *spec, struct ruleset_link *link,
                      struct error *error)
{
    const char *arrow = strstr(text, "->");
    bool both_ways = arrow && arrow > text && arrow[-1] == '<';
    size_t length = arrow ? (size_t)(arrow - text) - both_ways : 0;
    if (length == 0 || length >= sizeof(link->from) || strlen(arrow + 2) >= sizeof(link->to) ||
        !arrow[2])
        return error_set_at(error, -EINVAL, "link", "write two nodes, n1->n2 or n1<->n2");
    memcpy(link->from, text, length);
    snprintf(link->to, sizeof(link->to), "%s", arrow + 2);
    if (strcmp(link->from, link->to) == 0)
        return error_set_at(error, -EINVAL, "link", "a link is between two different nodes");
    spec->link = link;
    spec->both_ways = both_ways;
    return 0;
}

static int read_snaplen(const struct api_call *call, struct api_capture_spec *spec,
                        struct error *error)
{
    char text[API_SEGMENT_MAX];
    bool there;
    int64_t snaplen = 0;
    int code = api_get_query(call, "snaplen", text, &there, error);
    if (code == 0 && there)
        code = units_parse_integer(text, 1, UINT32_MAX, "snaplen", &snaplen, error);
    if (code < 0) {
        error_prefix_place(error, error->place[0] ? "" : "snaplen");
        return code;
    }
    spec->snaplen = (uint32_t)snaplen;
    return 0;
}

static int read_query(const struct api_call *call, struct query *query,
                      struct api_capture_spec *spec, struct error *error)
{
    bool has_node = false, has_link = false, has_filter = false;
    int code = api_get_query(call, "node", query->node, &has_node, error);
    if (code == 0)
        code = api_get_query(call, "link", query->link, &has_link, error);
    if (code == 0)
        code = api_get_query(call, "filter", query->filter, &has_filter, error);
    if (code < 0)
        return code;
    if (has_node && has_link)
        return error_set_at(error, -EINVAL, "link", "a capture has a node or a link, not both");
    if (has_filter && (strlen(query->filter) >= RULESET_MATCH_MAX ||
                       !ruleset_text_is_printable(query->filter, strlen(query->filter))))
        return error_set_at(error, -EINVAL, "filter",
                            "a filter is at most %d bytes of printable text",
                            RULESET_MATCH_MAX - 1);
    spec->node = has_node ? query->node : NULL;
    spec->filter = has_filter ? query->filter : "";
    code = has_link ? parse_link(query->link, spec, &query->ends, error) : 0;
    return code < 0 ? code : read_snaplen(call, spec, error);
}

/* The stream is in the list as soon as it is the response's. */
static struct MHD_Response *create_response(struct api_call *call, struct capture *capture)
{
    struct api *api = call->api;
    struct api_capture_stream *stream = memory_allocate_zeroed(1, sizeof(*stream));
    stream->api = api;
    stream->connection = call->connection;
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_stream, stream, release_stream);
    if (!response) {
        free(stream);
        return NULL;
    }
    stream->capture = capture;
    stream->next = api->captures.first;
    stream->link = &api->captures.first;
    if (stream->next)
        stream->next->link = &stream->next;
    api->captures.first = stream;
    return response;
}

int api_get_capture(struct api_call *call, struct error *error)
{
    struct api *api = call->api;
    struct query query = {.ends = {.from = ""}};
    struct api_capture_spec spec = {0};
    struct capture *capture;
    int code = read_query(call, &query, &spec, error);
    if (code < 0)
        return code;
    give_up_gone(api);
    code = captures_of(api)->open(api->backend.context, &spec, &capture, error);
    if (code < 0)
        return code;
    call->response = create_response(call, capture);
    if (!call->response) {
        captures_of(api)->close(api->backend.context, capture);
        return error_set(error, -EIO, "no memory for an answer");
    }
    MHD_add_response_header(call->response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/x-pcapng");
    api_set_deadline(call->connection, UINT64_MAX);
    return API_OK;
}
