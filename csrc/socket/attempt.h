/* SPDX-License-Identifier: MIT */
/* A call that may have to wait: it is tried, and tried again whenever something has changed. */
#ifndef SOCKET_ATTEMPT_H
#define SOCKET_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "os/clock.h"
#include "reactor/notify.h"
#include "reactor/poll.h"
#include "socket/socket.h"

/* A send or a receive. The calls differ in what they try; they wait alike. */
struct attempt {
    int (*run)(struct fmq_socket *s, struct attempt *a); /* lock held; -EAGAIN: wait */
    struct msg *part; /* sending: the parts; receiving one: where it goes */
    uint32_t count;   /* sending: how many parts; receiving: how many messages at most */
    bool more;
    struct parts *out;
    struct meta **meta;
    struct fmq_receipt *receipt;
    bool sends;
    bool counts; /* sending: it is to be counted when it has to wait */
};

/* The clock when a call has waited long enough. */
static inline uint64_t deadline_of(int timeout_ms)
{
    if (timeout_ms < 0)
        return CLOCK_NEVER;
    return timeout_ms == 0 ? 0 : clock_now() + (uint64_t)timeout_ms * NS_PER_MS;
}

/* What FD is to show after a call that would have to wait: a sender waits for room, and a receiver
 * has seen what FD showed. */
static inline void note_refused(struct fmq_socket *s, int rc, bool sends)
{
    struct reactor *r = socket_reactor(s);
    if (rc == -EAGAIN && (sends || r->notify.waits_out))
        notify_refused(r, sends);
}

/* Once, without waiting for the lock. */
static inline int attempt_once(struct fmq_socket *s, struct attempt *a)
{
    int rc = reactor_try_enter(socket_reactor(s));
    if (rc)
        return rc;
    rc = a->run(s, a);
    note_refused(s, rc, a->sends);
    reactor_leave(socket_reactor(s));
    return rc;
}

/* Until it succeeds, fails, or the time is over. */
static inline int attempt_until(struct fmq_socket *s, struct attempt *a, int timeout_ms)
{
    detail_clear();
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    rc = a->run(s, a);
    if (rc == -EAGAIN) {
        uint64_t deadline = deadline_of(timeout_ms);
        s->send_waits += a->counts;
        struct waits *w = &s->waits[a->sends ? WAIT_SEND : WAIT_RECV];
        do {
            int wait = reactor_wait_for(socket_reactor(s), deadline, w);
            /* Without a timeout it has looked at the network once: that deserves a last try. */
            if (wait && (wait != -EAGAIN || deadline != 0)) {
                rc = wait;
                break;
            }
            rc = a->run(s, a);
        } while (rc == -EAGAIN && deadline != 0);
        if (rc >= 0)
            w->since = 0;
    }
    note_refused(s, rc, a->sends);
    reactor_leave(socket_reactor(s));
    return rc;
}

#endif
