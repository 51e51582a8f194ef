/* The report as JSON. Times are nanoseconds from the start of the workload. */
#include <stdlib.h>

#include "chaos/report/report.h"
#include "proxy/base/version.h"

static json_t *clean_string(const char *text)
{
    char *clean = report_copy_utf8(text ? text : "");
    json_t *json = json_string(clean);
    free(clean);
    return json;
}

/* null for what never happened. */
static json_t *since_start(const struct report *report, uint64_t at_ns)
{
    if (at_ns == 0)
        return json_null();
    return json_integer((json_int_t)(at_ns - report->start_ns));
}

static json_t *node_name(const struct report *report, size_t node)
{
    return clean_string(report->experiment->cluster.nodes[node]);
}

static json_t *encode_expectations(const struct report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->experiment->expectation_count; i++) {
        json_t *item = json_object();
        const struct report_result *result = report->results ? &report->results[i] : NULL;
        json_object_set_new(item, "expectation",
                            clean_string(report->experiment->expectations[i].text));
        json_object_set_new(item, "verdict",
                            result ? json_string(check_verdict_name(result->verdict))
                                   : json_null());
        json_object_set_new(item, "summary", clean_string(result ? result->summary : ""));
        json_array_append_new(list, item);
    }
    return list;
}

static json_t *encode_steps(const struct report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->record_count; i++) {
        const struct nemesis_record *record = &report->records[i];
        json_t *item = json_object();
        json_object_set_new(item, "step", clean_string(record->step->text));
        json_object_set_new(item, "line", json_integer(record->step->line));
        json_object_set_new(item, "planned_ns", json_integer((json_int_t)record->step->at_ns));
        json_object_set_new(item, "began_ns", since_start(report, record->began_ns));
        json_object_set_new(item, "done_ns", since_start(report, record->done_ns));
        json_object_set_new(item, "became",
                            record->became ? clean_string(record->became) : json_null());
        json_object_set_new(item, "proof", json_string(nemesis_proof_name(record->proof)));
        json_object_set_new(item, "proved_ns", since_start(report, record->proved_ns));
        json_object_set_new(item, "evidence",
                            record->evidence ? clean_string(record->evidence) : json_null());
        json_array_append_new(list, item);
    }
    return list;
}

static json_t *encode_roles(const struct report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->role_count; i++) {
        const struct report_role_change *change = &report->roles[i];
        json_t *item = json_object();
        /* The first roles were seen before the workload began: below zero. */
        json_object_set_new(item, "time_ns",
                            json_integer((json_int_t)change->at_ns - (json_int_t)report->start_ns));
        json_object_set_new(item, "node", node_name(report, change->node));
        json_object_set_new(item, "role", clean_string(change->role));
        json_object_set_new(item, "term", clean_string(change->term));
        json_object_set_new(item, "leader", clean_string(change->leader));
        json_array_append_new(list, item);
    }
    return list;
}

static json_t *encode_exits(const struct report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->exit_count; i++) {
        json_t *item = json_object();
        json_object_set_new(item, "time_ns", since_start(report, report->exits[i].at_ns));
        json_object_set_new(item, "node", node_name(report, report->exits[i].node));
        json_object_set_new(item, "what", clean_string(report->exits[i].what));
        json_array_append_new(list, item);
    }
    return list;
}

static json_t *encode_periods(const struct report *report)
{
    static const char *const sides[] = {"none", "majority", "minority"};
    json_t *list = json_array();
    for (size_t i = 0; report->periods && i < report->periods->count; i++) {
        const struct check_period *period = &report->periods->items[i];
        json_t *item = json_object(), *nodes = json_object();
        json_object_set_new(item, "begin_ns", since_start(report, period->begin_ns));
        json_object_set_new(item, "end_ns", since_start(report, period->end_ns));
        json_object_set_new(item, "faulty", json_boolean(period->faulty));
        json_object_set_new(item, "partitioned", json_boolean(period->partitioned));
        for (size_t n = 0; n < report->experiment->cluster.node_count; n++) {
            json_t *node = json_object();
            json_object_set_new(node, "alive", json_boolean(period->alive[n]));
            json_object_set_new(node, "side", json_string(sides[period->side[n]]));
            json_object_set_new(nodes, report->experiment->cluster.nodes[n], node);
        }
        json_object_set_new(item, "nodes", nodes);
        json_array_append_new(list, item);
    }
    return list;
}

json_t *report_verdict_json(const struct report *report)
{
    struct text again = {0};
    json_t *verdict = json_object();
    report_append_command(report, &again);
    json_object_set_new(verdict, "name", clean_string(report->experiment->name));
    json_object_set_new(verdict, "seed", json_integer((json_int_t)report->seed));
    json_object_set_new(verdict, "verdict",
                        json_string(report_outcome_name(report_decide(report))));
    json_object_set_new(verdict, "expectations", encode_expectations(report));
    json_object_set_new(verdict, "faults_without_effect",
                        json_integer((json_int_t)report_count_unproved(report)));
    json_object_set_new(verdict, "obstacle",
                        report->obstacle[0] ? clean_string(report->obstacle) : json_null());
    json_object_set_new(verdict, "operations",
                        json_integer(report->history ? (json_int_t)report->history->count : 0));
    json_object_set_new(
        verdict, "operations_never_begun",
        json_integer(report->history ? (json_int_t)report->history->missed_count : 0));
    json_object_set_new(verdict, "directory", clean_string(report->directory));
    json_object_set_new(verdict, "again", clean_string(text_get(&again)));
    text_free(&again);
    return verdict;
}

json_t *report_journal_json(const struct report *report)
{
    json_t *journal = json_object(), *versions = json_object(), *experiment = json_object();
    json_t *severd = json_object_get(report->severd_status, "program_version");
    json_object_set_new(versions, "sever", json_string(SEVER_VERSION));
    json_object_set_new(versions, "severd", severd ? json_incref(severd) : json_null());
    json_object_set_new(experiment, "name", clean_string(report->experiment->name));
    json_object_set_new(experiment, "file", clean_string(report->file));
    json_object_set_new(experiment, "duration_ns",
                        json_integer((json_int_t)report->experiment->duration_ns));
    json_object_set_new(journal, "experiment", experiment);
    json_object_set_new(journal, "seed", json_integer((json_int_t)report->seed));
    json_object_set_new(journal, "versions", versions);
    json_object_set_new(journal, "started_at_ns", json_integer(report->started_wall_ns));
    /* What history.jsonl calls the time of 0 here. */
    json_object_set_new(journal, "history_origin_ns", json_integer((json_int_t)report->start_ns));
    json_object_set_new(journal, "mechanisms",
                        json_incref(json_object_get(report->severd_status, "mechanisms")
                                        ? json_object_get(report->severd_status, "mechanisms")
                                        : json_null()));
    json_object_set_new(journal, "timeline", encode_steps(report));
    json_object_set_new(journal, "roles", encode_roles(report));
    json_object_set_new(journal, "exits", encode_exits(report));
    json_object_set_new(journal, "periods", encode_periods(report));
    json_object_set_new(journal, "explanation", clean_string(text_get(&report->explanation)));
    json_object_set_new(journal, "verdict", report_verdict_json(report));
    return journal;
}
