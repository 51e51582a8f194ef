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

/* Fills *error (which may be NULL) and yields code, so that `return error_set(...)` reads well.
 * code: a negative errno, evaluated once, before anything else. format: printf's, truncated to the
 * field. Macros, so that a compiler or analyser that looks at the caller alone sees the value. */
#define error_set(error, code, ...) error_set_at(error, code, "", __VA_ARGS__)
/* As error_set, with a place: text, copied and truncated. */
#define error_set_at(error, code, place, ...)                                                      \
    ({                                                                                             \
        int error_code_ = (code);                                                                  \
        error_fill(error, error_code_, place, __VA_ARGS__);                                        \
        error_code_;                                                                               \
    })
void error_fill(struct error *error, int code, const char *place, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts `outer` before the place already there ("outer.inner"), or sets it when there is none. */
void error_prefix_place(struct error *error, const char *outer);

/* "place: message", or just the message. Returns buffer, always NUL-terminated. */
const char *error_text(const struct error *error, char *buffer, size_t size);

#endif
