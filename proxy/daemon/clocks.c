/* Theory of operation. The pages are a list in the order in which their nodes came, which is mostly
 * the ruleset's: the look-up of the next one begins behind the last one that was found. */
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

/* after: where it may be behind. */
static struct page *find_page_after(const struct clocks *clocks, const struct page *after,
                                    const char *node)
{
    struct page *next = after ? after->next : clocks->pages;
    return next && strcmp(next->node, node) == 0 ? next : find_page(clocks, node);
}

/* link: the end of the list. */
static int add_page(const struct clocks *clocks, struct page **link, const char *node,
                    struct error *error)
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
    *link = page;
    return 0;
}

/* Whether the ruleset has it; *hint: where to look first, moved behind it. */
static bool has_node(const struct ruleset *ruleset, const char *name, size_t *hint)
{
    const struct ruleset_node *node = &ruleset->nodes[*hint];
    if (*hint >= ruleset->node_count || strcmp(node->name, name) != 0)
        node = ruleset_find_node(ruleset, name);
    if (node)
        *hint = (size_t)(node - ruleset->nodes) + 1;
    return node != NULL;
}

/* Removes the pages that `ruleset` has no node for; NULL: ends all of them. */
static void drop_pages(struct clocks *clocks, const struct ruleset *ruleset)
{
    size_t hint = 0;
    for (struct page **link = &clocks->pages; *link;) {
        struct page *page = *link;
        if (ruleset && has_node(ruleset, page->node, &hint)) {
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

static void take_back(struct page **link)
{
    while (*link) {
        struct page *page = *link;
        *link = page->next;
        clock_page_destroy(page->mapped, page->path);
        free(page->path);
        free(page);
    }
}

int clocks_prepare(struct clocks *clocks, const struct ruleset *ruleset, struct error *error)
{
    struct page **end = &clocks->pages, *found = NULL;
    while (*end)
        end = &(*end)->next;
    struct page **link = end; /* new ones are put behind those that are there */
    for (size_t i = 0; i < ruleset->node_count; i++) {
        const char *node = ruleset->nodes[i].name;
        found = find_page_after(clocks, found, node);
        if (found)
            continue;
        int result = add_page(clocks, link, node, error);
        if (result) {
            take_back(end);
            return result;
        }
        found = *link;
        link = &found->next;
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
