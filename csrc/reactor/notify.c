/* SPDX-License-Identifier: MIT */
#include "reactor/notify.h"

#include "fastmq.h"
#include "reactor/io.h"
#include "reactor/loop_list.h"
#include "reactor/mailbox.h"
#include "reactor/state.h"

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

int notify_make_signals(struct reactor *r, int events)
{
    int rc = 0;
    for (int i = IN; i <= OUT && rc == 0; i++)
        rc = events & event_of[i] ? make_signal(r, i) : 0;
    return rc;
}

int notify_add(struct reactor *r, int events)
{
    int rc = io_need_poller(r);
    if (rc == 0)
        rc = notify_make_signals(r, events);
    if (rc)
        return rc;
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
    r->work |= WORK_QUIET; /* who was woken may not have looked yet */
}

void notify_want(struct reactor *r, int events, bool want)
{
    for (int i = IN; i <= OUT; i++)
        if (events & event_of[i])
            r->notify.count[i] += want ? 1u : -1u;
    r->work |= WORK_WATCHED;
}

void notify_direct(struct reactor *r, bool direct)
{
    r->notify.direct += direct ? 1u : -1u;
    r->work |= WORK_WATCHED;
    if (direct)
        r->work |= WORK_QUIET; /* the I/O thread looks from now on */
}

bool notify_is_watched(struct reactor *r)
{
    return atomic_load_explicit(&r->watchers, memory_order_relaxed) > r->notify.direct;
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
        int rc = io_need_poller(r);
        if (rc == 0)
            rc = notify_make_signals(r, FMQ_POLLIN | FMQ_POLLOUT);
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
