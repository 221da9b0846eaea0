/* SPDX-License-Identifier: MIT */
#include "socket/attempt.h"

#include "base/error.h"
#include "reactor/poll.h"

int attempt_until(struct fmq_socket *s, struct attempt *a, int timeout_ms)
{
    uint64_t deadline = 0;
    bool first = true;
    detail_clear();
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    while ((rc = a->run(s, a)) == -EAGAIN) {
        if (first) {
            deadline = deadline_of(timeout_ms);
            s->send_waits += a->counts;
        } else if (deadline == 0) {
            break;
        }
        first = false;
        int wait = reactor_wait(socket_reactor(s), deadline);
        /* Without a timeout it has looked at the network once: that deserves a last try. */
        if (wait && (wait != -EAGAIN || deadline != 0)) {
            rc = wait;
            break;
        }
    }
    note_refused(s, rc, a->sends);
    reactor_leave(socket_reactor(s));
    return rc;
}
