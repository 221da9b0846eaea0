/* SPDX-License-Identifier: MIT */
/* Descriptors in a reactor's poller, and objects that are freed when no thread holds them. */
#ifndef REACTOR_IO_H
#define REACTOR_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct reactor;

/* A descriptor in the poller. Embedded in the object that it belongs to. */
struct io {
    void (*ready)(struct io *io, uint32_t events); /* on the polling thread, with the lock held */
    int fd;
    uint32_t interest;           /* POLLER_ bits in force; 0: not in the poller */
    bool dead;                   /* events that were fetched before it died are ignored */
    struct list deferred;        /* reactor->deferred_free */
    void (*free)(struct io *io); /* frees the object around it */
};

/* Watches the descriptor for these POLLER_ bits from now on; 0: not at all. Lock held. 0 or a
 * negative errno, and then nothing has changed. */
int io_watch(struct reactor *r, struct io *io, uint32_t interest);
/* The object around it is freed when no thread polls, because one that does may hold an event for
 * it. Until then it is dead. Lock held. */
void io_free_later(struct reactor *r, struct io *io);
/* Frees what waits for that, if no thread polls. Lock held. */
void io_free_deferred(struct reactor *r);

#endif
