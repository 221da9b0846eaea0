/* SPDX-License-Identifier: MIT */
#include "socket/close.h"

#include <errno.h>

#include "net/conn.h"
#include "net/conn_end.h"
#include "net/conn_set_life.h"
#include "net/endpoint.h"
#include "net/endpoint_close.h"
#include "net/flush.h"
#include "socket/ctx.h"
#include "socket/socket.h"
#include "transport/inproc.h"

/* A thread that has not come out of a socket after so long is stuck, and close goes on. */
#define CLOSE_WAIT_NS NS_PER_S

void socket_linger_over(struct timer *t, uint64_t now)
{
    (void)now;
    struct fmq_socket *s = LIST_ENTRY(t, struct fmq_socket, linger_timer);
    s->net.linger_until = 0;
    s->net.pipes.reactor.work |= WORK_CLOSE;
}

void socket_terminate(struct fmq_socket *s)
{
    mutex_lock(&s->net.pipes.reactor.lock);
    if (!atomic_load(&s->net.pipes.reactor.stop)) {
        reactor_stop(socket_reactor(s), FMQ_ETERM);
        reactor_leave(socket_reactor(s));
    } else {
        /* Leaving could finish a closed socket, and its end takes the registry's lock, which is
         * held. */
        mutex_unlock(&s->net.pipes.reactor.lock);
    }
}

void socket_relinger(struct fmq_socket *s, int linger_ms)
{
    mutex_lock(&s->net.pipes.reactor.lock);
    if (s->net.pipes.reactor.closed && !s->net.pipes.reactor.finished) {
        uint64_t until = clock_now() + (uint64_t)linger_ms * NS_PER_MS;
        if (until < s->net.linger_until) {
            s->net.linger_until = until;
            timer_set(socket_reactor(s), &s->linger_timer, until);
        }
    }
    reactor_leave(socket_reactor(s));
}

/* Lets the other threads out first, so that descriptors and addresses are free when close returns.
 * All of them were woken, and each that comes out wakes those that wait. Lock held. */
static void wait_for_others(struct reactor *r)
{
    uint64_t until = clock_now() + CLOSE_WAIT_NS;
    r->waiters++;
    while (r->polling || r->waiters > 1) {
        uint64_t now = clock_now();
        if (now >= until)
            break;
        cond_wait(&r->cond, &r->lock, (int64_t)(until - now));
    }
    r->waiters--;
}

int fmq_close(fmq_socket *s)
{
    if (s->net.pipes.reactor.fork_generation != fork_generation)
        return 0;
    mutex_lock(&s->net.pipes.reactor.lock);
    if (s->net.pipes.reactor.closed) {
        mutex_unlock(&s->net.pipes.reactor.lock);
        return -ENOTSOCK;
    }
    if (reactor_has_mail(socket_reactor(s)))
        mailbox_run(socket_reactor(s));
    s->net.pipes.reactor.closed = true;
    reactor_stop(socket_reactor(s), atomic_load(&s->ctx->ending) ? FMQ_ETERM : ENOTSOCK);
    inproc_unbind_all(&s->net); /* under the lock: no thread can bind another name any more */
    socket_drop_partials(s);
    if (s->net.pipes.opt.linger >= 0) {
        s->net.linger_until = clock_now() + (uint64_t)s->net.pipes.opt.linger * NS_PER_MS;
        timer_set(socket_reactor(s), &s->linger_timer, s->net.linger_until);
    }
    if (s->net.pipes.opt.linger == 0)
        s->net.linger_until = 0;
    else
        flush_run(socket_reactor(s), true);
    LIST_FOR_SAFE(n, &s->net.endpoints)
    endpoint_close(LIST_ENTRY(n, struct endpoint, in_set), s->net.linger_until == 0);
    LIST_FOR_SAFE(n, &s->net.conns)
    conn_stop_reading(LIST_ENTRY(n, struct conn, in_set));
    s->net.pipes.reactor.work |= WORK_CLOSE;
    wait_for_others(socket_reactor(s));
    atomic_store(&s->net.pipes.reactor.stop, ENOTSOCK);
    s->net.pipes.reactor.work |= WORK_CLOSE | WORK_REAP;
    if (conn_set_lingers(&s->net)) /* it is the I/O thread's now; without one nothing lingers */
        reactor_call(socket_reactor(s));
    reactor_leave(socket_reactor(s));
    return 0;
}
