/* SPDX-License-Identifier: MIT */
#include "socket/readiness.h"

#include "base/error.h"
#include "fastmq.h"
#include "os/thread.h"
#include "pipe/pattern_ops.h"
#include "reactor/notify.h"
#include "reactor/poll.h"
#include "socket/attempt.h"
#include "socket/partial.h"
#include "socket/socket.h"

int socket_readiness(struct fmq_socket *s)
{
    const struct pattern_ops *ops = s->net.pipes.ops;
    int events = ops->events(&s->net.pipes);
    if (!rx_open(&s->rx))
        return events;
    if (ops->send_over && !ops->send_over(&s->net.pipes))
        events &= ~FMQ_POLLOUT;
    return events | FMQ_POLLIN;
}

int socket_events(struct fmq_socket *s)
{
    return socket_readiness(s) | (tx_find(&s->tx_begun) ? FMQ_POLLOUT : 0);
}

int fmq_events(fmq_socket *s)
{
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    rc = reactor_wait(socket_reactor(s), 0);
    if (rc == 0 || rc == -EAGAIN || rc == -EINTR)
        rc = socket_events(s);
    if (rc >= 0)
        notify_reported(socket_reactor(s), rc);
    reactor_leave(socket_reactor(s));
    return rc;
}

/* Between two of these other threads may have the processor: the peer may be one that waits for it.
 */
#define SPIN_PIECE_NS (10 * NS_PER_US)
/* A yield that took longer let another thread run. */
#define YIELDED_NS (3 * NS_PER_US)
/* A spin ends so long after its limit at the latest, and after what one yield takes. */
#define GIVE_WAY_NS (200 * NS_PER_US)

/* Spins for a piece of *most, which is limited to SPIN_US, and takes it off. -EAGAIN: in vain;
 * 0: spinning is of no use now. */
static int spin_piece(fmq_socket *s, uint64_t *most)
{
    struct reactor *r = socket_reactor(s);
    int rc = reactor_enter(r);
    if (rc)
        return rc;
    uint64_t limit = r->conn_count ? (uint64_t)r->spin_us * NS_PER_US : 0;
    if (*most > limit)
        *most = limit;
    uint64_t piece = *most < SPIN_PIECE_NS ? *most : SPIN_PIECE_NS;
    uint64_t end = clock_now() + piece;
    while ((rc = (socket_readiness(s) & FMQ_POLLIN) != 0) == 0) {
        rc = reactor_spin(r, end);
        if (rc)
            break;
    }
    reactor_leave(r);
    *most -= piece;
    return rc == -EAGAIN && (piece == 0 || clock_now() < end) ? 0 : rc;
}

int fmq_spin(fmq_socket *s, uint32_t limit_ns, int *gave_way)
{
    uint64_t most = limit_ns;
    /* With the time that others had: they may take the processor at every yield. */
    uint64_t give_up = clock_now() + limit_ns + GIVE_WAY_NS;
    for (;;) {
        int rc = spin_piece(s, &most);
        if (rc != -EAGAIN)
            return rc;
        uint64_t before = clock_now();
        bool ran = false;
        if (before >= give_up)
            return 0;
        if (gave_way) {
            thread_yield();
            ran = clock_now() - before >= YIELDED_NS;
            *gave_way |= ran;
        }
        if (most == 0) {
            if (!ran)
                return 0;
            most = YIELDED_NS; /* a last look at what came meanwhile */
        }
    }
}

int fmq_spin_limit(fmq_socket *s)
{
    struct reactor *r = socket_reactor(s);
    if (!mutex_try(&r->lock))
        return 0;
    int us = r->conn_count ? r->spin_us : 0;
    mutex_unlock(&r->lock);
    return us;
}

int fmq_poll_one(fmq_socket *s, int events, int timeout_ms)
{
    uint64_t deadline = deadline_of(timeout_ms);
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    struct waits *w = &s->waits[WAIT_POLL];
    bool last = false;
    for (;;) {
        rc = socket_events(s) & events;
        if (rc || last)
            break;
        int wait = reactor_wait_for(socket_reactor(s), deadline, w);
        if (wait == -EAGAIN) {
            last = true;
        } else if (wait) {
            rc = wait;
            break;
        }
    }
    if (rc > 0)
        w->since = 0;
    reactor_leave(socket_reactor(s));
    return rc;
}

int fmq_wait_subscribers(fmq_socket *s, const void *topic, size_t len, uint32_t n, int timeout_ms)
{
    uint64_t deadline = deadline_of(timeout_ms);
    detail_clear();
    int rc = reactor_enter(socket_reactor(s));
    if (rc)
        return rc;
    if (!s->net.pipes.ops->subscribers) {
        detail_set("a %s socket has no subscribers", s->net.pipes.ops->name);
        rc = -ENOTSUP;
    }
    struct waits *w = &s->waits[WAIT_SUBSCRIBERS];
    for (bool last = false; rc == 0;) {
        int count = s->net.pipes.ops->subscribers(&s->net.pipes, topic, len);
        if ((uint32_t)count >= n || last) {
            rc = (uint32_t)count >= n ? count : -EAGAIN;
            break;
        }
        int wait = reactor_wait_for(socket_reactor(s), deadline, w);
        if (wait == -EAGAIN)
            last = true;
        else
            rc = wait;
    }
    if (rc >= 0)
        w->since = 0;
    reactor_leave(socket_reactor(s));
    return rc;
}
