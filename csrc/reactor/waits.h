/* SPDX-License-Identifier: MIT */
/* The calls that sleep on a reactor, and since when, for inspection. The lock is held. */
#ifndef REACTOR_WAITS_H
#define REACTOR_WAITS_H

#include <stdint.h>

#include "os/clock.h"
#include "os/thread.h"

/* A call that sleeps again so soon goes on with the wait before it: it was woken for something
 * else, or it returned for the sake of signal handlers. */
#define WAIT_GOES_ON_NS (20 * NS_PER_MS)

/* Calls of one kind. */
struct waits {
    uint32_t threads; /* that sleep now */
    uint32_t thread;  /* thread_number of the one that came last */
    uint64_t since;   /* when its wait began; 0: none, or the last one was a success */
    uint64_t left;    /* when a sleep ended */
};

/* `w` may be NULL: nobody wants to know. */
static inline void wait_begins(struct waits *w, uint64_t now)
{
    if (!w)
        return;
    if (!w->since || (!w->threads && now - w->left > WAIT_GOES_ON_NS))
        w->since = now;
    w->threads++;
    w->thread = thread_number();
}

static inline void wait_ends(struct waits *w, uint64_t now)
{
    if (!w)
        return;
    w->threads--;
    w->left = now;
}

#endif
