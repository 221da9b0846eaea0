/* SPDX-License-Identifier: MIT */
/* The functions of a poller's backend. Their contracts are in os/poller.h. */
#ifndef OS_POLLER_OPS_H
#define OS_POLLER_OPS_H

#include <stdint.h>

#include "os/poller_events.h"

struct poller_ops {
    const char *name;
    int (*create)(struct poller **out);
    void (*destroy)(struct poller *p);
    int (*fd)(const struct poller *p);
    unsigned (*held)(const struct poller *p); /* NULL: the one that fd() returns */
    int (*add)(struct poller *p, int fd, uint32_t events, void *data);
    int (*mod)(struct poller *p, int fd, uint32_t events, void *data);
    int (*del)(struct poller *p, int fd);
    /* NULL where a child is added as the descriptor that fd() returns. */
    int (*add_child)(struct poller *p, struct poller *child, uint32_t events, void *data);
    int (*mod_child)(struct poller *p, struct poller *child, uint32_t events, void *data);
    int (*del_child)(struct poller *p, struct poller *child);
    int (*wait)(struct poller *p, struct poller_event *events, int max, int64_t timeout_ns);
};

struct poller {
    const struct poller_ops *ops;
};

#if defined(__linux__)
#define POLLER_HAVE_EPOLL 1
extern const struct poller_ops poller_epoll;
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__)
#define POLLER_HAVE_KQUEUE 1
extern const struct poller_ops poller_kqueue;
#endif
extern const struct poller_ops poller_poll;

#endif
