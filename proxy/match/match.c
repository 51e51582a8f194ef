#include "proxy/match/match.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#include "proxy/base/text.h"
#include "proxy/match/names.h"

enum { SNAPSHOT_BYTES = 65535 + IP_HEADER_ROOM };

struct match_program {
    struct bpf_program code;
    char expression[RULESET_MATCH_MAX];
    unsigned users; /* sets that have it; control thread only */
};

struct match_set {
    size_t size;
    struct match_program *by_slot[];
};

int match_compile(const char *expression, struct match_program **out, struct error *error)
{
    int result = names_check(expression, error);
    if (result)
        return result;
    pcap_t *dead = pcap_open_dead(DLT_RAW, SNAPSHOT_BYTES);
    if (!dead)
        return error_set(error, -ENOMEM, "no memory for a filter expression");
    struct match_program *program = memory_allocate_zeroed(1, sizeof(*program));
    if (pcap_compile(dead, &program->code, expression, 1, PCAP_NETMASK_UNKNOWN)) {
        result = error_set(error, -EINVAL, "%s", pcap_geterr(dead));
        free(program);
    } else {
        size_t length = strnlen(expression, sizeof(program->expression) - 1);
        memcpy(program->expression, expression, length);
        program->users = 1;
        *out = program;
    }
    pcap_close(dead);
    return result;
}

void match_destroy(struct match_program *program)
{
    if (!program || --program->users > 0)
        return;
    pcap_freecode(&program->code);
    free(program);
}

bool match_packet(const struct match_program *program, const void *packet, uint32_t captured,
                  uint32_t length)
{
    return bpf_filter(program->code.bf_insns, packet, length, captured) != 0;
}

bool match_datagram(const struct match_program *program, const struct address *source,
                    const struct address *destination, unsigned char *payload, uint32_t length)
{
    uint32_t headers = ip_header_write(payload, length, source, destination);
    return headers > 0 &&
           match_packet(program, payload - headers, headers + length, headers + length);
}

/* The program of this expression if the slot had it before; else a new one. */
static int take_program(const struct match_set *previous, uint16_t slot, const char *expression,
                        struct match_program **out, struct error *error)
{
    struct match_program *old = previous && slot < previous->size ? previous->by_slot[slot] : NULL;
    if (!old || strcmp(old->expression, expression) != 0)
        return match_compile(expression, out, error);
    old->users++;
    *out = old;
    return 0;
}

static size_t size_of(const struct ruleset *ruleset, const struct fault_plan *plan)
{
    size_t size = 0;
    for (size_t i = 0; i < ruleset->fault_count; i++) {
        if (!ruleset->faults[i].match[0])
            continue;
        size_t slot = fault_plan_fault_slot(plan, ruleset->faults[i].name, NULL);
        if (slot >= size)
            size = slot + 1;
    }
    return size;
}

int match_set_create(const struct ruleset *ruleset, const struct fault_plan *plan,
                     const struct match_set *previous, struct match_set **out, struct error *error)
{
    size_t size = size_of(ruleset, plan);
    *out = NULL;
    if (size == 0)
        return 0;
    struct match_set *set =
        memory_allocate_zeroed(1, sizeof(*set) + size * sizeof(set->by_slot[0]));
    set->size = size;
    for (size_t i = 0; i < ruleset->fault_count; i++) {
        const struct ruleset_fault *fault = &ruleset->faults[i];
        if (!fault->match[0])
            continue;
        uint16_t slot = fault_plan_fault_slot(plan, fault->name, NULL);
        int result = take_program(previous, slot, fault->match, &set->by_slot[slot], error);
        if (result) {
            char place[ERROR_PLACE_MAX];
            snprintf(place, sizeof(place), "faults[%zu].match", i);
            error_prefix_place(error, place);
            match_set_destroy(set);
            return result;
        }
    }
    *out = set;
    return 0;
}

void match_set_destroy(struct match_set *set)
{
    for (size_t slot = 0; set && slot < set->size; slot++)
        match_destroy(set->by_slot[slot]);
    free(set);
}

const struct match_program *match_set_find(const struct match_set *set, uint16_t fault_slot)
{
    return set && fault_slot < set->size ? set->by_slot[fault_slot] : NULL;
}
