/* The heap is a pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986): it is made of the units
 * themselves, and a unit that is due later than those before it, as most are, costs one comparison.
 * `child` is the first child, `next` the sibling behind. */
#include "proxy/fault/queue.h"

#include <assert.h>
#include <stddef.h>

static void count(struct fault_queue *queue, struct fault_unit *unit)
{
    unit->next = unit->child = NULL;
    queue->bytes += unit->bytes;
    queue->units++;
}

void queue_append(struct fault_queue *queue, struct fault_unit *unit)
{
    assert(!queue->tail || queue->tail->due_ns <= unit->due_ns);
    count(queue, unit);
    if (queue->tail)
        queue->tail->next = unit;
    else
        queue->head = unit;
    queue->tail = unit;
}

static bool is_before(const struct fault_unit *a, const struct fault_unit *b)
{
    return a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->order < b->order);
}

/* One heap of two; neither has siblings. */
static struct fault_unit *merge(struct fault_unit *a, struct fault_unit *b)
{
    struct fault_unit *first = is_before(b, a) ? b : a, *second = first == a ? b : a;
    second->next = first->child;
    first->child = second;
    return first;
}

/* One heap of a list of siblings: pairs from left to right, then all from right to left. */
static struct fault_unit *merge_all(struct fault_unit *list)
{
    struct fault_unit *pairs = NULL, *root = NULL;
    while (list) {
        struct fault_unit *a = list, *b = a->next;
        list = b ? b->next : NULL;
        a->next = NULL;
        if (b) {
            b->next = NULL;
            a = merge(a, b);
        }
        a->next = pairs;
        pairs = a;
    }
    while (pairs) {
        struct fault_unit *a = pairs;
        pairs = a->next;
        a->next = NULL;
        root = root ? merge(root, a) : a;
    }
    return root;
}

void queue_insert(struct fault_queue *queue, struct fault_unit *unit)
{
    count(queue, unit);
    unit->order = queue->inserted++;
    queue->root = queue->root ? merge(queue->root, unit) : unit;
}

struct fault_unit *queue_peek(const struct fault_queue *queue)
{
    if (queue->root && (!queue->head || queue->root->due_ns < queue->head->due_ns))
        return queue->root;
    return queue->head;
}

struct fault_unit *queue_pop(struct fault_queue *queue)
{
    struct fault_unit *unit = queue_peek(queue);
    assert(unit && queue->bytes >= unit->bytes && queue->units > 0);
    if (unit == queue->root) {
        queue->root = merge_all(unit->child);
    } else {
        queue->head = unit->next;
        if (!queue->head)
            queue->tail = NULL;
    }
    queue->bytes -= unit->bytes;
    queue->units--;
    unit->next = unit->child = NULL;
    return unit;
}
