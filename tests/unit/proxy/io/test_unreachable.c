#include "tests/lib/test.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/internet_checksum.h"
#include "proxy/base/monotonic.h"
#include "proxy/io/ip_header.h"
#include "proxy/io/socket.h"
#include "proxy/io/unreachable.h"

struct rig {
    struct unreachable unreachable;
    int server, client;
    struct address server_address, client_address;
};

static void open_rig(struct rig *rig, const char *server, const char *client)
{
    struct address address;
    unreachable_open(&rig->unreachable);
    assert_int_equal(address_parse_host(server, &address, NULL), 0);
    rig->server = socket_bind_datagram(&address, false, &rig->server_address, NULL);
    assert_int_equal(address_parse_host(client, &address, NULL), 0);
    rig->client = socket_bind_datagram(&address, false, &rig->client_address, NULL);
    assert_true(rig->server >= 0 && rig->client >= 0);
    assert_int_equal(connect(rig->client, (struct sockaddr *)&rig->server_address.storage,
                             rig->server_address.length),
                     0);
}

static void close_rig(struct rig *rig)
{
    close(rig->server);
    close(rig->client);
    unreachable_close(&rig->unreachable);
    assert_false(unreachable_works(&rig->unreachable));
}

static void a_connected_sender_is_refused(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"127.0.0.1", "127.0.0.1"},
                                           {"127.0.0.3", "127.0.0.9"},
                                           {"::1", "::1"},
                                           {"::ffff:127.0.0.3", "::ffff:127.0.0.1"}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct rig rig;
        open_rig(&rig, pairs[i][0], pairs[i][1]);
        if (!unreachable_works(&rig.unreachable)) {
            print_message("no CAP_NET_RAW here: nobody can be told\n");
            assert_false(
                unreachable_send(&rig.unreachable, &rig.client_address, &rig.server_address, 5));
            close_rig(&rig);
            continue;
        }
        assert_int_equal(send(rig.client, "hello", 5, 0), 5);
        assert_true(
            unreachable_send(&rig.unreachable, &rig.client_address, &rig.server_address, 5));
        struct pollfd wait = {.fd = rig.client, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, 20000), 1);
        assert_int_equal(recv(rig.client, &(char){0}, 1, MSG_DONTWAIT), -1);
        assert_int_equal(errno, ECONNREFUSED);
        assert_int_equal(send(rig.client, "again", 5, 0), 5); /* told once for each */
        close_rig(&rig);
    }
}

/* An error about another datagram than one of this socket reaches nobody. */
static void another_is_not(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        open_rig(&rig, hosts[i], hosts[i]);
        struct address elsewhere = rig.server_address;
        address_set_port(&elsewhere, (uint16_t)(address_port(&elsewhere) ^ 1));
        unreachable_send(&rig.unreachable, &rig.client_address, &elsewhere, 5);
        assert_int_equal(socket_take_error(rig.client), 0);
        close_rig(&rig);
    }
}

static void what_has_no_host_is_not_sent(void **state)
{
    (void)state;
    struct unreachable unreachable;
    struct address host, path;
    unreachable_open(&unreachable);
    assert_int_equal(address_parse("127.0.0.1:1", &host, NULL), 0);
    assert_int_equal(address_parse("unix:/x", &path, NULL), 0);
    assert_false(unreachable_send(&unreachable, &path, &host, 1));
    assert_false(unreachable_send(&unreachable, &host, &path, 1));
    unreachable_close(&unreachable);
    assert_false(unreachable_send(&unreachable, &host, &host, 1));
}

/* Anybody can write these as a source. */
static void groups_are_not_told(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"0.0.0.0:1", "127.0.0.1:1"},
                                           {"224.0.0.1:1", "127.0.0.1:1"},
                                           {"255.255.255.255:1", "127.0.0.1:1"},
                                           {"0.1.2.3:1", "127.0.0.1:1"},
                                           {"[::]:1", "[::1]:1"},
                                           {"[ff02::1]:1", "[::1]:1"},
                                           {"[::ffff:224.0.0.1]:1", "127.0.0.1:1"}};
    struct unreachable unreachable;
    unreachable_open(&unreachable);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct address source, destination;
        assert_int_equal(address_parse(pairs[i][0], &source, NULL), 0);
        assert_int_equal(address_parse(pairs[i][1], &destination, NULL), 0);
        if (unreachable_send(&unreachable, &source, &destination, 1))
            fail_msg("%s", pairs[i][0]);
    }
    unreachable_close(&unreachable);
}

static void headers_are_as_the_standards_say(void **state)
{
    (void)state;
    static const unsigned char ipv4[] = {0x45, 0,    0,  38, 0, 0,  0x40, 0, 64, 17,
                                         0x26, 0xc5, 10, 0,  0, 1,  10,   0, 0,  2,
                                         4,    210,  0,  53, 0, 18, 0,    0};
    static const unsigned char ipv6[] = {
        0x60, 0, 0, 0, 0, 18, 17, 64, 0x20, 0x01, 0x0d, 0xb8, 0, 0,  0, 0,
        0,    0, 0, 0, 0, 0,  0,  1,  0x20, 0x01, 0x0d, 0xb8, 0, 0,  0, 0,
        0,    0, 0, 0, 0, 0,  0,  2,  4,    210,  0,    53,   0, 18, 0, 0};
    unsigned char buffer[IP_HEADER_ROOM + 10];
    struct address from, to;
    assert_int_equal(address_parse("10.0.0.1:1234", &from, NULL), 0);
    assert_int_equal(address_parse("10.0.0.2:53", &to, NULL), 0);
    assert_int_equal(ip_header_write(buffer + IP_HEADER_ROOM, 10, &from, &to), sizeof(ipv4));
    assert_memory_equal(buffer + IP_HEADER_ROOM - sizeof(ipv4), ipv4, sizeof(ipv4));
    assert_int_equal(internet_checksum(ipv4, 20), 0);
    assert_int_equal(address_parse("[2001:db8::1]:1234", &from, NULL), 0);
    assert_int_equal(address_parse("[2001:db8::2]:53", &to, NULL), 0);
    assert_int_equal(ip_header_write(buffer + IP_HEADER_ROOM, 10, &from, &to), sizeof(ipv6));
    assert_memory_equal(buffer + IP_HEADER_ROOM - sizeof(ipv6), ipv6, sizeof(ipv6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connected_sender_is_refused),    cmocka_unit_test(another_is_not),
        cmocka_unit_test(what_has_no_host_is_not_sent),     cmocka_unit_test(groups_are_not_told),
        cmocka_unit_test(headers_are_as_the_standards_say),
    };
    return cmocka_run_group_tests_name("proxy/io/unreachable", tests, NULL, NULL);
}
