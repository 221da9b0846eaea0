/* SPDX-License-Identifier: MIT */
/*
 * An I/O thread polls the reactors that no caller polls. It watches each reactor's poller,
 * one-shot. When one fires while a caller polls the reactor or did so within the lease, it is left
 * disarmed and looked at again a tick later, so steady request-reply traffic never wakes this
 * thread and no system call is spent on handing over. It also runs the timers of these reactors and
 * flushes, in short ticks while there is traffic, what the flush policy left queued.
 *
 * Locks: a reactor's lock may be held when calling in here; the I/O thread's own lock is a leaf.
 * The thread itself only tries a reactor's lock and comes back later when it is taken, but for a
 * reactor that is finished: there it waits until the thread that finished it is out of the lock.
 */
#ifndef REACTOR_IO_THREAD_H
#define REACTOR_IO_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "os/clock.h"

/* A reactor that a caller polled is left to it for so long, or for four times the caller's pace:
 * long enough for a caller with hundreds of sockets to come round. One that goes away to compute
 * loses the lease, so that what its peers wait for goes on. */
#define LEASE_MIN_NS (2 * NS_PER_MS)
#define LEASE_MAX_NS (20 * NS_PER_MS)

struct io_thread;
struct reactor;
struct thread_policy;

/* The processors of `policy` must live as long as the thread. 0 or a negative errno, -FMQ_EMTHREAD
 * among them. */
int io_thread_create(struct io_thread **out, const char *name, const struct thread_policy *policy);
/* Ends the thread; every reactor must have been removed. */
void io_thread_destroy(struct io_thread *d);

uint32_t io_thread_descriptors(const struct io_thread *d);

int io_thread_add(struct io_thread *d, struct reactor *r);
/* The I/O thread drops its reference as soon as it can no longer hold an event for the reactor. */
void io_thread_remove(struct io_thread *d, struct reactor *r);
/* Something waits for the next tick; urgent: for this thread to wake up. */
void io_thread_flush(struct io_thread *d, struct reactor *r, bool urgent);
/* The earliest timer moved to `when` (earlier than reported before). */
void io_thread_deadline(struct io_thread *d, struct reactor *r, uint64_t when);
/* A caller that slept for long returned: the reactor is looked at again, after the lease. */
void io_thread_look(struct io_thread *d, struct reactor *r);

#endif
