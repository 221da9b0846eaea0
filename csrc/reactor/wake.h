/* SPDX-License-Identifier: MIT */
/* Functions that other threads call on a reactor without its lock. */
#ifndef REACTOR_WAKE_H
#define REACTOR_WAKE_H

struct reactor;

/* Wakes the thread that sleeps in the poller, if one does. */
void reactor_wake(struct reactor *r);
/* Makes the poller report something, so that a thread that waits in it or on it comes. */
void reactor_signal(struct reactor *r);
/*
 * A descriptor that polling needs, here or in the I/O thread, is not there any more: the program
 * has closed what is not its own. Every call answers FMQ_EBROKEN from now on, and closing waits for
 * nothing. Any thread that has a reference; no lock is needed.
 */
void reactor_break(struct reactor *r);
/* The reactor and its descriptors live until reactor_unref. */
void reactor_ref(struct reactor *r);

#endif
