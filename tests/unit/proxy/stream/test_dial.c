/* Plans that change while an upstream is looked up or dialled, and dials that fail. */
#include "tests/unit/proxy/stream/rig.h"

#include "proxy/io/filter.h"

static void open_named(struct rig *rig, const char *name)
{
    struct rig_options options = {.connections_max = 4, .pool_bytes = 8 << 20, .names = true};
    rig_open_with(rig, &options);
    rig->spec.upstream = (struct address){0};
    rig->spec.upstream_name = name;
    rig->spec.upstream_port = address_port(&rig->upstream_address);
    rig->spec.serial++;
    rig_apply(rig);
}

/* The text of the name belongs to the table of routes, and goes with it. */
static void a_look_up_outlives_its_table(void **state)
{
    (void)state;
    struct rig rig;
    char before[] = "localhost";
    int server;
    open_named(&rig, before);
    int client = rig_connect(&rig);
    rig_await(&rig, stream_plane_total(rig.plane) == 1); /* it is answered in a later turn */
    rig.spec.upstream_name = "localhost";
    rig_apply(&rig);
    memset(before, 'x', sizeof(before) - 1);
    rig_await(&rig, rig_try_accept(&rig, &server));
    rig_close_ends(&rig, client, server);
}

static void a_cut_puts_off_a_look_up(void **state)
{
    (void)state;
    struct rig rig;
    int server;
    open_named(&rig, "localhost");
    int client = rig_connect(&rig);
    rig_await(&rig, stream_plane_total(rig.plane) == 1);
    rig_cut(&rig, "cut", true, false);
    rig_turn_for(&rig, 200 * NS_PER_MS);
    assert_false(rig_try_accept(&rig, &server));
    rig_heal(&rig, "cut");
    rig_await(&rig, rig_try_accept(&rig, &server));
    rig_close_ends(&rig, client, server);
}

/* The upstream gets no SYN for now; then the link is cut. */
static int dial_a_silent_upstream(struct rig *rig)
{
    struct rig_options options = {.connections_max = 4, .pool_bytes = 8 << 20};
    struct filter_spec spec = {.cut = true};
    struct filter_program program;
    if (filter_allowed() < 0) {
        print_message("socket filters are refused here: skipped\n");
        skip();
    }
    rig_open_with(rig, &options);
    filter_compile(&spec, &program);
    assert_int_equal(filter_attach(rig->upstream, &program), 0);
    filter_free(&program);
    int client = rig_connect(rig);
    rig_await(rig, stream_plane_total(rig->plane) == 1);
    rig_cut(rig, "cut", true, false);
    assert_int_equal(filter_detach(rig->upstream), 0);
    return client;
}

/* TCP would send the SYN again after a second. */
static void a_cut_puts_off_a_dial(void **state)
{
    (void)state;
    struct rig rig;
    int server, client = dial_a_silent_upstream(&rig);
    rig_turn_for(&rig, 1500 * NS_PER_MS);
    assert_false(rig_try_accept(&rig, &server));
    rig_heal(&rig, "cut");
    rig_await(&rig, rig_try_accept(&rig, &server));
    assert_int_equal(send(client, "c", 1, 0), 1);
    rig_await(&rig, rig_has_bytes(server, 1));
    rig_close_ends(&rig, client, server);
}

static void a_refusal_waits_for_the_heal(void **state)
{
    (void)state;
    struct rig rig;
    int client = dial_a_silent_upstream(&rig);
    rig_refuse(&rig);
    rig_turn_for(&rig, 1500 * NS_PER_MS);
    assert_true(rig_is_silent(client));
    rig_heal(&rig, "cut");
    rig_await(&rig, rig_has_reset(client));
    close(client);
    rig_close(&rig);
}

/* Elsewhere it is reset: test_relay. */
static void a_refused_upstream_closes_the_client_where_the_route_says_so(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 4, 8 << 20);
    rig.spec.close_unreached = true;
    rig.spec.serial++;
    rig_apply(&rig);
    rig_refuse(&rig);
    int client = rig_connect(&rig);
    rig_await(&rig, rig_has_end(client));
    close(client);
    rig_close(&rig);
}

/* Before anybody has seen that it answered. */
static void an_upstream_that_resets_at_once_has_answered(void **state)
{
    (void)state;
    struct rig rig;
    int server;
    char bytes[2];
    struct linger linger = {.l_onoff = 1};
    rig_open(&rig, 4, 8 << 20);
    rig.spec.close_unreached = true;
    rig.spec.serial++;
    rig_apply(&rig);
    int client = rig_connect(&rig);
    rig_await(&rig, rig_try_accept(&rig, &server));
    assert_int_equal(send(server, "b", 1, 0), 1);
    assert_int_equal(setsockopt(server, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(server);
    rig_await(&rig, rig_has_bytes(client, 1));
    assert_int_equal(recv(client, bytes, sizeof(bytes), 0), 1);
    rig_await(&rig, rig_has_reset(client));
    assert_int_equal(fault_counter_get(&rig_link(&rig, "a", "b")->refused), 0);
    close(client);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_look_up_outlives_its_table),
        cmocka_unit_test(a_cut_puts_off_a_look_up),
        cmocka_unit_test(a_cut_puts_off_a_dial),
        cmocka_unit_test(a_refusal_waits_for_the_heal),
        cmocka_unit_test(a_refused_upstream_closes_the_client_where_the_route_says_so),
        cmocka_unit_test(an_upstream_that_resets_at_once_has_answered),
    };
    return cmocka_run_group_tests_name("proxy/stream dial", tests, NULL, NULL);
}
