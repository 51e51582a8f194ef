/* What is written is read back by libpcap, and by tcpdump. */
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pcap/pcap.h>

#include "proxy/base/monotonic.h"
#include "proxy/capture/pcapng.h"
#include "tests/lib/child.h"

#define TIME_NS UINT64_C(1760000000123456789)

static const struct pcapng_interface n1 = {
    .name = "n1", .description = "node n1", .filter = "tcp port 80", .snaplen = 200};

static void make_frame(unsigned char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)(i * 7);
}

/* A file of packets of 0 to `count` - 1 bytes behind 14. */
static void write_file(struct pcapng_buffer *buffer, unsigned count)
{
    unsigned char bytes[2000];
    char comment[64];
    make_frame(bytes, sizeof(bytes));
    assert_true(pcapng_section(buffer, "severd", "a test"));
    assert_true(pcapng_interface(buffer, &n1));
    assert_true(pcapng_interface(buffer, &(struct pcapng_interface){.name = "n2", .snaplen = 200}));
    for (unsigned i = 0; i < count; i++) {
        snprintf(comment, sizeof(comment), "n1->n2 dropped: packet %u", i);
        assert_true(pcapng_packet(buffer, &(struct pcapng_packet){.interface = i % 2,
                                                                  .time_ns = TIME_NS + i,
                                                                  .bytes = bytes,
                                                                  .captured = 14 + i,
                                                                  .length = 14 + i + 1000,
                                                                  .direction = PCAPNG_OUTBOUND,
                                                                  .comment = comment}));
        assert_true(pcapng_statistics(buffer, &(struct pcapng_statistics){.interface = i % 2,
                                                                          .time_ns = TIME_NS + i,
                                                                          .begun_ns = TIME_NS,
                                                                          .received = i + 7,
                                                                          .dropped = 7,
                                                                          .comment = "7 lost"}));
    }
}

static void save(const struct pcapng_buffer *buffer, char *path)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, buffer->bytes, buffer->used), buffer->used);
    close(fd);
}

static void libpcap_reads_it(void **state)
{
    (void)state;
    static unsigned char memory[1 << 16], bytes[2000];
    char path[] = "/tmp/sever-pcapng-XXXXXX", why[PCAP_ERRBUF_SIZE];
    struct pcapng_buffer buffer = {.bytes = memory, .size = sizeof(memory)};
    write_file(&buffer, 100);
    save(&buffer, path);
    make_frame(bytes, sizeof(bytes));
    pcap_t *pcap = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, why);
    if (!pcap)
        fail_msg("%s", why);
    assert_int_equal(pcap_datalink(pcap), DLT_EN10MB);
    assert_int_equal(pcap_snapshot(pcap), 200);
    struct pcap_pkthdr *header;
    const unsigned char *data;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(pcap_next_ex(pcap, &header, &data), 1);
        assert_int_equal(header->caplen, 14 + i);
        assert_int_equal(header->len, 14 + i + 1000);
        assert_int_equal((uint64_t)header->ts.tv_sec * NS_PER_S + (uint64_t)header->ts.tv_usec,
                         TIME_NS + i);
        assert_memory_equal(data, bytes, 14 + i);
    }
    assert_int_equal(pcap_next_ex(pcap, &header, &data), PCAP_ERROR_BREAK);
    pcap_close(pcap);
    unlink(path);
}

static void tcpdump_reads_it(void **state)
{
    (void)state;
    static unsigned char memory[1 << 16];
    char path[] = "/tmp/sever-pcapng-XXXXXX";
    struct pcapng_buffer buffer = {.bytes = memory, .size = sizeof(memory)};
    struct text output = {0};
    write_file(&buffer, 3);
    save(&buffer, path);
    const char *argv[] = {"tcpdump", "--nano", "-ttnr", path, NULL};
    int code = child_run(argv, NULL, NULL, &output);
    unlink(path);
    if (code == CHILD_NOT_FOUND) {
        text_free(&output);
        skip();
    }
    assert_int_equal(code, 0);
    assert_non_null(strstr(text_get(&output), "1760000000.123456791 "));
    text_free(&output);
}

/* Options by their place, for what libpcap does not show. */
static void options_are_where_they_should_be(void **state)
{
    (void)state;
    static const unsigned char broadcast[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
                               multicast[16] = {0x33, 0x33}, unicast[16] = {0x02};
    static const unsigned char *const frames[] = {unicast, multicast, broadcast};
    unsigned char memory[1024];
    for (uint32_t i = 0; i < 3; i++) {
        struct pcapng_buffer buffer = {.bytes = memory, .size = sizeof(memory)};
        uint32_t words[18];
        assert_true(pcapng_packet(&buffer, &(struct pcapng_packet){.bytes = frames[i],
                                                                   .captured = 15,
                                                                   .length = 15,
                                                                   .direction = PCAPNG_INBOUND,
                                                                   .comment = "abcde"}));
        assert_int_equal(buffer.used, sizeof(words));
        memcpy(words, memory, sizeof(words));
        assert_int_equal(words[0], 6);
        assert_int_equal(words[1], sizeof(words));
        assert_int_equal(words[17], sizeof(words));
        assert_int_equal(memory[43], 0);               /* padding */
        assert_int_equal(words[11], 2 | 4 << 16);      /* the flags, 4 bytes */
        assert_int_equal(words[12], (i + 1) << 2 | 1); /* addressed to, inbound */
        assert_int_equal(words[13], 1 | 5 << 16);      /* the comment, 5 bytes */
        assert_memory_equal(&words[14], "abcde\0\0", 8);
        assert_int_equal(words[16], 0);
    }
}

/* At every size of the buffer: the whole block or nothing, and nothing behind the buffer. */
static void a_block_is_whole_or_not_there(void **state)
{
    (void)state;
    static unsigned char whole[4096];
    struct pcapng_buffer all = {.bytes = whole, .size = sizeof(whole)};
    write_file(&all, 1);
    for (size_t size = 0; size < all.used; size++) {
        unsigned char *memory = malloc(size + 1);
        struct pcapng_buffer buffer = {.bytes = memory, .size = size};
        size_t before = 0;
        bool fits = pcapng_section(&buffer, "severd", "a test");
        if (fits) {
            before = buffer.used;
            fits = pcapng_interface(&buffer, &n1);
        }
        if (fits) {
            before = buffer.used;
            fits = pcapng_packet(
                &buffer, &(struct pcapng_packet){
                             .bytes = whole, .captured = 61, .length = 61, .comment = "fate"});
        }
        if (fits) {
            before = buffer.used;
            fits = pcapng_statistics(&buffer, &(struct pcapng_statistics){.comment = "x"});
        }
        if (!fits)
            assert_int_equal(buffer.used, before);
        assert_true(buffer.used <= size);
        free(memory);
    }
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    static unsigned char memory[1 << 15], bytes[1000];
    static char text[3 * PCAPNG_TEXT_MAX];
    memset(text, 'x', sizeof(text) - 1);
    struct pcapng_buffer buffer = {.bytes = memory, .size = sizeof(memory)};
    struct pcapng_packet packet = {
        .bytes = bytes, .captured = 1000, .length = 1000, .comment = text};
    assert_true(pcapng_packet(&buffer, &packet));
    assert_true(buffer.used <= 1000 + PCAPNG_PACKET_OVERHEAD);
    buffer.used = 0;
    assert_true(pcapng_section(&buffer, text, text));
    assert_true(pcapng_interface(&buffer, &(struct pcapng_interface){text, text, text, 200}));
    assert_true(buffer.used < 6 * PCAPNG_TEXT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(libpcap_reads_it),
        cmocka_unit_test(tcpdump_reads_it),
        cmocka_unit_test(options_are_where_they_should_be),
        cmocka_unit_test(a_block_is_whole_or_not_there),
        cmocka_unit_test(long_texts_are_cut),
    };
    return cmocka_run_group_tests_name("capture/pcapng", tests, NULL, NULL);
}
