/* SPDX-License-Identifier: MIT */
/*
 * A reactor: one lock, one poller with all descriptors of a socket, its timers and its mailbox. It
 * does not deal with messages; it calls the rooms above through reactor_ops. This header has the
 * struct; the other files of this folder have the functions. Read reactor.h first.
 *
 * The thread that holds the lock may change the reactor and the structs that begin with it. One
 * thread at a time may *poll* (`polling`): wait in the poller and read. A caller polls while it
 * waits, otherwise an I/O thread does (io_thread.h). The lock is released around every system call
 * that moves data, so `polling` shows whether another thread is inside such a call.
 * Objects that such a thread may still hold are freed when no thread polls (io_free_later).
 */
#ifndef REACTOR_STATE_H
#define REACTOR_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/list.h"
#include "os/poller.h"
#include "os/thread.h"
#include "os/wakeup.h"
#include "reactor/notifier.h"
#include "reactor/spin.h"

struct cmd;
struct io_thread;
struct reactor;

/* What reactor_leave has to do; checked as one word on the fast path. */
#define WORK_FLUSH 1u    /* look at flush_list */
#define WORK_REAP 2u     /* something has ended and is to be freed */
#define WORK_NOTIFY 4u   /* readiness changed: wake the threads that wait on this reactor */
#define WORK_TIMER 8u    /* the earliest deadline may have moved */
#define WORK_CLOSE 16u   /* closed: try to finish */
#define WORK_WATCHED 32u /* FD was handed out or a poll set holds it: keep its signal true */
#define WORK_QUIET 64u   /* input has come to be on the list of quiet.h */

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

/* A descriptor that is watched. Embedded in the object that it belongs to. */
struct io {
    void (*ready)(struct io *io, uint32_t events); /* on the polling thread, with the lock held */
    int fd;
    uint32_t interest;           /* POLLER_ bits in force; 0: not watched */
    bool dead;                   /* events that were fetched before it died are ignored */
    struct list deferred;        /* reactor->deferred_free */
    void (*free)(struct io *io); /* frees the object around it */
};

struct reactor {
    struct mutex lock;
    atomic_int stop; /* 0, or the positive errno every call answers: ENOTSOCK, FMQ_ETERM */
    unsigned work;
    atomic_uint changes; /* counts reactor_notify; for waiters, as others may have taken `work` */
    const struct reactor_ops *ops;
    _Atomic(struct cmd *) mailbox;
    struct list quiet;      /* input that the poller does not show: quiet.h */
    struct list flush_list; /* connections to be written, resumed or closed */
    unsigned fork_generation;
    atomic_uint refs; /* of threads that may signal or poll (the I/O thread, inproc peers); at 0
                         descriptors are closed */
    struct list deferred_free;

    struct poller *poller; /* NULL until it needs one: io.h */
    struct io *only;    /* without a poller: the descriptor that is watched; NULL: there is none */
    struct wakeup wake; /* made when first needed */
    struct io wake_io;
    atomic_bool has_wake, has_poller;
    struct heap timers;

    unsigned conn_count;
    bool lone;          /* one connection is all that has a descriptor, and read_lone is about it */
    bool lone_readable; /* there is one connection, and read_lone may read it */
    bool lone_blocked;  /* there is one, and it waits for the kernel to take more */

    bool polling;
    bool quiet_left;      /* a thread that left has left the quiet list to the one that polls */
    atomic_bool asleep;   /* the polling thread sleeps: posted work must signal `wake` */
    atomic_bool wake_set; /* `wake` was signalled for work and not drained since */
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
    atomic_bool disarmed;   /* the I/O thread stopped looking: the sleeper calls io_thread_look */
    bool flush_pending;     /* the I/O thread knows that something waits for a tick */
    atomic_bool registered; /* the I/O thread watches it */
    bool iot_armed;         /* and the I/O thread's poller reports it; under the reactor's lock */
    uint64_t deadline;      /* the earliest timer that the I/O thread knows; CLOCK_NEVER: none */

    bool closed;
    bool finished;
    atomic_bool broken; /* see reactor_break */
};

#endif
