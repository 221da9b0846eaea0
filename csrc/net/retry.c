/* SPDX-License-Identifier: MIT */
#include "net/retry.h"

#include "net/endpoint.h"
#include "net/events.h"
#include "net/trouble.h"
#include "os/random.h"

/* Wrong answers in a row that double the wait each: sixteen times RECONNECT_IVL at most. */
#define WRONG_MAX 5

void retry_schedule(struct endpoint *ep)
{
    struct conn_set *s = ep->set;
    const struct option_values *o = &s->pipes.opt;
    if (ep->error)
        trouble_note(s, TROUBLE_CONNECT, (uint32_t)ep->error, ep->bound, ep->name, NULL);
    if (o->reconnect_ivl <= 0 || (s->pipes.reactor.closed && s->linger_until == 0)) {
        endpoint_end_pipe(ep);
        endpoint_discard(ep);
        s->pipes.reactor.work |= WORK_CLOSE;
        return;
    }
    int wait;
    if (o->reconnect_ivl_max > 0) {
        wait = ep->interval_ms ? ep->interval_ms : o->reconnect_ivl;
        int64_t next = (int64_t)wait * 2;
        ep->interval_ms = (int)(next > o->reconnect_ivl_max ? o->reconnect_ivl_max : next);
        if (ep->interval_ms < o->reconnect_ivl)
            ep->interval_ms = o->reconnect_ivl;
    } else {
        int64_t ivl = o->reconnect_ivl;
        ivl = (ivl + (int64_t)(random_u32() % (uint32_t)ivl)) << (ep->wrong ? ep->wrong - 1 : 0);
        wait = (int)(ivl > INT32_MAX ? INT32_MAX : ivl);
    }
    conn_set_event(s, ep->bound, EVENT_CONNECT_RETRIED, (uint64_t)wait, NULL, ep->name);
    timer_set(conn_set_reactor(s), &ep->timer, clock_now() + (uint64_t)wait * NS_PER_MS);
}

void retry_reset(struct endpoint *ep)
{
    ep->interval_ms = 0;
}

void retry_conn_lost(struct endpoint *ep, bool shaken, bool retry, bool wrong)
{
    struct conn_set *s = ep->set;
    ep->conn = NULL;
    if (!wrong)
        ep->wrong = 0;
    else if (ep->wrong < WRONG_MAX)
        ep->wrong++;
    if (retry && !shaken && (s->pipes.opt.reconnect_stop & STOP_HANDSHAKE)) {
        retry = false;
        endpoint_end_pipe(ep);
    }
    if (retry)
        retry_schedule(ep);
    else
        endpoint_discard(ep);
}
