/* The captures that there are, and their ends. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/capture/internal.h"

#define RING_BYTES (UINT64_C(4) << 20)

int captures_create(unsigned workers, uint64_t ring_bytes, struct captures **out,
                    struct error *error)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return error_set(error, -errno, "captures: %s", strerror(errno));
    struct captures *captures = memory_allocate_zeroed(1, sizeof(*captures));
    captures->workers = workers;
    captures->ring_bytes = ring_bytes ? ring_bytes : RING_BYTES;
    captures->wake_fd = fd;
    *out = captures;
    return 0;
}

void captures_destroy(struct captures *captures)
{
    if (!captures)
        return;
    while (captures->count > 0) {
        struct capture *capture = captures->list[0];
        capture_leave(capture);
        capture_close(capture);
    }
    close(captures->wake_fd);
    free(captures);
}

int captures_wake_fd(const struct captures *captures)
{
    return captures->wake_fd;
}

void captures_wake_take(struct captures *captures)
{
    uint64_t ignored;
    if (read(captures->wake_fd, &ignored, sizeof(ignored)) < 0)
        return; /* there was nothing */
}

size_t captures_count(const struct captures *captures)
{
    return captures->count;
}

void captures_end(struct captures *captures)
{
    for (size_t i = 0; i < captures->count; i++) {
        struct capture *capture = captures->list[i];
        if (!capture->ended)
            capture->ended_ns = monotonic_now_ns();
        capture->ended = true;
    }
}

uint16_t captures_name(struct captures *captures, const char *name)
{
    for (uint16_t i = 0; i < captures->name_count; i++)
        if (strcmp(captures->names[i], name) == 0)
            return i;
    if (captures->name_count == CAPTURE_NAMES_MAX)
        return CAPTURE_NAMES_MAX - 1;
    uint16_t index = captures->name_count++;
    snprintf(captures->names[index], RULESET_NAME_MAX, "%s",
             index == CAPTURE_NAMES_MAX - 1 ? "others" : name);
    return index;
}

static void free_capture(struct capture *capture)
{
    for (unsigned i = 0; capture->feeds && i < capture->captures->workers; i++)
        capture_ring_destroy(&capture->feeds[i].ring);
    free(capture->feeds);
    match_destroy(capture->program);
    free(capture);
}

static int create_feeds(struct capture *capture, struct error *error)
{
    const struct captures *captures = capture->captures;
    capture->feeds = calloc(captures->workers, sizeof(*capture->feeds));
    int result = capture->feeds ? 0 : -ENOMEM;
    for (unsigned i = 0; !result && i < captures->workers; i++)
        result = capture_ring_create(&capture->feeds[i].ring, captures->ring_bytes);
    return result ? error_set(error, result, "no memory for a capture") : 0;
}

static int compile_filter(struct capture *capture, struct error *error)
{
    if (!capture->filter[0])
        return 0;
    int result = match_compile(capture->filter, &capture->program, error);
    if (result)
        error_prefix_place(error, "filter");
    return result;
}

int capture_open(struct captures *captures, const struct capture_spec *spec, struct capture **out,
                 struct error *error)
{
    if (captures->count == CAPTURE_MAX)
        return error_set(error, -EBUSY, "%d captures run already: end one of them first",
                         CAPTURE_MAX);
    struct capture *capture = memory_allocate_zeroed(1, sizeof(*capture));
    capture->captures = captures;
    capture->kind = spec->kind;
    capture->both_ways = spec->both_ways;
    capture->snaplen = spec->snaplen;
    snprintf(capture->from, sizeof(capture->from), "%s", spec->from ? spec->from : "");
    snprintf(capture->to, sizeof(capture->to), "%s", spec->to ? spec->to : "");
    snprintf(capture->filter, sizeof(capture->filter), "%s", spec->filter);
    int result = compile_filter(capture, error);
    if (!result)
        result = create_feeds(capture, error);
    if (result) {
        free_capture(capture);
        return result;
    }
    if (captures->open++ == 0)
        captures->name_count = 0;
    capture->from_name = capture->from[0] ? captures_name(captures, capture->from) : 0;
    capture->to_name = capture->to[0] ? captures_name(captures, capture->to) : 0;
    capture->begun_ns = capture->told_ns = monotonic_now_ns();
    capture->wall_offset_ns = (uint64_t)wall_now_ns() - capture->begun_ns;
    captures->list[captures->count++] = capture;
    *out = capture;
    return 0;
}

void capture_leave(struct capture *capture)
{
    struct captures *captures = capture->captures;
    for (size_t i = 0; i < captures->count; i++)
        if (captures->list[i] == capture)
            captures->list[i] = captures->list[--captures->count];
}

void capture_close(struct capture *capture)
{
    capture->captures->open--;
    free_capture(capture);
}
