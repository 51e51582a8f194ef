/* Theory of operation. Three sets of protocols, one inside the other: those that a fault may meet
 * where it is (its route's, or those of the routes that carry its link), and of these those on
 * which its type, its match and this machine let it act. What is missing is told with the reason,
 * and what acts otherwise than its name promises with a note. */
#include "proxy/daemon/applied.h"

#include <stdio.h>
#include <string.h>

enum { TCP = 1 << RULESET_TCP, UDP = 1 << RULESET_UDP, BOTH = TCP | UDP };

static bool end_is(const char *pattern, const char *name)
{
    return strcmp(pattern, "*") == 0 || strcmp(pattern, name) == 0;
}

/* Can bytes of this route be on from->to? Upstream they are on (who dials)->(route's to),
 * downstream on the reverse; a route that does not say who dials is dialled by anybody. */
static bool route_carries(const struct ruleset_route *route, const char *from, const char *to)
{
    bool upstream = end_is(to, route->to) && (route->from[0] == '\0' || end_is(from, route->from));
    bool downstream =
        end_is(from, route->to) && (route->from[0] == '\0' || end_is(to, route->from));
    return route->to[0] != '\0' && (upstream || downstream);
}

/* The protocols that the fault may meet. */
static unsigned met_by(const struct ruleset *ruleset, const struct ruleset_fault *fault)
{
    const struct ruleset_link *link = &fault->link;
    unsigned met = 0;
    if (fault->route[0]) {
        const struct ruleset_route *route = ruleset_find_route(ruleset, fault->route);
        return route ? 1u << route->protocol : BOTH;
    }
    for (size_t i = 0; i < ruleset->route_count && met != BOTH; i++) {
        const struct ruleset_route *route = &ruleset->routes[i];
        if (route_carries(route, link->from, link->to) ||
            (fault->both_ways && route_carries(route, link->to, link->from)))
            met |= 1u << route->protocol;
    }
    return ruleset->route_count > 0 ? met : BOTH;
}

/* Where its type, its match and the machine let it act; *why: what keeps it from the rest. */
static unsigned can_act(const struct ruleset_fault *fault,
                        const struct applied_mechanisms *mechanisms, const char **why)
{
    unsigned can = 0;
    *why = "";
    for (unsigned p = RULESET_TCP; p <= RULESET_UDP; p++)
        can |= ruleset_fault_acts_on(fault->type, (enum ruleset_protocol)p) ? 1u << p : 0;
    if (!(can & TCP))
        *why = "a stream would be corrupted by it";
    else if (!(can & UDP))
        *why = "it is for streams";
    if ((can & TCP) && fault->match[0]) {
        *why = "a match is for datagrams";
        can &= ~(unsigned)TCP;
    }
    if ((can & TCP) && fault->type == RULESET_LOSS && !mechanisms->segment_filters) {
        *why = "loss on tcp routes needs socket filters: see severctl doctor";
        can &= ~(unsigned)TCP;
    }
    return can;
}

static bool keeps_state(const struct ruleset_fault *fault)
{
    return fault->loss.model != RULESET_LOSS_RANDOM || fault->loss.correlation_ppb > 0;
}

/* What is other than expected where it acts; "" when nothing is. */
static const char *note_on(const struct ruleset_fault *fault, unsigned acts,
                           const struct applied_mechanisms *mechanisms)
{
    if (fault->type == RULESET_LOSS && (acts & TCP))
        return keeps_state(fault) ? "; on tcp routes: random loss of the same mean, kernel filters "
                                    "keep no state"
                                  : "; on tcp routes: segments, which TCP sends again";
    if (fault->type == RULESET_LATENCY && fault->latency.reorder && (acts & TCP))
        return "; on tcp routes order is kept";
    if (fault->type == RULESET_REJECT && (acts & UDP))
        return mechanisms->icmp_unreachable
                   ? "; on udp routes: dropped, and answered with ICMP port unreachable"
                   : "; on udp routes: dropped without an ICMP answer";
    return "";
}

const char *applied_describe(const struct ruleset *ruleset, const struct ruleset_fault *fault,
                             const struct applied_mechanisms *mechanisms, char *buffer)
{
    const char *why;
    unsigned met = met_by(ruleset, fault);
    unsigned acts = met & can_act(fault, mechanisms, &why);
    const char *note = note_on(fault, acts, mechanisms);
    if (!met)
        snprintf(buffer, APPLIED_TEXT_MAX, "nothing: no route carries this link");
    else if (!acts)
        snprintf(buffer, APPLIED_TEXT_MAX, "nothing: %s", why);
    else if (acts != met)
        snprintf(buffer, APPLIED_TEXT_MAX, "%s routes only: %s%s", acts == TCP ? "tcp" : "udp", why,
                 note);
    else
        snprintf(buffer, APPLIED_TEXT_MAX, "%s%s", fault->route[0] ? "the route" : "all routes",
                 note);
    return buffer;
}
