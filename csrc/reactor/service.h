/* SPDX-License-Identifier: MIT */
/*
 * A reactor that is no socket's: on an I/O thread it listens, and serves the visitors that connect.
 * Each may stay for a time, and only so many at once; of more, the one that came first goes. When
 * no descriptors are left, it rests for a moment. A meeting point (net/meeting.h) and the window
 * into a process (socket/inspect.c) are services.
 */
#ifndef REACTOR_SERVICE_H
#define REACTOR_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "reactor/io.h"
#include "reactor/state.h"
#include "reactor/timer.h"

struct io_thread;
struct service;
struct visitor;

struct service_ops {
    unsigned visitors_max;
    uint64_t visit_ns;      /* how long a visitor may stay; service_renew begins anew */
    unsigned accept_rounds; /* so many are let in in one go, and then others have their turn */
    bool reads_at_once;     /* `ready` is called as soon as a visitor is in */

    /* The next visitor's descriptor, -EAGAIN, -EACCES (somebody was sent away), or another negative
     * errno: the service rests. */
    int (*accept)(struct service *s, int listener);
    /* Memory for a visitor, zeroed, whose first member is the struct visitor; NULL: none. */
    struct visitor *(*visit)(struct service *s);
    /* A visitor's descriptor is ready. */
    void (*ready)(struct visitor *v);
    /* Frees what `visit` has made. Its descriptor is closed already. */
    void (*free)(struct visitor *v);
    /* The service ends, its visitors are gone; the lock is held. May be NULL. */
    void (*ending)(struct service *s);
    /* Frees the service's memory. */
    void (*released)(struct service *s);
};

/* The first member of what it serves. */
struct service {
    struct reactor reactor; /* first */
    const struct service_ops *ops;
    struct io listener;
    struct timer rest;
    struct list visitors; /* the longest there first */
    unsigned visitor_count;
};

struct visitor {
    struct io io; /* a visitor that keeps its descriptor sets io.fd to -1 */
    struct list node;
    struct timer patience;
    struct service *service;
};

void service_init(struct service *s, const struct service_ops *ops);
/* Serves on a listening descriptor, which is the caller's when it fails. 0 or a negative errno.
 * Then service_abandon is due, which also frees. */
int service_start(struct service *s, int listener, struct io_thread *thread);
void service_abandon(struct service *s);
/* Ends it; it is freed when the I/O thread has let it go. What others have posted is done first. */
void service_stop(struct service *s);

/* On the service's thread, with its lock held. */
void service_send_away(struct visitor *v);
void service_renew(struct visitor *v);

#endif
