/* What must hold, as sentences: a list of words, matched from the left. */
#include <stdio.h>
#include <string.h>

#include "chaos/experiment/reader.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/base/units.h"

enum { WORDS_MAX = 16, SENTENCE_MAX = 400 };

static const char grammar[] =
    "write 'linearizable', 'minority stops within 2s', 'recovers within 5s', 'availability of "
    "majority during faults at least 80%', 'leader steps down within 3s', 'new leader within 3s', "
    "'terms rise by at most 2 after faults', 'no acknowledged write lost', 'acknowledged writes "
    "lost at most 5' or 'writes wait within 1s'";

struct sentence {
    const struct reader *reader;
    const struct document_node *node;
    char copy[SENTENCE_MAX + 1];
    const char *words[WORDS_MAX];
    size_t count, next;
};

static const char *peek(const struct sentence *sentence)
{
    return sentence->next < sentence->count ? sentence->words[sentence->next] : "";
}

static bool take(struct sentence *sentence, const char *word)
{
    if (strcmp(peek(sentence), word) != 0)
        return false;
    sentence->next++;
    return true;
}

static int refuse(const struct sentence *sentence, const char *expected)
{
    if (sentence->next >= sentence->count)
        return reader_refuse(sentence->reader, sentence->node,
                             "'%.80s' ends too early: %s must follow", sentence->node->text,
                             expected);
    return reader_refuse(sentence->reader, sentence->node,
                         "'%.60s' in '%.80s' is not understood: write %s there", peek(sentence),
                         sentence->node->text, expected);
}

static int take_within(struct sentence *sentence, struct experiment_expectation *expectation)
{
    struct error cause = {0};
    if (!take(sentence, "within"))
        return refuse(sentence, "'within' and a duration");
    if (sentence->next == sentence->count)
        return refuse(sentence, "a duration such as 2s");
    if (units_parse_duration(peek(sentence), &expectation->within_ns, &cause))
        return reader_refuse_as(sentence->reader, sentence->node, &cause);
    sentence->next++;
    return 0;
}

/* "of reads" or "of writes", when it is there. */
static void take_part(struct sentence *sentence, struct experiment_expectation *expectation)
{
    size_t begin = sentence->next;
    bool of = take(sentence, "of");
    if (of && take(sentence, "reads"))
        expectation->part = EXPERIMENT_PART_READS;
    else if (of && take(sentence, "writes"))
        expectation->part = EXPERIMENT_PART_WRITES;
    else
        sentence->next = begin;
}

static int take_side(struct sentence *sentence, struct experiment_expectation *expectation)
{
    char list[READER_LIST_MAX];
    if (!take(sentence, "of"))
        return 0;
    if (take(sentence, "majority")) {
        expectation->side = EXPERIMENT_SIDE_MAJORITY;
    } else if (take(sentence, "minority")) {
        expectation->side = EXPERIMENT_SIDE_MINORITY;
    } else if (reader_is_node(sentence->reader, peek(sentence))) {
        expectation->side = EXPERIMENT_SIDE_NODE;
        snprintf(expectation->node, sizeof(expectation->node), "%s", peek(sentence));
        sentence->next++;
    } else {
        struct text text = {0};
        text_append(&text, "majority, minority or a node (%s)",
                    reader_node_list(sentence->reader, list));
        int result = refuse(sentence, text_get(&text));
        text_free(&text);
        return result;
    }
    return 0;
}

static int take_phase(struct sentence *sentence, struct experiment_expectation *expectation)
{
    if (take(sentence, "before"))
        expectation->phase = EXPERIMENT_PHASE_BEFORE;
    else if (take(sentence, "during"))
        expectation->phase = EXPERIMENT_PHASE_DURING;
    else if (take(sentence, "after"))
        expectation->phase = EXPERIMENT_PHASE_AFTER;
    else
        return 0;
    return take(sentence, "faults") ? 0 : refuse(sentence, "'faults'");
}

static int take_count(struct sentence *sentence, struct experiment_expectation *expectation)
{
    struct error cause = {0};
    int64_t number = 0;
    if (sentence->next == sentence->count)
        return refuse(sentence, "a number");
    if (units_parse_integer(peek(sentence), 0, INT64_MAX, "number", &number, &cause))
        return reader_refuse_as(sentence->reader, sentence->node, &cause);
    sentence->next++;
    expectation->count = (uint64_t)number;
    return 0;
}

/* "at least" or "at most". */
static int take_bound(struct sentence *sentence, struct experiment_expectation *expectation)
{
    if (!take(sentence, "at"))
        return refuse(sentence, "'at least' or 'at most'");
    expectation->at_most = take(sentence, "most");
    return expectation->at_most || take(sentence, "least") ? 0
                                                           : refuse(sentence, "'least' or 'most'");
}

static int take_leader(struct sentence *sentence, struct experiment_expectation *expectation)
{
    if (!sentence->reader->experiment->cluster.leader_line)
        return reader_refuse(sentence->reader, sentence->node,
                             "'%.80s' needs 'leader' in the cluster, such as \"role:leader\"",
                             sentence->node->text);
    if (expectation->kind == EXPECT_STEPS_DOWN &&
        !(take(sentence, "steps") && take(sentence, "down")))
        return refuse(sentence, "'steps down within' and a duration");
    if (expectation->kind == EXPECT_NEW_LEADER && !take(sentence, "leader"))
        return refuse(sentence, "'leader within' and a duration");
    return take_within(sentence, expectation);
}

static int take_terms(struct sentence *sentence, struct experiment_expectation *expectation)
{
    enum experiment_system system = sentence->reader->experiment->cluster.system;
    expectation->at_most = true;
    if (system != EXPERIMENT_RAFTKV && system != EXPERIMENT_ETCD)
        return reader_refuse(sentence->reader, sentence->node, "%s has no terms",
                             experiment_system_name(system));
    if (!(take(sentence, "rise") && take(sentence, "by") && take(sentence, "at") &&
          take(sentence, "most")))
        return refuse(sentence, "'rise by at most' and a number");
    int result = take_count(sentence, expectation);
    return result ? result : take_phase(sentence, expectation);
}

static int take_lost(struct sentence *sentence, struct experiment_expectation *expectation)
{
    expectation->kind = EXPECT_LOST;
    if (take(sentence, "no")) {
        expectation->at_most = true;
        return take(sentence, "acknowledged") && take(sentence, "write") && take(sentence, "lost")
                   ? 0
                   : refuse(sentence, "'no acknowledged write lost'");
    }
    if (!(take(sentence, "acknowledged") && take(sentence, "writes") && take(sentence, "lost")))
        return refuse(sentence, "'acknowledged writes lost at least|most' and a number");
    int result = take_bound(sentence, expectation);
    return result ? result : take_count(sentence, expectation);
}

/* Some checks are of one workload only. */
static int check_workload(const struct sentence *sentence,
                          const struct experiment_expectation *expectation)
{
    bool set = sentence->reader->experiment->workload.kind == EXPERIMENT_SET;
    if (expectation->kind == EXPECT_LINEARIZABLE && set)
        return reader_refuse(sentence->reader, sentence->node,
                             "a set has no order to check: write 'no acknowledged write lost'");
    if (expectation->kind == EXPECT_LOST && !set)
        return reader_refuse(sentence->reader, sentence->node,
                             "what is lost is counted with a workload of kind set only: write "
                             "'linearizable'");
    return 0;
}

static int take_availability(struct sentence *sentence, struct experiment_expectation *expectation)
{
    struct error cause = {0};
    expectation->kind = EXPECT_AVAILABILITY;
    take_part(sentence, expectation);
    int result = take_side(sentence, expectation);
    if (!result)
        result = take_phase(sentence, expectation);
    if (result)
        return result;
    if (!take(sentence, "at"))
        return refuse(sentence, expectation->phase == EXPERIMENT_PHASE_ALL
                                    ? "'of ...', 'before|during|after faults' or 'at least|most'"
                                    : "'at least' or 'at most'");
    if (take(sentence, "most"))
        expectation->at_most = true;
    else if (!take(sentence, "least"))
        return refuse(sentence, "'least' or 'most'");
    if (sentence->next == sentence->count)
        return refuse(sentence, "a share such as 80%");
    if (units_parse_probability(peek(sentence), &expectation->share_ppb, &cause))
        return reader_refuse_as(sentence->reader, sentence->node, &cause);
    sentence->next++;
    return 0;
}

static int take_expectation(struct sentence *sentence, struct experiment_expectation *expectation)
{
    if (take(sentence, "linearizable")) {
        expectation->kind = EXPECT_LINEARIZABLE;
        return 0;
    }
    if (take(sentence, "minority")) {
        expectation->kind = EXPECT_MINORITY_STOPS;
        return take(sentence, "stops") ? take_within(sentence, expectation)
                                       : refuse(sentence, "'stops within' and a duration");
    }
    if (take(sentence, "recovers")) {
        expectation->kind = EXPECT_RECOVERS;
        return take_within(sentence, expectation);
    }
    if (take(sentence, "availability"))
        return take_availability(sentence, expectation);
    if (take(sentence, "leader")) {
        expectation->kind = EXPECT_STEPS_DOWN;
        return take_leader(sentence, expectation);
    }
    if (take(sentence, "new")) {
        expectation->kind = EXPECT_NEW_LEADER;
        return take_leader(sentence, expectation);
    }
    if (take(sentence, "terms")) {
        expectation->kind = EXPECT_TERMS;
        return take_terms(sentence, expectation);
    }
    if (strcmp(peek(sentence), "no") == 0 || strcmp(peek(sentence), "acknowledged") == 0)
        return take_lost(sentence, expectation);
    if (take(sentence, "writes")) {
        expectation->kind = EXPECT_WRITES_WAIT;
        return take(sentence, "wait") ? take_within(sentence, expectation)
                                      : refuse(sentence, "'wait within' and a duration");
    }
    static const char *const words[] = {"linearizable", "minority", "recovers", "availability",
                                        "acknowledged", "leader",   "terms",    "writes"};
    const char *nearest = reader_nearest(peek(sentence), words, sizeof(words) / sizeof(words[0]));
    if (nearest)
        return reader_refuse(sentence->reader, sentence->node,
                             "unknown expectation '%.60s': did you mean '%s'?", peek(sentence),
                             nearest);
    return reader_refuse(sentence->reader, sentence->node, "unknown expectation '%.60s': %s",
                         sentence->node->text, grammar);
}

/* Splits a copy of the text at spaces. */
static int split_words(struct sentence *sentence, const char *text)
{
    snprintf(sentence->copy, sizeof(sentence->copy), "%s", text);
    char *p = sentence->copy + strspn(sentence->copy, " ");
    while (*p) {
        if (sentence->count == WORDS_MAX)
            return reader_refuse(sentence->reader, sentence->node, "too many words: %s", grammar);
        sentence->words[sentence->count++] = p;
        p += strcspn(p, " ");
        if (*p)
            *p++ = '\0';
        p += strspn(p, " ");
    }
    return 0;
}

static int read_expectation(const struct reader *reader, const struct document_node *node,
                            struct experiment_expectation *expectation)
{
    struct sentence sentence = {.reader = reader, .node = node};
    const char *text;
    int result = reader_line(reader, node, "an expectation", SENTENCE_MAX, &text);
    if (!result)
        result = split_words(&sentence, text);
    if (!result)
        result = take_expectation(&sentence, expectation);
    if (!result)
        result = check_workload(&sentence, expectation);
    if (!result && sentence.next < sentence.count)
        result = reader_refuse(reader, node, "'%.60s' after the end of the expectation: remove it",
                               peek(&sentence));
    if (result)
        return result;
    expectation->text = memory_copy_text(text);
    expectation->line = node->line;
    return 0;
}

int reader_read_expectations(const struct reader *reader, const struct document_node *node)
{
    struct experiment *experiment = reader->experiment;
    int result = reader_check_list(reader, node, "expect", 1, EXPERIMENT_EXPECTATIONS_MAX);
    if (result)
        return result;
    experiment->expectations =
        memory_allocate_zeroed(node->count, sizeof(experiment->expectations[0]));
    for (size_t i = 0; i < node->count && !result; i++) {
        struct experiment_expectation *here = &experiment->expectations[i];
        experiment->expectation_count++;
        result = read_expectation(reader, node->items[i], here);
        for (size_t j = 0; j < i && !result; j++)
            if (strcmp(experiment->expectations[j].text, here->text) == 0)
                result = reader_refuse(reader, node->items[i],
                                       "'%s' is expected already (line %u): remove one", here->text,
                                       experiment->expectations[j].line);
    }
    return result;
}
