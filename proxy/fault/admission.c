#include "proxy/fault/admission.h"

#include "proxy/base/random.h"
#include "proxy/fault/reach.h"
#include "proxy/fault/stage.h"

/* Whether after_ns is over. Without it there is no question of time: a turn's timestamp may be from
 * before the fault was set. */
static bool is_time(const struct fault_entry *entry, const struct fault_flow *flow, uint64_t now_ns)
{
    if (entry->spec->after_ns == 0 || !flow->states)
        return true;
    const struct fault_state *state = &flow->states->by_slot[entry->slot];
    uint64_t since_ns = atomic_load_explicit(&state->since_ns, memory_order_relaxed);
    return now_ns >= stage_time_add(since_ns, entry->spec->after_ns);
}

/* Whether the fault acts on this connection now. It is counted in any case. */
static bool is_meant(const struct fault_entry *entry, const struct fault_flow *flow, uint64_t key,
                     uint64_t now_ns)
{
    struct fault_reach reach = fault_reach_meet(entry, flow, key);
    return !fault_reach_spares(&reach, entry->spec) && entry->spec->match[0] == '\0' &&
           is_time(entry, flow, now_ns);
}

/* True: it did something. */
static bool admit_one(const struct fault_entry *entry, uint64_t key,
                      struct fault_admission *admission)
{
    if (entry->spec->type == RULESET_REJECT) {
        admission->refused = random_hits(random_draw(key, 0, STAGE_DRAW_CHOICE),
                                         entry->spec->reject.probability_ppb);
        return admission->refused;
    }
    admission->delay_ns += entry->spec->accept_delay.delay_ns;
    return entry->spec->accept_delay.delay_ns > 0;
}

void fault_admit(const struct fault_entry *entries, size_t count, const struct fault_flow *flow,
                 uint64_t now_ns, struct fault_admission *admission)
{
    *admission = (struct fault_admission){0};
    if (flow->medium != FAULT_STREAM)
        return;
    for (size_t i = 0; i < count && !admission->refused; i++) {
        const struct fault_entry *entry = &entries[i];
        if (entry->spec->type != RULESET_REJECT && entry->spec->type != RULESET_ACCEPT_DELAY)
            continue;
        uint64_t key = random_key_fold(entry->key, flow->ordinal);
        if (is_meant(entry, flow, key, now_ns) && admit_one(entry, key, admission))
            admission->touched[admission->touched_count++] = entry->slot;
    }
}
