/* The programs, run by an interpreter of our own that decides what the random word is. What the
 * kernel makes of them is tests/platform/test_filter.c's to say. */
#include "tests/lib/test.h"

#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <linux/filter.h>

#include "proxy/base/random.h"
#include "proxy/io/filter.h"

enum { IP_BYTES_MAX = 40, TCP_BYTES = 32, HOSTS_MAX = 600 };

/* What a filter sees: the packet from the TCP header on (only the headers have bytes here), and the
 * IP header before it. */
struct packet {
    uint8_t ip[IP_BYTES_MAX], tcp[TCP_BYTES];
    uint32_t length; /* TCP header and data */
    uint32_t random;
};

/* Loads from [at, at + size) of the packet as the kernel does; fails the test out of bounds. */
static uint32_t load(const struct packet *packet, uint32_t at, unsigned size)
{
    const uint8_t *bytes = packet->tcp;
    size_t limit = TCP_BYTES;
    uint32_t value = 0;
    if (at == (uint32_t)SKF_AD_OFF + SKF_AD_RANDOM)
        return packet->random;
    if (at >= (uint32_t)SKF_NET_OFF) {
        at -= (uint32_t)SKF_NET_OFF;
        bytes = packet->ip;
        limit = IP_BYTES_MAX;
    }
    assert_true(at + size <= limit);
    for (unsigned i = 0; i < size; i++)
        value = value << 8 | bytes[at + i];
    return value;
}

static bool jumps(const struct sock_filter *code, uint32_t a, uint32_t x)
{
    uint32_t b = BPF_SRC(code->code) == BPF_X ? x : code->k;
    switch (BPF_OP(code->code)) {
    case BPF_JEQ:
        return a == b;
    case BPF_JGT:
        return a > b;
    case BPF_JGE:
        return a >= b;
    default:
        assert_int_equal(BPF_OP(code->code), BPF_JSET);
        return a & b;
    }
}

static uint32_t calculate(const struct sock_filter *code, uint32_t a, uint32_t x)
{
    uint32_t b = BPF_SRC(code->code) == BPF_X ? x : code->k;
    switch (BPF_OP(code->code)) {
    case BPF_ADD:
        return a + b;
    case BPF_SUB:
        return a - b;
    case BPF_AND:
        return a & b;
    default:
        assert_int_equal(BPF_OP(code->code), BPF_RSH);
        return a >> b;
    }
}

static uint32_t load_a(const struct sock_filter *code, const struct packet *packet,
                       const uint32_t *memory)
{
    switch (BPF_MODE(code->code)) {
    case BPF_IMM:
        return code->k;
    case BPF_LEN:
        return packet->length;
    case BPF_MEM:
        assert_true(code->k < BPF_MEMWORDS);
        return memory[code->k];
    default:
        assert_int_equal(BPF_MODE(code->code), BPF_ABS);
        return load(packet, code->k, BPF_SIZE(code->code) == BPF_B ? 1 : 4);
    }
}

/* How many bytes of the packet are kept. */
static uint32_t run(const struct filter_program *program, const struct packet *packet)
{
    uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {0};
    for (size_t at = 0;; at++) {
        assert_true(at < program->length);
        const struct sock_filter *code = &program->code[at];
        switch (BPF_CLASS(code->code)) {
        case BPF_LD:
            a = load_a(code, packet, memory);
            break;
        case BPF_LDX:
            assert_int_equal(BPF_MODE(code->code), BPF_IMM);
            x = code->k;
            break;
        case BPF_ST:
            assert_true(code->k < BPF_MEMWORDS);
            memory[code->k] = a;
            break;
        case BPF_ALU:
            a = calculate(code, a, x);
            break;
        case BPF_JMP:
            at += BPF_OP(code->code) == BPF_JA ? code->k : jumps(code, a, x) ? code->jt : code->jf;
            break;
        case BPF_MISC:
            assert_int_equal(BPF_MISCOP(code->code), BPF_TAX);
            x = a;
            break;
        default: {
            uint32_t kept = BPF_RVAL(code->code) == BPF_A ? a : code->k;
            return kept < packet->length ? kept : packet->length;
        }
        }
    }
}

static struct packet data_packet(uint32_t data_bytes, uint8_t flags)
{
    struct packet packet = {.length = TCP_BYTES + data_bytes};
    packet.tcp[12] = TCP_BYTES / 4 << 4 | 0x0f; /* the low half is flags, not length */
    packet.tcp[13] = TH_ACK | flags;
    return packet;
}

static void a_cut_keeps_nothing_and_nothing_keeps_all(void **state)
{
    (void)state;
    struct packet packet = data_packet(5000, 0);
    const struct filter_spec cuts[] = {
        {.cut = true}, {.loss_ppb = RANDOM_PPB_ONE}, {.cut = true, .loss_ppb = 1}};
    struct filter_program program;
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        filter_compile(&cuts[i], &program);
        assert_int_equal(program.length, 1);
        assert_int_equal(run(&program, &packet), 0);
        filter_free(&program);
    }
    filter_compile(&(struct filter_spec){0}, &program);
    assert_int_equal(run(&program, &packet), packet.length);
    filter_free(&program);
}

/* The number of the first lost segment by the textbook, for a random word. */
static uint32_t first_lost(double p, uint32_t random)
{
    double u = (random + 0.5) / 4294967296.0;
    return (uint32_t)ceil(log1p(-u) / log1p(-p));
}

static void keeps_what_precedes_the_first_lost_segment(void **state)
{
    (void)state;
    static const uint32_t losses[] = {1000, 10000000, 100000000, 500000000, 999999999};
    static const uint32_t segments[] = {0, 536, 1460, 9000, 65483, 100000};
    static const uint32_t lengths[] = {0, 1, 535, 536, 537, 1448, 1449, 20000, 65483, 65535};
    struct random_stream dice = {.key = 11};
    unsigned shortened = 0;
    for (size_t i = 0; i < 5 * 6; i++) {
        uint32_t loss_ppb = losses[i / 6], bytes = segments[i % 6];
        struct filter_program program;
        filter_compile(&(struct filter_spec){.loss_ppb = loss_ppb, .segment_bytes = bytes},
                       &program);
        if (bytes == 0)
            bytes = FILTER_SEGMENT_DEFAULT;
        for (size_t k = 0; k < 20000; k++) {
            uint8_t flags = k % 3 == 0 ? TH_FIN : k % 3 == 1 ? TH_PUSH : TH_RST;
            uint32_t length = lengths[k % 10];
            struct packet packet = data_packet(length, flags);
            packet.random = (uint32_t)random_next(&dice);
            if (k % 2)
                packet.random >>= k % 31; /* near 0, where the small losses are */
            uint32_t lost = first_lost(loss_ppb / 1e9, packet.random);
            uint32_t neighbours[] = {first_lost(loss_ppb / 1e9, packet.random - 8),
                                     first_lost(loss_ppb / 1e9, packet.random + 8)};
            if (neighbours[0] != lost || neighbours[1] != lost)
                continue; /* parts per billion round */
            uint32_t expected = TCP_BYTES + length;
            if (lost == 1)
                expected = 0;
            else if ((uint64_t)(lost - 1) * bytes < length)
                expected = flags == TH_PUSH ? TCP_BYTES + (lost - 1) * bytes : 0;
            if (expected > 0 && expected < packet.length)
                shortened++;
            assert_int_equal(run(&program, &packet), expected);
        }
        filter_free(&program);
    }
    assert_true(shortened > 1000);
}

static void segments_have_a_least_size(void **state)
{
    (void)state;
    struct filter_program least, smaller;
    filter_compile(&(struct filter_spec){.loss_ppb = 1000, .segment_bytes = FILTER_SEGMENT_MIN},
                   &least);
    filter_compile(&(struct filter_spec){.loss_ppb = 1000, .segment_bytes = 1}, &smaller);
    assert_int_equal(least.length, smaller.length);
    assert_memory_equal(least.code, smaller.code, least.length * sizeof(least.code[0]));
    filter_free(&least);
    filter_free(&smaller);
}

static void set_host(struct filter_source *source, const char *text, uint32_t loss_ppb)
{
    struct error error = {0};
    if (address_parse_host(text, &source->host, &error))
        fail_msg("%s", error.message);
    source->loss_ppb = loss_ppb;
}

/* A packet from this host. IPv4-mapped hosts come as IPv4. */
static struct packet packet_from(const struct address *host, uint32_t random)
{
    struct packet packet = data_packet(0, TH_SYN);
    packet.random = random;
    if (host->storage.ss_family == AF_INET) {
        packet.ip[0] = 0x45;
        memcpy(packet.ip + 12,
               &((const struct sockaddr_in *)(const void *)&host->storage)->sin_addr, 4);
        return packet;
    }
    const struct in6_addr *in6 =
        &((const struct sockaddr_in6 *)(const void *)&host->storage)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(in6)) {
        packet.ip[0] = 0x46; /* with options */
        memcpy(packet.ip + 12, in6->s6_addr + 12, 4);
    } else {
        packet.ip[0] = 0x60;
        memcpy(packet.ip + 8, in6, 16);
    }
    return packet;
}

/* The highest loss listed for the host, read from the program by bisection of the random word:
 * the number of words that lose. */
static uint64_t losing_words(const struct filter_program *program, const struct address *host)
{
    struct packet packet = packet_from(host, UINT32_MAX);
    if (run(program, &packet) == 0)
        return UINT64_C(1) << 32;
    uint64_t low = 0, high = UINT32_MAX;
    while (low < high) {
        packet.random = (uint32_t)((low + high) / 2);
        if (run(program, &packet) == 0)
            low = packet.random + UINT64_C(1);
        else
            high = packet.random;
    }
    return low;
}

static void assert_loss(const struct filter_program *program, const struct address *host,
                        uint32_t loss_ppb)
{
    double expected = loss_ppb / 1e9 * 4294967296.0;
    assert_true(fabs((double)losing_words(program, host) - expected) <= 0.51);
}

static void sources_are_told_apart(void **state)
{
    (void)state;
    struct filter_source sources[8], strangers[6];
    set_host(&sources[0], "127.0.0.2", RANDOM_PPB_ONE);
    set_host(&sources[1], "127.0.0.3", 100000000);
    set_host(&sources[2], "::ffff:127.0.0.4", 250000000);
    set_host(&sources[3], "fd00::2", RANDOM_PPB_ONE);
    set_host(&sources[4], "fd00::3", 1);
    set_host(&sources[5], "fd00:1::3", 500000000); /* the last word is that of the one before */
    set_host(&sources[6], "127.0.0.3", 300000000); /* again: the higher counts */
    set_host(&sources[7], "127.0.0.9", 0);
    struct filter_program program;
    assert_int_equal(filter_compile_sources(sources, 8, 0, &program), 0);
    for (size_t i = 0; i < 8; i++)
        assert_loss(&program, &sources[i].host, i == 1 ? 300000000 : sources[i].loss_ppb);
    set_host(&strangers[0], "127.0.0.1", 0);
    set_host(&strangers[1], "127.0.1.2", 0);
    set_host(&strangers[2], "fd00::1", 0);
    set_host(&strangers[3], "fd01::2", 0);
    set_host(&strangers[4], "fd00::1:0:0:3", 0);
    set_host(&strangers[5], "::7f00:2", 0); /* not 127.0.0.2, though its last word is */
    for (size_t i = 0; i < 6; i++)
        assert_loss(&program, &strangers[i].host, 0);
    filter_free(&program);
}

/* Hosts that are not listed have a loss of their own, which may be more or less than a listed
 * one's. */
static void others_may_lose_too(void **state)
{
    (void)state;
    static const uint32_t others[] = {1, 200000000, RANDOM_PPB_ONE};
    struct filter_source sources[4], strangers[2];
    set_host(&sources[0], "127.0.0.2", RANDOM_PPB_ONE);
    set_host(&sources[1], "127.0.0.3", 300000000);
    set_host(&sources[2], "fd00::3", 300000000);
    set_host(&sources[3], "fd00::4", 0);
    set_host(&strangers[0], "127.0.0.4", 0);
    set_host(&strangers[1], "fd00::2", 0);
    for (size_t k = 0; k < 3; k++)
        for (size_t count = 0; count <= 4; count += 2) {
            struct filter_program program;
            assert_int_equal(filter_compile_sources(sources, count, others[k], &program), 0);
            for (size_t i = 0; i < 4; i++)
                assert_loss(&program, &sources[i].host,
                            i < count ? sources[i].loss_ppb : others[k]);
            for (size_t i = 0; i < 2; i++)
                assert_loss(&program, &strangers[i].host, others[k]);
            filter_free(&program);
        }
}

static void no_sources_lose_nothing(void **state)
{
    (void)state;
    struct filter_source stranger;
    struct filter_program program;
    set_host(&stranger, "::1", 0);
    assert_int_equal(filter_compile_sources(NULL, 0, 0, &program), 0);
    assert_loss(&program, &stranger.host, 0);
    filter_free(&program);
    struct filter_source nowhere = {.host = {.length = 2, .storage = {.ss_family = AF_UNIX}}};
    assert_int_equal(filter_compile_sources(&nowhere, 1, 0, &program), -EINVAL);
    assert_null(program.code);
    filter_free(&program);
}

enum layout { SAME_NETWORK, UNRELATED, TWINS, IP4, MIXED, LAYOUTS };

/* 512 hosts in the ways that make programs long: hosts of one network, hosts that share no word,
 * hosts whose words are equal in many combinations. loss_of: by host number. */
static size_t make_hosts(struct filter_source *sources, enum layout layout, size_t count,
                         uint32_t (*loss_of)(size_t i))
{
    for (size_t i = 0; i < count; i++) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
        struct sockaddr_in in = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(0x0a000000 + (uint32_t)i * 7)};
        for (size_t word = 0; word < 4; word++) {
            uint64_t bits = random_draw(layout, i, (uint32_t)word) | 1;
            if (layout == SAME_NETWORK && word < 2)
                bits = 0xfd00;
            if (layout == TWINS) /* base-8 digits of i: all four words are shared by many */
                bits = 0x100 + (i >> (3 * word) & (word < 3 ? 7 : 0));
            uint32_t value = htonl((uint32_t)bits);
            memcpy(in6.sin6_addr.s6_addr + 4 * word, &value, 4);
        }
        sources[i] = (struct filter_source){.loss_ppb = loss_of(i)};
        if (layout == IP4 || (layout == MIXED && i % 2))
            memcpy(&sources[i].host.storage, &in, sizeof(in));
        else
            memcpy(&sources[i].host.storage, &in6, sizeof(in6));
        sources[i].host.length = sizeof(in6);
    }
    return count;
}

static uint32_t all_cut(size_t i)
{
    (void)i;
    return RANDOM_PPB_ONE;
}

static uint32_t node_by_node(size_t i)
{
    return 1000000 * (uint32_t)(i / 4 + 1);
}

static uint32_t two_kinds(size_t i)
{
    return i % 2 ? 50000000 : RANDOM_PPB_ONE;
}

static void four_addresses_of_128_nodes_fit(void **state)
{
    (void)state;
    uint32_t (*const losses[])(size_t i) = {all_cut, node_by_node, two_kinds};
    static struct filter_source sources[512];
    unsigned longest = 0;
    for (int layout = 0; layout < LAYOUTS; layout++)
        for (size_t k = 0; k < 3; k++) {
            struct filter_program program;
            size_t count = make_hosts(sources, (enum layout)layout, 512, losses[k]);
            assert_int_equal(filter_compile_sources(sources, count, 0, &program), 0);
            if (program.length > longest)
                longest = program.length;
            for (size_t i = 0; i < count; i++)
                assert_loss(&program, &sources[i].host, sources[i].loss_ppb);
            for (size_t i = 0; i < count; i++) { /* a neighbour that is not listed */
                if (sources[i].host.storage.ss_family != AF_INET6)
                    continue;
                ((uint8_t *)&sources[i].host.storage)[23] ^= 0x80; /* the last one of the host */
                assert_loss(&program, &sources[i].host, 0);
            }
            filter_free(&program);
        }
    print_message("longest program: %u instructions\n", longest);
    assert_true(longest > 3900 && longest <= BPF_MAXINSNS);
}

static void too_many_hosts_are_refused(void **state)
{
    (void)state;
    static struct filter_source sources[HOSTS_MAX];
    struct filter_program program;
    size_t count = make_hosts(sources, UNRELATED, HOSTS_MAX, node_by_node);
    assert_int_equal(filter_compile_sources(sources, count, 0, &program), -E2BIG);
    assert_null(program.code);
    filter_free(&program);
    count = make_hosts(sources, IP4, HOSTS_MAX, node_by_node);
    assert_int_equal(filter_compile_sources(sources, count, 0, &program), 0);
    filter_free(&program);
}

/* Errors of the calls themselves; no kernel that we know lets a pipe have a filter. */
static void errors_are_told(void **state)
{
    (void)state;
    struct filter_program program;
    filter_compile(&(struct filter_spec){.cut = true}, &program);
    assert_int_equal(filter_attach(-1, &program), -EBADF);
    assert_int_equal(filter_detach(-1), -EBADF);
    assert_int_equal(filter_dropped(-1), -EBADF);
    filter_free(&program);
    filter_free(&program); /* twice is nothing */
    assert_int_equal(program.fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_keeps_nothing_and_nothing_keeps_all),
        cmocka_unit_test(keeps_what_precedes_the_first_lost_segment),
        cmocka_unit_test(segments_have_a_least_size),
        cmocka_unit_test(sources_are_told_apart),
        cmocka_unit_test(others_may_lose_too),
        cmocka_unit_test(no_sources_lose_nothing),
        cmocka_unit_test(four_addresses_of_128_nodes_fit),
        cmocka_unit_test(too_many_hosts_are_refused),
        cmocka_unit_test(errors_are_told),
    };
    return cmocka_run_group_tests_name("proxy/io/filter", tests, NULL, NULL);
}
