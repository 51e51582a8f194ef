/* The workers' side: a packet into the rings of the captures that mean it. */
#include <string.h>
#include <unistd.h>

#include "proxy/capture/internal.h"

/* What is said of a drop or an answer: which fault, or which partition. */
static const char *blame_of(const struct capture_set *set, const struct capture_packet *packet,
                            uint16_t *more)
{
    *more = 0;
    if (packet->fate == CAPTURE_DELIVERED)
        return "";
    uint16_t fault = fault_plan_fault_of_slot(set->plan, packet->fault_slot);
    if (packet->fault_slot != UINT16_MAX && fault != UINT16_MAX)
        return set->faults[fault].name;
    if (packet->fate != CAPTURE_DROPPED || packet->cause != FAULT_CAUSE_CUT ||
        packet->to >= RULESET_NODES_MAX)
        return "";
    const struct capture_cut *cut = &set->cuts[packet->from][packet->to];
    *more = cut->more;
    return cut->partition ? set->partitions[cut->partition - 1].name : "";
}

static bool means(const struct capture_meaning *meaning, const struct capture_packet *packet)
{
    const struct capture *capture = meaning->capture;
    uint16_t from = packet->from, to = packet->to;
    switch (capture->kind) {
    case CAPTURE_NODE:
        return meaning->from != FAULT_NO_NODE && (from == meaning->from || to == meaning->from);
    case CAPTURE_LINK:
        if (meaning->from == FAULT_NO_NODE || meaning->to == FAULT_NO_NODE)
            return false;
        return (from == meaning->from && to == meaning->to) ||
               (capture->both_ways && from == meaning->to && to == meaning->from);
    default:
        return true;
    }
}

static bool is_ip(const struct capture_packet *packet)
{
    if (packet->network < 2 || packet->network >= packet->length)
        return false;
    const unsigned char *type = packet->bytes + packet->network - 2;
    return (type[0] == 0x08 && type[1] == 0x00) || (type[0] == 0x86 && type[1] == 0xdd);
}

static bool passes_filter(const struct capture *capture, const struct capture_packet *packet)
{
    if (!capture->program)
        return true;
    uint32_t length = packet->length - packet->network;
    return is_ip(packet) &&
           match_packet(capture->program, packet->bytes + packet->network, length, length);
}

static uint16_t name_of(const struct capture_set *set, uint16_t slot)
{
    return slot < RULESET_NODES_MAX ? set->name_of[slot] : CAPTURE_NO_NAME;
}

/* One writer: a plain load, add and store. */
static void add_lost(_Atomic uint64_t *counter)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + 1, memory_order_relaxed);
}

static void set_checksum(struct capture_record *record, const struct capture_packet *packet)
{
    uint32_t at = (uint32_t)packet->checksum_start + packet->checksum_offset;
    if (!packet->checksum_missing || record->captured < packet->length || at + 2 > packet->length)
        return;
    record->checksum_start = packet->checksum_start;
    record->checksum_at = (uint16_t)at;
}

static bool write_record(const struct capture_set *set, const struct capture *capture,
                         struct capture_feed *feed, const struct capture_packet *packet)
{
    uint16_t more;
    const char *blame = blame_of(set, packet, &more);
    size_t blame_length = strlen(blame);
    uint32_t captured = packet->length < capture->snaplen ? packet->length : capture->snaplen;
    struct capture_record *record =
        capture_ring_reserve(&feed->ring, sizeof(*record) + blame_length + captured);
    if (!record)
        return false;
    *record = (struct capture_record){.left_ns = packet->left_ns,
                                      .held_ns = packet->left_ns - packet->arrived_ns,
                                      .captured = captured,
                                      .length = packet->length,
                                      .from = name_of(set, packet->from),
                                      .to = name_of(set, packet->to),
                                      .fate = (uint8_t)packet->fate,
                                      .cause = (uint8_t)packet->cause,
                                      .name_length = (uint8_t)blame_length,
                                      .more = more};
    set_checksum(record, packet);
    memcpy(mempcpy(record + 1, blame, blame_length), packet->bytes, captured);
    capture_ring_commit(&feed->ring);
    return true;
}

static void wake_reader(struct capture *capture)
{
    const uint64_t one = 1;
    if (atomic_load(&capture->armed) && atomic_exchange(&capture->armed, false) &&
        write(capture->captures->wake_fd, &one, sizeof(one)) < 0)
        atomic_store(&capture->armed, true); /* interrupted: the next packet does it */
}

void capture_note(struct capture_set *set, unsigned worker, const struct capture_packet *packet)
{
    for (size_t i = 0; set && i < set->count; i++) {
        struct capture *capture = set->meanings[i].capture;
        struct capture_feed *feed = &capture->feeds[worker];
        if (!means(&set->meanings[i], packet) || !passes_filter(capture, packet))
            continue;
        if (!write_record(set, capture, feed, packet)) {
            uint16_t name =
                capture->kind == CAPTURE_NODE ? capture->from_name : name_of(set, packet->from);
            add_lost(&feed->lost[name < CAPTURE_NAMES_MAX ? name : CAPTURE_NAMES_MAX - 1]);
            add_lost(&feed->lost_sum);
        }
        wake_reader(capture);
    }
}
