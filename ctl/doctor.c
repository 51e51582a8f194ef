#include <errno.h>

#include "ctl/command.h"
#include "ctl/format.h"

/* What severd needs and lacks, as "open files, memory". */
static void append_lacking(struct text *text, json_t *answer)
{
    json_t *checks = json_object_get(answer, "checks"), *check;
    size_t index;
    json_array_foreach(checks, index, check)
    {
        if (!format_true(check, "ok") && format_true(check, "needed"))
            text_append(text, "%s%s", text->length ? ", " : "", format_string(check, "name"));
    }
}

int run_doctor(struct session *session, const struct arguments *arguments)
{
    (void)arguments;
    json_t *answer = NULL;
    struct text lacking = {0};
    int code = session_request(session, "GET", "/v1/doctor", NULL, &answer);
    if (code)
        return code;
    if (session->json)
        session_print_json(session, answer);
    else
        format_doctor(&session->out, answer, session->colour);
    append_lacking(&lacking, answer);
    json_decref(answer);
    code = session_write(session);
    if (code == SESSION_DONE && lacking.length) {
        error_set(&session->error, -ENOSYS, "severd lacks what it needs: %s", text_get(&lacking));
        code = SESSION_LACKING;
    }
    text_free(&lacking);
    return code;
}
