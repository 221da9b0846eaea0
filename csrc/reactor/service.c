/* SPDX-License-Identifier: MIT */
#include "reactor/service.h"

#include <errno.h>

#include "os/clock.h"
#include "os/net.h"
#include "reactor/io_thread.h"
#include "reactor/mailbox.h"
#include "reactor/reactor.h"

/* How long nobody is let in for want of descriptors. */
#define REST_NS (100 * NS_PER_MS)

static struct service *service_of(struct reactor *r)
{
    return (struct service *)r;
}

/* ---- visitors ---- */

static void free_visitor(struct io *io)
{
    struct visitor *v = LIST_ENTRY(io, struct visitor, io);
    net_close(io->fd);
    v->service->ops->free(v);
}

void service_send_away(struct visitor *v)
{
    struct service *s = v->service;
    timer_cancel(&s->reactor, &v->patience);
    list_remove(&v->node);
    s->visitor_count--;
    io_free_later(&s->reactor, &v->io);
}

void service_renew(struct visitor *v)
{
    timer_set(&v->service->reactor, &v->patience, clock_now() + v->service->ops->visit_ns);
}

static void visitor_ready(struct io *io, uint32_t events)
{
    struct visitor *v = LIST_ENTRY(io, struct visitor, io);
    (void)events;
    v->service->ops->ready(v);
}

static void visitor_timer(struct timer *t, uint64_t now)
{
    (void)now;
    service_send_away(LIST_ENTRY(t, struct visitor, patience));
}

static void let_in(struct service *s, int fd)
{
    struct visitor *v = s->ops->visit(s);
    if (!v) {
        net_close(fd);
        return;
    }
    v->service = s;
    v->io.fd = fd;
    v->io.ready = visitor_ready;
    v->io.free = free_visitor;
    list_init(&v->io.deferred);
    list_init(&v->node);
    timer_init(&v->patience, visitor_timer);
    if (io_watch(&s->reactor, &v->io, POLLER_IN)) {
        free_visitor(&v->io);
        return;
    }
    list_push_back(&s->visitors, &v->node);
    service_renew(v);
    if (++s->visitor_count > s->ops->visitors_max)
        service_send_away(LIST_ENTRY(s->visitors.next, struct visitor, node));
    if (s->ops->reads_at_once)
        s->ops->ready(v);
}

static void listener_ready(struct io *io, uint32_t events)
{
    struct service *s = LIST_ENTRY(io, struct service, listener);
    (void)events;
    for (unsigned i = 0; i < s->ops->accept_rounds; i++) {
        int fd = s->ops->accept(s, io->fd);
        if (fd >= 0)
            let_in(s, fd);
        else if (fd == -EAGAIN)
            return;
        else if (fd != -EACCES) {
            io_watch(&s->reactor, io, 0);
            timer_set(&s->reactor, &s->rest, clock_now() + REST_NS);
            return;
        }
    }
}

static void rest_timer(struct timer *t, uint64_t now)
{
    struct service *s = LIST_ENTRY(t, struct service, rest);
    if (io_watch(&s->reactor, &s->listener, POLLER_IN))
        timer_set(&s->reactor, &s->rest, now + REST_NS);
}

/* ---- the reactor ---- */

static void no_flush(struct reactor *r, bool all)
{
    (void)r;
    (void)all;
}

static bool never_read(struct reactor *r, uint64_t until)
{
    (void)r;
    (void)until;
    return false;
}

static int no_events(struct reactor *r)
{
    (void)r;
    return 0;
}

static bool finish(struct reactor *r)
{
    struct service *s = service_of(r);
    if (r->finished)
        return true;
    if (r->polling || r->waiters)
        return false;
    r->finished = true;
    timer_cancel(r, &s->rest);
    while (!list_empty(&s->visitors))
        service_send_away(LIST_ENTRY(s->visitors.next, struct visitor, node));
    if (s->ops->ending)
        s->ops->ending(s);
    io_free_deferred(r);
    io_watch(r, &s->listener, 0);
    net_close(s->listener.fd);
    io_thread_remove(r->io_thread, r);
    return true;
}

static void released(struct reactor *r)
{
    struct service *s = service_of(r);
    reactor_fini(r);
    s->ops->released(s);
}

static const struct reactor_ops reactor_ops = {
    .flush = no_flush,
    .reap = io_free_deferred,
    .finish = finish,
    .read_lone = never_read,
    .events = no_events,
    .shared_events = no_events,
    .released = released,
};

/* ---- its life ---- */

void service_init(struct service *s, const struct service_ops *ops)
{
    reactor_init(&s->reactor, &reactor_ops);
    s->ops = ops;
    list_init(&s->visitors);
    timer_init(&s->rest, rest_timer);
    list_init(&s->listener.deferred);
    s->listener.ready = listener_ready;
    s->listener.fd = -1;
}

int service_start(struct service *s, int listener, struct io_thread *thread)
{
    struct reactor *r = &s->reactor;
    s->listener.fd = listener;
    int rc = io_watch(r, &s->listener, POLLER_IN);
    if (rc)
        return rc;
    r->io_thread = thread;
    rc = io_thread_add(thread, r);
    if (rc)
        io_watch(r, &s->listener, 0);
    return rc;
}

void service_abandon(struct service *s)
{
    s->reactor.finished = true;
    reactor_unref(&s->reactor);
}

void service_stop(struct service *s)
{
    struct reactor *r = &s->reactor;
    mutex_lock(&r->lock);
    mailbox_run(r);
    r->closed = true;
    reactor_stop(r, ENOTSOCK);
    r->waiters++;
    while (r->polling)
        cond_wait(&r->cond, &r->lock, -1);
    r->waiters--;
    r->work |= WORK_CLOSE;
    reactor_leave(r);
}
