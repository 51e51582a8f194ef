#include "chaos/history/history.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

void history_free(struct history *history)
{
    free(history->operations);
    free(history->missed);
    free(history->final.values);
    *history = (struct history){0};
}

void history_add(struct history *history, const struct history_operation *operation)
{
    if (history->count == history->capacity) {
        history->capacity = history->capacity ? history->capacity * 2 : 256;
        history->operations =
            memory_resize(history->operations, history->capacity, sizeof(history->operations[0]));
    }
    history->operations[history->count++] = *operation;
}

void history_add_missed(struct history *history, const struct history_missed *missed)
{
    if (history->missed_count == history->missed_capacity) {
        history->missed_capacity = history->missed_capacity ? history->missed_capacity * 2 : 64;
        history->missed =
            memory_resize(history->missed, history->missed_capacity, sizeof(history->missed[0]));
    }
    history->missed[history->missed_count++] = *missed;
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_operations(const void *left, const void *right)
{
    const struct history_operation *a = left, *b = right;
    int order = compare_u64(a->invoke_ns, b->invoke_ns);
    if (!order)
        order = compare_u64(a->return_ns, b->return_ns);
    return order ? order : compare_u64(a->process, b->process);
}

void history_sort(struct history *history)
{
    if (history->count)
        qsort(history->operations, history->count, sizeof(history->operations[0]),
              compare_operations);
}

/* One line to be written. `order` keeps lines of one time in the order of the operations. */
struct line {
    uint64_t time_ns;
    size_t order;
    bool invoke;
};

static int compare_lines(const void *left, const void *right)
{
    const struct line *a = left, *b = right;
    int order = compare_u64(a->time_ns, b->time_ns);
    return order ? order : compare_u64(a->order, b->order);
}

/* True when all of it is UTF-8 (RFC 3629). */
static bool is_utf8(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        size_t more = *p < 0x80 ? 0 : *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : 1;
        if (more && (*p < 0xc2 || *p > 0xf4))
            return false;
        if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) ||
            (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f))
            return false;
        for (size_t i = 1; i <= more; i++)
            if ((p[i] & 0xc0) != 0x80)
                return false;
        p += more + 1;
    }
    return true;
}

static void append_string(struct text *out, const char *text)
{
    bool utf8 = is_utf8(text);
    text_append_bytes(out, "\"", 1);
    for (const char *p = text; *p; p++) {
        unsigned char byte = (unsigned char)*p;
        if (byte == '"' || byte == '\\')
            text_append(out, "\\%c", byte);
        else if (byte < 0x20)
            text_append(out, "\\u%04x", byte);
        else if (byte >= 0x80 && !utf8)
            text_append_bytes(out, "?", 1);
        else
            text_append_bytes(out, p, 1);
    }
    text_append_bytes(out, "\"", 1);
}

static void append_number(struct text *out, int64_t value)
{
    if (value == HISTORY_NIL)
        text_append_bytes(out, "null", 4);
    else
        text_append(out, "%" PRId64, value);
}

static void append_value(const struct history_operation *operation, bool invoke, struct text *out)
{
    bool answered = !invoke && operation->outcome == HISTORY_OK;
    if (operation->function == HISTORY_CAS) {
        text_append_bytes(out, "[", 1);
        append_number(out, operation->expected);
        text_append_bytes(out, ",", 1);
        append_number(out, operation->value);
        text_append_bytes(out, "]", 1);
    } else if (operation->function == HISTORY_WRITE || operation->function == HISTORY_ADD ||
               answered) {
        append_number(out, operation->value);
    } else {
        text_append_bytes(out, "null", 4);
    }
}

static void append_line(const struct history_operation *operation, bool invoke, struct text *out)
{
    static const char *const functions[] = {"read", "write", "cas", "add"};
    static const char *const outcomes[] = {"ok", "fail", "fail", "info"};
    text_append(out,
                "{\"time_ns\":%" PRIu64 ",\"process\":%" PRIu32 ",\"type\":\"%s\",\"f\":\"%s\"",
                invoke ? operation->invoke_ns : operation->settled_ns, operation->process,
                invoke ? "invoke" : outcomes[operation->outcome], functions[operation->function]);
    text_append(out, ",\"key\":");
    append_string(out, operation->key);
    text_append(out, ",\"value\":");
    append_value(operation, invoke, out);
    text_append(out, ",\"node\":");
    append_string(out, operation->node);
    if (invoke && operation->client != operation->process)
        text_append(out, ",\"client\":%" PRIu32, operation->client);
    bool mismatch = operation->outcome == HISTORY_MISMATCH; /* is told by having no "error" */
    if (!invoke && !mismatch && (operation->reason[0] || operation->outcome == HISTORY_FAIL)) {
        text_append(out, ",\"error\":");
        append_string(out, operation->reason);
    }
    text_append_bytes(out, "}\n", 2);
}

static void append_final(const struct history_final *final, struct text *out)
{
    text_append(out, "{\"time_ns\":%" PRIu64 ",\"type\":\"final\",\"key\":\"%s\",\"value\":[",
                final->at_ns, HISTORY_SET_KEY);
    for (size_t i = 0; i < final->count; i++)
        text_append(out, "%s%" PRId64, i ? "," : "", final->values[i]);
    text_append(out, "],\"node\":");
    append_string(out, final->node);
    text_append_bytes(out, "}\n", 2);
}

void history_write(const struct history *history, struct text *out)
{
    struct line *lines = memory_allocate_zeroed(history->count * 2, sizeof(*lines));
    size_t count = 0;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_operation *operation = &history->operations[i];
        lines[count++] = (struct line){operation->invoke_ns, 2 * i, true};
        if (operation->settled_ns != HISTORY_NEVER)
            lines[count++] = (struct line){operation->settled_ns, 2 * i + 1, false};
    }
    if (count)
        qsort(lines, count, sizeof(*lines), compare_lines);
    for (size_t i = 0; i < count; i++)
        append_line(&history->operations[lines[i].order / 2], lines[i].invoke, out);
    free(lines);
    if (history->final.read)
        append_final(&history->final, out);
}
