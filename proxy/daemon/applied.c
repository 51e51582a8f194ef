/* Theory of operation. Two sets of kinds of carriers (routes, and the lab), those that a fault may
 * meet where it is (its route's, or those that carry its link), and of these those on which its
 * type, its match and this machine let it act. What is missing is told with the reason, and what
 * acts otherwise than its name promises with a note. */
#include "proxy/daemon/applied.h"

#include <stdio.h>
#include <string.h>

/* Kinds of carriers. Unix sockets are streams as TCP is, but have no segments to lose: HALF has one
 * at one end, UNIX at both. */
enum { TCP = 1 << 0, UDP = 1 << 1, HALF = 1 << 2, UNIX = 1 << 3, LAB = 1 << 4 };
enum { STREAMS = TCP | HALF | UNIX, ANY = TCP | UDP };

static unsigned kind_of(const struct ruleset_route *route)
{
    bool listens = strncmp(route->listen, "unix:", 5) == 0;
    bool dials = strncmp(route->upstream, "unix:", 5) == 0;
    if (route->protocol == RULESET_UDP)
        return UDP;
    return listens && dials ? UNIX : listens || dials ? HALF : TCP;
}

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

/* Are there two different nodes of the lab that the link means? */
static bool lab_carries(const struct ruleset *ruleset, const struct applied_lab *lab,
                        const struct ruleset_link *link)
{
    for (size_t i = 0; i < ruleset->node_count; i++) {
        const char *from = ruleset->nodes[i].name;
        if (!end_is(link->from, from) || !lab->has(lab->context, from))
            continue;
        for (size_t j = 0; j < ruleset->node_count; j++) {
            const char *to = ruleset->nodes[j].name;
            if (i != j && end_is(link->to, to) && lab->has(lab->context, to))
                return true;
        }
    }
    return false;
}

/* The kinds of carriers that the fault may meet. */
static unsigned met_by(const struct ruleset *ruleset, const struct ruleset_fault *fault,
                       const struct applied_lab *lab)
{
    const struct ruleset_link *link = &fault->link;
    unsigned met = 0, enough = fault->type == RULESET_LOSS ? STREAMS | UDP : ANY;
    if (fault->route[0]) {
        const struct ruleset_route *route = ruleset_find_route(ruleset, fault->route);
        return route ? kind_of(route) : ANY;
    }
    for (size_t i = 0; i < ruleset->route_count && (met & enough) != enough; i++) {
        const struct ruleset_route *route = &ruleset->routes[i];
        if (route_carries(route, link->from, link->to) ||
            (fault->both_ways && route_carries(route, link->to, link->from)))
            met |= kind_of(route);
    }
    if (lab) /* both ways: the same two nodes */
        return met | (lab_carries(ruleset, lab, link) ? LAB : 0);
    return ruleset->route_count > 0 ? met : ANY;
}

/* Where its type, its match and the machine let it act; *why: what keeps it from the rest. */
static unsigned can_act(const struct ruleset_fault *fault,
                        const struct applied_mechanisms *mechanisms, const char **why)
{
    unsigned can = ruleset_fault_acts_on(fault->type, RULESET_TCP) ? STREAMS : 0;
    can |= ruleset_fault_acts_on(fault->type, RULESET_UDP) ? UDP | LAB : 0;
    *why = "";
    if (!(can & STREAMS))
        *why = "a stream would be corrupted by it";
    else if (!(can & UDP))
        *why = "it is for streams";
    if ((can & STREAMS) && fault->match[0]) {
        *why = "a match is for datagrams";
        return can & (UDP | LAB);
    }
    if (fault->type == RULESET_LOSS && !mechanisms->segment_filters) {
        *why = "loss on tcp routes needs socket filters: see severctl doctor";
        return can & (UDP | LAB);
    }
    if (fault->type == RULESET_LOSS) {
        *why = "a unix socket has no segments to lose";
        return can & ~(unsigned)UNIX;
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
    if (fault->type == RULESET_LOSS && (acts & STREAMS) == HALF)
        return "; at a route's unix socket nothing is lost";
    if (fault->type == RULESET_LOSS && (acts & STREAMS))
        return keeps_state(fault) ? "; on tcp routes: random loss of the same mean, kernel filters "
                                    "keep no state"
                                  : "; on tcp routes: segments, which TCP sends again";
    if (fault->type == RULESET_LATENCY && fault->latency.reorder && (acts & STREAMS))
        return "; on tcp routes order is kept";
    if (fault->type == RULESET_FLAP && (acts & STREAMS))
        return "; on tcp routes: held while it is down, as by a cut that stalls";
    if (fault->type == RULESET_REJECT && (acts & UDP))
        return mechanisms->icmp_unreachable
                   ? "; on udp routes: dropped, and answered with ICMP port unreachable"
                   : "; on udp routes: dropped without an ICMP answer";
    if ((acts & LAB) && (fault->spared_ppb || fault->first_connections))
        return "; in the lab a link is one connection";
    return "";
}

/* "tcp and udp routes and the lab" */
static const char *name_carriers(unsigned carriers, char buffer[64])
{
    bool streams = carriers & STREAMS, datagrams = carriers & UDP;
    snprintf(buffer, 64, "%s%s%s%s%s%s", streams ? "tcp" : "", streams && datagrams ? " and " : "",
             datagrams ? "udp" : "", streams || datagrams ? " routes" : "",
             (streams || datagrams) && (carriers & LAB) ? " and " : "",
             carriers & LAB ? "the lab" : "");
    return buffer;
}

const char *applied_describe(const struct ruleset *ruleset, const struct ruleset_fault *fault,
                             const struct applied_mechanisms *mechanisms,
                             const struct applied_lab *lab, char *buffer)
{
    const char *why;
    char carriers[64];
    unsigned met = met_by(ruleset, fault, lab);
    unsigned acts = met & can_act(fault, mechanisms, &why);
    const char *note = note_on(fault, acts, mechanisms);
    if (!met)
        snprintf(buffer, APPLIED_TEXT_MAX, "nothing: no route carries this link%s",
                 lab ? ", and it is not in the lab" : "");
    else if (!acts)
        snprintf(buffer, APPLIED_TEXT_MAX, "nothing: %s", why);
    else if (acts != met)
        snprintf(buffer, APPLIED_TEXT_MAX, "%s only: %s%s", name_carriers(acts, carriers), why,
                 note);
    else if (acts & LAB)
        snprintf(buffer, APPLIED_TEXT_MAX, "%sthe lab%s",
                 acts & ~(unsigned)LAB ? "all routes and " : "", note);
    else
        snprintf(buffer, APPLIED_TEXT_MAX, "%s%s", fault->route[0] ? "the route" : "all routes",
                 note);
    return buffer;
}
