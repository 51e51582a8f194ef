/* Theory of operation. A history is read line by line; an invoke appends an operation of unknown
 * outcome that never settles, and the line that ends it fills in the rest. `flight` knows what each
 * process has in flight, so that a return without a call, a second call and a call of a retired
 * process are refused on their line. */
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "chaos/history/flight.h"
#include "chaos/history/history.h"

struct parser {
    const char *file;
    size_t line;
    uint64_t time_ns; /* of the line before */
    struct history *history;
    struct flight flight;
    struct error *error;
};

static int __attribute__((format(printf, 2, 3)))
refuse(const struct parser *parser, const char *format, ...)
{
    char place[ERROR_PLACE_MAX], message[ERROR_MESSAGE_MAX];
    va_list args;
    snprintf(place, sizeof(place), "%.200s:%zu", parser->file, parser->line);
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    return error_set_at(parser->error, -EINVAL, place, "%s", message);
}

/* A whole number from 0 to maximum. */
static int read_count(const struct parser *parser, const json_t *line, const char *name,
                      uint64_t maximum, uint64_t *value)
{
    const json_t *member = json_object_get(line, name);
    if (!json_is_integer(member) || json_integer_value(member) < 0 ||
        (uint64_t)json_integer_value(member) > maximum)
        return refuse(parser, "\"%s\" must be a whole number, 0 or more%s", name,
                      member ? "" : ", and isn't there");
    *value = (uint64_t)json_integer_value(member);
    return 0;
}

/* A string that fits in `size` bytes with its NUL. missing: what stands for it, NULL: refused. */
static int read_string(const struct parser *parser, const json_t *line, const char *name,
                       const char *missing, size_t size, char *value)
{
    const json_t *member = json_object_get(line, name);
    const char *text = member ? json_string_value(member) : missing;
    if (!text)
        return refuse(parser, "\"%s\" must be a text%s", name, member ? "" : ", and isn't there");
    if (strlen(text) >= size)
        return refuse(parser, "\"%s\" is longer than %zu bytes", name, size - 1);
    snprintf(value, size, "%s", text);
    return 0;
}

static bool read_number(const json_t *json, bool nil, int64_t *value)
{
    if (nil && json_is_null(json)) {
        *value = HISTORY_NIL;
        return true;
    }
    *value = json_integer_value(json);
    return json_is_integer(json) && *value != HISTORY_NIL;
}

/* The value as called: nothing for a read, a number for a write, two for a cas. */
static int read_call_value(const struct parser *parser, const json_t *value,
                           struct history_operation *operation)
{
    if (operation->function == HISTORY_READ) {
        operation->value = HISTORY_NIL;
        return 0;
    }
    if (operation->function == HISTORY_WRITE || operation->function == HISTORY_ADD)
        return read_number(value, false, &operation->value)
                   ? 0
                   : refuse(parser, "the \"value\" of a write or add must be a whole number");
    if (json_array_size(value) == 2 &&
        read_number(json_array_get(value, 0), true, &operation->expected) &&
        read_number(json_array_get(value, 1), false, &operation->value))
        return 0;
    return refuse(parser, "the \"value\" of a cas must be [expected, new]");
}

static int read_function(const struct parser *parser, const json_t *line,
                         enum history_function *function)
{
    const char *name = json_string_value(json_object_get(line, "f"));
    if (name && strcmp(name, "read") == 0)
        *function = HISTORY_READ;
    else if (name && strcmp(name, "write") == 0)
        *function = HISTORY_WRITE;
    else if (name && strcmp(name, "cas") == 0)
        *function = HISTORY_CAS;
    else if (name && strcmp(name, "add") == 0)
        *function = HISTORY_ADD;
    else
        return refuse(parser, "\"f\" must be read, write, cas or add");
    return 0;
}

static int on_invoke(struct parser *parser, const json_t *line, uint64_t process, uint64_t time_ns)
{
    struct history_operation operation = {.process = (uint32_t)process,
                                          .outcome = HISTORY_UNKNOWN,
                                          .invoke_ns = time_ns,
                                          .return_ns = HISTORY_NEVER,
                                          .settled_ns = HISTORY_NEVER};
    uint64_t client = process;
    size_t *flight = flight_find(&parser->flight, (uint32_t)process);
    if (*flight == FLIGHT_RETIRED)
        return refuse(parser,
                      "process %u can't go on after an \"info\": its operation may still happen",
                      operation.process);
    if (*flight != FLIGHT_NONE)
        return refuse(parser, "process %u has an operation in flight already", operation.process);
    *flight = parser->history->count;
    int result = read_function(parser, line, &operation.function);
    if (!result)
        result = read_string(parser, line, "key", NULL, HISTORY_KEY_MAX, operation.key);
    if (!result)
        result = read_string(parser, line, "node", "", HISTORY_NODE_MAX, operation.node);
    if (!result && json_object_get(line, "client"))
        result = read_count(parser, line, "client", UINT32_MAX, &client);
    if (!result)
        result = read_call_value(parser, json_object_get(line, "value"), &operation);
    operation.client = (uint32_t)client;
    if (!result)
        history_add(parser->history, &operation);
    return result;
}

/* The line that ends an operation must be about the one that began. */
static int check_same(const struct parser *parser, const json_t *line,
                      const struct history_operation *operation, bool value)
{
    struct history_operation here = {.function = operation->function};
    int result = read_function(parser, line, &here.function);
    if (!result)
        result = read_string(parser, line, "key", NULL, HISTORY_KEY_MAX, here.key);
    if (!result && (here.function != operation->function || strcmp(here.key, operation->key) != 0))
        return refuse(parser, "process %u called something else: \"f\" or \"key\" differs",
                      operation->process);
    if (!result && value && here.function != HISTORY_READ) {
        result = read_call_value(parser, json_object_get(line, "value"), &here);
        if (!result && (here.value != operation->value || here.expected != operation->expected))
            return refuse(parser, "process %u was called with another \"value\"",
                          operation->process);
    }
    return result;
}

static int on_end(struct parser *parser, const json_t *line, const char *type, uint64_t process,
                  uint64_t time_ns)
{
    size_t *flight = flight_find(&parser->flight, (uint32_t)process);
    if (*flight == FLIGHT_NONE || *flight == FLIGHT_RETIRED)
        return refuse(parser, "process %u has no operation in flight", (unsigned)process);
    struct history_operation *operation = &parser->history->operations[*flight];
    bool ok = strcmp(type, "ok") == 0, known = strcmp(type, "info") != 0;
    const json_t *reason = json_object_get(line, "error");
    int result = check_same(parser, line, operation, known);
    if (!result && ok && operation->function == HISTORY_READ &&
        !read_number(json_object_get(line, "value"), true, &operation->value))
        return refuse(parser, "the \"value\" of an ok read must be a whole number or null");
    if (!result && reason && !json_is_string(reason))
        return refuse(parser, "\"error\" must be a text");
    if (result)
        return result;
    if (ok)
        operation->outcome = HISTORY_OK;
    else if (known)
        operation->outcome =
            operation->function == HISTORY_CAS && !reason ? HISTORY_MISMATCH : HISTORY_FAIL;
    if (reason)
        snprintf(operation->reason, sizeof(operation->reason), "%s", json_string_value(reason));
    operation->settled_ns = time_ns;
    operation->return_ns = known ? time_ns : HISTORY_NEVER;
    *flight = known ? FLIGHT_NONE : FLIGHT_RETIRED;
    return 0;
}

static int on_final(struct parser *parser, const json_t *line, uint64_t time_ns)
{
    struct history_final *final = &parser->history->final;
    const json_t *values = json_object_get(line, "value");
    if (final->read)
        return refuse(parser, "there is a \"final\" already");
    if (!json_is_array(values))
        return refuse(parser, "the \"value\" of a final must be a list of whole numbers");
    final->values = memory_allocate_zeroed(json_array_size(values), sizeof(final->values[0]));
    for (; final->count < json_array_size(values); final->count++)
        if (!read_number(json_array_get(values, final->count), false, &final->values[final->count]))
            return refuse(parser, "the \"value\" of a final must be a list of whole numbers");
    final->read = true;
    final->at_ns = time_ns;
    return read_string(parser, line, "node", "", HISTORY_NODE_MAX, final->node);
}

static int on_line(struct parser *parser, const json_t *line)
{
    uint64_t time_ns = 0, process = 0;
    if (!json_is_object(line))
        return refuse(parser, "not a JSON object");
    const char *type = json_string_value(json_object_get(line, "type"));
    bool final = type && strcmp(type, "final") == 0;
    int result = read_count(parser, line, "time_ns", INT64_MAX, &time_ns);
    if (!result && !final)
        result = read_count(parser, line, "process", UINT32_MAX, &process);
    if (result)
        return result;
    if (time_ns < parser->time_ns)
        return refuse(parser, "time runs backwards: %llu after %llu", (unsigned long long)time_ns,
                      (unsigned long long)parser->time_ns);
    parser->time_ns = time_ns;
    if (final)
        return on_final(parser, line, time_ns);
    if (type && strcmp(type, "invoke") == 0)
        return on_invoke(parser, line, process, time_ns);
    if (type && (strcmp(type, "ok") == 0 || strcmp(type, "fail") == 0 || strcmp(type, "info") == 0))
        return on_end(parser, line, type, process, time_ns);
    return refuse(parser, "\"type\" must be invoke, ok, fail, info or final");
}

static int parse_line(struct parser *parser, const char *text, size_t length)
{
    size_t blank = 0;
    while (blank < length && strchr(" \t\r", text[blank]) && text[blank])
        blank++;
    if (blank == length)
        return 0;
    json_error_t cause;
    json_t *line = json_loadb(text, length, JSON_REJECT_DUPLICATES, &cause);
    if (!line)
        return refuse(parser, "not JSON: %s (column %d)", cause.text, cause.column);
    int result = on_line(parser, line);
    json_decref(line);
    return result;
}

int history_parse(const char *text, size_t length, const char *file, struct history *history,
                  struct error *error)
{
    *history = (struct history){0};
    struct parser parser = {.file = file, .history = history, .error = error};
    int result = 0;
    for (size_t at = 0; at < length && !result;) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t here = end ? (size_t)(end - text) - at : length - at;
        parser.line++;
        result = parse_line(&parser, text + at, here);
        at += here + 1;
    }
    flight_free(&parser.flight);
    if (result)
        history_free(history);
    return result;
}
