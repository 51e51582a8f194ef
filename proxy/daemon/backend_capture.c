/* The API's side of captures: one begins or ends with a publication under the plan in force. */
#include <errno.h>

#include "proxy/capture/capture.h"
#include "proxy/daemon/backend_internal.h"
#include "proxy/daemon/lab_state.h"

_Static_assert((int)API_CAPTURE_BYTES >= (int)CAPTURE_READ_MIN, "a read has the room it needs");

static int check_node(const struct backend *backend, const char *name, const char *place,
                      struct error *error)
{
    if (lab_state_has(backend->lab, name))
        return 0;
    return error_set_at(error, -ENOENT, place, "there is no node '%s' in the lab", name);
}

static int check_spec(const struct backend *backend, const struct api_capture_spec *spec,
                      struct error *error)
{
    int result = 0;
    if (!lab_state_is_up(backend->lab))
        return error_set(error, -ENOENT, "there is no lab: severctl lab up 3 starts one");
    if (spec->node)
        result = check_node(backend, spec->node, "node", error);
    if (!result && spec->link)
        result = check_node(backend, spec->link->from, "link", error);
    if (!result && spec->link)
        result = check_node(backend, spec->link->to, "link", error);
    if (!result && spec->snaplen &&
        (spec->snaplen < CAPTURE_SNAPLEN_MIN || spec->snaplen > CAPTURE_SNAPLEN_DEFAULT))
        result = error_set_at(error, -EINVAL, "snaplen", "write a number of bytes from %d to %d",
                              CAPTURE_SNAPLEN_MIN, CAPTURE_SNAPLEN_DEFAULT);
    return result;
}

static int open_capture(void *context, const struct api_capture_spec *spec,
                        struct capture **capture, struct error *error)
{
    struct backend *backend = context;
    int result = check_spec(backend, spec, error);
    if (result)
        return result;
    struct capture_spec wanted = {
        .filter = spec->filter, .snaplen = spec->snaplen ? spec->snaplen : CAPTURE_SNAPLEN_DEFAULT};
    if (spec->node) {
        wanted.kind = CAPTURE_NODE;
        wanted.from = spec->node;
    } else if (spec->link) {
        wanted.kind = CAPTURE_LINK;
        wanted.from = spec->link->from;
        wanted.to = spec->link->to;
        wanted.both_ways = spec->both_ways;
    }
    result = capture_open(backend->captures, &wanted, capture, error);
    if (!result)
        backend_republish(backend);
    return result;
}

static void close_capture(void *context, struct capture *capture)
{
    capture_leave(capture);
    backend_republish(context);
    capture_close(capture);
}

static size_t read_capture(void *context, struct capture *capture, uint64_t now_ns, void *buffer)
{
    (void)context;
    return capture_read(capture, now_ns, buffer, API_CAPTURE_BYTES);
}

static uint64_t due_ns(void *context, struct capture *capture)
{
    (void)context;
    return capture_due_ns(capture);
}

static bool is_over(void *context, const struct capture *capture)
{
    (void)context;
    return capture_is_over(capture);
}

static void end_all(void *context)
{
    captures_end(((struct backend *)context)->captures);
}

static int wake_fd(void *context)
{
    return captures_wake_fd(((const struct backend *)context)->captures);
}

static void take_wake(void *context)
{
    captures_wake_take(((struct backend *)context)->captures);
}

struct api_captures backend_capture_api(void)
{
    return (struct api_captures){
        .open = open_capture,
        .close = close_capture,
        .read = read_capture,
        .due_ns = due_ns,
        .is_over = is_over,
        .end_all = end_all,
        .wake_fd = wake_fd,
        .take_wake = take_wake,
    };
}
