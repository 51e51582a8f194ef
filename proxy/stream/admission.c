/* Faults that meet a connection as a whole: reject and accept_delay.
 *
 * A new connection is judged once, just before its dial. One that is there already is judged by the
 * reject faults that refuse everybody, each time a plan comes into force: the draw of its toxicity
 * is the same every time. Of the windows only the fault that has none counts for it: it did not
 * begin after the fault, and a window that opens later is for those that begin then. */
#include "proxy/fault/admission.h"
#include "proxy/stream/internal.h"

struct fault_flow stream_connection_told(const struct stream_connection *connection)
{
    return (struct fault_flow){.medium = FAULT_STREAM,
                               .ordinal = connection->flow_key,
                               .begun_ns = connection->begun_ns,
                               .begun_version = connection->begun_version,
                               .states = connection->plane->states};
}

static bool is_unbounded_reject(const struct ruleset_fault *fault)
{
    return fault->type == RULESET_REJECT &&
           fault->reject.probability_ppb >= RULESET_PROBABILITY_MAX && fault->after_ns == 0 &&
           fault->first_connections == 0;
}

bool stream_fault_refuses_all(const struct ruleset_fault *fault)
{
    return is_unbounded_reject(fault) && fault->spared_ppb == 0;
}

/* Asks the engine; counts what it says. */
static void judge(const struct stream_connection *connection, const struct fault_flow *told,
                  const struct fault_entry *entries, size_t count,
                  struct fault_admission *admission)
{
    struct stream_plane *plane = connection->plane;
    fault_admit(entries, count, told, loop_now_ns(plane->loop), admission);
    for (size_t i = 0; i < admission->touched_count; i++)
        if (admission->touched[i] < RULESET_FAULTS_MAX)
            fault_counter_add(&plane->counters->touched[admission->touched[i]], 1);
    if (admission->refused)
        fault_counter_add(&connection->flows[STREAM_UP].counters->dropped[FAULT_CAUSE_REJECT], 1);
}

bool stream_connection_admit(struct stream_connection *connection)
{
    const struct stream_flow *up = &connection->flows[STREAM_UP];
    struct fault_entry entries[FAULT_CHAIN_MAX];
    struct fault_flow told = stream_connection_told(connection);
    struct fault_admission admission = {0};
    connection->admitted = true;
    size_t count = fault_plan_chain(connection->plane->plan, up->from, up->to,
                                    connection->listener->spec->slot, RULESET_UPSTREAM, entries);
    if (count == 0)
        return true;
    judge(connection, &told, entries, count, &admission);
    connection->dial_ns = connection->begun_ns + admission.delay_ns;
    return !admission.refused;
}

void stream_connection_review(struct stream_connection *connection,
                              const struct fault_entry *entries, size_t count)
{
    struct loop *loop = connection->plane->loop;
    struct fault_entry rejects[FAULT_CHAIN_MAX];
    struct fault_flow told = stream_connection_told(connection);
    struct fault_admission admission = {0};
    size_t reject_count = 0;
    uint64_t delay_ns = 0;
    if (!connection->admitted || connection->ending)
        return; /* its turn comes before the dial; or it is over */
    for (size_t i = 0; i < count; i++) {
        if (entries[i].spec->type == RULESET_ACCEPT_DELAY)
            delay_ns += entries[i].spec->accept_delay.delay_ns;
        if (is_unbounded_reject(entries[i].spec))
            rejects[reject_count++] = entries[i];
    }
    told.states = NULL; /* it has been counted, if it is to be */
    if (reject_count > 0)
        judge(connection, &told, rejects, reject_count, &admission);
    if (admission.refused)
        connection->ending = STREAM_TO_RESET;
    if (connection->dial_ns > connection->begun_ns + delay_ns)
        connection->dial_ns = connection->begun_ns + delay_ns; /* some of it has been removed */
    if (admission.refused || connection->state == STREAM_HELD)
        loop_timer_set(loop, &connection->flows[STREAM_UP].timer, loop_now_ns(loop));
}
