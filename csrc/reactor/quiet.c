/* SPDX-License-Identifier: MIT */
#include "reactor/quiet.h"

#include "reactor/io_thread.h"
#include "reactor/notify.h"
#include "reactor/signal.h"
#include "reactor/state.h"

void quiet_add(struct reactor *r, struct quiet *q)
{
    if (list_linked(&q->node))
        return;
    list_push_back(&r->quiet, &q->node);
    r->work |= WORK_QUIET;
}

/* Others may take entries off while the lock is released, so the list is taken over first. */
bool quiet_look(struct reactor *r)
{
    bool found = false;
    struct list todo;
    list_init(&todo);
    for (struct list *n; (n = list_pop_front(&r->quiet));)
        list_push_back(&todo, n);
    for (struct list *n; (n = list_pop_front(&todo));) {
        struct quiet *q = LIST_ENTRY(n, struct quiet, node);
        list_push_back(&r->quiet, n);
        found |= q->look(q);
    }
    return found;
}

bool quiet_arm(struct reactor *r)
{
    bool all = true;
    LIST_FOR_SAFE(n, &r->quiet)
    {
        struct quiet *q = LIST_ENTRY(n, struct quiet, node);
        if (q->arm(q))
            list_remove(n);
        else
            all = false;
    }
    return all;
}

void quiet_settle(struct reactor *r)
{
    if (list_empty(&r->quiet) || r->finished)
        return;
    if (r->polling) { /* that thread may sleep, and what it did not know of is not armed */
        if (!quiet_arm(r)) {
            r->quiet_left = true;
            reactor_wake(r);
        }
        return;
    }
    if (notify_is_watched(r)) {
        if (!quiet_arm(r))
            reactor_call(r);
    } else if (r->io_thread && r->registered) {
        io_thread_look(r->io_thread, r);
    }
}
