/* One function per action of the timeline. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/nemesis/nemesis_internal.h"
#include "chaos/workload/resp.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/units.h"
#include "proxy/wire/codec.h"

#define INFO_TIMEOUT_NS (300 * NS_PER_MS)
enum { LEADER_PAUSE_MS = 20, EVIDENCE_MAX = 512 };

/* ---- who ------------------------------------------------------------------------------------- */

/* Of all that say they lead, the one in the highest term: an old leader that is cut off may not
 * know yet. */
static int find_leader(struct nemesis *nemesis)
{
    struct lab *lab = nemesis->setup.lab;
    const char *line = nemesis->setup.experiment->cluster.leader_line;
    unsigned long long best_term = 0;
    int best = SELECT_NO_LEADER;
    for (size_t i = 0; line && i < nemesis->state.count; i++) {
        struct text info = {0};
        char term[24];
        if (lab_node_state(lab, i) == LAB_RUNNING &&
            lab_query_info(lab, i, INFO_TIMEOUT_NS, &info) == 0 &&
            resp_info_has_line(text_get(&info), info.length, line)) {
            resp_info_field(text_get(&info), info.length, "term", term, sizeof(term));
            unsigned long long number = strtoull(term, NULL, 10);
            if (best == SELECT_NO_LEADER || number > best_term) {
                best = (int)i;
                best_term = number;
            }
        }
        text_free(&info);
    }
    return best;
}

static int await_leader(struct nemesis *nemesis, int *leader, struct error *error)
{
    uint64_t within_ns = nemesis->setup.experiment->cluster.ready_within_ns;
    uint64_t deadline_ns = monotonic_now_ns() + within_ns;
    for (;;) {
        *leader = find_leader(nemesis);
        if (*leader != SELECT_NO_LEADER)
            return 0;
        if (monotonic_now_ns() >= deadline_ns) {
            char within[UNITS_TEXT_MAX];
            return error_set(error, -ENOENT, "nobody has led for %s",
                             units_format_duration(within_ns, within));
        }
        struct pollfd abort = {.fd = nemesis->setup.abort_fd, .events = POLLIN};
        if (poll(&abort, 1, LEADER_PAUSE_MS) == 1)
            return error_set(error, -ECANCELED, "interrupted");
    }
}

struct scene { /* what selectors are resolved against */
    struct select_view view;
    bool usable[EXPERIMENT_NODES_MAX];
    struct random_stream stream;
};

static int look_around(struct nemesis *nemesis, size_t index, struct scene *scene,
                       struct error *error)
{
    const struct experiment *experiment = nemesis->setup.experiment;
    int leader = SELECT_NO_LEADER;
    int code = 0;
    if (select_needs_leader(&experiment->steps[index]))
        code = await_leader(nemesis, &leader, error);
    if (leader != SELECT_NO_LEADER &&
        select_uses(&experiment->steps[index], EXPERIMENT_NODE_LEADER))
        nemesis->last_leader = leader;
    for (size_t i = 0; i < nemesis->state.count; i++)
        scene->usable[i] = lab_node_state(nemesis->setup.lab, i) == LAB_RUNNING;
    scene->view = (struct select_view){
        .nodes = (const char(*)[RULESET_NAME_MAX])experiment->cluster.nodes,
        .count = nemesis->state.count,
        .usable = scene->usable,
        .leader = leader,
    };
    scene->stream = select_stream(nemesis->setup.seed, index);
    return code;
}

/* The node of a step that has one. Resume and restart of `leader` or `follower` mean whom the same
 * word meant before. */
static int pick(struct nemesis *nemesis, const struct experiment_step *step, struct scene *scene,
                size_t *node, struct error *error)
{
    bool again = step->action == EXPERIMENT_RESUME || step->action == EXPERIMENT_RESTART;
    bool follower = step->node.kind == EXPERIMENT_NODE_FOLLOWER;
    if (again && (follower || step->node.kind == EXPERIMENT_NODE_LEADER)) {
        int last = follower ? nemesis->last_follower : nemesis->last_leader;
        if (last == SELECT_NO_LEADER)
            return error_set(error, -EINVAL, "no earlier step says which node that is");
        *node = (size_t)last;
        return 0;
    }
    int code = select_node(&step->node, &scene->view, NULL, &scene->stream, node, error);
    if (code == 0 && follower)
        nemesis->last_follower = (int)*node;
    return code;
}

/* ---- partitions ------------------------------------------------------------------------------ */

static void add_active(struct nemesis *nemesis, size_t index, enum active_kind kind,
                       const char *name, struct proof_link *links, size_t link_count)
{
    struct active active = {
        .kind = kind, .record = index, .links = links, .link_count = link_count};
    snprintf(active.name, sizeof(active.name), "%s", name ? name : "");
    nemesis->actives = memory_resize(nemesis->actives, nemesis->active_count + 1, sizeof(active));
    nemesis->actives[nemesis->active_count++] = active;
}

/* The links of the partition that was set, with what their counters were: bytes, drops and
 * refusals just before, connections just after. Those that were open at the cut count as held at
 * once, whether or not anything tried to cross; they prove nothing. */
static struct proof_link *baseline(json_t *partition, json_t *before, json_t *after, size_t *count)
{
    json_t *list = json_object_get(partition, "links"), *link;
    size_t k;
    *count = json_array_size(list);
    struct proof_link *links = memory_allocate_zeroed(*count, sizeof(*links));
    json_array_foreach(list, k, link)
        snprintf(links[k].link, sizeof(links[k].link), "%s", json_string_value(link));
    proof_read_links(before, links, *count, true);
    proof_read_links(after, links, *count, false);
    for (size_t i = 0; i < *count; i++)
        links[i].before.held_connections = links[i].now.held_connections;
    return links;
}

/* body: stolen. */
static int set_partition(struct nemesis *nemesis, size_t index, json_t *body, struct error *error)
{
    const struct experiment_step *step = &nemesis->setup.experiment->steps[index];
    struct wire_client *client = lab_client(nemesis->setup.lab);
    json_t *before = NULL, *after = NULL, *partition = NULL;
    if (step->name[0])
        json_object_set_new(body, "name", json_string(step->name));
    int code = wire_client_request(client, "GET", "/v1/links", NULL, &before, error);
    if (code == 0)
        code = wire_client_request(client, "POST", "/v1/partitions", body, &partition, error);
    uint64_t set_ns = monotonic_now_ns();
    if (code == 0)
        code = wire_client_request(client, "GET", "/v1/links", NULL, &after, error);
    if (code == 0) {
        size_t count;
        struct proof_link *links = baseline(partition, before, after, &count);
        add_active(nemesis, index, ACTIVE_PARTITION,
                   json_string_value(json_object_get(partition, "name")), links, count);
        nemesis->records[index].proof = NEMESIS_PENDING;
        nemesis->next_bypass_ns = 0;
        nemesis_state_changed(nemesis, set_ns);
    }
    json_decref(before);
    json_decref(after);
    json_decref(partition);
    json_decref(body);
    return code;
}

/* Each node in its group, with the clients that are cut with it. */
static json_t *encode_groups(const struct nemesis *nemesis, const int *group_of, size_t group_count)
{
    json_t *groups = json_array();
    for (size_t g = 0; g < group_count; g++) {
        json_t *group = json_array();
        for (size_t i = 0; i < nemesis->state.count; i++) {
            if (group_of[i] == (int)g)
                lab_append_side(nemesis->setup.lab, i, group);
        }
        json_array_append_new(groups, group);
    }
    return json_pack("{s:o}", "groups", groups);
}

static int split(struct nemesis *nemesis, size_t index, struct scene *scene, struct text *became,
                 struct error *error)
{
    const struct experiment_step *step = &nemesis->setup.experiment->steps[index];
    int group_of[EXPERIMENT_NODES_MAX];
    int code = select_groups(step->groups, step->group_count, &scene->view, &scene->stream,
                             group_of, error);
    if (code < 0)
        return code;
    text_append(became, "split ");
    select_format_groups(&scene->view, group_of, step->group_count, became);
    return set_partition(nemesis, index, encode_groups(nemesis, group_of, step->group_count),
                         error);
}

static int isolate(struct nemesis *nemesis, size_t index, struct scene *scene, struct text *became,
                   struct error *error)
{
    size_t node = 0;
    int group_of[EXPERIMENT_NODES_MAX];
    const struct experiment_step *step = &nemesis->setup.experiment->steps[index];
    int code = pick(nemesis, step, scene, &node, error);
    if (code < 0)
        return code;
    for (size_t i = 0; i < scene->view.count; i++)
        group_of[i] = i == node ? 0 : 1;
    text_append(became, "isolate %s", scene->view.nodes[node]);
    return set_partition(nemesis, index, encode_groups(nemesis, group_of, 2), error);
}

/* The two ends of a link; they can't be the same node. */
static int pick_link(const struct experiment_step *step, struct scene *scene,
                     struct ruleset_link *link, struct error *error)
{
    size_t from = 0, to = 0;
    bool taken[EXPERIMENT_NODES_MAX] = {false};
    int code = select_node(&step->from, &scene->view, NULL, &scene->stream, &from, error);
    if (code == 0) {
        taken[from] = true;
        code = select_node(&step->to, &scene->view, taken, &scene->stream, &to, error);
    }
    if (code == 0 && from == to)
        return error_set(error, -EINVAL, "both ends of the link are %s", scene->view.nodes[from]);
    if (code == 0) {
        snprintf(link->from, sizeof(link->from), "%s", scene->view.nodes[from]);
        snprintf(link->to, sizeof(link->to), "%s", scene->view.nodes[to]);
    }
    return code;
}

static int cut(struct nemesis *nemesis, size_t index, struct scene *scene, struct text *became,
               struct error *error)
{
    const struct experiment_step *step = &nemesis->setup.experiment->steps[index];
    struct ruleset_link link;
    char there[RULESET_LINK_TEXT_MAX], back[RULESET_LINK_TEXT_MAX];
    int code = pick_link(step, scene, &link, error);
    if (code < 0)
        return code;
    text_append(became, "cut %s", ruleset_format_link(&link, step->both_ways, there));
    struct ruleset_link reverse;
    snprintf(reverse.from, sizeof(reverse.from), "%s", link.to);
    snprintf(reverse.to, sizeof(reverse.to), "%s", link.from);
    json_t *links = json_array();
    json_array_append_new(links, json_string(ruleset_format_link(&link, false, there)));
    if (step->both_ways)
        json_array_append_new(links, json_string(ruleset_format_link(&reverse, false, back)));
    return set_partition(nemesis, index, json_pack("{s:o}", "links", links), error);
}

/* Back to true time, each of them: a step that shifted the leader's clock can't be undone by name.
 */
static int reset_clocks(struct nemesis *nemesis, struct error *error)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < nemesis->state.count; i++) {
        char path[512] = "/v1/clocks/";
        if (!nemesis->state.shifted[i])
            continue;
        wire_path_append(path, sizeof(path), lab_node_name(nemesis->setup.lab, i));
        code =
            wire_client_request(lab_client(nemesis->setup.lab), "DELETE", path, NULL, NULL, error);
        nemesis->state.shifted[i] = code < 0;
    }
    return code;
}

/* heal (partitions) and clear (faults), of one name or all; clear: all means the clocks too. */
static int end_active(struct nemesis *nemesis, size_t index, enum active_kind kind,
                      struct text *became, struct error *error)
{
    const struct experiment_step *step = &nemesis->setup.experiment->steps[index];
    char path[512];
    snprintf(path, sizeof(path), kind == ACTIVE_PARTITION ? "/v1/partitions" : "/v1/faults");
    if (step->name[0])
        wire_path_append(path, sizeof(path), step->name);
    text_append(became, "%s %s", kind == ACTIVE_PARTITION ? "heal" : "clear",
                step->name[0] ? step->name : "all");
    int code = nemesis_look_for_proof(nemesis, true, kind, step->name, error);
    uint64_t asked_ns = monotonic_now_ns();
    if (code == 0)
        code =
            wire_client_request(lab_client(nemesis->setup.lab), "DELETE", path, NULL, NULL, error);
    if (code == 0 && kind == ACTIVE_FAULT && !step->name[0])
        code = reset_clocks(nemesis, error);
    if (code == 0)
        nemesis_forget(nemesis, kind, step->name, asked_ns);
    return code;
}

/* ---- faults and clocks ----------------------------------------------------------------------- */

static int set_fault(struct nemesis *nemesis, size_t index, struct scene *scene,
                     struct text *became, struct error *error)
{
    const struct experiment_step *step = &nemesis->setup.experiment->steps[index];
    struct ruleset_fault fault = step->fault;
    char link[RULESET_LINK_TEXT_MAX];
    int code = pick_link(step, scene, &fault.link, error);
    if (code < 0)
        return code;
    fault.both_ways = step->both_ways;
    snprintf(fault.name, sizeof(fault.name), "%s", step->name);
    json_t *body = wire_encode_fault(&fault), *answer = NULL;
    if (!fault.name[0])
        json_object_del(body, "name");
    text_append(became, "%s on %s", ruleset_fault_type_name(fault.type),
                ruleset_format_link(&fault.link, fault.both_ways, link));
    code = wire_client_request(lab_client(nemesis->setup.lab), "POST", "/v1/faults", body, &answer,
                               error);
    if (code == 0) {
        add_active(nemesis, index, ACTIVE_FAULT, json_string_value(json_object_get(answer, "name")),
                   NULL, 0);
        nemesis->records[index].proof = NEMESIS_PENDING;
        nemesis_state_changed(nemesis, monotonic_now_ns());
    }
    json_decref(body);
    json_decref(answer);
    return code;
}

static int clock_page(struct nemesis *nemesis, const char *node, char *page, size_t size,
                      struct error *error)
{
    json_t *answer = NULL, *clock;
    size_t i;
    int code = wire_client_request(lab_client(nemesis->setup.lab), "GET", "/v1/clocks", NULL,
                                   &answer, error);
    page[0] = '\0';
    json_array_foreach(json_object_get(answer, "clocks"), i, clock)
    {
        const char *name = json_string_value(json_object_get(clock, "node"));
        const char *path = json_string_value(json_object_get(clock, "page"));
        if (name && path && strcmp(name, node) == 0)
            snprintf(page, size, "%s", path);
    }
    json_decref(answer);
    return code;
}

static int shift_clock(struct nemesis *nemesis, size_t index, struct scene *scene,
                       struct text *became, struct error *error)
{
    const struct experiment_step *step = &nemesis->setup.experiment->steps[index];
    size_t node = 0;
    char path[512] = "/v1/clocks/", page[4096], evidence[EVIDENCE_MAX];
    char offset[UNITS_TEXT_MAX], drift[UNITS_TEXT_MAX];
    int code = pick(nemesis, step, scene, &node, error);
    if (code < 0)
        return code;
    const char *name = scene->view.nodes[node];
    text_append(became, "clock %s %s drift %s", name, units_format_offset(step->offset_ns, offset),
                units_format_drift(step->drift_ppb, drift));
    wire_path_append(path, sizeof(path), name);
    json_t *body = json_pack("{s:I, s:I}", "offset_ns", (json_int_t)step->offset_ns, "drift_ppb",
                             (json_int_t)step->drift_ppb);
    uint64_t asked_ns = monotonic_now_ns();
    code = wire_client_request(lab_client(nemesis->setup.lab), "PUT", path, body, NULL, error);
    json_decref(body);
    if (code == 0)
        code = clock_page(nemesis, name, page, sizeof(page), error);
    if (code < 0)
        return code;
    bool shifted = step->offset_ns || step->drift_ppb;
    bool changed = shifted || nemesis->state.shifted[node];
    nemesis->state.shifted[node] = shifted;
    nemesis_state_changed(nemesis, shifted ? monotonic_now_ns() : asked_ns);
    bool mapped = lab_maps_clock_page(nemesis->setup.lab, node, page, evidence, sizeof(evidence));
    nemesis_set_proof(nemesis, index, mapped && changed ? NEMESIS_PROVED : NEMESIS_UNPROVED,
                      changed ? evidence : "the clock was right already, and is not shifted");
    return 0;
}

/* ---- processes ------------------------------------------------------------------------------- */

static int hit_process(struct nemesis *nemesis, size_t index, struct scene *scene,
                       struct text *became, struct error *error)
{
    const struct experiment_step *step = &nemesis->setup.experiment->steps[index];
    struct lab *lab = nemesis->setup.lab;
    size_t node = 0;
    char evidence[EVIDENCE_MAX] = "";
    int code = pick(nemesis, step, scene, &node, error);
    if (code < 0)
        return code;
    const char *name = scene->view.nodes[node];
    uint64_t asked_ns = monotonic_now_ns();
    bool ends = step->action == EXPERIMENT_KILL || step->action == EXPERIMENT_RESTART;
    if (ends && nemesis->state.restarting[node]) {
        nemesis_set_proof(nemesis, nemesis->restart_record[node], NEMESIS_UNPROVED,
                          "it was ended again before it answered PING");
        nemesis->state.restarting[node] = false;
    }
    if (step->action == EXPERIMENT_KILL) {
        text_append(became, "kill %s", name);
        code = lab_kill(lab, node, evidence, sizeof(evidence), error);
    } else if (step->action == EXPERIMENT_PAUSE) {
        text_append(became, "pause %s", name);
        code = lab_pause(lab, node, evidence, sizeof(evidence), error);
    } else if (step->action == EXPERIMENT_RESUME) {
        text_append(became, "resume %s", name);
        code = lab_resume(lab, node, evidence, sizeof(evidence), error);
    } else {
        text_append(became, "restart %s", name);
        code = lab_restart(lab, node, error);
    }
    if (code < 0)
        return code;
    bool restart = step->action == EXPERIMENT_RESTART;
    nemesis->state.alive[node] = step->action == EXPERIMENT_RESUME;
    nemesis->state.restarting[node] = restart;
    nemesis_state_changed(nemesis, restart ? asked_ns : monotonic_now_ns());
    if (restart) {
        nemesis->restart_record[node] = index;
        nemesis->records[index].proof = NEMESIS_PENDING;
    } else {
        nemesis_set_proof(nemesis, index, NEMESIS_PROVED, evidence);
    }
    return 0;
}

int nemesis_run_step(struct nemesis *nemesis, size_t index, struct error *error)
{
    const struct experiment_step *step = &nemesis->setup.experiment->steps[index];
    struct nemesis_record *record = &nemesis->records[index];
    struct scene scene = {0};
    struct text became = {0};
    record->began_ns = monotonic_now_ns();
    int code = look_around(nemesis, index, &scene, error);
    if (code == 0) {
        switch (step->action) {
        case EXPERIMENT_SPLIT:
            code = split(nemesis, index, &scene, &became, error);
            break;
        case EXPERIMENT_ISOLATE:
            code = isolate(nemesis, index, &scene, &became, error);
            break;
        case EXPERIMENT_CUT:
            code = cut(nemesis, index, &scene, &became, error);
            break;
        case EXPERIMENT_HEAL:
            code = end_active(nemesis, index, ACTIVE_PARTITION, &became, error);
            break;
        case EXPERIMENT_CLEAR:
            code = end_active(nemesis, index, ACTIVE_FAULT, &became, error);
            break;
        case EXPERIMENT_FAULT:
            code = set_fault(nemesis, index, &scene, &became, error);
            break;
        case EXPERIMENT_CLOCK:
            code = shift_clock(nemesis, index, &scene, &became, error);
            break;
        case EXPERIMENT_KILL:
        case EXPERIMENT_PAUSE:
        case EXPERIMENT_RESUME:
        case EXPERIMENT_RESTART:
            code = hit_process(nemesis, index, &scene, &became, error);
            break;
        }
    }
    record->became = memory_copy_text(became.length ? text_get(&became) : step->text);
    text_free(&became);
    record->done_ns = monotonic_now_ns();
    return code;
}
