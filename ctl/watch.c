/* Theory of operation: the events come over one connection that stays open, whose callback is also
 * called every 200 ms without an event. On a terminal each second of those redraws a table of the
 * links, asked for over a second connection, with the rates since the last one, and the newest
 * events below it; anywhere else each event is a line. SIGINT and SIGTERM end it with exit 0. */
#include "ctl/command.h"
#include "ctl/format.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"

enum { EVENTS_SHOWN = 8 };

struct watch {
    struct session *session;
    bool redraw;                /* a terminal, and no --json */
    int code;                   /* what a write has ended with, SESSION_DONE until one fails */
    struct wire_client *second; /* for the tables; NULL when not redrawing */
    json_t *links;              /* the answer drawn last */
    uint64_t drawn_ns;
    struct text events[EVENTS_SHOWN]; /* the newest first */
};

static volatile sig_atomic_t interrupted;

static void note_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* False when nobody can read it any more. */
static bool print_now(struct watch *watch)
{
    watch->code = session_write(watch->session);
    return watch->code == SESSION_DONE;
}

static void append_event(struct text *text, const char *event, json_t *data)
{
    if (strcmp(event, "lab") == 0)
        format_lab_event(text, data);
    else
        format_event(text, data);
}

static void keep_event(struct watch *watch, const char *event, json_t *data)
{
    struct text oldest = watch->events[EVENTS_SHOWN - 1];
    memmove(&watch->events[1], &watch->events[0], sizeof(oldest) * (EVENTS_SHOWN - 1));
    text_clear(&oldest);
    append_event(&oldest, event, data);
    watch->events[0] = oldest;
}

/* False when it can't be written. */
static bool show_event(struct watch *watch, const char *event, json_t *data)
{
    struct text *out = &watch->session->out;
    if (watch->session->json) {
        json_t *line = json_pack("{s:s, s:O}", "event", event, "data", data);
        char *dump = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
        if (dump)
            text_append(out, "%s\n", dump);
        free(dump);
        json_decref(line);
        return print_now(watch);
    }
    if (strcmp(event, "ruleset") != 0 && strcmp(event, "lab") != 0)
        return true;
    if (!watch->redraw) {
        append_event(out, event, data);
        text_append(out, "\n");
        return print_now(watch);
    }
    keep_event(watch, event, data);
    watch->drawn_ns = 0; /* at once */
    return true;
}

/* False when severd no longer answers, or the terminal is gone. */
static bool draw(struct watch *watch)
{
    struct session *session = watch->session;
    uint64_t now_ns = monotonic_now_ns();
    uint64_t interval_ns = now_ns - watch->drawn_ns;
    if (watch->drawn_ns && interval_ns < NS_PER_S)
        return true;
    json_t *links = NULL, *status = NULL;
    if (wire_client_request(watch->second, "GET", "/v1/status", NULL, &status, &session->error) ||
        wire_client_request(watch->second, "GET", "/v1/links", NULL, &links, &session->error)) {
        json_decref(status);
        return false;
    }
    text_append(&session->out, "\033[H\033[J");
    format_status(&session->out, status, wire_client_url(watch->second));
    text_append(&session->out, "\n");
    format_link_rates(&session->out, links, watch->drawn_ns ? watch->links : NULL, interval_ns,
                      session->colour);
    text_append(&session->out, "\n");
    for (size_t i = 0; i < EVENTS_SHOWN && watch->events[i].length; i++)
        text_append(&session->out, "%s\n", text_get(&watch->events[i]));
    json_decref(status);
    json_decref(watch->links);
    watch->links = links;
    watch->drawn_ns = now_ns;
    return print_now(watch);
}

static bool on_event(void *context, const char *event, json_t *data)
{
    struct watch *watch = context;
    if (interrupted)
        return false;
    if (event && !show_event(watch, event, data))
        return false;
    return !watch->redraw || draw(watch);
}

int run_watch(struct session *session, const struct arguments *arguments)
{
    (void)arguments;
    struct sigaction action = {.sa_handler = note_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct watch watch = {.session = session, .redraw = !session->json && isatty(STDOUT_FILENO)};
    if (watch.redraw && wire_client_create(wire_client_url(session->client), "severctl",
                                           &watch.second, &session->error))
        return SESSION_UNREACHABLE;
    int result = wire_client_events(session->client, on_event, &watch, &session->error);
    wire_client_destroy(watch.second);
    json_decref(watch.links);
    for (size_t i = 0; i < EVENTS_SHOWN; i++)
        text_free(&watch.events[i]);
    if (interrupted || watch.code)
        return watch.code;
    if (!result && !session->error.message[0])
        error_set(&session->error, -1, "severd has closed the connection");
    return SESSION_UNREACHABLE;
}
