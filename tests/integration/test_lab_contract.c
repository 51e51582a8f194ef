/* The first line of the contract, for labs: once the API has answered a cut, nothing that a node
 * sends afterwards arrives, and a change to many links is one step; hundreds of times, under
 * traffic.
 *
 * Node n1 sends numbered datagrams in turn to n2 and to n3, as fast as it is told to. Sender and
 * receivers write what they do into one file that all of them, and the test, have mapped: when each
 * datagram was begun and done by one clock, and whether it came. So nothing depends on how fast the
 * machine is: a datagram is judged only when all of its sending lies between an answer and the next
 * request. */
#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "tests/integration/severd.h"
#include "tests/lib/child.h"
#include "tests/lib/files.h"

enum { ROUNDS = 200, RECEIVERS = 2, DATAGRAMS_MAX = 1 << 20, PORT = 4000, PAUSE_NS = 100000 };

struct datagram {
    _Atomic uint64_t begun_ns, done_ns;
    _Atomic bool came;
};

struct board {
    _Atomic uint32_t sent;      /* datagrams 0 .. sent - 1 are done; number k goes to k % 2 */
    _Atomic uint32_t overflown; /* what receivers' sockets had no room for */
    atomic_bool stop;
    struct datagram datagrams[DATAGRAMS_MAX];
};

/* --- in the nodes --- */

static struct board *map_board(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof(struct board)), 0);
    void *board = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(board, MAP_FAILED);
    close(fd);
    return board;
}

static int role_send(struct board *board)
{
    struct sockaddr_in to[RECEIVERS];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (unsigned i = 0; i < RECEIVERS; i++) {
        char host[16];
        snprintf(host, sizeof(host), "10.77.0.%u", i + 2);
        to[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PORT)};
        inet_pton(AF_INET, host, &to[i].sin_addr);
    }
    for (uint32_t number = 0; number < DATAGRAMS_MAX && !atomic_load(&board->stop); number++) {
        struct datagram *datagram = &board->datagrams[number];
        atomic_store(&datagram->begun_ns, monotonic_now_ns());
        if (sendto(fd, &number, sizeof(number), 0, (struct sockaddr *)&to[number % RECEIVERS],
                   sizeof(to[0])) != sizeof(number))
            return 1;
        atomic_store(&datagram->done_ns, monotonic_now_ns());
        atomic_store(&board->sent, number + 1);
        monotonic_sleep_until(monotonic_now_ns() + PAUSE_NS);
    }
    return 0;
}

static int role_receive(struct board *board)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
    uint32_t overflown = 0;
    if (setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on)) ||
        bind(fd, (struct sockaddr *)&own, sizeof(own)))
        return 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        _Alignas(struct cmsghdr) char control[64];
        uint32_t number, total;
        struct iovec vector = {.iov_base = &number, .iov_len = sizeof(number)};
        struct msghdr message = {.msg_iov = &vector,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof(control)};
        if (recvmsg(fd, &message, 0) != sizeof(number) || number >= DATAGRAMS_MAX)
            return 1;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header && header->cmsg_type == SO_RXQ_OVFL) {
            memcpy(&total, CMSG_DATA(header), sizeof(total));
            atomic_fetch_add(&board->overflown, total - overflown);
            overflown = total;
        }
        atomic_store(&board->datagrams[number].came, true);
    }
}

/* --- the scene --- */

struct scene {
    struct severd severd;
    char path[128], severctl[PATH_MAX], self[PATH_MAX], url_setting[128];
    struct board *board;
    struct child sender, receivers[RECEIVERS];
};

static void start_role(struct scene *scene, struct child *child, const char *node, const char *role)
{
    const char *words[] = {scene->severctl, "lab", "exec",      node, "--",
                           scene->self,     role,  scene->path, NULL};
    const char *environment[] = {scene->url_setting, "ASAN_OPTIONS=verify_asan_link_order=0", NULL};
    child_start(child, words, environment);
}

static void scene_open(struct scene *scene)
{
    memset(scene, 0, sizeof(*scene));
    files_find_built("bin/severctl", scene->severctl, sizeof(scene->severctl));
    assert_true(readlink("/proc/self/exe", scene->self, sizeof(scene->self) - 1) > 0);
    severd_start(&scene->severd, "2", NULL);
    snprintf(scene->url_setting, sizeof(scene->url_setting), "SEVER_URL=%s", scene->severd.url);
    snprintf(scene->path, sizeof(scene->path), "%s/board", scene->severd.directory);
    scene->board = map_board(scene->path);
    severd_tell(&scene->severd, "PUT", "/v1/lab",
                json_pack("{s:[s,s,s]}", "nodes", "n1", "n2", "n3"));
    for (unsigned i = 0; i < RECEIVERS; i++) {
        char line[16];
        start_role(scene, &scene->receivers[i], i ? "n3" : "n2", "receive");
        assert_true(child_read_line(&scene->receivers[i], line, sizeof(line)));
    }
    start_role(scene, &scene->sender, "n1", "send");
}

static void scene_close(struct scene *scene)
{
    for (unsigned i = 0; i < RECEIVERS; i++)
        child_kill(&scene->receivers[i]);
    munmap(scene->board, sizeof(*scene->board));
    unlink(scene->path);
    severd_tell(&scene->severd, "DELETE", "/v1/lab", NULL);
    severd_stop(&scene->severd);
}

#define await_board(condition)                                                                     \
    do {                                                                                           \
        uint64_t deadline_ns = monotonic_now_ns() + 30 * NS_PER_S;                                 \
        while (!(condition)) {                                                                     \
            if (monotonic_now_ns() > deadline_ns)                                                  \
                fail_msg("waited in vain for: %s", #condition);                                    \
            monotonic_sleep_until(monotonic_now_ns() + 200 * NS_PER_US);                           \
        }                                                                                          \
    } while (0)

/* That many more have been sent, by sends that were begun from now on. */
static void await_sent(struct scene *scene, uint32_t more)
{
    uint32_t now = atomic_load(&scene->board->sent);
    await_board(atomic_load(&scene->board->sent) > now + more);
}

static bool has_come(const struct scene *scene, uint32_t from, unsigned receiver)
{
    uint32_t sent = atomic_load(&scene->board->sent);
    for (uint32_t number = from; number < sent; number++)
        if (number % RECEIVERS == receiver && atomic_load(&scene->board->datagrams[number].came))
            return true;
    return false;
}

/* Both links are open, as the receivers see it. */
static void await_open(struct scene *scene)
{
    uint32_t from = atomic_load(&scene->board->sent) + 1; /* one may be under way */
    for (unsigned i = 0; i < RECEIVERS; i++)
        await_board(has_come(scene, from, i));
}

struct round {
    uint64_t answered_ns, healing_ns; /* the cut's answer, and the heal's request */
};

/* A pipe that is full would stop severd. */
static void drain_log(const struct severd *severd)
{
    char ignored[4096];
    struct pollfd readable = {.fd = severd->log_fd, .events = POLLIN};
    while (poll(&readable, 1, 0) > 0 && read(severd->log_fd, ignored, sizeof(ignored)) > 0)
        ;
}

static void play(struct scene *scene, struct round *round)
{
    drain_log(&scene->severd);
    await_open(scene);
    severd_tell(&scene->severd, "POST", "/v1/partitions",
                json_pack("{s:s,s:[s,s]}", "name", "p", "links", "n1->n2", "n1->n3"));
    round->answered_ns = monotonic_now_ns();
    await_sent(scene, 2 * RECEIVERS);
    round->healing_ns = monotonic_now_ns();
    severd_tell(&scene->severd, "DELETE", "/v1/partitions/p", NULL);
}

/* Datagrams of which all lies within the cut. Returns how many there are. */
static unsigned judge(const struct board *board, const struct round *round, uint32_t *number)
{
    unsigned judged = 0;
    uint32_t sent = atomic_load(&board->sent);
    for (; *number < sent; ++*number) {
        const struct datagram *datagram = &board->datagrams[*number];
        if (datagram->begun_ns > round->healing_ns)
            break;
        if (datagram->begun_ns < round->answered_ns || datagram->done_ns > round->healing_ns)
            continue;
        if (datagram->came)
            fail_msg("datagram %u was sent %llu ns after the cut's answer, and came", *number,
                     (unsigned long long)(datagram->begun_ns - round->answered_ns));
        judged++;
    }
    return judged;
}

/* One sender's datagrams cross one behind the other, whichever link they are for: where both links
 * change in one step there is one datagram at which it does. So what came is as often interrupted
 * as there were cuts. */
static unsigned count_interruptions(const struct board *board)
{
    unsigned count = 0;
    uint32_t sent = atomic_load(&board->sent);
    for (uint32_t number = 1; number < sent; number++)
        count += board->datagrams[number - 1].came && !board->datagrams[number].came;
    return count;
}

static void nothing_crosses_a_cut_that_was_answered(void **state)
{
    static struct scene scene;
    static struct round rounds[ROUNDS];
    uint32_t number = 0;
    (void)state;
    scene_open(&scene);
    for (unsigned i = 0; i < ROUNDS; i++)
        play(&scene, &rounds[i]);
    await_open(&scene);
    atomic_store(&scene.board->stop, true);
    assert_int_equal(child_finish(&scene.sender, NULL), 0);
    uint32_t sent = atomic_load(&scene.board->sent);
    for (uint32_t i = sent - RECEIVERS; i < sent; i++) /* the last ones have come */
        await_board(atomic_load(&scene.board->datagrams[i].came));
    for (unsigned i = 0; i < ROUNDS; i++)
        assert_true(judge(scene.board, &rounds[i], &number) >= RECEIVERS);
    if (atomic_load(&scene.board->overflown) == 0)
        assert_int_equal(count_interruptions(scene.board), ROUNDS);
    else
        print_message("the machine is too busy to tell one step from two\n");
    scene_close(&scene);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_crosses_a_cut_that_was_answered),
    };
    if (argc == 3)
        return strcmp(argv[1], "send") == 0 ? role_send(map_board(argv[2]))
                                            : role_receive(map_board(argv[2]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
