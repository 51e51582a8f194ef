/* Theory of operation. Every element begins with its name. The two arrays are walked together: the
 * search for a name begins where the last one was found, so that arrays that differ by a few
 * insertions and removals, which is what happens, cost one step an element. */
#include "proxy/api/changes.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/text.h"
#include "proxy/base/units.h"

enum { TEXT_MAX = 256 };

static_assert(offsetof(struct ruleset_node, name) == 0, "the name is first");
static_assert(offsetof(struct ruleset_route, name) == 0, "the name is first");
static_assert(offsetof(struct ruleset_partition, name) == 0, "the name is first");
static_assert(offsetof(struct ruleset_fault, name) == 0, "the name is first");
static_assert(offsetof(struct ruleset_clock, node) == 0, "the name is first");
static_assert(offsetof(struct ruleset_table, name) == 0, "the name is first");

struct array {
    const void *elements;
    size_t count, size;
};

static const void *element_at(const struct array *array, size_t i)
{
    return (const char *)array->elements + i * array->size;
}

/* The element of that name; *hint: where to begin, moved behind what was found. */
static const void *find(const struct array *array, const char *name, size_t *hint)
{
    for (size_t step = 0; step < array->count; step++) {
        size_t i = (*hint + step) % array->count;
        if (strcmp(element_at(array, i), name) == 0) {
            *hint = i + 1;
            return element_at(array, i);
        }
    }
    return NULL;
}

static bool same_node(const void *a, const void *b)
{
    const struct ruleset_node *one = a, *other = b;
    if (one->kind != other->kind || one->address_count != other->address_count)
        return false;
    for (size_t i = 0; i < one->address_count; i++)
        if (strcmp(one->addresses[i], other->addresses[i]) != 0)
            return false;
    return true;
}

static bool same_route(const void *a, const void *b)
{
    const struct ruleset_route *one = a, *other = b;
    return one->protocol == other->protocol && strcmp(one->listen, other->listen) == 0 &&
           strcmp(one->upstream, other->upstream) == 0 && strcmp(one->from, other->from) == 0 &&
           strcmp(one->to, other->to) == 0 && one->enabled == other->enabled &&
           one->spread == other->spread && one->close_unreached == other->close_unreached;
}

static bool same_partition(const void *a, const void *b)
{
    return ruleset_same_partition(a, b);
}

static bool same_fault(const void *a, const void *b)
{
    return ruleset_same_fault(a, b);
}

static bool same_clock(const void *a, const void *b)
{
    const struct ruleset_clock *one = a, *other = b;
    return one->offset_ns == other->offset_ns && one->drift_ppb == other->drift_ppb;
}

static bool same_table(const void *a, const void *b)
{
    const struct ruleset_table *one = a, *other = b;
    return one->count == other->count &&
           memcmp(one->values, other->values, one->count * sizeof(*one->values)) == 0;
}

/* --- telling --- */

struct teller {
    json_t *texts;
    size_t more; /* that were not told */
};

static void __attribute__((format(printf, 2, 3)))
tell(struct teller *teller, const char *format, ...)
{
    char text[TEXT_MAX];
    if (json_array_size(teller->texts) == API_CHANGES_MAX) {
        teller->more++;
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    json_array_append_new(teller->texts, json_string(text));
}

/* How one kind of element is compared and spoken of. */
struct kind {
    const char *noun, *appeared, *gone;
    bool (*same)(const void *a, const void *b);
    void (*tell_changed)(struct teller *teller, const void *before, const void *after);
};

static void tell_difference(struct teller *teller, const struct kind *kind, struct array before,
                            struct array after)
{
    size_t hint = 0;
    for (size_t i = 0; i < before.count; i++)
        if (!find(&after, element_at(&before, i), &hint))
            tell(teller, "%s %s %s", kind->noun, (const char *)element_at(&before, i), kind->gone);
    hint = 0;
    for (size_t i = 0; i < after.count; i++) {
        const void *now = element_at(&after, i);
        const void *old = find(&before, now, &hint);
        if (!old && kind->appeared)
            tell(teller, "%s %s %s", kind->noun, (const char *)now, kind->appeared);
        else if (!old || !kind->same(old, now))
            kind->tell_changed(teller, old, now);
    }
}

static void tell_node(struct teller *teller, const void *before, const void *after)
{
    const struct ruleset_node *node = after;
    (void)before;
    tell(teller, "node %s changed", node->name);
}

static void tell_route(struct teller *teller, const void *before, const void *after)
{
    const struct ruleset_route *old = before, *route = after;
    struct ruleset_route only_enabled = *old;
    only_enabled.enabled = route->enabled;
    if (old->enabled != route->enabled)
        tell(teller, "route %s %s", route->name, route->enabled ? "enabled" : "disabled");
    if (!same_route(&only_enabled, route))
        tell(teller, "route %s changed", route->name);
}

static void tell_partition(struct teller *teller, const void *before, const void *after)
{
    const struct ruleset_partition *partition = after;
    (void)before;
    tell(teller, "partition %s changed", partition->name);
}

static void tell_fault(struct teller *teller, const void *before, const void *after)
{
    const struct ruleset_fault *fault = after;
    (void)before;
    tell(teller, "fault %s changed", fault->name);
}

static void tell_table(struct teller *teller, const void *before, const void *after)
{
    const struct ruleset_table *table = after;
    (void)before;
    tell(teller, "table %s changed", table->name);
}

static void tell_clock(struct teller *teller, const void *before, const void *after)
{
    const struct ruleset_clock *clock = after;
    char offset[UNITS_TEXT_MAX], drift[UNITS_TEXT_MAX];
    (void)before;
    units_format_offset(clock->offset_ns, offset);
    units_format_drift(clock->drift_ppb, drift);
    if (clock->drift_ppb == 0)
        tell(teller, "clock %s %s", clock->node, offset);
    else
        tell(teller, "clock %s %s drift %s", clock->node, offset, drift);
}

#define ARRAY(ruleset, elements, count)                                                            \
    (struct array)                                                                                 \
    {                                                                                              \
        (ruleset)->elements, (ruleset)->count, sizeof(*(ruleset)->elements)                        \
    }

json_t *api_describe_changes(const struct ruleset *before, const struct ruleset *after)
{
    static const struct kind nodes = {"node", "added", "removed", same_node, tell_node};
    static const struct kind routes = {"route", "added", "removed", same_route, tell_route};
    static const struct kind partitions = {"partition", "set", "healed", same_partition,
                                           tell_partition};
    static const struct kind faults = {"fault", "set", "removed", same_fault, tell_fault};
    static const struct kind clocks = {"clock", NULL, "back to true time", same_clock, tell_clock};
    static const struct kind tables = {"table", "added", "removed", same_table, tell_table};
    struct teller teller = {.texts = memory_must(json_array())};
    if (before->seed != after->seed)
        tell(&teller, "seed %llu", (unsigned long long)after->seed);
    tell_difference(&teller, &nodes, ARRAY(before, nodes, node_count),
                    ARRAY(after, nodes, node_count));
    tell_difference(&teller, &routes, ARRAY(before, routes, route_count),
                    ARRAY(after, routes, route_count));
    tell_difference(&teller, &partitions, ARRAY(before, partitions, partition_count),
                    ARRAY(after, partitions, partition_count));
    tell_difference(&teller, &faults, ARRAY(before, faults, fault_count),
                    ARRAY(after, faults, fault_count));
    tell_difference(&teller, &clocks, ARRAY(before, clocks, clock_count),
                    ARRAY(after, clocks, clock_count));
    tell_difference(&teller, &tables, ARRAY(before, tables, table_count),
                    ARRAY(after, tables, table_count));
    if (teller.more > 0)
        json_array_append_new(teller.texts, json_sprintf("and %zu more", teller.more));
    return teller.texts;
}
