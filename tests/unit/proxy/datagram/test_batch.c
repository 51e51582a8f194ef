/* Datagrams that the kernel hands over and takes several at once: borders, order and counts are
 * those of single ones. */
#include "tests/unit/proxy/datagram/rig.h"

enum { BYTES_MAX = 65536 };

/* Sends bytes as datagrams of `segment` each, in one call. */
static void send_segmented(int fd, const struct address *to, const unsigned char *bytes,
                           size_t length, uint16_t segment)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(segment))] = {0};
    struct sockaddr_storage name = {0};
    struct iovec vector;
    unsigned char copy[BYTES_MAX];
    memcpy(copy, bytes, length);
    vector = (struct iovec){copy, length};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    if (to) {
        name = to->storage;
        message.msg_name = &name;
        message.msg_namelen = to->length;
    }
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = IPPROTO_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof(segment));
    memcpy(CMSG_DATA(header), &segment, sizeof(segment));
    assert_int_equal(sendmsg(fd, &message, 0), length);
}

/* Each datagram says its number in its first two bytes, and its length is as expected. */
static void expect_segments(struct rig *rig, int fd, size_t total, size_t segment)
{
    unsigned char buffer[BYTES_MAX];
    for (size_t at = 0, number = 0; at < total; at += segment, number++) {
        ssize_t got = -1;
        await(rig, (got = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT)) >= 0);
        assert_int_equal(got, total - at < segment ? total - at : segment);
        assert_int_equal(buffer[0] << 8 | buffer[1], number);
    }
    assert_true(recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) < 0);
}

static void number(unsigned char *bytes, size_t total, size_t segment)
{
    for (size_t at = 0, k = 0; at < total; at += segment, k++) {
        bytes[at] = (unsigned char)(k >> 8);
        bytes[at + 1] = (unsigned char)k;
    }
}

static void latency(struct rig *rig, bool down)
{
    struct ruleset_fault slow = {.type = RULESET_LATENCY, .latency = {.delay_ns = NS_PER_MS}};
    snprintf(slow.name, sizeof(slow.name), "slow %s", down ? "down" : "up");
    rig_add_fault_to(rig, slow, down);
}

static void super_datagrams_cross(const char *host, bool faulty)
{
    static const struct {
        size_t total, segment;
    } cases[] = {{640, 64}, {1000, 64}, {60000, 1200}, {65000, 1400}, {3000, 2000}, {90, 2}};
    struct rig rig;
    struct address session;
    unsigned char bytes[BYTES_MAX] = {0};
    uint64_t datagrams = 1, sent = 5;
    rig_open(&rig, (struct rig_options){.host = host});
    rig_greet(&rig, &session);
    if (faulty) {
        latency(&rig, false);
        latency(&rig, true);
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t total = cases[i].total, segment = cases[i].segment;
        number(bytes, total, segment);
        send_segmented(rig.client, NULL, bytes, total, (uint16_t)segment);
        expect_segments(&rig, rig.server, total, segment);
        send_segmented(rig.server, &session, bytes, total, (uint16_t)segment);
        expect_segments(&rig, rig.client, total, segment);
        datagrams += (total + segment - 1) / segment;
        sent += total;
    }
    struct fault_link_counters *up = rig_link(&rig, "a", "b"), *down = rig_link(&rig, "b", "a");
    struct fault_route_counters *route = &rig.counters->routes[rig.spec.slot];
    assert_int_equal(fault_counter_get(&up->units), datagrams);
    assert_int_equal(fault_counter_get(&up->bytes), sent);
    assert_int_equal(fault_counter_get(&down->units), datagrams - 1);
    assert_int_equal(fault_counter_get(&down->bytes), sent - 5);
    for (int direction = 0; direction < 2; direction++) {
        assert_int_equal(fault_counter_get(&route->received[direction]),
                         direction == 0 ? sent : sent - 5);
        assert_int_equal(fault_counter_get(&route->sent[direction]),
                         direction == 0 ? sent : sent - 5);
    }
    if (faulty)
        assert_int_equal(rig_touched(&rig, "slow up"), datagrams - 1);
    rig_close(&rig);
}

static void super_datagrams_cross_whole(void **state)
{
    (void)state;
    super_datagrams_cross("127.0.0.1", false);
    super_datagrams_cross("::1", false);
}

static void with_a_fault_they_are_taken_apart(void **state)
{
    (void)state;
    super_datagrams_cross("127.0.0.1", true);
    super_datagrams_cross("::1", true);
}

/* Sizes in any order, sent while the loop stands still, so that they are received as one batch. */
static void a_mixed_batch_keeps_sizes_and_order(void **state)
{
    (void)state;
    static const size_t sizes[] = {10, 10, 10, 4, 10,    0, 0,     7, 7, 900, 900, 899, 900, 1,
                                   1,  2,  2,  2, 65507, 3, 60000, 8, 8, 8,   8,   0,   8};
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
    for (int faulty = 0; faulty < 2; faulty++) {
        struct rig rig;
        unsigned char bytes[BYTES_MAX];
        rig_open(&rig, (struct rig_options){0});
        int large = 1 << 22;
        setsockopt(rig.listener, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large));
        setsockopt(rig.server, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large));
        if (faulty)
            latency(&rig, false);
        for (size_t i = 0; i < COUNT; i++) {
            memset(bytes, (int)i, sizes[i]);
            assert_int_equal(send(rig.client, bytes, sizes[i], 0), sizes[i]);
        }
        for (size_t i = 0; i < COUNT; i++) {
            ssize_t got = -1;
            await(&rig, (got = recv(rig.server, bytes, sizeof(bytes), MSG_DONTWAIT)) >= 0);
            assert_int_equal(got, sizes[i]);
            if (got > 0)
                assert_true(bytes[0] == i && bytes[got - 1] == i);
        }
        assert_int_equal(fault_counter_get(&rig_link(&rig, "a", "b")->units), COUNT);
        rig_close(&rig);
    }
}

static void a_cut_counts_what_is_inside(void **state)
{
    (void)state;
    struct rig rig;
    struct address session;
    unsigned char bytes[1000] = {0};
    rig_open(&rig, (struct rig_options){0});
    rig_greet(&rig, &session);
    rig_cut(&rig, true, true);
    send_segmented(rig.client, NULL, bytes, 1000, 90);
    await(&rig, rig_dropped(&rig, "a", "b", FAULT_CAUSE_CUT) == 12);
    send_segmented(rig.server, &session, bytes, 1000, 100);
    await(&rig, rig_dropped(&rig, "b", "a", FAULT_CAUSE_CUT) == 10);
    rig_close(&rig);
}

/* A socket that sends without checksums can't send several at once; the kernel says so. */
static void where_the_kernel_refuses_they_go_one_by_one(void **state)
{
    (void)state;
    struct rig rig;
    struct address session;
    unsigned char bytes[8000] = {0};
    int on = 1;
    rig_open(&rig, (struct rig_options){0});
    rig_greet(&rig, &session);
    assert_int_equal(setsockopt(rig.listener, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
    for (int i = 0; i < 2; i++) { /* and the second time it is known */
        number(bytes, sizeof(bytes), 1500);
        send_segmented(rig.server, &session, bytes, sizeof(bytes), 1500);
        expect_segments(&rig, rig.client, sizeof(bytes), 1500);
    }
    assert_int_equal(fault_counter_get(&rig_link(&rig, "b", "a")->units), 12);
    assert_int_equal(rig_dropped(&rig, "b", "a", FAULT_CAUSE_QUEUE), 0);
    rig_close(&rig);
}

/* What the kernel had no room for is counted, as soon as one arrives that it had room for. */
static void an_overflow_is_counted(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    struct rig rig;
    struct address session;
    char buffer[64];
    int small = 0;
    uint64_t received = 0;
    rig_open(&rig, (struct rig_options){0});
    rig_greet(&rig, &session);
    assert_int_equal(setsockopt(rig.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    for (int i = 0; i < COUNT; i++)
        send_text(rig.client, "x");
    rig_turn_for(&rig, NS_PER_MS);
    send_text(rig.client, "last");
    do {
        await(&rig, take(rig.server, buffer, sizeof(buffer), NULL));
        received++;
    } while (strcmp(buffer, "last") != 0);
    assert_in_range(received, 2, COUNT);
    assert_int_equal(rig_dropped(&rig, "a", "b", FAULT_CAUSE_QUEUE) + received, COUNT + 1);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(super_datagrams_cross_whole),
        cmocka_unit_test(with_a_fault_they_are_taken_apart),
        cmocka_unit_test(a_mixed_batch_keeps_sizes_and_order),
        cmocka_unit_test(a_cut_counts_what_is_inside),
        cmocka_unit_test(an_overflow_is_counted),
        cmocka_unit_test(where_the_kernel_refuses_they_go_one_by_one),
    };
    return cmocka_run_group_tests_name("proxy/datagram/batch", tests, NULL, NULL);
}
