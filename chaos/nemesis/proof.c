#include "chaos/nemesis/proof.h"

#include <string.h>

static uint64_t number(json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

static struct proof_counters read_counters(json_t *link)
{
    return (struct proof_counters){
        .held_bytes = number(link, "held_bytes"),
        .held_connections = number(link, "held_connections"),
        .dropped = number(json_object_get(link, "dropped"), "cut"),
    };
}

void proof_read_links(json_t *answer, struct proof_link *links, size_t count, bool baseline)
{
    json_t *state;
    size_t k;
    json_array_foreach(json_object_get(answer, "links"), k, state)
    {
        const char *name = json_string_value(json_object_get(state, "link"));
        for (size_t i = 0; name && i < count; i++) {
            if (strcmp(name, links[i].link) != 0)
                continue;
            links[i].now = read_counters(state);
            if (baseline)
                links[i].before = links[i].now;
        }
    }
}

static uint64_t rise(uint64_t before, uint64_t now)
{
    return now > before ? now - before : 0;
}

static struct proof_counters difference(const struct proof_link *link)
{
    const struct proof_counters *a = &link->before, *b = &link->now;
    return (struct proof_counters){
        .held_bytes = rise(a->held_bytes, b->held_bytes),
        .held_connections = rise(a->held_connections, b->held_connections),
        .dropped = rise(a->dropped, b->dropped),
    };
}

static bool is_effective(const struct proof_counters *counters)
{
    return counters->held_bytes || counters->held_connections || counters->dropped;
}

size_t proof_count_effective(const struct proof_link *links, size_t count)
{
    size_t effective = 0;
    for (size_t i = 0; i < count; i++) {
        struct proof_counters risen = difference(&links[i]);
        effective += is_effective(&risen);
    }
    return effective;
}

void proof_describe_links(const struct proof_link *links, size_t count, struct text *out)
{
    struct proof_counters sum = {0};
    for (size_t i = 0; i < count; i++) {
        struct proof_counters risen = difference(&links[i]);
        sum.held_bytes += risen.held_bytes;
        sum.held_connections += risen.held_connections;
        sum.dropped += risen.dropped;
    }
    if (!is_effective(&sum)) {
        text_append(out, "nothing tried to cross the %zu cut link%s", count, count == 1 ? "" : "s");
        return;
    }
    bool held = sum.held_bytes || sum.held_connections;
    if (held)
        text_append(out, "held %llu bytes and %llu new connections",
                    (unsigned long long)sum.held_bytes, (unsigned long long)sum.held_connections);
    if (sum.dropped)
        text_append(out, "%sdropped %llu units", held ? ", " : "", (unsigned long long)sum.dropped);
    text_append(out, " on %zu of %zu links", proof_count_effective(links, count), count);
}
