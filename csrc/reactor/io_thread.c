/* SPDX-License-Identifier: MIT */
#include "reactor/io_thread.h"

#include <stdio.h>

#include "base/error.h"
#include "fastmq.h"
#include "os/poller.h"
#include "reactor/state.h"
#include "reactor/wake.h"

/* Looks fall on this grid, so that one wake-up serves many sockets. */
#define LOOK_GRID_NS NS_PER_MS

void io_thread_give_up(struct io_thread *d)
{
    if (d->broken)
        return;
    d->broken = true;
    fprintf(stderr, "fastmq: %s: %s. Its sockets fail from now on.\n", d->name,
            error_text(FMQ_EBROKEN));
    LIST_FOR(n, &d->reactors)
    {
        struct reactor *r = LIST_ENTRY(n, struct reactor, iot_reactors);
        reactor_break(r);
        if (!list_linked(&r->iot_flush)) /* those that linger end */
            list_push_back(&d->flush, &r->iot_flush);
    }
    cond_signal(&d->rest);
}

void io_thread_rouse(struct io_thread *d)
{
    d->sleeping_until = 0;
    cond_signal(&d->rest);
    if (d->broken || wakeup_signal(&d->wake) == 0)
        return;
    io_thread_give_up(d);
    /* It sleeps in its poller still. */
    if (wakeup_init(&d->spare) == 0 &&
        poller_add(d->poller, d->spare.rfd, POLLER_IN, &d->spare) == 0)
        wakeup_signal(&d->spare);
}

static void nudge(struct io_thread *d, uint64_t when)
{
    if (d->sleeping_until > when)
        io_thread_rouse(d);
}

int io_thread_watch(struct io_thread *d, struct reactor *r)
{
    int rc = 0;
    if (r->poller)
        rc = poller_add_child(d->poller, r->poller, POLLER_IN | POLLER_ONESHOT, r);
    else if (r->only)
        rc = poller_add(d->poller, r->only->fd, r->only->interest | POLLER_ONESHOT, r);
    r->iot_armed = rc == 0;
    return rc;
}

void io_thread_unwatch(struct io_thread *d, int fd)
{
    poller_del(d->poller, fd);
}

int io_thread_replace(struct io_thread *d, struct reactor *r, struct poller *poller)
{
    int rc = poller_add_child(d->poller, poller, POLLER_IN | POLLER_ONESHOT, r);
    if (rc)
        return rc;
    if (r->only)
        poller_del(d->poller, r->only->fd);
    r->iot_armed = true;
    return 0;
}

int io_thread_rearm(struct io_thread *d, struct reactor *r)
{
    r->iot_armed = true;
    if (r->poller)
        return poller_mod_child(d->poller, r->poller, POLLER_IN | POLLER_ONESHOT, r);
    return r->only ? poller_mod(d->poller, r->only->fd, r->only->interest | POLLER_ONESHOT, r) : 0;
}

int io_thread_add(struct io_thread *d, struct reactor *r)
{
    reactor_ref(r);
    mutex_lock(&d->lock);
    list_push_back(&d->reactors, &r->iot_reactors);
    r->registered = true;
    bool broken = d->broken;
    mutex_unlock(&d->lock);
    int rc = broken ? -FMQ_EBROKEN : io_thread_watch(d, r);
    if (rc) {
        mutex_lock(&d->lock);
        list_remove(&r->iot_reactors);
        r->registered = false;
        mutex_unlock(&d->lock);
        atomic_fetch_sub(&r->refs, 1);
    }
    return rc;
}

void io_thread_remove(struct io_thread *d, struct reactor *r)
{
    if (r->poller)
        poller_del_child(d->poller, r->poller);
    else if (r->only)
        poller_del(d->poller, r->only->fd);
    mutex_lock(&d->lock);
    r->registered = false;
    list_remove(&r->iot_reactors);
    list_remove(&r->iot_flush);
    list_remove(&r->iot_look);
    heap_remove(&d->deadlines, &r->iot_deadline);
    list_push_back(&d->removed, &r->iot_removed);
    nudge(d, 0);
    mutex_unlock(&d->lock);
}

void io_thread_flush(struct io_thread *d, struct reactor *r, bool urgent)
{
    mutex_lock(&d->lock);
    if (r->registered && !list_linked(&r->iot_flush)) {
        list_push_back(&d->flush, &r->iot_flush);
        /* An I/O thread that ticks comes by itself. */
        if (urgent || d->sleeping_until == CLOCK_NEVER ||
            d->sleeping_until > clock_now() + 4 * TICK_NS)
            nudge(d, 0);
    }
    mutex_unlock(&d->lock);
}

void io_thread_deadline(struct io_thread *d, struct reactor *r, uint64_t when)
{
    mutex_lock(&d->lock);
    heap_remove(&d->deadlines, &r->iot_deadline);
    if (r->registered && when != CLOCK_NEVER) {
        heap_insert(&d->deadlines, &r->iot_deadline, when);
        nudge(d, when);
    }
    mutex_unlock(&d->lock);
}

/* d->lock held. */
static void add_look(struct io_thread *d, struct reactor *r, uint64_t when)
{
    if (!r->registered || list_linked(&r->iot_look))
        return;
    r->iot_next_look = when;
    list_push_back(&d->look, &r->iot_look);
    if (when < d->look_at)
        d->look_at = when;
}

static uint64_t on_grid(uint64_t when)
{
    return (when / LOOK_GRID_NS + 1) * LOOK_GRID_NS;
}

void io_thread_look(struct io_thread *d, struct reactor *r)
{
    mutex_lock(&d->lock);
    if (!list_linked(&r->iot_look)) {
        r->iot_interval_ms = 2;
        add_look(d, r, on_grid(clock_now() + LEASE_MIN_NS));
        nudge(d, d->look_at);
    }
    mutex_unlock(&d->lock);
}

void io_thread_call(struct io_thread *d, struct reactor *r)
{
    mutex_lock(&d->lock);
    if (r->registered) {
        list_remove(&r->iot_look);
        add_look(d, r, 0);
        nudge(d, 0);
    }
    mutex_unlock(&d->lock);
}

/* Comes back to a socket later. */
void io_thread_look_later(struct io_thread *d, struct reactor *r, uint64_t now, uint64_t delay_ns)
{
    mutex_lock(&d->lock);
    add_look(d, r, delay_ns < LOOK_GRID_NS ? now + delay_ns : on_grid(now + delay_ns));
    mutex_unlock(&d->lock);
}

uint32_t io_thread_descriptors(const struct io_thread *d)
{
    return poller_fds(d->poller) + wakeup_fds(&d->wake);
}
