/* Jepsen's etcd logs: "INFO  jepsen.util - PROCESS :TYPE :F VALUE", words apart by tabs or spaces.
 * A failed cas says that the value was another; a failed read says nothing; an :info leaves the
 * operation open for ever. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "chaos/history/flight.h"
#include "chaos/history/history.h"

enum { WORDS_MAX = 9, WORD_MAX = 32 };

struct reader {
    const char *file;
    size_t line;
    struct history *history;
    struct flight flight;
    struct error *error;
    char words[WORDS_MAX][WORD_MAX];
    size_t count;
};

static int refuse(const struct reader *reader, const char *reason)
{
    char place[ERROR_PLACE_MAX];
    snprintf(place, sizeof(place), "%.200s:%zu", reader->file, reader->line);
    return error_set_at(reader->error, -EINVAL, place, "%s", reason);
}

/* Splits a line; words that are too long or too many don't fit any line that is understood, and
 * are cut. */
static void split(struct reader *reader, const char *text, size_t length)
{
    reader->count = 0;
    memset(reader->words, 0, sizeof(reader->words));
    for (size_t i = 0; i < length && reader->count < WORDS_MAX;) {
        size_t begin = i;
        while (i < length && text[i] && !strchr(" \t\r", text[i]))
            i++;
        if (i > begin) {
            size_t size = i - begin < WORD_MAX - 1 ? i - begin : WORD_MAX - 1;
            memcpy(reader->words[reader->count++], text + begin, size);
        }
        i += i == begin || i < length;
    }
}

/* Digits, an optional minus before and an optional bracket around: "[2" and "4]". */
static bool read_number(const char *word, const char *before, const char *after, int64_t *value)
{
    size_t prefix = strlen(before);
    if (strncmp(word, before, prefix) != 0)
        return false;
    const char *p = word + prefix;
    bool negative = *p == '-';
    p += negative;
    int64_t sum = 0;
    size_t digits = strspn(p, "0123456789");
    if (digits == 0 || digits > 18 || strcmp(p + digits, after) != 0)
        return false;
    for (size_t i = 0; i < digits; i++)
        sum = sum * 10 + (p[i] - '0');
    *value = negative ? -sum : sum;
    return true;
}

static bool read_function(const char *word, enum history_function *function)
{
    if (strcmp(word, ":read") == 0)
        *function = HISTORY_READ;
    else if (strcmp(word, ":write") == 0)
        *function = HISTORY_WRITE;
    else if (strcmp(word, ":cas") == 0)
        *function = HISTORY_CAS;
    else
        return false;
    return true;
}

/* The value of a line (words[6] on) -> operation. result: a read's line with its result. */
static bool read_value(const struct reader *reader, bool result,
                       struct history_operation *operation)
{
    const char *first = reader->words[6];
    if (operation->function == HISTORY_CAS)
        return reader->count == 8 && read_number(first, "[", "", &operation->expected) &&
               read_number(reader->words[7], "", "]", &operation->value);
    if (reader->count != 7)
        return false;
    if (operation->function == HISTORY_WRITE)
        return read_number(first, "", "", &operation->value);
    operation->value = HISTORY_NIL;
    if (strcmp(first, "nil") == 0)
        return true;
    return result && read_number(first, "", "", &operation->value);
}

static int on_invoke(struct reader *reader, uint32_t process, enum history_function function)
{
    struct history_operation operation = {.process = process,
                                          .client = process,
                                          .function = function,
                                          .outcome = HISTORY_UNKNOWN,
                                          .invoke_ns = reader->line,
                                          .return_ns = HISTORY_NEVER,
                                          .settled_ns = HISTORY_NEVER};
    size_t *flight = flight_find(&reader->flight, process);
    if (*flight != FLIGHT_NONE)
        return refuse(reader, *flight == FLIGHT_RETIRED ? "the process can't go on after an :info"
                                                        : "the process has an operation in flight");
    if (!read_value(reader, false, &operation))
        return refuse(reader, "the value isn't nil (read), N (write) or [A B] (cas)");
    *flight = reader->history->count;
    history_add(reader->history, &operation);
    return 0;
}

static int on_end(struct reader *reader, uint32_t process, enum history_function function)
{
    size_t *flight = flight_find(&reader->flight, process);
    if (*flight == FLIGHT_NONE || *flight == FLIGHT_RETIRED)
        return refuse(reader, "the process has no operation in flight");
    struct history_operation *operation = &reader->history->operations[*flight];
    struct history_operation here = *operation;
    if (operation->function != function)
        return refuse(reader, "the process called another function");
    const char *type = reader->words[4];
    bool ok = strcmp(type, ":ok") == 0, info = strcmp(type, ":info") == 0;
    bool mismatch = !ok && !info && function == HISTORY_CAS;
    if (ok || mismatch) {
        if (!read_value(reader, true, &here))
            return refuse(reader, "the value isn't nil or N (read), N (write) or [A B] (cas)");
        if (function != HISTORY_READ &&
            (here.value != operation->value || here.expected != operation->expected))
            return refuse(reader, "the process was called with another value");
        operation->value = here.value;
    }
    operation->outcome = ok         ? HISTORY_OK
                         : info     ? HISTORY_UNKNOWN
                         : mismatch ? HISTORY_MISMATCH
                                    : HISTORY_FAIL;
    operation->settled_ns = reader->line;
    operation->return_ns = info ? HISTORY_NEVER : reader->line;
    *flight = info ? FLIGHT_RETIRED : FLIGHT_NONE;
    return 0;
}

static int on_line(struct reader *reader)
{
    int64_t process;
    enum history_function function;
    if (reader->count < 3 || strcmp(reader->words[0], "INFO") != 0 ||
        strcmp(reader->words[1], "jepsen.util") != 0 || strcmp(reader->words[2], "-") != 0)
        return 0;
    if (!read_number(reader->words[3], "", "", &process) || process < 0 || process > UINT32_MAX)
        return refuse(reader, "the process isn't a number");
    if (!read_function(reader->words[5], &function))
        return refuse(reader, "the function isn't :read, :write or :cas");
    const char *type = reader->words[4];
    if (strcmp(type, ":invoke") == 0)
        return on_invoke(reader, (uint32_t)process, function);
    if (strcmp(type, ":ok") == 0 || strcmp(type, ":fail") == 0 || strcmp(type, ":info") == 0)
        return on_end(reader, (uint32_t)process, function);
    return refuse(reader, "the type isn't :invoke, :ok, :fail or :info");
}

int history_parse_jepsen(const char *text, size_t length, const char *file, struct history *history,
                         struct error *error)
{
    *history = (struct history){0};
    struct reader reader = {.file = file, .history = history, .error = error};
    int result = 0;
    for (size_t at = 0; at < length && !result;) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t here = end ? (size_t)(end - text) - at : length - at;
        reader.line++;
        split(&reader, text + at, here);
        result = on_line(&reader);
        at += here + 1;
    }
    flight_free(&reader.flight);
    if (!result && history->count == 0)
        result = refuse(&reader, "no operation in it: not a Jepsen log of a register");
    if (result)
        history_free(history);
    return result;
}
