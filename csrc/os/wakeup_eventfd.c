/* SPDX-License-Identifier: MIT */
#if defined(__linux__) && !defined(FMQ_WAKEUP_PIPE)

#include "os/wakeup.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "os/fdset.h"
#include "os/sys.h"

int wakeup_init(struct wakeup *w)
{
    fdset_lock();
    int fd = fdset_finish(SYS(WAKEUP, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)));
    w->rfd = w->wfd = fd < 0 ? -1 : fd;
    return fd < 0 ? fd : 0;
}

void wakeup_fini(struct wakeup *w)
{
    fdset_close(w->rfd);
    w->rfd = w->wfd = -1;
}

int wakeup_signal(struct wakeup *w)
{
    const uint64_t one = 1;
    if (SYS_FAULT(WAKEUP_LOST))
        return -errno;
    while (SYS(SIGNAL, write(w->wfd, &one, sizeof(one))) < 0) {
        if (errno == EAGAIN) /* the counter is full, and thus readable */
            return 0;
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

void wakeup_drain(struct wakeup *w)
{
    uint64_t count;
    while (SYS(DRAIN, read(w->rfd, &count, sizeof(count))) < 0 && errno == EINTR)
        ;
}

#else
typedef int wakeup_eventfd_unused;
#endif
