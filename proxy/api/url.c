#include "proxy/api/url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

enum { DISTANCE_MAX = 32, DISTANCE_FAR = 64, HOST_MAX = 64 };

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool api_decode_segment(const char *text, size_t length, char *buffer, size_t size)
{
    size_t out = 0;
    for (size_t i = 0; i < length; i++) {
        int value = (unsigned char)text[i];
        if (text[i] == '%') {
            int high = length - i > 2 ? hex_value(text[i + 1]) : -1;
            int low = length - i > 2 ? hex_value(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            value = high * 16 + low;
            i += 2;
        }
        if (value == 0 || out + 1 >= size)
            return false;
        buffer[out++] = (char)value;
    }
    if (size == 0)
        return false;
    buffer[out] = '\0';
    return true;
}

static bool is_port(const char *text)
{
    return text[0] == '\0' || (text[0] == ':' && text[1 + strspn(text + 1, "0123456789")] == '\0');
}

/* The host in front of the port, without brackets. False when it is malformed. */
static bool read_host(const char *host, char name[HOST_MAX], bool *v6)
{
    *v6 = host[0] == '[';
    host += *v6;
    size_t length = strcspn(host, *v6 ? "]" : ":");
    const char *rest = host + length;
    if (length >= HOST_MAX || (*v6 && *rest++ != ']'))
        return false;
    memcpy(name, host, length);
    name[length] = '\0';
    return is_port(rest);
}

bool api_host_is_loopback(const char *host)
{
    char name[HOST_MAX];
    bool v6;
    struct in_addr address;
    if (!read_host(host, name, &v6))
        return false;
    if (v6)
        return strcmp(name, "::1") == 0;
    if (strcasecmp(name, "localhost") == 0)
        return true;
    return inet_pton(AF_INET, name, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

bool api_host_is_address(const char *host)
{
    char name[HOST_MAX];
    bool v6;
    struct in6_addr address;
    if (!read_host(host, name, &v6))
        return false;
    return inet_pton(v6 ? AF_INET6 : AF_INET, name, &address) == 1 ||
           (!v6 && strcasecmp(name, "localhost") == 0);
}

unsigned api_text_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    unsigned row[DISTANCE_MAX + 1];
    if (a_length > DISTANCE_MAX || b_length > DISTANCE_MAX)
        return DISTANCE_FAR;
    for (unsigned j = 0; j <= b_length; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a_length; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b_length; j++) {
            unsigned change = diagonal + (a[i - 1] != b[j - 1]);
            unsigned best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = change < best ? change : best;
        }
    }
    return row[b_length];
}
