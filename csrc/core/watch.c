/* SPDX-License-Identifier: MIT */
#include "core/watch.h"

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
    int events = stop ? FMQ_POLLIN | FMQ_POLLOUT : s->ops->events(s);
    for (int i = IN; i <= OUT; i++) {
        bool show = w->count[i] && (events & event_of[i]);
        if (i == IN && w->merged && w->waits_out && (events & FMQ_POLLOUT))
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
    }
    /* Where pollers have no descriptor, what the background thread reads is shown all the same. */
    *fd = poller_fd(w->outer);
    w->merged = *fd < 0;
    if (w->merged)
        *fd = w->signal[IN].rfd;
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
    wakeup_fini(&w->signal[IN]);
    wakeup_fini(&w->signal[OUT]);
}
