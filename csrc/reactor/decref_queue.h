/* SPDX-License-Identifier: MIT */
/*
 * References to host objects that the engine no longer needs. A thread without the host's lock
 * cannot drop them, so it queues them here. The next thread that holds the lock drops them.
 */
#ifndef REACTOR_DECREF_QUEUE_H
#define REACTOR_DECREF_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

extern atomic_uint decref_queue_count_;

/* Any thread, any lock held (a leaf lock is taken). Never fails towards the caller: out of memory,
 * the object is leaked. True when the list has grown so long that the host should empty it soon. */
bool decref_queue_push(void *object);

/* How many wait: one load, for the hot path. */
static inline unsigned decref_queue_count(void)
{
    return atomic_load_explicit(&decref_queue_count_, memory_order_relaxed);
}

/* Moves up to max objects to `out`; returns how many. */
size_t decref_queue_take(void **out, size_t max);

/* Around a fork: no other thread may be inside while the child is made. */
void decref_queue_fork_prepare(void);
void decref_queue_fork_done(void);

/* Waits until the list is not empty: true, or false after timeout_ms (<0: for ever). */
bool decref_queue_wait(int timeout_ms);

#endif
