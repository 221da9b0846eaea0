/* SPDX-License-Identifier: MIT */
/* A descriptor that another thread can make readable: an eventfd on Linux, a pipe elsewhere. */
#ifndef OS_WAKEUP_H
#define OS_WAKEUP_H

#include <stdint.h>

struct wakeup {
    int rfd; /* to be watched for reading */
    int wfd; /* equals rfd with eventfd */
};

int wakeup_init(struct wakeup *w); /* 0 or a negative errno (EMFILE ...) */
void wakeup_fini(struct wakeup *w);
/* Any thread; never blocks. 0, or a negative errno: nobody will be woken, the descriptor is gone.
 */
int wakeup_signal(struct wakeup *w);
void wakeup_drain(struct wakeup *w); /* makes it unreadable again */

/* How many descriptors it holds; both -1: none. */
static inline uint32_t wakeup_fds(const struct wakeup *w)
{
    return (w->rfd >= 0) + (w->wfd >= 0 && w->wfd != w->rfd);
}

#endif
