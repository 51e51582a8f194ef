#include "ctl/command.h"
#include "ctl/format.h"

int run_status(struct session *session, const struct arguments *arguments)
{
    (void)arguments;
    json_t *status = NULL;
    int code = session_request(session, "GET", "/v1/status", NULL, &status);
    if (code)
        return code;
    if (session->json)
        session_print_json(session, status);
    else
        format_status(&session->out, status, wire_client_url(session->client));
    json_decref(status);
    return SESSION_DONE;
}
