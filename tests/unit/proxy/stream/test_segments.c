/* How large the segments of connections are that a loss may meet. */
#include "tests/unit/proxy/stream/rig.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "proxy/io/filter.h"

enum { LARGE = 16384 }; /* loopback's are larger, and Ethernet's are not */

static void open_rig(struct rig *rig, bool filters)
{
    struct rig_options options = {
        .connections_max = 16, .pool_bytes = 64 << 20, .filters = filters};
    if (filter_allowed() < 0) {
        print_message("socket filters are refused here: skipped\n");
        skip();
    }
    rig_open_with(rig, &options);
}

static void set_loss(struct rig *rig, const char *from, const char *to, uint32_t ppb,
                     uint64_t after_ns)
{
    struct ruleset_fault fault = {.name = "loss", .type = RULESET_LOSS, .after_ns = after_ns};
    fault.loss.probability_ppb = ppb;
    snprintf(fault.link.from, sizeof(fault.link.from), "%s", from);
    snprintf(fault.link.to, sizeof(fault.link.to), "%s", to);
    ruleset_add_fault(&rig->ruleset, &fault);
    rig_apply(rig);
}

/* Of what a new connection's client and upstream send. */
static void expect_segments(struct rig *rig, bool small)
{
    int client, server;
    rig_pair(rig, &client, &server);
    int fds[] = {client, server};
    for (int i = 0; i < 2; i++) {
        if (small)
            assert_int_equal(socket_segment_bytes(fds[i]), FILTER_SEGMENT_DEFAULT);
        else
            assert_true(socket_segment_bytes(fds[i]) > LARGE);
        close(fds[i]);
    }
}

/* Either way, and also while it waits for its time. */
static void segments_are_small_while_a_loss_may_come(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct rig rig;
        open_rig(&rig, true);
        expect_segments(&rig, false);
        set_loss(&rig, i == 1 ? "b" : "a", i == 1 ? "a" : "b", 1, i == 2 ? 3600 * NS_PER_S : 0);
        expect_segments(&rig, true);
        rig_remove_fault(&rig, "loss");
        expect_segments(&rig, false);
        rig_close(&rig);
    }
}

/* The kernel forgets what a listener has announced when that refuses. */
static void a_listener_that_refused_announces_again(void **state)
{
    (void)state;
    struct rig rig;
    struct ruleset_fault reject = rig_fault("reject", RULESET_REJECT);
    reject.reject.probability_ppb = RANDOM_PPB_ONE;
    open_rig(&rig, true);
    set_loss(&rig, "a", "b", 1, 0);
    for (int i = 0; i < 2; i++) {
        ruleset_add_fault(&rig.ruleset, &reject);
        rig_apply(&rig);
        assert_int_equal(fault_counter_get(&rig_route(&rig)->refusing), 1);
        if (i == 1)
            rig_remove_fault(&rig, "loss");
        rig_remove_fault(&rig, "reject");
        expect_segments(&rig, i == 0);
    }
    rig_close(&rig);
}

static void a_loss_elsewhere_changes_nothing(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, true);
    rig_add_node(&rig, "c", NULL);
    set_loss(&rig, "c", "b", 1, 0);
    expect_segments(&rig, false);
    rig_close(&rig);
}

/* The listener can't tell before the handshake who comes. */
static void a_loss_of_one_source_counts_for_all(void **state)
{
    (void)state;
    struct rig rig;
    struct route_source source = {0};
    open_rig(&rig, true);
    rig_add_node(&rig, "c", "127.0.0.7");
    ruleset_find_route(&rig.ruleset, "r")->from[0] = '\0';
    assert_int_equal(address_parse_host("127.0.0.7", &source.host, NULL), 0);
    rig.spec.from_peer = true;
    rig.spec.from = ROUTE_NO_NODE;
    rig.spec.serial++;
    rig.table.sources = &source;
    rig.table.source_count = 1;
    rig.table.sources_serial++;
    rig_apply(&rig);
    source.node = fault_plan_node_slot(rig.plan, "c");
    expect_segments(&rig, false);
    set_loss(&rig, "c", "b", 1, 0);
    expect_segments(&rig, true);
    rig_close(&rig);
}

/* Where nothing can be lost, nothing is paid for it. */
static void without_filters_segments_stay_large(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, false);
    set_loss(&rig, "a", "b", 1, 0);
    expect_segments(&rig, false);
    rig_close(&rig);
}

/* Loopback's large segments are lost one by one: drawn for as 45 of Ethernet each, nine of ten
 * would be, and these bytes would take minutes. */
static void a_stream_that_was_there_goes_on_under_loss(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct rig rig;
        int client, server;
        uint64_t seed = 7;
        open_rig(&rig, true);
        rig_pair(&rig, &client, &server);
        set_loss(&rig, way == 0 ? "a" : "b", way == 0 ? "b" : "a", 50000000, 0);
        struct rig_stream stream = {.id = 3,
                                    .total = 16 << 20,
                                    .from = way == 0 ? client : server,
                                    .to = way == 0 ? server : client,
                                    .write_max = 256 << 10,
                                    .read_max = 256 << 10};
        rig_await(&rig, (rig_stream_step(&stream, &seed, true), stream.finished));
        struct tcp_info info = {0};
        socklen_t length = sizeof(info);
        assert_int_equal(getsockopt(stream.from, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
        assert_true(info.tcpi_snd_mss > LARGE);
        assert_true(info.tcpi_total_retrans > 0);
        close(client);
        close(server);
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_small_while_a_loss_may_come),
        cmocka_unit_test(a_listener_that_refused_announces_again),
        cmocka_unit_test(a_loss_elsewhere_changes_nothing),
        cmocka_unit_test(a_loss_of_one_source_counts_for_all),
        cmocka_unit_test(without_filters_segments_stay_large),
        cmocka_unit_test(a_stream_that_was_there_goes_on_under_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
