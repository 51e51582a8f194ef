#include "tests/lib/test.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "proxy/io/socket.h"

/* What a connect to the address comes to: 0 or -errno. */
static int try_connect(const struct address *address)
{
    int fd = socket_connect(address, NULL, NULL);
    if (fd < 0)
        return fd;
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    assert_int_equal(poll(&poll_fd, 1, 10000), 1);
    int result = socket_take_error(fd);
    close(fd);
    return result;
}

static void listen_on(const char *text, bool share_port, struct address *bound, int *fd)
{
    struct address address;
    assert_int_equal(address_parse(text, &address, NULL), 0);
    *fd = socket_listen(&address, share_port, bound, NULL);
    assert_true(*fd >= 0);
}

/* Whether the port was asked for by number or not. */
static void a_refusing_listener_keeps_its_port(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "[::1]"};
    for (size_t i = 0; i < 8; i++) {
        struct address bound, again;
        char text[ADDRESS_TEXT_MAX];
        int fd;
        snprintf(text, sizeof(text), "%s:0", hosts[i & 1]);
        listen_on(text, i & 2, &bound, &fd);
        assert_true(address_port(&bound) != 0);
        if (i & 4) {
            close(fd);
            listen_on(address_format(&bound, text), i & 2, &bound, &fd);
        }
        for (int round = 0; round < 2; round++) {
            assert_int_equal(try_connect(&bound), 0);
            assert_int_equal(socket_refuse(fd), 0);
            assert_int_equal(try_connect(&bound), -ECONNREFUSED);
            assert_int_equal(try_connect(&bound), -ECONNREFUSED);
            assert_int_equal(socket_listen(&bound, false, NULL, NULL), -EADDRINUSE);
            assert_int_equal(socket_listen_again(fd), 0);
        }
        assert_int_equal(try_connect(&bound), 0);
        again.length = sizeof(again.storage);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&again.storage, &again.length), 0);
        assert_int_equal(address_port(&again), address_port(&bound));
        close(fd);
    }
}

static void who_waits_to_be_accepted_is_reset(void **state)
{
    (void)state;
    struct address bound;
    int fd;
    char byte;
    listen_on("127.0.0.1:0", false, &bound, &fd);
    int client = socket_connect(&bound, NULL, NULL);
    struct pollfd poll_fd = {.fd = client, .events = POLLOUT};
    assert_int_equal(poll(&poll_fd, 1, 10000), 1);
    assert_int_equal(socket_refuse(fd), 0);
    poll_fd.events = POLLIN;
    assert_int_equal(poll(&poll_fd, 1, 10000), 1);
    assert_int_equal(recv(client, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    close(client);
    close(fd);
}

static void a_unix_listener_cannot_refuse(void **state)
{
    (void)state;
    struct address bound;
    char text[64];
    int fd;
    snprintf(text, sizeof(text), "unix:/tmp/sever-socket-%d", getpid());
    listen_on(text, false, &bound, &fd);
    assert_int_equal(socket_refuse(fd), -EOPNOTSUPP);
    assert_int_equal(try_connect(&bound), 0); /* it goes on */
    close(fd);
    unlink(text + 5);
}

/* For connections that begin from then on, both ways; a listener that refuses forgets it, and takes
 * it all the same. */
static void a_listener_announces_its_segments(void **state)
{
    (void)state;
    static const int announced[] = {0, 1460, 0, 1460, 0};
    static const bool refuse[] = {false, false, false, true, true};
    struct address bound;
    int listener;
    listen_on("127.0.0.1:0", false, &bound, &listener);
    for (int i = 0; i < 5; i++) {
        if (refuse[i])
            assert_int_equal(socket_refuse(listener), 0);
        if (!(refuse[i] && announced[i] == 0))
            socket_set_segment_bytes(listener, announced[i]);
        if (refuse[i])
            assert_int_equal(socket_listen_again(listener), 0);
        int client = socket_connect(&bound, NULL, NULL), server;
        struct pollfd poll_fd = {.fd = listener, .events = POLLIN};
        assert_int_equal(poll(&poll_fd, 1, 10000), 1);
        server = socket_accept(listener, NULL);
        for (int side = 0; side < 2; side++) {
            int bytes = socket_segment_bytes(side ? server : client);
            assert_true(announced[i] ? bytes > 1400 && bytes <= announced[i] : bytes > 16384);
            close(side ? server : client);
        }
    }
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusing_listener_keeps_its_port),
        cmocka_unit_test(who_waits_to_be_accepted_is_reset),
        cmocka_unit_test(a_unix_listener_cannot_refuse),
        cmocka_unit_test(a_listener_announces_its_segments),
    };
    return cmocka_run_group_tests_name("proxy/io socket", tests, NULL, NULL);
}
