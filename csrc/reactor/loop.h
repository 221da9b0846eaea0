/* SPDX-License-Identifier: MIT */
/*
 * What one event loop watches for all its sockets: a poller that holds the sockets' pollers, and a
 * list of sockets that have something to tell which their pollers do not show (mail, readiness for
 * what is waited for), with one wake-up for the whole list. So many sockets that become ready at
 * once cost the loop one event, and a message over inproc costs no system call of its own.
 *
 * hub->lock is a leaf lock. A thread that posts mail has not the socket's lock and may still be in
 * here when the socket has left the hub and the hub is freed: hubs are reused, their memory is
 * never given back.
 */
#ifndef REACTOR_LOOP_H
#define REACTOR_LOOP_H

struct reactor;

/* Puts the socket on its hub's list, if it is in one; any thread, with the socket's lock or
 * without. */
void loop_post(struct reactor *r);
/* Keeps the list true; part of notify_update. Lock held. */
void loop_update(struct reactor *r, int events);

#endif
