/* GET /v1/doctor
 *
 * Theory of operation. An examination takes some tenths of a second, so it is made on a thread of
 * its own, and the API answers others meanwhile. Who asks while one is being made waits for that
 * one: there is never more than one. The connections of those who wait are suspended; an eventfd
 * says when it is over. */
#include "proxy/api/doctor.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proxy/api/internal.h"
#include "proxy/base/text.h"
#include "proxy/wire/codec.h"

enum { BLOCK_BYTES = 16384 };

struct api_examination {
    const struct api_backend *backend;
    int over_fd;
    pthread_t thread;
    struct api_check checks[API_CHECKS_MAX];
    size_t count;
};

/* One answer. */
struct api_diagnosis {
    struct api_diagnosis *next, **link;
    struct MHD_Connection *connection;
    bool suspended;
    char *text; /* NULL: it is still being examined */
    size_t length;
};

int api_doctor_open(struct api_doctor *doctor)
{
    doctor->over_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return doctor->over_fd < 0 ? -errno : 0;
}

static void *examine(void *context)
{
    struct api_examination *examination = context;
    const struct api_backend *backend = examination->backend;
    examination->count = backend->doctor(backend->context, examination->checks);
    eventfd_write(examination->over_fd, 1);
    return NULL;
}

static int begin_examination(struct api *api, struct error *error)
{
    struct api_examination *examination = memory_allocate_zeroed(1, sizeof(*examination));
    examination->backend = &api->backend;
    examination->over_fd = api->doctor.over_fd;
    int code = pthread_create(&examination->thread, NULL, examine, examination);
    if (code) {
        free(examination);
        return error_set(error, -code, "no thread to examine this machine: %s", strerror(code));
    }
    api->doctor.being_made = examination;
    return 0;
}

static char *dump(const struct api_check *checks, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:b, s:b, s:o, s:s, s:s}", "name", checks[i].name,
                                        "ok", (int)checks[i].ok, "needed", (int)checks[i].needed,
                                        "found", api_json_text(checks[i].found), "means",
                                        checks[i].means, "advice", checks[i].advice));
    json_t *answer = json_pack("{s:o}", "checks", list);
    char *text = memory_must(json_dumps(answer, WIRE_DUMP_FLAGS));
    json_decref(answer);
    return text;
}

/* Waits for the thread, and hands its findings to all who have asked. */
static void end_examination(struct api *api)
{
    struct api_examination *examination = api->doctor.being_made;
    pthread_join(examination->thread, NULL);
    char *text = dump(examination->checks, examination->count);
    for (struct api_diagnosis *d = api->doctor.first; d; d = d->next) {
        if (d->text)
            continue;
        d->text = memory_copy_text(text);
        d->length = strlen(text);
        if (d->suspended)
            MHD_resume_connection(d->connection);
        api->doctor.resumed |= d->suspended;
        d->suspended = false;
    }
    free(text);
    free(examination);
    api->doctor.being_made = NULL;
}

void api_doctor_run(struct api *api)
{
    eventfd_t ignored;
    api->doctor.resumed = false;
    if (eventfd_read(api->doctor.over_fd, &ignored) == 0 && api->doctor.being_made)
        end_examination(api);
}

void api_doctor_close(struct api *api)
{
    if (api->doctor.being_made)
        end_examination(api);
    if (api->doctor.over_fd >= 0)
        close(api->doctor.over_fd);
}

/* libmicrohttpd's content reader. */
static ssize_t read_diagnosis(void *context, uint64_t position, char *buffer, size_t size)
{
    struct api_diagnosis *diagnosis = context;
    if (!diagnosis->text) {
        diagnosis->suspended = true;
        MHD_suspend_connection(diagnosis->connection);
        return 0;
    }
    size_t left = diagnosis->length - (size_t)position, part = left < size ? left : size;
    if (part == 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    memcpy(buffer, diagnosis->text + position, part);
    return (ssize_t)part;
}

static void release_diagnosis(void *context)
{
    struct api_diagnosis *diagnosis = context;
    *diagnosis->link = diagnosis->next;
    if (diagnosis->next)
        diagnosis->next->link = diagnosis->link;
    free(diagnosis->text);
    free(diagnosis);
}

int api_get_doctor(struct api_call *call, struct error *error)
{
    struct api *api = call->api;
    int code = api->doctor.being_made ? 0 : begin_examination(api, error);
    if (code < 0)
        return code;
    struct api_diagnosis *diagnosis = memory_allocate_zeroed(1, sizeof(*diagnosis));
    *diagnosis = (struct api_diagnosis){
        .connection = call->connection, .next = api->doctor.first, .link = &api->doctor.first};
    call->response = memory_must(MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_diagnosis, diagnosis, release_diagnosis));
    if (diagnosis->next)
        diagnosis->next->link = &diagnosis->next;
    api->doctor.first = diagnosis;
    MHD_add_response_header(call->response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    return API_OK;
}
