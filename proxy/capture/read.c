/* Theory of operation
 *
 * The reader takes the oldest record over all rings. Each worker's records are in the order of
 * time, but one worker may write a record when another has written a younger one: so, with several
 * workers, a record is taken only when it is SETTLE_NS old, unless its ring is filling up. Between
 * two reads READ_NS pass, so that packets that come one by one do not make the control thread run
 * for each; when nothing is there at all the reader asks to be woken (`armed`).
 *
 * What the rings had no room for is told as the interface's statistics when it has changed, and
 * once more at the end. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/internet_checksum.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/version.h"
#include "proxy/capture/internal.h"
#include "proxy/capture/pcapng.h"

#define SETTLE_NS (5 * NS_PER_MS)
#define READ_NS (2 * NS_PER_MS)
#define TELL_NS (200 * NS_PER_MS)

_Static_assert(CAPTURE_READ_MIN >=
                   CAPTURE_SNAPLEN_DEFAULT + PCAPNG_PACKET_OVERHEAD + 4 * PCAPNG_TEXT_MAX,
               "a packet and the description of its interface fit");

/* --- what became of a packet --- */

static const char *name_at(const struct captures *captures, uint16_t name)
{
    return name == CAPTURE_NO_NAME ? "?" : captures->names[name];
}

static void describe_drop(const struct capture_record *record, const char *by, char *buffer,
                          size_t size)
{
    switch ((enum fault_cause)record->cause) {
    case FAULT_CAUSE_CUT:
        if (record->more)
            snprintf(buffer, size, "cut by partition %s and %u more", by, record->more);
        else
            snprintf(buffer, size, "cut%s%s", by[0] ? " by partition " : "", by);
        break;
    case FAULT_CAUSE_QUEUE:
        snprintf(buffer, size, "no room%s%s", by[0] ? " in the queue of fault " : "", by);
        break;
    case FAULT_CAUSE_DISCARD:
        if (record->to == CAPTURE_NO_NAME) {
            snprintf(buffer, size, "no node has its address");
            break;
        }
        /* fallthrough */
    default:
        snprintf(buffer, size, "%s%s%s", fault_cause_name((enum fault_cause)record->cause),
                 by[0] ? ", by fault " : "", by);
    }
}

void capture_describe(const struct captures *captures, const struct capture_record *record,
                      const char *by, char *buffer)
{
    char drop[CAPTURE_COMMENT_MAX / 2], held[48] = "";
    uint64_t us = (record->held_ns + 500) / NS_PER_US;
    bool delivered = record->fate == CAPTURE_DELIVERED;
    if (delivered || record->held_ns >= NS_PER_MS) /* a drop is at once, if not told */
        snprintf(held, sizeof(held), " after %" PRIu64 ".%03u ms", us / 1000,
                 (unsigned)(us % 1000));
    size_t length =
        (size_t)snprintf(buffer, CAPTURE_COMMENT_MAX, "%s->%s ", name_at(captures, record->from),
                         name_at(captures, record->to));
    char *rest = buffer + length;
    size_t size = CAPTURE_COMMENT_MAX - length;
    switch ((enum capture_fate)record->fate) {
    case CAPTURE_DELIVERED:
        snprintf(rest, size, "delivered%s", held);
        break;
    case CAPTURE_ANSWERED:
        snprintf(rest, size, "answered by severd");
        break;
    case CAPTURE_ANSWER:
        snprintf(rest, size, "severd's answer%s%s", by[0] ? ", by fault " : "", by);
        break;
    case CAPTURE_DROPPED:
        describe_drop(record, by, drop, sizeof(drop));
        snprintf(rest, size, "dropped%s: %s", held, drop);
        break;
    }
}

/* --- the beginning, and interfaces --- */

static void describe_capture(const struct capture *capture, char *buffer, size_t size)
{
    const char *filter = capture->filter[0] ? ": " : "";
    switch (capture->kind) {
    case CAPTURE_NODE:
        snprintf(buffer, size, "node %s%s%s", capture->from, filter, capture->filter);
        break;
    case CAPTURE_LINK:
        snprintf(buffer, size, "link %s%s%s%s%s", capture->from, capture->both_ways ? "<->" : "->",
                 capture->to, filter, capture->filter);
        break;
    default:
        snprintf(buffer, size, "the whole lab%s%s", filter, capture->filter);
    }
}

/* Its interface in the file, which is described when it is new. False when there is no room. */
static bool open_interface(struct capture *capture, uint16_t name, struct pcapng_buffer *buffer)
{
    char description[RULESET_NAME_MAX + 64];
    if (capture->interface_of[name])
        return true;
    snprintf(description, sizeof(description), "%s %s",
             capture->kind == CAPTURE_NODE ? "sent and received by node" : "sent by node",
             capture->captures->names[name]);
    struct pcapng_interface interface = {.name = capture->captures->names[name],
                                         .description = description,
                                         .filter = capture->filter,
                                         .snaplen = capture->snaplen};
    if (!pcapng_interface(buffer, &interface))
        return false;
    capture->name_of[capture->interface_count] = name;
    capture->interface_of[name] = ++capture->interface_count;
    return true;
}

/* The section's header, and the interfaces that are known, so that a reader can begin. */
static bool write_beginning(struct capture *capture, struct pcapng_buffer *buffer)
{
    char what[3 * RULESET_MATCH_MAX];
    if (!capture->begun) {
        describe_capture(capture, what, sizeof(what));
        if (!pcapng_section(buffer, "severd " SEVER_VERSION, what))
            return false;
        capture->begun = true;
        if (capture->kind == CAPTURE_LAB)
            capture->first_names = capture->captures->name_count;
    }
    if (capture->kind != CAPTURE_LAB && !open_interface(capture, capture->from_name, buffer))
        return false;
    if (capture->both_ways && !open_interface(capture, capture->to_name, buffer))
        return false;
    for (uint16_t name = 0; name < capture->first_names; name++)
        if (!open_interface(capture, name, buffer))
            return false;
    return true;
}

/* --- packets --- */

/* What the sender left to its device; such a packet was captured whole. */
static void complete_checksum(const struct capture_record *record, unsigned char *bytes)
{
    if (!record->checksum_at)
        return;
    uint32_t start = record->checksum_start;
    uint16_t checksum = internet_checksum(bytes + start, record->captured - start);
    if (checksum == 0)
        checksum = 0xffff; /* which means the same; 0 is none in UDP */
    memcpy(bytes + record->checksum_at, &checksum, sizeof(checksum));
}

static bool write_packet(struct capture *capture, struct capture_record *record,
                         struct pcapng_buffer *buffer)
{
    const struct captures *captures = capture->captures;
    bool node = capture->kind == CAPTURE_NODE;
    uint16_t name = node ? capture->from_name : record->from;
    char by[RULESET_FAULT_NAME_MAX] = "", comment[CAPTURE_COMMENT_MAX];
    unsigned char *bytes = (unsigned char *)(record + 1) + record->name_length;
    if (buffer->size - buffer->used < PCAPNG_PACKET_OVERHEAD + record->captured ||
        !open_interface(capture, name, buffer))
        return false;
    memcpy(by, record + 1, record->name_length);
    capture_describe(captures, record, by, comment);
    complete_checksum(record, bytes);
    record->checksum_at = 0; /* when it is asked for once more */
    uint16_t interface = (uint16_t)(capture->interface_of[name] - 1);
    struct pcapng_packet packet = {.interface = interface,
                                   .time_ns = record->left_ns + capture->wall_offset_ns,
                                   .bytes = bytes,
                                   .captured = record->captured,
                                   .length = record->length,
                                   .direction = node && record->from != name ? PCAPNG_INBOUND
                                                                             : PCAPNG_OUTBOUND,
                                   .comment = comment};
    if (!pcapng_packet(buffer, &packet))
        return false;
    capture->written[interface]++;
    return true;
}

/* The ring with the oldest record; NULL: all are empty. */
static struct capture_feed *oldest_feed(const struct capture *capture,
                                        struct capture_record **oldest)
{
    struct capture_feed *best = NULL;
    for (unsigned i = 0; i < capture->captures->workers; i++) {
        struct capture_feed *feed = &capture->feeds[i];
        struct capture_record *record = capture_ring_peek(&feed->ring);
        if (!record || (best && record->left_ns >= (*oldest)->left_ns))
            continue;
        best = feed;
        *oldest = record;
    }
    return best;
}

static bool is_filling(const struct capture *capture)
{
    for (unsigned i = 0; i < capture->captures->workers; i++)
        if (capture_ring_is_filling(&capture->feeds[i].ring))
            return true;
    return false;
}

/* How old a record has to be. */
static uint64_t settle_ns(const struct capture *capture)
{
    return capture->captures->workers > 1 && !capture->ended && !is_filling(capture) ? SETTLE_NS
                                                                                     : 0;
}

/* False when there is more than fits. */
static bool write_packets(struct capture *capture, uint64_t now_ns, struct pcapng_buffer *buffer)
{
    uint64_t settle = settle_ns(capture);
    struct capture_record *record = NULL;
    struct capture_feed *feed;
    if (capture->ended)
        now_ns = capture->ended_ns;
    while ((feed = oldest_feed(capture, &record)) && record->left_ns + settle <= now_ns) {
        if (!write_packet(capture, record, buffer))
            return false;
        capture_ring_release(&feed->ring);
    }
    return true;
}

/* --- statistics --- */

static uint64_t lost_sum(const struct capture *capture)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < capture->captures->workers; i++)
        sum += atomic_load_explicit(&capture->feeds[i].lost_sum, memory_order_relaxed);
    return sum;
}

static uint64_t lost_of(const struct capture *capture, uint16_t name)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < capture->captures->workers; i++)
        sum += atomic_load_explicit(&capture->feeds[i].lost[name], memory_order_relaxed);
    return sum;
}

static bool write_statistics(struct capture *capture, uint16_t interface, uint64_t now_ns,
                             struct pcapng_buffer *buffer)
{
    char comment[96] = "";
    uint64_t lost = lost_of(capture, capture->name_of[interface]);
    if (lost)
        snprintf(comment, sizeof(comment),
                 "%" PRIu64 " packets are not here: this capture was not read fast enough", lost);
    struct pcapng_statistics statistics = {.interface = interface,
                                           .time_ns = now_ns + capture->wall_offset_ns,
                                           .begun_ns = capture->begun_ns + capture->wall_offset_ns,
                                           .received = capture->written[interface] + lost,
                                           .dropped = lost,
                                           .comment = comment};
    if (!pcapng_statistics(buffer, &statistics))
        return false;
    capture->told_lost_of[interface] = lost;
    return true;
}

/* Interfaces that have lost packets since they were told. */
static bool tell_lost(struct capture *capture, uint64_t now_ns, struct pcapng_buffer *buffer)
{
    uint64_t lost = lost_sum(capture);
    if (lost == capture->told_lost || now_ns < capture->told_ns + TELL_NS)
        return true;
    for (uint16_t name = 0; name < capture->captures->name_count; name++)
        if (lost_of(capture, name) && !open_interface(capture, name, buffer))
            return false;
    for (uint16_t i = 0; i < capture->interface_count; i++)
        if (lost_of(capture, capture->name_of[i]) != capture->told_lost_of[i] &&
            !write_statistics(capture, i, now_ns, buffer))
            return false;
    capture->told_lost = lost;
    capture->told_ns = now_ns;
    return true;
}

static void write_end(struct capture *capture, uint64_t now_ns, struct pcapng_buffer *buffer)
{
    while (capture->statistics_next < capture->interface_count) {
        if (!write_statistics(capture, capture->statistics_next, now_ns, buffer))
            return;
        capture->statistics_next++;
    }
    capture->closed = true;
}

size_t capture_read(struct capture *capture, uint64_t now_ns, void *bytes, size_t size)
{
    struct pcapng_buffer buffer = {.bytes = bytes, .size = size};
    if (write_beginning(capture, &buffer) && write_packets(capture, now_ns, &buffer) &&
        tell_lost(capture, now_ns, &buffer) && capture->ended && !capture->closed)
        write_end(capture, now_ns, &buffer);
    if (buffer.used)
        capture->read_ns = now_ns;
    return buffer.used;
}

/* When the oldest record can be taken; UINT64_MAX: there is none. */
static uint64_t record_due_ns(const struct capture *capture)
{
    struct capture_record *record;
    return oldest_feed(capture, &record) ? record->left_ns + settle_ns(capture) : UINT64_MAX;
}

uint64_t capture_due_ns(struct capture *capture)
{
    if (!capture->begun || (capture->ended && !capture->closed))
        return 0;
    uint64_t due_ns = record_due_ns(capture);
    if (due_ns == UINT64_MAX) {
        atomic_store(&capture->armed, true);
        due_ns = record_due_ns(capture);
    }
    if (lost_sum(capture) != capture->told_lost && capture->told_ns + TELL_NS < due_ns)
        due_ns = capture->told_ns + TELL_NS;
    if (due_ns != UINT64_MAX && due_ns < capture->read_ns + READ_NS)
        due_ns = capture->read_ns + READ_NS;
    return due_ns;
}

bool capture_is_over(const struct capture *capture)
{
    return capture->closed;
}
