/* Theory of operation
 *
 * A node of the table has a place by its slot, and the links from the nodes that this worker reads
 * to all others are open. A node whose serial is another has another device: what was on its way
 * from or to the old one is dropped (counted as queue), so is what it has sent and nobody has read
 * yet, and its links begin anew. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/random.h"
#include "proxy/packet/internal.h"

#define DEFAULT_LINK_BYTES (UINT64_C(16) << 20)

int packet_plane_create(const struct packet_options *options, struct packet_plane **out,
                        struct error *error)
{
    const size_t links = (size_t)RULESET_NODES_MAX * RULESET_NODES_MAX;
    struct packet_plane *plane = calloc(1, sizeof(*plane));
    if (plane) {
        plane->links = calloc(links, sizeof(*plane->links));
        plane->pipelines = calloc(links, sizeof(*plane->pipelines));
    }
    if (!plane || !plane->links || !plane->pipelines) {
        packet_plane_destroy(plane);
        return error_set(error, -ENOMEM, "no memory for the links of a lab");
    }
    plane->loop = options->loop;
    plane->pool = options->pool;
    plane->counters = options->counters;
    plane->states = options->states;
    plane->link_bytes_max = options->link_bytes_max ? options->link_bytes_max : DEFAULT_LINK_BYTES;
    plane->worker = options->worker;
    plane->lost_timer.fn = packet_lost_on_timer;
    plane->watch_timer.fn = packet_watch_on_timer;
    *out = plane;
    return 0;
}

/* Its links, both ways, and its watches end. */
static void close_node(struct packet_plane *plane, struct packet_node *node)
{
    for (unsigned other = 0; other < RULESET_NODES_MAX; other++) {
        packet_link_end(packet_link_at(plane, node->slot, (uint16_t)other));
        packet_link_end(packet_link_at(plane, (uint16_t)other, node->slot));
    }
    packet_node_close(node);
    node->spec = NULL;
}

void packet_plane_destroy(struct packet_plane *plane)
{
    if (!plane)
        return;
    for (unsigned i = 0; i < plane->present_count; i++)
        close_node(plane, &plane->nodes[plane->present[i]]);
    if (plane->loop) {
        loop_timer_cancel(&plane->lost_timer);
        loop_timer_cancel(&plane->watch_timer);
    }
    free(plane->links);
    free(plane->pipelines);
    free(plane);
}

static uint64_t mac_number(const unsigned char *mac)
{
    uint64_t number = 0;
    memcpy(&number, mac, FRAME_MAC);
    return number;
}

/* The bucket that has this address, or the free one where it belongs. */
static struct packet_mac *find_bucket(struct packet_plane *plane, uint64_t number)
{
    size_t i = random_mix(number) % PACKET_MAC_BUCKETS;
    while (plane->macs[i].address && plane->macs[i].address != number)
        i = (i + 1) % PACKET_MAC_BUCKETS;
    return &plane->macs[i];
}

struct packet_node *packet_node_find(struct packet_plane *plane, const unsigned char *mac)
{
    return find_bucket(plane, mac_number(mac))->node;
}

static bool is_same(const struct packet_node *node, const struct packet_port_spec *spec)
{
    return node->spec && node->serial == spec->serial;
}

/* Those that are not in the table any more, or have another device, close; the others take over
 * what it says of them. */
static void close_nodes(struct packet_plane *plane, const struct packet_table *table)
{
    for (unsigned i = 0; i < plane->present_count; i++)
        plane->nodes[plane->present[i]].seen = false;
    for (size_t i = 0; i < table->port_count; i++) {
        struct packet_node *node = &plane->nodes[table->ports[i].node];
        assert(table->ports[i].node < RULESET_NODES_MAX);
        if (!is_same(node, &table->ports[i]))
            continue;
        node->seen = true;
        node->spec = &table->ports[i];
    }
    for (unsigned i = 0; i < plane->present_count; i++)
        if (!plane->nodes[plane->present[i]].seen) {
            struct packet_node *node = &plane->nodes[plane->present[i]];
            if (node->spec->mine) {
                packet_node_drop_unread(node);
                packet_node_count_lost(node);
            }
            close_node(plane, node);
        }
}

static void open_nodes(struct packet_plane *plane, const struct packet_table *table)
{
    plane->present_count = 0;
    memset(plane->macs, 0, sizeof(plane->macs));
    for (size_t i = 0; i < table->port_count; i++) {
        const struct packet_port_spec *spec = &table->ports[i];
        struct packet_node *node = &plane->nodes[spec->node];
        plane->present[plane->present_count++] = spec->node;
        *find_bucket(plane, mac_number(spec->mac)) =
            (struct packet_mac){mac_number(spec->mac), node};
        if (node->spec)
            continue;
        *node = (struct packet_node){
            .plane = plane, .spec = spec, .serial = spec->serial, .slot = spec->node};
        packet_node_open(node);
    }
}

static void apply_links(struct packet_plane *plane)
{
    for (unsigned i = 0; i < plane->present_count; i++) {
        uint16_t from = plane->present[i];
        for (unsigned j = 0; j < plane->present_count && plane->nodes[from].spec->mine; j++) {
            uint16_t to = plane->present[j];
            struct packet_link *link = packet_link_at(plane, from, to);
            if (from == to)
                continue;
            if (!link->plane)
                packet_link_begin(plane, from, to);
            packet_link_apply(link);
        }
    }
}

void packet_plane_apply(struct packet_plane *plane, const struct fault_plan *plan,
                        const struct match_set *matches, const struct packet_table *table,
                        struct capture_set *captures)
{
    plane->plan = plan;
    plane->matches = matches;
    plane->captures = captures;
    close_nodes(plane, table);
    open_nodes(plane, table);
    apply_links(plane);
}
