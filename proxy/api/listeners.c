/* Theory of operation. libmicrohttpd asks a listener's reader for bytes whenever its socket takes
 * some. The reader copies from the queue; when that is empty it suspends the connection, which
 * takes it out of libmicrohttpd's epoll altogether, and the next event resumes it. (Nothing becomes
 * readable by that, so `resumed` makes the API's deadline come at once.) So a queue is
 * empty exactly while its connection is suspended. A peer that is gone is found by the next
 * heartbeat, or when a new listener finds no room. A peer that does not read fills the socket, then
 * the queue; the event that finds the queue full resets the connection instead, and libmicrohttpd
 * then releases everything in its own time, through release_listener. */
#include "proxy/api/listeners.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/api/internal.h"
#include "proxy/base/log.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/wire/codec.h"

#define HEARTBEAT_NS (10 * NS_PER_S)

enum { BLOCK_BYTES = 16384 };

struct api_event {
    unsigned references;
    uint64_t version;
    size_t length;
    char bytes[];
};

struct api_listener {
    struct api_listeners *listeners;
    struct api_listener *next, **link;
    struct MHD_Connection *connection;
    struct api_event *queue[API_LISTENER_EVENTS_MAX];
    size_t head, count;
    size_t sent; /* bytes of the head that are out */
    bool suspended, closing;
};

static struct api_event *create_event(uint64_t version, const char *type, json_t *data)
{
    struct text text = {0};
    char *json = memory_must(json_dumps(data, WIRE_DUMP_FLAGS));
    text_append(&text, "id: %" PRIu64 "\nevent: %s\ndata: %s\n\n", version, type, json);
    free(json);
    struct api_event *event = memory_allocate(sizeof(*event) + text.length);
    *event = (struct api_event){.references = 1, .version = version, .length = text.length};
    memcpy(event->bytes, text_get(&text), text.length);
    text_free(&text);
    return event;
}

static void release_event(struct api_event *event)
{
    if (event && --event->references == 0)
        free(event);
}

static void release_queue(struct api_listener *listener)
{
    for (; listener->count > 0; listener->count--) {
        release_event(listener->queue[listener->head]);
        listener->head = (listener->head + 1) % API_LISTENER_EVENTS_MAX;
    }
}

static void resume(struct api_listener *listener)
{
    if (!listener->suspended)
        return;
    listener->suspended = false;
    listener->listeners->resumed = true;
    MHD_resume_connection(listener->connection);
}

/* The connection ends soon; nothing more is sent. It ends with RST, or the kernel would keep what
 * the peer does not read. */
static void drop(struct api_listener *listener)
{
    if (listener->closing)
        return;
    listener->closing = true;
    listener->listeners->count--;
    release_queue(listener);
    api_reset(listener->connection);
    resume(listener);
}

static void push(struct api_listener *listener, struct api_event *event)
{
    if (listener->closing)
        return;
    if (listener->count == API_LISTENER_EVENTS_MAX) {
        log_warn("a listener of events does not read: it is dropped after %d unsent events",
                 API_LISTENER_EVENTS_MAX);
        drop(listener);
        return;
    }
    event->references++;
    listener->queue[(listener->head + listener->count) % API_LISTENER_EVENTS_MAX] = event;
    listener->count++;
    resume(listener);
}

static void push_to_all(struct api_listeners *listeners, struct api_event *event)
{
    for (struct api_listener *l = listeners->first; l; l = l->next)
        push(l, event);
}

/* What came to be, by whom: `changes` is borrowed. */
static struct api_event *create_told(uint64_t version, const char *type, const char *by,
                                     json_t *changes)
{
    json_t *data =
        json_pack("{s:I, s:s, s:O}", "version", (json_int_t)version, "by", by, "changes", changes);
    memory_must(data);
    struct api_event *event = create_event(version, type, data);
    json_decref(data);
    return event;
}

void api_listeners_tell_change(struct api_listeners *listeners, uint64_t version, const char *by,
                               json_t *changes)
{
    struct api_event *event = create_told(version, "ruleset", by, changes);
    struct api_event **place =
        &listeners->history[listeners->history_count++ % API_LISTENER_EVENTS_MAX];
    push_to_all(listeners, event);
    release_event(*place);
    *place = event;
}

void api_listeners_tell_lab(struct api_listeners *listeners, uint64_t version, const char *by,
                            const char *text)
{
    json_t *changes = json_array();
    json_array_append_new(changes, json_string(text));
    struct api_event *event = create_told(version, "lab", by, changes);
    push_to_all(listeners, event);
    release_event(event);
    json_decref(changes);
}

void api_listeners_run(struct api_listeners *listeners, uint64_t version, uint64_t now_ns)
{
    if (listeners->count == 0 || now_ns < listeners->heartbeat_ns)
        return;
    json_t *data = json_pack("{s:I}", "version", (json_int_t)version);
    memory_must(data);
    struct api_event *event = create_event(version, "heartbeat", data);
    json_decref(data);
    push_to_all(listeners, event);
    release_event(event);
    listeners->heartbeat_ns = now_ns + HEARTBEAT_NS;
}

uint64_t api_listeners_deadline_ns(const struct api_listeners *listeners)
{
    if (listeners->resumed)
        return 0;
    return listeners->count > 0 ? listeners->heartbeat_ns : UINT64_MAX;
}

/* libmicrohttpd's content reader. */
static ssize_t read_events(void *context, uint64_t position, char *buffer, size_t size)
{
    struct api_listener *listener = context;
    size_t filled = 0;
    (void)position;
    if (listener->closing)
        return MHD_CONTENT_READER_END_OF_STREAM;
    while (listener->count > 0 && filled < size) {
        struct api_event *event = listener->queue[listener->head];
        size_t left = event->length - listener->sent;
        size_t part = left < size - filled ? left : size - filled;
        memcpy(buffer + filled, event->bytes + listener->sent, part);
        filled += part;
        listener->sent += part;
        if (listener->sent == event->length) {
            release_event(event);
            listener->sent = 0;
            listener->head = (listener->head + 1) % API_LISTENER_EVENTS_MAX;
            listener->count--;
        }
    }
    if (filled == 0) {
        assert(!listener->suspended);
        listener->suspended = true;
        MHD_suspend_connection(listener->connection);
    }
    return (ssize_t)filled;
}

static void release_listener(void *context)
{
    struct api_listener *listener = context;
    release_queue(listener);
    *listener->link = listener->next;
    if (listener->next)
        listener->next->link = listener->link;
    if (!listener->closing)
        listener->listeners->count--;
    free(listener);
}

/* Queues the changes after `since` if all of them are still known. */
static bool push_history(struct api_listener *listener, uint64_t since, uint64_t version)
{
    const struct api_listeners *listeners = listener->listeners;
    uint64_t missed = version - since;
    size_t kept = listeners->history_count < API_LISTENER_EVENTS_MAX ? listeners->history_count
                                                                     : API_LISTENER_EVENTS_MAX;
    if (since >= version || missed > kept)
        return false;
    size_t from = listeners->history_count - (size_t)missed;
    if (listeners->history[from % API_LISTENER_EVENTS_MAX]->version != since + 1)
        return false;
    for (size_t i = from; i < listeners->history_count; i++)
        push(listener, listeners->history[i % API_LISTENER_EVENTS_MAX]);
    return true;
}

static void drop_gone(struct api_listeners *listeners)
{
    for (struct api_listener *l = listeners->first; l; l = l->next)
        if (!l->closing && api_is_gone(l->connection))
            drop(l);
}

struct MHD_Response *api_listeners_add(struct api_listeners *listeners,
                                       struct MHD_Connection *connection, const uint64_t *since,
                                       uint64_t version, const char *by, uint64_t now_ns)
{
    if (listeners->count == API_LISTENERS_MAX)
        drop_gone(listeners);
    if (listeners->count == API_LISTENERS_MAX)
        return NULL;
    struct api_listener *listener = memory_allocate_zeroed(1, sizeof(*listener));
    listener->listeners = listeners;
    listener->connection = connection;
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_events, listener, release_listener);
    if (!response) {
        free(listener);
        return NULL;
    }
    listener->next = listeners->first;
    listener->link = &listeners->first;
    if (listener->next)
        listener->next->link = &listener->next;
    listeners->first = listener;
    if (listeners->count++ == 0)
        listeners->heartbeat_ns = now_ns + HEARTBEAT_NS;
    if (!since || !push_history(listener, *since, version)) {
        json_t *none = json_array();
        struct api_event *event = create_told(version, "ruleset", by, none);
        push(listener, event);
        release_event(event);
        json_decref(none);
    }
    return response;
}

void api_listeners_close(struct api_listeners *listeners)
{
    for (struct api_listener *l = listeners->first; l; l = l->next)
        drop(l);
    for (size_t i = 0; i < API_LISTENER_EVENTS_MAX; i++) {
        release_event(listeners->history[i]);
        listeners->history[i] = NULL;
    }
    listeners->history_count = 0;
}
