/* SPDX-License-Identifier: MIT */
/* Functions that other threads call on a reactor without its lock; see signal.h, too. */
#ifndef REACTOR_WAKE_H
#define REACTOR_WAKE_H

struct reactor;

/*
 * A descriptor that polling needs, here or in the I/O thread, is not there any more: the program
 * has closed what is not its own. Every call answers FMQ_EBROKEN from now on, and closing waits for
 * nothing. Any thread that has a reference; no lock is needed.
 */
void reactor_break(struct reactor *r);
/* The reactor and its descriptors live until reactor_unref. */
void reactor_ref(struct reactor *r);

#endif
