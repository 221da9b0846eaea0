/* SPDX-License-Identifier: MIT */
/*
 * Input that the poller does not show, such as memory that another process writes to. Whoever
 * writes there has the poller show it only for a reader that is armed, so that nobody makes a
 * system call while both are busy. What is not armed is on a list of the reactor: a thread that
 * polls looks at it, and arms it before it sleeps; a thread that leaves without having done so
 * leaves it to those that come from outside (watchers), or to the I/O thread, which looks when the
 * lease is over.
 */
#ifndef REACTOR_QUIET_H
#define REACTOR_QUIET_H

#include <stdbool.h>

#include "base/list.h"

struct reactor;

/* Embedded in what reads. All with the reactor's lock held. */
struct quiet {
    struct list node; /* reactor->quiet, while it is not armed */
    /* Reads, if there is something. True: there was. May release the lock meanwhile. On the thread
     * that polls. */
    bool (*look)(struct quiet *q);
    /* From now on the poller shows what comes. False: there is something already, or a thread is
     * reading. */
    bool (*arm)(struct quiet *q);
};

/* It is not armed. */
void quiet_add(struct reactor *r, struct quiet *q);
/* Looks at all that is not armed. True: something was there. */
bool quiet_look(struct reactor *r);
/* Arms all. False: somewhere there is something to be read. */
bool quiet_arm(struct reactor *r);
/* A thread leaves the reactor. */
void quiet_settle(struct reactor *r);

#endif
