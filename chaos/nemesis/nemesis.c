/* Theory of operation
 *
 * The timeline is played in real time by one loop that wakes for the next step and, in between,
 * every 20 ms: it notices nodes that ended, asks severd for signs that what is in force has an
 * effect, and waits for restarted nodes to answer.
 *
 * A run whose faults did nothing and that passes is the worst result there is, so each step that
 * should do something has to prove it: a cut by traffic that it held back or dropped on its links,
 * a delay, loss or rate by the units it touched, a clock by the page in the server's memory map,
 * a kill by the wait status, a pause by the state in /proc (and both by silence), a restart by an
 * answer. A cut also needs that nobody goes around severd, which the connections of the namespace
 * show.
 *
 * Every change of what is in force begins a new period. A cut counts from the answer of severd
 * (then it is in force on every worker), a heal from the request (from then on the link may be
 * open): a period never claims more fault than there was. */
#include "chaos/nemesis/nemesis.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/nemesis/nemesis_internal.h"
#include "proxy/base/monotonic.h"

#define TICK_NS (20 * NS_PER_MS)
#define PROOF_INTERVAL_NS (200 * NS_PER_MS)
#define BYPASS_INTERVAL_NS NS_PER_S
#define EXIT_GRACE_NS NS_PER_S
#define ANSWER_TIMEOUT_NS (100 * NS_PER_MS)

const char *nemesis_proof_name(enum nemesis_proof proof)
{
    static const char *const names[] = {"not needed", "pending", "proved", "unproved"};
    return names[proof];
}

struct nemesis *nemesis_create(const struct nemesis_setup *setup)
{
    struct nemesis *nemesis = memory_allocate_zeroed(1, sizeof(*nemesis));
    nemesis->setup = *setup;
    nemesis->record_count = setup->experiment->step_count;
    nemesis->records = memory_allocate_zeroed(nemesis->record_count, sizeof(*nemesis->records));
    for (size_t i = 0; i < nemesis->record_count; i++)
        nemesis->records[i].step = &setup->experiment->steps[i];
    nemesis->last_leader = nemesis->last_follower = SELECT_NO_LEADER;
    nemesis->state.count = lab_node_count(setup->lab);
    for (size_t i = 0; i < nemesis->state.count; i++)
        nemesis->state.alive[i] = true;
    nemesis_state_changed(nemesis, setup->start_ns);
    return nemesis;
}

void nemesis_destroy(struct nemesis *nemesis)
{
    for (size_t i = 0; i < nemesis->record_count; i++) {
        free(nemesis->records[i].became);
        free(nemesis->records[i].evidence);
    }
    for (size_t i = 0; i < nemesis->active_count; i++)
        free(nemesis->actives[i].links);
    free(nemesis->records);
    free(nemesis->actives);
    free(nemesis->exits);
    periods_free(&nemesis->periods);
    free(nemesis);
}

const struct nemesis_record *nemesis_records(const struct nemesis *nemesis, size_t *count)
{
    *count = nemesis->record_count;
    return nemesis->records;
}

const struct nemesis_exit *nemesis_exits(const struct nemesis *nemesis, size_t *count)
{
    *count = nemesis->exit_count;
    return nemesis->exits;
}

const struct periods *nemesis_periods(const struct nemesis *nemesis)
{
    return &nemesis->periods;
}

/* Index of a node by name, -1 when it is not a member. */
static int find_node(const struct nemesis *nemesis, const char *name)
{
    for (size_t i = 0; i < nemesis->state.count; i++) {
        if (strcmp(lab_node_name(nemesis->setup.lab, i), name) == 0)
            return (int)i;
    }
    return -1;
}

void nemesis_set_proof(struct nemesis *nemesis, size_t index, enum nemesis_proof proof,
                       const char *evidence)
{
    struct nemesis_record *record = &nemesis->records[index];
    bool news = record->proof != proof;
    record->proof = proof;
    if (proof == NEMESIS_PROVED && news)
        record->proved_ns = monotonic_now_ns();
    if (evidence) {
        free(record->evidence);
        record->evidence = memory_copy_text(evidence);
    }
    if (news && proof >= NEMESIS_PROVED && record->done_ns && nemesis->setup.events.on_proof)
        nemesis->setup.events.on_proof(nemesis->setup.events.context, record);
}

/* ---- what is in force ------------------------------------------------------------------------ */

/* A link is open only while no partition holds it. */
static void work_out_cuts(struct nemesis *nemesis)
{
    struct periods_state *state = &nemesis->state;
    memset(state->cut, 0, sizeof(state->cut));
    state->faults = 0;
    for (size_t i = 0; i < nemesis->active_count; i++) {
        const struct active *active = &nemesis->actives[i];
        state->faults += active->kind == ACTIVE_FAULT;
        for (size_t k = 0; k < active->link_count; k++) {
            struct ruleset_link link;
            bool both_ways;
            if (ruleset_parse_link(active->links[k].link, &link, &both_ways, NULL) < 0)
                continue;
            int from = find_node(nemesis, link.from);
            int to = find_node(nemesis, link.to);
            if (from >= 0 && to >= 0)
                state->cut[(size_t)from * state->count + (size_t)to] = true;
        }
    }
}

void nemesis_state_changed(struct nemesis *nemesis, uint64_t at_ns)
{
    work_out_cuts(nemesis);
    periods_change(&nemesis->periods, at_ns, &nemesis->state);
    for (size_t i = 0; i < nemesis->state.count; i++) {
        if (nemesis->side[i] == CHECK_SIDE_MINORITY)
            nemesis->minority_ns[i] = monotonic_now_ns();
    }
    periods_state_sides(&nemesis->state, nemesis->side);
    for (size_t i = 0; i < nemesis->state.count; i++)
        nemesis->state.quit[i] &= nemesis->side[i] == CHECK_SIDE_MINORITY;
}

static bool matches(const struct active *active, enum active_kind kind, const char *name)
{
    return active->kind == kind && (!name || !*name || strcmp(active->name, name) == 0);
}

void nemesis_forget(struct nemesis *nemesis, enum active_kind kind, const char *name,
                    uint64_t at_ns)
{
    size_t kept = 0;
    for (size_t i = 0; i < nemesis->active_count; i++) {
        if (matches(&nemesis->actives[i], kind, name))
            free(nemesis->actives[i].links);
        else
            nemesis->actives[kept++] = nemesis->actives[i];
    }
    nemesis->active_count = kept;
    nemesis_state_changed(nemesis, at_ns);
}

/* ---- proof ----------------------------------------------------------------------------------- */

static int look_at_partition(struct nemesis *nemesis, struct active *active, json_t *links,
                             bool final)
{
    struct text evidence = {0};
    proof_read_links(links, active->links, active->link_count, false);
    bool effective = proof_count_effective(active->links, active->link_count) > 0;
    if (effective || final) {
        proof_describe_links(active->links, active->link_count, &evidence);
        nemesis_set_proof(nemesis, active->record, effective ? NEMESIS_PROVED : NEMESIS_UNPROVED,
                          text_get(&evidence));
    }
    text_free(&evidence);
    return 0;
}

static int look_at_fault(struct nemesis *nemesis, struct active *active, bool final,
                         struct error *error)
{
    char path[512] = "/v1/faults/";
    json_t *fault = NULL;
    struct text evidence = {0};
    wire_path_append(path, sizeof(path), active->name);
    int code =
        wire_client_request(lab_client(nemesis->setup.lab), "GET", path, NULL, &fault, error);
    if (code < 0)
        return code;
    json_int_t touched = json_integer_value(json_object_get(fault, "touched"));
    const char *applied = json_string_value(json_object_get(fault, "applied"));
    text_append(&evidence, "touched %lld units; applies to %s", (long long)touched,
                applied ? applied : "?");
    if (touched > 0 || final)
        nemesis_set_proof(nemesis, active->record, touched > 0 ? NEMESIS_PROVED : NEMESIS_UNPROVED,
                          text_get(&evidence));
    text_free(&evidence);
    json_decref(fault);
    return 0;
}

int nemesis_look_for_proof(struct nemesis *nemesis, bool final, enum active_kind kind,
                           const char *name, struct error *error)
{
    json_t *links = NULL;
    int code = 0;
    for (size_t i = 0; code == 0 && i < nemesis->active_count; i++) {
        struct active *active = &nemesis->actives[i];
        bool pending = nemesis->records[active->record].proof == NEMESIS_PENDING;
        if (final ? !matches(active, kind, name) : !pending)
            continue;
        if (active->kind == ACTIVE_FAULT) {
            code = look_at_fault(nemesis, active, final, error);
            continue;
        }
        if (!links)
            code = wire_client_request(lab_client(nemesis->setup.lab), "GET", "/v1/links", NULL,
                                       &links, error);
        if (code == 0)
            code = look_at_partition(nemesis, active, links, final);
    }
    json_decref(links);
    return code;
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* To leave is one of the right things to do without a majority; it may take a moment, and the heal
 * may come first. */
static bool is_excused(const struct nemesis *nemesis, size_t node, uint64_t at_ns)
{
    uint64_t since_ns = nemesis->minority_ns[node];
    return nemesis->side[node] == CHECK_SIDE_MINORITY ||
           (since_ns && at_ns - since_ns <= EXIT_GRACE_NS);
}

static int judge_exits(const struct nemesis *nemesis, struct error *error)
{
    for (size_t i = 0; i < nemesis->exit_count; i++) {
        const struct nemesis_exit *found = &nemesis->exits[i];
        if (!found->excused)
            return error_set(error, -ECHILD, "no step asked for it: %s %s",
                             lab_node_name(nemesis->setup.lab, found->node), found->what);
    }
    return 0;
}

static void note_exits(struct nemesis *nemesis)
{
    struct nemesis_exit found = {0};
    int node;
    while ((node = lab_poll_exit(nemesis->setup.lab, found.what, sizeof(found.what))) >= 0) {
        found.node = (size_t)node;
        found.at_ns = monotonic_now_ns();
        found.excused = is_excused(nemesis, found.node, found.at_ns);
        nemesis->exits =
            memory_resize(nemesis->exits, nemesis->exit_count + 1, sizeof(*nemesis->exits));
        nemesis->exits[nemesis->exit_count++] = found;
        if (nemesis->state.restarting[node])
            nemesis_set_proof(nemesis, nemesis->restart_record[node], NEMESIS_UNPROVED, found.what);
        nemesis->state.restarting[node] = false;
        nemesis->state.quit[node] = nemesis->side[node] == CHECK_SIDE_MINORITY;
        nemesis->state.alive[node] = false;
        nemesis_state_changed(nemesis, found.at_ns);
        if (nemesis->setup.events.on_exit)
            nemesis->setup.events.on_exit(nemesis->setup.events.context, &found);
    }
}

static void note_restarted(struct nemesis *nemesis)
{
    for (size_t i = 0; i < nemesis->state.count; i++) {
        if (!nemesis->state.restarting[i] || lab_node_state(nemesis->setup.lab, i) != LAB_RUNNING ||
            !lab_node_answers(nemesis->setup.lab, i, ANSWER_TIMEOUT_NS))
            continue;
        nemesis->state.restarting[i] = false;
        nemesis->state.alive[i] = true;
        nemesis_state_changed(nemesis, monotonic_now_ns());
        nemesis_set_proof(nemesis, nemesis->restart_record[i], NEMESIS_PROVED,
                          "it answers PING again");
    }
}

static bool is_partitioned(const struct nemesis *nemesis)
{
    for (size_t i = 0; i < nemesis->active_count; i++) {
        if (nemesis->actives[i].kind == ACTIVE_PARTITION)
            return true;
    }
    return false;
}

static int tick(struct nemesis *nemesis, struct error *error)
{
    uint64_t now = monotonic_now_ns();
    note_exits(nemesis);
    note_restarted(nemesis);
    int code = lab_check_severd(nemesis->setup.lab, error);
    if (code == 0 && now >= nemesis->next_proof_ns) {
        nemesis->next_proof_ns = now + PROOF_INTERVAL_NS;
        code = nemesis_look_for_proof(nemesis, false, ACTIVE_PARTITION, NULL, error);
    }
    if (code == 0 && is_partitioned(nemesis) && now >= nemesis->next_bypass_ns) {
        nemesis->next_bypass_ns = now + BYPASS_INTERVAL_NS;
        code = lab_check_bypass(nemesis->setup.lab, error);
    }
    if (nemesis->setup.events.on_tick)
        nemesis->setup.events.on_tick(nemesis->setup.events.context, monotonic_now_ns(),
                                      nemesis->side);
    return code;
}

static int wait_until(struct nemesis *nemesis, uint64_t due_ns, struct error *error)
{
    for (;;) {
        int code = tick(nemesis, error);
        uint64_t now = monotonic_now_ns();
        if (code < 0 || now >= due_ns)
            return code;
        uint64_t left = due_ns - now < TICK_NS ? due_ns - now : TICK_NS;
        struct timespec timeout = {.tv_nsec = (long)left};
        struct pollfd abort = {.fd = nemesis->setup.abort_fd, .events = POLLIN};
        if (ppoll(&abort, 1, &timeout, NULL) == 1)
            return error_set(error, -ECANCELED, "interrupted");
    }
}

int nemesis_play(struct nemesis *nemesis, struct error *error)
{
    const struct experiment *experiment = nemesis->setup.experiment;
    for (size_t i = 0; i < experiment->step_count; i++) {
        int code = wait_until(nemesis, nemesis->setup.start_ns + experiment->steps[i].at_ns, error);
        if (code < 0)
            return code;
        code = nemesis_run_step(nemesis, i, error);
        if (code < 0) {
            char place[ERROR_PLACE_MAX];
            snprintf(place, sizeof(place), "line %u, %s", experiment->steps[i].line,
                     experiment->steps[i].text);
            snprintf(error->place, sizeof(error->place), "%s", place);
            return code;
        }
        if (nemesis->setup.events.on_step)
            nemesis->setup.events.on_step(nemesis->setup.events.context, &nemesis->records[i]);
    }
    return wait_until(nemesis, nemesis->setup.start_ns + experiment->duration_ns, error);
}

int nemesis_finish(struct nemesis *nemesis, struct error *error)
{
    struct wire_client *client = lab_client(nemesis->setup.lab);
    int code = nemesis_look_for_proof(nemesis, true, ACTIVE_PARTITION, NULL, error);
    if (code == 0)
        code = nemesis_look_for_proof(nemesis, true, ACTIVE_FAULT, NULL, error);
    for (size_t i = 0; i < nemesis->state.count; i++) {
        if (nemesis->state.restarting[i])
            nemesis_set_proof(nemesis, nemesis->restart_record[i], NEMESIS_UNPROVED,
                              "it did not answer PING before the run ended");
    }
    for (size_t i = 0; i < nemesis->record_count; i++) {
        if (nemesis->records[i].proof == NEMESIS_PENDING)
            nemesis_set_proof(nemesis, i, NEMESIS_UNPROVED, "there was no sign of it");
    }
    periods_end(&nemesis->periods, monotonic_now_ns());
    if (code == 0)
        code = wire_client_request(client, "DELETE", "/v1/partitions", NULL, NULL, error);
    if (code == 0)
        code = wire_client_request(client, "DELETE", "/v1/faults", NULL, NULL, error);
    if (code == 0)
        code = judge_exits(nemesis, error);
    return code;
}
