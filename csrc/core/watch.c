/* SPDX-License-Identifier: MIT */
#include "core/watch.h"

#include "core/ctx.h"
#include "core/hub.h"

enum { IN, OUT };

static const int event_of[2] = {FMQ_POLLIN, FMQ_POLLOUT};

static int make_signal(struct fmq_socket *s, int which)
{
    struct watch *w = &s->watch;
    return w->signal[which].rfd >= 0 ? 0 : wakeup_init(&w->signal[which]);
}

int watch_add(struct fmq_socket *s, int events)
{
    for (int i = IN; i <= OUT; i++) {
        int rc = events & event_of[i] ? make_signal(s, i) : 0;
        if (rc)
            return rc;
    }
    atomic_fetch_add(&s->watchers, 1);
    s->work |= WORK_WATCHED;
    /* What was posted before there was a watcher has signalled nothing. */
    if (atomic_load(&s->mailbox))
        socket_run_mail(s);
    return 0;
}

void watch_remove(struct fmq_socket *s)
{
    atomic_fetch_sub(&s->watchers, 1);
}

void watch_want(struct fmq_socket *s, int events, bool want)
{
    for (int i = IN; i <= OUT; i++)
        if (events & event_of[i])
            s->watch.count[i] += want ? 1u : -1u;
    s->work |= WORK_WATCHED;
}

void watch_update(struct fmq_socket *s)
{
    struct watch *w = &s->watch;
    int stop = atomic_load_explicit(&s->stop, memory_order_relaxed);
    int events = stop ? FMQ_POLLIN | FMQ_POLLOUT : socket_readiness(s);
    if (w->hub_events)
        hub_update(s, events);
    bool changed = (w->loop_events & FMQ_POLLCHANGE) &&
                   w->loop_seen != atomic_load_explicit(&s->changes, memory_order_relaxed);
    bool loop_out = (w->loop_events & FMQ_POLLOUT) && (events & FMQ_POLLOUT);
    /* Who waits for changes alone counts in OUT, and is not to be told that there is room. */
    unsigned idle_out = (w->loop_events & (FMQ_POLLOUT | FMQ_POLLCHANGE)) == FMQ_POLLCHANGE;
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

int watch_signal_fd(const struct fmq_socket *s, int event)
{
    return s->watch.signal[event == FMQ_POLLOUT ? OUT : IN].rfd;
}

int watch_export(struct fmq_socket *s, int *fd)
{
    struct watch *w = &s->watch;
    if (!w->outer) {
        int rc = make_signal(s, IN);
        if (rc == 0)
            rc = make_signal(s, OUT);
        if (rc == 0)
            rc = poller_create(&w->outer);
        if (rc)
            return rc;
        rc = poller_add_child(w->outer, s->poller, POLLER_IN, s);
        for (int i = IN; i <= OUT && rc == 0; i++)
            rc = poller_add(w->outer, w->signal[i].rfd, POLLER_IN, s);
        if (rc == 0)
            rc = watch_add(s, FMQ_POLLIN);
        if (rc) {
            poller_destroy(w->outer);
            w->outer = NULL;
            return rc;
        }
        watch_want(s, FMQ_POLLIN, true);
        /* Who asked for EVENTS before FD waits for room from now on. */
        watch_told(s, socket_readiness(s));
    }
    /* Where pollers have no descriptor, what the background thread reads is shown all the same. */
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

static int loop_make(struct fmq_socket *s)
{
    struct watch *w = &s->watch;
    int rc = poller_create(&w->loop);
    if (rc)
        return rc;
    w->merged = poller_fd(w->loop) < 0;
    if ((rc = make_signal(s, IN)) == 0)
        rc = poller_add_child(w->loop, s->poller, POLLER_IN, s);
    if (rc) {
        poller_destroy(w->loop);
        w->loop = NULL;
    }
    return rc;
}

/* Makes the loop's poller show `events` instead of what it showed. */
static int loop_change(struct fmq_socket *s, int events)
{
    struct watch *w = &s->watch;
    int before = loop_signals(w->loop_events);
    int after = loop_signals(events);
    int rc = after && after != before ? watch_add(s, after) : 0;
    if (rc)
        return rc;
    if (after != before)
        watch_want(s, after, true);
    for (int i = IN; i <= OUT; i++) {
        if (!(after & ~before & event_of[i]))
            continue;
        rc = poller_add(w->loop, w->signal[i].rfd, POLLER_IN, s);
        if (rc) {
            if (i == OUT && (after & ~before & FMQ_POLLIN))
                poller_del(w->loop, w->signal[IN].rfd);
            watch_want(s, after, false);
            watch_remove(s);
            return rc;
        }
    }
    for (int i = IN; i <= OUT; i++)
        if (before & ~after & event_of[i])
            poller_del(w->loop, w->signal[i].rfd);
    if (before && after != before) {
        watch_want(s, before, false);
        watch_remove(s);
    }
    w->loop_events = events;
    w->loop_seen = atomic_load_explicit(&s->changes, memory_order_relaxed);
    return 0;
}

int fmq_watch(fmq_socket *s, int events, int *fd)
{
    struct watch *w = &s->watch;
    if (s->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    mutex_lock(&s->lock);
    bool first = w->loop_events == 0;
    /* Asking anew hides a change from those who asked before. */
    bool hidden = (w->loop_events & events & FMQ_POLLCHANGE) &&
                  w->loop_seen != atomic_load_explicit(&s->changes, memory_order_relaxed);
    int rc = first && s->closed ? -ENOTSOCK : 0;
    if (rc == 0 && events && !w->loop)
        rc = loop_make(s);
    if (rc == 0 && w->loop)
        rc = loop_change(s, events);
    if (rc == 0 && first && events)
        socket_ref(s);
    if (rc == 0 && events)
        *fd = w->merged ? w->signal[IN].rfd : poller_fd(w->loop);
    if (!s->finished)
        s->work |= WORK_WATCHED;
    else if (!first) /* who does not watch holds no descriptors: they may be gone */
        watch_update(s);
    socket_leave(s);
    if (rc == 0 && !first && !events)
        socket_unref(s);
    return rc == 0 && hidden ? 1 : rc;
}

int fmq_watch_came(fmq_socket *s)
{
    if (s->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    mutex_lock(&s->lock);
    s->last_use = clock_now();
    if (!s->driving && !s->finished && atomic_load(&s->wake_set))
        socket_take_wake(s);
    /* The signals are not set here: the call that follows at once mostly takes what came. */
    mutex_unlock(&s->lock);
    return 0;
}

void watch_told(struct fmq_socket *s, int events)
{
    struct watch *w = &s->watch;
    bool waits = !(events & FMQ_POLLOUT);
    if (!w->outer || w->waits_out == waits)
        return;
    w->waits_out = waits;
    w->count[OUT] += waits ? 1u : -1u;
    s->work |= WORK_WATCHED;
}

void watch_fini(struct fmq_socket *s)
{
    struct watch *w = &s->watch;
    if (w->outer)
        poller_destroy(w->outer);
    w->outer = NULL;
    if (w->loop)
        poller_destroy(w->loop);
    w->loop = NULL;
    wakeup_fini(&w->signal[IN]);
    wakeup_fini(&w->signal[OUT]);
}
