/* SPDX-License-Identifier: MIT */
/*
 * A set of sockets and descriptors to wait for. The cost of a wait depends on the number of ready
 * items, not of registered ones: items that were ready last time are checked directly, all others
 * through one poller that contains the sockets' pollers and their readiness descriptors (notify.h).
 * A socket that is checked directly does not signal its readiness, which saves system calls.
 *
 * A kernel limits how pollers are nested (epoll: a descriptor may be in 500 outer pollers; then no
 * more connections can be added to the socket's poller). So if many sets have the same socket, the
 * later ones add it to their poller only while a thread waits there, and beyond a second limit they
 * check it from time to time.
 */
#ifndef REACTOR_POLLSET_H
#define REACTOR_POLLSET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "os/thread.h"
#include "reactor/spin.h"

struct poller;
struct reactor;

struct item {
    struct list node;
    struct list check;       /* pollset.check */
    struct list guest;       /* pollset.guests: in the poller only while a thread waits */
    struct reactor *reactor; /* NULL: a descriptor, or a socket that was closed */
    const void *key;         /* the handle as registered */
    int fd;
    int events;
    void *data;
    bool dead;
    bool nested; /* its socket's poller and signals are in this set's poller */
    bool armed;  /* its socket is to show these events by its descriptors (notify.h); else it is
                  * on `check`, and the next wait looks at it */
    uint64_t reported; /* the last round of a wait that reported it */
    uint32_t interest;
};

struct fmq_pollset {
    struct mutex lock;
    struct poller *poller;
    struct list items;
    struct list check;
    struct list guests;
    struct list removed; /* removed while a thread waits */
    struct map index;    /* &socket or &fd -> item */
    uint64_t round;      /* counts the looks of all waits */
    int waiting;
    bool polling; /* a thread is in the poller */
    struct spin spin;
    int spin_us; /* the least SPIN_US of the sockets: longest busy wait; -1: no socket */
    struct cond back;
    unsigned fork_generation;
};

/* Takes what shows the socket's readiness into the poller, unless `most` sets have it already (1).
 * 0, 1 or a negative errno. The reactor's lock is held. */
int pollset_nest(struct fmq_pollset *p, struct item *it, struct reactor *r, unsigned most);
void pollset_unnest(struct fmq_pollset *p, struct item *it, struct reactor *r);
/* From now on its socket shows the item's events by its descriptors, or no more. The reactor's lock
 * is held. */
void pollset_arm(struct item *it, struct reactor *r, bool arm);
/* The socket was closed, or goes from the set: nothing of it is held any more. */
void pollset_let_go(struct fmq_pollset *p, struct item *it);

#endif
