/* The shared clock page: how severd tells the processes of one node what time it is.
 *
 * One file of CLOCK_PAGE_SIZE bytes per node, mapped shared: written by severd, read by the preload
 * library at each clock read. A seqlock: `sequence` is odd while the writer is inside; a reader
 * that sees it odd or changed reads again. This header is all that the library includes.
 *
 *   shifted = t + offset_ns + (t_mono - base_mono_ns) * drift_ppb / 1e9
 *
 * t is the real clock that was asked for; t_mono is CLOCK_MONOTONIC at the same moment. Wall clocks
 * (CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI and what derives from them) are shifted;
 * monotonic and CPU clocks are not: they measure intervals, as on a real machine whose wall clock
 * is stepped. */
#ifndef SEVER_CLOCK_PAGE_H
#define SEVER_CLOCK_PAGE_H

#include <stdatomic.h>
#include <stdint.h>

#define CLOCK_PAGE_SIZE 4096
#define CLOCK_PAGE_MAGIC UINT64_C(0x31304b4c43565321) /* "!SVCLK01" in memory order */
#define CLOCK_PAGE_ENVIRONMENT "SEVER_CLOCK_PAGE"     /* path of the page */

struct clock_page {
    _Atomic uint64_t magic;
    _Atomic uint32_t sequence;
    _Atomic uint32_t reserved;
    _Atomic int64_t offset_ns;
    _Atomic int64_t drift_ppb;
    _Atomic int64_t base_mono_ns;
    _Atomic uint64_t reads; /* not written by readers; kept for a later form */
};

#endif
