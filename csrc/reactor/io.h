/* SPDX-License-Identifier: MIT */
/*
 * The descriptors that a reactor watches, and objects that are freed when no thread holds them.
 *
 * A reactor makes what it needs when it needs it. It begins with nothing: a socket that only talks
 * over inproc, and is not waited on, stays so. Its only descriptor is watched by the I/O thread's
 * own poller and by the thread that waits. A wake-up is made when a thread is to sleep. With a
 * second descriptor, or for somebody who watches it from outside, it has a poller, which it keeps.
 */
#ifndef REACTOR_IO_H
#define REACTOR_IO_H

#include <stdint.h>

struct io;
struct reactor;

/* Watches the descriptor for these POLLER_ bits from now on; 0: not at all. Lock held. 0 or a
 * negative errno, and then nothing has changed. */
int io_watch(struct reactor *r, struct io *io, uint32_t interest);
/* Makes the wake-up, before a thread sleeps. Lock held. 0 or a negative errno. */
int io_need_wake(struct reactor *r);
/* Makes the poller, before it is watched. Lock held. 0 or a negative errno. */
int io_need_poller(struct reactor *r);
/* Closes both. No thread is inside any more. */
void io_fini(struct reactor *r);
/* The object around it is freed when no thread polls, because one that does may hold an event for
 * it. Until then it is dead. Lock held. */
void io_free_later(struct reactor *r, struct io *io);
/* Frees what waits for that, if no thread polls. Lock held. */
void io_free_deferred(struct reactor *r);

#endif
