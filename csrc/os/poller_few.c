/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>

#include "os/poll_call.h"
#include "os/poller.h"

int poller_wait_few(const struct poller_one *few, int count, struct poller_event *events,
                    int64_t timeout_ns)
{
    struct pollfd fds[POLLER_FEW];
    for (int i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = few[i].fd, .events = poll_call_wanted(few[i].events)};
    if (poll_call(fds, (size_t)count, timeout_ns) < 0)
        return -errno;
    int n = 0;
    for (int i = 0; i < count; i++) {
        uint32_t found = poll_call_found(fds[i].revents);
        if (fds[i].revents & POLLNVAL)
            found = POLLER_ERR | POLLER_IN;
        if (found)
            events[n++] = (struct poller_event){few[i].data, found};
    }
    return n;
}
