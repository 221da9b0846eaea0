/* SPDX-License-Identifier: MIT */
/*
 * The background thread: drives the sockets that no caller drives. It watches each socket's poller,
 * one-shot. When one fires while a caller drives the socket or did so within the lease, it is left
 * disarmed and looked at again a tick later, so steady request-reply traffic never wakes this
 * thread and no system call is spent on handing over. It also runs the timers of undriven sockets
 * and flushes, in short ticks while there is traffic, what the flush policy left queued.
 *
 * Locks: a socket's lock may be held when calling in here; the driver's own lock is a leaf. The
 * thread itself only tries a socket's lock and comes back later when it is taken.
 */
#ifndef CORE_DRIVER_H
#define CORE_DRIVER_H

#include <stdint.h>

struct driver;
struct fmq_ctx;
struct fmq_socket;

int driver_create(struct driver **out, struct fmq_ctx *ctx, int index);
/* Ends the thread; every socket must have been removed. */
void driver_destroy(struct driver *d);

unsigned driver_descriptors(const struct driver *d);

int driver_add(struct driver *d, struct fmq_socket *s);
/* The driver drops its reference as soon as it can no longer hold an event for the socket. */
void driver_remove(struct driver *d, struct fmq_socket *s);
/* Something waits for the next tick. */
void driver_dirty(struct driver *d, struct fmq_socket *s);
/* The earliest timer moved to `when` (earlier than told before). */
void driver_deadline(struct driver *d, struct fmq_socket *s, uint64_t when);
/* A caller that slept for long returned: resume looking after the lease. */
void driver_look(struct driver *d, struct fmq_socket *s);

#endif
