/* Theory of operation
 *
 * The order of a run: read and check the file; make the output folder; lab (severd, network, nodes)
 * and wait until it is ready; check that it is empty; start the clients and, at the same moment,
 * the timeline; at the end of the duration stop the clients, judge the proofs, heal; take the lab
 * down; report; check; report again. Whatever goes wrong on the way becomes the report's obstacle,
 * and the rest of the way is the same: the lab comes down, the report is written, and the history
 * is checked as far as it goes, because what clients saw stays wrong whatever happened later.
 *
 * A signal only raises a descriptor that every wait of the run looks at. Once the lab is down and
 * what is known is written, a signal ends the program as usual: there is nothing left to clean up,
 * and a check may take long. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/lab/observer.h"
#include "chaos/report/report.h"
#include "chaos/report/story.h"
#include "chaos/run/commands.h"
#include "chaos/run/folder.h"
#include "chaos/run/options.h"
#include "chaos/run/signals.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/units.h"

#define SIDES_INTERVAL_NS NS_PER_S
#define ALL_INTERVAL_NS (5 * NS_PER_S) /* while nothing is partitioned */
#define READY_INTERVAL_NS (2 * NS_PER_S)

struct run {
    struct run_options options;
    struct experiment experiment;
    struct story story;
    struct report report;
    struct history history;
    char *directory; /* as told to people */
    char *absolute;
    char *file_folder; /* absolute; where the experiment's file is */
    int abort_fd;
    struct lab *lab;
    struct observer *observer;
    struct workload *workload;
    struct workload_setup workload_setup;
    struct address direct[EXPERIMENT_NODES_MAX]; /* of the setup */
    struct nemesis *nemesis;
    pthread_mutex_t roles_lock;
    /* The running account of the sides of a partition. */
    uint8_t side[EXPERIMENT_NODES_MAX];
    struct workload_counts counts[EXPERIMENT_NODES_MAX];
    uint64_t counts_ns;
};

static void print_usage(FILE *out)
{
    fprintf(
        out,
        "usage: sever run FILE [--seed N] [--network routes|lab] [--out DIR] [--json] [--quiet]\n"
        "                 [-- ARGUMENT...]\n\n"
        "Starts the cluster that FILE describes, loads it, plays the timeline of faults, and\n"
        "checks what must hold.\n\n"
        "  --seed N   of every random choice, instead of the file's\n"
        "  --network  routes or lab, instead of the file's: loopback addresses with severd's\n"
        "             routes between them, or each node in network namespaces of its own\n"
        "  --out DIR  where the report, history and logs go; a new or empty folder\n"
        "             (default: a fresh folder ./sever-results/NAME-SEED)\n"
        "  --json     print the verdict as one JSON object and nothing else\n"
        "  --quiet    print the verdict only, not the story\n"
        "  -- ...     these arguments are appended to every node's command\n\n"
        "exit: 0 pass, 1 fail, 2 cannot run, 3 unknown\n");
}

/* ---- the story ------------------------------------------------------------------------------- */

static const char *node_name(const struct run *run, size_t node)
{
    return run->experiment.cluster.nodes[node];
}

static bool is_leader_role(const struct run *run, const char *role)
{
    const char *line = run->experiment.cluster.leader_line;
    return line && strncmp(line, "role:", 5) == 0 && strcmp(line + 5, role) == 0;
}

/* On the observer's thread. */
static void on_role(void *context, const struct observer_change *change)
{
    struct run *run = context;
    struct report_role_change entry = {.at_ns = change->at_ns, .node = change->node};
    snprintf(entry.role, sizeof(entry.role), "%s", change->now.role);
    snprintf(entry.term, sizeof(entry.term), "%s", change->now.term);
    snprintf(entry.leader, sizeof(entry.leader), "%s", change->now.leader);
    pthread_mutex_lock(&run->roles_lock);
    run->report.roles = memory_resize(run->report.roles, run->report.role_count + 1, sizeof(entry));
    run->report.roles[run->report.role_count++] = entry;
    pthread_mutex_unlock(&run->roles_lock);

    bool led = is_leader_role(run, change->before.role);
    bool leads = is_leader_role(run, change->now.role);
    const char *name = node_name(run, change->node);
    const char *in_term = change->now.term[0] ? " in term " : "";
    if (leads)
        story_say(&run->story, change->at_ns, STORY_ROLE, "%s leads%s%s", name, in_term,
                  change->now.term);
    else if (led)
        story_say(&run->story, change->at_ns, STORY_ROLE, "%s stepped down, it is %s%s%s", name,
                  change->now.role, in_term, change->now.term);
}

static void on_step(void *context, const struct nemesis_record *record)
{
    struct run *run = context;
    bool ends =
        record->step->action == EXPERIMENT_HEAL || record->step->action == EXPERIMENT_CLEAR ||
        record->step->action == EXPERIMENT_RESUME || record->step->action == EXPERIMENT_RESTART;
    bool named = record->step->name[0] && !ends;
    story_say(&run->story, record->done_ns, ends ? STORY_HEAL : STORY_FAULT, "%s%s%s%s%s%s",
              record->became, named ? " (" : "", named ? record->step->name : "", named ? ")" : "",
              record->evidence ? ": " : "", record->evidence ? record->evidence : "");
}

static void on_proof(void *context, const struct nemesis_record *record)
{
    struct run *run = context;
    bool proved = record->proof == NEMESIS_PROVED;
    story_say(&run->story, monotonic_now_ns(), proved ? STORY_PLAIN : STORY_BAD, "%s: %s: %s",
              record->became, proved ? "took effect" : "NO EFFECT", record->evidence);
}

static void on_exit_by_itself(void *context, const struct nemesis_exit *exit)
{
    struct run *run = context;
    story_say(&run->story, exit->at_ns, STORY_BAD, "%s %s", node_name(run, exit->node), exit->what);
}

/* Tells what each side answered since the last time, and begins anew. */
static void tell_sides(struct run *run, uint64_t now_ns)
{
    struct workload_counts now[EXPERIMENT_NODES_MAX];
    struct text line = {0};
    size_t count = run->experiment.cluster.node_count;
    workload_read_counts(run->workload, now);
    report_append_sides((const char(*)[RULESET_NAME_MAX])run->experiment.cluster.nodes, count,
                        run->side, run->counts, now, &line);
    if (line.length)
        story_say(&run->story, now_ns, STORY_PLAIN, "%s", text_get(&line));
    text_free(&line);
    memcpy(run->counts, now, sizeof(run->counts[0]) * count);
    run->counts_ns = now_ns;
}

static void on_tick(void *context, uint64_t now_ns, const uint8_t *side)
{
    struct run *run = context;
    static const uint8_t none[EXPERIMENT_NODES_MAX];
    bool partitioned = memcmp(run->side, none, sizeof(none)) != 0;
    bool changed = memcmp(side, run->side, sizeof(run->side)) != 0;
    if (changed || now_ns - run->counts_ns >= (partitioned ? SIDES_INTERVAL_NS : ALL_INTERVAL_NS))
        tell_sides(run, now_ns);
    memcpy(run->side, side, sizeof(run->side));
}

/* ---- before ---------------------------------------------------------------------------------- */

static int read_experiment(struct run *run, struct error *error)
{
    char *content;
    size_t length;
    int code = command_read_file(run->options.file, EXPERIMENT_TEXT_MAX, &content, &length, error);
    if (code < 0)
        return code;
    code = experiment_parse(content, length, run->options.file, &run->experiment, error);
    free(content);
    if (run->options.has_seed)
        run->experiment.seed = run->options.seed;
    if (run->options.has_network)
        run->experiment.cluster.network = run->options.network;
    return code;
}

static int refuse_step(const struct run *run, const struct experiment_step *step, const char *why,
                       struct error *error)
{
    char place[ERROR_PLACE_MAX];
    snprintf(place, sizeof(place), "%s:%u", run->options.file, step->line);
    return error_set_at(error, -EOPNOTSUPP, place, "'%s' can't be done%s: %s",
                        ruleset_fault_type_name(step->fault.type), run->lab ? " here" : "", why);
}

/* What the file may say, but no run can do on this kind of network; and, once severd is there, what
 * it can't do on this machine, though on another it may. */
static int refuse_impossible(const struct run *run, struct error *error)
{
    const struct experiment *experiment = &run->experiment;
    for (size_t i = 0; i < experiment->step_count; i++) {
        const struct experiment_step *step = &experiment->steps[i];
        if (step->action != EXPERIMENT_FAULT)
            continue;
        const char *why = run->lab ? lab_fault_unavailable(run->lab, &step->fault)
                                   : lab_fault_useless(experiment->cluster.network, &step->fault);
        if (why)
            return refuse_step(run, step, why, error);
    }
    return 0;
}

static int make_directory(struct run *run, struct error *error)
{
    struct text slug = {0};
    run_append_slug(run->experiment.name, &slug);
    text_append(&slug, "-%llu", (unsigned long long)run->experiment.seed);
    int code =
        folder_make(run->options.out, text_get(&slug), &run->directory, &run->absolute, error);
    text_free(&slug);
    return code < 0 ? code : folder_of_file(run->options.file, &run->file_folder, error);
}

/* ---- the run --------------------------------------------------------------------------------- */

/* Says every two seconds what it still waits for. */
static int wait_until_ready(struct run *run, uint64_t deadline_ns, struct error *error)
{
    for (;;) {
        uint64_t until_ns = monotonic_now_ns() + READY_INTERVAL_NS;
        bool last = until_ns >= deadline_ns;
        int code = lab_wait_ready(run->lab, last ? deadline_ns : until_ns, error);
        if (code != -ETIMEDOUT || last)
            return code;
        story_say(&run->story, monotonic_now_ns(), STORY_PLAIN, "waiting: %s", error->message);
    }
}

static void tell_making(void *context, double seconds)
{
    struct run *run = context;
    story_say(&run->story, monotonic_now_ns(), STORY_PLAIN, "making the lab for %.0f s", seconds);
}

static int go_to_client(const void *context, unsigned client, struct error *error)
{
    return lab_go_to_client(context, client, error);
}

static int go_to_node(const void *context, size_t node, struct error *error)
{
    return lab_go_to_node(context, node, error);
}

static int bring_up(struct run *run, struct error *error)
{
    const struct experiment *experiment = &run->experiment;
    uint64_t began_ns = monotonic_now_ns();
    struct lab_setup setup = {
        .experiment = experiment,
        .directory = run->absolute,
        .file_folder = run->file_folder,
        .seed = experiment->seed,
        .extra_arguments = run->options.extra,
        .extra_count = run->options.extra_count,
        .abort_fd = run->abort_fd,
        .progress = tell_making,
        .context = run,
    };
    if (experiment->cluster.network == EXPERIMENT_LAB)
        story_say(&run->story, began_ns, STORY_PLAIN, "making a lab for %zu nodes and %u clients",
                  experiment->cluster.node_count, experiment->workload.clients);
    int code = lab_create(&setup, &run->lab, error);
    if (code < 0)
        return code;
    uint64_t deadline_ns = monotonic_now_ns() + experiment->cluster.ready_within_ns;
    struct text network = {0};
    lab_describe_network(run->lab, &network);
    run->report.severd_status = json_incref(lab_severd_status(run->lab));
    story_say(&run->story, began_ns, STORY_PLAIN, "%s: seed %llu, %zu nodes on %s, files in %s",
              experiment->name, (unsigned long long)experiment->seed,
              experiment->cluster.node_count, text_get(&network), run->directory);
    text_free(&network);

    code = refuse_impossible(run, error);
    if (code == 0)
        code = lab_start_nodes(run->lab, deadline_ns, error);
    if (code == 0)
        code = observer_start(run->lab, experiment->cluster.system, on_role, run, &run->observer,
                              error);
    if (code == 0)
        code = wait_until_ready(run, deadline_ns, error);
    run->workload_setup = (struct workload_setup){
        .system = experiment->cluster.system,
        .workload = &experiment->workload,
        .leader_line = experiment->cluster.leader_line,
        .sentinel_port = lab_sentinel_port(run->lab),
        .seed = experiment->seed,
        .nodes = (const char(*)[RULESET_NAME_MAX])experiment->cluster.nodes,
        .node_count = experiment->cluster.node_count,
        .targets = lab_public_addresses(run->lab),
        .sources = lab_client_addresses(run->lab),
        .direct = run->direct,
        .go_to_client = go_to_client,
        .go_to_node = go_to_node,
        .context = run->lab,
    };
    for (size_t i = 0; i < experiment->cluster.node_count; i++)
        run->direct[i] = *lab_private_address(run->lab, i);
    if (code == 0)
        code = workload_prepare(&run->workload_setup,
                                monotonic_now_ns() + experiment->cluster.ready_within_ns,
                                run->abort_fd, error);
    if (code == 0)
        story_say(&run->story, monotonic_now_ns(), STORY_PLAIN,
                  "ready after %.2f s: every node answers, and the cluster is empty",
                  (double)(monotonic_now_ns() - began_ns) / (double)NS_PER_S);
    return code;
}

/* All is healed now. That it can't be read is for the check to say: unknown. */
static int read_final(struct run *run, struct error *error)
{
    const struct experiment *experiment = &run->experiment;
    const struct history_final *final = &run->history.final;
    struct error cause = {0};
    uint64_t began_ns = monotonic_now_ns();
    if (experiment->workload.kind != EXPERIMENT_SET)
        return 0;
    int code =
        workload_read_final(&run->workload_setup, began_ns + experiment->cluster.ready_within_ns,
                            run->abort_fd, &run->history.final, &cause);
    if (code == -ECANCELED)
        return error_set(error, code, "%s", cause.message);
    if (code < 0)
        story_say(&run->story, monotonic_now_ns(), STORY_BAD, "%s", cause.message);
    else
        story_say(&run->story, final->at_ns, STORY_PLAIN, "%zu elements read on %s after %.2f s",
                  final->count, final->node, (double)(final->at_ns - began_ns) / (double)NS_PER_S);
    return 0;
}

static int play(struct run *run, struct error *error)
{
    const struct experiment *experiment = &run->experiment;
    char duration[UNITS_TEXT_MAX];
    int code = workload_start(&run->workload_setup, &run->workload, &run->report.start_ns, error);
    if (code < 0)
        return code;
    run->counts_ns = run->report.start_ns;
    story_set_origin(&run->story, run->report.start_ns);
    story_say(&run->story, run->report.start_ns, STORY_PLAIN,
              "%u clients, %u operations a second for %s", experiment->workload.clients,
              experiment->workload.rate_per_s,
              units_format_duration(experiment->duration_ns, duration));
    struct nemesis_setup setup = {
        .experiment = experiment,
        .lab = run->lab,
        .seed = experiment->seed,
        .start_ns = run->report.start_ns,
        .abort_fd = run->abort_fd,
        .events = {.context = run,
                   .on_step = on_step,
                   .on_proof = on_proof,
                   .on_exit = on_exit_by_itself,
                   .on_tick = on_tick},
    };
    run->nemesis = nemesis_create(&setup);
    code = nemesis_play(run->nemesis, error);
    workload_stop(run->workload, code < 0, &run->history);
    run->workload = NULL;
    run->report.end_ns = monotonic_now_ns();
    if (code == 0)
        code = nemesis_finish(run->nemesis, error);
    if (code == 0)
        code = read_final(run, error);
    run->report.history = &run->history;
    run->report.records = nemesis_records(run->nemesis, &run->report.record_count);
    run->report.exits = nemesis_exits(run->nemesis, &run->report.exit_count);
    if (code == 0)
        run->report.periods = nemesis_periods(run->nemesis);
    return code;
}

static void bring_down(struct run *run)
{
    if (run->observer)
        observer_stop(run->observer);
    if (run->lab)
        lab_destroy(run->lab);
    run->observer = NULL;
    run->lab = NULL;
}

/* ---- after ----------------------------------------------------------------------------------- */

static void tell_checking(void *context, double seconds)
{
    struct run *run = context;
    story_say(&run->story, monotonic_now_ns(), STORY_PLAIN, "checking for %.0f s", seconds);
}

static void judge_linearizable(struct run *run, struct report_result *result)
{
    struct check_linearizable found = {0};
    command_check_linearizable(&run->history, &found, tell_checking, run);
    result->verdict = found.verdict;
    if (found.verdict == CHECK_PASS)
        snprintf(result->summary, sizeof(result->summary), "%zu operations on %u key%s",
                 found.checked, run->experiment.workload.keys,
                 run->experiment.workload.keys == 1 ? "" : "s");
    else if (found.verdict == CHECK_FAIL)
        snprintf(result->summary, sizeof(result->summary),
                 "no order explains %zu operations on key %s", found.core_count, found.key);
    else
        snprintf(result->summary, sizeof(result->summary), "%s", found.reason);
    if (found.verdict == CHECK_FAIL && run->report.explanation.length == 0)
        check_linearizable_explain(&run->history, &found, run->report.start_ns, command_width(),
                                   &run->report.explanation);
    check_linearizable_free(&found);
}

/* The roles as the checks want them; the caller frees them. */
static struct check_role *collect_roles(const struct run *run)
{
    const struct report *report = &run->report;
    struct check_role *roles = memory_allocate_zeroed(report->role_count + 1, sizeof(*roles));
    for (size_t i = 0; i < report->role_count; i++) {
        const struct report_role_change *change = &report->roles[i];
        roles[i] = (struct check_role){.at_ns = change->at_ns,
                                       .node = change->node,
                                       .leads = is_leader_role(run, change->role),
                                       .term = strtoull(change->term, NULL, 10)};
    }
    return roles;
}

/* What was in force when is known only of a run that got through; clients' histories always are. */
static void judge(struct run *run)
{
    const struct experiment *experiment = &run->experiment;
    const struct periods *periods = run->report.periods;
    struct check_role *roles = collect_roles(run);
    struct check_timeline timeline = {
        .periods = periods ? periods->items : NULL,
        .count = periods ? periods->count : 0,
        .nodes = (const char(*)[RULESET_NAME_MAX])experiment->cluster.nodes,
        .node_count = experiment->cluster.node_count,
        .roles = roles,
        .role_count = run->report.role_count,
    };
    struct report_result *results =
        memory_allocate_zeroed(experiment->expectation_count, sizeof(*results));
    for (size_t i = 0; i < experiment->expectation_count; i++) {
        const struct experiment_expectation *expectation = &experiment->expectations[i];
        if (expectation->kind == EXPECT_LINEARIZABLE) {
            judge_linearizable(run, &results[i]);
            continue;
        }
        if (!periods) {
            results[i].verdict = CHECK_UNKNOWN;
            snprintf(results[i].summary, sizeof(results[i].summary),
                     "not judged: the run did not get through");
            continue;
        }
        struct check_result found = {0};
        check_expectation(expectation, &run->history, &timeline, &found);
        results[i].verdict = found.verdict;
        snprintf(results[i].summary, sizeof(results[i].summary), "%s", found.summary);
    }
    free(roles);
    run->report.results = results;
}

static void print_verdict(struct run *run)
{
    if (run->options.json) {
        json_t *verdict = report_verdict_json(&run->report);
        json_dumpf(verdict, stdout, JSON_INDENT(2));
        printf("\n");
        json_decref(verdict);
    } else {
        struct text text = {0};
        report_append_verdict(&run->report, &text);
        printf("%s%s", run->options.quiet ? "" : "\n", text_get(&text));
        text_free(&text);
    }
}

/* A run that came to nothing before there was a report. */
static void print_refusal(const struct run *run, const struct error *error)
{
    command_print_error(error);
    if (!run->options.json)
        return;
    char message[ERROR_MESSAGE_MAX + ERROR_PLACE_MAX];
    char *obstacle = report_copy_utf8(error_text(error, message, sizeof(message)));
    json_t *verdict =
        json_pack("{s:s, s:[], s:s}", "verdict", report_outcome_name(REPORT_CANNOT_RUN),
                  "expectations", "obstacle", obstacle);
    json_dumpf(verdict, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(verdict);
    free(obstacle);
}

static void set_obstacle(struct run *run, const struct error *error)
{
    if (!run->report.obstacle[0])
        error_text(error, run->report.obstacle, sizeof(run->report.obstacle));
}

/* A check can take long, and be ended by a signal: what is known by now must be there then. */
static void write_before_judging(struct run *run)
{
    static const char unfinished[] = "interrupted while checking";
    struct error error = {0};
    bool through = !run->report.obstacle[0];
    if (through)
        snprintf(run->report.obstacle, sizeof(run->report.obstacle), "%s", unfinished);
    int small = report_write_files(&run->report, text_get(&run->story.told), NULL);
    int history = report_write_history(&run->report, &error);
    if (through)
        run->report.obstacle[0] = '\0';
    if (history < 0) {
        command_print_error(&error);
        set_obstacle(run, &error);
    }
    (void)small; /* tried again, and told, with the verdict */
}

static enum report_outcome perform(struct run *run)
{
    struct error error = {0};
    int code = bring_up(run, &error);
    if (code == 0)
        code = play(run, &error);
    bring_down(run);
    if (code < 0)
        set_obstacle(run, &error);
    if (run->report.history && workload_check_commands(&run->history, &error) < 0)
        set_obstacle(run, &error);
    if (run->report.history) {
        write_before_judging(run);
        signals_catch(false);
        judge(run);
    }
    signals_catch(false);
    if (report_write_files(&run->report, text_get(&run->story.told), &error) < 0) {
        command_print_error(&error);
        set_obstacle(run, &error);
    }
    print_verdict(run);
    return report_decide(&run->report);
}

static void release(struct run *run)
{
    if (run->nemesis)
        nemesis_destroy(run->nemesis);
    report_free(&run->report);
    history_free(&run->history);
    story_free(&run->story);
    pthread_mutex_destroy(&run->roles_lock);
    experiment_free(&run->experiment);
    free(run->directory);
    free(run->absolute);
    free(run->file_folder);
    signals_close();
}

int run_command(int argc, char **argv)
{
    struct run run = {0};
    struct error error = {0};
    if (run_parse_options(argc, argv, &run.options, &error) < 0) {
        command_print_error(&error);
        return REPORT_CANNOT_RUN;
    }
    if (run.options.help) {
        print_usage(stdout);
        return 0;
    }
    story_init(&run.story, run.options.json || run.options.quiet ? NULL : stdout);
    pthread_mutex_init(&run.roles_lock, NULL);
    int code = run.abort_fd = signals_open(&error);
    if (code >= 0)
        code = read_experiment(&run, &error);
    if (code == 0)
        code = refuse_impossible(&run, &error);
    if (code == 0)
        code = make_directory(&run, &error);
    enum report_outcome outcome = REPORT_CANNOT_RUN;
    if (code < 0) {
        print_refusal(&run, &error);
    } else {
        signals_catch(true);
        run.report.experiment = &run.experiment;
        run.report.file = run.options.file;
        run.report.directory = run.directory;
        run.report.network_given = run.options.has_network;
        run.report.extra_arguments = run.options.extra;
        run.report.extra_count = run.options.extra_count;
        run.report.seed = run.experiment.seed;
        run.report.started_wall_ns = wall_now_ns();
        outcome = perform(&run);
    }
    outcome = command_end_output(outcome);
    release(&run);
    signals_die();
    return (int)outcome;
}
