/* A text as an address, an address with a name for a host, and a host alone: refused with a reason
 * and without a trace, or one whose text is read as the same address again. */
#include "tests/fuzz/fuzz.h"

#include "proxy/base/address.h"

static bool is_same(const struct address *a, const struct address *b)
{
    return a->length == b->length && memcmp(&a->storage, &b->storage, a->length) == 0;
}

static void check(struct address *address)
{
    struct address again;
    struct error error = {0};
    char shown[ADDRESS_TEXT_MAX];
    uint8_t ipv4[4], ipv6[16];
    uint16_t port = address_port(address);
    require(address->length > 0 && address->length <= sizeof(address->storage));
    address_format(address, shown);
    require(address_parse(shown, &again, &error) == 0 && is_same(address, &again));
    bool host = address_get_ipv6(address, ipv6);
    require(host == (address->storage.ss_family != AF_UNIX));
    require(host || !address_get_ipv4(address, ipv4));
    require(address_same_host(address, &again) == host);
    if (host) {
        address_set_port(&again, (uint16_t)~port);
        require(address_port(&again) == (uint16_t)~port && address_same_host(address, &again));
    }
    require(!(address_is_any(address) && address_is_loopback(address)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct address address = {0}, named = {0}, host = {0};
    char name[ADDRESS_NAME_MAX] = "";
    uint16_t port = 0;
    char *text = fuzz_copy_text(bytes, size);
    bool plain = fuzz_is_read(address_parse(text, &address, &fuzz_error));
    if (plain)
        check(&address);
    if (fuzz_is_read(address_parse_named(text, &named, name, sizeof(name), &port, &fuzz_error))) {
        require(named.length > 0 || (name[0] && strlen(name) < sizeof(name)));
        require(named.length == 0 || (plain && is_same(&named, &address) && !name[0]));
    } else {
        require(!plain); /* a name is all that it takes besides */
    }
    if (fuzz_is_read(address_parse_host(text, &host, &fuzz_error)))
        require(address_port(&host) == 0 && address_same_host(&host, &host));
    free(text);
    return 0;
}
