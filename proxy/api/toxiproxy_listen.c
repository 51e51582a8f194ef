/* Addresses to listen on, as clients of Toxiproxy write them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/api/toxiproxy.h"
#include "proxy/base/address.h"
#include "proxy/base/units.h"

static int refuse(const char *text, const char *why, struct error *error)
{
    return error_set(error, -EINVAL, "listen tcp: address %.200s: %s", text, why);
}

int toxiproxy_normalize_listen(const char *text, char *normal, struct error *error)
{
    struct address address;
    int64_t port;
    const char *colon = strrchr(text, ':');
    bool everywhere = text[0] == '\0' || text[0] == ':';
    if (strncmp(text, "unix:", 5) != 0 && text[0]) {
        if (!colon)
            return refuse(text, "missing port in address", error);
        if (units_parse_integer(colon + 1, 0, 65535, "port", &port, NULL) < 0)
            return refuse(colon + 1, "invalid port", error);
    }
    int length = snprintf(normal, RULESET_ADDRESS_MAX, "%s%s%s",
                          everywhere ? address_everywhere() : "", text, text[0] ? "" : ":0");
    if (length >= RULESET_ADDRESS_MAX)
        return refuse(text, "too long", error);
    struct error why = {0};
    if (address_parse(normal, &address, &why) < 0)
        return error_set(error, -EINVAL, "listen tcp: %s", why.message);
    return 0;
}

bool toxiproxy_same_listen(const char *a, const char *b)
{
    struct address one, other;
    char text[ADDRESS_TEXT_MAX], other_text[ADDRESS_TEXT_MAX];
    if (strcmp(a, b) == 0)
        return true;
    if (address_parse(a, &one, NULL) < 0 || address_parse(b, &other, NULL) < 0)
        return false;
    return strcmp(address_format(&one, text), address_format(&other, other_text)) == 0;
}
