/* Theory of operation. A core must be *evidence*: what can't be ordered in it must be a fault of
 * the history, not of what was left out. Taking the only write of 7 away makes every read of 7
 * wrong, which proves nothing. So operations are taken away together with what may depend on them:
 *
 *   c may depend on p, if p may be the last change before c: p makes a value that c can have seen
 *   (read and cas: the same value; mismatch: any other than the expected), p was called before c
 *   returned, and no change q lies surely between them (called after p returned, returned before c
 *   was called).
 *
 * If a set can be ordered, so can the rest after such a removal: in that order every operation that
 * is left saw a change that is left too, and nothing stands between them that wasn't there. Turned
 * round: if the rest can't be ordered, neither can the whole. That holds for every step, so the
 * core shows the fault of the whole history. A value that nobody wrote remains alone, as it should.
 *
 * Removal goes in halves, quarters, and so on to single operations, until no single one can go. */
#include "chaos/check/register.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/text.h"

struct shrink {
    struct register_operation *operations;
    size_t count;
    size_t *optional;
    size_t optional_count;
    size_t *makers; /* the changes, by value, then in invocation order */
    size_t maker_count;
    uint64_t *between_ns;  /* of each change: the earliest return of a change surely after it */
    uint64_t *returned_ns; /* latest return of those up to here that must have happened */
    bool *removed;
    size_t *queue; /* removed changes whose dependents are still to be found */
    struct register_operation *kept;
    const struct check_linearizable_limits *limits;
    uint64_t *steps;
    uint64_t blocked_ns;
};

static bool is_change(const struct register_operation *operation)
{
    return operation->kind == REGISTER_WRITE || operation->kind == REGISTER_CAS;
}

static bool may_have_seen(const struct register_operation *operation, int64_t value)
{
    switch (operation->kind) {
    case REGISTER_READ:
        return operation->value == value;
    case REGISTER_CAS:
        return operation->expected == value;
    case REGISTER_MISMATCH:
        return operation->expected != value;
    default:
        return false;
    }
}

static int compare_makers(const void *left, const void *right, void *context)
{
    const struct register_operation *operations = context;
    size_t a = *(const size_t *)left, b = *(const size_t *)right;
    if (operations[a].value != operations[b].value)
        return operations[a].value < operations[b].value ? -1 : 1;
    return (a > b) - (a < b);
}

static void find_makers(struct shrink *shrink)
{
    shrink->maker_count = shrink->optional_count = 0;
    for (size_t i = 0; i < shrink->count; i++) {
        if (is_change(&shrink->operations[i]))
            shrink->makers[shrink->maker_count++] = i;
        if (shrink->operations[i].optional)
            shrink->optional[shrink->optional_count++] = i;
    }
    if (shrink->maker_count)
        qsort_r(shrink->makers, shrink->maker_count, sizeof(shrink->makers[0]), compare_makers,
                shrink->operations);
}

/* True when the operation saw a value that others made before, and all of these are removed. */
static bool is_orphan(const struct shrink *shrink, size_t at)
{
    const struct register_operation *here = &shrink->operations[at];
    if (here->kind != REGISTER_READ && here->kind != REGISTER_CAS)
        return false;
    int64_t value = here->kind == REGISTER_READ ? here->value : here->expected;
    size_t low = 0, high = shrink->maker_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (shrink->operations[shrink->makers[middle]].value < value)
            low = middle + 1;
        else
            high = middle;
    }
    bool any = false;
    for (; low < shrink->maker_count; low++) {
        const struct register_operation *maker = &shrink->operations[shrink->makers[low]];
        if (maker->value != value || maker->invoke_ns > here->return_ns)
            break;
        if (shrink->makers[low] == at)
            continue;
        if (!shrink->removed[shrink->makers[low]])
            return false;
        any = true;
    }
    return any;
}

/* First operation called after time_ns. */
static size_t first_called_after(const struct shrink *shrink, uint64_t time_ns)
{
    size_t low = 0, high = shrink->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (shrink->operations[middle].invoke_ns > time_ns)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void find_between(struct shrink *shrink)
{
    uint64_t *earliest = memory_allocate_zeroed(shrink->count + 1, sizeof(*earliest));
    earliest[shrink->count] = HISTORY_NEVER; /* earliest return of a change from here on */
    for (size_t i = shrink->count; i-- > 0;) {
        const struct register_operation *here = &shrink->operations[i];
        bool sure = is_change(here) && !here->optional;
        earliest[i] = sure && here->return_ns < earliest[i + 1] ? here->return_ns : earliest[i + 1];
    }
    for (size_t i = 0; i < shrink->count; i++)
        shrink->between_ns[i] =
            earliest[first_called_after(shrink, shrink->operations[i].return_ns)];
    free(earliest);
    uint64_t latest_ns = 0;
    for (size_t i = 0; i < shrink->count; i++) {
        const struct register_operation *here = &shrink->operations[i];
        if (!here->optional && here->return_ns > latest_ns)
            latest_ns = here->return_ns;
        shrink->returned_ns[i] = latest_ns;
    }
}

/* First operation up to which something that must have happened returned at time_ns or later. */
static size_t first_returned_at(const struct shrink *shrink, uint64_t time_ns)
{
    size_t low = 0, high = shrink->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (shrink->returned_ns[middle] >= time_ns)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void remove_dependent(struct shrink *shrink, const struct register_operation *gone,
                             size_t at, size_t *waiting)
{
    const struct register_operation *here = &shrink->operations[at];
    if (shrink->removed[at] || here->return_ns < gone->invoke_ns ||
        !may_have_seen(here, gone->value))
        return;
    shrink->removed[at] = true;
    if (is_change(here))
        shrink->queue[(*waiting)++] = at;
}

/* Only those near in time are looked at, and the optional ones, which never return. */
static void remove_dependents(struct shrink *shrink, size_t at, size_t *waiting)
{
    const struct register_operation *gone = &shrink->operations[at];
    uint64_t until_ns = shrink->between_ns[at];
    size_t first = first_returned_at(shrink, gone->invoke_ns);
    for (size_t i = 0; i < shrink->optional_count && shrink->optional[i] < first; i++)
        if (shrink->operations[shrink->optional[i]].invoke_ns <= until_ns)
            remove_dependent(shrink, gone, shrink->optional[i], waiting);
    for (size_t i = first; i < shrink->count && shrink->operations[i].invoke_ns <= until_ns; i++)
        remove_dependent(shrink, gone, i, waiting);
}

/* Removes what may depend on what is removed, until nothing does. */
static void close_removal(struct shrink *shrink)
{
    size_t waiting = 0;
    for (size_t i = 0; i < shrink->count; i++)
        if (shrink->removed[i] && is_change(&shrink->operations[i]))
            shrink->queue[waiting++] = i;
    do {
        while (waiting > 0) {
            size_t at = shrink->queue[--waiting];
            remove_dependents(shrink, at, &waiting);
        }
        for (size_t i = 0; i < shrink->count; i++) {
            if (shrink->removed[i] || !is_orphan(shrink, i))
                continue;
            shrink->removed[i] = true;
            if (is_change(&shrink->operations[i]))
                shrink->queue[waiting++] = i;
        }
    } while (waiting > 0);
}

/* Removes what is marked with its dependents, if what is left still fails. */
static bool try_removal(struct shrink *shrink)
{
    close_removal(shrink);
    size_t kept = 0;
    for (size_t i = 0; i < shrink->count; i++)
        if (!shrink->removed[i])
            shrink->kept[kept++] = shrink->operations[i];
    struct register_result result = {.verdict = CHECK_UNKNOWN};
    if (kept > 0 && kept<shrink->count && * shrink->steps> 0) {
        struct check_linearizable_limits limits = {shrink->limits->memory_bytes, *shrink->steps};
        register_solve(shrink->kept, kept, &limits, &result);
        *shrink->steps -= result.steps < *shrink->steps ? result.steps : *shrink->steps;
    }
    memset(shrink->removed, 0, shrink->count * sizeof(shrink->removed[0]));
    if (result.verdict != CHECK_FAIL)
        return false;
    memcpy(shrink->operations, shrink->kept, kept * sizeof(shrink->kept[0]));
    shrink->count = kept;
    shrink->blocked_ns = result.blocked_ns;
    find_between(shrink);
    find_makers(shrink);
    return true;
}

/* What comes after the moment at which no order goes on. */
static void try_tail(struct shrink *shrink)
{
    for (size_t i = 0; i < shrink->count; i++) {
        const struct register_operation *here = &shrink->operations[i];
        shrink->removed[i] = here->invoke_ns > shrink->blocked_ns ||
                             (!is_change(here) && here->return_ns > shrink->blocked_ns);
    }
    try_removal(shrink);
}

/* One pass over all pieces of `size` operations, from the front. */
static bool try_pieces(struct shrink *shrink, size_t size)
{
    bool any = false;
    for (size_t begin = 0; begin<shrink->count && * shrink->steps> 0;) {
        size_t end = begin + size < shrink->count ? begin + size : shrink->count;
        for (size_t i = begin; i < end; i++)
            shrink->removed[i] = true;
        if (try_removal(shrink))
            any = true;
        else
            begin = end;
    }
    return any;
}

size_t register_shrink(struct register_operation *operations, size_t count,
                       const struct check_linearizable_limits *limits, uint64_t *steps)
{
    struct shrink shrink = {.operations = operations,
                            .count = count,
                            .limits = limits,
                            .steps = steps,
                            .blocked_ns = HISTORY_NEVER};
    shrink.between_ns = memory_allocate_zeroed(count, sizeof(shrink.between_ns[0]));
    shrink.makers = memory_allocate_zeroed(count, sizeof(shrink.makers[0]));
    shrink.optional = memory_allocate_zeroed(count, sizeof(shrink.optional[0]));
    shrink.returned_ns = memory_allocate_zeroed(count, sizeof(shrink.returned_ns[0]));
    shrink.removed = memory_allocate_zeroed(count, sizeof(shrink.removed[0]));
    shrink.queue = memory_allocate_zeroed(count, sizeof(shrink.queue[0]));
    shrink.kept = memory_allocate_zeroed(count, sizeof(shrink.kept[0]));
    find_between(&shrink);
    find_makers(&shrink);
    struct register_result result;
    register_solve(operations, count, limits, &result);
    shrink.blocked_ns = result.blocked_ns;
    try_tail(&shrink);
    for (size_t size = shrink.count / 2; size > 1; size /= 2)
        try_pieces(&shrink, size);
    while (try_pieces(&shrink, 1))
        ;
    free(shrink.between_ns);
    free(shrink.makers);
    free(shrink.optional);
    free(shrink.returned_ns);
    free(shrink.removed);
    free(shrink.queue);
    free(shrink.kept);
    return shrink.count;
}
