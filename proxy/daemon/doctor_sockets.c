/* What sockets may do here. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/daemon/doctor_probes.h"
#include "proxy/io/filter.h"
#include "proxy/io/socket.h"
#include "proxy/packet/ring.h"

bool doctor_filters(const struct doctor *doctor, char *found)
{
    (void)doctor;
    int result = filter_allowed();
    return doctor_tell(found, result ? "refused" : "allowed", result);
}

bool doctor_filter_loading(const struct doctor *doctor, char *found)
{
    struct filter_program program;
    (void)doctor;
    filter_compile(&(struct filter_spec){.cut = true}, &program);
    int result = filter_load(&program);
    filter_free(&program);
    return doctor_tell(found, result ? "bpf(2) refused" : "bpf(2) allowed", result);
}

static int try_socket(int domain, int type, int protocol)
{
    int fd = socket(domain, type | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

bool doctor_raw_icmp(const struct doctor *doctor, char *found)
{
    (void)doctor;
    int result = try_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    return doctor_tell(found, result ? "refused" : "allowed", result);
}

bool doctor_congestion(const struct doctor *doctor, char *found)
{
    char name[16 + 1] = ""; /* TCP_CA_NAME_MAX */
    socklen_t length = sizeof(name) - 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)doctor;
    int result = getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length) ? -errno : 0;
    if (fd >= 0)
        close(fd);
    doctor_tell(found, result ? "unknown" : name, result);
    return result == 0 && strncmp(name, "bbr", 3) != 0;
}

/* As packet/ring asks for it. */
bool doctor_receive_queue(const struct doctor *doctor, char *found)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)doctor;
    socket_set_receive_bytes(fd, PACKET_QUEUE_BYTES / 2);
    int bytes = socket_receive_bytes(fd);
    if (fd >= 0)
        close(fd);
    snprintf(found, API_CHECK_FOUND_MAX, "%d KiB", bytes >> 10);
    return bytes >= PACKET_QUEUE_BYTES;
}

bool doctor_ipv6(const struct doctor *doctor, char *found)
{
    struct address loopback, bound;
    (void)doctor;
    int result = address_parse("[::1]:0", &loopback, NULL);
    if (result == 0)
        result = socket_listen(&loopback, false, &bound, NULL);
    if (result >= 0)
        close(result);
    return doctor_tell(found, result < 0 ? "can't listen on ::1" : "there",
                       result < 0 ? result : 0);
}

bool doctor_reuse_port(const struct doctor *doctor, char *found)
{
    struct address any, bound;
    (void)doctor;
    int result = address_parse("127.0.0.1:0", &any, NULL);
    int first = result ? result : socket_listen(&any, true, &bound, NULL);
    int second = first < 0 ? first : socket_listen(&bound, true, NULL, NULL);
    if (first >= 0)
        close(first);
    if (second >= 0)
        close(second);
    return doctor_tell(found, second < 0 ? "refused" : "allowed", second < 0 ? second : 0);
}
