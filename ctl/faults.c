/* Delay, loss and rate: each reads its words, makes a fault, and says what severd made of it. */
#include "ctl/command.h"
#include "ctl/format.h"
#include "ctl/target.h"

#include <stdio.h>
#include <string.h>

#include "proxy/base/random.h"
#include "proxy/base/units.h"

enum { PLACE_TEXT_MAX = 256 };

/* Says what the fault really does, when that is less than its place promises. */
static void append_applied(struct text *text, const char *applied)
{
    bool everywhere = strcmp(applied, "all routes") == 0 || strcmp(applied, "the route") == 0;
    if (applied[0] && !everywhere)
        text_append(text, "applies to %s\n", applied);
}

/* The last word is the value, those before it the link. POST, then "latency-1: n1->n2 80ms". */
static int set_fault(struct session *session, const struct arguments *arguments, json_t *body)
{
    char place[PLACE_TEXT_MAX];
    if (target_parse_fault(arguments, arguments->words + 1, arguments->word_count - 2, body, place,
                           sizeof(place), &session->error)) {
        json_decref(body);
        return SESSION_USAGE;
    }
    if (arguments->name)
        json_object_set_new(body, "name", json_string(arguments->name));
    json_t *fault = NULL;
    int code = session_request(session, "POST", "/v1/faults", body, &fault);
    json_decref(body);
    if (code)
        return code;
    if (session->json) {
        session_print_json(session, fault);
    } else {
        text_append(&session->out, "%s on %s: ", format_string(fault, "type"), place);
        format_fault_parameters(&session->out, fault);
        text_append(&session->out, " as %s", format_string(fault, "name"));
        session_end_line(session);
        append_applied(&session->out, format_string(fault, "applied"));
    }
    json_decref(fault);
    return SESSION_DONE;
}

static const char *last_word(const struct arguments *arguments)
{
    return arguments->words[arguments->word_count - 1];
}

int run_delay(struct session *session, const struct arguments *arguments)
{
    uint64_t delay_ns, jitter_ns;
    enum ruleset_distribution distribution = RULESET_UNIFORM;
    if (units_parse_duration_spread(last_word(arguments), &delay_ns, &jitter_ns, &session->error))
        return SESSION_USAGE;
    if (arguments->distribution &&
        ruleset_parse_distribution(arguments->distribution, &distribution, &session->error))
        return SESSION_USAGE;
    if (arguments->distribution && !jitter_ns)
        return session_usage(session, "--distribution is that of the jitter: write %s±JITTER",
                             last_word(arguments));
    json_t *body = json_pack("{s:s, s:I, s:I, s:s}", "type", "latency", "delay_ns",
                             (json_int_t)delay_ns, "jitter_ns", (json_int_t)jitter_ns,
                             "distribution", ruleset_distribution_name(distribution));
    return set_fault(session, arguments, body);
}

int run_loss(struct session *session, const struct arguments *arguments)
{
    uint32_t ppb;
    if (units_parse_probability(last_word(arguments), &ppb, &session->error))
        return SESSION_USAGE;
    return set_fault(
        session, arguments,
        json_pack("{s:s, s:f}", "type", "loss", "probability", (double)ppb / RANDOM_PPB_ONE));
}

int run_rate(struct session *session, const struct arguments *arguments)
{
    uint64_t bytes_per_s, burst = 0, queue = 0;
    if (units_parse_rate(last_word(arguments), &bytes_per_s, &session->error) ||
        (arguments->burst && units_parse_size(arguments->burst, &burst, &session->error)) ||
        (arguments->queue && units_parse_size(arguments->queue, &queue, &session->error)))
        return SESSION_USAGE;
    return set_fault(session, arguments,
                     json_pack("{s:s, s:I, s:I, s:I}", "type", "rate", "bytes_per_s",
                               (json_int_t)bytes_per_s, "burst_bytes", (json_int_t)burst,
                               "queue_bytes", (json_int_t)queue));
}

int run_faults(struct session *session, const struct arguments *arguments)
{
    const char *verb = arguments->word_count > 1 ? arguments->words[1] : "list";
    if (strcmp(verb, "list") == 0 && arguments->word_count <= 2)
        return session_list(session, "/v1/faults", format_faults);
    if (strcmp(verb, "clear") == 0 && arguments->word_count == 2)
        return session_remove(session, "/v1/faults", "faults", "all faults removed");
    if (strcmp(verb, "remove") != 0 || arguments->word_count != 3)
        return session_usage(session,
                             "write: severctl faults, faults remove NAME, or faults clear");
    char path[SESSION_PATH_MAX], done[SESSION_PATH_MAX];
    const char *name = arguments->words[2];
    snprintf(done, sizeof(done), "fault %s removed", name);
    return session_remove(session, session_path(path, "faults", name), name, done);
}
