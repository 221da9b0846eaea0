/* SPDX-License-Identifier: MIT */
#include "reactor/timer.h"

#include "base/list.h"
#include "os/clock.h"
#include "reactor/state.h"

void timer_init(struct timer *t, void (*fire)(struct timer *t, uint64_t now))
{
    heap_node_init(&t->node);
    t->fire = fire;
}

void timer_set(struct reactor *r, struct timer *t, uint64_t when)
{
    heap_remove(&r->timers, &t->node);
    if (when == CLOCK_NEVER)
        return;
    heap_insert(&r->timers, &t->node, when);
    if (when < r->deadline)
        r->work |= WORK_TIMER;
}

void timer_cancel(struct reactor *r, struct timer *t)
{
    heap_remove(&r->timers, &t->node);
}

void timers_run(struct reactor *r, uint64_t now)
{
    for (;;) {
        struct heap_node *n = heap_min(&r->timers);
        if (!n || n->key > now)
            break;
        heap_remove(&r->timers, n);
        struct timer *t = LIST_ENTRY(n, struct timer, node);
        t->fire(t, now);
    }
    r->deadline = CLOCK_NEVER;
    if (heap_min(&r->timers))
        r->work |= WORK_TIMER;
}

uint64_t timers_next(const struct reactor *r)
{
    struct heap_node *min = heap_min(&r->timers);
    return min ? min->key : CLOCK_NEVER;
}
