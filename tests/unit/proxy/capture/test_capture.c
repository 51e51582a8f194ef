/* From capture_note to the bytes of the file, which libpcap's own reader is not needed for: blocks
 * are looked at here. */
#include "tests/lib/test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/internet_checksum.h"
#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/capture/capture.h"

enum { WORKERS = 2, RING = 1 << 18, FRAME = 14 + 20 + 8 + 10, FLOOD = 30000 };

struct rig {
    struct ruleset ruleset;
    struct fault_plan *plan;
    struct captures *captures;
    struct capture_set *set;
};

static int set_up(void **state)
{
    struct rig *rig = memory_allocate_zeroed(1, sizeof(*rig));
    struct error error = {0};
    static const char *const names[] = {"n1", "n2", "n3"};
    *state = rig;
    for (size_t i = 0; i < 3; i++) {
        struct ruleset_node node = {0};
        snprintf(node.name, sizeof(node.name), "%s", names[i]);
        ruleset_add_node(&rig->ruleset, &node);
    }
    struct ruleset_partition brain = {.name = "brain"}, west = {.name = "west"};
    ruleset_partition_add_link(&brain, "n1", "n2");
    ruleset_add_partition(&rig->ruleset, &brain);
    ruleset_partition_add_link(&west, "n1", "n2");
    ruleset_partition_add_link(&west, "n2", "n3");
    ruleset_add_partition(&rig->ruleset, &west);
    ruleset_partition_free(&brain);
    ruleset_partition_free(&west);
    struct ruleset_fault loss = {.name = "wan-loss",
                                 .type = RULESET_LOSS,
                                 .direction = RULESET_BOTH,
                                 .link = {"n1", "n2"},
                                 .loss = {.probability_ppb = RULESET_PROBABILITY_MAX / 2}};
    ruleset_add_fault(&rig->ruleset, &loss);
    if (fault_plan_create(&rig->ruleset, NULL, &rig->plan, &error))
        fail_msg("%s: %s", error.place, error.message);
    assert_int_equal(captures_create(WORKERS, RING, &rig->captures, &error), 0);
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    capture_set_destroy(rig->set);
    captures_destroy(rig->captures);
    fault_plan_destroy(rig->plan);
    ruleset_free(&rig->ruleset);
    free(rig);
    return 0;
}

static void publish(struct rig *rig)
{
    capture_set_destroy(rig->set);
    rig->set = capture_set_create(rig->captures, &rig->ruleset, rig->plan);
}

static struct capture *open_capture(struct rig *rig, enum capture_kind kind, const char *from,
                                    const char *to, const char *filter)
{
    struct capture *capture = NULL;
    struct error error = {0};
    struct capture_spec spec = {
        .kind = kind, .from = from, .to = to, .filter = filter, .snaplen = CAPTURE_SNAPLEN_DEFAULT};
    if (capture_open(rig->captures, &spec, &capture, &error))
        fail_msg("%s: %s", error.place, error.message);
    publish(rig);
    return capture;
}

/* A UDP datagram to this port, with zero for its checksum. */
static void make_frame(unsigned char *frame, uint16_t port)
{
    static const unsigned char addresses[] = {10, 77, 0, 1, 10, 77, 0, 2};
    memset(frame, 0, FRAME);
    frame[0] = frame[6] = 2;
    frame[12] = 8;
    frame[14] = 0x45;
    frame[17] = FRAME - 14;
    frame[22] = 64;
    frame[23] = 17;
    memcpy(frame + 26, addresses, sizeof(addresses));
    frame[36] = (unsigned char)(port >> 8);
    frame[37] = (unsigned char)port;
    frame[39] = FRAME - 34;
}

static uint16_t slot(const struct rig *rig, const char *name)
{
    return fault_plan_node_slot(rig->plan, name);
}

static struct capture_packet packet_of(const struct rig *rig, const char *from, const char *to,
                                       const unsigned char *frame)
{
    return (struct capture_packet){.from = slot(rig, from),
                                   .to = to ? slot(rig, to) : FAULT_NO_NODE,
                                   .bytes = frame,
                                   .length = FRAME,
                                   .network = 14,
                                   .arrived_ns = 1000,
                                   .left_ns = 1000,
                                   .fate = CAPTURE_DELIVERED,
                                   .fault_slot = UINT16_MAX};
}

/* Delivered, from worker 0. */
static void note(struct rig *rig, const char *from, const char *to, uint16_t port)
{
    unsigned char frame[FRAME];
    make_frame(frame, port);
    struct capture_packet packet = packet_of(rig, from, to, frame);
    capture_note(rig->set, 0, &packet);
}

/* --- reading --- */

static uint32_t u32(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

/* The text or number of an option as "text", in what is left of a block. */
static void append_options(struct text *text, const unsigned char *at, const unsigned char *end)
{
    while (at + 4 <= end && u32(at)) {
        uint32_t code = u32(at) & 0xffff, length = u32(at) >> 16;
        if (code == 1)
            text_append(text, " '%.*s'", (int)length, (const char *)at + 4);
        at += 4 + (length + 3) / 4 * 4;
    }
}

static uint64_t dropped_of(const unsigned char *at, const unsigned char *end)
{
    uint64_t dropped = UINT64_MAX;
    while (at + 4 <= end && u32(at)) {
        uint32_t length = u32(at) >> 16;
        if ((u32(at) & 0xffff) == 5)
            memcpy(&dropped, at + 4, sizeof(dropped));
        at += 4 + (length + 3) / 4 * 4;
    }
    return dropped;
}

/* All that is there now: "section 'the whole lab'; n1; 0 out 'n1->n2 delivered after 0.000 ms';
 * ..." */
static const char *read_all(struct capture *capture, struct text *text)
{
    static unsigned char buffer[CAPTURE_READ_MIN];
    uint64_t now_ns = monotonic_now_ns();
    size_t length;
    text_clear(text);
    while ((length = capture_read(capture, now_ns, buffer, sizeof(buffer))) > 0) {
        for (size_t at = 0; at < length; at += u32(buffer + at + 4)) {
            const unsigned char *block = buffer + at;
            const unsigned char *end = block + u32(block + 4) - 4;
            assert_true(at + u32(block + 4) <= length);
            if (u32(block) == 1)
                text_append(text, "%.*s", (int)(u32(block + 16) >> 16), (const char *)block + 20);
            if (u32(block) == 5)
                text_append(text, "%u lost %lu", u32(block + 8),
                            (unsigned long)dropped_of(block + 20, end));
            if (u32(block) == 6) {
                const unsigned char *options = block + 28 + (u32(block + 20) + 3) / 4 * 4;
                text_append(text, "%u %s", u32(block + 8), u32(options + 4) & 1 ? "in" : "out");
                append_options(text, options, end);
            }
            text_append(text, ";");
        }
    }
    return text_get(text);
}

static const unsigned char *find_packet(const unsigned char *buffer, size_t length)
{
    for (size_t at = 0; at < length; at += u32(buffer + at + 4))
        if (u32(buffer + at) == 6)
            return buffer + at;
    fail_msg("there is no packet");
    return NULL;
}

/* --- tests --- */

static void a_node_sees_both_directions(void **state)
{
    struct rig *rig = *state;
    struct text text = {0};
    struct capture *capture = open_capture(rig, CAPTURE_NODE, "n1", NULL, "");
    assert_string_equal(read_all(capture, &text), ";n1;");
    note(rig, "n1", "n2", 1);
    note(rig, "n2", "n1", 1);
    note(rig, "n2", "n3", 1);
    note(rig, "n1", NULL, 1);
    assert_string_equal(read_all(capture, &text), "0 out 'n1->n2 delivered after 0.000 ms';"
                                                  "0 in 'n2->n1 delivered after 0.000 ms';"
                                                  "0 out 'n1->? delivered after 0.000 ms';");
    text_free(&text);
}

static void a_link_and_the_lab_have_senders(void **state)
{
    struct rig *rig = *state;
    struct text text = {0};
    struct capture *link = open_capture(rig, CAPTURE_LINK, "n2", "n1", "");
    struct capture *lab = open_capture(rig, CAPTURE_LAB, NULL, NULL, "");
    note(rig, "n1", "n2", 1);
    note(rig, "n2", "n1", 1);
    note(rig, "n3", "n1", 1);
    assert_string_equal(read_all(link, &text), ";n2;0 out 'n2->n1 delivered after 0.000 ms';");
    assert_string_equal(read_all(lab, &text), ";n2;n1;n3;"
                                              "1 out 'n1->n2 delivered after 0.000 ms';"
                                              "0 out 'n2->n1 delivered after 0.000 ms';"
                                              "2 out 'n3->n1 delivered after 0.000 ms';");
    text_free(&text);
}

static void each_fate_has_its_words(void **state)
{
    struct rig *rig = *state;
    unsigned char frame[FRAME];
    struct text text = {0};
    make_frame(frame, 1);
    struct capture *capture = open_capture(rig, CAPTURE_NODE, "n1", NULL, "");
    uint16_t loss = fault_plan_fault_slot(rig->plan, "wan-loss", NULL);
    const struct {
        const char *to;
        uint64_t held_ns;
        enum capture_fate fate;
        enum fault_cause cause;
        uint16_t fault;
        const char *words;
    } cases[] = {
        {"n2", 80012345, CAPTURE_DELIVERED, 0, UINT16_MAX, "n1->n2 delivered after 80.012 ms"},
        {"n2", 400, CAPTURE_DELIVERED, 0, UINT16_MAX, "n1->n2 delivered after 0.000 ms"},
        {"n2", 14000, CAPTURE_DELIVERED, 0, UINT16_MAX, "n1->n2 delivered after 0.014 ms"},
        {"n2", 14000, CAPTURE_DROPPED, FAULT_CAUSE_LOSS, loss,
         "n1->n2 dropped: loss, by fault wan-loss"},
        {"n2", 0, CAPTURE_DROPPED, FAULT_CAUSE_CUT, UINT16_MAX,
         "n1->n2 dropped: cut by partition brain and 1 more"},
        {"n2", 3000000, CAPTURE_DROPPED, FAULT_CAUSE_CUT, UINT16_MAX,
         "n1->n2 dropped after 3.000 ms: cut by partition brain and 1 more"},
        {"n3", 0, CAPTURE_DROPPED, FAULT_CAUSE_CUT, UINT16_MAX, "n1->n3 dropped: cut"},
        {"n2", 0, CAPTURE_DROPPED, FAULT_CAUSE_QUEUE, UINT16_MAX, "n1->n2 dropped: no room"},
        {"n2", 0, CAPTURE_DROPPED, FAULT_CAUSE_QUEUE, loss,
         "n1->n2 dropped: no room in the queue of fault wan-loss"},
        {"n2", 0, CAPTURE_DROPPED, FAULT_CAUSE_REJECT, loss,
         "n1->n2 dropped: reject, by fault wan-loss"},
        {NULL, 0, CAPTURE_DROPPED, FAULT_CAUSE_DISCARD, UINT16_MAX,
         "n1->? dropped: no node has its address"},
        {"n2", 400, CAPTURE_ANSWERED, 0, UINT16_MAX, "n1->n2 answered by severd"},
        {"n2", 0, CAPTURE_ANSWER, 0, UINT16_MAX, "n1->n2 severd's answer"},
        {"n2", 0, CAPTURE_ANSWER, 0, loss, "n1->n2 severd's answer, by fault wan-loss"},
    };
    read_all(capture, &text);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char wanted[256];
        struct capture_packet packet = packet_of(rig, "n1", cases[i].to, frame);
        packet.left_ns = packet.arrived_ns + cases[i].held_ns;
        packet.fate = cases[i].fate;
        packet.cause = cases[i].cause;
        packet.fault_slot = cases[i].fault;
        capture_note(rig->set, 0, &packet);
        snprintf(wanted, sizeof(wanted), "0 out '%s';", cases[i].words);
        assert_string_equal(read_all(capture, &text), wanted);
    }
    text_free(&text);
}

/* A record keeps its names when the plan is another before it is read. */
static void names_are_those_of_the_moment(void **state)
{
    struct rig *rig = *state;
    struct text text = {0};
    struct error error = {0};
    unsigned char frame[FRAME];
    struct fault_plan *old = rig->plan;
    make_frame(frame, 1);
    struct capture *capture = open_capture(rig, CAPTURE_LAB, NULL, NULL, "");
    read_all(capture, &text);
    struct capture_packet packet = packet_of(rig, "n3", "n2", frame);
    packet.fate = CAPTURE_DROPPED;
    packet.cause = FAULT_CAUSE_LOSS;
    packet.fault_slot = fault_plan_fault_slot(rig->plan, "wan-loss", NULL);
    capture_note(rig->set, 0, &packet);
    assert_true(ruleset_remove_fault(&rig->ruleset, "wan-loss"));
    assert_true(ruleset_remove_partition(&rig->ruleset, "west"));
    assert_true(ruleset_remove_node(&rig->ruleset, "n3"));
    struct ruleset_node node = {.name = "n4"};
    ruleset_add_node(&rig->ruleset, &node);
    assert_int_equal(fault_plan_create(&rig->ruleset, old, &rig->plan, &error), 0);
    publish(rig);
    fault_plan_destroy(old);
    note(rig, "n4", "n2", 1);
    assert_string_equal(read_all(capture, &text), "2 out 'n3->n2 dropped: loss, by fault wan-loss';"
                                                  "n4;3 out 'n4->n2 delivered after 0.000 ms';");
    text_free(&text);
}

static void a_filter_sees_ip_packets(void **state)
{
    struct rig *rig = *state;
    struct text text = {0};
    struct capture *all = open_capture(rig, CAPTURE_NODE, "n1", NULL, "");
    struct capture *some = open_capture(rig, CAPTURE_NODE, "n1", NULL, "udp port 53");
    struct capture *not = open_capture(rig, CAPTURE_NODE, "n1", NULL, "not tcp");
    unsigned char frame[FRAME];
    struct text unused = {0};
    read_all(all, &unused);
    read_all(some, &unused);
    read_all(not, &unused);
    note(rig, "n1", "n2", 53);
    note(rig, "n1", "n2", 54);
    make_frame(frame, 53);
    frame[13] = 6; /* ARP */
    struct capture_packet packet = packet_of(rig, "n1", "n2", frame);
    capture_note(rig->set, 0, &packet);
    static const char one[] = "0 out 'n1->n2 delivered after 0.000 ms';";
    assert_int_equal(strlen(read_all(all, &text)), 3 * strlen(one));
    assert_int_equal(strlen(read_all(some, &text)), strlen(one));
    assert_int_equal(strlen(read_all(not, &text)), 2 * strlen(one));
    text_free(&text);
    text_free(&unused);
}

static void what_can_not_be_captured_is_refused(void **state)
{
    struct rig *rig = *state;
    struct capture *capture;
    struct error error = {0};
    struct capture_spec spec = {.filter = "tcp prt 80", .snaplen = 96};
    assert_null(capture_set_create(rig->captures, &rig->ruleset, rig->plan));
    assert_int_equal(capture_open(rig->captures, &spec, &capture, &error), -EINVAL);
    assert_string_equal(error.place, "filter");
    spec.filter = "";
    for (int i = 0; i < CAPTURE_MAX; i++)
        assert_int_equal(capture_open(rig->captures, &spec, &capture, &error), 0);
    struct capture *more;
    assert_int_equal(capture_open(rig->captures, &spec, &more, &error), -EBUSY);
    capture_leave(capture);
    capture_close(capture);
    assert_int_equal(capture_open(rig->captures, &spec, &more, &error), 0);
    assert_int_equal(captures_count(rig->captures), CAPTURE_MAX);
}

static void a_missing_checksum_is_completed(void **state)
{
    struct rig *rig = *state;
    static unsigned char buffer[CAPTURE_READ_MIN];
    unsigned char frame[FRAME];
    struct capture *capture = open_capture(rig, CAPTURE_NODE, "n1", NULL, "");
    make_frame(frame, 53);
    struct capture_packet packet = packet_of(rig, "n1", "n2", frame);
    packet.checksum_missing = true;
    packet.checksum_start = 34;
    packet.checksum_offset = 6;
    capture_note(rig->set, 0, &packet);
    size_t length = capture_read(capture, monotonic_now_ns(), buffer, sizeof(buffer));
    const unsigned char *seen = find_packet(buffer, length) + 28;
    assert_int_equal(internet_checksum(seen + 34, FRAME - 34), 0); /* its sum is right now */
    assert_memory_equal(seen, frame, 40);
    assert_memory_equal(seen + 42, frame + 42, FRAME - 42);
    packet.checksum_offset = FRAME; /* not in the packet */
    capture_note(rig->set, 0, &packet);
    length = capture_read(capture, monotonic_now_ns() + NS_PER_S, buffer, sizeof(buffer));
    assert_memory_equal(find_packet(buffer, length) + 28, frame, FRAME);
}

static void a_short_snaplen_keeps_the_first_bytes(void **state)
{
    struct rig *rig = *state;
    static unsigned char buffer[CAPTURE_READ_MIN];
    unsigned char frame[FRAME];
    struct capture *capture = NULL;
    struct error error = {0};
    struct capture_spec spec = {
        .kind = CAPTURE_NODE, .from = "n1", .filter = "udp port 53", .snaplen = 15};
    assert_int_equal(capture_open(rig->captures, &spec, &capture, &error), 0);
    publish(rig);
    make_frame(frame, 53);
    struct capture_packet packet = packet_of(rig, "n1", "n2", frame);
    packet.checksum_missing = true;
    packet.checksum_start = 34;
    packet.checksum_offset = 6;
    capture_note(rig->set, 0, &packet);
    size_t length = capture_read(capture, monotonic_now_ns(), buffer, sizeof(buffer));
    const unsigned char *block = find_packet(buffer, length);
    assert_int_equal(u32(block + 20), 15);
    assert_int_equal(u32(block + 24), FRAME);
    assert_memory_equal(block + 28, frame, 15);
}

/* Records of both workers come in the order of their times. */
static void workers_are_merged(void **state)
{
    struct rig *rig = *state;
    struct text text = {0};
    unsigned char frame[FRAME];
    uint64_t now_ns = monotonic_now_ns();
    static unsigned char buffer[CAPTURE_READ_MIN];
    make_frame(frame, 1);
    struct capture *capture = open_capture(rig, CAPTURE_LAB, NULL, NULL, "");
    read_all(capture, &text);
    for (unsigned i = 0; i < 6; i++) { /* 2, 1, 4, 3, 6, 5 */
        struct capture_packet packet = packet_of(rig, i % 2 ? "n2" : "n1", "n3", frame);
        packet.arrived_ns = packet.left_ns = now_ns + (i ^ 1);
        capture_note(rig->set, i % 2, &packet);
    }
    assert_int_equal(capture_read(capture, now_ns, buffer, sizeof(buffer)), 0); /* too young */
    assert_in_range(capture_due_ns(capture), now_ns + 1, now_ns + 100 * NS_PER_MS);
    size_t length = capture_read(capture, capture_due_ns(capture) + 10, buffer, sizeof(buffer));
    unsigned count = 0;
    for (size_t at = 0; at < length; at += u32(buffer + at + 4), count++)
        assert_int_equal(u32(buffer + at + 8), count % 2 ? 0 : 1);
    assert_int_equal(count, 6);
    text_free(&text);
}

static bool is_awake(const struct rig *rig)
{
    struct pollfd wait = {.fd = captures_wake_fd(rig->captures), .events = POLLIN};
    return poll(&wait, 1, 0) == 1;
}

static void the_first_packet_wakes(void **state)
{
    struct rig *rig = *state;
    struct text text = {0};
    struct capture *capture = open_capture(rig, CAPTURE_NODE, "n1", NULL, "");
    assert_int_equal(capture_due_ns(capture), 0); /* the file's beginning */
    read_all(capture, &text);
    note(rig, "n1", "n2", 1);
    assert_false(is_awake(rig)); /* nobody waits */
    read_all(capture, &text);
    assert_true(capture_due_ns(capture) == UINT64_MAX);
    note(rig, "n2", "n3", 1);
    assert_false(is_awake(rig));
    note(rig, "n1", "n2", 1);
    assert_true(is_awake(rig));
    captures_wake_take(rig->captures);
    assert_false(is_awake(rig));
    assert_true(capture_due_ns(capture) < UINT64_MAX);
    note(rig, "n1", "n2", 1);
    assert_false(is_awake(rig));
    text_free(&text);
}

static void loss_is_counted_and_told(void **state)
{
    struct rig *rig = *state;
    struct text text = {0};
    char wanted[64];
    struct capture *capture = open_capture(rig, CAPTURE_NODE, "n1", NULL, "");
    for (int i = 0; i < FLOOD; i++)
        note(rig, i % 2 ? "n1" : "n2", i % 2 ? "n2" : "n1", 1);
    assert_true(capture_due_ns(capture) == 0);
    read_all(capture, &text);
    size_t seen = 0;
    for (const char *at = text_get(&text); (at = strstr(at, "delivered")); at++)
        seen++;
    assert_true(seen > 100 && seen < FLOOD);
    static unsigned char buffer[CAPTURE_READ_MIN];
    size_t length = capture_read(capture, monotonic_now_ns() + NS_PER_S, buffer, sizeof(buffer));
    if (length) { /* else it was told above */
        assert_int_equal(u32(buffer), 5);
        snprintf(wanted, sizeof(wanted), "%lu packets are not here", (unsigned long)FLOOD - seen);
        assert_memory_equal(buffer + 24, wanted, strlen(wanted));
    }
    captures_end(rig->captures);
    snprintf(wanted, sizeof(wanted), "0 lost %lu;", (unsigned long)FLOOD - seen);
    assert_string_equal(read_all(capture, &text), wanted);
    assert_true(capture_is_over(capture));
    text_free(&text);
}

static void it_ends_with_what_was_there(void **state)
{
    struct rig *rig = *state;
    struct text text = {0};
    struct capture *capture = open_capture(rig, CAPTURE_LAB, NULL, NULL, "");
    assert_string_equal(read_all(capture, &text), ";n1;n2;n3;");
    note(rig, "n1", "n2", 1);
    captures_end(rig->captures);
    assert_false(capture_is_over(capture));
    assert_int_equal(capture_due_ns(capture), 0);
    assert_string_equal(read_all(capture, &text),
                        "0 out 'n1->n2 delivered after 0.000 ms';0 lost 0;1 lost 0;2 lost 0;");
    assert_true(capture_is_over(capture));
    assert_true(capture_due_ns(capture) == UINT64_MAX);
    text_free(&text);
}

/* --- with threads --- */

struct writer {
    struct rig *rig;
    unsigned worker;
};

static void *write_many(void *context)
{
    struct writer *writer = context;
    unsigned char frame[FRAME];
    make_frame(frame, 1);
    for (int i = 0; i < FLOOD; i++) {
        struct capture_packet packet = packet_of(writer->rig, "n1", "n2", frame);
        packet.arrived_ns = packet.left_ns = monotonic_now_ns();
        capture_note(writer->rig->set, writer->worker, &packet);
    }
    return NULL;
}

/* Every packet is in the file or counted as lost; the reader that waits when nothing is due is
 * always woken. */
static void none_is_forgotten(void **state)
{
    struct rig *rig = *state;
    static unsigned char buffer[CAPTURE_READ_MIN];
    struct capture *capture = open_capture(rig, CAPTURE_NODE, "n1", NULL, "");
    struct writer writers[WORKERS];
    pthread_t threads[WORKERS];
    uint64_t packets = 0, lost = 0, last_ns = 0, end_ns = monotonic_now_ns() + 60 * NS_PER_S;
    for (unsigned i = 0; i < WORKERS; i++) {
        writers[i] = (struct writer){rig, i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    while (packets + lost < (uint64_t)WORKERS * FLOOD) {
        uint64_t due_ns = capture_due_ns(capture), now_ns = monotonic_now_ns();
        struct pollfd wait = {.fd = captures_wake_fd(rig->captures), .events = POLLIN};
        assert_true(now_ns < end_ns);
        if (due_ns == UINT64_MAX)
            assert_int_equal(poll(&wait, 1, 20000), 1);
        else if (due_ns > now_ns)
            poll(&wait, 1, 1);
        captures_wake_take(rig->captures);
        size_t length = capture_read(capture, monotonic_now_ns(), buffer, sizeof(buffer));
        for (size_t at = 0; at < length; at += u32(buffer + at + 4)) {
            const unsigned char *block = buffer + at;
            if (u32(block) == 5)
                lost = dropped_of(block + 20, block + u32(block + 4) - 4);
            packets += u32(block) == 6;
            last_ns = u32(block) == 6 ? (uint64_t)u32(block + 12) << 32 | u32(block + 16) : last_ns;
        }
    }
    assert_int_equal(packets + lost, WORKERS * FLOOD);
    assert_true(last_ns > 0);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_node_sees_both_directions),
        TEST(a_link_and_the_lab_have_senders),
        TEST(each_fate_has_its_words),
        TEST(names_are_those_of_the_moment),
        TEST(a_filter_sees_ip_packets),
        TEST(what_can_not_be_captured_is_refused),
        TEST(a_missing_checksum_is_completed),
        TEST(a_short_snaplen_keeps_the_first_bytes),
        TEST(workers_are_merged),
        TEST(the_first_packet_wakes),
        TEST(loss_is_counted_and_told),
        TEST(it_ends_with_what_was_there),
        TEST(none_is_forgotten),
    };
    return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
