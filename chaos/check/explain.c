/* A core told to people: a line and a bar for each operation, and one sentence why.
 *
 * The sentence is looked for from the plainest reason to the least: a value that nobody wrote, a
 * value older than one that was there already (stale read, lost write), more successful cas from a
 * value than there were writes of it, a cas that failed though its value was there. Each is a proof
 * on its own of the core's failure; where none holds, the sentence says only what is certain. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/check/register.h"
#include "proxy/base/units.h"

enum { LABEL_MAX = 128, BAR_MIN = 16, NAME_SIZE = HISTORY_NODE_MAX + 16, VALUE_SIZE = 32 };

struct story {
    const struct history *history;
    const struct check_linearizable *result;
    struct register_operation *core; /* as the search saw them, in invocation order */
    size_t count;
    struct text *out;
};

static const struct history_operation *told(const struct story *story, size_t at)
{
    return &story->history->operations[story->core[at].index];
}

static const char *actor(const struct story *story, size_t at, char *buffer)
{
    const struct history_operation *operation = told(story, at);
    if (operation->node[0])
        snprintf(buffer, NAME_SIZE, "%s", operation->node);
    else
        snprintf(buffer, NAME_SIZE, "c%" PRIu32, operation->client);
    return buffer;
}

static const char *value_text(int64_t value, char *buffer)
{
    if (value == HISTORY_NIL)
        snprintf(buffer, VALUE_SIZE, "nil");
    else
        snprintf(buffer, VALUE_SIZE, "%" PRId64, value);
    return buffer;
}

/* ---- bars --------------------------------------------------------------------------------------
 */

static void label(const struct story *story, size_t at, char *buffer)
{
    static const char *const functions[] = {"read", "write", "cas", "add"};
    static const char *const outcomes[] = {"ok", "fail", "mismatch", "unknown"};
    const struct history_operation *operation = told(story, at);
    char value[VALUE_SIZE], expected[VALUE_SIZE + 2] = "";
    if (operation->function == HISTORY_CAS) {
        value_text(operation->expected, expected);
        snprintf(expected + strlen(expected), 3, "->");
    }
    snprintf(buffer, LABEL_MAX, "c%" PRIu32 "%s%.20s %s %.20s%s%s%s %s", operation->client,
             operation->node[0] ? " " : "", operation->node, functions[operation->function],
             operation->key, operation->key[0] ? "=" : "", expected,
             value_text(operation->value, value), outcomes[operation->outcome]);
}

/* The times that the axis spans: from the first call to the last return that is known. */
static void find_span(const struct story *story, uint64_t *begin_ns, uint64_t *end_ns)
{
    *begin_ns = told(story, 0)->invoke_ns;
    *end_ns = *begin_ns;
    for (size_t i = 0; i < story->count; i++) {
        const struct history_operation *operation = told(story, i);
        uint64_t last =
            operation->return_ns != HISTORY_NEVER ? operation->return_ns : operation->invoke_ns;
        *end_ns = last > *end_ns ? last : *end_ns;
    }
}

static void append_bar(const struct history_operation *operation, uint64_t begin_ns,
                       uint64_t end_ns, size_t columns, struct text *out)
{
    unsigned __int128 span = end_ns > begin_ns ? end_ns - begin_ns : 1;
    bool open = operation->return_ns == HISTORY_NEVER;
    size_t first = (size_t)((operation->invoke_ns - begin_ns) * (columns - 1) / span);
    size_t last =
        open ? columns - 1 : (size_t)((operation->return_ns - begin_ns) * (columns - 1) / span);
    text_append_bytes(out, "|", 1);
    for (size_t i = 0; i < columns; i++)
        text_append_bytes(out, i < first || i > last ? " " : open && i == last ? ">" : "=", 1);
    text_append_bytes(out, "|\n", 2);
}

/* The time as the axis shows it: no more digits than a column can tell. */
static const char *axis_time(uint64_t at_ns, uint64_t origin_ns, uint64_t span_ns, char *buffer)
{
    int64_t digit = span_ns >= UINT64_C(20000000) ? 1000000 : span_ns >= 20000 ? 1000 : 1;
    return units_format_offset((int64_t)(at_ns - origin_ns) / digit * digit, buffer);
}

static void tell_bars(const struct story *story, uint64_t origin_ns, unsigned width)
{
    char text[LABEL_MAX], begin[UNITS_TEXT_MAX], end[UNITS_TEXT_MAX];
    size_t widest = 0;
    uint64_t begin_ns, end_ns;
    for (size_t i = 0; i < story->count; i++) {
        label(story, i, text);
        widest = strlen(text) > widest ? strlen(text) : widest;
    }
    find_span(story, &begin_ns, &end_ns);
    size_t columns = width > widest + 5 + BAR_MIN ? width - widest - 5 : BAR_MIN;
    for (size_t i = 0; i < story->count; i++) {
        label(story, i, text);
        text_append(story->out, "  %-*s ", (int)widest, text);
        append_bar(told(story, i), begin_ns, end_ns, columns, story->out);
    }
    axis_time(begin_ns, origin_ns, end_ns - begin_ns, begin);
    axis_time(end_ns, origin_ns, end_ns - begin_ns, end);
    int gap = (int)columns + 2 - (int)strlen(begin) - (int)strlen(end);
    text_append(story->out, "  %-*s %s%*s%s\n", (int)widest, "", begin, gap > 1 ? gap : 1, "", end);
}

/* ---- why ---------------------------------------------------------------------------------------
 */

static bool is_change(const struct register_operation *operation)
{
    return operation->kind == REGISTER_WRITE || operation->kind == REGISTER_CAS;
}

/* True when the operation surely saw a value: a read, or a cas that swapped. */
static bool saw(const struct register_operation *operation, int64_t *value)
{
    *value = operation->kind == REGISTER_READ ? operation->value : operation->expected;
    return !operation->optional &&
           (operation->kind == REGISTER_READ || operation->kind == REGISTER_CAS);
}

/* "n4 read 12", "n4's cas found 12", "n4 read -1 (unexpected reply 'x')" */
static void append_saw(const struct story *story, size_t at)
{
    char name[NAME_SIZE], value[VALUE_SIZE];
    int64_t seen;
    saw(&story->core[at], &seen);
    bool read = told(story, at)->function == HISTORY_READ;
    text_append(story->out, "%s%s %s", actor(story, at, name), read ? " read" : "'s cas found",
                value_text(seen, value));
    if (told(story, at)->reason[0])
        text_append(story->out, " (%s)", told(story, at)->reason);
}

/* "n2's write of 17", "n2's cas to 17" */
static void append_change(const struct story *story, size_t at)
{
    char name[NAME_SIZE], value[VALUE_SIZE];
    text_append(story->out, "%s's %s %s", actor(story, at, name),
                told(story, at)->function == HISTORY_CAS ? "cas to" : "write of",
                value_text(told(story, at)->value, value));
}

static bool same_key(const struct story *story, const struct history_operation *operation)
{
    return strcmp(operation->key, story->result->key) == 0;
}

/* A value that nobody had begun to write when it was seen. */
static bool tell_never_written(const struct story *story)
{
    for (size_t i = 0; i < story->count; i++) {
        int64_t value;
        bool later = false, before = false;
        char text[VALUE_SIZE];
        if (!saw(&story->core[i], &value) || value == HISTORY_NIL)
            continue;
        for (size_t j = 0; j < story->history->count && !before; j++) {
            const struct history_operation *operation = &story->history->operations[j];
            struct register_operation change;
            if (!same_key(story, operation) || j == story->core[i].index ||
                !register_operation_of(operation, j, &change) || !is_change(&change) ||
                change.value != value)
                continue;
            before = change.invoke_ns <= story->core[i].return_ns;
            later = true;
        }
        if (before)
            continue;
        append_saw(story, i);
        value_text(value, text);
        if (later)
            text_append(story->out, " before anybody had begun to write %s.\n", text);
        else
            text_append(story->out, ", and nobody ever wrote %s.\n", text);
        return true;
    }
    return false;
}

/* Is every change to `value` over before `time_ns`, or not begun before `until_ns`? Then the value
 * is not made anew between. */
static bool none_between(const struct story *story, int64_t value, uint64_t time_ns,
                         uint64_t until_ns)
{
    for (size_t i = 0; i < story->count; i++) {
        const struct register_operation *operation = &story->core[i];
        if (is_change(operation) && operation->value == value && operation->return_ns >= time_ns &&
            operation->invoke_ns <= until_ns)
            return false;
    }
    return true;
}

static bool ever_seen(const struct story *story, int64_t value)
{
    for (size_t i = 0; i < story->history->count; i++) {
        const struct history_operation *operation = &story->history->operations[i];
        struct register_operation here;
        int64_t seen;
        if (same_key(story, operation) && register_operation_of(operation, i, &here) &&
            saw(&here, &seen) && seen == value)
            return true;
    }
    return false;
}

/* Who shows that `change` had taken effect before time_ns: itself, by having returned, or one that
 * saw its value and had returned. SIZE_MAX: nobody. */
static size_t witness(const struct story *story, size_t change, uint64_t time_ns)
{
    if (story->core[change].return_ns < time_ns)
        return change;
    for (size_t i = 0; i < story->count; i++) {
        int64_t value;
        if (saw(&story->core[i], &value) && value == story->core[change].value &&
            story->core[i].return_ns < time_ns)
            return i;
    }
    return SIZE_MAX;
}

/* An operation saw a value though another was there already and the old one didn't come back. */
static bool tell_stale(const struct story *story)
{
    for (size_t i = 0; i < story->count; i++) {
        int64_t value;
        char text[VALUE_SIZE], newer[VALUE_SIZE];
        if (!saw(&story->core[i], &value))
            continue;
        for (size_t j = 0; j < story->count; j++) {
            const struct register_operation *change = &story->core[j];
            if (!is_change(change) || change->value == value || i == j ||
                !none_between(story, value, change->invoke_ns, story->core[i].return_ns))
                continue;
            size_t by = witness(story, j, story->core[i].invoke_ns);
            if (by == SIZE_MAX)
                continue;
            append_saw(story, i);
            text_append(story->out, " after ");
            if (by == j)
                append_change(story, j);
            else
                append_saw(story, by);
            text_append(story->out, by == j ? " had returned" : "");
            if (value == HISTORY_NIL)
                text_append(story->out, ", as if nothing had been written");
            else
                text_append(story->out, ", and no write of %s lies between",
                            value_text(value, text));
            if (!ever_seen(story, change->value))
                text_append(story->out, "; nobody ever saw %s: the write is lost",
                            value_text(change->value, newer));
            text_append(story->out, ".\n");
            return true;
        }
    }
    return false;
}

/* Each successful cas from a value uses it up; there are more of them than writes of it. */
static bool tell_double_cas(const struct story *story)
{
    for (size_t i = 0; i < story->count; i++) {
        const struct register_operation *first = &story->core[i];
        if (first->kind != REGISTER_CAS || first->optional)
            continue;
        size_t swaps = 0, writes = first->expected == HISTORY_NIL, second = i;
        for (size_t j = 0; j < story->count; j++) {
            const struct register_operation *other = &story->core[j];
            bool swap = other->kind == REGISTER_CAS && !other->optional &&
                        other->expected == first->expected;
            swaps += swap;
            writes += is_change(other) && other->value == first->expected;
            second = swap && j != i ? j : second;
        }
        if (swaps <= writes)
            continue;
        char one[NAME_SIZE], two[NAME_SIZE], value[VALUE_SIZE];
        text_append(story->out,
                    "%s and %s both swapped from %s, but %s was there %s: the second of them must "
                    "have found another value.\n",
                    actor(story, i, one), actor(story, second, two),
                    value_text(first->expected, value), value,
                    writes == 1 ? "only once" : "fewer times than it was swapped");
        return true;
    }
    return false;
}

/* A cas that failed while its expected value was there all the time. */
static bool tell_false_mismatch(const struct story *story)
{
    for (size_t i = 0; i < story->count; i++) {
        const struct register_operation *cas = &story->core[i];
        if (cas->kind != REGISTER_MISMATCH)
            continue;
        size_t source = SIZE_MAX; /* the latest change to the expected value */
        for (size_t j = 0; j < story->count; j++)
            if (is_change(&story->core[j]) && story->core[j].value == cas->expected &&
                story->core[j].return_ns < cas->invoke_ns)
                source = j;
        uint64_t since_ns = source == SIZE_MAX ? 0 : story->core[source].invoke_ns;
        bool alone = source != SIZE_MAX || cas->expected == HISTORY_NIL;
        for (size_t j = 0; j < story->count; j++)
            if (is_change(&story->core[j]) && story->core[j].value != cas->expected &&
                story->core[j].return_ns >= since_ns && story->core[j].invoke_ns <= cas->return_ns)
                alone = false;
        if (!alone)
            continue;
        char name[NAME_SIZE], value[VALUE_SIZE];
        text_append(story->out, "%s's cas found another value than %s, but ", actor(story, i, name),
                    value_text(cas->expected, value));
        if (source == SIZE_MAX) {
            text_append(story->out, "nothing had been written.\n");
            return true;
        }
        append_change(story, source);
        text_append(story->out, " had returned, and no other write lies between.\n");
        return true;
    }
    return false;
}

static void tell_generic(const struct story *story)
{
    text_append(story->out,
                "whatever the order of these %zu operations, one of them saw a value that was not "
                "there; without any one of them an order exists.\n",
                story->count);
}

void check_linearizable_explain(const struct history *history,
                                const struct check_linearizable *result, uint64_t origin_ns,
                                unsigned width, struct text *out)
{
    if (result->verdict != CHECK_FAIL || result->core_count == 0) {
        text_append(out, "%s%s%s\n", check_verdict_name(result->verdict),
                    result->reason[0] ? ": " : "", result->reason);
        return;
    }
    struct story story = {.history = history, .result = result, .out = out};
    story.core = memory_allocate_zeroed(result->core_count, sizeof(*story.core));
    for (size_t i = 0; i < result->core_count; i++)
        story.count += register_operation_of(&history->operations[result->core[i]], result->core[i],
                                             &story.core[story.count]);
    tell_bars(&story, origin_ns, width);
    text_append(out, "  why: ");
    if (!tell_never_written(&story) && !tell_stale(&story) && !tell_double_cas(&story) &&
        !tell_false_mismatch(&story))
        tell_generic(&story);
    free(story.core);
}
