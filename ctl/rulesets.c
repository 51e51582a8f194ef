/* Whole rulesets: out to a file, and back. */
#include "ctl/command.h"
#include "ctl/format.h"
#include "ctl/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/wire/codec.h"

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

/* Says which two versions differ: either may be the newer one, for severd counts from 1 again when
 * it is started. Without an answer severd's own words stay. */
static void explain_stale(struct session *session, int64_t saved)
{
    int64_t now;
    if (session_get_version(session, &now))
        error_set_at(&session->error, -ESTALE, "version",
                     "severd is at version %" PRId64 ", the file was saved at %" PRId64
                     "; --force applies it anyway",
                     now, saved);
}

static int put_ruleset(struct session *session, const char *path, json_t *ruleset)
{
    json_t *answer = NULL;
    int code = session_request(session, "PUT", "/v1/ruleset", ruleset, &answer);
    if (code && session->error.code == -ESTALE)
        explain_stale(session, format_number(ruleset, "version"));
    if (code == SESSION_REFUSED && session->error.place[0])
        text_file_name(&session->error, path);
    if (code)
        return session->error.code == -EINVAL ? SESSION_USAGE : code;
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
    if (text_file_read(path, WIRE_BODY_MAX, &content, &session->error) == 0) {
        json_t *ruleset = wire_parse_object(text_get(&content), content.length, &session->error);
        if (!ruleset)
            text_file_name(&session->error, path);
        if (ruleset && (arguments->given & OPTION_FORCE))
            json_object_del(ruleset, "version");
        if (ruleset)
            code = put_ruleset(session, path, ruleset);
        json_decref(ruleset);
    }
    text_free(&content);
    return code;
}

/* All of it, then closes fd. 0 or a negative errno. */
static int write_all(int fd, const struct text *content)
{
    int code = 0;
    for (size_t done = 0; !code && done < content->length;) {
        ssize_t written = write(fd, content->data + done, content->length - done);
        if (written > 0)
            done += (size_t)written;
        else if (errno != EINTR)
            code = -errno;
    }
    if (close(fd) && !code)
        code = -errno;
    return code;
}

/* Into a file of its own beside `path`, then renamed: a save that fails leaves what was there.
 * before: what was there, whose owner (where that can be) and mode the new file has, or NULL. */
static int replace_file(const char *path, const struct stat *before, const struct text *content)
{
    struct text temporary = {0};
    mode_t mask = umask(0);
    umask(mask);
    text_append(&temporary, "%s.XXXXXX", path);
    int code = 0, fd = mkostemp(temporary.data, O_CLOEXEC);
    if (fd < 0)
        code = -errno;
    if (!code && before && fchown(fd, before->st_uid, before->st_gid))
        code = 0; /* only root can give a file away: then it is ours from here on */
    if (!code && fchmod(fd, before ? before->st_mode & 0777 : 0666 & ~mask)) {
        code = -errno;
        close(fd);
    } else if (!code) {
        code = write_all(fd, content);
    }
    if (!code && rename(temporary.data, path))
        code = -errno;
    if (code && fd >= 0)
        unlink(temporary.data);
    text_free(&temporary);
    return code;
}

/* A regular file, or one that isn't there, is replaced in one step, behind a symbolic link too.
 * Anything else (a pipe, a device, a link to nowhere) is what it is: it is written into. */
static int write_file(const char *path, const struct text *content, struct error *error)
{
    struct stat status, link;
    int code;
    if (stat(path, &status) == 0 && S_ISREG(status.st_mode)) {
        char *resolved = realpath(path, NULL);
        code = resolved ? replace_file(resolved, &status, content) : -errno;
        free(resolved);
    } else if (lstat(path, &link) < 0 && errno == ENOENT) {
        code = replace_file(path, NULL, content);
    } else {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
        code = fd < 0 ? -errno : write_all(fd, content);
    }
    return code ? error_set_at(error, code, path, "%s", strerror(-code)) : 0;
}

static void report_saved(struct session *session, const char *path, int64_t version)
{
    if (!session->json) {
        text_append(&session->out, "ruleset %" PRId64 " saved in %s\n", version, path);
        return;
    }
    json_t *saved = json_pack("{s:s, s:I}", "saved", path, "ruleset_version", (json_int_t)version);
    session_print_json(session, saved);
    json_decref(saved);
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
        if (write_file(path, &session->out, &session->error))
            code = SESSION_USAGE;
        text_clear(&session->out);
        if (!code)
            report_saved(session, path, format_number(ruleset, "version"));
    }
    json_decref(ruleset);
    return code;
}
