/* SPDX-License-Identifier: MIT */
/* Making a thread come to a reactor: one that sleeps in it or watches it, or the I/O thread. Any
 * thread that has a reference; no lock is needed. */
#ifndef REACTOR_SIGNAL_H
#define REACTOR_SIGNAL_H

struct reactor;

/* Signals those that sleep in it or watch it, if there may be any. */
void reactor_signal(struct reactor *r);
/* The same, but not again before they have come. */
void reactor_signal_once(struct reactor *r);
/* Wakes the thread that sleeps in it, if one does. */
void reactor_wake(struct reactor *r);
/* Has a thread come that looks at it, soon. */
void reactor_call(struct reactor *r);

#endif
