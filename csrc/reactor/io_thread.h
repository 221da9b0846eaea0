/* SPDX-License-Identifier: MIT */
/*
 * An I/O thread polls the reactors that no caller polls. It watches each reactor's poller,
 * one-shot. When one fires while a caller polls the reactor, or did so within the lease, the I/O
 * thread leaves it disarmed and checks it again a tick later. So steady request-reply traffic never
 * wakes this thread and needs no system call for it. The thread also runs the timers of these
 * reactors, and in short ticks while there is traffic it flushes what the flush policy left queued.
 *
 * Locks: a reactor's lock may be held by callers of this file; the I/O thread's own lock is a leaf.
 * The thread itself only tries a reactor's lock, and comes back later if that fails. For a finished
 * reactor it waits until the thread that finished it has released the lock.
 */
#ifndef REACTOR_IO_THREAD_H
#define REACTOR_IO_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/list.h"
#include "os/clock.h"
#include "os/thread.h"
#include "os/wakeup.h"

/* A reactor that a caller polled is left to it for so long, or for four times the caller's pace:
 * long enough for a caller with hundreds of sockets to come round. One that goes away to compute
 * loses the lease, so that what its peers wait for goes on. */
#define LEASE_MIN_NS (2 * NS_PER_MS)
#define LEASE_MAX_NS (20 * NS_PER_MS)

/* How long it sleeps between two looks at what is left to it, while there is traffic. */
#define TICK_NS (150 * NS_PER_US)

struct poller;
struct reactor;

struct io_thread {
    struct thread thread;
    struct mutex lock;
    struct poller *poller;
    struct wakeup wake;
    struct thread_policy policy;
    char name[40];

    /* under `lock` */
    struct list reactors;
    struct list flush;
    struct list look;
    uint64_t look_at; /* no reactor on `look` is due before */
    struct list removed;
    struct heap deadlines;
    bool stop;
    bool ended;
    bool broken; /* its descriptors are gone: it polls no more and rests */
    struct wakeup spare;
    struct cond rest;        /* while it is broken, and when it ends */
    uint64_t sleeping_until; /* CLOCK_NEVER deep, 0: awake */
};

uint32_t io_thread_descriptors(const struct io_thread *d);

int io_thread_add(struct io_thread *d, struct reactor *r);
/* The I/O thread drops its reference as soon as it can no longer hold an event for the reactor. */
void io_thread_remove(struct io_thread *d, struct reactor *r);
/* Watches its poller or, without one, its only descriptor; until it fires, and again from
 * io_thread_rearm on. Reactor's lock held. 0 or a negative errno. */
int io_thread_watch(struct io_thread *d, struct reactor *r);
int io_thread_rearm(struct io_thread *d, struct reactor *r);
/* Watches the only descriptor no more. */
void io_thread_unwatch(struct io_thread *d, int fd);
/* Watches the poller that the reactor is about to have, in place of its only descriptor. */
int io_thread_replace(struct io_thread *d, struct reactor *r, struct poller *poller);
/* Something waits for the next tick; urgent: for this thread to wake up. */
void io_thread_flush(struct io_thread *d, struct reactor *r, bool urgent);
/* The earliest timer moved to `when` (earlier than reported before). */
void io_thread_deadline(struct io_thread *d, struct reactor *r, uint64_t when);
/* The reactor is looked at at once. */
void io_thread_call(struct io_thread *d, struct reactor *r);
/* A caller that slept for long returned: the reactor is looked at again, after the lease. */
void io_thread_look(struct io_thread *d, struct reactor *r);

/* ---- for the thread itself (io_run.h) ---- */

/* Looks at the reactor after so long, or a little later. */
void io_thread_look_later(struct io_thread *d, struct reactor *r, uint64_t now, uint64_t delay_ns);
/* Has the thread come out of its sleep. d->lock held. */
void io_thread_rouse(struct io_thread *d);
/* The program has closed descriptors that are not its own: said once, felt by every call on these
 * sockets. d->lock held. */
void io_thread_give_up(struct io_thread *d);

#endif
