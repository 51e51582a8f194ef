/* The shared clock page: how severd tells the processes of one node what time it is.
 *
 * One file of CLOCK_PAGE_SIZE bytes per node, mapped shared: written by severd, read by the preload
 * library at each clock read. This header is all that the library includes of the project.
 *
 *   shifted = t + offset_ns + (t_mono - base_mono_ns) * drift_ppb / 1e9
 *
 * t is the real clock that was asked for; t_mono is CLOCK_MONOTONIC at the same moment. Wall clocks
 * (CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI and what derives from them) are shifted;
 * monotonic and CPU clocks are not: they measure intervals, as on a real machine whose wall clock
 * is stepped.
 *
 * What a change means (clock_page_set in clock_control.h). A node is asked for an offset and a
 * drift. The drift gains or loses time; what it has gained stays when the drift changes, so the
 * clock steps only by the difference between the offset asked before and the offset asked now:
 *
 *   +2ms, 0          steps by +2 ms
 *   +2ms, 50ppm      no step; from here on it gains 50 us each second
 *   +2ms, 0 (100 s)  no step; it keeps the 5 ms that it has gained
 *   +3ms, 0          steps by +1 ms
 *   0, 0             true time: what was gained is dropped too
 *
 * The lock. A seqlock in which the writer may die at any instruction without hanging a reader: two
 * copies of the values, and the lowest bit of `sequence` says which one is whole (the kernel calls
 * this seqcount_latch). The writer makes it odd, writes copy 0, makes it even, writes copy 1. A
 * reader takes the copy that the bit names, and reads again when `sequence` has changed meanwhile:
 * so it waits for nobody, only for a writer that overtook it. One writer at a time. The values are
 * stored with release and loaded with acquire in place of fences, which costs nothing on x86 and
 * which the thread sanitizer understands. */
#ifndef SEVER_CLOCK_PAGE_H
#define SEVER_CLOCK_PAGE_H

#include <stdatomic.h>
#include <stdint.h>

#define CLOCK_PAGE_SIZE 4096
#define CLOCK_PAGE_MAGIC UINT64_C(0x31304b4c43565321) /* "!SVCLK01" in memory order */
#define CLOCK_PAGE_ENVIRONMENT "SEVER_CLOCK_PAGE"     /* path of the page */
#define CLOCK_DEBUG_ENVIRONMENT "SEVER_CLOCK_DEBUG"   /* set: the library says why it is idle */
#define CLOCK_NS_PER_S INT64_C(1000000000)

/* One consistent reading of the page. */
struct clock_shift {
    int64_t offset_ns; /* at base_mono_ns: what was asked, and what earlier drifts have gained */
    int64_t drift_ppb; /* -1e9 (the clock stands) to 1e9 (it runs twice as fast) */
    int64_t base_mono_ns;
};

struct clock_page_copy {
    _Atomic int64_t offset_ns;
    _Atomic int64_t drift_ppb;
    _Atomic int64_t base_mono_ns;
};

struct clock_page {
    _Atomic uint64_t magic; /* stored last when the page is made */
    _Atomic uint32_t sequence;
    _Atomic uint32_t reserved;
    struct clock_page_copy copies[2];
    _Atomic int64_t asked_offset_ns; /* the writer's own: offset_ns without what drifts gained */
};

_Static_assert(sizeof(struct clock_page) <= CLOCK_PAGE_SIZE, "the page holds it all");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared between processes: no lock may be hidden");

/* The values in force. Any thread, any process, signal handlers. */
static inline struct clock_shift clock_page_read(const struct clock_page *page)
{
    for (;;) {
        uint32_t before = atomic_load_explicit(&page->sequence, memory_order_acquire);
        const struct clock_page_copy *copy = &page->copies[before & 1];
        struct clock_shift shift = {
            .offset_ns = atomic_load_explicit(&copy->offset_ns, memory_order_acquire),
            .drift_ppb = atomic_load_explicit(&copy->drift_ppb, memory_order_acquire),
            .base_mono_ns = atomic_load_explicit(&copy->base_mono_ns, memory_order_acquire),
        };
        if (atomic_load_explicit(&page->sequence, memory_order_relaxed) == before)
            return shift;
    }
}

/* How far the shifted clock is ahead of the real one at mono_ns (CLOCK_MONOTONIC), in ns: exact but
 * for a truncation below 1 ns, saturated at 292 years. |drift_ppb| is at most 1e9. */
static inline int64_t clock_shift_at(const struct clock_shift *shift, int64_t mono_ns)
{
    if (shift->drift_ppb == 0)
        return shift->offset_ns;
    int64_t elapsed_ns, total_ns;
    if (__builtin_sub_overflow(mono_ns, shift->base_mono_ns, &elapsed_ns))
        return shift->offset_ns;
    /* In two parts, so that no product leaves 64 bits. */
    int64_t gained_ns = elapsed_ns / CLOCK_NS_PER_S * shift->drift_ppb +
                        elapsed_ns % CLOCK_NS_PER_S * shift->drift_ppb / CLOCK_NS_PER_S;
    if (__builtin_add_overflow(shift->offset_ns, gained_ns, &total_ns))
        return shift->offset_ns < 0 ? INT64_MIN : INT64_MAX;
    return total_ns;
}

/* How long, in real ns, until the shifted clock has advanced by remaining_ns (>= 0), at this drift.
 * INT64_MAX when it never does. */
static inline int64_t clock_shift_real_interval(const struct clock_shift *shift,
                                                int64_t remaining_ns)
{
    int64_t rate_ppb = CLOCK_NS_PER_S + shift->drift_ppb;
    if (rate_ppb <= 0)
        return INT64_MAX;
    __int128 real_ns = ((__int128)remaining_ns * CLOCK_NS_PER_S + rate_ppb - 1) / rate_ppb;
    return real_ns > INT64_MAX ? INT64_MAX : (int64_t)real_ns;
}

#endif
