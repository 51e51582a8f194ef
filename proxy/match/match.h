/* Match expressions: which units a fault means, in libpcap's filter language (pcap-filter(7)).
 *
 * They see IP packets. What a UDP route carries has lost its headers; they are written again, as
 * those of the packet that would have crossed had no severd been in between: the client's address
 * and the upstream's (ip_header.h says what is in them). So `dst port 53` means the server's port,
 * not the one that the route listens on, and the expression means the same in a lab.
 *
 * Compiling is for the control thread and never waits: an expression with a name in it that would
 * have to be looked up is refused. A program is immutable: any thread may run it. */
#ifndef SEVER_MATCH_MATCH_H
#define SEVER_MATCH_MATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/address.h"
#include "proxy/base/error.h"
#include "proxy/fault/plan.h"
#include "proxy/fault/ruleset.h"
#include "proxy/io/ip_header.h"

struct match_program;

/* -EINVAL with libpcap's message, or with the word that can't be looked up; -ENOMEM. The place of
 * the error is left empty. expression: not empty, shorter than RULESET_MATCH_MAX. */
int match_compile(const char *expression, struct match_program **program, struct error *error);
void match_destroy(struct match_program *program); /* NULL is fine */

/* packet: from the IP header on, IPv4 or IPv6. captured: bytes that are there; length: bytes that
 * the packet has. */
bool match_packet(const struct match_program *program, const void *packet, uint32_t captured,
                  uint32_t length);
/* A datagram's payload: writes the headers into the IP_HEADER_ROOM bytes in front of it. */
bool match_datagram(const struct match_program *program, const struct address *source,
                    const struct address *destination, unsigned char *payload, uint32_t length);

/* The programs of a ruleset's faults, by fault slot. NULL is an empty set. */
struct match_set;

/* Compiles what `previous` (NULL: nothing) does not have already. *set becomes NULL when no fault
 * has a match. Errors have the place "faults[i].match". Control thread only, like destroy. */
int match_set_create(const struct ruleset *ruleset, const struct fault_plan *plan,
                     const struct match_set *previous, struct match_set **set, struct error *error);
void match_set_destroy(struct match_set *set);
/* NULL when the fault in this slot has no match. Any thread. */
const struct match_program *match_set_find(const struct match_set *set, uint16_t fault_slot);

#endif
