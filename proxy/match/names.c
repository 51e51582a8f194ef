/* Theory of operation
 *
 * The words are cut as libpcap's scanner cuts them (letters, digits, '.', '-', '_', ':'). One that
 * is not known here, and is no number, range or address, would be an identifier to libpcap, which
 * it resolves. Better to refuse a word that libpcap knows than to let one pass that it does not:
 * only those of pcap-filter(7) that mean something for IP packets are in the list. */
#include "proxy/match/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

enum { WORD_MAX = 64 };

#define DIGITS "0123456789"
#define HEX_DIGITS DIGITS "abcdefABCDEF"

static const char *const known[] = {"dst",
                                    "src",
                                    "host",
                                    "net",
                                    "mask",
                                    "port",
                                    "portrange",
                                    "proto",
                                    "and",
                                    "or",
                                    "not",
                                    "ip",
                                    "ip6",
                                    "tcp",
                                    "udp",
                                    "sctp",
                                    "icmp",
                                    "icmp6",
                                    "igmp",
                                    "igrp",
                                    "pim",
                                    "vrrp",
                                    "carp",
                                    "ah",
                                    "esp",
                                    "less",
                                    "greater",
                                    "len",
                                    "broadcast",
                                    "multicast",
                                    "tcpflags",
                                    "tcp-fin",
                                    "tcp-syn",
                                    "tcp-rst",
                                    "tcp-push",
                                    "tcp-ack",
                                    "tcp-urg",
                                    "icmptype",
                                    "icmpcode",
                                    "icmp-echoreply",
                                    "icmp-echo",
                                    "icmp-unreach",
                                    "icmp-redirect",
                                    "icmp-timxceed",
                                    "icmp-sourcequench",
                                    "icmp-tstamp",
                                    "icmp-paramprob"};

/* For what is before the IP header, or beside the packet: known to libpcap, and never there. */
static const char *const of_frames[] = {"arp",     "rarp",     "ether",  "vlan",    "mpls",
                                        "pppoed",  "pppoes",   "llc",    "wlan",    "link",
                                        "inbound", "outbound", "ifname", "gateway", "decnet"};

static bool is_one_of(const char *const words[], size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

/* 1 to `most` runs of digits with `separator` between them. */
static bool is_numbers(const char *word, char separator, int most)
{
    for (int count = 1; count <= most; count++) {
        size_t digits = strspn(word, DIGITS);
        if (digits == 0)
            return false;
        word += digits;
        if (*word == '\0')
            return true;
        if (*word++ != separator)
            return false;
    }
    return false;
}

static bool is_hex_number(const char *word)
{
    return word[0] == '0' && (word[1] == 'x' || word[1] == 'X') && word[2] &&
           word[2 + strspn(word + 2, HEX_DIGITS)] == '\0';
}

static bool is_ipv6(const char *word)
{
    struct in6_addr address;
    return !strchr(word, '.') && inet_pton(AF_INET6, word, &address) == 1;
}

/* before: the word in front of it. */
static bool is_fine(const char *word, const char *before)
{
    if (strcmp(before, "portrange") == 0) /* elsewhere 80-90 would be the name of a host */
        return is_numbers(word, '-', 2);
    return is_one_of(known, sizeof(known) / sizeof(known[0]), word) || is_numbers(word, '.', 4) ||
           is_numbers(word, ':', 2) || is_hex_number(word) || is_ipv6(word);
}

int names_check(const char *expression, struct error *error)
{
    static const char first[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "_:\\$";
    static const char inside[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "_:.-";
    char before[WORD_MAX] = "";
    for (const char *at = expression + strcspn(expression, first); *at;) {
        char word[WORD_MAX];
        size_t length = 1 + strspn(at + 1, inside);
        size_t kept = length < sizeof(word) ? length : sizeof(word) - 1;
        memcpy(word, at, kept);
        word[kept] = '\0';
        if (is_one_of(of_frames, sizeof(of_frames) / sizeof(of_frames[0]), word))
            return error_set(error, -EINVAL, "'%s': a filter sees IP packets only", word);
        if (kept < length || !is_fine(word, before))
            return error_set(error, -EINVAL,
                             "'%s' is no word of filter expressions, and no name is looked up: "
                             "write addresses, ports and protocols as numbers",
                             word);
        memcpy(before, word, sizeof(before));
        at += length;
        at += strcspn(at, first);
    }
    return 0;
}
