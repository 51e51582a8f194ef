/* Cuts and losses in the kernel: what a plane's sockets let in.
 *
 * Theory of operation. A socket's filter acts on what comes in: for the client's socket that is
 * link client->server, for the upstream one server->client. So each direction of a connection has
 * one socket whose filter cuts it or loses a part of it. A cut is also a stall (flow.c), which is
 * what makes it exact: the filter keeps the kernel from answering, so that peers see silence. New
 * clients are met by the listener's filter: a SYN is lost while the link is cut either way, and
 * with the loss of the upstream direction. Where clients are told apart by address, so are SYNs;
 * those of a client that is no node meet the losses of the route alone.
 *
 * What a segment is, and what is done so that a lossy link has ordinary ones: segments.c.
 *
 * A plan is taken over without a system call; the filters follow in stream_plane_settle, once every
 * worker is on the plan and before the control call returns. A connection that begins later gets
 * its own as it is accepted or has been dialled.
 *
 * Programs are kept by what they do: a split of many nodes needs a handful, and each is attached to
 * many sockets. One that is thrown out of the cache lives on in the sockets that have it.
 *
 * A socket that is closed may still have bytes to deliver, and nobody could take its filter off any
 * more, at heal or ever: the ACKs of what it sends would be lost, and the stream would end short.
 * So it goes without.
 *
 * A peer that goes away says so once, with RST, and a cut that is a filter loses that. So after the
 * heal TCP asks whether it is still there; in the next cut the timer tells it to stop.
 *
 * What a filter drops is counted by the kernel, per socket: the count is read when a filter comes
 * and goes, and every COUNT_NS in between. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/log.h"
#include "proxy/base/monotonic.h"
#include "proxy/io/filter.h"
#include "proxy/io/socket.h"
#include "proxy/stream/internal.h"

enum { PROGRAMS_MAX = 64, SOURCES_MAX = RULESET_NODES_MAX * RULESET_NODE_ADDRESSES_MAX };
#define COUNT_NS (200 * NS_PER_MS)

/* What identifies a program: a hash of 128 bits of what it does. */
struct program_key {
    uint64_t words[2];
};

struct cached_program {
    struct program_key key;
    struct filter_program program;
    uint64_t used; /* when, in uses of the cache; 0: slot not in use */
};

struct stream_filters {
    struct cached_program programs[PROGRAMS_MAX];
    uint64_t uses;
    struct loop_timer timer;
    struct stream_plane *plane;
    struct filter_source sources[SOURCES_MAX]; /* scratch */
    bool failed;                               /* said so in the log already */
};

static void count_on_timer(struct loop_timer *timer);

struct stream_filters *stream_filters_create(struct stream_plane *plane)
{
    struct stream_filters *filters = calloc(1, sizeof(*filters));
    if (!filters)
        return NULL;
    filters->plane = plane;
    filters->timer.fn = count_on_timer;
    return filters;
}

void stream_filters_destroy(struct stream_filters *filters)
{
    if (!filters)
        return;
    loop_timer_cancel(&filters->timer);
    for (size_t i = 0; i < PROGRAMS_MAX; i++)
        if (filters->programs[i].used)
            filter_free(&filters->programs[i].program);
    free(filters);
}

static struct program_key fold(struct program_key key, uint64_t word)
{
    return (struct program_key){
        {random_key_fold(key.words[0], word), random_key_fold(key.words[1], ~word)}};
}

static bool same_key(struct program_key a, struct program_key b)
{
    return a.words[0] == b.words[0] && a.words[1] == b.words[1];
}

/* The slot of this key, or the one to put it in: the least recently used. */
static struct cached_program *find_slot(struct stream_filters *filters, struct program_key key)
{
    struct cached_program *oldest = &filters->programs[0];
    for (size_t i = 0; i < PROGRAMS_MAX; i++) {
        struct cached_program *slot = &filters->programs[i];
        if (slot->used && same_key(slot->key, key))
            return slot;
        if (slot->used < oldest->used)
            oldest = slot;
    }
    return oldest;
}

/* The program for these sources, with the loss of everybody else. NULL: it is too large. */
static const struct filter_program *get_program(struct stream_filters *filters,
                                                struct program_key key, uint32_t loss_ppb,
                                                uint32_t segment_bytes, size_t source_count)
{
    struct cached_program *slot = find_slot(filters, key);
    bool there = slot->used && same_key(slot->key, key);
    if (!there && slot->used)
        filter_free(&slot->program);
    if (!there) {
        struct filter_spec spec = {.loss_ppb = loss_ppb, .segment_bytes = segment_bytes};
        slot->used = 0;
        if (source_count == 0)
            filter_compile(&spec, &slot->program);
        else if (filter_compile_sources(filters->sources, source_count, loss_ppb, &slot->program))
            return NULL;
        filter_load(&slot->program); /* refused: attaching is slower, that is all */
        slot->key = key;
    }
    slot->used = ++filters->uses;
    return &slot->program;
}

static void fail(struct stream_filters *filters, int code)
{
    if (!filters->failed)
        log_warn("cannot set a socket filter (%s): such cuts are stalls, and such losses nothing",
                 strerror(-code));
    filters->failed = true;
}

/* Attaches what the key says, or takes off what is there when nothing is lost, and also when the
 * new one can't be had: an old one must not outlive its cut. */
static int set_filter(struct stream_filters *filters, int fd, struct program_key key,
                      uint32_t loss_ppb, uint32_t segment_bytes, size_t source_count)
{
    if (loss_ppb == 0 && source_count == 0)
        return filter_detach(fd);
    const struct filter_program *program =
        get_program(filters, key, loss_ppb, segment_bytes, source_count);
    int result = program ? filter_attach(fd, program) : -E2BIG;
    if (result) {
        fail(filters, result);
        filter_detach(fd);
    }
    return result;
}

static struct program_key key_of_loss(uint32_t loss_ppb, uint32_t segment_bytes)
{
    return fold(fold((struct program_key){{1, 2}}, loss_ppb), segment_bytes);
}

/* --- probing --- */

/* RST is not sent twice: a cut may have lost it. */
static void start_probing(struct stream_end *end)
{
    if (!end->probing_prepared)
        socket_prepare_probing(end->fd);
    if (!end->probing)
        socket_set_probing(end->fd, true);
    end->probing_prepared = end->probing = true;
}

/* In a cut nobody could answer. It is in time long before the first question. */
static void stop_probing(struct stream_end *end)
{
    if (end->probing)
        socket_set_probing(end->fd, false);
    end->probing = false;
}

/* --- counting --- */

static void count_more(struct stream_plane *plane, int fd, int64_t *seen,
                       struct fault_link_counters *link, bool cut, uint16_t loss_slot)
{
    int64_t dropped = filter_dropped(fd);
    if (dropped <= *seen)
        return;
    uint64_t more = (uint64_t)(dropped - *seen);
    *seen = dropped;
    fault_counter_add(&link->dropped[cut ? FAULT_CAUSE_CUT : FAULT_CAUSE_LOSS], more);
    if (!cut && loss_slot < RULESET_FAULTS_MAX)
        fault_counter_add(&plane->counters->touched[loss_slot], more);
}

void stream_end_count_dropped(struct stream_end *end)
{
    struct stream_plane *plane = end->connection->plane;
    if (plane->filters && end->fd >= 0 && end->filtered_ppb > 0)
        count_more(plane, end->fd, &end->dropped_seen, end->in->counters, end->filtered_cut,
                   end->in->loss_slot);
}

/* Who it was that a SYN of a listener with several sources came from can't be told. */
static void listener_count_dropped(struct stream_listener *listener)
{
    struct stream_plane *plane = listener->plane;
    const struct route_spec *spec = listener->spec;
    uint16_t from = spec->from_peer ? ROUTE_NO_NODE : spec->from;
    count_more(plane, spec->fd, &listener->dropped_seen,
               fault_counters_link(plane->counters, from, spec->to), listener->filtered_cut,
               listener->loss_slot);
}

static void count_on_timer(struct loop_timer *timer)
{
    struct stream_filters *filters = loop_container(timer, struct stream_filters, timer);
    struct stream_plane *plane = filters->plane;
    bool any = false;
    for (struct stream_connection *connection = plane->live; connection;
         connection = connection->next)
        for (int i = 0; i < STREAM_ENDS; i++) {
            struct stream_end *end = &connection->ends[i];
            any |= end->filtered_ppb > 0;
            stream_end_count_dropped(end);
            if (end->filtered_cut)
                stop_probing(end);
        }
    for (uint32_t i = 0; i < plane->listeners_end; i++)
        if (plane->listeners[i].spec && plane->listeners[i].filtered) {
            any = true;
            listener_count_dropped(&plane->listeners[i]);
        }
    if (any)
        loop_timer_set(plane->loop, timer, loop_now_ns(plane->loop) + COUNT_NS);
}

static void count_from_now_on(struct stream_filters *filters)
{
    struct loop *loop = filters->plane->loop;
    if (!filters->timer.loop)
        loop_timer_set(loop, &filters->timer, loop_now_ns(loop) + COUNT_NS);
}

/* --- connections --- */

/* What the end should lose of what comes in; RANDOM_PPB_ONE: everything. */
static uint32_t wanted_ppb(const struct stream_end *end)
{
    return end->in->cut ? RANDOM_PPB_ONE : end->in->loss_ppb;
}

void stream_end_filter(struct stream_end *end)
{
    struct stream_filters *filters = end->connection->plane->filters;
    uint32_t ppb = wanted_ppb(end);
    if (!filters || end->fd < 0 || !end->tcp)
        return;
    if (ppb == end->filtered_ppb && end->in->cut == end->filtered_cut && !end->inherited)
        return;
    stream_end_count_dropped(end);
    uint32_t segment_bytes = ppb > 0 && ppb < RANDOM_PPB_ONE ? stream_end_segment_bytes(end) : 0;
    if (set_filter(filters, end->fd, key_of_loss(ppb, segment_bytes), ppb, segment_bytes, 0))
        ppb = 0;
    bool cut = ppb > 0 && end->in->cut;
    if (end->filtered_cut && !cut)
        start_probing(end);
    end->filtered_ppb = ppb;
    end->filtered_cut = cut;
    end->inherited = false;
    if (ppb > 0) {
        end->dropped_seen = filter_dropped(end->fd);
        count_from_now_on(filters);
    }
}

void stream_end_unfilter(struct stream_end *end)
{
    if (end->filtered_ppb > 0 || end->inherited)
        filter_detach(end->fd);
    end->filtered_ppb = 0;
}

/* --- listeners --- */

/* The loss that meets every SYN from `from` for sure, by its long-run mean. */
static uint32_t syn_loss_ppb(const struct stream_listener *listener, uint16_t from, uint16_t *slot)
{
    const struct route_spec *spec = listener->spec;
    struct fault_entry entries[FAULT_CHAIN_MAX];
    uint32_t ppb = 0;
    size_t count = fault_plan_chain(listener->plane->plan, from, spec->to, spec->slot,
                                    RULESET_UPSTREAM, entries);
    for (size_t i = 0; i < count; i++) {
        const struct ruleset_fault *fault = entries[i].spec;
        if (fault->type != RULESET_LOSS || fault->spared_ppb || fault->first_connections ||
            fault->after_ns)
            continue;
        if (ppb == 0)
            *slot = entries[i].slot;
        ppb = fault_loss_either_ppb(ppb, fault_loss_mean_ppb(fault));
    }
    return ppb;
}

/* What SYNs from this node lose. */
static uint32_t syn_ppb(struct stream_listener *listener, uint16_t from, bool *cut, bool losses)
{
    const struct fault_plan *plan = listener->plane->plan;
    uint16_t to = listener->spec->to;
    *cut = fault_plan_is_cut(plan, from, to) || fault_plan_is_cut(plan, to, from);
    if (*cut)
        return RANDOM_PPB_ONE;
    return losses ? syn_loss_ppb(listener, from, &listener->loss_slot) : 0;
}

/* Fills filters->sources with those that lose something else than everybody; how many. */
static size_t list_sources(struct stream_listener *listener, uint32_t others_ppb,
                           struct program_key *key)
{
    struct stream_filters *filters = listener->plane->filters;
    const struct route_table *table = listener->plane->table;
    size_t count = 0;
    *key = fold((struct program_key){{3, 4}}, others_ppb);
    for (size_t i = 0; i < table->source_count && count < SOURCES_MAX; i++) {
        const struct route_source *source = &table->sources[i];
        bool cut;
        uint32_t ppb = syn_ppb(listener, source->node, &cut, true);
        listener->filtered_cut |= cut;
        if (ppb == others_ppb)
            continue;
        filters->sources[count++] = (struct filter_source){.host = source->host, .loss_ppb = ppb};
        /* the node's slot and the number among its addresses stand for the host */
        *key = fold(fold(*key, ppb), table->sources_serial << 20 ^ i);
    }
    return count;
}

/* Fills filters->sources with those of these nodes. */
static size_t list_nodes(struct stream_filters *filters, const uint64_t nodes[FAULT_NODE_WORDS])
{
    const struct route_table *table = filters->plane->table;
    size_t count = 0;
    for (size_t i = 0; i < table->source_count && count < SOURCES_MAX; i++) {
        const struct route_source *source = &table->sources[i];
        if (nodes[source->node / 64] >> (source->node % 64) & 1)
            filters->sources[count++] =
                (struct filter_source){.host = source->host, .loss_ppb = RANDOM_PPB_ONE};
    }
    return count;
}

/* As list_sources where nothing is lost but by cuts, which is mostly so: the nodes that are cut off
 * stand for their sources, and those are listed, and counted, only for a program that is new. */
static size_t list_cut_sources(struct stream_listener *listener, struct program_key *key)
{
    struct stream_filters *filters = listener->plane->filters;
    uint64_t nodes[FAULT_NODE_WORDS], any = 0;
    fault_plan_cut_with(listener->plane->plan, listener->spec->to, nodes);
    *key = fold((struct program_key){{5, 6}}, listener->plane->table->sources_serial);
    for (size_t i = 0; i < FAULT_NODE_WORDS; i++) {
        *key = fold(*key, nodes[i]);
        any |= nodes[i];
    }
    if (!any)
        return 0;
    const struct cached_program *slot = find_slot(filters, *key);
    size_t count = slot->used && same_key(slot->key, *key) ? 1 : list_nodes(filters, nodes);
    listener->filtered_cut = count > 0;
    return count;
}

static void listener_filter(struct stream_listener *listener, bool losses)
{
    struct stream_filters *filters = listener->plane->filters;
    const struct route_spec *spec = listener->spec;
    struct program_key key;
    bool was_filtered = listener->filtered, cut = false;
    if (was_filtered)
        listener_count_dropped(listener);
    listener->filtered_cut = false;
    listener->loss_slot = FAULT_NO_ROUTE;
    uint32_t ppb = syn_ppb(listener, spec->from_peer ? ROUTE_NO_NODE : spec->from, &cut, losses);
    size_t sources = !spec->from_peer ? 0
                     : losses         ? list_sources(listener, ppb, &key)
                                      : list_cut_sources(listener, &key);
    if (sources == 0)
        key = key_of_loss(ppb, 0);
    listener->filtered_cut |= cut;
    bool filtered = sources > 0 || ppb > 0;
    if (!filtered && !was_filtered)
        return;
    if (filtered && was_filtered && key.words[0] == listener->filter_key[0] &&
        key.words[1] == listener->filter_key[1])
        return;
    if (set_filter(filters, spec->fd, key, ppb, 0, sources))
        filtered = false;
    listener->filtered = filtered;
    memcpy(listener->filter_key, key.words, sizeof(listener->filter_key));
    if (filtered) {
        listener->dropped_seen = filter_dropped(spec->fd);
        count_from_now_on(filters);
    }
}

void stream_listener_unfilter(struct stream_listener *listener)
{
    if (!listener->filtered)
        return;
    listener_count_dropped(listener);
    filter_detach(listener->spec->fd);
    listener->filtered = false;
}

void stream_plane_settle(struct stream_plane *plane)
{
    if (!plane->filters)
        return;
    bool losses = fault_plan_has_type(plane->plan, RULESET_LOSS);
    for (size_t i = 0; i < plane->table->route_count; i++) {
        struct stream_listener *listener = &plane->listeners[plane->table->routes[i].slot];
        if (!listener->tcp)
            continue;
        stream_listener_announce(listener, losses);
        listener_filter(listener, losses);
    }
    for (struct stream_connection *connection = plane->live; connection;
         connection = connection->next)
        for (int i = 0; i < STREAM_ENDS; i++)
            stream_end_filter(&connection->ends[i]);
}
