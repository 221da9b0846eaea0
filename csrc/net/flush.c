/* SPDX-License-Identifier: MIT */
#include "net/flush.h"

#include "net/conn_set.h"
#include "pipe/link_ops.h"
#include "pipe/pattern_ops.h"
#include "reactor/io_thread.h"

/* One thread that sends in turn on many sockets finds each of them quiet: beyond so many writes in
 * so long it leaves them to the I/O thread's ticks. Only for types that receive nothing. */
#define TURN_WRITES 16
#define TURN_NS (200 * NS_PER_US)

static bool writes_too_often(uint64_t now)
{
    static _Thread_local uint64_t since;
    static _Thread_local unsigned writes;
    if (now - since > TURN_NS) {
        since = now;
        writes = 0;
    }
    return ++writes > TURN_WRITES;
}

/* Other threads may close entries while the lock is released for a write, so the list is taken over
 * first and popped from its front. */
void flush_run(struct reactor *r, bool all)
{
    struct conn_set *s = conn_set_of(r);
    if (list_empty(&r->flush_list))
        return;
    struct list todo;
    list_init(&todo);
    todo.next = r->flush_list.next;
    todo.prev = r->flush_list.prev;
    todo.next->prev = &todo;
    todo.prev->next = &todo;
    list_init(&r->flush_list);
    uint64_t now = clock_now(), before = r->last_write;
    uint64_t quiet = s->write_cost > FLUSH_QUIET_NS ? s->write_cost : FLUSH_QUIET_NS;
    bool flush =
        all || (now - before > quiet && (s->pipes.ops->receives || !writes_too_often(now)));
    bool kept = false;
    for (struct list *n; (n = list_pop_front(&todo));) {
        struct link *l = LIST_ENTRY(n, struct link, flush_node);
        if (l->ops->flush(l, flush)) {
            if (!list_linked(&l->flush_node))
                list_push_back(&r->flush_list, &l->flush_node);
            kept = true;
        }
    }
    if (r->last_write > now) {
        uint64_t cost = r->last_write - now;
        s->write_cost = cost < FLUSH_QUIET_MAX_NS ? cost : FLUSH_QUIET_MAX_NS;
        if (now - before > BURST_NS)
            s->burst_until = now + BURST_NS;
    }
    if (kept && !r->flush_pending && r->io_thread) {
        r->flush_pending = true;
        r->flush_soon = now < s->burst_until;
        s->burst_until = 0;
        io_thread_flush(r->io_thread, r, r->flush_soon);
    }
}
