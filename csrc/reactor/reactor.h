/* SPDX-License-Identifier: MIT */
/*
 * A reactor: one lock, one poller that holds all descriptors of a socket, its timers and its
 * mailbox. It knows nothing of messages. It calls what stands on it through reactor_ops.
 *
 * The thread that holds the lock may change the reactor and all that stands on it. One thread at a
 * time may *poll* (`polling`): wait in the poller and read. Polling is done by the calling thread
 * while it waits, else by an I/O thread (io_thread.h). The lock is released around every system
 * call that moves data, so `polling` says whether another thread is in the middle of something.
 * Objects that such a thread may still hold are freed when no thread polls (io_free_later).
 */
#ifndef REACTOR_REACTOR_H
#define REACTOR_REACTOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/heap.h"
#include "base/list.h"
#include "os/clock.h"
#include "os/fork.h"
#include "os/poller.h"
#include "os/thread.h"
#include "os/wakeup.h"
#include "reactor/io.h"
#include "reactor/mailbox.h"
#include "reactor/notify.h"
#include "reactor/spin.h"
#include "reactor/timer.h"

struct fmq_socket;
struct io_thread;

/* What reactor_leave has to do; checked as one word on the fast path. */
#define WORK_FLUSH 1u    /* look at flush_list */
#define WORK_REAP 2u     /* something has ended and is to be freed */
#define WORK_NOTIFY 4u   /* readiness changed: wake the threads that wait on this reactor */
#define WORK_TIMER 8u    /* the earliest deadline may have moved */
#define WORK_CLOSE 16u   /* closed: try to finish */
#define WORK_WATCHED 32u /* FD was handed out or a poll set holds it: keep its signal true */

/* What a reactor asks of what stands on it. Called with the lock held. */
struct reactor_ops {
    /* Goes through flush_list: writes what is due, or (`all`) whatever is queued; goes on with what
     * was paused. May release the lock and take it again. */
    void (*flush)(struct reactor *r, bool all);
    /* Frees what has ended. */
    void (*reap)(struct reactor *r);
    /* Closed: true when nothing has to be waited for any more; all is then taken down. */
    bool (*finish)(struct reactor *r);
    /* Reads the only connection without asking the poller, until something came or `until` (0:
     * once); not while it waits for the kernel to take more. True: something came.
     * Releases the lock meanwhile. */
    bool (*read_lone)(struct reactor *r, uint64_t until);
    /* FMQ_POLLIN and FMQ_POLLOUT as the calling thread sees them. */
    int (*events)(struct reactor *r);
    /* The same as any thread sees them. */
    int (*shared_events)(struct reactor *r);
    /* The last reference went, and the descriptors with it. No lock is held. */
    void (*released)(struct reactor *r);
};

struct reactor {
    struct mutex lock;
    atomic_int stop; /* 0, or the positive errno every call answers: ENOTSOCK, FMQ_ETERM */
    unsigned work;
    atomic_uint changes; /* counts reactor_notify; for waiters, as others may have taken `work` */
    const struct reactor_ops *ops;
    _Atomic(struct cmd *) mailbox;
    struct list flush_list; /* connections to be written, resumed or closed */
    unsigned fork_generation;
    atomic_uint refs; /* of threads that may signal or poll (the I/O thread, inproc peers); at 0
                         descriptors are closed */
    struct list deferred_free;

    struct poller *poller;
    struct wakeup wake;
    struct io wake_io;
    struct heap timers;

    unsigned conn_count;
    bool lone_readable; /* there is one connection, and read_lone may read it */
    bool lone_blocked;  /* there is one, and it waits for the kernel to take more */

    bool polling;
    atomic_bool asleep;   /* the polling thread sleeps: posted work must signal `wake` */
    atomic_bool wake_set; /* `wake` was signalled for mail and not drained since */
    atomic_uint watchers; /* FD exported, poll sets: posted work must signal `wake` */
    struct notifier notify;
    unsigned waiters; /* threads in cond_wait */
    struct cond cond;
    int spin_us;         /* SPIN_US */
    uint64_t last_use;   /* clock of the last poll by a caller */
    uint64_t lease;      /* for so long after it the I/O thread keeps away, ns */
    uint64_t last_write; /* end of the last write on any connection */
    bool flush_soon;     /* the I/O thread was woken to write, not to wait for more */
    bool tick_skipped;   /* it left a tick to the writer and will not leave another */
    uint64_t last_poll;  /* clock of the last look at all descriptors */
    unsigned lone_looks; /* at the only connection alone, since the last at all descriptors */
    uint32_t sleep_seq;
    struct spin spin;

    /* The I/O thread's view; what begins with iot_ is guarded by its lock. */
    struct io_thread *io_thread;
    struct list iot_flush, iot_look, iot_reactors, iot_removed;
    struct heap_node iot_deadline;
    uint64_t iot_next_look;
    uint64_t iot_fired; /* when its poller fired while an event loop watched it */
    uint32_t iot_seen_sleep;
    uint32_t iot_interval_ms;
    atomic_bool disarmed; /* the I/O thread stopped looking: the sleeper calls io_thread_look */
    bool flush_pending;   /* the I/O thread knows that something waits for a tick */
    bool registered;      /* the I/O thread watches the poller */
    uint64_t deadline;    /* the earliest timer that the I/O thread knows; CLOCK_NEVER: none */

    bool closed;
    bool finished;
    atomic_bool broken; /* see reactor_break */
};

/* 0 or a negative errno; reactor_unref ends it then, too. */
int reactor_init(struct reactor *r, const struct reactor_ops *ops);
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

/* ---- for other threads ---- */

/* Wakes the thread that sleeps in the poller, if one does. */
void reactor_wake(struct reactor *r);
/* Makes the poller report something, so that a thread that waits in it or on it comes. */
void reactor_signal(struct reactor *r);
/*
 * A descriptor that polling needs, here or in the I/O thread, is not there any more: the program
 * has closed what is not its own. Every call answers FMQ_EBROKEN from now on, and closing waits for
 * nothing. Any thread that has a reference; no lock is needed.
 */
void reactor_break(struct reactor *r);
void reactor_ref(struct reactor *r);
void reactor_unref(struct reactor *r);

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
