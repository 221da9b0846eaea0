/* SPDX-License-Identifier: MIT */
/* Descriptors in a reactor's poller, and objects that are freed when no thread holds them. */
#ifndef REACTOR_IO_H
#define REACTOR_IO_H

#include <stdint.h>

struct io;
struct reactor;

/* Watches the descriptor for these POLLER_ bits from now on; 0: not at all. Lock held. 0 or a
 * negative errno, and then nothing has changed. */
int io_watch(struct reactor *r, struct io *io, uint32_t interest);
/* The object around it is freed when no thread polls, because one that does may hold an event for
 * it. Until then it is dead. Lock held. */
void io_free_later(struct reactor *r, struct io *io);
/* Frees what waits for that, if no thread polls. Lock held. */
void io_free_deferred(struct reactor *r);

#endif
