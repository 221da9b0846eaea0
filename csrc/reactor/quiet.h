/* SPDX-License-Identifier: MIT */
/*
 * Input that the poller does not show, such as memory that another process writes to. The writer
 * signals the poller only if the reader has armed the input, so that no system call is made while
 * both are busy. Input that is not armed is on a list of the reactor. A thread that polls checks
 * it, and arms it before it sleeps. A thread that leaves without arming it relies on watchers, or
 * on the I/O thread, which checks it when the lease is over.
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
