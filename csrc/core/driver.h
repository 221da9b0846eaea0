/* SPDX-License-Identifier: MIT */
/*
 * The background thread: drives the sockets that no caller drives. It watches each socket's poller,
 * one-shot. When one fires while a caller drives the socket or did so within the lease, it is left
 * disarmed and looked at again a tick later, so steady request-reply traffic never wakes this
 * thread and no system call is spent on handing over. It also runs the timers of undriven sockets
 * and flushes, in short ticks while there is traffic, what the flush policy left queued.
 *
 * Locks: a socket's lock may be held when calling in here; the driver's own lock is a leaf. The
 * thread itself only tries a socket's lock and comes back later when it is taken, but for a socket
 * that is finished: there it waits for whoever finished it to be out of the lock.
 */
#ifndef CORE_DRIVER_H
#define CORE_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "os/clock.h"

/* A socket that a caller drove is left to it for so long, or for four times the caller's pace: long
 * enough for a caller with hundreds of sockets to come round. One that goes away to compute loses
 * the lease, so that what its peers wait for goes on. */
#define LEASE_MIN_NS (2 * NS_PER_MS)
#define LEASE_MAX_NS (20 * NS_PER_MS)

struct driver;
struct fmq_ctx;
struct fmq_socket;

int driver_create(struct driver **out, struct fmq_ctx *ctx, int index);
/* Ends the thread; every socket must have been removed. */
void driver_destroy(struct driver *d);

uint32_t driver_descriptors(const struct driver *d);

int driver_add(struct driver *d, struct fmq_socket *s);
/* The driver drops its reference as soon as it can no longer hold an event for the socket. */
void driver_remove(struct driver *d, struct fmq_socket *s);
/* Something waits for the next tick; urgent: for this thread to wake up. */
void driver_dirty(struct driver *d, struct fmq_socket *s, bool urgent);
/* The earliest timer moved to `when` (earlier than told before). */
void driver_deadline(struct driver *d, struct fmq_socket *s, uint64_t when);
/* A caller that slept for long returned: resume looking after the lease. */
void driver_look(struct driver *d, struct fmq_socket *s);

#endif
