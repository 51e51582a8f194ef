/* /v1/doctor */
#include "proxy/api/internal.h"

int api_get_doctor(struct api_call *call, struct error *error)
{
    const struct api_backend *backend = &call->api->backend;
    struct api_check checks[API_CHECKS_MAX];
    json_t *list = json_array();
    (void)error;
    size_t count = backend->doctor(backend->context, checks);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:b, s:b, s:o, s:s, s:s}", "name", checks[i].name,
                                        "ok", (int)checks[i].ok, "needed", (int)checks[i].needed,
                                        "found", api_json_text(checks[i].found), "means",
                                        checks[i].means, "advice", checks[i].advice));
    call->answer = json_pack("{s:o}", "checks", list);
    return API_OK;
}
