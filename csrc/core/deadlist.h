/* SPDX-License-Identifier: MIT */
/*
 * Host objects that the engine has let go of. A thread without the host's lock cannot end them, so
 * it puts them here and the next thread that holds the lock takes them out.
 */
#ifndef CORE_DEADLIST_H
#define CORE_DEADLIST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

extern atomic_uint deadlist_count_;

/* Any thread, any lock held (a leaf lock is taken). Never fails towards the caller: out of memory,
 * the object is leaked. True when the list has grown long enough for the host to be told. */
bool deadlist_push(void *object);

/* How many wait: one load, for the hot path. */
static inline unsigned deadlist_count(void)
{
    return atomic_load_explicit(&deadlist_count_, memory_order_relaxed);
}

/* Moves up to max objects to `out`; returns how many. */
size_t deadlist_take(void **out, size_t max);

/* Around a fork: no other thread may be inside while the child is made. */
void deadlist_fork_prepare(void);
void deadlist_fork_done(void);

/* Waits until the list is not empty: true, or false after timeout_ms (<0: for ever). */
bool deadlist_wait(int timeout_ms);

#endif
