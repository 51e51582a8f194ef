/* Theory of operation. The link is the first word when it has an arrow in it, else the first two;
 * with --route there is none. What is left are values in the order that the verb's row has, and
 * KEY=VALUE words, in any order; KEY VALUE in two words is the same, once the values that have to
 * be there are. Loss alone has a model: its name in place of the first value changes what values
 * follow. Everything ends as a key of the body, and severd judges the whole. */
#include "ctl/fault_words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/parameters.h"
#include "ctl/target.h"
#include "proxy/base/text.h"
#include "proxy/base/units.h"

const struct fault_verb fault_verbs[RULESET_FAULT_TYPES] = {
    {"delay", RULESET_LATENCY, 1, {{"delay_ns", "jitter_ns", NULL}}},
    {"loss", RULESET_LOSS, 1, {{"probability", NULL, NULL}}},
    {"rate", RULESET_RATE, 1, {{"bytes_per_s", NULL, NULL}}},
    {"trace", RULESET_TRACE, 1, {{"table", NULL, NULL}}},
    {"flap", RULESET_FLAP, 2, {{"up_ns", NULL, NULL}, {"down_ns", NULL, NULL}}},
    {"corrupt", RULESET_CORRUPT, 1, {{"probability", NULL, NULL}}},
    {"duplicate", RULESET_DUPLICATE, 1, {{"probability", NULL, NULL}}},
    {"reorder", RULESET_REORDER, 2, {{"probability", NULL, NULL}, {"delay_ns", NULL, NULL}}},
    {"truncate", RULESET_TRUNCATE, 2, {{"probability", NULL, NULL}, {"bytes", NULL, NULL}}},
    {"slice",
     RULESET_SLICER,
     1,
     {{"average_bytes", "variation_bytes", NULL}, {"delay_ns", NULL, NULL}}},
    {"slow-close", RULESET_SLOW_CLOSE, 1, {{"delay_ns", NULL, NULL}}},
    {"timeout", RULESET_TIMEOUT, 1, {{"timeout_ns", NULL, NULL}}},
    {"reset", RULESET_RESET_PEER, 0, {{"timeout_ns", NULL, NULL}}},
    {"limit", RULESET_LIMIT_DATA, 1, {{"bytes", NULL, NULL}}},
    {"accept-delay", RULESET_ACCEPT_DELAY, 1, {{"delay_ns", NULL, NULL}}},
    {"reject", RULESET_REJECT, 0, {{"probability", NULL, "100%"}}},
    {"noop", RULESET_NOOP, 0, {{NULL, NULL, NULL}}},
};

/* Options that are another way to write KEY=VALUE. */
static const struct {
    enum option_bit bit;
    const char *name;
} option_names[] = {
    {OPTION_DISTRIBUTION, "distribution"},
    {OPTION_CORRELATION, "correlation"},
    {OPTION_REORDER, "reorder"},
    {OPTION_BURST, "burst"},
    {OPTION_QUEUE, "queue"},
    {OPTION_SHARED, "shared"},
    {OPTION_TOXICITY, "toxicity"},
    {OPTION_FIRST, "first"},
    {OPTION_AFTER, "after"},
    {OPTION_MATCH, "match"},
};

const struct fault_verb *fault_verb_of(enum ruleset_fault_type type)
{
    for (size_t i = 0; i < RULESET_FAULT_TYPES; i++)
        if (fault_verbs[i].type == type)
            return &fault_verbs[i];
    return NULL;
}

const struct fault_verb *fault_verb_find(const char *word)
{
    enum ruleset_fault_type type;
    struct error ignored;
    for (size_t i = 0; i < RULESET_FAULT_TYPES; i++)
        if (strcmp(fault_verbs[i].word, word) == 0)
            return &fault_verbs[i];
    return ruleset_parse_fault_type(word, &type, &ignored) ? NULL : fault_verb_of(type);
}

/* One reading of words. */
struct reading {
    enum ruleset_fault_type type;
    const struct fault_value *values;
    size_t value_count, required;
    size_t next; /* value */
    const char *usage;
    bool is_change; /* of a fault that is there: an empty match takes away the one it has */
    json_t *body;
    const char *file;
    struct error *error;
};

/* A loss model has values of its own. */
static void set_model(struct reading *reading, const char *name)
{
    static const struct fault_value every = {"every", NULL, NULL};
    enum ruleset_loss_model model = RULESET_LOSS_RANDOM;
    struct error ignored;
    (void)ruleset_parse_loss_model(name, &model, &ignored);
    if (model == RULESET_LOSS_EVERY)
        reading->values = &every;
    else if (model != RULESET_LOSS_RANDOM)
        reading->value_count = reading->required = 0;
}

static int put(struct reading *reading, const struct ruleset_parameter *parameter, const char *text)
{
    if (json_object_get(reading->body, parameter->key))
        return error_set(reading->error, -EINVAL, "%s was given twice", parameter->key);
    /* What a shell makes of a variable without a value would have the fault meet all. */
    if (strcmp(parameter->key, "match") == 0 && text[0] == '\0' && !reading->is_change)
        return error_set(reading->error, -EINVAL, "is empty: leave it out, for all that crosses");
    json_t *value = parameter_parse(parameter, text, reading->error);
    if (!value)
        return -EINVAL;
    json_object_set_new(reading->body, parameter->key, value);
    if (parameter->kind == RULESET_PARAMETER_LOSS_MODEL)
        set_model(reading, text);
    return 0;
}

/* "queue" with "100packets": the number, UNITS_TEXT_MAX bytes. False for any other. */
static bool is_queue_in_packets(const char *name, size_t length, const char *text, char *number)
{
    static const char queue[] = "queue", unit[] = "packets";
    size_t digits = strlen(text) - (strlen(text) < strlen(unit) ? 0 : strlen(unit));
    if (length != strlen(queue) || memcmp(name, queue, length) != 0 || digits >= UNITS_TEXT_MAX ||
        strcmp(text + digits, unit) != 0)
        return false;
    snprintf(number, UNITS_TEXT_MAX, "%.*s", (int)digits, text);
    return true;
}

/* what: "--burst", "burst", for the error's place. */
static int put_named(struct reading *reading, const char *name, size_t length, const char *what,
                     const char *text)
{
    static const char in_packets[] = "queue_packets";
    char number[UNITS_TEXT_MAX];
    if (is_queue_in_packets(name, length, text, number)) {
        name = in_packets;
        length = strlen(in_packets);
        text = number;
    }
    const struct ruleset_parameter *parameter = ruleset_parameter_find(reading->type, name, length);
    if (!parameter) {
        struct text list = {0};
        ruleset_parameter_list(reading->type, &list);
        error_set(reading->error, -EINVAL, "a %s has no '%.*s'; it has %s",
                  ruleset_fault_type_name(reading->type), (int)length, name, text_get(&list));
        text_free(&list);
        return -EINVAL;
    }
    int code = put(reading, parameter, text);
    if (code)
        error_prefix_place(reading->error, what);
    return code;
}

/* "80ms±20ms": the second part, without the sign that is cut off; NULL when there is none. */
static char *split_spread(char *text)
{
    static const char *const signs[] = {"\xc2\xb1", "+-"};
    for (size_t i = 0; i < 2; i++) {
        char *sign = strstr(text, signs[i]);
        if (!sign)
            continue;
        *sign = '\0';
        return sign + 2;
    }
    return NULL;
}

static int put_value(struct reading *reading, const struct fault_value *value, const char *word)
{
    const struct ruleset_parameter *parameter =
        ruleset_parameter_find(reading->type, value->key, strlen(value->key));
    if (parameter->kind == RULESET_PARAMETER_TABLE) {
        reading->file = word;
        return 0;
    }
    char *first = memory_copy_text(word);
    const char *spread = value->spread ? split_spread(first) : NULL;
    int code = put(reading, parameter, first);
    if (!code && spread)
        code = put(reading,
                   ruleset_parameter_find(reading->type, value->spread, strlen(value->spread)),
                   spread);
    free(first);
    return code;
}

/* The name of a loss model in place of the first value: what follows is that model's. */
static bool is_model(const struct reading *reading, const char *word)
{
    enum ruleset_loss_model model;
    struct error ignored;
    return reading->type == RULESET_LOSS && reading->next == 0 &&
           !json_object_get(reading->body, "model") &&
           ruleset_parse_loss_model(word, &model, &ignored) == 0;
}

/* The parameter whose name this word is, which then stands for KEY, NULL for any other word. The
 * names of models are not keys. */
static const struct ruleset_parameter *find_key(enum ruleset_fault_type type, const char *word)
{
    enum ruleset_loss_model model;
    struct error ignored;
    if (type == RULESET_LOSS && ruleset_parse_loss_model(word, &model, &ignored) == 0)
        return NULL;
    return ruleset_parameter_find(type, word, strlen(word));
}

/* Words from words[0] on that make one parameter: KEY VALUE, or KEY of a flag. *used: how many. */
static int read_pair(struct reading *reading, const struct ruleset_parameter *parameter,
                     const char *const words[], size_t count, size_t *used)
{
    bool flag = parameter->kind == RULESET_PARAMETER_FLAG;
    *used = flag ? 1 : 2;
    if (!flag && count < 2)
        return error_set(reading->error, -EINVAL, "%s wants a value: write %s=VALUE", words[0],
                         words[0]);
    return put_named(reading, words[0], strlen(words[0]), words[0], flag ? "true" : words[1]);
}

static int read_word(struct reading *reading, const char *word)
{
    const char *equals = strchr(word, '=');
    if (equals) {
        char what[64];
        size_t length = (size_t)(equals - word);
        snprintf(what, sizeof(what), "%.*s", (int)length, word);
        return put_named(reading, word, length, what, equals + 1);
    }
    if (is_model(reading, word))
        return put_named(reading, "model", strlen("model"), "", word);
    if (reading->next == reading->value_count)
        return error_set(reading->error, -EINVAL, "'%.64s' is one word too many: write %s", word,
                         reading->usage);
    return put_value(reading, &reading->values[reading->next++], word);
}

/* Whether all values that have to be there are, in their places or by their names. */
static bool has_required(const struct reading *reading)
{
    for (size_t i = reading->next; i < reading->required; i++)
        if (!json_object_get(reading->body, reading->values[i].key))
            return false;
    return true;
}

static int read_words(struct reading *reading, const char *const words[], size_t count)
{
    int code = 0;
    for (size_t i = 0, used; !code && i < count; i += used) {
        const struct ruleset_parameter *key =
            has_required(reading) ? find_key(reading->type, words[i]) : NULL;
        used = 1;
        code = key ? read_pair(reading, key, words + i, count - i, &used)
                   : read_word(reading, words[i]);
    }
    return code;
}

static int read_options(struct reading *reading, const struct arguments *arguments)
{
    for (size_t i = 0; i < sizeof(option_names) / sizeof(option_names[0]); i++) {
        const char *name = option_names[i].name;
        if (!(arguments->given & option_names[i].bit))
            continue;
        const char *value = arguments_value(arguments, option_names[i].bit);
        char what[64];
        snprintf(what, sizeof(what), "--%s", name);
        int code = put_named(reading, name, strlen(name), what, value ? value : "true");
        if (code)
            return code;
    }
    return 0;
}

/* What an absent word stands for, or that it is missing. */
static int complete(struct reading *reading)
{
    for (; reading->next < reading->value_count; reading->next++) {
        const struct fault_value *value = &reading->values[reading->next];
        if (json_object_get(reading->body, value->key))
            continue;
        if (reading->next < reading->required)
            return error_set(reading->error, -EINVAL, "write: %s", reading->usage);
        int code = value->otherwise ? put_value(reading, value, value->otherwise) : 0;
        if (code)
            return code;
    }
    return 0;
}

/* A jitter has a distribution, and a table is one. */
static int check_jitter(struct reading *reading, const struct arguments *arguments)
{
    json_t *body = reading->body;
    bool table = arguments->table || json_object_get(body, "table");
    if (arguments->table && reading->type != RULESET_LATENCY)
        return error_set(reading->error, -EINVAL, "--table goes with a delay");
    if (reading->type != RULESET_LATENCY)
        return 0;
    if (arguments->table && json_object_get(body, "distribution"))
        return error_set(reading->error, -EINVAL, "either --table or --distribution, not both");
    if (table && !json_object_get(body, "distribution"))
        json_object_set_new(body, "distribution", json_string("table"));
    if (json_object_get(body, "distribution") &&
        json_integer_value(json_object_get(body, "jitter_ns")) == 0)
        return error_set(reading->error, -EINVAL, "%s is that of the jitter: write DELAY±JITTER",
                         arguments->table ? "--table" : "--distribution");
    if (arguments->table)
        reading->file = arguments->table;
    return 0;
}

/* How many of the words are the link. */
static size_t count_link_words(const struct fault_verb *verb, const char *const words[],
                               size_t count, const struct arguments *arguments)
{
    size_t plain = 0, values = 0;
    while (plain < count && !strchr(words[plain], '=') &&
           (!arguments->route || plain < verb->required || !find_key(verb->type, words[plain])))
        plain++;
    if (!arguments->route) {
        size_t wanted = plain > 0 && strstr(words[0], "->") ? 1 : 2;
        return plain < wanted ? plain : wanted;
    }
    while (values < FAULT_VALUES_MAX && verb->values[values].key)
        values++;
    values += verb->type == RULESET_LOSS;       /* "every 10" */
    return plain > values ? plain - values : 0; /* one too many: that is a link beside --route */
}

int fault_words_read(const struct fault_verb *verb, const char *const words[], size_t count,
                     const struct arguments *arguments, const char *usage, json_t *body,
                     char *described, const char **file, struct error *error)
{
    size_t link = count_link_words(verb, words, count, arguments);
    struct reading reading = {.type = verb->type,
                              .values = verb->values,
                              .required = verb->required,
                              .usage = usage,
                              .body = body,
                              .error = error};
    while (reading.value_count < FAULT_VALUES_MAX && verb->values[reading.value_count].key)
        reading.value_count++;
    int code = target_parse_fault(arguments, words, link, body, described, FAULT_PLACE_MAX, error);
    if (!code)
        code = read_words(&reading, words + link, count - link);
    if (!code)
        code = read_options(&reading, arguments);
    if (!code)
        code = complete(&reading);
    if (!code)
        code = check_jitter(&reading, arguments);
    *file = reading.file;
    return code;
}

int fault_words_read_changes(enum ruleset_fault_type type, const char *const words[], size_t count,
                             const struct arguments *arguments, json_t *body, struct error *error)
{
    struct reading reading = {.type = type,
                              .usage = "severctl faults set NAME KEY=VALUE...",
                              .is_change = true,
                              .body = body,
                              .error = error};
    int code = 0;
    for (size_t i = 0, used; !code && i < count; i += used) {
        const struct ruleset_parameter *key = find_key(type, words[i]);
        used = 1;
        if (key)
            code = read_pair(&reading, key, words + i, count - i, &used);
        else if (strchr(words[i], '='))
            code = read_word(&reading, words[i]);
        else
            code = error_set(error, -EINVAL, "'%.64s' is no KEY=VALUE: write %s", words[i],
                             reading.usage);
    }
    if (!code)
        code = read_options(&reading, arguments);
    if (!code && type == RULESET_LATENCY && json_object_get(body, "table") &&
        !json_object_get(body, "distribution"))
        json_object_set_new(body, "distribution", json_string("table"));
    if (!code && json_object_size(body) == 0)
        code = error_set(error, -EINVAL, "nothing to change: write %s", reading.usage);
    return code;
}
