/* SPDX-License-Identifier: MIT */
#include "reactor/io.h"

#include "reactor/state.h"
#include "reactor/wake.h"

int io_watch(struct reactor *r, struct io *io, uint32_t interest)
{
    int rc = 0;
    if (interest == io->interest)
        return 0;
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
