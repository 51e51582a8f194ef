/* A packet in brief, for people: protocol, addresses, what it does. Pure. */
#ifndef SEVER_CTL_PACKET_LINE_H
#define SEVER_CTL_PACKET_LINE_H

#include <stdint.h>

#include "proxy/base/text.h"

/* Appends such as "TCP 10.77.0.1:41000 > 10.77.0.2:2379 [S.]". bytes: an Ethernet frame, or the
 * first `captured` bytes of it; nothing behind them is read. */
void packet_line_append(struct text *text, const unsigned char *bytes, uint32_t captured);

#endif
