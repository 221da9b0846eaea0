/* SPDX-License-Identifier: MIT */
#include "reactor/loop_list.h"

#include "fastmq.h"
#include "reactor/state.h"

void loop_post(struct reactor *r)
{
    struct notifier *w = &r->notify;
    struct fmq_loop *h = atomic_load(&w->loop);
    if (!h)
        return;
    mutex_lock(&h->lock);
    if (atomic_load(&w->loop) == h && !list_linked(&w->loop_node)) {
        list_push_back(&h->posted, &w->loop_node);
        atomic_store_explicit(&w->posted, true, memory_order_relaxed);
        if (!h->signalled) {
            h->signalled = true;
            wakeup_signal(&h->wake);
        }
    }
    mutex_unlock(&h->lock);
}

void loop_update(struct reactor *r, int events)
{
    struct notifier *w = &r->notify;
    /* The thread that takes it off the list takes this socket's lock after that, and so sees what
     * is now. */
    if (atomic_load_explicit(&w->posted, memory_order_relaxed))
        return;
    bool changed = (w->loop_events & FMQ_POLLCHANGE) &&
                   w->loop_seen != atomic_load_explicit(&r->changes, memory_order_relaxed);
    if (changed || (w->loop_events & events))
        loop_post(r);
}

void loop_take_post(struct notifier *w)
{
    list_remove(&w->loop_node);
    atomic_store_explicit(&w->posted, false, memory_order_relaxed);
}
