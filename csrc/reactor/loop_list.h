/* SPDX-License-Identifier: MIT */
/*
 * The list of the sockets of a loop adapter (loop.c) with readiness that their pollers do not show:
 * they have mail, or are ready for an event that is waited for. Its lock is a leaf.
 */
#ifndef REACTOR_LOOP_LIST_H
#define REACTOR_LOOP_LIST_H

#include <stdbool.h>

#include "base/list.h"
#include "os/thread.h"
#include "os/wakeup.h"

struct notifier;
struct poller;
struct reactor;

struct fmq_loop {
    struct mutex lock;
    struct poller *poller;
    struct wakeup wake;
    struct list sockets; /* notifier.loop_member; for its user's thread alone */
    struct list posted;  /* notifier.loop_node */
    bool signalled;      /* `wake` is readable; under `lock` */
    unsigned fork_generation;
    struct fmq_loop *next; /* while it is unused */
};

/* Puts the socket on its adapter's list, if it is in one; any thread, with the socket's lock or
 * without. */
void loop_post(struct reactor *r);
/* Keeps the list true; part of notify_update. Lock held. */
void loop_update(struct reactor *r, int events);
/* Takes a post off the list; the adapter's lock is held. */
void loop_take_post(struct notifier *w);

#endif
