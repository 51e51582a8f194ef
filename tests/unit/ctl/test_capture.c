/* What severctl capture reads: pcapng blocks in any pieces, packets in brief. */
#include "tests/lib/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/packet_line.h"
#include "ctl/pcapng_reader.h"

/* --- blocks --- */

enum { BLOCKS = 4, PACKET = 28 + 8 + 8 + 16 + 4 + 4, STATISTICS = 20 + 12 + 4 + 4 };

struct heard {
    unsigned blocks, packets, until;
    struct pcapng_seen last;
    unsigned char bytes[8];
};

static bool hear(void *context, const void *block, size_t length, const struct pcapng_seen *packet)
{
    struct heard *heard = context;
    assert_true(length >= 12 && block);
    heard->blocks++;
    if (packet) {
        heard->packets++;
        heard->last = *packet;
        memcpy(heard->bytes, packet->bytes,
               packet->captured < sizeof(heard->bytes) ? packet->captured : sizeof(heard->bytes));
    }
    return heard->packets != heard->until || !heard->until;
}

static void put(unsigned char *at, uint32_t value)
{
    memcpy(at, &value, sizeof(value));
}

/* A section, a packet of 7 bytes with a comment of 11, statistics with 5 lost, another packet. */
static size_t make(unsigned char *file)
{
    unsigned char *at = file;
    memset(file, 0, 1024);
    put(at, 0x0a0d0d0a);
    put(at + 4, 28);
    put(at + 8, 0x1a2b3c4d);
    put(at + 24, 28);
    at += 28;
    for (int i = 0; i < 2; i++) {
        put(at, 6);
        put(at + 4, PACKET);
        put(at + 12, 1);
        put(at + 16, 2);
        put(at + 20, 7);
        put(at + 24, 1500);
        memcpy(at + 28, "packet", 7);
        put(at + 36, 2 | 4 << 16); /* flags */
        put(at + 44, 1 | 11 << 16);
        memcpy(at + 48, "n1->n2 fate", 12);
        put(at + PACKET - 4, PACKET);
        at += PACKET;
        if (i)
            break;
        put(at, 5);
        put(at + 4, STATISTICS);
        put(at + 8, 1);
        put(at + 20, 5 | 8 << 16);
        put(at + 24, 5);
        put(at + STATISTICS - 4, STATISTICS);
        at += STATISTICS;
    }
    return (size_t)(at - file);
}

static void blocks_in_any_pieces(void **state)
{
    (void)state;
    unsigned char file[1024];
    size_t length = make(file);
    for (size_t piece = 1; piece <= length; piece++) {
        struct heard heard = {0};
        struct pcapng_reader reader = {.block = hear, .context = &heard};
        struct error error = {0};
        for (size_t at = 0; at < length; at += piece) {
            size_t part = piece < length - at ? piece : length - at;
            char *exact = malloc(part);
            memcpy(exact, file + at, part);
            assert_int_equal(pcapng_reader_take(&reader, exact, part, &error), 0);
            free(exact);
        }
        assert_int_equal(heard.blocks, BLOCKS);
        assert_int_equal(reader.packets, 2);
        assert_int_equal(pcapng_reader_lost(&reader), 5);
        assert_string_equal(heard.last.comment, "n1->n2 fate");
        assert_true(heard.last.time_ns == (UINT64_C(1) << 32 | 2));
        assert_int_equal(heard.last.captured, 7);
        assert_int_equal(heard.last.length, 1500);
        assert_memory_equal(heard.bytes, "packet", 7);
        pcapng_reader_free(&reader);
    }
}

static void the_callback_ends_it(void **state)
{
    (void)state;
    unsigned char file[1024];
    struct heard heard = {.until = 1};
    struct pcapng_reader reader = {.block = hear, .context = &heard};
    struct error error = {0};
    size_t length = make(file);
    assert_int_equal(pcapng_reader_take(&reader, (const char *)file, length, &error), 1);
    assert_int_equal(heard.blocks, 2);
    pcapng_reader_free(&reader);
}

/* Each byte changed in every way that matters: an answer, and nothing outside the memory. */
static void broken_blocks(void **state)
{
    (void)state;
    unsigned char file[1024];
    static const unsigned char values[] = {0, 1, 3, 4, 11, 0x7f, 0x80, 0xff};
    size_t length = make(file);
    unsigned refused = 0;
    for (size_t i = 0; i < length; i++)
        for (size_t v = 0; v < sizeof(values); v++) {
            struct heard heard = {0};
            struct pcapng_reader reader = {.block = hear, .context = &heard};
            struct error error = {0};
            make(file);
            file[i] = values[v];
            int result = pcapng_reader_take(&reader, (const char *)file, length, &error);
            assert_true(result == 0 || result == -EPROTO);
            refused += result < 0;
            pcapng_reader_free(&reader);
        }
    assert_true(refused > 50);
}

/* --- lines --- */

static void check(const char *wanted, const void *bytes, size_t length)
{
    /* Also of all shorter ones, which is for the sanitizer to judge. */
    for (size_t part = 0; part <= length; part++) {
        struct text text = {0};
        unsigned char *exact = malloc(part ? part : 1);
        memcpy(exact, bytes, part);
        packet_line_append(&text, exact, (uint32_t)part);
        if (part == length)
            assert_string_equal(text_get(&text), wanted);
        assert_true(text.length > 0);
        free(exact);
        text_free(&text);
    }
}

#define MACS "\2\0\0\0\0\1\2\0\0\0\0\2"
#define IPV4(protocol, fragment)                                                                   \
    "\x08\0\x45\0\0\x28\0\0" fragment "\x40" protocol "\0\0\x0a\x4d\0\1\x0a\x4d\0\2"
#define IPV6(next)                                                                                 \
    "\x86\xdd\x60\0\0\0\0\x14" next "\x40"                                                         \
    "\xfd\x77\0\0\0\0\0\0\0\0\0\0\0\0\0\1\xfd\x77\0\0\0\0\0\0\0\0\0\0\0\0\0\2"
#define TCP(flags) "\xa0\x28\x09\x4b\0\0\0\0\0\0\0\0\x50" flags "\0\0\0\0\0\0"
#define CHECK(wanted, bytes) check(wanted, bytes, sizeof(bytes) - 1)

static void packets_in_brief(void **state)
{
    (void)state;
    CHECK("TCP 10.77.0.1:41000 > 10.77.0.2:2379 [S.]", MACS IPV4("\6", "\0\0") TCP("\x12"));
    CHECK("TCP 10.77.0.1:41000 > 10.77.0.2:2379 [FRPU]", MACS IPV4("\6", "\0\0") TCP("\x2d"));
    CHECK("TCP [fd77::1]:41000 > [fd77::2]:2379 [.]", MACS IPV6("\6") TCP("\x10"));
    CHECK("UDP 10.77.0.1:53 > 10.77.0.2:54", MACS IPV4("\x11", "\0\0") "\0\x35\0\x36\0\x08\0\0");
    CHECK("UDP 10.77.0.1:53 > 10.77.0.2:54 fragment",
          MACS IPV4("\x11", "\x20\0") "\0\x35\0\x36\0\x08\0\0");
    CHECK("UDP 10.77.0.1 > 10.77.0.2 fragment",
          MACS IPV4("\x11", "\0\x10") "\0\x35\0\x36\0\x08\0\0");
    CHECK("ICMP echo request 10.77.0.1 > 10.77.0.2", MACS IPV4("\1", "\0\0") "\x08\0\0\0");
    CHECK("ICMP echo reply 10.77.0.1 > 10.77.0.2", MACS IPV4("\1", "\0\0") "\0\0\0\0");
    CHECK("ICMPv6 echo request fd77::1 > fd77::2", MACS IPV6("\x3a") "\x80\0\0\0");
    CHECK("ICMPv6 echo reply fd77::1 > fd77::2", MACS IPV6("\0") "\x3a\0\0\0\0\0\0\0"
                                                                 "\x81\0\0\0");
    CHECK("UDP [fd77::1]:53 > [fd77::2]:54 fragment", MACS IPV6("\x2c") "\x11\0\0\1\0\0\0\0"
                                                                        "\0\x35\0\x36\0\x08\0\0");
    CHECK("IPv4 protocol 132 10.77.0.1 > 10.77.0.2", MACS IPV4("\x84", "\0\0"));
    CHECK("ARP who has 10.77.0.2, tell 10.77.0.1",
          MACS "\x08\6\0\1\x08\0\6\4\0\1\2\0\0\0\0\1\x0a\x4d\0\1\0\0\0\0\0\0\x0a\x4d\0\2");
    CHECK("ARP 10.77.0.1 is here",
          MACS "\x08\6\0\1\x08\0\6\4\0\2\2\0\0\0\0\1\x0a\x4d\0\1\2\0\0\0\0\2\x0a\x4d\0\2");
    CHECK("ethertype 0x88cc", MACS "\x88\xcc\0\0");
    CHECK("TCP 10.77.0.1:41000 > 10.77.0.2:2379 [S]",
          MACS "\x81\0\0\7" IPV4("\6", "\0\0") TCP("\2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_in_any_pieces),
        cmocka_unit_test(the_callback_ends_it),
        cmocka_unit_test(broken_blocks),
        cmocka_unit_test(packets_in_brief),
    };
    return cmocka_run_group_tests_name("ctl/capture", tests, NULL, NULL);
}
