/* Faults in words: each parameter of the vocabulary by its name, and the places of the verbs. */
#include "tests/lib/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/fault_words.h"
#include "ctl/format.h"
#include "ctl/parameters.h"
#include "proxy/base/text.h"
#include "proxy/wire/codec.h"
#include "tests/unit/proxy/fault/random_fault.h"

static struct random_stream dice = {.key = 12};
static struct arguments arguments;
static struct error error;
static const char *file;

enum { WORDS_MAX = 32 };

/* Splits at blanks, reads, and returns the body; NULL with `error` for what is refused. */
static json_t *read_line(const char *line)
{
    const char *words[WORDS_MAX];
    static char copy[1024]; /* the name of a file stays */
    char place[FAULT_PLACE_MAX];
    size_t count = 0;
    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = copy; word && count < WORDS_MAX;) {
        char *blank = strchr(word, ' ');
        words[count++] = word;
        if (blank)
            *blank++ = '\0';
        word = blank;
    }
    json_t *body = json_object();
    error = (struct error){0};
    const struct fault_verb *verb = fault_verb_find(words[0]);
    assert_non_null(verb);
    if (fault_words_read(verb, words + 1, count - 1, &arguments, "severctl X", body, place, &file,
                         &error)) {
        json_decref(body);
        body = NULL;
    }
    return body;
}

static void expect(const char *line, const char *wanted)
{
    json_t *body = read_line(line);
    if (!body)
        fail_msg("%s: %s %s", line, error.place, error.message);
    char *shown = json_dumps(body, WIRE_DUMP_FLAGS);
    assert_string_equal(shown, wanted);
    free(shown);
    json_decref(body);
}

static void expect_refused(const char *line, const char *place, const char *message)
{
    json_t *body = read_line(line);
    assert_null(body);
    if (strcmp(error.place, place) != 0 || !strstr(error.message, message))
        fail_msg("%s: '%s' %s", line, error.place, error.message);
}

static int set_up(void **state)
{
    (void)state;
    arguments = (struct arguments){0};
    return 0;
}

static void values_have_their_places(void **state)
{
    (void)state;
    expect("delay n1 n2 80ms±20ms",
           "{\"link\":\"n1<->n2\",\"delay_ns\":80000000,\"jitter_ns\":20000000}");
    expect("delay n1->n2 80ms", "{\"link\":\"n1->n2\",\"delay_ns\":80000000}");
    expect("reorder *->n2 5% 20ms",
           "{\"link\":\"*->n2\",\"probability\":0.05,\"delay_ns\":20000000}");
    expect("slice n1->n2 100B+-20B",
           "{\"link\":\"n1->n2\",\"average_bytes\":100,\"variation_bytes\":20}");
    expect("slice n1->n2 1KiB 5ms",
           "{\"link\":\"n1->n2\",\"average_bytes\":1024,\"delay_ns\":5000000}");
    expect("reset n1->n2", "{\"link\":\"n1->n2\"}");
    expect("reject n1->n2", "{\"link\":\"n1->n2\",\"probability\":1.0}");
    expect("rate n1->n2 0", "{\"link\":\"n1->n2\",\"bytes_per_s\":0}");
    expect("flap n1->n2 2s 500ms jitter=100ms",
           "{\"link\":\"n1->n2\",\"up_ns\":2000000000,\"down_ns\":500000000,\"jitter_ns\":"
           "100000000}");
    expect_refused("flap n1->n2 2s", "", "write: severctl X");
    expect("limit_data n1->n2 1MiB", "{\"link\":\"n1->n2\",\"bytes\":1048576}");
}

static void names_may_stand_for_places(void **state)
{
    (void)state;
    expect("delay n1->n2 jitter=5ms delay=1s",
           "{\"link\":\"n1->n2\",\"jitter_ns\":5000000,\"delay_ns\":1000000000}");
    expect("rate n1->n2 burst=64KiB 10mbit",
           "{\"link\":\"n1->n2\",\"burst_bytes\":65536,\"bytes_per_s\":1250000}");
    expect("rate n1->n2 1MB/s queue=100packets queue=64KiB",
           "{\"link\":\"n1->n2\",\"bytes_per_s\":1000000,\"queue_packets\":100,\"queue_bytes\":"
           "65536}");
    expect_refused("rate n1->n2 1MB/s queue=packets", "queue", "queue_packets");
    expect_refused("rate n1->n2 1MB/s queue=1000001packets", "queue", "10^6 packets");
    expect_refused("delay n1->n2 1ms queue=1packets", "", "a latency has no 'queue_packets'");
    expect("rate n1->n2 bytes_per_s=1MB/s", "{\"link\":\"n1->n2\",\"bytes_per_s\":1000000}");
    expect("noop n1->n2 first=3 after=5s match=udp",
           "{\"link\":\"n1->n2\",\"first_connections\":3,\"after_ns\":5000000000,\"match\":"
           "\"udp\"}");
}

/* Reads the words as they are: some have blanks. */
static void expect_words(const char *verb, const char *const words[], size_t count,
                         const char *wanted)
{
    char place[FAULT_PLACE_MAX];
    json_t *body = json_object();
    error = (struct error){0};
    if (fault_words_read(fault_verb_find(verb), words, count, &arguments, "severctl X", body, place,
                         &file, &error))
        fail_msg("%s %s: %s", verb, words[count - 1], error.message);
    char *shown = json_dumps(body, WIRE_DUMP_FLAGS);
    assert_string_equal(shown, wanted);
    free(shown);
    json_decref(body);
}

static void a_key_and_its_value_may_be_two_words(void **state)
{
    (void)state;
    static const char filter[] = "tcp port 2380 and len > 200", flags[] = "tcp[13] = 2";
    expect_words("loss", (const char *const[]){"n1", "n2", "30%", "match", filter}, 5,
                 "{\"link\":\"n1<->n2\",\"probability\":0.3,\"match\":\"tcp port 2380 and len > "
                 "200\"}");
    expect_words("reject", (const char *const[]){"n1->n2", "match", flags, "first", "3"}, 5,
                 "{\"link\":\"n1->n2\",\"match\":\"tcp[13] = 2\",\"first_connections\":3,"
                 "\"probability\":1.0}");
    expect("loss n1->n2 every 10 toxicity 50%",
           "{\"link\":\"n1->n2\",\"model\":\"every\",\"every\":10,\"toxicity\":0.5}");
    expect("loss n1->n2 gilbert-elliott to_bad 1% to_good 20% lost_in_bad 100%",
           "{\"link\":\"n1->n2\",\"model\":\"gilbert-elliott\",\"to_bad\":0.01,\"to_good\":0.2,"
           "\"lost_in_bad\":1.0}");
    expect("rate n1->n2 rate=10mbit queue 100packets burst 64KiB",
           "{\"link\":\"n1->n2\",\"bytes_per_s\":1250000,\"queue_packets\":100,\"burst_bytes\":"
           "65536}");
    expect("delay first after 5ms reorder match udp", /* from first to after */
           "{\"link\":\"first<->after\",\"delay_ns\":5000000,\"reorder\":true,\"match\":\"udp\"}");
    expect("trace n1->n2 match after 5s", "{\"link\":\"n1->n2\",\"after_ns\":5000000000}");
    assert_string_equal(file, "match");
    expect_refused("loss n1->n2 5% match", "", "match wants a value: write match=VALUE");
    expect_refused("loss n1->n2 5% match udp match=tcp", "match", "given twice");
    expect_refused("loss n1->n2 5% match=", "match", "is empty: leave it out");
    expect_refused("loss n1->n2 5% match ", "match", "is empty: leave it out");
    expect_refused("loss n1->n2 match udp", "", "'match'");
    expect_refused("slice n1->n2 1KiB shared", "", "'shared'");
    arguments = (struct arguments){.given = OPTION_ROUTE, .route = "r"};
    expect("loss 5% match udp", "{\"route\":\"r\",\"direction\":\"both\",\"probability\":0.05,"
                                "\"match\":\"udp\"}");
    expect("noop first 3", "{\"route\":\"r\",\"direction\":\"both\",\"first_connections\":3}");
    expect_refused("loss n1->n2 5% match udp", "", "");
}

static void a_loss_has_a_model(void **state)
{
    (void)state;
    expect("loss n1->n2 random 5%", "{\"link\":\"n1->n2\",\"model\":\"random\",\"probability\":"
                                    "0.05}");
    expect("loss n1->n2 every 10", "{\"link\":\"n1->n2\",\"model\":\"every\",\"every\":10}");
    expect("loss n1->n2 markov p13=1% p31=20%",
           "{\"link\":\"n1->n2\",\"model\":\"markov\",\"p13\":0.01,\"p31\":0.2}");
    expect_refused("loss n1->n2 every", "", "write: severctl X");
    expect_refused("loss n1->n2 markov 5%", "", "one word too many");
    expect_refused("loss n1->n2 5% markov", "", "one word too many");
}

static void files_are_left_to_the_caller(void **state)
{
    (void)state;
    expect("trace n1->n2 lte.up", "{\"link\":\"n1->n2\"}");
    assert_string_equal(file, "lte.up");
    expect("trace n1->n2 table=lte", "{\"link\":\"n1->n2\",\"table\":\"lte\"}");
    assert_null(file);
    arguments = (struct arguments){.given = OPTION_TABLE, .table = "x.dist"};
    expect("delay n1->n2 8ms±2ms", "{\"link\":\"n1->n2\",\"delay_ns\":8000000,\"jitter_ns\":"
                                   "2000000,\"distribution\":\"table\"}");
    assert_string_equal(file, "x.dist");
    expect_refused("delay n1->n2 8ms", "", "--table is that of the jitter");
    expect_refused("delay n1->n2 8ms±1ms distribution=normal", "", "not both");
    expect_refused("loss n1->n2 5%", "", "--table goes with a delay");
}

static void options_are_names(void **state)
{
    (void)state;
    arguments = (struct arguments){
        .given = OPTION_TOXICITY | OPTION_SHARED | OPTION_ROUTE, .toxicity = "50%", .route = "r"};
    expect("rate 10mbit", "{\"route\":\"r\",\"direction\":\"both\",\"bytes_per_s\":1250000,"
                          "\"shared\":true,\"toxicity\":0.5}");
    expect_refused("rate 10mbit toxicity=1%", "--toxicity", "given twice");
    expect_refused("rate n1 n2 10mbit", "", "not both ('n1')");
    expect_refused("corrupt 1%", "",
                   "a corrupt has no 'shared'; it has probability, correlation, "
                   "repair, toxicity");
}

static void what_is_refused(void **state)
{
    (void)state;
    expect_refused("corrupt n1", "", "'n1' is no link");
    expect_refused("corrupt n1- 5%", "", "half a link");
    expect_refused("corrupt n1 n2", "", "write: severctl X");
    expect_refused("corrupt n1 n2 1% 2%", "", "'2%' is one word too many");
    expect_refused("corrupt n1 n2 often", "", "not a probability");
    expect_refused("corrupt n1 n2 1% odd=5", "", "has no 'odd'");
    expect_refused("corrupt n1 n2 1% =5", "", "has no ''");
    expect_refused("corrupt n1 n2 1% correlation=often", "correlation", "not a probability");
    expect_refused("delay n1 n2 2h", "", "at most one hour");
    expect_refused("delay n1 n2 1ms reorder=yes", "reorder", "true or false");
    expect_refused("noop n1 n2 first=1000000001", "first", "10^9");
    expect_refused("loss n1 n2 every 0", "", "out of range");
}

/* The JSON of a fault as KEY=VALUE words, each from parameter_format. */
static char *as_words(const struct ruleset_fault *fault, json_t *json)
{
    struct text line = {0};
    size_t count;
    const struct ruleset_parameter *rows = ruleset_parameters(fault->type, &count);
    text_append(&line, "%s n1->n2", ruleset_fault_type_name(fault->type));
    for (size_t i = 0; i < count + ruleset_reach_count; i++) {
        const struct ruleset_parameter *row = i < count ? &rows[i] : &ruleset_reach[i - count];
        const char *name;
        size_t length = ruleset_parameter_name(row, &name);
        if (!json_object_get(json, row->key))
            continue;
        text_append(&line, " %.*s=", (int)length, name);
        parameter_format(row, json_object_get(json, row->key), &line);
    }
    return line.data;
}

/* Property: every parameter of every type, written as severctl shows it, is read to the same. */
static void what_is_shown_is_read_to_the_same(void **state)
{
    (void)state;
    for (int t = 0; t < RULESET_FAULT_TYPES; t++)
        for (int i = 0; i < 300; i++) {
            struct ruleset_fault fault = random_fault_of(&dice, (enum ruleset_fault_type)t, true);
            struct ruleset_fault decoded;
            random_reach(&dice, &fault);
            memcpy(fault.link.from, "n1", 3);
            memcpy(fault.link.to, "n2", 3);
            if (fault.type == RULESET_LATENCY && fault.latency.distribution == RULESET_TABLE)
                memcpy(fault.latency.table, "t", 2); /* words end at blanks */
            json_t *json = wire_encode_fault(&fault);
            char *line = as_words(&fault, json);
            json_t *body = read_line(line);
            if (!body)
                fail_msg("%s: %s %s", line, error.place, error.message);
            json_object_set_new(body, "type", json_string(ruleset_fault_type_name(fault.type)));
            if (wire_decode_fault(body, NULL, &decoded, &error) < 0 ||
                !ruleset_same_fault(&fault, &decoded))
                fail_msg("%s: %s %s", line, error.place, error.message);
            json_decref(body);
            json_decref(json);
            free(line);
        }
}

static int read_changes(const char *const words[], size_t count, json_t *body)
{
    error = (struct error){0};
    return fault_words_read_changes(RULESET_LATENCY, words, count, &arguments, body, &error);
}

static void changes_are_names_only(void **state)
{
    (void)state;
    json_t *body = json_object();
    assert_int_equal(read_changes((const char *[]){"delay=5ms", "table=lte"}, 2, body), 0);
    char *shown = json_dumps(body, JSON_COMPACT);
    assert_string_equal(shown,
                        "{\"delay_ns\":5000000,\"table\":\"lte\",\"distribution\":\"table\"}");
    free(shown);
    json_object_clear(body);
    assert_int_equal(
        read_changes((const char *[]){"delay", "5ms", "reorder", "match", ""}, 5, body), 0);
    shown = json_dumps(body, JSON_COMPACT);
    assert_string_equal(shown, "{\"delay_ns\":5000000,\"reorder\":true,\"match\":\"\"}");
    free(shown);
    json_object_clear(body);
    assert_int_equal(read_changes(NULL, 0, body), -EINVAL);
    assert_non_null(strstr(error.message, "nothing to change"));
    assert_int_equal(read_changes((const char *[]){"5ms"}, 1, body), -EINVAL);
    assert_non_null(strstr(error.message, "is no KEY=VALUE"));
    json_decref(body);
}

static void each_type_has_a_verb(void **state)
{
    (void)state;
    for (int t = 0; t < RULESET_FAULT_TYPES; t++) {
        enum ruleset_fault_type type = (enum ruleset_fault_type)t;
        const struct fault_verb *verb = fault_verb_of(type);
        assert_non_null(verb);
        assert_ptr_equal(fault_verb_find(verb->word), verb);
        assert_ptr_equal(fault_verb_find(ruleset_fault_type_name(type)), verb);
        for (size_t i = 0; i < FAULT_VALUES_MAX && verb->values[i].key; i++) {
            assert_non_null(
                ruleset_parameter_find(type, verb->values[i].key, strlen(verb->values[i].key)));
            if (verb->values[i].spread)
                assert_non_null(ruleset_parameter_find(type, verb->values[i].spread,
                                                       strlen(verb->values[i].spread)));
        }
    }
    assert_null(fault_verb_find("odd"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
    const struct CMUnitTest tests[] = {
        TEST(values_have_their_places),
        TEST(names_may_stand_for_places),
        TEST(a_key_and_its_value_may_be_two_words),
        TEST(a_loss_has_a_model),
        TEST(files_are_left_to_the_caller),
        TEST(options_are_names),
        TEST(what_is_refused),
        TEST(what_is_shown_is_read_to_the_same),
        TEST(changes_are_names_only),
        TEST(each_type_has_a_verb),
    };
    return cmocka_run_group_tests_name("ctl/fault_words", tests, NULL, NULL);
}
