/* Nodes of a lab, as processes in them see themselves, and as severd sees them. */
#include "tests/unit/proxy/lab/rig.h"
#include "tests/unit/proxy/packet/reader.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

static void print_address(const char *device, const struct sockaddr *address)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, host,
                  sizeof(host));
    else if (address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, host,
                  sizeof(host));
    else
        return;
    printf("%s %s\n", device, host);
}

static void print_mac(const char *device, const struct sockaddr *address)
{
    const unsigned char *mac = ((const struct sockaddr_ll *)(const void *)address)->sll_addr;
    printf("%s %02x:%02x:%02x:%02x:%02x:%02x\n", device, mac[0], mac[1], mac[2], mac[3], mac[4],
           mac[5]);
}

/* What programs ask for: addresses, state, MTU, host name. */
static void describe(const void *argument)
{
    struct ifaddrs *list;
    struct ifreq request = {.ifr_name = "eth0"};
    char name[65];
    (void)argument;
    if (getifaddrs(&list))
        return;
    for (const struct ifaddrs *item = list; item; item = item->ifa_next) {
        if (item->ifa_addr->sa_family == AF_PACKET)
            print_mac(item->ifa_name, item->ifa_addr);
        else
            print_address(item->ifa_name, item->ifa_addr);
        if (!(item->ifa_flags & IFF_UP) || !(item->ifa_flags & IFF_RUNNING))
            printf("%s is down\n", item->ifa_name);
    }
    freeifaddrs(list);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ioctl(fd, SIOCGIFMTU, &request);
    gethostname(name, sizeof(name));
    printf("mtu %d\nhost %s\npid %d\n", request.ifr_mtu, name, (int)getpid());
}

static void nodes_are_what_they_were_asked_to_be(void **state)
{
    (void)state;
    struct lab *lab = rig_lab();
    struct lab_node n1, n2;
    char seen[4096];
    rig_add(lab, "n1", &n1);
    rig_add(lab, "n2", &n2);
    assert_int_equal(rig_run(&n2, describe, NULL, seen, sizeof(seen)), 0);
    assert_string_equal(seen, "lo 00:00:00:00:00:00\neth0 02:5e:00:00:00:02\n"
                              "lo 127.0.0.1\neth0 10.77.0.2\n"
                              "lo ::1\neth0 fd77::2\neth0 fe80::5e:ff:fe00:2\n"
                              "mtu 1500\nhost n2\npid 2\n");
    assert_string_equal(n2.name, "n2");
    assert_int_equal(n2.number, 2);
    assert_memory_equal(n2.mac, "\x02\x5e\x00\x00\x00\x02", 6);
    assert_int_equal(n2.address_count, 2);
    assert_int_equal(lab_in_user_namespace(lab), geteuid() != 0);
    rig_close(&n1);
    rig_close(&n2);
    lab_destroy(lab);
}

static void resolve(const void *argument)
{
    const char *const *names = argument;
    for (; *names; names++) {
        struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
        if (getaddrinfo(*names, NULL, &hints, &found)) {
            printf("%s unknown\n", *names);
            continue;
        }
        for (const struct addrinfo *item = found; item; item = item->ai_next)
            print_address(*names, item->ai_addr);
        freeaddrinfo(found);
    }
}

/* In each node, whichever came first. IPv6 first is the resolver's choice. */
static void nodes_find_each_other_by_name(void **state)
{
    (void)state;
    static const char *const names[] = {"n1", "n2", NULL};
    struct lab *lab = rig_lab();
    struct lab_node n1, n2;
    char seen[4096];
    rig_add(lab, "n1", &n1);
    assert_int_equal(rig_run(&n1, resolve, names, seen, sizeof(seen)), 0);
    assert_string_equal(seen, "n1 fd77::1\nn1 10.77.0.1\nn2 unknown\n");
    rig_add(lab, "n2", &n2);
    assert_int_equal(rig_run(&n1, resolve, names, seen, sizeof(seen)), 0);
    assert_string_equal(seen, "n1 fd77::1\nn1 10.77.0.1\nn2 fd77::2\nn2 10.77.0.2\n");
    assert_int_equal(rig_run(&n2, resolve, names, seen, sizeof(seen)), 0);
    assert_string_equal(seen, "n1 fd77::1\nn1 10.77.0.1\nn2 fd77::2\nn2 10.77.0.2\n");
    assert_int_equal(lab_remove_node(lab, "n1", NULL), 0);
    assert_int_equal(rig_run(&n2, resolve, names, seen, sizeof(seen)), 0);
    assert_string_equal(seen, "n1 unknown\nn2 fd77::2\nn2 10.77.0.2\n");
    rig_close(&n1);
    rig_close(&n2);
    lab_destroy(lab);
}

static uint64_t read_capabilities(const struct lab_node *node)
{
    return strtoull(rig_shell(node, "sed -n 's/^CapEff:\\t//p' /proc/self/status"), NULL, 16);
}

/* Across exec. */
static void programs_may_do_with_the_network_what_they_like(void **state)
{
    (void)state;
    struct lab *lab = rig_lab();
    struct lab_node node;
    rig_add(lab, "n1", &node);
    uint64_t capabilities = read_capabilities(&node);
    assert_true(capabilities & (1 << CAP_NET_ADMIN));
    assert_true(capabilities & (1 << CAP_NET_RAW));
    assert_true(capabilities & (1 << CAP_NET_BIND_SERVICE));
    assert_false(capabilities & (1 << CAP_SYS_TIME));
    if (geteuid() != 0)
        assert_int_equal(capabilities,
                         (1 << CAP_NET_ADMIN) | (1 << CAP_NET_RAW) | (1 << CAP_NET_BIND_SERVICE));
    char expected[32];
    snprintf(expected, sizeof(expected), "%u\n", geteuid());
    assert_string_equal(rig_shell(&node, "id -u"), expected);
    rig_close(&node);
    lab_destroy(lab);
}

static void open_ping(const void *argument)
{
    (void)argument;
    if (socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP) < 0)
        printf("%s", strerror(errno));
}

static void ping_needs_no_privilege(void **state)
{
    (void)state;
    if (rig_settings_are_read_only())
        skip();
    struct lab *lab = rig_lab();
    struct lab_node node;
    char seen[128];
    rig_add(lab, "n1", &node);
    assert_int_equal(rig_run(&node, open_ping, NULL, seen, sizeof(seen)), 0);
    assert_string_equal(seen, "");
    rig_close(&node);
    lab_destroy(lab);
}

static void send_datagram(const void *argument)
{
    struct address address;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    if (address_parse(argument, &address, NULL) ||
        setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) ||
        sendto(fd, "hello", 5, 0, (const struct sockaddr *)&address.storage, address.length) != 5)
        printf("%s", strerror(errno));
}

/* "" when it could be sent. */
static const char *send_from(const struct lab_node *node, const char *address)
{
    static char seen[256];
    assert_int_equal(rig_run(node, send_datagram, address, seen, sizeof(seen)), 0);
    return seen;
}

/* The bytes of the next frame that is no noise of IPv6, until the next call. */
static const unsigned char *next_frame(struct reader *reader)
{
    for (;;) {
        const struct packet_frame *frame = reader_next(reader);
        if (!frame)
            assert_true(reader_await(reader, 10000));
        else if (frame->bytes[12] != 0x86)
            return frame->bytes;
    }
}

static void what_a_node_sends_is_at_its_port(void **state)
{
    (void)state;
    struct lab_options options = rig_options();
    struct lab *lab = rig_lab();
    struct lab_node node;
    struct reader reader = {0};
    rig_add(lab, "n1", &node);
    assert_int_equal(packet_port_create(node.sockets, options.ring_bytes, &reader.port, NULL), 0);
    assert_string_equal(send_from(&node, "10.77.0.2:7"), "");
    const unsigned char *bytes = next_frame(&reader);
    assert_memory_equal(bytes, "\xff\xff\xff\xff\xff\xff\x02\x5e\x00\x00\x00\x01\x08\x06", 14);
    assert_memory_equal(bytes + 14 + 14, "\x0a\x4d\x00\x01", 4); /* RFC 826: who asks */
    assert_memory_equal(bytes + 14 + 24, "\x0a\x4d\x00\x02", 4); /* for whom */
    packet_port_destroy(reader.port);
    close(node.diagnosis);
    lab_destroy(lab);
}

/* To everybody, out of the one device; to elsewhere not at all, at once. */
static void what_is_for_no_node_has_its_route_or_none(void **state)
{
    (void)state;
    struct lab_options options = rig_options();
    struct lab *lab = rig_lab();
    struct lab_node node;
    struct reader reader = {0};
    rig_add(lab, "n1", &node);
    assert_int_equal(packet_port_create(node.sockets, options.ring_bytes, &reader.port, NULL), 0);
    assert_string_equal(send_from(&node, "239.1.2.3:7"), "");
    while (memcmp(next_frame(&reader), "\x01\x00\x5e\x01\x02\x03", 6) != 0)
        ; /* the membership of others is not asked for here */
    assert_string_equal(send_from(&node, "255.255.255.255:7"), "");
    assert_memory_equal(next_frame(&reader),
                        "\xff\xff\xff\xff\xff\xff\x02\x5e\x00\x00\x00\x01\x08\x00", 14);
    assert_string_equal(send_from(&node, "192.0.2.1:53"), strerror(ENETUNREACH));
    packet_port_destroy(reader.port);
    close(node.diagnosis);
    lab_destroy(lab);
}

static void listen_on_7777(const void *argument)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(7777)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), done = *(const int *)argument;
    char byte;
    if (bind(fd, (const struct sockaddr *)&in, sizeof(in)) == 0 && listen(fd, 1) == 0)
        printf("listening\n");
    fflush(stdout);
    close(STDOUT_FILENO);
    while (read(done, &byte, 1) < 0 && errno == EINTR)
        ;
}

/* How many TCP sockets listen on port 7777, as the socket for diagnosis tells. */
static unsigned count_listeners(int fd)
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 request;
    } request = {.header = {.nlmsg_len = sizeof(request),
                            .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                            .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                 .request = {.sdiag_family = AF_INET,
                             .sdiag_protocol = IPPROTO_TCP,
                             .idiag_states = 1 << 10 /* TCP_LISTEN */}};
    union {
        struct nlmsghdr header;
        char bytes[8192];
    } answer;
    unsigned count = 0;
    assert_int_equal(send(fd, &request, sizeof(request), 0), sizeof(request));
    for (;;) {
        ssize_t got = recv(fd, &answer, sizeof(answer), 0);
        assert_true(got > 0);
        for (struct nlmsghdr *header = &answer.header; NLMSG_OK(header, (size_t)got);
             header = NLMSG_NEXT(header, got)) {
            if (header->nlmsg_type == NLMSG_DONE)
                return count;
            assert_int_equal(header->nlmsg_type, SOCK_DIAG_BY_FAMILY);
            const struct inet_diag_msg *found = NLMSG_DATA(header);
            count += ntohs(found->id.idiag_sport) == 7777;
        }
    }
}

static void diagnosis_sees_the_nodes_sockets(void **state)
{
    (void)state;
    struct lab *lab = rig_lab();
    struct lab_node n1, n2;
    int told[2], done[2];
    char line[16];
    rig_add(lab, "n1", &n1);
    rig_add(lab, "n2", &n2);
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    assert_int_equal(pipe2(done, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(told[1], STDOUT_FILENO);
        close(told[1]);
        close(done[1]);
        rig_enter_and_run(n1.pid, listen_on_7777, &done[0]);
    }
    assert_int_equal(read(told[0], line, sizeof(line)), 10);
    assert_int_equal(count_listeners(n1.diagnosis), 1);
    assert_int_equal(count_listeners(n2.diagnosis), 0);
    close(done[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(done[0]);
    close(told[0]);
    close(told[1]);
    rig_close(&n1);
    rig_close(&n2);
    lab_destroy(lab);
}

/* Who comes back has its old addresses, and nobody else has them while others are left. */
static void numbers_come_back_with_their_names(void **state)
{
    (void)state;
    struct lab_options options = rig_options();
    struct lab *lab = NULL;
    struct lab_node nodes[4];
    struct error error = {0};
    options.subnet = "10.77.0.0/29"; /* six addresses */
    options.subnet6 = "";
    assert_int_equal(lab_create(&options, &lab, &error), 0);
    rig_add(lab, "n1", &nodes[0]);
    rig_add(lab, "n2", &nodes[1]);
    rig_add(lab, "n3", &nodes[2]);
    assert_int_equal(nodes[2].number, 3);
    static const struct {
        const char *removed, *added;
        unsigned number;
    } steps[] = {
        {"n2", "n4", 4}, {"n1", "n1", 1}, {"n1", "n2", 2}, {"n4", "n5", 5},
        {"n5", "n6", 6}, {"n6", "n7", 1}, /* none is new any more: the smallest that is free */
        {"n2", "n1", 2},                  /* and its own is taken */
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        assert_int_equal(lab_remove_node(lab, steps[i].removed, NULL), 0);
        rig_add(lab, steps[i].added, &nodes[3]);
        assert_int_equal(nodes[3].number, steps[i].number);
        rig_close(&nodes[3]);
    }
    for (int i = 0; i < 3; i++)
        rig_close(&nodes[i]);
    lab_destroy(lab);
}

/* A tunnel's super-packets can't be told by a virtio-net header: the device makes none. */
static void devices_make_only_packets_that_can_be_told(void **state)
{
    struct lab *lab = rig_lab();
    struct lab_node node;
    (void)state;
    rig_add(lab, "n1", &node);
    const char *lines = rig_shell(&node, "ethtool -k eth0");
    assert_non_null(strstr(lines, "tx-udp_tnl-segmentation: off"));
    assert_non_null(strstr(lines, "tx-sctp-segmentation: off"));
    assert_non_null(strstr(lines, "tx-checksum-sctp: off"));
    assert_non_null(strstr(lines, "tx-tcp-segmentation: on"));
    assert_non_null(strstr(lines, "tx-tcp6-segmentation: on"));
    assert_non_null(strstr(lines, "tx-udp-segmentation: on"));
    assert_non_null(strstr(lines, "tx-checksum-ip-generic: on"));
    rig_close(&node);
    lab_destroy(lab);
}

/* All nodes read the same file. */
static void a_node_cannot_change_the_names_of_all(void **state)
{
    struct lab *lab = rig_lab();
    struct lab_node node;
    (void)state;
    rig_add(lab, "n1", &node);
    assert_string_equal(rig_shell(&node, "(echo '1.2.3.4 n2' >> /etc/hosts) 2>/dev/null && "
                                         "echo written; true"),
                        "");
    rig_close(&node);
    rig_add(lab, "n2", &node);
    assert_non_null(strstr(rig_shell(&node, "cat /etc/hosts"), "10.77.0.2 n2"));
    rig_close(&node);
    lab_destroy(lab);
}

static void options_are_refused_with_their_place(void **state)
{
    (void)state;
    static const struct {
        struct lab_options options;
        const char *place;
    } cases[] = {
        {{.subnet = "10.77.0.9/24", .subnet6 = "", .mtu = 1500}, "subnet"},
        {{.subnet = "10.77.0.0/24", .subnet6 = "x", .mtu = 1500}, "subnet6"},
        {{.subnet = "10.77.0.0/24", .subnet6 = "fd77::/64", .mtu = 1279}, "mtu"},
        {{.subnet = "10.77.0.0/24", .subnet6 = "", .mtu = 575}, "mtu"},
        {{.subnet = "10.77.0.0/24", .subnet6 = "", .mtu = 65536}, "mtu"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct lab *lab;
        struct error error = {0};
        assert_int_equal(lab_create(&cases[i].options, &lab, &error), -EINVAL);
        assert_string_equal(error.place, cases[i].place);
    }
}

static void names_are_refused_with_the_reason(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "1.2.3.4",
        "12",
        "-n",
        ".n",
        "n 1",
        "n/1",
        "localhost",
        "Localhost",
        "ip6-loopback",
        "n\n127.0.0.1",
        "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"};
    struct lab *lab = rig_lab();
    struct lab_node node;
    struct error error = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(lab_add_node(lab, bad[i], &node, &error), -EINVAL);
        assert_string_equal(error.place, "name");
    }
    rig_add(lab, "n1", &node);
    rig_close(&node);
    assert_int_equal(lab_add_node(lab, "n1", &node, &error), -EEXIST);
    assert_int_equal(lab_remove_node(lab, "n2", &error), -ENOENT);
    lab_destroy(lab);
}

static void a_small_network_is_full_soon(void **state)
{
    (void)state;
    struct lab_options options = {
        .subnet = "10.77.0.4/30", .subnet6 = "", .mtu = 9000, .ring_bytes = 2 << 20};
    struct lab *lab;
    struct lab_node n1, n2, n3;
    struct error error = {0};
    char seen[4096];
    assert_int_equal(lab_create(&options, &lab, &error), 0);
    rig_add(lab, "n1", &n1);
    rig_add(lab, "n2", &n2);
    assert_int_equal(lab_add_node(lab, "n3", &n3, &error), -ENOSPC);
    assert_non_null(strstr(error.message, "no address for a 3. node"));
    assert_int_equal(rig_run(&n2, describe, NULL, seen, sizeof(seen)), 0);
    assert_string_equal(seen, "lo 00:00:00:00:00:00\neth0 02:5e:00:00:00:02\n"
                              "lo 127.0.0.1\neth0 10.77.0.6\nlo ::1\n"
                              "mtu 9000\nhost n2\npid 2\n");
    rig_close(&n1);
    rig_close(&n2);
    lab_destroy(lab);
}

/* A lab goes on when one node could not be had. */
static void without_descriptors_there_is_an_error(void **state)
{
    (void)state;
    struct lab *lab = rig_lab();
    struct lab_node node;
    struct error error = {0};
    struct rlimit limit, tight;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int next = dup(0);
    close(next);
    tight = (struct rlimit){.rlim_cur = (rlim_t)next + 1, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    int result = lab_add_node(lab, "n1", &node, &error);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(result, -EMFILE);
    assert_non_null(strstr(error.message, "raise the limit of open files"));
    rig_add(lab, "n1", &node);
    assert_int_equal(node.number, 1);
    rig_close(&node);
    lab_destroy(lab);
}

int main(int argc, char **argv)
{
    lab_keeper_main(argc, argv);
    const struct CMUnitTest tests[] = {
        rig_test_both(nodes_are_what_they_were_asked_to_be),
        rig_test_both(nodes_find_each_other_by_name),
        rig_test_both(programs_may_do_with_the_network_what_they_like),
        rig_test_both(ping_needs_no_privilege),
        rig_test_both(what_a_node_sends_is_at_its_port),
        rig_test_both(what_is_for_no_node_has_its_route_or_none),
        rig_test_both(diagnosis_sees_the_nodes_sockets),
        rig_test_both(numbers_come_back_with_their_names),
        rig_test_both(devices_make_only_packets_that_can_be_told),
        rig_test_both(a_node_cannot_change_the_names_of_all),
        cmocka_unit_test(options_are_refused_with_their_place),
        rig_test_both(names_are_refused_with_the_reason),
        rig_test_both(a_small_network_is_full_soon),
        rig_test_both(without_descriptors_there_is_an_error),
    };
    return cmocka_run_group_tests_name("nodes", tests, NULL, NULL);
}
