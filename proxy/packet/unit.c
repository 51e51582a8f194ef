/* Theory of operation
 *
 * A packet that is held is a unit in a pool block, with its bytes behind it. The segments of a
 * super-packet are held one by one, but their bytes stay together, in a block that all of them
 * refer to: cutting it copies nothing, and neither does putting together what leaves side by side
 * (leave.c). Only who looks at a segment or changes it has it written out. */
#include <assert.h>
#include <string.h>

#include "proxy/packet/internal.h"

enum { POOL_SHARE = 8 }; /* of what is free a link may hold this part */

static_assert(sizeof(struct packet_bytes) == sizeof(struct virtio_net_hdr),
              "what is held can be sent as it lies");
static_assert(sizeof(struct packet_unit) + sizeof(struct packet_bytes) + PACKET_BYTES_MAX <=
                      POOL_BLOCK_MAX &&
                  sizeof(struct packet_super) + PACKET_BYTES_MAX <= POOL_BLOCK_MAX,
              "any frame fits into a block");

/* A block that is charged to the link; NULL when it has its share, or the pool is empty. */
static void *block_take(struct packet_link *link, size_t size)
{
    struct packet_plane *plane = link->plane;
    uint64_t share = (pool_limit_bytes(plane->pool) - pool_used_bytes(plane->pool)) / POOL_SHARE;
    if (link->charge >= share || link->charge >= plane->link_bytes_max)
        return NULL;
    void *block = pool_take(plane->pool, size);
    if (block)
        link->charge += pool_bytes_of(plane->pool, block);
    return block;
}

static void block_give(struct packet_link *link, void *block)
{
    struct pool *pool = link->plane->pool;
    link->charge -= pool_bytes_of(pool, block);
    pool_give(pool, block);
}

/* Where its bytes are when they are behind it. */
static struct packet_bytes *behind(struct packet_unit *unit)
{
    return (struct packet_bytes *)(void *)(unit + 1);
}

static struct packet_unit *unit_take(struct packet_link *link, uint32_t bytes)
{
    return block_take(link, sizeof(struct packet_unit) + sizeof(struct packet_bytes) + bytes);
}

struct packet_unit *packet_unit_hold(struct packet_link *link, const struct packet_view *view)
{
    struct packet_unit *unit = unit_take(link, view->length);
    uint32_t bytes = view->length - view->network;
    if (!unit)
        return NULL;
    *unit = (struct packet_unit){.unit = {.bytes = bytes ? bytes : 1, .segments = view->segments},
                                 .arrived_ns = link->plane->arrived_ns,
                                 .length = view->length,
                                 .wire_bytes = view->wire_bytes,
                                 .network = view->network,
                                 .own = behind(unit)};
    memcpy(unit->own, view->header, sizeof(*unit->own) + view->length);
    return unit;
}

struct packet_super *packet_super_hold(struct packet_link *link, const struct packet_view *view)
{
    struct packet_super *super = block_take(link, sizeof(*super) + view->length);
    if (!super)
        return NULL;
    super->references = 0;
    memcpy(&super->bytes, view->header, sizeof(super->bytes) + view->length);
    segment_begin(&super->segmenter, &super->bytes.header, super->bytes.frame, view->length);
    return super;
}

struct packet_unit *packet_unit_hold_segment(struct packet_link *link, struct packet_super *super,
                                             uint32_t index)
{
    const struct frame *frame = &super->segmenter.frame;
    struct packet_unit *unit = block_take(link, sizeof(*unit));
    uint32_t payload;
    if (!unit)
        return NULL;
    segment_payload(&super->segmenter, index, 1, &payload);
    uint32_t length = frame->payload + payload, bytes = length - frame->network;
    *unit = (struct packet_unit){.unit = {.bytes = bytes, .segments = 1},
                                 .arrived_ns = link->plane->arrived_ns,
                                 .length = length,
                                 .wire_bytes = bytes,
                                 .network = frame->network,
                                 .index = index,
                                 .super = super};
    super->references++;
    return unit;
}

struct packet_unit *packet_unit_copy(struct packet_link *link, const struct packet_unit *unit)
{
    struct packet_unit *copy =
        unit->super ? block_take(link, sizeof(*copy)) : unit_take(link, unit->length);
    if (!copy)
        return NULL;
    *copy = *unit;
    copy->unit.next = NULL;
    if (unit->super) {
        unit->super->references++;
    } else {
        copy->own = behind(copy);
        memcpy(copy->own, unit->own, sizeof(*copy->own) + unit->length);
    }
    return copy;
}

uint32_t packet_unit_bytes(const struct packet_unit *unit)
{
    uint32_t bytes = unit->length - unit->network;
    return unit->unit.bytes < bytes ? unit->unit.bytes : bytes;
}

static void write_segment(const struct packet_unit *unit, struct virtio_net_hdr *header,
                          unsigned char *frame)
{
    const struct segmenter *segmenter = &unit->super->segmenter;
    uint32_t payload;
    const unsigned char *from = segment_payload(segmenter, unit->index, 1, &payload);
    segment_headers(segmenter, unit->index, 1, header, frame);
    memcpy(frame + segmenter->frame.payload, from, payload);
}

struct packet_view packet_unit_view(struct packet_plane *plane, const struct packet_unit *unit)
{
    uint32_t bytes = packet_unit_bytes(unit);
    bool is_whole = bytes == unit->length - unit->network;
    struct packet_view view = {.length = unit->network + bytes,
                               .network = unit->network,
                               .segments = unit->unit.segments,
                               .wire_bytes = is_whole ? unit->wire_bytes : bytes};
    if (unit->super) {
        write_segment(unit, &plane->scratch.header, plane->scratch.frame);
        view.header = &plane->scratch.header;
        view.bytes = plane->scratch.frame;
    } else {
        view.header = &unit->own->header;
        view.bytes = unit->own->frame;
    }
    return view;
}

bool packet_unit_own(struct packet_link *link, struct packet_unit *unit)
{
    if (!unit->super)
        return true;
    struct packet_bytes *own = block_take(link, sizeof(*own) + unit->length);
    if (!own)
        return false;
    write_segment(unit, &own->header, own->frame);
    packet_super_release(link, unit->super);
    unit->super = NULL;
    unit->own = own;
    return true;
}

void packet_unit_release(struct packet_link *link, struct packet_unit *unit)
{
    if (unit->super)
        packet_super_release(link, unit->super);
    else if (unit->own != behind(unit))
        block_give(link, unit->own);
    block_give(link, unit);
}

void packet_super_release(struct packet_link *link, struct packet_super *super)
{
    if (super->references > 1)
        super->references--;
    else
        block_give(link, super);
}
