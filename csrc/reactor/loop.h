/* SPDX-License-Identifier: MIT */
/*
 * The loop adapter (fmq_loop): what one event loop watches for all its sockets. It is a poller that
 * holds the sockets' pollers, and a list of sockets that are ready in a way that their pollers do
 * not show (mail, readiness for what is waited for), with one wake-up for the whole list. So many
 * sockets that become ready at once cost the loop one event, and a message over inproc costs no
 * system call of its own.
 *
 * fmq_loop.lock is a leaf lock. A thread that posts mail does not hold the socket's lock and may
 * still be in here when the socket has left the adapter and the adapter is freed. So adapters are
 * reused, and their memory is never given back.
 */
#ifndef REACTOR_LOOP_H
#define REACTOR_LOOP_H

struct reactor;

/* Puts the socket on its adapter's list, if it is in one; any thread, with the socket's lock or
 * without. */
void loop_post(struct reactor *r);
/* Keeps the list true; part of notify_update. Lock held. */
void loop_update(struct reactor *r, int events);

#endif
