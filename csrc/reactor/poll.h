/* SPDX-License-Identifier: MIT */
/* Polling: waiting in a reactor's poller and reading. reactor.h says which threads do so. */
#ifndef REACTOR_POLL_H
#define REACTOR_POLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reactor;
struct waits;

/*
 * Waits, with the lock held, until something changed, polling where no other thread does: 0, or
 * -EAGAIN when `deadline` (clock_now time) passed, -EINTR, or the stop code. Releases the lock and
 * takes it again. With deadline 0 it only looks at the network once. `w` is told of sleeps.
 */
int reactor_wait_for(struct reactor *r, uint64_t deadline, struct waits *w);
static inline int reactor_wait(struct reactor *r, uint64_t deadline)
{
    return reactor_wait_for(r, deadline, NULL);
}
/* As reactor_wait, but it never sleeps: -EAGAIN also at once, where another thread polls or it
 * waits for room to write. */
int reactor_spin(struct reactor *r, uint64_t until);
/* One pass of polling without waiting; for the I/O thread. `fired`: the poller says that something
 * is there, but not what. Lock held. */
void reactor_poll_once(struct reactor *r, bool fired);

/* The next look at the reactor without waiting is one at all descriptors. Lock held. */
void reactor_asks_poller(struct reactor *r);

#endif
