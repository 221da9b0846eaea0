/* SPDX-License-Identifier: MIT */
/* The state of a reactor for its watchers, which notify.h describes. */
#ifndef REACTOR_NOTIFIER_H
#define REACTOR_NOTIFIER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/list.h"
#include "os/wakeup.h"

struct fmq_loop;
struct poller;

struct notifier {
    struct wakeup signal[2]; /* POLLIN, POLLOUT */
    unsigned count[2];       /* how many watchers want to see it */
    unsigned direct;         /* how many of the watchers look at the socket before they sleep */
    unsigned nested;         /* how many poll sets hold the socket's poller in theirs */
    bool shown[2];
    bool waits_out;       /* EVENTS last reported to FD's holder: not writable */
    bool merged;          /* FD is signal[0] alone: the system has no descriptor for a poller */
    struct poller *outer; /* FD: the socket's poller and both signals in one */
    struct poller *own_poller; /* fmq_watch: the socket's poller and the signals of own_events */
    int own_events;
    unsigned own_seen; /* reactor->changes when FMQ_POLLCHANGE was asked for */
    /* See loop_list.h. */
    _Atomic(struct fmq_loop *) loop; /* changed with the reactor's and the loop's lock */
    void *loop_data;
    int loop_events;
    unsigned loop_seen;
    struct list loop_member; /* fmq_loop.sockets */
    struct list loop_node;   /* fmq_loop.posted */
    atomic_bool posted;      /* loop_node is linked */
};

#endif
