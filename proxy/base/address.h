/* Socket addresses as text: "127.0.0.1:80", "[::1]:80", "localhost:80", "unix:/path". */
#ifndef SEVER_BASE_ADDRESS_H
#define SEVER_BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proxy/base/error.h"

enum { ADDRESS_TEXT_MAX = 128, ADDRESS_HOST_MAX = 46 };

struct address {
    struct sockaddr_storage storage;
    socklen_t length; /* 0: not set */
};

/* "host:port" or "unix:/path". The host is an IP address as inet_pton takes it (IPv6 in brackets),
 * or "localhost", which is 127.0.0.1; no other name is looked up, so this never blocks. A port is
 * needed; 0 is allowed (any free port). -EINVAL with what to write instead. */
int address_parse(const char *text, struct address *address, struct error *error);
/* As address_parse, but the host may also be a name, which is not looked up: then address->length
 * is 0 and host (size bytes, ADDRESS_NAME_MAX is enough) has the name, else "". *port has the port.
 * A name is letters, digits, '-', '_' and '.', at most 253 bytes. */
enum { ADDRESS_NAME_MAX = 254 };
int address_parse_named(const char *text, struct address *address, char *host, size_t size,
                        uint16_t *port, struct error *error);
/* An IP address without port ("127.0.0.5", "::1"), as inet_pton takes it; port is set to 0. -EINVAL
 * otherwise. */
int address_parse_host(const char *text, struct address *address, struct error *error);
/* Back to text; buffer: ADDRESS_TEXT_MAX bytes. Returns buffer. */
const char *address_format(const struct address *address, char *buffer);
/* Without the port ("10.77.0.1"), as address_parse_host takes it; "" when it is no IP address.
 * buffer: ADDRESS_HOST_MAX bytes. Returns buffer. */
const char *address_format_host(const struct address *address, char *buffer);
/* The port in host order; 0 for unix sockets. */
uint16_t address_port(const struct address *address);
void address_set_port(struct address *address, uint16_t port);
/* Same host, whatever the port; false for unix sockets. ::ffff:a.b.c.d equals a.b.c.d. */
bool address_same_host(const struct address *a, const struct address *b);
/* The host's bytes in network order. ipv4: false unless it is IPv4 or ::ffff:a.b.c.d. ipv6: IPv4 as
 * ::ffff:a.b.c.d; false for unix sockets and unset ones. */
bool address_get_ipv4(const struct address *address, uint8_t host[4]);
bool address_get_ipv6(const struct address *address, uint8_t host[16]);
/* 0.0.0.0 or ::, where one listens on every address. */
bool address_is_any(const struct address *address);
/* The host to write for that: "[::]", on which IPv4 is heard too, or "0.0.0.0" where the kernel has
 * no IPv6, which is asked. */
const char *address_everywhere(void);
/* 127.0.0.0/8, ::1, or a unix socket. */
bool address_is_loopback(const struct address *address);

#endif
