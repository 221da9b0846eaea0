/* SPDX-License-Identifier: MIT */
/* FMQ_WAKEUP_PIPE lets a system with eventfd build and test this file too. */
#if !defined(__linux__) || defined(FMQ_WAKEUP_PIPE)

#include "os/wakeup.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "os/fdset.h"
#include "os/sys.h"

static int prepare(int fd)
{
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    int noted = fdset_note(fd);
    return noted < 0 ? noted : 0;
}

int wakeup_init(struct wakeup *w)
{
    int fds[2];
    w->rfd = w->wfd = -1;
    fdset_lock();
    if (SYS(WAKEUP, pipe(fds)) < 0) {
        int err = errno;
        fdset_unlock();
        return -err;
    }
    int result = prepare(fds[0]);
    if (result == 0)
        result = prepare(fds[1]);
    fdset_unlock();
    if (result < 0) {
        fdset_close(fds[0]);
        fdset_close(fds[1]);
        return result;
    }
    w->rfd = fds[0];
    w->wfd = fds[1];
    return 0;
}

void wakeup_fini(struct wakeup *w)
{
    fdset_close(w->rfd);
    fdset_close(w->wfd);
    w->rfd = w->wfd = -1;
}

int wakeup_signal(struct wakeup *w)
{
    if (SYS_FAULT(WAKEUP_LOST))
        return -errno;
    while (SYS(SIGNAL, write(w->wfd, "", 1)) < 0) {
        if (errno == EAGAIN) /* the pipe is full, and thus readable */
            return 0;
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

void wakeup_drain(struct wakeup *w)
{
    char buf[256];
    ssize_t n;
    do {
        n = SYS(DRAIN, read(w->rfd, buf, sizeof(buf)));
    } while (n == (ssize_t)sizeof(buf) || (n < 0 && errno == EINTR));
}

#else
typedef int wakeup_pipe_unused;
#endif
