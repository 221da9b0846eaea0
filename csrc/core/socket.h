/* SPDX-License-Identifier: MIT */
/*
 * A socket: one lock, one poller that holds all its descriptors, its pipes, and its pattern.
 *
 * Whoever holds the lock may change the socket. One thread at a time may *drive* it (`driving`):
 * wait in the poller and read. Driving is done by the calling thread while it waits, else by the
 * context's background thread (driver.h). The lock is let go around every system call that moves
 * data, so `driving` and conn.writing tell who else is in the middle of something; objects that
 * such a thread may still hold go to `graveyard` and are freed when nobody drives.
 */
#ifndef CORE_SOCKET_H
#define CORE_SOCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/heap.h"
#include "base/list.h"
#include "core/options.h"
#include "core/partial.h"
#include "core/pattern_ops.h"
#include "core/pipe.h"
#include "core/spin.h"
#include "fastmq.h"
#include "os/clock.h"
#include "os/fork.h"
#include "os/poller.h"
#include "os/thread.h"
#include "os/wakeup.h"

struct fmq_ctx;
struct driver;
struct endpoint;
struct monitor;

/* A descriptor in the socket's poller. `ready` runs on the driving thread with the lock held. */
struct io {
    void (*ready)(struct io *io, uint32_t events);
    int fd;
    uint32_t interest;           /* POLLER_ bits in force; 0: not in the poller */
    bool dead;                   /* events that were fetched before it died are ignored */
    struct list grave;           /* socket->graveyard */
    void (*bury)(struct io *io); /* frees the object around it */
};

struct timer {
    struct heap_node node; /* socket->timers */
    void (*fire)(struct timer *t, uint64_t now);
};

/* Work from another thread, posted without this socket's lock. Embedded where it is used, so that
 * posting cannot fail; `queued` keeps it from being posted twice. */
struct cmd {
    struct cmd *next;
    void (*run)(struct fmq_socket *s, struct cmd *cmd); /* with the lock held */
    atomic_bool queued;
};

/* See watch.h. */
struct watch {
    struct wakeup signal[2]; /* POLLIN, POLLOUT */
    unsigned count[2];       /* who wants to hear of it */
    bool shown[2];
    bool waits_out;       /* FD's holder was last told that the socket is not writable */
    bool merged;          /* FD is signal[0] alone: the system has no descriptor for a poller */
    struct poller *outer; /* FD: the socket's poller and both signals in one */
    struct poller *loop;  /* fmq_watch: the socket's poller and the signals of loop_events */
    int loop_events;
    unsigned loop_seen; /* socket->changes when FMQ_POLLCHANGE was asked for */
    /* See hub.h. */
    _Atomic(struct fmq_hub *) hub; /* changed with the socket's and the hub's lock */
    void *hub_data;
    int hub_events;
    unsigned hub_seen;
    struct list hub_member; /* hub->sockets */
    struct list hub_node;   /* hub->posted */
    atomic_bool posted;     /* hub_node is linked */
};

/* A socket that waits for room among what its context may queue, see budget.h. */
struct shortage {
    struct list node; /* budget->waiters, under its lock, as is `urgent` */
    struct cmd over;  /* there is room again */
    bool urgent;      /* connections wait, which no caller may look after */
};

/* What is left of peers that are no more. */
struct tally {
    uint64_t msgs_in, msgs_out, bytes_in, bytes_out, reconnects;
};

/* What socket_leave has to do; checked as one word on the fast path. */
#define WORK_FLUSH 1u    /* look at the connections on `attention` */
#define WORK_REAP 2u     /* pipes are on dead_pipes, or graves to be emptied */
#define WORK_NOTIFY 4u   /* readiness changed: wake those who wait on this socket */
#define WORK_TIMER 8u    /* the earliest deadline may have moved */
#define WORK_CLOSE 16u   /* closed: try to finish */
#define WORK_WATCHED 32u /* FD was handed out or a poll set holds it: keep its signal true */

struct fmq_socket {
    struct mutex lock;
    atomic_int stop; /* 0, or the positive errno every call answers: ENOTSOCK, FMQ_ETERM */
    unsigned work;
    atomic_uint
        changes; /* counts socket_notify: a waiter compares, as others may have taken `work` */
    const struct pattern_ops *ops;
    void *state;
    _Atomic(struct cmd *) mailbox;
    struct rx_message rx;  /* the message that is received part by part */
    struct list tx_begun;  /* tx_message.node, one a thread at most */
    struct list attention; /* conn.attention: to be written, resumed or closed */
    unsigned fork_generation;

    int type;
    struct fmq_ctx *ctx;
    struct driver *driver;
    struct budget *budget; /* NULL: what it queues counts against no limit of the context */
    struct shortage shortage;
    bool sized;       /* a pipe of its is bounded, or was: sizes are told to pipe_can_write */
    uint64_t advance; /* taken from the budget for a message that goes to all or to nobody */
    struct options opt;
    atomic_uint refs;   /* whoever may signal or poll: driver, inproc peers; at 0 descriptors go */
    atomic_uint owners; /* of the memory */

    struct list pipes;
    struct list endpoints;
    struct list conns;
    struct list dead_pipes;
    struct list graveyard;
    struct list warm; /* connections that keep buffers, most recent last */
    unsigned warm_count;
    unsigned conn_count;
    struct conn *solo; /* the only connection, when there is just one and it is ready */

    struct poller *poller;
    struct wakeup wake;
    struct io wake_io;
    struct heap timers;

    bool driving;
    atomic_bool asleep;   /* the driving thread sleeps: who posts work must signal `wake` */
    atomic_bool wake_set; /* `wake` was signalled for mail and not drained since */
    atomic_uint watchers; /* FD exported, poll sets: posted work must signal `wake` */
    struct watch watch;
    unsigned waiters; /* threads in cond_wait */
    struct cond cond;
    uint64_t last_use;    /* clock of the last drive by a caller */
    uint64_t lease;       /* for so long after it the background thread keeps away, ns */
    uint64_t last_write;  /* end of the last write on any connection */
    uint64_t write_cost;  /* how long the last round of writes took, ns */
    uint64_t burst_until; /* what is queued before then is the rest of a burst after quiet */
    bool flush_soon;      /* the background thread was woken to write, not to wait for more */
    bool spared;          /* it left a tick to the writer and will not leave another */
    uint64_t last_poll;   /* clock of the last look at all descriptors */
    unsigned lone_reads;  /* by the background thread, since it looked at all descriptors */
    uint32_t sleep_seq;
    struct spin spin;

    /* The driver's view; guarded by the driver's lock. */
    struct list dr_dirty, dr_look, dr_sockets, dr_grave;
    struct heap_node dr_deadline;
    uint64_t dr_next_look;
    uint64_t dr_fired; /* when its poller fired while an event loop watched it */
    uint32_t dr_seen_sleep;
    uint32_t dr_interval_ms;
    atomic_bool forgotten; /* the driver stopped looking: tell it when the sleeper returns */
    bool dirty;            /* told the driver that something waits for a tick */
    bool registered;       /* the driver watches the poller */
    uint64_t deadline;     /* the earliest timer as told to the driver; CLOCK_NEVER: none */

    bool closed;
    bool finished;
    uint64_t linger_until;
    struct timer linger_timer;
    struct list in_ctx;

    struct monitor *monitor;
    char last_endpoint[512];
    uint8_t next_identity[255]; /* CONNECT_ROUTING_ID for the next connect */
    uint8_t next_identity_len;

    /* Statistics, see inspect.c. */
    uint64_t drops;
    uint64_t send_waits;
    struct tally gone; /* of pipes and connections that are no more */
};

/* fmq_socket_new for a pattern's table. `internal`: the context's own socket (zap.h), one at most
 * (-EEXIST), which MAX_SOCKETS does not count. */
int socket_new(struct fmq_ctx *ctx, const struct pattern_ops *ops, bool internal,
               struct fmq_socket **out);

/* ---- entering and leaving ---- */

/* The rest of entering, with the lock held, when there is mail or the socket was stopped. */
int socket_enter_slow(struct fmq_socket *s);
void socket_leave_slow(struct fmq_socket *s, bool flush_all);

static inline bool socket_has_mail(struct fmq_socket *s)
{
    return atomic_load_explicit(&s->mailbox, memory_order_acquire) != NULL;
}

static inline int socket_entered(struct fmq_socket *s)
{
    if (atomic_load_explicit(&s->stop, memory_order_relaxed) || socket_has_mail(s))
        return socket_enter_slow(s);
    return 0;
}

/* Takes the lock and looks at the mailbox. 0, or the negative stop code with the lock not held. */
static inline int socket_enter(struct fmq_socket *s)
{
    if (s->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    mutex_lock(&s->lock);
    return socket_entered(s);
}

/* As socket_enter but -EBUSY instead of waiting for the lock. */
static inline int socket_try_enter(struct fmq_socket *s)
{
    if (s->fork_generation != fork_generation)
        return -FMQ_EFORKED;
    if (!mutex_try(&s->lock))
        return -EBUSY;
    return socket_entered(s);
}

/* Does what `work` says (flush policy, notifications, reaping) and lets the lock go. */
static inline void socket_leave(struct fmq_socket *s)
{
    if (s->work)
        socket_leave_slow(s, false);
    else
        mutex_unlock(&s->lock);
}

/*
 * Waits, with the lock held, until something changed, driving the socket where nobody else does: 0,
 * or -EAGAIN when `deadline` (clock_now time) passed, -EINTR, or the stop code. Lets the lock go
 * and takes it again. With deadline 0 it only looks at the network once.
 */
int socket_wait(struct fmq_socket *s, uint64_t deadline);

/* FMQ_POLLIN and FMQ_POLLOUT as every thread sees them. Lock held. */
int socket_readiness(struct fmq_socket *s);
/* As the calling thread sees them: what it has begun to send it may go on with. Lock held. */
int socket_events(struct fmq_socket *s);

/* One pass of driving without waiting; for the background thread. `fired`: the poller says that
 * something is there, but not what. Lock held. */
void socket_drive_once(struct fmq_socket *s, bool fired);

/* ---- for other threads ---- */

/* Posts a command; any thread, no lock needed. `urgent`: somebody must run it soon even if no
 * thread is in a call on the socket. */
void socket_post(struct fmq_socket *s, struct cmd *cmd, bool urgent);
void socket_kick(struct fmq_socket *s);
void socket_ref(struct fmq_socket *s);
void socket_unref(struct fmq_socket *s);

/* ---- for the core's own parts, lock held ---- */

/* Runs the commands that other threads posted, in their order. */
void socket_run_mail(struct fmq_socket *s);
/* Drains `wake` and looks at the mailbox. */
void socket_take_wake(struct fmq_socket *s);
/* Goes through the attention list: flush policy, resumed and closed connections. */
void socket_attend(struct fmq_socket *s, bool flush_all);
/* Frees pipes that are done, and the graveyard when nobody drives. */
void socket_reap(struct fmq_socket *s);

/* Readiness may have changed: whoever waits looks again. */
static inline void socket_notify(struct fmq_socket *s)
{
    atomic_store_explicit(&s->changes, atomic_load_explicit(&s->changes, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    s->work |= WORK_NOTIFY;
}

int io_watch(struct fmq_socket *s, struct io *io, uint32_t interest); /* 0: stop watching */
void io_bury(struct fmq_socket *s, struct io *io);
void timer_init(struct timer *t, void (*fire)(struct timer *t, uint64_t now));
void timer_set(struct fmq_socket *s, struct timer *t, uint64_t when);
void timer_cancel(struct fmq_socket *s, struct timer *t);

/* Makes a pipe and attaches it; NULL with *err set. Owned by the socket. */
struct pipe *pipe_new(struct fmq_socket *s, int *err);
int pipe_attach(struct pipe *p);
int pipe_connected(struct pipe *p);
void pipe_lost(struct pipe *p);
/* hangup: detaches at once when nothing is left to read. */
void pipe_hangup(struct pipe *p);
/* Before the program ends it (close, disconnect, unbind): it will not be told. `unwanted`: what it
 * has not read goes, too. */
void pipe_disown(struct pipe *p, bool unwanted);
void pipe_free(struct pipe *p);
void pipe_arrived(struct pipe *p, uint32_t msgs_before); /* after pushing to p->in */
/* `in` holds a message for the program and is at a limit in bytes: no more is to be decoded. */
bool pipe_in_full(struct pipe *p);
/* Brings the context's budget up to date after the queues changed. */
void pipe_account(struct pipe *p);
/* The socket's limits, the budget or the link changed. */
void pipe_set_limits(struct pipe *p);
/* What pipe.plain and its neighbours follow from changed. */
void pipe_update(struct pipe *p);
static inline void pipe_pause(struct pipe *p, bool paused)
{
    p->paused = paused;
    pipe_update(p);
}
/* Its connection is read again if it was paused. */
static inline void pipe_room_made(struct pipe *p)
{
    if (p->paused && p->link && !p->direct)
        p->link->ops->resume(p->link);
}
/* Throws away what is queued to be sent. */
void pipe_discard(struct pipe *p);
void pipe_drained(struct pipe *p); /* there may be room: tell the pattern if owed */

void socket_terminate(struct fmq_socket *s); /* context shutdown */
/* A new LINGER for a socket that was closed already. */
void socket_relinger(struct fmq_socket *s, int linger_ms);
/* After closing: true when nothing keeps it any more; finishes it then. */
bool socket_try_finish(struct fmq_socket *s);
uint64_t socket_pending(struct fmq_socket *s);

#endif
