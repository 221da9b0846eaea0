/* SPDX-License-Identifier: MIT */
#include "reactor/notify.h"

#include "fastmq.h"
#include "reactor/loop.h"
#include "reactor/reactor.h"

enum { IN, OUT };

static const int event_of[2] = {FMQ_POLLIN, FMQ_POLLOUT};

void notify_init(struct notifier *w)
{
    for (int i = IN; i <= OUT; i++)
        w->signal[i].rfd = w->signal[i].wfd = -1;
    list_init(&w->loop_member);
    list_init(&w->loop_node);
}

static int make_signal(struct reactor *r, int which)
{
    struct notifier *w = &r->notify;
    return w->signal[which].rfd >= 0 ? 0 : wakeup_init(&w->signal[which]);
}

int notify_add(struct reactor *r, int events)
{
    for (int i = IN; i <= OUT; i++) {
        int rc = events & event_of[i] ? make_signal(r, i) : 0;
        if (rc)
            return rc;
    }
    atomic_fetch_add(&r->watchers, 1);
    r->work |= WORK_WATCHED;
    /* What was posted before there was a watcher has signalled nothing. */
    if (atomic_load(&r->mailbox))
        mailbox_run(r);
    return 0;
}

void notify_remove(struct reactor *r)
{
    atomic_fetch_sub(&r->watchers, 1);
}

void notify_want(struct reactor *r, int events, bool want)
{
    for (int i = IN; i <= OUT; i++)
        if (events & event_of[i])
            r->notify.count[i] += want ? 1u : -1u;
    r->work |= WORK_WATCHED;
}

void notify_update(struct reactor *r)
{
    struct notifier *w = &r->notify;
    int stop = atomic_load_explicit(&r->stop, memory_order_relaxed);
    int events = stop ? FMQ_POLLIN | FMQ_POLLOUT : r->ops->shared_events(r);
    if (w->loop_events)
        loop_update(r, events);
    bool changed = (w->own_events & FMQ_POLLCHANGE) &&
                   w->own_seen != atomic_load_explicit(&r->changes, memory_order_relaxed);
    bool loop_out = (w->own_events & FMQ_POLLOUT) && (events & FMQ_POLLOUT);
    /* A watcher of changes alone counts in OUT, and room is not to be shown to it. */
    unsigned idle_out = (w->own_events & (FMQ_POLLOUT | FMQ_POLLCHANGE)) == FMQ_POLLCHANGE;
    for (int i = IN; i <= OUT; i++) {
        bool show = w->count[i] > (i == OUT ? idle_out : 0) && (events & event_of[i]);
        if (i == IN && w->merged)
            show = show || loop_out || changed || (w->waits_out && (events & FMQ_POLLOUT));
        if (i == OUT && changed)
            show = true;
        if (show == w->shown[i])
            continue;
        w->shown[i] = show;
        if (show)
            wakeup_signal(&w->signal[i]);
        else
            wakeup_drain(&w->signal[i]);
    }
}

int notify_signal_fd(const struct reactor *r, int event)
{
    return r->notify.signal[event == FMQ_POLLOUT ? OUT : IN].rfd;
}

int notify_export_fd(struct reactor *r, int *fd)
{
    struct notifier *w = &r->notify;
    if (!w->outer) {
        int rc = make_signal(r, IN);
        if (rc == 0)
            rc = make_signal(r, OUT);
        if (rc == 0)
            rc = poller_create(&w->outer);
        if (rc)
            return rc;
        rc = poller_add_child(w->outer, r->poller, POLLER_IN, r);
        for (int i = IN; i <= OUT && rc == 0; i++)
            rc = poller_add(w->outer, w->signal[i].rfd, POLLER_IN, r);
        if (rc == 0)
            rc = notify_add(r, FMQ_POLLIN);
        if (rc) {
            poller_destroy(w->outer);
            w->outer = NULL;
            return rc;
        }
        notify_want(r, FMQ_POLLIN, true);
        /* Whatever it knew so far: it may have been refused before it asked for the descriptor. */
        notify_reported(r, 0);
    }
    /* Where pollers have no descriptor, what the I/O thread reads is shown all the same. */
    *fd = poller_fd(w->outer);
    w->merged = *fd < 0;
    if (w->merged)
        *fd = w->signal[IN].rfd;
    return 0;
}

/* The signals that the loop's poller holds for these events. */
static int loop_signals(int events)
{
    return (events & FMQ_POLLIN) | (events & (FMQ_POLLOUT | FMQ_POLLCHANGE) ? FMQ_POLLOUT : 0);
}

static int loop_make(struct reactor *r)
{
    struct notifier *w = &r->notify;
    int rc = poller_create(&w->own_poller);
    if (rc)
        return rc;
    w->merged = poller_fd(w->own_poller) < 0;
    if ((rc = make_signal(r, IN)) == 0)
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
    for (int i = IN; i <= OUT; i++) {
        if (!(after & ~before & event_of[i]))
            continue;
        rc = poller_add(w->own_poller, w->signal[i].rfd, POLLER_IN, r);
        if (rc) {
            if (i == OUT && (after & ~before & FMQ_POLLIN))
                poller_del(w->own_poller, w->signal[IN].rfd);
            notify_want(r, after, false);
            notify_remove(r);
            return rc;
        }
    }
    for (int i = IN; i <= OUT; i++)
        if (before & ~after & event_of[i])
            poller_del(w->own_poller, w->signal[i].rfd);
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
        *fd = w->merged ? w->signal[IN].rfd : poller_fd(w->own_poller);
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

void notify_reported(struct reactor *r, int events)
{
    struct notifier *w = &r->notify;
    bool waits = !(events & FMQ_POLLOUT);
    if (!w->outer || w->waits_out == waits)
        return;
    w->waits_out = waits;
    w->count[OUT] += waits ? 1u : -1u;
    r->work |= WORK_WATCHED;
}

void notify_refused(struct reactor *r, bool sending)
{
    if (sending)
        notify_reported(r, 0);
    else if (r->notify.shown[OUT])
        notify_reported(r, FMQ_POLLOUT);
}

void notify_fini(struct reactor *r)
{
    struct notifier *w = &r->notify;
    if (w->outer)
        poller_destroy(w->outer);
    w->outer = NULL;
    if (w->own_poller)
        poller_destroy(w->own_poller);
    w->own_poller = NULL;
    wakeup_fini(&w->signal[IN]);
    wakeup_fini(&w->signal[OUT]);
}
