#include "ctl/packet_line.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    ETHERNET = 14,
    TYPE_IPV4 = 0x0800,
    TYPE_ARP = 0x0806,
    TYPE_VLAN = 0x8100,
    TYPE_IPV6 = 0x86dd,
    IPV6_HEADER = 40,
    EXTENSIONS_MAX = 8,
    ICMP_ECHO_REPLY = 0,
    ICMP_UNREACHABLE = 3,
    ICMP_ECHO_REQUEST = 8,
    ICMPV6_UNREACHABLE = 1,
    ICMPV6_ECHO_REQUEST = 128,
    ICMPV6_ECHO_REPLY = 129,
};

/* What is left to look at. */
struct view {
    const unsigned char *at;
    uint32_t left;
};

static uint16_t get_u16(const unsigned char *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static struct view behind(struct view view, uint32_t length)
{
    uint32_t step = length < view.left ? length : view.left;
    return (struct view){view.at + step, view.left - step};
}

static const char *icmp_words(bool ipv6, uint8_t type)
{
    switch (type | (ipv6 ? 256 : 0)) {
    case ICMP_ECHO_REQUEST:
    case 256 + ICMPV6_ECHO_REQUEST:
        return " echo request";
    case ICMP_ECHO_REPLY:
    case 256 + ICMPV6_ECHO_REPLY:
        return " echo reply";
    case ICMP_UNREACHABLE:
    case 256 + ICMPV6_UNREACHABLE:
        return " unreachable";
    default:
        return "";
    }
}

static void append_flags(struct text *text, uint8_t flags)
{
    static const char letters[] = "FSRP.U"; /* as tcpdump has them */
    text_append(text, " [");
    for (int bit = 0; letters[bit]; bit++)
        if (flags & 1 << bit)
            text_append(text, "%c", letters[bit]);
    text_append(text, "]");
}

/* Between two addresses, which are 4 or 16 bytes each. */
static void append_ends(struct text *text, int family, const unsigned char *addresses,
                        const unsigned char *ports)
{
    for (int end = 0; end < 2; end++) {
        char address[INET6_ADDRSTRLEN] = "?";
        inet_ntop(family, addresses + end * (family == AF_INET ? 4 : 16), address, sizeof(address));
        bool brackets = family == AF_INET6 && ports;
        text_append(text, "%s%s%s%s", end ? " > " : " ", brackets ? "[" : "", address,
                    brackets ? "]" : "");
        if (ports)
            text_append(text, ":%u", get_u16(ports + end * 2));
    }
}

/* transport: its header, nothing in it for a later fragment. */
static void append_transport(struct text *text, int family, const unsigned char *addresses,
                             uint8_t protocol, struct view transport)
{
    bool ipv6 = family == AF_INET6;
    const unsigned char *ports = transport.left >= 4 ? transport.at : NULL;
    switch (protocol) {
    case IPPROTO_TCP:
        text_append(text, "TCP");
        append_ends(text, family, addresses, ports);
        if (transport.left >= 14)
            append_flags(text, transport.at[13]);
        break;
    case IPPROTO_UDP:
        text_append(text, "UDP");
        append_ends(text, family, addresses, ports);
        break;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
        text_append(text, "%s%s", ipv6 ? "ICMPv6" : "ICMP",
                    transport.left ? icmp_words(ipv6, transport.at[0]) : "");
        append_ends(text, family, addresses, NULL);
        break;
    default:
        text_append(text, "%s protocol %u", ipv6 ? "IPv6" : "IPv4", protocol);
        append_ends(text, family, addresses, NULL);
    }
}

static void append_ipv4(struct text *text, struct view view)
{
    if (view.left < 20) {
        text_append(text, "IPv4");
        return;
    }
    bool later = get_u16(view.at + 6) & 0x1fff;
    struct view transport = behind(view, (view.at[0] & 15u) * 4);
    if (later)
        transport.left = 0;
    append_transport(text, AF_INET, view.at + 12, view.at[9], transport);
    if (later || get_u16(view.at + 6) & 0x2000)
        text_append(text, " fragment");
}

static bool is_extension(uint8_t protocol)
{
    return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
           protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_FRAGMENT;
}

static void append_ipv6(struct text *text, struct view view)
{
    if (view.left < IPV6_HEADER) {
        text_append(text, "IPv6");
        return;
    }
    uint8_t protocol = view.at[6];
    bool fragment = false;
    struct view next = behind(view, IPV6_HEADER);
    for (int i = 0; i < EXTENSIONS_MAX && is_extension(protocol) && next.left >= 8; i++) {
        uint32_t size = protocol == IPPROTO_FRAGMENT ? 8 : (next.at[1] + 1u) * 8;
        fragment = fragment || protocol == IPPROTO_FRAGMENT;
        bool later = protocol == IPPROTO_FRAGMENT && get_u16(next.at + 2) & 0xfff8;
        protocol = next.at[0];
        next = behind(next, size);
        if (later)
            next.left = 0;
    }
    append_transport(text, AF_INET6, view.at + 8, protocol, next);
    if (fragment)
        text_append(text, " fragment");
}

static void append_arp(struct text *text, struct view view)
{
    char sender[INET_ADDRSTRLEN] = "?", target[INET_ADDRSTRLEN] = "?";
    if (view.left < 28) {
        text_append(text, "ARP");
        return;
    }
    inet_ntop(AF_INET, view.at + 14, sender, sizeof(sender));
    inet_ntop(AF_INET, view.at + 24, target, sizeof(target));
    if (get_u16(view.at + 6) == 1)
        text_append(text, "ARP who has %s, tell %s", target, sender);
    else
        text_append(text, "ARP %s is here", sender);
}

void packet_line_append(struct text *text, const unsigned char *bytes, uint32_t captured)
{
    if (captured < ETHERNET) {
        text_append(text, "?");
        return;
    }
    struct view view = {bytes, captured};
    uint16_t type = get_u16(bytes + 12);
    view = behind(view, ETHERNET);
    if (type == TYPE_VLAN && view.left >= 4) {
        type = get_u16(view.at + 2);
        view = behind(view, 4);
    }
    switch (type) {
    case TYPE_IPV4:
        append_ipv4(text, view);
        break;
    case TYPE_IPV6:
        append_ipv6(text, view);
        break;
    case TYPE_ARP:
        append_arp(text, view);
        break;
    default:
        text_append(text, "ethertype 0x%04x", type);
    }
}
