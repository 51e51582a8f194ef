#include "tests/unit/proxy/stream/rig.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "proxy/stream/internal.h"

#define HOUR_NS (3600 * NS_PER_S)

static int count_free(const struct rig *rig)
{
    const struct stream_conduit *lists[] = {rig->plane->newest_conduit,
                                            rig->plane->closed_conduits};
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

/* The pipe of a conduit, and of no other one; 0: it has none. */
static uint64_t pipe_of(const struct stream_conduit *conduit)
{
    struct stat status;
    if (conduit->fds[0] < 0)
        return 0;
    assert_int_equal(fstat(conduit->fds[0], &status), 0);
    return status.st_ino;
}

/* `total` bytes from client to server, in writes and reads of at most these sizes; like none that
 * crossed before. How many pipes were open at most. */
static int cross(struct rig *rig, int client, int server, uint64_t total, size_t write_max,
                 size_t read_max)
{
    static uint64_t crossings;
    struct rig_stream up = {.id = ++crossings, .total = total, .from = client, .to = server};
    uint64_t seed = 1, deadline_ns = monotonic_now_ns() + 3 * RIG_PATIENCE_NS;
    int most = 0;
    up.write_max = write_max;
    up.read_max = read_max;
    while (!up.finished) {
        rig_stream_step(&up, &seed, true);
        assert_int_equal(loop_turn(rig->loop, monotonic_now_ns() + NS_PER_MS / 5), 0);
        int open = count_open(rig);
        most = open > most ? open : most;
        assert_true(monotonic_now_ns() < deadline_ns);
    }
    return most;
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
    assert_true(cross(&rig, client, server, 16 << 20, 200000, 60000) > 0);
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
    assert_int_equal(cross(&rig, client, server, 200000, 1000, 1000), 0);
    close_pair(client, server);
    rig_close(&rig);
}

/* So much, in one segment. */
static void pass(struct rig *rig, int client, int server, size_t length)
{
    static char bytes[60000];
    assert_int_equal(send(client, bytes, length, MSG_NOSIGNAL), length);
    rig_await(rig, socket_pending_bytes(server) == length);
    assert_int_equal(recv(server, bytes, length, MSG_DONTWAIT), length);
}

static void a_short_read_is_not_the_end_of_splicing(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    rig_open(&rig, 4, 8 << 20);
    rig_latency(&rig, "short", NS_PER_MS);
    rig_pair(&rig, &client, &server);
    const struct stream_flow *up = &rig.plane->live->flows[STREAM_UP];
    pass(&rig, client, server, 60000);
    assert_int_equal(up->bulk_reads, STREAM_BULK_READS);
    assert_int_equal(count_open(&rig), 0);
    pass(&rig, client, server, 1);
    assert_int_equal(count_open(&rig), 1);
    pass(&rig, client, server, 1);
    assert_int_equal(up->bulk_reads, 0);
    pass(&rig, client, server, 60000);
    assert_int_equal(up->bulk_reads, STREAM_BULK_READS);
    close_pair(client, server);
    rig_close(&rig);
}

/* splice would stop at its mark, for ever. The byte itself is no part of the stream. */
static void urgent_data_is_no_end(void **state)
{
    (void)state;
    for (int piped = 0; piped < 2; piped++) {
        struct rig rig;
        int client, server;
        char bytes[3] = "";
        rig_open(&rig, 4, 8 << 20);
        if (piped)
            rig_latency(&rig, "short", NS_PER_MS);
        rig_pair(&rig, &client, &server);
        pass(&rig, client, server, 60000);
        assert_int_equal(rig.plane->live->flows[STREAM_UP].bulk_reads, STREAM_BULK_READS);
        assert_int_equal(send(client, "x", 1, MSG_OOB | MSG_NOSIGNAL), 1);
        assert_int_equal(send(client, "yz", 2, MSG_NOSIGNAL), 2);
        shutdown(client, SHUT_WR);
        rig_await(&rig, recv(server, bytes, 2, MSG_DONTWAIT | MSG_PEEK) == 2);
        assert_int_equal(recv(server, bytes, 3, MSG_DONTWAIT), 2);
        assert_string_equal(bytes, "yz");
        rig_await(&rig, rig_has_end(server));
        close_pair(client, server);
        rig_close(&rig);
    }
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
    assert_int_equal(cross(&rig, client, server, 4 << 20, 200000, 200000), 0);
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
    assert_int_equal(cross(&rig, clients[0], servers[0], 4 << 20, 200000, 200000), 0);
    assert_int_equal(atomic_load(&descriptors.left), 1);
    atomic_store(&descriptors.left, 100);
    rig.plane->conduits_refused_ns = 0;
    rig_pair(&rig, &clients[1], &servers[1]);
    assert_true(cross(&rig, clients[1], servers[1], 4 << 20, 200000, 200000) > 0);
    assert_int_equal(atomic_load(&descriptors.left), 98 - 2 * count_open(&rig));
    close_pair(clients[0], servers[0]);
    close_pair(clients[1], servers[1]);
    rig_close(&rig);
}

/* Writes until nothing more goes. How much has gone. */
static uint64_t fill(struct rig *rig, int client)
{
    static const char bytes[100000];
    uint64_t total = 0;
    for (int quiet = 0; quiet < 20;) {
        ssize_t sent = send(client, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
        total += sent > 0 ? (uint64_t)sent : 0;
        quiet = sent > 0 ? 0 : quiet + 1;
        rig_turn(rig);
    }
    return total;
}

/* Reads so much. */
static void drain(struct rig *rig, int server, uint64_t left)
{
    static char bytes[1 << 20];
    uint64_t deadline_ns = monotonic_now_ns() + 3 * RIG_PATIENCE_NS;
    while (left > 0) {
        ssize_t got = recv(server, bytes, sizeof(bytes), MSG_DONTWAIT);
        left -= got > 0 ? (uint64_t)got : 0;
        rig_turn(rig);
        assert_true(monotonic_now_ns() < deadline_ns);
    }
}

/* As many as there can be, or some megabytes need; empty, and free until they are needed. */
static void open_pipes(struct rig *rig, int client, int server)
{
    rig_latency(rig, "slow", HOUR_NS);
    uint64_t left = fill(rig, client);
    rig_remove_fault(rig, "slow");
    drain(rig, server, left);
    for (struct stream_conduit *conduit = rig->plane->newest_conduit; conduit;
         conduit = conduit->next)
        conduit->freed_ns += HOUR_NS; /* however slow the machine is */
    assert_true(count_open(rig) > 1);
    assert_int_equal(count_free(rig), (int)rig->plane->conduit_count);
}

static void empty_pipes_are_used_again(void **state)
{
    (void)state;
    struct rig rig;
    int clients[2], servers[2];
    uint64_t pipes[STREAM_CONDUITS_MAX];
    rig_open(&rig, 4, 16 << 20);
    rig_pair(&rig, &clients[0], &servers[0]);
    open_pipes(&rig, clients[0], servers[0]);
    const struct stream_conduit *newest = rig.plane->newest_conduit;
    uint64_t freed_ns = newest->freed_ns;
    for (size_t i = 0; i < rig.plane->conduit_count; i++)
        pipes[i] = pipe_of(&rig.plane->conduits[i]);
    rig_pair(&rig, &clients[1], &servers[1]);
    cross(&rig, clients[1], servers[1], 4 << 20, 200000, 200000);
    assert_true(newest->freed_ns != freed_ns); /* it has been taken */
    for (size_t i = 0; i < rig.plane->conduit_count; i++)
        assert_true(pipes[i] == 0 || pipe_of(&rig.plane->conduits[i]) == pipes[i]);
    close_pair(clients[0], servers[0]);
    close_pair(clients[1], servers[1]);
    rig_close(&rig);
}

static void idle_pipes_are_closed_after_a_second(void **state)
{
    (void)state;
    struct rig rig;
    struct descriptors descriptors;
    int client, server;
    rig_open(&rig, 4, 16 << 20);
    rig.plane->descriptors = &descriptors;
    atomic_store(&descriptors.left, 1000);
    rig_latency(&rig, "short", 10 * NS_PER_MS);
    rig_pair(&rig, &client, &server);
    uint64_t begun_ns = monotonic_now_ns();
    assert_true(cross(&rig, client, server, 4 << 20, 200000, 200000) > 0);
    rig_await(&rig, count_open(&rig) == 0);
    assert_true(monotonic_now_ns() - begun_ns >= NS_PER_S);
    assert_null(rig.plane->conduits_timer.loop); /* nothing wakes an idle worker */
    assert_int_equal(count_free(&rig), (int)rig.plane->conduit_count);
    close_pair(client, server);
    rig_await(&rig, atomic_load(&descriptors.left) == 1000);
    rig_pair(&rig, &client, &server);
    assert_true(cross(&rig, client, server, 4 << 20, 200000, 200000) > 0);
    close_pair(client, server);
    rig_close(&rig);
}

/* A connection does not wait for descriptors that pipes have for nothing. */
static void free_pipes_make_room_for_connections(void **state)
{
    (void)state;
    struct rig rig;
    struct descriptors descriptors;
    int clients[2], servers[2];
    rig_open(&rig, 4, 16 << 20);
    rig.plane->descriptors = &descriptors;
    atomic_store(&descriptors.left, 8);
    rig_pair(&rig, &clients[0], &servers[0]);
    open_pipes(&rig, clients[0], servers[0]);
    assert_int_equal(count_open(&rig), 3); /* those that there were descriptors for */
    assert_int_equal(atomic_load(&descriptors.left), 0);
    rig_pair(&rig, &clients[1], &servers[1]);
    assert_null(rig.plane->accept_timer.loop);
    assert_in_range(count_open(&rig), 1, 2); /* another client might have come */
    assert_int_equal(atomic_load(&descriptors.left), 4 - 2 * count_open(&rig));
    close_pair(clients[0], servers[0]);
    close_pair(clients[1], servers[1]);
    rig_await(&rig, stream_plane_open(rig.plane) == 0);
    assert_int_equal(atomic_load(&descriptors.left), 8 - 2 * count_open(&rig));
    rig_close(&rig);
}

/* Takes all descriptors below `limit` but `spare`. How many it has put into `taken`. */
static int take_files(int *taken, int limit, int spare)
{
    int count = 0;
    while (count < limit && (taken[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        count++;
    assert_int_equal(errno, EMFILE);
    for (; spare > 0; spare--)
        close(taken[--count]);
    return count;
}

/* The same when it is the kernel that has none left: at the accept, or at the dial. */
static void free_pipes_make_room_for_sockets(void **state)
{
    (void)state;
    enum { LIMIT = 512 };
    for (int spare = 0; spare < 2; spare++) {
        struct rig rig;
        struct rlimit limit, low;
        int client, server, other, other_server, taken[LIMIT];
        rig_open(&rig, 4, 16 << 20);
        rig_pair(&rig, &client, &server);
        open_pipes(&rig, client, server);
        int open = count_open(&rig);
        other = rig_connect(&rig);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        low = (struct rlimit){.rlim_cur = LIMIT, .rlim_max = limit.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        int count = take_files(taken, LIMIT, spare);
        rig_await(&rig,
                  stream_plane_total(rig.plane) == 2 && rig.plane->live->state == STREAM_OPEN);
        assert_null(rig.plane->accept_timer.loop);
        assert_true(count_open(&rig) < open);
        while (count > 0)
            close(taken[--count]);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        rig_await(&rig, rig_try_accept(&rig, &other_server));
        close_pair(client, server);
        close_pair(other, other_server);
        rig_close(&rig);
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

/* Of a connection that ends with bytes in pipes: held by a fault, or partly with a server that does
 * not read. They come into no other connection's. */
static void what_is_left_in_a_pipe_goes_with_it(void **state)
{
    (void)state;
    for (int held = 0; held < 2; held++) {
        struct rig rig;
        int client, server;
        uint64_t pipes[STREAM_CONDUITS_MAX];
        rig_open(&rig, 4, 16 << 20);
        if (held)
            rig_latency(&rig, "slow", HOUR_NS);
        rig_pair(&rig, &client, &server);
        fill(&rig, client);
        assert_true(rig.plane->conduit_bytes > 0);
        for (size_t i = 0; i < rig.plane->conduit_count; i++)
            pipes[i] = rig.plane->conduits[i].bytes > 0 ? pipe_of(&rig.plane->conduits[i]) : 0;
        socket_close_reset(server);
        rig_await(&rig, stream_plane_open(rig.plane) == 0 || rig.plane->conduit_bytes == 0);
        for (size_t i = 0; i < rig.plane->conduit_count; i++)
            assert_true(pipes[i] == 0 || rig.plane->conduits[i].fds[0] < 0);
        close(client);
        if (held)
            rig_remove_fault(&rig, "slow");
        rig_pair(&rig, &client, &server);
        cross(&rig, client, server, 4 << 20, 200000, 200000);
        close_pair(client, server);
        rig_close(&rig);
    }
}

/* Whoever has miscounted. */
static void a_pipe_with_a_byte_too_many_is_not_used_again(void **state)
{
    (void)state;
    struct rig rig;
    int client, server;
    rig_open(&rig, 4, 16 << 20);
    rig_latency(&rig, "slow", HOUR_NS);
    rig_pair(&rig, &client, &server);
    uint64_t left = fill(&rig, client);
    struct stream_conduit *odd = rig.plane->conduits;
    while (odd->bytes == 0 || odd == rig.plane->live->flows[STREAM_UP].conduit)
        assert_true(++odd < rig.plane->conduits + rig.plane->conduit_count);
    assert_int_equal(write(odd->fds[1], "x", 1), 1);
    rig_remove_fault(&rig, "slow");
    drain(&rig, server, left);
    assert_int_equal(odd->bytes, 0);
    assert_int_equal(odd->fds[0], -1);
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
        cmocka_unit_test(a_short_read_is_not_the_end_of_splicing),
        cmocka_unit_test(urgent_data_is_no_end),
        cmocka_unit_test(without_conduits_bytes_are_copied),
        cmocka_unit_test(pipes_are_descriptors_too),
        cmocka_unit_test(empty_pipes_are_used_again),
        cmocka_unit_test(idle_pipes_are_closed_after_a_second),
        cmocka_unit_test(free_pipes_make_room_for_connections),
        cmocka_unit_test(free_pipes_make_room_for_sockets),
        cmocka_unit_test(what_is_left_in_a_pipe_goes_with_it),
        cmocka_unit_test(a_pipe_with_a_byte_too_many_is_not_used_again),
        cmocka_unit_test(what_is_held_is_bounded_and_discarded),
        cmocka_unit_test(many_small_pieces_cross),
    };
    return cmocka_run_group_tests_name("proxy/stream conduit", tests, NULL, NULL);
}
