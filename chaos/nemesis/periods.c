#include "chaos/nemesis/periods.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/text.h"

static bool is_partitioned(const struct periods_state *state)
{
    bool partitioned = false;
    for (size_t i = 0; i < state->count * state->count; i++)
        partitioned |= state->cut[i];
    return partitioned;
}

void periods_state_sides(const struct periods_state *state, uint8_t *side)
{
    memset(side, CHECK_SIDE_NONE, state->count);
    if (!is_partitioned(state))
        return;
    check_sides(state->cut, state->alive, state->count, side);
    for (size_t i = 0; i < state->count; i++) {
        if (state->quit[i] && !state->alive[i])
            side[i] = CHECK_SIDE_MINORITY;
    }
}

static struct check_period describe(uint64_t at_ns, const struct periods_state *state)
{
    struct check_period period = {.begin_ns = at_ns, .end_ns = at_ns};
    period.partitioned = is_partitioned(state);
    period.faulty = period.partitioned || state->faults > 0;
    bool restarting = false, otherwise = period.faulty;
    for (size_t i = 0; i < state->count; i++) {
        period.alive[i] = state->alive[i];
        period.restarting[i] = state->restarting[i] && !state->alive[i];
        restarting |= period.restarting[i];
        otherwise |= (!state->alive[i] && !state->restarting[i]) || state->shifted[i];
    }
    period.faulty = otherwise || restarting;
    period.only_restarting = restarting && !otherwise;
    periods_state_sides(state, period.side);
    return period;
}

static bool looks_the_same(const struct check_period *a, const struct check_period *b)
{
    return a->faulty == b->faulty && a->only_restarting == b->only_restarting &&
           memcmp(a->restarting, b->restarting, sizeof(a->restarting)) == 0 &&
           a->partitioned == b->partitioned && memcmp(a->side, b->side, sizeof(a->side)) == 0 &&
           memcmp(a->alive, b->alive, sizeof(a->alive)) == 0;
}

void periods_change(struct periods *periods, uint64_t at_ns, const struct periods_state *state)
{
    struct check_period period = describe(at_ns, state);
    struct check_period *last = periods->count ? &periods->items[periods->count - 1] : NULL;
    if (last && looks_the_same(last, &period))
        return;
    if (last && at_ns <= last->begin_ns) {
        period.begin_ns = period.end_ns = last->begin_ns;
        *last = period;
        return;
    }
    if (last)
        last->end_ns = at_ns;
    periods->items = memory_resize(periods->items, periods->count + 1, sizeof(*periods->items));
    periods->items[periods->count++] = period;
}

void periods_end(struct periods *periods, uint64_t at_ns)
{
    struct check_period *last = periods->count ? &periods->items[periods->count - 1] : NULL;
    if (last && at_ns > last->begin_ns)
        last->end_ns = at_ns;
}

void periods_free(struct periods *periods)
{
    free(periods->items);
    *periods = (struct periods){0};
}
