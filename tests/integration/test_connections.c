/* Thousands of connections that are opened, half-closed, reset and left at random, through a severd
 * whose rules change all the time. Whatever happens: what a peer reads is what the other one wrote,
 * as far as it goes, and all of it where nothing ends connections; each byte that severd has
 * received it has sent or dropped; in the end it holds no connection, no buffer and no descriptor.
 *
 * Three routes, for three kinds of faults: "steady" (they only delay, a cut included), "cutting"
 * (they end connections), "corrupting". `make soak-connections` has 10,000 connections, 4,000 at
 * once; by itself the test has fewer. `test_connections SEED [TOTAL AT_ONCE]` repeats a run; but
 * what the kernel does in between is not repeated. */
#include "tests/integration/net.h"
#include "tests/integration/severd.h"

#include <dirent.h>
#include <inttypes.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "proxy/base/random.h"
#include "proxy/base/text.h"

enum {
    PAIRS_MAX = 4096,
    EVENTS = 256,
    ACTIONS_PER_TURN = 32,
    HEADER = 4, /* the number of the connection, before all else from the client */
    PIECE = 16384
};
#define END_NS (60 * NS_PER_S) /* all is healed */

enum kind { STEADY, CUTTING, CORRUPTING, KINDS };
static const char *const kind_names[KINDS] = {"steady", "cutting", "corrupting"};

struct end {
    int fd; /* -1: closed, or not there yet */
    uint64_t written, read;
    bool shut, ended; /* FIN sent; FIN seen */
    uint8_t header[HEADER];
};

struct pair {
    struct end near, far;
    enum kind kind;
    uint32_t number;
    bool used, broken; /* broken: by a peer of the test's own, or a fault: not all may arrive */
};

/* What an epoll event is about. */
enum { TAG_LISTENER, TAG_NEAR, TAG_FAR, TAG_STRANGER };

static struct soak {
    struct severd severd;
    struct random_stream dice;
    int epoll_fd;
    int listeners[KINDS], ports[KINDS];
    struct pair pairs[PAIRS_MAX];
    struct pair strangers[PAIRS_MAX]; /* far ends whose near end is not known yet */
    uint32_t slots[1 << 16];          /* of a connection's number, plus one */
    unsigned begun, alive, whole, total, at_once;
    bool ending;
} soak;

static uint64_t seed = 1;

static uint64_t below(uint64_t bound)
{
    return random_below(random_next(&soak.dice), bound);
}

static bool chance(uint64_t one_in)
{
    return below(one_in) == 0;
}

static uint8_t content(const struct pair *pair, bool upstream, uint64_t at)
{
    if (upstream && at < HEADER)
        return (uint8_t)(pair->number >> 8 * at);
    return (uint8_t)(random_mix(pair->number * UINT64_C(2) + upstream + (at >> 3) * 7919) >>
                     8 * (at & 7));
}

/* --- sockets --- */

static void watch(int fd, uint32_t tag, uint32_t index)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)tag << 32 | index};
    assert_int_equal(epoll_ctl(soak.epoll_fd, EPOLL_CTL_ADD, fd, &event), 0);
}

static void end_close(struct end *end, bool reset)
{
    if (end->fd < 0)
        return;
    if (reset)
        net_close_reset(end->fd);
    else
        close(end->fd);
    end->fd = -1;
}

static void pair_free(struct pair *pair)
{
    end_close(&pair->near, false);
    end_close(&pair->far, false);
    pair->used = false;
    soak.alive--;
}

/* Of a pair whose ends are both done. */
static void pair_settle(struct pair *pair)
{
    bool near_done = pair->near.fd < 0 || (pair->near.ended && pair->near.shut);
    bool far_done = pair->far.fd < 0 || (pair->far.ended && pair->far.shut);
    if (!near_done || !far_done)
        return;
    if (!pair->broken) {
        if (pair->kind == STEADY &&
            (pair->near.written != pair->far.read || pair->far.written != pair->near.read))
            fail_msg("connection %u: %" PRIu64 " of %" PRIu64 " bytes up, %" PRIu64 " of %" PRIu64
                     " down",
                     pair->number, pair->far.read, pair->near.written, pair->near.read,
                     pair->far.written);
        soak.whole++;
    }
    pair_free(pair);
}

/* An end that is gone: nothing is expected of the pair any more. */
static void pair_break(struct pair *pair, struct end *end, bool reset)
{
    end_close(end, reset);
    pair->broken = true;
    pair_settle(pair);
}

static void begin_connection(void)
{
    uint32_t index = 0;
    while (soak.pairs[index].used)
        index++;
    struct pair *pair = &soak.pairs[index];
    *pair = (struct pair){.near.fd = -1, .far.fd = -1, .used = true};
    pair->kind = (enum kind)below(KINDS);
    pair->number = soak.begun++;
    soak.slots[pair->number] = index + 1;
    soak.alive++;
    pair->near.fd = net_start_connect(soak.ports[pair->kind]);
    watch(pair->near.fd, TAG_NEAR, index);
}

static void accept_strangers(enum kind kind)
{
    int fd;
    while ((fd = accept4(soak.listeners[kind], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        uint32_t index = 0;
        while (soak.strangers[index].used)
            index++;
        soak.strangers[index] = (struct pair){.far.fd = fd, .kind = kind, .used = true};
        watch(fd, TAG_STRANGER, index);
    }
}

/* The rest of the header, when it has come: which connection it is. A corrupted number may be
 * anybody's; such an end is read and answered, but its bytes are not looked at. */
static void meet_stranger(struct pair *stranger)
{
    struct end *far = &stranger->far;
    ssize_t got = recv(far->fd, far->header + far->read, HEADER - far->read, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got > 0 && (far->read += (uint64_t)got) < HEADER)
        return;
    uint32_t number = 0;
    for (int i = 0; i < HEADER; i++)
        number |= (uint32_t)far->header[i] << 8 * i;
    uint32_t slot = got > 0 && number < soak.begun ? soak.slots[number] : 0;
    struct pair *pair = slot ? &soak.pairs[slot - 1] : NULL;
    bool known = pair && pair->used && pair->number == number && pair->kind == stranger->kind &&
                 pair->far.fd < 0 && pair->far.read == 0;
    if (got > 0 && stranger->kind != CORRUPTING && pair && pair->used && pair->number == number)
        assert_true(known);
    if (known) {
        struct epoll_event event = {.events = EPOLLIN,
                                    .data.u64 = (uint64_t)TAG_FAR << 32 | (slot - 1)};
        pair->far = *far;
        assert_int_equal(epoll_ctl(soak.epoll_fd, EPOLL_CTL_MOD, far->fd, &event), 0);
    } else {
        end_close(far, chance(2));
    }
    stranger->used = false;
}

/* --- traffic --- */

static void end_read(struct pair *pair, bool near)
{
    static uint8_t bytes[PIECE];
    struct end *end = near ? &pair->near : &pair->far, *other = near ? &pair->far : &pair->near;
    ssize_t got = recv(end->fd, bytes, sizeof(bytes), 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got < 0) {
        if (pair->kind == STEADY && !pair->broken)
            fail_msg("connection %u of a steady route: %s", pair->number, strerror(errno));
        pair_break(pair, end, false);
        return;
    }
    for (ssize_t i = 0; pair->kind != CORRUPTING && i < got; i++)
        if (bytes[i] != content(pair, !near, end->read + (uint64_t)i))
            fail_msg("connection %u: byte %" PRIu64 " is another", pair->number,
                     end->read + (uint64_t)i);
    end->read += (uint64_t)got;
    if (pair->kind != CORRUPTING && other->fd >= 0 && end->read > other->written)
        fail_msg("connection %u: bytes that nobody wrote", pair->number);
    if (got > 0)
        return;
    end->ended = true;
    if (pair->kind != STEADY) /* a fault may have ended it early */
        pair->broken = true;
    epoll_ctl(soak.epoll_fd, EPOLL_CTL_DEL, end->fd, NULL);
    if (!end->shut)
        shutdown(end->fd, SHUT_WR);
    end->shut = true;
    pair_settle(pair);
}

static void end_write(struct pair *pair, bool near)
{
    static uint8_t bytes[3 * PIECE];
    struct end *end = near ? &pair->near : &pair->far;
    size_t length = 1 + (size_t)below(chance(4) ? sizeof(bytes) : 500);
    if (near && end->written < HEADER)
        length += HEADER;
    if (end->fd < 0 || end->shut || (near && !net_is_ready(end->fd, POLLOUT, 0)))
        return;
    for (size_t i = 0; i < length && i < sizeof(bytes); i++)
        bytes[i] = content(pair, near, end->written + i);
    ssize_t done =
        send(end->fd, bytes, length < sizeof(bytes) ? length : sizeof(bytes), MSG_NOSIGNAL);
    if (done > 0)
        end->written += (uint64_t)done; /* a failure is seen by reading */
}

static void end_shut(struct pair *pair, struct end *end)
{
    if (end->fd < 0 || end->shut || (end == &pair->near && end->written < HEADER))
        return;
    shutdown(end->fd, SHUT_WR);
    end->shut = true;
    pair_settle(pair);
}

/* What a peer does of its own accord. */
static void act(struct pair *pair)
{
    bool near = chance(2);
    struct end *end = near ? &pair->near : &pair->far;
    uint64_t what = below(100);
    if (end->fd < 0)
        return;
    if (what < 85)
        end_write(pair, near);
    else if (what < 93)
        end_shut(pair, end);
    else if (what < 95)
        pair_break(pair, end, true);
    else if (what < 97)
        pair_break(pair, end, false); /* with what it has not read: that is a reset, too */
}

static void take_event(const struct epoll_event *event)
{
    uint32_t tag = (uint32_t)(event->data.u64 >> 32), index = (uint32_t)event->data.u64;
    if (tag == TAG_LISTENER)
        accept_strangers((enum kind)index);
    else if (tag == TAG_STRANGER && soak.strangers[index].used)
        meet_stranger(&soak.strangers[index]);
    else if (tag == TAG_NEAR && soak.pairs[index].used && soak.pairs[index].near.fd >= 0)
        end_read(&soak.pairs[index], true);
    else if (tag == TAG_FAR && soak.pairs[index].used && soak.pairs[index].far.fd >= 0)
        end_read(&soak.pairs[index], false);
}

static void take_events(int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(soak.epoll_fd, events, EVENTS, timeout_ms);
    for (int i = 0; i < count; i++)
        take_event(&events[i]);
}

/* --- rules --- */

static const struct rule {
    enum kind kind;
    const char *type;
} rules[] = {{STEADY, "latency"},     {STEADY, "rate"},        {STEADY, "slicer"},
             {STEADY, "slow_close"},  {CUTTING, "limit_data"}, {CUTTING, "timeout"},
             {CUTTING, "reset_peer"}, {CUTTING, "reject"},     {CUTTING, "latency"},
             {CORRUPTING, "corrupt"}, {CORRUPTING, "latency"}, {CORRUPTING, "slicer"}};

static json_t *draw_parameters(const char *type)
{
    json_int_t delay_ns = (json_int_t)below(3) * (json_int_t)below(20 * NS_PER_MS);
    json_int_t bytes = (json_int_t)below(4) * (json_int_t)below(100000);
    if (strcmp(type, "latency") == 0)
        return json_pack("{s:I, s:I}", "delay_ns", delay_ns, "jitter_ns", delay_ns / 2);
    if (strcmp(type, "rate") == 0)
        return json_pack("{s:I}", "bytes_per_s", 1000000 + (json_int_t)below(100000000));
    if (strcmp(type, "slicer") == 0)
        return json_pack("{s:I, s:I, s:I}", "average_bytes", 1000 + bytes, "variation_bytes",
                         bytes / 3, "delay_ns", (json_int_t)below(2) * 10000);
    if (strcmp(type, "slow_close") == 0)
        return json_pack("{s:I}", "delay_ns", delay_ns);
    if (strcmp(type, "limit_data") == 0)
        return json_pack("{s:I}", "bytes", bytes);
    if (strcmp(type, "timeout") == 0 || strcmp(type, "reset_peer") == 0)
        return json_pack("{s:I}", "timeout_ns", delay_ns);
    return json_pack("{s:f}", "probability", (double)below(1000) / 1000);
}

static const char *const cuts[] = {"{\"links\": [\"a->b\"]}", "{\"links\": [\"b->a\"]}",
                                   "{\"isolate\": \"b\"}"};

static bool is_cut;

/* Cuts are short and rare: TCP waits twice as long after each segment that is lost, and those that
 * meet one cut after the other would be here for minutes. */
static void change_partition(void)
{
    if (is_cut)
        severd_tell(&soak.severd, "DELETE", "/v1/partitions", NULL);
    else
        severd_tell(&soak.severd, "POST", "/v1/partitions",
                    json_loads(cuts[below(sizeof(cuts) / sizeof(cuts[0]))], 0, NULL));
    is_cut = !is_cut;
}

static bool rule_stands[sizeof(rules) / sizeof(rules[0])];

static void change_fault(size_t index)
{
    const struct rule *rule = &rules[index];
    char path[64];
    snprintf(path, sizeof(path), "/v1/faults/rule%zu", index);
    if (rule_stands[index] && chance(2)) {
        severd_tell(&soak.severd, "DELETE", path, NULL);
        rule_stands[index] = false;
        return;
    }
    json_t *body = draw_parameters(rule->type);
    json_object_set_new(body, "toxicity", json_real(chance(2) ? 1 : (double)below(100) / 100));
    if (rule_stands[index]) {
        severd_tell(&soak.severd, "PATCH", path, body);
        return;
    }
    json_object_set_new(body, "name", json_string(path + strlen("/v1/faults/")));
    json_object_set_new(body, "type", json_string(rule->type));
    json_object_set_new(body, "route", json_string(kind_names[rule->kind]));
    severd_tell(&soak.severd, "POST", "/v1/faults", body);
    rule_stands[index] = true;
}

static void change_rules(void)
{
    if (is_cut || chance(12))
        change_partition();
    else
        change_fault(below(sizeof(rules) / sizeof(rules[0])));
}

static void remove_rules(void)
{
    if (is_cut)
        change_partition();
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        char path[64];
        snprintf(path, sizeof(path), "/v1/faults/rule%zu", i);
        if (rule_stands[i])
            severd_tell(&soak.severd, "DELETE", path, NULL);
        rule_stands[i] = false;
    }
}

/* --- accounts --- */

/* GET /metrics, which is no JSON. */
static void get_metrics(struct text *page)
{
    static const char request[] = "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char buffer[65536];
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", soak.severd.url + strlen("unix:"));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    text_clear(page);
    for (ssize_t got; (got = recv(fd, buffer, sizeof(buffer), 0)) > 0;)
        text_append_bytes(page, buffer, (size_t)got);
    close(fd);
}

static uint64_t metric(const struct text *page, const char *name)
{
    char line[128];
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *found = strstr(text_get(page), line);
    if (!found)
        fail_msg("no %s in the metrics", name);
    return strtoull(found + strlen(line), NULL, 10);
}

static uint64_t route_bytes(const struct text *page, const char *what, const char *way, int kind)
{
    char name[128];
    snprintf(name, sizeof(name), "sever_route_%s_bytes_total{direction=\"%s\",route=\"%s\"}", what,
             way, kind_names[kind]);
    return metric(page, name);
}

static void check_accounts(void)
{
    static const char *const ways[] = {"upstream", "downstream"};
    struct text page = {0};
    net_await((get_metrics(&page), metric(&page, "sever_connections_open") == 0));
    assert_int_equal(metric(&page, "sever_buffer_bytes"), 0);
    assert_true(route_bytes(&page, "sent", ways[0], STEADY) > 0);
    for (int kind = 0; kind < KINDS; kind++)
        for (int way = 0; way < 2; way++) {
            uint64_t received = route_bytes(&page, "received", ways[way], kind);
            uint64_t sent = route_bytes(&page, "sent", ways[way], kind);
            uint64_t dropped = route_bytes(&page, "dropped", ways[way], kind);
            print_message("%s %s: %" PRIu64 " received, %" PRIu64 " sent, %" PRIu64 " dropped\n",
                          kind_names[kind], ways[way], received, sent, dropped);
            assert_int_equal(received, sent + dropped);
        }
    text_free(&page);
}

/* But for the socket filters and pipes that are kept for the next one. */
static size_t count_descriptors(void)
{
    char path[64], link[96], target[64];
    size_t count = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)soak.severd.pid);
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory));) {
        snprintf(link, sizeof(link), "%s/%.24s", path, entry->d_name);
        ssize_t length = readlink(link, target, sizeof(target) - 1);
        target[length > 0 ? length : 0] = '\0';
        count += length > 0 && !strstr(target, "bpf-prog") && !strstr(target, "pipe:");
    }
    closedir(directory);
    return count;
}

/* --- the run --- */

static void open_soak(void)
{
    soak.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    soak.dice = (struct random_stream){.key = seed};
    severd_start(&soak.severd, "2", NULL);
    severd_add_node(&soak.severd, "a");
    severd_add_node(&soak.severd, "b");
    for (int kind = 0; kind < KINDS; kind++) {
        int port;
        soak.listeners[kind] = net_listen(4096, &port);
        watch(soak.listeners[kind], TAG_LISTENER, (uint32_t)kind);
        soak.ports[kind] = severd_add_route(&soak.severd, kind_names[kind], "tcp", port, "a", "b");
    }
}

static void trouble(void)
{
    uint64_t next_change_ns = 0;
    while (soak.begun < soak.total) {
        for (int i = 0; i < 4 && soak.alive < soak.at_once && soak.begun < soak.total; i++)
            begin_connection();
        for (int i = 0; i < ACTIONS_PER_TURN; i++) {
            struct pair *pair = &soak.pairs[below(soak.at_once)];
            if (pair->used)
                act(pair);
        }
        if (monotonic_now_ns() >= next_change_ns) {
            change_rules();
            next_change_ns = monotonic_now_ns() + below(10 * NS_PER_MS);
        }
        take_events(soak.alive < soak.at_once ? 0 : 1);
    }
}

static void say_alive(void)
{
    for (uint32_t i = 0; i < soak.at_once; i++) {
        const struct pair *pair = &soak.pairs[i];
        const struct end *ends[2] = {&pair->near, &pair->far};
        for (int e = 0; pair->used && e < 2; e++)
            print_error("connection %u, %s, %s: fd %d, %" PRIu64 " written, %" PRIu64
                        " read%s%s%s\n",
                        pair->number, kind_names[pair->kind], e ? "far" : "near", ends[e]->fd,
                        ends[e]->written, ends[e]->read, ends[e]->shut ? ", shut" : "",
                        ends[e]->ended ? ", ended" : "", pair->broken ? ", broken" : "");
    }
}

/* All is healed: both peers of each connection finish, and read what there is. */
static void end_all(void)
{
    uint64_t deadline_ns = monotonic_now_ns() + END_NS;
    remove_rules();
    while (soak.alive > 0) {
        for (uint32_t i = 0; i < soak.at_once; i++) {
            struct pair *pair = &soak.pairs[i];
            if (pair->used && pair->near.fd >= 0 && pair->near.written < HEADER)
                end_write(pair, true);
            if (pair->used)
                end_shut(pair, &pair->near);
            if (pair->used)
                end_shut(pair, &pair->far);
        }
        take_events(20);
        if (monotonic_now_ns() > deadline_ns) {
            say_alive();
            fail_msg("%u connections do not end", soak.alive);
        }
    }
    for (uint32_t i = 0; i < PAIRS_MAX; i++)
        if (soak.strangers[i].used)
            end_close(&soak.strangers[i].far, false);
}

static void every_byte_is_accounted_for(void **state)
{
    (void)state;
    open_soak();
    size_t descriptors = count_descriptors();
    uint64_t begin_ns = monotonic_now_ns();
    trouble();
    end_all();
    check_accounts();
    net_await(count_descriptors() <= descriptors);
    print_message("%u connections, %u at once, %u of them whole, %.1f s\n", soak.total,
                  soak.at_once, soak.whole, (double)(monotonic_now_ns() - begin_ns) / 1e9);
    assert_true(soak.whole > 0);
    for (int kind = 0; kind < KINDS; kind++)
        close(soak.listeners[kind]);
    close(soak.epoll_fd);
    severd_stop(&soak.severd);
    soak.ending = true;
}

static int say_seed(void **state)
{
    (void)state;
    if (!soak.ending)
        print_error("to repeat: test_connections %" PRIu64 " %u %u\n", seed, soak.total,
                    soak.at_once);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_byte_is_accounted_for, say_seed)};
    const char *wanted = getenv("SEVER_SOAK_CONNECTIONS"); /* "10000 4000" */
    struct rlimit limit;
    soak.total = 1000;
    soak.at_once = 200;
    if (wanted && sscanf(wanted, "%u %u", &soak.total, &soak.at_once) != 2)
        return 2;
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : seed;
    if (argc > 3) {
        soak.total = (unsigned)strtoul(argv[2], NULL, 10);
        soak.at_once = (unsigned)strtoul(argv[3], NULL, 10);
    }
    if (soak.at_once > PAIRS_MAX || soak.total > sizeof(soak.slots) / sizeof(soak.slots[0]))
        return 2;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return cmocka_run_group_tests_name("connections", tests, NULL, NULL);
}
