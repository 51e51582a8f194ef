/* GET /v1/doctor
 *
 * Theory of operation. An examination takes some tenths of a second, so it is made on a thread of
 * its own, and the API answers others meanwhile. Who asks while one is being made waits for that
 * one (wait.h): there is never more than one. An eventfd says when it is over. */
#include "proxy/api/doctor.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proxy/api/internal.h"
#include "proxy/base/text.h"

struct api_examination {
    const struct api_backend *backend;
    int over_fd;
    pthread_t thread;
    struct api_check checks[API_CHECKS_MAX];
    size_t count;
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

static json_t *encode(const struct api_check *checks, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:b, s:b, s:o, s:s, s:s}", "name", checks[i].name,
                                        "ok", (int)checks[i].ok, "needed", (int)checks[i].needed,
                                        "found", api_json_text(checks[i].found), "means",
                                        checks[i].means, "advice", checks[i].advice));
    return json_pack("{s:o}", "checks", list);
}

/* Waits for the thread, and hands its findings to all who have asked. */
static void end_examination(struct api *api)
{
    struct api_doctor *doctor = &api->doctor;
    struct api_examination *examination = doctor->being_made;
    pthread_join(examination->thread, NULL);
    json_decref(doctor->answer);
    doctor->answer = encode(examination->checks, examination->count);
    free(examination);
    doctor->being_made = NULL;
    while (doctor->first) {
        struct api_wait *first = doctor->first;
        doctor->first = first->next;
        api_wait_end(api, first);
    }
}

void api_doctor_run(struct api *api)
{
    eventfd_t ignored;
    if (eventfd_read(api->doctor.over_fd, &ignored) == 0 && api->doctor.being_made)
        end_examination(api);
}

void api_doctor_close(struct api *api)
{
    if (api->doctor.being_made)
        end_examination(api);
    if (api->doctor.over_fd >= 0)
        close(api->doctor.over_fd);
    json_decref(api->doctor.answer);
    api->doctor.answer = NULL;
}

int api_get_doctor(struct api_call *call, struct error *error)
{
    struct api_doctor *doctor = &call->api->doctor;
    if (call->wait) {
        call->answer = json_incref(doctor->answer);
        return API_OK;
    }
    int code = doctor->being_made ? 0 : begin_examination(call->api, error);
    if (code < 0)
        return code;
    call->wait = memory_allocate_zeroed(1, sizeof(*call->wait));
    *call->wait = (struct api_wait){.connection = call->connection, .next = doctor->first};
    doctor->first = call->wait;
    api_wait_begin(call->wait);
    return API_LATER;
}
