/* Whole rulesets: out to a file, and back. */
#include "ctl/command.h"
#include "ctl/format.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/wire/codec.h"

/* The whole of `path`, "-" for standard input; one byte more than a body may have at most. */
static int read_all(const char *path, struct text *content, struct error *error)
{
    char buffer[65536];
    bool standard_input = strcmp(path, "-") == 0;
    int fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_at(error, -errno, path, "%s", strerror(errno));
    ssize_t got;
    do {
        got = read(fd, buffer, sizeof(buffer));
        if (got > 0)
            text_append_bytes(content, buffer, (size_t)got);
    } while ((got > 0 && content->length <= WIRE_BODY_MAX) || (got < 0 && errno == EINTR));
    int result = got < 0 ? error_set_at(error, -errno, path, "%s", strerror(errno)) : 0;
    if (!standard_input)
        close(fd);
    return result;
}

/* "FILE: place". */
static void name_file(struct error *error, const char *path)
{
    char place[ERROR_PLACE_MAX];
    snprintf(place, sizeof(place), "%s", error->place);
    snprintf(error->place, sizeof(error->place), "%s%s%s", path, place[0] ? ": " : "", place);
}

static void report(struct text *text, const char *path, json_t *ruleset)
{
    static const char *const things[] = {"node", "route", "partition", "fault"};
    static const char *const keys[] = {"nodes", "routes", "partitions", "faults"};
    text_append(text, "%s is in force: ", path);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        text_append(text, "%s", i ? ", " : "");
        format_count(text, (int64_t)json_array_size(json_object_get(ruleset, keys[i])), things[i]);
    }
    text_append(text, " (ruleset %" PRId64 ")\n", format_number(ruleset, "version"));
}

static int put_ruleset(struct session *session, const char *path, json_t *ruleset)
{
    json_t *answer = NULL;
    int code = session_request(session, "PUT", "/v1/ruleset", ruleset, &answer);
    if (code) {
        if (session->error.code == -ESTALE) {
            size_t length = strlen(session->error.message);
            snprintf(session->error.message + length, sizeof(session->error.message) - length,
                     " (--force takes the file whatever is in force)");
        }
        if (code == SESSION_REFUSED && session->error.place[0])
            name_file(&session->error, path);
        return code;
    }
    if (session->json)
        session_print_json(session, answer);
    else
        report(&session->out, path, answer);
    json_decref(answer);
    return SESSION_DONE;
}

int run_apply(struct session *session, const struct arguments *arguments)
{
    struct text content = {0};
    const char *path = arguments->words[1];
    int code = SESSION_USAGE;
    if (read_all(path, &content, &session->error) == 0) {
        json_t *ruleset = wire_parse_object(text_get(&content), content.length, &session->error);
        if (!ruleset)
            name_file(&session->error, path);
        if (ruleset && (arguments->given & OPTION_FORCE))
            json_object_del(ruleset, "version");
        if (ruleset)
            code = put_ruleset(session, path, ruleset);
        json_decref(ruleset);
    }
    text_free(&content);
    return code;
}

/* Into a new file beside it, then renamed: a save that fails leaves what was there. */
static int write_file(const char *path, const char *content, struct error *error)
{
    char temporary[4096];
    if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
        return error_set_at(error, -ENAMETOOLONG, path, "the name is too long");
    FILE *file = fopen(temporary, "we");
    if (!file)
        return error_set_at(error, -errno, temporary, "%s", strerror(errno));
    bool written = fputs(content, file) >= 0;
    written = fclose(file) == 0 && written;
    if (written && rename(temporary, path) == 0)
        return 0;
    int code = error_set_at(error, -errno, path, "%s", strerror(errno));
    unlink(temporary);
    return code;
}

int run_save(struct session *session, const struct arguments *arguments)
{
    json_t *ruleset = NULL;
    int code = session_request(session, "GET", "/v1/ruleset", NULL, &ruleset);
    if (code)
        return code;
    const char *path = arguments->word_count > 1 ? arguments->words[1] : "-";
    session_print_json(session, ruleset);
    if (strcmp(path, "-") != 0) {
        if (write_file(path, text_get(&session->out), &session->error))
            code = SESSION_USAGE;
        text_clear(&session->out);
        if (!code)
            text_append(&session->out, "ruleset %" PRId64 " saved in %s\n",
                        format_number(ruleset, "version"), path);
    }
    json_decref(ruleset);
    return code;
}
