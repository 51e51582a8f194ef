/* Ports of the host that lead into a lab. In place of the switch a hub: every frame of a node goes
 * to all others.
 *
 *   this process -> 127.0.0.1:port -> gateway -> hub -> n1:7777, where an echo server is */
#include "tests/unit/proxy/lab/rig.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "proxy/io/socket.h"

enum { PORTS_MAX = 4 };

struct hub {
    struct packet_port *ports[PORTS_MAX];
    size_t count;
    pthread_t thread;
    atomic_bool stop;
};

static void pass_on(struct hub *hub, size_t from)
{
    struct packet_frame frames[16];
    unsigned count;
    while ((count = packet_port_take(hub->ports[from], frames, 16)) > 0) {
        for (unsigned i = 0; i < count; i++) {
            struct packet_parts parts = {.header = frames[i].header, .length = frames[i].length};
            for (size_t to = 0; to < hub->count; to++)
                if (to != from)
                    packet_port_send(hub->ports[to], &parts, 1);
        }
        packet_port_release(hub->ports[from]);
    }
}

static void *hub_main(void *context)
{
    struct hub *hub = context;
    struct pollfd polled[PORTS_MAX * PACKET_RINGS];
    for (size_t i = 0; i < hub->count * PACKET_RINGS; i++)
        polled[i] = (struct pollfd){.fd = packet_port_fd(hub->ports[i / PACKET_RINGS],
                                                         (enum packet_ring_kind)(i % PACKET_RINGS)),
                                    .events = POLLIN};
    while (!atomic_load(&hub->stop)) {
        poll(polled, hub->count * PACKET_RINGS, 10);
        for (size_t i = 0; i < hub->count; i++)
            pass_on(hub, i);
    }
    return NULL;
}

static void hub_add(struct hub *hub, struct lab_node *node)
{
    struct error error = {0};
    if (packet_port_create(node->sockets, rig_options().ring_bytes, &hub->ports[hub->count++],
                           &error))
        fail_msg("%s", error.message);
    close(node->diagnosis);
}

static void hub_start(struct hub *hub)
{
    assert_int_equal(pthread_create(&hub->thread, NULL, hub_main, hub), 0);
}

static void hub_end(struct hub *hub)
{
    atomic_store(&hub->stop, true);
    pthread_join(hub->thread, NULL);
    for (size_t i = 0; i < hub->count; i++)
        packet_port_destroy(hub->ports[i]);
}

/* Answers each connection with what it sends, one after the other, and tells who called. */
static void serve_echo(const void *argument)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(7777)};
    struct address peer;
    char text[ADDRESS_TEXT_MAX], bytes[4096];
    ssize_t got;
    (void)argument;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (const struct sockaddr *)&in, sizeof(in)) || listen(listener, 8))
        return;
    printf("listening\n");
    fflush(stdout);
    for (;;) {
        peer = (struct address){.length = sizeof(peer.storage)};
        int fd = accept(listener, (struct sockaddr *)&peer.storage, &peer.length);
        address_set_port(&peer, 0);
        address_format(&peer, text);
        got = fd < 0 ? 0 : send(fd, text, strlen(text), 0);
        while (got > 0 && (got = recv(fd, bytes, sizeof(bytes), 0)) > 0)
            got = send(fd, bytes, (size_t)got, 0);
        close(fd);
    }
}

/* In the node, until the node goes. */
static void start_server(const struct lab_node *node)
{
    int told[2];
    char line[16];
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(told[1], STDOUT_FILENO);
        close_range(STDERR_FILENO + 1, ~0U, 0);
        rig_enter_and_run(node->pid, serve_echo, NULL);
    }
    close(told[1]);
    assert_int_equal(read(told[0], line, sizeof(line)), 10);
    close(told[0]);
}

/* A lab with n1, n2 and the gateway, all on the hub. */
struct scene {
    struct lab *lab;
    struct hub hub;
};

static void scene_open(struct scene *scene)
{
    struct lab_node node;
    *scene = (struct scene){.lab = rig_lab()};
    rig_add(scene->lab, "n1", &node);
    start_server(&node);
    hub_add(&scene->hub, &node);
    rig_add(scene->lab, "n2", &node);
    hub_add(&scene->hub, &node);
    rig_add(scene->lab, LAB_GATEWAY, &node);
    hub_add(&scene->hub, &node);
    hub_start(&scene->hub);
}

static void scene_close(struct scene *scene)
{
    lab_destroy(scene->lab);
    hub_end(&scene->hub);
    while (waitpid(-1, NULL, 0) > 0) /* the servers' parents */
        ;
}

static struct address any_port(void)
{
    struct address any;
    assert_int_equal(address_parse("127.0.0.1:0", &any, NULL), 0);
    return any;
}

static void await_event(int fd, short events)
{
    struct pollfd polled = {.fd = fd, .events = events};
    assert_int_equal(poll(&polled, 1, 10000), 1);
}

static int dial(const struct address *address)
{
    struct error error = {0};
    int fd = socket_connect(address, NULL, &error);
    if (fd < 0)
        fail_msg("%s", error.message);
    await_event(fd, POLLOUT);
    assert_int_equal(socket_take_error(fd), 0);
    return fd;
}

static void expect_refused(const struct address *address)
{
    int fd = socket_connect(address, NULL, NULL);
    if (fd >= 0) {
        await_event(fd, POLLOUT);
        assert_int_equal(socket_take_error(fd), -ECONNREFUSED);
        close(fd);
    } else {
        assert_int_equal(fd, -ECONNREFUSED);
    }
}

static void expect_text(int fd, const char *text)
{
    char seen[128];
    size_t length = 0;
    while (length < strlen(text)) {
        await_event(fd, POLLIN);
        ssize_t got = recv(fd, seen + length, strlen(text) - length, 0);
        assert_true(got > 0);
        length += (size_t)got;
    }
    assert_memory_equal(seen, text, length);
}

/* 0 or -errno of what becomes of the connection. */
static int expect_end(int fd)
{
    char byte;
    await_event(fd, POLLIN);
    int result = recv(fd, &byte, 1, 0) < 0 ? -errno : 0;
    close(fd);
    return result;
}

static void a_port_reaches_its_node_as_the_gateway(void **state)
{
    (void)state;
    struct scene scene;
    struct address any = any_port(), bound;
    struct error error = {0};
    scene_open(&scene);
    if (lab_add_port(scene.lab, &any, "n1", 7777, &bound, &error))
        fail_msg("%s", error.message);
    assert_int_not_equal(address_port(&bound), 0);
    int fd = dial(&bound);
    expect_text(fd, "10.77.0.3:0"); /* the third node is the gateway */
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    expect_text(fd, "hello");
    close(fd);
    scene_close(&scene);
}

static void ports_come_and_go(void **state)
{
    (void)state;
    struct scene scene;
    struct address any = any_port(), first, second, third;
    scene_open(&scene);
    assert_int_equal(lab_add_port(scene.lab, &any, "n1", 7777, &first, NULL), 0);
    assert_int_equal(lab_add_port(scene.lab, &any, "n1", 7777, &second, NULL), 0);
    int kept = dial(&second);
    expect_text(kept, "10.77.0.3:0");
    int waiting = dial(&first); /* the server is busy: accepted by the gateway alone */
    assert_int_equal(lab_remove_port(scene.lab, &first, NULL), 0);
    assert_int_equal(expect_end(waiting), -ECONNRESET);
    assert_int_equal(lab_remove_port(scene.lab, &first, NULL), -ENOENT);
    assert_int_equal(lab_add_port(scene.lab, &first, "n1", 7777, &third, NULL), 0);
    assert_int_equal(address_port(&first), address_port(&third));
    assert_int_equal(send(kept, "on", 2, 0), 2);
    expect_text(kept, "on");
    close(kept);
    scene_close(&scene);
}

/* Ports of a node that is removed; all ports with the gateway. */
static void ports_go_with_their_nodes(void **state)
{
    (void)state;
    struct scene scene;
    struct lab_node gateway;
    struct address any = any_port(), one, two;
    struct error error = {0};
    scene_open(&scene);
    assert_int_equal(lab_add_port(scene.lab, &any, "n1", 7777, &one, NULL), 0);
    assert_int_equal(lab_add_port(scene.lab, &any, "n2", 7777, &two, NULL), 0);
    assert_int_equal(lab_remove_node(scene.lab, "n1", NULL), 0);
    expect_refused(&one);
    assert_int_equal(lab_remove_port(scene.lab, &one, NULL), -ENOENT);
    int fd = socket_connect(&two, NULL, NULL);
    assert_int_equal(expect_end(fd), -ECONNRESET); /* there is a port, and nobody at the node's */
    assert_int_equal(lab_remove_node(scene.lab, LAB_GATEWAY, NULL), 0);
    assert_int_equal(lab_remove_port(scene.lab, &two, NULL), -ENOENT);
    assert_int_equal(lab_add_port(scene.lab, &any, "n2", 1, &two, &error), -ENOENT);
    rig_add(scene.lab, LAB_GATEWAY, &gateway);
    assert_int_equal(lab_add_port(scene.lab, &any, "n2", 1, &two, NULL), 0);
    assert_null(lab_check(scene.lab));
    rig_close(&gateway);
    scene_close(&scene);
}

static void bad_ports_are_refused_with_their_place(void **state)
{
    (void)state;
    struct scene scene;
    struct address any = any_port(), bound, foreign;
    struct error error = {0};
    scene_open(&scene);
    assert_int_equal(lab_add_port(scene.lab, &any, "n9", 1, &bound, &error), -ENOENT);
    assert_string_equal(error.place, "node");
    assert_int_equal(lab_add_port(scene.lab, &any, "n1", 1, &bound, &error), 0);
    assert_int_equal(lab_add_port(scene.lab, &bound, "n1", 1, &foreign, &error), -EADDRINUSE);
    assert_string_equal(error.place, "listen");
    scene_close(&scene);
}

int main(int argc, char **argv)
{
    lab_keeper_main(argc, argv);
    const struct CMUnitTest tests[] = {
        rig_test_both(a_port_reaches_its_node_as_the_gateway),
        rig_test_both(ports_come_and_go),
        rig_test_both(ports_go_with_their_nodes),
        rig_test_both(bad_ports_are_refused_with_their_place),
    };
    return cmocka_run_group_tests_name("ports", tests, NULL, NULL);
}
