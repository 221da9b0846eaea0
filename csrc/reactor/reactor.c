/* SPDX-License-Identifier: MIT */
#include "reactor/reactor.h"

#include "reactor/io_thread.h"
#include "reactor/notify.h"
#include "reactor/quiet.h"

static void wake_ready(struct io *io, uint32_t events)
{
    struct reactor *r = LIST_ENTRY(io, struct reactor, wake_io);
    if (events & POLLER_ERR)
        reactor_break(r);
    else
        reactor_drain_wake(r);
}

void reactor_init(struct reactor *r, const struct reactor_ops *ops)
{
    r->ops = ops;
    r->fork_generation = fork_generation;
    r->wake.rfd = r->wake.wfd = -1;
    mutex_init(&r->lock);
    cond_init(&r->cond);
    atomic_init(&r->refs, 1); /* until it is finished */
    notify_init(&r->notify);
    list_init(&r->quiet);
    list_init(&r->flush_list);
    list_init(&r->deferred_free);
    list_init(&r->iot_flush);
    list_init(&r->iot_look);
    list_init(&r->iot_reactors);
    list_init(&r->iot_removed);
    heap_init(&r->timers);
    heap_node_init(&r->iot_deadline);
    r->deadline = CLOCK_NEVER;
    r->lease = LEASE_MIN_NS;
    r->wake_io.ready = wake_ready;
    list_init(&r->wake_io.deferred);
}

void reactor_fini(struct reactor *r)
{
    cond_fini(&r->cond);
    mutex_fini(&r->lock);
}

static void free_descriptors(struct reactor *r)
{
    if (reactor_has_mail(r)) { /* posted after it was finished: releases the senders' memory */
        mutex_lock(&r->lock);
        mailbox_run(r);
        mutex_unlock(&r->lock);
    }
    notify_fini(r);
    io_fini(r);
}

void reactor_unref(struct reactor *r)
{
    if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1) {
        free_descriptors(r);
        r->ops->released(r);
    }
}

/* In this order: a post after the drain signals again, and what was posted before it is seen. */
void reactor_drain_wake(struct reactor *r)
{
    wakeup_drain(&r->wake);
    atomic_store(&r->wake_set, false);
    if (atomic_load(&r->mailbox))
        mailbox_run(r);
}

int reactor_enter_slow(struct reactor *r)
{
    int stop = atomic_load_explicit(&r->stop, memory_order_relaxed);
    if (stop) {
        reactor_leave(r);
        return -stop;
    }
    mailbox_run(r);
    return 0;
}

void reactor_stop(struct reactor *r, int code)
{
    atomic_store(&r->stop, code);
    cond_broadcast(&r->cond);
    atomic_store(&r->asleep, false);
    reactor_signal(r);
    reactor_notify(r);
}

/* A pattern that has more to write each time that there is room goes on with the next tick. */
static void leave_to_tick(struct reactor *r)
{
    if ((r->work & WORK_FLUSH) && !r->finished && r->io_thread && !r->flush_pending) {
        r->flush_pending = true;
        io_thread_flush(r->io_thread, r, false);
    }
}

void reactor_leave_slow(struct reactor *r, bool flush_all)
{
    bool finished = false;
    /* Bounded: each kind of work creates at most a few rounds of others. */
    for (int rounds = 64; r->work; rounds--) {
        unsigned work = r->work;
        if (rounds == 0) {
            leave_to_tick(r);
            break;
        }
        r->work = 0;
        if (work & WORK_FLUSH)
            r->ops->flush(r, flush_all);
        if (work & WORK_REAP)
            r->ops->reap(r);
        if (work & WORK_TIMER) {
            uint64_t next = timers_next(r);
            if (next < r->deadline) {
                r->deadline = next;
                if (r->io_thread && r->registered)
                    io_thread_deadline(r->io_thread, r, next);
                reactor_wake(r);
            }
        }
        if (work & WORK_QUIET)
            quiet_settle(r);
        if (work & WORK_NOTIFY) {
            if (r->waiters)
                cond_broadcast(&r->cond);
            reactor_wake(r);
        }
        if (r->closed && !r->finished && r->ops->finish(r)) {
            finished = true;
            break;
        }
    }
    if (atomic_load_explicit(&r->watchers, memory_order_relaxed) && !r->finished) {
        if (notify_is_watched(r))
            quiet_settle(r);
        notify_update(r);
        r->work |= WORK_WATCHED;
    }
    mutex_unlock(&r->lock);
    if (finished)
        reactor_unref(r); /* the reference of an unfinished reactor */
}
