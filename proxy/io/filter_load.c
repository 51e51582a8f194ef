/* The same program for bpf(2): classic BPF, translated.
 *
 * A socket filter that was loaded is shared by all sockets to which it is attached, and so the
 * kernel compiles it once. Registers: A and X are kept where no call touches them, the packet is in
 * R6, as the loads want it; M[i] is on the stack. Each classic instruction becomes one to five; a
 * first pass finds where each begins, so that jumps can be set in the second. Only what filter.c
 * emits is translated.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <linux/filter.h>

#include "proxy/base/text.h"
#include "proxy/io/filter.h"

enum {
    RESULT = BPF_REG_0,
    ARGUMENT = BPF_REG_1,
    PACKET = BPF_REG_6,
    A = BPF_REG_7,
    X = BPF_REG_8,
    STACK = BPF_REG_10,
    PROLOGUE = 3,
    EXPANSION_MAX = 4,
};

struct translation {
    struct bpf_insn *code;
    size_t length;
    size_t *begins; /* by classic instruction */
};

static void put(struct translation *to, unsigned code, unsigned target, unsigned source, int offset,
                int32_t value)
{
    to->code[to->length++] = (struct bpf_insn){.code = (uint8_t)code,
                                               .dst_reg = target & 15,
                                               .src_reg = source & 15,
                                               .off = (int16_t)offset,
                                               .imm = value};
}

static void put_load(struct translation *to, const struct sock_filter *from)
{
    if (BPF_MODE(from->code) == BPF_IMM) {
        put(to, BPF_ALU | BPF_MOV | BPF_K, A, 0, 0, (int32_t)from->k);
    } else if (BPF_MODE(from->code) == BPF_LEN) {
        put(to, BPF_LDX | BPF_MEM | BPF_W, A, PACKET, offsetof(struct __sk_buff, len), 0);
    } else if (BPF_MODE(from->code) == BPF_MEM) {
        put(to, BPF_LDX | BPF_MEM | BPF_W, A, STACK, -4 * (int)(from->k + 1), 0);
    } else if (from->k == (uint32_t)SKF_AD_OFF + SKF_AD_RANDOM) {
        put(to, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_prandom_u32);
        put(to, BPF_ALU | BPF_MOV | BPF_X, A, RESULT, 0, 0);
    } else {
        put(to, BPF_LD | BPF_ABS | BPF_SIZE(from->code), 0, 0, 0, (int32_t)from->k);
        put(to, BPF_ALU | BPF_MOV | BPF_X, A, RESULT, 0, 0);
    }
}

static void put_jump(struct translation *to, const struct sock_filter *from, size_t at)
{
    size_t next = at + 1;
    if (BPF_OP(from->code) == BPF_JA) {
        put(to, BPF_JMP | BPF_JA, 0, 0, (int)(to->begins[next + from->k] - to->length - 1), 0);
        return;
    }
    unsigned source = BPF_SRC(from->code);
    put(to, BPF_JMP32 | BPF_OP(from->code) | source, A, source == BPF_X ? X : 0,
        (int)(to->begins[next + from->jt] - to->length - 1),
        source == BPF_X ? 0 : (int32_t)from->k);
    put(to, BPF_JMP | BPF_JA, 0, 0, (int)(to->begins[next + from->jf] - to->length - 1), 0);
}

static void put_return(struct translation *to, const struct sock_filter *from)
{
    if (BPF_RVAL(from->code) == BPF_A)
        put(to, BPF_ALU | BPF_MOV | BPF_X, RESULT, A, 0, 0);
    else
        put(to, BPF_ALU | BPF_MOV | BPF_K, RESULT, 0, 0, (int32_t)from->k);
    put(to, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void put_instruction(struct translation *to, const struct sock_filter *from, size_t at)
{
    unsigned source = BPF_SRC(from->code);
    switch (BPF_CLASS(from->code)) {
    case BPF_LD:
        put_load(to, from);
        break;
    case BPF_LDX: /* immediate */
        put(to, BPF_ALU | BPF_MOV | BPF_K, X, 0, 0, (int32_t)from->k);
        break;
    case BPF_ST:
        put(to, BPF_STX | BPF_MEM | BPF_W, STACK, A, -4 * (int)(from->k + 1), 0);
        break;
    case BPF_ALU:
        put(to, BPF_ALU | BPF_OP(from->code) | source, A, source == BPF_X ? X : 0, 0,
            source == BPF_X ? 0 : (int32_t)from->k);
        break;
    case BPF_JMP:
        put_jump(to, from, at);
        break;
    case BPF_RET:
        put_return(to, from);
        break;
    default: /* BPF_MISC: TAX */
        put(to, BPF_ALU | BPF_MOV | BPF_X, X, A, 0, 0);
    }
}

static void translate(struct translation *to, const struct filter_program *from)
{
    for (int pass = 0; pass < 2; pass++) {
        to->length = 0;
        put(to, BPF_ALU64 | BPF_MOV | BPF_X, PACKET, ARGUMENT, 0, 0);
        put(to, BPF_ALU | BPF_MOV | BPF_K, A, 0, 0, 0);
        put(to, BPF_ALU | BPF_MOV | BPF_K, X, 0, 0, 0);
        for (size_t at = 0; at < from->length; at++) {
            to->begins[at] = to->length;
            put_instruction(to, &from->code[at], at);
        }
    }
}

int filter_load(struct filter_program *program)
{
    struct translation to = {
        .code = memory_allocate_zeroed(PROLOGUE + EXPANSION_MAX * (size_t)program->length,
                                       sizeof(to.code[0])),
        .begins = memory_allocate_zeroed(program->length, sizeof(to.begins[0])),
    };
    translate(&to, program);
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof(attributes));
    attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
    attributes.insns = (uintptr_t)to.code;
    attributes.insn_cnt = (uint32_t)to.length;
    attributes.license = (uintptr_t) "Dual MIT/GPL";
    memcpy(attributes.prog_name, "sever", 6);
    long fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes));
    int result = fd < 0 ? -errno : 0;
    free(to.code);
    free(to.begins);
    if (result == 0) {
        if (program->fd >= 0)
            close(program->fd);
        program->fd = (int)fd; /* close-on-exec */
    }
    return result;
}
