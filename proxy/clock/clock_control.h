/* Writing clock pages: severd's side of clock_page.h, which says what a change means. */
#ifndef SEVER_CLOCK_CONTROL_H
#define SEVER_CLOCK_CONTROL_H

#include <stdint.h>

#include "proxy/base/error.h"
#include "proxy/clock/clock_page.h"

/* Makes the file `path` of CLOCK_PAGE_SIZE bytes, mode 0644, with true time in it, and maps it. A
 * page that is there already (of a severd before this one) is taken over, so that the
 * processes that still read it are shifted again; anything else at that path is -EEXIST. The
 * caller ends the page with clock_page_destroy. -errno with the path in *error. */
int clock_page_create(const char *path, struct clock_page **page, struct error *error);

/* Puts an offset and a drift in force; each reader has them at its next clock read. Setting what is
 * set already changes nothing. drift_ppb: clamped to +-1e9. now_mono_ns: CLOCK_MONOTONIC, the
 * moment from which the new drift counts. One caller at a time for each page; never blocks. */
void clock_page_set(struct clock_page *page, int64_t offset_ns, int64_t drift_ppb,
                    uint64_t now_mono_ns);

/* Gives the processes that have the page mapped true time, unmaps it and removes the file. With
 * path NULL the file stays, and the next clock_page_create there takes it over with its readers.
 * page: may be NULL. */
void clock_page_destroy(struct clock_page *page, const char *path);

#endif
