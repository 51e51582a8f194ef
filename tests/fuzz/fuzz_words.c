/* A command line of severctl, a word a line: its options, a fault in words, a change of one, groups
 * of nodes. Each is refused with a reason, or makes a body; and what severd's decoder takes of it
 * is a fault of the type that was asked for. */
#include "tests/fuzz/fuzz.h"

#include "ctl/fault_words.h"
#include "ctl/target.h"
#include "proxy/wire/codec.h"

enum { WORDS_MAX = 64 };

static void try_fault(const struct arguments *arguments)
{
    const struct fault_verb *verb = fault_verb_find(arguments->words[0]);
    char described[FAULT_PLACE_MAX] = "";
    const char *file = NULL;
    struct ruleset_fault fault;
    if (!verb)
        return;
    json_t *body = json_pack("{s:s}", "type", ruleset_fault_type_name(verb->type));
    if (fuzz_is_read(fault_words_read(verb, arguments->words + 1, arguments->word_count - 1,
                                      arguments, "usage", body, described, &file, &fuzz_error)) &&
        fuzz_is_read(wire_decode_fault(body, NULL, &fault, &fuzz_error)))
        require(fault.type == verb->type);
    json_decref(body);
    body = json_object();
    if (fuzz_is_read(fault_words_read_changes(verb->type, arguments->words + 1,
                                              arguments->word_count - 1, arguments, body,
                                              &fuzz_error)))
        require(json_object_size(body) > 0);
    json_decref(body);
}

static void try_targets(const struct arguments *arguments)
{
    struct target_link link;
    json_t *groups = NULL;
    struct text text = {0};
    bool both_ways;
    struct ruleset_link parsed;
    if (fuzz_is_read(
            target_parse_link(arguments->words, arguments->word_count, &link, &fuzz_error)))
        require(ruleset_parse_link(link.text, &parsed, &both_ways, &fuzz_error) == 0);
    if (fuzz_is_read(
            target_parse_groups(arguments->words, arguments->word_count, &groups, &fuzz_error))) {
        require(json_array_size(groups) >= 2);
        target_format_groups(groups, &text);
        require(text.length > 0);
        json_decref(groups);
    }
    text_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct arguments arguments;
    char *words[WORDS_MAX + 1] = {NULL};
    size_t count = 0;
    arguments = (struct arguments){0};
    while (size > 0 && count < WORDS_MAX)
        words[count++] = fuzz_take_line(&bytes, &size);
    if (fuzz_is_read(arguments_parse(words, count, &arguments, &fuzz_error)) &&
        arguments.word_count > 0) {
        try_fault(&arguments);
        try_targets(&arguments);
    }
    for (size_t i = 0; i < count; i++)
        free(words[i]);
    return 0;
}
