#include "proxy/packet/neighbour.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include <linux/if_ether.h>

#include "proxy/base/internet_checksum.h"
#include "proxy/packet/bytes.h"
#include "proxy/packet/checksum.h"

/* An ARP packet for Ethernet and IPv4, and where its parts are in it (RFC 826). */
enum {
    ARP_BYTES = 28,
    ARP_OPERATION = 6,
    ARP_SENDER_MAC = 8,
    ARP_SENDER = 14,
    ARP_TARGET_MAC = 18,
    ARP_TARGET = 24,
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
};
static const unsigned char arp_kind[ARP_OPERATION] = {0, 1, 8, 0, 6, 4};

/* Neighbour discovery (RFC 4861, 4.3 and 4.4). */
enum {
    IPV6_HEADER = 40,
    IPV6_SOURCE = 8,
    IPV6_DESTINATION = 24,
    HOP_LIMIT = 255,
    SOLICITATION = 135,
    ADVERTISEMENT = 136,
    MESSAGE_CHECKSUM = 2,
    MESSAGE_TARGET = 8,
    MESSAGE_BYTES = 24, /* without options */
    SOLICITED_OVERRIDE = 0x60,
    OPTION_TARGET_MAC = 2,
    OPTION_BYTES = 8,
};

static bool is_zero(const unsigned char *bytes, size_t size)
{
    static const unsigned char zero[16];
    return memcmp(bytes, zero, size) == 0;
}

/* The node to answer for; NULL also when it is the one who asks. */
static const unsigned char *look_up(const unsigned char *bytes, neighbour_lookup *lookup,
                                    const void *context, const unsigned char *address,
                                    uint32_t size)
{
    const unsigned char *mac = lookup(context, address, size);
    return mac && memcmp(mac, frame_source(bytes), FRAME_MAC) != 0 ? mac : NULL;
}

static unsigned char *write_ethernet(unsigned char *answer, const unsigned char *to,
                                     const unsigned char *from, uint16_t ethertype)
{
    memcpy(answer, to, FRAME_MAC);
    memcpy(answer + FRAME_MAC, from, FRAME_MAC);
    bytes_put16(answer + 2 * FRAME_MAC, ethertype);
    return answer + FRAME_HEADER;
}

static uint32_t answer_arp(const unsigned char *bytes, uint32_t length, neighbour_lookup *lookup,
                           const void *context, unsigned char *answer)
{
    const unsigned char *arp = bytes + FRAME_HEADER;
    if (length < FRAME_HEADER + ARP_BYTES || memcmp(arp, arp_kind, sizeof(arp_kind)) != 0 ||
        bytes_get16(arp + ARP_OPERATION) != ARP_REQUEST)
        return 0;
    if (is_zero(arp + ARP_SENDER, 4) || memcmp(arp + ARP_SENDER, arp + ARP_TARGET, 4) == 0)
        return 0;
    const unsigned char *mac = look_up(bytes, lookup, context, arp + ARP_TARGET, 4);
    if (!mac)
        return 0;
    unsigned char *reply = write_ethernet(answer, frame_source(bytes), mac, ETH_P_ARP);
    memcpy(reply, arp_kind, sizeof(arp_kind));
    bytes_put16(reply + ARP_OPERATION, ARP_REPLY);
    memcpy(reply + ARP_SENDER_MAC, mac, FRAME_MAC);
    memcpy(reply + ARP_SENDER, arp + ARP_TARGET, 4);
    memcpy(reply + ARP_TARGET_MAC, arp + ARP_SENDER_MAC, FRAME_MAC + 4);
    return FRAME_HEADER + ARP_BYTES;
}

/* A solicitation that its receiver would take (RFC 4861, 7.1.1), from somebody with an address. */
static bool is_solicitation(const unsigned char *bytes, const struct frame *frame)
{
    const unsigned char *ip = bytes + frame->network, *message = bytes + frame->transport;
    uint32_t length = frame->transport_end - frame->transport;
    if (frame->kind != FRAME_IPV6 || frame->network != FRAME_HEADER || !frame->transport ||
        frame->protocol != IPPROTO_ICMPV6 || frame->fragment || frame->routed)
        return false;
    if (length < MESSAGE_BYTES || message[0] != SOLICITATION || message[1] != 0 ||
        ip[7] != HOP_LIMIT || message[MESSAGE_TARGET] == 0xff)
        return false;
    if (is_zero(ip + IPV6_SOURCE, 16) || ip[IPV6_SOURCE] == 0xff)
        return false;
    uint64_t sum = checksum_pseudo_header(bytes, frame, length);
    return internet_checksum_fold(internet_checksum_add(sum, message, length)) == 0xffff;
}

static void write_advertisement(unsigned char *ip, const unsigned char *to,
                                const unsigned char *target, const unsigned char *mac)
{
    unsigned char *message = ip + IPV6_HEADER, *option = message + MESSAGE_BYTES;
    memset(ip, 0, IPV6_HEADER + MESSAGE_BYTES);
    ip[0] = 0x60;
    bytes_put16(ip + 4, MESSAGE_BYTES + OPTION_BYTES);
    ip[6] = IPPROTO_ICMPV6;
    ip[7] = HOP_LIMIT;
    memcpy(ip + IPV6_SOURCE, target, 16);
    memcpy(ip + IPV6_DESTINATION, to, 16);
    message[0] = ADVERTISEMENT;
    message[4] = SOLICITED_OVERRIDE;
    memcpy(message + MESSAGE_TARGET, target, 16);
    option[0] = OPTION_TARGET_MAC;
    option[1] = OPTION_BYTES / 8;
    memcpy(option + 2, mac, FRAME_MAC);
}

static uint32_t answer_solicitation(const unsigned char *bytes, const struct frame *frame,
                                    neighbour_lookup *lookup, const void *context,
                                    unsigned char *answer)
{
    if (!is_solicitation(bytes, frame))
        return 0;
    const unsigned char *target = bytes + frame->transport + MESSAGE_TARGET;
    const unsigned char *mac = look_up(bytes, lookup, context, target, 16);
    if (!mac)
        return 0;
    unsigned char *ip = write_ethernet(answer, frame_source(bytes), mac, ETH_P_IPV6);
    write_advertisement(ip, bytes + frame->network + IPV6_SOURCE, target, mac);
    struct frame mine;
    frame_parse(answer, NEIGHBOUR_ANSWER_MAX, &mine);
    checksum_repair(answer, &mine);
    return NEIGHBOUR_ANSWER_MAX;
}

uint32_t neighbour_answer(const unsigned char *bytes, uint32_t length, neighbour_lookup *lookup,
                          const void *context, unsigned char answer[NEIGHBOUR_ANSWER_MAX])
{
    struct frame frame;
    if (length < FRAME_HEADER || frame_is_group(frame_source(bytes)))
        return 0;
    uint16_t ethertype = bytes_get16(bytes + 2 * FRAME_MAC);
    if (ethertype == ETH_P_ARP)
        return answer_arp(bytes, length, lookup, context, answer);
    if (ethertype != ETH_P_IPV6)
        return 0;
    frame_parse(bytes, length, &frame);
    return answer_solicitation(bytes, &frame, lookup, context, answer);
}

void neighbour_link_local(const unsigned char mac[FRAME_MAC], unsigned char address[16])
{
    memset(address, 0, 16);
    address[0] = 0xfe;
    address[1] = 0x80;
    memcpy(address + 8, mac, 3);
    address[8] ^= 0x02;
    address[11] = 0xff;
    address[12] = 0xfe;
    memcpy(address + 13, mac + 3, 3);
}
