/* SPDX-License-Identifier: MIT */
#include "reactor/io.h"

#include "reactor/io_thread.h"
#include "reactor/signal.h"
#include "reactor/state.h"

static bool io_thread_has(const struct reactor *r)
{
    return r->io_thread && r->registered;
}

int io_need_wake(struct reactor *r)
{
    if (atomic_load_explicit(&r->has_wake, memory_order_relaxed))
        return 0;
    int rc = wakeup_init(&r->wake);
    if (rc)
        return rc;
    r->wake_io.fd = r->wake.rfd;
    atomic_store(&r->has_wake, true);
    atomic_store(&r->wake_set, false); /* by a thread that found nothing to signal */
    return 0;
}

int io_need_poller(struct reactor *r)
{
    if (r->poller)
        return 0;
    struct poller *p = NULL;
    struct io *only = r->only;
    int rc = io_need_wake(r);
    if (rc == 0)
        rc = poller_create(&p);
    if (rc == 0)
        rc = poller_add(p, r->wake.rfd, POLLER_IN, &r->wake_io);
    if (rc == 0 && only)
        rc = poller_add(p, only->fd, only->interest, only);
    if (rc == 0 && io_thread_has(r))
        rc = io_thread_replace(r->io_thread, r, p);
    if (rc) {
        poller_destroy(p);
        return rc;
    }
    r->wake_io.interest = POLLER_IN;
    r->poller = p;
    atomic_store(&r->has_poller, true);
    r->only = NULL;
    reactor_wake(r); /* a thread that sleeps without it is to sleep in it */
    return 0;
}

/* There is no poller, and none is needed. */
static int watch_only(struct reactor *r, struct io *io, uint32_t interest)
{
    uint32_t before = io->interest;
    int rc = 0;
    io->interest = interest;
    r->only = interest ? io : NULL;
    if (!io_thread_has(r))
        ;
    else if (!before)
        rc = io_thread_watch(r->io_thread, r);
    else if (!interest)
        io_thread_unwatch(r->io_thread, io->fd);
    else if (r->iot_armed)
        rc = io_thread_rearm(r->io_thread, r);
    if (rc) {
        io->interest = before;
        r->only = before ? io : NULL;
    }
    reactor_wake(r); /* a thread that sleeps waits for what was watched */
    return rc;
}

static int watch_in_poller(struct reactor *r, struct io *io, uint32_t interest)
{
    int rc = 0;
    if (!interest)
        rc = poller_del(r->poller, io->fd);
    else if (!io->interest)
        rc = poller_add(r->poller, io->fd, interest, io);
    else
        rc = poller_mod(r->poller, io->fd, interest, io);
    if (rc == 0)
        io->interest = interest;
    return rc;
}

int io_watch(struct reactor *r, struct io *io, uint32_t interest)
{
    if (interest == io->interest)
        return 0;
    if (!r->poller && r->only && r->only != io) {
        int rc = io_need_poller(r);
        if (rc)
            return rc;
    }
    return r->poller ? watch_in_poller(r, io, interest) : watch_only(r, io, interest);
}

void io_fini(struct reactor *r)
{
    if (r->poller) {
        io_watch(r, &r->wake_io, 0);
        poller_destroy(r->poller);
    }
    r->poller = NULL;
    wakeup_fini(&r->wake);
}

void io_free_later(struct reactor *r, struct io *io)
{
    io_watch(r, io, 0);
    io->dead = true;
    list_push_back(&r->deferred_free, &io->deferred);
    r->work |= WORK_REAP;
    reactor_wake(r);
}

void io_free_deferred(struct reactor *r)
{
    if (r->polling)
        return;
    for (struct list *n; (n = list_pop_front(&r->deferred_free));) {
        struct io *io = LIST_ENTRY(n, struct io, deferred);
        io->free(io);
    }
}
