#include "tests/lib/test.h"

#include <string.h>

#include "proxy/base/internet_checksum.h"
#include "proxy/base/random.h"

/* As in the books: word by word, in big-endian. */
static uint16_t plain_checksum(const unsigned char *bytes, size_t length)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i++) {
        sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

static uint16_t in_host_order(uint16_t checksum)
{
    unsigned char bytes[2];
    memcpy(bytes, &checksum, 2);
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void examples_of_rfc_1071(void **state)
{
    (void)state;
    uint16_t sum = internet_checksum("\x00\x01\xf2\x03\xf4\xf5\xf6\xf7", 8);
    assert_memory_equal(&sum, "\x22\x0d", 2);
    sum = internet_checksum("\x01", 1);
    assert_memory_equal(&sum, "\xfe\xff", 2);
    sum = internet_checksum("", 0);
    assert_memory_equal(&sum, "\xff\xff", 2);
}

static void all_lengths_and_alignments(void **state)
{
    (void)state;
    struct random_stream random = {.key = 1};
    static unsigned char bytes[70000];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i < 300 ? 0xff : random_next(&random));
    for (size_t offset = 0; offset < 9; offset++)
        for (size_t length = 0; length < 600; length++)
            assert_int_equal(in_host_order(internet_checksum(bytes + offset, length)),
                             plain_checksum(bytes + offset, length));
    assert_int_equal(in_host_order(internet_checksum(bytes, 65535)), plain_checksum(bytes, 65535));
}

static void pieces_and_large_sums(void **state)
{
    (void)state;
    static unsigned char ones[65536];
    memset(ones, 0xff, sizeof(ones));
    uint64_t sum = 0;
    for (int i = 0; i < 1000; i++)
        sum = internet_checksum_add(sum, ones, sizeof(ones));
    assert_int_equal(internet_checksum_fold(sum), 0xffff);
    assert_int_equal(internet_checksum_fold(UINT64_MAX), 0xffff);
    assert_int_equal(internet_checksum_fold(UINT64_C(0xffffffff00000001)), 1);
    sum = internet_checksum_add(0, "abcd", 4);
    sum = internet_checksum_add(sum, "efghi", 5);
    assert_int_equal((uint16_t)~internet_checksum_fold(sum), internet_checksum("abcdefghi", 9));
}

static void an_update_is_as_good_as_a_new_sum(void **state)
{
    (void)state;
    struct random_stream random = {.key = 2};
    uint16_t words[10];
    for (int round = 0; round < 10000; round++) {
        for (int i = 0; i < 10; i++)
            words[i] = (uint16_t)(random_next(&random) % 3 ? random_next(&random) : 0xffff);
        words[4] |= 1; /* all zeroes have two representations */
        uint16_t before = words[3], sum = internet_checksum(words, sizeof(words));
        words[3] = (uint16_t)random_next(&random);
        assert_int_equal(internet_checksum_update(sum, before, words[3]),
                         internet_checksum(words, sizeof(words)));
    }
    /* RFC 1624, section 4: not 0xffff. */
    assert_int_equal(internet_checksum_update(0xdd2f, 0x5555, 0x3285), 0x0000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_rfc_1071),
        cmocka_unit_test(all_lengths_and_alignments),
        cmocka_unit_test(pieces_and_large_sums),
        cmocka_unit_test(an_update_is_as_good_as_a_new_sum),
    };
    return cmocka_run_group_tests_name("proxy/base/internet_checksum", tests, NULL, NULL);
}
