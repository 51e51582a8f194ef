#include "proxy/base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/base/units.h"

static int parse_unix(const char *path, struct address *address, struct error *error)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof(un.sun_path))
        return error_set(error, -EINVAL, "unix socket path must have 1 to %zu bytes",
                         sizeof(un.sun_path) - 1);
    memcpy(un.sun_path, path, length);
    memset(address, 0, sizeof(*address));
    memcpy(&address->storage, &un, sizeof(un));
    address->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    return 0;
}

/* Splits "host:port" or "[host]:port" into host (size bytes) and port text. */
static int split_host_port(const char *text, char *host, size_t size, const char **port)
{
    const char *colon = strrchr(text, ':');
    if (!colon)
        return -EINVAL;
    const char *begin = text;
    size_t length = (size_t)(colon - text);
    if (text[0] == '[') {
        if (length < 2 || text[length - 1] != ']')
            return -EINVAL;
        begin++;
        length -= 2;
    } else if (memchr(text, ':', length)) {
        return -EINVAL; /* an IPv6 address needs brackets */
    }
    if (length >= size)
        return -EINVAL;
    memcpy(host, begin, length);
    host[length] = '\0';
    *port = colon + 1;
    return 0;
}

/* What inet_pton takes, and nothing else: "127.1", "0x7f000001" and names would give one host many
 * spellings. */
static bool parse_numeric(const char *host, struct address *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, host, &in.sin_addr) == 1) {
        memcpy(&address->storage, &in, sizeof(in));
        address->length = sizeof(in);
    } else if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
        memcpy(&address->storage, &in6, sizeof(in6));
        address->length = sizeof(in6);
    }
    return address->length > 0;
}

/* RFC 1123, and the underscore that container networks use. */
static bool is_host_name(const char *host)
{
    size_t length = strlen(host);
    bool named = false;
    for (size_t i = 0; i < length; i++) {
        char c = host[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
            return false;
        named = named || letter;
    }
    return named && length < ADDRESS_NAME_MAX && host[0] != '-' && host[0] != '.';
}

int address_parse_named(const char *text, struct address *address, char *host, size_t size,
                        uint16_t *port, struct error *error)
{
    const char *port_text;
    host[0] = '\0';
    *port = 0;
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, address, error);
    if (split_host_port(text, host, size, &port_text) || host[0] == '\0')
        return error_set(
            error, -EINVAL,
            "'%.200s' is not an address: write host:port, [v6-host]:port or unix:/path", text);
    int64_t number;
    int result = units_parse_integer(port_text, 0, 65535, "port", &number, error);
    if (result)
        return result;
    *port = (uint16_t)number;
    const char *numeric = strcasecmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    if (parse_numeric(numeric, address)) {
        address_set_port(address, *port);
        host[0] = '\0';
        return 0;
    }
    if (!is_host_name(host))
        return error_set(error, -EINVAL,
                         "'%.200s' is neither an IP address nor a host name: write one of the two",
                         host);
    return 0;
}

int address_parse(const char *text, struct address *address, struct error *error)
{
    char host[ADDRESS_NAME_MAX];
    uint16_t port;
    int result = address_parse_named(text, address, host, sizeof(host), &port, error);
    if (result || host[0] == '\0')
        return result;
    return error_set(error, -EINVAL,
                     "'%s' is no IP address and no name is looked up here but localhost: write the "
                     "IP address",
                     host);
}

int address_parse_host(const char *text, struct address *address, struct error *error)
{
    if (!parse_numeric(text, address))
        return error_set(error, -EINVAL,
                         "'%s' is not an IP address: write one such as 127.0.0.5 or ::1", text);
    return 0;
}

const char *address_format_host(const struct address *address, char *buffer)
{
    const struct sockaddr_in *in = (const void *)&address->storage;
    const struct sockaddr_in6 *in6 = (const void *)&address->storage;
    buffer[0] = '\0';
    if (address->storage.ss_family == AF_INET)
        inet_ntop(AF_INET, &in->sin_addr, buffer, ADDRESS_HOST_MAX);
    else if (address->storage.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &in6->sin6_addr, buffer, ADDRESS_HOST_MAX);
    return buffer;
}

const char *address_format(const struct address *address, char *buffer)
{
    const struct sockaddr_un *un = (const void *)&address->storage;
    char host[ADDRESS_HOST_MAX];
    switch (address->storage.ss_family) {
    case AF_INET:
        snprintf(buffer, ADDRESS_TEXT_MAX, "%s:%u", address_format_host(address, host),
                 address_port(address));
        break;
    case AF_INET6:
        snprintf(buffer, ADDRESS_TEXT_MAX, "[%s]:%u", address_format_host(address, host),
                 address_port(address));
        break;
    case AF_UNIX:
        snprintf(buffer, ADDRESS_TEXT_MAX, "unix:%s", un->sun_path);
        break;
    default:
        snprintf(buffer, ADDRESS_TEXT_MAX, "(none)");
    }
    return buffer;
}

uint16_t address_port(const struct address *address)
{
    if (address->storage.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)&address->storage)->sin_port);
    if (address->storage.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)&address->storage)->sin6_port);
    return 0;
}

void address_set_port(struct address *address, uint16_t port)
{
    if (address->storage.ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)&address->storage)->sin_port = htons(port);
    else if (address->storage.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)&address->storage)->sin6_port = htons(port);
}

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

bool address_get_ipv6(const struct address *address, uint8_t host[16])
{
    if (address->storage.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 =
            (const struct sockaddr_in6 *)(const void *)&address->storage;
        memcpy(host, &in6->sin6_addr, 16);
        return true;
    }
    if (address->storage.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&address->storage;
        memcpy(host, mapped_prefix, 12);
        memcpy(host + 12, &in->sin_addr, 4);
        return true;
    }
    return false;
}

bool address_get_ipv4(const struct address *address, uint8_t host[4])
{
    uint8_t whole[16];
    if (!address_get_ipv6(address, whole) || memcmp(whole, mapped_prefix, 12) != 0)
        return false;
    memcpy(host, whole + 12, 4);
    return true;
}

bool address_same_host(const struct address *a, const struct address *b)
{
    uint8_t host_a[16], host_b[16];
    return address_get_ipv6(a, host_a) && address_get_ipv6(b, host_b) &&
           memcmp(host_a, host_b, 16) == 0;
}

const char *address_everywhere(void)
{
    static const char ipv4[] = "0.0.0.0", both[] = "[::]";
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno == EAFNOSUPPORT ? ipv4 : both;
    int result = bind(fd, (const struct sockaddr *)&any, sizeof(any)) ? errno : 0;
    close(fd);
    return result == EADDRNOTAVAIL ? ipv4 : both;
}

bool address_is_any(const struct address *address)
{
    static const uint8_t none[16] = {0};
    uint8_t host[16];
    if (address_get_ipv4(address, host))
        return memcmp(host, none, 4) == 0;
    return address_get_ipv6(address, host) && memcmp(host, none, 16) == 0;
}

bool address_is_loopback(const struct address *address)
{
    static const uint8_t v6_loopback[16] = {[15] = 1};
    uint8_t host[16];
    if (address->storage.ss_family == AF_UNIX || address_get_ipv4(address, host))
        return address->storage.ss_family == AF_UNIX || host[0] == 127;
    return address_get_ipv6(address, host) && memcmp(host, v6_loopback, 16) == 0;
}
