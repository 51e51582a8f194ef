/* What went wrong, where, and what to write instead.
 *
 * Functions that can fail return 0 or a negative errno code and fill the caller's struct error. */
#ifndef SEVER_BASE_ERROR_H
#define SEVER_BASE_ERROR_H

#include <stddef.h>

enum { ERROR_MESSAGE_MAX = 512, ERROR_PLACE_MAX = 256 };

struct error {
    int code;                        /* negative errno, 0 when there is no error */
    char place[ERROR_PLACE_MAX];     /* file:line:column, a JSON path, an option; "" when none */
    char message[ERROR_MESSAGE_MAX]; /* one sentence for people, no newline */
};

/* Fills *error (which may be NULL) and returns code, so that `return error_set(...)` reads well.
 * code: a negative errno. format: printf's, truncated to the field. */
int error_set(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set, with a place. place: printf-free text, copied and truncated. */
int error_set_at(struct error *error, int code, const char *place, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts `outer` before the place already there ("outer.inner"), or sets it when there is none. */
void error_prefix_place(struct error *error, const char *outer);

/* "place: message", or just the message. Returns buffer, always NUL-terminated. */
const char *error_text(const struct error *error, char *buffer, size_t size);

#endif
