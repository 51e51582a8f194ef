/* Theory of operation
 *
 * Programs are written in classic BPF, which every kernel takes with SO_ATTACH_FILTER; the same
 * code, translated, is what filter_load.c loads. A filter on a TCP socket sees the packet from the
 * TCP header on; SKF_NET_OFF reaches back to the IP header. The value returned is how many bytes to
 * keep: 0 drops the packet, PASS keeps it whole, anything between cuts off its end (never the
 * header).
 *
 * Loss. One packet may stand for many segments. Each would have been lost on its own with
 * probability p, so the number of the first lost one is geometric: one random word is compared with
 * the distribution 1 - (1 - p)^j for j = 1, 2, ... The data before that segment is kept. What would
 * have come after it is lost with it: a packet has no holes. A FIN or RST belongs to the last
 * byte; with the end cut off it would stand in the wrong place and truncate the stream, so such a
 * packet goes as a whole.
 *
 * Sources. Hosts are sorted by loss and address, and looked for in chunks of one loss and family.
 * A chunk is a tree over the 32-bit words of the address, the last word first: there hosts differ.
 * Jumps reach 255 instructions, hence the chunks; each ends in its own verdict, reached from every
 * host of the chunk, and passed by when none matches. In the worst case (512 IPv6 hosts that share
 * no word, four to a chunk) that is 31 instructions for four hosts, just below BPF_MAXINSNS.
 */
#include "proxy/io/filter.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/sock_diag.h>

#include "proxy/base/random.h"
#include "proxy/base/text.h"

#define PASS UINT32_MAX
#define NET(offset) ((uint32_t)SKF_NET_OFF + (offset))
#define RANDOM ((uint32_t)SKF_AD_OFF + SKF_AD_RANDOM)

enum {
    PACKET_BYTES_MAX = 65536,
    SEGMENTS_MAX = PACKET_BYTES_MAX / FILTER_SEGMENT_MIN + 1,
    CHUNK_HOSTS = 32, /* 7 instructions each, and the verdict: within the reach of a jump */
    TO_VERDICT = 254, /* jumps whose target is set when the chunk is complete */
    TO_NEXT = 255,
    TCP_OFFSET_AT = 12, /* header length in 32-bit words, in the high half of the byte */
    TCP_FLAGS_AT = 13,
    IP4_SOURCE_AT = 12,
    IP6_SOURCE_AT = 8,
};

/* code: room for BPF_MAXINSNS; what does not fit is counted but not stored. */
struct assembler {
    struct sock_filter *code;
    size_t length;
};

static size_t emit_jump(struct assembler *to, unsigned code, uint32_t k, unsigned if_true,
                        unsigned if_false)
{
    size_t at = to->length++;
    if (at < BPF_MAXINSNS)
        to->code[at] =
            (struct sock_filter)BPF_JUMP((uint16_t)code, k, (uint8_t)if_true, (uint8_t)if_false);
    return at;
}

static size_t emit(struct assembler *to, unsigned code, uint32_t k)
{
    return emit_jump(to, code, k, 0, 0);
}

/* The place in the stored code, or a place that nobody reads when it did not fit. */
static struct sock_filter *instruction(struct assembler *to, size_t at)
{
    static struct sock_filter beyond;
    return at < BPF_MAXINSNS ? &to->code[at] : &beyond;
}

static void program_begin(struct assembler *to)
{
    *to = (struct assembler){.code = memory_allocate_zeroed(BPF_MAXINSNS, sizeof(to->code[0]))};
}

static int program_end(struct assembler *from, struct filter_program *program)
{
    *program = (struct filter_program){.fd = -1};
    if (from->length > BPF_MAXINSNS) {
        free(from->code);
        return -E2BIG;
    }
    program->code = memory_resize(from->code, from->length, sizeof(from->code[0]));
    program->length = (uint16_t)from->length;
    return 0;
}

/* A random word below this is a loss; 2^32: every word is. */
static uint64_t threshold(uint32_t ppb)
{
    return (((uint64_t)ppb << 32) + RANDOM_PPB_ONE / 2) / RANDOM_PPB_ONE;
}

/* Returns PASS or 0 by one draw. */
static void emit_draw(struct assembler *to, uint32_t loss_ppb)
{
    uint64_t bound = threshold(loss_ppb);
    if (bound <= UINT32_MAX) {
        emit(to, BPF_LD | BPF_W | BPF_ABS, RANDOM);
        emit_jump(to, BPF_JMP | BPF_JGE | BPF_K, (uint32_t)bound, 0, 1);
        emit(to, BPF_RET | BPF_K, PASS);
    }
    emit(to, BPF_RET | BPF_K, 0);
}

/* A = bytes of data kept; the header's length is X. Returns how much of the packet is kept. */
static void emit_keep(struct assembler *to)
{
    emit(to, BPF_ALU | BPF_ADD | BPF_X, 0);
    emit(to, BPF_ST, 0);
    emit(to, BPF_MISC | BPF_TAX, 0);
    emit(to, BPF_LD | BPF_W | BPF_LEN, 0);
    emit_jump(to, BPF_JMP | BPF_JGT | BPF_X, 0, 1, 0);
    emit(to, BPF_RET | BPF_K, PASS);
    emit(to, BPF_LD | BPF_B | BPF_ABS, TCP_FLAGS_AT);
    emit_jump(to, BPF_JMP | BPF_JSET | BPF_K, TH_FIN | TH_RST, 0, 1);
    emit(to, BPF_RET | BPF_K, 0);
    emit(to, BPF_LD | BPF_MEM, 0);
    emit(to, BPF_RET | BPF_A, 0);
}

/* Of a packet with more than one segment, keeps the data before the first lost one. */
static void emit_draw_many(struct assembler *to, uint32_t loss_ppb, uint32_t segment_bytes)
{
    size_t jumps[SEGMENTS_MAX], count = 0;
    uint32_t segments = (PACKET_BYTES_MAX + segment_bytes - 1) / segment_bytes;
    uint64_t bound = threshold(loss_ppb);
    emit(to, BPF_LD | BPF_W | BPF_ABS, RANDOM);
    emit_jump(to, BPF_JMP | BPF_JGE | BPF_K, (uint32_t)bound, 1, 0);
    emit(to, BPF_RET | BPF_K, 0);
    for (uint32_t kept = 1; kept < segments && bound <= UINT32_MAX; kept++) {
        bound = threshold(random_any_ppb(loss_ppb, kept + 1));
        if (bound <= UINT32_MAX)
            emit_jump(to, BPF_JMP | BPF_JGE | BPF_K, (uint32_t)bound, 2, 0);
        emit(to, BPF_LD | BPF_IMM, kept * segment_bytes);
        jumps[count++] = emit(to, BPF_JMP | BPF_JA, 0);
    }
    if (bound <= UINT32_MAX)
        emit(to, BPF_RET | BPF_K, PASS);
    for (size_t i = 0; i < count; i++)
        instruction(to, jumps[i])->k = (uint32_t)(to->length - jumps[i] - 1);
    if (count)
        emit_keep(to);
}

static void emit_loss(struct assembler *to, uint32_t loss_ppb, uint32_t segment_bytes)
{
    emit(to, BPF_LD | BPF_B | BPF_ABS, TCP_OFFSET_AT);
    emit(to, BPF_ALU | BPF_AND | BPF_K, 0xf0);
    emit(to, BPF_ALU | BPF_RSH | BPF_K, 2);
    emit(to, BPF_MISC | BPF_TAX, 0);
    emit(to, BPF_LD | BPF_W | BPF_LEN, 0);
    emit(to, BPF_ALU | BPF_SUB | BPF_X, 0);
    size_t many = emit_jump(to, BPF_JMP | BPF_JGT | BPF_K, segment_bytes, 0, 0);
    emit_draw(to, loss_ppb);
    instruction(to, many)->jt = (uint8_t)(to->length - many - 1);
    emit_draw_many(to, loss_ppb, segment_bytes);
}

void filter_compile(const struct filter_spec *spec, struct filter_program *program)
{
    struct assembler to;
    uint32_t bytes = spec->segment_bytes ? spec->segment_bytes : FILTER_SEGMENT_DEFAULT;
    program_begin(&to);
    if (spec->cut || threshold(spec->loss_ppb) > UINT32_MAX)
        emit(&to, BPF_RET | BPF_K, 0);
    else if (spec->loss_ppb == 0)
        emit(&to, BPF_RET | BPF_K, PASS);
    else
        emit_loss(&to, spec->loss_ppb, bytes > FILTER_SEGMENT_MIN ? bytes : FILTER_SEGMENT_MIN);
    int result = program_end(&to, program);
    assert(result == 0); /* three instructions for each of SEGMENTS_MAX, and some */
    (void)result;
}

/* A host as the program looks for it. */
struct host {
    uint32_t loss_ppb;
    uint32_t words[4]; /* the last word of the address first */
    size_t word_count; /* 1: IPv4, 4: IPv6 */
};

static int host_read(const struct filter_source *source, struct host *host)
{
    struct sockaddr_in6 in6;
    struct sockaddr_in in;
    uint32_t words[4];
    *host = (struct host){.loss_ppb = source->loss_ppb};
    if (source->host.storage.ss_family == AF_INET) {
        memcpy(&in, &source->host.storage, sizeof(in));
        host->words[0] = ntohl(in.sin_addr.s_addr);
        host->word_count = 1;
        return 0;
    }
    if (source->host.storage.ss_family != AF_INET6)
        return -EINVAL;
    memcpy(&in6, &source->host.storage, sizeof(in6));
    memcpy(words, &in6.sin6_addr, sizeof(words));
    host->word_count = IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) ? 1 : 4;
    for (size_t i = 0; i < host->word_count; i++)
        host->words[i] = ntohl(words[3 - i]);
    return 0;
}

/* By family, then the higher loss first, then by address. */
static int host_compare(const void *left, const void *right)
{
    const struct host *a = left, *b = right;
    if (a->word_count != b->word_count)
        return a->word_count < b->word_count ? -1 : 1;
    if (a->loss_ppb != b->loss_ppb)
        return a->loss_ppb > b->loss_ppb ? -1 : 1;
    for (size_t i = 0; i < a->word_count; i++)
        if (a->words[i] != b->words[i])
            return a->words[i] < b->words[i] ? -1 : 1;
    return 0;
}

/* Finds the packet's source among hosts that agree in the words before `depth`. */
static void emit_tree(struct assembler *to, const struct host *hosts, size_t count, size_t depth)
{
    size_t words = hosts->word_count;
    uint32_t source_at = words == 1 ? IP4_SOURCE_AT : IP6_SOURCE_AT;
    emit(to, BPF_LD | BPF_W | BPF_ABS, NET(source_at + 4 * (uint32_t)(words - 1 - depth)));
    for (size_t i = 0, end; i < count; i = end) {
        uint32_t word = hosts[i].words[depth];
        for (end = i + 1; end < count && hosts[end].words[depth] == word; end++)
            ;
        bool leaf = depth + 1 == words;
        size_t test = emit_jump(to, BPF_JMP | BPF_JEQ | BPF_K, word, leaf ? TO_VERDICT : 0,
                                leaf && end < count ? 0 : TO_NEXT);
        if (leaf)
            continue;
        emit_tree(to, &hosts[i], end - i, depth + 1);
        if (end < count)
            instruction(to, test)->jf = (uint8_t)(to->length - test - 1);
    }
}

/* Jumps to the draw, which is behind all chunks, have k = PASS until it is known where that is. */
static void emit_verdict(struct assembler *to, uint32_t loss_ppb)
{
    uint64_t bound = threshold(loss_ppb);
    if (bound > UINT32_MAX) {
        emit(to, BPF_RET | BPF_K, 0);
        return;
    }
    emit(to, BPF_LDX | BPF_IMM, (uint32_t)bound);
    emit(to, BPF_JMP | BPF_JA, PASS);
}

/* hosts: of one family and loss. */
static void emit_chunk(struct assembler *to, const struct host *hosts, size_t count)
{
    size_t begin = to->length;
    emit_tree(to, hosts, count, 0);
    size_t verdict = to->length;
    emit_verdict(to, hosts->loss_ppb);
    for (size_t at = begin; at < verdict; at++) {
        struct sock_filter *test = instruction(to, at);
        if (BPF_CLASS(test->code) != BPF_JMP)
            continue;
        if (test->jt == TO_VERDICT)
            test->jt = (uint8_t)(verdict - at - 1);
        if (test->jf == TO_NEXT)
            test->jf = (uint8_t)(to->length - at - 1);
    }
}

/* hosts: of one family. */
static void emit_hosts(struct assembler *to, const struct host *hosts, size_t count,
                       uint32_t others_ppb)
{
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1;
             end < count && end - i < CHUNK_HOSTS && hosts[end].loss_ppb == hosts[i].loss_ppb;
             end++)
            ;
        emit_chunk(to, &hosts[i], end - i);
    }
    if (others_ppb == 0)
        emit(to, BPF_RET | BPF_K, PASS);
    else
        emit_verdict(to, others_ppb);
}

/* Where all chunks that lose but do not cut draw: X is their threshold. Left out when nobody does,
 * as bpf(2) takes no program with unreachable code. */
static void emit_shared_draw(struct assembler *to)
{
    size_t draw = to->length, users = 0;
    for (size_t at = 0; at < draw && at < BPF_MAXINSNS; at++) {
        struct sock_filter *jump = &to->code[at];
        if (jump->code != (BPF_JMP | BPF_JA) || jump->k != PASS)
            continue;
        jump->k = (uint32_t)(draw - at - 1);
        users++;
    }
    if (users == 0)
        return;
    emit(to, BPF_LD | BPF_W | BPF_ABS, RANDOM);
    emit_jump(to, BPF_JMP | BPF_JGE | BPF_X, 0, 0, 1);
    emit(to, BPF_RET | BPF_K, PASS);
    emit(to, BPF_RET | BPF_K, 0);
}

/* hosts: sorted, the IPv4 ones first. */
static void emit_sources(struct assembler *to, const struct host *hosts, size_t count,
                         size_t ip4_count, uint32_t others_ppb)
{
    emit(to, BPF_LD | BPF_B | BPF_ABS, NET(0));
    emit(to, BPF_ALU | BPF_RSH | BPF_K, 4);
    emit_jump(to, BPF_JMP | BPF_JEQ | BPF_K, 4, 1, 0);
    size_t ip6 = emit(to, BPF_JMP | BPF_JA, 0);
    emit_hosts(to, hosts, ip4_count, others_ppb);
    instruction(to, ip6)->k = (uint32_t)(to->length - ip6 - 1);
    emit_hosts(to, hosts + ip4_count, count - ip4_count, others_ppb);
    emit_shared_draw(to);
}

int filter_compile_sources(const struct filter_source *sources, size_t count, uint32_t others_ppb,
                           struct filter_program *program)
{
    struct assembler to;
    size_t host_count = 0, ip4_count = 0;
    struct host *hosts = memory_allocate_zeroed(count + 1, sizeof(hosts[0]));
    *program = (struct filter_program){.fd = -1};
    for (size_t i = 0; i < count; i++) {
        if (host_read(&sources[i], &hosts[host_count])) {
            free(hosts);
            return -EINVAL;
        }
        if (sources[i].loss_ppb == 0 && others_ppb == 0)
            continue;
        ip4_count += hosts[host_count].word_count == 1;
        host_count++;
    }
    qsort(hosts, host_count, sizeof(hosts[0]), host_compare);
    program_begin(&to);
    emit_sources(&to, hosts, host_count, ip4_count, others_ppb);
    free(hosts);
    return program_end(&to, program);
}

void filter_free(struct filter_program *program)
{
    if (program->fd >= 0)
        close(program->fd);
    free(program->code);
    *program = (struct filter_program){.fd = -1};
}

int filter_attach(int fd, const struct filter_program *program)
{
    struct sock_fprog classic = {.len = program->length, .filter = program->code};
    int result = program->fd >= 0
                     ? setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &program->fd, sizeof(program->fd))
                     : setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &classic, sizeof(classic));
    return result ? -errno : 0;
}

int filter_detach(int fd)
{
    int ignored = 0;
    if (setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &ignored, sizeof(ignored)))
        return errno == ENOENT ? 0 : -errno;
    return 0;
}

int filter_allowed(void)
{
    struct sock_filter pass = BPF_STMT(BPF_RET | BPF_K, PASS);
    struct filter_program program = {.code = &pass, .length = 1, .fd = -1};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 && errno == EAFNOSUPPORT)
        fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int result = filter_attach(fd, &program);
    close(fd);
    return result;
}

int64_t filter_dropped(int fd)
{
    uint32_t values[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof(values);
    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, values, &length))
        return -errno;
    if (length <= SK_MEMINFO_DROPS * sizeof(values[0]))
        return -ENOTSUP;
    return values[SK_MEMINFO_DROPS];
}
