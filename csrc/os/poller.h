/* SPDX-License-Identifier: MIT */
/*
 * Readiness of descriptors, level-triggered. Three backends, each in its own file: epoll, kqueue,
 * poll(2). The build includes those that the system has; FASTMQ_POLLER=poll (read once) forces
 * poll(2).
 *
 * Pollers nest: a child poller added to a parent is ready when any of the child's own descriptors
 * is. add/mod/del may be called from any thread while another waits, and take effect on that wait.
 * A poller has at most one waiter at a time, except that a parent waiting on a child and a thread
 * waiting on that child itself may overlap.
 */
#ifndef OS_POLLER_H
#define OS_POLLER_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "os/poller_events.h"

/* A descriptor that is waited for without a poller. */
struct poller_one {
    int fd;
    uint32_t events;
    void *data;
};

#define POLLER_FEW 2 /* how many at most */

int poller_create(struct poller **out); /* 0, -EMFILE, -ENFILE, -ENOMEM */
void poller_destroy(struct poller *p);

/* A descriptor that is readable while poller_wait would report something; -1 where the backend has
 * none (poll). */
int poller_fd(const struct poller *p);
unsigned poller_held(const struct poller *p); /* how many descriptors are its own */
/* How many descriptors it holds; NULL: none. */
static inline uint32_t poller_fds(const struct poller *p)
{
    return p ? poller_held(p) : 0;
}
/* Whether a descriptor is readable now; true also where that cannot be told. */
bool poller_shows(int fd);
const char *poller_name(void); /* "epoll", "kqueue", "poll": what poller_create will use */

/* -EEXIST, -EBADF, -ENOMEM; -EPERM for what is always ready, such as a regular file. mod and del of
 * what is not there: -ENOENT. */
int poller_add(struct poller *p, int fd, uint32_t events, void *data);
int poller_mod(struct poller *p, int fd, uint32_t events, void *data);
int poller_del(struct poller *p, int fd); /* before the fd is closed */

int poller_add_child(struct poller *p, struct poller *child, uint32_t events, void *data);
int poller_mod_child(struct poller *p, struct poller *child, uint32_t events, void *data);
int poller_del_child(struct poller *p, struct poller *child);

/* Waits at most timeout_ns (<0: for ever, 0: just looks). Returns the number of events (0 on
 * timeout) or -EINTR; the poll backend may also answer -ENOMEM; see poller_may_retry for others. At
 * most 128 events a call. Sub-millisecond timeouts are honoured. */
int poller_wait(struct poller *p, struct poller_event *events, int max, int64_t timeout_ns);
/* The same without a poller, for `count` descriptors, which may be none: POLLER_FEW at most. There
 * is room in `events` for all of them. What is no descriptor any more is reported as an error. */
int poller_wait_few(const struct poller_one *few, int count, struct poller_event *events,
                    int64_t timeout_ns);
/* Whether an error of poller_wait passes. One that does not means that others closed what the
 * poller needs. */
static inline bool poller_may_retry(int rc)
{
    return rc == -EINTR || rc == -ENOMEM;
}

#endif
