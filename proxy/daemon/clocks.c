#include "proxy/daemon/clocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/monotonic.h"
#include "proxy/base/text.h"
#include "proxy/clock/clock_control.h"

struct page {
    struct page *next;
    struct clock_page *mapped;
    char node[RULESET_NAME_MAX];
    char *path;
};

struct clocks {
    const char *directory;
    bool keep;
    struct page *pages;
};

struct clocks *clocks_create(const char *directory, bool keep)
{
    struct clocks *clocks = memory_allocate_zeroed(1, sizeof(*clocks));
    clocks->directory = directory;
    clocks->keep = keep;
    return clocks;
}

static struct page *find_page(const struct clocks *clocks, const char *node)
{
    struct page *page = clocks->pages;
    while (page && strcmp(page->node, node) != 0)
        page = page->next;
    return page;
}

static int add_page(struct clocks *clocks, const char *node, struct error *error)
{
    struct text path = {0};
    struct page *page = memory_allocate_zeroed(1, sizeof(*page));
    text_append(&path, "%s/%s.clock", clocks->directory, node);
    snprintf(page->node, sizeof(page->node), "%s", node);
    page->path = memory_copy_text(text_get(&path));
    text_free(&path);
    int result = clock_page_create(page->path, &page->mapped, error);
    if (result) {
        free(page->path);
        free(page);
        return result;
    }
    page->next = clocks->pages;
    clocks->pages = page;
    return 0;
}

/* Removes the pages that `ruleset` has no node for; NULL: ends all of them. */
static void drop_pages(struct clocks *clocks, const struct ruleset *ruleset)
{
    for (struct page **link = &clocks->pages; *link;) {
        struct page *page = *link;
        if (ruleset && ruleset_find_node(ruleset, page->node)) {
            link = &page->next;
            continue;
        }
        *link = page->next;
        clock_page_destroy(page->mapped, !ruleset && clocks->keep ? NULL : page->path);
        free(page->path);
        free(page);
    }
}

void clocks_destroy(struct clocks *clocks)
{
    if (!clocks)
        return;
    drop_pages(clocks, NULL);
    free(clocks);
}

int clocks_prepare(struct clocks *clocks, const struct ruleset *ruleset, struct error *error)
{
    struct page *before = clocks->pages; /* new ones are put in front of it */
    for (size_t i = 0; i < ruleset->node_count; i++) {
        const char *node = ruleset->nodes[i].name;
        int result = find_page(clocks, node) ? 0 : add_page(clocks, node, error);
        if (!result)
            continue;
        while (clocks->pages != before) {
            struct page *page = clocks->pages;
            clocks->pages = page->next;
            clock_page_destroy(page->mapped, page->path);
            free(page->path);
            free(page);
        }
        return result;
    }
    return 0;
}

void clocks_commit(struct clocks *clocks, const struct ruleset *ruleset)
{
    uint64_t now_ns = monotonic_now_ns();
    drop_pages(clocks, ruleset);
    for (struct page *page = clocks->pages; page; page = page->next) {
        const struct ruleset_clock *clock = ruleset_find_clock(ruleset, page->node);
        clock_page_set(page->mapped, clock ? clock->offset_ns : 0, clock ? clock->drift_ppb : 0,
                       now_ns);
    }
}

const char *clocks_path(const struct clocks *clocks, const char *node)
{
    const struct page *page = find_page(clocks, node);
    return page ? page->path : "";
}
