/* SPDX-License-Identifier: MIT */
/*
 * The life of a reactor (state.h), and how a thread of the program enters and leaves it.
 */
#ifndef REACTOR_REACTOR_H
#define REACTOR_REACTOR_H

#include <stdbool.h>

#include "base/error.h"
#include "os/clock.h"
#include "os/fork.h"
#include "reactor/io.h"
#include "reactor/mailbox.h"
#include "reactor/signal.h"
#include "reactor/state.h"
#include "reactor/timer.h"
#include "reactor/wake.h"

struct fmq_socket;

void reactor_init(struct reactor *r, const struct reactor_ops *ops);
/* Drops a reference (reactor_ref). No lock is held. */
void reactor_unref(struct reactor *r);
/* After `released`: frees what is left. */
void reactor_fini(struct reactor *r);

/* A socket's handle begins with its reactor; socket/socket.h checks that. */
static inline struct reactor *reactor_of(struct fmq_socket *s)
{
    return (struct reactor *)s;
}

/* ---- entering and leaving ---- */

/* The rest of entering, with the lock held, when there is mail or the reactor was stopped. */
int reactor_enter_slow(struct reactor *r);
void reactor_leave_slow(struct reactor *r, bool flush_all);

static inline bool reactor_has_mail(struct reactor *r)
{
    return atomic_load_explicit(&r->mailbox, memory_order_acquire) != NULL;
}

static inline int reactor_entered(struct reactor *r)
{
    if (atomic_load_explicit(&r->stop, memory_order_relaxed) || reactor_has_mail(r))
        return reactor_enter_slow(r);
    return 0;
}

/* Takes the lock and looks at the mailbox. 0, or the negative stop code with the lock not held. */
static inline int reactor_enter(struct reactor *r)
{
    if (r->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    mutex_lock(&r->lock);
    return reactor_entered(r);
}

/* As reactor_enter but -EBUSY instead of waiting for the lock. */
static inline int reactor_try_enter(struct reactor *r)
{
    if (r->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    if (!mutex_try(&r->lock))
        return -EBUSY;
    return reactor_entered(r);
}

/* Does what `work` says (flush policy, notifications, freeing) and releases the lock. */
static inline void reactor_leave(struct reactor *r)
{
    if (r->work)
        reactor_leave_slow(r, false);
    else
        mutex_unlock(&r->lock);
}

/* From now on every call answers `code`, and the threads inside come out. Lock held. */
void reactor_stop(struct reactor *r, int code);

/* ---- lock held ---- */

/* Drains `wake` and looks at the mailbox. */
void reactor_drain_wake(struct reactor *r);

/* Readiness may have changed: waiters look again. */
static inline void reactor_notify(struct reactor *r)
{
    atomic_store_explicit(&r->changes, atomic_load_explicit(&r->changes, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    r->work |= WORK_NOTIFY;
}

#endif
