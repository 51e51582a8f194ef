#include "tests/unit/proxy/stream/rig.h"

#include "proxy/stream/internal.h"

#define HOUR_NS (3600 * NS_PER_S)

static int count_free(const struct rig *rig)
{
    const struct stream_conduit *lists[] = {rig->plane->open_conduits, rig->plane->closed_conduits};
    int count = 0;
    for (int i = 0; i < 2; i++)
        for (const struct stream_conduit *conduit = lists[i]; conduit; conduit = conduit->next)
            count++;
    return count;
}

static int count_open(const struct rig *rig)
{
    int count = 0;
    for (size_t i = 0; i < rig->plane->conduit_count; i++)
        count += rig->plane->conduits[i].fds[0] >= 0;
    return count;
}

/* `total` bytes from client to server, in writes and reads of at most these sizes. */
static void cross(struct rig *rig, int client, int server, uint64_t total, size_t write_max,
                  size_t read_max)
{
    struct rig_stream up = {.id = 1, .total = total, .from = client, .to = server};
    uint64_t seed = 1, deadline_ns = monotonic_now_ns() + 3 * RIG_PATIENCE_NS;
    up.write_max = write_max;
    up.read_max = read_max;
    while (!up.finished) {
        rig_stream_step(&up, &seed, true);
        assert_int_equal(loop_turn(rig->loop, monotonic_now_ns() + NS_PER_MS / 5), 0);
        assert_true(monotonic_now_ns() < deadline_ns);
    }
}

static void close_pair(int client, int server)
{
    close(client);
    close(server);
}

static void large_reads_are_spliced(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    rig_open(&rig, 4, 8 << 20);
    rig_pair(&rig, &client, &server);
    cross(&rig, client, server, 16 << 20, 200000, 60000);
    assert_true(count_open(&rig) > 0);
    assert_int_equal(count_free(&rig), (int)rig.plane->conduit_count);
    close_pair(client, server);
    rig_close(&rig);
}

static void small_reads_are_not(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    rig_open(&rig, 4, 8 << 20);
    rig_pair(&rig, &client, &server);
    cross(&rig, client, server, 200000, 1000, 1000);
    assert_int_equal(count_open(&rig), 0);
    close_pair(client, server);
    rig_close(&rig);
}

static void without_conduits_bytes_are_copied(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    rig_open(&rig, 4, 8 << 20);
    rig.plane->closed_conduits = NULL;
    rig_latency(&rig, "short", NS_PER_MS);
    rig_pair(&rig, &client, &server);
    cross(&rig, client, server, 4 << 20, 200000, 200000);
    assert_int_equal(count_open(&rig), 0);
    close_pair(client, server);
    rig_close(&rig);
}

/* Pipes have what connections leave of the descriptors. */
static void pipes_are_descriptors_too(void **state)
{
    (void)state;
    struct rig rig;
    struct descriptors descriptors;
    int clients[2], servers[2];
    rig_open(&rig, 4, 8 << 20);
    rig.plane->descriptors = &descriptors;
    atomic_store(&descriptors.left, 3);
    rig_pair(&rig, &clients[0], &servers[0]);
    cross(&rig, clients[0], servers[0], 4 << 20, 200000, 200000);
    assert_int_equal(count_open(&rig), 0);
    assert_int_equal(atomic_load(&descriptors.left), 1);
    atomic_store(&descriptors.left, 100);
    rig.plane->conduits_refused_ns = 0;
    rig_pair(&rig, &clients[1], &servers[1]);
    cross(&rig, clients[1], servers[1], 4 << 20, 200000, 200000);
    assert_true(count_open(&rig) > 0);
    assert_int_equal(atomic_load(&descriptors.left), 98 - 2 * count_open(&rig));
    close_pair(clients[0], servers[0]);
    close_pair(clients[1], servers[1]);
    rig_close(&rig);
}

/* Writes until nothing more goes. */
static void fill(struct rig *rig, int client)
{
    static const char bytes[100000];
    for (int quiet = 0; quiet < 20;) {
        ssize_t sent = send(client, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
        quiet = sent > 0 ? 0 : quiet + 1;
        rig_turn(rig);
    }
}

static void what_is_held_is_bounded_and_discarded(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    struct rig_options options = {
        .connections_max = 4, .pool_bytes = 64 << 20, .flow_bytes_max = 16 << 20};
    rig_open_with(&rig, &options);
    rig_latency(&rig, "slow", HOUR_NS);
    rig_pair(&rig, &client, &server);
    fill(&rig, client);
    uint64_t held = rig.plane->conduit_bytes;
    assert_true(held > 1 << 20);
    assert_true(held <= 17 << 20); /* the flow's 16 MiB, and one read */
    assert_true(count_free(&rig) < (int)rig.plane->conduit_count);
    socket_close_reset(server);
    rig_await(&rig, count_free(&rig) == (int)rig.plane->conduit_count);
    assert_int_equal(rig.plane->conduit_bytes, 0);
    close(client);
    rig_remove_fault(&rig, "slow");
    rig_pair(&rig, &client, &server);
    cross(&rig, client, server, 4 << 20, 200000, 200000); /* nothing old is in them */
    close_pair(client, server);
    rig_close(&rig);
}

/* Each piece takes a slot of the pipe, which is then full with few bytes in it. */
static void many_small_pieces_cross(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    uint64_t sent = 0, received = 0;
    static unsigned char bytes[1 << 20];
    rig_open(&rig, 4, 8 << 20);
    rig_latency(&rig, "short", 5 * NS_PER_MS);
    rig_pair(&rig, &client, &server);
    socket_set_nodelay(client);
    while (received < 4 << 20) {
        for (int i = 0; i < 2000 && sent < 4 << 20; i++) {
            unsigned char piece[64];
            for (size_t k = 0; k < sizeof(piece); k++)
                piece[k] = rig_byte(1, sent + k);
            ssize_t done = send(client, piece, sizeof(piece), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (done <= 0)
                break;
            sent += (uint64_t)done;
        }
        rig_turn(&rig);
        ssize_t got = recv(server, bytes, sizeof(bytes), MSG_DONTWAIT);
        for (ssize_t i = 0; i < got; i++)
            assert_int_equal(bytes[i], rig_byte(1, received++));
    }
    close_pair(client, server);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_reads_are_spliced),
        cmocka_unit_test(small_reads_are_not),
        cmocka_unit_test(without_conduits_bytes_are_copied),
        cmocka_unit_test(pipes_are_descriptors_too),
        cmocka_unit_test(what_is_held_is_bounded_and_discarded),
        cmocka_unit_test(many_small_pieces_cross),
    };
    return cmocka_run_group_tests_name("proxy/stream conduit", tests, NULL, NULL);
}
