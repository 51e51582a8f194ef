/* severctl capture: the packets of a lab, into a file, a pipe, or as lines.
 *
 * Theory of operation. What severd sends is the file. It is looked at block by block on its way, so
 * that the file ends with a whole block whatever ends the capture, packets can be counted, and what
 * severd says it has lost is known. The stream's callback also comes when nothing arrives, for
 * Ctrl-C and --duration. */
#include "ctl/command.h"
#include "ctl/format.h"
#include "ctl/packet_line.h"
#include "ctl/pcapng_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/units.h"

enum { PATH_BYTES = 2048 };

struct run {
    struct session *session;
    const char *path;  /* of the file; NULL: lines */
    FILE *file;        /* once there is something to write: an old file is not lost for nothing */
    uint64_t count;    /* 0: any */
    uint64_t until_ns; /* 0: any time */
    struct pcapng_reader reader;
    int code;     /* of what could not be written or read */
    bool reached; /* what was asked for, or the pipe's reader has gone */
};

static volatile sig_atomic_t interrupted;

static void note_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* --- what to capture --- */

static bool is_node(json_t *lab, const char *name)
{
    json_t *node;
    size_t index;
    json_array_foreach(json_object_get(lab, "nodes"), index, node)
    {
        if (strcmp(format_string(node, "name"), name) == 0)
            return true;
    }
    return false;
}

/* Appends the target to the path. Returns how many words it took. */
static size_t take_target(json_t *lab, const char *const words[], size_t count, char *path)
{
    char link[PATH_BYTES / 4];
    if (count > 0 && strstr(words[0], "->")) {
        wire_path_append_query(path, PATH_BYTES, "link", words[0]);
        return 1;
    }
    if (count == 0 || !is_node(lab, words[0]))
        return 0;
    if (count == 1 || !is_node(lab, words[1])) {
        wire_path_append_query(path, PATH_BYTES, "node", words[0]);
        return 1;
    }
    snprintf(link, sizeof(link), "%s<->%s", words[0], words[1]);
    wire_path_append_query(path, PATH_BYTES, "link", link);
    return 2;
}

static void append_filter(const char *const words[], size_t count, char *path)
{
    struct text filter = {0};
    for (size_t i = 0; i < count; i++)
        text_append(&filter, "%s%s", i ? " " : "", words[i]);
    if (count)
        wire_path_append_query(path, PATH_BYTES, "filter", text_get(&filter));
    text_free(&filter);
}

/* Asks severd for the lab's nodes, to know what the words mean. *unknown: a word that
 * is where a node might be, and is taken as the filter's first. */
static int make_path(struct session *session, const struct arguments *arguments, char *path,
                     const char **unknown)
{
    const char *const *words = arguments->words + 1;
    size_t count = arguments->word_count - 1;
    json_t *lab = NULL;
    int code = session_request(session, "GET", "/v1/lab", NULL, &lab);
    if (code)
        return code;
    if (!json_is_true(json_object_get(lab, "up"))) {
        json_decref(lab);
        return session_refuse(session, "there is no lab: severctl lab up 3 starts one");
    }
    snprintf(path, PATH_BYTES, "/v1/capture");
    size_t taken = take_target(lab, words, count, path);
    *unknown = taken < count && taken < 2 ? words[taken] : NULL;
    append_filter(words + taken, count - taken, path);
    if (arguments->snaplen)
        wire_path_append_query(path, PATH_BYTES, "snaplen", arguments->snaplen);
    json_decref(lab);
    return path[0] ? SESSION_DONE : session_usage(session, "the filter is too long");
}

/* --- one packet --- */

static void append_time(struct text *text, uint64_t time_ns)
{
    struct tm tm;
    time_t seconds = (time_t)(time_ns / NS_PER_S);
    char clock[16] = "?";
    if (localtime_r(&seconds, &tm))
        strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
    text_append(text, "%s.%06u", clock, (unsigned)(time_ns % NS_PER_S / NS_PER_US));
}

/* The comment is "n1->n2 delivered after 80.012 ms". */
static void print_line(struct text *out, const struct pcapng_seen *packet)
{
    size_t link = strcspn(packet->comment, " ");
    const char *fate = packet->comment + link;
    append_time(out, packet->time_ns);
    text_append(out, "  %.*s  ", (int)link, packet->comment);
    packet_line_append(out, packet->bytes, packet->captured);
    text_append(out, ", %u bytes  %s\n", packet->length, *fate ? fate + 1 : "");
}

static void print_json(struct text *out, const struct pcapng_seen *packet)
{
    struct text brief = {0};
    size_t link = strcspn(packet->comment, " ");
    const char *fate = packet->comment + link;
    packet_line_append(&brief, packet->bytes, packet->captured);
    json_t *line = json_pack("{s:I, s:s%, s:s, s:s, s:i}", "time_ns", (json_int_t)packet->time_ns,
                             "link", packet->comment, link, "fate", *fate ? fate + 1 : "", "packet",
                             text_get(&brief), "length", (int)packet->length);
    char *dump = json_dumps(line, JSON_COMPACT);
    text_append(out, "%s\n", dump ? dump : "");
    free(dump);
    json_decref(line);
    text_free(&brief);
}

static bool open_file(struct run *run)
{
    if (!run->file)
        run->file = strcmp(run->path, "-") == 0 ? stdout : fopen(run->path, "we");
    if (run->file)
        return true;
    error_set_at(&run->session->error, -errno, run->path, "%s", strerror(errno));
    run->code = SESSION_USAGE;
    return false;
}

static bool on_block(void *context, const void *block, size_t length,
                     const struct pcapng_seen *packet)
{
    struct run *run = context;
    struct session *session = run->session;
    if (run->path && !open_file(run))
        return false;
    if (run->path)
        fwrite(block, 1, length, run->file); /* its failure shows when it is flushed */
    else if (packet && session->json)
        print_json(&session->out, packet);
    else if (packet)
        print_line(&session->out, packet);
    run->reached = run->count && run->reader.packets >= run->count;
    return !run->reached;
}

/* --- the stream --- */

/* False when it can't be written. */
static bool flush(struct run *run)
{
    struct session *session = run->session;
    if (run->code)
        return false;
    if (!run->path)
        run->code = session_write(session);
    if (run->code && session->error.code == -EPIPE) { /* who reads has seen enough */
        run->code = SESSION_DONE;
        run->reached = true;
        return false;
    }
    if (!run->path || !run->file)
        return run->code == SESSION_DONE;
    if (fflush(run->file) == 0 && !ferror(run->file))
        return true;
    if (run->file == stdout && errno == EPIPE) {
        run->reached = true;
        return false;
    }
    error_set_at(&session->error, -errno, run->path, "%s", strerror(errno));
    run->code = SESSION_UNWRITABLE;
    return false;
}

static bool on_bytes(void *context, const char *bytes, size_t length)
{
    struct run *run = context;
    int result = 0;
    if (bytes)
        result = pcapng_reader_take(&run->reader, bytes, length, &run->session->error);
    if (result < 0)
        run->code = SESSION_UNREACHABLE;
    if (run->until_ns && monotonic_now_ns() >= run->until_ns)
        run->reached = true;
    return flush(run) && result == 0 && !run->reached && !interrupted;
}

static void catch_signals(void)
{
    /* A block that is being written is written whole; waiting for more ends all the same. */
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

static void say_end(const struct run *run)
{
    uint64_t packets = run->reader.packets, lost = pcapng_reader_lost(&run->reader);
    const char *why = interrupted || run->reached || run->code ? "" : "the capture has ended: ";
    fprintf(stderr, "severctl: %s%" PRIu64 " packet%s captured, %" PRIu64 " lost\n", why, packets,
            packets == 1 ? "" : "s", lost);
}

/* What a filter that is refused begins with may have been meant as a node. */
static void blame_word(struct error *error, const char *word)
{
    char why[ERROR_MESSAGE_MAX];
    snprintf(why, sizeof(why), "%s", error->message);
    error_set_at(error, error->code, error->place,
                 "'%.64s' is no node of the lab (severctl lab status), and as a filter: %s", word,
                 why);
}

static int stream(struct run *run, const char *path, const char *unknown)
{
    struct session *session = run->session;
    catch_signals();
    int result = wire_client_stream(session->client, path, 0, on_bytes, run, &session->error);
    if (result == -EINVAL && unknown)
        blame_word(&session->error, unknown);
    if (result == -EINVAL || result == -ENOENT || result == -EIO)
        return SESSION_REFUSED;
    if (result && result != -ECONNRESET)
        return SESSION_UNREACHABLE;
    if (run->code != SESSION_USAGE)
        say_end(run);
    return result ? SESSION_UNREACHABLE : run->code;
}

static int read_options(struct run *run, const struct arguments *arguments)
{
    struct session *session = run->session;
    int64_t count = 0;
    uint64_t duration_ns = 0;
    const char *path = arguments->write;
    if (arguments->count &&
        units_parse_integer(arguments->count, 1, INT64_MAX, "--count", &count, &session->error))
        return SESSION_USAGE;
    if (arguments->duration &&
        units_parse_duration(arguments->duration, &duration_ns, &session->error))
        return SESSION_USAGE;
    run->count = (uint64_t)count;
    run->until_ns = arguments->duration ? monotonic_now_ns() + duration_ns : 0;
    run->path = path;
    if (path && session->json)
        return session_usage(session, "--json is for lines; -w writes pcapng");
    if (path && strcmp(path, "-") == 0 && isatty(STDOUT_FILENO))
        return session_usage(session, "a capture is not for a terminal: write -w FILE, or leave -w "
                                      "out for lines");
    return SESSION_DONE;
}

int run_capture(struct session *session, const struct arguments *arguments)
{
    struct run run = {.session = session};
    char path[PATH_BYTES];
    const char *unknown = NULL;
    run.reader.block = on_block;
    run.reader.context = &run;
    int code = read_options(&run, arguments);
    if (!code)
        code = make_path(session, arguments, path, &unknown);
    if (!code)
        code = stream(&run, path, unknown);
    if (run.file && run.file != stdout && fclose(run.file) && !code) {
        error_set_at(&session->error, -errno, run.path, "%s", strerror(errno));
        code = SESSION_UNWRITABLE;
    }
    pcapng_reader_free(&run.reader);
    return code;
}
