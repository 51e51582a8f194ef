/* Theory of operation. The search of Wing and Gong in the shape that Lowe gave it: calls and
 * returns stand in a doubly linked list in time order; an operation may come next in the order if
 * its call stands before the first return; taking it lifts its call and return out of the list, and
 * when no operation can be taken the last one is put back. A configuration (set of operations
 * taken, value of the register) that was left once is not entered again.
 *
 * What makes it fast here, each without changing the verdict:
 *
 * - What changes nothing goes first. A read of the present value, a mismatch whose expected value
 * is not the present one: if any order goes on from here, so does one that begins with it (move it
 * to the front: it changes no value, and it may stand there as its call is before every return). So
 *   it is taken at once, and going back never tries anything else in its place.
 * - Unknown operations ("optional") have no return and are tried last, and only where they change
 * the value. Leaving one out is always allowed, so one without effect is never worth taking.
 * - An optional operation is taken only for one that sees its value at once: a call before the
 * first return that reads it, swaps from it, or is a mismatch that fails on the present value only,
 * or another optional cas from it. In an order, whatever stands after it next must be such a one,
 * and be available; else (a write, or nothing) nobody saw the value, and it can be left out.
 * - Optional operations that do the same are taken in the order of their calls. If an order takes a
 *   later-called one first, exchange the two: the earlier-called may stand where the later did, and
 *   the later may stand further back, as neither returns.
 * - Values that no read saw and no cas expects are one value, "other": no operation can tell them
 *   apart.
 * - An optional operation that makes the register "other" is dropped when no mismatch can come
 * after its call. It is sound one way because an order of the rest stays one with the dropped
 * operations at its end (a write always can happen; a cas with unknown result needs not). It is
 * sound the other way because in an order with it, the operations that stand between it and the
 * next change are none: reads and successful cas see a tracked value, so not "other", and there are
 * no mismatches; taking it away then changes what nobody saw. A mismatch *can* depend on such an
 *   operation (that is why the value was another), hence the condition.
 *
 * The set of taken operations is kept as a 128-bit fingerprint: the exclusive or of a random word
 * for each. Two different configurations that meet would hide one from the search; for n
 * configurations the chance is n^2 / 2^129, under 1e-22 for a hundred million. A step costs the
 * operations in flight, not the length of the history, and a configuration 16 bytes. */
#include "chaos/check/register.h"

#include <assert.h>
#include <stdlib.h>

#include "proxy/base/random.h"
#include "proxy/base/text.h"

#define NO_ENTRY UINT32_MAX
enum { STATE_NIL = 0, MEMO_FIRST = 1024 };

struct fingerprint {
    uint64_t high, low;
};

struct candidate { /* an operation with its values as small numbers */
    enum register_kind kind;
    uint32_t value, expected;
    uint64_t invoke_ns;
    uint32_t call, ret; /* entries */
    uint32_t before;    /* optional: the one that must be taken before it, NO_ENTRY: none */
    bool taken;
};

struct entry {
    uint32_t previous, next, operation;
    bool is_return;
    uint64_t time_ns;
};

struct frame {
    uint32_t operation;
    uint32_t state;  /* before */
    uint32_t cursor; /* optional: its place among the optional ones; else NO_ENTRY */
    bool forced;     /* nothing else needs to be tried in its place */
};

struct search {
    struct candidate *candidates; /* must happen first, then optional, each in invocation order */
    uint32_t count, must;
    struct entry *entries; /* of those that must; 0 is the head */
    uint32_t entry_count;
    struct frame *frames;
    size_t depth, most;
    uint32_t left; /* of those that must */
    uint32_t state;
    struct fingerprint taken;
    struct fingerprint *memo;
    size_t memo_count, memo_capacity;
    uint64_t steps, step_limit, memory_limit;
    bool out_of_memory, out_of_steps;
    uint64_t blocked_ns;
};

bool register_operation_of(const struct history_operation *operation, size_t index,
                           struct register_operation *out)
{
    static const enum register_kind kinds[] = {REGISTER_READ, REGISTER_WRITE, REGISTER_CAS};
    bool unknown = operation->outcome == HISTORY_UNKNOWN;
    if (operation->outcome == HISTORY_FAIL || operation->function == HISTORY_ADD)
        return false;
    if (operation->outcome == HISTORY_MISMATCH && operation->function != HISTORY_CAS)
        return false;
    if (unknown && operation->function == HISTORY_READ)
        return false;
    if (unknown && operation->function == HISTORY_CAS && operation->expected == operation->value)
        return false;
    *out = (struct register_operation){.kind = kinds[operation->function],
                                       .optional = unknown,
                                       .value = operation->value,
                                       .expected = operation->expected,
                                       .invoke_ns = operation->invoke_ns,
                                       .return_ns = unknown ? HISTORY_NEVER : operation->return_ns,
                                       .index = index};
    if (operation->outcome == HISTORY_MISMATCH)
        out->kind = REGISTER_MISMATCH;
    else if (out->kind == REGISTER_CAS && out->expected == out->value)
        out->kind = REGISTER_READ; /* it saw the value and left it */
    return true;
}

/* ---- values ------------------------------------------------------------------------------------
 */

static int compare_values(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

/* The values that some operation can tell from others, sorted, each once. HISTORY_NIL, the smallest
 * number, is always the first. */
static size_t tracked_values(const struct register_operation *operations, size_t count,
                             int64_t *values)
{
    size_t used = 0, unique = 0;
    values[used++] = HISTORY_NIL;
    for (size_t i = 0; i < count; i++) {
        if (operations[i].kind == REGISTER_READ)
            values[used++] = operations[i].value;
        else if (operations[i].kind != REGISTER_WRITE)
            values[used++] = operations[i].expected;
    }
    qsort(values, used, sizeof(values[0]), compare_values);
    for (size_t i = 0; i < used; i++)
        if (i == 0 || values[i] != values[unique - 1])
            values[unique++] = values[i];
    return unique;
}

static uint32_t value_number(const int64_t *values, size_t count, int64_t value)
{
    const int64_t *found = bsearch(&value, values, count, sizeof(value), compare_values);
    return (uint32_t)(found ? (size_t)(found - values) : count);
}

/* ---- setting up --------------------------------------------------------------------------------
 */

static int compare_same(const void *left, const void *right)
{
    const struct candidate *a = *(struct candidate *const *)left;
    const struct candidate *b = *(struct candidate *const *)right;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->expected != b->expected)
        return a->expected < b->expected ? -1 : 1;
    if (a->value != b->value)
        return a->value < b->value ? -1 : 1;
    return (a > b) - (a < b); /* invocation order */
}

/* Chains the optional operations that do the same, in invocation order. */
static void chain_same(struct search *search)
{
    uint32_t count = search->count - search->must;
    struct candidate **sorted = memory_allocate_zeroed(count, sizeof(*sorted));
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = &search->candidates[search->must + i];
    if (count)
        qsort(sorted, count, sizeof(*sorted), compare_same);
    for (uint32_t i = 1; i < count; i++)
        if (sorted[i]->kind == sorted[i - 1]->kind && sorted[i]->value == sorted[i - 1]->value &&
            sorted[i]->expected == sorted[i - 1]->expected)
            sorted[i]->before = (uint32_t)(sorted[i - 1] - search->candidates);
    free(sorted);
}

static void add_candidates(struct search *search, const struct register_operation *operations,
                           size_t count)
{
    int64_t *values = memory_allocate_zeroed(count + 1, sizeof(*values));
    size_t tracked = tracked_values(operations, count, values);
    uint64_t last_mismatch_ns = 0;
    for (size_t i = 0; i < count; i++)
        if (operations[i].kind == REGISTER_MISMATCH && operations[i].return_ns > last_mismatch_ns)
            last_mismatch_ns = operations[i].return_ns;
    for (int optional = 0; optional < 2; optional++) {
        for (size_t i = 0; i < count; i++) {
            const struct register_operation *operation = &operations[i];
            uint32_t value = value_number(values, tracked, operation->value);
            if (operation->optional != (bool)optional)
                continue;
            if (optional && value == tracked && operation->invoke_ns > last_mismatch_ns)
                continue;
            search->candidates[search->count++] =
                (struct candidate){.kind = operation->kind,
                                   .value = value,
                                   .expected = value_number(values, tracked, operation->expected),
                                   .invoke_ns = operation->invoke_ns,
                                   .before = NO_ENTRY};
            if (operation->kind == REGISTER_WRITE)
                search->candidates[search->count - 1].expected = 0;
        }
        if (!optional)
            search->must = search->count;
    }
    free(values);
    chain_same(search);
}

static int compare_entries(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->time_ns != b->time_ns)
        return a->time_ns < b->time_ns ? -1 : 1;
    if (a->is_return != b->is_return) /* at one time: calls first, so that they overlap */
        return a->is_return ? 1 : -1;
    return (a->operation > b->operation) - (a->operation < b->operation);
}

static void add_entries(struct search *search, const struct register_operation *operations,
                        size_t count)
{
    uint32_t operation = 0, used = 1;
    for (size_t i = 0; i < count; i++) {
        if (operations[i].optional)
            continue;
        search->entries[used++] =
            (struct entry){.operation = operation, .time_ns = operations[i].invoke_ns};
        search->entries[used++] = (struct entry){
            .operation = operation, .is_return = true, .time_ns = operations[i].return_ns};
        operation++;
    }
    assert(operation == search->must);
    if (used > 1)
        qsort(search->entries + 1, used - 1, sizeof(search->entries[0]), compare_entries);
    for (uint32_t i = 0; i < used; i++) {
        struct entry *entry = &search->entries[i];
        entry->previous = i - 1;
        entry->next = i + 1 < used ? i + 1 : NO_ENTRY;
        if (i == 0)
            continue;
        struct candidate *candidate = &search->candidates[entry->operation];
        *(entry->is_return ? &candidate->ret : &candidate->call) = i;
    }
    search->entry_count = used;
}

/* ---- the memo ----------------------------------------------------------------------------------
 */

static struct fingerprint operation_word(uint32_t operation)
{
    return (struct fingerprint){random_draw(UINT64_C(0x5eed), operation, 1),
                                random_draw(UINT64_C(0x5eed), operation, 2)};
}

static bool memo_insert_raw(struct fingerprint *memo, size_t capacity, struct fingerprint key)
{
    size_t slot = (size_t)key.low & (capacity - 1);
    while (memo[slot].high | memo[slot].low) {
        if (memo[slot].high == key.high && memo[slot].low == key.low)
            return false;
        slot = (slot + 1) & (capacity - 1);
    }
    memo[slot] = key;
    return true;
}

static bool memo_grow(struct search *search)
{
    size_t capacity = search->memo_capacity ? search->memo_capacity * 2 : MEMO_FIRST;
    if ((capacity + search->memo_capacity) * sizeof(search->memo[0]) > search->memory_limit) {
        search->out_of_memory = true;
        return false;
    }
    struct fingerprint *memo = memory_allocate_zeroed(capacity, sizeof(*memo));
    for (size_t i = 0; i < search->memo_capacity; i++)
        if (search->memo[i].high | search->memo[i].low)
            memo_insert_raw(memo, capacity, search->memo[i]);
    free(search->memo);
    search->memo = memo;
    search->memo_capacity = capacity;
    return true;
}

/* True when the configuration is new (and there was room for it). */
static bool memo_insert(struct search *search, struct fingerprint taken, uint32_t state)
{
    struct fingerprint word = operation_word(NO_ENTRY - 1 - state);
    struct fingerprint key = {taken.high ^ word.high, taken.low ^ word.low};
    if (!(key.high | key.low))
        key.high = 1; /* zero means empty */
    if ((search->memo_count + 1) * 4 > search->memo_capacity * 3 && !memo_grow(search))
        return false;
    bool fresh = memo_insert_raw(search->memo, search->memo_capacity, key);
    search->memo_count += fresh;
    return fresh;
}

/* ---- the search --------------------------------------------------------------------------------
 */

static void lift(struct search *search, uint32_t at)
{
    const struct entry *entry = &search->entries[at];
    search->entries[entry->previous].next = entry->next;
    if (entry->next != NO_ENTRY)
        search->entries[entry->next].previous = entry->previous;
}

static void put_back(struct search *search, uint32_t at)
{
    const struct entry *entry = &search->entries[at];
    search->entries[entry->previous].next = at;
    if (entry->next != NO_ENTRY)
        search->entries[entry->next].previous = at;
}

static uint32_t first_entry(const struct search *search)
{
    return search->entries[0].next;
}

/* May the operation come next? *after: the value that it leaves. */
static bool applies(const struct candidate *candidate, uint32_t state, uint32_t *after)
{
    *after = candidate->kind == REGISTER_WRITE || candidate->kind == REGISTER_CAS ? candidate->value
                                                                                  : state;
    switch (candidate->kind) {
    case REGISTER_READ:
        return candidate->value == state;
    case REGISTER_CAS:
        return candidate->expected == state;
    case REGISTER_MISMATCH:
        return candidate->expected != state;
    default:
        return true;
    }
}

static void take(struct search *search, uint32_t operation, uint32_t after, uint32_t cursor,
                 bool forced)
{
    struct candidate *candidate = &search->candidates[operation];
    struct fingerprint word = operation_word(operation);
    search->frames[search->depth++] = (struct frame){operation, search->state, cursor, forced};
    search->most = search->depth > search->most ? search->depth : search->most;
    search->taken.high ^= word.high;
    search->taken.low ^= word.low;
    search->state = after;
    candidate->taken = true;
    if (operation < search->must) {
        lift(search, candidate->call);
        lift(search, candidate->ret);
        search->left--;
    }
}

static struct frame untake(struct search *search)
{
    struct frame frame = search->frames[--search->depth];
    struct candidate *candidate = &search->candidates[frame.operation];
    struct fingerprint word = operation_word(frame.operation);
    search->taken.high ^= word.high;
    search->taken.low ^= word.low;
    search->state = frame.state;
    candidate->taken = false;
    if (frame.operation < search->must) {
        put_back(search, candidate->ret);
        put_back(search, candidate->call);
        search->left++;
    }
    return frame;
}

/* Takes all that changes nothing. */
static void take_forced(struct search *search)
{
    for (uint32_t at = first_entry(search); at != NO_ENTRY && !search->entries[at].is_return;) {
        uint32_t operation = search->entries[at].operation, after;
        const struct candidate *candidate = &search->candidates[operation];
        bool changes = candidate->kind == REGISTER_WRITE || candidate->kind == REGISTER_CAS;
        search->steps++;
        if (!changes && applies(candidate, search->state, &after)) {
            take(search, operation, after, NO_ENTRY, true);
            at = first_entry(search); /* its return may have been the first */
        } else {
            at = search->entries[at].next;
        }
    }
}

/* Enters the configuration that follows `operation`, if it is a new one. */
static bool enter(struct search *search, uint32_t operation, uint32_t after, uint32_t cursor)
{
    struct fingerprint word = operation_word(operation);
    struct fingerprint taken = {search->taken.high ^ word.high, search->taken.low ^ word.low};
    if (!memo_insert(search, taken, after))
        return false;
    take(search, operation, after, cursor, false);
    take_forced(search);
    return true;
}

/* Is there an operation that may come next once the value is `value`, and may not now?
 * first_return: the first return in the list. */
static bool has_use(struct search *search, uint32_t value, const struct entry *first_return)
{
    uint32_t after;
    for (uint32_t at = first_entry(search); !search->entries[at].is_return;
         at = search->entries[at].next) {
        const struct candidate *candidate = &search->candidates[search->entries[at].operation];
        search->steps++;
        if (candidate->kind != REGISTER_WRITE && applies(candidate, value, &after))
            return true;
    }
    for (uint32_t i = search->must; i < search->count; i++) {
        const struct candidate *candidate = &search->candidates[i];
        search->steps++;
        if (candidate->invoke_ns > first_return->time_ns)
            break;
        if (!candidate->taken && candidate->kind == REGISTER_CAS && candidate->expected == value)
            return true;
    }
    return false;
}

/* Tries the calls from entry `at` to the first return, then the optional operations from `cursor`
 * on. True when one was taken. */
static bool advance(struct search *search, uint32_t at, uint32_t cursor)
{
    uint32_t after;
    for (; !search->entries[at].is_return; at = search->entries[at].next) {
        uint32_t operation = search->entries[at].operation;
        search->steps++;
        if (cursor == 0 && applies(&search->candidates[operation], search->state, &after) &&
            enter(search, operation, after, NO_ENTRY))
            return true;
    }
    uint64_t blocked_ns = search->entries[at].time_ns;
    if (blocked_ns > search->blocked_ns)
        search->blocked_ns = blocked_ns;
    for (uint32_t i = search->must + cursor; i < search->count; i++) {
        const struct candidate *candidate = &search->candidates[i];
        search->steps++;
        if (candidate->invoke_ns > blocked_ns)
            break;
        if (candidate->taken || !applies(candidate, search->state, &after) ||
            after == search->state)
            continue;
        if (candidate->before != NO_ENTRY && !search->candidates[candidate->before].taken)
            continue;
        if (!has_use(search, after, &search->entries[at]))
            continue;
        if (enter(search, i, after, i - search->must))
            return true;
    }
    return false;
}

static enum check_verdict run(struct search *search)
{
    uint32_t cursor = 0;
    take_forced(search);
    uint32_t at = first_entry(search);
    while (search->left > 0) {
        bool taken = advance(search, at, cursor);
        search->out_of_steps = search->steps > search->step_limit;
        if (search->out_of_memory || search->out_of_steps)
            return CHECK_UNKNOWN;
        at = first_entry(search);
        cursor = 0;
        if (taken)
            continue;
        struct frame frame;
        do {
            if (search->depth == 0)
                return CHECK_FAIL;
            frame = untake(search);
        } while (frame.forced);
        at = first_entry(search);
        if (frame.cursor == NO_ENTRY)
            at = search->entries[search->candidates[frame.operation].call].next;
        else
            cursor = frame.cursor + 1;
    }
    return CHECK_PASS;
}

void register_solve(const struct register_operation *operations, size_t count,
                    const struct check_linearizable_limits *limits, struct register_result *result)
{
    struct search search = {.step_limit = limits->steps, .memory_limit = limits->memory_bytes};
    assert(count < NO_ENTRY / 4);
    search.candidates = memory_allocate_zeroed(count, sizeof(search.candidates[0]));
    search.entries = memory_allocate_zeroed(2 * count + 1, sizeof(search.entries[0]));
    search.frames = memory_allocate_zeroed(count + 1, sizeof(search.frames[0]));
    add_candidates(&search, operations, count);
    add_entries(&search, operations, count);
    search.left = search.must;
    search.state = STATE_NIL;
    *result = (struct register_result){.verdict = run(&search)};
    result->steps = search.steps;
    result->reached = search.most;
    result->out_of_memory = search.out_of_memory;
    result->blocked_ns = search.blocked_ns;
    free(search.candidates);
    free(search.entries);
    free(search.frames);
    free(search.memo);
}
