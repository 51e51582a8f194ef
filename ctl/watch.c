/* Theory of operation: the events come over one connection that stays open, whose callback is also
 * called every 200 ms without an event. On a terminal each second of those draws the live picture
 * (live.h) over the one that is there, from answers asked for over a second connection; an event
 * and another size of the window draw it at once. Rates are those since the answers of the last
 * second, or of the one before when that is just over. Anywhere else, and with --json, each event
 * is a line. SIGINT and SIGTERM end it with exit 0. */
#include "ctl/command.h"
#include "ctl/format.h"
#include "ctl/live.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"

enum { EVENTS_SHOWN = 8, DEFAULT_WIDTH = 80, DEFAULT_HEIGHT = 24 };

struct sample { /* of the links */
    json_t *links;
    uint64_t at_ns;
};

struct watch {
    struct session *session;
    bool redraw;                /* a terminal, and no --json */
    int code;                   /* what a write has ended with, SESSION_DONE until one fails */
    struct wire_client *second; /* for the tables; NULL when not redrawing */
    struct sample samples[2];   /* of the last two full seconds, the newer first */
    bool due;                   /* something has changed: draw at once */
    struct text events[EVENTS_SHOWN]; /* the newest first */
};

static volatile sig_atomic_t interrupted, resized;

static void note_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static void note_size(int number)
{
    (void)number;
    resized = 1;
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
    watch->due = true;
    return true;
}

/* The sample that rates are counted from: old enough to count something. */
static const struct sample *baseline(const struct watch *watch, uint64_t now_ns)
{
    const struct sample *newer = &watch->samples[0], *older = &watch->samples[1];
    return newer->links && older->links && now_ns - newer->at_ns < NS_PER_S / 2 ? older : newer;
}

static void keep_sample(struct watch *watch, json_t *links, uint64_t now_ns)
{
    json_decref(watch->samples[1].links);
    watch->samples[1] = watch->samples[0];
    watch->samples[0] = (struct sample){json_incref(links), now_ns};
}

static void paint(struct watch *watch, const struct live_view *asked)
{
    struct live_view view = *asked;
    struct winsize window = {0};
    struct text lines = {0};
    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
    view.width = window.ws_col ? window.ws_col : DEFAULT_WIDTH;
    view.height = window.ws_row ? window.ws_row : DEFAULT_HEIGHT;
    while (view.event_count < EVENTS_SHOWN && watch->events[view.event_count].length)
        view.event_count++;
    live_format(&lines, &view);
    live_paint(&watch->session->out, text_get(&lines));
    text_free(&lines);
}

/* False when severd no longer answers, or the terminal is gone. */
static bool draw(struct watch *watch)
{
    struct session *session = watch->session;
    uint64_t now_ns = monotonic_now_ns();
    bool full = !watch->samples[0].links || now_ns - watch->samples[0].at_ns >= NS_PER_S;
    if (!full && !watch->due && !resized)
        return true;
    watch->due = false;
    resized = 0;
    json_t *links = NULL, *status = NULL, *faults = NULL;
    struct wire_client *client = watch->second;
    bool answered =
        !wire_client_request(client, "GET", "/v1/status", NULL, &status, &session->error) &&
        !wire_client_request(client, "GET", "/v1/faults", NULL, &faults, &session->error) &&
        !wire_client_request(client, "GET", "/v1/links", NULL, &links, &session->error);
    if (answered) {
        const struct sample *since = baseline(watch, now_ns);
        paint(watch, &(struct live_view){.url = wire_client_url(client),
                                         .status = status,
                                         .links = links,
                                         .faults = faults,
                                         .before = since->links,
                                         .interval_ns = now_ns - since->at_ns,
                                         .events = watch->events,
                                         .colour = session->colour});
    }
    if (answered && full)
        keep_sample(watch, links, now_ns);
    json_decref(status);
    json_decref(faults);
    json_decref(links);
    return answered && print_now(watch);
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

/* The cursor has no place in the picture. At the end it stands below. */
static void show_cursor(struct watch *watch, bool shown)
{
    if (!watch->redraw)
        return;
    text_clear(&watch->session->out);
    text_append(&watch->session->out, shown ? "\033[?25h\n" : "\033[?25l\033[2J");
    (void)session_write(watch->session);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = note_signal}, size = {.sa_handler = note_size};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGWINCH, &size, NULL);
}

int run_watch(struct session *session, const struct arguments *arguments)
{
    (void)arguments;
    catch_signals();
    struct watch watch = {.session = session, .redraw = !session->json && isatty(STDOUT_FILENO)};
    if (watch.redraw && wire_client_create(wire_client_url(session->client), "severctl",
                                           &watch.second, &session->error))
        return SESSION_UNREACHABLE;
    show_cursor(&watch, false);
    int result = wire_client_events(session->client, on_event, &watch, &session->error);
    show_cursor(&watch, true);
    wire_client_destroy(watch.second);
    json_decref(watch.samples[0].links);
    json_decref(watch.samples[1].links);
    for (size_t i = 0; i < EVENTS_SHOWN; i++)
        text_free(&watch.events[i]);
    if (interrupted || watch.code)
        return watch.code;
    if (!result && !session->error.message[0])
        error_set(&session->error, -1, "severd has closed the connection");
    return SESSION_UNREACHABLE;
}
