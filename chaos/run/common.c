#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "chaos/run/commands.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"

enum { PROGRESS_S = 2, WIDTH_DEFAULT = 100 };

int command_read_file(const char *path, size_t limit, char **content, size_t *length,
                      struct error *error)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set_at(error, -errno, path, "%s", strerror(errno));
    struct text text = {0};
    char buffer[16384];
    size_t n;
    while ((n = fread(buffer, 1, sizeof(buffer), file)) > 0 && text.length <= limit)
        text_append_bytes(&text, buffer, n);
    int code = ferror(file) ? -EIO : 0;
    fclose(file);
    if (code == 0 && text.length > limit)
        code = -EFBIG;
    if (code < 0) {
        text_free(&text);
        return error_set_at(error, code, path, "%s",
                            code == -EFBIG ? "the file is too big" : "can't be read");
    }
    *length = text.length;
    *content = text.data ? text.data : memory_copy_text("");
    return 0;
}

void command_print_error(const struct error *error)
{
    char text[ERROR_MESSAGE_MAX + ERROR_PLACE_MAX];
    fprintf(stderr, "sever: %s\n", error_text(error, text, sizeof(text)));
}

enum report_outcome command_end_output(enum report_outcome outcome)
{
    bool before = ferror(stdout);
    errno = 0;
    bool now = fflush(stdout) != 0;
    if (!before && !now)
        return outcome;
    fprintf(stderr, "sever: can't write to standard output%s%s\n", errno ? ": " : "",
            errno ? strerror(errno) : "");
    return outcome == REPORT_FAIL ? REPORT_FAIL : REPORT_CANNOT_RUN;
}

unsigned command_width(void)
{
    struct winsize size;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
        return size.ws_col;
    return WIDTH_DEFAULT;
}

struct checking {
    const struct history *history;
    struct check_linearizable *result;
};

static void *check_main(void *context)
{
    struct checking *checking = context;
    check_linearizable(checking->history, NULL, checking->result);
    return NULL;
}

void command_check_linearizable(const struct history *history, struct check_linearizable *result,
                                command_progress_fn progress, void *context)
{
    struct checking checking = {.history = history, .result = result};
    uint64_t start_ns = monotonic_now_ns();
    pthread_t thread;
    if (pthread_create(&thread, NULL, check_main, &checking) != 0) {
        check_main(&checking); /* without progress, then */
        return;
    }
    for (;;) {
        uint64_t deadline_ns = (uint64_t)wall_now_ns() + PROGRESS_S * NS_PER_S;
        struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / NS_PER_S),
                                    .tv_nsec = (long)(deadline_ns % NS_PER_S)};
        if (pthread_timedjoin_np(thread, NULL, &deadline) != ETIMEDOUT)
            return;
        progress(context, (double)(monotonic_now_ns() - start_ns) / (double)NS_PER_S);
    }
}
