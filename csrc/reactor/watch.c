/* SPDX-License-Identifier: MIT */
/* fmq_watch: one descriptor for an event loop that watches a single socket. It is a poller that
 * holds the socket's poller and the signals that show its readiness (notify.h). */
#include "fastmq.h"
#include "reactor/notify.h"
#include "reactor/reactor.h"

/* The signals that the loop's poller holds for these events. */
static int loop_signals(int events)
{
    return (events & FMQ_POLLIN) | (events & (FMQ_POLLOUT | FMQ_POLLCHANGE) ? FMQ_POLLOUT : 0);
}

static int loop_make(struct reactor *r)
{
    struct notifier *w = &r->notify;
    int rc = io_need_poller(r);
    if (rc == 0)
        rc = poller_create(&w->own_poller);
    if (rc)
        return rc;
    w->merged = poller_fd(w->own_poller) < 0;
    if ((rc = notify_make_signals(r, FMQ_POLLIN)) == 0)
        rc = poller_add_child(w->own_poller, r->poller, POLLER_IN, r);
    if (rc) {
        poller_destroy(w->own_poller);
        w->own_poller = NULL;
    }
    return rc;
}

/* Makes the loop's poller show `events` instead of what it showed. */
static int loop_change(struct reactor *r, int events)
{
    struct notifier *w = &r->notify;
    int before = loop_signals(w->own_events);
    int after = loop_signals(events);
    int rc = after && after != before ? notify_add(r, after) : 0;
    if (rc)
        return rc;
    if (after != before)
        notify_want(r, after, true);
    for (int e = FMQ_POLLIN; e <= FMQ_POLLOUT; e <<= 1) {
        if (!(after & ~before & e))
            continue;
        rc = poller_add(w->own_poller, notify_signal_fd(r, e), POLLER_IN, r);
        if (rc) {
            if (e == FMQ_POLLOUT && (after & ~before & FMQ_POLLIN))
                poller_del(w->own_poller, notify_signal_fd(r, FMQ_POLLIN));
            notify_want(r, after, false);
            notify_remove(r);
            return rc;
        }
    }
    for (int e = FMQ_POLLIN; e <= FMQ_POLLOUT; e <<= 1)
        if (before & ~after & e)
            poller_del(w->own_poller, notify_signal_fd(r, e));
    if (before && after != before) {
        notify_want(r, before, false);
        notify_remove(r);
    }
    w->own_events = events;
    w->own_seen = atomic_load_explicit(&r->changes, memory_order_relaxed);
    return 0;
}

int fmq_watch(fmq_socket *s, int events, int *fd)
{
    struct reactor *r = reactor_of(s);
    struct notifier *w = &r->notify;
    if (r->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    mutex_lock(&r->lock);
    bool first = w->own_events == 0;
    /* Asking anew hides a change from earlier watchers. */
    bool hidden = (w->own_events & events & FMQ_POLLCHANGE) &&
                  w->own_seen != atomic_load_explicit(&r->changes, memory_order_relaxed);
    int rc = first && r->closed ? -ENOTSOCK : 0;
    if (rc == 0 && events && !w->own_poller)
        rc = loop_make(r);
    if (rc == 0 && w->own_poller)
        rc = loop_change(r, events);
    if (rc == 0 && first && events)
        reactor_ref(r);
    if (rc == 0 && events)
        *fd = w->merged ? notify_signal_fd(r, FMQ_POLLIN) : poller_fd(w->own_poller);
    if (!r->finished)
        r->work |= WORK_WATCHED;
    else if (!first) /* not watched, it holds no descriptors: they may be closed */
        notify_update(r);
    reactor_leave(r);
    if (rc == 0 && !first && !events)
        reactor_unref(r);
    return rc == 0 && hidden ? 1 : rc;
}

int fmq_watch_came(fmq_socket *s)
{
    struct reactor *r = reactor_of(s);
    if (r->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    mutex_lock(&r->lock);
    r->last_use = clock_now();
    if (!r->polling && !r->finished && atomic_load(&r->wake_set))
        reactor_drain_wake(r);
    /* The signals are not set here: the call that follows at once mostly takes what came. */
    mutex_unlock(&r->lock);
    return 0;
}
