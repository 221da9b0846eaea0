/* SPDX-License-Identifier: MIT */
#include "net/conn_tick.h"

#include "net/conn.h"
#include "net/conn_end.h"
#include "net/conn_write.h"

/* Signs of life to a peer that is not read come no more often, however fast its PINGs came. */
#define REASSURE_MIN_NS (5 * NS_PER_MS)

void conn_tick(struct conn *c, uint64_t now)
{
    if (c->oom_backoff && now >= c->oom_until) {
        c->oom_backoff = false;
        c->link.flush_pending = true;
        conn_resume(c);
    }
    uint64_t next = peer_tick(&c->peer, conn_out(c), now);
    if (c->peer.state == PEER_DEAD) {
        conn_end(c, CONN_END_BROKEN, 0);
        return;
    }
    if (conn_is_paused(c) && c->peer.heartbeat.ping_gap && !c->half_closed) {
        uint64_t wait = c->peer.heartbeat.ping_gap / 2;
        if (wait < REASSURE_MIN_NS)
            wait = REASSURE_MIN_NS;
        peer_reassure(&c->peer);
        if (now + wait < next)
            next = now + wait;
    }
    if (c->oom_backoff && c->oom_until < next)
        next = c->oom_until;
    timer_set(conn_set_reactor(c->set), &c->timer, next);
    if (conn_waits_to_write(c) && !c->io.interest && !c->oom_backoff) {
        /* The poller does not tell of room: see conn_watch. */
        conn_write(c);
        if (conn_is_over(c))
            return;
        if (conn_waits_to_write(c))
            conn_watch(c);
    }
    if (peer_wants_write(&c->peer, conn_out(c)) && !c->link.blocked && !c->link.writing) {
        c->link.flush_pending = true;
        conn_want_flush(c);
    }
}
