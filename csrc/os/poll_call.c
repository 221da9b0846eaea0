/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "os/poll_call.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <time.h>

#include "os/clock.h"
#include "os/poller_events.h"
#include "os/sys.h"

#ifdef __APPLE__ /* has no ppoll */

int poll_call(struct pollfd *fds, size_t len, int64_t timeout_ns)
{
    int ms = -1;
    if (timeout_ns >= 0) {
        int64_t whole = timeout_ns / (int64_t)NS_PER_MS + (timeout_ns % (int64_t)NS_PER_MS != 0);
        ms = whole > INT_MAX ? INT_MAX : (int)whole;
    }
    return SYS(POLL, poll(fds, (nfds_t)len, ms));
}

#else

int poll_call(struct pollfd *fds, size_t len, int64_t timeout_ns)
{
    struct timespec ts = {.tv_sec = (time_t)(timeout_ns / (int64_t)NS_PER_S),
                          .tv_nsec = (long)(timeout_ns % (int64_t)NS_PER_S)};
    return SYS(POLL, ppoll(fds, (nfds_t)len, timeout_ns < 0 ? NULL : &ts, NULL));
}

#endif

short poll_call_wanted(uint32_t events)
{
    return (short)((events & POLLER_IN ? POLLIN : 0) | (events & POLLER_OUT ? POLLOUT : 0) |
                   (events & POLLER_PRI ? POLLPRI : 0));
}

uint32_t poll_call_found(int mask)
{
    uint32_t events = 0;
    if (mask & POLLIN)
        events |= POLLER_IN;
    if (mask & POLLOUT)
        events |= POLLER_OUT;
    if (mask & POLLPRI)
        events |= POLLER_PRI;
    if (mask & (POLLERR | POLLHUP))
        events |= POLLER_ERR | POLLER_IN;
    return events;
}
